package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"countersign/internal/core/authn"
)

// Names of figures.
const (
	bareGet     = "bare net/http, 300 bytes"
	readHot     = "GetSecretValue, signed, one hot secret"
	readSpread  = "GetSecretValue, signed, 10000 secrets"
	readToken   = "native read, token, 10000 secrets"
	pacedBare   = "bare net/http, at half of its own capacity"
	pacedSame   = "bare net/http, at half of the capacity for signed reads"
	pacedSigned = "GetSecretValue, signed, 10000 secrets, at half of capacity"
	pacedToken  = "native read, token, 10000 secrets, at half of capacity"
	putSpread   = "PutSecretValue, signed, 10000 secrets"
	rawCommit   = "engine alone, group commit of as many keys"
	startUp     = "start to the first answer"
	memoryIdle  = "resident memory, idle"
)

// spread is how many secrets "many" are.
const spread = 10_000

// warm is how long a load runs before it counts.
const warm = 100 * time.Millisecond

var connections = [...]int{1, 16, 64} // never changed

// bench is what a run needs.
type bench struct {
	o      options
	cores  cores
	self   string
	store  *store
	addr   string
	report Report

	requests requests
	hot      []byte
	signed   [][]byte
	tokens   [][]byte
}

func prepare(ctx context.Context, o options, dir string) (*bench, error) {
	b := &bench{o: o, report: Report{Machine: machine(), Time: time.Now().UTC().Truncate(time.Second), Secrets: o.secrets}}
	var err error
	if b.self, err = os.Executable(); err != nil {
		return nil, fmt.Errorf("looking for this program: %w", err)
	}
	if b.addr, err = freeAddr(); err != nil {
		return nil, err
	}
	fmt.Fprintf(os.Stderr, "making a store with %d secrets\n", o.secrets)
	if b.store, err = makeStore(ctx, dir, b.addr, withSecrets(ctx, o.secrets)); err != nil {
		return nil, err
	}
	if b.cores, err = pin(); err != nil { // not before: making the store may use all cores
		return nil, err
	}
	key := b.store.key
	b.requests = requests{addr: b.addr, token: authn.Token(key.ID, string(key.Secret.Reveal())), signer: v4.NewSigner(), puts: &atomic.Uint64{},
		credentials: aws.Credentials{AccessKeyID: key.ID, SecretAccessKey: string(key.Secret.Reveal())}}
	return b, b.sign()
}

// sign prepares the reads. A signature is good for fifteen minutes.
func (b *bench) sign() (err error) {
	if b.signed, err = b.requests.signedReads(spread); err != nil {
		return err
	}
	b.hot = b.signed[spread/2]
	b.tokens = make([][]byte, spread)
	for i := range b.tokens {
		b.tokens[i] = b.requests.bearer(i)
	}
	return nil
}

func (b *bench) serve() (*process, error) { return b.serveStore(b.store) }

func (b *bench) serveStore(s *store) (*process, error) {
	command := []string{b.o.server, "server", "--config", s.configFile}
	if b.o.profile != "" || b.o.server == "" {
		command = []string{b.self, "child", "server", s.configFile, b.o.profile}
	}
	p, err := b.cores.spawn(command[0], command[1:]...)
	if err == nil {
		p.addr = b.addr
	}
	return p, err
}

func (b *bench) measure(ctx context.Context) error {
	known := false
	for _, step := range []struct {
		says string
		do   func(context.Context) error
	}{
		{"starting", b.starts},
		{"reading", b.reads},
		{"writing", b.writes},
		{"reviewing", b.reviews},
		{"speaking Vault's protocol", b.vault},
		{"keeping tokens", b.manyTokens},
		{"rotating", b.rotations},
	} {
		if word, _, _ := strings.Cut(step.says, " "); b.o.only != "" && b.o.only != word {
			continue
		}
		known = true
		fmt.Fprintln(os.Stderr, step.says)
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.says, err)
		}
	}
	if !known {
		return fmt.Errorf("-only %q: there is no such part", b.o.only)
	}
	return nil
}

