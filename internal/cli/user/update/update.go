// Package update is the command "countersign user update".
package update

import (
	"context"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
	"countersign/internal/cli/input"
	"countersign/internal/cli/table"
	"countersign/internal/client"
)

// Options of the command.
type Options struct {
	Env  *env.Env
	Name string
	client.UserUpdate
	JSON bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	var disable, enable bool
	var person string
	var tags []string
	cmd := &cobra.Command{
		Use:   "update NAME",
		Short: "Disable or enable a user, change its tags, or say who is behind it",
		Long: `Disable or enable a user or machine, change its tags, or say which human is
behind it. While it is disabled each of its requests is refused, with every key;
its keys and policies stay.`,
		Example: `  countersign user update alice --disable
  countersign user update alice --tag team=payments --untag trial
  countersign user update deploy --person alice@example.com`,
		Args: env.Args("NAME"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			o.Name = args[0]
			if o.Tags, err = input.Pairs("--tag", tags); err != nil {
				return err
			}
			if cmd.Flags().Changed("person") {
				o.Person = &person
			}
			switch {
			case disable && enable:
				return exit.Usagef("--disable excludes --enable")
			case disable || enable:
				o.Disabled = &disable
			case len(o.Tags)+len(o.Untag) == 0 && o.Person == nil:
				return exit.Usagef("nothing to change; give --disable, --enable, --tag, --untag or --person")
			}
			return run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&disable, "disable", false, "refuse each of its requests from now on")
	f.BoolVar(&enable, "enable", false, "take --disable back")
	f.StringArrayVar(&tags, "tag", nil, "set a tag, `KEY=VALUE`")
	f.StringArrayVar(&o.Untag, "untag", nil, "remove the tag with this `KEY`")
	f.StringVar(&person, "person", "", "the human behind it, as a mail `ADDRESS`; \"\" when nobody is known to be")
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run changes the user.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	u, err := c.UpdateUser(ctx, o.Name, o.UserUpdate)
	if err != nil {
		return err
	}
	if o.JSON {
		o.Env.Waits(u.Outcome())
		return table.JSON(o.Env.Streams.Out, u)
	}
	o.Env.Told(u.Outcome(), "changed %q", o.Name)
	return nil
}
