// Package ready is the command "countersign ready".
package ready

import (
	"context"

	"github.com/spf13/cobra"

	"countersign/internal/cli/change/decide"
	"countersign/internal/cli/change/which"
	"countersign/internal/cli/env"
	"countersign/internal/client"
)

// Options of the command.
type Options struct {
	Env *env.Env
	which.Change
	JSON bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:     "ready",
		Short:   "Put a draft of your own to review",
		Example: `  countersign ready --id 01KB2Y6V8M`,
		Args:    env.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.NeedID(); err != nil {
				return err
			}
			return run(cmd.Context(), o)
		},
	}
	o.AddID(e, cmd)
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run puts it to review.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	done, err := c.Ready(ctx, o.ID)
	if err != nil {
		return err
	}
	became := "is " + done.Status
	if done.Status == client.Pending {
		became = "waits for review"
	}
	return decide.Say(o.Env, o.JSON, done, "Change %s %s", done.ID, became)
}
