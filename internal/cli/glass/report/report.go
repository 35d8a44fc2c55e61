// Package report is the command "countersign break-glass report".
package report

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"countersign/internal/cli/audit/records"
	"countersign/internal/cli/env"
	"countersign/internal/cli/table"
)

// Options of the command.
type Options struct {
	Env  *env.Env
	ID   string
	JSON bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "report ID",
		Short: "Show what was read and changed in an emergency",
		Long: `Show what was read and changed in an emergency: first the changes that were
applied without a review, then everything that the one who broke the glass asked
for while it lasted.

` + records.Columns,
		Example: `  countersign break-glass report 01JD7Q3W6ZJ8Y2N4T5V6X7C8D9`,
		Args:    env.Args("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.ID = args[0]
			return run(cmd.Context(), o)
		},
	}
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run reports.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	r, err := c.Emergency(ctx, o.ID)
	if err != nil {
		return err
	}
	s := o.Env.Streams
	if o.JSON {
		return table.JSON(s.Out, r)
	}
	s.Notef("%s broke the glass at %s: %s", table.Clean(r.By), table.Time(s, r.Opened), table.Clean(r.Reason))
	for _, d := range r.Done {
		s.Notef("applied without a review: change %s, %s of %s, keys %s", d.ID, d.Operation, table.Clean(d.Name), table.Clean(strings.Join(d.Keys, ", ")))
	}
	if !r.Closed.IsZero() {
		s.Notef("closed by %s: %s", table.Clean(r.ClosedBy), table.Clean(r.Comment))
	}
	p := records.Printer{Streams: s}
	for _, rec := range r.Records {
		if err := p.Print(rec); err != nil {
			return err
		}
	}
	if r.Cut {
		s.Notef("there are more records: countersign audit query --principal shows them all")
	}
	return nil
}
