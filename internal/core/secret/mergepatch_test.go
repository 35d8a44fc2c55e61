package secret_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"countersign/internal/core/secret"
)

// naivePatch is the algorithm of RFC 7396, section 2.
func naivePatch(target, patch any) any {
	p, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	t, ok := target.(map[string]any)
	if !ok {
		t = map[string]any{}
	}
	for k, v := range p {
		if v == nil {
			delete(t, k)
		} else {
			t[k] = naivePatch(t[k], v)
		}
	}
	return t
}

// FuzzMergePatch: what comes out is JSON, and what the algorithm says.
func FuzzMergePatch(f *testing.F) {
	f.Add([]byte(`{"a":{"b":1.50,"c":null},"d":[null]}`), []byte(`{"a":{"b":null,"e":{"f":null}},"d":"<"}`))
	f.Add([]byte(`{"a":1}`), []byte(`{"a":{"b":{"c":null}},"x":null}`))
	f.Add([]byte(`{}`), []byte(` { } `))
	f.Fuzz(func(t *testing.T, target, patch []byte) {
		out, ok := secret.MergePatch(target, patch)
		if !ok {
			return
		}
		var is, by, got any
		if json.Unmarshal(target, &is) != nil || json.Unmarshal(patch, &by) != nil {
			t.Fatalf("%q patched by %q: taken, and no JSON", target, patch)
		}
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatalf("%q patched by %q is %q: %v", target, patch, out, err)
		}
		if want := naivePatch(is, by); !reflect.DeepEqual(got, want) {
			t.Fatalf("%q patched by %q is %q, want %v", target, patch, out, want)
		}
	})
}
