package boltkv

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"go.etcd.io/bbolt"

	"countersign/internal/kv"
)

// Views of one revision share a transaction, those of the next have another,
// and none is left when the file is to be closed or mapped anew.
func TestSnapshotsAreShared(t *testing.T) {
	db, err := Open(Config{Path: filepath.Join(t.TempDir(), "store.db")})
	if err != nil {
		t.Fatal(err)
	}
	put := func(value string) {
		t.Helper()
		if _, err := db.Update(t.Context(), func(tx kv.Txn) error { return tx.Put([]byte("k"), []byte(value)) }); err != nil {
			t.Fatal(err)
		}
	}
	view := func(want string, inside func(tx *bbolt.Tx)) {
		t.Helper()
		err := db.View(t.Context(), func(r kv.Reader) error {
			inside(r.(*reader).data.Tx())
			v, err := r.Get([]byte("k"))
			if string(v) != want {
				t.Errorf("got %q, want %q", v, want)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	put("one")
	view("one", func(first *bbolt.Tx) {
		view("one", func(tx *bbolt.Tx) {
			if tx != first {
				t.Error("a View has a transaction of its own")
			}
		})
		put("two")
		view("two", func(tx *bbolt.Tx) {
			if tx == first {
				t.Error("a View has a transaction from before a commit")
			}
		})
	})
	view("two", func(*bbolt.Tx) {})
	if err := db.Close(); err != nil { // waits for all transactions
		t.Error(err)
	}
	if err := db.View(t.Context(), func(kv.Reader) error { return nil }); err != kv.ErrClosed {
		t.Errorf("after Close: %v", err)
	}
}

// Whoever reads after an Update returned sees it, with others that read and
// write at the same time.
func TestSharedSnapshotsAreNeverStale(t *testing.T) {
	db, err := Open(Config{Path: filepath.Join(t.TempDir(), "store.db")})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			key := fmt.Appendf(nil, "key-%d", w)
			for i := range 40 {
				want := fmt.Sprint(i)
				if _, err := db.Update(t.Context(), func(tx kv.Txn) error { return tx.Put(key, []byte(want)) }); err != nil {
					t.Error(err)
				}
				for range 10 {
					err := db.View(t.Context(), func(r kv.Reader) error {
						v, err := r.Get(key)
						if string(v) != want {
							t.Errorf("%s: got %q, want %q", key, v, want)
						}
						return err
					})
					if err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}
