// Package boltkv keeps a store in one bbolt file.
//
// Concurrent updates share commits. Each function runs in its caller's own
// goroutine, one after another, against a snapshot plus what the functions
// before it in the same batch wrote; its own writes join the batch only when it
// succeeds, so a failing one leaves nothing. The last function for which nobody
// waits applies the batch to the file, which costs one commit and its two
// syncs, and only then do its updates return. Nothing is delayed to fill a
// batch: while one commit is under way, the next batch gathers.
//
// The file holds two buckets. "countersign" has the format version and one
// record of the newest revision, the number of pairs and a digest of them all,
// so that damage which bbolt's structure does not show (a page count made
// smaller, a page put back to an older state) does not go unseen. "data" has
// the pairs. The digest has no key: it finds accidents, not a forger who
// computes it anew, and none of this shows that the whole file was replaced by
// an older copy of itself.
//
// A commit whose last sync failed may or may not have reached the disk. The
// store then refuses to write until it is opened again, which first makes
// durable what the file shows: going on could overwrite pages that the disk's
// newest commit still needs. A full disk is found before that point and leaves
// the store as it was.
//
// Reads are bbolt read transactions on the mapped file: no copy, no cache. A
// View that stays open keeps the pages of its snapshot from being reused.
package boltkv

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"countersign/internal/kv"
)

// Config says where the store is and how much of its past it remembers.
type Config struct {
	// Path of the file. It is created, mode 0600, unless ReadOnly is set. Its
	// folder must exist.
	Path string
	// ReadOnly opens an existing file that no writer has open.
	ReadOnly bool
	// LockTimeout is how long to wait for another process to let go of the
	// file. Default 1 s.
	LockTimeout time.Duration
	// MaxSize bounds the file, in bytes. Passing it is kv.ErrNoSpace.
	// Default 0: no bound.
	MaxSize int
	// WatchCommits and WatchBytes bound the commits kept in memory for Watch.
	// Defaults 8192 and 4 MiB.
	WatchCommits int
	WatchBytes   int
	// Log is told of damage that opening could repair. Default: nobody.
	Log *slog.Logger
}

const (
	mapSize   = 1 << 30 // address space, not memory: remapping waits for all readers
	growStep  = 4 << 20 // the file grows by this much, each time with a sync
	batchKeys = 4096    // a batch of that many keys or
	batchSize = 8 << 20 // bytes is committed though others wait to join it
)

// DB is an open store. It implements kv.DB.
type DB struct {
	bolt     *bbolt.DB
	file     *os.File // bolt's own; never closed here
	readOnly bool

	turn    chan struct{} // held, by sending, to run a function or to commit
	waiting atomic.Int64  // updates that wait for their turn
	batch   *batch        // open batch; guarded by turn
	closed  bool          // guarded by turn
	failed  error         // why writing is refused; guarded by turn

	rev  atomic.Uint64
	ring ring

	snapshots snapshots
}

var _ kv.DB = (*DB)(nil)

// Revision is that of the newest durable commit.
func (d *DB) Revision() kv.Revision { return kv.Revision(d.rev.Load()) }

// View runs f over a snapshot. A file that turns out damaged where f reads is
// kv.ErrCorrupt.
func (d *DB) View(ctx context.Context, f func(kv.Reader) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true)) // see recovered
	r, err := d.snapshots.take(d.bolt)
	if err != nil {
		return err
	}
	defer d.snapshots.release(r)
	return f(r)
}

func beginError(err error) error {
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		return kv.ErrClosed
	}
	return fmt.Errorf("beginning a transaction: %w", err)
}

// Update runs f in its turn and returns once the batch that it joined is
// durable.
func (d *DB) Update(ctx context.Context, f func(kv.Txn) error) (kv.Revision, error) {
	if d.readOnly {
		return 0, kv.ErrReadOnly
	}
	if err := d.acquire(ctx); err != nil {
		return 0, err
	}
	b, rev, err := d.join(ctx, f)
	if b != nil {
		if <-b.done; b.err != nil {
			return 0, b.err
		}
	}
	if err != nil {
		return 0, err
	}
	return kv.Revision(rev), nil
}

