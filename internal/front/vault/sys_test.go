package vault

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"countersign/internal/core/coretest"
)

func TestHealth(t *testing.T) {
	s := newServer(t, coretest.Config{})
	for path, code := range map[string]int{"sys/health": 200, "sys/health?activecode=299": 299, "sys/health?standbyok=true": 200, "sys/health?activecode=x": 400, "sys/health?activecode=99": 400} {
		if w := s.do(t, "", http.MethodGet, path, ""); w.Code != code {
			t.Errorf("%s: %d %s, want %d", path, w.Code, w.Body, code)
		}
	}
	got := s.wantAs(t, "", 200, http.MethodGet, "sys/health", "")
	if at(t, got, "initialized") != true || at(t, got, "sealed") != false || at(t, got, "version") != "1.19.0+countersign.test" {
		t.Errorf("health: %v", got)
	}
	if w := s.do(t, "", http.MethodHead, "sys/health", ""); w.Code != 200 {
		t.Errorf("HEAD: %d", w.Code)
	}
	cfg := config(s.Core, coretest.Config{})
	draining, stop := context.WithCancel(t.Context())
	stop()
	cfg.Draining = draining
	h, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, Base+"sys/health", nil))
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("while it drains: %d", w.Code)
	}
}

func TestSystem(t *testing.T) {
	s := newServer(t, coretest.Config{})
	for _, path := range []string{"sys/seal-status", "sys/leader", "sys/init"} {
		if w := s.do(t, "", http.MethodGet, path, ""); w.Code != 200 || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	for path, code := range map[string]int{"sys/init": 400, "sys/unseal": 200} {
		if w := s.do(t, "", http.MethodPut, path, "{}"); w.Code != code {
			t.Errorf("PUT %s: %d %s, want %d", path, w.Code, w.Body, code)
		}
	}
	if msg := errorOf(t, s.want(t, 400, http.MethodGet, "sys/host-info", "")); !strings.Contains(msg, "host") {
		t.Errorf("host-info: %q", msg)
	}
	for _, path := range []string{"sys/host-info", "sys/mounts", "sys/policy", "nowhere/x", "sys/nothing"} {
		if w := s.do(t, "", http.MethodGet, path, ""); w.Code != 403 || !strings.Contains(w.Body.String(), "missing client token") {
			t.Errorf("%s without a token: %d %s", path, w.Code, w.Body)
		}
		if w := s.do(t, "hvs.nothing", http.MethodGet, path, ""); w.Code != 403 || !strings.Contains(w.Body.String(), `["permission denied"]`) {
			t.Errorf("%s with a token of nobody: %d %s", path, w.Code, w.Body)
		}
	}
}

// POST and PUT are the same; LIST may be a parameter; the token may be a bearer.
func TestManners(t *testing.T) {
	s := newServer(t, coretest.Config{})
	s.want(t, 204, http.MethodPost, "sys/mounts/one", `{"type":"kv"}`)
	s.want(t, 204, http.MethodPut, "sys/mounts/two", `{"type":"kv-v2","unknown":1}`)
	for _, m := range [][2]string{{"LIST", "sys/policies/acl"}, {"GET", "sys/policies/acl?list=true"}, {"GET", "sys/policies/acl?list=True"}, {"GET", "sys/policy"}} {
		if got := s.want(t, 200, m[0], m[1], ""); len(at(t, got, "data.keys").([]any)) == 0 {
			t.Errorf("%v: %v", m, got)
		}
	}
	req := httptest.NewRequest(http.MethodGet, Base+"sys/mounts", nil)
	req.Header.Set("Authorization", "Bearer "+s.root)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, req)
	if w.Code != 200 {
		t.Errorf("bearer: %d %s", w.Code, w.Body)
	}
	for what, m := range map[string]struct {
		method, path, body string
		code               int
		want               string
	}{
		"no-object":    {"POST", "sys/mounts/x", `[1]`, 400, "not a JSON object"},
		"no-json":      {"POST", "sys/mounts/x", `{`, 400, "not a JSON object"},
		"twice":        {"POST", "sys/mounts/x", `{"type":"kv","type":"transit"}`, 400, "a member twice"},
		"twice-v1":     {"POST", "secret/x", `{"a":"1","\u0061":"2"}`, 400, "a member twice"},
		"null":         {"POST", "sys/mounts/x", `null`, 400, ""},
		"deep":         {"POST", "sys/mounts/x", `{"a":` + strings.Repeat("[", 400) + strings.Repeat("]", 400) + `}`, 400, "nested deeper"},
		"not-utf8":     {"POST", "sys/mounts/x", "{\"a\":\"\xff\"}", 400, "UTF-8"},
		"type":         {"POST", "sys/mounts/x", `{"type":["kv"]}`, 400, "type: it is not a text"},
		"method":       {"PATCH", "sys/mounts/x", `{}`, 405, "unsupported operation"},
		"other-method": {"TRACE", "sys/mounts", ``, 405, "unsupported operation"},
		"nothing":      {"GET", "nowhere/x", ``, 404, "no handler for route"},
		"empty":        {"GET", "sys//mounts", ``, 400, "empty segment"},
		"dots":         {"GET", "secret/data/../x", ``, 400, "dot segment"},
		"encoded":      {"GET", "secret/data/a%2fb", ``, 400, "encoded slash"},
		"encoded-dots": {"GET", "secret/data/%2e%2e/x", ``, 400, "dot segment"},
		"control":      {"GET", "secret/data/a%0ab", ``, 400, "control character"},
		"write-folder": {"POST", "sys/mounts/x/", `{}`, 400, "ending in '/'"},
		"wrap":         {"GET", "sys/mounts", ``, 400, "X-Vault-Wrap-TTL"},
	} {
		var headers []string
		if what == "wrap" {
			headers = []string{"X-Vault-Wrap-TTL: soon"}
		}
		w := s.do(t, s.root, m.method, m.path, m.body, headers...)
		if w.Code != m.code || !strings.Contains(w.Body.String(), m.want) {
			t.Errorf("%s: %d %s, want %d with %q", what, w.Code, w.Body, m.code, m.want)
		}
	}
	if w := s.do(t, s.root, http.MethodPost, "sys/mounts/x", `{"a":"`+strings.Repeat("x", maxBody)+`"}`); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("a large body: %d", w.Code)
	}
}

