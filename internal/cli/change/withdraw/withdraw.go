// Package withdraw is the command "countersign withdraw".
package withdraw

import (
	"context"

	"github.com/spf13/cobra"

	"countersign/internal/cli/change/decide"
	"countersign/internal/cli/change/which"
	"countersign/internal/cli/env"
)

// Options of the command.
type Options struct {
	Env *env.Env
	which.Change
	Comment string
	JSON    bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:     "withdraw",
		Short:   "Take back a change of your own that was not applied",
		Example: `  countersign withdraw --id 01KB2Y6V8M -c "Not needed any more"`,
		Args:    env.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.NeedID(); err != nil {
				return err
			}
			return run(cmd.Context(), o)
		},
	}
	o.AddID(e, cmd)
	cmd.Flags().StringVarP(&o.Comment, "comment", "c", "", "why: a `TEXT` without secrets")
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run withdraws.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	done, err := c.Withdraw(ctx, o.ID, o.Comment)
	if err != nil {
		return err
	}
	return decide.Say(o.Env, o.JSON, done, "Change %s withdrawn", done.ID)
}
