package settings

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// FuzzLocal holds that whatever a repository's file says, the file of variables
// stays in the repository and credentials go where the user is signed in.
func FuzzLocal(f *testing.F) {
	for _, s := range []string{`{}`, `{"project":"p","env":"e","file":".env","address":"https://h"}`, `{"file":"../x"}`, `{"address":"https://h@evil"}`, `{"address":"HTTPS://H:443/"}`, `[`, `{"a":1,"a":2}`} {
		f.Add([]byte(s), true)
		f.Add([]byte(s), false)
	}
	f.Fuzz(func(t *testing.T, text []byte, foreign bool) {
		l, err := parseLocal(text, foreign)
		if err != nil {
			return
		}
		if l.File != "" && (filepath.Base(l.File) != l.File || !filepath.IsLocal(l.File)) {
			t.Fatalf("the file %q is elsewhere", l.File)
		}
		l.Path = "/repo/" + LocalName
		r, err := Resolve(Inputs{Local: l, Global: Global{Session: &Session{Address: "https://h"}}})
		if err != nil {
			return
		}
		if r.Address.Value != "https://h" || r.session == nil {
			t.Fatalf("%q leads to %+v", text, r.Address)
		}
		if r.Project.Value != "" && !validName(r.Project.Value) {
			t.Fatalf("project %q", r.Project.Value)
		}
	})
}

// FuzzGlobal holds that a file that can be read can be written, reads the same
// after that, and has lost no field.
func FuzzGlobal(f *testing.F) {
	for _, s := range []string{`{}`, `{"x":[1.50,null],"address":"https://h","session":{"address":"https://H:443","access_token":"t","access_expires":"2026-01-02T03:04:05.6+07:00","y":{}},"\u0000":""}`,
		`{"session":{"address":"http://[::1]:80"}}`, `{"env":""}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		g, err := parseGlobal(text)
		if err != nil {
			return
		}
		out, err := g.encode()
		if err != nil {
			t.Fatalf("writing what was read: %v", err)
		}
		h, err := parseGlobal(out.Reveal())
		if err != nil {
			t.Fatalf("reading what was written: %v\n%s", err, out.Reveal())
		}
		for i, x := range g.texts() {
			if y := h.texts()[i]; *x.to != *y.to {
				t.Fatalf("%s was %q and is %q", x.name, *x.to, *y.to)
			}
		}
		if a, b := g.Session, h.Session; (a == nil) != (b == nil) || a != nil && (a.Address != b.Address || a.User != b.User || !a.AccessToken.Equal(b.AccessToken) ||
			!a.RefreshToken.Equal(b.RefreshToken) || !a.AccessExpires.Equal(b.AccessExpires) || !a.RefreshExpires.Equal(b.RefreshExpires)) {
			t.Fatal("the session changed")
		}
		known := []string{"address", "ca_file", "region", "project", "env", "session"}
		for _, m := range g.kept {
			if !slices.Contains(known, m.name) && h.kept.find(m.name) < 0 {
				t.Fatalf("the field %q is lost", m.name)
			}
		}
		again, err := h.encode()
		if err != nil || string(again.Reveal()) != string(out.Reveal()) {
			t.Fatalf("written twice it differs: %v", err)
		}
	})
}

// FuzzAddress holds that the spelling that addresses are compared by is one.
func FuzzAddress(f *testing.F) {
	for _, s := range []string{"https://h", "HTTP://H:080/", "http://[::1]:80", "http://[fe80::1%25eth0]", "https://u@h", "https://h:", "https://h?", "https://h#"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := canonical(s)
		if err != nil {
			return
		}
		if b, err := canonical(a); err != nil || b != a || !sameServer(s, a) || strings.ContainsAny(a, "@?# %") {
			t.Fatalf("%q is %q is %q, %v", s, a, b, err)
		}
	})
}

func TestTrusted(t *testing.T) {
	for _, tt := range []struct {
		name          string
		file, dir, us int
		want          bool
	}{
		{"ours", 1000, 0, 1000, true},
		{"root's", 0, 1000, 1000, true},
		{"the-checkout's", 1000, 1000, 0, true},
		{"somebody's", 1001, 1000, 1000, false},
		{"somebody's-for-root", 1001, 0, 0, false},
	} {
		if err := trusted(tt.file, tt.dir, tt.us); (err == nil) != tt.want {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
