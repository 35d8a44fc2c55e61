// Package check is the command "countersign schema check".
package check

import (
	"cmp"
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
	"countersign/internal/cli/input"
	"countersign/internal/cli/table"
	"countersign/internal/client"
)

// Options of the command.
type Options struct {
	Env    *env.Env
	Name   string
	Source input.Source
	JSON   bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "check NAME",
		Short: "Tell whether a value would fit the schema of a secret",
		Long: `Tell whether a value would fit the schema of a secret, and store nothing. The
secret is not read: this takes the permission to see its schema.

The value is read as "countersign put" does: from standard input when that is
piped, from --file, or asked for on the terminal without echo; --trim drops one
line end at the end.

Prints where which rule is broken, and ends with exit code 8 when one is.`,
		Example: `  countersign schema check myapp/database --file database.json
  printf %s "$TOKEN" | countersign schema check ci/token`,
		Args:              env.Args("NAME"),
		ValidArgsFunction: e.SecretNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Name = args[0]
			return run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.Source.File, "file", "f", "", "read the value from a `FILE`; - is standard input")
	f.BoolVar(&o.Source.Trim, "trim", false, "drop one line end at the end of the value")
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run checks.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	o.Source.What, o.Source.Once = fmt.Sprintf("value to hold against the schema of %s", o.Name), true
	value, err := input.Value(ctx, o.Env.Streams, o.Source)
	if err != nil {
		return err
	}
	v, err := c.CheckSchema(ctx, o.Name, client.NewPayload(value))
	if err != nil {
		return err
	}
	s := o.Env.Streams
	switch {
	case o.JSON:
		err = table.JSON(s.Out, v)
	case !v.Schema:
		s.Notef("%q has no schema: every value fits", o.Name)
	case v.Fits:
		s.Notef("it fits")
	default:
		t := table.New(s, "AT", "RULE")
		for _, p := range v.Problems {
			t.Row(cmp.Or(p.At, "(the value)"), p.Rule)
		}
		err = t.Flush()
	}
	if err == nil && !v.Fits {
		err = exit.Silently(exit.Differs)
	}
	return err
}
