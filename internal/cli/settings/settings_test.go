package settings_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/cli/settings"
	"countersign/internal/errs"
	"countersign/internal/sensitive"
)

const (
	good   = "https://secrets.example"
	evil   = "https://evil.example"
	canary = "cAnArY-tOkEn"
)

func signedIn() settings.Global {
	return settings.Global{Path: "/home/u/config.json", Session: &settings.Session{
		Address: good, User: "alice", AccessToken: sensitive.FromString(canary), RefreshToken: sensitive.FromString(canary),
	}}
}

func environ(kv ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(kv); i += 2 {
			if kv[i] == name {
				return kv[i+1]
			}
		}
		return ""
	}
}

func TestResolveOrder(t *testing.T) {
	all := settings.Inputs{
		Flags: settings.Flags{Address: "https://flag.example", CAFile: "flag.pem", Region: "flag-1", Project: "flag", Env: "flag", File: "flag.env"},
		Getenv: environ("COUNTERSIGN_ADDR", "https://env.example", "COUNTERSIGN_CA_FILE", "env.pem", "COUNTERSIGN_REGION", "env-1",
			"COUNTERSIGN_PROJECT", "env", "COUNTERSIGN_ENV", "env"),
		Local:  settings.Local{Path: "/p/.countersign.json", Project: "local", Env: "local", File: "local.env", Address: good},
		Global: signedIn(),
	}
	all.Global.Address, all.Global.CAFile, all.Global.Region = "https://global.example:8443/", "ca/global.pem", "global-1"
	all.Global.Project, all.Global.Env = "global", "global"
	noFlags := all
	noFlags.Flags = settings.Flags{}
	noEnv := noFlags
	noEnv.Getenv = nil
	noLocal := noEnv
	noLocal.Local = settings.Local{}
	session := noLocal
	session.Global = signedIn()

	type got struct{ Address, CAFile, Region, Project, Env, File settings.Setting }
	s := func(v, from string) settings.Setting { return settings.Setting{Value: v, From: from} }
	const local, global = "/p/.countersign.json", "/home/u/config.json"
	tests := []struct {
		name     string
		in       settings.Inputs
		want     got
		signedIn bool
	}{
		{"flags", all, got{s("https://flag.example", "--address"), s("flag.pem", "--ca-file"), s("flag-1", "--region"),
			s("flag", "--project"), s("flag", "--env"), s("flag.env", "--file")}, false},
		{"environment", noFlags, got{s("https://env.example", "COUNTERSIGN_ADDR"), s("env.pem", "COUNTERSIGN_CA_FILE"), s("env-1", "COUNTERSIGN_REGION"),
			s("env", "COUNTERSIGN_PROJECT"), s("env", "COUNTERSIGN_ENV"), s("local.env", local)}, false},
		{"local", noEnv, got{s(good, local), s("/home/u/ca/global.pem", global), s("global-1", global),
			s("local", local), s("local", local), s("local.env", local)}, true},
		{"global", noLocal, got{s("https://global.example:8443", global), s("/home/u/ca/global.pem", global), s("global-1", global),
			s("global", global), s("global", global), s(".env", "default")}, false},
		{"session", session, got{Address: s(good, global), File: s(".env", "default")}, true},
		{"nothing", settings.Inputs{}, got{Address: s("http://127.0.0.1:8200", "default"), File: s(".env", "default")}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := settings.Resolve(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, got{r.Address, r.CAFile, r.Region, r.Project, r.Env, r.File}); d != "" {
				t.Errorf("settings (-want +got):\n%s", d)
			}
			if (r.Session() != nil) != tt.signedIn {
				t.Errorf("session is %v, want one: %v", r.Session(), tt.signedIn)
			}
		})
	}
}

// TestLocalFileCannotRedirect is the attack: a repository whose file names the
// attacker's server, in every spelling that could pass for the user's own.
func TestLocalFileCannotRedirect(t *testing.T) {
	for _, address := range []string{
		evil, "http://secrets.example", "https://secrets.example:8443", "https://secrets.example.", "https://secrets.example.evil.example",
		"https://secrets.example@evil.example", "https://secrets.example:x@evil.example", "https://evil.example/https://secrets.example", "https://evil.example#secrets.example",
		"https://evil.example?secrets.example", "https://secrets.example%2eevil.example", "https://s\u0435crets.example", "https://secrets.example\\@evil.example",
		"https:secrets.example", "//secrets.example", "secrets.example", "file:///etc", "https://", "https://:443", "https://secrets.example:0", "https://secrets.example:99999", "\x1b[2J",
	} {
		local := settings.Local{Path: "/repo/.countersign.json", Project: "p", Address: address}
		for name, in := range map[string]settings.Inputs{
			"signed-in":  {Local: local, Global: signedIn()},
			"signed-out": {Local: local, Global: settings.Global{Path: "/home/u/config.json", Address: good}},
			"new-user":   {Local: local},
			"token":      {Local: local, Getenv: environ("COUNTERSIGN_TOKEN", canary)},
		} {
			r, err := settings.Resolve(in)
			if !errs.Is(err, errs.Invalid) {
				t.Errorf("%s: a local file chose %q: %+v, %v", name, address, r.Address, err)
				continue
			}
			if strings.Contains(err.Error(), canary) || strings.ContainsAny(err.Error(), "\x1b") || !strings.Contains(err.Error(), "/repo/.countersign.json") {
				t.Errorf("%s: the refusal of %q says %q", name, address, err)
			}
		}
	}
}

