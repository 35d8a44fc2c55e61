package settings_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/cli/settings"
	"countersign/internal/errs"
	"countersign/internal/sensitive"
)

func store(t *testing.T, path string) settings.Store {
	t.Helper()
	s, err := settings.Locate(environ("COUNTERSIGN_CONFIG", path), "")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestLocate(t *testing.T) {
	t.Chdir("/")
	tests := []struct {
		name string
		env  []string
		home string
		want string
	}{
		{"named", []string{"COUNTERSIGN_CONFIG", "/x/c.json", "XDG_CONFIG_HOME", "/xdg"}, "/home/u", "/x/c.json"},
		{"named-relative", []string{"COUNTERSIGN_CONFIG", "c.json"}, "", "/c.json"},
		{"xdg", []string{"XDG_CONFIG_HOME", "/xdg"}, "/home/u", "/xdg/countersign/config.json"},
		{"xdg-relative", []string{"XDG_CONFIG_HOME", "xdg"}, "/home/u", "/home/u/.config/countersign/config.json"},
		{"home", nil, "/home/u", "/home/u/.config/countersign/config.json"},
		{"nowhere", nil, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := settings.Locate(environ(tt.env...), tt.home)
			if s.Path() != tt.want || (err == nil) != (tt.want != "") {
				t.Errorf("is at %q, %v, want %q", s.Path(), err, tt.want)
			}
		})
	}
}

func mode(t *testing.T, path string) os.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

