package notify

import (
	"context"
	"net/url"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/audit"
	"countersign/internal/core/gate"
	"countersign/internal/core/notice"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/kv"
	"countersign/internal/name"
)

// Target is a target as it is shown: without URL and signing keys.
type Target struct {
	Name    string    `json:"name"`
	Type    Type      `json:"type"`
	Kinds   []string  `json:"kinds,omitempty"`
	Names   []string  `json:"names,omitempty"`
	Host    string    `json:"host,omitempty"` // scheme and host of the URL, and no more
	To      []string  `json:"to,omitempty"`
	Rotated time.Time `json:"key_made,omitzero"`         // when the signing key was made
	Overlap time.Time `json:"old_key_until,omitzero"`    // until when the one before signs too
	Created time.Time `json:"created"`                   //
	Changed time.Time `json:"changed"`                   //
	By      string    `json:"changed_by"`                // ARN
	Waiting uint64    `json:"waiting"`                   // deliveries in its queue
	Last    time.Time `json:"last_delivered,omitzero"`   //
	Failed  time.Time `json:"last_failed,omitzero"`      //
	Why     string    `json:"why,omitempty"`             // the last attempt failed
	Fails   uint64    `json:"failed_in_a_row,omitempty"` // attempts
}

func when(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

func show(t named, q queue, now time.Time) Target {
	out := Target{Name: t.name, Type: t.Type, Kinds: t.Kinds, Names: t.Names, To: t.To, Created: when(t.Made), Changed: when(t.Changed), By: t.By,
		Waiting: q.Waiting, Last: when(q.Delivered), Failed: when(q.Failed), Why: q.Why, Fails: q.Failures}
	if u, err := url.Parse(string(t.URL)); err == nil && len(t.URL) > 0 {
		out.Host = u.Scheme + "://" + u.Host + "/…"
	}
	if len(t.Keys) > 0 {
		out.Rotated = when(t.Keys[0].Made)
	}
	if len(t.Keys) > 1 && t.Keys[1].Until > now.UnixMicro() {
		out.Overlap = when(t.Keys[1].Until)
	}
	return out
}

// List lists the account's targets by name, with how they fare.
func (s *Service) List(ctx context.Context, who caller.Caller) ([]Target, error) {
	out := []Target{}
	now := time.Now()
	err := s.Gate.View(ctx, who, policy.ListNotifyTargets, "", func(a *gate.Access) error {
		if err := a.Allow(&policy.Request{Op: policy.ListNotifyTargets, Resource: policy.AnyResource, Account: who.Account}, nil); err != nil {
			return err
		}
		list, err := targets(a, who.Account)
		if err != nil {
			return err
		}
		out = out[:0]
		for _, t := range list {
			q, _, err := record.Get[queue](a, place{who.Account, t.name}.queueKey())
			if err != nil {
				return err
			}
			out = append(out, show(t, q, now))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// TestResult is what came of a test.
type TestResult struct {
	Delivered bool   `json:"delivered"`
	Why       string `json:"why,omitempty"` // not
	Delivery  string `json:"delivery"`      // id that the receiver was told
}

// Try sends a notice of kind notify.test to a target, once and now, whatever its
// filters and its queue.
func (s *Service) Try(ctx context.Context, who caller.Caller, n string) (TestResult, error) {
	op := policy.TestNotifyTarget
	if err := name.Principal("name", n); err != nil {
		rec := gate.NewRecord(who, op, "")
		return TestResult{}, s.Gate.Finish(ctx, &rec, err)
	}
	var out TestResult
	req := &policy.Request{Op: op, Resource: policy.NotifyTargetARN(who.Account, n), Account: who.Account}
	err := s.Gate.Do(ctx, who, n, req, func(*audit.Record) error {
		now := time.Now()
		d := delivery{First: now.UnixMicro(), Notice: notice.Notice{ID: audit.NewID(now), Account: who.Account, Time: now.UnixMicro(),
			Kind: notice.Test, Name: n, Actor: who.ARN(), Audience: []string{who.Name}}}
		var t *target
		err := s.db.View(ctx, func(r kv.Reader) (err error) {
			if t, err = getTarget(r, who.Account, n); err != nil || t == nil {
				return err
			}
			d.To, err = s.recipients(r, t, &d.Notice)
			return err
		})
		if err != nil {
			return err
		}
		if t == nil {
			return noTarget()
		}
		d.Made, d.ID = t.Made, deliveryID(&d.Notice, place{who.Account, n}, t.Made)
		res := s.attempt(ctx, t, &d)
		out = TestResult{Delivered: res.why == "", Why: res.why, Delivery: d.ID}
		return nil
	})
	if err != nil {
		return TestResult{}, err
	}
	return out, nil
}
