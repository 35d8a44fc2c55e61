package settings_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"countersign/internal/cli/settings"
	"countersign/internal/errs"
)

func TestFindLocal(t *testing.T) {
	root := t.TempDir()
	home := filepath.Join(root, "home")
	write(t, filepath.Join(root, ".countersign.json"), `{"project": "above-home"}`)
	write(t, filepath.Join(home, ".countersign.json"), `{"project": "home"}`)
	write(t, filepath.Join(home, "mono", ".countersign.json"), `{"project": "mono", "env": "dev", "file": "vars.env", "address": "https://h"}`)
	write(t, filepath.Join(home, "mono", "old", ".sr.json"), `{"project": "old", "env": "prod", "stackName": {"x": 1}}`)
	write(t, filepath.Join(home, "mono", "both", ".sr.json"), `{"project": "wrong"}`)
	write(t, filepath.Join(home, "mono", "both", ".countersign.json"), `{}`)
	write(t, filepath.Join(home, "mono", "both", "sub", "deep", "x"), "")
	write(t, filepath.Join(home, "other", "x"), "")
	write(t, filepath.Join(root, "elsewhere", "x"), "")
	tests := []struct {
		dir, path, project, env, file string
	}{
		{"home/mono", "home/mono/.countersign.json", "mono", "dev", "vars.env"},
		{"home/mono/old", "home/mono/old/.sr.json", "old", "prod", ".env"},
		{"home/mono/both", "home/mono/both/.countersign.json", "", "", ".env"},
		{"home/mono/both/sub/deep", "home/mono/both/.countersign.json", "", "", "../../.env"},
		{"home/other", "home/.countersign.json", "home", "", "../.env"},
		{"home", "home/.countersign.json", "home", "", ".env"},
		{"elsewhere", ".countersign.json", "above-home", "", "../.env"},
	}
	for _, tt := range tests {
		t.Run(strings.ReplaceAll(tt.dir, "/", "-"), func(t *testing.T) {
			l, warnings, err := settings.FindLocal(filepath.Join(root, tt.dir), home)
			if err != nil || len(warnings) > 0 {
				t.Fatalf("finding: %v, %v", warnings, err)
			}
			r, err := settings.Resolve(settings.Inputs{Local: l, Flags: settings.Flags{Address: good}})
			if err != nil {
				t.Fatal(err)
			}
			if l.Path != filepath.Join(root, tt.path) || r.Project.Value != tt.project || r.Env.Value != tt.env || r.File.Value != filepath.FromSlash(tt.file) {
				t.Errorf("found %+v, resolved %+v", l, r)
			}
		})
	}
}

func TestFindLocalStopsAtHome(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, ".countersign.json"), `{"project": "above"}`)
	write(t, filepath.Join(root, "home", "p", "x"), "")
	home := filepath.Join(root, "home")
	if err := os.Symlink(home, filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	for _, h := range []string{home, home + "/", filepath.Join(root, "link")} {
		if l, _, err := settings.FindLocal(filepath.Join(home, "p"), h); err != nil || l.Path != "" {
			t.Errorf("home %q: found %+v, %v", h, l, err)
		}
	}
	if l, _, err := settings.FindLocal(filepath.Join(home, "p"), ""); err != nil || l.Project != "above" {
		t.Errorf("without a home: found %+v, %v", l, err)
	}
}

func TestLocalRefused(t *testing.T) {
	tests := []struct{ name, text, says string }{
		{"no-json", "{\n\"project\": " + canary, "it is no valid JSON (line 2)"},
		{"empty", "", "it is no valid JSON (line 1)"},
		{"array", "[]", "it is no JSON object"},
		{"two", "{} {}", "it is no valid JSON (line 1)"},
		{"number", `{"project": 12}`, "project: it is no string"},
		{"null", `{"env": null}`, "env: it is no string"},
		{"unknown", `{"project": "p", "token": "` + canary + `"}`, "token: unknown; there are project, env, file, address"},
		{"case", `{"Project": "p"}`, "Project: unknown; there are project, env, file, address"},
		{"odd-field", "{\"\\u001b[2J\": 1}", "a field: unknown; there are project, env, file, address"},
		{"ca-file", `{"ca_file": "x"}`, "ca_file: unknown; there are project, env, file, address"},
		{"twice", `{"project": "a", "proj\u0065ct": "b"}`, "project: the field is given twice"},
		{"not-utf8", "{\"project\": \"\xff\"}", "it is not UTF-8"},
		{"file-parent", `{"file": "../.bashrc"}`, "file: it must be the plain name of a file in this folder, such as .env"},
		{"file-dots", `{"file": ".."}`, "file: it must be the plain name of a file in this folder, such as .env"},
		{"file-absolute", `{"file": "/etc/passwd"}`, "file: it must be the plain name of a file in this folder, such as .env"},
		{"file-folder", `{"file": "sub/.env"}`, "file: it must be the plain name of a file in this folder, such as .env"},
		{"file-windows", `{"file": "C:x"}`, "file: it must be the plain name of a file in this folder, such as .env"},
		{"file-control", `{"file": "a\nb"}`, "file: it must be the plain name of a file in this folder, such as .env"},
		{"file-itself", `{"file": ".countersign.json"}`, "file: it must be the plain name of a file in this folder, such as .env"},
		{"deep", `{"project": ` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + "}", "it is no valid JSON (line 1)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, ".countersign.json")
			write(t, path, tt.text)
			_, _, err := settings.FindLocal(dir, dir)
			if want := `"` + path + `": ` + tt.says; !errs.Is(err, errs.Invalid) || err.Error() != want {
				t.Errorf("says %v,\nwant %s", err, want)
			}
		})
	}
	t.Run("large", func(t *testing.T) {
		dir := t.TempDir()
		write(t, filepath.Join(dir, ".sr.json"), `{"project": "`+strings.Repeat("x", 64<<10)+`"}`)
		if _, _, err := settings.FindLocal(dir, dir); !errs.Is(err, errs.Limit) {
			t.Errorf("a large file: %v", err)
		}
	})
	t.Run("folder", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, ".countersign.json"), 0o755); err != nil {
			t.Fatal(err)
		}
		if _, _, err := settings.FindLocal(dir, dir); !errs.Is(err, errs.Invalid) {
			t.Errorf("a folder: %v", err)
		}
	})
	t.Run("foreign-type", func(t *testing.T) {
		dir := t.TempDir()
		write(t, filepath.Join(dir, ".sr.json"), `{"project": "p", "env": []}`)
		if _, _, err := settings.FindLocal(dir, dir); !errs.Is(err, errs.Invalid) || !strings.HasSuffix(err.Error(), "env: it is no string") {
			t.Errorf("a list: %v", err)
		}
	})
}
