// Package propose is the command "countersign propose".
package propose

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"countersign/internal/cli/change/render"
	"countersign/internal/cli/change/which"
	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
	"countersign/internal/cli/table"
	"countersign/internal/cli/when"
	"countersign/internal/client"
	"countersign/internal/sensitive"
)

// Options of the command.
type Options struct {
	Env  *env.Env
	Name string // of a secret; empty for the environment in force
	which.Flags
	File    string
	Set     []string // KEY, or KEY=@FILE
	Unset   []string
	Trim    bool
	Replace bool
	Reason  string
	Draft   bool
	At      string
	Wait    bool
	Within  time.Duration
	Key     string // of idempotency
	Yes     bool
	JSON    bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	var within string
	cmd := &cobra.Command{
		Use:   "propose [NAME]",
		Short: "Propose values for an environment, for somebody else to approve",
		Long: `Propose values for an environment of a project, or for the secret NAME. Where a
protection rule holds they wait for approval; where none does they apply at
once.

The values are those of a .env file (default the file of the project, .env), or
of the keys that are named with --set. The value of --set KEY is read from
standard input when that is piped, and otherwise asked for without echo; that of
--set KEY=@FILE is read from the file. A value is never an argument, which other
processes could read.

Other keys stay as they are, and what somebody else does to them meanwhile stays
too. With --replace the keys of the file become the only ones; those that would
go are listed and confirmed first.

When piped, prints the id of the change and its status.`,
		Example: `  countersign propose -r "Add Stripe API key"
  countersign propose -p backend-api -e production -r "Initial secrets" -f prod.env
  countersign propose -r "Rotate" --set DATABASE_URL --unset OLD_DATABASE_URL
  countersign propose -r "New certificate" --set TLS_KEY=@server.key --wait --within 2h`,
		Args:              env.AtMost(1),
		ValidArgsFunction: e.SecretNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				o.Name = args[0]
			}
			if err := o.check(within); err != nil {
				return err
			}
			return run(cmd.Context(), o)
		},
	}
	o.Flags.Add(e, cmd)
	f := cmd.Flags()
	f.StringVarP(&o.Reason, "reason", "r", "", "why: a `TEXT` without secrets, which reviewers see")
	f.StringVarP(&o.File, "file", "f", "", "the variables of a .env `FILE`; - is standard input")
	f.StringArrayVar(&o.Set, "set", nil, "set a `KEY`, or KEY=@FILE; may be repeated")
	f.StringArrayVar(&o.Unset, "unset", nil, "remove a `KEY`; may be repeated")
	f.BoolVar(&o.Trim, "trim", false, "drop one line end at the end of the values of --set")
	f.BoolVar(&o.Replace, "replace", false, "remove the keys that are not given")
	f.BoolVar(&o.Draft, "draft", false, "keep it as a draft, which \"countersign ready\" puts to review")
	f.StringVar(&o.At, "at", "", "take effect at a `TIME`, once approved: 2h, 2026-11-23T22:00:00Z")
	f.BoolVar(&o.Wait, "wait", false, "wait until it is decided; the exit code says how")
	f.StringVar(&within, "within", "", "with --wait: give up after this `LONG`")
	f.StringVar(&o.Key, "idempotency-key", "", "make the same proposal once only, however often it is repeated within a day with this `KEY`")
	f.BoolVarP(&o.Yes, "yes", "y", false, "do not ask")
	env.JSON(cmd, &o.JSON)
	return cmd
}

func (o *Options) check(within string) (err error) {
	switch {
	case o.Reason == "":
		return exit.Usagef("--reason is missing: say why, as in a commit message")
	case o.Wait && o.Draft:
		return exit.Usagef("--draft excludes --wait: nobody reviews a draft")
	case within != "" && !o.Wait:
		return exit.Usagef("--within goes with --wait")
	case o.Replace && o.File == "" && len(o.Set) > 0:
		return exit.Usagef("--replace is for a file: give --file")
	case o.Trim && len(o.Set) == 0:
		return exit.Usagef("--trim goes with --set")
	}
	if within != "" {
		if o.Within, err = when.Duration(within); err != nil {
			return exit.Usagef("--within: %w", err)
		}
	}
	return checkSets(o.Set)
}

