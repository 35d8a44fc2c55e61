package change_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/audit"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/kv/faulty"
	"countersign/internal/kv/memkv"
)

const home = "111111111111"

var errLog = errors.New("the log's disk failed")

// log is an audit log in memory, which outlives the process that wrote it.
type log struct {
	mu     sync.Mutex
	recs   []audit.Record
	synced uint64 // moves with sync, unless that is manual
	manual bool
	fail   error // of every append
	full   error // what Err says
	slow   func()
}

func (l *log) Append(ctx context.Context, rec *audit.Record) error {
	return l.AppendBatch(ctx, []*audit.Record{rec})
}

func (l *log) AppendBatch(ctx context.Context, recs []*audit.Record) error {
	if l.slow != nil {
		l.slow()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := cmpOr(ctx.Err(), l.full, l.fail); err != nil {
		return err
	}
	for _, r := range recs {
		r.Seq = uint64(len(l.recs) + 1)
		l.recs = append(l.recs, *r)
	}
	if !l.manual {
		l.synced = uint64(len(l.recs))
	}
	return nil
}

func cmpOr(list ...error) error {
	for _, err := range list {
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *log) Synced() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.synced
}

func (l *log) Sync() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.manual || l.fail != nil {
		return errLog
	}
	l.synced = uint64(len(l.recs))
	return nil
}

func (l *log) Contains(_ context.Context, ids []string, since time.Time) (map[string]bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[string]bool{}
	for _, r := range l.recs {
		if slices.Contains(ids, r.ID) && !r.Time.Before(since) {
			out[r.ID] = true
		}
	}
	return out, nil
}

func (l *log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.full
}

func (l *log) set(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

// oks lists the resources of the writes that the log says were done.
func (l *log) oks() (out []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.recs {
		if r.Outcome == audit.OK {
			out = append(out, r.Resource)
		}
	}
	slices.Sort(out)
	return out
}

func (l *log) ids() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[string]int{}
	for _, r := range l.recs {
		out[r.ID]++
	}
	return out
}

// allow is an Authorizer that allows everything, or nothing.
type allow bool

func (a allow) Authorize(kv.Reader, kv.Revision, *policy.Request, *policy.Set) (policy.Decision, error) {
	return policy.Decision{Allowed: bool(a), Effect: policy.EffectNoMatch}, nil
}

// process is the write path as one process has it over a store and a log.
type process struct {
	*change.Service
	relay *change.Relay
}

func start(t *testing.T, db kv.DB, l *log, c change.RelayConfig) *process {
	t.Helper()
	c.DB, c.Log, c.Logger = db, l, slog.New(slog.DiscardHandler)
	relay := change.NewRelay(c)
	if err := relay.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	g := &gate.Gate{DB: db, Auth: allow(true), Log: l}
	return &process{Service: change.New(change.Config{Gate: g, Relay: relay}), relay: relay}
}

// run relays until the returned function is called.
func (p *process) run(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); p.relay.Run(ctx) }()
	return func() { cancel(); <-done }
}

// edit writes one key.
type edit struct {
	name  string
	allow func(*gate.Access) error
	apply func(*change.Tx) error
}

func (e edit) Target() change.Target {
	return change.Target{Account: home, Noun: "thing", Name: e.name}
}
func (edit) Operation() policy.Op { return policy.PutValue }
func (e edit) Allow(a *gate.Access) error {
	if e.allow != nil {
		return e.allow(a)
	}
	return a.Allow(&policy.Request{Op: policy.PutValue, Resource: "r", Account: home}, nil)
}

func dataKey(n string) kv.Key { return kv.K(home, "thing", n) }

func (e edit) Apply(tx *change.Tx) error {
	if e.apply != nil {
		return e.apply(tx)
	}
	tx.Wrote(1, 2, []string{"k"})
	return tx.Put(dataKey(e.name), []byte("v"))
}

func who() caller.Caller {
	return caller.Caller{Account: home, Kind: caller.User, Name: "bob", Front: "native", RequestID: "r", Time: time.Now()}
}

