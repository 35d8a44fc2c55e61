package kv_test

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"countersign/internal/kv"
)

func TestParts(t *testing.T) {
	for _, x := range []struct {
		name  string
		key   kv.Key
		shape string
		strs  []string
		nums  []uint64
	}{
		{"strings", kv.K("a", "b"), "ss", []string{"a", "b"}, nil},
		{"empty-strings", kv.K("", ""), "ss", []string{"", ""}, nil},
		{"zero-bytes", kv.K("\x00", "a\x00\x01b", "\x00\xff"), "sss", []string{"\x00", "a\x00\x01b", "\x00\xff"}, nil},
		{"numbers-between", kv.K("a").Num(0).Str("b").Num(1<<64 - 1), "snsn", []string{"a", "b"}, []uint64{0, 1<<64 - 1}},
		{"nothing", nil, "", nil, nil},
	} {
		t.Run(x.name, func(t *testing.T) {
			strs, nums, err := x.key.Parts(x.shape)
			if err != nil || !slices.Equal(strs, x.strs) || !slices.Equal(nums, x.nums) {
				t.Errorf("parts %q and %d, error %v", strs, nums, err)
			}
		})
	}
}

func TestPartsOfAnotherShape(t *testing.T) {
	for _, x := range []struct {
		name  string
		key   kv.Key
		shape string
	}{
		{"longer", kv.K("a", "b"), "s"},
		{"shorter", kv.K("a"), "ss"},
		{"no-number", kv.K("a"), "sn"},
		{"cut-number", kv.K("a").Num(1)[:6], "sn"},
		{"cut-string", kv.K("a")[:2], "s"},
		{"bad-escape", kv.Key("a\x00\x02"), "s"},
		{"unknown-letter", kv.K("a"), "x"},
	} {
		t.Run(x.name, func(t *testing.T) {
			if _, _, err := x.key.Parts(x.shape); err == nil {
				t.Error("no error")
			}
		})
	}
}

func TestAfter(t *testing.T) {
	for _, x := range []struct{ prefix, want string }{
		{"", ""}, {"a", "b"}, {"a\xff", "b"}, {"a\xff\xff", "b"}, {"\xff", ""}, {"\xff\xfe\xff", "\xff\xff"}, {"a\x00", "a\x01"},
	} {
		if got := string(kv.After([]byte(x.prefix))); got != x.want {
			t.Errorf("after %q comes %q, want %q", x.prefix, got, x.want)
		}
	}
	p := []byte("ab")
	kv.After(p)
	if string(p) != "ab" {
		t.Error("After changed its argument")
	}
}

// tuple is three parts, of which the middle one is a number.
type tuple struct {
	a string
	n uint64
	b string
}

func (t tuple) key() kv.Key { return kv.K(t.a).Num(t.n).Str(t.b) }

func (t tuple) compare(u tuple) int {
	return cmp.Or(strings.Compare(t.a, u.a), cmp.Compare(t.n, u.n), strings.Compare(t.b, u.b))
}

// FuzzKey holds that keys sort as their tuples, read back, and that exactly the
// tuples that begin with others have them as prefix.
func FuzzKey(f *testing.F) {
	f.Add("a", uint64(1), "b", "a\x00", uint64(2), "b")
	f.Add("a\x00", uint64(1), "", "a\x00\xff", uint64(1), "\x00")
	f.Add("", uint64(255), "x", "", uint64(256), "x")
	f.Fuzz(func(t *testing.T, a string, n uint64, b, c string, m uint64, d string) {
		x, y := tuple{a, n, b}, tuple{c, m, d}
		if got, want := bytes.Compare(x.key(), y.key()), x.compare(y); got != want {
			t.Errorf("%+v and %+v compare as %d, their keys as %d", x, y, want, got)
		}
		strs, nums, err := x.key().Parts("sns")
		if err != nil {
			t.Fatalf("%+v: %v", x, err)
		}
		if d := gocmp.Diff(fmt.Sprint([]string{a, b}, n), fmt.Sprint(strs, nums[0])); d != "" {
			t.Errorf("%+v reads back otherwise: %s", x, d)
		}
		if got, want := bytes.HasPrefix(y.key(), kv.K(a)), a == c; got != want {
			t.Errorf("key of %+v begins with %q: %v, want %v", y, a, got, want)
		}
		r := kv.Prefix(kv.K(a))
		in := bytes.Compare(y.key(), r.Start) >= 0 && (len(r.End) == 0 || bytes.Compare(y.key(), r.End) < 0)
		if in != (a == c) {
			t.Errorf("key of %+v is in the range of %q: %v", y, a, in)
		}
	})
}

// FuzzParts reads strangers' bytes: what parses is what its parts make.
func FuzzParts(f *testing.F) {
	f.Add([]byte(kv.K("a", "b").Num(7)))
	f.Add([]byte("a\x00\x02"))
	f.Fuzz(func(t *testing.T, b []byte) {
		strs, nums, err := kv.Key(b).Parts("ssn")
		if err == nil && !bytes.Equal(kv.K(strs...).Num(nums[0]), b) {
			t.Errorf("%q parses, and its parts make %q", b, kv.K(strs...).Num(nums[0]))
		}
	})
}
