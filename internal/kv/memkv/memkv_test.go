package memkv_test

import (
	"errors"
	"testing"

	"countersign/internal/kv"
	"countersign/internal/kv/kvtest"
	"countersign/internal/kv/memkv"
)

func TestContract(t *testing.T) {
	kvtest.Run(t, kvtest.Config{
		Open:    func(testing.TB) kv.DB { return memkv.New(memkv.Config{History: 64}) },
		History: 100,
	})
}

func TestValuesDieWithTheTransaction(t *testing.T) {
	db := memkv.New(memkv.Config{})
	key := []byte("key")
	if _, err := db.Update(t.Context(), func(tx kv.Txn) error { return tx.Put(key, []byte("value")) }); err != nil {
		t.Fatal(err)
	}
	var kept [][]byte
	keep := func(r kv.Reader) error {
		v, err := r.Get(key)
		kept = append(kept, v)
		for p, err := range r.Scan(kv.Range{}) {
			if err != nil {
				return err
			}
			kept = append(kept, p.Key, p.Value)
		}
		return err
	}
	if err := db.View(t.Context(), keep); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Update(t.Context(), func(tx kv.Txn) error { return keep(tx) }); err != nil {
		t.Fatal(err)
	}
	for i, v := range kept {
		if string(v) == "key" || string(v) == "value" {
			t.Errorf("slice %d still reads %q", i, v)
		}
	}
}

func TestImpureFunctionIsFound(t *testing.T) {
	for _, x := range []struct {
		name string
		f    func(runs int, tx kv.Txn) error
	}{
		{"other-keys", func(runs int, tx kv.Txn) error { return tx.Put([]byte{byte(runs)}, nil) }},
		{"other-result", func(runs int, tx kv.Txn) error {
			if runs%2 == 0 {
				return errors.New("every second time")
			}
			return nil
		}},
	} {
		t.Run(x.name, func(t *testing.T) {
			db := memkv.New(memkv.Config{Seed: 3})
			for range 50 {
				runs := 0
				_, err := db.Update(t.Context(), func(tx kv.Txn) error { runs++; return x.f(runs, tx) })
				if errors.Is(err, memkv.ErrImpure) {
					return
				}
			}
			t.Error("not found in 50 transactions")
		})
	}
}
