// Package delete is the command "countersign policy delete".
package delete

import (
	"context"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
)

// Options of the command.
type Options struct {
	Env  *env.Env
	Name string
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	return &cobra.Command{
		Use:     "delete NAME",
		Short:   "Delete a policy that is attached to nothing",
		Example: `  countersign policy delete read-myapp`,
		Args:    env.Args("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Name = args[0]
			return run(cmd.Context(), o)
		},
	}
}

// Run deletes.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	out, err := c.DeletePolicy(ctx, o.Name)
	if err != nil {
		return err
	}
	o.Env.Told(out, "deleted policy %q", o.Name)
	return nil
}
