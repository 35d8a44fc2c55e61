package vault

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"countersign/internal/core/audit"
	"countersign/internal/core/coretest"

	"github.com/google/go-cmp/cmp"
)

// wrap sends a request whose answer is wrapped and returns what is said of that.
func (s *server) wrap(t testing.TB, as, method, path, body string) map[string]any {
	t.Helper()
	got := s.wantAs(t, as, 200, method, path, body, "X-Vault-Wrap-TTL: 5m")
	if got["data"] != nil || got["auth"] != nil || got["wrap_info"] == nil {
		t.Fatalf("%s %s: %v is not wrapped", method, path, got)
	}
	return got["wrap_info"].(map[string]any)
}

// apart is an answer without what is its own request's.
func apart(body string) string {
	_, rest, _ := strings.Cut(body, `"lease_id"`)
	return rest
}

// An answer that was wrapped is the very one that would have been sent, however it
// is asked for, and once.
func TestUnwrap(t *testing.T) {
	s := newServer(t, coretest.Config{})
	s.policy(t, "reads", readsApp)
	s.want(t, 200, "POST", "secret/data/app/db", `{"data":{"v":"<1>"}}`)
	low, _ := s.token(t, s.root, "create", `{"policies":["reads"]}`)
	want := s.do(t, low, "GET", "secret/data/app/db", "").Body.String()
	for name, unwrap := range map[string]func(tk string) *httptest.ResponseRecorder{
		"with-it-alone": func(tk string) *httptest.ResponseRecorder { return s.do(t, tk, "PUT", "sys/wrapping/unwrap", "") },
		"with-it-twice": func(tk string) *httptest.ResponseRecorder {
			return s.do(t, tk, "POST", "sys/wrapping/unwrap", `{"token":"`+tk+`"}`)
		},
		"by-another": func(tk string) *httptest.ResponseRecorder {
			return s.do(t, s.root, "POST", "sys/wrapping/unwrap", `{"token":"`+tk+`"}`)
		},
		"with-a-narrow-token": func(tk string) *httptest.ResponseRecorder {
			return s.do(t, low, "POST", "sys/wrapping/unwrap", `{"token":"`+tk+`"}`)
		},
		"asked-to-be-wrapped": func(tk string) *httptest.ResponseRecorder {
			return s.do(t, tk, "PUT", "sys/wrapping/unwrap", "", "X-Vault-Wrap-TTL: 60")
		},
	} {
		info := s.wrap(t, low, "GET", "secret/data/app/db", "")
		tk := info["token"].(string)
		if !strings.HasPrefix(tk, "cvw.") || info["ttl"] != 300.0 || info["creation_path"] != "secret/data/app/db" || info["accessor"] == "" || info["creation_time"] == "" {
			t.Errorf("%s: %v", name, info)
		}
		w := unwrap(tk)
		if w.Code != 200 || apart(w.Body.String()) != apart(want) || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %s, want %s", name, w.Code, w.Body, want)
		}
		if w := unwrap(tk); w.Code != 400 || !strings.Contains(w.Body.String(), `["wrapping token is not valid or does not exist"]`) {
			t.Errorf("%s, again: %d %s", name, w.Code, w.Body)
		}
	}
}

