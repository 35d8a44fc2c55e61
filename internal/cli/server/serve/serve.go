// Package serve is the command "countersign server".
package serve

import (
	"context"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
)

// Options of the command.
type Options struct {
	Env    *env.Env
	Config string
	Check  bool
}

// NewCmd makes the command; run stands in for Run in tests. sub are its
// subcommands.
func NewCmd(e *env.Env, run func(context.Context, *Options) error, sub ...*cobra.Command) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "server",
		Short: "Run the server of a configuration file",
		Long: `Run the server of a configuration file until SIGTERM or SIGINT, and then let
requests under way finish. The store must have been made with "countersign
server init". A setting that is unknown or wrong is refused by its name.`,
		Example: `  countersign server --config countersign.yaml
  countersign server --config countersign.yaml --check`,
		Args: env.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Config == "" {
				return exit.Usagef("--config is missing: name the configuration file; to try things out: countersign dev")
			}
			return run(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVar(&o.Config, "config", "", "the configuration `FILE`")
	cmd.Flags().BoolVar(&o.Check, "check", false, "check the configuration and start nothing")
	cmd.AddCommand(sub...)
	return cmd
}

// Run serves.
func Run(ctx context.Context, o *Options) error {
	if o.Check {
		if o.Env.Server.Check == nil {
			return env.ErrNoServer
		}
		if err := o.Env.Server.Check(o.Config); err != nil {
			return exit.With(exit.Usage, err)
		}
		o.Env.Streams.Notef("%s is valid", o.Config)
		return nil
	}
	if o.Env.Server.Serve == nil {
		return env.ErrNoServer
	}
	return o.Env.Server.Serve(ctx, o.Config, o.Env.Streams.Err)
}
