package vault

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"countersign/internal/caller"
	"countersign/internal/core/authn"
	"countersign/internal/core/change"
	"countersign/internal/core/coretest"
	"countersign/internal/core/protect"

	"github.com/google/go-cmp/cmp"
)

// readsApp is a policy in HCL that reads a part of the secrets.
const readsApp = `path "secret/data/app/*" { capabilities = ["read"] }`

// policy writes a policy as Vault's clients do.
func (s *server) policy(t testing.TB, name, text string) {
	t.Helper()
	b, err := json.Marshal(map[string]string{"policy": text})
	if err != nil {
		t.Fatal(err)
	}
	s.want(t, 204, "PUT", "sys/policies/acl/"+name, string(b))
}

// token makes one as whoever holds another, and returns it with its accessor.
func (s *server) token(t testing.TB, as, path, body string) (token, accessor string) {
	t.Helper()
	got := s.wantAs(t, as, 200, "POST", "auth/token/"+path, body)
	return at(t, got, "auth.client_token").(string), at(t, got, "auth.accessor").(string)
}

// names is a list of an answer as text.
func names(v any) string { return fmt.Sprint(v) }

func TestCreateToken(t *testing.T) {
	s := newServer(t, coretest.Config{})
	s.policy(t, "reads", readsApp)
	s.want(t, 200, "POST", "secret/data/app/db", `{"data":{"v":"1"}}`)
	got := s.want(t, 200, "PUT", "auth/token/create", `{"policies":["reads"],"ttl":"1h","meta":{"team":"a"},"display_name":"ci","num_uses":20,"renewable":true}`)
	auth := at(t, got, "auth").(map[string]any)
	tk, accessor := auth["client_token"].(string), auth["accessor"].(string)
	want := map[string]any{"client_token": tk, "accessor": accessor, "policies": []any{"default", "reads"}, "token_policies": []any{"default", "reads"},
		"metadata": map[string]any{"team": "a"}, "lease_duration": 3600.0, "renewable": true, "entity_id": caller.EntityID(coretest.Home, authn.Admin),
		"token_type": "service", "orphan": false, "mfa_requirement": nil, "num_uses": 20.0}
	if diff := cmp.Diff(want, auth); diff != "" {
		t.Errorf("auth differs (-want +got):\n%s", diff)
	}
	if got["data"] != nil || got["mount_type"] != "token" || got["warnings"] != nil {
		t.Errorf("the envelope: %v", got)
	}
	if !strings.HasPrefix(tk, "cvs.") || len(accessor) != 24 {
		t.Errorf("token %q, accessor %q", tk, accessor)
	}
	s.wantAs(t, tk, 200, "GET", "secret/data/app/db", "")
	s.wantAs(t, tk, 403, "GET", "secret/data/other", "")
	s.wantAs(t, tk, 403, "POST", "secret/data/app/db", `{"data":{"v":"2"}}`)

	data := at(t, s.wantAs(t, tk, 200, "GET", "auth/token/lookup-self", ""), "data").(map[string]any)
	for k, v := range map[string]any{"id": tk, "accessor": accessor, "creation_ttl": 3600.0, "display_name": "token-ci", "num_uses": 16.0, "orphan": false,
		"path": "auth/token/create", "type": "service", "renewable": true, "explicit_max_ttl": 0.0, "entity_id": want["entity_id"]} {
		if data[k] != v {
			t.Errorf("lookup-self: %s is %v, want %v", k, data[k], v)
		}
	}
	for _, k := range []string{"expire_time", "issue_time", "creation_time", "ttl"} {
		if data[k] == nil {
			t.Errorf("lookup-self lacks %s", k)
		}
	}
	if names(data["policies"]) != "[default reads]" || names(data["meta"]) != "map[team:a]" {
		t.Errorf("lookup-self: %v", data)
	}
	for _, k := range []string{"last_renewal", "role", "period", "bound_cidrs"} {
		if _, is := data[k]; is {
			t.Errorf("lookup-self has %s", k)
		}
	}
	// The same from others, by token and by accessor.
	byToken := at(t, s.want(t, 200, "POST", "auth/token/lookup", `{"token":"`+tk+`"}`), "data").(map[string]any)
	byAccessor := at(t, s.want(t, 200, "POST", "auth/token/lookup-accessor", `{"accessor":"`+accessor+`"}`), "data").(map[string]any)
	if byToken["id"] != tk || byAccessor["id"] != "" {
		t.Errorf("ids: %v, %v", byToken["id"], byAccessor["id"])
	}
	byAccessor["id"] = tk
	if diff := cmp.Diff(byToken, byAccessor); diff != "" {
		t.Errorf("by accessor it is another:\n%s", diff)
	}
	if got := s.want(t, 200, "LIST", "auth/token/accessors", ""); !slices.Contains(at(t, got, "data.keys").([]any), any(accessor)) {
		t.Errorf("accessors: %v", got)
	}
}