// What is made with a token is wrapped too: other tokens, and listings.
func TestWrapLogin(t *testing.T) {
	s := newServer(t, coretest.Config{})
	info := s.wrap(t, s.root, "POST", "auth/token/create", `{"policies":["default"],"ttl":"1h"}`)
	got := s.wantAs(t, info["token"].(string), 200, "POST", "sys/wrapping/unwrap", "")
	if at(t, got, "auth.accessor") != info["wrapped_accessor"] || got["data"] != nil {
		t.Errorf("wrapped: %v, %v", info, got)
	}
	s.wantAs(t, at(t, got, "auth.client_token").(string), 200, "GET", "auth/token/lookup-self", "")
	info = s.wrap(t, s.root, "LIST", "sys/policies/acl", "")
	if got := s.wantAs(t, info["token"].(string), 200, "POST", "sys/wrapping/unwrap", ""); at(t, got, "keys") == nil {
		t.Errorf("a listing: %v", got)
	}
	// What says nothing is not wrapped, and neither is a refusal.
	for _, tt := range []struct {
		method, path, body string
		code               int
	}{{"POST", "sys/mounts/kv", `{"type":"kv"}`, 204}, {"GET", "secret/data/none", "", 404}, {"GET", "nowhere/x", "", 404}} {
		w := s.do(t, s.root, tt.method, tt.path, tt.body, "X-Vault-Wrap-TTL: 60")
		if w.Code != tt.code || strings.Contains(w.Body.String(), "cvw.") {
			t.Errorf("%s %s: %d %s", tt.method, tt.path, w.Code, w.Body)
		}
	}
	if w := s.do(t, "", "GET", "sys/seal-status", "", "X-Vault-Wrap-TTL: 60"); w.Code != 200 || strings.Contains(w.Body.String(), "wrap_info") {
		t.Errorf("without a token: %d %s", w.Code, w.Body)
	}
}

// The pull mode of AppRole: who deploys hands on a secret id that it cannot see,
// and the login that is made with it can be handed on the same way.
func TestWrapAppRole(t *testing.T) {
	s := newServer(t, coretest.Config{})
	s.enable(t, "approle")
	s.want(t, 204, "POST", "auth/approle/role/ci", `{"token_policies":"default"}`)
	s.policy(t, "deploys", `path "auth/approle/role/ci/secret-id" {
  capabilities     = ["update"]
  min_wrapping_ttl = "10s"
  max_wrapping_ttl = "10m"
}`)
	deployer, _ := s.token(t, s.root, "create", `{"policies":["deploys"]}`)
	s.wantAs(t, deployer, 403, "POST", "auth/approle/role/ci/secret-id", "") // it may not see one
	role := at(t, s.want(t, 200, "GET", "auth/approle/role/ci/role-id", ""), "data.role_id").(string)
	info := s.wrap(t, deployer, "POST", "auth/approle/role/ci/secret-id", "")
	if info["creation_path"] != "auth/approle/role/ci/secret-id" {
		t.Errorf("the wrapped secret id: %v", info)
	}
	id := at(t, s.wantAs(t, info["token"].(string), 200, "POST", "sys/wrapping/unwrap", ""), "data.secret_id").(string)
	info = s.wrap(t, "", "POST", "auth/approle/login", `{"role_id":"`+role+`","secret_id":"`+id+`"}`)
	in := s.wantAs(t, info["token"].(string), 200, "POST", "sys/wrapping/unwrap", "")
	if who := s.proves(t, in); who.Name != "approle.ci" || who.Token.Accessor != info["wrapped_accessor"] {
		t.Errorf("the wrapped login: %v is %+v", info, who)
	}
	for _, bad := range []string{"x", "9000h"} { // and nobody is let in by what is refused
		s.wantAs(t, "", 400, "POST", "auth/approle/login", `{"role_id":"`+role+`","secret_id":"`+id+`"}`, "X-Vault-Wrap-TTL: "+bad)
	}
}

