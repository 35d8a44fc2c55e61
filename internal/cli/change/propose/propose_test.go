package propose_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/cli/change/propose"
	"countersign/internal/cli/clitest"
	"countersign/internal/cli/exit"
	"countersign/internal/client"
)

const canary = "canary-c4a7d1e2-value"

// parsed makes options out of a command line.
func parsed(t *testing.T, r *clitest.Run, args ...string) (*propose.Options, error) {
	t.Helper()
	var got *propose.Options
	cmd := propose.NewCmd(r.Env, func(_ context.Context, o *propose.Options) error { got = o; return nil })
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(args)
	return got, cmd.ExecuteContext(t.Context())
}

func TestUsage(t *testing.T) {
	for _, tt := range []struct{ args, says string }{
		{"n", "--reason is missing"},
		{"n -r x --set K=" + canary, "a value is never an argument"},
		{"n -r x --set =" + canary, "the key is missing"},
		{"n -r x --set K=@", "the file is missing"},
		{"n -r x --set K --set K=@f", `key "K" is given twice`},
		{"n -r x --set K --set L=@-", "one value can be read from standard input"},
		{"n -r x --draft --wait", "--draft excludes --wait"},
		{"n -r x --within 1h", "--within goes with --wait"},
		{"n -r x --wait --within soon", "--within: "},
		{"n -r x --replace --set K", "--replace is for a file"},
		{"n -r x --trim", "--trim goes with --set"},
	} {
		t.Run(strings.ReplaceAll(tt.args, " ", "_"), func(t *testing.T) {
			_, err := parsed(t, clitest.New(t, clitest.Routes{}, ""), strings.Fields(tt.args)...)
			if exit.Of(t.Context(), err) != exit.Usage || !strings.Contains(err.Error(), tt.says) {
				t.Fatalf("got %v, want %q", err, tt.says)
			}
			if strings.Contains(err.Error(), canary) {
				t.Error("the error repeats a value")
			}
		})
	}
}

type patch struct {
	Set       map[string]string
	Unset     []string
	Replace   bool
	Reason    string
	Draft     bool
	NotBefore time.Time `json:"not_before"`
}

// server takes a proposal and tells what it got.
func server(t *testing.T, in string, more clitest.Routes) (*clitest.Run, *patch) {
	got := &patch{}
	routes := clitest.Routes{
		"POST /secret/patch": func(r *http.Request) string {
			*got = patch{}
			if err := json.NewDecoder(r.Body).Decode(got); err != nil {
				t.Error(err)
			}
			if got.Draft {
				return `{"name":"n","change":"01A","status":"draft"}`
			}
			return `{"name":"n","change":"01A","status":"pending"}`
		},
		"GET /changes/01A": `{"id":"01A","short":"01","status":"pending","diff":[{"key":"NEW","change":"added"},{"key":"GONE","change":"removed"},{"key":"K","change":"same"}]}`,
	}
	for k, v := range more {
		routes[k] = v
	}
	return clitest.New(t, routes, in), got
}

func TestWhatIsProposed(t *testing.T) {
	dir := t.TempDir()
	env, key := filepath.Join(dir, "a.env"), filepath.Join(dir, "key")
	for name, text := range map[string]string{env: "A=1\nB='two words'\n", key: "line\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name string
		args []string
		in   string
		want patch
	}{
		{"file", []string{"-f", env}, "", patch{Set: map[string]string{"A": "1", "B": "two words"}}},
		{"stdin-file", []string{"-f", "-"}, "A=x\n", patch{Set: map[string]string{"A": "x"}}},
		{"set", []string{"--set", "K"}, "v\n", patch{Set: map[string]string{"K": "v\n"}}},
		{"set-trimmed", []string{"--set", "K", "--trim"}, "v\n", patch{Set: map[string]string{"K": "v"}}},
		{"set-from-file", []string{"--set", "K=@" + key, "--unset", "OLD"}, "", patch{Set: map[string]string{"K": "line\n"}, Unset: []string{"OLD"}}},
		{"file-and-set", []string{"-f", env, "--set", "A"}, "mine", patch{Set: map[string]string{"A": "mine", "B": "two words"}}},
		{"unset-alone", []string{"--unset", "OLD"}, "", patch{Unset: []string{"OLD"}}},
		{"replace", []string{"-f", env, "--replace", "-y"}, "", patch{Set: map[string]string{"A": "1", "B": "two words"}, Replace: true}},
		{"at", []string{"--unset", "OLD", "--at", "2030-01-01T00:00:00Z"}, "", patch{Unset: []string{"OLD"}, NotBefore: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, got := server(t, tt.in, nil)
			o, err := parsed(t, r, append([]string{"n", "-r", "why"}, tt.args...)...)
			if err == nil {
				err = propose.Run(t.Context(), o)
			}
			if err != nil {
				t.Fatal(err)
			}
			tt.want.Reason = "why"
			if d := cmp.Diff(tt.want, *got); d != "" {
				t.Error(d)
			}
			if r.Out.String() != "01A\tpending\n" {
				t.Errorf("printed %q", r.Out)
			}
			for _, want := range []string{"Change proposed: 01\n", "  + NEW\n  - GONE\n", "countersign review --id 01\n"} {
				if !strings.Contains(r.Err.String(), want) {
					t.Errorf("did not say %q: %q", want, r.Err)
				}
			}
		})
	}
}

