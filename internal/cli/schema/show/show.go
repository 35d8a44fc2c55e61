// Package show is the command "countersign schema show".
package show

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
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
		Use:   "show NAME",
		Short: "Print the schema that the value of a secret has to fit",
		Long: `Print the schema that the value of a secret has to fit, with --json as a string
beside the names of the secret. Ends with exit code 3 when there is none.`,
		Example:           `  countersign schema show myapp/database`,
		Args:              env.Args("NAME"),
		ValidArgsFunction: e.SecretNames,
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
	s, err := c.GetSchema(ctx, o.Name)
	if err != nil {
		return err
	}
	if s.Document == "" {
		return exit.With(exit.NotFound, errors.New("the secret has no schema"))
	}
	if o.JSON {
		return table.JSON(o.Env.Streams.Out, s)
	}
	var b bytes.Buffer
	if err := json.Indent(&b, []byte(s.Document), "", "  "); err != nil {
		return fmt.Errorf("reading the schema: %w", err)
	}
	_, err = fmt.Fprintln(o.Env.Streams.Out, b.String())
	return err
}
