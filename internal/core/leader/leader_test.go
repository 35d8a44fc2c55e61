package leader_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/core/leader"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/kv/boltkv"
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

// stopped is the store as a process sees it that may be stopped at any call: what it
// asked before the stop goes on after it, whatever deadline it had.
type stopped struct {
	kv.DB
	stop  func(context.Context) // before the store is asked
	after func()                // once it was
}

func (s *stopped) Update(ctx context.Context, f func(kv.Txn) error) (kv.Revision, error) {
	s.stop(ctx)
	if s.after != nil {
		defer s.after()
	}
	return s.DB.Update(context.WithoutCancel(ctx), f)
}

// TestSlowWatcher: a node whose first look at the record took long has not watched it
// for long.
func TestSlowWatcher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := memkv.New(memkv.Config{Seed: 4})
		a := leader.New(leader.Config{DB: db, Node: "a"})
		defer run(a)()
		time.Sleep(time.Second)
		var once sync.Once
		slow := &stopped{DB: db, stop: func(context.Context) { once.Do(func() { time.Sleep(leader.DefaultTTL + 500*time.Millisecond) }) }}
		b := leader.New(leader.Config{DB: slow, Node: "b"})
		defer run(b)()
		for range 300 {
			time.Sleep(100 * time.Millisecond)
			if leads(b) {
				t.Fatal("a node took the lock of one that is there")
			}
		}
	})
}

// TestSlowAnswer: a node that learns late that it holds the lock believes it only as
// long as one that learnt at once.
func TestSlowAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := memkv.New(memkv.Config{Seed: 10})
		slow := &stopped{DB: db, stop: func(context.Context) {}, after: func() { time.Sleep(leader.DefaultTTL + 6*time.Second) }}
		a := leader.New(leader.Config{DB: slow, Node: "a"})
		defer run(a)()
		synctest.Wait()
		b := leader.New(leader.Config{DB: db, Node: "b"})
		defer run(b)()
		for range 600 {
			time.Sleep(100 * time.Millisecond)
			if leads(a) && leads(b) {
				t.Fatal("two lead")
			}
		}
	})
}

// TestStoppedHolder: a holder that was stopped in the middle of its work, for longer
// than its lock lives, believes nothing when it goes on, and writes nothing.
func TestStoppedHolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := memkv.New(memkv.Config{Seed: 5})
		stop := make(chan struct{})
		var halt atomic.Bool
		view := &stopped{DB: db, stop: func(context.Context) {
			if halt.CompareAndSwap(true, false) {
				<-stop
			}
		}}
		a := leader.New(leader.Config{DB: view, Node: "a"})
		stopA := run(a)
		time.Sleep(time.Minute)
		fence, ok := a.Fence()
		if !ok {
			t.Fatal("it does not lead")
		}
		if err := check(t, db, a, fence); err != nil {
			t.Fatal(err)
		}
		halt.Store(true)
		time.Sleep(6 * time.Second)
		b := leader.New(leader.Config{DB: db, Node: "b"})
		defer run(b)()
		time.Sleep(time.Minute)
		if !leads(b) {
			t.Fatal("nobody followed")
		}
		// It believes nothing though it has not asked the store again, and what it was
		// about to write with its token is not written.
		if leads(a) {
			t.Error("it believes that it leads")
		}
		written := false
		_, err := db.Update(t.Context(), func(tx kv.Txn) error {
			if err := a.Check(tx, fence); err != nil {
				return err
			}
			written = true
			return tx.Put(kv.K("sys", "job"), []byte{1})
		})
		if e := errs.As(err); written || e == nil || e.Kind != errs.Conflict || e.Code != leader.CodeLost {
			t.Errorf("its write: %v", err)
		}
		close(stop) // its renewal goes on, too late
		synctest.Wait()
		time.Sleep(time.Minute)
		if leads(a) || !leads(b) {
			t.Error("the lock moved back")
		}
		stopA() // what it does not hold it does not give up
		time.Sleep(time.Minute)
		if !leads(b) {
			t.Error("the old holder gave up another's lock")
		}
	})
}

