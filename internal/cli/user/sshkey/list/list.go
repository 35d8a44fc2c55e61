// Package list is the command "countersign user ssh-key list".
package list

import (
	"context"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/table"
	"countersign/internal/client"
)

// Options of the command.
type Options struct {
	Env  *env.Env
	Name string
	JSON bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "list NAME",
		Short: "List the SSH public keys of a user",
		Long: `List the SSH public keys of a user.

Columns when piped: fingerprint, type, label, created.`,
		Example: `  countersign user ssh-key list alice
  countersign user ssh-key list alice --json | jq -r '.[].key'`,
		Args: env.Args("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Name = args[0]
			return run(cmd.Context(), o)
		},
	}
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run lists.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	items, err := c.ListSSHKeys(ctx, o.Name)
	if err != nil {
		return err
	}
	return table.List(o.Env.Streams, o.JSON, items, []string{"FINGERPRINT", "TYPE", "LABEL", "CREATED"}, func(k client.SSHKey) []any {
		return []any{k.Fingerprint, k.Type, k.Label, k.Created}
	})
}
