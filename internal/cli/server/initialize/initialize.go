// Package initialize is the command "countersign server init".
package initialize

import (
	"context"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
	"countersign/internal/cli/key/show"
)

// Options of the command.
type Options struct {
	Env    *env.Env
	Config string
	Format show.Format
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make the store of a configuration file, once",
		Long: `Make the store of a configuration file, once: its folder, its keys, its home
account, and an administrator, whose access key is printed this once. A store
that exists is left as it is, with exit code 5.`,
		Example: `  countersign server init --config countersign.yaml
  eval "$(countersign server init --config countersign.yaml --env)"`,
		Args: env.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Config == "" {
				return exit.Usagef("--config is missing: name the configuration file")
			}
			if err := o.Format.Check(); err != nil {
				return err
			}
			return run(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVar(&o.Config, "config", "", "the configuration `FILE`")
	cmd.Flags().BoolVar(&o.Format.Env, "env", false, "print lines for a shell to evaluate")
	env.JSON(cmd, &o.Format.JSON)
	return cmd
}

// Run makes the store and prints the key.
func Run(ctx context.Context, o *Options) error {
	if o.Env.Server.Init == nil {
		return env.ErrNoServer
	}
	r, err := o.Env.Server.Init(ctx, o.Config, o.Env.Streams.Err)
	if err != nil {
		return err
	}
	o.Env.Streams.Notef("made the store, with account %s and its administrator %q", r.Account, r.Key.Owner)
	return show.Key(o.Env.Streams, r.Key, o.Format)
}
