// Package list is the command "countersign list".
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
	Env *env.Env
	client.ListOptions
	JSON bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "list [PREFIX]",
		Short: "List secrets, without their values",
		Long: `List secrets by name, without their values: those whose names begin with PREFIX.

Columns when piped: name, current version, changed, description, deleted at.`,
		Example: `  countersign list
  countersign list prod/ --filter tag-key:team
  countersign list --json | jq -r '.[].name'`,
		Args:              env.AtMost(1),
		ValidArgsFunction: e.SecretNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				o.Prefix = args[0]
			}
			if err := env.Choice("sort", o.Sort, "name", "created-date", "last-changed-date", "last-accessed-date"); err != nil {
				return err
			}
			return run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.Filters, "filter", nil, "only secrets that match `ATTRIBUTE:TEXT`: name, description, tag-key, tag-value, all; !TEXT excludes")
	f.BoolVar(&o.Deleted, "deleted", false, "also secrets that are marked for deletion")
	f.StringVar(&o.Sort, "sort", "name", "order `BY` name, created-date, last-changed-date or last-accessed-date")
	f.BoolVar(&o.Desc, "desc", false, "in descending order")
	f.IntVar(&o.Limit, "limit", 0, "at most `N` secrets (default all)")
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run lists.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	items, more, err := env.All(o.Limit, func(limit int, page string) (client.Page[client.Secret], error) {
		ask := o.ListOptions
		ask.Limit, ask.Page = limit, page
		return c.ListSecrets(ctx, ask)
	})
	if err != nil {
		return err
	}
	if more {
		defer o.Env.Streams.Notef("there are more; raise --limit")
	}
	return table.List(o.Env.Streams, o.JSON, items, []string{"NAME", "VERSION", "CHANGED", "DESCRIPTION", "DELETED AT"}, func(s client.Secret) []any {
		return []any{s.Name, s.Current, s.Changed, s.Description, s.Purge}
	})
}
