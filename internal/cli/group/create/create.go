// Package create is the command "countersign group create".
package create

import (
	"context"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
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
		Use:     "create NAME",
		Short:   "Make an empty group",
		Example: `  countersign group create developers`,
		Args:    env.Args("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Name = args[0]
			return run(cmd.Context(), o)
		},
	}
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run makes the group.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	g, err := c.CreateGroup(ctx, o.Name)
	if err != nil {
		return err
	}
	if o.JSON {
		o.Env.Waits(g.Outcome())
		return table.JSON(o.Env.Streams.Out, g)
	}
	o.Env.Told(g.Outcome(), "created group %q", g.Name)
	return nil
}
