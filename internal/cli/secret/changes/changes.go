// Package changes is the command "countersign changes".
package changes

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
	Name  string
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
		Use:   "changes NAME",
		Short: "List who changed a secret, when and why, newest first",
		Long: `List who changed a secret, when and why, newest first: its values, and
everything else about it.

Columns when piped: time, operation, version before, version after, keys of a
JSON object that differ, author, reason, id.`,
		Example: `  countersign changes myapp/database
  countersign changes myapp/database --limit 1 --json | jq -r '.[0].reason'`,
		Args:              env.Args("NAME"),
		ValidArgsFunction: e.SecretNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Name = args[0]
			return run(cmd.Context(), o)
		},
	}
	cmd.Flags().IntVar(&o.Limit, "limit", 0, "at most `N` changes (default all)")
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run lists.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	items, more, err := env.All(o.Limit, func(limit int, page string) (client.Page[client.Change], error) {
		return c.SecretChanges(ctx, o.Name, limit, page)
	})
	if err != nil {
		return err
	}
	if more {
		defer o.Env.Streams.Notef("there are more; raise --limit")
	}
	if o.JSON {
		return table.JSON(o.Env.Streams.Out, append([]client.Change{}, items...))
	}
	t := table.New(o.Env.Streams, "TIME", "OPERATION", "FROM", "TO", "KEYS", "AUTHOR", "REASON", "ID")
	for _, h := range items {
		t.Row(h.Time, h.Operation, h.Base, h.Version, h.Keys, h.Author, h.Reason, h.ID)
	}
	return t.Flush()
}
