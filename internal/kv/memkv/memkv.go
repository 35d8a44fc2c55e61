// Package memkv is the reference engine: all pairs in memory, nothing kept.
//
// It exists for tests, and is as unkind as the contract allows. It runs a
// transaction function twice at random (seeded, so that a failure repeats), it
// refuses a function that writes other keys or comes to another result when it
// runs again, and it overwrites every value that it handed out as soon as the
// transaction has ended. Code that passes its tests over memkv does not depend
// on a function running once, nor on a value living on.
//
// Every commit copies the list of pairs: it is meant for tens of thousands of
// pairs, not for more.
package memkv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"

	"countersign/internal/kv"
)

// ErrImpure is returned by Update when its function, run again over the same
// snapshot, wrote other keys or came to another result.
var ErrImpure = errors.New("transaction function is impure")

// Config says how a DB behaves. The zero value is what tests want.
type Config struct {
	// Seed of the choice which functions run twice. Default 0, a seed as well.
	Seed uint64
	// History is how many commits Watch can go back. Default 10,000.
	History int
}

// DB is an in-memory kv.DB.
type DB struct {
	history int

	use   sync.RWMutex // held shared by transactions, exclusively by Close
	write sync.Mutex   // serializes updates, guards rng
	rng   *rand.Rand
	now   atomic.Pointer[state]

	watch struct {
		sync.Mutex
		log   []commit      // commits of the revisions (floor, newest]
		floor kv.Revision   // newest revision no longer kept
		moved chan struct{} // closed at the next commit, or by Close
	}
	closed bool // guarded by use and watch: written with both held
}

// state is one immutable version of the whole store.
type state struct {
	rev   kv.Revision
	pairs []kv.Pair // in key order
}

type commit struct {
	rev    kv.Revision
	events []kv.Event
}

var _ kv.DB = (*DB)(nil)

// New returns an empty store at revision zero.
func New(c Config) *DB {
	if c.History <= 0 {
		c.History = 10_000
	}
	d := &DB{history: c.History, rng: rand.New(rand.NewPCG(c.Seed, 1))}
	d.now.Store(&state{})
	d.watch.moved = make(chan struct{})
	return d
}

// Revision is that of the newest commit.
func (d *DB) Revision() kv.Revision { return d.now.Load().rev }

