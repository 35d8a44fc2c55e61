package leader_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/core/leader"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/kv/faulty"
	"countersign/internal/kv/memkv"
)

func run(l *leader.Lock) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); l.Run(ctx) }()
	return func() { cancel(); <-done }
}

func leads(l *leader.Lock) bool {
	_, ok := l.Fence()
	return ok
}

func check(t *testing.T, db kv.DB, l *leader.Lock, fence uint64) error {
	t.Helper()
	_, err := db.Update(t.Context(), func(tx kv.Txn) error { return l.Check(tx, fence) })
	return err
}

func TestOneLeads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := memkv.New(memkv.Config{Seed: 1})
		a, b := leader.New(leader.Config{DB: db, Node: "a"}), leader.New(leader.Config{DB: db, Node: "b"})
		stopA := run(a)
		synctest.Wait()
		stopB := run(b)
		defer stopB()
		for range 100 {
			time.Sleep(time.Second)
			if !leads(a) || leads(b) {
				t.Fatal("the lock moved")
			}
		}
		fence, _ := a.Fence()
		if err := check(t, db, a, fence); err != nil {
			t.Error(err)
		}
		if err := check(t, db, b, fence); err == nil {
			t.Error("another node passes with the holder's token")
		}
		stopA() // it gives up
		time.Sleep(6 * time.Second)
		if leads(a) || !leads(b) {
			t.Error("a lock that was given up was not taken")
		}
		if err := check(t, db, a, fence); !errs.Is(err, errs.Conflict) {
			t.Errorf("the old holder writes: %v", err)
		}
		if now, _ := b.Fence(); now <= fence {
			t.Errorf("the token went from %d to %d", fence, now)
		}
	})
}

// TestTakeover: a holder that is gone, or cannot write, is followed, and at no time do
// two believe that they lead.
func TestTakeover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := memkv.New(memkv.Config{Seed: 2})
		broken := faulty.New(db)
		a, b := leader.New(leader.Config{DB: broken, Node: "a"}), leader.New(leader.Config{DB: db, Node: "b"})
		stopA := run(a)
		defer stopA()
		synctest.Wait()
		stopB := run(b)
		defer stopB()
		time.Sleep(time.Minute)
		old, _ := a.Fence()
		broken.Set(faulty.Fault{Op: faulty.Update})
		var took time.Duration
		for !leads(b) {
			time.Sleep(100 * time.Millisecond)
			if took += 100 * time.Millisecond; took > time.Minute {
				t.Fatal("nobody leads")
			}
			if leads(a) && leads(b) {
				t.Fatal("two lead")
			}
		}
		if took < leader.DefaultTTL {
			t.Errorf("it was taken after %s", took)
		}
		broken.Set()
		for range 600 {
			time.Sleep(100 * time.Millisecond)
			if leads(a) {
				t.Fatal("the old holder leads again")
			}
		}
		if err := check(t, db, a, old); !errs.Is(err, errs.Conflict) {
			t.Errorf("the old holder writes: %v", err)
		}
	})
}

// TestAlone: what a killed predecessor left is taken at once.
func TestAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := memkv.New(memkv.Config{Seed: 3})
		dead := leader.New(leader.Config{DB: db, Alone: true})
		broken := faulty.New(db)
		dead.DB = broken
		stop := run(dead)
		synctest.Wait()
		broken.Set(faulty.Fault{Op: faulty.Update}) // it cannot give up
		stop()
		l := leader.New(leader.Config{DB: db, Alone: true})
		defer run(l)()
		synctest.Wait()
		if fence, ok := l.Fence(); !ok || fence != 2 {
			t.Errorf("token %d, %t", fence, ok)
		}
	})
}
