// Package reject is the command "countersign reject".
package reject

import (
	"context"

	"github.com/spf13/cobra"

	"countersign/internal/cli/change/decide"
	"countersign/internal/cli/change/which"
	"countersign/internal/cli/env"
)

// Options of the command.
type Options struct {
	Env *env.Env
	which.Change
	Comment string
	Yes     bool
	JSON    bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "reject",
		Short: "Reject a change, which ends it",
		Long: `Reject a change, which ends it. Who could approve it can reject it; its author
withdraws it instead.`,
		Example: `  countersign reject --latest -c "Wrong values"
  countersign reject --id 01KB2Y6V8M -c "Wrong values" -y`,
		Args: env.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.Check(); err != nil {
				return err
			}
			return run(cmd.Context(), o)
		},
	}
	o.Change.Add(e, cmd, "the newest change of the environment, or of the project, that waits")
	cmd.Flags().StringVarP(&o.Comment, "comment", "c", "", "why: a `TEXT` without secrets, which the author sees")
	cmd.Flags().BoolVarP(&o.Yes, "yes", "y", false, "do not ask")
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run rejects.
func Run(ctx context.Context, o *Options) error {
	if err := decide.Able(o.Env, o.Yes); err != nil {
		return err
	}
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	id, err := o.Waiting(ctx, o.Env, c)
	if err != nil {
		return err
	}
	r, err := c.GetChange(ctx, id)
	if err != nil {
		return err
	}
	p := decide.Printer(ctx, o.Env, c, o.JSON)
	if err := p.Header(r); err != nil {
		return err
	}
	p.Keys(r)
	if err := decide.Ask(ctx, o.Env, o.Yes, "Reject this change?"); err != nil {
		return err
	}
	d, err := c.Reject(ctx, r.ID, o.Comment)
	if err != nil {
		return err
	}
	return decide.Say(o.Env, o.JSON, d, "Change %s rejected", r.Short)
}
