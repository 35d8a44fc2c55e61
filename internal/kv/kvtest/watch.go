package kvtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"countersign/internal/kv"
)

func testRevision(t *testing.T, c Config) {
	db := open(t, c)
	want(t, "first", db.Revision(), kv.Revision(0))
	want(t, "nothing written", update(t, db, func(kv.Txn) error { return nil }), kv.Revision(0))
	want(t, "absent key deleted", update(t, db, func(tx kv.Txn) error {
		return errors.Join(tx.Put(k("b"), nil), tx.Delete(k("a")), tx.Delete(k("b")))
	}), kv.Revision(0))
	last := kv.Revision(0)
	for i := range 5 {
		rev := put(t, db, "a", fmt.Sprint(i/2))
		if rev <= last {
			t.Errorf("revision %d after %d", rev, last)
		}
		want(t, "newest", db.Revision(), rev)
		last = rev
	}
	want(t, "only read", update(t, db, func(tx kv.Txn) error { get(tx, "a"); return nil }), last)
}

func testWatch(t *testing.T, c Config) {
	db := open(t, c)
	r1 := put(t, db, "a/1", "x", "b/1", "x")
	r2 := update(t, db, func(tx kv.Txn) error {
		return errors.Join(tx.Put(k("b/3"), nil), tx.Delete(k("b/1")), tx.Put(k("b/2"), []byte("y")), tx.Delete(k("absent")))
	})
	r3 := put(t, db, "a/1", "z")
	ev := func(r kv.Revision, s string) string { return fmt.Sprintf("%d %s", r, s) }
	all := []string{ev(r1, "a/1=x"), ev(r1, "b/1=x"), ev(r2, "b/1=deleted"), ev(r2, "b/2=y"), ev(r2, "b/3="), ev(r3, "a/1=z")}
	for _, x := range []struct {
		name   string
		prefix []byte
		after  kv.Revision
		want   []string
	}{
		{"everything", nil, 0, all},
		{"from-a-revision", nil, r1, all[2:]},
		{"prefix", k("b/"), 0, all[1:5]},
		{"prefix-from-a-revision", k("a/"), r2, all[5:]},
		{"exact-key", k("b/2"), 0, all[3:4]},
	} {
		t.Run(x.name, func(t *testing.T) {
			got, err := take(t.Context(), db, x.prefix, x.after, len(x.want))
			wantErr(t, "Watch", err, nil)
			want(t, "events", got, x.want)
		})
	}
	t.Run("kept-events", func(t *testing.T) {
		for e, err := range db.Watch(t.Context(), k("a/"), 0) {
			wantErr(t, "Watch", err, nil)
			clear(e.Key)
			clear(e.Value)
			break
		}
		got, _ := take(t.Context(), db, k("a/"), 0, 2)
		want(t, "events after changing one", got, []string{all[0], all[5]})
		want(t, "content", content(t, db)[0], "a/1=z")
	})
}

// testWatchLive watches while several write, some from the beginning and some
// joining: each sees every write once, in the order of revisions.
func testWatchLive(t *testing.T, c Config) {
	const writers, rounds = 4, 15
	db := open(t, c)
	ctx := t.Context()
	var wg sync.WaitGroup
	seen := make([][]string, 3)
	var late kv.Revision
	start := func(i int, after kv.Revision, n int) {
		wg.Go(func() {
			got, err := take(ctx, db, k("w"), after, n)
			if err != nil {
				t.Errorf("watcher %d: %v", i, err)
			}
			seen[i] = got
		})
	}
	start(0, 0, writers*rounds+1)
	start(1, 0, writers*rounds+1)
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for i := range rounds {
				if _, err := db.Update(ctx, func(tx kv.Txn) error {
					return putAll(tx, fmt.Sprintf("w/%d", w), fmt.Sprint(i), "other", "x")
				}); err != nil {
					t.Errorf("Update: %v", err)
				}
			}
		})
	}
	writing.Wait()
	late = db.Revision()
	put(t, db, "w/end", "x")
	start(2, late, 1)
	wg.Wait()
	want(t, "second watcher", seen[1], seen[0])
	want(t, "late watcher", seen[2], seen[0][writers*rounds:])
	next := make([]int, writers)
	var last int
	for _, s := range seen[0][:writers*rounds] {
		var rev, w, i int
		if _, err := fmt.Sscanf(s, "%d w/%d=%d", &rev, &w, &i); err != nil {
			t.Fatalf("event %q: %v", s, err)
		}
		if rev <= last || i != next[w] {
			t.Fatalf("event %q comes after revision %d and write %d", s, last, next[w])
		}
		last, next[w] = rev, i+1
	}
}

