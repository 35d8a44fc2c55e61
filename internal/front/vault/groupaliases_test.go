package vault

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/caller"
	"countersign/internal/core/authn"
	"countersign/internal/core/coretest"
)

func (s *server) accessor(t testing.TB, path string) string {
	t.Helper()
	return at(t, s.want(t, 200, "GET", "sys/auth", ""), "data").(map[string]any)[path+"/"].(map[string]any)["accessor"].(string)
}

func TestGroupAliasesOnTheWire(t *testing.T) {
	s := newServer(t, coretest.Config{})
	s.enable(t, "jwt")
	accessor := s.accessor(t, "jwt")
	s.want(t, 404, "LIST", "identity/group-alias/id", "")
	got := s.want(t, 200, "POST", "identity/group", `{"name":"admins","type":"external","policies":["default"]}`)
	group := caller.GroupID(coretest.Home, "admins")
	if at(t, got, "data.id") != group {
		t.Error(got)
	}
	got = s.want(t, 200, "GET", "identity/group/name/admins", "")
	if at(t, got, "data.type") != "external" || len(at(t, got, "data.alias").(map[string]any)) != 0 || len(at(t, got, "data.member_entity_ids").([]any)) != 0 {
		t.Error(got)
	}
	body := `{"name":"/staff/admins","mount_accessor":"` + accessor + `","canonical_id":"` + group + `"}`
	got = s.want(t, 200, "POST", "identity/group-alias", body)
	id := authn.GroupAliasID(coretest.Home, accessor, "/staff/admins")
	if diff := cmp.Diff(map[string]any{"id": id, "canonical_id": group}, got["data"]); diff != "" {
		t.Error(diff)
	}
	for _, path := range []string{"identity/group-alias", "identity/group-alias/id/" + id} { // what is so already
		s.want(t, 204, "PUT", path, body)
	}
	s.want(t, 204, "POST", "identity/group-alias", `{"id":"`+id+`"}`)
	got = at(t, s.want(t, 200, "GET", "identity/group-alias/id/"+id, ""), "data").(map[string]any)
	created := got["creation_time"].(string)
	want := map[string]any{"id": id, "canonical_id": group, "mount_accessor": accessor, "mount_path": "auth/jwt/", "mount_type": "jwt", "name": "/staff/admins",
		"metadata": nil, "custom_metadata": nil, "creation_time": created, "last_update_time": created, "local": false, "merged_from_canonical_ids": nil, "namespace_id": "root"}
	if diff := cmp.Diff(want, got); diff != "" || created == "" {
		t.Error(diff)
	}
	delete(want, "namespace_id")
	for what, body := range map[string]string{"id": `{"alias_id":"` + id + `"}`, "name": `{"alias_name":"/staff/admins","alias_mount_accessor":"` + accessor + `"}`, "group": `{"name":"admins"}`} {
		got = s.want(t, 200, "POST", "identity/lookup/group", body)
		if diff := cmp.Diff(want, at(t, got, "data.alias")); diff != "" || at(t, got, "data.name") != "admins" {
			t.Errorf("by %s: %s", what, diff)
		}
	}
	s.want(t, 204, "POST", "identity/lookup/group", `{"alias_id":"none"}`)
	s.want(t, 204, "POST", "identity/lookup/group", `{"alias_name":"admins","alias_mount_accessor":"`+accessor+`"}`)
	got = s.want(t, 200, "LIST", "identity/group-alias/id", "")
	if info := at(t, got, "data.key_info").(map[string]any)[id].(map[string]any); fmt.Sprint(at(t, got, "data.keys")) != "["+id+"]" || info["canonical_id"] != group || info["mount_path"] != "auth/jwt/" {
		t.Errorf("listed: %v", got)
	}
	s.want(t, 204, "POST", "identity/group", `{"name":"admins","type":"external","policies":[],"member_entity_ids":[]}`)
	s.want(t, 204, "DELETE", "identity/group-alias/id/"+id, "")
	s.want(t, 204, "DELETE", "identity/group-alias/id/"+id, "")
	s.want(t, 404, "GET", "identity/group-alias/id/"+id, "")
	s.want(t, 200, "POST", "identity/group-alias", body)
	s.want(t, 204, "DELETE", "identity/group/name/admins", "")
	s.want(t, 404, "GET", "identity/group-alias/id/"+id, "")
}

