package dotenv_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"countersign/internal/dotenv"
	"countersign/internal/errs"
	"countersign/internal/sensitive"
)

// only fails unless a folder holds exactly these names, so that no temporary
// file stays.
func only(t *testing.T, dir string, names ...string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range list {
		if i >= len(names) || e.Name() != names[i] {
			t.Fatalf("the folder holds %v, want %v", list, names)
		}
	}
	if len(list) != len(names) {
		t.Fatalf("the folder holds %v, want %v", list, names)
	}
}

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, ".env")
	check := func(want string) {
		t.Helper()
		got, err := os.ReadFile(path)
		if err != nil || string(got) != want {
			t.Errorf("the file holds %q, %v, want %q", got, err, want)
		}
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the file's mode is %v, %v", info.Mode(), err)
		}
		only(t, dir, ".env")
	}
	if err := dotenv.WriteFile(path, sensitive.FromString("A=1\n")); err != nil {
		t.Fatal(err)
	}
	check("A=1\n")
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	old, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if err := dotenv.WriteFile(path, sensitive.FromString("A=2\n")); err != nil {
		t.Fatal(err)
	}
	check("A=2\n")
	// Who opened the old, wider file before does not see the new content.
	b := make([]byte, 10)
	if n, _ := old.Read(b); string(b[:n]) != "A=1\n" {
		t.Errorf("the old file now holds %q", b[:n])
	}
}

func TestWriteFileInCurrentFolder(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := dotenv.WriteFile(".env", sensitive.FromString("A=1\n")); err != nil {
		t.Fatal(err)
	}
	only(t, dir, ".env")
}

func TestWriteFileRefuses(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "target")
	if err := os.WriteFile(target, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	links := map[string]string{"link": target, "dangling": filepath.Join(dir, "absent")}
	for name, to := range links {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"link", "dangling", "sub"} {
		if err := dotenv.WriteFile(filepath.Join(dir, name), sensitive.FromString(canary)); !errs.Is(err, errs.Invalid) {
			t.Errorf("writing to %s: %v", name, err)
		}
	}
	if got, err := os.ReadFile(target); err != nil || string(got) != "precious" {
		t.Errorf("the target holds %q, %v", got, err)
	}
	if err := dotenv.WriteFile(filepath.Join(dir, "no", "folder"), sensitive.FromString(canary)); err == nil {
		t.Error("wrote into a folder that is not there")
	}
	if err := dotenv.WriteFile(filepath.Join(target, "x"), sensitive.FromString(canary)); err == nil {
		t.Error("wrote into a file as if it were a folder")
	}
	only(t, dir, "dangling", "link", "sub", "target")
}

func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, ".env")
	if err := dotenv.WriteFile(path, sensitive.FromString("# c\nA=1\n")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, filepath.Join(dir, "link")} {
		if f, err := dotenv.ReadFile(p); err != nil || string(f.Bytes().Reveal()) != "# c\nA=1\n" {
			t.Errorf("reading %s: %v", p, err)
		}
	}
	if _, err := dotenv.ReadFile(filepath.Join(dir, "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an absent file: %v", err)
	}
	if _, err := dotenv.ReadFile(dir); err == nil {
		t.Error("a folder was read")
	}
	for text, kind := range map[string]errs.Kind{"A='" + canary: errs.Invalid, strings.Repeat("#", dotenv.MaxSize+5): errs.Limit} {
		if err := dotenv.WriteFile(path, sensitive.FromString(text)); err != nil {
			t.Fatal(err)
		}
		if _, err := dotenv.ReadFile(path); !errs.Is(err, kind) || !strings.HasPrefix(err.Error(), `"`+path+`": `) || strings.Contains(err.Error(), canary) {
			t.Errorf("a bad file: %v", err)
		}
	}
}
