// Package sealed encrypts the values of a kv.DB.
//
// Every value is sealed under the key of its account, which is the first part
// of its tuple key, and bound to the whole key and to the version of this
// layout: a value moved to another key, or to another account, does not open.
// Keys are not encrypted, so that ranges keep working; names that must not be
// on the disk do not belong in keys.
//
// Values whose key begins with the part Plain are kept as they are. That is for
// what must be read before anything can be opened, such as the sealed root key;
// nothing secret goes there.
//
// A value that does not open is kv.ErrCorrupt, naming the key. Nothing is
// guessed, skipped or repaired. What this cannot show is a value put back to
// what the same key held before.
package sealed

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"

	"countersign/internal/kv"
)

// Plain is the first part of the keys whose values are not encrypted.
const Plain = "meta"

// version is the first byte of every sealed value, and of its associated data.
const version = 1

// Cipher is authenticated encryption under the key of an account. It is safe
// for concurrent use, and keeps none of its arguments.
type Cipher interface {
	// Seal appends the ciphertext to dst, at most kv.Overhead-1 bytes longer
	// than the plaintext. Two calls never return the same ciphertext.
	Seal(dst, plaintext, aad []byte, account string) ([]byte, error)
	// Open appends the plaintext to dst. It fails when any of the arguments is
	// not what Seal was given or returned.
	Open(dst, ciphertext, aad []byte, account string) ([]byte, error)
}

// DB is a kv.DB that holds plaintext in memory and ciphertext below.
type DB struct {
	inner   kv.DB
	cipher  Cipher
	account atomic.Pointer[string] // the one seen last, to save making it again
	scratch sync.Pool              // *[]byte, for associated data
	readers sync.Pool              // *reader, of views
}

var _ kv.DB = (*DB)(nil)

// New wraps an engine. Closing it closes the engine.
func New(inner kv.DB, c Cipher) *DB { return &DB{inner: inner, cipher: c} }

// Revision is that of the engine.
func (d *DB) Revision() kv.Revision { return d.inner.Revision() }

// Close closes the engine.
func (d *DB) Close() error { return d.inner.Close() }

// View opens values as they are read. As much plaintext as fits into arenaSize is
// overwritten when f has returned, and its memory serves the next view: who keeps a
// value copies it, as the contract says.
func (d *DB) View(ctx context.Context, f func(kv.Reader) error) error {
	o, _ := d.readers.Get().(*reader)
	if o == nil {
		o = &reader{db: d, arena: make([]byte, 0, arenaSize)}
		o.run = func(r kv.Reader) error {
			o.inner = r
			return o.f(o)
		}
	}
	defer func() {
		clear(o.arena)
		o.inner, o.f, o.arena = nil, nil, o.arena[:0]
		d.readers.Put(o)
	}()
	o.f = f
	return d.inner.View(ctx, o.run)
}

// arenaSize is how much plaintext of a view goes into memory that is used again.
const arenaSize = 2 << 10

// Update seals values as they are put.
func (d *DB) Update(ctx context.Context, f func(kv.Txn) error) (kv.Revision, error) {
	return d.inner.Update(ctx, func(tx kv.Txn) error {
		t := &txn{reader: reader{db: d, inner: tx}, inner: tx}
		err := f(t)
		if t.broken != nil {
			return t.broken
		}
		return err
	})
}

