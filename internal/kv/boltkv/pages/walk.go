package pages

import (
	"bytes"
	"errors"
)

// maxProblems ends a walk: a file with more has said enough.
const maxProblems = 1000

// Walk reads every page of the commit and calls visit for each pair of each
// bucket in the root, in key order; its slices are valid during the call. It
// returns the damage found: pages out of bounds, of the wrong type or used
// twice, keys out of order, pages neither used nor free. Damage never holds a
// key or a value. The error is one of visit or of reading.
func (f *File) Walk(visit func(bucket string, key, value []byte) error) (problems []string, err error) {
	w := &walker{f: f, visit: visit, used: make([]uint8, f.Meta.End)}
	w.used[0], w.used[1] = inTree, inTree
	err = w.tree(f.Meta.Root, "", nil, nil)
	if err == nil {
		err = w.freelist()
	}
	if errors.Is(err, errTooMany) {
		err = nil
	}
	return w.problems, err
}

const (
	inTree = 1 << iota
	isFree
)

type walker struct {
	f        *File
	visit    func(bucket string, key, value []byte) error
	used     []uint8
	problems []string
}

var errTooMany = errors.New("too many problems")

// note keeps damage and passes other errors on.
func (w *walker) note(err error) error {
	var d damage
	if err == nil || !errors.As(err, &d) {
		return err
	}
	if len(w.problems) == maxProblems {
		return errTooMany
	}
	w.problems = append(w.problems, err.Error())
	return nil
}

// claim marks the pages of p as used.
func (w *walker) claim(p *page) error {
	for id := p.id; id <= p.id+p.overflow; id++ {
		if w.used[id] != 0 {
			return damagef("page %d: used more than once", id)
		}
		w.used[id] = inTree
	}
	return nil
}

// tree walks the pages below id, whose keys must lie in [from, to). The empty
// bucket name is the root, whose entries are buckets.
func (w *walker) tree(id uint64, bucket string, from, to []byte) error {
	p, err := w.f.read(id)
	if err == nil {
		err = w.claim(p)
	}
	if err != nil {
		return w.note(err)
	}
	switch p.flags {
	case flagLeaf:
		return w.leaf(p, bucket, from, to)
	case flagBranch:
		return w.branch(p, bucket, from, to)
	}
	return w.note(damagef("page %d: has type %#x, which is neither branch nor leaf", id, p.flags))
}

func (w *walker) branch(p *page, bucket string, from, to []byte) error {
	if p.count == 0 {
		return w.note(damagef("page %d: branch without entries", p.id))
	}
	keys, children := make([][]byte, p.count), make([]uint64, p.count)
	for i := range p.count {
		off := headerSize + i*elementSize
		e, err := p.slice(uint64(off), elementSize)
		if err == nil {
			children[i] = order.Uint64(e[8:])
			keys[i], err = p.slice(uint64(off)+uint64(order.Uint32(e)), uint64(order.Uint32(e[4:])))
		}
		if err == nil {
			err = ordered(p, i, keys, from, to)
		}
		if err != nil {
			return w.note(err)
		}
	}
	for i := range keys {
		end := to
		if i+1 < len(keys) {
			end = keys[i+1]
		}
		if err := w.tree(children[i], bucket, keys[i], end); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) leaf(p *page, bucket string, from, to []byte) error {
	keys := make([][]byte, p.count)
	for i := range p.count {
		off := uint64(headerSize + i*elementSize)
		e, err := p.slice(off, elementSize)
		if err != nil {
			return w.note(err)
		}
		at, klen, vlen := off+uint64(order.Uint32(e[4:])), uint64(order.Uint32(e[8:])), uint64(order.Uint32(e[12:]))
		var value []byte
		if keys[i], err = p.slice(at, klen); err == nil {
			value, err = p.slice(at+klen, vlen)
		}
		if err == nil {
			err = ordered(p, i, keys, from, to)
		}
		if err != nil {
			return w.note(err)
		}
		switch isBucket := order.Uint32(e) == 1; {
		case bucket == "" && isBucket:
			err = w.bucket(p, string(keys[i]), value)
		case bucket != "" && order.Uint32(e) == 0:
			err = w.visit(bucket, keys[i], value)
		default:
			err = w.note(damagef("page %d: entry %d has the flags %#x", p.id, i, order.Uint32(e)))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// bucket walks one bucket, whose pages hang below a root page or, when it is
// small, stand within the entry itself.
func (w *walker) bucket(p *page, name string, value []byte) error {
	if len(value) < bucketSize || name == "" {
		return w.note(damagef("page %d: bucket %q has a header of %d bytes", p.id, name, len(value)))
	}
	root, sequence := order.Uint64(value), order.Uint64(value[8:])
	if sequence != 0 {
		return w.note(damagef("page %d: bucket %q has the sequence %d", p.id, name, sequence))
	}
	if root != 0 {
		return w.tree(root, name, nil, nil)
	}
	if len(value) < bucketSize+headerSize {
		return w.note(damagef("page %d: bucket %q is cut", p.id, name))
	}
	in := parse(value[bucketSize:])
	if in.flags != flagLeaf || in.id != 0 || in.overflow != 0 {
		return w.note(damagef("page %d: bucket %q stands in a page of id %d, type %#x, overflow %d",
			p.id, name, in.id, in.flags, in.overflow))
	}
	in.id = p.id // for messages
	return w.leaf(in, name, nil, nil)
}

// freelist holds the list of free pages against the pages in use.
func (w *walker) freelist() error {
	free, err := w.f.Freelist()
	if err != nil {
		return w.note(err)
	}
	list, err := w.f.read(w.f.Meta.Freelist)
	if err == nil {
		err = w.claim(list)
	}
	if err != nil {
		return w.note(err)
	}
	for _, id := range free {
		if w.used[id] != 0 {
			if err := w.note(damagef("page %d: both used and free", id)); err != nil {
				return err
			}
		}
		w.used[id] |= isFree
	}
	for id, u := range w.used {
		if u == 0 {
			if err := w.note(damagef("page %d: neither used nor free", id)); err != nil {
				return err
			}
		}
	}
	return nil
}

// slice returns n bytes of the page at off.
func (p *page) slice(off, n uint64) ([]byte, error) {
	if off > uint64(len(p.b)) || n > uint64(len(p.b))-off {
		return nil, damagef("page %d: an entry reaches past its end", p.id)
	}
	return p.b[off : off+n : off+n], nil
}

// ordered checks key i against the ones before it and the bounds of its page.
func ordered(p *page, i int, keys [][]byte, from, to []byte) error {
	k := keys[i]
	switch {
	case i > 0 && bytes.Compare(keys[i-1], k) >= 0:
		return damagef("page %d: entry %d is out of order", p.id, i)
	case from != nil && bytes.Compare(k, from) < 0, to != nil && bytes.Compare(k, to) >= 0:
		return damagef("page %d: entry %d is out of the bounds of its page", p.id, i)
	}
	return nil
}
