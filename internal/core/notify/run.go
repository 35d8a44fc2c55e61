package notify

import (
	"context"
	"math/rand/v2"
	"time"

	"countersign/internal/core/notice"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
)

func random() float64 { return rand.Float64() }

// pageOfIndex is how many entries of an index one transaction reads.
const pageOfIndex = 256

// Run hands notices on and delivers them until ctx ends; then it waits for the
// attempts under way to be given up. It resumes wherever it was stopped.
func (s *Service) Run(ctx context.Context) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	defer s.workers.Wait()
	for {
		if err := s.Step(ctx); err != nil && ctx.Err() == nil {
			s.Logger.Error("carrying notices", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-s.woken:
		}
	}
}

// Step hands on what is in the outbox, and begins to serve the targets for which
// something is due. It does not wait for that.
func (s *Service) Step(ctx context.Context) error {
	if err := s.fanOutAll(ctx); err != nil {
		return err
	}
	due, err := s.due(ctx, time.Now())
	if err != nil {
		return err
	}
	rand.Shuffle(len(due), func(i, j int) { due[i], due[j] = due[j], due[i] }) // who waits longest does not always go first
	for _, p := range due {
		if p.name == "" {
			if err := s.forgetDead(ctx, p); err != nil {
				return err
			}
			continue
		}
		s.serve(ctx, p)
	}
	return nil
}

// fanOutAll empties the outbox. An entry that cannot be handed on does not keep
// the rest from it; the first of the errors is returned.
func (s *Service) fanOutAll(ctx context.Context) (failed error) {
	from := notice.Prefix()
	for {
		ids, err := s.outbox(ctx, from)
		if err != nil || len(ids) == 0 {
			if failed == nil {
				failed = err
			}
			return failed
		}
		for _, id := range ids {
			if err := s.fanOut(ctx, id, time.Now()); err != nil {
				if ctx.Err() != nil || errs.Is(err, errs.Unavailable) {
					return err
				}
				if failed == nil {
					failed = err
				}
			}
		}
		from = append(notice.Key(ids[len(ids)-1]), 0)
	}
}

func (s *Service) outbox(ctx context.Context, from kv.Key) (ids []string, err error) {
	err = s.db.View(ctx, func(r kv.Reader) error {
		ids = nil
		for p, err := range r.Scan(kv.Range{Start: from, End: kv.After(notice.Prefix())}) {
			if err != nil {
				return err
			}
			strs, _, err := kv.Key(p.Key).Parts("sss")
			if err != nil {
				return err
			}
			if ids = append(ids, strs[2]); len(ids) == pageOfIndex {
				return nil
			}
		}
		return nil
	})
	return ids, err
}

// fanOut makes one delivery of a notice for each target that wants it.
func (s *Service) fanOut(ctx context.Context, id string, now time.Time) error {
	_, err := s.db.Update(ctx, func(tx kv.Txn) error {
		n, err := record.Find[notice.Notice](tx, notice.Key(id))
		if n == nil || err != nil {
			return err
		}
		list, err := targets(tx, n.Account)
		if err != nil {
			return err
		}
		for i := range list {
			t := &list[i]
			if !t.wants(n) {
				continue
			}
			p := place{n.Account, t.name}
			d := delivery{ID: deliveryID(n, p, t.Made), Notice: *n, Made: t.Made, First: now.UnixMicro()}
			if t.Type == Email {
				if d.To, err = s.recipients(tx, &t.target, n); err != nil {
					return err
				}
				if len(d.To) == 0 {
					continue
				}
			}
			if err := enqueue(tx, p, t.Type, d, now); err != nil {
				return err
			}
		}
		return tx.Delete(notice.Key(id))
	})
	return err
}

// due lists the places for which something is due.
func (s *Service) due(ctx context.Context, now time.Time) (out []place, err error) {
	rng := kv.Range{Start: kv.K("sys", "notify-due"), End: kv.K("sys", "notify-due").Num(uint64(now.UnixMicro()) + 1)}
	err = s.db.View(ctx, func(r kv.Reader) error {
		out = nil
		for p, err := range r.Scan(rng) {
			if err != nil {
				return err
			}
			strs, _, err := kv.Key(p.Key).Parts("ssnss")
			if err != nil {
				return err
			}
			out = append(out, place{strs[2], strs[3]})
		}
		return nil
	})
	return out, err
}

// serve begins to work on a target's queue, unless somebody does or too many
// are at work; then its turn comes later, since it stays due.
func (s *Service) serve(ctx context.Context, p place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	same := 0
	for other := range s.running {
		if other.account == p.account {
			same++
		}
	}
	if s.running[p] || len(s.running) >= maxWorkers || same >= maxPerAccount || ctx.Err() != nil {
		return
	}
	s.running[p] = true
	s.workers.Go(func() {
		more := s.work(ctx, p)
		s.mu.Lock()
		delete(s.running, p)
		s.mu.Unlock()
		if more {
			s.wake() // others may have waited for the place, or this one goes on
		}
	})
}

// forgottenAtOnce is how many dead letters one transaction deletes.
const forgottenAtOnce = 50

// forgetDead deletes the dead letters of an account whose time is over.
func (s *Service) forgetDead(ctx context.Context, p place) error {
	before := time.Now().Add(-KeepDead).UnixMicro()
	for more := true; more; {
		_, err := s.db.Update(ctx, func(tx kv.Txn) error {
			var old []kv.Key
			more = false
			for e, err := range tx.Scan(kv.Range{Start: deadPrefix(p.account), End: deadPrefix(p.account).Num(uint64(before) + 1)}) {
				if err != nil {
					return err
				}
				if more = len(old) == forgottenAtOnce; more {
					break
				}
				old = append(old, append(kv.Key{}, e.Key...))
			}
			return dropDead(tx, p, old)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// dropDead deletes dead letters.
func dropDead(tx kv.Txn, p place, keys []kv.Key) error {
	for _, k := range keys {
		if err := tx.Delete(k); err != nil {
			return err
		}
	}
	q, _, err := record.Get[queue](tx, p.queueKey())
	if err != nil {
		return err
	}
	q.Waiting = plus(q.Waiting, -len(keys))
	if err := keepDead(tx, p, &q); err != nil {
		return err
	}
	return addTotal(tx, 0, -len(keys))
}
