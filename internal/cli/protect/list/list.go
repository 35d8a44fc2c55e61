// Package list is the command "countersign protect list".
package list

import (
	"context"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/protect/rule"
	"countersign/internal/cli/table"
)

// Options of the command.
type Options struct {
	Env  *env.Env
	JSON bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the protection rules, of which the last that matches holds",
		Long: `List the protection rules in their order. Of those that match a change the last
holds.

Columns when piped: name, patterns, kinds of change (empty: all), approvals,
options.`,
		Example: `  countersign protect list
  countersign protect list --json > rules.json`,
		Args: env.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), o) },
	}
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run lists.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	rules, err := c.ListRules(ctx)
	if err != nil {
		return err
	}
	if o.JSON {
		return table.JSON(o.Env.Streams.Out, rules)
	}
	t := table.New(o.Env.Streams, "NAME", "MATCH", "KINDS", "APPROVALS", "OPTIONS")
	for _, r := range rules.Rules {
		t.Row(r.Name, r.Match, r.Kinds, rule.Approvals(r), rule.Options(r))
	}
	return t.Flush()
}
