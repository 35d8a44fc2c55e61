// Package list is the command "countersign account list".
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
		Short:   "List the server's accounts",
		Long:    "List the server's accounts.\n\nColumns when piped: id, name, \"home\" or nothing, created.",
		Example: `  countersign account list`,
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
	items, err := c.ListAccounts(ctx)
	if err != nil {
		return err
	}
	return table.List(o.Env.Streams, o.JSON, items, []string{"ID", "NAME", "HOME", "CREATED"}, func(a client.Account) []any {
		return []any{a.ID, a.Name, a.Home, a.Created}
	})
}