func TestInputsThatAreRefused(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.env")
	if err := os.WriteFile(bad, []byte("A=1\n"+canary+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		args []string
		says string
	}{
		{"bad-file", []string{"-f", bad}, "line 2"},
		{"no-file", []string{"-f", filepath.Join(dir, "none")}, "there is no file"},
		{"two-from-one-pipe", []string{"--set", "A", "--set", "B"}, "one value can be read from standard input"},
		{"file-and-value-from-one-pipe", []string{"-f", "-", "--set", "A"}, "standard input holds the file already"},
		{"replace-unasked", []string{"-f", "-", "--replace"}, "give --yes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, got := server(t, "X=1\n", nil)
			o, err := parsed(t, r, append([]string{"n", "-r", "why"}, tt.args...)...)
			if err == nil {
				err = propose.Run(t.Context(), o)
			}
			if exit.Of(t.Context(), err) != exit.Usage || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), canary) {
				t.Errorf("got %v, want %q", err, tt.says)
			}
			if got.Reason != "" {
				t.Errorf("proposed %+v", *got)
			}
		})
	}
}

// TestReplace holds that the keys that would go are named, and that no draft
// stays where the answer is no.
func TestReplace(t *testing.T) {
	for answer, want := range map[string]string{"y\n": "ready", "n\n": "withdraw", "": "withdraw"} {
		t.Run(want+fmt.Sprint(len(answer)), func(t *testing.T) {
			did := ""
			step := func(name, status string) func(*http.Request) string {
				return func(*http.Request) string { did += name; return `{"id":"01A","status":"` + status + `"}` }
			}
			r, got := server(t, answer, clitest.Routes{"POST /changes/01A/ready": step("ready", "pending"), "POST /changes/01A/withdraw": step("withdraw", "withdrawn")})
			r.Env.Streams.InTerminal = true
			o := &propose.Options{Env: r.Env, Name: "n", Unset: []string{"X"}, Replace: true, Reason: "why"}
			err := propose.Run(t.Context(), o)
			if (err == nil) != (want == "ready") {
				t.Errorf("got %v", err)
			}
			if did != want || !got.Draft || !got.Replace {
				t.Errorf("did %q with %+v", did, *got)
			}
			if s := r.Err.String(); !strings.Contains(s, "These keys would be removed:\n  - GONE\nRemove 1 key? (y/N): ") {
				t.Errorf("asked %q", s)
			}
		})
	}
}

func TestNothingToChange(t *testing.T) {
	r, _ := server(t, "", clitest.Routes{"POST /secret/patch": `{"name":"n","version":3,"status":"applied"}`})
	if err := propose.Run(t.Context(), &propose.Options{Env: r.Env, Name: "n", Unset: []string{"X"}, Reason: "why"}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(r.Err.String(), "nothing to change") || r.Out.Len() != 0 {
		t.Errorf("said %q, printed %q", r.Err, r.Out)
	}
}

// TestMayNotRead holds that who may only propose sees what became of it.
func TestMayNotRead(t *testing.T) {
	r, _ := server(t, "", clitest.Routes{"GET /changes/01A": `403 {"kind":"denied","message":"no"}`})
	if err := propose.Run(t.Context(), &propose.Options{Env: r.Env, Name: "n", Unset: []string{"X"}, Reason: "why"}); err != nil {
		t.Fatal(err)
	}
	if r.Out.String() != "01A\tpending\n" {
		t.Errorf("printed %q", r.Out)
	}
}

func TestWait(t *testing.T) {
	for _, tt := range []struct {
		status string
		more   string
		code   exit.Code
		says   string
	}{
		{client.Applied, "", exit.OK, ""},
		{client.Rejected, "", exit.Rejected, "the change is rejected"},
		{client.Withdrawn, "", exit.Withdrawn, "the change is withdrawn"},
		{client.Expired, "", exit.Expired, "the change is expired"},
		{client.Conflicted, "", exit.Conflicted, "the change is conflicted"},
		{client.Pending, `,"conflict":"A"`, exit.Conflicted, "the change is conflicted"},
		{client.Pending, "", exit.Waiting, "the change is pending still, after 1h0m0s"},
		{client.Approved, "", exit.Waiting, "the change is approved still, after 1h0m0s"},
	} {
		t.Run(tt.status+fmt.Sprint(tt.code), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked := 0
				r, _ := server(t, "", clitest.Routes{"GET /changes/01A": func(*http.Request) string {
					switch asked++; {
					case asked == 3:
						return `503 {"kind":"unavailable","message":"starting"}`
					case asked < 6:
						return `{"id":"01A","status":"pending","diff":[]}`
					}
					return `{"id":"01A","status":"` + tt.status + `","version":7,"diff":[]` + tt.more + `}`
				}})
				began := time.Now()
				o := &propose.Options{Env: r.Env, Name: "n", Unset: []string{"X"}, Reason: "why", Wait: true, Within: time.Hour, JSON: true}
				err := propose.Run(t.Context(), o)
				if exit.Of(t.Context(), err) != tt.code || tt.says != "" && exit.Message(t.Context(), err) != tt.says {
					t.Errorf("got %v, want code %d and %q", err, tt.code, tt.says)
				}
				var printed client.Change
				if err := json.Unmarshal(r.Out.Bytes(), &printed); err != nil || printed.ID != "01A" {
					t.Errorf("printed %q", r.Out)
				}
				if took := time.Since(began); (took >= time.Hour) != (tt.code == exit.Waiting) {
					t.Errorf("it took %s", took)
				}
			})
		})
	}
}

func TestWaitIsInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := server(t, "", nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := propose.Run(ctx, &propose.Options{Env: r.Env, Name: "n", Unset: []string{"X"}, Reason: "why", Wait: true})
		if exit.Of(ctx, err) != exit.Interrupted {
			t.Errorf("got %v", err)
		}
	})
}