func TestNamespaces(t *testing.T) {
	s := newServer(t, coretest.Config{})
	_, key := s.Stranger(t)
	other := tokenOf(key)
	for _, tt := range []struct {
		token, namespace string
		code             int
	}{{s.root, "", 200}, {s.root, "root", 200}, {s.root, coretest.Home + "/", 200}, {s.root, coretest.Other, 403}, {s.root, "team-a", 400},
		{other, "", 200}, {other, coretest.Other, 200}, {other, coretest.Home, 403}} {
		if w := s.do(t, tt.token, http.MethodGet, "sys/mounts", "", "X-Vault-Namespace: "+tt.namespace); w.Code != tt.code {
			t.Errorf("namespace %q: %d %s, want %d", tt.namespace, w.Code, w.Body, tt.code)
		}
	}
	s.want(t, 204, http.MethodPost, "sys/mounts/mine", `{"type":"kv"}`)
	if got := s.wantAs(t, other, 200, http.MethodGet, "sys/mounts", ""); at(t, got, "data").(map[string]any)["mine/"] != nil {
		t.Error("another account sees the mount")
	}
}

func TestMounts(t *testing.T) {
	s := newServer(t, coretest.Config{})
	s.want(t, 204, http.MethodPost, "sys/mounts/kv", `{"type":"kv","description":"old","options":{"version":"1"},"config":{"max_lease_ttl":"1h"}}`)
	got := s.want(t, 200, http.MethodGet, "sys/mounts", "")
	if m := at(t, got, "data").(map[string]any)["kv/"]; at(t, m, "type") != "kv" || at(t, m, "options.version") != "1" || at(t, m, "config.max_lease_ttl") != 3600.0 {
		t.Errorf("kv/: %v", m)
	}
	if at(t, got, "secret/") == nil { // beside data too
		t.Error("the mounts do not stand beside data")
	}
	s.want(t, 204, http.MethodPost, "sys/mounts/kv/tune", `{"description":"new","options":{"version":"2"},"default_lease_ttl":"30m"}`)
	got = s.want(t, 200, http.MethodGet, "sys/mounts/kv/tune", "")
	if at(t, got, "data.description") != "new" || at(t, got, "data.default_lease_ttl") != 1800.0 || at(t, got, "data.max_lease_ttl") != 3600.0 || at(t, got, "data.options.version") != "2" {
		t.Errorf("tuned: %v", got)
	}
	// Clients send the empty text for what they leave as it is.
	s.want(t, 204, http.MethodPost, "sys/mounts/kv/tune", `{"default_lease_ttl":"","max_lease_ttl":"2h"}`)
	got = s.want(t, 200, http.MethodGet, "sys/mounts/kv/tune", "")
	if at(t, got, "data.default_lease_ttl") != 1800.0 || at(t, got, "data.max_lease_ttl") != 7200.0 {
		t.Errorf("one of two TTLs: %v", got)
	}
	s.want(t, 204, http.MethodPost, "sys/mounts/kv/tune", `{"default_lease_ttl":"system"}`)
	if got = s.want(t, 200, http.MethodGet, "sys/mounts/kv/tune", ""); at(t, got, "data.default_lease_ttl") == 1800.0 {
		t.Errorf("back to the system's: %v", got)
	}
	got = s.want(t, 200, http.MethodGet, "sys/internal/ui/mounts/kv/some/secret", "")
	if at(t, got, "data.path") != "kv/" || at(t, got, "data.options.version") != "2" {
		t.Errorf("preflight: %v", got)
	}
	s.want(t, 403, http.MethodGet, "sys/internal/ui/mounts/nowhere", "")
	got = s.want(t, 200, http.MethodPost, "sys/remount", `{"from":"kv","to":"moved/kv"}`)
	id := at(t, got, "data.migration_id").(string)
	got = s.want(t, 200, http.MethodGet, "sys/remount/status/"+id, "")
	if at(t, got, "data.migration_info.status") != "success" {
		t.Errorf("moved: %v", got)
	}
	s.want(t, 404, http.MethodGet, "sys/remount/status/bm9uZQ", "")
	if msg := errorOf(t, s.want(t, 400, http.MethodPost, "sys/mounts/moved/kv", `{"type":"kv"}`)); !strings.Contains(msg, "path is already in use at moved/kv/") {
		t.Errorf("taken: %q", msg)
	}
	s.want(t, 204, http.MethodDelete, "sys/mounts/moved/kv", "")
	s.want(t, 204, http.MethodPost, "sys/auth/ci", `{"type":"approle"}`)
	if got := s.want(t, 200, http.MethodGet, "sys/auth", ""); at(t, got, "data").(map[string]any)["ci/"] == nil || at(t, got, "data").(map[string]any)["token/"] == nil {
		t.Errorf("auth: %v", got)
	}
	if msg := errorOf(t, s.want(t, 400, http.MethodPost, "sys/mounts/database", `{"type":"database"}`)); !strings.Contains(msg, "there is no secrets engine") {
		t.Errorf("no engine: %q", msg)
	}
}