func TestTokenKinds(t *testing.T) {
	s := newServer(t, coretest.Config{})
	s.policy(t, "reads", readsApp)
	for name, tt := range map[string]struct {
		path, body string
		want       map[string]any
	}{
		"root":         {"create", `{}`, map[string]any{"token_policies": "[root]", "lease_duration": "0", "renewable": "false", "orphan": "false"}},
		"orphan":       {"create-orphan", `{"policies":"reads,default","ttl":60}`, map[string]any{"orphan": "true", "lease_duration": "60", "token_policies": "[default reads]"}},
		"no-parent":    {"create", `{"no_parent":true,"policies":["reads"]}`, map[string]any{"orphan": "true", "lease_duration": "2.7648e+06"}},
		"batch":        {"create", `{"type":"batch","policies":["reads"],"ttl":"10m"}`, map[string]any{"token_type": "batch", "accessor": "", "renewable": "false", "lease_duration": "600"}},
		"periodic":     {"create", `{"period":"24h","policies":["reads"]}`, map[string]any{"lease_duration": "86400", "renewable": "true"}},
		"old-ttl":      {"create", `{"lease":"5m","policies":["reads"]}`, map[string]any{"lease_duration": "300"}},
		"fixed":        {"create", `{"renewable":false,"policies":["reads"]}`, map[string]any{"renewable": "false"}},
		"no-default":   {"create", `{"no_default_policy":true,"policies":["reads"]}`, map[string]any{"policies": "[reads]"}},
		"explicit-max": {"create", `{"explicit_max_ttl":"30s","policies":["reads"]}`, map[string]any{"lease_duration": "30"}},
	} {
		auth := at(t, s.want(t, 200, "POST", "auth/token/"+tt.path, tt.body), "auth").(map[string]any)
		for k, v := range tt.want {
			if got := names(auth[k]); got != v {
				t.Errorf("%s: %s is %s, want %s", name, k, got, v)
			}
		}
		tk := auth["client_token"].(string)
		data := at(t, s.wantAs(t, tk, 200, "GET", "auth/token/lookup-self", ""), "data").(map[string]any)
		if data["id"] != tk || data["type"] != auth["token_type"] {
			t.Errorf("%s: lookup-self: %v", name, data)
		}
		if name == "root" && (data["expire_time"] != nil || data["ttl"] != 0.0 || names(data["policies"]) != "[root]") {
			t.Errorf("root: %v", data)
		}
		if name == "periodic" && data["period"] != 86400.0 {
			t.Errorf("periodic: %v", data)
		}
	}
	for body, want := range map[string]string{
		`{"id":"mine"}`: "id: token ids are drawn", `{"type":"x"}`: "invalid 'token_type' value", `{"ttl":"soon"}`: "ttl: a duration is",
		`{"policies":{"a":1}}`: "policies: it is not a text", `{"num_uses":-1}`: "number of uses cannot be negative", `{"meta":[1]}`: "meta: ",
		`{"type":"batch","period":"1h","policies":["reads"]}`: "batch tokens cannot have",
		`{"type":"batch"}`: "batch tokens cannot be root tokens",
	} {
		if msg := errorOf(t, s.want(t, 400, "POST", "auth/token/create", body)); !strings.Contains(msg, want) {
			t.Errorf("%s: %q, want %q", body, msg, want)
		}
	}
	if got := s.want(t, 200, "POST", "auth/token/create", `{"policies":["reads","later"]}`); names(got["warnings"]) != `[Policy "later" does not exist]` {
		t.Errorf("a policy that is not there: %v", got)
	}
	if msg := errorOf(t, s.want(t, 400, "POST", "auth/token/create/none", `{}`)); msg != "unknown role none" {
		t.Errorf("a role that is not there: %q", msg)
	}
}

