package secret

import (
	"context"
	"hash/maphash"
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
	seed maphash.Seed
	mu   sync.Mutex
	seen map[uint64]int64 // day by the hash of what was noted on it
	day  map[usedAt]int64 // to be stored: of versions and, as number 0, of the secret
}

type usedAt struct {
	name.Secret
	suffix string
	number uint64
}

// Bounds of the memory. What is noted beyond maxUsed waits for the next read;
// seen is emptied when it is full, and then some days are stored again.
const (
	maxUsed = 20_000
	maxSeen = 100_000
)

func (u *used) note(n name.Secret, suffix string, number uint64, at time.Time) {
	k, d := usedAt{n, suffix, number}, day(at)
	h := maphash.Comparable(u.seed, k)
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.seen[h] == d || len(u.day) >= maxUsed {
		return
	}
	if u.day == nil {
		u.day = map[usedAt]int64{}
	}
	if u.seen == nil || len(u.seen) >= maxSeen {
		u.seen = map[uint64]int64{}
	}
	u.day[k], u.seen[h] = d, d
	u.day[usedAt{n, suffix, 0}] = d
}

// take empties what is to be stored.
func (u *used) take() map[usedAt]int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	out := u.day
	u.day = nil
	return out
}

// forget lets reads be noted again, when what was taken could not be stored.
func (u *used) forget() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.seen = nil
}

// last is the day on which a version, or for number 0 the secret, was last
// read, stored being what the store says.
func (u *used) last(n name.Secret, suffix string, number uint64, stored int64) int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return max(stored, u.day[usedAt{n, suffix, number}])
}

// usedAtOnce is how many notes one transaction stores.
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
				key := usedKey(k.Secret, k.suffix, k.number)
				if old, _, err := record.Get[int64](tx, key); err != nil {
					return err
				} else if old >= all[k] {
					continue
				}
				if err := record.Put(tx, key, all[k]); err != nil {
					return err
				}
			}
			return nil
		})
		batch = batch[:0]
		return err
	}
	store := func() error {
		for k := range all {
			if batch = append(batch, k); len(batch) == usedAtOnce {
				if err := write(); err != nil {
					return err
				}
			}
		}
		if len(batch) == 0 {
			return nil
		}
		return write()
	}
	if err := store(); err != nil {
		s.used.forget()
		return err
	}
	return nil
}
