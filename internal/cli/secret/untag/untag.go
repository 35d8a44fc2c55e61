// Package untag is the command "countersign untag".
package untag

import (
	"context"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
)

// Options of the command.
type Options struct {
	Env  *env.Env
	Name string
	Keys []string
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	return &cobra.Command{
		Use:               "untag NAME KEY...",
		Short:             "Remove tags from a secret",
		Example:           `  countersign untag myapp/database team stage`,
		Args:              env.AtLeast("NAME", "KEY"),
		ValidArgsFunction: e.SecretNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Name, o.Keys = args[0], args[1:]
			return run(cmd.Context(), o)
		},
	}
}

// Run removes the tags.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	w, err := c.Untag(ctx, o.Name, o.Keys)
	o.Env.Waits(w.Outcome())
	return err
}
