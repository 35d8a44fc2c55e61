// Package diff is the command "countersign diff".
package diff

import (
	"context"

	"github.com/spf13/cobra"

	"countersign/internal/cli/change/which"
	"countersign/internal/cli/env"
	"countersign/internal/cli/variables/kept"
)

// Options of the command.
type Options struct {
	Env *env.Env
	which.Flags
	Left, Right string
	JSON        bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "diff ENV1 ENV2",
		Short: "Compare two environments of a project, without showing values",
		Long: `Compare two environments of a project, without showing values: which keys only
the first has (-), only the second (+), and which differ (~). The exit code is 0
when they hold the same, and 8 when not.

Columns when piped: sign, key.`,
		Example: `  countersign diff staging production
  countersign diff dev production -p backend-api --json | jq -r '.removed[]'`,
		Args: env.Args("ENV1", "ENV2"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Left, o.Right = args[0], args[1]
			return run(cmd.Context(), o)
		},
	}
	o.AddProject(e, cmd)
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run compares.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	left, right, err := o.Pair(ctx, o.Env, c, o.Left, o.Right)
	if err != nil {
		return err
	}
	a, err := kept.ReadAny(ctx, c, left)
	if err != nil {
		return err
	}
	b, err := kept.ReadAny(ctx, c, right)
	if err != nil {
		return err
	}
	return kept.Compare(left.String(), right.String(), a, b).Print(o.Env.Streams, o.JSON)
}
