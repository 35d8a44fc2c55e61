package secretsmanager

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"countersign/internal/core/coretest"
	"countersign/internal/front/aws/awstest"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the answers into the transcripts")

// TestWire plays the transcripts in testdata/wire, each against a server of its
// own. A transcript is exchanges:
//
//	> Operation {request}
//	< status
//	{answer, with what differs between runs replaced}
//
// In a request, $ARN is the last ARN that was answered and $NEXT the last
// NextToken; "@region" after the operation calls in that region, "@user" calls
// as a user without permissions. A line "! protect PATTERN" puts a protection
// rule, and "! approve" lets the change that waits take effect, both from beside
// this front. Lines that begin with # are comments.
func TestWire(t *testing.T) {
	files, err := filepath.Glob("testdata/wire/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	played := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^> (\w+)`).FindAllSubmatch(text, -1) {
			played[string(m[1])] = true
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			play(t, file, string(text))
		})
	}
	for _, r := range operations() {
		if op := r(&front{}); !played[op.Name] {
			t.Errorf("no transcript has %s", op.Name)
		}
	}
}

func play(t *testing.T, file, script string) {
	f := newFixture(t, coretest.Config{}, false)
	_, key := f.User(t, "nobody", "")
	clients := map[string]*awstest.Client{"": f.admin, "user": f.client(key)}
	second := *f.admin
	second.Region = coretest.Second
	clients[coretest.Second] = &second
	var out strings.Builder
	var arn, next string
	skipping := false
	for line := range strings.Lines(script) {
		request, is := strings.CutPrefix(line, "> ")
		switch {
		case strings.HasPrefix(line, "#"), strings.HasPrefix(line, "!"):
			skipping = false
			out.WriteString(line)
			if pattern, is := strings.CutPrefix(strings.TrimSpace(line), "! protect "); is {
				f.protect(t, pattern)
			} else if strings.HasPrefix(line, "! approve") {
				f.approve(t)
			}
			continue
		case !is && (strings.HasPrefix(line, "<") || skipping):
			skipping = strings.TrimSpace(line) != ""
			continue
		case !is:
			out.WriteString(line)
			continue
		}
		out.WriteString(line)
		op, in, _ := strings.Cut(strings.TrimSpace(request), " ")
		op, who, _ := strings.Cut(op, "@")
		in = strings.NewReplacer("$ARN", arn, "$NEXT", next).Replace(in)
		a := clients[who].Do(op, []byte(in))
		b := object(t, a)
		if v := b.text("ARN"); v != "" {
			arn = v
		}
		if v := b.text("NextToken"); v != "" {
			next = v
		}
		fmt.Fprintf(&out, "< %d\n%s\n\n", a.Status, normal(a.Body))
		skipping = true
	}
	if *update {
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(script, out.String()); diff != "" {
		t.Errorf("the answers differ (-want +got):\n%s", diff)
	}
}

// normal replaces what differs between runs.
func normal(b []byte) []byte {
	for _, r := range []struct{ find, put string }{
		{`(secret:[^" ]*)-[A-Za-z0-9]{6}([" .])`, `$1-SUFFIX$2`},
		{`Date":[0-9.]+`, `Date":0`},
		{`\(decision [0-9A-Z]{26}\)`, `(decision ID)`},
		{`"NextToken":"[^"]+"`, `"NextToken":"TOKEN"`},
		{`PENDING-[0-9A-Z]{26}`, `PENDING-CHANGE`},
		{`change [0-9A-Z]{26}`, `change CHANGE`},
		{`--id [0-9A-Z]{26}`, `--id CHANGE`},
	} {
		b = regexp.MustCompile(r.find).ReplaceAll(b, []byte(r.put))
	}
	switch {
	case len(b) == 0:
		return []byte("(no body)")
	case bytes.HasPrefix(b, []byte(`{"RandomPassword":`)):
		return []byte(`{"RandomPassword":"PASSWORD"}`)
	}
	return b
}
