package put_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"countersign/internal/cli/env"
	"countersign/internal/cli/notify/put"
	"countersign/internal/cli/streams"
	"countersign/internal/client"
	"countersign/internal/sensitive"
)

func list(s ...string) *[]string { return &s }

func parse(t *testing.T, e *env.Env, line string) (*put.Options, error) {
	t.Helper()
	var got *put.Options
	cmd := put.NewCmd(e, func(_ context.Context, o *put.Options) error { got = o; return nil })
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(strings.Fields(line))
	return got, cmd.ExecuteContext(t.Context())
}

func TestParse(t *testing.T) {
	tests := []struct {
		line string
		want put.Options
	}{
		{"a --type webhook", put.Options{Type: "webhook"}},
		{"a --kind change.* --kind break_glass.opened --name */production", put.Options{Kinds: list("change.*", "break_glass.opened"), Names: list("*/production")}},
		{"a --type email --to audience --to x@example.com -r why", put.Options{Type: "email", To: list("audience", "x@example.com"), Reason: "why"}},
		{"a --rotate --json", put.Options{Rotate: true, JSON: true}},
		{"a --url-file - --secret-file key", put.Options{URLFile: "-", SecretFile: "key"}},
	}
	for _, tt := range tests {
		t.Run(strings.ReplaceAll(tt.line, " ", "_"), func(t *testing.T) {
			tt.want.Name = "a"
			var got *put.Options
			cmd := put.NewCmd(&env.Env{}, func(_ context.Context, o *put.Options) error { got = o; return nil })
			cmd.SetArgs(strings.Fields(tt.line))
			if err := cmd.ExecuteContext(t.Context()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&tt.want, got, cmpopts.IgnoreFields(put.Options{}, "Env")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	for line, want := range map[string]string{
		"a":                                    "nothing to change",
		"a https://x.example/s3cret":           "a value is never an argument",
		"a --type pager":                       "--type:",
		"a --type email":                       "--to is missing",
		"a --type email --to x --url-file f":   "--url-file:",
		"a --type slack --to x":                "--to:",
		"a --rotate --secret-file f":           "--rotate excludes",
		"a --type webhook --secret-file -":     "--secret-file:",
		"a --url https://hooks.example/s3cret": "unknown flag: --url",
	} {
		if _, err := parse(t, &env.Env{}, line); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v, want %q", line, err, want)
		}
	}
}

// The URL comes from a file, from standard input or from a person, and where none
// is needed nothing is read.
func TestURL(t *testing.T) {
	const url = "https://hooks.example/s3cret"
	file := filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(file, []byte(url+"\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused := client.Config{Address: "http://127.0.0.1:1", Token: sensitive.FromString("t")}
	for _, x := range []struct {
		name, in string
		terminal bool
		o        put.Options
		want     string // what the error says: the server cannot be reached once everything was read
	}{
		{"file", "", false, put.Options{Type: "webhook", URLFile: file}, "cannot reach"},
		{"piped", url + "\n", false, put.Options{Type: "slack"}, "cannot reach"},
		{"asked", "", true, put.Options{Type: "teams"}, "cannot reach"},
		{"none-needed", "", true, put.Options{Rotate: true}, "cannot reach"},
		{"mail", "", true, put.Options{Type: "email", To: list("audience")}, "cannot reach"},
		{"empty", "", false, put.Options{Type: "webhook"}, "empty"},
		{"blank", " \n", false, put.Options{Type: "webhook"}, "the URL is empty"},
		{"no-file", "", false, put.Options{Type: "webhook", URLFile: file + "x"}, "opening input"},
		{"no-key-file", url, false, put.Options{Type: "webhook", SecretFile: file + "x"}, "opening input"},
	} {
		t.Run(x.name, func(t *testing.T) {
			var out, talk bytes.Buffer
			asked := 0
			s := &streams.Streams{In: strings.NewReader(x.in), Out: &out, Err: &talk, InTerminal: x.terminal}
			s.Password = func(context.Context) ([]byte, error) { asked++; return []byte(url), nil }
			o := x.o
			o.Name = "a"
			o.Env = &env.Env{Streams: s, Connect: func() (*client.Client, error) { return client.New(refused) }}
			err := put.Run(t.Context(), &o)
			if err == nil || !strings.Contains(err.Error(), x.want) {
				t.Errorf("%v, want %q", err, x.want)
			}
			if (asked > 0) != (x.name == "asked") || asked > 1 {
				t.Errorf("asked %d times", asked)
			}
			if all := out.String() + talk.String(); strings.Contains(all, "s3cret") {
				t.Errorf("the URL is printed: %s", all)
			}
		})
	}
}
