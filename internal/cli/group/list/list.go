// Package list is the command "countersign group list".
package list

import (
	"context"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/table"
	"countersign/internal/client"
)

// Options of the command.
type Options struct {
	Env  *env.Env
	JSON bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List groups",
		Long:    "List groups.\n\nColumns when piped: name, policies, created.",
		Example: `  countersign group list`,
		Args:    env.Args(),
		RunE:    func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), o) },
	}
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run lists.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	items, _, err := env.All(0, func(limit int, page string) (client.Page[client.Group], error) {
		return c.ListGroups(ctx, limit, page)
	})
	if err != nil {
		return err
	}
	return table.List(o.Env.Streams, o.JSON, items, []string{"NAME", "POLICIES", "CREATED"}, func(g client.Group) []any {
		return []any{g.Name, g.Policies, g.Created}
	})
}
