package change

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"countersign/internal/core/audit"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
)

// Log is the audit log as the relay sees it.
type Log interface {
	// AppendBatch writes the records, in order, or none of them.
	AppendBatch(ctx context.Context, recs []*audit.Record) error
	// Sync brings everything appended so far to stable storage.
	Sync() error
	// Synced is the sequence number of the last record on stable storage,
	// where every record gets by itself within seconds.
	Synced() uint64
	// Contains tells which of the ids are already in the log, looking at
	// records not older than since.
	Contains(ctx context.Context, ids []string, since time.Time) (map[string]bool, error)
	// Err is not nil while the log refuses records.
	Err() error
}

// Timing of the relay. Records reach the log at once; their outbox entries go
// only when the log has them on stable storage.
const (
	dropEvery   = time.Second
	sweepEvery  = 10 * time.Second
	sweepAge    = 5 * time.Second
	dropAtOnce  = 100 // within kv.MaxOps
	relayAtOnce = 1000
)

// Relay carries the audit records of writes from the outbox to the log.
//
// A record that a commit put into the outbox is handed over in memory; the
// entry itself is read again only after a crash, or when the hand-over did not
// happen because the outcome of a commit was in doubt.
type Relay struct {
	db      kv.DB
	log     Log
	backlog int
	logger  *slog.Logger

	mu       sync.Mutex
	queue    []audit.Record      // committed, not yet in the log
	known    map[string]struct{} // in the queue or in the log, entry not yet dropped
	underway map[string]struct{} // being written: handed over soon, if at all
	passed   uint64              // how many left the queue for the log
	moved    chan struct{}       // closed and replaced whenever some did
	failed   error               // why the last attempt failed

	awake chan struct{}
}

// RelayConfig configures NewRelay.
type RelayConfig struct {
	DB  kv.DB
	Log Log
	// Backlog is how many records may wait for the log before writes are
	// refused. Default 100,000.
	Backlog int
	Logger  *slog.Logger // default slog.Default()
}

// NewRelay returns a relay that does nothing before Run.
func NewRelay(c RelayConfig) *Relay {
	if c.Backlog == 0 {
		c.Backlog = 100_000
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return &Relay{db: c.DB, log: c.Log, backlog: c.Backlog, logger: c.Logger,
		known: map[string]struct{}{}, underway: map[string]struct{}{}, moved: make(chan struct{}), awake: make(chan struct{}, 1)}
}

func outboxKey(id string) kv.Key { return kv.K("sys", "outbox", id) }

func putOutbox(tx kv.Txn, rec *audit.Record) error { return record.Put(tx, outboxKey(rec.ID), rec) }

// ready says whether a write may be begun: its record must be able to follow.
func (r *Relay) ready() error {
	err := r.log.Err()
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		err = r.failed
	}
	if err == nil && len(r.queue) >= r.backlog {
		err = fmt.Errorf("%d records wait for the log", len(r.queue))
	}
	if err != nil {
		return &errs.Error{Kind: errs.Unavailable, Code: "audit-unwritable",
			Msg: "the audit log cannot be written, so nothing is changed", Err: err}
	}
	return nil
}

// expect says that a record is about to be committed, and that offer or forget
// will follow: until then its entry is not taken for one that was left behind.
func (r *Relay) expect(id string) {
	r.mu.Lock()
	r.underway[id] = struct{}{}
	r.mu.Unlock()
}

// forget says that no hand-over will follow.
func (r *Relay) forget(id string) {
	r.mu.Lock()
	delete(r.underway, id)
	r.mu.Unlock()
}

// offer hands over the record of a commit.
func (r *Relay) offer(rec audit.Record) {
	r.mu.Lock()
	delete(r.underway, rec.ID)
	if _, seen := r.known[rec.ID]; !seen {
		r.known[rec.ID] = struct{}{}
		r.queue = append(r.queue, rec)
	}
	r.mu.Unlock()
	select {
	case r.awake <- struct{}{}:
	default:
	}
}