// starts measures how long a start takes while the files are in the page cache,
// and what the server then holds in memory.
func (b *bench) starts(ctx context.Context) error {
	s, err := b.started(ctx, b.store, b.hot, b.signed[:100])
	if err != nil {
		return err
	}
	b.value(startUp, median(s.took), "ms", "files in the page cache; the first answer is a signed GetSecretValue")
	b.value(memoryIdle, median(s.all), "MB", "VmRSS after a start and 100 reads; this is what the budget counts")
	b.value("of it the process's own", median(s.anon), "MB", "RssAnon")
	b.value("of it pages of files", median(s.file), "MB", "RssFile: the program and the store, which the kernel can take back")
	return nil
}

// starting is what several starts showed: milliseconds to the first answer, and
// then MB of memory.
type starting struct{ took, all, anon, file []float64 }

// started starts a server several times, and sends it requests each time.
func (b *bench) started(ctx context.Context, s *store, first []byte, then [][]byte) (out starting, err error) {
	for range b.o.rounds {
		begin := time.Now()
		p, err := b.serveStore(s)
		if err != nil {
			return out, err
		}
		limit, cancel := context.WithTimeout(ctx, 30*time.Second)
		d, err := p.answers(limit, begin, first)
		cancel()
		if err != nil {
			_ = p.stop()
			return out, err
		}
		one, err := dial(b.addr, 1)
		if err != nil {
			return out, err
		}
		for _, r := range then {
			if err := one.exchange(r); err != nil {
				return out, err
			}
		}
		one.close()
		time.Sleep(1500 * time.Millisecond) // idle: signed, synced, anchored
		m, err := p.memory()
		if err != nil {
			return out, err
		}
		if err := p.stop(); err != nil {
			return out, err
		}
		out.took = append(out.took, d.Seconds()*1000)
		out.all, out.anon, out.file = append(out.all, mb(m.all)), append(out.anon, mb(m.anon)), append(out.file, mb(m.file))
	}
	return out, nil
}

func mb(n int64) float64 { return float64(n) / (1 << 20) }

func (b *bench) value(name string, v float64, unit, note string) {
	b.report.Figures = append(b.report.Figures, Figure{Name: name, Value: v, Unit: unit, Note: note})
}

// load is one thing to measure: a source of requests for a process.
type load struct {
	name string
	p    *process
	next source
	runs []Figure
}

// take measures one turn of a load.
func (l *load) take(conns int, d time.Duration) (Figure, error) {
	pool, err := dial(l.p.addr, conns)
	if err != nil {
		return Figure{}, err
	}
	defer pool.close()
	if _, err := pool.closed(warm, l.next); err != nil {
		return Figure{}, fmt.Errorf("%s: %w", l.name, err)
	}
	before, err := l.p.cpu()
	if err != nil {
		return Figure{}, err
	}
	o, err := pool.closed(d, l.next)
	if err != nil {
		return Figure{}, fmt.Errorf("%s: %w", l.name, err)
	}
	after, err := l.p.cpu()
	return o.figure(l.name, conns, after-before), err
}

