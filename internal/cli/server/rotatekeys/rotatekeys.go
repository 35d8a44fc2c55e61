// Package rotatekeys is the command "countersign rotate-keys".
package rotatekeys

import (
	"context"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/table"
	"countersign/internal/client"
)

// Options of the command.
type Options struct {
	Env    *env.Env
	Status bool
	JSON   bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "rotate-keys",
		Short: "Make new encryption keys and re-encrypt what is stored",
		Long: `Make new encryption keys, and re-encrypt what is stored under them while the
server goes on answering. The command returns at once; --status shows how far it
is, and at the end that nothing is left under the old keys. Values and access
keys stay as they are.`,
		Example: `  countersign rotate-keys
  countersign rotate-keys --status`,
		Args: env.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), o) },
	}
	cmd.Flags().BoolVar(&o.Status, "status", false, "show how far it is, and change nothing")
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run rotates, or shows.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	ask := (*client.Client).RotateKeys
	if o.Status {
		ask = (*client.Client).Keyring
	}
	d, err := ask(c, ctx)
	if err != nil {
		return err
	}
	if o.JSON {
		return table.JSON(o.Env.Streams.Out, d)
	}
	return table.Document(o.Env.Streams, d)
}
