// Package deadletters is the command "countersign notify dead-letters".
package deadletters

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
		Use:   "dead-letters",
		Short: "List notices that could not be delivered, newest first",
		Long: `List notices that could not be delivered, newest first. They are kept
for 30 days.

Columns when piped: id, target, kind, name, time, given up at, attempts, why.`,
		Example: `  countersign notify dead-letters
  countersign notify dead-letters | cut -f1 | xargs -n1 countersign notify replay`,
		Args: env.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), o) },
	}
	cmd.Flags().IntVar(&o.Limit, "limit", 0, "at most `N` of them (default all)")
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run lists.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	items, more, err := env.All(o.Limit, func(limit int, page string) (client.Page[client.DeadLetter], error) {
		return c.DeadLetters(ctx, limit, page)
	})
	if err != nil {
		return err
	}
	if more {
		defer o.Env.Streams.Notef("there are more; raise --limit")
	}
	return table.List(o.Env.Streams, o.JSON, items, []string{"ID", "TARGET", "KIND", "NAME", "TIME", "GIVEN UP", "ATTEMPTS", "WHY"}, func(l client.DeadLetter) []any {
		return []any{l.ID, l.Target, l.Kind, l.Name, l.Time, l.Died, l.Attempts, l.Why}
	})
}
