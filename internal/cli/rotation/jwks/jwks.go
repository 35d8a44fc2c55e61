// Package jwks is the command "countersign rotation jwks".
package jwks

import (
	"context"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/table"
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
		Use:   "jwks NAME",
		Short: "Print the public keys of a signing key that rotates",
		Long: `Print the public keys of a secret that the rotator jwt rotates, as a JWK set:
the current one and those before that are still accepted. It takes the
permission to describe the secret, and none to read it.`,
		Example:           `  countersign rotation jwks auth/token-key > jwks.json`,
		Args:              env.Args("NAME"),
		ValidArgsFunction: e.SecretNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Name = args[0]
			return run(cmd.Context(), o)
		},
	}
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run prints them, as JSON in any case.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	set, err := c.PublicKeys(ctx, o.Name)
	if err != nil {
		return err
	}
	return table.JSON(o.Env.Streams.Out, set)
}
