package robustness

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"countersign/internal/config"
	"countersign/internal/core/audit"
	"countersign/internal/kv"
	"countersign/internal/kv/boltkv"
	product "countersign/internal/server"
)

// sample is a store after a short life, stopped.
func sample(t *testing.T) *store {
	t.Helper()
	s := newStore(t, t.TempDir(), "audit: {segment_size: 4KiB}")
	for life := range 2 {
		p := s.start(t)
		for n := range 4 {
			name := fmt.Sprintf("tamper/%d-%d", life, n)
			must(t)(p.aws("CreateSecret", map[string]any{"Name": name, "ClientRequestToken": version(0), "SecretString": value(n)}))
			must(t)(p.native(http.MethodPut, "/secret/value?name="+name, map[string]any{"value": value(n + 1)}))
			must(t)(p.aws("GetSecretValue", map[string]any{"SecretId": name}))
		}
		if code := p.stop(t); code != 0 {
			t.Fatalf("the server ended with %d", code)
		}
	}
	s.mustFsck(t)
	s.mustVerify(t)
	return s
}

// TestTamperedLog edits the files of an audit log in every place. The verifier
// has the public key from elsewhere, and nothing else.
func TestTamperedLog(t *testing.T) {
	s := sample(t)
	trusted := filepath.Join(s.dir, "trusted.pub")
	pub := read(t, filepath.Join(s.audit(), "audit.pub"))
	write(t, trusted, pub)
	keys, err := audit.ParsePublicKeys(pub)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(s.audit(), "*.log"))
	if err != nil || len(files) < 2 {
		t.Fatalf("the log has %d segments, so one cannot be taken away; %v", len(files), err)
	}
	files = append(files, filepath.Join(s.audit(), "HEAD"))
	tries, byCommand := 0, 0
	found := func(what string) {
		t.Helper()
		tries++
		rep, err := audit.Verify(t.Context(), s.audit(), keys, audit.Options{})
		if err == nil && rep.OK() {
			t.Errorf("%s was not found", what)
		}
		if tries%500 == 1 { // the command says the same
			byCommand++
			if _, _, code := command(t, "audit", "verify", s.audit(), "--key", trusted); code != 7 {
				t.Errorf("%s: audit verify ended with %d", what, code)
			}
		}
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for _, path := range files {
		whole := read(t, path)
		name := filepath.Base(path)
		for i := range whole {
			edited := bytes.Clone(whole)
			edited[i] ^= 1 << rng.IntN(8)
			write(t, path, edited)
			found(fmt.Sprintf("a flip of byte %d of %s", i, name))
		}
		lines := bytes.SplitAfter(whole, []byte("\n"))
		lines = lines[:len(lines)-1]
		for i := range lines {
			write(t, path, join(lines[:i], lines[i+1:]))
			found(fmt.Sprintf("line %d cut from %s", i+1, name))
			write(t, path, join(lines[:i+1], lines[i:]))
			found(fmt.Sprintf("line %d of %s twice", i+1, name))
			write(t, path, join(lines[:i]))
			found(fmt.Sprintf("%s cut before line %d", name, i+1))
			if i > 0 {
				write(t, path, join(lines[:i-1], lines[i:i+1], lines[i-1:i], lines[i+1:]))
				found(fmt.Sprintf("lines %d and %d of %s exchanged", i, i+1, name))
			}
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if name != "HEAD" { // without it less is known, and the signatures hold the rest
			found(name + " taken away")
		}
		write(t, path, whole)
	}
	t.Logf("%d edits, %d of them shown to the command", tries, byCommand)
	s.mustVerify(t)
}

func join(parts ...[][]byte) []byte {
	var out []byte
	for _, p := range parts {
		out = append(out, bytes.Join(p, nil)...)
	}
	return out
}

// TestTamperedStore edits the store's file. Either the check finds it, or
// nothing that can be read has changed.
func TestTamperedStore(t *testing.T) {
	s := sample(t)
	path := filepath.Join(s.data(), "store.db")
	cfg, err := config.Load(s.config)
	if err != nil {
		t.Fatal(err)
	}
	whole := read(t, path)
	want, err := dump(t, path)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(5, 6))
	tries, found, harmless := 0, 0, 0
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	put := func(i int, b byte) {
		t.Helper()
		if _, err := f.WriteAt([]byte{b}, int64(i)); err != nil {
			t.Fatal(err)
		}
	}
	last := 0
	for _, i := range places(rng, whole, 2000) {
		put(last, whole[last])
		put(i, whole[i]^1<<rng.IntN(8))
		last = i
		tries++
		rep, err := product.Fsck(t.Context(), cfg)
		if err != nil || len(rep.Problems) > 0 {
			found++
			if found%100 == 1 {
				if _, _, code := command(t, "fsck", "--config", s.config); code == 0 {
					t.Errorf("a flip of byte %d was found, and the command did not say so", i)
				}
			}
			continue
		}
		harmless++
		if got, err := dump(t, path); err != nil || !maps.Equal(got, want) {
			t.Errorf("a flip of byte %d of the store was not found, and what is read is different: %v", i, err)
		}
	}
	t.Logf("%d flips in %d bytes: %d found, %d in bytes that nobody reads", tries, len(whole), found, harmless)
	if found == 0 {
		t.Error("no flip was found")
	}
	write(t, path, whole)
	s.mustFsck(t)
}

