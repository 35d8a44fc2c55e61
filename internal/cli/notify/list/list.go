// Package list is the command "countersign notify list".
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
		Short: "List where notices go, and how it goes there",
		Long: `List where notices go, and how it goes there. Of a URL no more than scheme and
host is ever shown.

Columns when piped: name, type, host or recipients, kinds, names, how many
deliveries wait, when one last was delivered, why the last attempt failed.`,
		Example: `  countersign notify list`,
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
	items, err := c.NotifyTargets(ctx)
	if err != nil {
		return err
	}
	return table.List(o.Env.Streams, o.JSON, items, []string{"NAME", "TYPE", "TO", "KINDS", "NAMES", "WAITING", "DELIVERED", "FAILS WITH"}, func(i client.NotifyTarget) []any {
		to := i.To
		if i.Host != "" {
			to = []string{i.Host}
		}
		return []any{i.Name, i.Type, to, i.Kinds, i.Names, i.Waiting, i.Last, table.Alarm(i.Why)}
	})
}
