// Package tag is the command "countersign tag".
package tag

import (
	"context"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/input"
)

// Options of the command.
type Options struct {
	Env  *env.Env
	Name string
	Tags map[string]string
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	return &cobra.Command{
		Use:               "tag NAME KEY=VALUE...",
		Short:             "Set tags on a secret",
		Long:              "Set tags on a secret. A key that it has gets the new value; its other tags stay.\nTags are not secret: everybody who may describe the secret sees them.",
		Example:           `  countersign tag myapp/database team=shop stage=prod`,
		Args:              env.AtLeast("NAME", "KEY=VALUE"),
		ValidArgsFunction: e.SecretNames,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			o.Name = args[0]
			if o.Tags, err = input.Pairs("tag", args[1:]); err != nil {
				return err
			}
			return run(cmd.Context(), o)
		},
	}
}

// Run sets the tags.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	w, err := c.Tag(ctx, o.Name, o.Tags, "")
	o.Env.Waits(w.Outcome())
	return err
}
