package secret

import (
	"context"
	"maps"
	"sync"
	"time"

	"countersign/internal/core/record"
	"countersign/internal/kv"
	"countersign/internal/name"
)

// used collects which versions were read, to be stored by the day: a read must
// not wait for a write. What was noted since the last flush is lost when the
// process is killed; the audit log has every read anyway.
type used struct {
	mu     sync.Mutex
	day    map[usedAt]int64 // to be stored
	stored map[usedAt]int64 // stored lately, so that it is not compared again and again
}

type usedAt struct {
	name.Secret
	suffix string
	number uint64
}

// maxUsed bounds the memory; what is noted beyond it waits for the next read.
const maxUsed = 20_000

func (u *used) note(n name.Secret, suffix string, number uint64, at time.Time) {
	k := usedAt{n, suffix, number}
	d := day(at)
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.stored[k] == d || u.day[k] == d || len(u.day) >= maxUsed {
		return
	}
	if u.day == nil {
		u.day = map[usedAt]int64{}
	}
	u.day[k] = d
}

// take empties the collection.
func (u *used) take() map[usedAt]int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	out := u.day
	u.day = nil
	return out
}

// keep remembers what was stored.
func (u *used) keep(all map[usedAt]int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.stored == nil || len(u.stored)+len(all) > maxUsed {
		u.stored = all
		return
	}
	maps.Copy(u.stored, all)
}

// usedAtOnce is how many notes one transaction stores: two keys each.
const usedAtOnce = kv.MaxOps / 2

// flushUsed stores the days, where they are new.
func (s *Service) flushUsed(ctx context.Context) error {
	var batch []usedAt
	all := s.used.take()
	write := func() error {
		_, err := s.gate.DB.Update(ctx, func(tx kv.Txn) error {
			for _, k := range batch {
				if h, err := getHead(tx, k.Secret); err != nil {
					return err
				} else if h == nil || h.Suffix != k.suffix {
					continue // gone since it was read
				}
				for _, number := range []uint64{0, k.number} {
					key := usedKey(k.Secret, k.suffix, number)
					if old, _, err := record.Get[int64](tx, key); err != nil {
						return err
					} else if old >= all[k] {
						continue
					}
					if err := record.Put(tx, key, all[k]); err != nil {
						return err
					}
				}
			}
			return nil
		})
		batch = batch[:0]
		return err
	}
	for k := range all {
		if batch = append(batch, k); len(batch) == usedAtOnce {
			if err := write(); err != nil {
				return err
			}
		}
	}
	if len(batch) > 0 {
		if err := write(); err != nil {
			return err
		}
	}
	s.used.keep(all)
	return nil
}
