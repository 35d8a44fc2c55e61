package status_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/cli/change/status"
	"countersign/internal/cli/change/which"
	"countersign/internal/cli/clitest"
	"countersign/internal/cli/settings"
)

const project = `{"name":"api","environments":[{"name":"prod","secret":"s/api/prod"}]}`

func run(t *testing.T, items string) *clitest.Run {
	r := clitest.New(t, clitest.Routes{
		"GET /projects":     `{"items":[` + project + `]}`,
		"GET /projects/api": project,
		"GET /changes": func(r *http.Request) string {
			if got := strings.Join(r.URL.Query()["status"], ","); got != "pending,conflicted,approved" {
				t.Errorf("asked for %q", got)
			}
			if n := r.FormValue("name"); n != "" && n != "s/api/prod" {
				t.Errorf("asked for changes of %q", n)
			}
			return `{"items":[` + items + `]}`
		},
	}, "")
	r.Env.Now = func() time.Time { return time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC) }
	return r
}

const two = `{"id":"01KBAAAA","short":"01KB","name":"s/api/prod","noun":"secret","status":"pending","author":"arn:aws:iam::1:user/alice","reason":"Add\u001b[2J key","time":"2026-11-23T06:00:00Z"},
 {"id":"01KA","short":"01KA","name":"approvers","noun":"group","status":"approved","author":"arn:aws:iam::1:user/bob","time":"2026-11-20T08:00:00Z"}`

func TestForPeople(t *testing.T) {
	r := run(t, two)
	r.Env.Streams.OutTerminal = true
	if err := status.Run(t.Context(), &status.Options{Env: r.Env}); err != nil {
		t.Fatal(err)
	}
	want := `2 pending changes

ID    STATUS    PROJECT          PROPOSED  BY     REASON
01KB  pending   api/prod         2h ago    alice  Add\x1b[2J key
01KA  approved  group:approvers  3d ago    bob

Quick actions:
  countersign approve --id 01KB
  countersign review --id 01KB
  countersign approve --id 01KA
  countersign review --id 01KA
`
	if d := cmp.Diff(want, r.Out.String()); d != "" {
		t.Error(d)
	}
	r = run(t, "")
	r.Env.Streams.OutTerminal = true
	if err := status.Run(t.Context(), &status.Options{Env: r.Env}); err != nil || r.Out.String() != "0 pending changes\n" {
		t.Errorf("%q, %v", r.Out, err)
	}
}

func TestForPrograms(t *testing.T) {
	r := run(t, two)
	r.Settings = settings.Inputs{Local: settings.Local{Project: "api", Env: "prod"}}
	if err := status.Run(t.Context(), &status.Options{Env: r.Env, Change: which.Change{Flags: which.Flags{Project: "api"}}}); err != nil {
		t.Fatal(err)
	}
	want := "01KB\tpending\tapi/prod\t2026-11-23T06:00:00Z\talice\tAdd\\x1b[2J key\n"
	if got, _, _ := strings.Cut(r.Out.String(), "\n"); !strings.HasPrefix(want, got) || got == "" {
		t.Errorf("got %q, want %q", got, want)
	}
}
