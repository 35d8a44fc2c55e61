package vault

import (
	"fmt"
	"strings"
	"testing"

	"countersign/internal/core/coretest"
)

const ignoredWarning = "Endpoint ignored these unrecognized parameters: "

// TestIgnoredParameters: what nobody reads is named where the answer has a body, and
// only its name.
func TestIgnoredParameters(t *testing.T) {
	s := newServer(t, coretest.Config{})
	s.enable(t, "approle")
	s.want(t, 204, "POST", "auth/approle/role/r", `{"token_ttl":60}`)
	s.want(t, 204, "POST", "sys/mounts/transit", `{"type":"transit"}`)
	s.want(t, 200, "POST", "transit/keys/k", `{}`)
	many := &strings.Builder{}
	for n := range 50 {
		fmt.Fprintf(many, `,"x%02d":1`, n)
	}
	for _, x := range []struct{ path, body, want string }{
		{"auth/token/create", `{"polices":["default"],"ttl":"1h","metadata":{"a":"hunter2"}}`, "[metadata polices]"},
		{"auth/token/create-orphan", `{"policy":"default"}`, "[policy]"},
		{"auth/approle/role/r/secret-id", `{"cidrs":"10.0.0.0/8"}`, "[cidrs]"},
		{"secret/data/a", `{"data":{"k":"v"},"cas":0}`, "[cas]"},
		{"transit/encrypt/k", `{"plaintext":"aGk=","plain_text":"aHVudGVyMg=="}`, "[plain_text]"},
		{"transit/sign/k", `{"input":"aGk=","marshalling_algorithm":"jws"}`, ""}, // a refusal: this key does not sign
		{"secret/data/a", `{"data":{"k":"v"}` + many.String() + `}`, "[x00 x01 x02 x03 x04 x05 x06 x07 x08 x09 x10 x11 x12 x13 x14 x15 x16 x17 x18 x19]"},
		{"secret/data/a", `{"data":{"k":"v"},"` + strings.Repeat("n", 100) + `":1}`, "[" + strings.Repeat("n", 40) + "]"},
		{"secret/data/a", `{"data":{"k":"v"},"options":{}}`, ""},
	} {
		w := s.do(t, s.root, "POST", x.path, x.body)
		_, after, warned := strings.Cut(w.Body.String(), ignoredWarning)
		if got, _, _ := strings.Cut(after, `"`); got != x.want || warned != (x.want != "") {
			t.Errorf("%s %s: %d %s", x.path, x.body, w.Code, w.Body)
		}
		if strings.Contains(w.Body.String(), "hunter2") || strings.Contains(after, "aHVudGVyMg") {
			t.Errorf("%s: a value is in %s", x.path, w.Body)
		}
	}
	// Behind a wrapping token too.
	wrapped := s.want(t, 200, "POST", "auth/token/create", `{"polices":["default"]}`, "X-Vault-Wrap-TTL: 60s")
	token := at(t, wrapped, "wrap_info.token").(string)
	w := s.do(t, token, "POST", "sys/wrapping/unwrap", "")
	if !strings.Contains(w.Body.String(), ignoredWarning+"[polices]") {
		t.Errorf("unwrapped: %d %s", w.Code, w.Body)
	}
}
