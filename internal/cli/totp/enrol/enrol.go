// Package enrol is the command "countersign totp enrol".
package enrol

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
)

// Options of the command.
type Options struct{ Env *env.Env }

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	return &cobra.Command{
		Use:   "enrol",
		Short: "Begin to set up an authenticator",
		Long: `Begin to set up an authenticator: print the otpauth:// address to put into it,
which holds its secret and is shown this once. A program that draws QR codes
makes it one to scan. It counts once "countersign totp confirm" saw a code.`,
		Example: `  countersign totp enrol
  countersign totp enrol | qrencode -t ansiutf8`,
		Args: env.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), o) },
	}
}

// Run enrols.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	e, err := c.EnrolTOTP(ctx)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(o.Env.Streams.Out, "%s\n", e.URI.Reveal()); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	o.Env.Streams.Notef("put this into your authenticator, then run \"countersign totp confirm\" with a code of it")
	return nil
}
