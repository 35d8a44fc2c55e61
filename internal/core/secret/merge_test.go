package secret

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMerge(t *testing.T) {
	for _, x := range []struct {
		name                    string
		base, current, proposed string
		want                    string // merged, or keys at odds in brackets
	}{
		{"nothing", `{}`, `{}`, `{}`, `{}`},
		{"ours-alone", `{"a":1}`, `{"a":1}`, `{"a":2}`, `{"a":2}`},
		{"theirs-alone", `{"a":1}`, `{"a":2}`, `{"a":1}`, `{"a":2}`},
		{"both-alike", `{"a":1}`, `{"a":2}`, `{"a":2}`, `{"a":2}`},
		{"both-added-alike", `{}`, `{"a":2}`, `{"a":2}`, `{"a":2}`},
		{"both-removed", `{"a":1,"b":1}`, `{"b":1}`, `{"b":1}`, `{"b":1}`},
		{"added-and-removed", `{"a":1}`, `{}`, `{"a":1,"b":2}`, `{"b":2}`},
		{"order-is-theirs", `{"a":1,"b":2}`, `{"b":2,"c":3,"a":1}`, `{"z":9,"a":1,"b":2}`, `{"b":2,"c":3,"a":1,"z":9}`},
		{"space-is-no-change", `{"a":[1, 2]}`, `{"a": [1,2]}`, `{"a":3}`, `{"a":3}`},
		{"number-is-kept-as-written", `{"a":1}`, `{"a":1}`, `{"a":9007199254740993,"b":1.50,"c":1e400}`, `{"a":9007199254740993,"b":1.50,"c":1e400}`},
		{"number-in-another-spelling-is-a-change", `{"a":1.0}`, `{"a":1.00}`, `{"a":2}`, `("a")`},
		{"unicode", `{"ü":"é"}`, `{"ü":"é"}`, `{"ü":"\u00e9","日本":"<&>"}`, `{"ü":"\u00e9","日本":"<&>"}`},
		{"escaped-key-is-the-same-key", `{"a":1}`, `{"\u0061":1}`, `{"a":2}`, `{"a":2}`},
		{"html-in-key", `{}`, `{"<&>":1}`, `{}`, `{"<&>":1}`},
		{"nested-is-one-value", `{"a":{"x":1,"y":1}}`, `{"a":{"x":2,"y":1}}`, `{"a":{"x":1,"y":2}}`, `("a")`},
		{"null-is-a-value", `{"a":1}`, `{"a":1}`, `{"a":null}`, `{"a":null}`},
		{"null-is-not-absence", `{"a":null}`, `{}`, `{"a":1}`, `("a")`},
		{"conflict", `{"a":1}`, `{"a":2}`, `{"a":3}`, `("a")`},
		{"changed-and-removed", `{"a":1}`, `{"a":2}`, `{}`, `("a")`},
		{"removed-and-changed", `{"a":1}`, `{}`, `{"a":2}`, `("a")`},
		{"added-differently", `{}`, `{"b":2,"a":2}`, `{"a":3,"b":4}`, `("a", "b")`},
		{"duplicate-key", `{"a":1,"a":2}`, `{"a":2}`, `{"a":2}`, `()`},
		{"array", `[1]`, `[1]`, `[2]`, `()`},
		{"text", `{}`, `plain`, `{}`, `()`},
		{"two-values", `{}`, `{} {}`, `{}`, `()`},
		{"trailing", `{}`, `{}x`, `{}`, `()`},
		{"trailing-bracket", `{}`, `{}}`, `{}`, `()`},
		{"cut", `{}`, `{"a":`, `{}`, `()`},
		{"not-utf8", `{}`, "{\"a\":\"\xff\"}", `{}`, `()`},
		{"deep", `{}`, `{"a":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}`, `{}`, `()`},
		{"half-a-pair-in-a-key", `{}`, `{"\ud800":1}`, `{}`, `()`},
		{"half-a-pair-in-a-value", `{"a":1}`, `{"a":"\ud800"}`, `{"a":1,"b":2}`, `{"a":"\ud800","b":2}`},
		{"too-many-keys", `{}`, manyKeys(maxKeys + 1), `{}`, `()`},
	} {
		t.Run(x.name, func(t *testing.T) {
			merged, keys, ok := mergeValues([]byte(x.base), []byte(x.current), []byte(x.proposed))
			got := string(merged)
			if !ok {
				got = "(" + quoteKeys(keys) + ")"
			}
			if got != x.want {
				t.Errorf("got %s, want %s", got, x.want)
			}
		})
	}
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"k%d":%d`, i, i)
	}
	return "{" + b.String()[1:] + "}"
}

// edits makes a random change to some keys of an object.
func edits(rng *rand.Rand, base map[string]json.RawMessage, keys []string) []byte {
	out := map[string]json.RawMessage{}
	for k, v := range base {
		out[k] = v
	}
	for _, k := range keys {
		switch rng.IntN(3) {
		case 0:
			delete(out, k)
		default:
			out[k] = json.RawMessage(fmt.Sprint(rng.IntN(1000)))
		}
	}
	b, _ := json.Marshal(out)
	return b
}

func TestMergeOfDisjointEditsCommutes(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		base := map[string]json.RawMessage{}
		var left, right []string
		for i := range 1 + rng.IntN(8) {
			k := fmt.Sprint("k", i)
			if rng.IntN(3) > 0 {
				base[k] = json.RawMessage(fmt.Sprint(rng.IntN(1000)))
			}
			if rng.IntN(2) == 0 {
				left = append(left, k)
			} else {
				right = append(right, k)
			}
		}
		b, _ := json.Marshal(base)
		l, r := edits(rng, base, left), edits(rng, base, right)
		lr, keys, ok := mergeValues(b, l, r)
		if !ok {
			t.Fatalf("%s: %s and %s are at odds over %q", b, l, r, keys)
		}
		rl, _, ok := mergeValues(b, r, l)
		if !ok {
			t.Fatalf("%s: %s and %s merge one way only", b, l, r)
		}
		var one, other map[string]json.RawMessage
		if json.Unmarshal(lr, &one) != nil || json.Unmarshal(rl, &other) != nil {
			t.Fatalf("no JSON: %s, %s", lr, rl)
		}
		if diff := cmp.Diff(one, other); diff != "" {
			t.Fatalf("%s, %s, %s: %s", b, l, r, diff)
		}
		var want map[string]json.RawMessage
		_ = json.Unmarshal(l, &want)
		var from map[string]json.RawMessage
		_ = json.Unmarshal(r, &from)
		for _, k := range right {
			delete(want, k)
			if v, ok := from[k]; ok {
				want[k] = v
			}
		}
		if diff := cmp.Diff(want, one); diff != "" {
			t.Fatalf("%s, %s, %s: %s", b, l, r, diff)
		}
	}
}

func FuzzMerge(f *testing.F) {
	f.Add([]byte(`{"a":1}`), []byte(`{"a":1,"b":"ü"}`), []byte(`{"a":1e400,"<":null}`))
	f.Add([]byte(`{}`), []byte(`{"\u0061":[1, {"x":{}}]}`), []byte("{\"a\u2028\":\"\\ud800\"}"))
	f.Fuzz(func(t *testing.T, base, current, proposed []byte) {
		if got, _, ok := mergeValues(base, base, proposed); ok && !sameObject(t, got, proposed) {
			t.Errorf("nothing changed meanwhile, yet %q merged to %q", proposed, got)
		}
		if got, _, ok := mergeValues(base, current, base); ok && !sameObject(t, got, current) {
			t.Errorf("nothing proposed, yet %q merged to %q", current, got)
		}
		merged, keys, ok := mergeValues(base, current, proposed)
		if _, readable := object(merged); ok && !readable {
			t.Errorf("merged to %q, which is no object", merged)
		}
		if ok && len(keys) > 0 {
			t.Error("keys at odds, and yet merged")
		}
	})
}

// sameObject compares two objects key by key, whatever their order.
func sameObject(t *testing.T, a, b []byte) bool {
	ma, okA := object(a)
	mb, okB := object(b)
	if !okA || !okB {
		t.Fatalf("%q or %q is no object", a, b)
	}
	ia, ib := index(ma), index(mb)
	for k, v := range ia {
		if !bytes.Equal(compact(v), compact(ib[k])) {
			return false
		}
	}
	return len(ia) == len(ib)
}

// mergeValues merges with whole values in the place of fingerprints.
func mergeValues(base, current, proposed []byte) ([]byte, []string, bool) {
	b, ok := object(base)
	if !ok {
		return nil, nil, false
	}
	print := printer(func(v json.RawMessage) []byte { return compact(v) })
	was := map[string][]byte{}
	for _, m := range b {
		was[m.key] = print(m.value)
	}
	return print.merge(was, current, proposed)
}
