package transit_test

import (
	"strings"
	"testing"
	"time"

	"countersign/internal/core/transit"
	"countersign/internal/kv"
)

// TestReferFinds what has been damaged.
func TestReferFinds(t *testing.T) {
	for name, x := range map[string]struct {
		kind   string
		damage func(tx kv.Txn, key kv.Key, value []byte) error
		says   string
	}{
		"no-head":    {"transit-key", func(tx kv.Txn, key kv.Key, _ []byte) error { return tx.Delete(key) }, "of no key"},
		"no-version": {"transit-version", func(tx kv.Txn, key kv.Key, _ []byte) error { return tx.Delete(key) }, "lacks a version"},
		"no-entry":   {"transit-due", func(tx kv.Txn, key kv.Key, _ []byte) error { return tx.Delete(key) }, "no entry in the due index"},
		"a-version-more": {"transit-version", func(tx kv.Txn, key kv.Key, value []byte) error {
			strs, nums, err := key.Parts("sssn")
			if err != nil {
				return err
			}
			return tx.Put(kv.K(strs...).Num(nums[0]+1), value)
		}, "of no key"},
		"another-material": {"transit-version", func(tx kv.Txn, key kv.Key, _ []byte) error {
			return tx.Put(key, []byte{0xa2, 1, 0x41, 'x', 4, 1})
		}, "not of the key's type"},
		"a-copy": {"transit-key", func(tx kv.Txn, key kv.Key, value []byte) error {
			strs, _, err := key.Parts("sss")
			if err != nil {
				return err
			}
			return tx.Put(kv.K(strs[0], strs[1], "other"), value)
		}, "same versions"},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t)
			b.create(transit.CreateRequest{Key: "k", RotateEvery: time.Hour})
			if found := b.refer(); len(found) > 0 {
				t.Fatalf("before: %q", found)
			}
			var key kv.Key
			for k := range b.keys(x.kind) {
				key = kv.Key(k)
			}
			_, err := b.DB.Update(ctx, func(tx kv.Txn) error {
				value, err := tx.Get(key)
				if err != nil {
					return err
				}
				return x.damage(tx, key, value)
			})
			if err != nil {
				t.Fatal(err)
			}
			if found := b.refer(); !strings.Contains(strings.Join(found, "\n"), x.says) {
				t.Errorf("found %q, want %q", found, x.says)
			}
		})
	}
}
