package due_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/core/due"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/kv/memkv"
)

var index = due.Index{Prefix: kv.K("sys", "test-due"), Parts: 2}

// put notes entries, each at a time from now.
func put(t *testing.T, db kv.DB, entries map[string]time.Duration) {
	t.Helper()
	now := time.Now()
	_, err := db.Update(t.Context(), func(tx kv.Txn) error {
		for what, in := range entries {
			if err := tx.Put(index.Key(now.Add(in), "account", what), []byte(what)); err != nil {
				return err
			}
		}
		return tx.Put(kv.K("sys", "test-due-other"), nil)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := memkv.New(memkv.Config{Seed: 1})
		defer db.Close()
		put(t, db, map[string]time.Duration{"later": time.Microsecond, "second": -time.Hour, "first": -2 * time.Hour, "now": 0, "": -3 * time.Hour})
		var done []string
		again := false
		broken := errors.New("broken")
		each := func() error {
			done = nil
			return index.Each(t.Context(), db, func(e due.Entry) error {
				if len(e.Parts) != 2 || e.Parts[0] != "account" || string(e.Value) != e.Parts[1] {
					t.Errorf("entry %+v", e)
				}
				done = append(done, e.Parts[1])
				if e.Parts[1] == "first" && !again {
					again = true
					put(t, db, map[string]time.Duration{"meanwhile": -time.Minute, "before": -4 * time.Hour})
					return broken
				}
				if e.Parts[1] == "second" {
					return errors.New("another")
				}
				return nil
			})
		}
		if err := each(); err != broken || !slices.Equal(done, []string{"", "first", "second", "meanwhile", "now"}) {
			t.Errorf("did %q, %v", done, err)
		}
		time.Sleep(time.Microsecond)
		if _ = each(); !slices.Equal(done, []string{"before", "", "first", "second", "meanwhile", "now", "later"}) {
			t.Errorf("a microsecond later it did %q", done)
		}
	})
}

// What nobody can do anything about ends it at once.
func TestEachGivesUp(t *testing.T) {
	db := memkv.New(memkv.Config{Seed: 1})
	defer db.Close()
	put(t, db, map[string]time.Duration{"a": -time.Hour, "b": -time.Minute})
	n := 0
	full := errs.New(errs.Unavailable, "full")
	if err := index.Each(t.Context(), db, func(due.Entry) error { n++; return full }); err != error(full) || n != 1 {
		t.Errorf("did %d, %v", n, err)
	}
	ctx, end := context.WithCancel(t.Context())
	n = 0
	if err := index.Each(ctx, db, func(due.Entry) error { n++; end(); return errors.New("broken") }); err == nil || n != 1 {
		t.Errorf("after the end it did %d, %v", n, err)
	}
}

func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, end := context.WithCancel(t.Context())
		bell, broken := due.NewBell(), errors.New("broken")
		var did, reported atomic.Int64
		ended := make(chan struct{})
		go func() {
			due.Run(ctx, time.Minute, bell, func(context.Context) error { did.Add(1); return broken }, func(err error) {
				if err != broken {
					t.Errorf("reported %v", err)
				}
				reported.Add(1)
			})
			close(ended)
		}()
		expect := func(what string, want int64) {
			t.Helper()
			synctest.Wait()
			if did.Load() != want || reported.Load() != want {
				t.Errorf("%s: did it %d times and reported %d, want %d", what, did.Load(), reported.Load(), want)
			}
		}
		expect("at once", 1)
		bell.Ring()
		expect("rung", 2)
		time.Sleep(time.Minute)
		expect("after a minute", 3)
		end()
		<-ended
	})
}
