package boltkv

import (
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
	"testing"

	"go.etcd.io/bbolt"

	"countersign/internal/kv"
)

// TestCommitError asks what became of commits that failed before and after the
// commit record could be seen.
func TestCommitError(t *testing.T) {
	db, err := Open(Config{Path: filepath.Join(t.TempDir(), "store.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	put := func() error {
		_, err := db.Update(t.Context(), func(tx kv.Txn) error { return tx.Put([]byte("a"), nil) })
		return err
	}
	if err := put(); err != nil { // revision 1
		t.Fatal(err)
	}
	full := fmt.Errorf("file resize error: %s", syscall.ENOSPC) // as bbolt reports it
	err = db.commitError(&batch{rev: 2, log: make([]commit, 1)}, full)
	if !errors.Is(err, kv.ErrNoSpace) || errors.Is(err, kv.ErrUnknown) {
		t.Errorf("before: %v", err)
	}
	if err := put(); err != nil {
		t.Errorf("writing after a failure that left nothing: %v", err)
	}
	err = db.commitError(&batch{rev: 2, log: make([]commit, 1)}, syscall.EIO)
	if !errors.Is(err, kv.ErrUnknown) || !errors.Is(err, syscall.EIO) {
		t.Errorf("after: %v", err)
	}
	if err := put(); !errors.Is(err, kv.ErrUnknown) {
		t.Errorf("writing after an unknown outcome: %v", err)
	}
	if err := db.View(t.Context(), func(r kv.Reader) error { _, err := r.Get([]byte("a")); return err }); err != nil {
		t.Errorf("reading after an unknown outcome: %v", err)
	}
}

// TestAgreesWithBolt holds the walker of package pages against bbolt's own
// check.
func TestAgreesWithBolt(t *testing.T) {
	db, err := Open(Config{Path: filepath.Join(t.TempDir(), "store.db")})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for i := range 300 {
		_, err := db.Update(t.Context(), func(tx kv.Txn) error {
			key := fmt.Appendf(nil, "%04d", i*7919%1000)
			if i%3 == 2 {
				return tx.Delete(fmt.Appendf(nil, "%04d", (i-1)*7919%1000))
			}
			return tx.Put(key, make([]byte, i*20))
		})
		if err != nil {
			t.Fatal(err)
		}
		if i%30 > 0 {
			continue
		}
		if err := db.Check(t.Context()); err != nil {
			t.Errorf("Check after %d updates: %v", i, err)
		}
		_ = db.bolt.View(func(tx *bbolt.Tx) error {
			for err := range tx.Check() {
				t.Errorf("bbolt's check after %d updates: %v", i, err)
			}
			return nil
		})
	}
}

func TestRingBounds(t *testing.T) {
	r := ring{maxCommits: 3, maxBytes: 100, floor: 7}
	add := func(rev uint64, size int) { r.add([]commit{{rev: rev, size: size}}) }
	for _, x := range []struct {
		rev         uint64
		size        int
		floor, kept uint64
	}{{8, 10, 7, 1}, {9, 10, 7, 2}, {10, 10, 7, 3}, {11, 10, 8, 3}, {12, 85, 10, 2}, {13, 101, 13, 0}, {14, 1, 13, 1}} {
		add(x.rev, x.size)
		if r.floor != x.floor || uint64(len(r.log)) != x.kept {
			t.Errorf("after revision %d: kept %d from %d, want %d from %d", x.rev, len(r.log), r.floor, x.kept, x.floor)
		}
	}
}