// TestUnknownOutcome: a node that cannot tell whether it took or renewed the lock does
// not believe that it did.
func TestUnknownOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := faulty.New(memkv.New(memkv.Config{Seed: 6}), faulty.Fault{Op: faulty.Update, Nth: 1, When: faulty.AfterCommit})
		l := leader.New(leader.Config{DB: db, Node: "a", Logger: slog.New(slog.DiscardHandler)})
		defer run(l)()
		synctest.Wait()
		if leads(l) {
			t.Error("it believes a commit of which it does not know")
		}
		time.Sleep(2 * leader.DefaultTTL)
		if fence, ok := l.Fence(); !ok || fence != 2 {
			t.Errorf("token %d, %t", fence, ok)
		}
		db.Set(faulty.Fault{Op: faulty.Update, When: faulty.AfterCommit})
		time.Sleep(leader.DefaultTTL)
		if leads(l) {
			t.Error("it believes renewals of which it does not know")
		}
		db.Set()
		time.Sleep(leader.DefaultTTL / 2)
		if fence, ok := l.Fence(); !ok || fence != 2 {
			t.Errorf("then token %d, %t", fence, ok)
		}
	})
}

// TestDifferentTTL: who waits less than the holder lives waits as long as it does.
func TestDifferentTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := memkv.New(memkv.Config{Seed: 7})
		defer run(leader.New(leader.Config{DB: db, Node: "a", TTL: 2 * time.Minute}))()
		time.Sleep(time.Second)
		b := leader.New(leader.Config{DB: db, Node: "b", TTL: 3 * time.Second})
		defer run(b)()
		for range 600 {
			time.Sleep(time.Second)
			if leads(b) {
				t.Fatal("the lock moved")
			}
		}
	})
}

func recordOf(t *testing.T, db kv.DB) (out []byte) {
	t.Helper()
	err := db.View(t.Context(), func(r kv.Reader) error {
		b, err := r.Get(kv.K("sys", "leader"))
		out = bytes.Clone(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestClocksThatDiffer: nothing of a clock is in the record, so it is the same byte for
// byte whatever the time is, and a clock that is set alters nothing.
func TestClocksThatDiffer(t *testing.T) {
	var records [][]byte
	for _, later := range []time.Duration{0, 24 * time.Hour, 50 * 365 * 24 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(later)
			db := memkv.New(memkv.Config{Seed: 8})
			defer run(leader.New(leader.Config{DB: db, Node: "a"}))()
			time.Sleep(time.Minute + time.Second)
			records = append(records, recordOf(t, db))
		})
	}
	for i, r := range records {
		if !bytes.Equal(r, records[0]) {
			t.Errorf("record %d is %x, the first %x", i, r, records[0])
		}
	}
}

// TestClockSetBack: a node whose clock is a month behind that of the holder before it
// waits for as long as any other.
func TestClockSetBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	var fence uint64
	for _, alone := range []bool{true, false, true} {
		synctest.Test(t, func(t *testing.T) {
			if fence == 0 {
				time.Sleep(30 * 24 * time.Hour)
			}
			db, err := boltkv.Open(boltkv.Config{Path: path})
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			broken := faulty.New(db) // so that the lock is not given up
			l := leader.New(leader.Config{DB: broken, Alone: alone})
			defer run(l)()
			defer broken.Set(faulty.Fault{Op: faulty.Update})
			synctest.Wait()
			if leads(l) != alone {
				t.Errorf("at once: %t", leads(l))
			}
			time.Sleep(2 * leader.DefaultTTL)
			now, ok := l.Fence()
			if !ok || now <= fence {
				t.Errorf("the token went from %d to %d, %t", fence, now, ok)
			}
			fence = now
		})
	}
}

// TestManyNodes stops, cuts off, kills and starts nodes at random. At no time do two
// believe that they lead; each token has one holder; and what is written under one is
// never followed by what is written under an older one.
func TestManyNodes(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { manyNodes(t, seed) })
		})
	}
}

