// Package set is the command "countersign protect set".
package set

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
	"countersign/internal/cli/input"
	"countersign/internal/cli/protect/rule"
	"countersign/internal/cli/table"
	"countersign/internal/cli/when"
	"countersign/internal/client"
)

// Options of the command.
type Options struct {
	Env    *env.Env
	Rule   client.Rule // Name empty: those of File
	Before string
	File   string
	Reason string
	JSON   bool

	tags, approve []string
	expires       string
}

// kinds are those that --kind takes.
var kinds = []string{"create", "edit", "delete", "rollback", "restore-last", "rotate", "policy", "rules"}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "set [NAME]",
		Short: "Set a protection rule, or all of them from a file",
		Long: `Set the protection rule NAME, all of it: a new one goes to the end of the list,
where it outweighs those above, or before another. With --file the rules of a
YAML or JSON file become the only ones, in their order; "protect list --json"
prints such a file.

A pattern is of names of secrets, or of "group:NAME", "policy:NAME" and so on; *
is any text and ? a character. An approval is COUNT, or COUNT:GROUP,GROUP for
members of one of these groups. A rule without approvals is an exception from
those above: what it matches needs no review.

Changing the rules of what is protected is itself a change that waits for
approval.`,
		Example: `  countersign protect set production --match "*/production" --approve 2:approvers
  countersign protect set urgent --match "*/production" --kind restore-last --approve 1:approvers,oncall
  countersign protect set quiet --match "pay/*" --approve 1:owners --approve 1:security --mfa --hours "Mon-Fri 09:00-17:00 Europe/Berlin" --expires 7d
  countersign protect set -f rules.yaml -r "Reviewed with security"`,
		Args: env.AtMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				o.Rule.Name = args[0]
			}
			if err := o.check(cmd); err != nil {
				return err
			}
			return run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.Rule.Match, "match", nil, "a `PATTERN` of names; may be repeated")
	f.StringSliceVar(&o.Rule.Kinds, "kind", nil, "only these `KINDS` of change: "+strings.Join(kinds, ", ")+" (default all)")
	f.StringArrayVar(&o.tags, "tag", nil, "only secrets with a tag, `KEY=VALUE`")
	f.StringArrayVar(&o.approve, "approve", nil, "ask for approvals, `COUNT[:GROUP,...]`; may be repeated, and all are asked for")
	f.BoolVar(&o.Rule.AllowAuthor, "allow-author", false, "the author's own approval counts")
	f.BoolVar(&o.Rule.MFA, "mfa", false, "approvals count with a second factor alone")
	f.BoolVar(&o.Rule.Signed, "signed", false, "approvals count when signed with an SSH key alone")
	f.StringArrayVar(&o.Rule.Machines, "machine", nil, "this machine may approve too, by `NAME`")
	f.StringVar(&o.Rule.Hours, "hours", "", "let changes take effect within these `HOURS` alone: Mon-Fri 09:00-17:00 Europe/Berlin")
	f.StringVar(&o.expires, "expires", "", "proposals expire after `DAYS`, such as 7d (default 30d)")
	f.StringVar(&o.Rule.BreakGlass, "break-glass", "", "members of this `GROUP` may apply at once in an emergency")
	f.StringVar(&o.Before, "before", "", "place a new rule before another, by `NAME`")
	f.StringVarP(&o.File, "file", "f", "", "all rules from a `FILE`; - is standard input")
	f.StringVarP(&o.Reason, "reason", "r", "", "why, for the record: a `TEXT` without secrets")
	env.JSON(cmd, &o.JSON)
	return cmd
}

func (o *Options) check(cmd *cobra.Command) error {
	if o.File != "" {
		for _, name := range []string{"match", "kind", "tag", "approve", "allow-author", "mfa", "signed", "machine", "hours", "expires", "break-glass", "before"} {
			if o.Rule.Name != "" || cmd.Flags().Changed(name) {
				return exit.Usagef("--file sets all rules; it excludes NAME and the flags of one rule")
			}
		}
		return nil
	}
	switch {
	case o.Rule.Name == "":
		return exit.Usagef("NAME is missing: name the rule, or give --file")
	case len(o.Rule.Match) == 0:
		return exit.Usagef("--match is missing: say which names the rule is about")
	case len(o.approve) == 0 && (o.Rule.MFA || o.Rule.Signed || o.Rule.AllowAuthor || len(o.Rule.Machines) > 0):
		return exit.Usagef("--mfa, --signed, --allow-author and --machine are about approvals: give --approve")
	}
	for _, k := range o.Rule.Kinds {
		if err := env.Choice("kind", k, kinds...); err != nil {
			return err
		}
	}
	for _, a := range o.approve {
		count, groups, has := strings.Cut(a, ":")
		n, err := strconv.Atoi(count)
		if err != nil || n < 1 || has && groups == "" {
			return exit.Usagef("--approve: %q is no COUNT or COUNT:GROUP,GROUP", a)
		}
		one := client.RuleApproval{Count: n}
		if has {
			one.Groups = strings.Split(groups, ",")
		}
		o.Rule.Approvals = append(o.Rule.Approvals, one)
	}
	var err error
	if o.Rule.Tags, err = input.Pairs("--tag", o.tags); err != nil || o.expires == "" {
		return err
	}
	d, err := when.Duration(o.expires)
	const day = 24 * time.Hour
	if err != nil || d%day != 0 {
		return exit.Usagef("--expires: %q is no number of days; give one like 7d", o.expires)
	}
	o.Rule.ExpiryDays = int(d / day)
	return nil
}

// Run sets.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	req := client.RuleChange{Set: &o.Rule, Before: o.Before, Reason: o.Reason}
	what := strconv.Quote(o.Rule.Name)
	if o.File != "" {
		if req, err = o.fromFile(ctx, c); err != nil {
			return err
		}
		what = strconv.Itoa(len(*req.Replace)) + " rules"
	}
	res, err := c.PutRules(ctx, req)
	if err != nil {
		return err
	}
	if o.JSON {
		return table.JSON(o.Env.Streams.Out, res)
	}
	if res.Change == "" {
		o.Env.Streams.Notef("nothing to change")
	} else {
		o.Env.Told(client.Outcome(res), "set %s", what)
	}
	return nil
}

// fromFile replaces the list that the file says it was made from, or else the
// one that is there now.
func (o *Options) fromFile(ctx context.Context, c *client.Client) (client.RuleChange, error) {
	text, err := input.Document(o.Env.Streams, o.File)
	if err != nil {
		return client.RuleChange{}, err
	}
	d, err := rule.Parse(text)
	if err != nil {
		return client.RuleChange{}, exit.Usagef("%s: %w", o.File, err)
	}
	if d.Revision == 0 {
		now, err := c.ListRules(ctx)
		if err != nil {
			return client.RuleChange{}, err
		}
		d.Revision = now.Revision
	}
	return client.RuleChange{Replace: &d.Rules, Revision: d.Revision, Reason: o.Reason}, nil
}
