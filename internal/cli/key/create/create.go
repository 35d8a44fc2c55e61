// Package create is the command "countersign key create".
package create

import (
	"context"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
	"countersign/internal/cli/key/show"
	"countersign/internal/cli/when"
	"countersign/internal/client"
)

// Options of the command.
type Options struct {
	Env *env.Env
	client.CreateKeyRequest
	Format show.Format
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	var expires string
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Make an access key for a user or machine",
		Long: `Make an access key for a user or machine, and print its id, its secret and the
same key as a bearer token. They are shown this once: the server never tells a
secret again. A policy that is given narrows the key: what it is used for must
be allowed by the owner's policies and by these.`,
		Example: `  countersign key create --owner deploy --expires 30d
  countersign key create --owner deploy --policy read-myapp --json
  eval "$(countersign key create --owner alice --expires 12h --env)"`,
		Args: env.Args(),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if o.Owner == "" {
				return exit.Usagef("--owner is missing: name the user or machine that the key is for")
			}
			if expires != "" {
				if o.Expires, err = when.Future(expires, e.Time()); err != nil {
					return exit.Usagef("--expires: %w", err)
				}
				if !o.Expires.After(e.Time()) {
					return exit.Usagef("--expires: %q is in the past", expires)
				}
			}
			if err := o.Format.Check(); err != nil {
				return err
			}
			return run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Owner, "owner", "", "the user or machine, by `NAME`")
	f.StringVar(&expires, "expires", "", "when it ends: after a time such as 30d, or at a `TIME` (default never)")
	f.StringArrayVar(&o.Policies, "policy", nil, "narrow the key by this policy, by `NAME`")
	f.StringVar(&o.Description, "description", "", "what the key is for, a `TEXT`")
	f.BoolVar(&o.Format.Env, "env", false, "print lines for a shell to evaluate")
	env.JSON(cmd, &o.Format.JSON)
	return cmd
}

// Run makes the key and prints it.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	k, err := c.CreateKey(ctx, o.CreateKeyRequest)
	if err != nil {
		return err
	}
	return show.Key(o.Env.Streams, k, o.Format)
}
