// Package revoke is the command "countersign session revoke".
package revoke

import (
	"context"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
)

// Options of the command.
type Options struct {
	Env      *env.Env
	ID, User string
	All      bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "revoke [ID]",
		Short: "End sessions at once",
		Long: `End a session at once, or with --all every one but that in which you ask. The
sessions are your own, or with --user another user's.`,
		Example: `  countersign session revoke --all
  countersign session revoke --user alice --all`,
		Args: env.AtMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				o.ID = args[0]
			}
			if o.All == (o.ID != "") {
				return exit.Usagef("name one session, or give --all")
			}
			return run(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVar(&o.User, "user", "", "of another user, by `NAME`")
	cmd.Flags().BoolVar(&o.All, "all", false, "all but the one in which you ask")
	return cmd
}

// Run ends sessions.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	if err := c.RevokeSessions(ctx, o.User, o.ID); err != nil {
		return err
	}
	if o.All {
		o.Env.Streams.Notef("ended the other sessions")
	} else {
		o.Env.Streams.Notef("ended session %q", o.ID)
	}
	return nil
}
