package vault

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"

	"countersign/internal/caller"
	"countersign/internal/core/authn"
	"countersign/internal/core/change"
	"countersign/internal/core/coretest"
	"countersign/internal/core/protect"
)

const readsAll = `{"policy":"path \"secret/data/*\" {\n  capabilities = [\"read\"]\n}"}`

func TestEntities(t *testing.T) {
	s := newServer(t, coretest.Config{})
	s.want(t, 204, http.MethodPut, "sys/policies/acl/one", readsAll)
	s.want(t, 204, http.MethodPut, "sys/policies/acl/two", readsAll)
	id := caller.EntityID(coretest.Home, "robot")
	got := s.want(t, 200, http.MethodPost, "identity/entity", `{"name":"robot","metadata":{"team":"red"},"policies":"one,two"}`)
	if at(t, got, "data.id") != id || at(t, got, "data.name") != "robot" {
		t.Errorf("made: %v", got)
	}
	if u, err := s.Authn.GetUser(t.Context(), s.Admin, "robot"); err != nil || u.Kind != caller.Machine || u.Tags["team"] != "red" || !slices.Equal(u.Policies, []string{"one", "two"}) {
		t.Errorf("the principal: %+v, %v", u, err)
	}
	s.want(t, 200, http.MethodPut, "identity/group/name/team", `{}`)
	for _, path := range []string{"identity/entity/name/robot", "identity/entity/id/" + id} {
		got = s.want(t, 200, http.MethodGet, path, "")
		for member, want := range map[string]any{"id": id, "name": "robot", "disabled": false, "namespace_id": "root"} {
			if at(t, got, "data."+member) != want {
				t.Errorf("%s: %s is %v, want %v", path, member, at(t, got, "data."+member), want)
			}
		}
		if at(t, got, "data.metadata.team") != "red" || len(at(t, got, "data.policies").([]any)) != 2 || at(t, got, "data.aliases") == nil || at(t, got, "data.creation_time") == "" {
			t.Errorf("%s: %v", path, got)
		}
	}
	s.want(t, 204, http.MethodPost, "identity/entity/id/"+id, `{"metadata":{"team":"blue"},"policies":["two"],"disabled":true}`)
	s.want(t, 204, http.MethodPost, "identity/entity/name/robot", `{}`)
	s.want(t, 204, http.MethodPost, "identity/entity", `{"id":"`+id+`","disabled":false}`)
	got = s.want(t, 200, http.MethodPost, "identity/lookup/entity", `{"id":"`+id+`"}`)
	if at(t, got, "data.metadata.team") != "blue" || at(t, got, "data.disabled") != false || len(at(t, got, "data.policies").([]any)) != 1 {
		t.Errorf("changed: %v", got)
	}
	for by, keys := range map[string]string{"name": "robot", "id": id} {
		got = s.want(t, 200, "LIST", "identity/entity/"+by, "")
		if !slices.Contains(at(t, got, "data.keys").([]any), any(keys)) || at(t, got, "data.key_info").(map[string]any)[id] == nil {
			t.Errorf("by %s: %v", by, got)
		}
	}
	if got = s.want(t, 200, http.MethodPost, "identity/entity", `{}`); !strings.HasPrefix(at(t, got, "data.name").(string), "entity_") {
		t.Errorf("an entity that nobody named: %v", got)
	}
	s.want(t, 204, http.MethodPost, "identity/entity/batch-delete", `{"entity_ids":["`+id+`","`+at(t, got, "data.id").(string)+`","none"]}`)
	s.want(t, 404, http.MethodGet, "identity/entity/id/"+id, "")
	s.want(t, 404, http.MethodGet, "identity/entity/name/robot", "")
	s.want(t, 204, http.MethodDelete, "identity/entity/id/"+id, "")
	s.want(t, 204, http.MethodDelete, "identity/entity/name/robot", "")
	s.want(t, 204, http.MethodPost, "identity/lookup/entity", `{"name":"robot"}`)
	s.want(t, 204, http.MethodPost, "identity/lookup/entity", `{"alias_name":"robot","alias_mount_accessor":"auth_x_1"}`)
}

