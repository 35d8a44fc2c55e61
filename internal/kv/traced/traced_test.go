package traced_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"countersign/internal/kv"
	"countersign/internal/kv/kvtest"
	"countersign/internal/kv/memkv"
	"countersign/internal/kv/traced"
)

// observer keeps what it was told, without durations.
type observer struct{ told []string }

func (o *observer) Update(d time.Duration, ops int, err error) {
	o.told = append(o.told, fmt.Sprintf("update of %d: %q, timed %v", ops, traced.Class(err), d > 0))
}

func (o *observer) View(d time.Duration, err error) {
	o.told = append(o.told, fmt.Sprintf("view: %q, timed %v", traced.Class(err), d > 0))
}

// tracer keeps the spans it made.
type tracer struct {
	noop.Tracer
	spans []*span
}

type span struct {
	noop.Span
	name, status string
	ended        bool
}

func (t *tracer) Start(ctx context.Context, name string, _ ...trace.SpanStartOption) (context.Context, trace.Span) {
	s := &span{name: name}
	t.spans = append(t.spans, s)
	return ctx, s
}

func (s *span) SetStatus(_ codes.Code, text string) { s.status = text }
func (s *span) End(...trace.SpanEndOption)          { s.ended = true }

func TestContract(t *testing.T) {
	kvtest.Run(t, kvtest.Config{Open: func(testing.TB) kv.DB {
		return traced.New(memkv.New(memkv.Config{}), traced.Config{Tracer: noop.Tracer{}})
	}})
}

func TestWhatIsTold(t *testing.T) {
	o, tr := &observer{}, &tracer{}
	db := traced.New(memkv.New(memkv.Config{Seed: 1}), traced.Config{Observer: o, Tracer: tr})
	ctx := t.Context()
	write := func(tx kv.Txn) error {
		return errors.Join(tx.Put([]byte("a"), nil), tx.Put([]byte("b"), nil), tx.Delete([]byte("c")))
	}
	for range 3 { // some run twice and count once
		if _, err := db.Update(ctx, write); err != nil {
			t.Fatal(err)
		}
	}
	_, _ = db.Update(ctx, func(tx kv.Txn) error { return tx.Put(nil, nil) })
	_ = db.View(ctx, func(r kv.Reader) error { _, err := r.Get([]byte("absent")); return err })
	_ = db.View(ctx, func(kv.Reader) error { return errors.New("text that stays inside") })
	func() {
		defer func() { _ = recover() }()
		_ = db.View(ctx, func(kv.Reader) error { panic("x") })
	}()
	want := []string{
		`update of 3: "", timed true`, `update of 3: "", timed true`, `update of 3: "", timed true`,
		`update of 1: "limit", timed true`,
		`view: "not-found", timed true`, `view: "other", timed true`, `view: "panic", timed true`,
	}
	if d := cmp.Diff(want, o.told); d != "" {
		t.Errorf("observer (-want +got):\n%s", d)
	}
	var got []string
	for _, s := range tr.spans {
		got = append(got, fmt.Sprintf("%s %q ended %v", s.name, s.status, s.ended))
	}
	want = []string{`kv.Update "" ended true`, `kv.Update "" ended true`, `kv.Update "" ended true`, `kv.Update "limit" ended true`,
		`kv.View "not-found" ended true`, `kv.View "other" ended true`, `kv.View "panic" ended true`}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("spans (-want +got):\n%s", d)
	}
}

// nothing is a store whose transactions cost nothing.
type nothing struct{ kv.DB }

func (nothing) View(_ context.Context, f func(kv.Reader) error) error { return f(nil) }

func BenchmarkView(b *testing.B) {
	for _, x := range []struct {
		name string
		db   kv.DB
	}{
		{"bare", nothing{}},
		{"nobody", traced.New(nothing{}, traced.Config{})},
		{"noop-tracer", traced.New(nothing{}, traced.Config{Tracer: noop.Tracer{}})},
		{"observer", traced.New(nothing{}, traced.Config{Observer: counter{}})},
	} {
		b.Run(x.name, func(b *testing.B) {
			ctx := b.Context()
			b.ReportAllocs()
			for b.Loop() {
				if err := x.db.View(ctx, func(kv.Reader) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

type counter struct{}

func (counter) Update(time.Duration, int, error) {}
func (counter) View(time.Duration, error)        {}
