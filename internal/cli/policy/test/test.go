// Package test is the command "countersign policy test".
package test

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
	"countersign/internal/cli/input"
	"countersign/internal/cli/policy/words"
	"countersign/internal/cli/table"
	"countersign/internal/client"
)

// Options of the command.
type Options struct {
	Env *env.Env
	client.PolicyTest
	JSON bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	var tags, conditions []string
	cmd := &cobra.Command{
		Use:   "test",
		Short: "Ask whether a user could do something, without doing it",
		Long: `Ask whether a user could do something, without doing it. Policies are taken as
they are now, with those on the secret itself.

The first line printed is "allowed" or "denied". The exit code is 0 when it
would be allowed and 4 when it would be denied.

With --path the question is that of a request of the Vault protocol: the action
is a capability, and the path is that of the request.`,
		Example: `  countersign policy test --user deploy --action secretsmanager:GetSecretValue --resource myapp/database
  countersign policy test --user alice --action ReadValue --resource '*' --context aws:SourceIp=10.0.0.9
  countersign policy test --user deploy --action read --path secret/data/myapp/database`,
		Args: env.Args(),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			switch {
			case o.User == "":
				return exit.Usagef("--user is missing: name who would do it")
			case o.Action == "":
				return exit.Usagef("--action is missing: name what would be done, such as secretsmanager:GetSecretValue")
			case o.Path != "" && cmd.Flags().Changed("resource"):
				return exit.Usagef("--resource and --path are two ways to say on what: give one")
			}
			if o.Tags, err = input.Pairs("--tag", tags); err != nil {
				return err
			}
			if o.Context, err = input.Pairs("--context", conditions); err != nil {
				return err
			}
			return run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.User, "user", "", "who would do it: a user or machine, by `NAME`")
	f.StringVar(&o.Action, "action", "", "the `ACTION`: secretsmanager:GetSecretValue, or ReadValue; with --path read, update, ...")
	f.StringVar(&o.Resource, "resource", "*", "on what: the name of a secret, an `ARN`, or *")
	f.StringVar(&o.Path, "path", "", "on what, as a `PATH` of the Vault protocol: secret/data/NAME")
	f.StringArrayVar(&tags, "tag", nil, "as if the resource had this tag, `KEY=VALUE`")
	f.StringArrayVar(&conditions, "context", nil, "a condition key of the request, `KEY=VALUE`")
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run asks.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	on := o.Path
	if on != "" {
		o.Resource = ""
	} else if o.Resource, err = resource(ctx, c, o.Resource); err != nil {
		return err
	} else {
		on = o.Resource
	}
	r, err := c.TestPolicy(ctx, o.PolicyTest)
	if err != nil {
		return err
	}
	s := o.Env.Streams
	if o.JSON {
		err = table.JSON(s.Out, r)
	} else {
		verdict := s.Alarm("denied")
		if r.Allowed {
			verdict = "allowed"
		}
		_, err = fmt.Fprintln(s.Out, verdict)
		for _, line := range words.Decision(client.Decision{Effect: r.Effect, Action: o.Action, Resource: on,
			Policy: r.Policy, Statement: r.Statement, Missing: r.Missing}) {
			if err == nil {
				_, err = fmt.Fprintln(s.Out, table.Clean(line))
			}
		}
	}
	if err == nil && !r.Allowed {
		return exit.Silently(exit.Denied)
	}
	return err
}

// resource is an ARN, or * for any: the name of a secret is looked up, since
// its ARN ends in letters that only the server knows.
func resource(ctx context.Context, c *client.Client, name string) (string, error) {
	if name == "*" || strings.HasPrefix(name, "arn:") {
		return name, nil
	}
	d, err := c.Describe(ctx, name)
	if err != nil {
		return "", fmt.Errorf("--resource: looking up secret %q, which an ARN makes needless: %w", name, err)
	}
	return d.ARN, nil
}
