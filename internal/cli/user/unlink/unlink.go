// Package unlink is the command "countersign user unlink".
package unlink

import (
	"context"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
)

// Options of the command.
type Options struct {
	Env  *env.Env
	Name string
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	return &cobra.Command{
		Use:     "unlink NAME",
		Short:   "Unlink a user's identity, and end the sessions that it began",
		Example: `  countersign user unlink alice`,
		Args:    env.Args("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Name = args[0]
			return run(cmd.Context(), o)
		},
	}
}

// Run unlinks.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	if err := c.UnlinkUser(ctx, o.Name); err != nil {
		return err
	}
	o.Env.Streams.Notef("unlinked %q", o.Name)
	return nil
}
