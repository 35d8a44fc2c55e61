// Package hash is the command "countersign audit device hash".
package hash

import (
	"context"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/input"
	"countersign/internal/cli/table"
)

// Options of the command.
type Options struct {
	Env  *env.Env
	Name string
	File string
	JSON bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "hash NAME",
		Short: "Hash a text as it stands in the lines of an audit device",
		Long: `Hash a text as it stands in the lines of an audit device, to find it there: the
id of an access key, the accessor of a token. It is read from --file, from
standard input when that is piped, or asked for without echo; one line end is
dropped.`,
		Example: `  echo AKIA5M4X2QEXAMPLE | countersign audit device hash file`,
		Args:    env.Args("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Name = args[0]
			return run(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVarP(&o.File, "file", "f", "", "read the text from a `FILE`, or from standard input with -")
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run hashes.
func Run(ctx context.Context, o *Options) error {
	text, err := input.Value(ctx, o.Env.Streams, input.Source{File: o.File, Trim: true, What: "text to hash"})
	if err != nil {
		return err
	}
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	hash, err := c.HashForAudit(ctx, o.Name, text)
	if err != nil {
		return err
	}
	if o.JSON {
		return table.JSON(o.Env.Streams.Out, struct {
			Hash string `json:"hash"`
		}{hash})
	}
	return table.Fields(o.Env.Streams, "hash", hash)
}
