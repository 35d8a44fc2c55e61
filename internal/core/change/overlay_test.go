package change

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"countersign/internal/kv"
	"countersign/internal/kv/memkv"
)

// TestOverlay holds what an overlay shows against what the store shows after the
// same writes, and makes sure that the store saw none of them.
func TestOverlay(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		db := memkv.New(memkv.Config{Seed: 1})
		write := func(tx kv.Txn) error { return randomWrites(rand.New(rand.NewPCG(seed, 2)), tx) }
		if _, err := db.Update(t.Context(), func(tx kv.Txn) error { return randomWrites(rand.New(rand.NewPCG(seed, 3)), tx) }); err != nil {
			t.Fatal(err)
		}
		rng := kv.Range{Start: []byte{byte('a' + r.IntN(3))}, Reverse: r.IntN(2) == 0}
		if r.IntN(2) == 0 {
			rng.End = []byte{byte('d' + r.IntN(3))}
		}
		var before, laid, after string
		view := func(to *string) {
			if err := db.View(t.Context(), func(rd kv.Reader) error { *to = show(t, rd, rng); return nil }); err != nil {
				t.Fatal(err)
			}
		}
		view(&before)
		err := db.View(t.Context(), func(rd kv.Reader) error {
			o := newOverlay(rd)
			if err := write(o); err != nil {
				return err
			}
			laid = show(t, o, rng)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		var still string
		if view(&still); still != before {
			t.Fatalf("seed %d: the store was written to", seed)
		}
		if _, err := db.Update(t.Context(), write); err != nil {
			t.Fatal(err)
		}
		if view(&after); laid != after {
			t.Fatalf("seed %d, %+v: overlaid %s, stored %s", seed, rng, laid, after)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func randomWrites(r *rand.Rand, tx kv.Txn) error {
	for range 8 {
		key := []byte{byte('a' + r.IntN(6))}
		var err error
		if r.IntN(3) == 0 {
			err = tx.Delete(key)
		} else {
			err = tx.Put(key, []byte(fmt.Sprint(r.IntN(100))))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// show reads a range, and each key by itself.
func show(t *testing.T, r kv.Reader, rng kv.Range) (out string) {
	t.Helper()
	for p, err := range r.Scan(rng) {
		if err != nil {
			t.Fatal(err)
		}
		out += fmt.Sprintf("%s=%s ", p.Key, p.Value)
	}
	for c := byte('a'); c <= 'f'; c++ {
		v, err := r.Get([]byte{c})
		if err != nil && !errors.Is(err, kv.ErrNotFound) {
			t.Fatal(err)
		}
		out += fmt.Sprintf("%c:%s,%v ", c, v, err == nil)
	}
	return out
}

// TestOverlayLimits: what would be too much for a transaction is too much here.
func TestOverlayLimits(t *testing.T) {
	db := memkv.New(memkv.Config{})
	defer db.Close()
	err := db.View(t.Context(), func(r kv.Reader) error {
		o := newOverlay(r)
		for i := range kv.MaxOps {
			if err := o.Put([]byte{byte(i)}, nil); err != nil {
				return err
			}
		}
		if err := o.Put([]byte("one more"), nil); !errors.Is(err, kv.ErrLimit) {
			t.Errorf("too many keys: %v", err)
		}
		if err := newOverlay(r).Put([]byte("k"), make([]byte, kv.MaxValue+1)); !errors.Is(err, kv.ErrLimit) {
			t.Errorf("too large a value: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
