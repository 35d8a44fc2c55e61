// Package due works off indexes over time: what is to be done, in the order in
// which it is.
//
// An entry is a key: a prefix, a time, and what the entry is about. It is written in
// the transaction that decides that something is to be done, and removed in the one
// that does it, so work is resumed wherever it was stopped. How much is not yet due
// costs nothing: a start reads none of it.
//
// A server has one job for each index. Two at once do no harm as long as who
// carries out an entry looks at the state again in its own transaction, which it
// has to: an entry tells that something may be due, and not that it still is.
package due

import (
	"context"
	"iter"
	"slices"
	"strings"
	"time"

	"countersign/internal/errs"
	"countersign/internal/kv"
)

// Index is the entries of one kind.
type Index struct {
	Prefix kv.Key // of their keys
	Parts  int    // how many texts follow the time
}

// Key is that of an entry. A time before 1970 is 1970.
func (x Index) Key(at time.Time, parts ...string) kv.Key {
	return slices.Clone(x.Prefix).Num(uint64(max(0, at.UnixMicro()))).Str(parts...)
}

// Entry is one entry of an index.
type Entry struct {
	Key   kv.Key
	At    time.Time
	Parts []string
	Value []byte
}

// Scan is the entries within a range of keys, in its order. An error ends it.
func (x Index) Scan(r kv.Reader, rng kv.Range) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for p, err := range r.Scan(rng) {
			var e Entry
			if err == nil {
				e, err = x.entry(p)
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

func (x Index) entry(p kv.Pair) (Entry, error) {
	parts, nums, err := kv.Key(p.Key[len(x.Prefix):]).Parts("n" + strings.Repeat("s", x.Parts))
	if err != nil {
		return Entry{}, err
	}
	return Entry{Key: slices.Clone(p.Key), At: time.UnixMicro(int64(nums[0])), Parts: parts, Value: slices.Clone(p.Value)}, nil
}

// Each carries out every entry whose time has come, each once, those too that come
// meanwhile behind the one at hand. One that fails does not keep the rest from it:
// the first of the errors is returned at the end. When ctx has ended, or the store
// or the log is not there for anybody, Each gives up at once.
func (x Index) Each(ctx context.Context, db kv.DB, do func(Entry) error) (first error) {
	from := x.Prefix
	for {
		next, err := x.next(ctx, db, from)
		if err != nil || next == nil {
			if first == nil {
				first = err
			}
			return first
		}
		from = append(slices.Clone(next.Key), 0)
		if err := do(*next); err != nil {
			if ctx.Err() != nil || errs.Is(err, errs.Unavailable) {
				return err
			}
			if first == nil {
				first = err
			}
		}
	}
}

// next is the first entry from a place on whose time has come, nil for none.
func (x Index) next(ctx context.Context, db kv.DB, from kv.Key) (next *Entry, err error) {
	rng := kv.Range{Start: from, End: slices.Clone(x.Prefix).Num(uint64(time.Now().UnixMicro()) + 1)}
	err = db.View(ctx, func(r kv.Reader) error {
		next = nil
		for e, err := range x.Scan(r, rng) {
			next = &e
			return err
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return next, nil
}

// Bell wakes a job before its time. It is safe for concurrent use.
type Bell chan struct{}

// NewBell returns a bell that was not rung.
func NewBell() Bell { return make(Bell, 1) }

// Ring wakes the job, which works once however often it is rung meanwhile.
func (b Bell) Ring() {
	select {
	case b <- struct{}{}:
	default:
	}
}

// Run does a job at once, then each time that much time has passed or the bell
// rings, until ctx ends. report is told of failures, but for those of the end.
func Run(ctx context.Context, every time.Duration, bell Bell, job func(context.Context) error, report func(error)) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if err := job(ctx); err != nil && ctx.Err() == nil {
			report(err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-bell:
		}
	}
}
