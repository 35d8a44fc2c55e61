package propose

import (
	"context"
	"errors"
	"fmt"
	"time"

	"countersign/internal/cli/change/which"
	"countersign/internal/cli/exit"
	"countersign/internal/cli/table"
	"countersign/internal/client"
	"countersign/internal/errs"
)

// report says what became of the proposal, and waits when that is asked for.
func (o *Options) report(ctx context.Context, c *client.Client, p which.Place, w client.Written) error {
	s := o.Env.Streams
	if w.Change == "" {
		s.Notef("nothing to change: %s has these values already", table.Clean(p.String()))
		if o.JSON {
			return table.JSON(s.Out, w)
		}
		return nil
	}
	r, seen := o.review(ctx, c, w)
	if w.Status == client.Applied {
		s.Notef("Applied: %s", r.Short)
	} else {
		s.Notef("Change proposed: %s", r.Short)
	}
	if seen {
		s.Notef("\nChanges detected:")
		o.printer().Keys(r)
		s.Notef("")
	}
	switch w.Status {
	case client.Applied:
		s.Notef("No protection rule holds, so the change took effect at once.")
	case client.Draft:
		s.Notef("It is a draft. Run: countersign ready --id %s", r.Short)
	case client.Approved:
		s.Notef("It takes effect at %s.", table.Time(s, r.NotBefore))
	default:
		s.Notef("Run: countersign review --id %s", r.Short)
	}
	if o.Wait && w.Status != client.Applied {
		return o.wait(ctx, c, r.Change)
	}
	return o.print(r.Change)
}

// review is the change as it stands. Who proposes may not be allowed to read
// it; seen tells.
func (o *Options) review(ctx context.Context, c *client.Client, w client.Written) (r client.Review, seen bool) {
	r, err := c.GetChange(ctx, w.Change)
	if err != nil {
		return client.Review{Change: client.Change{ID: w.Change, Short: w.Change, Name: w.Name, Status: w.Status, Version: w.Version}}, false
	}
	return r, true
}

// print gives programs the change and its status.
func (o *Options) print(c client.Change) error {
	s := o.Env.Streams
	switch {
	case o.JSON:
		return table.JSON(s.Out, c)
	case s.OutTerminal:
		return nil
	}
	t := table.New(s, "ID", "STATUS")
	t.Row(c.ID, c.Status)
	return t.Flush()
}

// Polling begins often and slows down.
const (
	pollFirst = time.Second
	pollLast  = 15 * time.Second
)

// wait polls until the change is decided, and ends with a code that says how.
func (o *Options) wait(ctx context.Context, c *client.Client, last client.Change) error {
	var end <-chan time.Time
	if o.Within > 0 {
		t := time.NewTimer(o.Within)
		defer t.Stop()
		end = t.C
	}
	said := ""
	for pause := pollFirst; ; pause = min(pause*3/2, pollLast) {
		r, err := c.GetChange(ctx, last.ID)
		switch {
		case client.Is(err, errs.Unavailable) || client.Is(err, errs.Throttled): // it may come back
			if said == "" {
				o.Env.Streams.Notef("waiting: %s", err)
			}
			said = "unreachable"
		case err != nil:
			return err
		default:
			last = r.Change
			if r.Conflict != "" && client.Open(last.Status) {
				last.Status = client.Conflicted
			}
			if code, over := outcome(last.Status); over {
				return o.end(last, code)
			}
			if said != last.Status {
				o.Env.Streams.Notef("waiting: the change is %s", last.Status)
			}
			said = last.Status
		}
		select {
		case <-time.After(pause):
		case <-end:
			return o.end(last, exit.Waiting)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// outcome is the exit code of a decided change.
func outcome(status string) (code exit.Code, over bool) {
	switch status {
	case client.Applied:
		return exit.OK, true
	case client.Rejected:
		return exit.Rejected, true
	case client.Withdrawn:
		return exit.Withdrawn, true
	case client.Expired:
		return exit.Expired, true
	case client.Conflicted:
		return exit.Conflicted, true
	}
	return exit.OK, false
}

func (o *Options) end(c client.Change, code exit.Code) error {
	err := o.print(c)
	if err == nil && code == exit.OK {
		o.Env.Streams.Notef("applied as version %d", c.Version)
		return nil
	}
	why := error(fmt.Errorf("the change is %s", c.Status))
	if code == exit.Waiting {
		why = fmt.Errorf("the change is %s still, after %s", c.Status, o.Within)
	}
	return errors.Join(err, exit.With(code, why))
}
