package get_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"countersign/internal/cli/env"
	"countersign/internal/cli/exit"
	"countersign/internal/cli/secret/get"
	"countersign/internal/cli/streams"
	"countersign/internal/client"
)

func TestParse(t *testing.T) {
	tests := []struct {
		line string
		want get.Options
	}{
		{"a/b", get.Options{Name: "a/b"}},
		{"a --version 3", get.Options{Name: "a", Which: client.Which{Version: 3}}},
		{"a --label x --version-id v", get.Options{Name: "a", Which: client.Which{Label: "x", VersionID: "v"}}},
		{"a --key k -o f", get.Options{Name: "a", Key: "k", Output: "f"}},
		{"--json a", get.Options{Name: "a", JSON: true}},
		{"--force -- -a", get.Options{Name: "-a", Force: true}},
	}
	for _, tt := range tests {
		t.Run(strings.ReplaceAll(tt.line, " ", "_"), func(t *testing.T) {
			var got *get.Options
			cmd := get.NewCmd(&env.Env{}, func(_ context.Context, o *get.Options) error { got = o; return nil })
			cmd.SetArgs(strings.Fields(tt.line))
			if err := cmd.ExecuteContext(t.Context()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&tt.want, got, cmpopts.IgnoreFields(get.Options{}, "Env")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// around is a terminal, or none, and a server that answers with one body.
func around(t *testing.T, terminal bool, answer string) (*env.Env, *bytes.Buffer) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, answer) }))
	t.Cleanup(s.Close)
	var out bytes.Buffer
	return &env.Env{
		Streams: &streams.Streams{Out: &out, Err: &bytes.Buffer{}, OutTerminal: terminal},
		Connect: func() (*client.Client, error) { return client.New(client.Config{Address: s.URL}) },
	}, &out
}

func TestTerminal(t *testing.T) {
	tests := []struct {
		name, answer string
		terminal     bool
		force        bool
		want         string
		refused      bool
	}{
		{name: "text-piped", answer: `{"value":"v"}`, want: "v"},
		{name: "text-on-terminal", answer: `{"value":"v"}`, terminal: true, want: "v\n"},
		{name: "line-on-terminal", answer: `{"value":"v\n"}`, terminal: true, want: "v\n"},
		{name: "bytes-piped", answer: `{"binary":"AP8="}`, want: "\x00\xff"},
		{name: "bytes-on-terminal", answer: `{"binary":"AP8="}`, terminal: true, refused: true},
		{name: "bytes-forced", answer: `{"binary":"AP8="}`, terminal: true, force: true, want: "\x00\xff\n"},
		{name: "escape-on-terminal", answer: `{"value":"\u001b[2J"}`, terminal: true, refused: true},
		{name: "c1-on-terminal", answer: `{"value":"\u009b2J"}`, terminal: true, refused: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e, out := around(t, tt.terminal, tt.answer)
			err := get.Run(t.Context(), &get.Options{Env: e, Name: "a", Force: tt.force})
			if tt.refused != (exit.Of(t.Context(), err) == exit.Usage) || !tt.refused && err != nil {
				t.Errorf("got %v", err)
			}
			if out.String() != tt.want {
				t.Errorf("printed %q, want %q", out, tt.want)
			}
		})
	}
}

// TestErrorsHideTheValue asks for what the value does not have.
func TestErrorsHideTheValue(t *testing.T) {
	for name, answer := range map[string]string{"no-object": `{"value":"canary"}`, "no-key": `{"value":"{\"a\":\"canary\"}"}`, "no-value": `{"valeu":"canary"}`, "no-json": `canary`} {
		t.Run(name, func(t *testing.T) {
			e, out := around(t, false, answer)
			err := get.Run(t.Context(), &get.Options{Env: e, Name: "a", Key: "k"})
			if err == nil || strings.Contains(err.Error()+out.String(), "canary") {
				t.Errorf("got %v, printed %q", err, out)
			}
		})
	}
}
