package vault

import (
	"strings"
	"testing"

	"countersign/internal/core/coretest"

	"github.com/google/go-cmp/cmp"
)

func TestCapabilities(t *testing.T) {
	s := newServer(t, coretest.Config{})
	s.policy(t, "mixed", `path "secret/data/app/*" { capabilities = ["read", "create"] }
path "secret/data/app/root" { capabilities = ["deny"] }
path "secret/metadata/+/x" { capabilities = ["list"] }`)
	tk, accessor := s.token(t, s.root, "create", `{"policies":["mixed"]}`)
	want := map[string]any{"secret/data/app/db": []any{"create", "read"}, "secret/data/app/root": []any{"deny"}, "nowhere/x": []any{"deny"}}
	paths := `"paths":["secret/data/app/db","secret/data/app/root","nowhere/x"]`
	for name, got := range map[string]map[string]any{
		"self":        s.wantAs(t, tk, 200, "POST", "sys/capabilities-self", `{`+paths+`}`),
		"own-token":   s.wantAs(t, tk, 200, "POST", "sys/capabilities", `{`+paths+`,"token":"`+tk+`"}`),
		"by-token":    s.want(t, 200, "POST", "sys/capabilities", `{`+paths+`,"token":"`+tk+`"}`),
		"by-accessor": s.want(t, 200, "POST", "sys/capabilities-accessor", `{`+paths+`,"accessor":"`+accessor+`"}`),
	} {
		if diff := cmp.Diff(any(want), got["data"]); diff != "" {
			t.Errorf("%s differs (-want +got):\n%s", name, diff)
		}
		if names(got["nowhere/x"]) != "[deny]" {
			t.Errorf("%s: %v do not stand beside data", name, got)
		}
	}
	for _, body := range []string{`{"path":"secret/data/app/db"}`, `{"paths":"secret/data/app/db"}`} {
		got := s.wantAs(t, tk, 200, "POST", "sys/capabilities-self", body)
		if names(at(t, got, "data.capabilities")) != "[create read]" || names(got["capabilities"]) != "[create read]" {
			t.Errorf("%s: %v", body, got)
		}
	}
	if got := s.want(t, 200, "POST", "sys/capabilities-self", `{"paths":["a"]}`); names(at(t, got, "data.a")) != "[root]" {
		t.Errorf("the administrator's: %v", got)
	}
	_, key := s.User(t, "alice", "")
	if got := s.wantAs(t, tokenOf(key), 200, "POST", "sys/capabilities-self", `{"paths":["secret/data/a"]}`); names(at(t, got, "data.capabilities")) != "[deny]" {
		t.Errorf("of who may do nothing: %v", got)
	}
	for _, tt := range []struct {
		path, body, want string
		code             int
	}{
		{"sys/capabilities-self", `{}`, "paths must be supplied", 400}, {"sys/capabilities", `{"paths":["a"]}`, "missing token", 400},
		{"sys/capabilities-accessor", `{"paths":["a"]}`, "missing accessor", 400}, {"sys/capabilities", `{"paths":["a"],"token":"x"}`, "invalid token", 403},
		{"sys/capabilities-accessor", `{"paths":["a"],"accessor":"x"}`, "invalid accessor", 400},
		{"sys/capabilities-self", `{"paths":["` + strings.Repeat(`a","`, 1000) + `a"]}`, "at most 1000 paths", 400},
	} {
		if msg := errorOf(t, s.want(t, tt.code, "POST", tt.path, tt.body)); msg != tt.want && !strings.HasPrefix(msg, tt.want) {
			t.Errorf("%s %.40s: %q, want %q", tt.path, tt.body, msg, tt.want)
		}
	}
	got := s.wantAs(t, tk, 200, "GET", "sys/internal/ui/resultant-acl", "")
	if at(t, got, "data.root") != false || names(at(t, got, "data.glob_paths").(map[string]any)["secret/data/app/"]) != "map[capabilities:[create read]]" ||
		names(at(t, got, "data.exact_paths").(map[string]any)["secret/data/app/root"]) != "map[capabilities:[deny]]" {
		t.Errorf("resultant-acl: %v", got)
	}
	if got := s.want(t, 200, "GET", "sys/internal/ui/resultant-acl", ""); at(t, got, "data.root") != true {
		t.Errorf("the administrator's: %v", got)
	}
}

// A preflight tells who may do nothing below a mount the same as if there were
// none, and a list for clients to show leaves such mounts out.
func TestPreflight(t *testing.T) {
	s := newServer(t, coretest.Config{})
	s.want(t, 204, "POST", "sys/mounts/other", `{"type":"kv","options":{"version":"2"}}`)
	s.want(t, 204, "POST", "sys/mounts/shown", `{"type":"kv","config":{"listing_visibility":"unauth"}}`)
	s.policy(t, "reads", readsApp)
	tk, _ := s.token(t, s.root, "create", `{"policies":["reads"]}`)
	for path, code := range map[string]int{"secret/data/app/db": 200, "secret": 200, "other/data/x": 403, "nowhere/x": 403, "cubbyhole/x": 200} {
		w := s.do(t, tk, "GET", "sys/internal/ui/mounts/"+path, "")
		if w.Code != code || code == 403 && !strings.Contains(w.Body.String(), "preflight capability check returned 403, please ensure client's policies grant access to path") {
			t.Errorf("%s: %d %s, want %d", path, w.Code, w.Body, code)
		}
	}
	listed := func(as string) map[string]any {
		return at(t, s.wantAs(t, as, 200, "GET", "sys/internal/ui/mounts", ""), "data.secret").(map[string]any)
	}
	if got := listed(tk); got["secret/"] == nil || got["shown/"] == nil || got["other/"] != nil {
		t.Errorf("listed: %v", got)
	}
	if got := listed(s.root); got["secret/"] == nil || got["other/"] == nil {
		t.Errorf("listed to the administrator: %v", got)
	}
}

func TestLeases(t *testing.T) {
	s := newServer(t, coretest.Config{})
	for _, tt := range []struct {
		method, path, body, want string
		code                     int
	}{
		{"POST", "sys/leases/lookup", `{"lease_id":"auth/token/create/x"}`, "invalid lease", 400},
		{"PUT", "sys/leases/renew", `{"lease_id":"auth/token/create/x"}`, "lease not found", 400},
		{"PUT", "sys/renew", `{"lease_id":"database/creds/x/y"}`, "lease not found", 400},
		{"PUT", "sys/leases/revoke", `{"lease_id":"auth/token/create/x"}`, "lease not found", 400},
		{"PUT", "sys/leases/renew", `{}`, "lease_id must be specified", 400},
		{"PUT", "sys/leases/revoke/auth/token/create/x", ``, "lease not found", 400},
		{"PUT", "sys/leases/revoke-prefix/auth/approle", ``, "there are no leases below this prefix: tokens are revoked at ", 400},
	} {
		if msg := errorOf(t, s.want(t, tt.code, tt.method, tt.path, tt.body)); !strings.HasPrefix(msg, tt.want) {
			t.Errorf("%s %s: %q, want %q", tt.path, tt.body, msg, tt.want)
		}
	}
	s.want(t, 404, "LIST", "sys/leases/lookup/auth/token", "")
}
