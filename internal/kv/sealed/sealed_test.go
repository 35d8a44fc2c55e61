package sealed_test

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"countersign/internal/kv"
	"countersign/internal/kv/boltkv"
	"countersign/internal/kv/kvtest"
	"countersign/internal/kv/memkv"
	"countersign/internal/kv/sealed"
)

func openBolt(t testing.TB, path string) kv.DB {
	t.Helper()
	db, err := boltkv.Open(boltkv.Config{Path: path, WatchCommits: 64})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return sealed.New(db, new(kvtest.Cipher))
}

func TestContract(t *testing.T) {
	t.Run("over-memkv", func(t *testing.T) {
		kvtest.Run(t, kvtest.Config{Exact: true, Open: func(testing.TB) kv.DB {
			return sealed.New(memkv.New(memkv.Config{}), new(kvtest.Cipher))
		}})
	})
	t.Run("over-boltkv", func(t *testing.T) {
		paths := map[kv.DB]string{}
		kvtest.Run(t, kvtest.Config{
			Exact:   true,
			History: 100,
			Open: func(t testing.TB) kv.DB {
				path := filepath.Join(t.TempDir(), "store.db")
				db := openBolt(t, path)
				paths[db] = path
				return db
			},
			Reopen: func(t testing.TB, db kv.DB) kv.DB {
				if err := db.Close(); err != nil {
					t.Fatalf("Close: %v", err)
				}
				next := openBolt(t, paths[db])
				paths[next] = paths[db]
				return next
			},
		})
	})
}

