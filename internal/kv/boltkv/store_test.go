package boltkv_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.etcd.io/bbolt"

	"countersign/internal/kv"
	"countersign/internal/kv/boltkv"
)

func put(t testing.TB, db kv.DB, key, value string) error {
	t.Helper()
	_, err := db.Update(t.Context(), func(tx kv.Txn) error { return tx.Put([]byte(key), []byte(value)) })
	return err
}

func mustPut(t testing.TB, db kv.DB, key, value string) {
	t.Helper()
	if err := put(t, db, key, value); err != nil {
		t.Fatalf("putting %q: %v", key, err)
	}
}

func get(t testing.TB, db kv.DB, key string) string {
	t.Helper()
	var out string
	err := db.View(t.Context(), func(r kv.Reader) error {
		v, err := r.Get([]byte(key))
		out = string(v)
		return err
	})
	if err != nil {
		return err.Error()
	}
	return out
}

func TestNewFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "store.db")
	if _, err := boltkv.Open(boltkv.Config{Path: path, ReadOnly: true}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("read-only and absent: error %v", err)
	}
	if _, err := boltkv.Open(boltkv.Config{}); err == nil {
		t.Error("a store without a path was opened")
	}
	if _, err := boltkv.Open(boltkv.Config{Path: filepath.Join(dir, "absent", "store.db")}); err == nil {
		t.Error("a store in an absent folder was opened")
	}
	db := openAt(t, boltkv.Config{Path: path})
	defer db.Close()
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, error %v", info.Mode(), err)
	}
	names, err := os.ReadDir(dir)
	if err != nil || len(names) != 1 {
		t.Errorf("files %v, error %v", names, err)
	}
}

// TestCreatedOnce opens a new store from many sides: they create one file, and
// one of them has it.
func TestCreatedOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	var wg sync.WaitGroup
	won := make(chan *boltkv.DB, 8)
	for range cap(won) {
		wg.Go(func() {
			if db, err := boltkv.Open(boltkv.Config{Path: path, LockTimeout: 1}); err == nil {
				won <- db
			} else if !strings.Contains(err.Error(), "another process has it open") {
				t.Errorf("error %v", err)
			}
		})
	}
	wg.Wait()
	if len(won) != 1 {
		t.Fatalf("%d opened it", len(won))
	}
	db := <-won
	mustPut(t, db, "a", "1")
	db.Close()
	db = openAt(t, boltkv.Config{Path: path})
	defer db.Close()
	if got := get(t, db, "a"); got != "1" {
		t.Errorf("reads %q", got)
	}
}

func TestRefused(t *testing.T) {
	write := func(f func(tx *bbolt.Tx) error) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			b, err := bbolt.Open(path, 0o600, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			if err := b.Update(f); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, x := range []struct {
		name    string
		damage  func(t *testing.T, path string)
		want    string
		corrupt bool
	}{
		{"other-format", write(func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte("countersign")).Put([]byte("format"), []byte("2"))
		}), `unknown store format "2": this program knows format 1`, false},
		{"no-format", write(func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte("countersign")).Delete([]byte("format"))
		}), `unknown store format ""`, false},
		{"other-program", write(func(tx *bbolt.Tx) error {
			return tx.DeleteBucket([]byte("countersign"))
		}), "not a store of this program", true},
		{"state", write(func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte("countersign")).Put([]byte("state"), make([]byte, 40))
		}), "state record does not match its check", true},
		{"cut-state", write(func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte("countersign")).Put([]byte("state"), nil)
		}), "state record of 0 bytes", true},
		{"empty-file", func(t *testing.T, path string) {
			if err := os.Truncate(path, 0); err != nil {
				t.Fatal(err)
			}
		}, "no commit record", true},
		{"text", func(t *testing.T, path string) {
			if err := os.WriteFile(path, bytes.Repeat([]byte("text"), 9000), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "not a commit record", true},
	} {
		t.Run(x.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store.db")
			openAt(t, boltkv.Config{Path: path}).Close()
			x.damage(t, path)
			for _, readOnly := range []bool{false, true} {
				_, err := boltkv.Open(boltkv.Config{Path: path, ReadOnly: readOnly})
				if err == nil || !strings.Contains(err.Error(), x.want) || errors.Is(err, kv.ErrCorrupt) != x.corrupt {
					t.Errorf("read-only %v: error %v, want %q", readOnly, err, x.want)
				}
			}
		})
	}
}

func TestReadOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	db := openAt(t, boltkv.Config{Path: path})
	mustPut(t, db, "a", "1")
	if _, err := boltkv.Open(boltkv.Config{Path: path, ReadOnly: true, LockTimeout: 1}); err == nil ||
		!strings.Contains(err.Error(), "another process has it open") {
		t.Errorf("file in use: error %v", err)
	}
	db.Close()
	one, two := openAt(t, boltkv.Config{Path: path, ReadOnly: true}), openAt(t, boltkv.Config{Path: path, ReadOnly: true})
	defer one.Close()
	defer two.Close()
	if get(t, one, "a") != "1" || get(t, two, "a") != "1" || two.Revision() != 1 {
		t.Error("two readers do not read")
	}
	if err := put(t, one, "a", "2"); !errors.Is(err, kv.ErrReadOnly) {
		t.Errorf("writing: error %v", err)
	}
	if err := one.Check(t.Context()); err != nil {
		t.Errorf("Check: %v", err)
	}
}

