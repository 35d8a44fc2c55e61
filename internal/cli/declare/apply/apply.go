// Package apply is the command "countersign apply".
package apply

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"countersign/internal/cli/declare/plan"
	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
	"countersign/internal/cli/table"
	"countersign/internal/client"
	"countersign/internal/errs"
)

// Options of the command.
type Options struct {
	Env    *env.Env
	Files  []string
	Reason string
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
		Use:   "apply -f FILE",
		Short: "Make secrets be as a file declares them",
		Long: `Make secrets, their rotation and the protection rules be as a file declares
them. What the file does not name is left alone, and nothing is deleted. First
come the secrets, in their order, then the rules. What is refused is told, and
the rest is done.

What needs approval is proposed, and shown as waiting. While it waits, applying
the file again does not propose it again.

A file never holds a value: what it declares is made without one, and listed
until somebody sets it with "countersign put".`,
		Example: `  countersign apply -f secrets.yaml
  countersign apply -f secrets.yaml -y -r "Onboard the payments team"`,
		Args: env.AtMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return run(cmd.Context(), o)
		},
	}
	plan.AddFiles(cmd, &o.Files)
	cmd.Flags().StringVarP(&o.Reason, "reason", "r", "", "why, for the record: a `TEXT` without secrets")
	cmd.Flags().BoolVarP(&o.Yes, "yes", "y", false, "do not ask")
	env.JSON(cmd, &o.JSON)
	return cmd
}

// Done is an item and what became of it.
type Done struct {
	*plan.Item
	Result string `json:"result"`
}

// Results of an item.
const (
	Applied = "applied"
	Waiting = "waiting"
	Failed  = "failed"
)

// Run applies.
func Run(ctx context.Context, o *Options) error {
	c, err := o.Env.Connect()
	if err != nil {
		return err
	}
	p, err := plan.Make(ctx, o.Env, c, o.Files)
	if err != nil {
		return err
	}
	s := o.Env.Streams
	if !o.JSON && (!o.Yes || !p.Differs()) { // what -y does is told once it is done
		p.Print(o.Env)
	}
	if p.Differs() && !o.Yes {
		if !s.InTerminal || o.JSON {
			return exit.Usagef("there is no terminal to ask on, or --json is given; say that it is to be done with --yes")
		}
		yes, err := s.Confirm(ctx, "Do this?")
		if err != nil {
			return err
		}
		if !yes {
			s.Notef("nothing was done")
			return nil
		}
	}
	done, first := o.all(ctx, c, p)
	if o.JSON {
		err = table.JSON(s.Out, struct {
			Items     []Done   `json:"items"`
			Unchanged int      `json:"unchanged"`
			Valueless []string `json:"waiting_for_value"`
		}{done, p.Unchanged, p.Valueless})
	} else {
		err = o.print(p, done)
	}
	if first != nil {
		return exit.Silently(exit.Of(ctx, first))
	}
	return err
}

// all does one item after the other. first is the first error.
func (o *Options) all(ctx context.Context, c *client.Client, p *plan.Plan) (done []Done, first error) {
	done = []Done{}
	absent := map[string]string{} // secrets that are not made yet, and why
	for _, it := range p.Items {
		if it.Err == nil && it.Change == "" {
			if why := absent[it.Name]; why != "" && it.What != plan.Protection {
				it.Err = exit.With(exit.Conflict, errors.New(why))
			} else {
				o.one(ctx, c, it)
			}
		}
		d := Done{it, Applied}
		switch {
		case it.Err != nil && absent[it.Name] == waits:
			d.Result, it.Error, it.Err = Waiting, waits, nil
		case it.Err != nil:
			d.Result, it.Error = Failed, exit.Message(ctx, it.Err)
			if first == nil {
				first = it.Err
			}
		case client.Open(it.Status):
			d.Result = Waiting
		}
		if it.What == plan.Create && d.Result != Applied {
			absent[it.Name] = waits
			if d.Result == Failed {
				absent[it.Name] = "the secret could not be made"
			}
		}
		done = append(done, d)
		if ctx.Err() != nil {
			return done, ctx.Err()
		}
	}
	return done, first
}

const waits = "first the secret has to be made, which waits for approval"

