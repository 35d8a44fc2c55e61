// Package invite is the command "countersign user invite".
package invite

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/table"
	"countersign/internal/client"
)

// Options of the command.
type Options struct {
	Env   *env.Env
	Name  string
	Reset bool
	JSON  bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "invite NAME",
		Short: "Let a user set a password, once",
		Long: `Make an invitation by which a user sets a password, once, within 72 hours, and
print it. It is shown this once; give it to the user where nobody else reads it.
With --reset, the password that the user has and all sessions end at once.`,
		Example: `  countersign user invite alice
  countersign user invite alice --reset`,
		Args: env.Args("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Name = args[0]
			return run(cmd.Context(), o)
		},
	}
	cmd.Flags().BoolVar(&o.Reset, "reset", false, "end the password and the sessions that are there")
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run invites.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	inv, err := c.InviteUser(ctx, o.Name, o.Reset)
	if err != nil {
		return err
	}
	return Print(o.Env, inv, o.JSON)
}

// Print shows an invitation and what to do with it.
func Print(e *env.Env, inv client.Invitation, asJSON bool) error {
	if asJSON {
		return table.JSON(e.Streams.Out, map[string]any{"user": inv.User, "invitation": string(inv.Token.Reveal()), "expires": inv.Expires})
	}
	if _, err := fmt.Fprintf(e.Streams.Out, "%s\n", inv.Token.Reveal()); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	e.Streams.Notef("%q sets a password with: countersign login --user %s --invitation (until %s)", inv.User, inv.User, inv.Expires.Format("2006-01-02 15:04 MST"))
	return nil
}
