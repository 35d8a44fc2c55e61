// Package verify is the command "countersign verify-value".
package verify

import (
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
	Key    string
	Source input.Source
	JSON   bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	var keep bool
	cmd := &cobra.Command{
		Use:   "verify-value NAME",
		Short: "Tell whether a value is that of a secret, without reading it",
		Long: `Tell whether a value is the current one of a secret, the previous one within the
grace of its rotation, or neither. The secret is not read: who may verify needs
no permission to read it.

The value is read from standard input when that is piped, from --file, or asked
for on the terminal without echo. One line end at the end is dropped, unless
--exact is given.

Prints current, previous or none, and ends with exit code 8 for none.`,
		Example: `  printf %s "$PRESENTED" | countersign verify-value payments/api-key
  countersign verify-value myapp/database --key password`,
		Args:              env.Args("NAME"),
		ValidArgsFunction: e.SecretNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Name, o.Source.Trim = args[0], !keep
			return run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.Source.File, "file", "f", "", "read the value from a `FILE`; - is standard input")
	f.StringVar(&o.Key, "key", "", "compare with one `KEY` of the JSON object")
	f.BoolVar(&keep, "exact", false, "keep a line end at the end of the value")
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run verifies.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	o.Source.What, o.Source.Once = fmt.Sprintf("value to compare with %s", o.Name), true
	value, err := input.Value(ctx, o.Env.Streams, o.Source)
	if err != nil {
		return err
	}
	v, err := c.Verify(ctx, o.Name, o.Key, client.NewPayload(value))
	if err != nil {
		return err
	}
	switch {
	case o.JSON:
		err = table.JSON(o.Env.Streams.Out, v)
	case v.Match == client.MatchPrevious:
		_, err = fmt.Fprintf(o.Env.Streams.Out, "previous (until %s)\n", table.Time(o.Env.Streams, v.Until))
	default:
		_, err = fmt.Fprintln(o.Env.Streams.Out, v.Match)
	}
	if err == nil && v.Match == client.MatchNone {
		err = exit.Silently(exit.Differs)
	}
	return err
}
