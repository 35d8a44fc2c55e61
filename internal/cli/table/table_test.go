package table_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/cli/streams"
	"countersign/internal/cli/table"
)

func to(terminal bool) (*streams.Streams, *bytes.Buffer) {
	var b bytes.Buffer
	return &streams.Streams{Out: &b, Err: &bytes.Buffer{}, OutTerminal: terminal}, &b
}

var at = time.Date(2026, 11, 23, 8, 0, 0, 5, time.FixedZone("", 3600))

func fill(s *streams.Streams) error {
	t := table.New(s, "NAME", "VERSION", "CHANGED", "DELETED")
	t.Row("größe", uint64(12), time.Time{}, true)
	t.Row("a\tb\n\x1b[31m\u202e\xff", uint64(0), at)
	return t.Flush()
}

func TestTableForPrograms(t *testing.T) {
	s, b := to(false)
	if err := fill(s); err != nil {
		t.Fatal(err)
	}
	want := "größe\t12\t\tdeleted\n" +
		`a\tb\n\x1b[31m\u202e\xff` + "\t\t2026-11-23T07:00:00Z\t\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestTableForPeople(t *testing.T) {
	s, b := to(true)
	if err := fill(s); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(b.String(), "\n")
	want := []string{
		"NAME                       VERSION  CHANGED              DELETED",
		"größe                      12                            deleted",
		`a\tb\n\x1b[31m\u202e\xff            ` + at.Local().Format(" 2006-01-02 15:04:05"),
		"",
	}
	// The escaped name is the widest cell of its column.
	if len(lines) != 4 || !strings.HasPrefix(lines[0], "NAME  ") || strings.Contains(b.String(), "\x1b") {
		t.Fatalf("got %q", lines)
	}
	for i := range lines {
		if got, want := strings.Fields(lines[i]), strings.Fields(want[i]); !cmp.Equal(got, want) {
			t.Errorf("line %d: %q, want %q", i, got, want)
		}
	}
	if strings.Index(lines[0], "CHANGED") != strings.Index(lines[2], "2026") {
		t.Errorf("columns are not aligned:\n%s", b)
	}
}

func TestFields(t *testing.T) {
	for _, tt := range []struct {
		name     string
		terminal bool
		want     string
	}{
		{"people", true, "name  a\nkeys  x,y\n"},
		{"programs", false, "name\ta\nempty\t\nkeys\tx,y\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, b := to(tt.terminal)
			if err := table.Fields(s, "name", "a", "empty", "", "keys", []string{"x", "y"}); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, b.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDocument(t *testing.T) {
	s, b := to(false)
	doc := `{"z_first":1,"a":{"big":18446744073709551615,"on":true,"none":null},"list":["x","y"],"sub":[{"n":"1"}],"at":"2026-11-23T08:00:00.5+01:00"}`
	if err := table.Document(s, json.RawMessage(doc)); err != nil {
		t.Fatal(err)
	}
	want := "z-first\t1\na.big\t18446744073709551615\na.on\tyes\nlist\tx, y\nsub.1.n\t1\nat\t2026-11-23T07:00:00Z\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{"", "[]", "1", `{"a":`} {
		if err := table.Document(s, json.RawMessage(bad)); err == nil {
			t.Errorf("%q was shown", bad)
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add("plain")
	f.Add("a\tb\x1b\xff\u202e")
	f.Fuzz(func(t *testing.T, s string) {
		for _, r := range table.Clean(s) {
			if r < ' ' || r == 0x7f || r == '\u202e' || r == '\u2028' {
				t.Fatalf("Clean(%q) holds %U", s, r)
			}
		}
	})
}
