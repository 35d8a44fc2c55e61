package secret

import (
	"context"
	"encoding/binary"
	"hash/maphash"
	"sync"
	"time"

	"countersign/internal/core/record"
	"countersign/internal/kv"
	"countersign/internal/name"
)

// used collects which versions were read, to be stored by the day: a read must
// not wait for a write. What was noted since the last flush is lost when the
// process is killed; the audit log has every read anyway. Nothing in it is a
// pointer, so that the collector has nothing to look at however much is noted.
type used struct {
	seed    maphash.Seed
	mu      sync.Mutex
	day     int64               // that seen is about
	seen    map[uint64]struct{} // hashes of what was noted on the day: versions and, as number 0, secrets
	pending notes               // to be stored
	count   int                 // of pending
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
	if u.seen == nil || u.day != d {
		u.day, u.seen = d, map[uint64]struct{}{}
	}
	if _, ok := u.seen[h]; ok || u.count >= maxUsed {
		return
	}
	u.seen[h] = struct{}{}
	u.pending = u.pending.add(usedKey(n, suffix, number), d)
	u.count++
	k.number = 0
	u.seen[maphash.Comparable(u.seed, k)] = struct{}{}
}

// take empties what is to be stored.
func (u *used) take() notes {
	u.mu.Lock()
	defer u.mu.Unlock()
	out := u.pending
	u.pending, u.count = nil, 0
	if len(u.seen) >= maxSeen {
		u.seen = nil
	}
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
	h := maphash.Comparable(u.seed, usedAt{n, suffix, number})
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, ok := u.seen[h]; ok {
		return max(stored, u.day)
	}
	return stored
}

// notes is days behind the keys of versions that they are to be stored at, which
// are behind their lengths.
type notes []byte

func (b notes) add(key kv.Key, d int64) notes {
	b = binary.AppendUvarint(b, uint64(len(key)))
	return binary.AppendVarint(append(b, key...), d)
}

// next takes the first note off.
func (b notes) next() (key kv.Key, d int64, rest notes) {
	size, n := binary.Uvarint(b)
	key, b = kv.Key(b[n:n+int(size)]), b[n+int(size):]
	d, n = binary.Varint(b)
	return key, d, b[n:]
}

// usedAtOnce is how many notes one transaction stores, two keys each.
const usedAtOnce = kv.MaxOps / 4

// flushUsed stores the days, where they are new.
func (s *Service) flushUsed(ctx context.Context) error {
	for all := s.used.take(); len(all) > 0; {
		var rest notes
		_, err := s.gate.DB.Update(ctx, func(tx kv.Txn) (err error) {
			rest, err = storeUsed(tx, all)
			return err
		})
		if err != nil {
			s.used.forget()
			return err
		}
		all = rest
	}
	return nil
}

// storeUsed stores as many notes as one transaction takes, and returns the rest.
func storeUsed(tx kv.Txn, all notes) (notes, error) {
	for n := 0; n < usedAtOnce && len(all) > 0; n++ {
		key, d, rest := all.next()
		all = rest
		parts, _, err := key.Parts("sssssn") // as usedKey makes them
		if err != nil {
			return nil, err
		}
		of := name.Secret{Account: parts[0], Region: parts[2], Name: parts[3]}
		if h, err := getHead(tx, of); err != nil {
			return nil, err
		} else if h == nil || h.Suffix != parts[4] {
			continue // gone since it was read
		}
		for _, k := range [...]kv.Key{key, usedKey(of, parts[4], 0)} {
			if old, _, err := record.Get[int64](tx, k); err != nil {
				return nil, err
			} else if old >= d {
				continue
			}
			if err := record.Put(tx, k, d); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}
