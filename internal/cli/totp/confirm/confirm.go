// Package confirm is the command "countersign totp confirm".
package confirm

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/session/answers"
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
		Use:   "confirm",
		Short: "Show a code of your authenticator",
		Long: `Show a code of your authenticator, which is asked for. The first one puts the
authenticator into use and prints recovery codes, once: each stands in for a
code one time. Later it renews the second factor of your session, where a rule
asks for a fresh one.`,
		Example: `  countersign totp confirm`,
		Args:    env.Args(),
		RunE:    func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), o) },
	}
}

// Run confirms.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	code, err := answers.From(o.Env.Streams).Ask(ctx, "code of the authenticator")
	if err != nil {
		return err
	}
	recovery, err := c.ConfirmTOTP(ctx, code)
	if err != nil {
		return err
	}
	for _, r := range recovery {
		if _, err := fmt.Fprintf(o.Env.Streams.Out, "%s\n", r.Reveal()); err != nil {
			return fmt.Errorf("printing: %w", err)
		}
	}
	if len(recovery) > 0 {
		o.Env.Streams.Notef("the authenticator is in use; keep the recovery codes where it is not")
	} else {
		o.Env.Streams.Notef("the session has shown a second factor")
	}
	return nil
}
