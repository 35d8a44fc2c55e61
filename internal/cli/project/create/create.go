// Package create is the command "countersign project create".
package create

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
	Env          *env.Env
	Name         string
	Environments []string
	Template     string
	Description  string
	JSON         bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Create a project with its environments",
		Long: `Create a project with its environments. The variables of each are kept as one
secret, a JSON object, whose name the template gives. Secrets of these names may
be there already.`,
		Example: `  countersign project create backend-api --env dev --env production
  countersign project create payments --env production --template "pay/{project}/{environment}"`,
		Args: env.Args("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Name = args[0]
			if len(o.Environments) == 0 {
				return exit.Usagef("--env is missing: name at least one environment")
			}
			return run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringSliceVarP(&o.Environments, "env", "e", nil, "an environment, by `NAME`; may be repeated")
	f.StringVar(&o.Template, "template", "", "the `TEMPLATE` of the secrets' names (default secret-review/{project}/{environment})")
	f.StringVar(&o.Description, "description", "", "what the project is, a `TEXT`")
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run creates.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	p, err := c.CreateProject(ctx, o.Name, o.Environments, o.Template, o.Description)
	if err != nil {
		return err
	}
	if o.JSON {
		return table.JSON(o.Env.Streams.Out, p)
	}
	o.Env.Told(client.Outcome(p.Result), "created project %q", o.Name)
	return nil
}
