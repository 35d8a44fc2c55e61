// Package get is the command "countersign policy get".
package get

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/table"
)

// Options of the command.
type Options struct {
	Env  *env.Env
	Name string
	JSON bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "get NAME",
		Short: "Print the document of a policy",
		Long:  "Print the document of a policy as it was put; with --json what is known of the\npolicy too, with the document as a string.",
		Example: `  countersign policy get read-myapp
  countersign policy get SecretsReadOnly --json`,
		Args: env.Args("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Name = args[0]
			return run(cmd.Context(), o)
		},
	}
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run prints.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	p, err := c.GetPolicy(ctx, o.Name)
	if err != nil {
		return err
	}
	if o.JSON {
		return table.JSON(o.Env.Streams.Out, p)
	}
	_, err = fmt.Fprintln(o.Env.Streams.Out, strings.TrimRight(p.Document, "\n"))
	return err
}
