package main

import (
	"bufio"
	"bytes"
	"context"
	crand "crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/pprof"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"countersign/internal/config"
	"countersign/internal/core/audit"
	"countersign/internal/kv"
	"countersign/internal/kv/boltkv"
	"countersign/internal/server"
)

// child runs one of the programs that the benchmark starts itself as, so that
// they are processes of their own on the servers' core.
func child(ctx context.Context, args []string) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM)
	defer stop()
	switch {
	case len(args) == 2 && args[0] == "bare":
		return serveBare(ctx, args[1])
	case len(args) == 2 && args[0] == "raw":
		return commitRaw(ctx, args[1], os.Stdin, os.Stdout)
	case len(args) == 3 && args[0] == "server":
		return serveHere(ctx, args[1], args[2])
	}
	return fmt.Errorf("unknown child %q", args)
}

// serveBare is what everything is compared with: net/http, and 300 bytes of
// JSON.
func serveBare(ctx context.Context, addr string) error {
	body := append(bytes.Repeat([]byte("x"), 300-len(`{"a":""}`)), `"}`...)
	body = append([]byte(`{"a":"`), body...)
	s := &http.Server{Addr: addr, ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body)
	})}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	go func() {
		<-ctx.Done()
		_ = s.Close()
	}()
	if err := s.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// serveProfiled is the server as the binary runs it, under the profiler.
func serveHere(ctx context.Context, configFile, profile string) error {
	cfg, err := config.Load(configFile)
	if err != nil {
		return err
	}
	s, err := server.Open(ctx, cfg, server.Options{Version: "bench"})
	if err != nil {
		return err
	}
	if profile == "" {
		return s.Serve(ctx, nil)
	}
	f, err := os.Create(profile)
	if err != nil {
		return fmt.Errorf("making the profile: %w", err)
	}
	defer f.Close()
	if err := pprof.StartCPUProfile(f); err != nil {
		return fmt.Errorf("profiling: %w", err)
	}
	defer pprof.StopCPUProfile()
	return s.Serve(ctx, nil)
}

// rawJob is what the child "raw" reads on each line of standard input.
type rawJob struct {
	Writers int
	For     time.Duration
	Shape   []rawWrite // with the name of secret 0 in its keys
	Secrets int        // there are this many
}

type rawWrite struct {
	Key  []byte
	Size int
}

// rawResult answers a rawJob.
type rawResult struct {
	Commits int
	Elapsed time.Duration
}

// commitRaw commits to the engine alone what a PutSecretValue writes there, as
// many transactions at a time as there are connections.
func commitRaw(ctx context.Context, path string, in io.Reader, out io.Writer) error {
	db, err := boltkv.Open(boltkv.Config{Path: path})
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var job rawJob
		if err := json.Unmarshal(lines.Bytes(), &job); err != nil {
			return fmt.Errorf("reading a job: %w", err)
		}
		res, err := job.run(ctx, db)
		if err != nil {
			return err
		}
		if err := json.NewEncoder(out).Encode(res); err != nil {
			return fmt.Errorf("answering a job: %w", err)
		}
	}
	return errors.Join(lines.Err(), db.Close())
}

func (j rawJob) run(ctx context.Context, db *boltkv.DB) (rawResult, error) {
	begin := time.Now()
	var commits atomic.Int64
	var wg sync.WaitGroup
	failed := make([]error, j.Writers)
	for w := range j.Writers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(2, uint64(w)))
			for time.Since(begin) < j.For && failed[w] == nil {
				if failed[w] = j.commit(ctx, db, rng); failed[w] == nil {
					commits.Add(1)
				}
			}
		})
	}
	wg.Wait()
	return rawResult{int(commits.Load()), time.Since(begin)}, errors.Join(failed...)
}

func (j rawJob) commit(ctx context.Context, db *boltkv.DB, rng *rand.Rand) error {
	of := []byte(secretName(rng.IntN(j.Secrets)))
	id := audit.NewID(time.Now())
	keys := make([]kv.Key, len(j.Shape))
	values := make([][]byte, len(j.Shape))
	for i, w := range j.Shape {
		keys[i] = bytes.Replace(w.Key, []byte(secretName(0)), of, 1)
		if outbox := kv.K("sys", "outbox"); bytes.HasPrefix(w.Key, outbox) {
			keys[i] = kv.K("sys", "outbox", id)
		}
		values[i] = make([]byte, w.Size)
		_, _ = crand.Read(values[i])
	}
	_, err := db.Update(ctx, func(tx kv.Txn) error {
		for i, k := range keys {
			if err := tx.Put(k, values[i]); err != nil {
				return err
			}
		}
		return nil
	})
	return err
}
