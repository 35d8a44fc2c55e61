// Package logout is the command "countersign logout".
package logout

import (
	"context"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/session/held"
	"countersign/internal/cli/settings"
	"countersign/internal/client"
	"countersign/internal/errs"
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
		Use:   "logout",
		Short: "End the session that login made, at once",
		Long: `End the session that login made, at once, and forget it here. Where the server
cannot be reached the session is forgotten here all the same, with exit code 6.`,
		Example: `  countersign logout`,
		Args:    env.Args(),
		RunE:    func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), o) },
	}
}

// Run signs out.
func Run(ctx context.Context, o *Options) error {
	in, err := o.Env.SignIn()
	if err != nil {
		return err
	}
	s := in.Global.Session
	if s == nil || s.Address != in.Client.Address() {
		o.Env.Streams.Notef("you are not signed in to %s", in.Client.Address())
		return nil
	}
	told := in.Client.As(held.New(in.Store, *s, in.Client, o.Env.Time)).Logout(ctx)
	if client.KindOf(told) == errs.Unauthenticated {
		told = nil // it is over already
	}
	if err := in.Store.Update(ctx, func(g *settings.Global) error { g.Session = nil; return nil }); err != nil {
		return err
	}
	if told == nil {
		o.Env.Streams.Notef("signed out of %s", in.Client.Address())
	}
	return told
}
