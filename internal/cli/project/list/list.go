// Package list is the command "countersign project list".
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
	Env   *env.Env
	Limit int
	JSON  bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List projects",
		Long: `List projects.

Columns when piped: name, environments, created, description.`,
		Example: `  countersign project list
  countersign project list --json | jq -r '.[].name'`,
		Args: env.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), o) },
	}
	cmd.Flags().IntVar(&o.Limit, "limit", 0, "at most `N` projects (default all)")
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run lists.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	items, more, err := env.All(o.Limit, func(limit int, page string) (client.Page[client.Project], error) {
		return c.ListProjects(ctx, limit, page)
	})
	if err != nil {
		return err
	}
	if more {
		defer o.Env.Streams.Notef("there are more; raise --limit")
	}
	return table.List(o.Env.Streams, o.JSON, items, []string{"NAME", "ENVIRONMENTS", "CREATED", "DESCRIPTION"}, func(p client.Project) []any {
		var envs []string
		for _, one := range p.Environments {
			envs = append(envs, one.Name)
		}
		return []any{p.Name, envs, p.Created, p.Description}
	})
}
