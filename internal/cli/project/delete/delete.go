// Package delete is the command "countersign project delete".
package delete

import (
	"context"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/table"
	"countersign/internal/client"
)

// Options of the command.
type Options struct {
	Env  *env.Env
	Name string
	JSON bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:     "delete NAME",
		Short:   "Delete a project; the secrets of its environments stay",
		Example: `  countersign project delete backend-api`,
		Args:    env.Args("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Name = args[0]
			return run(cmd.Context(), o)
		},
	}
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run deletes.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	r, err := c.DeleteProject(ctx, o.Name)
	if err != nil {
		return err
	}
	if o.JSON {
		return table.JSON(o.Env.Streams.Out, r)
	}
	o.Env.Told(client.Outcome(r), "deleted project %q", o.Name)
	return nil
}
