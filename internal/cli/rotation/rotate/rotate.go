// Package rotate is the command "countersign rotate".
package rotate

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
	"countersign/internal/cli/table"
	"countersign/internal/client"
)

// Options of the command.
type Options struct {
	Env      *env.Env
	Names    []string
	Tags     []string // k=v; all must be on a secret
	Revoke   string
	DryRun   bool
	Rehearse string
	NoWait   bool
	Within   time.Duration
	Reason   string
	JSON     bool
	// Every is how often it is looked how far a rotation is. Default half a second.
	Every time.Duration
}

// NewCmd makes the command; run stands in for Run in tests.
func NewCmd(e *env.Env, run func(context.Context, *Options) error) *cobra.Command {
	o := &Options{Env: e}
	if run == nil {
		run = Run
	}
	cmd := &cobra.Command{
		Use:   "rotate NAME... | rotate --tag KEY=VALUE",
		Short: "Rotate secrets now",
		Long: `Rotate secrets now, the way that "countersign rotation set" says, and wait for
the end. The server makes the new value: nobody sees it here.

The answer says what became of the previous credential. With --revoke-previous
now it ends as soon as the new one is current, also where it was promised a
grace.

--dry-run alters nothing: it checks the settings, the secrets that they name,
that a new value can be made, and that the target accepts the current one.
--rehearse-on NAME goes through all steps on the target of that scratch secret,
and takes them back.`,
		Example: `  countersign rotate myapp/database
  countersign rotate --tag team=payments
  countersign rotate myapp/database --dry-run
  countersign rotate leaked/key --revoke-previous now -r "leaked in a log"`,
		ValidArgsFunction: e.SecretNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Names = args
			if err := o.check(); err != nil {
				return err
			}
			return run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.Tags, "tag", nil, "all secrets with the tag `KEY=VALUE` that are rotated; repeat it for secrets with all of them")
	f.StringVar(&o.Revoke, "revoke-previous", "grace", "end the previous credential `WHEN`: now, or after its grace")
	f.BoolVar(&o.DryRun, "dry-run", false, "only check whether it could be done")
	f.StringVar(&o.Rehearse, "rehearse-on", "", "go through the steps on the target of the scratch secret `NAME`, and take them back")
	f.BoolVar(&o.NoWait, "no-wait", false, "do not wait for the end")
	f.DurationVar(&o.Within, "within", 10*time.Minute, "wait so `LONG` for the end of each")
	f.StringVarP(&o.Reason, "reason", "r", "", "why, for the record: a `TEXT` without secrets")
	env.JSON(cmd, &o.JSON)
	return cmd
}

func (o *Options) check() error {
	switch {
	case len(o.Names) == 0 && len(o.Tags) == 0:
		return exit.Usagef("give the NAME of a secret, or --tag KEY=VALUE")
	case len(o.Names) > 0 && len(o.Tags) > 0:
		return exit.Usagef("give either names or --tag")
	case o.Rehearse != "" && len(o.Names) != 1:
		return exit.Usagef("--rehearse-on takes one NAME")
	}
	for _, t := range o.Tags {
		if k, _, ok := strings.Cut(t, "="); !ok || k == "" {
			return exit.Usagef("--tag is KEY=VALUE, not %q", t)
		}
	}
	return env.Choice("revoke-previous", o.Revoke, "now", "grace")
}

// Run rotates.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	names := o.Names
	if len(o.Tags) > 0 {
		if names, err = o.tagged(ctx, c); err != nil {
			return err
		}
		if len(names) == 0 {
			return exit.With(exit.NotFound, fmt.Errorf("no secret that is rotated has the tag %s", strings.Join(o.Tags, " and ")))
		}
	}
	if o.DryRun || o.Rehearse != "" {
		return o.dryRun(ctx, c, names)
	}
	return o.rotate(ctx, c, names)
}

// tagged are the secrets with all tags that something is configured to rotate.
func (o *Options) tagged(ctx context.Context, c *client.Client) (names []string, err error) {
	key, _, _ := strings.Cut(o.Tags[0], "=")
	items, _, err := env.All(0, func(limit int, page string) (client.Page[client.Secret], error) {
		return c.ListSecrets(ctx, client.ListOptions{Filters: []string{"tag-key:" + key}, Sort: "name", Limit: limit, Page: page})
	})
	if err != nil {
		return nil, err
	}
	for _, s := range items {
		all := len(s.Rotation) > 0
		for _, t := range o.Tags {
			k, v, _ := strings.Cut(t, "=")
			got, ok := s.Tags[k]
			all = all && ok && got == v
		}
		if all {
			names = append(names, s.Name)
		}
	}
	return names, nil
}

// Result is what became of one rotation.
type Result struct {
	Name string `json:"name"`
	client.Written
	Outcome *client.RotationOutcome `json:"outcome,omitempty"`
	State   string                  `json:"state,omitempty"`
	Error   string                  `json:"error,omitempty"`
}

