// Package kvtest is the suite that every engine and every wrapper of package kv
// passes. It holds the contract, so a question of what an engine must do is
// answered by a test here.
//
// Keys of the suite begin with an account, so that wrappers that look for one
// find it.
package kvtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/kv"
)

// Config says how to get a store and what it can do.
type Config struct {
	// Open returns an empty store. The suite closes it.
	Open func(t testing.TB) kv.DB
	// Reopen closes a store and opens it again with what was written to it.
	// Nil: the engine keeps nothing.
	Reopen func(t testing.TB, db kv.DB) kv.DB
	// History is more commits than Watch can go back in a store that Open
	// returned. Zero: it goes back to the first.
	History int
	// Exact says that the limits hold to the byte, as callers see them; else
	// the store leaves room for a wrapper's kv.Overhead.
	Exact bool
}

// Run tests one engine or wrapper.
func Run(t *testing.T, c Config) {
	for _, x := range []struct {
		name string
		f    func(*testing.T, Config)
	}{
		{"read-and-write", testReadWrite},
		{"empty-value", testEmptyValue},
		{"arguments-are-copied", testArgumentsCopied},
		{"scan", testScan},
		{"model", testModel},
		{"snapshot", testSnapshot},
		{"serializable", testSerializable},
		{"failure-is-alone", testFailure},
		{"panic", testPanic},
		{"goexit", testGoexit},
		{"context", testContext},
		{"limits", testLimits},
		{"ended", testEnded},
		{"revision", testRevision},
		{"watch", testWatch},
		{"watch-live", testWatchLive},
		{"watch-end", testWatchEnd},
		{"compacted", testCompacted},
		{"close", testClose},
		{"reopen", testReopen},
	} {
		t.Run(x.name, func(t *testing.T) { x.f(t, c) })
	}
}

func open(t *testing.T, c Config) kv.DB {
	t.Helper()
	db := c.Open(t)
	t.Cleanup(func() {
		if err := db.Close(); err != nil && !errors.Is(err, kv.ErrClosed) {
			t.Errorf("closing: %v", err)
		}
	})
	return db
}

// k is a key of the suite's account. Its bytes after the account are s.
func k(s string) []byte { return append(kv.K("000000000001"), s...) }

// bare is what k was given.
func bare(key []byte) string {
	return string(bytes.TrimPrefix(key, kv.K("000000000001")))
}

func update(t *testing.T, db kv.DB, f func(kv.Txn) error) kv.Revision {
	t.Helper()
	rev, err := db.Update(t.Context(), f)
	if err != nil {
		t.Fatalf("Update: %v", err)
	}
	return rev
}

func put(t *testing.T, db kv.DB, pairs ...string) kv.Revision {
	t.Helper()
	return update(t, db, func(tx kv.Txn) error { return putAll(tx, pairs...) })
}

func putAll(tx kv.Txn, pairs ...string) error {
	for i := 0; i < len(pairs); i += 2 {
		if err := tx.Put(k(pairs[i]), []byte(pairs[i+1])); err != nil {
			return err
		}
	}
	return nil
}

// get reads one value as a string, or "absent".
func get(r kv.Reader, key string) string {
	v, err := r.Get(k(key))
	switch {
	case errors.Is(err, kv.ErrNotFound):
		return "absent"
	case err != nil:
		return "error: " + err.Error()
	case v == nil:
		return "nil without error"
	}
	return string(v)
}

// list reads a range as "key=value" strings.
func list(r kv.Reader, x kv.Range) []string {
	out := []string{}
	for p, err := range r.Scan(x) {
		if err != nil {
			return append(out, "error: "+err.Error())
		}
		if p.Value == nil {
			return append(out, "nil value")
		}
		out = append(out, bare(p.Key)+"="+string(p.Value))
	}
	return out
}

// content reads the whole store.
func content(t *testing.T, db kv.DB) []string {
	t.Helper()
	var out []string
	view(t, db, func(r kv.Reader) { out = list(r, kv.Range{}) })
	return out
}

func view(t *testing.T, db kv.DB, f func(kv.Reader)) {
	t.Helper()
	err := db.View(t.Context(), func(r kv.Reader) error { f(r); return nil })
	if err != nil {
		t.Fatalf("View: %v", err)
	}
}

func want(t *testing.T, what string, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: error %v, want %v", what, err, want)
	}
}

// take reads n events, as "revision key=value".
func take(ctx context.Context, db kv.DB, prefix []byte, after kv.Revision, n int) ([]string, error) {
	out := []string{}
	for e, err := range db.Watch(ctx, prefix, after) {
		if err != nil {
			return out, err
		}
		value := "deleted"
		if e.Value != nil {
			value = string(e.Value)
		}
		out = append(out, fmt.Sprintf("%d %s=%s", e.Revision, bare(e.Key), value))
		if len(out) == n {
			break
		}
	}
	return out, nil
}
