package boltkv

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"slices"
	"unsafe"

	"go.etcd.io/bbolt"

	"countersign/internal/kv"
)

var errEnded = errors.New("transaction has ended")

// entry is one write; a nil value deletes.
type entry struct{ key, value []byte }

// overlay is writes in key order, each key once.
type overlay []entry

func (o overlay) search(key []byte) (int, bool) {
	return slices.BinarySearchFunc(o, key, func(e entry, k []byte) int { return bytes.Compare(e.key, k) })
}

func (o overlay) find(key []byte) *entry {
	if i, ok := o.search(key); ok {
		return &o[i]
	}
	return nil
}

func (o *overlay) set(key, value []byte) {
	i, ok := o.search(key)
	if ok {
		(*o)[i].value = value
		return
	}
	*o = slices.Insert(*o, i, entry{key, value})
}

func (o overlay) within(r kv.Range) overlay {
	from, _ := o.search(r.Start)
	to := len(o)
	if len(r.End) > 0 {
		to, _ = o.search(r.End)
	}
	return o[from:max(from, to)]
}

// over lays o over below.
func (o overlay) over(below overlay) overlay {
	if len(o) == 0 {
		return below
	}
	if len(below) == 0 {
		return o
	}
	out := make(overlay, 0, len(o)+len(below))
	for len(o) > 0 && len(below) > 0 {
		switch c := bytes.Compare(o[0].key, below[0].key); {
		case c < 0:
			out, o = append(out, o[0]), o[1:]
		case c > 0:
			out, below = append(out, below[0]), below[1:]
		default:
			out, o, below = append(out, o[0]), o[1:], below[1:]
		}
	}
	return append(append(out, o...), below...)
}

// txn is one run of an update's function.
type txn struct {
	batch  *batch // nil once it has ended
	own    overlay
	size   int
	broken error // a limit was passed: the transaction fails
}

func (t *txn) end() { t.batch = nil }

func (t *txn) Get(key []byte) ([]byte, error) {
	if t.batch == nil {
		return nil, errEnded
	}
	if e := t.own.find(key); e != nil {
		return found(key, e.value, nil)
	}
	v, err := t.batch.now(key)
	return found(key, v, err)
}

func (t *txn) Scan(r kv.Range) iter.Seq2[kv.Pair, error] {
	return func(yield func(kv.Pair, error) bool) {
		if t.batch == nil {
			yield(kv.Pair{}, errEnded)
			return
		}
		t.batch.scan(t.own.within(r).over(t.batch.writes.within(r)), r, yield)
	}
}

func (t *txn) Put(key, value []byte) error {
	if err := t.check(key, value); err != nil {
		return err
	}
	buf := make([]byte, len(key)+len(value))
	k := append(buf[:0:len(key)], key...)
	return t.set(k, append(buf[len(key):len(key)], value...))
}

func (t *txn) Delete(key []byte) error {
	if err := t.check(key, nil); err != nil {
		return err
	}
	return t.set(bytes.Clone(key), nil)
}

func (t *txn) check(key, value []byte) error {
	if t.batch == nil {
		return errEnded
	}
	if t.broken == nil {
		t.broken = kv.CheckStored(key, value)
	}
	return t.broken
}

func (t *txn) set(key, value []byte) error {
	if old := t.own.find(key); old != nil {
		t.size -= len(old.key) + len(old.value)
	}
	t.size += len(key) + len(value)
	t.own.set(key, value)
	t.broken = kv.CheckStoredTotal(len(t.own), t.size)
	return t.broken
}

func (r *reader) Get(key []byte) ([]byte, error) {
	v, err := r.get(key)
	return found(key, v, err)
}

func (r *reader) Scan(x kv.Range) iter.Seq2[kv.Pair, error] {
	return func(yield func(kv.Pair, error) bool) { r.scan(nil, x, yield) }
}

// pairs reads the data bucket of a transaction. bbolt follows the offsets on a
// page as they are; what they lead to is handed out only when it lies within
// the pages of the file.
type pairs struct {
	data  *bbolt.Bucket
	at    *bbolt.Cursor // for get; one goroutine at a time uses a transaction
	first uintptr       // of the mapped pages
	end   uintptr       // zero for a bucket so small that bbolt copies it
}

