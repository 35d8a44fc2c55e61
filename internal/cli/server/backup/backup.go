// Package backup is the command "countersign backup".
package backup

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
	"countersign/internal/cli/input"
)

// Options of the command.
type Options struct {
	Env        *env.Env
	Output     string // empty and "-": standard output
	Recipients []string
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "backup",
		Short: "Take a backup of a running server",
		Long: `Take a backup of a running server: its store and its audit log, at one moment.

Values in it are encrypted as they are in the store, and the root key is not in
it: keep that elsewhere too. With --recipient the whole backup is encrypted to
age recipients besides, so that names and the audit log cannot be read either.
Bring it back with: countersign restore --backup FILE`,
		Example: `  countersign backup --output monday.age --recipient age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p
  countersign backup > monday.backup`,
		Args: env.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if (o.Output == "" || o.Output == "-") && e.Streams.OutTerminal {
				return exit.Usagef("a backup is no text for a terminal; give --output FILE, or pipe it")
			}
			return run(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVarP(&o.Output, "output", "o", "", "write to a `FILE` that only you can read, whole or not at all")
	cmd.Flags().StringArrayVar(&o.Recipients, "recipient", nil, "encrypt to this age `RECIPIENT`, age1…; several may be given")
	return cmd
}

// Run takes the backup.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	var size int64
	fill := func(w io.Writer) (err error) {
		size, err = c.Backup(ctx, o.Recipients, w)
		return err
	}
	if o.Output == "" || o.Output == "-" {
		err = fill(o.Env.Streams.Out)
	} else {
		err = input.WriteFile(o.Output, fill)
	}
	if err != nil {
		return err
	}
	o.Env.Streams.Notef("took a backup of %d bytes", size)
	return nil
}