func (o outcome) figure(name string, conns int, cpu time.Duration) Figure {
	return Figure{Name: name, Connections: conns, Requests: o.rate(), P50: micros(o.percentile(0.5)), P99: micros(o.percentile(0.99)),
		CPU: micros(cpu) / float64(o.requests)}
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// reads measures the bare server and reads, taking turns.
func (b *bench) reads(ctx context.Context) error {
	bareAddr, err := freeAddr()
	if err != nil {
		return err
	}
	bare, err := b.cores.spawn(b.self, "child", "bare", bareAddr)
	if err != nil {
		return err
	}
	defer bare.stop()
	bare.addr = bareAddr
	p, err := b.serve()
	if err != nil {
		return err
	}
	defer p.stop()
	for server, first := range map[*process][]byte{bare: plain(bareAddr), p: b.hot} {
		if _, err := server.answers(ctx, time.Now(), first); err != nil {
			return err
		}
	}
	// Every secret once, so that the pages of the store are mapped.
	all := load{name: readSpread, p: p, next: each(b.signed)}
	if _, err := all.take(16, 2*time.Second); err != nil {
		return err
	}
	for _, conns := range connections {
		loads := []*load{
			{name: bareGet, p: bare, next: same(plain(bareAddr))},
			{name: readHot, p: p, next: same(b.hot)},
			{name: readSpread, p: p, next: among(b.signed)},
			{name: readToken, p: p, next: among(b.tokens)},
		}
		if err := b.turns(conns, loads); err != nil {
			return err
		}
		for _, l := range loads {
			b.report.Figures = append(b.report.Figures, middle(l.runs))
		}
	}
	return b.paced([]pacedLoad{
		{pacedBare, bareGet, bare, same(plain(bareAddr))},
		{pacedSame, readSpread, bare, same(plain(bareAddr))},
		{pacedSigned, readSpread, p, among(b.signed)},
		{pacedToken, readToken, p, among(b.tokens)},
	})
}

// turns measures loads one after the other, several times. The first is the bare
// server's, in relation to which the others stand.
func (b *bench) turns(conns int, loads []*load) error {
	for range b.o.rounds {
		for _, l := range loads {
			f, err := l.take(conns, b.o.each)
			if err != nil {
				return err
			}
			if l != loads[0] {
				base := loads[0].runs
				f.Ratio = f.CPU / base[len(base)-1].CPU
			}
			l.runs = append(l.runs, f)
		}
	}
	return nil
}

// pacedLoad is a load at half of what 16 connections got through with another.
type pacedLoad struct {
	name, capacity string
	p              *process
	next           source
}

// paced measures latency at half of what 16 connections got through, taking
// turns. The first load is the bare server's: as busy as the others, it shows
// what the machine has of their latency.
func (b *bench) paced(loads []pacedLoad) error {
	runs := make([][]Figure, len(loads))
	ofBare := make([][]float64, len(loads))
	for range b.o.rounds {
		for i, l := range loads {
			pool, err := dial(l.p.addr, 16)
			if err != nil {
				return err
			}
			o, err := pool.paced(3*b.o.each, b.report.find(l.capacity, 16).Requests/2, l.next) // longer than the second between two syncs
			pool.close()
			if err != nil {
				return fmt.Errorf("%s: %w", l.name, err)
			}
			f := o.figure(l.name, 16, 0)
			runs[i] = append(runs[i], f)
			ofBare[i] = append(ofBare[i], f.P99/runs[0][len(runs[0])-1].P99)
		}
	}
	for i, r := range runs {
		b.report.Figures = append(b.report.Figures, middle(r))
		if loads[i].p != loads[0].p {
			b.value("p99: "+loads[i].name, median(ofBare[i]), "x bare", "in relation to "+pacedBare+", in the same turns")
		}
	}
	return nil
}

// writes measures durable writes and the engine alone, taking turns.
func (b *bench) writes(ctx context.Context) error {
	copied := filepath.Join(b.store.dir, "raw.db")
	if err := copyFile(copied, filepath.Join(b.store.dir, "data", "store.db")); err != nil {
		return err
	}
	raw, err := b.startRaw(copied)
	if err != nil {
		return err
	}
	defer raw.stop()
	p, err := b.serve()
	if err != nil {
		return err
	}
	defer p.stop()
	if _, err := p.answers(ctx, time.Now(), b.hot); err != nil {
		return err
	}
	for _, conns := range connections {
		put := &load{name: putSpread, p: p, next: b.requests.writes(spread)}
		var alone []Figure
		for range b.o.rounds {
			r, err := raw.take(conns, b.o.each)
			if err != nil {
				return err
			}
			f, err := put.take(conns, b.o.each)
			if err != nil {
				return err
			}
			f.OfRaw = f.Requests / r.Requests
			alone, put.runs = append(alone, r), append(put.runs, f)
		}
		b.report.Figures = append(b.report.Figures, middle(alone), middle(put.runs))
	}
	b.value("keys that a PutSecretValue writes", float64(len(b.store.puts)), "keys", "the engine alone writes as many, of the same size")
	return nil
}

// rawEngine is the child "raw".
type rawEngine struct {
	p       *process
	jobs    io.Closer
	encode  *json.Encoder
	results *bufio.Reader
	job     rawJob
}

func (b *bench) startRaw(path string) (*rawEngine, error) {
	r := &rawEngine{job: rawJob{Secrets: spread}}
	for _, w := range b.store.puts {
		r.job.Shape = append(r.job.Shape, rawWrite{w.key, w.size})
	}
	in, jobs, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("making a pipe: %w", err)
	}
	results, out, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("making a pipe: %w", err)
	}
	r.jobs, r.encode, r.results = jobs, json.NewEncoder(jobs), bufio.NewReader(results)
	r.p, err = b.cores.spawnPiped(in, out, b.self, "child", "raw", path)
	_, _ = in.Close(), out.Close() // the child has its own
	return r, err
}

