// Package traced shows what happens at a kv.DB: a span around each transaction,
// and its duration, size and outcome to an observer that counts.
//
// Neither learns a key or a value. The outcome of a span is a class of error,
// not its text, for the text of an error of the core may name things.
package traced

import (
	"context"
	"errors"
	"iter"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"countersign/internal/kv"
)

// Observer is told of every transaction after its end. It is called
// concurrently and must not wait.
type Observer interface {
	// Update is told how many writes the function made in its last run; a
	// failed one counts too.
	Update(d time.Duration, ops int, err error)
	View(d time.Duration, err error)
}

// Config says who is told. The zero value tells nobody.
type Config struct {
	Tracer   trace.Tracer // default: no spans
	Observer Observer     // default: none
}

// DB is a kv.DB that is watched.
type DB struct {
	kv.DB // Revision and Close
	c     Config
}

// New wraps a store. Closing it closes the store.
func New(inner kv.DB, c Config) *DB { return &DB{DB: inner, c: c} }

// Update runs f within the span kv.Update.
func (d *DB) Update(ctx context.Context, f func(kv.Txn) error) (kv.Revision, error) {
	ctx, span := d.start(ctx, "kv.Update")
	begin := d.now()
	t := &txn{}
	done := false
	var rev kv.Revision
	var err error
	defer func() { // also when f panics
		if !done {
			err = errPanicked
		}
		if d.c.Observer != nil {
			d.c.Observer.Update(time.Since(begin), t.ops, err)
		}
		if span != nil {
			span.SetAttributes(attribute.Int("kv.ops", t.ops))
			end(span, err)
		}
	}()
	rev, err = d.DB.Update(ctx, func(tx kv.Txn) error {
		t.Txn, t.ops = tx, 0
		return f(t)
	})
	done = true
	return rev, err
}

// View runs f within the span kv.View.
func (d *DB) View(ctx context.Context, f func(kv.Reader) error) error {
	ctx, span := d.start(ctx, "kv.View")
	begin := d.now()
	done := false
	var err error
	defer func() { // also when f panics
		if !done {
			err = errPanicked
		}
		if d.c.Observer != nil {
			d.c.Observer.View(time.Since(begin), err)
		}
		if span != nil {
			end(span, err)
		}
	}()
	err = d.DB.View(ctx, f)
	done = true
	return err
}

// Watch is not traced: it has no end to speak of.
func (d *DB) Watch(ctx context.Context, prefix []byte, after kv.Revision) iter.Seq2[kv.Event, error] {
	return d.DB.Watch(ctx, prefix, after)
}

var errPanicked = errors.New("transaction function panicked") // never changed

func (d *DB) start(ctx context.Context, name string) (context.Context, trace.Span) {
	if d.c.Tracer == nil {
		return ctx, nil
	}
	return d.c.Tracer.Start(ctx, name)
}

func (d *DB) now() time.Time {
	if d.c.Observer == nil {
		return time.Time{}
	}
	return time.Now()
}

func end(span trace.Span, err error) {
	if err != nil {
		span.SetStatus(codes.Error, Class(err))
	}
	span.End()
}

// Class names what kind of error a transaction ended with, for labels and
// spans: a short word, never the error's text. It is empty for nil.
func Class(err error) string {
	if err == nil {
		return ""
	}
	for _, c := range []struct {
		err  error
		name string
	}{
		{kv.ErrUnknown, "unknown-outcome"},
		{kv.ErrNoSpace, "no-space"},
		{kv.ErrCorrupt, "corrupt"},
		{kv.ErrLimit, "limit"},
		{kv.ErrClosed, "closed"},
		{kv.ErrReadOnly, "read-only"},
		{kv.ErrNotFound, "not-found"},
		{context.Canceled, "canceled"},
		{context.DeadlineExceeded, "deadline"},
		{errPanicked, "panic"},
	} {
		if errors.Is(err, c.err) {
			return c.name
		}
	}
	return "other"
}

// txn counts writes.
type txn struct {
	kv.Txn
	ops int
}

func (t *txn) Put(key, value []byte) error {
	t.ops++
	return t.Txn.Put(key, value)
}

func (t *txn) Delete(key []byte) error {
	t.ops++
	return t.Txn.Delete(key)
}
