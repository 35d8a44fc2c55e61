// Package faulty is a kv.DB that fails on demand, for the tests of what stands
// above one.
//
// Faults are decided by the number of the call alone, so a test that found
// something finds it again.
package faulty

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"countersign/internal/kv"
)

// Op is a kind of call. Each kind is counted on its own, from 1.
type Op string

// The kinds of calls. Get, Put, Delete and Scan are those within transactions;
// a function that an engine runs twice counts twice.
const (
	Update Op = "update"
	View   Op = "view"
	Watch  Op = "watch"
	Get    Op = "get"
	Put    Op = "put"
	Delete Op = "delete"
	Scan   Op = "scan"
)

// When says at which point of an Update a fault strikes.
type When int

const (
	// Before fails the call before it did anything. It is the only one for
	// calls other than Update.
	Before When = iota
	// AtCommit runs the function and then fails with nothing written.
	AtCommit
	// AfterCommit makes the commit durable and then reports a failure, which
	// wraps kv.ErrUnknown: the caller cannot tell.
	AfterCommit
)

// ErrInjected is what a fault without an error of its own fails with.
var ErrInjected = errors.New("injected fault")

// ErrNoSpace is the error of a full disk, for Fault.Err. Like ErrInjected it is
// never changed.
var ErrNoSpace = fmt.Errorf("committing: %w", kv.ErrNoSpace)

// Fault is one thing that goes wrong.
type Fault struct {
	Op    Op
	Nth   int // the call of that kind that it strikes; 0 means every call
	When  When
	Delay time.Duration // waited first, or until the call's context ends
	Err   error         // default ErrInjected; with OnlyDelay none
	// OnlyDelay lets the call go on after Delay.
	OnlyDelay bool
}

// DB is a kv.DB with faults.
type DB struct {
	kv.DB  // Revision and Close
	mu     sync.Mutex
	faults []Fault
	calls  map[Op]int
}

// New wraps a store. Closing it closes the store.
func New(inner kv.DB, faults ...Fault) *DB {
	return &DB{DB: inner, faults: faults, calls: map[Op]int{}}
}

// Set replaces the faults and starts counting anew.
func (d *DB) Set(faults ...Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults, d.calls = faults, map[Op]int{}
}

// Calls is how often a kind of call was made since New or Set.
func (d *DB) Calls(op Op) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.calls[op]
}

// strike counts a call and returns the fault that it meets, after its delay.
func (d *DB) strike(ctx context.Context, op Op) (Fault, error) {
	d.mu.Lock()
	d.calls[op]++
	var hit Fault
	for _, f := range d.faults {
		if f.Op == op && (f.Nth == 0 || f.Nth == d.calls[op]) {
			hit = f
			break
		}
	}
	d.mu.Unlock()
	if hit.Op == "" {
		return hit, nil
	}
	if hit.Delay > 0 {
		select {
		case <-time.After(hit.Delay):
		case <-ctx.Done():
		}
	}
	switch {
	case hit.OnlyDelay:
		return Fault{}, nil
	case hit.Err == nil:
		hit.Err = ErrInjected
	}
	if hit.When == AfterCommit {
		hit.Err = fmt.Errorf("%w: %w", kv.ErrUnknown, hit.Err)
	}
	return hit, hit.Err
}

// Update fails as the faults of Update, Get, Scan, Put and Delete say.
func (d *DB) Update(ctx context.Context, f func(kv.Txn) error) (kv.Revision, error) {
	fault, err := d.strike(ctx, Update)
	if err != nil && fault.When == Before {
		return 0, err
	}
	rev, inner := d.DB.Update(ctx, func(tx kv.Txn) error {
		if e := f(txn{reader{ctx, d, tx}, tx}); e != nil {
			return e
		}
		if fault.When == AtCommit {
			return err
		}
		return nil
	})
	switch {
	case inner != nil:
		return 0, inner
	case err != nil:
		return 0, err
	}
	return rev, nil
}

// View fails as the faults of View, Get and Scan say.
func (d *DB) View(ctx context.Context, f func(kv.Reader) error) error {
	if _, err := d.strike(ctx, View); err != nil {
		return err
	}
	return d.DB.View(ctx, func(r kv.Reader) error { return f(reader{ctx, d, r}) })
}

// Watch fails at an event: each event is one call.
func (d *DB) Watch(ctx context.Context, prefix []byte, after kv.Revision) iter.Seq2[kv.Event, error] {
	return func(yield func(kv.Event, error) bool) {
		for e, err := range d.DB.Watch(ctx, prefix, after) {
			if err == nil {
				_, err = d.strike(ctx, Watch)
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

type reader struct {
	ctx context.Context
	db  *DB
	r   kv.Reader
}

func (r reader) Get(key []byte) ([]byte, error) {
	if _, err := r.db.strike(r.ctx, Get); err != nil {
		return nil, err
	}
	return r.r.Get(key)
}

func (r reader) Scan(x kv.Range) iter.Seq2[kv.Pair, error] {
	return func(yield func(kv.Pair, error) bool) {
		if _, err := r.db.strike(r.ctx, Scan); err != nil {
			yield(kv.Pair{}, err)
			return
		}
		r.r.Scan(x)(yield)
	}
}

type txn struct {
	reader
	tx kv.Txn
}

func (t txn) Put(key, value []byte) error {
	if _, err := t.db.strike(t.ctx, Put); err != nil {
		return err
	}
	return t.tx.Put(key, value)
}

func (t txn) Delete(key []byte) error {
	if _, err := t.db.strike(t.ctx, Delete); err != nil {
		return err
	}
	return t.tx.Delete(key)
}
