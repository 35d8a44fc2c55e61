// Package open is the command "countersign break-glass open".
package open

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
	"countersign/internal/cli/table"
	"countersign/internal/cli/when"
)

// Options of the command.
type Options struct {
	Env    *env.Env
	Reason string
	For    string
	JSON   bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "open",
		Short: "Apply your changes at once for a while, with everybody told",
		Long: `Apply your changes at once for a while, with everybody told.

It takes a session with a second factor, and a protection rule that names a
group of yours for emergencies ("protect set --break-glass"). What you change
while it lasts, where such rules hold, is applied without a review and marked
for ever; the emergency stays on the list until somebody else has looked at it
and closes it.`,
		Example: `  countersign break-glass open -r "payments are down, the key was revoked" --for 30m`,
		Args:    env.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Reason == "" {
				return exit.Usagef("--reason is missing: say why this cannot wait for a review")
			}
			return run(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVarP(&o.Reason, "reason", "r", "", "`WHY` this cannot wait for a review")
	cmd.Flags().StringVar(&o.For, "for", "", "how `LONG`, 4h at most; default 30m")
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run opens.
func Run(ctx context.Context, o *Options) error {
	minutes := 0
	if o.For != "" {
		d, err := when.Duration(o.For)
		if err != nil || d < time.Minute || d%time.Minute != 0 {
			return exit.Usagef("--for: %q is no number of minutes or hours, as in 30m", o.For)
		}
		minutes = int(d / time.Minute)
	}
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	e, err := c.BreakGlass(ctx, o.Reason, minutes)
	if err != nil {
		return err
	}
	if o.JSON {
		return table.JSON(o.Env.Streams.Out, e)
	}
	o.Env.Streams.Notef("what you change is applied at once until %s; everybody concerned is told", e.Until.Local().Format("15:04:05"))
	return table.Fields(o.Env.Streams, "id", e.ID, "reason", e.Reason, "until", e.Until)
}
