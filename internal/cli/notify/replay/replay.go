// Package replay is the command "countersign notify replay".
package replay

import (
	"context"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
)

// Options of the command.
type Options struct {
	Env    *env.Env
	ID     string
	Reason string
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "replay ID",
		Short: "Deliver a dead letter after all",
		Long: `Deliver a dead letter after all: it is put back into its target's queue, under
the same id, as if nothing had been attempted. ID may be the beginning of it.`,
		Example: `  countersign notify replay 01JD4XQ8ZK`,
		Args:    env.Args("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.ID = args[0]
			return run(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVarP(&o.Reason, "reason", "r", "", "`WHY`, for the record")
	return cmd
}

// Run replays.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	l, err := c.ReplayDeadLetter(ctx, o.ID, o.Reason)
	if err != nil {
		return err
	}
	o.Env.Streams.Notef("%s is on its way to target %q again", l.ID, l.Target)
	return nil
}
