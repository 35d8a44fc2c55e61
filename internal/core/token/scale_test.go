package token_test

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"countersign/internal/core/coretest"
	"countersign/internal/core/gate"
	"countersign/internal/core/token"
	"countersign/internal/keyring"
	"countersign/internal/kv"
	"countersign/internal/kv/boltkv"
	"countersign/internal/kv/sealed"
	"countersign/internal/seal/keyfile"
)

// fill makes many tokens of a user, several in a transaction and transactions at
// once, and returns one in a hundred of them.
func fill(w *world, user string, many int) (some []string) {
	const atOnce, workers = 25, 64
	of := w.of(coretest.Home, user)
	var mu sync.Mutex
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for range many / atOnce / workers {
				fresh := make([]*token.Fresh, atOnce)
				for i := range fresh {
					var err error
					fresh[i], err = w.Tokens.Draw(token.Spec{Account: coretest.Home, Principal: user, Of: of, Path: "auth/approle/login", Display: "approle",
						Meta: map[string]string{"role_name": "ci"}, Granted: []string{"ci-read"}, TTL: time.Hour}, time.Now())
					if err != nil {
						w.t.Error(err)
						return
					}
				}
				_, err := w.DB.Update(context.Background(), func(tx kv.Txn) error {
					for _, f := range fresh {
						if err := f.Put(tx); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					w.t.Error(err)
					return
				}
				mu.Lock()
				some = append(some, text(fresh[0].Issued()))
				mu.Unlock()
			}
		})
	}
	group.Wait()
	return some
}

// reopen opens a copy of a store, as a server does when it starts, and returns the
// tokens in it and when it began.
func reopen(tb testing.TB, w *world) (*token.Service, time.Time) {
	tb.Helper()
	dir := tb.TempDir()
	path := filepath.Join(dir, "store.db")
	b, err := os.ReadFile(filepath.Join(w.Dir, "store.db"))
	w.ok(err)
	w.ok(os.WriteFile(path, b, 0o600))
	b = nil
	runtime.GC()
	start := time.Now()
	engine, err := boltkv.Open(boltkv.Config{Path: path})
	w.ok(err)
	tb.Cleanup(func() { engine.Close() })
	seal, err := keyfile.New(keyfile.Config{Path: filepath.Join(w.Dir, "root.key")})
	w.ok(err)
	ring, err := keyring.Open(context.Background(), engine, seal, keyring.Config{})
	w.ok(err)
	db := sealed.New(engine, ring)
	s := token.New(token.Config{Gate: &gate.Gate{DB: db, Auth: w.Gate.Auth, Log: w.Log}, Vault: ring})
	return s, start
}

// However many tokens there are, a server that starts reads none of them, keeps
// none in memory, and knows each at once.
func TestManyTokens(t *testing.T) {
	if testing.Short() {
		t.Skip("it writes 20,000 tokens")
	}
	m := measure(t, 20_000)
	if m.memory > 16<<20 || m.each > 5*time.Millisecond {
		t.Errorf("%+v", m)
	}
}

// BenchmarkManyTokens is the same with more, once, to be told of.
func BenchmarkManyTokens(b *testing.B) {
	for b.Loop() {
		m := measure(b, 100_000)
		b.ReportMetric(float64(m.bytes), "bytes/token")
		b.ReportMetric(float64(m.start.Microseconds()), "us/start")
		b.ReportMetric(float64(m.each.Nanoseconds()), "ns/unknown")
		b.ReportMetric(float64(m.memory), "bytes/server")
	}
}

type measured struct {
	bytes  int64         // of the file, a token
	start  time.Duration // until the first answer
	memory int64         // that the tokens take
	each   time.Duration // to know a token that was not used yet
}

func measure(tb testing.TB, n int) (m measured) {
	w := &world{coretest.New(tb, coretest.Config{Bolt: true}), tb}
	w.user("ci")
	before := w.size()
	some := fill(w, "ci", n)
	m.bytes = (w.size() - before) / int64(25*len(some))
	heap := allocated()
	s, start := reopen(tb, w)
	if _, err := s.Authenticate(tb.Context(), some[0], time.Now(), loopback); err != nil {
		tb.Fatal(err)
	}
	m.start = time.Since(start)
	w.ok(s.Due(tb.Context()))
	m.memory = max(0, allocated()-heap)
	start = time.Now()
	for _, tk := range some {
		if _, err := s.Authenticate(tb.Context(), tk, time.Now(), loopback); err != nil {
			tb.Fatal(err)
		}
	}
	m.each = time.Since(start) / time.Duration(len(some))
	runtime.KeepAlive(s)
	return m
}

// allocated is the memory in use.
func allocated() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func (w *world) size() int64 {
	w.t.Helper()
	fi, err := os.Stat(filepath.Join(w.Dir, "store.db"))
	w.ok(err)
	return fi.Size()
}

// The ways in which a token is proved: it is known and nothing was written since;
// something else was written; it is not known.
func BenchmarkAuthenticate(b *testing.B) {
	w := &world{coretest.New(b, coretest.Config{Bolt: true}), b}
	w.user("ci")
	top := w.login("ci")
	low := w.child(w.as(top))
	for name, tk := range map[string]string{"orphan": text(top), "child": text(low)} {
		b.Run(name+"/known", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := w.Tokens.Authenticate(context.Background(), tk, time.Now(), loopback); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/after-a-write", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				token.Doubt(w.Tokens, tk)
				if _, err := w.Tokens.Authenticate(context.Background(), tk, time.Now(), loopback); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/unknown", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				token.Forget(w.Tokens)
				if _, err := w.Tokens.Authenticate(context.Background(), tk, time.Now(), loopback); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