// Watch opens the values of events.
func (d *DB) Watch(ctx context.Context, prefix []byte, after kv.Revision) iter.Seq2[kv.Event, error] {
	return func(yield func(kv.Event, error) bool) {
		r := reader{db: d}
		for e, err := range d.inner.Watch(ctx, prefix, after) {
			if err == nil && e.Value != nil {
				e.Value, err = r.open(e.Key, e.Value)
			}
			if err != nil {
				yield(kv.Event{}, err)
				return
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

// Open opens one stored value, for tools that read an engine without this
// wrapper.
func Open(c Cipher, key, stored []byte) ([]byte, error) {
	return (&reader{db: &DB{cipher: c}}).open(key, stored)
}

// of returns the account of a key, or Plain.
func (d *DB) of(key []byte) (string, error) {
	i := bytes.IndexByte(key, 0)
	if i < 1 || i+1 >= len(key) || key[i+1] != 1 {
		return "", fmt.Errorf("key %q does not begin with an account", key)
	}
	if p := d.account.Load(); p != nil && *p == string(key[:i]) {
		return *p, nil
	}
	s := string(key[:i])
	if s != Plain {
		d.account.Store(&s)
	}
	return s, nil
}

// reader is used by one goroutine at a time.
type reader struct {
	db    *DB
	inner kv.Reader
	// Of a view:
	arena []byte                // what was opened
	f     func(kv.Reader) error // of the caller
	run   func(kv.Reader) error // calls f, made once
}

func (r *reader) Get(key []byte) ([]byte, error) {
	v, err := r.inner.Get(key)
	if err != nil {
		return nil, err
	}
	return r.open(key, v)
}

func (r *reader) Scan(x kv.Range) iter.Seq2[kv.Pair, error] {
	return func(yield func(kv.Pair, error) bool) {
		for p, err := range r.inner.Scan(x) {
			if err == nil {
				p.Value, err = r.open(p.Key, p.Value)
			}
			if err != nil {
				yield(kv.Pair{}, err)
				return
			}
			if !yield(p, nil) {
				return
			}
		}
	}
}

// aad is the version and the whole key, in memory to give back.
func (d *DB) aad(key []byte) *[]byte {
	b, _ := d.scratch.Get().(*[]byte)
	if b == nil {
		b = new([]byte)
	}
	*b = append(append((*b)[:0], version), key...)
	return b
}

// room is memory for n bytes that nothing else has until the transaction ends.
func (r *reader) room(n int) []byte {
	used := len(r.arena)
	if cap(r.arena)-used < n {
		return make([]byte, 0, n)
	}
	r.arena = r.arena[:used+n]
	return r.arena[used : used : used+n]
}

func (r *reader) open(key, stored []byte) ([]byte, error) {
	account, err := r.db.of(key)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", kv.ErrCorrupt, err)
	case account == Plain:
		return stored, nil
	case len(stored) == 0:
		return nil, fmt.Errorf("%w: value of %q is cut", kv.ErrCorrupt, key)
	case stored[0] != version:
		return nil, fmt.Errorf("%w: value of %q has the unknown version %d", kv.ErrCorrupt, key, stored[0])
	}
	aad := r.db.aad(key)
	v, err := r.db.cipher.Open(r.room(len(stored)), stored[1:], *aad, account)
	r.db.scratch.Put(aad)
	if err != nil {
		return nil, fmt.Errorf("%w: opening the value of %q: %w", kv.ErrCorrupt, key, err)
	}
	if v == nil {
		v = []byte{}
	}
	return v, nil
}

// txn holds the limits for what the caller sees; the engine holds them with
// room for the ciphertext.
type txn struct {
	reader
	inner  kv.Txn
	sizes  map[string]int // bytes of the value last put to each key written
	size   int
	broken error
	sealed []byte // the engine copies what it is given
}

func (t *txn) Put(key, value []byte) error {
	if err := t.count(key, value); err != nil {
		return err
	}
	account, err := t.db.of(key)
	if err != nil {
		return fmt.Errorf("putting: %w", err)
	}
	if account == Plain {
		return t.inner.Put(key, value)
	}
	aad := t.db.aad(key)
	t.sealed, err = t.db.cipher.Seal(append(t.sealed[:0], version), value, *aad, account)
	t.db.scratch.Put(aad)
	if err != nil {
		return fmt.Errorf("sealing the value of %q: %w", key, err)
	}
	if n := len(t.sealed) - len(value); n > kv.Overhead {
		return fmt.Errorf("sealing the value of %q: %d bytes more, at most %d", key, n, kv.Overhead)
	}
	return t.inner.Put(key, t.sealed)
}

func (t *txn) Delete(key []byte) error {
	if err := t.count(key, nil); err != nil {
		return err
	}
	return t.inner.Delete(key)
}

func (t *txn) count(key, value []byte) error {
	if t.broken != nil {
		return t.broken
	}
	if t.broken = kv.CheckWrite(key, value); t.broken != nil {
		return t.broken
	}
	if t.sizes == nil {
		t.sizes = map[string]int{}
	}
	old, had := t.sizes[string(key)]
	if !had {
		t.size += len(key)
	}
	t.size += len(value) - old
	t.sizes[string(key)] = len(value)
	t.broken = kv.CheckTotal(len(t.sizes), t.size)
	return t.broken
}

// Ciphertext returns what Cipher.Seal made out of a stored value, as it lies in
// the engine, for tools that look at ciphertexts there.
func Ciphertext(stored []byte) ([]byte, error) {
	if len(stored) == 0 || stored[0] != version {
		return nil, fmt.Errorf("%w: a stored value is cut or of an unknown version", kv.ErrCorrupt)
	}
	return stored[1:], nil
}
