package delete_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/cli/clitest"
	"countersign/internal/cli/secret/delete"
	"countersign/internal/cli/secret/restore"
)

// Versions are deleted, destroyed and restored by their numbers, and the person is
// told what became of it.
func TestVersions(t *testing.T) {
	const done, waits = `{"change":"01C","status":"applied"}`, `{"change":"01C","status":"pending"}`
	for _, x := range []struct {
		name, line   string
		answer       string
		asks, body   string
		told, wanted string
	}{
		{"delete", "s --version 3", done, "POST /secret/versions/delete?name=s", `{"versions":[3]}`, `deleted version 3 of "s"`, ""},
		{"several", "s --version 1,2 --version 4", done, "POST /secret/versions/delete?name=s", `{"versions":[1,2,4]}`, `deleted versions 1,2,4 of "s"`, ""},
		{"destroy", "s --version 3 --force --reason leaked", done, "POST /secret/versions/destroy?name=s", `{"versions":[3],"reason":"leaked"}`, `destroyed version 3 of "s" for good`, ""},
		{"nothing", "s --version 3", `{"status":"applied"}`, "POST /secret/versions/delete?name=s", `{"versions":[3]}`, `"s" has no version 3 that is not gone already`, ""},
		{"waits", "s --version 3", waits, "POST /secret/versions/delete?name=s", `{"versions":[3]}`, "01C", ""},
		{"json", "s --version 3 --json", done, "POST /secret/versions/delete?name=s", `{"versions":[3]}`, "", `"change": "01C"`},
		{"restore", "restore s --version 3", done, "POST /secret/versions/undelete?name=s", `{"versions":[3]}`, `restored version 3 of "s"`, ""},
		{"restore-nothing", "restore s --version 3", `{"status":"applied"}`, "POST /secret/versions/undelete?name=s", `{"versions":[3]}`, `"s" has no deleted version 3`, ""},
		{"restore-json", "restore s --version 3 --json", done, "POST /secret/versions/undelete?name=s", `{"versions":[3]}`, "", `"change": "01C"`},
	} {
		t.Run(x.name, func(t *testing.T) {
			asked, body := "", ""
			r := clitest.New(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				b, _ := io.ReadAll(req.Body)
				asked, body = req.Method+" "+strings.TrimPrefix(req.URL.String(), "http://127.0.0.1:1/api/v1"), string(b)
				_, _ = io.WriteString(w, x.answer)
			}), "")
			cmd := delete.NewCmd(r.Env, nil)
			line, restores := strings.CutPrefix(x.line, "restore ")
			if restores {
				cmd = restore.NewCmd(r.Env, nil)
			}
			cmd.SetArgs(strings.Fields(line))
			if err := cmd.ExecuteContext(t.Context()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{x.asks, x.body}, []string{asked, strings.TrimSpace(body)}); diff != "" {
				t.Error(diff)
			}
			if !strings.Contains(r.Err.String(), x.told) || !strings.Contains(r.Out.String(), x.wanted) || x.wanted == "" && r.Out.Len() > 0 {
				t.Errorf("told %q, printed %q", r.Err, r.Out)
			}
		})
	}
}

func TestRefusedLines(t *testing.T) {
	for _, line := range []string{"s --version 0", "s --version x", "s --version 1, ", "s --version 1 --window 7d", "restore --version 1", "restore s --version -1"} {
		r := clitest.New(t, clitest.Routes{}, "")
		cmd := delete.NewCmd(r.Env, func(context.Context, *delete.Options) error { t.Errorf("%q was run", line); return nil })
		rest, restores := strings.CutPrefix(line, "restore ")
		if restores {
			cmd = restore.NewCmd(r.Env, func(context.Context, *restore.Options) error { t.Errorf("%q was run", line); return nil })
		}
		cmd.SetArgs(strings.Fields(rest))
		cmd.SetOut(io.Discard)
		cmd.SetErr(io.Discard)
		if err := cmd.ExecuteContext(t.Context()); err == nil {
			t.Errorf("%q is taken", line)
		}
	}
}
