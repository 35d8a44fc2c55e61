package robustness

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRolledBackLog puts the folder of the audit log back to an older copy of
// itself, which is whole by itself. The store knows better.
func TestRolledBackLog(t *testing.T) {
	s := newStore(t, t.TempDir(), "")
	p := s.start(t)
	must(t)(p.aws("CreateSecret", map[string]any{"Name": "a", "ClientRequestToken": version(1), "SecretString": "1"}))
	p.stop(t)
	copied := filepath.Join(s.dir, "older")
	if err := os.CopyFS(copied, os.DirFS(s.audit())); err != nil {
		t.Fatal(err)
	}
	p = s.start(t)
	for n := range 5 {
		must(t)(p.aws("PutSecretValue", map[string]any{"SecretId": "a", "ClientRequestToken": version(n + 2), "SecretString": value(n)}))
	}
	p.stop(t)

	if err := os.RemoveAll(s.audit()); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(s.audit(), os.DirFS(copied)); err != nil {
		t.Fatal(err)
	}
	s.mustVerify(t) // it is whole: only the store can tell
	_, said, code := command(t, "server", "--config", s.config)
	if code == 0 || !strings.Contains(said, "audit log") || !strings.Contains(said, "audit.accept_loss") {
		t.Fatalf("with an older log the server ended with %d and said %q", code, line(said))
	}
	t.Logf("refused: %s", line(said))

	s.configure(t, "audit: {accept_loss: true}")
	p = s.start(t)
	if got, _, err := p.value("a", true); err != nil || got != value(4) {
		t.Errorf("the value is %q, %v", got, err)
	}
	a := must(t)(p.native("GET", "/audit?limit=50", nil))
	if !strings.Contains(string(a.body), "accept") {
		t.Errorf("the log does not say that a loss was accepted: %s", a.body)
	}
	p.stop(t)
	s.configure(t, "")
	p = s.start(t) // once accepted, it is not asked for again
	p.stop(t)
	s.mustVerify(t)
	s.mustFsck(t)
}
