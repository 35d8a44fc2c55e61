// Package close is the command "countersign break-glass close".
package close

import (
	"context"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/table"
)

// Options of the command.
type Options struct {
	Env     *env.Env
	ID      string
	Comment string
	JSON    bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "close ID",
		Short: "Say that you looked at what was done in somebody's emergency",
		Long: `Say that you looked at what was done in somebody's emergency. It ends the
emergency if it still lasts. Nobody closes their own.`,
		Example: `  countersign break-glass close 01JD7Q3W6ZJ8Y2N4T5V6X7C8D9 -c "the new key is right"`,
		Args:    env.Args("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.ID = args[0]
			return run(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVarP(&o.Comment, "comment", "c", "", "what you found, as a `TEXT`")
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run closes.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	e, err := c.CloseGlass(ctx, o.ID, o.Comment)
	if err != nil {
		return err
	}
	if o.JSON {
		return table.JSON(o.Env.Streams.Out, e)
	}
	return table.Fields(o.Env.Streams, "id", e.ID, "by", e.By, "closed", e.Closed)
}
