// Package cancel is the command "countersign rotation cancel".
package cancel

import (
	"context"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/table"
)

// Options of the command.
type Options struct {
	Env    *env.Env
	Name   string
	Reason string
	JSON   bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "cancel NAME",
		Short: "Stop the rotation of a secret",
		Long: `Turn the schedule of a secret off, and end a rotation under way: what it made is
taken back, where the target lets it be, and what is current stays so. The
settings stay; "countersign rotation set" turns the schedule on again.`,
		Example:           `  countersign rotation cancel myapp/database -r "the target moves this week"`,
		Args:              env.Args("NAME"),
		ValidArgsFunction: e.SecretNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Name = args[0]
			return run(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVarP(&o.Reason, "reason", "r", "", "why, for the record: a `TEXT` without secrets")
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run cancels.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	w, err := c.CancelRotation(ctx, o.Name, o.Reason)
	if err != nil {
		return err
	}
	switch {
	case o.JSON:
		return table.JSON(o.Env.Streams.Out, w)
	case w.Change == "":
		o.Env.Streams.Notef("%q is not rotated", o.Name)
	default:
		o.Env.Told(w.Outcome(), "%q is rotated no more", o.Name)
	}
	return nil
}