func TestWrapAnything(t *testing.T) {
	s := newServer(t, coretest.Config{})
	if msg := errorOf(t, s.want(t, 400, "POST", "sys/wrapping/wrap", `{"a":1}`)); msg != "endpoint requires response wrapping to be used" {
		t.Errorf("without a TTL: %q", msg)
	}
	for body, want := range map[string]map[string]any{`{"a": {"b": [1, "x"]}}`: {"a": map[string]any{"b": []any{1.0, "x"}}}, "": {}, "{}": {}} {
		info := s.wrap(t, s.root, "POST", "sys/wrapping/wrap", body)
		tk := info["token"].(string)
		if info["creation_path"] != "sys/wrapping/wrap" {
			t.Errorf("%q: %v", body, info)
		}
		for _, as := range []string{"", tk, s.root} { // looking does not open it
			got := s.wantAs(t, as, 200, "POST", "sys/wrapping/lookup", `{"token":"`+tk+`"}`)
			if at(t, got, "data.creation_ttl") != 300.0 || at(t, got, "data.creation_path") != "sys/wrapping/wrap" || at(t, got, "data.creation_time") != info["creation_time"] {
				t.Errorf("lookup: %v", got)
			}
		}
		again := s.wantAs(t, tk, 200, "POST", "sys/wrapping/rewrap", "")["wrap_info"].(map[string]any)
		if again["token"] == tk || again["ttl"] != 300.0 || again["creation_path"] != "sys/wrapping/wrap" {
			t.Errorf("rewrap: %v", again)
		}
		s.wantAs(t, tk, 400, "POST", "sys/wrapping/unwrap", "")
		got := s.wantAs(t, again["token"].(string), 200, "POST", "sys/wrapping/unwrap", "")
		if diff := cmp.Diff(any(want), got["data"]); diff != "" {
			t.Errorf("%q differs (-want +got):\n%s", body, diff)
		}
	}
	if msg := errorOf(t, s.want(t, 400, "POST", "sys/wrapping/wrap", `{"a":"`+strings.Repeat("x", 1<<20)+`"}`, "X-Vault-Wrap-TTL: 60")); !strings.Contains(msg, "1048576 bytes") {
		t.Errorf("a large one: %q", msg)
	}
}

// A wrapping token proves nobody, and one that opens nothing is refused the same
// whatever is wrong with it.
func TestWrappingTokenIsNoToken(t *testing.T) {
	s := newServer(t, coretest.Config{})
	_, key := s.Stranger(t)
	foreign := s.wrap(t, tokenOf(key), "GET", "sys/mounts", "")["token"].(string)
	tk := s.wrap(t, s.root, "GET", "sys/mounts", "")["token"].(string)
	for _, tt := range [][2]string{{"GET", "sys/mounts"}, {"GET", "secret/data/a"}, {"GET", "auth/token/lookup-self"}, {"POST", "auth/token/renew-self"}, {"POST", "auth/token/create"},
		{"POST", "sys/wrapping/wrap"}, {"DELETE", "sys/wrapping/unwrap"}, {"GET", "cubbyhole/response"}, {"POST", "sys/capabilities-self"}, {"GET", "nowhere/x"}} {
		if w := s.do(t, tk, tt[0], tt[1], ""); w.Code != 403 || !strings.Contains(w.Body.String(), `["permission denied"]`) {
			t.Errorf("%v: %d %s", tt, w.Code, w.Body)
		}
	}
	for _, path := range []string{"unwrap", "lookup", "rewrap"} {
		for name, bad := range map[string]string{"nothing": "cvw.nothing", "an-access-key": s.root, "of-another-account": foreign} {
			w := s.do(t, s.root, "POST", "sys/wrapping/"+path, `{"token":"`+bad+`"}`)
			if w.Code != 400 || !strings.Contains(w.Body.String(), `["wrapping token is not valid or does not exist"]`) {
				t.Errorf("%s of %s: %d %s", path, name, w.Code, w.Body)
			}
		}
		if w := s.do(t, s.root, "POST", "sys/wrapping/"+path, ""); w.Code != 400 {
			t.Errorf("%s of the caller's own: %d %s", path, w.Code, w.Body)
		}
		if w := s.do(t, "cvw.nothing", "POST", "sys/wrapping/"+path, ""); w.Code != 400 {
			t.Errorf("%s by one that is none: %d %s", path, w.Code, w.Body)
		}
	}
	for _, path := range []string{"unwrap", "rewrap"} {
		if w := s.do(t, "", "POST", "sys/wrapping/"+path, `{"token":"`+tk+`"}`); w.Code != 403 || !strings.Contains(w.Body.String(), "missing client token") {
			t.Errorf("%s by nobody: %d %s", path, w.Code, w.Body)
		}
	}
	s.wantAs(t, tk, 200, "POST", "sys/wrapping/unwrap", "")
	s.wantAs(t, foreign, 200, "POST", "sys/wrapping/unwrap", "") // it is left as it was, and its account is its own to know
}

