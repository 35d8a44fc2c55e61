// Package fsck is the command "countersign fsck".
package fsck

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
	"countersign/internal/cli/table"
)

// Options of the command.
type Options struct {
	Env   *env.Env
	Store env.StoreOptions
	JSON  bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "fsck",
		Short: "Check a store while no server runs on it",
		Long: `Check a store while no server runs on it: that the file is sound, that each
record opens under its key, and that records agree with each other. Nothing is
changed, and no value is printed. The exit code is 7 when something is wrong.`,
		Example: `  countersign fsck --config countersign.yaml
  countersign fsck --dir .countersign`,
		Args: env.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if (o.Store.ConfigFile == "") == (o.Store.Dir == "") {
				return exit.Usagef("give either --config FILE or --dir DIR, which say where the store is")
			}
			return run(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVar(&o.Store.ConfigFile, "config", "", "the configuration `FILE` of the server")
	cmd.Flags().StringVar(&o.Store.Dir, "dir", "", "the folder `DIR` of a development server")
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run checks.
func Run(ctx context.Context, o *Options) error {
	if o.Env.Server.Fsck == nil {
		return env.ErrNoServer
	}
	r, err := o.Env.Server.Fsck(ctx, o.Store)
	if err != nil {
		return err
	}
	s := o.Env.Streams
	if o.JSON {
		err = table.JSON(s.Out, r)
	} else {
		pairs := []any{"revision", r.Revision, "records", r.Pairs}
		for _, p := range r.Problems {
			pairs = append(pairs, "problem", table.Alarm(p))
		}
		err = table.Fields(s, pairs...)
	}
	switch {
	case err != nil:
		return err
	case len(r.Problems) > 0:
		return exit.With(exit.Damaged, fmt.Errorf("the store is damaged: %d problems; restore the newest good backup", len(r.Problems)))
	}
	s.Notef("the store is sound")
	return nil
}