// TestTamperedStoreNotServed starts the server on stores that the check finds
// damaged: it answers no request with a value that was not stored.
func TestTamperedStoreNotServed(t *testing.T) {
	s := sample(t)
	path := filepath.Join(s.data(), "store.db")
	whole := read(t, path)
	rng := rand.New(rand.NewPCG(7, 8))
	refused := 0
	for range 25 {
		edited := bytes.Clone(whole)
		for _, i := range places(rng, whole, 8) {
			edited[i] ^= 1 << rng.IntN(8)
		}
		write(t, path, edited)
		p := s.spawn(t)
		select {
		case <-p.ended:
			refused++
			if code := p.cmd.ProcessState.ExitCode(); code <= 0 || strings.Contains(p.log.String(), "goroutine ") {
				t.Errorf("on a damaged store the server ended with %d: %s", code, p.log)
			}
			continue
		case <-p.log.ready:
		}
		p.url = "http://" + p.log.address
		for n := range 4 {
			got, a, err := p.value(fmt.Sprintf("tamper/0-%d", n), n%2 == 0)
			if err != nil {
				t.Errorf("the server answered nothing: %v: %s", err, p.log)
			} else if a.status == http.StatusOK && got != value(n+1) {
				t.Errorf("the server answered with another value: %q", got)
			}
		}
		p.kill()
	}
	t.Logf("of 25 damaged stores %d were refused at the start", refused)
}

// places draws n places in a file, nine of ten where something is written: most
// of a store's file is empty.
func places(rng *rand.Rand, file []byte, n int) []int {
	var used []int
	for i, b := range file {
		if b != 0 {
			used = append(used, i)
		}
	}
	out := make([]int, n)
	for i := range out {
		if out[i] = used[rng.IntN(len(used))]; i%10 == 0 {
			out[i] = rng.IntN(len(file))
		}
	}
	return out
}

// dump reads every pair of a store's file as the engine shows it.
func dump(t *testing.T, path string) (map[string]string, error) {
	t.Helper()
	db, err := boltkv.Open(boltkv.Config{Path: path, ReadOnly: true})
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	err = db.View(t.Context(), func(r kv.Reader) error {
		for p, err := range r.Scan(kv.Range{}) {
			if err != nil {
				return err
			}
			out[string(p.Key)] = string(p.Value)
		}
		return nil
	})
	if cerr := db.Close(); err == nil {
		err = cerr
	}
	return out, err
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, fs.FileMode(0o600)); err != nil {
		t.Fatal(err)
	}
}
