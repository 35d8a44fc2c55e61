// Package comment is the command "countersign comment".
package comment

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"countersign/internal/cli/change/decide"
	"countersign/internal/cli/change/which"
	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
	"countersign/internal/cli/input"
)

// Options of the command.
type Options struct {
	Env *env.Env
	which.Change
	Text string
	JSON bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "comment [TEXT]",
		Short: "Say something about a change, for all who may see it",
		Example: `  countersign comment --id 01KB2Y6V8M "Is this the key of the test account?"
  countersign comment --id 01KB2Y6V8M < remarks.txt`,
		Args: env.AtMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.NeedID(); err != nil {
				return err
			}
			if len(args) == 1 {
				o.Text = args[0]
			}
			return run(cmd.Context(), o)
		},
	}
	o.AddID(e, cmd)
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run says it.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	if o.Text == "" {
		text, err := input.Document(o.Env.Streams, "")
		if err != nil {
			return err
		}
		o.Text = strings.TrimSpace(text)
	}
	if o.Text == "" {
		return exit.Usagef("the comment is empty")
	}
	done, err := c.AddComment(ctx, o.ID, o.Text)
	if err != nil {
		return err
	}
	return decide.Say(o.Env, o.JSON, done, "said about change %s", done.ID)
}
