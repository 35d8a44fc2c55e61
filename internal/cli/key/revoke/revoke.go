// Package revoke is the command "countersign key revoke".
package revoke

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
	"countersign/internal/client"
)

// Options of the command.
type Options struct {
	Env   *env.Env
	ID    string
	Owner string // found when empty
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "revoke ID",
		Short: "End an access key at once",
		Long: `End an access key at once: the next request with it is refused. Without --owner
the owner is looked up, which needs the permission to list all keys.`,
		Example: `  countersign key revoke AKIAIOSFODNN7EXAMPLE --owner deploy
  countersign key revoke AKIAIOSFODNN7EXAMPLE`,
		Args: env.Args("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.ID = args[0]
			return run(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVar(&o.Owner, "owner", "", "whose key it is, by `NAME`")
	return cmd
}

// Run ends the key.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	owner := o.Owner
	if owner == "" {
		if owner, err = o.find(ctx, c); err != nil {
			return err
		}
	}
	out, err := c.RevokeKey(ctx, owner, o.ID)
	if err != nil {
		return err
	}
	o.Env.Told(out, "revoked %s of %s", o.ID, owner)
	return nil
}

func (o *Options) find(ctx context.Context, c *client.Client) (string, error) {
	items, err := c.ListKeys(ctx, "")
	if err != nil {
		return "", err
	}
	for _, k := range items {
		if k.ID == o.ID {
			return k.Owner, nil
		}
	}
	return "", exit.With(exit.NotFound, fmt.Errorf("no access key has the id %q", o.ID))
}
