// Package tail is the command "countersign audit tail".
package tail

import (
	"context"
	"errors"
	"iter"
	"slices"

	"github.com/spf13/cobra"

	"countersign/internal/cli/audit/records"
	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
	"countersign/internal/client"
)

// Options of the command.
type Options struct {
	Env    *env.Env
	Filter records.Filter
	Lines  int
	Follow bool
	JSON   bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Show the newest records of the audit log, oldest of them first",
		Long: `Show the newest records of the audit log, oldest of them first, and with
--follow those to come until interrupted.

` + records.Columns,
		Example: `  countersign audit tail
  countersign audit tail -f --outcome denied
  countersign audit tail -n 100 --json | jq .principal.name`,
		Args: env.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Lines < 0 {
				return exit.Usagef("--lines: %d is negative", o.Lines)
			}
			return run(cmd.Context(), o)
		},
	}
	cmd.Flags().IntVarP(&o.Lines, "lines", "n", 10, "begin with the newest `N` records")
	cmd.Flags().BoolVarP(&o.Follow, "follow", "f", false, "go on with the records to come")
	o.Filter.Flags(cmd, false)
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run prints the newest records and then, when asked, those to come. The
// stream is opened before the log is queried, so that none is missed between
// the two; what is in both is printed once.
func Run(ctx context.Context, o *Options) error {
	q, err := o.Filter.Resolve(o.Env.Time())
	if err != nil {
		return err
	}
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	var stream iter.Seq2[client.Record, error]
	if o.Follow {
		if stream, err = c.FollowAudit(ctx, q); err != nil {
			return err
		}
	}
	var newest []client.Record
	if o.Lines > 0 {
		newest, _, err = env.All(o.Lines, func(limit int, page string) (client.Page[client.Record], error) {
			ask := q
			ask.Limit, ask.Page = limit, page
			return c.QueryAudit(ctx, ask)
		})
		if err != nil {
			return err
		}
	}
	p := records.Printer{Streams: o.Env.Streams, JSON: o.JSON}
	seen := map[string]bool{}
	for _, r := range slices.Backward(newest) {
		if err := p.Print(r); err != nil {
			return err
		}
		seen[r.ID] = true
	}
	if stream == nil {
		return nil
	}
	for r, err := range stream {
		switch {
		case err != nil:
			return err
		case seen[r.ID]:
			continue
		}
		if err := p.Print(r); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return exit.With(exit.Unavailable, errors.New("the server ended the stream; it may be stopping"))
}
