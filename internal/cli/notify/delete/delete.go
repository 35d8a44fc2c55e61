// Package delete is the command "countersign notify delete".
package delete

import (
	"context"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
)

// Options of the command.
type Options struct {
	Env    *env.Env
	Name   string
	Reason string
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:     "delete NAME",
		Short:   "Delete a target, with what waits for it",
		Example: `  countersign notify delete ops`,
		Args:    env.Args("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Name = args[0]
			return run(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVarP(&o.Reason, "reason", "r", "", "`WHY`, for the record")
	return cmd
}

// Run deletes.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	if err := c.DeleteNotifyTarget(ctx, o.Name, o.Reason); err != nil {
		return err
	}
	o.Env.Streams.Notef("deleted target %q", o.Name)
	return nil
}