func testWatchEnd(t *testing.T, c Config) {
	db := open(t, c)
	rev := put(t, db, "a", "1")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var got []error
	for e, err := range db.Watch(ctx, nil, 0) {
		if e.Key != nil {
			cancel()
		}
		got = append(got, err)
	}
	if len(got) != 2 || got[0] != nil || !errors.Is(got[1], context.Canceled) {
		t.Errorf("errors of a watch whose context ends: %v", got)
	}
	_, err := take(t.Context(), db, nil, rev+1, 1)
	wantErr(t, "watch after a revision to come", err, kv.ErrCompacted)

	done := make(chan error)
	go func() {
		_, err := take(context.Background(), db, k("nothing"), 0, 1)
		done <- err
	}()
	if err := db.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	wantErr(t, "watch of a closed store", <-done, kv.ErrClosed)
}

func testCompacted(t *testing.T, c Config) {
	if c.History == 0 {
		t.Skip("this store keeps every commit")
	}
	db := open(t, c)
	first := put(t, db, "a", "0")
	for i := range c.History {
		put(t, db, "a", fmt.Sprint(i))
	}
	_, err := take(t.Context(), db, nil, 0, 1)
	wantErr(t, "watch from the beginning", err, kv.ErrCompacted)
	_, err = take(t.Context(), db, nil, first, 1)
	wantErr(t, "watch from a forgotten revision", err, kv.ErrCompacted)
	newest := db.Revision()
	got, err := take(t.Context(), db, nil, newest-1, 1)
	wantErr(t, "watch from a kept revision", err, nil)
	want(t, "newest event", got, []string{fmt.Sprintf("%d a=%d", newest, c.History-1)})

	// A watcher that falls behind is told so, not skipped ahead.
	var saw []error
	for _, err := range db.Watch(t.Context(), nil, newest-1) {
		saw = append(saw, err)
		if err == nil && len(saw) == 1 {
			for range 2 * c.History {
				put(t, db, "a", "x")
			}
		}
		if len(saw) > 3*c.History {
			break
		}
	}
	wantErr(t, "watcher that falls behind", saw[len(saw)-1], kv.ErrCompacted)
}

func testClose(t *testing.T, c Config) {
	db := open(t, c)
	put(t, db, "a", "1")
	inside, leave, closed := make(chan struct{}), make(chan struct{}), make(chan struct{})
	var after string
	var wg sync.WaitGroup
	wg.Go(func() {
		err := db.View(context.Background(), func(r kv.Reader) error {
			close(inside)
			<-leave
			after = get(r, "a")
			return nil
		})
		if err != nil {
			t.Errorf("View: %v", err)
		}
		select {
		case <-closed:
			t.Error("Close returned during a View")
		default:
		}
	})
	<-inside
	wg.Go(func() {
		if err := db.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	close(leave)
	wg.Wait()
	want(t, "read during Close", after, "1")
	_, err := db.Update(t.Context(), func(kv.Txn) error { return nil })
	wantErr(t, "Update", err, kv.ErrClosed)
	wantErr(t, "View", db.View(t.Context(), func(kv.Reader) error { return nil }), kv.ErrClosed)
	_, err = take(t.Context(), db, nil, 0, 1)
	wantErr(t, "Watch", err, kv.ErrClosed)
	wantErr(t, "Close", db.Close(), kv.ErrClosed)
}

func testReopen(t *testing.T, c Config) {
	if c.Reopen == nil {
		t.Skip("this store keeps nothing")
	}
	db := open(t, c)
	put(t, db, "a", "1", "b", "2", "empty", "")
	rev := update(t, db, func(tx kv.Txn) error { return tx.Delete(k("b")) })
	for i := range 2 {
		db = c.Reopen(t, db)
		want(t, "revision", db.Revision(), rev)
		want(t, "content", content(t, db), []string{"a=1", "empty="})
		_, err := take(t.Context(), db, nil, 0, 1)
		wantErr(t, "watch from before", err, kv.ErrCompacted)
		if next := put(t, db, "a", "1"); next <= rev {
			t.Errorf("revision %d after opening at %d", next, rev)
		} else {
			got, err := take(t.Context(), db, nil, rev, 1)
			wantErr(t, "watch", err, nil)
			want(t, "events", got, []string{fmt.Sprintf("%d a=1", next)})
			rev = next
		}
		if !slices.Equal(content(t, db), []string{"a=1", "empty="}) {
			t.Errorf("content after opening %d times", i+1)
		}
	}
	if err := db.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}
