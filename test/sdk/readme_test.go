package sdk

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestReadme runs every block of the README that is marked as shell, in order,
// in one shell, beside a development server, as a reader would.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var script strings.Builder
	script.WriteString("set -euo pipefail\n")
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(blocks) < 4 {
		t.Fatalf("the README has %d shell blocks", len(blocks))
	}
	for _, b := range blocks {
		script.WriteString(b[1])
	}
	work := t.TempDir()
	binary, err := filepath.Abs(os.Getenv("COUNTERSIGN_BIN"))
	if err != nil || os.Getenv("COUNTERSIGN_BIN") == "" {
		t.Fatalf("COUNTERSIGN_BIN does not name the binary: run \"make e2e\" (%v)", err)
	}
	if err := os.Mkdir(filepath.Join(work, "build"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(binary, filepath.Join(work, "build", "countersign")); err != nil {
		t.Fatal(err)
	}
	dev := exec.Command(binary, "dev", "--listen", "127.0.0.1:0")
	dev.Dir = work
	ready, err := dev.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := dev.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = dev.Process.Signal(os.Interrupt)
		if err := dev.Wait(); err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	if line, err := bufio.NewReader(ready).ReadString('\n'); err != nil {
		t.Fatalf("no ready line: %q, %v", line, err)
	}
	cmd := exec.Command("bash", "-c", script.String())
	cmd.Dir = work
	cmd.Env = append(os.Environ(), withAWS(t)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{`{"username":"admin","password":"pl4ceholder"}`, "myapp/session-key", "ReadValue"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the output lacks %q:\n%s", want, out)
		}
	}
}