// Recover takes over what an earlier process left in the outbox. It must
// return before the first write.
func (r *Relay) Recover(ctx context.Context) error {
	left, err := r.entries(ctx, time.Time{}) // also those of a clock that was ahead
	if err != nil || len(left) == 0 {
		return err
	}
	ids := make([]string, len(left))
	for i := range left {
		ids[i] = left[i].ID
	}
	in, err := r.log.Contains(ctx, ids, left[0].Time.Add(-time.Minute))
	if err != nil {
		return fmt.Errorf("looking for relayed records: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rec := range left {
		r.known[rec.ID] = struct{}{}
		if !in[rec.ID] {
			r.queue = append(r.queue, rec)
		}
	}
	return nil
}

// entries returns the outbox's records whose id is older than before, or all
// when that is zero.
func (r *Relay) entries(ctx context.Context, before time.Time) (recs []audit.Record, err error) {
	err = r.db.View(ctx, func(rd kv.Reader) error {
		recs = nil
		rng := kv.Prefix(kv.K("sys", "outbox"))
		if !before.IsZero() {
			rng.End = outboxKey(audit.NewID(before))
		}
		for e, err := range record.Scan[audit.Record](rd, rng) {
			if err != nil {
				return err
			}
			recs = append(recs, e.Value)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the outbox: %w", err)
	}
	return recs, nil
}

// Run relays until ctx ends, and then once more, so that a clean stop leaves
// the outbox empty.
func (r *Relay) Run(ctx context.Context) {
	drop, sweep := time.NewTicker(dropEvery), time.NewTicker(sweepEvery)
	defer drop.Stop()
	defer sweep.Stop()
	written := r.relayed() // in the log, their entries still there
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			written = r.push(last, written)
			if err := r.log.Sync(); err != nil {
				r.logger.Error("syncing the audit log", "error", err)
			}
			r.drop(last, written)
			return
		case <-r.awake:
			written = r.push(ctx, written)
		case <-drop.C:
			written = r.drop(ctx, r.push(ctx, written))
		case <-sweep.C:
			r.sweep(ctx)
		}
	}
}

// relayed returns the ids that Recover found in the log.
func (r *Relay) relayed() (in []relayed) {
	r.mu.Lock()
	defer r.mu.Unlock()
	waiting := map[string]bool{}
	for i := range r.queue {
		waiting[r.queue[i].ID] = true
	}
	for id := range r.known {
		if !waiting[id] {
			in = append(in, relayed{id: id})
		}
	}
	return in
}

// relayed is a record in the log whose outbox entry is still there.
type relayed struct {
	id  string
	seq uint64
}

// push appends the queue to the log and returns written with what it added.
func (r *Relay) push(ctx context.Context, written []relayed) []relayed {
	for {
		r.mu.Lock()
		some := slices.Clone(r.queue[:min(len(r.queue), relayAtOnce)]) // the queue itself may move meanwhile
		r.mu.Unlock()
		if len(some) == 0 {
			return written
		}
		batch := make([]*audit.Record, len(some))
		for i := range batch {
			batch[i] = &some[i]
		}
		err := r.log.AppendBatch(ctx, batch)
		if err != nil && ctx.Err() != nil {
			return written // Run ends, and tries once more
		}
		r.mu.Lock()
		if err != nil {
			if r.failed == nil {
				r.logger.Error("audit records of writes cannot be appended; writes are refused", "error", err)
			}
			r.failed = err
			r.mu.Unlock()
			return written
		}
		for _, rec := range batch {
			written = append(written, relayed{rec.ID, rec.Seq})
		}
		r.failed = nil
		r.passed += uint64(len(some))
		if r.queue = r.queue[len(some):]; len(r.queue) == 0 {
			r.queue = nil
		}
		close(r.moved)
		r.moved = make(chan struct{})
		r.mu.Unlock()
	}
}

// drop removes the entries of what is on stable storage in the log. It returns
// those that are not yet, or could not be removed.
func (r *Relay) drop(ctx context.Context, written []relayed) []relayed {
	durable := r.log.Synced()
	n := 0
	for n < len(written) && written[n].seq <= durable {
		n++
	}
	done, rest := written[:n], written[n:]
	for len(done) > 0 {
		some := done[:min(len(done), dropAtOnce)]
		_, err := r.db.Update(ctx, func(tx kv.Txn) error {
			for _, rec := range some {
				if err := tx.Delete(outboxKey(rec.id)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			r.logger.Warn("removing relayed records from the outbox", "error", err)
			return append(done[:len(done):len(done)], rest...)
		}
		r.mu.Lock()
		for _, rec := range some {
			delete(r.known, rec.id)
		}
		r.mu.Unlock()
		done = done[len(some):]
	}
	return rest
}

// sweep queues entries whose hand-over did not happen.
func (r *Relay) sweep(ctx context.Context) {
	left, err := r.entries(ctx, time.Now().Add(-sweepAge))
	if err != nil {
		r.logger.Warn("sweeping the outbox", "error", err)
		return
	}
	for _, rec := range left {
		r.mu.Lock()
		_, underway := r.underway[rec.ID]
		r.mu.Unlock()
		if !underway {
			r.offer(rec)
		}
	}
}

// Flush waits until every record handed over before it is in the log, so that
// a query sees the writes before it. It does not wait for those that come
// meanwhile.
func (r *Relay) Flush(ctx context.Context) error {
	r.mu.Lock()
	until := r.passed + uint64(len(r.queue))
	r.mu.Unlock()
	select {
	case r.awake <- struct{}{}:
	default:
	}
	for {
		r.mu.Lock()
		reached, moved := r.passed >= until, r.moved
		r.mu.Unlock()
		if reached {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return errs.Wrap(errs.Unavailable, ctx.Err(), "the audit log does not take records")
		}
	}
}

// Waiting is the number of records not yet in the log.
func (r *Relay) Waiting() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.queue)
}
