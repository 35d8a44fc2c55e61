package change

import (
	"bytes"
	"fmt"
	"iter"
	"maps"
	"slices"

	"countersign/internal/kv"
)

// overlay is a transaction over a snapshot whose writes nobody else ever sees:
// it tells what an edit would do, and whether it could.
type overlay struct {
	kv.Reader
	writes map[string][]byte // nil: deleted
}

func newOverlay(r kv.Reader) *overlay { return &overlay{Reader: r, writes: map[string][]byte{}} }

// Get implements kv.Reader.
func (o *overlay) Get(key []byte) ([]byte, error) {
	if v, ok := o.writes[string(key)]; ok {
		if v == nil {
			return nil, fmt.Errorf("overlaid key: %w", kv.ErrNotFound)
		}
		return v, nil
	}
	return o.Reader.Get(key)
}

// Put implements kv.Txn.
func (o *overlay) Put(key, value []byte) error {
	if err := kv.CheckWrite(key, value); err != nil {
		return err
	}
	o.writes[string(key)] = append([]byte{}, value...)
	return o.check()
}

// Delete implements kv.Txn.
func (o *overlay) Delete(key []byte) error {
	o.writes[string(key)] = nil
	return o.check()
}

func (o *overlay) check() error {
	size := 0
	for k, v := range o.writes {
		size += len(k) + len(v)
	}
	return kv.CheckTotal(len(o.writes), size)
}

// Scan implements kv.Reader: the pairs below, with the writes laid over them.
func (o *overlay) Scan(rng kv.Range) iter.Seq2[kv.Pair, error] {
	return func(yield func(kv.Pair, error) bool) {
		before := func(a, b []byte) bool {
			if rng.Reverse {
				a, b = b, a
			}
			return bytes.Compare(a, b) < 0
		}
		mine := o.within(rng)
		emit := func(p kv.Pair) bool { return p.Value == nil || yield(p, nil) }
		for p, err := range o.Reader.Scan(rng) {
			if err != nil {
				yield(p, err)
				return
			}
			for len(mine) > 0 && before(mine[0].Key, p.Key) {
				if !emit(mine[0]) {
					return
				}
				mine = mine[1:]
			}
			if len(mine) > 0 && bytes.Equal(mine[0].Key, p.Key) {
				p, mine = mine[0], mine[1:]
			}
			if !emit(p) {
				return
			}
		}
		for _, p := range mine {
			if !emit(p) {
				return
			}
		}
	}
}

// within returns the writes in a range, in its order.
func (o *overlay) within(rng kv.Range) (out []kv.Pair) {
	for _, k := range slices.Sorted(maps.Keys(o.writes)) {
		if k >= string(rng.Start) && (len(rng.End) == 0 || k < string(rng.End)) {
			out = append(out, kv.Pair{Key: []byte(k), Value: o.writes[k]})
		}
	}
	if rng.Reverse {
		slices.Reverse(out)
	}
	return out
}