func TestRefusedAddressIsExplained(t *testing.T) {
	local := settings.Local{Path: "/repo/.countersign.json", Address: evil + "/"}
	_, err := settings.Resolve(settings.Inputs{Local: local, Global: signedIn()})
	want := `"/repo/.countersign.json" wants the server "https://evil.example", but you are signed in to "https://secrets.example": a file in a project cannot choose where credentials go; if you trust that server, sign in with --address https://evil.example, or set COUNTERSIGN_ADDR`
	if err == nil || err.Error() != want {
		t.Errorf("says %v,\nwant %s", err, want)
	}
	_, err = settings.Resolve(settings.Inputs{Local: local})
	if err == nil || !strings.Contains(err.Error(), "but you are not signed in to any server") {
		t.Errorf("signed out it says %v", err)
	}
}

// TestSessionStaysHome holds that whoever chooses another server, the user
// included, does not send it this server's tokens.
func TestSessionStaysHome(t *testing.T) {
	local := settings.Local{Path: "/repo/.countersign.json", Address: evil}
	g := signedIn()
	g.Address = evil
	for name, in := range map[string]settings.Inputs{
		"flag":        {Flags: settings.Flags{Address: evil}, Local: local, Global: signedIn()},
		"environment": {Getenv: environ("COUNTERSIGN_ADDR", evil), Local: local, Global: signedIn()},
		"global":      {Global: g},
	} {
		r, err := settings.Resolve(in)
		if err != nil || r.Address.Value != evil {
			t.Errorf("%s: goes to %+v, %v", name, r.Address, err)
		}
		if r.Session() != nil {
			t.Errorf("%s: the session goes along", name)
		}
	}
}

func TestSameServerInOtherSpellings(t *testing.T) {
	for _, address := range []string{good, good + "/", "HTTPS://Secrets.Example", good + ":443", good + ":", " " + good + "\n"} {
		r, err := settings.Resolve(settings.Inputs{Local: settings.Local{Path: "/repo/.countersign.json", Address: address}, Global: signedIn()})
		if err != nil || r.Address.Value != good || r.Session() == nil {
			t.Errorf("%q resolves to %+v, %v", address, r.Address, err)
		}
	}
}

func TestBadSettings(t *testing.T) {
	tests := []struct {
		name string
		in   settings.Inputs
		says string
	}{
		{"address-flag", settings.Inputs{Flags: settings.Flags{Address: "https://u:" + canary + "@h"}}, `"--address": the server's address has scheme, host and port only`},
		{"address-env", settings.Inputs{Getenv: environ("COUNTERSIGN_ADDR", "h:1")}, `"COUNTERSIGN_ADDR": the server's address is no http:// or https:// URL`},
		{"project", settings.Inputs{Local: settings.Local{Path: "/p/.sr.json", Project: "../" + canary}},
			`the project that "/p/.sr.json" names is no name: 1 to 128 letters, digits, _ and -`},
		{"env", settings.Inputs{Flags: settings.Flags{Env: "a b"}}, `the env that "--env" names is no name: 1 to 128 letters, digits, _ and -`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := settings.Resolve(tt.in); !errs.Is(err, errs.Invalid) || err.Error() != tt.says {
				t.Errorf("says %v, want %q", err, tt.says)
			}
		})
	}
}

func TestNeed(t *testing.T) {
	var r settings.Resolved
	_, err := r.NeedProject()
	if want := `no project is named: give --project, set COUNTERSIGN_PROJECT, or put {"project": "NAME"} into .countersign.json`; err == nil || err.Error() != want || !errs.Is(err, errs.Invalid) {
		t.Errorf("says %v, want %s", err, want)
	}
	_, err = r.NeedEnv()
	if want := `no env is named: give --env, set COUNTERSIGN_ENV, or put {"env": "NAME"} into .countersign.json`; err == nil || err.Error() != want {
		t.Errorf("says %v, want %s", err, want)
	}
	r.Project.Value, r.Env.Value = "p", "e"
	p, err1 := r.NeedProject()
	e, err2 := r.NeedEnv()
	if p != "p" || e != "e" || err1 != nil || err2 != nil {
		t.Errorf("needs %q, %v, %q, %v", p, err1, e, err2)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
