package object_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/cli/object"
)

func TestGet(t *testing.T) {
	data := []byte(` {"user":"ad<m>in","port":5432, "big":123456789012345678901234567890,"nested":{"a": [1]},"none":null,"":"e"} `)
	tests := []struct {
		key, want string
		ok        bool
	}{
		{"user", "ad<m>in", true}, {"port", "5432", true}, {"big", "123456789012345678901234567890", true},
		{"nested", `{"a": [1]}`, true}, {"none", "null", true}, {"", "e", true}, {"User", "", false}, {"a", "", false},
	}
	for _, tt := range tests {
		t.Run("key-"+tt.key, func(t *testing.T) {
			got, ok, err := object.Get(data, tt.key)
			if err != nil || ok != tt.ok || string(got) != tt.want {
				t.Errorf("got %q, %v, %v; want %q, %v", got, ok, err, tt.want, tt.ok)
			}
		})
	}
}

func TestSet(t *testing.T) {
	tests := []struct {
		name, data, key, value, want string
	}{
		{"replace", `{"a":1,"b":"x","c":[1, 2]}`, "b", `q"<`, `{"a":1,"b":"q\"<","c":[1, 2]}`},
		{"append", `{"a":1.0}`, "b", "x", `{"a":1.0,"b":"x"}`},
		{"empty-object", `{}`, "b", "x", `{"b":"x"}`},
		{"nothing", ``, "b", "x", `{"b":"x"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := object.Set([]byte(tt.data), tt.key, []byte(tt.value))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, string(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	for name, data := range map[string]string{
		"text": "canary", "array": `["canary"]`, "twice": `{"a":"canary","a":2}`, "open": `{"a":"canary"`, "after": `{"a":"canary"}x`,
		"two": `{"a":"canary"}{}`, "null": "null", "string": `"canary"`, "comma": `{"a":"canary",}`,
	} {
		t.Run(name, func(t *testing.T) {
			_, _, errGet := object.Get([]byte(data), "b")
			_, errSet := object.Set([]byte(data), "b", []byte("x"))
			if errGet == nil || errSet == nil {
				t.Fatalf("%q: %v, %v; want refusals", data, errGet, errSet)
			}
			if strings.Contains(errors.Join(errGet, errSet).Error(), "canary") {
				t.Errorf("an error quotes the value: %v, %v", errGet, errSet)
			}
		})
	}
}

// FuzzSet holds that setting a key gives an object in which that key has the
// value and every other key what it had.
func FuzzSet(f *testing.F) {
	f.Add([]byte(`{"a":1,"b":"x"}`), "b", "y")
	f.Add([]byte(`{"a":{"a":1}, "c":1e400}`), "d", "\u2028<")
	f.Fuzz(func(t *testing.T, data []byte, key, value string) {
		if !utf8.ValidString(key) || !utf8.ValidString(value) || !utf8.Valid(data) {
			return
		}
		out, err := object.Set(data, key, []byte(value))
		if err != nil {
			return
		}
		got, ok, err := object.Get(out, key)
		if err != nil || !ok || string(got) != value {
			t.Fatalf("%q after setting %q: %q, %v, %v", out, key, got, ok, err)
		}
		var before, after map[string]json.RawMessage
		if len(data) > 0 && json.Unmarshal(data, &before) != nil || json.Unmarshal(out, &after) != nil {
			t.Fatalf("%q or %q is no object", data, out)
		}
		delete(before, key)
		delete(after, key)
		if !cmp.Equal(before, after, cmp.Comparer(func(a, b json.RawMessage) bool { return bytes.Equal(a, b) })) && len(before)+len(after) > 0 {
			t.Fatalf("other keys changed: %q to %q", data, out)
		}
	})
}
