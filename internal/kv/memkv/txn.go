package memkv

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"slices"

	"countersign/internal/kv"
)

// spoil is what a value reads as once its transaction has ended.
const spoil = 0xdb

var errEnded = errors.New("transaction has ended")

// txn is one run of one transaction function.
type txn struct {
	base   *state
	writes map[string][]byte // nil in a View; a nil value is a deletion
	size   int               // bytes of keys and values in writes
	broken error             // a limit was passed: the transaction fails
	lent   [][]byte          // everything handed out
	ended  bool
}

// reader is a txn without the methods that write.
type reader struct{ t *txn }

func (r reader) Get(key []byte) ([]byte, error)            { return r.t.Get(key) }
func (r reader) Scan(x kv.Range) iter.Seq2[kv.Pair, error] { return r.t.Scan(x) }

// end makes every slice that was handed out useless.
func (t *txn) end() {
	t.ended = true
	for _, b := range t.lent {
		for i := range b {
			b[i] = spoil
		}
	}
}

// lend returns a copy that end overwrites. It is never nil.
func (t *txn) lend(b []byte) []byte {
	c := append([]byte{}, b...)
	t.lent = append(t.lent, c)
	return c
}

func (t *txn) Get(key []byte) ([]byte, error) {
	if t.ended {
		return nil, errEnded
	}
	if v, ok := t.writes[string(key)]; ok {
		if v == nil {
			return nil, fmt.Errorf("getting %q: %w", key, kv.ErrNotFound)
		}
		return t.lend(v), nil
	}
	i, ok := find(t.base.pairs, key)
	if !ok {
		return nil, fmt.Errorf("getting %q: %w", key, kv.ErrNotFound)
	}
	return t.lend(t.base.pairs[i].Value), nil
}

func (t *txn) Scan(r kv.Range) iter.Seq2[kv.Pair, error] {
	return func(yield func(kv.Pair, error) bool) {
		if t.ended {
			yield(kv.Pair{}, errEnded)
			return
		}
		for _, p := range t.selected(r) {
			if !yield(kv.Pair{Key: t.lend(p.Key), Value: t.lend(p.Value)}, nil) {
				return
			}
		}
	}
}

// selected lists the pairs of a range as this transaction sees them.
func (t *txn) selected(r kv.Range) []kv.Pair {
	within := func(k []byte) bool {
		return bytes.Compare(k, r.Start) >= 0 && (len(r.End) == 0 || bytes.Compare(k, r.End) < 0)
	}
	from, _ := find(t.base.pairs, r.Start)
	to := len(t.base.pairs)
	if len(r.End) > 0 {
		to, _ = find(t.base.pairs, r.End)
	}
	var own []kv.Pair
	for k, v := range t.writes {
		if within([]byte(k)) {
			own = append(own, kv.Pair{Key: []byte(k), Value: v})
		}
	}
	slices.SortFunc(own, byKey)
	return merge(t.base.pairs[from:max(from, to)], own, r.Reverse)
}

func (t *txn) Put(key, value []byte) error {
	return t.set(key, value, append([]byte{}, value...))
}

func (t *txn) Delete(key []byte) error { return t.set(key, nil, nil) }

func (t *txn) set(key, value, stored []byte) error {
	if t.ended {
		return errEnded
	}
	if t.broken != nil {
		return t.broken
	}
	if t.broken = kv.CheckStored(key, value); t.broken != nil {
		return t.broken
	}
	old, had := t.writes[string(key)]
	if had {
		t.size -= len(key) + len(old)
	}
	t.size += len(key) + len(value)
	t.writes[string(key)] = stored
	t.broken = kv.CheckStoredTotal(len(t.writes), t.size)
	return t.broken
}
