package kvtest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"countersign/internal/kv"
)

func testReadWrite(t *testing.T, c Config) {
	db := open(t, c)
	put(t, db, "a", "1", "b", "2")
	update(t, db, func(tx kv.Txn) error {
		want(t, "committed value", get(tx, "a"), "1")
		if err := putAll(tx, "a", "3", "c", "4"); err != nil {
			return err
		}
		want(t, "own write", get(tx, "a"), "3")
		if err := tx.Delete(k("b")); err != nil {
			return err
		}
		want(t, "own deletion", get(tx, "b"), "absent")
		if err := tx.Delete(k("never there")); err != nil {
			t.Errorf("deleting an absent key: %v", err)
		}
		if err := tx.Delete(k("c")); err != nil {
			return err
		}
		return tx.Put(k("c"), []byte("5"))
	})
	want(t, "content", content(t, db), []string{"a=3", "c=5"})
	view(t, db, func(r kv.Reader) { want(t, "deleted key", get(r, "b"), "absent") })
}

func testEmptyValue(t *testing.T, c Config) {
	db := open(t, c)
	update(t, db, func(tx kv.Txn) error {
		if err := errors.Join(tx.Put(k("nil"), nil), tx.Put(k("empty"), []byte{})); err != nil {
			return err
		}
		want(t, "own nil value", get(tx, "nil"), "")
		want(t, "own scan", list(tx, kv.Range{}), []string{"empty=", "nil="})
		return nil
	})
	view(t, db, func(r kv.Reader) { want(t, "empty value", get(r, "empty"), "") })
	want(t, "content", content(t, db), []string{"empty=", "nil="})
	events, err := take(t.Context(), db, nil, 0, 2)
	want(t, "events", events, []string{"1 empty=", "1 nil="})
	wantErr(t, "watch", err, nil)
}

func testArgumentsCopied(t *testing.T, c Config) {
	db := open(t, c)
	update(t, db, func(tx kv.Txn) error {
		key, value := k("a"), []byte("1")
		if err := tx.Put(key, value); err != nil {
			return err
		}
		key[len(key)-1], value[0] = 'b', '2'
		if err := tx.Put(key, value); err != nil {
			return err
		}
		key[len(key)-1], value[0] = 'x', 'x'
		return nil
	})
	want(t, "content", content(t, db), []string{"a=1", "b=2"})
}

func testScan(t *testing.T, c Config) {
	db := open(t, c)
	put(t, db, "a", "1", "b", "1", "b\x00", "1", "b\xff", "1", "c", "1", "\xff\xff", "1")
	// Each is tried over the committed pairs, and over the same pairs of which
	// the transaction itself wrote a part.
	cases := []struct {
		name string
		r    kv.Range
		want []string
	}{
		{"all", kv.Range{}, []string{"a", "b", "b\x00", "b\xff", "c", "\xff\xff"}},
		{"all-reverse", kv.Range{Reverse: true}, []string{"\xff\xff", "c", "b\xff", "b\x00", "b", "a"}},
		{"start-is-in", kv.Range{Start: k("b"), End: k("c")}, []string{"b", "b\x00", "b\xff"}},
		{"end-is-out-reverse", kv.Range{Start: k("b"), End: k("c"), Reverse: true}, []string{"b\xff", "b\x00", "b"}},
		{"between-keys", kv.Range{Start: k("aa"), End: k("bb")}, []string{"b", "b\x00"}},
		{"between-keys-reverse", kv.Range{Start: k("aa"), End: k("bb"), Reverse: true}, []string{"b\x00", "b"}},
		{"prefix", kv.Prefix(k("b")), []string{"b", "b\x00", "b\xff"}},
		{"prefix-of-ff", kv.Prefix(k("\xff")), []string{"\xff\xff"}},
		{"past-the-end", kv.Range{Start: []byte("1")}, []string{}},
		{"past-the-end-reverse", kv.Range{Start: k("b\xff"), End: []byte("1"), Reverse: true}, []string{"\xff\xff", "c", "b\xff"}},
		{"before-the-beginning", kv.Range{End: []byte("0")}, []string{}},
		{"before-the-beginning-reverse", kv.Range{End: []byte("0"), Reverse: true}, []string{}},
		{"empty", kv.Range{Start: k("b"), End: k("b")}, []string{}},
		{"upside-down", kv.Range{Start: k("c"), End: k("a")}, []string{}},
		{"upside-down-reverse", kv.Range{Start: k("c"), End: k("a"), Reverse: true}, []string{}},
	}
	keys := func(t *testing.T, r kv.Reader, x kv.Range) []string {
		out := []string{}
		for p, err := range r.Scan(x) {
			if err != nil {
				t.Fatalf("Scan: %v", err)
			}
			out = append(out, bare(p.Key))
		}
		return out
	}
	for _, x := range cases {
		t.Run(x.name, func(t *testing.T) {
			view(t, db, func(r kv.Reader) { want(t, "committed", keys(t, r, x.r), x.want) })
			_, err := db.Update(t.Context(), func(tx kv.Txn) error {
				err := errors.Join(tx.Delete(k("b")), tx.Delete(k("\xff\xff")), tx.Delete(k("gone")), tx.Put(k("x"), nil),
					tx.Delete(k("x")), tx.Put(k("c"), []byte("2")), tx.Put(k("b"), []byte("2")), tx.Put(k("\xff\xff"), nil))
				want(t, "partly own", keys(t, tx, x.r), x.want)
				return errors.Join(err, errDiscard)
			})
			wantErr(t, "Update", err, errDiscard)
		})
	}
	view(t, db, func(r kv.Reader) {
		for range r.Scan(kv.Range{}) {
			break // a scan can be left
		}
		want(t, "second scan", len(list(r, kv.Range{})), 6)
	})
}

