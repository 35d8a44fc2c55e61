package pull_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"countersign/internal/cli/clitest"
	"countersign/internal/cli/exit"
	"countersign/internal/cli/variables/pull"
)

func run(t *testing.T, value string) *clitest.Run {
	return clitest.New(t, clitest.Routes{"GET /secret/value": `{"value":` + value + `}`}, "")
}

// TestTerminal holds that no value drives the terminal of who pulls it.
func TestTerminal(t *testing.T) {
	const value = `"{\"A\":\"\\u001b[2J\"}"`
	r := run(t, value)
	o := &pull.Options{Env: r.Env, Name: "n", Output: "-", Format: "dotenv"}
	if err := pull.Run(t.Context(), o); err != nil || !strings.Contains(r.Out.String(), "\x1b[2J") {
		t.Errorf("piped: %q, %v", r.Out, err)
	}
	r = run(t, value)
	r.Env.Streams.OutTerminal = true
	o.Env = r.Env
	if err := pull.Run(t.Context(), o); exit.Of(t.Context(), err) != exit.Usage || r.Out.Len() > 0 {
		t.Errorf("at a terminal: %q, %v", r.Out, err)
	}
}

// TestFileIsLeft holds that what cannot be written leaves the file as it is.
func TestFileIsLeft(t *testing.T) {
	file := filepath.Join(t.TempDir(), ".env")
	const was = "# mine\nOLD=1\n"
	for name, tt := range map[string]struct {
		value string
		code  exit.Code
	}{
		"no-shell-key": {`"{\"a.b\":\"1\",\"OLD\":\"1\"}"`, exit.Usage},
		"no-object":    {`"text"`, exit.Usage},
		"would-remove": {`"{\"NEW\":\"1\"}"`, exit.Usage},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(file, []byte(was), 0o600); err != nil {
				t.Fatal(err)
			}
			r := run(t, tt.value)
			err := pull.Run(t.Context(), &pull.Options{Env: r.Env, Name: "n", Output: file, Format: "dotenv"})
			if exit.Of(t.Context(), err) != tt.code {
				t.Errorf("got %v, want code %d", err, tt.code)
			}
			if b, _ := os.ReadFile(file); string(b) != was {
				t.Errorf("the file holds %q", b)
			}
		})
	}
}
