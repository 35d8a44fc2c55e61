package change_test

import (
	"strings"
	"testing"

	"countersign/internal/core/change"
	"countersign/internal/core/protect"
	"countersign/internal/core/secret"
	"countersign/internal/kv"
)

// TestRefer takes away, one after the other, what an open change needs, and gives
// back what an ended one had: the check of the store finds each.
func TestRefer(t *testing.T) {
	o := newOffice(t)
	ctx := t.Context()
	o.patch(o.Admin, "app/production", "A", "1")
	o.protects(protect.Rule{Name: "prod", Match: []string{"*/production"}})
	ended := o.patch(o.alice, "app/production", "B", "2")
	open := o.patch(o.alice, "app/production", "C", "3")
	during := o.Dump(t)
	_, err := o.approve(o.bob, ended.Change)
	must(t, err)
	find := func() (found []string) {
		t.Helper()
		must(t, o.DB.View(ctx, func(r kv.Reader) error {
			found = nil
			for _, check := range []func(kv.Reader, func(kv.Key, string)) error{change.Refer, secret.Refer(o.Ring)} {
				if err := check(r, func(k kv.Key, problem string) { found = append(found, string(k)+": "+problem) }); err != nil {
					return err
				}
			}
			return nil
		}))
		return found
	}
	edit := func(f func(tx kv.Txn) error) {
		t.Helper()
		_, err := o.DB.Update(ctx, f)
		must(t, err)
	}
	if found := find(); len(found) > 0 {
		t.Fatalf("found in a sound store: %q", found)
	}
	taken, given := 0, 0
	after := o.Dump(t)
	for k, v := range after {
		if !strings.Contains(k, open.Change) || strings.Contains(k, "\x00\x01remind") {
			continue
		}
		taken++
		edit(func(tx kv.Txn) error { return tx.Delete(kv.Key(k)) })
		if len(find()) == 0 {
			t.Errorf("%q is gone and nothing was found", k)
		}
		edit(func(tx kv.Txn) error { return tx.Put(kv.Key(k), v) })
	}
	for k, v := range during {
		if _, still := after[k]; still || !strings.Contains(k, ended.Change) {
			continue
		}
		given++
		edit(func(tx kv.Txn) error { return tx.Put(kv.Key(k), v) })
		if len(find()) == 0 {
			t.Errorf("%q is back and nothing was found", k)
		}
		edit(func(tx kv.Txn) error { return tx.Delete(kv.Key(k)) })
	}
	if taken < 6 || given < 3 {
		t.Errorf("%d records were taken away and %d given back", taken, given)
	}
	if found := find(); len(found) > 0 {
		t.Errorf("found in a sound store: %q", found)
	}
}
