// Package signin is the command "countersign account sign-in".
package signin

import (
	"context"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
	"countersign/internal/cli/table"
)

// Options of the command.
type Options struct {
	Env  *env.Env
	MFA  string // required, optional, or empty to leave it
	JSON bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "sign-in",
		Short: "Show or set what the account asks of who signs in",
		Long: `Show what the account asks of who signs in, or set it. Where a second factor is
required, a session without one may do nothing but set one up, show it and sign
out; that holds for sessions that are open, too. Access keys are not sessions.`,
		Example: `  countersign account sign-in
  countersign account sign-in --mfa required`,
		Args: env.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.MFA != "" && o.MFA != "required" && o.MFA != "optional" {
				return exit.Usagef("--mfa: %q is none of required, optional", o.MFA)
			}
			return run(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVar(&o.MFA, "mfa", "", "a second factor is `required` or optional")
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run shows or sets.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	set, err := c.GetSignInSettings(ctx)
	if err != nil {
		return err
	}
	if o.MFA != "" {
		set.MFARequired = o.MFA == "required"
		if err := c.PutSignInSettings(ctx, set); err != nil {
			return err
		}
	}
	if o.JSON {
		return table.JSON(o.Env.Streams.Out, set)
	}
	t := table.New(o.Env.Streams, "SETTING", "VALUE")
	t.Row("mfa", map[bool]string{true: "required", false: "optional"}[set.MFARequired])
	return t.Flush()
}
