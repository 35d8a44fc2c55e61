package notify

import (
	"context"
	"strconv"
	"strings"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/notice"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
)

// Letter is a dead letter as it is shown: what could not be delivered, where, and
// why.
type Letter struct {
	ID       string      `json:"id"`
	Target   string      `json:"target"`
	Type     Type        `json:"type"`
	Kind     notice.Kind `json:"kind"`
	Change   string      `json:"change,omitempty"`
	Noun     string      `json:"noun,omitempty"`
	Name     string      `json:"name,omitempty"`
	Time     time.Time   `json:"time"` // of what it tells
	Died     time.Time   `json:"died"`
	Attempts int         `json:"attempts"`
	Why      string      `json:"why"`
}

func (l *letter) show() Letter {
	n := &l.Delivery.Notice
	return Letter{ID: l.Delivery.ID, Target: l.Target, Type: l.Type, Kind: n.Kind, Change: n.Change, Noun: n.Noun, Name: n.Name,
		Time: n.When(), Died: when(l.Died), Attempts: l.Delivery.Attempts, Why: l.Delivery.Why}
}

// mark is where a page of dead letters ends: the newest come first.
func (l *letter) mark() string { return strconv.FormatInt(l.Died, 10) + " " + l.Delivery.ID }

// before is the range of those that come after a mark.
func before(account, mark string) (kv.Range, error) {
	rng := kv.Prefix(deadPrefix(account))
	rng.Reverse = true
	if mark == "" {
		return rng, nil
	}
	died, id, ok := strings.Cut(mark, " ")
	at, err := strconv.ParseInt(died, 10, 64)
	if !ok || err != nil || at < 0 || len(id) > maxID {
		return rng, errs.InvalidField("page", "that is not a page of this listing")
	}
	rng.End = deadKey(account, at, id)
	return rng, nil
}

// Letters lists the account's dead letters, the newest first, at most limit and
// those after a mark. next is the mark for the page that follows, empty at the
// end.
func (s *Service) Letters(ctx context.Context, who caller.Caller, after string, limit int) (out []Letter, next string, err error) {
	err = s.Gate.View(ctx, who, policy.ListDeadLetters, "", func(a *gate.Access) error {
		if err := a.Allow(&policy.Request{Op: policy.ListDeadLetters, Resource: policy.AnyResource, Account: who.Account}, nil); err != nil {
			return err
		}
		out, next = nil, ""
		rng, err := before(who.Account, after)
		if err != nil {
			return err
		}
		var last letter
		for e, err := range record.Scan[letter](a, rng) {
			if err != nil {
				return err
			}
			if len(out) == limit {
				next = last.mark()
				break
			}
			last = e.Value
			out = append(out, last.show())
		}
		return nil
	})
	if err != nil {
		return nil, "", err
	}
	return out, next, nil
}

// maxID bounds what is looked for as the id of a dead letter.
const maxID = 80

// Replay puts a dead letter back into its target's queue, as if nothing had been
// attempted. id is its id, or enough of the beginning to be the only one. The
// delivery keeps its id.
func (s *Service) Replay(ctx context.Context, who caller.Caller, id, reason string) (Letter, error) {
	if id == "" || len(id) > maxID || strings.Trim(id, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz.-") != "" {
		rec := gate.NewRecord(who, policy.ReplayDeadLetter, "")
		return Letter{}, s.Gate.Finish(ctx, &rec, errs.InvalidField("id", "the id of a dead letter is letters, digits, dots and hyphens"))
	}
	var out Letter
	_, err := s.Changes.Submit(ctx, who, change.Request{Reason: reason, Edit: &edit{op: policy.ReplayDeadLetter, resource: policy.AccountARN(who.Account),
		target: change.Target{Account: who.Account, Noun: "dead-letter", Name: id},
		do: func(tx *change.Tx) error {
			key, l, err := findLetter(tx, who.Account, id)
			if err != nil {
				return err
			}
			out = l.show()
			return replay(tx, who.Account, key, l)
		}}})
	if err != nil {
		return Letter{}, err
	}
	s.wake()
	return out, nil
}

// findLetter finds the only dead letter whose id begins so. There are few of
// them.
func findLetter(r kv.Reader, account, id string) (found kv.Key, l letter, err error) {
	for e, err := range record.Scan[letter](r, kv.Prefix(deadPrefix(account))) {
		switch {
		case err != nil:
			return nil, l, err
		case !strings.HasPrefix(e.Value.Delivery.ID, id):
			continue
		case e.Value.Delivery.ID == id:
			return append(kv.Key{}, e.Key...), e.Value, nil
		case found != nil:
			return nil, l, errs.InvalidField("id", "several dead letters begin with that id")
		}
		found, l = append(kv.Key{}, e.Key...), e.Value
	}
	if found == nil {
		return nil, l, errs.Coded(errs.NotFound, CodeLetter, "there is no such dead letter")
	}
	return found, l, nil
}

func replay(tx *change.Tx, account string, key kv.Key, l letter) error {
	t, err := getTarget(tx, account, l.Target)
	if err != nil {
		return err
	}
	if t == nil {
		return errs.Coded(errs.Precondition, CodeTarget, "its target %q is gone", l.Target)
	}
	p := place{account, l.Target}
	q, _, err := record.Get[queue](tx, p.queueKey())
	if err != nil {
		return err
	}
	if q.Waiting >= MaxQueue {
		return errs.New(errs.Limit, "%d deliveries wait for target %q already", MaxQueue, l.Target)
	}
	if err := dropDead(tx, place{account, ""}, []kv.Key{key}); err != nil {
		return err
	}
	d := l.Delivery
	d.Attempts, d.First, d.Made, d.Why = 0, tx.Now.UnixMicro(), t.Made, ""
	return enqueue(tx, p, t.Type, d, tx.Now)
}