func TestGroups(t *testing.T) {
	s := newServer(t, coretest.Config{})
	s.want(t, 204, http.MethodPut, "sys/policies/acl/one", readsAll)
	s.User(t, "alice", "")
	s.User(t, "bob", "")
	alice, bob := caller.EntityID(coretest.Home, "alice"), caller.EntityID(coretest.Home, "bob")
	id := caller.GroupID(coretest.Home, "team")
	got := s.want(t, 200, http.MethodPost, "identity/group", `{"name":"team","type":"internal","policies":["one"],"member_entity_ids":["`+alice+`"],"metadata":{}}`)
	if at(t, got, "data.id") != id || at(t, got, "data.name") != "team" {
		t.Errorf("made: %v", got)
	}
	s.want(t, 204, http.MethodPost, "identity/group/id/"+id, `{"member_entity_ids":"`+alice+","+bob+`"}`)
	for _, path := range []string{"identity/group/name/team", "identity/group/id/" + id} {
		got = s.want(t, 200, http.MethodGet, path, "")
		members := at(t, got, "data.member_entity_ids").([]any)
		if at(t, got, "data.id") != id || at(t, got, "data.type") != "internal" || !slices.Contains(members, any(bob)) || len(members) != 2 || len(at(t, got, "data.policies").([]any)) != 1 {
			t.Errorf("%s: %v", path, got)
		}
	}
	got = s.want(t, 200, http.MethodGet, "identity/entity/id/"+alice, "")
	if g := at(t, got, "data.direct_group_ids").([]any); len(g) != 1 || g[0] != id || len(at(t, got, "data.inherited_group_ids").([]any)) != 0 {
		t.Errorf("groups of a member: %v", got)
	}
	for by, key := range map[string]string{"name": "team", "id": id} {
		if got = s.want(t, 200, http.MethodGet, "identity/group/"+by+"?list=true", ""); !slices.Contains(at(t, got, "data.keys").([]any), any(key)) {
			t.Errorf("by %s: %v", by, got)
		}
		s.want(t, 200, http.MethodPost, "identity/lookup/group", `{"`+by+`":"`+key+`"}`)
	}
	s.want(t, 204, http.MethodPost, "identity/group", `{"id":"`+id+`","policies":[],"member_entity_ids":["`+bob+`"]}`)
	if g, err := s.Authn.GetGroup(t.Context(), s.Admin, "team"); err != nil || len(g.Policies) != 0 || !slices.Equal(g.Members, []string{"bob"}) {
		t.Errorf("changed: %+v, %v", g, err)
	}
	s.want(t, 204, http.MethodDelete, "identity/group/id/"+id, "")
	s.want(t, 204, http.MethodDelete, "identity/group/name/team", "")
	s.want(t, 404, http.MethodGet, "identity/group/name/team", "")
	s.want(t, 404, "LIST", "identity/group/name", "")
	s.want(t, 204, http.MethodPost, "identity/lookup/group", `{"id":"`+id+`"}`)
}

