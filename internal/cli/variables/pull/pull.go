// Package pull is the command "countersign pull".
package pull

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	"countersign/internal/cli/change/decide"
	"countersign/internal/cli/change/render"
	"countersign/internal/cli/change/which"
	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
	"countersign/internal/cli/settings"
	"countersign/internal/cli/streams"
	"countersign/internal/cli/table"
	"countersign/internal/cli/variables/kept"
	"countersign/internal/dotenv"
	"countersign/internal/sensitive"
)

// Options of the command.
type Options struct {
	Env  *env.Env
	Name string // of a secret; empty for the environment in force
	which.Flags
	Output   string // file, or "-"; default the project's file, or for other formats "-"
	Format   string
	KeysOnly bool
	Yes      bool
	JSON     bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "pull [NAME]",
		Short: "Write the variables of an environment into a .env file",
		Long: `Write the variables of an environment, or of the secret NAME, into a .env file
(default the file of the project, .env) that only you can read, whole or not at
all. In a file that is there, comments and the order stay, and so does every
line whose value is the same. Variables that only the file has are removed,
which is confirmed first.

Other formats go to standard output unless --output names a file.`,
		Example: `  countersign pull
  countersign pull -e staging -o staging.env
  countersign pull -p backend-api -e dev --keys-only
  eval "$(countersign pull --format shell)"`,
		Args:              env.AtMost(1),
		ValidArgsFunction: e.SecretNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				o.Name = args[0]
			}
			if err := env.Choice("format", o.Format, dotenv.Formats()...); err != nil {
				return err
			}
			if o.JSON {
				if cmd.Flags().Changed("format") && o.Format != "json" {
					return exit.Usagef("--json excludes --format")
				}
				o.Format = "json"
			}
			if o.KeysOnly && o.Output != "" {
				return exit.Usagef("--keys-only excludes --output: keys are printed")
			}
			return run(cmd.Context(), o)
		},
	}
	o.Flags.Add(e, cmd)
	f := cmd.Flags()
	f.StringVarP(&o.Output, "output", "o", "", "write to a `FILE`; - is standard output")
	f.StringVar(&o.Format, "format", "dotenv", "the `FORMAT`: "+strings.Join(dotenv.Formats(), ", "))
	f.BoolVar(&o.KeysOnly, "keys-only", false, "print the keys, one a line, and no values")
	f.BoolVarP(&o.Yes, "yes", "y", false, "do not ask")
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run reads and writes.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	place, err := o.Find(ctx, o.Env, c, o.Name)
	if err != nil {
		return err
	}
	pairs, err := kept.Read(ctx, c, place)
	if err != nil {
		return err
	}
	s := o.Env.Streams
	if o.KeysOnly {
		return o.keys(pairs)
	}
	if o.Output == "-" || o.Output == "" && o.Format != "dotenv" {
		text, err := dotenv.Format(o.Format, pairs)
		if err != nil {
			return err
		}
		if s.OutTerminal && !streams.Showable(text.Reveal()) {
			return exit.Usagef("a value holds what would control the terminal; pipe it, or give --output FILE")
		}
		_, err = s.Out.Write(text.Reveal())
		return err
	}
	r, err := o.Env.Settings(settings.Flags{File: o.Output})
	if err != nil {
		return err
	}
	text, err := o.text(ctx, r.File.Value, pairs)
	if err != nil {
		return err
	}
	if err := dotenv.WriteFile(r.File.Value, text); err != nil {
		return err
	}
	s.Notef("Pulled %s to %s", render.Number(len(pairs), "variable"), r.File.Value)
	return nil
}

func (o *Options) keys(pairs []dotenv.Pair) error {
	keys := make([]string, len(pairs))
	for i, p := range pairs {
		keys[i] = p.Key
	}
	if o.JSON {
		return table.JSON(o.Env.Streams.Out, keys)
	}
	for _, k := range keys {
		if _, err := fmt.Fprintln(o.Env.Streams.Out, table.Clean(k)); err != nil {
			return err
		}
	}
	return nil
}

// text is what the file is to hold: of a .env file that is there, what it holds
// brought up to date.
func (o *Options) text(ctx context.Context, path string, pairs []dotenv.Pair) (sensitive.Bytes, error) {
	if o.Format != "dotenv" {
		return dotenv.Format(o.Format, pairs)
	}
	file, err := dotenv.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		file, err = &dotenv.File{}, nil
	}
	if err != nil {
		return sensitive.Bytes{}, err
	}
	changes, err := dotenv.Update(file, pairs)
	if err != nil {
		return sensitive.Bytes{}, err
	}
	if gone := changes.Removed; len(gone) > 0 {
		o.Env.Streams.Notef("Only in %s: %s", path, strings.Join(gone, ", "))
		if err := decide.Ask(ctx, o.Env, o.Yes, fmt.Sprintf("Remove %s from %s?", map[bool]string{true: "it", false: "them"}[len(gone) == 1], path)); err != nil {
			return sensitive.Bytes{}, err
		}
	}
	return file.Bytes(), nil
}
