// Package approve is the command "countersign approve".
package approve

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"countersign/internal/cli/change/decide"
	"countersign/internal/cli/change/reading"
	"countersign/internal/cli/change/render"
	"countersign/internal/cli/change/which"
	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
	"countersign/internal/cli/table"
	"countersign/internal/client"
)

// Options of the command.
type Options struct {
	Env *env.Env
	which.Change
	Comment    string
	Yes        bool
	SkipReview bool
	Sign       bool
	Key        string
	JSON       bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "approve",
		Short: "Review a change and approve it",
		Long: `Review a change and approve it. The vote is for exactly what was shown: when
that moves meanwhile, the vote is refused, and the change has to be reviewed
again. The vote that completes what the protection rule asks for lets the change
take effect.

With --sign the vote is signed with an SSH key that is registered for you: that
of --key, a private key or the .pub file or fingerprint of a key in the agent,
or the only key of the agent. The signature is kept with the version.`,
		Example: `  countersign approve --latest
  countersign approve --id 01KB2Y6V8M -c "Looks good" -y
  countersign approve --id 01KB2Y6V8M --sign --key ~/.ssh/id_ed25519`,
		Args: env.Args(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.Check(); err != nil {
				return err
			}
			if o.Key != "" && !o.Sign {
				return exit.Usagef("--key goes with --sign")
			}
			return run(cmd.Context(), o)
		},
	}
	o.Change.Add(e, cmd, "the newest change of the environment, or of the project, that waits")
	f := cmd.Flags()
	f.StringVarP(&o.Comment, "comment", "c", "", "a `TEXT` for the record")
	f.BoolVarP(&o.Yes, "yes", "y", false, "do not ask")
	f.BoolVar(&o.SkipReview, "skip-review", false, "do not show the change first")
	f.BoolVar(&o.Sign, "sign", false, "sign the approval with an SSH key")
	f.StringVar(&o.Key, "key", "", "with --sign: the private key's `FILE`, a .pub file or a fingerprint of the agent's")
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Run approves.
func Run(ctx context.Context, o *Options) error {
	if err := decide.Able(o.Env, o.Yes); err != nil {
		return err
	}
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	id, err := o.Waiting(ctx, o.Env, c)
	if err != nil {
		return err
	}
	r, err := o.show(ctx, c, id)
	if err != nil {
		return err
	}
	if r.Digest == "" {
		return exit.With(exit.Conflict, fmt.Errorf("the change %s is %s already", r.ID, r.Status))
	}
	if !o.Yes && r.Cannot != "" {
		return exit.With(exit.Conflict, fmt.Errorf("you cannot approve it: %s", table.Clean(r.Cannot)))
	}
	if err := decide.Ask(ctx, o.Env, o.Yes, "Approve this change?"); err != nil {
		return err
	}
	signature := ""
	if o.Sign {
		if signature, err = o.signature(ctx, r.Review); err != nil {
			return err
		}
	}
	d, err := c.Approve(ctx, r.ID, r.Digest, o.Comment, signature)
	var e *client.Error
	if errors.As(err, &e) && e.Code == moved {
		return exit.With(exit.Conflict, fmt.Errorf("the change moved since it was shown: what would take effect is something else now; review it again: countersign review --id %s", r.Short))
	}
	if err != nil {
		return err
	}
	return decide.Say(o.Env, o.JSON, d, "Change %s %s", r.Short, o.became(d, r))
}

// moved is the code of an approval of what would no longer take effect.
const moved = "digest"

// show prints the review that is voted on. Nobody reads values to skip it.
func (o *Options) show(ctx context.Context, c *client.Client, id string) (reading.Reviewed, error) {
	if o.SkipReview {
		return reading.Hide(ctx, c, id)
	}
	r, err := reading.Fetch(ctx, c, id)
	if err != nil {
		return r, err
	}
	return r, decide.Printer(ctx, o.Env, c, o.JSON).Review(r, false)
}

// became says what became of the change by the vote.
func (o *Options) became(d client.Decided, r reading.Reviewed) string {
	switch d.Status {
	case client.Applied:
		return "approved and applied"
	case client.Approved:
		if at := table.Time(o.Env.Streams, d.NotBefore); at != "" {
			return "approved, takes effect at " + at
		}
		return "approved, takes effect in the hours that its rule allows"
	}
	if missing := render.Missing(d.Standing); missing != "" {
		return "approved, " + missing + " needed"
	}
	return "approved, and is " + d.Status
}
