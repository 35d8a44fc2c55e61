package faulty_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/kv"
	"countersign/internal/kv/faulty"
	"countersign/internal/kv/kvtest"
	"countersign/internal/kv/memkv"
)

func TestContractWithoutFaults(t *testing.T) {
	kvtest.Run(t, kvtest.Config{Open: func(testing.TB) kv.DB { return faulty.New(memkv.New(memkv.Config{})) }})
}

var key = []byte("key")

func put(ctx context.Context, db kv.DB) error {
	_, err := db.Update(ctx, func(tx kv.Txn) error { return tx.Put(key, []byte("value")) })
	return err
}

func get(ctx context.Context, db kv.DB) error {
	return db.View(ctx, func(r kv.Reader) error { _, err := r.Get(key); return err })
}

func scan(ctx context.Context, db kv.DB) error {
	return db.View(ctx, func(r kv.Reader) error {
		for _, err := range r.Scan(kv.Range{}) {
			return err
		}
		return nil
	})
}

func TestFaults(t *testing.T) {
	own := errors.New("an error of its own")
	remove := func(ctx context.Context, db kv.DB) error {
		_, err := db.Update(ctx, func(tx kv.Txn) error { return tx.Delete(key) })
		return err
	}
	watch := func(ctx context.Context, db kv.DB) error {
		if err := put(ctx, db); err != nil {
			return err
		}
		for _, err := range db.Watch(ctx, nil, 0) {
			return err
		}
		return nil
	}
	for _, x := range []struct {
		name    string
		fault   faulty.Fault
		call    func(context.Context, kv.DB) error
		want    []error // of the first, second and third call
		written bool    // after the second
	}{
		{"second-update", faulty.Fault{Op: faulty.Update, Nth: 2}, put, []error{nil, faulty.ErrInjected, nil}, true},
		{"every-update", faulty.Fault{Op: faulty.Update, Err: own}, put, []error{own, own, own}, false},
		{"at-commit", faulty.Fault{Op: faulty.Update, When: faulty.AtCommit, Err: faulty.ErrNoSpace}, put,
			[]error{kv.ErrNoSpace, kv.ErrNoSpace, kv.ErrNoSpace}, false},
		{"after-commit", faulty.Fault{Op: faulty.Update, When: faulty.AfterCommit}, put,
			[]error{kv.ErrUnknown, kv.ErrUnknown, faulty.ErrInjected}, true},
		{"put", faulty.Fault{Op: faulty.Put}, put, []error{faulty.ErrInjected}, false},
		{"delete", faulty.Fault{Op: faulty.Delete}, remove, []error{faulty.ErrInjected}, false},
		{"view", faulty.Fault{Op: faulty.View, Nth: 1}, get, []error{faulty.ErrInjected, kv.ErrNotFound}, false},
		{"get", faulty.Fault{Op: faulty.Get, Nth: 2}, get, []error{kv.ErrNotFound, faulty.ErrInjected}, false},
		{"scan", faulty.Fault{Op: faulty.Scan, Nth: 2}, scan, []error{nil, faulty.ErrInjected, nil}, false},
		{"watch", faulty.Fault{Op: faulty.Watch, Nth: 1}, watch, []error{faulty.ErrInjected, nil}, true},
	} {
		t.Run(x.name, func(t *testing.T) {
			inner := memkv.New(memkv.Config{})
			db := faulty.New(inner, x.fault)
			for i, want := range x.want {
				if err := x.call(t.Context(), db); !errors.Is(err, want) {
					t.Errorf("call %d: error %v, want %v", i+1, err, want)
				}
			}
			if err := get(t.Context(), inner); (err == nil) != x.written {
				t.Errorf("written: %v, want %v", err == nil, x.written)
			}
			if db.Calls(x.fault.Op) == 0 {
				t.Error("no call was counted")
			}
			db.Set()
			if err := put(t.Context(), db); err != nil {
				t.Errorf("without faults: %v", err)
			}
		})
	}
}

func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := faulty.New(memkv.New(memkv.Config{}), faulty.Fault{Op: faulty.Update, Delay: time.Hour, OnlyDelay: true})
		begin := time.Now()
		if err := put(t.Context(), db); err != nil || time.Since(begin) != time.Hour {
			t.Errorf("after %v: %v", time.Since(begin), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		begin = time.Now()
		if err := put(ctx, db); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != time.Minute {
			t.Errorf("after %v: %v", time.Since(begin), err)
		}
	})
}
