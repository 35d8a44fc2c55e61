// Package disable is the command "countersign audit device disable".
package disable

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
		Use:     "disable NAME",
		Short:   "End an audit device; what it wrote stays",
		Example: `  countersign audit device disable file`,
		Args:    env.Args("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Name = args[0]
			return run(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVarP(&o.Reason, "reason", "r", "", "`WHY`, for the record")
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run disables.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	r, err := c.DisableAuditDevice(ctx, o.Name, o.Reason)
	if err != nil {
		return err
	}
	if o.JSON {
		return table.JSON(o.Env.Streams.Out, r)
	}
	o.Env.Told(client.Outcome(r), "disabled audit device %q", o.Name)
	return nil
}
