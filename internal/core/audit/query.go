package audit

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"
	"time"
)

// Order is the order in which records come.
type Order int

const (
	ByLimit     Order = iota // newest first when there is a Limit, else oldest first
	OldestFirst              // as they stand in the log
	NewestFirst
)

// Filter selects records. Every field that is set must hold; the zero Filter
// selects all records of all accounts. Whoever serves an account's people sets
// Account: the log does not know who asks.
type Filter struct {
	Account   string
	Since     time.Time // at or after
	Until     time.Time // before
	After     uint64    // Seq above; with Before, what a page token holds
	Before    uint64    // Seq below; 0 is no bound
	Principal string    // name
	Operation string
	Resource  string // exact, or a prefix when it ends with *
	Outcome   Outcome
	Decision  string // id; its time narrows the search
	Change    string
	Key       string // id of the access key or session used
	Front     string
	RequestID string
	ID        string // its time narrows the search

	Limit int // at most so many records; 0 is no bound
	Order Order
}

// idSlack is how far the time in an id may be from the time of its record: a
// decision is made after its request was received, and a request is over in
// less.
const idSlack = time.Hour

// Query reads the log of a folder, also of one that no server has open. It
// streams: memory does not grow with the log. Segments whose records are all
// outside of the wanted times are not read. Records come in the order of their
// place in the log, which is nearly and not exactly that of their times. The
// chain is not verified; a line that is no record ends the sequence with an
// error, as does the end of ctx.
func Query(ctx context.Context, dir string, f Filter) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		q := newQuery(ctx, f, yield)
		segments, err := listSegments(dir)
		if err == nil {
			err = q.run(segments)
		}
		if err != nil && !q.stopped {
			yield(Record{}, fmt.Errorf("querying audit log: %w", err))
		}
	}
}

// Query is the package's Query over this log.
func (l *Log) Query(ctx context.Context, f Filter) iter.Seq2[Record, error] {
	return Query(ctx, l.cfg.Dir, f)
}

// query is one run of Query.
type query struct {
	ctx     context.Context
	f       Filter
	newest  bool
	needles [][]byte
	prefix  string // of the resource, when wild
	wild    bool
	yield   func(Record, error) bool
	left    int // records that may still be yielded; below 0 when unlimited
	lines   int
	stopped bool // by the consumer or the limit

	// at and offset are how far a forward query came: the next run goes on
	// there.
	at     uint64 // first record of the segment
	offset int64
}

func newQuery(ctx context.Context, f Filter, yield func(Record, error) bool) *query {
	for _, id := range []string{f.ID, f.Decision} {
		if at, err := ParseIDTime(id); err == nil {
			f.Since = later(f.Since, at.Add(-idSlack))
			f.Until = earlier(f.Until, at.Add(idSlack))
		}
	}
	q := &query{ctx: ctx, f: f, yield: yield, left: f.Limit}
	if f.Limit <= 0 {
		q.left = -1
	}
	q.newest = f.Order == NewestFirst || f.Order == ByLimit && f.Limit > 0
	q.prefix, q.wild = strings.CutSuffix(f.Resource, "*")
	q.needle(`"account":"`, f.Account)
	q.needle(`"name":"`, f.Principal)
	q.needle(`"operation":"`, f.Operation)
	q.needle(`"outcome":"`, string(f.Outcome))
	q.needle(`"id":"`, f.Decision)
	q.needle(`"change":"`, f.Change)
	q.needle(`"key_id":"`, f.Key)
	q.needle(`"front":"`, f.Front)
	q.needle(`"request_id":"`, f.RequestID)
	q.needle(`"id":"`, f.ID)
	if !q.wild {
		q.needle(`"resource":"`, f.Resource)
	}
	return q
}

// needle adds bytes that the line of a wanted record must contain: looking for
// them is far cheaper than decoding. A record has one spelling, so nothing is
// missed.
func (q *query) needle(name, value string) {
	if value == "" {
		return
	}
	limit := maxText
	if name == `"resource":"` {
		limit = maxResource
	}
	q.needles = append(q.needles, append(appendText([]byte(name), value, limit), '"'))
}

