package vault

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/caller"
	"countersign/internal/core/authn"
	"countersign/internal/core/change"
	"countersign/internal/core/coretest"
	"countersign/internal/core/login"
	"countersign/internal/core/protect"
)

// appRole mounts AppRole with a role, and returns the accessor of the mount, the
// role's id and a way to log in.
func (s *server) appRole(t testing.TB, role string) (accessor, id string, login func() string) {
	t.Helper()
	s.enable(t, "approle")
	s.want(t, 204, "POST", "auth/approle/role/"+role, `{}`)
	accessor = at(t, s.want(t, 200, "GET", "sys/auth", ""), "data").(map[string]any)["approle/"].(map[string]any)["accessor"].(string)
	id = at(t, s.want(t, 200, "GET", "auth/approle/role/"+role+"/role-id", ""), "data.role_id").(string)
	return accessor, id, func() string {
		t.Helper()
		sid := at(t, s.want(t, 200, "POST", "auth/approle/role/"+role+"/secret-id", `{"metadata":"{\"team\":\"red\"}"}`), "data.secret_id").(string)
		return at(t, s.wantAs(t, "", 200, "POST", "auth/approle/login", `{"role_id":"`+id+`","secret_id":"`+sid+`"}`), "auth.client_token").(string)
	}
}

// link links an alias and returns its id.
func (s *server) link(t testing.TB, accessor, name, principal string) string {
	t.Helper()
	got := s.want(t, 200, "POST", "identity/entity-alias", linkOf(accessor, name, principal))
	return at(t, got, "data.id").(string)
}

func linkOf(accessor, name, principal string) string {
	return `{"name":"` + name + `","mount_accessor":"` + accessor + `","canonical_id":"` + caller.EntityID(coretest.Home, principal) + `"}`
}

func TestAliasesOnTheWire(t *testing.T) {
	s := newServer(t, coretest.Config{})
	accessor, role, enter := s.appRole(t, "ci")
	s.want(t, 404, "LIST", "identity/entity-alias/id", "")
	s.want(t, 200, "POST", "identity/entity", `{"name":"robot"}`)
	entity := caller.EntityID(coretest.Home, "robot")
	got := s.want(t, 200, "POST", "identity/entity-alias", linkOf(accessor, role, "robot"))
	id := login.AliasID(coretest.Home, accessor, role)
	if at(t, got, "data.id") != id || at(t, got, "data.canonical_id") != entity {
		t.Errorf("made: %v", got)
	}
	for _, m := range [][2]string{ // what is so already
		{"identity/entity-alias", linkOf(accessor, role, "robot")}, {"identity/entity-alias", `{"id":"` + id + `"}`}, {"identity/entity-alias/id/" + id, `{"entity_id":"` + entity + `","custom_metadata":{}}`},
	} {
		s.want(t, 204, "PUT", m[0], m[1])
	}
	enter()
	got = at(t, s.want(t, 200, "GET", "identity/entity-alias/id/"+id, ""), "data").(map[string]any)
	created, updated := got["creation_time"].(string), got["last_update_time"].(string)
	want := map[string]any{"id": id, "canonical_id": entity, "mount_accessor": accessor, "mount_path": "auth/approle/", "mount_type": "approle", "name": role,
		"metadata": map[string]any{"role_name": "ci", "team": "red"}, "custom_metadata": nil, "creation_time": created, "last_update_time": updated,
		"local": false, "merged_from_canonical_ids": nil, "namespace_id": "root"}
	if diff := cmp.Diff(want, got); diff != "" || created == "" || updated <= created {
		t.Errorf("%s %s %s", diff, created, updated)
	}
	delete(want, "namespace_id")
	for what, body := range map[string]string{"id": `{"alias_id":"` + id + `"}`, "name": `{"alias_name":"` + role + `","alias_mount_accessor":"` + accessor + `"}`, "entity": `{"name":"robot"}`} {
		got = s.want(t, 200, "POST", "identity/lookup/entity", body)
		if diff := cmp.Diff([]any{want}, at(t, got, "data.aliases")); diff != "" || at(t, got, "data.name") != "robot" {
			t.Errorf("by %s: %s", what, diff)
		}
	}
	s.want(t, 204, "POST", "identity/lookup/entity", `{"alias_id":"none"}`)
	got = s.want(t, 200, "LIST", "identity/entity-alias/id", "")
	if info := at(t, got, "data.key_info").(map[string]any)[id].(map[string]any); fmt.Sprint(at(t, got, "data.keys")) != "["+id+"]" || info["canonical_id"] != entity || info["mount_path"] != "auth/approle/" {
		t.Errorf("listed: %v", got)
	}
	got = s.want(t, 200, "LIST", "identity/entity/name", "")
	if list := at(t, got, "data.key_info").(map[string]any)[entity].(map[string]any)["aliases"].([]any); len(list) != 1 {
		t.Errorf("listed with the entity: %v", got)
	}
	s.want(t, 204, "DELETE", "identity/entity-alias/id/"+id, "")
	s.want(t, 204, "DELETE", "identity/entity-alias/id/"+id, "")
	s.want(t, 404, "GET", "identity/entity-alias/id/"+id, "")
	if got = s.want(t, 200, "GET", "identity/entity/name/robot", ""); len(at(t, got, "data.aliases").([]any)) != 0 {
		t.Errorf("unlinked: %v", got)
	}
}

