// Package get is the command "countersign group get".
package get

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
		Use:     "get NAME",
		Short:   "Show a group and its members",
		Example: `  countersign group get developers`,
		Args:    env.Args("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Name = args[0]
			return run(cmd.Context(), o)
		},
	}
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run shows.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	g, err := c.GetGroup(ctx, o.Name)
	if err != nil {
		return err
	}
	if o.JSON {
		return table.JSON(o.Env.Streams.Out, g)
	}
	pairs := []any{"name", g.Name, "arn", g.ARN, "policies", g.Policies, "members", g.Members, "created", g.Created}
	if g.External {
		pairs = append(pairs, "external", g.External)
	}
	if g.Alias != nil {
		pairs = append(pairs, "alias", g.Alias.Name+" of "+g.Alias.Mount)
	}
	return table.Fields(o.Env.Streams, pairs...)
}