func TestSaveAndLoad(t *testing.T) {
	home := t.TempDir()
	s, err := settings.Locate(environ(), home)
	if err != nil {
		t.Fatal(err)
	}
	g, warning, err := s.Load()
	if err != nil || warning != "" || g.Session != nil || g.Path != s.Path() {
		t.Fatalf("an absent file is %+v, %q, %v", g, warning, err)
	}
	at := time.Date(2026, 3, 4, 5, 6, 7, 890, time.UTC)
	err = s.Update(t.Context(), func(g *settings.Global) error {
		g.Address, g.CAFile, g.Region, g.Project, g.Env = good, "/ca.pem", "us-east-1", "p", "e"
		g.Session = &settings.Session{Address: good + ":443/", User: "alice", AccessToken: sensitive.FromString("a<>&\"\\"), AccessExpires: at,
			RefreshToken: sensitive.FromString("r"), RefreshExpires: at.Add(time.Hour)}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	g, warning, err = s.Load()
	if err != nil || warning != "" {
		t.Fatalf("loading: %q, %v", warning, err)
	}
	got := []string{g.Path, g.Address, g.CAFile, g.Region, g.Project, g.Env, g.Session.Address, g.Session.User, string(g.Session.AccessToken.Reveal()),
		string(g.Session.RefreshToken.Reveal()), g.Session.AccessExpires.String(), g.Session.RefreshExpires.String()}
	want := []string{s.Path(), good, "/ca.pem", "us-east-1", "p", "e", good, "alice", "a<>&\"\\", "r", at.String(), at.Add(time.Hour).String()}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("loaded (-want +got):\n%s", d)
	}
	dir := filepath.Dir(s.Path())
	if mode(t, s.Path()) != 0o600 || mode(t, dir) != 0o700 || mode(t, s.Path()+".lock") != 0o600 {
		t.Errorf("modes: file %v, folder %v, lock %v", mode(t, s.Path()), mode(t, dir), mode(t, s.Path()+".lock"))
	}
	list, err := os.ReadDir(dir)
	if err != nil || len(list) != 2 {
		t.Errorf("the folder holds %v, %v", list, err)
	}
}

func TestModes(t *testing.T) {
	home := t.TempDir()
	dir := filepath.Join(home, ".config", "countersign")
	path := filepath.Join(dir, "config.json")
	write(t, path, `{"session": {"address": "`+good+`", "user": "alice", "access_token": "`+canary+`"}}`)
	s, err := settings.Locate(environ(), home)
	if err != nil {
		t.Fatal(err)
	}
	for _, perm := range []os.FileMode{0o644, 0o640, 0o604, 0o622} {
		if err := os.Chmod(path, perm); err != nil {
			t.Fatal(err)
		}
		g, warning, err := s.Load()
		want := fmt.Sprintf("%q is open to others (mode %04o): run chmod 600 on it, and sign in again if somebody may have read it", path, perm)
		if err != nil || warning != want || g.Session == nil {
			t.Errorf("mode %04o: session %v, warns %q, %v", perm, g.Session, warning, err)
		}
	}
	if err := s.Update(t.Context(), func(*settings.Global) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if mode(t, path) != 0o600 || mode(t, dir) != 0o700 {
		t.Errorf("after writing, modes are %v and %v", mode(t, path), mode(t, dir))
	}
	if _, warning, err := s.Load(); warning != "" || err != nil {
		t.Errorf("warns %q, %v", warning, err)
	}
	// A folder that is not this program's keeps its mode.
	shared := t.TempDir()
	if err := os.Chmod(shared, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := store(t, filepath.Join(shared, "c.json")).Update(t.Context(), func(*settings.Global) error { return nil }); err != nil || mode(t, shared) != 0o755 {
		t.Errorf("the folder's mode became %v, %v", mode(t, shared), err)
	}
	if err := store(t, filepath.Join(shared, "new", "c.json")).Update(t.Context(), func(*settings.Global) error { return nil }); err != nil || mode(t, filepath.Join(shared, "new")) != 0o700 {
		t.Errorf("a new folder: %v", err)
	}
}

func TestUnknownFieldsAreKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.json")
	write(t, path, `{
  "theme": {"a": [1, 12345678901234567890, null]},
  "address": "https://old.example",
  "session": {
    "device": "d-1",
    "address": "https://secrets.example",
    "user": "alice",
    "access_token": "old",
    "later": 1.50
  },
  "env": "dev",
  "zeta": "z"
}`)
	s := store(t, path)
	err := s.Update(t.Context(), func(g *settings.Global) error {
		g.Address, g.Env, g.Project = "", "prod", "p"
		g.Session.AccessToken = sensitive.FromString("new")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `{
  "theme": {
    "a": [
      1,
      12345678901234567890,
      null
    ]
  },
  "session": {
    "device": "d-1",
    "address": "https://secrets.example",
    "user": "alice",
    "access_token": "new",
    "later": 1.50
  },
  "env": "prod",
  "zeta": "z",
  "project": "p"
}
`
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Errorf("the file (-want +got):\n%s", d)
	}
	if err := s.Update(t.Context(), func(g *settings.Global) error { g.Session = nil; return nil }); err != nil {
		t.Fatal(err)
	}
	if got, err = os.ReadFile(path); err != nil || strings.Contains(string(got), "session") || !strings.Contains(string(got), "zeta") {
		t.Errorf("signed out, the file is %s, %v", got, err)
	}
}

func TestGlobalRefused(t *testing.T) {
	tests := []struct{ name, text, says string }{
		{"no-json", `{"session": {"access_token": "` + canary, "it is no valid JSON (line 1)"},
		{"no-object", `"` + canary + `"`, "it is no JSON object"},
		{"type", `{"project": ["` + canary + `"]}`, "project: it is no string"},
		{"session", `{"session": "` + canary + `"}`, "session: it is no JSON object"},
		{"token", `{"session": {"address": "https://h", "access_token": {"x": "` + canary + `"}}}`, "session: access_token: it is no string"},
		{"expiry", `{"session": {"address": "https://h", "access_expires": "` + canary + `"}}`, "session: access_expires: it is no time such as 2026-01-02T15:04:05Z"},
		{"expiry-year", `{"session": {"address": "https://h", "access_expires": "0000-01-01T00:00:00Z"}}`, "session: access_expires: it is no time such as 2026-01-02T15:04:05Z"},
		{"session-twice", `{"session": {"user": "a", "user": "b"}}`, "session: user: the field is given twice"},
		{"session-for-nobody", `{"session": {"access_token": "` + canary + `"}}`, "session: address: the server's address is no http:// or https:// URL"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "c.json")
			write(t, path, tt.text)
			_, _, err := store(t, path).Load()
			if want := `"` + path + `": ` + tt.says; !errs.Is(err, errs.Invalid) || err.Error() != want {
				t.Errorf("says %v,\nwant %s", err, want)
			}
			if err := store(t, path).Update(t.Context(), func(*settings.Global) error { return nil }); err == nil {
				t.Error("a file that cannot be read was written over")
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != tt.text {
				t.Errorf("the file became %q, %v", got, err)
			}
		})
	}
}

func TestUpdateFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "c.json")
	s := store(t, path)
	boom := errors.New("boom")
	if err := s.Update(t.Context(), func(g *settings.Global) error { g.Project = "p"; return boom }); !errors.Is(err, boom) {
		t.Errorf("a failing change: %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a failing change wrote: %v", err)
	}
	if err := s.Update(t.Context(), func(g *settings.Global) error { g.Region = strings.Repeat("x", 256<<10); return nil }); !errs.Is(err, errs.Limit) {
		t.Errorf("a large change: %v", err)
	}
	if err := s.Update(t.Context(), func(g *settings.Global) error { g.Session = &settings.Session{}; return nil }); !errs.Is(err, errs.Invalid) {
		t.Errorf("a session for nobody: %v", err)
	}
	write(t, filepath.Join(dir, "target"), "{}")
	if err := os.Symlink("target", path); err != nil {
		t.Fatal(err)
	}
	if err := s.Update(t.Context(), func(*settings.Global) error { return nil }); !errs.Is(err, errs.Invalid) {
		t.Errorf("a link was written through: %v", err)
	}
	if err := store(t, filepath.Join(dir, "target", "c.json")).Update(t.Context(), func(*settings.Global) error { return nil }); err == nil {
		t.Error("wrote below a file")
	}
	if err := os.Symlink("elsewhere", filepath.Join(dir, "d.json.lock")); err != nil {
		t.Fatal(err)
	}
	if err := store(t, filepath.Join(dir, "d.json")).Update(t.Context(), func(*settings.Global) error { return nil }); err == nil {
		t.Error("a lock that is a link was followed")
	}
	if err := os.WriteFile(filepath.Join(dir, "e.json"), make([]byte, 256<<10+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := store(t, filepath.Join(dir, "e.json")).Load(); !errs.Is(err, errs.Limit) {
		t.Errorf("a large file: %v", err)
	}
}

// TestNothingPrints holds that a configuration shows no token, known or not.
func TestNothingPrints(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.json")
	write(t, path, `{"next": "`+canary+`", "session": {"address": "https://h", "access_token": "`+canary+`", "refresh_token": "`+canary+`", "next": "`+canary+`"}}`)
	g, warning, err := store(t, path).Load()
	if err != nil {
		t.Fatal(err)
	}
	r, err := settings.Resolve(settings.Inputs{Global: g})
	if err != nil || r.Session() == nil {
		t.Fatal(r, err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		for _, v := range []any{g, &g, *g.Session, r, settings.Inputs{Global: g}, warning} {
			s := fmt.Sprintf(verb, v)
			if strings.Contains(s, canary) || strings.Contains(s, fmt.Sprintf("%x", canary)) || strings.Contains(s, fmt.Sprintf("%d %d", canary[0], canary[1])) {
				t.Errorf("%s of %T prints a token: %s", verb, v, s)
			}
		}
	}
}
