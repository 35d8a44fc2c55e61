// Package recovery is the command "countersign server recover".
package recovery

import (
	"context"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
	"countersign/internal/cli/key/show"
	"countersign/internal/cli/user/invite"
)

// Options of the command.
type Options struct {
	Env *env.Env
	env.RecoverOptions
	Format show.Format
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "recover",
		Short: "Let an administrator in again when nobody can sign in",
		Long: `Let an administrator in again when nobody can sign in. The server must be
stopped; what its seal needs must be there. A user who is disabled
is enabled, and gets an invitation to set a new password: the old one, the
authenticator and the sessions end. With --key the user gets an access key
instead, and the password stays. With --admin the user is made when absent, and
may do everything. With --drop-rules every protection rule of the account goes,
for when nobody is left who could approve a change of them. All of it is in the
audit log.`,
		Example: `  countersign server recover --config countersign.yaml --user admin
  countersign server recover --config countersign.yaml --user admin --key --admin`,
		Args: env.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case o.ConfigFile == "":
				return exit.Usagef("--config is missing: name the configuration file")
			case o.User == "":
				return exit.Usagef("--user is missing: name whom to let in")
			}
			if err := o.Format.Check(); err != nil {
				return err
			}
			return run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.ConfigFile, "config", "", "the configuration `FILE`")
	f.StringVar(&o.User, "user", "", "let in a user of the server's first account, by `NAME`")
	f.BoolVar(&o.Key, "key", false, "make an access key instead of an invitation")
	f.BoolVar(&o.Admin, "admin", false, "make the user when absent, and let it do everything")
	f.BoolVar(&o.DropRules, "drop-rules", false, "remove every protection rule")
	env.JSON(cmd, &o.Format.JSON)
	return cmd
}

// Run recovers.
func Run(ctx context.Context, o *Options) error {
	if o.Env.Server.Recover == nil {
		return env.ErrNoServer
	}
	r, err := o.Env.Server.Recover(ctx, o.RecoverOptions, o.Env.Streams.Err)
	if err != nil {
		return err
	}
	if o.Key {
		return show.Key(o.Env.Streams, r.Key, o.Format)
	}
	return invite.Print(o.Env, r.Invitation, o.Format.JSON)
}