// acquire waits for the turn.
func (d *DB) acquire(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	d.waiting.Add(1)
	select {
	case d.turn <- struct{}{}:
		d.waiting.Add(-1)
		return nil
	case <-ctx.Done():
	}
	// The update before may have left its batch to this one to commit.
	d.waiting.Add(-1)
	go func() {
		d.turn <- struct{}{}
		d.release()
	}()
	return ctx.Err()
}

// release gives the turn to the next, after committing the batch when it is
// full or nobody is waiting to join it.
func (d *DB) release() {
	defer func() { <-d.turn }()
	if d.batch != nil && d.waiting.Load() == 0 {
		runtime.Gosched() // whoever can run and is about to update joins the batch
	}
	if b := d.batch; b != nil && (b.full() || d.waiting.Load() == 0) {
		d.batch = nil
		d.commit(b)
	}
}

// join runs f with the turn held. It returns the batch whose outcome decides
// about f's, or none when f's outcome is known.
func (d *DB) join(ctx context.Context, f func(kv.Txn) error) (*batch, uint64, error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true)) // see recovered
	defer d.release()                                        // also when f panics
	if err := d.ready(ctx); err != nil {
		return nil, 0, err
	}
	if d.batch == nil {
		b, err := d.begin()
		if err != nil {
			return nil, 0, err
		}
		d.batch = b
	}
	b := d.batch
	t := &txn{batch: b}
	defer t.end()
	err := f(t)
	if t.broken != nil {
		err = t.broken
	}
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = b.add(t.own)
	}
	if len(b.writes) == 0 {
		return nil, b.rev, err
	}
	// What f read or failed at may follow from what earlier functions of the
	// batch wrote: it stands only if they do.
	return b, b.rev, err
}

func (d *DB) ready(ctx context.Context) error {
	switch {
	case d.closed:
		return kv.ErrClosed
	case d.failed != nil:
		return fmt.Errorf("writing is refused until the store is opened again, after: %w", d.failed)
	}
	return ctx.Err()
}

// Close commits the open batch, waits for reads under way and lets go of the
// file.
func (d *DB) Close() error {
	d.turn <- struct{}{}
	defer func() { <-d.turn }()
	if d.closed {
		return kv.ErrClosed
	}
	if b := d.batch; b != nil {
		d.batch = nil
		d.commit(b)
	}
	d.closed = true
	d.ring.close()
	d.snapshots.pause() // for good: closing waits for all reads
	if err := d.bolt.Close(); err != nil {
		return fmt.Errorf("closing the store file: %w", err)
	}
	return nil
}

// Size is the number of bytes of the file that are in use, free pages included.
func (d *DB) Size() (int64, error) {
	tx, err := d.bolt.Begin(false)
	if err != nil {
		return 0, beginError(err)
	}
	defer tx.Rollback()
	return tx.Size(), nil
}

// Snapshot writes a complete store file of one revision to w while the store
// stays in use. w should not be slow: meanwhile no page is reused.
func (d *DB) Snapshot(w io.Writer) error {
	tx, err := d.bolt.Begin(false)
	if err != nil {
		return beginError(err)
	}
	defer tx.Rollback()
	k := keepError{w: w}
	if _, err := tx.WriteTo(&k); err != nil {
		return fmt.Errorf("copying the store: %w", cmp.Or(k.err, err))
	}
	return nil
}

// keepError remembers an error of w, of which bbolt passes on only the text.
type keepError struct {
	w   io.Writer
	err error
}

func (k *keepError) Write(b []byte) (int, error) {
	n, err := k.w.Write(b)
	k.err = err
	return n, err
}