func TestAliasRefusals(t *testing.T) {
	s := newServer(t, coretest.Config{})
	accessor, role, _ := s.appRole(t, "ci")
	s.enable(t, "userpass")
	byPassword := at(t, s.want(t, 200, "GET", "sys/auth", ""), "data").(map[string]any)["userpass/"].(map[string]any)["accessor"].(string)
	_, key := s.User(t, "alice", "")
	s.User(t, "bob", "")
	id := s.link(t, accessor, role, "bob")
	for what, m := range map[string]struct {
		path, body string
		want       string
	}{
		"nothing":       {"entity-alias", `{}`, "must be provided"},
		"no-name":       {"entity-alias", `{"mount_accessor":"` + accessor + `"}`, "must be provided"},
		"no-entity":     {"entity-alias", `{"mount_accessor":"` + accessor + `","name":"x"}`, "the first login makes one"},
		"entity":        {"entity-alias", `{"mount_accessor":"` + accessor + `","name":"x","canonical_id":"none"}`, "invalid canonical ID"},
		"mount":         {"entity-alias", linkOf("auth_approle_00000000", "x", "alice"), "invalid mount accessor"},
		"no-login":      {"entity-alias", linkOf("identity_00000000", "x", "alice"), "invalid mount accessor"},
		"long-accessor": {"entity-alias", linkOf(strings.Repeat("a", 5000), "x", "alice"), "accessor"},
		"name":          {"entity-alias", linkOf(accessor, strings.Repeat("x", 600), "alice"), "the name of an alias"},
		"moved":         {"entity-alias", linkOf(accessor, role, "alice"), "linked to another principal"},
		"moved-by-id":   {"entity-alias/id/" + id, `{"canonical_id":"` + caller.EntityID(coretest.Home, "alice") + `"}`, "linked to another principal"},
		"renamed":       {"entity-alias/id/" + id, `{"name":"other"}`, "keeps its name"},
		"other-mount":   {"entity-alias", `{"id":"` + id + `","mount_accessor":"` + byPassword + `"}`, "keeps its name"},
		"id":            {"entity-alias/id/none", `{}`, "invalid alias ID"},
		"second":        {"entity-alias", linkOf(accessor, "second", "bob"), "by another name already"},
		"custom":        {"entity-alias", `{"id":"` + id + `","custom_metadata":{"a":"b"}}`, "give them to the entity"},
		"userpass":      {"entity-alias", linkOf(byPassword, "alice", "bob"), "by their own names"},
	} {
		if w := s.do(t, s.root, "POST", "identity/"+m.path, m.body); w.Code != 400 || !strings.Contains(w.Body.String(), m.want) {
			t.Errorf("%s: %d %s, want 400 with %q", what, w.Code, w.Body, m.want)
		}
	}
	s.link(t, byPassword, "alice", "alice")
	// Whoever may not know is told the same of what is there and what is not.
	for _, m := range [][3]string{
		{"POST", "entity-alias", linkOf(accessor, role, "alice")}, {"POST", "entity-alias", linkOf(accessor, "new", "alice")}, {"POST", "entity-alias", linkOf(accessor, "new", "none")},
		{"POST", "entity-alias/id/" + id, `{}`}, {"POST", "entity-alias/id/" + id, `{"name":"other"}`}, {"POST", "entity-alias/id/none", `{}`}, {"GET", "entity-alias/id/" + id, ""}, {"GET", "entity-alias/id/none", ""},
		{"DELETE", "entity-alias/id/" + id, ""}, {"DELETE", "entity-alias/id/none", ""}, {"LIST", "entity-alias/id", ""},
		{"POST", "lookup/entity", `{"alias_id":"` + id + `"}`}, {"POST", "lookup/entity", `{"alias_id":"none"}`}, {"POST", "lookup/entity", `{"alias_name":"x","alias_mount_accessor":"` + accessor + `"}`},
	} {
		if w := s.do(t, tokenOf(key), m[0], "identity/"+m[1], m[2]); w.Code != 403 || !strings.Contains(w.Body.String(), "permission denied (decision") {
			t.Errorf("%v without a permission: %d %s", m, w.Code, w.Body)
		}
	}
	_, other := s.Stranger(t)
	s.wantAs(t, tokenOf(other), 404, "GET", "identity/entity-alias/id/"+id, "")
}

