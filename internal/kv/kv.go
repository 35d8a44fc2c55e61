// Package kv is the contract between Countersign and the engine that keeps its
// bytes: ordered byte keys, byte values, serializable transactions, a revision
// per commit, and a gapless feed of commits.
//
// Engines (memkv, boltkv) know bytes and nothing else; wrappers (sealed,
// traced, faulty) add encryption, tracing and failure. Every engine passes the
// suite in kvtest, and engines share no code. The limits below are those of the
// weakest engine that the contract is meant for (etcd 3.6 with its default
// --max-txn-ops 128 and --max-request-bytes 1.5 MiB); passing one is an error
// on every engine, so that nothing that works on one fails on another.
//
// A transaction function may run more than once. It must depend on nothing but
// the transaction and values fixed before it, and must touch nothing outside
// but variables that it resets first: no clock, no randomness, no I/O, no log.
// It must not start another transaction of the same store, which could wait
// for itself.
package kv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
)

// Limits of one transaction. MaxOps counts distinct keys written; MaxBytes sums
// those keys and the last value written to each. Reads are not limited.
//
// The limits hold for what the product writes, which is what a wrapper that
// encrypts is given. Such a wrapper stores up to Overhead bytes more per value:
// engines leave that room on top (CheckStored), the wrapper holds the limits
// themselves (CheckWrite, CheckTotal).
const (
	MaxKey   = 2048
	MaxValue = 1<<20 + 128<<10
	MaxOps   = 120
	MaxBytes = 1<<20 + 256<<10
	Overhead = 64
)

// Errors of the contract. Engines wrap them; compare with errors.Is.
var (
	ErrNotFound  = errors.New("key not found")
	ErrLimit     = errors.New("transaction limit passed")
	ErrCompacted = errors.New("revision is no longer kept")
	ErrReadOnly  = errors.New("store is read-only")
	ErrClosed    = errors.New("store is closed")
	ErrNoSpace   = errors.New("no space left for the store")
	ErrCorrupt   = errors.New("store is corrupt")
	ErrInUse     = errors.New("another process has it open")
	// ErrUnknown says that a commit failed at a point where it may or may not
	// have become durable. Whoever needs to know reads the store again.
	ErrUnknown = errors.New("outcome of the commit is unknown")
)

// Revision numbers commits: every Update that wrote something has one larger
// than all before it. Zero is the revision before the first commit.
type Revision uint64

// Pair is one key with its value.
type Pair struct{ Key, Value []byte }

// Range selects keys in [Start, End) in byte order, or in reverse byte order.
// An empty End means no upper bound.
type Range struct {
	Start, End []byte
	Reverse    bool
}

// Prefix is the range of all keys that begin with p. An empty p selects all.
func Prefix(p []byte) Range { return Range{Start: p, End: After(p)} }

// After returns the first key that is larger than every key with prefix p, or
// nil when there is none.
func After(p []byte) []byte {
	for i := len(p) - 1; i >= 0; i-- {
		if p[i] != 0xff {
			end := bytes.Clone(p[:i+1])
			end[i]++
			return end
		}
	}
	return nil
}

// Reader reads one consistent snapshot. Keys and values that it hands out are
// valid until the transaction ends and must not be changed; what is to be kept
// is copied. A Reader is used by one goroutine at a time.
type Reader interface {
	// Get returns the value of key, or an error that is ErrNotFound. A value
	// that was put empty is returned as an empty, non-nil slice.
	Get(key []byte) ([]byte, error)
	// Scan yields the pairs of a range in order. After yielding an error it
	// stops. Within an Update it sees the transaction's own writes; the
	// transaction must not write while a scan is under way.
	Scan(r Range) iter.Seq2[Pair, error]
}

// Txn is a Reader that also writes. The arguments are copied: the caller may
// reuse them. A write that passes a limit fails with ErrLimit, and then the
// transaction as a whole fails, whatever its function returns.
type Txn interface {
	Reader
	Put(key, value []byte) error
	Delete(key []byte) error // an absent key is no error
}

// Event is one write of a commit. Value is nil when the key was deleted.
type Event struct {
	Revision   Revision
	Key, Value []byte
}

// DB is an engine or a wrapper around one. It is safe for concurrent use.
type DB interface {
	// Update runs f in a serializable read-write transaction and returns once
	// the commit is durable. When f fails nothing is written and f's error is
	// returned as it is. Concurrent updates may share one commit, in which
	// each sees the ones before it. Without writes the revision is the one
	// that was read; deleting an absent key is no write. When ctx ends before
	// the commit began, nothing is written and ctx's error is returned; after
	// that the outcome is awaited. A panic in f reaches the caller of Update.
	Update(ctx context.Context, f func(Txn) error) (Revision, error)
	// View runs f over a snapshot of the newest commit.
	View(ctx context.Context, f func(Reader) error) error
	// Watch yields every event under prefix of commits after the given
	// revision, in order and without gaps, and then those to come, until ctx
	// ends (it then yields ctx's error), the store is closed (ErrClosed) or the
	// caller stops. A revision that is no longer kept, or that this store has
	// not reached (it was restored), yields ErrCompacted: the caller must read
	// afresh. Events are copies and may be kept.
	Watch(ctx context.Context, prefix []byte, after Revision) iter.Seq2[Event, error]
	// Revision is that of the newest commit.
	Revision() Revision
	// Close waits for transactions under way. Later calls return ErrClosed.
	Close() error
}

// CheckWrite returns ErrLimit, saying which limit, when one pair is too large
// for any transaction. Wrappers that change the size of values call it in Put
// and Delete, before they do so.
func CheckWrite(key, value []byte) error { return checkWrite(key, value, MaxValue) }

// CheckTotal returns ErrLimit when a transaction with that many distinct keys
// and bytes written is too large. Those wrappers call it after each write.
func CheckTotal(ops, size int) error { return checkTotal(ops, size, MaxBytes) }

// CheckStored is CheckWrite with room for a wrapper's Overhead. Engines call it
// in Put and Delete.
func CheckStored(key, value []byte) error { return checkWrite(key, value, MaxValue+Overhead) }

// CheckStoredTotal is CheckTotal with room for a wrapper's Overhead on each
// value. Engines call it after each write.
func CheckStoredTotal(ops, size int) error {
	return checkTotal(ops, size, MaxBytes+MaxOps*Overhead)
}

func checkWrite(key, value []byte, maxValue int) error {
	switch {
	case len(key) == 0:
		return fmt.Errorf("%w: empty key", ErrLimit)
	case len(key) > MaxKey:
		return fmt.Errorf("%w: key of %d bytes, at most %d", ErrLimit, len(key), MaxKey)
	case len(value) > maxValue:
		return fmt.Errorf("%w: value of %d bytes, at most %d", ErrLimit, len(value), maxValue)
	}
	return nil
}

func checkTotal(ops, size, maxBytes int) error {
	switch {
	case ops > MaxOps:
		return fmt.Errorf("%w: more than %d keys written", ErrLimit, MaxOps)
	case size > maxBytes:
		return fmt.Errorf("%w: more than %d bytes written", ErrLimit, maxBytes)
	}
	return nil
}
