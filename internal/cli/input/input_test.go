package input_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/cli/exit"
	"countersign/internal/cli/input"
	"countersign/internal/cli/streams"
)

func TestValue(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "v")
	if err := os.WriteFile(file, []byte("from file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name    string
		stdin   string
		typed   string // on a terminal; empty for none
		src     input.Source
		want    string
		said    string
		refused string
	}{
		{name: "piped", stdin: "\x00v", want: "\x00v"},
		{name: "piped-line", stdin: "v\n", want: "v\n", said: "note: the value ends with a line end, which is kept; --trim drops it\n"},
		{name: "piped-lines", stdin: "a\nb\n", want: "a\nb\n"},
		{name: "trim", stdin: "v\n\n", src: input.Source{Trim: true}, want: "v\n"},
		{name: "trim-crlf", stdin: "v\r\n", src: input.Source{Trim: true}, want: "v"},
		{name: "file", stdin: "no", src: input.Source{File: file}, want: "from file\n"},
		{name: "dash", stdin: "yes\n", src: input.Source{File: "-"}, want: "yes\n"},
		{name: "prompt", typed: "t", src: input.Source{What: "w"}, want: "t", said: "w: \nw again: \n"},
		{name: "file-on-terminal", typed: "t", src: input.Source{File: file}, want: "from file\n"},
		{name: "empty", refused: "empty"},
		{name: "only-line-end-trimmed", stdin: "\n", src: input.Source{Trim: true}, refused: "empty"},
		{name: "absent", src: input.Source{File: filepath.Join(dir, "none")}, refused: "no such file"},
		{name: "large", stdin: strings.Repeat("x", input.MaxValue+1), refused: "larger than 1048576 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var talk bytes.Buffer
			s := &streams.Streams{In: strings.NewReader(tt.stdin), Err: &talk}
			if tt.typed != "" {
				s.InTerminal = true
				s.Password = func(context.Context) ([]byte, error) { return []byte(tt.typed), nil }
			}
			v, err := input.Value(t.Context(), s, tt.src)
			if tt.refused != "" {
				if err == nil || !strings.Contains(err.Error(), tt.refused) || exit.Of(t.Context(), err) != exit.Usage {
					t.Errorf("got %v, want a usage error with %q", err, tt.refused)
				}
				return
			}
			if err != nil || string(v.Reveal()) != tt.want || talk.String() != tt.said {
				t.Errorf("got %q, %v, said %q", v.Reveal(), err, talk.String())
			}
		})
	}
}

func TestDocumentOnTerminal(t *testing.T) {
	s := &streams.Streams{In: strings.NewReader("x"), Err: io.Discard, InTerminal: true}
	if _, err := input.Document(s, ""); exit.Of(t.Context(), err) != exit.Usage {
		t.Errorf("got %v, want a usage error", err)
	}
	if got, err := input.Document(s, "-"); err != nil || got != "x" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestPairs(t *testing.T) {
	got, err := input.Pairs("--tag", []string{"a=b=c", "d="})
	if err != nil || !cmp.Equal(got, map[string]string{"a": "b=c", "d": ""}) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range [][]string{{"a"}, {"=b"}, {"a=1", "a=2"}} {
		if _, err := input.Pairs("--tag", bad); exit.Of(t.Context(), err) != exit.Usage {
			t.Errorf("%q: %v, want a usage error", bad, err)
		}
	}
}

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out")
	if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	err := input.WriteFile(path, func(w io.Writer) error {
		_, _ = io.WriteString(w, "half")
		return broken
	})
	if !errors.Is(err, broken) {
		t.Fatalf("got %v", err)
	}
	if got, _ := os.ReadFile(path); string(got) != "old" {
		t.Errorf("a failed write left %q", got)
	}
	if err := input.WriteFile(path, func(w io.Writer) error { _, err := io.WriteString(w, "new"); return err }); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	if err := input.WriteFile(filepath.Join(dir, "none", "x"), nil); err == nil {
		t.Error("wrote into a folder that does not exist")
	}
}
