// Package update is the command "countersign project update".
package update

import (
	"context"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
	"countersign/internal/cli/table"
	"countersign/internal/client"
)

// Options of the command.
type Options struct {
	Env         *env.Env
	Name        string
	Add, Remove []string
	JSON        bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:     "update NAME",
		Short:   "Add environments to a project, or remove them; their secrets stay",
		Example: `  countersign project update backend-api --add-env staging --remove-env qa`,
		Args:    env.Args("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Name = args[0]
			if len(o.Add)+len(o.Remove) == 0 {
				return exit.Usagef("nothing to change; give --add-env or --remove-env")
			}
			return run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&o.Add, "add-env", nil, "add an environment, by `NAME`; may be repeated")
	f.StringSliceVar(&o.Remove, "remove-env", nil, "remove an environment, by `NAME`; its secret stays")
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run changes it.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	p, err := c.UpdateProject(ctx, o.Name, o.Add, o.Remove)
	if err != nil {
		return err
	}
	if o.JSON {
		return table.JSON(o.Env.Streams.Out, p)
	}
	o.Env.Told(client.Outcome(p.Result), "changed project %q", o.Name)
	return nil
}
