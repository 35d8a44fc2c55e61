// Package pages reads a bbolt file page by page and trusts nothing in it.
//
// bbolt maps its file and follows the offsets that it finds there; a damaged
// one can end the process, and pages have no checksums. This package reads the
// same format through an io.ReaderAt with every bound checked, so that opening,
// checking and repairing tools can say what is wrong with a file. It knows
// pages, buckets and pairs, and nothing of what they mean. It does not write,
// except that Settle writes back the commit records as they are.
//
// The format: pages of one size, each with a header of id, type, element count
// and number of pages it overflows into; pages 0 and 1 are commit records
// (meta pages) written in turn, the only ones with a checksum; a tree of branch
// and leaf pages per bucket; one list of free pages. Numbers are in the byte
// order of the machine that wrote them.
package pages

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
)

const (
	headerSize  = 16
	elementSize = 16
	metaSize    = 64
	bucketSize  = 16

	magic   = 0xED0CDAED
	version = 2

	flagBranch, flagLeaf, flagFreelist = 0x01, 0x02, 0x10

	minPage, maxPage = 1 << 10, 1 << 24
)

// Meta is a commit record.
type Meta struct {
	PageSize int
	Root     uint64 // page of the root bucket
	Freelist uint64 // page of the list of free pages
	End      uint64 // pages from here on are not in use
	Txid     uint64
}

// File is one commit of a bbolt file.
type File struct {
	Meta     Meta
	Warnings []string // damage that this commit does not depend on
	r        io.ReaderAt
	size     int64
}

// Open finds the newest commit of a file of the given size. It fails when there
// is none, or when the file is shorter than that commit needs.
func Open(r io.ReaderAt, size int64) (*File, error) {
	m0, err0 := readMeta(r, 0)
	var m1 Meta
	var err1 error
	if err0 == nil {
		m1, err1 = readMeta(r, int64(m0.PageSize))
	} else {
		err1 = errors.New("not found at any page size")
		for n := int64(minPage); n <= maxPage && n < size; n *= 2 {
			if m, err := readMeta(r, n); err == nil && int64(m.PageSize) == n {
				m1, err1 = m, nil
				break
			}
		}
	}
	f := &File{r: r, size: size}
	switch {
	case err0 != nil && err1 != nil:
		return nil, fmt.Errorf("no commit record: page 0: %w; page 1: %w", err0, err1)
	case err0 != nil:
		f.Meta, f.Warnings = m1, []string{fmt.Sprintf("page 0: commit record: %v", err0)}
	case err1 != nil:
		f.Meta, f.Warnings = m0, []string{fmt.Sprintf("page 1: commit record: %v", err1)}
	case m0.PageSize != m1.PageSize:
		return nil, errors.New("commit records differ in page size")
	case m0.Txid > m1.Txid:
		f.Meta = m0
	default:
		f.Meta = m1
	}
	if m := f.Meta; m.End > uint64(size)/uint64(m.PageSize) {
		return nil, fmt.Errorf("file of %d bytes is too short: its newest commit has %d pages of %d bytes", size, m.End, m.PageSize)
	}
	return f, nil
}

// order is how bbolt lays out numbers.
var order = binary.NativeEndian // never changed

func readMeta(r io.ReaderAt, off int64) (Meta, error) {
	var b [headerSize + metaSize]byte
	if _, err := r.ReadAt(b[:], off); err != nil {
		return Meta{}, err
	}
	m := b[headerSize:]
	h := fnv.New64a()
	h.Write(m[:metaSize-8])
	switch {
	case order.Uint32(m) != magic:
		return Meta{}, errors.New("not a commit record")
	case order.Uint32(m[4:]) != version:
		return Meta{}, fmt.Errorf("unknown file version %d", order.Uint32(m[4:]))
	case order.Uint64(m[metaSize-8:]) != h.Sum64():
		return Meta{}, errors.New("wrong checksum")
	}
	out := Meta{PageSize: int(order.Uint32(m[8:])), Root: order.Uint64(m[16:]),
		Freelist: order.Uint64(m[32:]), End: order.Uint64(m[40:]), Txid: order.Uint64(m[48:])}
	if n := out.PageSize; n < minPage || n > maxPage || n&(n-1) != 0 {
		return Meta{}, fmt.Errorf("page size %d", n)
	}
	return out, nil
}

