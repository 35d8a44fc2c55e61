// Package delete is the command "countersign schema delete".
package delete

import (
	"context"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/table"
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
		Use:               "delete NAME",
		Short:             "Remove the schema of a secret, so that any value is taken",
		Example:           `  countersign schema delete myapp/database -r "it gets another form"`,
		Args:              env.Args("NAME"),
		ValidArgsFunction: e.SecretNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Name = args[0]
			return run(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVarP(&o.Reason, "reason", "r", "", "why, for the record: a `TEXT` without secrets")
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run removes it.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	w, err := c.DeleteSchema(ctx, o.Name, o.Reason)
	if err != nil {
		return err
	}
	switch {
	case o.JSON:
		return table.JSON(o.Env.Streams.Out, w)
	case w.Change == "":
		o.Env.Streams.Notef("%q has no schema", o.Name)
	default:
		o.Env.Told(w.Outcome(), "%q has no schema any more", o.Name)
	}
	return nil
}
