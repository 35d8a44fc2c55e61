package vault

import (
	"encoding/json"
	"testing"

	"countersign/internal/core/secret"
	"countersign/internal/sensitive"
)

// Every value that another front can store is shown, and what is shown is stored
// as that value again.
func FuzzValueIsShownLosslessly(f *testing.F) {
	for _, s := range []string{`{"a":1}`, `hunter2`, `{"SecretString":"x"}`, `{"SecretBinary":"AA=="}`, `{"SecretString":1}`, `{}`, ` {"a": [1, 2]} `,
		`{"SecretString":"x","b":1}`, `{"SecretString":"{\"SecretString\":\"x\"}"}`, `{"SecretStrin\u0067":"x"}`, `[1]`, `"text"`, "<&>\u2028", `{"a":1}{"b":2}`, `{"SecretString":"x"`} {
		f.Add([]byte(s), false)
		f.Add([]byte(s), true)
	}
	f.Fuzz(func(t *testing.T, b []byte, binary bool) {
		if !binary && !json.Valid(append(appendValue(nil, string(b)), ' ')) {
			return
		}
		if !binary && string(b) != string([]rune(string(b))) {
			return // text that is not UTF-8 is stored as bytes
		}
		in := secret.Input{Data: sensitive.New(b), Binary: binary}
		shown := toData(in)
		if !json.Valid(shown) {
			t.Fatalf("%q is shown as %q", b, shown)
		}
		again, err := toInput(shown)
		if err != nil {
			t.Fatalf("%q, shown as %q: %v", b, shown, err)
		}
		if again.Binary != binary || !binary && !sameText(b, again.Data.Reveal()) || binary && string(again.Data.Reveal()) != string(b) {
			t.Errorf("%q became %q by way of %q", b, again.Data.Reveal(), shown)
		}
	})
}

// sameText is equality, but for the space between the parts of a JSON object.
func sameText(a, b []byte) bool {
	if string(a) == string(b) {
		return true
	}
	x, errX := toInput(a)
	y, errY := toInput(b)
	return errX == nil && errY == nil && isObject(a) && string(x.Data.Reveal()) == string(y.Data.Reveal())
}

func TestValues(t *testing.T) {
	for shown, stored := range map[string]struct {
		text   string
		binary bool
	}{
		`{"a": 1, "b":"<x>"}`:                              {`{"a":1,"b":"<x>"}`, false},
		`{"SecretString":"plain"}`:                         {`plain`, false},
		`{"SecretBinary":"AAE="}`:                          {"\x00\x01", true},
		`{"SecretString":"{\"SecretString\":\"nested\"}"}`: {`{"SecretString":"nested"}`, false},
		`{"SecretString":7}`:                               {`{"SecretString":7}`, false},
		`{"n":12345678901234567890.5}`:                     {`{"n":12345678901234567890.5}`, false},
	} {
		in, err := toInput(json.RawMessage(shown))
		if err != nil || string(in.Data.Reveal()) != stored.text || in.Binary != stored.binary {
			t.Errorf("%s is stored as %q (binary %v), %v", shown, in.Data.Reveal(), in.Binary, err)
		}
	}
	for _, bad := range []string{`[]`, `"x"`, `null`, `{"SecretBinary":"no base64!"}`, `{`} {
		if _, err := toInput(json.RawMessage(bad)); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}