// Login methods have one path to be enabled and disabled at, which needs sudo.
func TestLoginMethodsAreNoSecretsEngines(t *testing.T) {
	s := newServer(t, coretest.Config{})
	token := s.withPolicy(t, "engines", `path "sys/mounts/*" { capabilities = ["create", "read", "update", "delete"] }`)
	s.wantAs(t, token, 403, "POST", "sys/auth/approle", `{"type":"approle"}`)
	s.wantAs(t, token, 400, "POST", "sys/mounts/auth/approle", `{"type":"approle"}`)
	s.want(t, 204, "POST", "sys/auth/approle", `{"type":"approle"}`)
	s.wantAs(t, token, 403, "DELETE", "sys/auth/approle", "")
	s.wantAs(t, token, 400, "DELETE", "sys/mounts/auth/approle", "")
	s.wantAs(t, token, 400, "DELETE", "sys/mounts/auth/approle/", "")
	s.wantAs(t, token, 204, "POST", "sys/mounts/auth/approle/tune", `{"description":"x"}`) // as the command line does
	s.want(t, 204, "DELETE", "sys/auth/approle", "")
}

func TestPolicies(t *testing.T) {
	s := newServer(t, coretest.Config{})
	doc := `{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"secretsmanager:*\",\"Resource\":\"*\"}]}`
	s.want(t, 204, http.MethodPut, "sys/policy/reader", `{"policy":"`+doc+`"}`)
	s.want(t, 204, http.MethodPut, "sys/policy/older", `{"rules":"`+doc+`"}`)
	got := s.want(t, 200, http.MethodGet, "sys/policy/reader", "")
	if !strings.Contains(at(t, got, "data.rules").(string), "secretsmanager") || at(t, got, "rules") == nil {
		t.Errorf("policy: %v", got)
	}
	got = s.want(t, 200, http.MethodGet, "sys/policies/acl/older", "")
	if at(t, got, "data.name") != "older" || at(t, got, "data.policy") == "" {
		t.Errorf("policy: %v", got)
	}
	s.want(t, 400, http.MethodPut, "sys/policy/broken", `{"policy":"{"}`)
	s.want(t, 400, http.MethodPut, "sys/policy/none", `{}`)
	s.want(t, 404, http.MethodGet, "sys/policies/acl/none", "")
	s.want(t, 204, http.MethodDelete, "sys/policies/acl/reader", "")
	s.want(t, 204, http.MethodDelete, "sys/policies/acl/reader", "")
	alice, key := s.User(t, "alice", "")
	_ = alice
	s.wantAs(t, tokenOf(key), 403, http.MethodGet, "sys/policies/acl", "")
}

// TestTools holds that randomness and hashes are had without the transit engine.
func TestTools(t *testing.T) {
	s := newServer(t, coretest.Config{})
	for _, path := range []string{"sys/tools/random", "sys/tools/random/platform", "sys/tools/random/16", "sys/tools/random/platform/16"} {
		if got := at(t, s.want(t, 200, http.MethodPost, path, `{"format":"hex"}`), "data.random_bytes").(string); len(got) != 64 && len(got) != 32 {
			t.Errorf("%s: %q", path, got)
		}
	}
	for _, path := range []string{"sys/tools/hash", "sys/tools/hash/sha2-256"} {
		if got := at(t, s.want(t, 200, http.MethodPost, path, `{"input":"aGk="}`), "data.sum"); got != "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4" {
			t.Errorf("%s: %v", path, got)
		}
	}
	_, key := s.User(t, "alice", "")
	s.wantAs(t, tokenOf(key), 403, http.MethodPost, "sys/tools/random", "")
	hcl := s.withPolicy(t, "tools", `path "sys/tools/*" { capabilities = ["update"] }`)
	s.wantAs(t, hcl, 200, http.MethodPost, "sys/tools/random/16", "")
	s.wantAs(t, hcl, 200, http.MethodPost, "sys/tools/hash", `{"input":""}`)
}
