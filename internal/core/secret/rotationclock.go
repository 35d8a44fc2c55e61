package secret

import (
	"context"
	"time"

	"countersign/internal/core/due"
	"countersign/internal/core/record"
	"countersign/internal/kv"
)

// RotationClock is what is remembered of the clock by which rotations are written
// down. Times are microseconds since 1970.
type RotationClock struct {
	Seen   int64 `cbor:"1,keyasint"`           // the latest time at which the due index was worked off, some minutes may be missing; 0: never
	Behind int64 `cbor:"2,keyasint,omitempty"` // since when the clock is before that, by the clock as it is; 0: it is not
}

func clockKey() kv.Key { return kv.K("sys", "rotation-clock") }

// RotationClock is the zero RotationClock where nothing is remembered.
func (s *Service) RotationClock(ctx context.Context) (c RotationClock, err error) {
	err = s.gate.DB.View(ctx, func(r kv.Reader) error {
		c, _, err = record.Get[RotationClock](r, clockKey())
		return err
	})
	return c, err
}

// KeepRotationClock keeps it, and does something else in the same transaction.
func (s *Service) KeepRotationClock(ctx context.Context, c RotationClock, also func(kv.Txn) error) error {
	_, err := s.gate.DB.Update(ctx, func(tx kv.Txn) error {
		if err := also(tx); err != nil {
			return err
		}
		return record.Put(tx, clockKey(), c)
	})
	return err
}

// SetBack goes over all secrets of which something of rotation is due at any time,
// for a clock that was set back to now. What only waits for the next attempt waits no
// longer. With dates, those that were written by the clock as it was, and lie ahead,
// become those that they would be had they been written now: see head.setBack.
//
// It returns how many secrets of each account have times that lie ahead, or had.
// check is called in each transaction that writes.
func (s *Service) SetBack(ctx context.Context, now time.Time, dates bool, check func(kv.Txn) error) (map[string]int, error) {
	ahead := map[string]int{}
	from := rotationDue.Prefix
	for {
		list, next, err := s.setBackFrom(ctx, from, micros(now), dates, ahead)
		if err != nil {
			return nil, err
		}
		for _, ref := range list {
			if err := s.setBackOne(ctx, ref, micros(now), dates, check); err != nil {
				return nil, err
			}
		}
		if next == nil {
			return ahead, nil
		}
		from = next
	}
}

// setBackBatch is how many secrets are looked at in one transaction.
const setBackBatch = 256

// setBackFrom looks at some entries of the index from a place on, and returns which of
// their secrets have something to be set back and the place to go on from, nil at the
// end.
func (s *Service) setBackFrom(ctx context.Context, from kv.Key, now int64, dates bool, ahead map[string]int) (list []RotationRef, next kv.Key, err error) {
	counted := map[string]int{}
	err = s.gate.DB.View(ctx, func(r kv.Reader) error {
		list, next = nil, nil
		clear(counted)
		rng := kv.Prefix(rotationDue.Prefix)
		rng.Start = from
		looked := 0
		for e, err := range rotationDue.Scan(r, rng) {
			if err != nil {
				return err
			}
			if looked++; looked > setBackBatch {
				next = e.Key
				return nil
			}
			h, ref, err := headOf(r, e)
			if err != nil {
				return err
			}
			if h == nil {
				continue
			}
			if h.ahead(now) {
				counted[ref.Account]++
			}
			if h.setBack(now, dates) {
				list = append(list, ref)
			}
		}
		return nil
	})
	for a, n := range counted {
		ahead[a] += n
	}
	return list, next, err
}

func headOf(r kv.Reader, e due.Entry) (*head, RotationRef, error) {
	ref := rotationRef(e)
	h, err := getHead(r, ref.Secret)
	if err != nil || h == nil || h.Suffix != ref.Suffix || h.Primary != "" {
		return nil, ref, err
	}
	return h, ref, nil
}

func (s *Service) setBackOne(ctx context.Context, ref RotationRef, now int64, dates bool, check func(kv.Txn) error) error {
	_, err := s.gate.DB.Update(ctx, func(tx kv.Txn) error {
		if err := check(tx); err != nil {
			return err
		}
		h, err := getHead(tx, ref.Secret)
		if err != nil || h == nil || h.Suffix != ref.Suffix || h.Primary != "" || !h.setBack(now, dates) {
			return err
		}
		return putHead(tx, ref.Secret, h)
	})
	return err
}

// ahead reports whether something of its rotation was written down by a clock that was
// ahead of now.
func (h *head) ahead(now int64) bool {
	for i := range h.Retiring {
		if h.Retiring[i].Since > now {
			return true
		}
	}
	return h.Run != nil && h.Run.Began > now || h.Rotation != nil && h.Rotation.ahead(now)
}

// setBack alters what was written down by a clock that was ahead of now, and reports
// whether there was anything. Pauses between attempts end. With dates,
//
//   - what was to be after some time is to be after that time from now: the end of a
//     grace, of a window. So nothing ends before what was promised has passed;
//   - what lies ahead and has happened happened now.
func (h *head) setBack(now int64, dates bool) (altered bool) {
	b := back{now: now}
	if run := h.Run; run != nil {
		if dates {
			b.with(&run.Began, &run.Until)
		}
		b.most(&run.Next)
	}
	for i := range h.Retiring {
		e := &h.Retiring[i]
		if dates {
			b.with(&e.Since, &e.At, &e.Deadline)
		}
		b.most(&e.Next)
	}
	if dates && h.Rotation != nil {
		h.Rotation.setBack(&b)
	}
	return b.altered
}

// back sets times back.
type back struct {
	now     int64
	altered bool
}

// most sets a time that lies ahead to now.
func (b *back) most(at *int64) {
	if *at > b.now {
		*at, b.altered = b.now, true
	}
}

// with sets a time that lies ahead to now, and those that were counted from it back by
// as much. Those that are 0 stay.
func (b *back) with(at *int64, counted ...*int64) {
	over := *at - b.now
	if over <= 0 {
		return
	}
	*at, b.altered = b.now, true
	for _, c := range counted {
		if *c != 0 {
			*c -= over
		}
	}
}

func (r *Rotation) ahead(now int64) bool { return max(r.Last, r.Put, r.Since, r.Tried) > now }

// setBack does as head.setBack does with dates.
func (r *Rotation) setBack(b *back) {
	if r.Retries == 0 && r.Retry > b.now { // a date that was put off: the schedule says again to when
		r.Retry, r.Closes, b.altered = 0, 0, true
	}
	b.with(&r.Tried, &r.Retry, &r.Closes)
	b.most(&r.Last)
	b.most(&r.Put)
	b.most(&r.Since)
}

// graceOf is the end of the grace of a version that a rotation replaced, zero for none.
func (h *head) graceOf(number uint64) time.Time {
	for i := range h.Retiring {
		if h.Retiring[i].Number == number {
			return when(h.Retiring[i].At)
		}
	}
	return time.Time{}
}