func TestRenewAndRevoke(t *testing.T) {
	s := newServer(t, coretest.Config{})
	s.policy(t, "reads", readsApp)
	tk, accessor := s.token(t, s.root, "create", `{"policies":["reads"],"ttl":"1h"}`)
	got := s.want(t, 200, "POST", "auth/token/renew", `{"token":"`+tk+`","increment":"2h"}`)
	if at(t, got, "auth.client_token") != tk || at(t, got, "auth.lease_duration") != 7200.0 {
		t.Errorf("renew: %v", got)
	}
	got = s.wantAs(t, tk, 200, "PUT", "auth/token/renew-self", `{"increment":600}`)
	if at(t, got, "auth.client_token") != tk || at(t, got, "auth.lease_duration") != 600.0 {
		t.Errorf("renew-self: %v", got)
	}
	got = s.want(t, 200, "POST", "auth/token/renew-accessor", `{"accessor":"`+accessor+`"}`)
	if at(t, got, "auth.client_token") != "" || at(t, got, "auth.lease_duration") != 3600.0 {
		t.Errorf("renew-accessor: %v", got)
	}
	data := at(t, s.wantAs(t, tk, 200, "GET", "auth/token/lookup-self", ""), "data").(map[string]any)
	if data["last_renewal"] == nil || data["last_renewal_time"] == nil {
		t.Errorf("a renewed token: %v", data)
	}

	child, _ := s.token(t, s.root, "create", `{"ttl":"1h"}`)
	below, _ := s.token(t, child, "create", `{"policies":["reads"]}`)
	s.want(t, 204, "POST", "auth/token/revoke-orphan", `{"token":"`+child+`"}`)
	s.wantAs(t, child, 403, "GET", "auth/token/lookup-self", "")
	if got := s.wantAs(t, below, 200, "GET", "auth/token/lookup-self", ""); at(t, got, "data.orphan") != true {
		t.Errorf("what was below: %v", got)
	}
	s.want(t, 204, "POST", "auth/token/revoke-accessor", `{"accessor":"`+accessor+`"}`)
	s.wantAs(t, tk, 403, "GET", "auth/token/lookup-self", "")
	s.wantAs(t, below, 204, "POST", "auth/token/revoke-self", "")
	s.wantAs(t, below, 403, "GET", "auth/token/lookup-self", "")
	tk, _ = s.token(t, s.root, "create", `{"ttl":"1h"}`)
	below, _ = s.token(t, tk, "create", `{"policies":["reads"]}`)
	s.want(t, 204, "PUT", "auth/token/revoke", `{"token":"`+tk+`"}`)
	for _, gone := range []string{tk, below} {
		s.wantAs(t, gone, 403, "GET", "auth/token/lookup-self", "")
	}
	if got := s.want(t, 200, "POST", "auth/token/tidy", ""); len(got["warnings"].([]any)) != 1 {
		t.Errorf("tidy: %v", got)
	}
}