func (p *process) submit(ctx context.Context, e edit) (change.Result, error) {
	return p.Submit(ctx, who(), change.Request{Edit: e, Reason: "because"})
}

// stored lists the names whose data is in the store, and how many entries the
// outbox has.
func stored(t *testing.T, db kv.DB) (names []string, outbox int) {
	t.Helper()
	err := db.View(context.Background(), func(r kv.Reader) error {
		names, outbox = nil, 0
		for p, err := range r.Scan(kv.Range{}) {
			if err != nil {
				return err
			}
			if strs, _, err := kv.Key(p.Key).Parts("sss"); err == nil && strs[1] == "thing" {
				names = append(names, strs[2])
			} else if err == nil && strs[1] == "outbox" {
				outbox++
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names, outbox
}

func TestSubmit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, l := memkv.New(memkv.Config{}), &log{}
		p := start(t, db, l, change.RelayConfig{})
		stop := p.run(t.Context())
		res, err := p.submit(t.Context(), edit{name: "a"})
		if err != nil || res.ID == "" || res.Status != change.Applied {
			t.Fatalf("got %+v, %v", res, err)
		}
		if err := p.relay.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		r := l.recs[0]
		if r.Change != res.ID || r.Version != 2 || !slices.Equal(r.Keys, []string{"k"}) || r.Outcome != audit.OK || r.Resource != "a" || r.Operation != "PutValue" {
			t.Errorf("record %+v", r)
		}
		var got []change.Record
		err = db.View(t.Context(), func(r kv.Reader) (err error) {
			got, err = change.History(r, edit{name: "a"}.Target(), "", 10)
			return err
		})
		want := change.Record{ID: res.ID, Noun: "thing", Name: "a", Operation: "PutValue", Author: who().ARN(), Front: "native",
			Reason: "because", Resource: "r", Kind: "edit", Base: 1, Version: 2, Keys: []string{"k"}, Status: change.Applied, RequestID: "r", Time: time.Now().UnixMicro()}
		if err != nil || len(got) != 1 || fmt.Sprintf("%+v", got[0]) != fmt.Sprintf("%+v", want) {
			t.Errorf("change %+v, %v, want %+v", got, err, want)
		}
		stop()
		if _, outbox := stored(t, db); outbox != 0 {
			t.Errorf("a clean stop leaves %d entries in the outbox", outbox)
		}
	})
}

func TestWhatSubmitRefuses(t *testing.T) {
	for _, x := range []struct {
		name   string
		edit   edit
		reason string
		auth   allow
		want   string
	}{
		{"denied", edit{name: "a"}, "", false, "denied/no-match"},
		{"forgot-to-ask", edit{name: "a", allow: func(*gate.Access) error { return nil }}, "", true, "internal"},
		{"ignored-the-answer", edit{name: "a", allow: func(a *gate.Access) error {
			_ = a.Allow(&policy.Request{Op: policy.PutValue, Resource: "r", Account: home}, nil)
			return nil
		}}, "", false, "internal"},
		{"state", edit{name: "a", apply: func(tx *change.Tx) error {
			tx.Wrote(3, 4, []string{"k"})
			_ = tx.Put(dataKey("a"), nil)
			return errs.New(errs.Conflict, "no")
		}}, "", true, "conflict"},
		{"too-large", edit{name: "a", apply: func(tx *change.Tx) error {
			for i := range kv.MaxOps + 1 {
				_ = tx.Put(dataKey(fmt.Sprint(i)), nil)
			}
			return nil
		}}, "", true, "limit/transaction-limit"},
		{"long-reason", edit{name: "a"}, strings.Repeat("x", 2049), true, "invalid/too-long"},
	} {
		t.Run(x.name, func(t *testing.T) {
			db, l := memkv.New(memkv.Config{}), &log{}
			p := start(t, db, l, change.RelayConfig{})
			g := &gate.Gate{DB: db, Auth: x.auth, Log: l}
			s := change.New(change.Config{Gate: g, Relay: p.relay})
			_, err := s.Submit(t.Context(), who(), change.Request{Edit: x.edit, Reason: x.reason})
			e := errs.As(err)
			if e == nil {
				t.Fatal("no error")
			}
			got := e.Kind.String()
			if e.Code != "" {
				got += "/" + e.Code
			}
			if got != x.want {
				t.Errorf("got %s (%v), want %s", got, err, x.want)
			}
			if db.Revision() != 0 {
				t.Error("something was written")
			}
			if len(l.recs) != 1 || l.recs[0].Error != x.want || l.recs[0].Version != 0 || l.recs[0].Change != "" {
				t.Errorf("records %+v", l.recs)
			}
		})
	}
}

func TestNothingToDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, l := memkv.New(memkv.Config{}), &log{}
		p := start(t, db, l, change.RelayConfig{})
		defer p.run(t.Context())()
		res, err := p.submit(t.Context(), edit{name: "a", apply: func(tx *change.Tx) error { tx.NothingToDo(); return nil }})
		if err != nil || res.ID != "" || res.Status != change.Applied {
			t.Errorf("got %+v, %v", res, err)
		}
		if err := p.relay.Flush(t.Context()); err != nil || len(l.recs) != 1 || l.recs[0].Outcome != audit.OK || l.recs[0].Change != "" {
			t.Errorf("records %+v, %v", l.recs, err)
		}
		err = db.View(t.Context(), func(r kv.Reader) error {
			h, err := change.History(r, edit{name: "a"}.Target(), "", 10)
			if len(h) > 0 {
				t.Errorf("changes %+v", h)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// A process is killed with the relay at every point; the next one ends with
// exactly one record for each write that was acknowledged, and for no other
// that is not in the store.
func TestOneRecordForEachWriteWhereverItIsKilled(t *testing.T) {
	for _, x := range []struct {
		name  string
		relay bool           // it ran before the kill
		log   func(*log)     // state of the log meanwhile
		fault []faulty.Fault // of the store, from the third write on
	}{
		{"before-the-relay", false, func(*log) {}, nil},
		{"after-the-log-before-it-is-synced", true, func(l *log) { l.manual = true }, nil},
		{"after-the-log", true, func(*log) {}, nil},
		{"log-failing", true, func(l *log) { l.fail = errLog }, nil},
		{"commit-fails", true, func(*log) {}, []faulty.Fault{{Op: faulty.Update, Nth: 1, When: faulty.AtCommit}}},
		{"commit-in-doubt", true, func(*log) {}, []faulty.Fault{{Op: faulty.Update, Nth: 1, When: faulty.AfterCommit}}},
		{"commits-in-doubt-and-log-failing", true, func(l *log) { l.fail = errLog }, []faulty.Fault{{Op: faulty.Update, When: faulty.AfterCommit}}},
		{"entries-cannot-be-dropped", true, func(*log) {}, []faulty.Fault{{Op: faulty.Delete}}},
	} {
		t.Run(x.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				engine, l := memkv.New(memkv.Config{}), &log{}
				db := faulty.New(engine)
				p := start(t, db, l, change.RelayConfig{})
				ctx, kill := context.WithCancel(t.Context())
				var acked []string
				write := func(n string) {
					if _, err := p.submit(ctx, edit{name: n}); err == nil {
						acked = append(acked, n)
					}
				}
				write("a")
				write("b")
				l.set(func() { x.log(l) })
				db.Set(x.fault...)
				stop := func() {}
				if x.relay {
					stop = p.run(ctx)
					synctest.Wait()
				}
				write("c")
				write("d")
				synctest.Wait()
				// The kill: nothing of this process works any more, and what the
				// log has is still there.
				kept := slices.Clone(l.recs)
				db.Set(faulty.Fault{Op: faulty.Update}, faulty.Fault{Op: faulty.View})
				l.set(func() { l.fail = errLog })
				kill()
				stop()

				again := &log{recs: kept, synced: uint64(len(kept))}
				db.Set()
				next := start(t, db, again, change.RelayConfig{})
				stop = next.run(t.Context())
				time.Sleep(20 * time.Second) // fake time: two sweeps
				stop()
				inStore, outbox := stored(t, db)
				if outbox != 0 {
					t.Errorf("%d entries are left in the outbox", outbox)
				}
				if got := again.oks(); !slices.Equal(got, inStore) {
					t.Errorf("the log says %q were written, the store has %q", got, inStore)
				}
				for _, n := range acked {
					if !slices.Contains(inStore, n) {
						t.Errorf("%q was acknowledged and is not there", n)
					}
				}
				for id, n := range again.ids() {
					if n != 1 {
						t.Errorf("%d records have the id %s", n, id)
					}
				}
			})
		})
	}
}

// A commit whose outcome is in doubt is handed over by the sweep, beside the
// record of the failure.
func TestSweepTakesWhatWasNotHandedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, l := faulty.New(memkv.New(memkv.Config{})), &log{}
		p := start(t, db, l, change.RelayConfig{})
		defer p.run(t.Context())()
		db.Set(faulty.Fault{Op: faulty.Update, Nth: 1, When: faulty.AfterCommit})
		_, err := p.submit(t.Context(), edit{name: "a"})
		if e := errs.As(err); e == nil || e.Kind != errs.Internal || e.Code != gate.CodeUnknown {
			t.Fatalf("got %v", err)
		}
		time.Sleep(time.Minute) // fake time
		synctest.Wait()
		if got := l.oks(); !slices.Equal(got, []string{"a"}) || len(l.recs) != 2 || l.recs[0].Outcome != audit.Failed || l.recs[0].ID == l.recs[1].ID {
			t.Errorf("records %+v", l.recs)
		}
	})
}

