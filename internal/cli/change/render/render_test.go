package render_test

import (
	"bytes"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/cli/change/reading"
	"countersign/internal/cli/change/render"
	"countersign/internal/cli/change/which"
	"countersign/internal/cli/streams"
	"countersign/internal/client"
	"countersign/internal/sensitive"
)

var now = time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)

func text(s string) *reading.Side { return &reading.Side{Data: sensitive.FromString(s)} }

func show(t *testing.T, s *streams.Streams, r reading.Reviewed, all bool) string {
	t.Helper()
	var b bytes.Buffer
	s.Out = &b
	p := render.Printer{Streams: s, Now: now, Names: which.Names{"x/api/prod": {Project: "api", Env: "prod", Secret: "x/api/prod"}}}
	if err := p.Review(r, all); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func review() reading.Reviewed {
	return reading.Reviewed{Review: client.Review{
		Change: client.Change{ID: "01KB", Noun: "secret", Name: "x/api/prod", Operation: "PutValue", Author: "arn:aws:iam::1:user/alice",
			Reason: "Add\x1b[2Jkey", Status: client.Pending, Time: now.Add(-2 * time.Hour), Rule: "prod"},
		Standing: []client.Standing{{Rule: "prod", Approvals: []client.Count{{Need: 2, Have: 1, Groups: []string{"approvers", "oncall"}, By: []string{"bob"}}}}},
		Votes: []client.Vote{{By: "arn:aws:iam::1:user/bob", Approve: true, Counts: true, Comment: "fine", Time: now, Signed: true},
			{By: "arn:aws:iam::1:user/eve", Approve: true, Time: now}},
		Comments: []client.Comment{{By: "arn:aws:iam::1:user/bob", Text: "one\n+ FORGED=line\x1b[31m", Time: now}},
		Diff:     []client.KeyDiff{{Key: "NEW", Change: "added", New: &client.Facts{Length: "9-16", Format: "uuid"}, Notes: []string{"equals staging"}}},
		Cannot:   "the author of a change cannot approve it",
	}}
}

func TestReviewWithValues(t *testing.T) {
	r := review()
	r.Values = []reading.Value{
		{Key: "GONE", Change: "removed", Old: text("old")},
		{Key: "NEW", Change: "added", New: text("v")},
		{Key: "PEM", Change: "changed", Old: text("a\nb"), New: text("a → b")},
		{Key: "SAME", Change: "same", Old: text("s"), New: text("s")},
		{Key: "odd key", Change: "added", New: &reading.Side{Data: sensitive.New([]byte{0, 255}), Binary: true}},
	}
	want := `Change:   01KB
Status:   pending
Project:  api/prod
By:       alice
Reason:   Add\x1b[2Jkey
Date:     2026-11-23T06:00:00Z
Rule:     prod

4 changes: +2 -1 ~1
- GONE=old
+ NEW=v  (equals staging)
~ PEM: "a\nb" → "a → b"
  SAME=s
+ "odd key"=base64:AP8=

1 of 2 approvals from approvers or oncall (bob)
bob approved 2026-11-23T08:00:00Z, signed: fine
eve approved 2026-11-23T08:00:00Z, which counts no longer
bob said 2026-11-23T08:00:00Z: one
    + FORGED=line\x1b[31m
You cannot approve it: the author of a change cannot approve it
`
	if diff := cmp.Diff(want, show(t, &streams.Streams{}, r, true)); diff != "" {
		t.Error(diff)
	}
	if got := show(t, &streams.Streams{}, r, false); strings.Contains(got, "SAME") {
		t.Errorf("a key that stays is shown:\n%s", got)
	}
}

func TestReviewOfWhoMayNotRead(t *testing.T) {
	r := review()
	r.Hidden = "you may not read them"
	got := show(t, &streams.Streams{}, r, false)
	for _, want := range []string{"1 change: +1 -0 ~0\n+ NEW: uuid, 9-16 bytes  (equals staging)\n", "The values are not shown: you may not read them.\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
}

// TestColour holds that colour is emphasis: without it the text is the same.
func TestColour(t *testing.T) {
	r := review()
	r.Values = []reading.Value{{Key: "NEW", Change: "added", New: text("v")}, {Key: "OLD", Change: "removed", Old: text("v")},
		{Key: "K", Change: "changed", Old: text("v"), New: text("w")}}
	plain := show(t, &streams.Streams{OutTerminal: true}, r, true)
	coloured := show(t, &streams.Streams{OutTerminal: true, Colour: true}, r, true)
	for _, want := range []string{"\x1b[32m+ NEW=v\x1b[0m", "\x1b[31m- OLD=v\x1b[0m", "\x1b[33m~ K: v → w\x1b[0m"} {
		if !strings.Contains(coloured, want) {
			t.Errorf("%q is not in\n%q", want, coloured)
		}
	}
	for _, code := range []string{"0", "1", "31", "32", "33"} {
		coloured = strings.ReplaceAll(coloured, "\x1b["+code+"m", "")
	}
	if diff := cmp.Diff(plain, coloured); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(plain, "2h ago") {
		t.Errorf("a person is not told how long ago it was:\n%s", plain)
	}
}

func TestMissing(t *testing.T) {
	s := []client.Standing{{Approvals: []client.Count{{Need: 2, Have: 1, Groups: []string{"a"}}, {Need: 1, Have: 1}, {Need: 1}}}}
	if got, want := render.Missing(s), "1 more from a, 1 more from anybody who may approve"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := render.Missing(nil); got != "" {
		t.Errorf("nothing is missing, got %q", got)
	}
}

// FuzzValue holds that a shown value is one line, moves no cursor, and can be
// read back: no two values look the same.
func FuzzValue(f *testing.F) {
	for _, s := range []string{"", "plain", `"quoted"`, "a\nb", `a\nb`, "\x1b[2J", "\xff", " x", "a → b", "base64:AA==", "\u202e", "\ufffd", "é"} {
		f.Add(s, "KEY")
	}
	f.Add("v", "``0")
	f.Fuzz(func(t *testing.T, v, key string) {
		r := reading.Reviewed{Values: []reading.Value{{Key: key, Change: "added", New: text(v)}}}
		out := show(t, &streams.Streams{}, r, false)
		_, lines, _ := strings.Cut(out, "~0\n")
		line, _, _ := strings.Cut(lines, "\n")
		for _, c := range line {
			if !unicode.IsPrint(c) {
				t.Fatalf("%q shows %q, which has %U", v, line, c)
			}
		}
		shown, ok := strings.CutPrefix(line, "+ ")
		if !ok {
			t.Fatalf("no line: %q", out)
		}
		_, shown, ok = cutKey(shown)
		if !ok {
			t.Fatalf("no key: %q", line)
		}
		if strings.HasPrefix(shown, `"`) {
			back, err := strconv.Unquote(shown)
			if err != nil || back != v {
				t.Fatalf("%q shows %s, which reads %q, %v", v, shown, back, err)
			}
		} else if shown != v {
			t.Fatalf("%q shows %q", v, shown)
		}
	})
}

// cutKey takes the key and "=" off, as a reader would.
func cutKey(s string) (key, rest string, ok bool) {
	if q, err := strconv.QuotedPrefix(s); err == nil && s[0] == '"' {
		rest, ok = strings.CutPrefix(s[len(q):], "=")
		return q, rest, ok
	}
	return strings.Cut(s, "=")
}