// Whether an answer may be wrapped is known before anything is done for it.
func TestRefusedWrapDoesNothing(t *testing.T) {
	s := newServer(t, coretest.Config{})
	s.policy(t, "no-wraps", `path "sys/wrapping/wrap" { capabilities = ["deny"] }
path "auth/token/create" { capabilities = ["update"] }
path "secret/data/short" {
  capabilities     = ["read"]
  min_wrapping_ttl = "10s"
  max_wrapping_ttl = "60s"
}`)
	s.want(t, 200, "POST", "secret/data/short", `{"data":{"v":"1"}}`)
	low, _ := s.token(t, s.root, "create", `{"policies":["no-wraps"]}`)
	count := func() int {
		return len(at(t, s.want(t, 200, "LIST", "auth/token/accessors", ""), "data.keys").([]any))
	}
	before := count()
	for _, tt := range []struct {
		as, ttl string
		code    int
	}{{low, "60", 403}, {s.root, "769h", 400}, {s.root, "-1", 400}, {s.root, "soon", 400}} {
		w := s.do(t, tt.as, "POST", "auth/token/create", `{"ttl":"1h"}`, "X-Vault-Wrap-TTL: "+tt.ttl)
		if w.Code != tt.code {
			t.Errorf("for %s: %d %s, want %d", tt.ttl, w.Code, w.Body, tt.code)
		}
	}
	if after := count(); after != before {
		t.Errorf("%d tokens were made whose answer nobody got", after-before)
	}
	s.policy(t, "short", `path "secret/data/short" {
  capabilities     = ["read"]
  min_wrapping_ttl = "10s"
  max_wrapping_ttl = "60s"
}`)
	low, _ = s.token(t, s.root, "create", `{"policies":["short"]}`)
	for ttl, code := range map[string]int{"": 403, "5": 403, "30": 200, "61s": 403} {
		var headers []string
		if ttl != "" {
			headers = []string{"X-Vault-Wrap-TTL: " + ttl}
		}
		if w := s.do(t, low, "GET", "secret/data/short", "", headers...); w.Code != code {
			t.Errorf("within bounds, for %q: %d %s, want %d", ttl, w.Code, w.Body, code)
		}
	}
}

// Of many that unwrap at once, one gets the answer.
func TestUnwrapAtOnce(t *testing.T) {
	s := newServer(t, coretest.Config{})
	tk := s.wrap(t, s.root, "GET", "sys/mounts", "")["token"].(string)
	var got atomic.Int64
	var wait sync.WaitGroup
	for range 16 {
		wait.Go(func() {
			if w := s.do(t, tk, "POST", "sys/wrapping/unwrap", ""); w.Code == http.StatusOK {
				got.Add(1)
			}
		})
	}
	wait.Wait()
	if got.Load() != 1 {
		t.Errorf("%d got the answer", got.Load())
	}
}

// Every step of a wrapped answer has a record, and none of them holds a token.
func TestWrappingRecords(t *testing.T) {
	s := newServer(t, coretest.Config{})
	tk := s.wrap(t, s.root, "POST", "auth/token/create", `{"ttl":"1h"}`)["token"].(string)
	s.wantAs(t, tk, 200, "POST", "sys/wrapping/lookup", "")
	body := s.do(t, tk, "POST", "sys/wrapping/unwrap", "").Body.String()
	s.wantAs(t, tk, 400, "POST", "sys/wrapping/unwrap", "")
	var steps []string
	for _, rec := range s.Records(t) {
		if rec.Front != Front {
			continue
		}
		steps = append(steps, rec.Operation+" "+string(rec.Outcome))
		if text := fmt.Sprintf("%+v", rec); strings.Contains(text, "cvw.") || strings.Contains(text, "cvs.") {
			t.Errorf("a record holds a token: %s", text)
		}
	}
	slices.Sort(steps) // those of writes come into the log a little later
	want := []string{"CreateToken " + string(audit.OK), "LookupWrapping " + string(audit.OK), "Unwrap " + string(audit.OK), "Unwrap " + string(audit.Refused), "WrapResponse " + string(audit.OK)}
	if diff := cmp.Diff(want, steps); diff != "" {
		t.Errorf("records differ (-want +got):\n%s", diff)
	}
	if !strings.Contains(body, "cvs.") {
		t.Errorf("unwrapped: %s", body)
	}
}
