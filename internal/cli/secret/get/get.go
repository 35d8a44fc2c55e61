// Package get is the command "countersign get".
package get

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
	"countersign/internal/cli/input"
	"countersign/internal/cli/object"
	"countersign/internal/cli/streams"
	"countersign/internal/cli/table"
	"countersign/internal/client"
	"countersign/internal/sensitive"
)

// Options of the command.
type Options struct {
	Env    *env.Env
	Name   string
	Which  client.Which
	Key    string // of a JSON object; empty for the whole value
	Output string // file; empty for standard output
	Force  bool   // bytes to a terminal too
	JSON   bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "get NAME",
		Short: "Print the value of a secret",
		Long: `Print the value of a secret, of its current version unless another is asked for.

When piped, or with --output, the bytes are exactly the value's: no line end is
added. On a terminal a line end follows, and a value that is no text is refused
unless --force says otherwise.`,
		Example: `  countersign get myapp/database
  countersign get myapp/database --key password
  countersign get myapp/database --version 3 --json
  countersign get tls/server.pem --output server.pem`,
		Args:              env.Args("NAME"),
		ValidArgsFunction: e.SecretNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Name = args[0]
			if o.JSON && (o.Output != "" || o.Key != "") {
				return exit.Usagef("--json excludes --key and --output")
			}
			return run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.Uint64Var(&o.Which.Version, "version", 0, "the version with this `NUMBER`")
	f.StringVar(&o.Which.VersionID, "version-id", "", "the version with this `ID`")
	f.StringVar(&o.Which.Label, "label", "", "the version with this `LABEL` (default AWSCURRENT)")
	f.StringVar(&o.Key, "key", "", "only the value of this `KEY` of a JSON object")
	f.StringVarP(&o.Output, "output", "o", "", "write to a `FILE` that only you can read, whole or not at all")
	f.BoolVar(&o.Force, "force", false, "print bytes that are no text on a terminal too")
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run reads and prints.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	v, err := c.ReadValue(ctx, o.Name, o.Which)
	if err != nil {
		return err
	}
	if o.JSON {
		return table.JSON(o.Env.Streams.Out, shown(v))
	}
	data := v.Data
	if o.Key != "" {
		part, ok, err := object.Get(data.Reveal(), o.Key)
		if err != nil {
			return fmt.Errorf("%q: %w, so it has no keys", o.Name, err)
		}
		if !ok {
			return exit.With(exit.NotFound, fmt.Errorf("%q has no key %q", o.Name, o.Key))
		}
		data = sensitive.New(part)
	}
	if o.Output != "" {
		return input.WriteFile(o.Output, func(w io.Writer) error {
			_, err := w.Write(data.Reveal())
			return err
		})
	}
	return o.print(data)
}

func (o *Options) print(data sensitive.Bytes) error {
	s := o.Env.Streams
	b := data.Reveal()
	if s.OutTerminal && !o.Force && !streams.Showable(b) {
		return exit.Usagef("the value of %q is no text; pipe it, or give --output, or --force to print it on the terminal", o.Name)
	}
	if _, err := s.Out.Write(b); err != nil {
		return fmt.Errorf("writing value: %w", err)
	}
	if s.OutTerminal && !bytes.HasSuffix(b, []byte("\n")) {
		fmt.Fprintln(s.Out)
	}
	return nil
}

// answer is a value as --json prints it.
type answer struct {
	Name      string    `json:"name"`
	ARN       string    `json:"arn"`
	Version   uint64    `json:"version"`
	VersionID string    `json:"version_id"`
	Labels    []string  `json:"labels,omitempty"`
	Created   time.Time `json:"created,omitzero"`
	Value     *string   `json:"value,omitempty"`
	Binary    []byte    `json:"binary,omitempty"`
}

func shown(v client.Value) answer {
	a := answer{Name: v.Name, ARN: v.ARN, Version: v.Version, VersionID: v.VersionID, Labels: v.Labels, Created: v.Created}
	if v.Binary {
		a.Binary = v.Data.Reveal()
	} else {
		s := string(v.Data.Reveal())
		a.Value = &s
	}
	return a
}