// rotate rotates one after the other. One that fails does not keep the rest from it.
func (o *Options) rotate(ctx context.Context, c *client.Client, names []string) error {
	var results []Result
	var first error
	for _, n := range names {
		r, err := o.one(ctx, c, n)
		if err != nil && first == nil {
			first = err
		}
		if err != nil {
			r.Error = exit.Message(ctx, err)
			if len(names) > 1 && !o.JSON {
				o.Env.Streams.Notef("%s: %s", n, r.Error)
			}
		}
		r.Name = n
		if results = append(results, r); ctx.Err() != nil {
			break
		}
	}
	if o.JSON {
		if err := table.JSON(o.Env.Streams.Out, results); err != nil {
			return err
		}
	}
	if len(names) > 1 && first != nil && !o.JSON {
		return exit.Silently(exit.Of(ctx, first))
	}
	return first
}

func (o *Options) one(ctx context.Context, c *client.Client, n string) (Result, error) {
	w, err := c.Rotate(ctx, n, o.Revoke, o.Reason)
	r := Result{Written: w}
	if err != nil {
		return r, err
	}
	if client.Open(w.Status) {
		if !o.JSON {
			o.Env.Waits(w.Outcome())
		}
		return r, nil
	}
	if o.NoWait {
		if !o.JSON {
			o.Env.Streams.Notef("rotating %q: version %d is being made", n, w.Version)
		}
		return r, nil
	}
	return o.wait(ctx, c, n, r)
}

// wait looks how far it is, until it is over.
func (o *Options) wait(ctx context.Context, c *client.Client, n string, r Result) (Result, error) {
	every := o.Every
	if every == 0 {
		every = 500 * time.Millisecond
	}
	until := time.Now().Add(o.Within)
	said := ""
	for {
		st, err := c.Rotation(ctx, n)
		if err != nil {
			return r, err
		}
		r.State = st.State
		for i := range st.History {
			if h := &st.History[i]; h.VersionID == r.VersionID && h.Result != "retired" {
				r.Outcome = h
				return r, o.tell(n, h)
			}
		}
		if st.Run != nil && st.Run.Failure != nil && !o.JSON {
			if f := st.Run.Failure.Step + ": " + st.Run.Failure.Message; f != said {
				o.Env.Streams.Notef("%s: attempt %d at %s", n, st.Run.Attempt-1, f)
				said = f
			}
		}
		if time.Now().After(until) {
			return r, exit.With(exit.Waiting, fmt.Errorf("the rotation of %q is not over yet; see \"countersign rotation show %s\"", n, n))
		}
		select {
		case <-ctx.Done():
			return r, ctx.Err()
		case <-time.After(every):
		}
	}
}

// tell says how it ended.
func (o *Options) tell(n string, h *client.RotationOutcome) error {
	why := "it failed"
	if h.Failure != nil {
		why = fmt.Sprintf("%s failed: %s", h.Failure.Step, h.Failure.Message)
	}
	switch h.Result {
	case "rotated":
		if !o.JSON {
			o.Env.Streams.Notef("rotated %q: version %d is current; the previous credential: %s", n, h.Version, h.Previous)
		}
		return nil
	case "stopped":
		return exit.With(exit.Failed, fmt.Errorf("%q was not rotated: %s. What it made is kept under AWSPENDING, and the next rotation goes on with it", n, why))
	case "cancelled":
		return exit.With(exit.Withdrawn, fmt.Errorf("the rotation of %q was cancelled; what was current still is", n))
	}
	return exit.With(exit.Failed, fmt.Errorf("%q was not rotated: %s. What was current still is, and works", n, why))
}

// dryRun prints reports.
func (o *Options) dryRun(ctx context.Context, c *client.Client, names []string) error {
	var reports []client.RotationReport
	ok := true
	for _, n := range names {
		r, err := c.DryRunRotation(ctx, n, o.Rehearse)
		if err != nil {
			return err
		}
		ok = ok && r.OK
		reports = append(reports, r)
	}
	if o.JSON {
		if err := table.JSON(o.Env.Streams.Out, reports); err != nil {
			return err
		}
	} else {
		t := table.New(o.Env.Streams, "SECRET", "STEP", "RESULT", "TOOK", "WHY")
		for _, r := range reports {
			for _, s := range r.Steps {
				result, why := "ok", ""
				if s.Failure != nil {
					result, why = s.Failure.Class, s.Failure.Message
				}
				t.Row(r.Name, s.Step, result, (time.Duration(s.Micros) * time.Microsecond).String(), why)
			}
		}
		if err := t.Flush(); err != nil {
			return err
		}
		for _, r := range reports {
			if r.OK {
				o.Env.Streams.Notef("%q could be rotated; of the previous credential: %s", r.Name, r.Previous)
			} else {
				o.Env.Streams.Notef("%q could not be rotated now", r.Name)
			}
		}
	}
	if !ok {
		return exit.Silently(exit.Failed)
	}
	return nil
}
