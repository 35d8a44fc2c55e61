// Package test is the command "countersign protect test".
package test

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/input"
	"countersign/internal/cli/protect/rule"
	"countersign/internal/cli/table"
	"countersign/internal/client"
)

// Options of the command.
type Options struct {
	Env *env.Env
	client.RuleTest
	JSON bool

	tags []string
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "test NAME",
		Short: "Tell which protection rule holds for a name, and who could approve",
		Long: `Tell which protection rule would hold for a change to the secret NAME, and who
could approve it.

Lines when piped: rule, patterns, approvals, options, and for each approval who
could give it; an empty rule means that changes apply at once.`,
		Example: `  countersign protect test secret-review/backend-api/production
  countersign protect test myapp/database --kind delete --tag team=shop --author alice
  countersign protect test approvers --noun group`,
		Args:              env.Args("NAME"),
		ValidArgsFunction: e.SecretNames,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			o.Name = args[0]
			if o.Tags, err = input.Pairs("--tag", o.tags); err != nil {
				return err
			}
			return run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Kind, "kind", "", "the `KIND` of change (default edit)")
	f.StringVar(&o.Noun, "noun", "", "what NAME is of: a secret, user, group, policy or project (default `NOUN` secret)")
	f.StringArrayVar(&o.tags, "tag", nil, "as if the secret had a tag, `KEY=VALUE`")
	f.StringVar(&o.Author, "author", "", "as if proposed by a user or machine, by `NAME`")
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run asks and prints.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	p, err := c.TestRules(ctx, o.RuleTest)
	if err != nil {
		return err
	}
	s := o.Env.Streams
	if o.JSON {
		return table.JSON(s.Out, p)
	}
	for _, w := range p.Warnings {
		defer s.Notef("warning: %s", table.Clean(w))
	}
	if p.Rule == nil {
		if s.OutTerminal {
			s.Notef("no protection rule holds: changes apply at once")
			return nil
		}
		return table.Fields(s, "rule", "")
	}
	if !p.Protects && s.OutTerminal {
		defer s.Notef("the rule asks for no approvals: changes apply at once")
	}
	pairs := []any{"rule", p.Rule.Name, "match", p.Rule.Match, "approvals", rule.Approvals(*p.Rule), "options", rule.Options(*p.Rule)}
	for _, v := range p.Voters {
		from := ""
		if len(v.Groups) > 0 {
			from = " from " + strings.Join(v.Groups, " or ")
		}
		pairs = append(pairs, fmt.Sprintf("%d%s", v.Count, from), v.Names)
	}
	return table.Fields(s, pairs...)
}
