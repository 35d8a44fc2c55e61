// Package link is the command "countersign user link".
package link

import (
	"context"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
)

// Options of the command.
type Options struct {
	Env           *env.Env
	Name, Subject string
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "link NAME",
		Short: "Let an identity of the account's provider sign in as a user",
		Long: `Let an identity of the account's provider sign in as a user. The subject is the
"sub" that the provider gives the identity; who signs in without a link is told
theirs.`,
		Example: `  countersign user link alice --subject 248289761001`,
		Args:    env.Args("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Name = args[0]
			if o.Subject == "" {
				return exit.Usagef("--subject is missing: name the identity")
			}
			return run(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVar(&o.Subject, "subject", "", "the identity, by its `SUBJECT`")
	return cmd
}

// Run links.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	if err := c.LinkUser(ctx, o.Name, o.Subject); err != nil {
		return err
	}
	o.Env.Streams.Notef("linked %q", o.Name)
	return nil
}