// Settle makes durable what the file shows. A process that died, or a sync that
// failed, can leave a commit record that reads back and is not on the disk;
// writing pages that an older record still needs would then endanger both.
func (f *File) Settle(w *os.File) error {
	b := make([]byte, 2*f.Meta.PageSize)
	if _, err := w.ReadAt(b, 0); err != nil {
		return fmt.Errorf("reading commit records: %w", err)
	}
	if _, err := w.WriteAt(b, 0); err != nil {
		return fmt.Errorf("writing commit records back: %w", err)
	}
	if err := w.Sync(); err != nil {
		return fmt.Errorf("syncing: %w", err)
	}
	return nil
}

// page is one page with those it overflows into.
type page struct {
	id       uint64
	flags    uint16
	count    int
	overflow uint64
	b        []byte
}

// read reads a page and those it overflows into. Damage is an error of type
// damage; others come from the reader.
func (f *File) read(id uint64) (*page, error) {
	if id < 2 || id >= f.Meta.End {
		return nil, damagef("page %d: outside of the %d pages in use", id, f.Meta.End)
	}
	size := uint64(f.Meta.PageSize)
	b := make([]byte, size)
	if _, err := f.r.ReadAt(b, int64(id*size)); err != nil {
		return nil, fmt.Errorf("reading page %d: %w", id, err)
	}
	p := parse(b)
	if p.id != id {
		return nil, damagef("page %d: says it is page %d", id, p.id)
	}
	if p.overflow >= f.Meta.End-id {
		return nil, damagef("page %d: overflows into %d pages, past the end", id, p.overflow)
	}
	if p.overflow > 0 {
		more := make([]byte, size*(p.overflow+1))
		if _, err := f.r.ReadAt(more, int64(id*size)); err != nil {
			return nil, fmt.Errorf("reading page %d: %w", id, err)
		}
		p.b = more
	}
	return p, nil
}

func parse(b []byte) *page {
	return &page{id: order.Uint64(b), flags: order.Uint16(b[8:]), count: int(order.Uint16(b[10:])),
		overflow: uint64(order.Uint32(b[12:])), b: b}
}

// Freelist returns the ids of the free pages, with those that the list itself
// takes not among them.
func (f *File) Freelist() ([]uint64, error) {
	p, err := f.read(f.Meta.Freelist)
	if err != nil {
		return nil, fmt.Errorf("list of free pages: %w", err)
	}
	if p.flags != flagFreelist {
		return nil, damagef("page %d: is no list of free pages (type %#x)", p.id, p.flags)
	}
	ids, n := p.b[headerSize:], uint64(p.count)
	if n == 0xffff { // too many for the header
		n, ids = order.Uint64(ids), ids[8:]
	}
	if n > uint64(len(ids)/8) {
		return nil, damagef("page %d: list of %d free pages does not fit", p.id, n)
	}
	out := make([]uint64, n)
	for i := range out {
		out[i] = order.Uint64(ids[8*i:])
		if out[i] < 2 || out[i] >= f.Meta.End || i > 0 && out[i] <= out[i-1] {
			return nil, damagef("page %d: entry %d of the list of free pages is out of order or bounds", p.id, i)
		}
	}
	return out, nil
}

// damage is a defect of the file, as opposed to one of reading it.
type damage string

func (d damage) Error() string { return string(d) }

func damagef(format string, args ...any) error { return damage(fmt.Sprintf(format, args...)) }