// store returns an engine with four values that the wrapper sealed, and the
// wrapper.
func store(t *testing.T) (kv.DB, kv.DB, []kv.Key) {
	engine := memkv.New(memkv.Config{})
	db := sealed.New(engine, new(kvtest.Cipher))
	keys := []kv.Key{kv.K("000000000001", "a"), kv.K("000000000001", "b"), kv.K("000000000002", "a"), kv.K(sealed.Plain, "a")}
	_, err := db.Update(t.Context(), func(tx kv.Txn) error {
		for i, key := range keys {
			if err := tx.Put(key, fmt.Appendf(nil, "plaintext %d", i)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return engine, db, keys
}

func read(t *testing.T, db kv.DB, key []byte) (v []byte, err error) {
	t.Helper()
	err = db.View(t.Context(), func(r kv.Reader) error {
		got, err := r.Get(key)
		v = bytes.Clone(got)
		return err
	})
	return v, err
}

func write(t *testing.T, db kv.DB, key, value []byte) {
	t.Helper()
	if _, err := db.Update(t.Context(), func(tx kv.Txn) error { return tx.Put(key, value) }); err != nil {
		t.Fatal(err)
	}
}

func TestNothingButPlainIsReadableBelow(t *testing.T) {
	engine, _, keys := store(t)
	for i, key := range keys {
		v, err := read(t, engine, key)
		if err != nil {
			t.Fatal(err)
		}
		if readable := bytes.Contains(v, []byte("plaintext")); readable != (i == 3) {
			t.Errorf("stored value of %q readable: %v", key, readable)
		}
	}
}

func TestMovedValueDoesNotOpen(t *testing.T) {
	for _, x := range []struct {
		name string
		a, b int
	}{{"same-account", 0, 1}, {"same-name", 0, 2}, {"to-plain", 0, 3}} {
		t.Run(x.name, func(t *testing.T) {
			engine, db, keys := store(t)
			a, _ := read(t, engine, keys[x.a])
			b, _ := read(t, engine, keys[x.b])
			write(t, engine, keys[x.a], b)
			write(t, engine, keys[x.b], a)
			for _, key := range []kv.Key{keys[x.a], keys[x.b]} {
				v, err := read(t, db, key)
				if key[0] != sealed.Plain[0] && !errors.Is(err, kv.ErrCorrupt) || bytes.Contains(v, []byte("plaintext")) {
					t.Errorf("value of %q after the swap: error %v", key, err)
				}
			}
		})
	}
}

func TestAlteredValueDoesNotOpen(t *testing.T) {
	engine, db, keys := store(t)
	stored, err := read(t, engine, keys[0])
	if err != nil {
		t.Fatal(err)
	}
	for i := range stored {
		bad := bytes.Clone(stored)
		bad[i] ^= 0x10
		write(t, engine, keys[0], bad)
		if _, err := read(t, db, keys[0]); !errors.Is(err, kv.ErrCorrupt) {
			t.Errorf("byte %d altered: error %v", i, err)
		}
		write(t, engine, keys[0], stored[:i])
		if _, err := read(t, db, keys[0]); !errors.Is(err, kv.ErrCorrupt) {
			t.Errorf("cut to %d bytes: error %v", i, err)
		}
	}
	write(t, engine, keys[0], stored[:5])
	for _, err := range db.Watch(t.Context(), keys[0], engine.Revision()-1) {
		if !errors.Is(err, kv.ErrCorrupt) {
			t.Errorf("Watch: error %v", err)
		}
	}
	err = db.View(t.Context(), func(r kv.Reader) error {
		for _, err := range r.Scan(kv.Range{}) {
			return err
		}
		return nil
	})
	if !errors.Is(err, kv.ErrCorrupt) {
		t.Errorf("Scan: error %v", err)
	}
}

func TestKeyWithoutAccountIsRefused(t *testing.T) {
	_, db, _ := store(t)
	for _, key := range []string{"bare", "\x00\x01", "cut\x00", "\x01\x00\xff\x00\x01"} {
		_, err := db.Update(t.Context(), func(tx kv.Txn) error { return tx.Put([]byte(key), nil) })
		if err == nil {
			t.Errorf("key %q was accepted", key)
		}
	}
}

func BenchmarkGet(b *testing.B) {
	for _, x := range []struct {
		name   string
		sealed bool
	}{{"engine", false}, {"sealed", true}} {
		b.Run(x.name, func(b *testing.B) {
			db := openBolt(b, filepath.Join(b.TempDir(), "store.db"))
			if !x.sealed {
				engine, err := boltkv.Open(boltkv.Config{Path: filepath.Join(b.TempDir(), "engine.db")})
				if err != nil {
					b.Fatal(err)
				}
				db = engine
			}
			defer db.Close()
			key := func(i int) kv.Key { return kv.K("000000000001", "secret", fmt.Sprintf("/prod/app-%05d", i)) }
			for i := 0; i < 10_000; i += 100 {
				_, err := db.Update(b.Context(), func(tx kv.Txn) error {
					for j := range 100 {
						if err := tx.Put(key(i+j), make([]byte, 300)); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					b.Fatal(err)
				}
			}
			wanted := key(5000)
			b.ReportAllocs()
			for b.Loop() {
				err := db.View(b.Context(), func(r kv.Reader) error {
					_, err := r.Get(wanted)
					return err
				})
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestViewLeavesNoPlaintext holds that a value does not outlive the view that
// read it, and that two values of one view do not share memory.
func TestViewLeavesNoPlaintext(t *testing.T) {
	db := sealed.New(memkv.New(memkv.Config{}), new(kvtest.Cipher))
	want := map[string]string{"a": "plaintext", "b": "", "c": strings.Repeat("long", 5000), "d": "plaintext of another"}
	if _, err := db.Update(t.Context(), func(tx kv.Txn) error {
		for n, v := range want {
			if err := tx.Put(kv.K("000000000001", n), []byte(v)); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		var kept []byte
		if err := db.View(t.Context(), func(r kv.Reader) error {
			got := map[string][]byte{}
			for range 200 { // past what one piece of memory takes
				for n := range want {
					v, err := r.Get(kv.K("000000000001", n))
					if err != nil {
						return err
					}
					got[n] = v
				}
			}
			first, err := r.Get(kv.K("000000000001", "a"))
			if err != nil {
				return err
			}
			for n, v := range got {
				if string(v) != want[n] || v == nil {
					t.Errorf("%s is %q", n, v)
				}
			}
			_ = append(first, "more"...) // into nobody else's memory
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := db.View(t.Context(), func(r kv.Reader) (err error) {
			kept, err = r.Get(kv.K("000000000001", "a"))
			if string(kept) != want["a"] {
				t.Errorf("read %q", kept)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(kept, make([]byte, len(kept))) {
			t.Errorf("after the view there is %q", kept)
		}
	}
}
