// Package get is the command "countersign project get".
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
		Short:   "Show a project, and which secret each environment is",
		Example: `  countersign project get backend-api`,
		Args:    env.Args("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Name = args[0]
			return run(cmd.Context(), o)
		},
	}
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run shows it.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	p, err := c.GetProject(ctx, o.Name)
	if err != nil {
		return err
	}
	if o.JSON {
		return table.JSON(o.Env.Streams.Out, p)
	}
	pairs := []any{"name", p.Name, "description", p.Description, "template", p.Template, "created", p.Created}
	for _, one := range p.Environments {
		pairs = append(pairs, "env "+one.Name, one.Secret)
	}
	return table.Fields(o.Env.Streams, pairs...)
}
