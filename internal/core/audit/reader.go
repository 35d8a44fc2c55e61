package audit

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// LostError says that records which were to be read are neither in the log nor
// in the folder that it is exported to.
type LostError struct{ From, To uint64 }

func (e *LostError) Error() string {
	return fmt.Sprintf("records %d to %d are not in the audit log any more", e.From, e.To)
}

// Reader reads the log from a place on, step by step: for a consumer that keeps
// its place. What was moved out of the log meanwhile is read from the folder that
// Export moved it to. One goroutine uses it at a time.
type Reader struct {
	l       *Log
	archive string
	q       *query
	place   uint64
	out     []Record
	limit   int
	wake    <-chan struct{}
}

// Reader returns one that reads the records behind a place that f selects.
// Order, After, Before and Limit of f do not count. archive is the folder of
// exports; empty: there is none.
func (l *Log) Reader(f Filter, place uint64, archive string) *Reader {
	r := &Reader{l: l, archive: archive, place: place}
	f.Order, f.Limit = OldestFirst, 0
	r.q = newQuery(context.Background(), f, func(rec Record, err error) bool {
		r.out = append(r.out, rec)
		return err == nil && len(r.out) < r.limit
	})
	return r
}

// Place is the number of the last record that the reader has passed: whatever f
// selects up to it was returned.
func (r *Reader) Place() uint64 { return r.place }

// Wake is closed once there is more than the last Next, which came to the end,
// could return.
func (r *Reader) Wake() <-chan struct{} { return r.wake }

// Next returns the next records, limit at most, oldest first; none when there
// are no more as yet. It does not wait. On a LostError the reader is behind the
// gap, and what it returned before it counts.
func (r *Reader) Next(ctx context.Context, limit int) ([]Record, error) {
	r.out, r.limit = nil, max(limit, 1)
	for tries := 0; ; tries++ {
		var seen uint64
		seen, _, r.wake = r.l.look()
		segments, err := listSegments(r.l.cfg.Dir)
		if err == nil && len(segments) > 0 && segments[0].first > r.place+1 {
			if err = r.archived(ctx, segments[0].first); err != nil || len(r.out) == r.limit {
				return r.out, err
			}
			continue
		}
		if err == nil {
			err = r.read(ctx, segments, seen)
		}
		if errors.Is(err, os.ErrNotExist) && tries < 3 {
			continue // moved away between the listing and the reading
		}
		return r.out, err
	}
}

// read reads the segments up to a record.
func (r *Reader) read(ctx context.Context, segments []segment, until uint64) error {
	q := r.q
	q.ctx, q.stopped = ctx, false
	q.f.After, q.f.Before = r.place, until+1
	if err := q.run(segments); err != nil {
		return fmt.Errorf("reading audit log: %w", err)
	}
	if q.stopped {
		r.place = r.out[len(r.out)-1].Seq
	} else {
		r.place = max(r.place, until)
	}
	return nil
}

// archived reads one segment of the folder of exports; first is where the log
// itself begins now.
func (r *Reader) archived(ctx context.Context, first uint64) error {
	lost := func(to uint64) error {
		from := r.place + 1
		r.place = to
		return &LostError{from, to}
	}
	if r.archive == "" {
		return lost(first - 1)
	}
	segments, err := listSegments(r.archive)
	if err != nil {
		return err
	}
	at, next := -1, first
	for i, seg := range segments {
		if seg.first > r.place+1 {
			next = min(next, seg.first)
			break
		}
		at = i
	}
	if at < 0 {
		return lost(next - 1)
	}
	last, err := lastOf(segments[at])
	if err != nil {
		return err
	}
	if last > r.place {
		return r.read(ctx, segments[at:at+1], last)
	}
	return lost(next - 1)
}

// lastOf returns the number of the last record of a closed segment.
func lastOf(seg segment) (uint64, error) {
	f, size, err := openSegment(seg)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	line, err := readBackward(f, size).next()
	if err != nil {
		return 0, fmt.Errorf("reading end of segment %s: %w", seg.name(), err)
	}
	var c checkpoint
	body, _, ok := splitLine(line)
	if ok {
		_, err = unseal(kindCheckpoint, body, &c)
	}
	if !ok || err != nil {
		return 0, fmt.Errorf("segment %s does not end with a signature", seg.name())
	}
	return c.Seq, nil
}

// look returns the last record that is written, whether the log is closed, and
// what is closed with the next write.
func (l *Log) look() (seq uint64, closed bool, wake <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.wake == nil {
		l.wake = make(chan struct{})
	}
	return l.seen.seq, l.closed, l.wake
}