// one does an item.
func (o *Options) one(ctx context.Context, c *client.Client, it *plan.Item) {
	reason := it.Mark()
	if o.Reason != "" {
		reason = o.Reason + " (" + reason + ")"
	}
	var out client.Outcome
	switch it.What {
	case plan.Create:
		out, it.Err = once(it, func(key string) (client.Outcome, error) { return create(ctx, c, it, reason, key) })
	case plan.Update:
		req := client.UpdateRequest{Reason: reason}
		for i, f := range it.Fields {
			to := &it.Fields[i].New
			switch f.Name {
			case "description":
				req.Description = to
			case "kms_key":
				req.KMSKey = to
			case "type":
				req.Type = to
			}
		}
		out, it.Err = once(it, func(key string) (client.Outcome, error) {
			req.Key = key
			w, err := c.Update(ctx, it.Name, req)
			return w.Outcome(), err
		})
	case plan.Tags:
		var w client.Written
		w, it.Err = c.Tag(ctx, it.Name, it.TagsToSet(), reason)
		out = w.Outcome()
	case plan.Rotation:
		var w client.Written
		w, it.Err = c.PutRotation(ctx, it.Name, *it.Secret.Rotation, reason)
		out = w.Outcome()
	case plan.Replicas:
		out, it.Err = replicate(ctx, c, it, reason)
	case plan.NoReplicas:
		var w client.Written
		w, it.Err = c.RemoveReplicas(ctx, it.Name, it.Regions(), reason)
		out = w.Outcome()
	case plan.Schema:
		out, it.Err = setSchema(ctx, c, it, reason)
	case plan.Protection:
		out, it.Err = once(it, func(key string) (client.Outcome, error) {
			r, err := c.PutRules(ctx, client.RuleChange{Set: &it.Rule.Rule, Reason: reason, Key: key})
			return client.Outcome(r), err
		})
	}
	if it.Err == nil && client.Open(out.Status) {
		it.Change, it.Status = out.Change, out.Status
	}
}

// replicate adds replicas. Where another secret has the name, it is left alone, and
// that is an error.
func replicate(ctx context.Context, c *client.Client, it *plan.Item, reason string) (client.Outcome, error) {
	var to []client.Replica
	for _, r := range it.Regions() {
		to = append(to, client.Replica{Region: r})
	}
	w, err := c.Replicate(ctx, it.Name, to, reason)
	for _, r := range w.Replicas {
		if r.Message != "" && slices.Contains(it.Regions(), r.Region) {
			err = exit.With(exit.Conflict, errors.New(r.Message))
		}
	}
	return w.Outcome(), err
}

// setSchema sets the schema of a secret, or removes it.
func setSchema(ctx context.Context, c *client.Client, it *plan.Item, reason string) (client.Outcome, error) {
	document := *it.Secret.Schema
	if document == "" {
		w, err := c.DeleteSchema(ctx, it.Name, reason)
		return w.Outcome(), err
	}
	return once(it, func(key string) (client.Outcome, error) {
		w, err := c.PutSchema(ctx, it.Name, client.SchemaRequest{Document: document, Reason: reason, Key: key})
		return w.Outcome(), err
	})
}

// attempts bounds how many ended changes of the same request are stepped over.
const attempts = 8

// once sends a request with a key that follows from what is asked for and from what
// the server had, so that a repeated one is the same. A change of that key that has
// ended without effect makes room for a new one.
func once(it *plan.Item, send func(key string) (client.Outcome, error)) (out client.Outcome, err error) {
	seed := it.Mark() + "\n" + it.Revised
	for range attempts {
		sum := sha256.Sum256([]byte(seed))
		out, err = send("apply-" + hex.EncodeToString(sum[:16]))
		if err != nil || out.Status == "" || out.Status == client.Applied || client.Open(out.Status) {
			return out, err
		}
		seed += "\n" + out.Change
	}
	return out, exit.With(exit.Conflict, errors.New("the change was ended too often; try again later"))
}

// create makes a secret. That it was made once and deleted since is no success.
func create(ctx context.Context, c *client.Client, it *plan.Item, reason, key string) (client.Outcome, error) {
	s := it.Secret
	req := client.CreateRequest{Name: s.Name, Tags: s.Tags, Reason: reason, Key: key}
	for _, f := range []struct {
		to   *string
		from *string
	}{{&req.Description, s.Description}, {&req.KMSKey, s.KMSKey}, {&req.Type, s.Type}} {
		if f.from != nil {
			*f.to = *f.from
		}
	}
	for _, r := range s.Replicas {
		req.Replicas = append(req.Replicas, client.Replica{Region: r})
	}
	w, err := c.Create(ctx, req)
	out := w.Outcome()
	if err == nil && out.Status == client.Applied {
		if _, err := c.Describe(ctx, s.Name); client.Is(err, errs.NotFound) {
			out.Status = client.Expired // of the time before
		}
	}
	return out, err
}

func (o *Options) print(p *plan.Plan, done []Done) error {
	s := o.Env.Streams
	t := table.New(s, "RESULT", "WHAT", "NAME", "FIELDS", "CHANGE", "WHY")
	count := map[string]int{}
	for _, d := range done {
		count[d.Result]++
		var fields []string
		for _, f := range d.Fields {
			fields = append(fields, f.Name)
		}
		t.Row(d.Result, d.What, d.Name, strings.Join(fields, ", "), d.Change, d.Error)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if len(done) > 0 {
		s.Notef("%d applied, %d waiting, %d failed, %d unchanged", count[Applied], count[Waiting], count[Failed], p.Unchanged)
	}
	for _, d := range done {
		if d.Result == Waiting && d.Change != "" {
			s.Notef("awaits approval: countersign review --id %s", d.Change)
		}
	}
	p.Waits(o.Env)
	return nil
}
