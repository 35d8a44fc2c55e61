package boltkv

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"countersign/internal/kv"
)

// batch gathers the writes of updates that share a commit. Until commit its
// transaction is only read, so that the functions' cursors walk clean pages.
type batch struct {
	pairs
	tx     *bbolt.Tx
	writes overlay
	size   int
	rev    uint64 // of the newest update that wrote
	log    []commit
	done   chan struct{} // closed once err is final
	err    error
}

func (d *DB) begin() (*batch, error) {
	d.snapshots.pause()
	tx, err := d.bolt.Begin(true)
	if err != nil {
		d.snapshots.resume()
		return nil, beginError(err)
	}
	return &batch{tx: tx, pairs: pairsOf(tx), rev: d.rev.Load(), done: make(chan struct{})}, nil
}

func (b *batch) full() bool { return len(b.writes) >= batchKeys || b.size >= batchSize }

// now returns the value of a key as the next function sees it, nil when it is
// absent.
func (b *batch) now(key []byte) (value []byte, err error) {
	if e := b.writes.find(key); e != nil {
		return e.value, nil
	}
	return b.get(key)
}

// add takes over the writes of one update and gives it a revision, unless they
// change nothing.
func (b *batch) add(own overlay) error {
	kept := own[:0]
	for _, e := range own {
		if e.value == nil {
			old, err := b.now(e.key)
			if err != nil {
				return err
			}
			if old == nil {
				continue
			}
		}
		kept = append(kept, e)
	}
	if len(kept) == 0 {
		return nil
	}
	b.rev++
	c := commit{rev: b.rev, events: make([]kv.Event, len(kept))}
	for i, e := range kept {
		b.writes.set(e.key, e.value)
		c.size += len(e.key) + len(e.value)
		c.events[i] = kv.Event{Revision: kv.Revision(b.rev), Key: e.key, Value: e.value}
	}
	b.size += c.size
	b.log = append(b.log, c)
	return nil
}

// commit makes a batch durable and tells its updates. The turn is held.
func (d *DB) commit(b *batch) {
	defer close(b.done)
	defer d.snapshots.resume() // after the revision is told
	if len(b.writes) == 0 {
		b.err = b.tx.Rollback()
		return
	}
	if err := b.apply(); err != nil {
		b.tx.Rollback()
		b.err = fmt.Errorf("applying a commit: %w", err)
		return
	}
	if err := b.tx.Commit(); err != nil {
		b.err = d.commitError(b, err)
		return
	}
	d.ring.add(b.log) // first: whoever reads the revision may watch after it
	d.rev.Store(b.rev)
}

// apply writes the batch and the state that it leads to into the transaction.
func (b *batch) apply() (err error) {
	defer recovered(&err)
	meta := b.tx.Bucket(metaBucket)
	st, err := parseState(meta.Get(stateKey))
	if err != nil {
		return err
	}
	st.Revision = b.rev
	for _, e := range b.writes { // all reads before the first write
		if old := b.data.Get(e.key); old != nil {
			st.remove(e.key, old)
		}
		if e.value != nil {
			st.add(e.key, e.value)
		}
	}
	for _, e := range b.writes {
		if e.value == nil {
			err = b.data.Delete(e.key)
		} else {
			err = b.data.Put(e.key, e.value)
		}
		if err != nil {
			return err
		}
	}
	return meta.Put(stateKey, st.encode())
}

// commitError says what became of a commit that failed. When the file shows it
// all the same, only its last sync is missing: then nobody can say whether it
// survives, and writing ends here.
func (d *DB) commitError(b *batch, cause error) error {
	if noSpace(cause) {
		cause = fmt.Errorf("%w: %w", kv.ErrNoSpace, cause)
	}
	shown, err := d.shownRevision()
	if err == nil && shown == b.rev-uint64(len(b.log)) {
		return fmt.Errorf("committing: %w", cause)
	}
	d.failed = fmt.Errorf("committing: %w: %w", kv.ErrUnknown, cause)
	return d.failed
}

func (d *DB) shownRevision() (rev uint64, err error) {
	defer recovered(&err)
	err = d.bolt.View(func(tx *bbolt.Tx) error {
		st, err := parseState(tx.Bucket(metaBucket).Get(stateKey))
		rev = st.Revision
		return err
	})
	return rev, err
}

// noSpace recognizes a full disk, also where bbolt keeps only the text.
func noSpace(err error) bool {
	for _, e := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		if errors.Is(err, e) || strings.Contains(err.Error(), e.Error()) {
			return true
		}
	}
	return errors.Is(err, berrors.ErrMaxSizeReached)
}
