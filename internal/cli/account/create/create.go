// Package create is the command "countersign account create".
package create

import (
	"context"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/key/show"
)

// Options of the command.
type Options struct {
	Env    *env.Env
	ID     string
	Name   string
	Format show.Format
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "create ID",
		Short: "Make an account, and its administrator's first access key",
		Long: `Make an account, a tenant whose users and secrets no other account sees. ID is
twelve digits. Its administrator's first access key is printed, this once.`,
		Example: `  countersign account create 111122223333 --name staging
  countersign account create 111122223333 --json > staging-key.json`,
		Args: env.Args("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.ID = args[0]
			if err := o.Format.Check(); err != nil {
				return err
			}
			return run(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVar(&o.Name, "name", "", "what people call it, a `TEXT`")
	cmd.Flags().BoolVar(&o.Format.Env, "env", false, "print lines for a shell to evaluate")
	env.JSON(cmd, &o.Format.JSON)
	return cmd
}

// Run makes the account.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	k, err := c.CreateAccount(ctx, o.ID, o.Name)
	if err != nil {
		return err
	}
	return show.Key(o.Env.Streams, k, o.Format)
}
