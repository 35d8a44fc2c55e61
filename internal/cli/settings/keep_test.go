package settings_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/cli/settings"
)

func TestKeepLocal(t *testing.T) {
	const whole = "{\n  \"project\": \"api\",\n  \"env\": \"dev\",\n  \"file\": \"a.env\",\n  \"address\": \"https://x\"\n}\n"
	for _, tt := range []struct {
		name, was, project, env, want string
	}{
		{"new", "", "api", "dev", "{\n  \"project\": \"api\",\n  \"env\": \"dev\"\n}\n"},
		{"keeps-the-rest", `{"env":"old","file":"a.env","address":"https://x","project":"p"}`, "api", "dev", whole},
		{"env-alone", `{"project":"api","env":"old","file":"a.env","address":"https://x"}`, "", "dev", whole},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if tt.was != "" {
				if err := os.WriteFile(filepath.Join(dir, settings.LocalName), []byte(tt.was), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			path, err := settings.KeepLocal(dir, tt.project, tt.env)
			if err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, string(got)); d != "" {
				t.Error(d)
			}
			info, err := os.Stat(path)
			if err != nil || info.Mode().Perm() != 0o644 {
				t.Errorf("mode %v, %v", info.Mode(), err)
			}
			l, _, err := settings.FindLocal(dir, dir)
			if err != nil || l.Project != "api" || l.Env != "dev" {
				t.Errorf("read back %+v, %v", l, err)
			}
		})
	}
}

func TestKeepLocalRefuses(t *testing.T) {
	dir := t.TempDir()
	if _, err := settings.KeepLocal(dir, "a/b", ""); err == nil {
		t.Error("a project that is no name was kept")
	}
	if _, err := settings.KeepLocal(filepath.Join(dir, "none"), "a", "b"); err == nil {
		t.Error("a folder that is not there took a file")
	}
	path := filepath.Join(dir, settings.LocalName)
	const broken = `{"project": 1}`
	if err := os.WriteFile(path, []byte(broken), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := settings.KeepLocal(dir, "a", "b"); err == nil {
		t.Error("a file that cannot be read was replaced")
	}
	if b, _ := os.ReadFile(path); string(b) != broken {
		t.Errorf("it holds %s", b)
	}
	if list, _ := os.ReadDir(dir); len(list) != 1 {
		t.Errorf("there are %v", list)
	}
}