var errDiscard = errors.New("discard this transaction")

// testModel runs random transactions and compares with a map.
func testModel(t *testing.T, c Config) {
	db := open(t, c)
	rng := rand.New(rand.NewPCG(7, 7))
	model := map[string]string{}
	for i := range 150 {
		type op struct{ key, value string }
		ops := make([]op, rng.IntN(40))
		for j := range ops {
			ops[j] = op{key: fmt.Sprintf("%02x", rng.IntN(90))}
			if rng.IntN(3) > 0 {
				ops[j].value = strings.Repeat("v", 1+rng.IntN(300))
			}
		}
		x := kv.Range{Start: k(fmt.Sprintf("%02x", rng.IntN(90))), End: k(fmt.Sprintf("%02x", rng.IntN(90))), Reverse: i%2 == 0}
		fail := i%5 == 0
		var next map[string]string
		_, err := db.Update(t.Context(), func(tx kv.Txn) error {
			next = maps.Clone(model)
			for _, o := range ops {
				if o.value == "" {
					delete(next, o.key)
					if err := tx.Delete(k(o.key)); err != nil {
						return err
					}
				} else {
					next[o.key] = o.value
					if err := tx.Put(k(o.key), []byte(o.value)); err != nil {
						return err
					}
				}
			}
			want(t, "range in the transaction", list(tx, x), modelRange(next, x))
			if fail {
				return errDiscard
			}
			return nil
		})
		if fail {
			wantErr(t, "Update", err, errDiscard)
		} else if model = next; err != nil {
			t.Fatalf("Update: %v", err)
		}
		want(t, "content", content(t, db), modelRange(model, kv.Range{}))
		if t.Failed() {
			t.Fatalf("at step %d", i)
		}
	}
}

func modelRange(m map[string]string, x kv.Range) []string {
	out := []string{}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if bytes.Compare(k(key), x.Start) >= 0 && (x.End == nil || bytes.Compare(k(key), x.End) < 0) {
			out = append(out, key+"="+m[key])
		}
	}
	if x.Reverse {
		slices.Reverse(out)
	}
	return out
}

func testSnapshot(t *testing.T, c Config) {
	db := open(t, c)
	put(t, db, "a", "1", "b", "1")
	inside, written := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(written)
		<-inside
		_, err := db.Update(context.Background(), func(tx kv.Txn) error {
			return errors.Join(tx.Put(k("a"), []byte("2")), tx.Delete(k("b")), tx.Put(k("c"), []byte("2")))
		})
		if err != nil {
			t.Errorf("Update: %v", err)
		}
	}()
	view(t, db, func(r kv.Reader) {
		before := get(r, "a")
		close(inside)
		<-written
		want(t, "before and after", []string{before, get(r, "a")}, []string{"1", "1"})
		want(t, "scan", list(r, kv.Range{}), []string{"a=1", "b=1"})
	})
	want(t, "content", content(t, db), []string{"a=2", "c=2"})
}

