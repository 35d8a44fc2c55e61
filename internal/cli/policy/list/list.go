// Package list is the command "countersign policy list".
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
		Use:   "list",
		Short: "List policies, the built-in ones first",
		Long: `List policies, the built-in ones first, without their documents.

Columns when piped: name, "builtin" or nothing, changed, description, dialect
(iam or hcl).`,
		Example: `  countersign policy list
  countersign policy list --json`,
		Args: env.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), o) },
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
	items, _, err := env.All(0, func(limit int, page string) (client.Page[client.Policy], error) {
		return c.ListPolicies(ctx, limit, page)
	})
	if err != nil {
		return err
	}
	return table.List(o.Env.Streams, o.JSON, items, []string{"NAME", "BUILTIN", "CHANGED", "DESCRIPTION", "DIALECT"}, func(p client.Policy) []any {
		return []any{p.Name, p.Builtin, p.Changed, p.Description, p.Dialect}
	})
}
