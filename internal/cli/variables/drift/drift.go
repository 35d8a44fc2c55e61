// Package drift is the command "countersign drift".
package drift

import (
	"context"

	"github.com/spf13/cobra"

	"countersign/internal/cli/change/which"
	"countersign/internal/cli/env"
	"countersign/internal/cli/settings"
	"countersign/internal/cli/variables/kept"
	"countersign/internal/dotenv"
)

// Options of the command.
type Options struct {
	Env *env.Env
	which.Flags
	File string
	JSON bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "drift",
		Short: "Compare a .env file with its environment, without showing values",
		Long: `Compare a .env file with its environment, without showing values: which keys
only the environment has (-), only the file (+), and which differ (~). The exit
code is 0 when they hold the same, and 8 when not.

Columns when piped: sign, key.`,
		Example: `  countersign drift
  countersign drift -f deploy/production.env -e production`,
		Args: env.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), o) },
	}
	o.Flags.Add(e, cmd)
	cmd.Flags().StringVarP(&o.File, "file", "f", "", "the `FILE` (default that of the project, .env)")
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run compares.
func Run(ctx context.Context, o *Options) error {
	r, err := o.Env.Settings(settings.Flags{File: o.File})
	if err != nil {
		return err
	}
	file, err := dotenv.ReadFile(r.File.Value)
	if err != nil {
		return err
	}
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	place, err := o.Find(ctx, o.Env, c, "")
	if err != nil {
		return err
	}
	pairs, err := kept.ReadAny(ctx, c, place)
	if err != nil {
		return err
	}
	return kept.Compare(place.String(), r.File.Value, pairs, file.Pairs()).Print(o.Env.Streams, o.JSON)
}
