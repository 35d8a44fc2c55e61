package transit

import (
	"context"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/audit"
	"countersign/internal/core/change"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
)

// Kinds of entries in the due index of keys.
const (
	dueRotate = "rotate" // the key rotates by itself; what: its name
	dueDrop   = "drop"   // versions are left of a key, or below what it has; what: its ID
)

// dueEvery is how often the index is looked at.
const dueEvery = 30 * time.Second

func dueKey(at int64, account, kind, what string) kv.Key {
	return kv.K("sys", "transit-due").Num(uint64(max(0, at))).Str(account, kind, what)
}

func rotateKey(account, n string, at int64) kv.Key { return dueKey(at, account, dueRotate, n) }

// leftover is the value of an entry dueDrop: versions that nothing leads to any
// more.
type leftover struct {
	From uint64 `cbor:"1,keyasint"`
	End  uint64 `cbor:"2,keyasint"` // behind the last
}

// drop deletes the versions from one to before another: as many as one transaction
// can, and an entry for the rest.
func drop(tx *change.Tx, account, id string, from, end uint64) error {
	stop := min(end, from+dropAtOnce)
	for n := from; n < stop; n++ {
		if err := tx.Delete(versionKey(account, id, n)); err != nil {
			return err
		}
	}
	if stop == end {
		return nil
	}
	return record.Put(tx, dueKey(micros(tx.Now), account, dueDrop, id), leftover{From: stop, End: end})
}

func (s *Service) wake() {
	select {
	case s.woken <- struct{}{}:
	default:
	}
}

// Run rotates keys whose time has come and deletes what is left of destroyed
// versions, until ctx ends. It resumes wherever it was stopped: an entry goes in
// the transaction that carries it out.
func (s *Service) Run(ctx context.Context) {
	tick := time.NewTicker(dueEvery)
	defer tick.Stop()
	for {
		if err := s.Due(ctx); err != nil && ctx.Err() == nil {
			s.logger.Error("carrying out what is due of transit keys", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-s.woken:
		}
	}
}

// dueEntry is one entry of the index.
type dueEntry struct {
	key                 kv.Key
	at                  int64
	account, kind, what string
	left                leftover
}

// Due carries out every entry whose time has come. One that fails does not keep
// the rest from it; the first of the errors is returned, and it is tried again.
func (s *Service) Due(ctx context.Context) (first error) {
	from := kv.K("sys", "transit-due")
	for {
		next, err := s.nextDue(ctx, from)
		if err != nil || next == nil {
			if first == nil {
				first = err
			}
			return first
		}
		from = append(next.key, 0)
		if next.kind == dueRotate {
			err = s.rotateDue(ctx, next)
		} else {
			err = s.dropDue(ctx, next)
		}
		if ctx.Err() != nil || errs.Is(err, errs.Unavailable) {
			return err
		}
		if first == nil {
			first = err
		}
	}
}

func (s *Service) nextDue(ctx context.Context, from kv.Key) (next *dueEntry, err error) {
	end := kv.K("sys", "transit-due").Num(uint64(micros(time.Now())) + 1)
	err = s.gate.DB.View(ctx, func(r kv.Reader) error {
		next = nil
		for p, err := range r.Scan(kv.Range{Start: from, End: end}) {
			if err != nil {
				return err
			}
			strs, nums, err := kv.Key(p.Key).Parts("ssnsss")
			if err != nil {
				return err
			}
			next = &dueEntry{key: append(kv.Key{}, p.Key...), at: int64(nums[0]), account: strs[2], kind: strs[3], what: strs[4]}
			if next.kind == dueDrop {
				return record.Decode(p.Value, &next.left)
			}
			return nil
		}
		return nil
	})
	return next, err
}

// rotateDue rotates a key as the server, which no rule holds: that it rotates was
// decided when its period was set.
func (s *Service) rotateDue(ctx context.Context, d *dueEntry) error {
	now := time.Now()
	who := caller.ForSystem(d.account, "transit", audit.NewID(now), now)
	who.Region = s.region
	e := &edit{op: policy.RotateTransitKey, account: d.account, name: d.what, due: d.at}
	_, err := s.submitNew(ctx, who, "its period is over", change.Options{}, e)
	if errs.Is(err, errs.NotFound) { // an entry of no key
		_, err = s.gate.DB.Update(ctx, func(tx kv.Txn) error { return tx.Delete(d.key) })
	}
	return err
}

// dropDue deletes versions in several transactions. Nothing leads to them any
// more, and what destroyed them has its record.
func (s *Service) dropDue(ctx context.Context, d *dueEntry) error {
	for left := d.left; ; {
		stop := min(left.End, left.From+dropAtOnce)
		_, err := s.gate.DB.Update(ctx, func(tx kv.Txn) error {
			for n := left.From; n < stop; n++ {
				if err := tx.Delete(versionKey(d.account, d.what, n)); err != nil {
					return err
				}
			}
			if stop == left.End {
				return tx.Delete(d.key)
			}
			return record.Put(tx, d.key, leftover{From: stop, End: left.End})
		})
		if err != nil || stop == left.End {
			return err
		}
		left.From = stop
	}
}
