// Package disable is the command "countersign totp disable".
package disable

import (
	"context"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/session/answers"
	"countersign/internal/sensitive"
)

// Options of the command.
type Options struct {
	Env  *env.Env
	User string
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "disable",
		Short: "Forget your authenticator, or that of a user who lost it",
		Long: `Forget your authenticator and its recovery codes, for which you are asked for a
code or a recovery code; or with --user that of another user, who lost it.`,
		Example: `  countersign totp disable
  countersign totp disable --user alice`,
		Args: env.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), o) },
	}
	cmd.Flags().StringVar(&o.User, "user", "", "of another user, by `NAME`")
	return cmd
}

// Run disables.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	var code sensitive.Bytes
	if o.User == "" {
		if code, err = answers.From(o.Env.Streams).Ask(ctx, "code of the authenticator"); err != nil {
			return err
		}
	}
	if err := c.DisableTOTP(ctx, o.User, code); err != nil {
		return err
	}
	o.Env.Streams.Notef("the authenticator is forgotten")
	return nil
}
