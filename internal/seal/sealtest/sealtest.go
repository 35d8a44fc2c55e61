// Package sealtest is the suite that every seal passes.
//
// It holds a seal to the contract in package seal: what it wrapped opens again,
// also after a restart; what was changed, moved to other associated data, or
// wrapped by another secret does not open, and costs a bounded effort; and many
// goroutines may use it at once.
package sealtest

import (
	"bytes"
	"context"
	"errors"
	"regexp"
	"strings"
	"sync"
	"testing"

	"countersign/internal/seal"
	"countersign/internal/sensitive"
)

// Open returns a new instance of a seal over one fixed secret, as a restarted
// process would have it. The first instance may create the secret.
type Open func() seal.Seal

// Config says how to make the seal under test.
type Config struct {
	// New makes a secret that no other call made, and returns how to open a
	// seal over it.
	New func(t testing.TB) Open
	// Slow says that a call takes long by design (a key derivation, a network):
	// the suite then changes bytes of the blob at fewer places. The zero value
	// tries every byte.
	Slow bool
}

// Run runs the suite.
func Run(t *testing.T, cfg Config) {
	t.Run("kind", func(t *testing.T) { testKind(t, cfg) })
	t.Run("round-trip", func(t *testing.T) { testRoundTrip(t, cfg) })
	t.Run("sizes", func(t *testing.T) { testSizes(t, cfg) })
	t.Run("fresh-blobs", func(t *testing.T) { testFresh(t, cfg) })
	t.Run("tampered-blob", func(t *testing.T) { testTampered(t, cfg) })
	t.Run("wrong-aad", func(t *testing.T) { testWrongAAD(t, cfg) })
	t.Run("wrong-secret", func(t *testing.T) { testWrongSecret(t, cfg) })
	t.Run("concurrent", func(t *testing.T) { testConcurrent(t, cfg) })
}

var aad = []byte("countersign/sealtest/1")

func key(n int) sensitive.Bytes {
	return sensitive.New(bytes.Repeat([]byte{0xC5}, n))
}

func wrap(t testing.TB, s seal.Seal, k sensitive.Bytes, aad []byte) []byte {
	t.Helper()
	blob, err := s.Wrap(context.Background(), k, aad)
	if err != nil {
		t.Fatalf("Wrap: %v", err)
	}
	return blob
}

// refused checks that an Unwrap failed as the contract says, without the key.
func refused(t testing.TB, got sensitive.Bytes, err error) {
	t.Helper()
	if !errors.Is(err, seal.ErrOpen) && !errors.Is(err, seal.ErrFormat) {
		t.Errorf("Unwrap: error %v, want ErrOpen or ErrFormat", err)
	}
	if got.Len() != 0 {
		t.Error("Unwrap: returned bytes beside the error")
	}
	if err != nil && strings.Contains(err.Error(), string(key(4).Reveal())) {
		t.Error("Unwrap: the error holds bytes of the key")
	}
}

func testKind(t *testing.T, cfg Config) {
	open := cfg.New(t)
	kind := open().Kind()
	if !regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`).MatchString(kind) {
		t.Errorf("Kind() = %q, want lower case letters, digits and hyphens", kind)
	}
	if again := open().Kind(); again != kind {
		t.Errorf("Kind() = %q and then %q", kind, again)
	}
}

func testRoundTrip(t *testing.T, cfg Config) {
	open := cfg.New(t)
	want := key(32)
	blob := wrap(t, open(), want, aad)
	if len(blob) > seal.MaxBlob {
		t.Errorf("blob of %d bytes, at most %d", len(blob), seal.MaxBlob)
	}
	if bytes.Contains(blob, want.Reveal()) {
		t.Fatal("the blob holds the key")
	}
	before := bytes.Clone(blob)
	got, err := open().Unwrap(context.Background(), blob, aad)
	if err != nil {
		t.Fatalf("Unwrap after a restart: %v", err)
	}
	if !got.Equal(want) {
		t.Error("Unwrap returned another key")
	}
	if !bytes.Equal(blob, before) {
		t.Error("Unwrap changed the blob")
	}
	if got, err := open().Unwrap(context.Background(), wrap(t, open(), want, nil), nil); err != nil || !got.Equal(want) {
		t.Errorf("without associated data: %v", err)
	}
}

func testSizes(t *testing.T, cfg Config) {
	s := cfg.New(t)()
	for _, n := range []int{1, 16, seal.MaxKey} {
		got, err := s.Unwrap(context.Background(), wrap(t, s, key(n), aad), aad)
		if err != nil || !got.Equal(key(n)) {
			t.Errorf("key of %d bytes does not come back: %v", n, err)
		}
	}
	for _, n := range []int{0, seal.MaxKey + 1} {
		if _, err := s.Wrap(context.Background(), key(n), aad); err == nil {
			t.Errorf("Wrap took a key of %d bytes", n)
		}
	}
}

func testFresh(t *testing.T, cfg Config) {
	s := cfg.New(t)()
	if bytes.Equal(wrap(t, s, key(32), aad), wrap(t, s, key(32), aad)) {
		t.Error("two calls gave the same blob")
	}
}

func testTampered(t *testing.T, cfg Config) {
	s := cfg.New(t)()
	blob := wrap(t, s, key(32), aad)
	step := 1
	if cfg.Slow {
		step = max(1, len(blob)/8)
	}
	for i := 0; i < len(blob); i += step {
		bad := bytes.Clone(blob)
		bad[i] ^= 1 << (i % 8)
		got, err := s.Unwrap(context.Background(), bad, aad)
		refused(t, got, err)
	}
	for _, bad := range [][]byte{nil, {}, {0}, {0xff}, blob[:1], blob[:len(blob)-1], append(bytes.Clone(blob), 0),
		bytes.Repeat([]byte{0}, len(blob)), bytes.Repeat([]byte{1}, 2*seal.MaxBlob)} {
		got, err := s.Unwrap(context.Background(), bad, aad)
		refused(t, got, err)
	}
}

func testWrongAAD(t *testing.T, cfg Config) {
	s := cfg.New(t)()
	blob := wrap(t, s, key(32), aad)
	for _, other := range [][]byte{nil, []byte("x"), aad[:len(aad)-1], append(bytes.Clone(aad), 0)} {
		got, err := s.Unwrap(context.Background(), blob, other)
		refused(t, got, err)
	}
}

func testWrongSecret(t *testing.T, cfg Config) {
	mine, theirs := cfg.New(t)(), cfg.New(t)()
	wrap(t, theirs, key(32), aad) // has a secret now, should it have been created by use
	got, err := theirs.Unwrap(context.Background(), wrap(t, mine, key(32), aad), aad)
	refused(t, got, err)
}

func testConcurrent(t *testing.T, cfg Config) {
	open := cfg.New(t)
	shared := open()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			s := shared
			if i%2 == 0 {
				s = open() // a second process, at its first start as well
			}
			want := key(16 + i)
			blob, err := s.Wrap(context.Background(), want, aad)
			if err != nil {
				t.Errorf("Wrap: %v", err)
				return
			}
			if got, err := shared.Unwrap(context.Background(), blob, aad); err != nil || !got.Equal(want) {
				t.Errorf("Unwrap: %v", err)
			}
		})
	}
	wg.Wait()
}
