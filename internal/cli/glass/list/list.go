// Package list is the command "countersign break-glass list".
package list

import (
	"context"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/table"
)

// Options of the command.
type Options struct {
	Env  *env.Env
	All  bool
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
		Short: "List emergencies that nobody has closed yet",
		Long: `List emergencies that nobody has closed yet, newest first.

Columns when piped: id, by, opened, until, changes, closed, reason.`,
		Example: `  countersign break-glass list --all`,
		Args:    env.Args(),
		RunE:    func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), o) },
	}
	cmd.Flags().BoolVar(&o.All, "all", false, "those that were closed too")
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run lists.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	page, err := c.Emergencies(ctx, o.All)
	if err != nil {
		return err
	}
	if o.JSON {
		return table.JSON(o.Env.Streams.Out, page.Items)
	}
	t := table.New(o.Env.Streams, "ID", "BY", "OPENED", "UNTIL", "CHANGES", "CLOSED", "REASON")
	for _, e := range page.Items {
		t.Row(e.ID, e.By, e.Opened, e.Until, len(e.Changes), e.Closed, e.Reason)
	}
	return t.Flush()
}
