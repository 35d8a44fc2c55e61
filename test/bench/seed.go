package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"countersign/internal/caller"
	"countersign/internal/config"
	"countersign/internal/core/audit"
	"countersign/internal/core/authn"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/secret"
	"countersign/internal/keyring"
	"countersign/internal/kv"
	"countersign/internal/kv/boltkv"
	"countersign/internal/kv/sealed"
	"countersign/internal/name"
	"countersign/internal/seal/keyfile"
	"countersign/internal/sensitive"
)

const (
	account = "111111111111"
	region  = "us-east-1"
)

// secretName is the name of the seeded secret with that number.
func secretName(i int) string { return fmt.Sprintf("/bench/service-%06d/credentials", i) }

// secretValue is about what an application keeps, so that the answer to a read
// is about as long as the 300 bytes of the bare server.
func secretValue(i int) string {
	return fmt.Sprintf(`{"username":"service-%06d","password":"kX9#%08x-benchmark"}`, i, i*2654435761)
}

// store is a data folder with its configuration file.
type store struct {
	dir, configFile string
	key             authn.NewKey
	puts            []write // what one PutSecretValue writes
}

// write is one pair of a transaction: its key, and how long the stored value is.
type write struct {
	key  []byte
	size int
}

// wired is the core over a store, as the server wires it, without a server.
type wired struct {
	key     authn.NewKey
	db      kv.DB
	spy     *spy
	ring    *keyring.Ring
	gate    *gate.Gate
	changes *change.Service
}

// makeStore makes a folder with a store in it, which fill writes into.
func makeStore(ctx context.Context, dir, addr string, fill func(*store, wired) error) (*store, error) {
	s := &store{dir: dir, configFile: filepath.Join(dir, "server.yaml")}
	text := fmt.Sprintf("listen: %q\ndata: %q\naccount: %q\nlog: {level: error}\nreviews: {per_second: 1000000, burst: 1000000}\n", addr, filepath.Join(dir, "data"), account)
	if err := os.WriteFile(s.configFile, []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("writing the configuration: %w", err)
	}
	cfg, err := config.Load(s.configFile)
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(cfg.Data, 0o700); err != nil {
		return nil, fmt.Errorf("making the data folder: %w", err)
	}
	return s, s.seed(ctx, cfg, fill)
}

// seed wires the core and has the store filled through it.
func (s *store) seed(ctx context.Context, cfg config.Config, fill func(*store, wired) error) (err error) {
	engine, err := boltkv.Open(boltkv.Config{Path: filepath.Join(cfg.Data, "store.db")})
	if err != nil {
		return err
	}
	spy := &spy{DB: engine}
	defer func() { err = errors.Join(err, engine.Close()) }()
	key, err := keyfile.New(keyfile.Config{Path: cfg.Seal.Keyfile})
	if err != nil {
		return err
	}
	ring, err := keyring.Open(ctx, engine, key, keyring.Config{})
	if err != nil {
		return err
	}
	for _, a := range []string{"sys", account} {
		if err := ring.EnsureAccount(ctx, a); err != nil {
			return err
		}
	}
	quiet := slog.New(slog.DiscardHandler)
	log, err := audit.Open(audit.Config{Dir: cfg.Audit.Dir, Key: ring.AuditKey(), Account: account, Logger: quiet})
	if err != nil {
		return err
	}
	db := sealed.New(spy, ring)
	relay := change.NewRelay(change.RelayConfig{DB: db, Log: log, Logger: quiet})
	if err := relay.Recover(ctx); err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	var jobs sync.WaitGroup
	jobs.Go(func() { relay.Run(running) })
	defer func() {
		stop()
		jobs.Wait()
		err = errors.Join(err, log.Close())
	}()
	auth := &authn.Authorizer{}
	g := &gate.Gate{DB: db, Auth: auth, Log: log}
	changes := change.New(change.Config{Gate: g, Relay: relay})
	s.key, err = authn.New(authn.Config{Gate: g, Changes: changes, Vault: ring, Home: account}, auth).Bootstrap(ctx)
	if err != nil {
		return err
	}
	return fill(s, wired{key: s.key, db: db, spy: spy, ring: ring, gate: g, changes: changes})
}

// withSecrets makes secrets.
func withSecrets(ctx context.Context, secrets int) func(*store, wired) error {
	return func(s *store, w wired) (err error) {
		service := secret.New(secret.Config{Gate: w.gate, Changes: w.changes, Vault: w.ring, Regions: []string{region}, Logger: slog.New(slog.DiscardHandler)})
		if err := createSecrets(ctx, service, secrets); err != nil {
			return err
		}
		s.puts, err = w.spy.shape(func() error {
			_, err := service.PutValue(ctx, seeder(), secret.PutRequest{ID: name.SecretID{Name: secretName(0)},
				VersionID: versionID(1 << 30), Value: secret.Input{Data: sensitive.FromString(secretValue(1))}})
			return err
		})
		return err
	}
}

func versionID(i int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", i) }

func seeder() caller.Caller {
	now := time.Now()
	who := caller.ForSystem(account, "bench", audit.NewID(now), now)
	who.Region = region
	return who
}

// createSecrets keeps many transactions under way, so that they share commits.
func createSecrets(ctx context.Context, service *secret.Service, n int) error {
	const writers = 256
	numbers := make(chan int)
	failed := make(chan error, writers)
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for i := range numbers {
				_, err := service.Create(ctx, seeder(), secret.CreateRequest{Name: secretName(i), VersionID: versionID(i),
					Value: &secret.Input{Data: sensitive.FromString(secretValue(i))}})
				if err != nil {
					failed <- fmt.Errorf("making secret %d: %w", i, err)
					return
				}
			}
		})
	}
	defer wg.Wait()
	defer close(numbers)
	for i := range n {
		select {
		case numbers <- i:
		case err := <-failed:
			return err
		}
	}
	return nil
}

// spy sees what reaches the engine.
type spy struct {
	kv.DB
	mu   sync.Mutex
	last []write // of the newest transaction that wrote a version
}

// shape returns what the transaction that f causes writes.
func (s *spy) shape(f func() error) ([]write, error) {
	if err := f(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last, nil
}

func (s *spy) Update(ctx context.Context, f func(kv.Txn) error) (kv.Revision, error) {
	return s.DB.Update(ctx, func(tx kv.Txn) error {
		t := &spied{Txn: tx}
		if err := f(t); err != nil {
			return err
		}
		for _, w := range t.writes {
			if bytes.Contains(w.key, []byte("version")) {
				s.mu.Lock()
				s.last = t.writes
				s.mu.Unlock()
				break
			}
		}
		return nil
	})
}

type spied struct {
	kv.Txn
	writes []write
}

func (t *spied) Put(key, value []byte) error {
	t.writes = append(t.writes, write{bytes.Clone(key), len(value)})
	return t.Txn.Put(key, value)
}
