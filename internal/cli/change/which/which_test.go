package which_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"countersign/internal/cli/change/which"
	"countersign/internal/cli/clitest"
	"countersign/internal/cli/exit"
	"countersign/internal/cli/settings"
)

const api = `{"name":"api","environments":[{"name":"dev","secret":"s/api/dev"},{"name":"prod","secret":"s/api/prod"}]}`

func run(t *testing.T, s settings.Inputs, more clitest.Routes) *clitest.Run {
	routes := clitest.Routes{
		"GET /projects/api": api,
		"GET /projects":     `{"items":[` + api + `,{"name":"pay"}]}`,
	}
	for k, v := range more {
		routes[k] = v
	}
	r := clitest.New(t, routes, "")
	r.Settings = s
	return r
}

func defaults(project, env string) settings.Inputs {
	return settings.Inputs{Local: settings.Local{Path: "/w/.countersign.json", Project: project, Env: env}}
}

func TestFind(t *testing.T) {
	for _, tt := range []struct {
		name  string
		flags which.Flags
		arg   string
		in    settings.Inputs
		want  string
		code  exit.Code
	}{
		{"flags", which.Flags{Project: "api", Env: "dev"}, "", settings.Inputs{}, "api/dev s/api/dev", 0},
		{"file", which.Flags{}, "", defaults("api", "prod"), "api/prod s/api/prod", 0},
		{"flag-over-file", which.Flags{Env: "dev"}, "", defaults("api", "prod"), "api/dev s/api/dev", 0},
		{"name", which.Flags{}, "a/secret", defaults("api", "prod"), "a/secret a/secret", 0},
		{"name-and-flag", which.Flags{Env: "dev"}, "a/secret", settings.Inputs{}, "give either NAME or", exit.Usage},
		{"no-project", which.Flags{}, "", settings.Inputs{}, "no project is named", exit.Usage},
		{"no-env", which.Flags{Project: "api"}, "", settings.Inputs{}, "no env is named", exit.Usage},
		{"bad-name", which.Flags{Project: "a/b"}, "", settings.Inputs{}, "is no name", exit.Usage},
		{"unknown-project", which.Flags{}, "", defaults("apo", "dev"), `there is no project "apo" (which /w/.countersign.json names); there is api, pay`, exit.NotFound},
		{"unknown-env", which.Flags{Env: "qa"}, "", defaults("api", ""), `the project "api" has no environment "qa"; there is dev, prod`, exit.NotFound},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := run(t, tt.in, nil)
			p, err := tt.flags.Find(t.Context(), r.Env, r.Client, tt.arg)
			if tt.code != 0 {
				if err == nil || exit.Of(t.Context(), err) != tt.code || !strings.Contains(err.Error(), tt.want) {
					t.Fatalf("got %v, want code %d and %q", err, tt.code, tt.want)
				}
				return
			}
			if got := p.String() + " " + p.Secret; err != nil || got != tt.want {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

func TestAll(t *testing.T) {
	for _, tt := range []struct {
		name  string
		flags which.Flags
		in    settings.Inputs
		want  string
	}{
		{"project-alone-is-all", which.Flags{Project: "api"}, defaults("pay", "dev"), "[api/dev api/prod]"},
		{"file", which.Flags{}, defaults("api", "dev"), "[api/dev]"},
		{"file-without-env", which.Flags{}, defaults("api", ""), "[api/dev api/prod]"},
		{"env", which.Flags{Env: "prod"}, defaults("api", "dev"), "[api/prod]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := run(t, tt.in, nil)
			got, err := tt.flags.All(t.Context(), r.Env, r.Client)
			if err != nil || fmt.Sprint(got) != tt.want {
				t.Errorf("got %v, %v, want %s", got, err, tt.want)
			}
		})
	}
}

// changes answers a listing with the changes of the secret that is asked for,
// and with everybody's when none is: nothing may ask so.
func changes(t *testing.T, of map[string]string) func(*http.Request) string {
	return func(r *http.Request) string {
		name := r.FormValue("name")
		if name == "" {
			t.Error("changes of all projects were asked for")
		}
		return `{"items":[` + of[name] + `]}`
	}
}

func TestWaiting(t *testing.T) {
	of := map[string]string{"s/api/dev": `{"id":"01B"}`, "s/api/prod": `{"id":"01A"}`}
	for _, tt := range []struct {
		name string
		w    which.Change
		in   settings.Inputs
		want string
		code exit.Code
	}{
		{"id", which.Change{ID: "01X"}, settings.Inputs{}, "01X", 0},
		{"env", which.Change{Latest: true}, defaults("api", "prod"), "01A", 0},
		{"newest-of-project", which.Change{Latest: true, Flags: which.Flags{Project: "api"}}, settings.Inputs{}, "01B", 0},
		{"no-project", which.Change{Latest: true}, settings.Inputs{}, "give --project, or name the change by --id", exit.Usage},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := run(t, tt.in, clitest.Routes{"GET /changes": changes(t, of)})
			got, err := tt.w.Waiting(t.Context(), r.Env, r.Client)
			if tt.code != 0 {
				if err == nil || exit.Of(t.Context(), err) != tt.code || !strings.Contains(err.Error(), tt.want) {
					t.Fatalf("got %v, want code %d and %q", err, tt.code, tt.want)
				}
				return
			}
			if err != nil || got != tt.want {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
		})
	}
	r := run(t, defaults("api", "prod"), clitest.Routes{"GET /changes": changes(t, nil)})
	_, err := (&which.Change{Latest: true}).Waiting(t.Context(), r.Env, r.Client)
	if exit.Of(t.Context(), err) != exit.NotFound || !strings.Contains(err.Error(), "no change waits for review in api/prod") {
		t.Errorf("got %v", err)
	}
}

// TestApplied holds that the newest applied change is by when it was applied,
// not by when it was proposed, and one of a value.
func TestApplied(t *testing.T) {
	of := map[string]string{"s": `{"id":"01D","base_version":3,"version":3},{"id":"01C","base_version":1,"version":2},{"id":"01B","base_version":2,"version":3},{"id":"01A","version":1}`}
	r := run(t, settings.Inputs{}, clitest.Routes{"GET /changes": changes(t, of)})
	got, err := (&which.Change{Latest: true}).Applied(t.Context(), r.Client, which.Place{Secret: "s"})
	if err != nil || got != "01B" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := (&which.Change{Latest: true}).Applied(t.Context(), r.Client, which.Place{Secret: "none"}); exit.Of(t.Context(), err) != exit.NotFound {
		t.Errorf("got %v", err)
	}
}
