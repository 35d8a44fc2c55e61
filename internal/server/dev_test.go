package server

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// runDev runs Dev until its ready line, reads its env file, and stops it.
func runDev(t *testing.T, dir string) (env map[string]string, out, talk string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stdout, stderr := &buffer{}, &buffer{}
	done := make(chan error, 1)
	go func() {
		done <- Dev(ctx, DevOptions{Dir: dir, Listen: "127.0.0.1:0", Stdout: &readyWriter{stdout, cancel}, Stderr: stderr})
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("no ready line")
	}
	info, err := os.Stat(filepath.Join(dir, "env"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("env: %v, %v, want mode 0600", info, err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "env"))
	if err != nil {
		t.Fatal(err)
	}
	env = map[string]string{}
	for line := range strings.Lines(string(text)) {
		k, v, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
		if !ok || !strings.HasPrefix(line, "export ") {
			t.Errorf("env has the line %q", line)
		}
		env[k] = strings.Trim(v, "'")
	}
	return env, stdout.String(), stderr.String()
}

// readyWriter stops the server once it said that it is ready.
type readyWriter struct {
	*buffer
	stop func()
}

func (w *readyWriter) Write(p []byte) (int, error) {
	n, err := w.buffer.Write(p)
	w.stop()
	return n, err
}

func TestDev(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "folder")
	env, out, talk := runDev(t, dir)
	for _, k := range []string{"AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "COUNTERSIGN_ADDR", "COUNTERSIGN_TOKEN", "VAULT_ADDR", "VAULT_TOKEN"} {
		if env[k] == "" {
			t.Errorf("env has no %s", k)
		}
	}
	if strings.Count(out, "\n") != 1 || !strings.Contains(out, "ready on "+env["AWS_ENDPOINT_URL"]) {
		t.Errorf("stdout is %q, want one line with the endpoint", out)
	}
	if !strings.Contains(talk, env["AWS_ACCESS_KEY_ID"]) || strings.Contains(talk+out, env["AWS_SECRET_ACCESS_KEY"]) {
		t.Error("what it prints names the key's id and never its secret")
	}

	again, _, _ := runDev(t, dir)
	if again["AWS_ACCESS_KEY_ID"] != env["AWS_ACCESS_KEY_ID"] || again["AWS_SECRET_ACCESS_KEY"] != env["AWS_SECRET_ACCESS_KEY"] {
		t.Error("a second start made another key, though the first still works")
	}
	if err := os.Remove(filepath.Join(dir, "env")); err != nil {
		t.Fatal(err)
	}
	fresh, _, _ := runDev(t, dir)
	if fresh["AWS_ACCESS_KEY_ID"] == env["AWS_ACCESS_KEY_ID"] || fresh["AWS_SECRET_ACCESS_KEY"] == "" {
		t.Error("without its env file it should have made a new key")
	}
}

func TestDevListensOnLoopbackOnly(t *testing.T) {
	for _, listen := range []string{"0.0.0.0:8200", ":8200", "example.com:8200", "nonsense"} {
		if err := Dev(t.Context(), DevOptions{Dir: t.TempDir(), Listen: listen}); err == nil || !strings.Contains(err.Error(), "--listen") {
			t.Errorf("Dev on %q: %v", listen, err)
		}
	}
}