func TestGroupAliasRefusals(t *testing.T) {
	s := newServer(t, coretest.Config{})
	s.enable(t, "jwt")
	s.enable(t, "userpass")
	accessor := s.accessor(t, "jwt")
	_, key := s.User(t, "alice", "")
	groupID := func(n string) string { return caller.GroupID(coretest.Home, n) }
	s.want(t, 200, "POST", "identity/group", `{"name":"one","type":"external"}`)
	s.want(t, 200, "POST", "identity/group", `{"name":"two","type":"external"}`)
	s.want(t, 200, "POST", "identity/group", `{"name":"inside"}`)
	alias := func(accessor, n, group string) string {
		b, _ := json.Marshal(map[string]string{"mount_accessor": accessor, "name": n, "canonical_id": group})
		return string(b)
	}
	s.want(t, 200, "POST", "identity/group-alias", alias(accessor, "/one", groupID("one")))
	id := authn.GroupAliasID(coretest.Home, accessor, "/one")
	for what, m := range map[string]struct{ path, body, want string }{
		"nothing":  {"group-alias", `{}`, "missing alias name"},
		"no-mount": {"group-alias", `{"name":"x"}`, "missing mount_accessor"},
		"no-group": {"group-alias", `{"name":"x","mount_accessor":"` + accessor + `"}`, "make the group first"},
		"group":    {"group-alias", alias(accessor, "/x", "none"), "invalid group ID given in 'canonical_id'"},
		"mount":    {"group-alias", alias("auth_jwt_00000000", "/x", groupID("two")), "invalid mount accessor"},
		"method":   {"group-alias", alias(s.accessor(t, "userpass"), "/x", groupID("two")), "does not say which groups"},
		"internal": {"group-alias", alias(accessor, "/x", groupID("inside")), "alias can't be set on an internal group"},
		"in-use":   {"group-alias", alias(accessor, "/one", groupID("two")), "already in use"},
		"second":   {"group-alias", alias(accessor, "/x", groupID("one")), "has another alias"},
		"moved":    {"group-alias/id/" + id, `{"canonical_id":"` + groupID("two") + `"}`, "already in use"},
		"renamed":  {"group-alias/id/" + id, `{"name":"/x"}`, "keeps its name"},
		"id":       {"group-alias/id/none", `{}`, "invalid group alias ID"},
		"member":   {"group/name/one", `{"member_entity_ids":["` + caller.EntityID(coretest.Home, "alice") + `"]}`, "can't be set manually"},
		"type":     {"group/name/one", `{"type":"internal"}`, "group type cannot be changed"},
	} {
		if w := s.do(t, s.root, "POST", "identity/"+m.path, m.body); w.Code != 400 || !strings.Contains(w.Body.String(), m.want) {
			t.Errorf("%s: %d %s, want 400 with %q", what, w.Code, w.Body, m.want)
		}
	}
	// Whoever may not know is told the same of what is there and what is not.
	for _, m := range [][3]string{
		{"POST", "group-alias", alias(accessor, "/one", groupID("one"))}, {"POST", "group-alias", alias(accessor, "/x", groupID("two"))}, {"POST", "group-alias", alias(accessor, "/x", "none")},
		{"POST", "group-alias/id/" + id, `{}`}, {"POST", "group-alias/id/" + id, `{"name":"other"}`}, {"POST", "group-alias/id/none", `{}`}, {"GET", "group-alias/id/" + id, ""}, {"GET", "group-alias/id/none", ""},
		{"DELETE", "group-alias/id/" + id, ""}, {"DELETE", "group-alias/id/none", ""}, {"LIST", "group-alias/id", ""},
		{"POST", "lookup/group", `{"alias_id":"` + id + `"}`}, {"POST", "lookup/group", `{"alias_id":"none"}`}, {"POST", "group/name/one", `{"type":"internal"}`},
	} {
		if w := s.do(t, tokenOf(key), m[0], "identity/"+m[1], m[2]); w.Code != 403 || !strings.Contains(w.Body.String(), "permission denied (decision") {
			t.Errorf("%v: %d %s", m, w.Code, w.Body)
		}
	}
	writer := s.withPolicy(t, "writer", `path "identity/group-alias*" { capabilities = ["update","delete","read"] }`)
	s.wantAs(t, writer, 200, "POST", "identity/group-alias", alias(accessor, "/two", groupID("two")))
	s.wantAs(t, writer, 204, "DELETE", "identity/group-alias/id/"+authn.GroupAliasID(coretest.Home, accessor, "/two"), "")
}
