// Package query is the command "countersign audit query".
package query

import (
	"context"

	"github.com/spf13/cobra"

	"countersign/internal/cli/audit/records"
	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
)

// Options of the command.
type Options struct {
	Env    *env.Env
	Filter records.Filter
	Limit  int // 0 for all
	JSON   bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "query",
		Short: "Find records of the audit log, newest first",
		Long: `Find records of the audit log, newest first. Conditions that are given together
must all hold.

` + records.Columns,
		Example: `  countersign audit query --since 1h --outcome denied
  countersign audit query --secret myapp/database --operation ReadValue --since 7d
  countersign audit query --principal deploy --since 2026-11-01 --until 2026-12-01 --limit 0 --json`,
		Args: env.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Limit < 0 {
				return exit.Usagef("--limit: %d is negative", o.Limit)
			}
			return run(cmd.Context(), o)
		},
	}
	cmd.Flags().IntVar(&o.Limit, "limit", 100, "at most `N` records; 0 for all")
	o.Filter.Flags(cmd, true)
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run finds and prints, page by page.
func Run(ctx context.Context, o *Options) error {
	q, err := o.Filter.Resolve(o.Env.Time())
	if err != nil {
		return err
	}
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	p := records.Printer{Streams: o.Env.Streams, JSON: o.JSON}
	left := o.Limit
	for {
		if q.Limit = 100; o.Limit > 0 {
			q.Limit = min(q.Limit, left)
		}
		page, err := c.QueryAudit(ctx, q)
		if err != nil {
			return err
		}
		for _, r := range page.Items {
			if err := p.Print(r); err != nil {
				return err
			}
		}
		left -= len(page.Items)
		switch {
		case page.Next == "":
			return nil
		case o.Limit > 0 && left <= 0:
			o.Env.Streams.Notef("there are more; raise --limit")
			return nil
		}
		q.Page = page.Next
	}
}