func pairsOf(tx *bbolt.Tx) pairs {
	p := pairs{data: tx.Bucket(dataBucket)}
	if p.data.Root() != 0 {
		p.first = tx.DB().Info().Data
		p.end = p.first + uintptr(tx.Size())
	}
	return p
}

var errOutside = fmt.Errorf("%w: a pair lies outside of the file", kv.ErrCorrupt) // never changed

func (p *pairs) inside(b []byte) bool {
	at := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	return p.end == 0 || b == nil || at >= p.first && at <= p.end && uintptr(len(b)) <= p.end-at
}

// get returns nil for an absent key.
func (p *pairs) get(key []byte) (v []byte, err error) {
	defer recovered(&err)
	if p.at == nil {
		p.at = p.data.Cursor() // used again: it keeps the memory of its path
	}
	k, v := p.at.Seek(key)
	switch {
	case !p.inside(k) || !p.inside(v):
		return nil, errOutside
	case !bytes.Equal(k, key):
		return nil, nil
	}
	return v, nil
}

func found(key, v []byte, err error) ([]byte, error) {
	switch {
	case err != nil:
		return nil, fmt.Errorf("getting %q: %w", key, err)
	case v == nil:
		return nil, fmt.Errorf("getting %q: %w", key, kv.ErrNotFound)
	}
	return v, nil
}

// recovered turns a panic inside bbolt into kv.ErrCorrupt: bbolt's own at a
// damaged page, and, where debug.SetPanicOnFault is set, that of reading mapped
// memory which the file or the disk does not have. Without it the latter ends
// the process.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%w: %v", kv.ErrCorrupt, p)
	}
}

// scan yields the pairs in a range with an overlay of that range on top.
func (p *pairs) scan(over overlay, r kv.Range, yield func(kv.Pair, error) bool) {
	c := &cursor{pairs: p, c: p.data.Cursor(), r: r}
	base, err := c.first()
	for {
		if err != nil {
			yield(kv.Pair{}, fmt.Errorf("scanning: %w", err))
			return
		}
		if base.Key == nil && len(over) == 0 {
			return
		}
		if len(over) == 0 {
			if !yield(base, nil) {
				return
			}
			base, err = c.next()
			continue
		}
		e, rest := over[0], over[1:]
		if r.Reverse {
			e, rest = over[len(over)-1], over[:len(over)-1]
		}
		order := -1 // the overlay comes first
		if base.Key != nil {
			if order = bytes.Compare(e.key, base.Key); r.Reverse {
				order = -order
			}
		}
		if order > 0 {
			if !yield(base, nil) {
				return
			}
			base, err = c.next()
			continue
		}
		over = rest
		if e.value != nil && !yield(kv.Pair{Key: e.key, Value: e.value}, nil) {
			return
		}
		if order == 0 {
			base, err = c.next()
		}
	}
}

// cursor walks a range of a bucket in its direction. A nil key is the end.
type cursor struct {
	*pairs
	c *bbolt.Cursor
	r kv.Range
}

func (c *cursor) first() (p kv.Pair, err error) {
	defer recovered(&err)
	if !c.r.Reverse {
		return c.bounded(c.c.Seek(c.r.Start))
	}
	if len(c.r.End) == 0 {
		return c.bounded(c.c.Last())
	}
	if k, _ := c.c.Seek(c.r.End); k == nil {
		return c.bounded(c.c.Last())
	}
	return c.bounded(c.c.Prev())
}

func (c *cursor) next() (p kv.Pair, err error) {
	defer recovered(&err)
	if c.r.Reverse {
		return c.bounded(c.c.Prev())
	}
	return c.bounded(c.c.Next())
}

func (c *cursor) bounded(k, v []byte) (kv.Pair, error) {
	switch {
	case !c.inside(k) || !c.inside(v):
		return kv.Pair{}, errOutside
	case k == nil, bytes.Compare(k, c.r.Start) < 0, len(c.r.End) > 0 && bytes.Compare(k, c.r.End) >= 0:
		return kv.Pair{}, nil
	}
	return kv.Pair{Key: k, Value: v}, nil
}