// Run proposes.
func Run(ctx context.Context, o *Options) error {
	opts := client.Options{Draft: o.Draft, Key: o.Key}
	if o.At != "" {
		at, err := when.Future(o.At, o.Env.Time())
		if err != nil {
			return exit.Usagef("--at: %w", err)
		}
		opts.NotBefore = at
	}
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	place, err := o.Find(ctx, o.Env, c, o.Name)
	if err != nil {
		return err
	}
	set, err := o.values(ctx, place)
	if err != nil {
		return err
	}
	req := client.PatchRequest{Set: set, Unset: o.Unset, Replace: o.Replace, Reason: o.Reason, Options: opts}
	o.Env.Streams.Notef("Proposing %s for %s", render.Number(len(set)+len(o.Unset), "variable"), table.Clean(place.String()))
	var w client.Written
	if o.Replace && !o.Yes {
		w, err = o.replace(ctx, c, place, req)
	} else {
		w, err = c.Patch(ctx, place.Secret, req)
	}
	if err != nil {
		return err
	}
	return o.report(ctx, c, place, w)
}

// values are what is to be set.
func (o *Options) values(ctx context.Context, p which.Place) (map[string]sensitive.Bytes, error) {
	set := map[string]sensitive.Bytes{}
	if o.File != "" || len(o.Set)+len(o.Unset) == 0 {
		if err := o.fromFile(set); err != nil {
			return nil, err
		}
	}
	return set, o.fromSets(ctx, set, p)
}

// replace makes a draft, by which the server tells which keys would go, and puts
// it to review once that is confirmed. So the author need not be allowed to read
// values.
func (o *Options) replace(ctx context.Context, c *client.Client, p which.Place, req client.PatchRequest) (client.Written, error) {
	if !o.Env.Streams.InTerminal {
		return client.Written{}, exit.Usagef("--replace removes keys, and there is nobody to confirm it: give --yes")
	}
	req.Draft = true
	w, err := c.Patch(ctx, p.Secret, req)
	if err != nil || w.Change == "" {
		return w, err
	}
	ok, err := o.confirmed(ctx, c, w.Change)
	if err == nil && ok && o.Draft {
		return w, nil
	}
	if err == nil && ok {
		var done client.Change
		done, err = c.Ready(ctx, w.Change)
		w.Status, w.Version = done.Status, done.Version
		return w, err
	}
	// Also when the question was interrupted: nobody wants the draft.
	if _, gone := c.Withdraw(context.WithoutCancel(ctx), w.Change, ""); gone != nil {
		return client.Written{}, errors.Join(err, fmt.Errorf("withdrawing the draft %s: %w", w.Change, gone))
	}
	if err != nil {
		return client.Written{}, err
	}
	return client.Written{}, exit.With(exit.Failed, errors.New("nothing was proposed"))
}

func (o *Options) confirmed(ctx context.Context, c *client.Client, id string) (bool, error) {
	r, err := c.GetChange(ctx, id)
	if err != nil {
		return false, err
	}
	var going []client.KeyDiff
	for _, d := range r.Diff {
		if d.Change == "removed" {
			going = append(going, d)
		}
	}
	if len(going) == 0 {
		return true, nil
	}
	o.Env.Streams.Notef("These keys would be removed:")
	r.Diff = going
	o.printer().Keys(r)
	return o.Env.Streams.Confirm(ctx, fmt.Sprintf("Remove %s?", render.Number(len(going), "key")))
}

func (o *Options) printer() render.Printer {
	return render.Printer{Streams: o.Env.Streams, Now: o.Env.Time(), To: o.Env.Streams.Err}
}
