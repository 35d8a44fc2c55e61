// Package set is the command "countersign schema set".
package set

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
	Env    *env.Env
	Name   string
	File   string // empty and "-": standard input
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
		Use:   "set NAME",
		Short: "Set the schema that the value of a secret has to fit",
		Long: `Set the JSON Schema (draft 2020-12) that the value of a secret has to fit, from
now on and through whichever protocol it is written. Text that is a JSON object
or array is judged as that, other text as a string.

It is refused when the current value does not fit it. So this takes the
permission to read the value, besides the one to set a schema.

A schema is shown to who may not see the value: it is no place for one. There
are no references but to its own $defs, and no keywords that are not checked.`,
		Example: `  countersign schema set myapp/database --file database.schema.json
  echo '{"type":"string","pattern":"^ghp_"}' | countersign schema set ci/token`,
		Args:              env.Args("NAME"),
		ValidArgsFunction: e.SecretNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Name = args[0]
			return run(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVarP(&o.File, "file", "f", "", "read the schema from a `FILE` (default standard input)")
	cmd.Flags().StringVarP(&o.Reason, "reason", "r", "", "why, for the record: a `TEXT` without secrets")
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run sets it.
func Run(ctx context.Context, o *Options) error {
	document, err := input.Document(o.Env.Streams, o.File)
	if err != nil {
		return err
	}
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	w, err := c.PutSchema(ctx, o.Name, client.SchemaRequest{Document: document, Reason: o.Reason})
	if err != nil {
		return err
	}
	switch {
	case o.JSON:
		return table.JSON(o.Env.Streams.Out, w)
	case w.Change == "":
		o.Env.Streams.Notef("%q has this schema already", o.Name)
	default:
		o.Env.Told(w.Outcome(), "the value of %q has to fit this schema now", o.Name)
	}
	return nil
}
