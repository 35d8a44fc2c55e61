// Package rollback is the command "countersign rollback".
package rollback

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"countersign/internal/cli/change/decide"
	"countersign/internal/cli/change/render"
	"countersign/internal/cli/change/which"
	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
	"countersign/internal/cli/table"
	"countersign/internal/cli/when"
	"countersign/internal/client"
)

// Options of the command.
type Options struct {
	Env  *env.Env
	Name string // of a secret; empty for the environment in force
	which.Change
	To     string // version or time
	Reason string
	Key    string // of idempotency
	Yes    bool
	JSON   bool
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "rollback [NAME]",
		Short: "Undo a change, or bring an earlier version back",
		Long: `Undo a change, or bring an earlier version back: of the environment in force, or
of the secret NAME. What comes back is a new version, with a change of its own
that waits for approval where a protection rule holds.

--id and --latest undo what one change did to each key, and keep what later
changes did to other keys; where a later one changed the same key, that is a
conflict. --to brings back all of a version, however old, or of what was current
at a time.`,
		Example: `  countersign rollback --latest -r "Stripe key was for wrong environment"
  countersign rollback --id 01KB2Y6V8M -r "Broke payment processing" -y
  countersign rollback myapp/database --to 3 -r "Last good"
  countersign rollback -p backend-api -e production --to 2026-11-23T08:00:00Z -r "Before the incident"`,
		Args:              env.AtMost(1),
		ValidArgsFunction: e.SecretNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				o.Name = args[0]
			}
			if err := o.check(); err != nil {
				return err
			}
			return run(cmd.Context(), o)
		},
	}
	o.Change.Add(e, cmd, "the change that made the value what it is now")
	f := cmd.Flags()
	f.StringVar(&o.To, "to", "", "a `VERSION` by its number, or a time: 1h, 2026-11-23T08:00:00Z")
	f.StringVarP(&o.Reason, "reason", "r", "", "why: a `TEXT` without secrets, which reviewers see")
	f.StringVar(&o.Key, "idempotency-key", "", "roll back once only, however often it is repeated within a day with this `KEY`")
	f.BoolVarP(&o.Yes, "yes", "y", false, "do not ask")
	env.JSON(cmd, &o.JSON)
	return cmd
}

func (o *Options) check() error {
	given := 0
	for _, is := range []bool{o.ID != "", o.Latest, o.To != ""} {
		if is {
			given++
		}
	}
	switch {
	case given != 1:
		return exit.Usagef("give one of --id ID, --latest and --to VERSION or TIME")
	case o.ID != "" && (o.Name != "" || o.Project != "" || o.Flags.Env != ""):
		return exit.Usagef("--id names the change alone")
	case o.Reason == "":
		return exit.Usagef("--reason is missing: say why, as in a commit message")
	}
	return nil
}

// Run rolls back.
func Run(ctx context.Context, o *Options) error {
	if err := decide.Able(o.Env, o.Yes); err != nil {
		return err
	}
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	req := client.RollbackRequest{Reason: o.Reason, Options: client.Options{Key: o.Key}}
	var place which.Place
	if o.ID == "" {
		if place, err = o.Find(ctx, o.Env, c, o.Name); err != nil {
			return err
		}
		req.Name = place.Secret
	}
	if o.To != "" {
		err = o.target(ctx, place, &req)
	} else {
		err = o.undo(ctx, c, place, &req)
	}
	if err != nil {
		return err
	}
	w, err := c.Rollback(ctx, req)
	if err != nil {
		return err
	}
	return o.report(ctx, c, req, w)
}

// target reads --to, and asks.
func (o *Options) target(ctx context.Context, p which.Place, req *client.RollbackRequest) error {
	what := ""
	if n, err := strconv.ParseUint(o.To, 10, 64); err == nil && n > 0 {
		req.Version, what = n, fmt.Sprintf("version %d", n)
	} else {
		t, err := when.Past(o.To, o.Env.Time())
		if err != nil {
			return exit.Usagef("--to: %q is no version and no time; give one like 3, 1h or 2026-11-23T08:00:00Z", o.To)
		}
		req.Time, what = t, "what was current at "+table.Time(o.Env.Streams, t)
	}
	return decide.Ask(ctx, o.Env, o.Yes, fmt.Sprintf("Roll %s back to %s?", table.Clean(p.String()), what))
}

// undo shows the change that is to be undone, and asks.
func (o *Options) undo(ctx context.Context, c *client.Client, p which.Place, req *client.RollbackRequest) error {
	id, err := o.Applied(ctx, c, p)
	if err != nil {
		return err
	}
	r, err := c.GetChange(ctx, id)
	if err != nil {
		return err
	}
	req.Name, req.Change = "", r.ID // the change knows what it changed, and in which region
	show := decide.Printer(ctx, o.Env, c, o.JSON || !o.Env.Streams.OutTerminal)
	if err := show.Header(r); err != nil {
		return err
	}
	show.Keys(r)
	return decide.Ask(ctx, o.Env, o.Yes, "Roll back this change?")
}

// report says what became of it, with the keys that really change.
func (o *Options) report(ctx context.Context, c *client.Client, req client.RollbackRequest, w client.Written) error {
	s := o.Env.Streams
	if w.Change == "" {
		return decide.Say(o.Env, o.JSON, w, "nothing to change: that is what is current")
	}
	done := client.Change{ID: w.Change, Short: w.Change, Name: w.Name, Status: w.Status, Version: w.Version}
	r, err := c.GetChange(ctx, w.Change)
	if err == nil { // who rolls back may not be allowed to read changes
		done = r.Change
	}
	what := "change " + req.Change
	if req.Change == "" {
		what = table.Clean(w.Name)
	}
	if w.Status == client.Applied {
		s.Notef("Rolled back %s", what)
	} else {
		s.Notef("Rollback of %s proposed: %s", what, done.Short)
	}
	render.Printer{Streams: s, Now: o.Env.Time(), To: s.Err}.Keys(r)
	if w.Status != client.Applied {
		s.Notef("Run: countersign review --id %s", done.Short)
	}
	switch {
	case o.JSON:
		return table.JSON(s.Out, done)
	case s.OutTerminal:
		return nil
	}
	t := table.New(s, "ID", "STATUS")
	t.Row(done.ID, done.Status)
	return t.Flush()
}