func TestIdentityRefusals(t *testing.T) {
	s := newServer(t, coretest.Config{})
	_, key := s.User(t, "alice", "")
	id := caller.EntityID(coretest.Home, "alice")
	for what, m := range map[string]struct {
		method, path, body string
		code               int
		want               string
	}{
		"rename":        {"POST", "identity/entity/name/alice", `{"name":"bob"}`, 400, "keeps its name"},
		"rename-by-id":  {"POST", "identity/entity", `{"id":"` + id + `","name":"bob"}`, 400, "keeps its name"},
		"no-id":         {"POST", "identity/entity/id/none", `{}`, 400, "entity not found from id"},
		"root":          {"POST", "identity/entity/name/alice", `{"policies":"root"}`, 400, "cannot contain root"},
		"no-policy":     {"POST", "identity/entity/name/alice", `{"policies":["none"]}`, 400, "no such policy"},
		"name":          {"POST", "identity/entity/name/a%20b", `{}`, 400, "a name is"},
		"metadata":      {"POST", "identity/entity/name/alice", `{"metadata":{"a":{}}}`, 400, "not a text"},
		"merge":         {"POST", "identity/entity/merge", `{"from_entity_ids":["a"],"to_entity_id":"b"}`, 400, "not merged"},
		"batch":         {"POST", "identity/entity/batch-delete", `{}`, 400, "missing entity ids"},
		"lookup":        {"POST", "identity/lookup/entity", `{}`, 400, "a look-up is by"},
		"lookup-two":    {"POST", "identity/lookup/entity", `{"name":"a","id":"b"}`, 400, "a look-up is by"},
		"lookup-alias":  {"POST", "identity/lookup/group", `{"alias_name":"a"}`, 400, "a look-up is by"},
		"external":      {"POST", "identity/group", `{"name":"x","type":"external","member_entity_ids":["none"]}`, 400, "member entities can't be set manually"},
		"type":          {"POST", "identity/group", `{"name":"g","type":"other"}`, 400, "invalid group type"},
		"group-meta":    {"POST", "identity/group", `{"name":"g","metadata":{"a":"b"}}`, 400, "no metadata"},
		"group-nested":  {"POST", "identity/group", `{"name":"g","member_group_ids":["a"]}`, 400, "no groups"},
		"group-member":  {"POST", "identity/group", `{"name":"g","member_entity_ids":["none"]}`, 400, "no such user"},
		"group-root":    {"POST", "identity/group", `{"name":"g","policies":["root"]}`, 400, "cannot contain root"},
		"group-id":      {"POST", "identity/group/id/none", `{}`, 400, "invalid group ID"},
		"list-by-get":   {"GET", "identity/entity/name", ``, 405, "unsupported operation"},
		"nothing-there": {"GET", "identity/nothing", ``, 404, "errors"},
	} {
		if w := s.do(t, s.root, m.method, m.path, m.body); w.Code != m.code || !strings.Contains(w.Body.String(), m.want) {
			t.Errorf("%s: %d %s, want %d with %q", what, w.Code, w.Body, m.code, m.want)
		}
	}
	// Whoever may not know is told the same of what is there and what is not.
	token := tokenOf(key)
	for _, m := range [][2]string{{"GET", ""}, {"POST", `{"metadata":{"a":"b"}}`}, {"DELETE", ""}} {
		for _, path := range []string{"entity/id/" + id, "entity/id/none", "entity/name/admin", "entity/name/none", "group/id/none", "group/name/none"} {
			body := m[1]
			if strings.HasPrefix(path, "group") && body != "" {
				body = `{"member_entity_ids":["` + id + `","none"]}`
			}
			if w := s.do(t, token, m[0], "identity/"+path, body); w.Code != 403 || !strings.Contains(w.Body.String(), "permission denied (decision") {
				t.Errorf("%s %s without a permission: %d %s", m[0], path, w.Code, w.Body)
			}
		}
	}
	for _, body := range []string{`{"entity_ids":["none"]}`, `{"entity_ids":["` + id + `"]}`} {
		s.wantAs(t, token, 403, http.MethodPost, "identity/entity/batch-delete", body)
	}
	_, other := s.Stranger(t)
	s.wantAs(t, tokenOf(other), 404, http.MethodGet, "identity/entity/id/"+id, "")
}

// A policy that is attached through an entity or a group holds for the principal,
// and an entity that is disabled is let in nowhere.
func TestEntityPoliciesHold(t *testing.T) {
	s := newServer(t, coretest.Config{})
	s.want(t, 204, http.MethodPut, "sys/policies/acl/one", readsAll)
	s.want(t, 200, http.MethodPost, "secret/data/app", `{"data":{"a":"b"}}`)
	_, key := s.User(t, "alice", "")
	id, token := caller.EntityID(coretest.Home, "alice"), tokenOf(key)
	s.wantAs(t, token, 403, http.MethodGet, "secret/data/app", "")
	s.want(t, 204, http.MethodPost, "identity/entity/id/"+id, `{"policies":["one"]}`)
	s.wantAs(t, token, 200, http.MethodGet, "secret/data/app", "")
	s.want(t, 204, http.MethodPost, "identity/entity/id/"+id, `{"policies":[]}`)
	s.wantAs(t, token, 403, http.MethodGet, "secret/data/app", "")
	s.want(t, 200, http.MethodPost, "identity/group", `{"name":"g","policies":["one"],"member_entity_ids":["`+id+`"]}`)
	s.wantAs(t, token, 200, http.MethodGet, "secret/data/app", "")
	s.want(t, 204, http.MethodPost, "identity/entity/id/"+id, `{"disabled":true}`)
	s.wantAs(t, token, 403, http.MethodGet, "secret/data/app", "")
}

