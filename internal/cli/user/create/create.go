// Package create is the command "countersign user create".
package create

import (
	"context"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/input"
	"countersign/internal/cli/table"
	"countersign/internal/client"
)

// Options of the command.
type Options struct {
	Env     *env.Env
	Name    string
	Machine bool
	Person  string
	Tags    map[string]string
	JSON    bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	var tags []string
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make a user or machine, without any permission",
		Long: `Make a user or machine, without any permission. Policies that are attached to it
or to its groups give permissions, and an access key lets it prove who it is.

--person says which human is behind it, in the same words for each of their
identities: a review counts one vote of a person, and none on a change that the
same person made through whichever identity.`,
		Example: `  countersign user create alice --tag team=shop
  countersign user create deploy --machine --person alice@example.com`,
		Args: env.Args("NAME"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			o.Name = args[0]
			if o.Tags, err = input.Pairs("--tag", tags); err != nil {
				return err
			}
			return run(cmd.Context(), o)
		},
	}
	cmd.Flags().BoolVar(&o.Machine, "machine", false, "it is a machine, not a person")
	cmd.Flags().StringVar(&o.Person, "person", "", "the human behind it, as a mail `ADDRESS`")
	cmd.Flags().StringArrayVar(&tags, "tag", nil, "set a tag, `KEY=VALUE`, to which policies can refer")
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run makes the user.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	u, err := c.CreateUser(ctx, client.CreateUserRequest{Name: o.Name, Machine: o.Machine, Person: o.Person, Tags: o.Tags})
	if err != nil {
		return err
	}
	if o.JSON {
		o.Env.Waits(u.Outcome())
		return table.JSON(o.Env.Streams.Out, u)
	}
	o.Env.Told(u.Outcome(), "created %s %q", u.Kind, u.Name)
	return nil
}
