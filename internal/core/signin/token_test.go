package signin

import (
	"bytes"
	"context"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/errs"
	"countersign/internal/sensitive"
)

// FuzzSplit holds that a token that is read is the one spelling of its parts.
func FuzzSplit(f *testing.F) {
	f.Add(spell(accessPrefix, random(idLen), random(secretLen)))
	f.Add(spell(refreshPrefix, random(idLen), random(familyLen), random(secretLen)))
	f.Add([]byte("css_"))
	f.Add([]byte("csr_AAAA\n"))
	f.Fuzz(func(t *testing.T, token []byte) {
		for prefix, lengths := range map[string][]int{accessPrefix: {idLen, secretLen}, refreshPrefix: {idLen, familyLen, secretLen}, devicePrefix: {secretLen}, "": {idLen}} {
			parts, ok := split(token, prefix, lengths...)
			if ok && !bytes.Equal(spell(prefix, parts...), token) {
				t.Fatalf("%q is read as %q", token, spell(prefix, parts...))
			}
			for i, p := range parts {
				if len(p) != lengths[i] {
					t.Fatalf("%q: part %d has %d bytes", token, i, len(p))
				}
			}
		}
	})
}

func TestSourcesAreBounded(t *testing.T) {
	s := NewSources(1, time.Hour)
	now := time.Now()
	at := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}) }
	for i := range 3 * maxSources {
		if err := s.take(at(i), now); err != nil {
			t.Fatal(err)
		}
		if len(s.young)+len(s.old) > maxSources {
			t.Fatalf("%d addresses are kept", len(s.young)+len(s.old))
		}
	}
	if err := s.take(at(3*maxSources-1), now); !errs.Is(err, errs.Throttled) {
		t.Errorf("a second attempt: %v", err)
	}
	one, two := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2:1")
	if s.take(one, now) != nil || s.take(two, now) == nil {
		t.Error("addresses of one /64 count apart")
	}
	if s.take(netip.Addr{}, now) != nil || s.take(netip.Addr{}, now) == nil {
		t.Error("no address is not limited")
	}
}

func TestHashesAreFewAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHasher(Params{Memory: 64, Time: 1, Threads: 1}, 2)
		var running, most atomic.Int64
		h.count = func() {
			if n := running.Add(1); n > most.Load() {
				most.Store(n)
			}
			time.Sleep(time.Second) // fake time
			running.Add(-1)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 200)
		for range maxWaiting + 10 {
			go func() {
				_, err := h.check(ctx, sensitive.FromString("x"), nil)
				done <- err
			}()
		}
		synctest.Wait()
		cancel()
		busy, given := 0, 0
		for range maxWaiting + 10 {
			switch err := <-done; {
			case errs.Is(err, errs.Throttled):
				busy++
			case err != nil:
				given++
			}
		}
		if most.Load() > 2 || busy != 10 || given == 0 {
			t.Errorf("%d at once, %d refused, %d given up", most.Load(), busy, given)
		}
	})
}

func TestWait(t *testing.T) {
	for n, want := range map[int]time.Duration{1: 0, 4: 0, 5: time.Second, 6: 2 * time.Second, 15: longestWait, 1 << 40: longestWait} {
		if got := wait(n); got != want {
			t.Errorf("after %d: %s, want %s", n, got, want)
		}
	}
}
