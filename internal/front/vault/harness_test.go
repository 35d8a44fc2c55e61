package vault

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"countersign/internal/core/authn"
	"countersign/internal/core/coretest"
)

// server is the front over a core.
type server struct {
	*coretest.Core
	http.Handler
	root string // token of the home account's administrator
}

func newServer(t testing.TB, c coretest.Config) *server {
	t.Helper()
	core := coretest.New(t, c)
	h, err := New(config(core, c))
	if err != nil {
		t.Fatal(err)
	}
	return &server{core, h, tokenOf(core.Key)}
}

func config(core *coretest.Core, c coretest.Config) Config {
	return Config{
		Authn:     core.Authn,
		Changes:   core.Changes,
		Devices:   core.Devices,
		Gate:      core.Gate,
		IDTokens:  core.IDTokens,
		Logins:    core.Logins,
		Mounts:    core.Mounts,
		Passwords: core.Passwords,
		Secrets:   core.Secrets,
		SignIn:    core.SignIn,
		Tokens:    core.Tokens,
		Transit:   core.Transit,
		Home:      coretest.Home, Region: coretest.Region, Logger: c.Logger, Version: "test", Cluster: "cluster"}
}

// tokenOf is an access key as a token.
func tokenOf(k authn.NewKey) string { return authn.Token(k.ID, string(k.Secret.Reveal())) }

// withPolicy makes a user that has just one policy, and returns the token.
func (s *server) withPolicy(t testing.TB, user, doc string) string {
	t.Helper()
	body, err := json.Marshal(map[string]string{"policy": doc})
	if err != nil {
		t.Fatal(err)
	}
	s.want(t, 204, "POST", "sys/policies/acl/"+user, string(body))
	_, key := s.User(t, user, "")
	if _, err := s.Authn.Attach(t.Context(), s.Admin, authn.Attachment{Policy: user, User: user}); err != nil {
		t.Fatal(err)
	}
	return tokenOf(key)
}

// do sends one request; headers are "Name: value".
func (s *server) do(t testing.TB, token, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req := httptest.NewRequest(method, Base+path, r)
	req.RemoteAddr = "127.0.0.1:9999"
	if token != "" {
		req.Header.Set("X-Vault-Token", token)
	}
	for _, h := range headers {
		k, v, _ := strings.Cut(h, ": ")
		req.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, req)
	return w
}

// want sends a request of the administrator that must have that status, and
// returns the answer's body, nil when it has none.
func (s *server) want(t testing.TB, code int, method, path, body string, headers ...string) map[string]any {
	t.Helper()
	return s.wantAs(t, s.root, code, method, path, body, headers...)
}

// wantAs is want for who holds another token.
func (s *server) wantAs(t testing.TB, token string, code int, method, path, body string, headers ...string) map[string]any {
	t.Helper()
	w := s.do(t, token, method, path, body, headers...)
	if w.Code != code {
		t.Fatalf("%s %s %s: %d %s, want %d", method, path, body, w.Code, w.Body, code)
	}
	if w.Body.Len() == 0 {
		return nil
	}
	if strings.Contains(w.Body.String(), ignoredWarning) { // no test sends what nobody reads, but that of this warning
		t.Errorf("%s %s %s: %s", method, path, body, w.Body)
	}
	var out map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		t.Fatalf("%s %s: the answer is not JSON: %v: %q", method, path, err, w.Body)
	}
	return out
}

// at looks up a member of an answer by its path: "data.metadata.version".
func at(t testing.TB, v any, path string) any {
	t.Helper()
	for k := range strings.SplitSeq(path, ".") {
		m, ok := v.(map[string]any)
		if !ok {
			t.Fatalf("%s: %v is no object", path, v)
		}
		v = m[k]
	}
	return v
}

// errorOf is the one text of a refusal.
func errorOf(t testing.TB, ans map[string]any) string {
	t.Helper()
	list, ok := ans["errors"].([]any)
	if !ok || len(list) != 1 {
		t.Fatalf("%v has not one error", ans)
	}
	return list[0].(string)
}