// What a token is asked about that is not there, is another account's, is over or
// is no token at all has the same answer.
func TestTokensOfNobody(t *testing.T) {
	s := newServer(t, coretest.Config{})
	_, key := s.Stranger(t)
	foreign, foreignAccessor := s.token(t, tokenOf(key), "create", `{"ttl":"1h"}`)
	gone, goneAccessor := s.token(t, s.root, "create", `{"ttl":"1h"}`)
	s.want(t, 204, "POST", "auth/token/revoke", `{"token":"`+gone+`"}`)
	wrapping := at(t, s.want(t, 200, "GET", "sys/mounts", "", "X-Vault-Wrap-TTL: 60"), "wrap_info.token").(string)
	tokens := []string{foreign, gone, "cvs.nothing", "hvs.CAESIJ", "x", strings.Repeat("y", 9000), s.root + "x"}
	accessors := []string{foreignAccessor, goneAccessor, "nothing", strings.Repeat("y", 900)}
	for path, tt := range map[string]struct {
		member string
		code   int
		want   string
	}{
		"lookup": {"token", 403, "bad token"}, "lookup-accessor": {"accessor", 400, "invalid accessor"},
		"renew": {"token", 400, "token not found"}, "renew-accessor": {"accessor", 400, "invalid accessor"},
		"revoke": {"token", 204, ""}, "revoke-accessor": {"accessor", 200, "No token found with this accessor"},
		"revoke-orphan": {"token", 400, "token to revoke not found"},
	} {
		ids := map[string][]string{"token": tokens, "accessor": accessors}[tt.member]
		for _, id := range ids {
			w := s.do(t, s.root, "POST", "auth/token/"+path, `{"`+tt.member+`":"`+id+`"}`)
			if w.Code != tt.code || !strings.Contains(w.Body.String(), tt.want) {
				t.Errorf("%s of %.20s: %d %s, want %d %s", path, id, w.Code, w.Body, tt.code, tt.want)
			}
		}
		if w := s.do(t, s.root, "POST", "auth/token/"+path, `{}`); path != "lookup" && (w.Code != 400 || !strings.Contains(w.Body.String(), "missing ")) {
			t.Errorf("%s of nothing: %d %s", path, w.Code, w.Body)
		}
	}
	s.wantAs(t, foreign, 200, "GET", "auth/token/lookup-self", "") // it was left alone
	// Who may not ask gets the same answer about those that are.
	_, low := s.User(t, "alice", "")
	there, accessor := s.token(t, s.root, "create", `{"ttl":"1h"}`)
	for _, tt := range [][3]string{{"lookup", "token", there}, {"lookup-accessor", "accessor", accessor}, {"renew", "token", there}, {"renew-accessor", "accessor", accessor},
		{"revoke", "token", there}, {"revoke-accessor", "accessor", accessor}, {"revoke-orphan", "token", there}} {
		var said []string
		for _, id := range []string{tt[2], "nothing", gone, wrapping} {
			w := s.do(t, tokenOf(low), "POST", "auth/token/"+tt[0], `{"`+tt[1]+`":"`+id+`"}`)
			said = append(said, fmt.Sprint(w.Code, plain(w.Body.String())))
		}
		if slices.Sort(said); said[0] != said[len(said)-1] || !strings.HasPrefix(said[0], "403") {
			t.Errorf("%s: %q", tt[0], said)
		}
	}
	s.wantAs(t, there, 200, "GET", "auth/token/lookup-self", "")
	for path, body := range map[string]string{"sys/capabilities": `{"paths":["a"],"token":"%s"}`, "sys/capabilities-accessor": `{"paths":["a"],"accessor":"%s"}`} {
		ids := []string{there, foreign, "x"}
		if strings.HasSuffix(path, "accessor") {
			ids = []string{accessor, foreignAccessor, "x"}
		}
		for _, id := range ids {
			if w := s.do(t, tokenOf(low), "POST", path, fmt.Sprintf(body, id)); w.Code != 403 || !strings.Contains(w.Body.String(), "permission denied (decision") {
				t.Errorf("%s: %d %s", path, w.Code, w.Body)
			}
		}
	}
}

// An access key and a session are told of in the words of a token, which is what
// "vault login" asks for.
func TestKeyAsToken(t *testing.T) {
	s := newServer(t, coretest.Config{})
	data := at(t, s.want(t, 200, "GET", "auth/token/lookup-self", ""), "data").(map[string]any)
	for k, v := range map[string]any{"id": s.root, "accessor": s.Key.ID, "display_name": authn.Admin, "ttl": 0.0, "expire_time": nil, "type": "service", "orphan": true, "num_uses": 0.0} {
		if data[k] != v {
			t.Errorf("%s is %v, want %v", k, data[k], v)
		}
	}
	if names(data["policies"]) != "[root]" {
		t.Errorf("policies: %v", data["policies"])
	}
	for _, path := range []string{"auth/token/lookup", "auth/token/lookup-self"} {
		if got := s.want(t, 200, "POST", path, ""); at(t, got, "data.accessor") != s.Key.ID {
			t.Errorf("%s: %v", path, got)
		}
	}
	_, key := s.User(t, "alice", "")
	if got := s.wantAs(t, tokenOf(key), 200, "GET", "auth/token/lookup-self", ""); at(t, got, "data.display_name") != "alice" {
		t.Errorf("alice: %v", got)
	}
	if msg := errorOf(t, s.want(t, 400, "POST", "auth/token/renew-self", "")); msg != "lease is not renewable" {
		t.Errorf("renew-self: %q", msg)
	}
	if msg := errorOf(t, s.want(t, 400, "POST", "auth/token/revoke-self", "")); !strings.Contains(msg, "no token") {
		t.Errorf("revoke-self: %q", msg)
	}
	batch, _ := s.token(t, s.root, "create", `{"type":"batch","policies":["default"]}`)
	for _, verb := range []string{"renew", "revoke"} {
		want := "batch tokens cannot be " + verb
		if msg := errorOf(t, s.wantAs(t, batch, 400, "POST", "auth/token/"+verb+"-self", "")); !strings.HasPrefix(msg, want) {
			t.Errorf("%s: %q", verb, msg)
		}
	}
}

