// Package set is the command "countersign rotation set".
package set

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
	"countersign/internal/cli/table"
	"countersign/internal/client"
)

// Options of the command.
type Options struct {
	Env     *env.Env
	Name    string
	Options []string // k=v
	client.RotationSettings
	Reason string
	JSON   bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "set NAME",
		Short: "Set how and when a secret is rotated",
		Long: `Set how and when a secret is rotated. What is not given is forgotten. No
rotation begins before its time; "countersign rotate" does one now.

"countersign rotation rotators" lists what a secret can be rotated with, and its
options. Who names a secret in an option has to be allowed to read it.

Schedules are in UTC: rate(30 days), cron(0 4 ? * SUN *), or five fields as in
crontab: "0 4 * * 0".`,
		Example: `  countersign rotation set payments/api-key --rotator random --days 30 --grace 24h
  countersign rotation set myapp/database --rotator postgresql --option admin=db-admin --schedule "0 4 * * 0"
  countersign rotation set legacy/token --function arn:aws:lambda:us-east-1:111122223333:function:f --days 90`,
		Args:              env.Args("NAME"),
		ValidArgsFunction: e.SecretNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Name = args[0]
			if err := o.check(); err != nil {
				return err
			}
			return run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Rotator, "rotator", "", "what rotates it: a `KIND` that \"rotation rotators\" lists")
	f.StringVar(&o.Function, "function", "", "the `ARN` of a rotation function that the server's configuration has")
	f.StringArrayVar(&o.Options, "option", nil, "an option `KEY=VALUE` of the rotator; repeat it for more. Never a secret value")
	f.Int64Var(&o.Days, "days", 0, "rotate `N` days after the last time")
	f.StringVar(&o.Schedule, "schedule", "", "rotate by an `EXPRESSION`")
	f.StringVar(&o.Window, "window", "", "how `LONG` a rotation may take, in whole hours: 3h")
	f.StringVar(&o.Jitter, "jitter", "", "spread rotations over so `LONG`: 30m")
	f.StringArrayVar(&o.Blackout, "blackout", nil, "no rotation on the `DAYS`: 2026-12-24/2027-01-02; repeat it for more")
	f.StringVar(&o.Grace, "grace", "", "how `LONG` the previous credential stays valid: 24h")
	f.StringVar(&o.Readers, "readers", "", "then wait for all who read the secret in so `LONG` before to have read the new version: 7d")
	f.StringVar(&o.Deadline, "deadline", "", "but no `LONGER` than that after the rotation: 72h")
	f.StringVarP(&o.Reason, "reason", "r", "", "why, for the record: a `TEXT` without secrets")
	env.JSON(cmd, &o.JSON)
	return cmd
}

func (o *Options) check() error {
	if (o.Rotator == "") == (o.Function == "") {
		return exit.Usagef("give either --rotator KIND or --function ARN")
	}
	for _, text := range o.Options {
		k, v, ok := strings.Cut(text, "=")
		if !ok || k == "" {
			return exit.Usagef("--option is KEY=VALUE")
		}
		if o.RotationSettings.Options == nil {
			o.RotationSettings.Options = map[string]string{}
		}
		if _, twice := o.RotationSettings.Options[k]; twice {
			return exit.Usagef("--option %s is given twice", k)
		}
		o.RotationSettings.Options[k] = v
	}
	return nil
}

// Run sets it.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	w, err := c.PutRotation(ctx, o.Name, o.RotationSettings, o.Reason)
	if err != nil {
		return err
	}
	if o.JSON {
		return table.JSON(o.Env.Streams.Out, w)
	}
	if o.Env.Waits(w.Outcome()) {
		return nil
	}
	st, err := c.Rotation(ctx, o.Name)
	switch {
	case err != nil: // it may be set and not be read
		o.Env.Streams.Notef("set how %q is rotated", o.Name)
	case st.Next.IsZero():
		o.Env.Streams.Notef("set how %q is rotated: on demand only", o.Name)
	default:
		o.Env.Streams.Notef("set how %q is rotated: next on %s", o.Name, table.Time(o.Env.Streams, st.Next))
	}
	return nil
}
