package passphrase

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"countersign/internal/seal"
	"countersign/internal/seal/sealtest"
	"countersign/internal/sensitive"
)

// cheap is the least that the package allows.
var cheap = Costs{Time: MinTime, Memory: MinMemory, Threads: 2}

func asking(phrase string) func(context.Context) (sensitive.Bytes, error) {
	return func(context.Context) (sensitive.Bytes, error) { return sensitive.FromString(phrase), nil }
}

func open(t testing.TB, cfg Config) *Seal {
	t.Helper()
	if cfg.Costs == (Costs{}) {
		cfg.Costs = cheap
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return s
}

func TestContract(t *testing.T) {
	n := byte('a')
	sealtest.Run(t, sealtest.Config{Slow: true, New: func(t testing.TB) sealtest.Open {
		n++
		phrase := "correct horse " + string(n)
		return func() seal.Seal { return open(t, Config{Prompt: asking(phrase)}) }
	}})
}

func TestConfig(t *testing.T) {
	prompt := asking("x")
	tests := map[string]struct {
		cfg Config
		ok  bool
	}{
		"prompt":           {Config{Prompt: prompt}, true},
		"file":             {Config{File: "f"}, true},
		"env":              {Config{Env: "E"}, true},
		"none":             {Config{}, false},
		"two":              {Config{File: "f", Env: "E"}, false},
		"no-time":          {Config{Env: "E", Costs: Costs{Memory: MinMemory, Threads: 1}}, false},
		"low-memory":       {Config{Env: "E", Costs: Costs{Time: 3, Memory: MinMemory - 1, Threads: 1}}, false},
		"high-memory":      {Config{Env: "E", Costs: Costs{Time: 3, Memory: MaxMemory + 1, Threads: 1}}, false},
		"no-threads":       {Config{Env: "E", Costs: Costs{Time: 3, Memory: MinMemory}}, false},
		"many-threads":     {Config{Env: "E", Costs: Costs{Time: 3, Memory: MinMemory, Threads: 17}}, false},
		"too-much-in-all":  {Config{Env: "E", Costs: Costs{Time: 5, Memory: MaxMemory, Threads: 1}}, false},
		"much-but-bounded": {Config{Env: "E", Costs: Costs{Time: 4, Memory: MaxMemory, Threads: 1}}, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s, err := New(tt.cfg)
			if (err == nil) != tt.ok {
				t.Fatalf("New: %v, want ok %t", err, tt.ok)
			}
			if tt.ok && tt.cfg.Costs == (Costs{}) && s.cfg.Costs != (Costs{Time: 3, Memory: 65536, Threads: 4}) {
				t.Errorf("default costs are %+v", s.cfg.Costs)
			}
		})
	}
}

func TestSources(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	t.Setenv("TEST_PASSPHRASE", "correct horse")
	t.Setenv("TEST_EMPTY", "")
	broken := errors.New("no terminal")
	tests := map[string]struct {
		cfg  Config
		want error
	}{
		"env":            {Config{Env: "TEST_PASSPHRASE"}, nil},
		"env-empty":      {Config{Env: "TEST_EMPTY"}, seal.ErrSecret},
		"env-unset":      {Config{Env: "TEST_UNSET"}, seal.ErrSecret},
		"file":           {Config{File: file("plain", "correct horse", 0o600)}, nil},
		"file-line":      {Config{File: file("line", "correct horse\n", 0o400)}, nil},
		"file-crlf":      {Config{File: file("crlf", "correct horse\r\n", 0o600)}, nil},
		"file-two-lines": {Config{File: file("two", "correct horse\n\n", 0o600)}, seal.ErrOpen},
		"file-empty":     {Config{File: file("empty", "\n", 0o600)}, seal.ErrSecret},
		"file-open":      {Config{File: file("open", "correct horse", 0o644)}, seal.ErrSecret},
		"file-absent":    {Config{File: filepath.Join(dir, "absent")}, os.ErrNotExist},
		"file-large":     {Config{File: file("large", strings.Repeat("x", MaxLength+9), 0o600)}, seal.ErrSecret},
		"prompt":         {Config{Prompt: asking("correct horse")}, nil},
		"prompt-empty":   {Config{Prompt: asking("")}, seal.ErrSecret},
		"prompt-large":   {Config{Prompt: asking(strings.Repeat("x", MaxLength+1))}, seal.ErrSecret},
		"prompt-wrong":   {Config{Prompt: asking("battery staple")}, seal.ErrOpen},
		"prompt-broken": {Config{Prompt: func(context.Context) (sensitive.Bytes, error) {
			return sensitive.Bytes{}, broken
		}}, broken},
	}
	key := sensitive.FromString("the key")
	blob, err := open(t, Config{Prompt: asking("correct horse")}).Wrap(t.Context(), key, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := open(t, tt.cfg).Unwrap(t.Context(), blob, nil)
			if !errors.Is(err, tt.want) || (tt.want == nil && err != nil) {
				t.Fatalf("Unwrap: %v, want %v", err, tt.want)
			}
			if err == nil && !got.Equal(key) {
				t.Error("another key came back")
			}
			if err != nil && (strings.Contains(err.Error(), "horse") || strings.Contains(err.Error(), "staple")) {
				t.Errorf("the error holds the passphrase: %v", err)
			}
		})
	}
}