// testSerializable counts concurrently: each update reads two counters that
// must be equal, and moves both.
func testSerializable(t *testing.T, c Config) {
	const workers, rounds = 8, 25
	db := open(t, c)
	ctx := t.Context()
	var mu sync.Mutex
	revs := map[kv.Revision]bool{}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range rounds {
				fail := (w+i)%5 == 0
				rev, err := db.Update(ctx, func(tx kv.Txn) error { return count(tx, fail) })
				if fail != errors.Is(err, errDiscard) || !fail && err != nil {
					t.Errorf("Update: %v", err)
				}
				if !fail {
					mu.Lock()
					if revs[rev] {
						t.Errorf("two updates have the revision %d", rev)
					}
					revs[rev] = true
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	n := len(revs)
	view(t, db, func(r kv.Reader) {
		for _, key := range []string{"counter 1", "counter 2"} {
			v, err := r.Get(k(key))
			if err != nil || binary.BigEndian.Uint64(v) != uint64(n) {
				t.Errorf("%s is %x (%v), want %d", key, v, err, n)
			}
		}
	})
}

func count(tx kv.Txn, fail bool) error {
	var n [2]uint64
	for i, key := range []string{"counter 1", "counter 2"} {
		v, err := tx.Get(k(key))
		if err == nil {
			n[i] = binary.BigEndian.Uint64(v)
		} else if !errors.Is(err, kv.ErrNotFound) {
			return err
		}
	}
	if n[0] != n[1] {
		return fmt.Errorf("counters differ: %d and %d", n[0], n[1])
	}
	next := binary.BigEndian.AppendUint64(nil, n[0]+1)
	err := errors.Join(tx.Put(k("counter 1"), next), tx.Put(k("counter 2"), next))
	if fail {
		err = errDiscard
	}
	return err
}

func testFailure(t *testing.T, c Config) {
	db := open(t, c)
	before := put(t, db, "a", "1")
	rev, err := db.Update(t.Context(), func(tx kv.Txn) error {
		if err := errors.Join(tx.Put(k("a"), nil), tx.Put(k("b"), nil)); err != nil {
			return err
		}
		return errDiscard
	})
	if err != errDiscard { // as it is, not wrapped
		t.Errorf("error is %v, want the function's own", err)
	}
	want(t, "revision of a failure", rev, kv.Revision(0))
	want(t, "revision", db.Revision(), before)
	want(t, "content", content(t, db), []string{"a=1"})
	err = db.View(t.Context(), func(kv.Reader) error { return errDiscard })
	if err != errDiscard { // as it is, not wrapped
		t.Errorf("error of View is %v, want the function's own", err)
	}
}

func testPanic(t *testing.T, c Config) {
	db := open(t, c)
	for _, f := range []func(){
		func() {
			_, _ = db.Update(t.Context(), func(tx kv.Txn) error { _ = tx.Put(k("a"), nil); panic("this one") })
		},
		func() { _ = db.View(t.Context(), func(kv.Reader) error { panic("this one") }) },
	} {
		func() {
			defer func() { want(t, "panic", recover(), any("this one")) }()
			f()
		}()
	}
	put(t, db, "b", "1")
	want(t, "content", content(t, db), []string{"b=1"})
}

// testGoexit leaves a function as t.FailNow does.
func testGoexit(t *testing.T, c Config) {
	db := open(t, c)
	var wg sync.WaitGroup
	wg.Go(func() {
		_, _ = db.Update(t.Context(), func(tx kv.Txn) error { _ = tx.Put(k("a"), nil); runtime.Goexit(); return nil })
	})
	wg.Go(func() { _ = db.View(t.Context(), func(kv.Reader) error { runtime.Goexit(); return nil }) })
	wg.Wait()
	put(t, db, "b", "1")
	want(t, "content", content(t, db), []string{"b=1"})
}

func testContext(t *testing.T, c Config) {
	db := open(t, c)
	ended, cancel := context.WithCancelCause(t.Context())
	cancel(errDiscard)
	_, err := db.Update(ended, func(tx kv.Txn) error { return tx.Put(k("a"), nil) })
	wantErr(t, "Update with an ended context", err, context.Canceled)
	err = db.View(ended, func(kv.Reader) error { return nil })
	wantErr(t, "View with an ended context", err, context.Canceled)

	ctx, cancelNow := context.WithCancel(t.Context())
	_, err = db.Update(ctx, func(tx kv.Txn) error {
		cancelNow()
		return tx.Put(k("a"), nil)
	})
	wantErr(t, "Update whose context ends before the commit", err, context.Canceled)
	want(t, "content", content(t, db), []string{})

	// One whose context ends while it waits for others leaves them alone.
	var wg sync.WaitGroup
	for i := range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		wg.Go(func() { defer cancel(); put(t, db, fmt.Sprintf("kept %02d", i), "1") })
		wg.Go(func() { _, _ = db.Update(ctx, func(tx kv.Txn) error { return tx.Put(k("maybe"), nil) }) })
	}
	wg.Wait()
	view(t, db, func(r kv.Reader) { want(t, "kept", len(list(r, kv.Prefix(k("kept")))), 20) })
}

func testLimits(t *testing.T, c Config) {
	slack, total := kv.Overhead, kv.MaxOps*kv.Overhead
	if c.Exact {
		slack, total = 0, 0
	}
	big := make([]byte, kv.MaxValue+slack+1)
	longest := k(strings.Repeat("k", kv.MaxKey-len(k(""))))
	many := func(n int) func(kv.Txn) error {
		return func(tx kv.Txn) error {
			for i := range 2 * n { // each key twice: distinct ones count
				if err := tx.Put(k(fmt.Sprintf("%04d", i%n)), []byte("1")); err != nil {
					return err
				}
			}
			return nil
		}
	}
	half := (kv.MaxBytes+total)/2 - len(k("a"))
	two := func(extra int) func(kv.Txn) error {
		return func(tx kv.Txn) error {
			for range 2 { // the last write of a key counts
				if err := errors.Join(tx.Put(k("a"), big[:half]), tx.Put(k("b"), big[:half+extra])); err != nil {
					return err
				}
			}
			return nil
		}
	}
	for _, x := range []struct {
		name string
		f    func(kv.Txn) error
		ok   bool
	}{
		{"longest-key", func(tx kv.Txn) error { return tx.Put(longest, nil) }, true},
		{"key-too-long", func(tx kv.Txn) error { return tx.Put(append(longest, 'x'), nil) }, false},
		{"delete-key-too-long", func(tx kv.Txn) error { return tx.Delete(append(longest, 'x')) }, false},
		{"empty-key", func(tx kv.Txn) error { return tx.Put(nil, nil) }, false},
		{"delete-empty-key", func(tx kv.Txn) error { return tx.Delete(nil) }, false},
		{"largest-value", func(tx kv.Txn) error { return tx.Put(k("a"), big[:kv.MaxValue]) }, true},
		{"value-too-large", func(tx kv.Txn) error { return tx.Put(k("a"), big) }, false},
		{"most-keys", many(kv.MaxOps), true},
		{"too-many-keys", many(kv.MaxOps + 1), false},
		{"most-bytes", two(0), true},
		{"too-many-bytes", two(1), false},
		{"too-many-deletions", func(tx kv.Txn) error {
			for i := range kv.MaxOps + 1 {
				if err := tx.Delete(k(fmt.Sprint(i))); err != nil {
					return err
				}
			}
			return nil
		}, false},
	} {
		t.Run(x.name, func(t *testing.T) {
			db := open(t, c)
			_, err := db.Update(t.Context(), x.f)
			if x.ok {
				wantErr(t, "Update", err, nil)
				return
			}
			wantErr(t, "Update", err, kv.ErrLimit)
			_, err = db.Update(t.Context(), func(tx kv.Txn) error {
				first := tx.Put(k("first"), nil)
				wantErr(t, "the write", x.f(tx), kv.ErrLimit)
				wantErr(t, "a write after it", tx.Put(k("last"), nil), kv.ErrLimit)
				return first // swallows the error
			})
			wantErr(t, "Update that swallows it", err, kv.ErrLimit)
			want(t, "content", content(t, db), []string{})
			want(t, "revision", db.Revision(), kv.Revision(0))
		})
	}
}

// testEnded uses transactions after their end.
func testEnded(t *testing.T, c Config) {
	db := open(t, c)
	var kept kv.Txn
	update(t, db, func(tx kv.Txn) error { kept = tx; return tx.Put(k("a"), []byte("1")) })
	if kept.Put(k("a"), nil) == nil || kept.Delete(k("a")) == nil {
		t.Error("a transaction writes after its end")
	}
	if _, err := kept.Get(k("a")); err == nil {
		t.Error("a transaction reads after its end")
	}
	want(t, "content", content(t, db), []string{"a=1"})
}
