// Package list is the command "countersign session list".
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
	User string
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
		Short: "List the sessions that you have, or that another user has",
		Long: `List the sessions that you have, or that another user has.

Columns when piped: id, user, "current" or nothing, last used, expires, source,
how it signed in, agent.`,
		Example: `  countersign session list
  countersign session list --user alice`,
		Args: env.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), o) },
	}
	cmd.Flags().StringVar(&o.User, "user", "", "of another user, by `NAME`")
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run lists.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	items, err := c.ListSessions(ctx, o.User)
	if err != nil {
		return err
	}
	return table.List(o.Env.Streams, o.JSON, items, []string{"ID", "USER", "CURRENT", "USED", "EXPIRES", "SOURCE", "METHOD", "AGENT"}, func(s client.SessionInfo) []any {
		return []any{s.ID, s.User, s.Current, s.Used, s.Expires, s.Source, s.Method, s.Agent}
	})
}