// A commit that takes longer than the age at which the sweep takes entries is
// not handed over twice.
func TestSweepLeavesWhatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &late{DB: memkv.New(memkv.Config{}), by: time.Minute}
		l := &log{}
		p := start(t, slow, l, change.RelayConfig{})
		defer p.run(t.Context())()
		if _, err := p.submit(t.Context(), edit{name: "a"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) // fake time
		synctest.Wait()
		if len(l.recs) != 1 {
			t.Errorf("%d records of one write", len(l.recs))
		}
	})
}

// late tells of its first commit long after it is visible.
type late struct {
	kv.DB
	by   time.Duration
	once sync.Once
}

func (d *late) Update(ctx context.Context, f func(kv.Txn) error) (kv.Revision, error) {
	rev, err := d.DB.Update(ctx, f)
	d.once.Do(func() { time.Sleep(d.by) }) // fake time
	return rev, err
}

func TestWritesAreRefusedWhileTheLogIs(t *testing.T) {
	refused := func(t *testing.T, p *process, db kv.DB, n string) {
		t.Helper()
		before := db.Revision()
		_, err := p.submit(t.Context(), edit{name: n})
		if e := errs.As(err); e == nil || e.Kind != errs.Unavailable || e.Code != "audit-unwritable" {
			t.Errorf("got %v", err)
		}
		if db.Revision() != before {
			t.Error("something was written")
		}
	}
	t.Run("it-says-so", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			db, l := memkv.New(memkv.Config{}), &log{full: errLog}
			p := start(t, db, l, change.RelayConfig{})
			refused(t, p, db, "a")
		})
	})
	t.Run("appends-fail", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			db, l := memkv.New(memkv.Config{}), &log{fail: errLog}
			p := start(t, db, l, change.RelayConfig{})
			defer p.run(t.Context())()
			if _, err := p.submit(t.Context(), edit{name: "a"}); err != nil {
				t.Fatal(err) // nobody knows yet; the record waits in the outbox
			}
			synctest.Wait()
			refused(t, p, db, "b")
			l.set(func() { l.fail = nil })
			time.Sleep(3 * time.Second) // fake time: it is tried again
			if _, err := p.submit(t.Context(), edit{name: "c"}); err != nil {
				t.Errorf("after the log recovered: %v", err)
			}
			if err := p.relay.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := l.oks(); !slices.Equal(got, []string{"a", "c"}) {
				t.Errorf("records of %q", got)
			}
		})
	})
	t.Run("backlog", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			db, l := memkv.New(memkv.Config{}), &log{}
			p := start(t, db, l, change.RelayConfig{Backlog: 2}) // its relay does not run
			for _, n := range []string{"a", "b"} {
				if _, err := p.submit(t.Context(), edit{name: n}); err != nil {
					t.Fatal(err)
				}
			}
			if p.relay.Waiting() != 2 {
				t.Errorf("%d wait", p.relay.Waiting())
			}
			refused(t, p, db, "c")
		})
	})
}

func TestFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, l := memkv.New(memkv.Config{}), &log{}
		p := start(t, db, l, change.RelayConfig{})
		if err := p.relay.Flush(t.Context()); err != nil {
			t.Errorf("with nothing to wait for: %v", err)
		}
		if _, err := p.submit(t.Context(), edit{name: "a"}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := p.relay.Flush(ctx); !errs.Is(err, errs.Unavailable) {
			t.Errorf("without a relay: %v", err)
		}
		// It waits for what was before it, not for what keeps coming.
		var batches atomic.Int64
		l.slow = func() {
			if n := batches.Add(1); n < 1000 {
				if _, err := p.submit(t.Context(), edit{name: fmt.Sprint("more-", n)}); err != nil {
					t.Error(err)
				}
			}
		}
		stop := p.run(t.Context())
		if err := p.relay.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := batches.Load(); n >= 1000 {
			t.Errorf("it waited for %d batches", n)
		}
		stop()
	})
}

func TestConcurrentWrites(t *testing.T) {
	db, l := memkv.New(memkv.Config{}), &log{}
	p := start(t, db, l, change.RelayConfig{})
	stop := p.run(t.Context())
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for i := range 50 {
				if _, err := p.submit(t.Context(), edit{name: fmt.Sprintf("%02d-%02d", w, i)}); err != nil {
					t.Error(err)
				}
				if i%10 == 0 {
					if err := p.relay.Flush(t.Context()); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	stop()
	names, outbox := stored(t, db)
	if got := l.oks(); !slices.Equal(got, names) || len(names) != 16*50 || outbox != 0 {
		t.Errorf("%d records, %d written, %d in the outbox", len(got), len(names), outbox)
	}
}

// An outbox entry that was written by a clock that was ahead is taken over too.
func TestRecoverTakesEntriesFromTheFuture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, l := memkv.New(memkv.Config{}), &log{}
		rec := audit.Record{ID: audit.NewID(time.Now().AddDate(1, 0, 0)), Time: time.Now().AddDate(1, 0, 0), Outcome: audit.OK, Resource: "a"}
		_, err := db.Update(t.Context(), func(tx kv.Txn) error { return record.Put(tx, kv.K("sys", "outbox", rec.ID), rec) })
		if err != nil {
			t.Fatal(err)
		}
		p := start(t, db, l, change.RelayConfig{})
		defer p.run(t.Context())()
		if err := p.relay.Flush(t.Context()); err != nil || !slices.Equal(l.oks(), []string{"a"}) || !l.recs[0].Time.Equal(rec.Time) {
			t.Errorf("%v, records %+v", err, l.recs)
		}
	})
}

func TestHistoryIsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the clock stands still
		db, l := memkv.New(memkv.Config{}), &log{}
		p := start(t, db, l, change.RelayConfig{})
		var want []string
		for range 300 {
			res, err := p.submit(t.Context(), edit{name: "a"})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := audit.ParseIDTime(res.ID); err != nil {
				t.Fatal(err)
			}
			want = append(want, res.ID)
		}
		slices.Reverse(want)
		var got []string
		err := db.View(t.Context(), func(r kv.Reader) error {
			got = nil
			for before := ""; ; before = got[len(got)-1] {
				page, err := change.History(r, edit{name: "a"}.Target(), before, 7)
				if err != nil || len(page) == 0 {
					return err
				}
				for _, c := range page {
					got = append(got, c.ID)
				}
			}
		})
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%v, %d changes, want %d in their order", err, len(got), len(want))
		}
	})
}
