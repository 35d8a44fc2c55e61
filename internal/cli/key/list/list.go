// Package list is the command "countersign key list".
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
	Owner string
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
		Short: "List access keys, without their secrets",
		Long: `List access keys, without their secrets.

Columns when piped: id, owner, created, expires, last used, policies,
description.`,
		Example: `  countersign key list
  countersign key list --owner deploy --json`,
		Args: env.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), o) },
	}
	cmd.Flags().StringVar(&o.Owner, "owner", "", "only keys of this user or machine, by `NAME`")
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run lists.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	items, err := c.ListKeys(ctx, o.Owner)
	if err != nil {
		return err
	}
	return table.List(o.Env.Streams, o.JSON, items, []string{"ID", "OWNER", "CREATED", "EXPIRES", "LAST USED", "POLICIES", "DESCRIPTION"}, func(k client.Key) []any {
		return []any{k.ID, k.Owner, k.Created, k.Expires, k.LastUsed, k.Policies, k.Description}
	})
}
