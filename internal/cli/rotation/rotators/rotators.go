// Package rotators is the command "countersign rotation rotators".
package rotators

import (
	"context"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/table"
)

// Options of the command.
type Options struct {
	Env  *env.Env
	JSON bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "rotators",
		Short: "List what secrets can be rotated with, and its options",
		Long: `List what this server can rotate secrets with, and the options that each takes.

Columns when piped: rotator, option (empty: the rotator itself), kind of option
(required, secret), help.`,
		Example: `  countersign rotation rotators`,
		Args:    env.Args(),
		RunE:    func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), o) },
	}
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run lists.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	all, err := c.Rotators(ctx)
	if err != nil {
		return err
	}
	if o.JSON {
		return table.JSON(o.Env.Streams.Out, all)
	}
	t := table.New(o.Env.Streams, "ROTATOR", "OPTION", "KIND", "HELP")
	for _, r := range all {
		t.Row(r.Name, "", "", r.Help)
		for _, p := range r.Options {
			var kind []string
			if p.Required {
				kind = append(kind, "required")
			}
			if p.Secret {
				kind = append(kind, "names a secret")
			}
			t.Row(r.Name, p.Name, kind, p.Help)
		}
	}
	return t.Flush()
}