func TestWrapWithoutPassphrase(t *testing.T) {
	s := open(t, Config{Prompt: asking("")})
	if _, err := s.Wrap(t.Context(), sensitive.FromString("k"), nil); !errors.Is(err, seal.ErrSecret) {
		t.Errorf("Wrap: %v, want ErrSecret", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Wrap(ctx, sensitive.FromString("k"), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Wrap: %v, want Canceled", err)
	}
}

// A wrong answer is asked for again; a right one is not.
func TestAsksUntilProved(t *testing.T) {
	blob, err := open(t, Config{Prompt: asking("right")}).Wrap(t.Context(), sensitive.FromString("k"), nil)
	if err != nil {
		t.Fatal(err)
	}
	answers, asked := []string{"wrong", "right", "wrong"}, 0
	s := open(t, Config{Prompt: func(context.Context) (sensitive.Bytes, error) {
		asked++
		return sensitive.FromString(answers[asked-1]), nil
	}})
	for i, want := range []error{seal.ErrOpen, nil, nil} {
		if _, err := s.Unwrap(t.Context(), blob, nil); !errors.Is(err, want) {
			t.Errorf("try %d: %v, want %v", i, err, want)
		}
	}
	if asked != 2 {
		t.Errorf("asked %d times, want 2", asked)
	}
}

// Costs in a blob of a hostile disk are refused before they are spent, and
// before anybody is asked for anything.
func TestHostileCosts(t *testing.T) {
	s := open(t, Config{Prompt: func(context.Context) (sensitive.Bytes, error) {
		t.Error("asked for the passphrase")
		return sensitive.Bytes{}, errors.New("not reached")
	}})
	for name, c := range map[string]Costs{
		"memory":  {Time: 3, Memory: 1 << 31, Threads: 4},
		"time":    {Time: 1 << 31, Memory: MinMemory, Threads: 4},
		"product": {Time: MaxTime, Memory: MaxMemory, Threads: 4},
		"threads": {Time: 3, Memory: MinMemory, Threads: 255},
		"zero":    {},
	} {
		t.Run(name, func(t *testing.T) {
			blob := append(header(c, make([]byte, saltSize)), make([]byte, 60)...)
			if _, err := s.Unwrap(t.Context(), blob, nil); !errors.Is(err, seal.ErrFormat) {
				t.Errorf("Unwrap: %v, want ErrFormat", err)
			}
		})
	}
}

// The head of an accepted blob is its one spelling, and its costs are bounded.
func FuzzParse(f *testing.F) {
	f.Add(append(header(cheap, make([]byte, saltSize)), make([]byte, 60)...))
	f.Add([]byte{2})
	f.Fuzz(func(t *testing.T, blob []byte) {
		c, salt, err := parse(blob)
		if err != nil {
			if !errors.Is(err, seal.ErrFormat) {
				t.Fatalf("error %v, want ErrFormat", err)
			}
			return
		}
		if !bytes.Equal(header(c, salt), blob[:headerSize]) {
			t.Fatal("accepted another spelling")
		}
		if uint64(c.Time)*uint64(c.Memory) > MaxWork || c.Memory > MaxMemory || binary.BigEndian.Uint32(blob[1:]) == 0 {
			t.Fatalf("accepted costs %+v", c)
		}
	})
}

func BenchmarkUnwrapDefault(b *testing.B) {
	s, err := New(Config{Prompt: asking("correct horse")})
	if err != nil {
		b.Fatal(err)
	}
	blob, err := s.Wrap(b.Context(), sensitive.FromString("k"), nil)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := s.Unwrap(b.Context(), blob, nil); err != nil {
			b.Fatal(err)
		}
	}
}
