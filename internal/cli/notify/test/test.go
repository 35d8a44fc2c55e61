// Package test is the command "countersign notify test".
package test

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
	"countersign/internal/cli/table"
)

// Options of the command.
type Options struct {
	Env  *env.Env
	Name string
	JSON bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "test NAME",
		Short: "Send a notice to a target now, and say whether it was taken",
		Long: `Send a notice of kind notify.test to a target now, once, whatever its filters
are, and say whether it was taken. The exit code is 1 when it was not.`,
		Example: `  countersign notify test ops`,
		Args:    env.Args("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Name = args[0]
			return run(cmd.Context(), o)
		},
	}
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run tests.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	res, err := c.TestNotifyTarget(ctx, o.Name)
	if err != nil {
		return err
	}
	if o.JSON {
		if err := table.JSON(o.Env.Streams.Out, res); err != nil {
			return err
		}
		if !res.Delivered {
			return exit.Silently(exit.Failed)
		}
		return nil
	}
	if !res.Delivered {
		return exit.With(exit.Failed, fmt.Errorf("it was not delivered: %s", table.Clean(res.Why)))
	}
	o.Env.Streams.Notef("delivered as %s", res.Delivery)
	return nil
}
