package robustness

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

// TestRestore takes a backup of a server under load and starts another one from
// it: what was acknowledged before the backup is there, and the log is whole.
func TestRestore(t *testing.T) {
	s := newStore(t, t.TempDir(), "")
	p := s.start(t)
	for n := range 20 {
		must(t)(p.aws("CreateSecret", map[string]any{"Name": fmt.Sprintf("restore/%d", n), "ClientRequestToken": version(n), "SecretString": value(n)}))
	}
	stop := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		for n := 100; ; n++ {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			if _, err := p.aws("PutSecretValue", map[string]any{"SecretId": "restore/19", "ClientRequestToken": version(n), "SecretString": value(n)}); err != nil {
				done <- err
				return
			}
		}
	}()
	backup := must(t)(p.native(http.MethodPost, "/backup", map[string]any{}))
	close(stop)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	p.stop(t)

	other := &store{dir: t.TempDir(), key: s.key}
	other.config = filepath.Join(other.dir, "server.yaml")
	file := filepath.Join(other.dir, "backup.tar")
	write(t, file, backup.body)
	if out, said, code := command(t, "restore", "--backup", file, "--data", other.data()); code != 0 {
		t.Fatalf("restore ended with %d: %s%s", code, out, said)
	}
	if _, err := os.Stat(filepath.Join(other.data(), "root.key")); err == nil {
		t.Fatal("the backup held the root key")
	}
	write(t, filepath.Join(other.data(), "root.key"), read(t, filepath.Join(s.data(), "root.key")))
	other.configure(t, "")
	other.mustFsck(t)
	other.mustVerify(t)
	p = other.start(t)
	for n := range 19 {
		if got, _, err := p.value(fmt.Sprintf("restore/%d", n), n%2 == 0); err != nil || got != value(n) {
			t.Errorf("restore/%d is %q, %v", n, got, err)
		}
	}
	if code := p.stop(t); code != 0 {
		t.Errorf("the server ended with %d", code)
	}
	other.mustVerify(t)
	other.mustFsck(t)
}
