package reading_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/cli/change/reading"
	"countersign/internal/cli/clitest"
	"countersign/internal/client"
	"countersign/internal/errs"
	"countersign/internal/sensitive"
)

const diff = `"diff":[{"key":"A","change":"changed"}]`

func open(current int, more string) string {
	return fmt.Sprintf(`{"id":"01A","noun":"secret","name":"n","region":"r2","status":"pending","current":%d,"digest":"d%d",%s%s}`, current, current, diff, more)
}

func spelled(r reading.Reviewed) (out []string) {
	for _, v := range r.Values {
		line := v.Change + " " + v.Key
		for _, s := range []*reading.Side{v.Old, v.New} {
			if s == nil {
				line += " -"
			} else {
				line += " " + string(s.Data.Reveal())
			}
		}
		out = append(out, line)
	}
	return out
}

func TestOpenChange(t *testing.T) {
	r := clitest.New(t, clitest.Routes{
		"GET /changes/01A":     open(3, `,"reveals":true`),
		"GET /secret/proposed": `{"change":"01A","name":"n","base_version":3,"value":"{\"A\":\"2\",\"C\":\"x\",\"N\":1.50}"}`,
		"GET /secret/value": func(req *http.Request) string {
			if req.FormValue("version") != "3" || req.FormValue("region") != "r2" {
				t.Errorf("asked for %s", req.URL)
			}
			return `{"value":"{\"A\":\"1\",\"B\":\"gone\",\"C\":\"x\"}"}`
		},
	}, "")
	got, err := reading.Fetch(t.Context(), r.Client, "01A")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"changed A 1 2", "removed B gone -", "same C x x", "added N - 1.50"}, spelled(got)); d != "" {
		t.Error(d)
	}
}

// TestMoved holds that the values and the digest are of the same moment: what
// was applied in between is fetched anew.
func TestMoved(t *testing.T) {
	for _, tt := range []struct {
		name  string
		moves int // how often the base moves while it is read
		kind  errs.Kind
	}{{"once", 1, 0}, {"always", 1000, errs.Unavailable}} {
		t.Run(tt.name, func(t *testing.T) {
			current := 3
			r := clitest.New(t, clitest.Routes{
				"GET /changes/01A": func(*http.Request) string { return open(current, `,"reveals":true`) },
				"GET /secret/proposed": func(*http.Request) string {
					if tt.moves--; tt.moves >= 0 {
						current++
					}
					return fmt.Sprintf(`{"base_version":%d,"value":"{\"A\":\"new\"}"}`, current)
				},
				"GET /secret/value": func(req *http.Request) string { return `{"value":"{\"A\":\"of ` + req.FormValue("version") + `\"}"}` },
			}, "")
			got, err := reading.Fetch(t.Context(), r.Client, "01A")
			if tt.kind != 0 {
				if client.KindOf(err) != tt.kind {
					t.Fatalf("got %v, want an error of kind %s", err, tt.kind)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff([]string{"changed A of 4 new"}, spelled(got)); d != "" || got.Digest != "d4" {
				t.Errorf("digest %s, %s", got.Digest, d)
			}
		})
	}
}

func TestHidden(t *testing.T) {
	for _, tt := range []struct {
		name, change string
		value        string
		want         string
	}{
		{"blind", open(3, `,"reveals":false`), "", "you may not read them"},
		{"conflict", open(3, `,"reveals":true,"conflict":"A"`), "", "the change cannot take effect"},
		{"denied", `{"id":"01A","noun":"secret","name":"n","status":"applied","base_version":1,"version":2,"reveals":true,` + diff + `}`,
			`403 {"kind":"denied","message":"no"}`, "you may not read them"},
		{"destroyed", `{"id":"01A","noun":"secret","name":"n","status":"applied","base_version":1,"version":2,"reveals":true,` + diff + `}`,
			`404 {"kind":"not-found","message":"no"}`, "they are no longer kept"},
		{"no-values", `{"id":"01A","noun":"secret","name":"n","status":"pending","reveals":true,"diff":[]}`, "", ""},
		{"no-secret", `{"id":"01A","noun":"group","name":"n","status":"pending","reveals":true,` + diff + `}`, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			routes := clitest.Routes{"GET /changes/01A": tt.change, "GET /secret/value": func(*http.Request) string {
				if tt.value == "" {
					t.Error("a value was read")
				}
				return tt.value
			}}
			got, err := reading.Fetch(t.Context(), clitest.New(t, routes, "").Client, "01A")
			if err != nil {
				t.Fatal(err)
			}
			if got.Hidden != tt.want || got.Values != nil {
				t.Errorf("hidden %q, want %q; values %v", got.Hidden, tt.want, spelled(got))
			}
		})
	}
}

func TestEndedChange(t *testing.T) {
	r := clitest.New(t, clitest.Routes{
		"GET /changes/01A":  `{"id":"01A","noun":"secret","name":"n","status":"applied","version":1,"reveals":true,` + diff + `}`,
		"GET /secret/value": `{"value":"whole"}`,
	}, "")
	got, err := reading.Fetch(t.Context(), r.Client, "01A")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"added  - whole"}, spelled(got)); d != "" {
		t.Error(d)
	}
	b, err := json.Marshal(got.JSON())
	if err != nil || !strings.Contains(string(b), `"values":[{"key":"","change":"added","new":"whole"}]`) || !strings.Contains(string(b), `"id":"01A"`) {
		t.Errorf("JSON %s, %v", b, err)
	}
}

func TestCompareBytes(t *testing.T) {
	side := func(b string, binary bool) *reading.Side {
		return &reading.Side{Data: sensitive.FromString(b), Binary: binary}
	}
	got := reading.Reviewed{Values: reading.Compare(side(`{"a":1}`, false), side("\xff", true))}
	if len(got.Values) != 1 || got.Values[0].Change != "changed" || got.Values[0].Key != "" {
		t.Errorf("got %v", spelled(got))
	}
	b, _ := json.Marshal(got.JSON())
	if !strings.Contains(string(b), `"old":"{\"a\":1}","new_binary":"/w=="`) {
		t.Errorf("JSON %s", b)
	}
}
