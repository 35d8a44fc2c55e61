// Package calendar is the command "countersign rotation calendar".
package calendar

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
	"countersign/internal/cli/table"
	"countersign/internal/cli/when"
)

// Options of the command.
type Options struct {
	Env   *env.Env
	Until time.Time
	JSON  bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	var until string
	cmd := &cobra.Command{
		Use:   "calendar",
		Short: "List what rotates when",
		Long: `List when secrets rotate, the soonest first. A date in the past is of a rotation
that was missed.

Columns when piped: at, end of the window, name, rotator, state.`,
		Example: `  countersign rotation calendar
  countersign rotation calendar --until 7d`,
		Args: env.Args(),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if o.Until, err = when.Future(until, time.Now()); err != nil {
				return exit.Usagef("--until: %w", err)
			}
			return run(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVar(&until, "until", "30d", "the dates up to a `TIME`, or so long from now")
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run lists.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	all, err := c.Rotations(ctx, o.Until)
	if err != nil {
		return err
	}
	if o.JSON {
		return table.JSON(o.Env.Streams.Out, all)
	}
	t := table.New(o.Env.Streams, "AT", "WINDOW CLOSES", "SECRET", "ROTATOR", "STATE")
	for _, p := range all.Items {
		t.Row(p.At, p.Closes, p.Name, p.Rotator, p.State)
	}
	if all.More {
		defer o.Env.Streams.Notef("there are more; lower --until")
	}
	return t.Flush()
}
