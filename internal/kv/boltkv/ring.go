package boltkv

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"

	"countersign/internal/kv"
)

// commit is what one update wrote.
type commit struct {
	rev    uint64
	events []kv.Event
	size   int
}

// ring keeps the newest commits for watchers, within bounds. Watchers follow
// it at their own pace and never hold up a commit.
type ring struct {
	maxCommits, maxBytes int

	mu     sync.Mutex
	floor  uint64   // newest revision no longer kept
	log    []commit // the revisions (floor, newest], without gaps
	bytes  int
	moved  chan struct{} // closed at the next commit, or by close; nil when nobody waits
	closed bool
}

func (r *ring) add(log []commit) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range log {
		r.log = append(r.log, c)
		r.bytes += c.size
	}
	for len(r.log) > r.maxCommits || r.bytes > r.maxBytes {
		r.floor, r.bytes = r.log[0].rev, r.bytes-r.log[0].size
		r.log[0] = commit{}
		r.log = r.log[1:]
	}
	r.wake()
}

func (r *ring) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.wake()
}

func (r *ring) wake() {
	if r.moved != nil {
		close(r.moved)
		r.moved = nil
	}
}

// since returns some of the commits after a revision, or, when there is none, a
// channel that is closed at the next.
func (r *ring) since(after uint64) ([]commit, <-chan struct{}, error) {
	const some = 256
	r.mu.Lock()
	defer r.mu.Unlock()
	newest := r.floor + uint64(len(r.log))
	switch {
	case r.closed:
		return nil, nil, kv.ErrClosed
	case after < r.floor:
		return nil, nil, fmt.Errorf("watching after revision %d, kept from %d: %w", after, r.floor, kv.ErrCompacted)
	case after > newest:
		return nil, nil, fmt.Errorf("watching after revision %d, newest is %d: %w", after, newest, kv.ErrCompacted)
	case after < newest:
		log := r.log[after-r.floor:]
		return slices.Clone(log[:min(len(log), some)]), nil, nil
	}
	if r.moved == nil {
		r.moved = make(chan struct{})
	}
	return nil, r.moved, nil
}

// Watch yields the commits after a revision, and those to come. Commits are
// kept within the bounds of Config and since the store was opened; a watcher
// that falls behind gets kv.ErrCompacted.
func (d *DB) Watch(ctx context.Context, prefix []byte, after kv.Revision) iter.Seq2[kv.Event, error] {
	prefix = bytes.Clone(prefix)
	return func(yield func(kv.Event, error) bool) {
		for at := uint64(after); ; {
			if err := ctx.Err(); err != nil {
				yield(kv.Event{}, err)
				return
			}
			log, moved, err := d.ring.since(at)
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
				at = c.rev
			}
			if moved != nil {
				select {
				case <-moved:
				case <-ctx.Done():
				}
			}
		}
	}
}

func copyEvent(e kv.Event) kv.Event {
	return kv.Event{Revision: e.Revision, Key: bytes.Clone(e.Key), Value: bytes.Clone(e.Value)}
}
