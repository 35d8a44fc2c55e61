// Package delete is the command "countersign protect delete".
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
	Env    *env.Env
	Name   string
	Reason string
	JSON   bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "delete NAME",
		Short: "Delete a protection rule",
		Long: `Delete a protection rule. While it protects something, that is itself a change
that waits for approval.`,
		Example: `  countersign protect delete quiet -r "Covered by production"`,
		Args:    env.Args("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Name = args[0]
			return run(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVarP(&o.Reason, "reason", "r", "", "why, for the record: a `TEXT` without secrets")
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run deletes.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	res, err := c.PutRules(ctx, client.RuleChange{Delete: o.Name, Reason: o.Reason})
	if err != nil {
		return err
	}
	if o.JSON {
		return table.JSON(o.Env.Streams.Out, res)
	}
	o.Env.Told(client.Outcome(res), "deleted %q", o.Name)
	return nil
}
