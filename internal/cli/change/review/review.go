// Package review is the command "countersign review".
package review

import (
	"context"

	"github.com/spf13/cobra"

	"countersign/internal/cli/change/reading"
	"countersign/internal/cli/change/render"
	"countersign/internal/cli/change/which"
	"countersign/internal/cli/env"
	"countersign/internal/cli/table"
)

// Options of the command.
type Options struct {
	Env *env.Env
	which.Change
	All  bool // also keys that stay
	JSON bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "review",
		Short: "Show a change as its reviewer sees it",
		Long: `Show a change as its reviewer sees it: how each key changes, how many approvals
it has of those that it needs, and what was said about it.

Who may read the values sees them; each reading is recorded. Others see of each
value a class of length and of format, and what it equals. A value that is not
plain printable text is shown in double quotes with escapes.`,
		Example: `  countersign review --latest
  countersign review --id 01KB2Y6V8M --show-all
  countersign review --id 01KB2Y6V8M --json | jq -r '.standing'`,
		Args: env.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.Check(); err != nil {
				return err
			}
			return run(cmd.Context(), o)
		},
	}
	o.Change.Add(e, cmd, "the newest change of the environment, or of the project, that waits")
	cmd.Flags().BoolVar(&o.All, "show-all", false, "also the keys that stay as they are")
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run shows it.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	id, err := o.Waiting(ctx, o.Env, c)
	if err != nil {
		return err
	}
	r, err := reading.Fetch(ctx, c, id)
	if err != nil {
		return err
	}
	if o.JSON {
		return table.JSON(o.Env.Streams.Out, r.JSON())
	}
	p := render.Printer{Streams: o.Env.Streams, Names: which.Known(ctx, c), Now: o.Env.Time()}
	return p.Review(r, o.All)
}
