//go:build unix

package settings_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"countersign/internal/cli/settings"
)

// TestPlantedFile is the attack of another user of the machine, who leaves a
// file where others work.
func TestPlantedFile(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file away; TestTrusted has the rule")
	}
	const stranger = 54321
	tmp := t.TempDir()
	dir := filepath.Join(tmp, "work", "deep")
	mine := filepath.Join(tmp, "mine.json")
	write(t, filepath.Join(dir, "x"), "")
	write(t, mine, `{"project": "mine"}`)
	planted := filepath.Join(tmp, ".countersign.json")
	for name, plant := range map[string]func() error{
		"file":   func() error { return os.WriteFile(planted, []byte(`{"project": "theirs"}`), 0o644) },
		"broken": func() error { return os.WriteFile(planted, []byte(`{`), 0o644) },
		"link":   func() error { return os.Symlink(mine, planted) },
		"pipe":   func() error { return syscall.Mkfifo(planted, 0o644) },
		"folder": func() error { return os.Mkdir(planted, 0o755) },
	} {
		t.Run(name, func(t *testing.T) {
			defer os.Remove(planted)
			if err := plant(); err != nil {
				t.Fatal(err)
			}
			if err := os.Lchown(planted, stranger, stranger); err != nil {
				t.Fatal(err)
			}
			for _, from := range []string{dir, tmp} {
				l, warnings, err := settings.FindLocal(from, tmp)
				want := fmt.Sprintf("%q is passed over: it belongs to user %d, who is neither you nor the owner of the current folder", planted, stranger)
				if err != nil || l.Path != "" || len(warnings) != 1 || warnings[0] != want {
					t.Errorf("from %s: found %+v, %q, %v", from, l, warnings, err)
				}
			}
		})
	}
	t.Run("checkout-of-theirs", func(t *testing.T) {
		repo := filepath.Join(tmp, "repo")
		write(t, filepath.Join(repo, ".countersign.json"), `{"project": "theirs"}`)
		for _, p := range []string{repo, filepath.Join(repo, ".countersign.json")} {
			if err := os.Chown(p, stranger, stranger); err != nil {
				t.Fatal(err)
			}
		}
		if l, warnings, err := settings.FindLocal(repo, tmp); err != nil || l.Project != "theirs" || len(warnings) > 0 {
			t.Errorf("found %+v, %v, %v", l, warnings, err)
		}
	})
}

func TestLocalPipeDoesNotHang(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, ".countersign.json"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := settings.FindLocal(dir, dir); err == nil || !strings.HasSuffix(err.Error(), "is no regular file") {
		t.Errorf("a pipe: %v", err)
	}
}
