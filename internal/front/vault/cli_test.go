package vault

import (
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"countersign/internal/core/coretest"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the answers into the transcripts")

// TestCommandLine plays the transcripts in testdata/cli, each against a server of
// its own: the requests that the commands of vault and bao send, with the bodies
// that they send them with. A transcript is exchanges:
//
//	# vault command, of which the next requests are
//	> METHOD path {body}
//	> Header: value
//	< status
//	{answer, with what differs between runs replaced}
//
// The header that every request of theirs has is left out, and so is the token of
// the administrator; "X-Vault-Token:" without one sends none. $ROOT is that token,
// $TOKEN and $ACCESSOR are of the last token that was answered, $WRAP of the last
// wrapped answer and $MIGRATION of the last move.
func TestCommandLine(t *testing.T) {
	files, err := filepath.Glob("testdata/cli/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			script, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			p := player{server: newServer(t, coretest.Config{}), vars: map[string]string{}}
			p.vars["$ROOT"] = p.root
			got := p.play(t, string(script))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if diff := cmp.Diff(string(script), got); diff != "" {
				t.Errorf("the answers differ (-want +got):\n%s", diff)
			}
		})
	}
}

// player plays one transcript.
type player struct {
	*server
	vars map[string]string // what requests are filled in with
}

// play sends the requests of a script and returns it with the answers.
func (p *player) play(t *testing.T, script string) string {
	t.Helper()
	var out strings.Builder
	for exchange := range strings.SplitSeq(strings.TrimSpace(script), "\n\n") {
		var request []string
		for line := range strings.Lines(exchange) {
			line = strings.TrimSuffix(line, "\n")
			switch sent, is := strings.CutPrefix(line, "> "); {
			case is:
				request = append(request, p.fill(sent))
			case !strings.HasPrefix(line, "#"):
				continue
			}
			out.WriteString(line + "\n")
		}
		if len(request) > 0 {
			w := p.send(t, request[0], request[1:])
			p.learn(w.Body.String())
			fmt.Fprintf(&out, "< %d\n%s\n", w.Code, plain(w.Body.String()))
		}
		out.WriteString("\n")
	}
	return strings.TrimSuffix(out.String(), "\n")
}

// send makes a request of the lines of a transcript.
func (p *player) send(t *testing.T, line string, headers []string) *httptest.ResponseRecorder {
	t.Helper()
	method, rest, _ := strings.Cut(line, " ")
	path, body, _ := strings.Cut(rest, " ")
	token, all := p.root, []string{"X-Vault-Request: true"}
	for _, h := range headers {
		if v, is := strings.CutPrefix(h, "X-Vault-Token:"); is {
			token = strings.TrimSpace(v)
			continue
		}
		all = append(all, h)
	}
	return p.do(t, token, method, path, body, all...)
}

func (p *player) fill(s string) string {
	for k, v := range p.vars {
		s = strings.ReplaceAll(s, k, v)
	}
	return s
}

// learned are the members of answers that later requests are filled in with.
var learned = map[string]*regexp.Regexp{
	"$TOKEN":     regexp.MustCompile(`"client_token":"([^"]+)"`),
	"$ACCESSOR":  regexp.MustCompile(`"auth":\{.*"accessor":"([^"]+)"`),
	"$WRAP":      regexp.MustCompile(`"wrap_info":\{.*"token":"([^"]+)"`),
	"$MIGRATION": regexp.MustCompile(`"migration_id":"([^"]+)"`),
}

func (p *player) learn(body string) {
	for k, find := range learned {
		if m := find.FindStringSubmatch(body); m != nil {
			p.vars[k] = m[1]
		}
	}
}

// differs is what is not the same in two runs, and what stands for it.
var differs = []struct {
	find *regexp.Regexp
	put  string
}{
	{regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`), "UUID"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "TIME"},
	{regexp.MustCompile(`("accessor":"\w+_)[0-9a-z]{8}"`), `${1}X"`},
	{regexp.MustCompile(`hmac-sha256:[0-9a-f]{64}`), "hmac-sha256:HASH"},
	{regexp.MustCompile(`("(?:wrapped_)?accessor":")[0-9A-Za-z]{24}"`), `${1}ACCESSOR"`},
	{regexp.MustCompile(`"accessor":"AKIA\w+"`), `"accessor":"KEY"`},
	{regexp.MustCompile(`"cv[sbw]\.[\w-]+"`), `"TOKEN"`},
	{regexp.MustCompile(`"cst_\w+"`), `"ROOT"`},
	{regexp.MustCompile(`\(decision \w+\)`), "(decision ID)"},
	{regexp.MustCompile(`"(server_time_utc|creation_time|last_renewal_time)":\d+`), `"$1":0`},
	{regexp.MustCompile(`"ttl":\d+,"type"`), `"ttl":0,"type"`}, // of a token, which runs
}

func plain(body string) string {
	for _, d := range differs {
		body = d.find.ReplaceAllString(body, d.put)
	}
	if body = strings.TrimSpace(body); body == "" {
		return "(no body)"
	}
	return body
}
