package token

import (
	"math/rand/v2"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/core/record"
)

// A record reads itself as it is decoded, whatever is in it.
func TestRecordReadsItself(t *testing.T) {
	full := stored{Principal: "p", Of: 1 << 50, Kind: KindBatch, Accessor: "a", Created: 2, Expires: 3, TTL: 4, On: onToken, OnID: []byte{0, 1, 255}, Depth: 5,
		Granted: []string{"g", "h"}, Narrowed: []string{"n"}, IsNarrowed: true, Display: "d", Path: "x/y", Meta: map[string]string{"k": "v", "l": ""},
		MaxTTL: 6, Explicit: 7, Period: 8, Fixed: true, Uses: 9, Spent: true, CIDRs: []string{"10.0.0.0/8"}, Role: "r", Queue: true, Renewed: 10, Alone: true, Entries: 11, Link: "l"}
	v := reflect.ValueOf(full)
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Errorf("%s is not tried", v.Type().Field(i).Name)
		}
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for n := range 2000 {
		one := full
		if n > 0 { // leave out some of it
			w := reflect.ValueOf(&one).Elem()
			for i := range w.NumField() {
				if rnd.IntN(2) == 0 {
					w.Field(i).SetZero()
				}
			}
		}
		b, err := record.Encode(one)
		if err != nil {
			t.Fatal(err)
		}
		var direct, decoded stored
		if err := record.Parse(b, &direct); err != nil {
			t.Fatal(err)
		}
		if err := record.Decode(b, &decoded); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(decoded, direct); d != "" {
			t.Fatal(d)
		}
	}
}

// A token reads back as it was spelled, and nothing else does.
func FuzzParse(f *testing.F) {
	for _, kind := range []Kind{KindService, KindBatch, kindWrapping} {
		s, err := spell(kind, "012345678901", make([]byte, secretLen))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(s))
	}
	f.Add("cvs.")
	f.Add("cvb.AAAAAAA=")
	f.Fuzz(func(t *testing.T, s string) {
		p, ok := parse(s)
		if !ok {
			return
		}
		if !IsToken(s) || len(p.account) != 12 {
			t.Fatalf("%q parses as %+v", s, p)
		}
		rest := p.sealed
		if p.kind != KindBatch {
			rest = make([]byte, secretLen)
		}
		again, err := spell(p.kind, p.account, rest)
		if err != nil {
			t.Fatal(err)
		}
		if p.kind == KindBatch && string(again) != s || p.kind != KindBatch && (len(again) != len(s) || string(again[:10]) != s[:10]) {
			t.Errorf("%q is also spelled %q", s, again)
		}
	})
}

func TestGlob(t *testing.T) {
	for _, x := range []struct {
		pattern, s string
		want       bool
	}{
		{"a", "a", true}, {"a", "ab", false}, {"*", "", true}, {"a*", "a", true}, {"a*", "ba", false}, {"*a", "ba", true}, {"*a", "ab", false},
		{"a*c", "abc", true}, {"a*c", "ac", true}, {"a*c", "acb", false}, {"a*b*c", "axbyc", true}, {"a*b*c", "axc", false}, {"ab*ba", "aba", false}, {"**", "x", true},
	} {
		if got := glob(x.pattern, x.s); got != x.want {
			t.Errorf("%q on %q: %v", x.pattern, x.s, got)
		}
	}
}

func TestPoliciesAreSpelledOnce(t *testing.T) {
	seen := map[string]string{}
	lists := [][]string{nil, {}, {"a"}, {"a", "b"}, {"ab"}, {"b"}}
	for i, g := range lists {
		for j, n := range lists {
			if i == 1 {
				continue // granted is never empty and not nil at once
			}
			key, what := spellPolicies(g, n), strings.Join(g, " ")+"|"+map[bool]string{true: "nil", false: strings.Join(n, " ")}[n == nil]
			if other, ok := seen[key]; ok {
				t.Errorf("%q is the key of %q and %q (%d)", key, other, what, j)
			}
			seen[key] = what
		}
	}
}

// A range that cannot be read lets nobody in.
func TestPrefixes(t *testing.T) {
	if fits(prefixes([]string{"rubbish"}), netip.MustParseAddr("127.0.0.1")) {
		t.Error("let in")
	}
	if !fits(nil, netip.Addr{}) {
		t.Error("not let in where nothing is bound")
	}
}

// The time of a token never goes beyond a limit, and is what was asked for where
// no limit is near.
func TestLasts(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	s := New(Config{MaxTTL: 100 * time.Hour, DefaultTTL: 10 * time.Hour})
	some := func() time.Duration { return time.Duration(rnd.IntN(3)*rnd.IntN(150)) * time.Hour }
	created := time.Unix(1_000_000, 0)
	for range 20000 {
		l, asked, now := limits{some(), some(), some(), some()}, some(), created.Add(some())
		ttl, warnings, err := s.lasts(l, asked, created, now)
		most := s.maxTTL
		if l.max > 0 {
			most = min(most, l.max)
		}
		if l.explicit > 0 {
			most = min(most, l.explicit)
		}
		end := created.Add(most)
		if l.period > 0 {
			end = now.Add(s.maxTTL)
			if x := created.Add(l.explicit); l.explicit > 0 && x.Before(end) {
				end = x
			}
		}
		if (err != nil) != !now.Before(end) {
			t.Fatalf("%+v asked %s at %s: %v", l, asked, now.Sub(created), err)
		}
		if err != nil {
			continue
		}
		want := asked
		switch {
		case l.period > 0:
			want = l.period
		case want == 0 && l.ttl > 0:
			want = l.ttl
		case want == 0:
			want = s.defaultTTL
		}
		if ttl > end.Sub(now) || ttl <= 0 || ttl != min(want, end.Sub(now)) {
			t.Fatalf("%+v asked %s at %s: %s, until %s", l, asked, now.Sub(created), ttl, end.Sub(now))
		}
		if capped := ttl < want; l.period == 0 && capped != (len(warnings) > 0) {
			t.Fatalf("%+v asked %s: %s, warnings %q", l, asked, ttl, warnings)
		}
	}
}
