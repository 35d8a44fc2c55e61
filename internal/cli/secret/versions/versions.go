// Package versions is the command "countersign versions".
package versions

import (
	"context"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/table"
	"countersign/internal/client"
)

// Options of the command.
type Options struct {
	Env     *env.Env
	Name    string
	Labeled bool // only versions that have a label
	Limit   int
	JSON    bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "versions NAME",
		Short: "List the versions of a secret, newest first",
		Long: `List the versions of a secret, newest first, without their values.

A version that is deleted keeps its labels and can be brought back with
"countersign restore NAME --version N". Of one that is destroyed the value is
gone for good. A version that is enabled and has a time under DELETED is deleted
by itself then.

Columns when piped: number, labels, state, created, bytes, author, id, deleted.`,
		Example: `  countersign versions myapp/database
  countersign versions myapp/database --labeled --json`,
		Args:              env.Args("NAME"),
		ValidArgsFunction: e.SecretNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Name = args[0]
			return run(cmd.Context(), o)
		},
	}
	cmd.Flags().BoolVar(&o.Labeled, "labeled", false, "only versions that have a label")
	cmd.Flags().IntVar(&o.Limit, "limit", 0, "at most `N` versions (default all)")
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run lists.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	items, more, err := env.All(o.Limit, func(limit int, page string) (client.Page[client.Version], error) {
		return c.ListVersions(ctx, o.Name, !o.Labeled, limit, page)
	})
	if err != nil {
		return err
	}
	if more {
		defer o.Env.Streams.Notef("there are more; raise --limit")
	}
	return table.List(o.Env.Streams, o.JSON, items, []string{"VERSION", "LABELS", "STATE", "CREATED", "BYTES", "AUTHOR", "ID", "DELETED"}, func(v client.Version) []any {
		return []any{v.Number, v.Labels, v.State, v.Created, v.Size, v.Author, v.ID, v.Deleted}
	})
}
