package notify

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"countersign/internal/core/record"
	"countersign/internal/kv"
)

// item is one delivery that is due, with its place in the queue.
type item struct {
	key kv.Key
	delivery
}

// work makes batches of attempts for one target, until none is due, one failed, or
// others should have a turn. It reports whether something may be due still.
func (s *Service) work(ctx context.Context, p place) (more bool) {
	for range maxBatches {
		t, items, err := s.batch(ctx, p, time.Now())
		if err != nil || len(items) == 0 {
			s.complain(ctx, "reading a queue of notices", p, err)
			return false
		}
		if t == nil {
			if err := s.drop(ctx, p, items); err != nil {
				s.complain(ctx, "clearing the queue of a target that is gone", p, err)
				return false
			}
			continue
		}
		if failed := s.attemptAll(ctx, p, t, items); failed || ctx.Err() != nil {
			return true
		}
	}
	return true
}

func (s *Service) complain(ctx context.Context, what string, p place, err error) {
	if err != nil && ctx.Err() == nil {
		s.Logger.Error(what, "account", p.account, "target", p.name, "error", err)
	}
}

// droppedAtOnce is how many deliveries of a target that is gone one transaction
// deletes.
const droppedAtOnce = 64

// batch reads the target and what is due first. Of a target that is gone, or that
// is another one by now than when these were queued, t is nil and the items are
// to be dropped, due or not.
func (s *Service) batch(ctx context.Context, p place, now time.Time) (t *target, items []item, err error) {
	err = s.db.View(ctx, func(r kv.Reader) error {
		items = nil
		var err error
		if t, err = getTarget(r, p.account, p.name); err != nil {
			return err
		}
		rng := kv.Prefix(p.prefix())
		if t != nil {
			rng.End = p.prefix().Num(uint64(now.UnixMicro()) + 1)
		}
		for e, err := range record.Scan[delivery](r, rng) {
			if err != nil {
				return err
			}
			stale := t == nil || e.Value.Made != t.Made
			if stale && t != nil && len(items) == 0 {
				t = nil
			}
			if stale != (t == nil) || len(items) == atOnce && t != nil || len(items) == droppedAtOnce {
				break
			}
			items = append(items, item{append(kv.Key{}, e.Key...), e.Value})
		}
		return nil
	})
	return t, items, err
}

func (s *Service) drop(ctx context.Context, p place, items []item) error {
	_, err := s.db.Update(ctx, func(tx kv.Txn) error {
		q, _, err := record.Get[queue](tx, p.queueKey())
		if err != nil {
			return err
		}
		n := 0
		for i := range items {
			there, err := record.Find[delivery](tx, items[i].key)
			if err != nil {
				return err
			}
			if there == nil {
				continue
			}
			if err := tx.Delete(items[i].key); err != nil {
				return err
			}
			n++
		}
		if err := leave(tx, p, &q, n); err != nil {
			return err
		}
		t, err := getTarget(tx, p.account, p.name)
		if err != nil || t != nil || q.Waiting > 0 {
			return err
		}
		return tx.Delete(p.queueKey()) // nothing is left to know of it
	})
	return err
}

// attemptAll makes one attempt for each item and notes what came of it.
func (s *Service) attemptAll(ctx context.Context, p place, t *target, items []item) (failed bool) {
	results := make([]result, len(items))
	var wg sync.WaitGroup
	for i := range items {
		wg.Go(func() { results[i] = s.attempt(ctx, t, &items[i].delivery) })
	}
	wg.Wait()
	for i := range items {
		if results[i].why != "" && ctx.Err() != nil {
			return true // given up, not failed: it is made again
		}
		failed = failed || results[i].why != ""
		if err := s.settle(ctx, p, t, items[i], results[i]); err != nil {
			s.complain(ctx, "noting what became of a notice", p, err)
			rest(ctx)
			return true
		}
	}
	return failed
}

// rest lets some time pass before what could not be noted is sent again: the
// receiver is not to feel that the store takes no writes.
func rest(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(firstPause):
	}
}

