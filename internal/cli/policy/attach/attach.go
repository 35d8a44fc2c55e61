// Package attach is the command "countersign policy attach".
package attach

import (
	"context"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
	"countersign/internal/client"
)

// Options of the command.
type Options struct {
	Env    *env.Env
	Policy string
	Holder client.Holder
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "attach POLICY",
		Short: "Give a user or a group the permissions of a policy",
		Example: `  countersign policy attach read-myapp --user deploy
  countersign policy attach read-myapp --group developers`,
		Args: env.Args("POLICY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Policy = args[0]
			if (o.Holder.User == "") == (o.Holder.Group == "") {
				return exit.Usagef("give either --user or --group")
			}
			return run(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVar(&o.Holder.User, "user", "", "a user or machine, by `NAME`")
	cmd.Flags().StringVar(&o.Holder.Group, "group", "", "a group, by `NAME`")
	return cmd
}

// Run attaches the policy.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	out, err := c.AttachPolicy(ctx, o.Policy, o.Holder)
	if err != nil {
		return err
	}
	o.Env.Told(out, "attached %q to %q", o.Policy, o.Holder.User+o.Holder.Group)
	return nil
}