// View runs f over the newest state.
func (d *DB) View(ctx context.Context, f func(kv.Reader) error) error {
	d.use.RLock()
	defer d.use.RUnlock()
	if d.closed {
		return kv.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	t := &txn{base: d.now.Load()}
	defer t.end()
	return f(reader{t})
}

// Update runs f once or twice and commits what its last run wrote.
func (d *DB) Update(ctx context.Context, f func(kv.Txn) error) (kv.Revision, error) {
	d.use.RLock()
	defer d.use.RUnlock()
	if d.closed {
		return 0, kv.ErrClosed
	}
	d.write.Lock()
	defer d.write.Unlock()
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	base := d.now.Load()
	writes, err := run(base, f)
	if d.rng.IntN(2) == 0 {
		again, againErr := run(base, f)
		if (err == nil) != (againErr == nil) || err == nil && !sameKeys(writes, again) {
			return 0, fmt.Errorf("%w: its second run over revision %d differs", ErrImpure, base.rev)
		}
		writes, err = again, againErr
	}
	if err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if len(writes) == 0 {
		return base.rev, nil
	}
	next := &state{rev: base.rev + 1, pairs: merge(base.pairs, writes, false)}
	d.publish(next, writes)
	return next.rev, nil
}

// run returns what f wrote over base, in key order, without deletions of keys
// that base does not have. A nil value is a deletion.
func run(base *state, f func(kv.Txn) error) ([]kv.Pair, error) {
	t := &txn{base: base, writes: map[string][]byte{}}
	defer t.end()
	err := f(t)
	if t.broken != nil {
		return nil, t.broken
	}
	if err != nil {
		return nil, err
	}
	var out []kv.Pair
	for k, v := range t.writes {
		if _, had := find(base.pairs, []byte(k)); v != nil || had {
			out = append(out, kv.Pair{Key: []byte(k), Value: v})
		}
	}
	slices.SortFunc(out, byKey)
	return out, nil
}

func (d *DB) publish(next *state, writes []kv.Pair) {
	c := commit{rev: next.rev}
	for _, w := range writes {
		c.events = append(c.events, kv.Event{Revision: next.rev, Key: w.Key, Value: w.Value})
	}
	d.watch.Lock()
	defer d.watch.Unlock()
	d.now.Store(next)
	d.watch.log = append(d.watch.log, c)
	if drop := len(d.watch.log) - d.history; drop > 0 {
		d.watch.floor = d.watch.log[drop-1].rev
		d.watch.log = slices.Clone(d.watch.log[drop:])
	}
	close(d.watch.moved)
	d.watch.moved = make(chan struct{})
}

// Watch yields the commits after a revision, and those to come.
func (d *DB) Watch(ctx context.Context, prefix []byte, after kv.Revision) iter.Seq2[kv.Event, error] {
	prefix = bytes.Clone(prefix)
	return func(yield func(kv.Event, error) bool) {
		for {
			if err := ctx.Err(); err != nil {
				yield(kv.Event{}, err)
				return
			}
			log, moved, err := d.since(after)
			if err != nil {
				yield(kv.Event{}, err)
				return
			}
			for _, c := range log {
				for _, e := range c.events {
					if bytes.HasPrefix(e.Key, prefix) && !yield(copyEvent(e), nil) {
						return
					}
				}
				after = c.rev
			}
			if len(log) > 0 {
				continue
			}
			select {
			case <-moved:
			case <-ctx.Done():
			}
		}
	}
}

// since returns the commits after a revision and a channel that is closed when
// there are more.
func (d *DB) since(after kv.Revision) ([]commit, <-chan struct{}, error) {
	d.watch.Lock()
	defer d.watch.Unlock()
	switch newest := d.now.Load().rev; {
	case d.closed:
		return nil, nil, kv.ErrClosed
	case after < d.watch.floor:
		return nil, nil, fmt.Errorf("watching after revision %d, kept from %d: %w", after, d.watch.floor, kv.ErrCompacted)
	case after > newest:
		return nil, nil, fmt.Errorf("watching after revision %d, newest is %d: %w", after, newest, kv.ErrCompacted)
	}
	return slices.Clone(d.watch.log[after-d.watch.floor:]), d.watch.moved, nil
}

// Close waits for transactions under way and ends all watches.
func (d *DB) Close() error {
	d.use.Lock()
	defer d.use.Unlock()
	d.watch.Lock()
	defer d.watch.Unlock()
	if d.closed {
		return kv.ErrClosed
	}
	d.closed = true
	close(d.watch.moved)
	return nil
}

func copyEvent(e kv.Event) kv.Event {
	return kv.Event{Revision: e.Revision, Key: bytes.Clone(e.Key), Value: bytes.Clone(e.Value)}
}

func byKey(a, b kv.Pair) int { return bytes.Compare(a.Key, b.Key) }

func find(pairs []kv.Pair, key []byte) (int, bool) {
	return slices.BinarySearchFunc(pairs, key, func(p kv.Pair, k []byte) int { return bytes.Compare(p.Key, k) })
}

// merge lays writes over pairs, both in key order, into a new list. Deletions
// take pairs away.
func merge(pairs, writes []kv.Pair, reverse bool) []kv.Pair {
	out := make([]kv.Pair, 0, len(pairs)+len(writes))
	for len(pairs) > 0 || len(writes) > 0 {
		switch {
		case len(writes) == 0 || len(pairs) > 0 && byKey(pairs[0], writes[0]) < 0:
			out, pairs = append(out, pairs[0]), pairs[1:]
			continue
		case len(pairs) > 0 && bytes.Equal(pairs[0].Key, writes[0].Key):
			pairs = pairs[1:]
		}
		if writes[0].Value != nil {
			out = append(out, writes[0])
		}
		writes = writes[1:]
	}
	if reverse {
		slices.Reverse(out)
	}
	return out
}

func sameKeys(a, b []kv.Pair) bool {
	return slices.EqualFunc(a, b, func(a, b kv.Pair) bool {
		return bytes.Equal(a.Key, b.Key) && (a.Value == nil) == (b.Value == nil)
	})
}