func TestUses(t *testing.T) {
	s := newServer(t, coretest.Config{})
	tk, _ := s.token(t, s.root, "create", `{"num_uses":2,"policies":["default"]}`)
	s.wantAs(t, tk, 200, "GET", "auth/token/lookup-self", "")
	s.wantAs(t, tk, 204, "POST", "cubbyhole/a", `{"v":1}`)
	if w := s.do(t, tk, "GET", "auth/token/lookup-self", ""); w.Code != 403 || !strings.Contains(w.Body.String(), `["permission denied"]`) {
		t.Errorf("a third use: %d %s", w.Code, w.Body)
	}
}

func TestTokenNamespace(t *testing.T) {
	s := newServer(t, coretest.Config{})
	_, key := s.Stranger(t)
	other, _ := s.token(t, tokenOf(key), "create", `{}`)
	for ns, code := range map[string]int{"": 200, coretest.Other: 200, coretest.Home: 403} {
		if w := s.do(t, other, "GET", "auth/token/lookup-self", "", "X-Vault-Namespace: "+ns); w.Code != code {
			t.Errorf("%q: %d %s", ns, w.Code, w.Body)
		}
	}
}

func TestTokenRoles(t *testing.T) {
	s := newServer(t, coretest.Config{})
	s.policy(t, "reads", readsApp)
	s.want(t, 404, "LIST", "auth/token/roles", "")
	s.want(t, 404, "GET", "auth/token/roles/ci", "")
	s.want(t, 204, "POST", "auth/token/roles/ci", `{"allowed_policies":"reads","orphan":true,"period":"1h","path_suffix":"build","bound_cidrs":["127.0.0.0/8","10.1.2.3"],"token_num_uses":5}`)
	want := map[string]any{"name": "ci", "allowed_policies": []any{"reads"}, "allowed_policies_glob": []any{}, "disallowed_policies": []any{}, "disallowed_policies_glob": []any{},
		"allowed_entity_aliases": nil, "orphan": true, "renewable": true, "path_suffix": "build", "token_type": "default-service", "token_no_default_policy": false,
		"token_period": 3600.0, "period": 3600.0, "token_explicit_max_ttl": 0.0, "explicit_max_ttl": 0.0, "queue": false, "token_num_uses": 5.0,
		"token_bound_cidrs": []any{"10.1.2.3/32", "127.0.0.0/8"}, "bound_cidrs": []any{"10.1.2.3/32", "127.0.0.0/8"}}
	if diff := cmp.Diff(want, at(t, s.want(t, 200, "GET", "auth/token/roles/ci", ""), "data")); diff != "" {
		t.Errorf("the role differs (-want +got):\n%s", diff)
	}
	got := s.want(t, 200, "PUT", "auth/token/roles/ci", `{"token_period":"2h","period":"3h","queue":true,"token_num_uses":0}`)
	if !strings.Contains(names(got["warnings"]), "ignoring the deprecated value") {
		t.Errorf("both names: %v", got)
	}
	data := at(t, s.want(t, 200, "GET", "auth/token/roles/ci", ""), "data").(map[string]any)
	if data["token_period"] != 7200.0 || data["orphan"] != true || data["queue"] != true || data["token_num_uses"] != nil {
		t.Errorf("changed: %v", data)
	}
	auth := at(t, s.want(t, 200, "POST", "auth/token/create/ci", `{}`), "auth").(map[string]any)
	if auth["orphan"] != true || auth["lease_duration"] != 7200.0 || names(auth["policies"]) != "[default reads]" {
		t.Errorf("a token of the role: %v", auth)
	}
	data = at(t, s.wantAs(t, auth["client_token"].(string), 200, "GET", "auth/token/lookup-self", ""), "data").(map[string]any)
	if data["role"] != "ci" || data["path"] != "auth/token/create/ci/build" || data["period"] != 7200.0 || names(data["bound_cidrs"]) != "[10.1.2.3/32 127.0.0.0/8]" {
		t.Errorf("it is %v", data)
	}
	if got := s.want(t, 200, "LIST", "auth/token/roles", ""); names(at(t, got, "data.keys")) != "[ci]" {
		t.Errorf("roles: %v", got)
	}
	for body, want := range map[string]string{`{"token_type":"x"}`: "invalid 'token_type' value", `{"bound_cidrs":["x"]}`: "addresses and ranges",
		`{"path_suffix":"/"}`: "invalid characters", `{"token_type":"batch"}`: "cannot be 'batch'", `{"orphan":"perhaps"}`: "orphan: it is not true or false"} {
		if msg := errorOf(t, s.want(t, 400, "POST", "auth/token/roles/ci", body)); !strings.Contains(msg, want) {
			t.Errorf("%s: %q", body, msg)
		}
	}
	s.want(t, 204, "DELETE", "auth/token/roles/ci", "")
	s.want(t, 204, "DELETE", "auth/token/roles/ci", "")
	s.want(t, 404, "GET", "auth/token/roles/ci", "")
	got = s.want(t, 200, "POST", "auth/token/roles/long", `{"token_explicit_max_ttl":"9000h"}`)
	if !strings.Contains(names(got["warnings"]), "explicit max TTL is greater") {
		t.Errorf("a long one: %v", got)
	}
}