func later(a, b time.Time) time.Time {
	if a.IsZero() || b.After(a) {
		return b
	}
	return a
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

func (q *query) run(segments []segment) error {
	// The header of the next segment tells the times in a segment.
	var span header
	for n := range segments {
		if err := q.ctx.Err(); err != nil {
			return err
		}
		i := n
		if q.newest {
			i = len(segments) - 1 - n
		}
		seg := segments[i]
		var next uint64 // first record of the next segment
		span = header{}
		if i+1 < len(segments) {
			next = segments[i+1].first
			if q.f.After+1 >= next {
				continue
			}
			if !q.f.Since.IsZero() || !q.f.Until.IsZero() {
				var err error
				if span, err = peekHeader(segments[i+1]); err != nil {
					return err
				}
			}
		}
		switch {
		case seg.first < q.at,
			q.f.Before > 0 && seg.first >= q.f.Before,
			!span.Until.IsZero() && span.Until.Before(q.f.Since),
			!span.From.IsZero() && !q.f.Until.IsZero() && !span.From.Before(q.f.Until):
			continue
		}
		if err := q.segment(seg); err != nil || q.stopped {
			return err
		}
	}
	return nil
}

// peekHeader reads a segment's header without verifying it.
func peekHeader(seg segment) (header, error) {
	f, err := os.Open(seg.path)
	if err != nil {
		return header{}, err
	}
	defer f.Close()
	var h header
	line, err := readLines(f, 0, 8<<10).next()
	if err == nil {
		if body, _, ok := splitLine(line); ok {
			_, err = unseal(kindSegment, body, &h)
		}
	}
	if err != nil {
		return header{}, fmt.Errorf("reading header of %s: %w", seg.name(), err)
	}
	return h, nil
}

func (q *query) segment(seg segment) error {
	f, size, err := openSegment(seg)
	if err != nil {
		return err
	}
	defer f.Close()
	if q.newest {
		return q.read(seg, readBackward(f, size).next, func() {})
	}
	if q.at != seg.first {
		q.at, q.offset = seg.first, 0
	}
	ls := readLines(f, q.offset, size)
	return q.read(seg, ls.next, func() { q.offset = ls.offset })
}

// read considers the lines of a segment, and calls passed after each that is
// not looked at again.
func (q *query) read(seg segment, next func() ([]byte, error), passed func()) error {
	for !q.stopped {
		line, err := next()
		if err == io.EOF {
			return nil
		}
		var done bool
		if err == nil {
			done, err = q.line(line)
		}
		if err != nil {
			return fmt.Errorf("segment %s: %w", seg.name(), err)
		}
		if done {
			return nil
		}
		passed()
	}
	return nil
}

// line considers one line. It reports whether the rest of the segment cannot
// hold a wanted record.
func (q *query) line(line []byte) (done bool, err error) {
	if q.lines++; q.lines%1024 == 0 && q.ctx.Err() != nil {
		return false, q.ctx.Err()
	}
	if kind := lineKind(line); kind != "" {
		return q.newest && kind == kindCheckpoint && q.older(line), nil
	}
	if !q.newest && q.f.Before > 0 && lineSeq(line) >= q.f.Before {
		return true, nil
	}
	for _, n := range q.needles {
		if !bytes.Contains(line, n) {
			return false, nil
		}
	}
	body, _, ok := splitLine(line)
	if !ok {
		return false, fmt.Errorf("a line is damaged; %s", verifyHint)
	}
	r, err := decodeRecord(body)
	if err != nil {
		return false, fmt.Errorf("%w; %s", err, verifyHint)
	}
	if q.newest && r.Seq <= q.f.After {
		return true, nil
	}
	if !q.match(&r) {
		return false, nil
	}
	q.left--
	if !q.yield(r, nil) || q.left == 0 {
		q.stopped = true
	}
	return false, nil
}

// lineSeq is the number of a record line, 0 when it has none.
func lineSeq(line []byte) (seq uint64) {
	digits, ok := bytes.CutPrefix(line, []byte(`{"seq":`))
	for i := 0; ok && i < len(digits) && digits[i] >= '0' && digits[i] <= '9'; i++ {
		seq = seq*10 + uint64(digits[i]-'0')
	}
	return seq
}

// older reports whether everything before a checkpoint is older than wanted.
func (q *query) older(line []byte) bool {
	if q.f.Since.IsZero() {
		return false
	}
	var c checkpoint
	body, _, ok := splitLine(line)
	if !ok {
		return false
	}
	_, err := unseal(kindCheckpoint, body, &c)
	return err == nil && !c.Until.IsZero() && c.Until.Before(q.f.Since)
}

// match decides what the needles only suspect.
func (q *query) match(r *Record) bool {
	f := &q.f
	switch {
	case r.Seq <= f.After, f.Before > 0 && r.Seq >= f.Before,
		!f.Since.IsZero() && r.Time.Before(f.Since), !f.Until.IsZero() && !r.Time.Before(f.Until),
		f.Decision != "" && (r.Decision == nil || r.Decision.ID != f.Decision),
		q.wild && !strings.HasPrefix(r.Resource, q.prefix),
		!q.wild && differs(f.Resource, r.Resource):
		return false
	}
	return !differs(f.Account, r.Account) && !differs(f.Principal, r.Principal.Name) &&
		!differs(f.Operation, r.Operation) && !differs(string(f.Outcome), string(r.Outcome)) &&
		!differs(f.Change, r.Change) && !differs(f.Key, r.Principal.KeyID) && !differs(f.Front, r.Front) &&
		!differs(f.RequestID, r.RequestID) && !differs(f.ID, r.ID)
}

func differs(want, got string) bool { return want != "" && want != got }

// Follow yields the records after the given place that f selects, oldest
// first, and then those to come, until ctx ends (it then yields ctx's error),
// the log is closed, or the consumer stops. Order, After and Before of f do not
// count.
func (l *Log) Follow(ctx context.Context, f Filter, after uint64) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		f.Order, f.After = OldestFirst, after
		q := newQuery(ctx, f, yield)
		for {
			seen, closed, wake := l.look()
			q.f.Before = seen + 1
			segments, err := listSegments(l.cfg.Dir)
			if err == nil {
				err = q.run(segments)
			}
			if q.stopped || closed && err == nil {
				return
			}
			if err == nil {
				select {
				case <-wake:
					continue
				case <-ctx.Done():
					err = ctx.Err()
				}
			}
			yield(Record{}, fmt.Errorf("following audit log: %w", err))
			return
		}
	}
}

// Contains tells which of the ids, made by NewID, are in the log. Only records
// whose time is since or later, or an hour before, are looked at. The relay of
// the outbox asks at start-up, with the time of its oldest entry, and after an
// AppendSync that failed.
func (l *Log) Contains(ctx context.Context, ids []string, since time.Time) (map[string]bool, error) {
	found := make(map[string]bool, len(ids))
	if len(ids) == 0 {
		return found, nil
	}
	wanted := make(map[string]bool, len(ids))
	for _, id := range ids {
		wanted[id] = true
	}
	for r, err := range l.Query(ctx, Filter{Since: since.Add(-idSlack), Order: NewestFirst}) {
		if err != nil {
			return nil, err
		}
		if wanted[r.ID] {
			if found[r.ID] = true; len(found) == len(wanted) {
				break
			}
		}
	}
	return found, nil
}
