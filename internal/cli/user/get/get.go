// Package get is the command "countersign user get".
package get

import (
	"context"
	"maps"
	"slices"

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
		Short:   "Show a user or machine",
		Example: `  countersign user get deploy`,
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
	u, err := c.GetUser(ctx, o.Name)
	if err != nil {
		return err
	}
	if o.JSON {
		return table.JSON(o.Env.Streams.Out, u)
	}
	pairs := []any{"name", u.Name, "kind", u.Kind, "arn", u.ARN, "groups", u.Groups, "policies", u.Policies,
		"created", u.Created, "disabled", u.Disabled, "person", u.Person}
	for _, k := range slices.Sorted(maps.Keys(u.Tags)) {
		pairs = append(pairs, "tag", k+"="+u.Tags[k])
	}
	return table.Fields(o.Env.Streams, pairs...)
}
