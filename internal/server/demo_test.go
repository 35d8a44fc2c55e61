package server

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"countersign/internal/sensitive"
)

// TestDemo prepares a demonstration twice: the second time changes nothing that
// somebody relies on.
func TestDemo(t *testing.T) {
	dir := t.TempDir()
	first := demoOnce(t, dir)
	if second := demoOnce(t, dir); strings.Join(first, " ") != strings.Join(second, " ") {
		t.Errorf("keys changed: %v, %v", first, second)
	}
}

// demoOnce runs a server with a demonstration and returns the keys of its people.
func demoOnce(t *testing.T, dir string) (ids []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	stdout, stderr := &buffer{}, &buffer{}
	err := Dev(ctx, DevOptions{Dir: dir, Listen: "127.0.0.1:0", Demo: true, Stdout: &readyWriter{stdout, cancel}, Stderr: stderr})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(stderr.String(), "alice.env") {
		t.Errorf("the walkthrough is not printed: %s", stderr.String())
	}
	for _, p := range demoPeople {
		path := demoEnvPath(dir, p.name)
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("%s: %v, %v", filepath.Base(path), info, err)
		}
		key, err := readEnv(path)
		if err != nil || sensitive.FromString(key.secret).Len() == 0 {
			t.Fatalf("%s holds no key: %v", filepath.Base(path), err)
		}
		ids = append(ids, key.id)
	}
	return ids
}