// A login that is linked to a principal acts as that: what its policies say in
// either dialect holds, also of the name that the login knows it by, and all of it
// ends when the link does.
func TestLinkedLogin(t *testing.T) {
	s := newServer(t, coretest.Config{})
	accessor, role, enter := s.appRole(t, "ci")
	for _, n := range []string{"iam/a", "names/" + role + "/a", "names/other/a", "teams/red/a", "teams/blue/a"} {
		s.want(t, 200, "POST", "secret/data/"+n, `{"data":{"a":"b"}}`)
	}
	_, key := s.User(t, "robot", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["secretsmanager:GetSecretValue","countersign:CreateToken","countersign:CreateOrphanToken"],"Resource":["arn:aws:secretsmanager:*:*:secret:iam/*","arn:aws:countersign:*"]},
		{"Effect":"Deny","Action":"secretsmanager:GetSecretValue","Resource":"arn:aws:secretsmanager:*:*:secret:teams/blue/*"}]}`)
	hcl := quoted(`path "secret/data/names/{{identity.entity.aliases.` + accessor + `.name}}/*" { capabilities = ["read"] }
		path "secret/data/teams/{{identity.entity.aliases.` + accessor + `.metadata.team}}/*" { capabilities = ["read"] }
		path "auth/token/create*" { capabilities = ["create", "update", "sudo"] }`)
	s.want(t, 204, "PUT", "sys/policies/acl/own", `{"policy":`+hcl+`}`)
	if _, err := s.Authn.Attach(t.Context(), s.Admin, authn.Attachment{Policy: "own", User: "robot"}); err != nil {
		t.Fatal(err)
	}
	// Before the link the templates have no value, and nothing is allowed by them.
	s.reads(t, tokenOf(key), "iam/a")
	id := s.link(t, accessor, role, "robot")
	s.reads(t, tokenOf(key), "iam/a", "names/"+role+"/a") // by the key, too, and from the next request on
	token := enter()
	if who := at(t, s.wantAs(t, token, 200, "GET", "auth/token/lookup-self", ""), "data.entity_id"); who != caller.EntityID(coretest.Home, "robot") {
		t.Errorf("it is %v", who)
	}
	s.reads(t, token, "iam/a", "names/"+role+"/a", "teams/red/a")
	s.reads(t, tokenOf(key), "iam/a", "names/"+role+"/a", "teams/red/a")
	s.want(t, 204, "POST", "identity/oidc/key/k", `{"algorithm":"EdDSA","allowed_client_ids":"*"}`)
	s.want(t, 204, "POST", "identity/oidc/role/r", `{"key":"k","template":`+quoted(`{"ci":{{identity.entity.aliases.`+accessor+`.name}},"team":{{identity.entity.aliases.`+accessor+`.metadata.team}}}`)+`}`)
	signed := at(t, s.want(t, 200, "GET", "identity/oidc/token/r", ""), "data.token").(string) // the administrator has no alias
	if claims := claimsOf(t, signed); claims["ci"] != "" || claims["team"] != "" {
		t.Errorf("claims of who has no alias: %v", claims)
	}
	s.want(t, 204, "PUT", "sys/policies/acl/signs", `{"policy":`+quoted(`path "identity/oidc/token/r" { capabilities = ["read"] }`)+`}`)
	if _, err := s.Authn.Attach(t.Context(), s.Admin, authn.Attachment{Policy: "signs", User: "robot"}); err != nil {
		t.Fatal(err)
	}
	signed = at(t, s.wantAs(t, token, 200, "GET", "identity/oidc/token/r", ""), "data.token").(string)
	if claims := claimsOf(t, signed); claims["ci"] != role || claims["team"] != "red" {
		t.Errorf("claims: %v", claims)
	}
	child := at(t, s.wantAs(t, token, 200, "POST", "auth/token/create", `{}`), "auth.client_token").(string)
	orphan := at(t, s.wantAs(t, token, 200, "POST", "auth/token/create-orphan", `{}`), "auth.client_token").(string)
	batch := at(t, s.wantAs(t, token, 200, "POST", "auth/token/create-orphan", `{"type":"batch"}`), "auth.client_token").(string)
	all := []string{token, child, orphan, batch}
	for _, tk := range all {
		s.reads(t, tk, "iam/a", "names/"+role+"/a", "teams/red/a")
	}
	s.want(t, 204, "DELETE", "identity/entity-alias/id/"+id, "")
	for i, tk := range all {
		if w := s.do(t, tk, "GET", "auth/token/lookup-self", ""); w.Code != 403 {
			t.Errorf("token %d after the link has ended: %d %s", i, w.Code, w.Body)
		}
	}
	s.reads(t, tokenOf(key), "iam/a")
	s.link(t, accessor, role, "robot")
	for i, tk := range all { // another link is not the one that they came of
		if w := s.do(t, tk, "GET", "auth/token/lookup-self", ""); w.Code != 403 {
			t.Errorf("token %d after a new link: %d %s", i, w.Code, w.Body)
		}
	}
	token = enter()
	s.reads(t, token, "iam/a", "names/"+role+"/a", "teams/red/a")
	s.want(t, 204, "DELETE", "sys/auth/approle", "") // and so do the tokens of a method that is disabled
	if w := s.do(t, token, "GET", "auth/token/lookup-self", ""); w.Code != 403 {
		t.Errorf("after the method was disabled: %d %s", w.Code, w.Body)
	}
	s.reads(t, tokenOf(key), "iam/a")
}

// reads checks which of the secrets of TestLinkedLogin a token reads.
func (s *server) reads(t testing.TB, token string, want ...string) {
	t.Helper()
	all := at(t, s.want(t, 200, "GET", "secret/metadata/names?list=true", ""), "data.keys").([]any)
	names := []string{"iam/a", "teams/blue/a", "teams/red/a"}
	for _, n := range all {
		names = append(names, "names/"+n.(string)+"a")
	}
	got := map[string]bool{}
	for _, n := range names {
		if w := s.do(t, token, "GET", "secret/data/"+n, ""); w.Code == 200 {
			got[n] = true
		}
	}
	for _, n := range want {
		if !got[n] {
			t.Errorf("%s is not read", n)
		}
		delete(got, n)
	}
	if len(got) > 0 {
		t.Errorf("%v are read", got)
	}
}

// claimsOf reads a signed token without verifying it.
func claimsOf(t testing.TB, signed string) (out map[string]any) {
	t.Helper()
	parts := strings.Split(signed, ".")
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil {
		err = json.Unmarshal(b, &out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Who gets the name of a principal gets nothing of its aliases: neither what
// templates say of them, nor who logs in by them.
func TestNobodyInheritsAliases(t *testing.T) {
	s := newServer(t, coretest.Config{})
	accessor, role, enter := s.appRole(t, "ci")
	s.want(t, 200, "POST", "secret/data/names/"+role+"/a", `{"data":{"a":"b"}}`)
	s.want(t, 204, "PUT", "sys/policies/acl/own", `{"policy":`+quoted(`path "secret/data/names/{{identity.entity.aliases.`+accessor+`.name}}/*" { capabilities = ["read"] }`)+`}`)
	robot := func() authn.NewKey {
		_, key := s.User(t, "robot", "")
		if _, err := s.Authn.Attach(t.Context(), s.Admin, authn.Attachment{Policy: "own", User: "robot"}); err != nil {
			t.Fatal(err)
		}
		return key
	}
	key := robot()
	id := s.link(t, accessor, role, "robot")
	token := enter()
	for _, tk := range []string{tokenOf(key), token} {
		s.wantAs(t, tk, 200, "GET", "secret/data/names/"+role+"/a", "")
	}
	s.want(t, 204, "DELETE", "identity/entity/name/robot", "")
	s.want(t, 404, "GET", "identity/entity-alias/id/"+id, "")
	s.want(t, 404, "LIST", "identity/entity-alias/id", "")
	key = robot() // another one
	s.wantAs(t, tokenOf(key), 403, "GET", "secret/data/names/"+role+"/a", "")
	s.wantAs(t, token, 403, "GET", "secret/data/names/"+role+"/a", "")
	s.want(t, 404, "GET", "identity/entity-alias/id/"+id, "")
	s.want(t, 204, "POST", "identity/lookup/entity", `{"alias_id":"`+id+`"}`)
	if got := s.want(t, 200, "GET", "identity/entity/name/robot", ""); len(at(t, got, "data.aliases").([]any)) != 0 {
		t.Errorf("inherited: %v", got)
	}
	if who := at(t, s.wantAs(t, enter(), 200, "GET", "auth/token/lookup-self", ""), "data.entity_id"); who != caller.EntityID(coretest.Home, "approle.ci") {
		t.Errorf("the login is %v", who)
	}
	if err := s.Logins.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.want(t, 400, "POST", "identity/entity-alias", linkOf(accessor, role, "robot")) // now it is approle.ci's
}

// Linking makes whoever logs in somebody else, so it takes the permission to that
// somebody, and the review that a rule asks for.
func TestWhoMayLink(t *testing.T) {
	s := newServer(t, coretest.Config{})
	accessor, role, enter := s.appRole(t, "ci")
	_, key := s.User(t, "mallory", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["countersign:LinkUser","countersign:UnlinkUser"],"Resource":"arn:aws:iam::*:user/mallory"}]}`)
	_, vault := s.User(t, "trudy", "")
	s.want(t, 204, "PUT", "sys/policies/acl/links", `{"policy":`+quoted(`path "identity/entity-alias/id/*" { capabilities = ["update", "delete"] }
		path "identity/entity-alias/admin" { capabilities = ["deny"] }
		path "identity/entity-alias" { capabilities = ["update"] }`)+`}`)
	if _, err := s.Authn.Attach(t.Context(), s.Admin, authn.Attachment{Policy: "links", User: "trudy"}); err != nil {
		t.Fatal(err)
	}
	s.User(t, "bob", "")
	s.User(t, "carl", "")
	for who, token := range map[string]string{"mallory": tokenOf(key), "trudy": tokenOf(vault)} {
		s.wantAs(t, token, 403, "POST", "identity/entity-alias", linkOf(accessor, role, "admin"))
		s.wantAs(t, token, 200, "POST", "identity/entity-alias", linkOf(accessor, "of-"+who, who))
	}
	bobs := s.link(t, accessor, "bobs", "bob")
	s.wantAs(t, tokenOf(key), 403, "DELETE", "identity/entity-alias/id/"+bobs, "")
	if text := errorOf(t, s.wantAs(t, tokenOf(key), 400, "POST", "identity/entity-alias", linkOf(accessor, "bobs", "mallory"))); !strings.Contains(text, "linked to another principal") {
		t.Error(text)
	}

	// A rule over users holds links: they wait, and void what rests on another state.
	everything := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`
	reviewer, _ := s.User(t, "reviewer", everything)
	if _, err := s.Changes.PutRules(t.Context(), s.Admin, change.RuleChange{Set: &protect.Rule{Name: "people", Match: []string{"user:*"},
		Approvals: []protect.Approval{{Count: 1}}}}, "", change.Options{}); err != nil {
		t.Fatal(err)
	}
	pending := func(method, path, body string) string {
		t.Helper()
		text := errorOf(t, s.wantAs(t, s.root, 403, method, path, body))
		if !strings.Contains(text, "awaits approval") {
			t.Fatal(text)
		}
		list, err := s.Changes.List(t.Context(), s.Admin, change.ListRequest{Statuses: []change.Status{change.Pending}})
		if err != nil || len(list.Changes) != 1 {
			t.Fatalf("%+v, %v", list, err)
		}
		return list.Changes[0].ID
	}
	approve := func(id string) error {
		t.Helper()
		r, err := s.Changes.Get(t.Context(), s.Admin, id)
		if err != nil {
			t.Fatal(err)
		}
		digest, err := hex.DecodeString(r.Digest)
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Changes.Vote(t.Context(), reviewer, change.VoteRequest{ID: id, Approve: true, Digest: digest})
		return err
	}
	s.want(t, 204, "DELETE", "identity/entity-alias/id/none", "")
	waits := pending("POST", "identity/entity-alias", linkOf(accessor, role, "admin"))
	if who := at(t, s.wantAs(t, enter(), 200, "GET", "auth/token/lookup-self", ""), "data.entity_id"); who != caller.EntityID(coretest.Home, "approle.ci") {
		t.Errorf("before the approval the login is %v", who)
	}
	// Meanwhile the alias has become somebody else's.
	if err := approve(waits); err == nil {
		t.Error("a link that somebody else has was approved")
	}
	if _, err := s.Changes.Withdraw(t.Context(), s.Admin, waits, ""); err != nil {
		t.Fatal(err)
	}
	id := login.AliasID(coretest.Home, accessor, role)
	if err := approve(pending("DELETE", "identity/entity-alias/id/"+id, "")); err != nil {
		t.Fatal(err)
	}
	if err := approve(pending(http.MethodPost, "identity/entity-alias", linkOf(accessor, role, "carl"))); err != nil {
		t.Fatal(err)
	}
	if who := at(t, s.wantAs(t, enter(), 200, "GET", "auth/token/lookup-self", ""), "data.entity_id"); who != caller.EntityID(coretest.Home, "carl") {
		t.Errorf("after the approval the login is %v", who)
	}
}