var changeID = regexp.MustCompile(`countersign review --id (\w+)`)

// A write that waits is a success with a warning for a token whose role says so,
// and moves nothing; a role itself can be under review.
func TestQueue(t *testing.T) {
	s := newServer(t, coretest.Config{})
	s.want(t, 200, "POST", "secret/data/prod/a", `{"data":{"v":"1"}}`)
	for name, body := range map[string]string{"queues": `{"queue":true}`, "plain": `{}`} {
		s.want(t, 204, "POST", "auth/token/roles/"+name, body)
	}
	queues, _ := s.token(t, s.root, "create/queues", `{"policies":["root"]}`)
	refused, _ := s.token(t, s.root, "create/plain", `{"policies":["root"]}`)
	if _, err := s.Authn.CreateGroup(t.Context(), s.Admin, "approvers"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Changes.PutRules(t.Context(), s.Admin, change.RuleChange{Set: &protect.Rule{Name: "prod", Match: []string{"prod/*", "token-role:*"},
		Approvals: []protect.Approval{{Count: 1, Groups: []string{"approvers"}}}}}, "", change.Options{}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range [][3]string{
		{"POST", "secret/data/prod/a", `{"data":{"v":"2"}}`},
		{"PATCH", "secret/data/prod/a", `{"data":{"w":"2"}}`},
		{"DELETE", "secret/data/prod/a", ""},
		{"POST", "secret/destroy/prod/a", `{"versions":[1]}`},
		{"DELETE", "secret/metadata/prod/a", ""},
		{"POST", "auth/token/roles/plain", `{"queue":true}`},
		{"DELETE", "auth/token/roles/queues", ""},
	} {
		w := s.do(t, refused, tt[0], tt[1], tt[2])
		if w.Code != http.StatusForbidden || !changeID.MatchString(w.Body.String()) {
			t.Errorf("%v: %d %s, want a refusal that names the change", tt, w.Code, w.Body)
		}
		got := s.wantAs(t, queues, 200, tt[0], tt[1], tt[2])
		m := changeID.FindStringSubmatch(names(got["warnings"]))
		if got["data"] != nil || m == nil {
			t.Fatalf("%v: %v, want a warning that names the change", tt, got)
		}
		rev, err := s.Changes.Get(t.Context(), s.Admin, m[1])
		if err != nil || rev.Record.Status != change.Pending {
			t.Errorf("%v: change %s is %v, %v", tt, m[1], rev.Record.Status, err)
		}
		if got := s.want(t, 200, "GET", "secret/data/prod/a", ""); at(t, got, "data.data.v") != "1" || at(t, got, "data.metadata.version") != 1.0 {
			t.Errorf("after %v: %v", tt, got)
		}
	}
	if got := s.want(t, 200, "GET", "auth/token/roles/plain", ""); at(t, got, "data.queue") != false {
		t.Errorf("the role moved: %v", got)
	}
	// A warning is not put behind a token.
	if got := s.wantAs(t, queues, 200, "POST", "secret/data/prod/a", `{"data":{"v":"2"}}`, "X-Vault-Wrap-TTL: 60"); got["wrap_info"] != nil || got["warnings"] == nil {
		t.Errorf("a warning, wrapped: %v", got)
	}
}