func manyNodes(t *testing.T, seed uint64) {
	db := memkv.New(memkv.Config{Seed: seed})
	var mu sync.Mutex // of r and of what follows
	r := rand.New(rand.NewPCG(seed, 1))
	upTo := func(d time.Duration) time.Duration {
		mu.Lock()
		defer mu.Unlock()
		return time.Duration(r.Int64N(int64(d)))
	}
	var locks []*leader.Lock
	holder := map[uint64]string{}
	refused, wrote := 0, 0
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup

	node := func(name string) {
		for ctx.Err() == nil {
			pause := func() {
				switch d := upTo(100 * time.Second); {
				case d < 2*time.Second:
					time.Sleep(10 * d) // up to twenty seconds: no deadline ends it
				case d < 20*time.Second:
					time.Sleep(d / 10)
				}
			}
			view := &stopped{DB: db, stop: func(context.Context) { pause() }, after: pause}
			l := leader.New(leader.Config{DB: faulty.New(view, faulty.Fault{Op: faulty.Update, Nth: 3 + int(upTo(40)), When: faulty.AfterCommit}),
				Node: name, Logger: slog.New(slog.DiscardHandler)})
			mu.Lock()
			locks = append(locks, l)
			mu.Unlock()
			life, die := context.WithTimeout(ctx, time.Minute+upTo(10*time.Minute))
			var work sync.WaitGroup
			work.Go(func() { l.Run(life) })
			work.Go(func() { // a job, which may be stopped between its decision and its write
				for life.Err() == nil {
					time.Sleep(time.Second)
					fence, ok := l.Fence()
					if !ok {
						continue
					}
					if d := upTo(100 * time.Second); d < 5*time.Second {
						time.Sleep(10 * d)
					}
					_, err := db.Update(context.Background(), func(tx kv.Txn) error {
						if err := l.Check(tx, fence); err != nil {
							return err
						}
						last, _, err := record.Get[uint64](tx, kv.K("sys", "job"))
						if err != nil {
							return err
						}
						if last > fence {
							return errors.New("an older token after a newer one")
						}
						return record.Put(tx, kv.K("sys", "job"), fence)
					})
					mu.Lock()
					switch {
					case errs.Is(err, errs.Conflict):
						refused++
					case err != nil:
						t.Errorf("token %d: %v", fence, err)
					case holder[fence] != "" && holder[fence] != name:
						t.Errorf("token %d is of %s and of %s", fence, holder[fence], name)
					default:
						holder[fence], wrote = name, wrote+1
					}
					mu.Unlock()
				}
			})
			work.Wait()
			die()
			time.Sleep(upTo(time.Minute))
		}
	}
	for i := range 3 {
		all.Go(func() { node(fmt.Sprint("node", i)) })
	}
	leaderless := 0
	for range 4 * 3600 { // an hour
		time.Sleep(250 * time.Millisecond)
		var believe []string
		mu.Lock()
		for _, l := range locks {
			if leads(l) {
				believe = append(believe, l.Node)
			}
		}
		mu.Unlock()
		if len(believe) > 1 {
			t.Fatalf("%v believe that they lead", believe)
		}
		if len(believe) == 0 {
			leaderless++
		}
	}
	cancel()
	all.Wait()
	if wrote < 600 || refused == 0 || leaderless > 4*3600/2 || len(holder) < 5 {
		t.Errorf("%d writes, %d refused, %d tokens, %d of 14400 moments without a leader", wrote, refused, len(holder), leaderless)
	}
}

// TestRules: the check of a store knows the record, and what is none.
func TestRules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := memkv.New(memkv.Config{Seed: 9})
		defer run(leader.New(leader.Config{DB: db, Node: "a"}))()
		synctest.Wait()
		rules := leader.Rules()
		key := kv.K("sys", "leader")
		if len(rules) != 1 || rules[0].Kind != "leader" {
			t.Fatalf("rules %v", rules)
		}
		if _, _, err := key.Parts(rules[0].Shape); err != nil {
			t.Error(err)
		}
		if err := rules[0].Decode(key, recordOf(t, db)); err != nil {
			t.Error(err)
		}
		if err := rules[0].Decode(key, []byte("x")); err == nil {
			t.Error("anything is a record")
		}
	})
}
