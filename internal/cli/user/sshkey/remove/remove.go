// Package remove is the command "countersign user ssh-key remove".
package remove

import (
	"context"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
)

// Options of the command.
type Options struct {
	Env         *env.Env
	Name        string
	Fingerprint string
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	return &cobra.Command{
		Use:   "remove NAME FINGERPRINT",
		Short: "Remove an SSH public key of a user",
		Long: `Remove an SSH public key of a user, by the fingerprint that "list" and
"ssh-keygen -l" show. It signs no further approvals; what it signed can still be
proved.`,
		Example: `  countersign user ssh-key remove alice SHA256:uQ7zjXyYz3l4C2hGxLp0dAq3rT9mVw8sB1nKeJ5fOiU`,
		Args:    env.Args("NAME", "FINGERPRINT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Name, o.Fingerprint = args[0], args[1]
			return run(cmd.Context(), o)
		},
	}
}

// Run removes the key.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	out, err := c.RemoveSSHKey(ctx, o.Name, o.Fingerprint)
	if err != nil {
		return err
	}
	o.Env.Told(out, "removed %s of %q", o.Fingerprint, o.Name)
	return nil
}
