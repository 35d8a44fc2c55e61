package authn_test

import (
	"strings"
	"testing"

	"countersign/internal/core/authn"
	"countersign/internal/core/coretest"
)

func TestPersons(t *testing.T) {
	f := start(t, coretest.Config{})
	for name, person := range map[string]string{
		"space": "ann example", "led": " ann@example.com", "line": "ann\n", "nul": "\x00111111111111/bob", "umlaut": "änn@example.com",
		"other-at": "ann＠example.com", "kelvin": "\u212aelvin@example.com", "long": strings.Repeat("a", 255), "del": "a\x7f",
	} {
		t.Run(name, func(t *testing.T) {
			f.unchanged(func() {
				_, err := f.Authn.CreateUser(f.ctx, f.Admin, authn.CreateUserRequest{Name: "x", Person: person})
				f.expect(err, "invalid@Person")
				_, err = f.Authn.UpdateUser(f.ctx, f.Admin, authn.UpdateUserRequest{Name: authn.Admin, Person: &person})
				f.expect(err, "invalid@Person")
			})
		})
	}
	ann, key := f.User(t, "ann", "")
	if ann.Person != "" {
		t.Errorf("of nobody known: %q", ann.Person)
	}
	for _, tt := range []struct{ say, want string }{
		{"Ann@Example.COM", "ann@example.com"}, {strings.Repeat("a", 254), strings.Repeat("a", 254)}, {"", ""},
	} {
		u, err := f.Authn.UpdateUser(f.ctx, f.Admin, authn.UpdateUserRequest{Name: "ann", Person: &tt.say})
		f.must(err)
		if got := f.As(t, key).Person; u.Person != tt.want || got != tt.want {
			t.Errorf("%q: shown as %q, and the next request is of %q", tt.say, u.Person, got)
		}
	}
	// Who may tag a user may not say who is behind it.
	tagger, _ := f.User(t, "tagger", allow("iam:TagUser", "*"))
	self := "ann@example.com"
	_, err := f.Authn.UpdateUser(f.ctx, tagger, authn.UpdateUserRequest{Name: "tagger", SetTags: map[string]string{"a": "b"}, Person: &self})
	f.expect(err, "denied/no-match")
}