func (r *rawEngine) stop() error { return errors.Join(r.jobs.Close(), r.p.stop()) }

func (r *rawEngine) take(writers int, d time.Duration) (Figure, error) {
	r.job.Writers, r.job.For = writers, d
	before, err := r.p.cpu()
	if err != nil {
		return Figure{}, err
	}
	if err := r.encode.Encode(r.job); err != nil {
		return Figure{}, fmt.Errorf("%s: %w", rawCommit, err)
	}
	line, err := r.results.ReadBytes('\n')
	if err != nil {
		return Figure{}, fmt.Errorf("%s: %w: %s", rawCommit, err, r.p.stderr.String())
	}
	var res rawResult
	if err := json.Unmarshal(line, &res); err != nil {
		return Figure{}, fmt.Errorf("%s: %w", rawCommit, err)
	}
	after, err := r.p.cpu()
	return Figure{Name: rawCommit, Connections: writers, Requests: float64(res.Commits) / res.Elapsed.Seconds(),
		CPU: micros(after-before) / float64(max(res.Commits, 1))}, err
}

// middle is the median of each number of several turns.
func middle(runs []Figure) Figure {
	pick := func(of func(Figure) float64) float64 {
		all := make([]float64, len(runs))
		for i, r := range runs {
			all[i] = of(r)
		}
		return median(all)
	}
	f := runs[0]
	f.Requests = pick(func(f Figure) float64 { return f.Requests })
	f.P50 = pick(func(f Figure) float64 { return f.P50 })
	f.P99 = pick(func(f Figure) float64 { return f.P99 })
	f.CPU = pick(func(f Figure) float64 { return f.CPU })
	f.Ratio = pick(func(f Figure) float64 { return f.Ratio })
	f.OfRaw = pick(func(f Figure) float64 { return f.OfRaw })
	return f
}

func median(v []float64) float64 {
	slices.Sort(v)
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

// profile runs the server inside this program, under one load.
func (b *bench) profile(ctx context.Context) error {
	next := map[string]source{"signed": among(b.signed), "token": among(b.tokens), "puts": b.requests.writes(spread)}[b.o.load]
	if next == nil {
		return fmt.Errorf("-load: %q is not signed, token or puts", b.o.load)
	}
	p, err := b.serve()
	if err != nil {
		return err
	}
	if _, err := p.answers(ctx, time.Now(), b.hot); err != nil {
		return errors.Join(err, p.stop())
	}
	l := &load{name: b.o.load, p: p, next: next}
	f, err := l.take(b.o.conns, 10*time.Second)
	if err != nil {
		return errors.Join(err, p.stop())
	}
	fmt.Printf("%s: %.0f requests/s, %.1f us of CPU each\n", f.Name, f.Requests, f.CPU)
	return p.stop()
}

func copyFile(to, from string) error {
	src, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("copying the store: %w", err)
	}
	defer src.Close()
	dst, err := os.Create(to)
	if err != nil {
		return fmt.Errorf("copying the store: %w", err)
	}
	_, err = io.Copy(dst, src)
	if cerr := dst.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("copying the store: %w", err)
	}
	return nil
}
