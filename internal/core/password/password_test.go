package password_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"countersign/internal/core/coretest"
	"countersign/internal/core/password"
	"countersign/internal/errs"
)

const sound = `length = 20
rule "charset" {
  charset = "abcdefghijklmnopqrstuvwxyz"
  min-chars = 1
}
rule "charset" {
  charset = "0123456789"
  min-chars = 2
}`

func TestGenerate(t *testing.T) {
	for what, text := range map[string]string{"hcl": sound, "unicode": "length = 60\nrule \"charset\" {\n charset = \"äöü\"\n}",
		"json": `{"length":20,"rule":[{"charset":{"charset":"abcdefghijklmnopqrstuvwxyz","min-chars":1}},{"charset":{"charset":"0123456789","min-chars":2}}]}`} {
		p, err := password.Parse(text)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		seen := map[string]bool{}
		for range 50 {
			b, err := p.Generate()
			if err != nil {
				t.Fatal(err)
			}
			s := string(b.Reveal())
			if utf8.RuneCountInString(s) != p.Length || seen[s] {
				t.Errorf("%s: %q has another length, or came twice", what, s)
			}
			seen[s] = true
			for _, r := range p.Rules {
				n := 0
				for _, c := range s {
					if strings.ContainsRune(string(r.Set), c) {
						n++
					}
				}
				if n < r.Min {
					t.Errorf("%s: %q has %d of %q, want %d", what, s, n, string(r.Set), r.Min)
				}
			}
		}
	}
}

func TestRefusals(t *testing.T) {
	for text, want := range map[string]string{
		"":                                 "length is 4 to 100",
		"length = 20":                      "at least one rule",
		"length = 3\n" + sound[12:]:        "length is 4 to 100",
		"length = 101\n" + sound[12:]:      "length is 4 to 100",
		"length = \"x\"":                   "not a whole number",
		"length = 1.5":                     "not a whole number",
		"length = 20\nlength = 21":         "twice",
		"size = 3":                         `"size" is no part`,
		"length = 20\nrule \"other\" {\n}": `no rule "other"`,
		"length = 20\nrule \"charset\" {\n charset = \"\"\n}":                    "empty",
		"length = 20\nrule \"charset\" {\n charset = 5\n}":                       "not a text",
		"length = 20\nrule \"charset\" {\n charset = \"ab\"\n min-chars = 21\n}": "more characters",
		"length = 20\nrule \"charset\" {\n charset = \"ab\"\n max-chars = 1\n}":  `"max-chars" is no part`,
		"length = 20\nrule \"charset\" {\n charset = \"a\\u0001\"\n}":            "cannot be printed",
		"length = {":              "not HCL",
		strings.Repeat("a", 6000): "bytes",
		strings.Repeat("{", 200):  "braces",
	} {
		_, err := password.Parse(text)
		if !errs.Is(err, errs.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, want %q", text, err, want)
		}
	}
}

func TestService(t *testing.T) {
	c := coretest.New(t, coretest.Config{})
	ctx := t.Context()
	if _, err := c.Passwords.Put(ctx, c.Admin, "web", sound); err != nil {
		t.Fatal(err)
	}
	if text, err := c.Passwords.Get(ctx, c.Admin, "web"); err != nil || text != sound {
		t.Errorf("get: %q, %v", text, err)
	}
	if names, err := c.Passwords.List(ctx, c.Admin); err != nil || len(names) != 1 || names[0] != "web" {
		t.Errorf("list: %v, %v", names, err)
	}
	if b, err := c.Passwords.Generate(ctx, c.Admin, "web"); err != nil || b.Len() != 20 {
		t.Errorf("generate: %d bytes, %v", b.Len(), err)
	}
	hard := "length = 10\nrule \"charset\" {\n charset = \"ab\"\n min-chars = 9\n}\nrule \"charset\" {\n charset = \"" + "cdefghijklmnopqrstuvwxyz0123456789" + "\"\n min-chars = 1\n}"
	if _, err := c.Passwords.Put(ctx, c.Admin, "hard", hard); !errs.Is(err, errs.Invalid) {
		t.Errorf("a policy that hardly any password fulfils: %v", err)
	}
	alice, _ := c.User(t, "alice", "")
	stranger, _ := c.Stranger(t)
	if _, err := c.Passwords.Generate(ctx, alice, "web"); !errs.Is(err, errs.Denied) {
		t.Errorf("without a permission: %v", err)
	}
	if _, err := c.Passwords.Get(ctx, stranger, "web"); !errs.Is(err, errs.NotFound) {
		t.Errorf("in another account: %v", err)
	}
	for range 2 {
		if _, err := c.Passwords.Delete(ctx, c.Admin, "web"); err != nil {
			t.Errorf("delete: %v", err)
		}
	}
	if _, err := c.Passwords.Generate(ctx, c.Admin, "web"); !errs.Is(err, errs.NotFound) {
		t.Errorf("after the deletion: %v", err)
	}
	for _, n := range []string{"", "a/b", strings.Repeat("a", 65)} {
		if _, err := c.Passwords.Put(ctx, c.Admin, n, sound); !errs.Is(err, errs.Invalid) {
			t.Errorf("name %q: %v", n, err)
		}
	}
}

// FuzzParse holds that what is read makes passwords of its length, or says that it
// cannot.
func FuzzParse(f *testing.F) {
	f.Add(sound)
	f.Add(`{"length":20,"rule":{"charset":{"charset":"ab"}}}`)
	f.Add("rule {")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := password.Parse(text)
		if err != nil {
			return
		}
		b, err := p.Generate()
		if err == nil && utf8.RuneCount(b.Reveal()) != p.Length {
			t.Errorf("%q made %d characters", text, utf8.RuneCount(b.Reveal()))
		}
	})
}