func TestEntitiesAreReviewed(t *testing.T) {
	s := newServer(t, coretest.Config{})
	ctx := t.Context()
	for _, err := range []error{
		func() error { _, err := s.Authn.CreateGroup(ctx, s.Admin, "approvers"); return err }(),
		func() error {
			_, err := s.Changes.PutRules(ctx, s.Admin, change.RuleChange{Set: &protect.Rule{Name: "people", Match: []string{"user:*", "identity-role:*"},
				Approvals: []protect.Approval{{Count: 1, Groups: []string{"approvers"}}}}}, "", change.Options{})
			return err
		}(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	s.want(t, 204, http.MethodPost, "identity/oidc/key/k", `{"algorithm":"EdDSA"}`)
	for path, body := range map[string]string{"identity/entity/name/new": `{}`, "identity/entity/name/admin": `{"metadata":{"a":"b"}}`, "identity/oidc/role/r": `{"key":"k"}`} {
		if w := s.do(t, s.root, http.MethodPost, path, body); w.Code != 403 || !strings.Contains(w.Body.String(), "awaits approval") {
			t.Errorf("%s under a rule: %d %s", path, w.Code, w.Body)
		}
	}
	if _, err := s.Authn.GetUser(ctx, s.Admin, "new"); err == nil {
		t.Error("it was made before it was approved")
	}
}

func TestIdentityTokens(t *testing.T) {
	s := newServer(t, coretest.Config{})
	got := s.want(t, 200, http.MethodGet, "identity/oidc/config", "")
	if at(t, got, "data.issuer") != "" {
		t.Errorf("config: %v", got)
	}
	s.want(t, 204, http.MethodPost, "identity/oidc/key/k", `{"algorithm":"ES256","rotation_period":"2h","verification_ttl":7200,"allowed_client_ids":"*"}`)
	got = s.want(t, 200, http.MethodGet, "identity/oidc/key/k", "")
	if at(t, got, "data.algorithm") != "ES256" || at(t, got, "data.rotation_period") != 7200.0 || at(t, got, "data.verification_ttl") != 7200.0 || at(t, got, "data.allowed_client_ids").([]any)[0] != "*" {
		t.Errorf("key: %v", got)
	}
	template := base64.StdEncoding.EncodeToString([]byte(`{"user":{{identity.entity.name}}}`))
	s.want(t, 204, http.MethodPost, "identity/oidc/role/r", `{"key":"k","ttl":"1h","template":"`+template+`"}`)
	got = s.want(t, 200, http.MethodGet, "identity/oidc/role/r", "")
	client, _ := at(t, got, "data.client_id").(string)
	if at(t, got, "data.key") != "k" || at(t, got, "data.ttl") != 3600.0 || at(t, got, "data.template") != `{"user":{{identity.entity.name}}}` || client == "" {
		t.Errorf("role: %v", got)
	}
	for _, path := range []string{"identity/oidc/key", "identity/oidc/role"} {
		if got = s.want(t, 200, "LIST", path, ""); len(at(t, got, "data.keys").([]any)) != 1 {
			t.Errorf("%s: %v", path, got)
		}
	}
	got = s.want(t, 200, http.MethodGet, "identity/oidc/token/r", "")
	token, _ := at(t, got, "data.token").(string)
	if at(t, got, "data.client_id") != client || at(t, got, "data.ttl") != 3600.0 {
		t.Errorf("token: %v", got)
	}
	s.want(t, 204, http.MethodPost, "identity/oidc/key/k/rotate", `{"verification_ttl":60}`)
	if got = s.want(t, 200, http.MethodPost, "identity/oidc/introspect", `{"token":"`+token+`","client_id":"`+client+`"}`); at(t, got, "active") != true {
		t.Errorf("introspection: %v", got)
	}
	if got = s.want(t, 200, http.MethodPost, "identity/oidc/introspect", `{"token":"x"}`); at(t, got, "active") != false || at(t, got, "error") == nil {
		t.Errorf("introspection of nothing: %v", got)
	}
	for body, want := range map[string]string{`{"algorithm":"none"}`: "algorithm", `{"rotation_period":1}`: "rotation_period"} {
		if w := s.do(t, s.root, http.MethodPost, "identity/oidc/key/k", body); w.Code != 400 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
	}
	s.want(t, 400, http.MethodPost, "identity/oidc/role/r", `{"template":"{\"sub\":1}"}`)
	s.want(t, 400, http.MethodPost, "identity/oidc/role/none", `{}`)
	s.want(t, 400, http.MethodGet, "identity/oidc/token/none", "")
	s.want(t, 400, http.MethodPost, "identity/oidc/key/none/rotate", "")
	s.want(t, 404, http.MethodGet, "identity/oidc/role/none", "")
	s.want(t, 400, http.MethodDelete, "identity/oidc/key/k", "")
	s.want(t, 400, http.MethodPost, "identity/oidc/config", `{"issuer":"https://a.example/path"}`)
	_, alice := s.User(t, "alice", "")
	for _, path := range []string{"token/r", "token/none", "key/k", "config"} {
		s.wantAs(t, tokenOf(alice), 403, http.MethodGet, "identity/oidc/"+path, "")
	}
	s.want(t, 204, http.MethodDelete, "identity/oidc/role/r", "")
	s.want(t, 204, http.MethodDelete, "identity/oidc/key/k", "")
	s.want(t, 404, "LIST", "identity/oidc/key", "")
}

// A stock verifier finds the documents of every account by the issuer that its
// tokens have, without any header of this protocol.
func TestIdentityTokensVerify(t *testing.T) {
	s := newServer(t, coretest.Config{})
	srv := httptest.NewServer(s)
	defer srv.Close()
	_, other := s.Stranger(t)
	for account, key := range map[string]authn.NewKey{coretest.Home: s.Key, coretest.Other: other} {
		token := tokenOf(key)
		s.wantAs(t, token, 204, http.MethodPost, "identity/oidc/config", `{"issuer":"`+srv.URL+`"}`)
		s.wantAs(t, token, 204, http.MethodPost, "identity/oidc/key/k", `{"allowed_client_ids":["app"]}`)
		s.wantAs(t, token, 204, http.MethodPost, "identity/oidc/role/r", `{"key":"k","client_id":"app"}`)
		signed := at(t, s.wantAs(t, token, 200, http.MethodGet, "identity/oidc/token/r", ""), "data.token").(string)
		issuer := srv.URL + "/v1/identity/oidc"
		if account != coretest.Home {
			issuer = srv.URL + "/v1/" + account + "/identity/oidc"
		}
		p, err := oidc.NewProvider(t.Context(), issuer)
		if err != nil {
			t.Fatal(err)
		}
		got, err := p.Verifier(&oidc.Config{ClientID: "app"}).Verify(t.Context(), signed)
		if err != nil {
			t.Fatalf("%s: %v", account, err)
		}
		var claims struct{ Namespace string }
		if err := got.Claims(&claims); err != nil || claims.Namespace != map[string]string{coretest.Home: "root", coretest.Other: account}[account] {
			t.Errorf("%s: %+v, %v", account, claims, err)
		}
		// The header says the same as the path.
		w := s.do(t, "", http.MethodGet, "identity/oidc/.well-known/openid-configuration", "", "X-Vault-Namespace: "+account)
		var doc struct{ Issuer string }
		if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil || doc.Issuer != issuer || w.Code != 200 {
			t.Errorf("by the header: %d %s", w.Code, w.Body)
		}
	}
	// An account in the path leads to nothing else.
	if w := s.do(t, s.root, http.MethodGet, coretest.Home+"/identity/oidc/key/k", ""); w.Code != 404 {
		t.Errorf("a key below an account: %d %s", w.Code, w.Body)
	}
	if w := s.do(t, "", http.MethodGet, "identity/oidc/key/k", ""); w.Code != 403 {
		t.Errorf("a key without a token: %d %s", w.Code, w.Body)
	}
	if w := s.do(t, "", http.MethodGet, "999999999999/identity/oidc/.well-known/keys", ""); w.Code != 200 || strings.TrimSpace(w.Body.String()) != `{"keys":[]}` {
		t.Errorf("of an account that is not there: %d %s", w.Code, w.Body)
	}
}
