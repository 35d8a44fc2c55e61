package identitytoken

import (
	"encoding/json"
	"testing"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/policy"
)

func named(n string) *subject {
	return &subject{who: caller.Caller{Account: "111111111111", Name: n, Groups: []string{n}, Tags: map[string]string{"k": n, n: n}},
		aliases: map[string]policy.Alias{"a": {ID: n, Name: n, Metadata: map[string]string{"k": n}}}, now: time.Unix(1, 0)}
}

// TestTemplatesThatFitNobody holds that a template is refused at once when it makes
// no claims of somebody who has what it asks for.
func TestTemplatesThatFitNobody(t *testing.T) {
	for text, ok := range map[string]bool{
		`{"a":"{{identity.entity.metadata}}"}`:                          false,
		`{"a":"{{identity.entity.groups.names}}"}`:                      false,
		`{"a":"of {{identity.entity.groups.ids}}"}`:                     false,
		`{"a":"{{identity.entity.aliases.x.metadata}}"}`:                false,
		`{"a":"{{identity.entity.aliases.x.custom_metadata}}"}`:         false,
		`{"a":"{{identity.entity.name}}"}`:                              false,
		`{"a":"{{identity.entity.metadata.team}}"}`:                     false,
		`{"a":"{{time.now}}"}`:                                          true, // a number is a text in quotes, whosever
		`{"a":{{identity.entity.metadata}}}`:                            true,
		`{"a":[{{identity.entity.groups.names}},{"b":[{{time.now}}]}]}`: true,
	} {
		if err := checkTemplate(text); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// FuzzTemplate holds that a template which is taken makes claims of everybody, and
// that nobody's name makes more of them than another's.
func FuzzTemplate(f *testing.F) {
	f.Add(`{"a":{{identity.entity.name}}}`, "b")
	f.Add(`{"a":"{{identity.entity.name}}"}`, `","sub":"x`)
	f.Add(`{"a":"{{identity.entity.metadata}}"}`, `","sub":"x`)
	f.Add(`{ {{identity.entity.metadata.k}}: 1}`, `sub`)
	f.Add(`{"a":{{identity.entity.groups.names}},"b":{{time.now.minus.3}},"c":[{{identity.entity.aliases.a.metadata}}]}`, `"}`)
	f.Fuzz(func(t *testing.T, text, n string) {
		if checkTemplate(text) != nil {
			return
		}
		tmpl, err := parseTemplate(text)
		if err != nil {
			t.Fatal(err)
		}
		got, err := tmpl.claims(named(n))
		if err != nil {
			t.Fatalf("%q about %q: %v", text, n, err)
		}
		plain, err := tmpl.claims(named("z"))
		if err != nil {
			t.Fatal(err)
		}
		if len(got) > len(plain)+1 { // two placeholders may be names, and be the same one
			a, _ := json.Marshal(got)
			t.Errorf("%q about %q says %s", text, n, a)
		}
	})
}
