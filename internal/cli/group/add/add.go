// Package add is the command "countersign group add".
package add

import (
	"context"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
)

// Options of the command.
type Options struct {
	Env   *env.Env
	Group string
	Users []string
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	return &cobra.Command{
		Use:     "add GROUP USER...",
		Short:   "Add users and machines to a group",
		Example: `  countersign group add developers alice bob`,
		Args:    env.AtLeast("GROUP", "USER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Group, o.Users = args[0], args[1:]
			return run(cmd.Context(), o)
		},
	}
}

// Run adds the users, one after the other; it stops at the first that is refused.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	for _, user := range o.Users {
		out, err := c.AddMember(ctx, o.Group, user)
		if err != nil {
			return err
		}
		o.Env.Told(out, "added %q to %q", user, o.Group)
	}
	return nil
}
