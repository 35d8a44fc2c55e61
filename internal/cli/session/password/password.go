// Package password is the command "countersign password".
package password

import (
	"context"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/session/answers"
)

// Options of the command.
type Options struct{ Env *env.Env }

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	return &cobra.Command{
		Use:   "password",
		Short: "Change your password, which ends your other sessions",
		Long: `Change your password, which ends your other sessions. The old one and the new
one are asked for without echo; piped in, they are the first and second line.`,
		Example: `  countersign password`,
		Args:    env.Args(),
		RunE:    func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), o) },
	}
}

// Run changes it.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	from := answers.From(o.Env.Streams)
	old, err := from.Ask(ctx, "old password")
	if err != nil {
		return err
	}
	fresh, err := from.Choose(ctx, "new password")
	if err != nil {
		return err
	}
	if err := c.ChangePassword(ctx, old, fresh); err != nil {
		return err
	}
	o.Env.Streams.Notef("changed the password; your other sessions are ended")
	return nil
}