// TestShared has updates that succeed, fail and panic share batches: each has
// its own outcome.
func TestShared(t *testing.T) {
	db := openAt(t, boltkv.Config{Path: filepath.Join(t.TempDir(), "store.db")})
	defer db.Close()
	var wg sync.WaitGroup
	for i := range 90 {
		wg.Go(func() {
			defer func() {
				if p := recover(); (p != nil) != (i%3 == 2) {
					t.Errorf("update %d: panic %v", i, p)
				}
			}()
			_, err := db.Update(t.Context(), func(tx kv.Txn) error {
				if err := tx.Put(fmt.Appendf(nil, "%02d", i), nil); err != nil {
					return err
				}
				switch i % 3 {
				case 1:
					return os.ErrInvalid
				case 2:
					panic("panic")
				}
				return nil
			})
			if (err == os.ErrInvalid) != (i%3 == 1) {
				t.Errorf("update %d: error %v", i, err)
			}
		})
	}
	wg.Wait()
	n := 0
	err := db.View(t.Context(), func(r kv.Reader) error {
		for _, err := range r.Scan(kv.Range{}) {
			if err != nil {
				return err
			}
			n++
		}
		return nil
	})
	if err != nil || n != 30 || db.Revision() != 30 {
		t.Errorf("%d pairs at revision %d, error %v", n, db.Revision(), err)
	}
	if err := db.Check(t.Context()); err != nil {
		t.Errorf("Check: %v", err)
	}
}

// TestNoSpace runs into the bound of the file, which fails where a full disk
// does: before the commit record is written.
func TestNoSpace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	db := openAt(t, boltkv.Config{Path: path, MaxSize: 8 << 20})
	value := strings.Repeat("v", 1<<20)
	var err error
	n := 0
	for ; err == nil && n < 20; n++ {
		err = put(t, db, fmt.Sprint("key ", n), value)
	}
	if !errors.Is(err, kv.ErrNoSpace) {
		t.Fatalf("after %d values: error %v", n, err)
	}
	rev := db.Revision()
	if got := get(t, db, fmt.Sprint("key ", n-1)); !strings.Contains(got, "not found") {
		t.Error("the failed write is there")
	}
	if get(t, db, "key 0") != value {
		t.Error("an earlier write is not readable")
	}
	if err := db.Check(t.Context()); err != nil {
		t.Errorf("Check: %v", err)
	}
	for i := range 2 { // deleting makes room
		if _, err := db.Update(t.Context(), func(tx kv.Txn) error { return tx.Delete(fmt.Append(nil, "key ", i)) }); err != nil {
			t.Fatalf("deleting: %v", err)
		}
	}
	mustPut(t, db, "small", "1")
	mustPut(t, db, "again", value)
	if db.Revision() != rev+4 {
		t.Errorf("revision %d after %d", db.Revision(), rev)
	}
	if err := errors.Join(db.Check(t.Context()), db.Close()); err != nil {
		t.Error(err)
	}
}

func TestSnapshot(t *testing.T) {
	dir := t.TempDir()
	db := openAt(t, boltkv.Config{Path: filepath.Join(dir, "store.db")})
	defer db.Close()
	for i := range 100 {
		mustPut(t, db, fmt.Sprint("key ", i), strings.Repeat("v", 100))
	}
	// While it is copied, the store is written.
	copied := filepath.Join(dir, "copy.db")
	f, err := os.Create(copied)
	if err != nil {
		t.Fatal(err)
	}
	rev := db.Revision()
	err = db.Snapshot(writerFunc(func(b []byte) (int, error) {
		if err := put(t, db, "later", "1"); err != nil {
			return 0, err
		}
		return f.Write(b)
	}))
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	c := openAt(t, boltkv.Config{Path: copied})
	defer c.Close()
	if err := c.Check(t.Context()); err != nil || c.Revision() != rev {
		t.Errorf("copy at revision %d: %v", c.Revision(), err)
	}
	if got := get(t, c, "later"); !strings.Contains(got, "not found") {
		t.Error("the copy has a later write")
	}
	if err := db.Snapshot(writerFunc(func([]byte) (int, error) { return 0, os.ErrClosed })); !errors.Is(err, os.ErrClosed) {
		t.Errorf("copy that cannot be written: %v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

func TestClosed(t *testing.T) {
	db := openAt(t, boltkv.Config{Path: filepath.Join(t.TempDir(), "store.db")})
	if n, err := db.Size(); err != nil || n < 4*1024 {
		t.Errorf("size %d, error %v", n, err)
	}
	db.Close()
	_, err := db.Size()
	for what, err := range map[string]error{"Size": err, "Check": db.Check(t.Context()), "Snapshot": db.Snapshot(new(bytes.Buffer))} {
		if !errors.Is(err, kv.ErrClosed) {
			t.Errorf("%s: error %v", what, err)
		}
	}
}

// TestCheck finds what a program that writes with bbolt alone leaves.
func TestCheck(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	db := openAt(t, boltkv.Config{Path: path})
	mustPut(t, db, "a", "1")
	db.Close()
	b, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = b.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte("data")).Put([]byte("b"), nil) })
	if err := errors.Join(err, b.Close()); err != nil {
		t.Fatal(err)
	}
	db = openAt(t, boltkv.Config{Path: path})
	defer db.Close()
	if err := db.Check(t.Context()); !errors.Is(err, kv.ErrCorrupt) || !strings.Contains(err.Error(), "the 2 pairs are not the 1") {
		t.Errorf("Check: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := db.Check(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("Check with an ended context: %v", err)
	}
}