// result is what came of an attempt.
type result struct {
	why   string        // it failed; empty: it did not
	final bool          // it makes no sense to try again
	after time.Duration // the receiver asks to wait
}

// attempt sends one delivery.
func (s *Service) attempt(ctx context.Context, t *target, d *delivery) result {
	if t.Type == Email {
		if s.Mailer == nil {
			return result{why: "the server has no smtp in its configuration"}
		}
		ctx, cancel := context.WithTimeout(ctx, mailTimeout)
		defer cancel()
		if len(d.To) == 0 {
			return result{why: "it has no recipient", final: true}
		}
		return result{why: text(s.Mailer.Send(ctx, s.message(d)))}
	}
	ctx, cancel := context.WithTimeout(ctx, postTimeout)
	defer cancel()
	header, body, err := s.request(t, d, time.Now())
	if err != nil {
		return result{why: "it cannot be encoded", final: true}
	}
	status, after, err := s.Poster.Post(ctx, string(t.URL), header, body)
	switch {
	case err != nil:
		return result{why: text(err)}
	case status >= 200 && status < 300:
		return result{}
	}
	return result{why: fmt.Sprintf("it answered with status %d", status), final: status == http.StatusGone, after: after}
}

// text is that of an error that is safe to show, cut.
func text(err error) string {
	if err == nil {
		return ""
	}
	return line(err.Error(), 200)
}

// pause is how long to wait after so many attempts: each time twice as long, give
// or take a fifth, and at least as long as the receiver asks.
func (s *Service) pause(attempts int, after time.Duration) time.Duration {
	d := longestPause
	if attempts < 20 {
		d = min(longestPause, firstPause<<(attempts-1))
	}
	d = time.Duration(float64(d) * (0.8 + 0.4*s.Jitter()))
	return max(d, min(after, longestPause))
}

// settle notes what came of an attempt: the delivery goes, waits for the next
// attempt, or is dead.
func (s *Service) settle(ctx context.Context, p place, t *target, it item, res result) error {
	now := time.Now()
	d := it.delivery
	d.Attempts++
	d.Why = res.why
	next := now.Add(s.pause(d.Attempts, res.after))
	dead := res.why != "" && (res.final || d.Attempts >= MaxAttempts || next.Sub(time.UnixMicro(d.First)) > GiveUpAfter)
	_, err := s.db.Update(ctx, func(tx kv.Txn) error {
		there, err := record.Find[delivery](tx, it.key)
		if there == nil || err != nil {
			return err // dropped meanwhile
		}
		if err := tx.Delete(it.key); err != nil {
			return err
		}
		q, _, err := record.Get[queue](tx, p.queueKey())
		if err != nil {
			return err
		}
		fewer := 1
		if res.why == "" {
			q.Delivered, q.Failures, q.Why = now.UnixMicro(), 0, ""
		} else {
			q.Failed, q.Why = now.UnixMicro(), res.why
			q.Failures++
		}
		if res.why != "" && !dead {
			fewer = 0
			if err := record.Put(tx, p.deliveryKey(next.UnixMicro(), d.ID), d); err != nil {
				return err
			}
		}
		if err := leave(tx, p, &q, fewer); err != nil || !dead {
			return err
		}
		return bury(tx, p.account, letter{Target: p.name, Type: t.Type, Delivery: d, Died: now.UnixMicro()})
	})
	if err != nil {
		return err
	}
	s.tell(p, t, &d, dead)
	return nil
}

// tell counts an attempt, and warns of a delivery that was given up.
func (s *Service) tell(p place, t *target, d *delivery, dead bool) {
	switch {
	case dead:
		s.observe(t.Type, "dead")
		s.Logger.Warn("a notice could not be delivered and is a dead letter", "account", p.account, "target", p.name,
			"delivery", d.ID, "attempts", d.Attempts, "why", d.Why)
	case d.Why != "":
		s.observe(t.Type, "failed")
	default:
		s.observe(t.Type, "delivered")
	}
}
