package vault

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/core/change"
	"countersign/internal/core/coretest"
	"countersign/internal/core/protect"
	"countersign/internal/core/secret"
	"countersign/internal/sensitive"
)

func TestKV2(t *testing.T) {
	s := newServer(t, coretest.Config{})
	got := s.want(t, 200, "PUT", "secret/data/myapp/db", `{"data":{"user":"admin","n":{"deep":[1,2.50]}}}`)
	if at(t, got, "data.version") != 1.0 || at(t, got, "data.destroyed") != false || at(t, got, "data.deletion_time") != "" || at(t, got, "data.created_time") == "" {
		t.Errorf("written: %v", got)
	}
	w := s.do(t, s.root, "GET", "secret/data/myapp/db", "")
	if !strings.Contains(w.Body.String(), `"data":{"user":"admin","n":{"deep":[1,2.50]}}`) {
		t.Errorf("the value is not shown as it was sent: %s", w.Body)
	}
	s.want(t, 200, "POST", "secret/data/myapp/db", `{"data":{"user":"second"},"options":{"cas":1}}`)
	if msg := errorOf(t, s.want(t, 400, "POST", "secret/data/myapp/db", `{"data":{"a":"b"},"options":{"cas":1}}`)); msg != "check-and-set parameter did not match the current version" {
		t.Errorf("cas: %q", msg)
	}
	s.want(t, 400, "POST", "secret/data/new", `{"data":{"a":"b"},"options":{"cas":1}}`)
	s.want(t, 200, "POST", "secret/data/new", `{"data":{"a":"b"},"options":{"cas":0}}`)
	if got = s.want(t, 200, "GET", "secret/data/myapp/db?version=1", ""); at(t, got, "data.data.user") != "admin" {
		t.Errorf("version 1: %v", got)
	}
	s.want(t, 404, "GET", "secret/data/myapp/db?version=9", "")
	s.want(t, 404, "GET", "secret/data/none", "")
	if msg := errorOf(t, s.want(t, 400, "POST", "secret/data/x", `{"user":"a"}`)); msg != "no data provided" {
		t.Errorf("without data: %q", msg)
	}

	got = s.want(t, 200, "PATCH", "secret/data/myapp/db", `{"data":{"user":null,"pass":"p"}}`, "Content-Type: application/merge-patch+json")
	if at(t, got, "data.version") != 3.0 {
		t.Errorf("patched: %v", got)
	}
	if diff := cmp.Diff(map[string]any{"pass": "p"}, at(t, s.want(t, 200, "GET", "secret/data/myapp/db", ""), "data.data")); diff != "" {
		t.Errorf("after the patch (-want +got):\n%s", diff)
	}
	s.want(t, 404, "PATCH", "secret/data/none", `{"data":{"a":"b"}}`)
}

// Deleting, undeleting and destroying.
func TestKV2States(t *testing.T) {
	s := newServer(t, coretest.Config{})
	for _, v := range []string{"1", "2", "3"} {
		s.want(t, 200, "POST", "secret/data/a", `{"data":{"v":"`+v+`"}}`)
	}
	s.want(t, 204, "DELETE", "secret/data/a", "")
	got := s.want(t, 404, "GET", "secret/data/a", "")
	if at(t, got, "data.data") != nil || at(t, got, "data.metadata.deletion_time") == "" || at(t, got, "data.metadata.version") != 3.0 {
		t.Errorf("a deleted version: %v", got)
	}
	s.want(t, 204, "POST", "secret/undelete/a", `{"versions":[3]}`)
	s.want(t, 200, "GET", "secret/data/a", "")
	s.want(t, 204, "POST", "secret/delete/a", `{"versions":["1",2]}`)
	s.want(t, 404, "GET", "secret/data/a?version=2", "")
	s.want(t, 204, "PUT", "secret/destroy/a", `{"versions":[1]}`)
	s.want(t, 204, "POST", "secret/undelete/a", `{"versions":[1,2]}`)
	got = s.want(t, 404, "GET", "secret/data/a?version=1", "")
	if at(t, got, "data.metadata.destroyed") != true {
		t.Errorf("a destroyed version: %v", got)
	}
	got = s.want(t, 200, "GET", "secret/metadata/a", "")
	if at(t, got, "data.current_version") != 3.0 || len(at(t, got, "data.versions").(map[string]any)) != 3 || at(t, got, "data.versions.1.destroyed") != true || at(t, got, "data.versions.2.deletion_time") != "" {
		t.Errorf("metadata: %v", got)
	}
	for _, bad := range []string{`{}`, `{"versions":[]}`, `{"versions":[0]}`, `{"versions":["x"]}`, `{"versions":{"a":1}}`} {
		s.want(t, 400, "POST", "secret/destroy/a", bad)
	}
	s.want(t, 204, "DELETE", "secret/metadata/a", "")
	s.want(t, 404, "GET", "secret/data/a", "")
	s.want(t, 404, "GET", "secret/metadata/a", "")
	s.want(t, 200, "POST", "secret/data/a", `{"data":{"v":"new"},"options":{"cas":0}}`)
}

func TestKV2Metadata(t *testing.T) {
	s := newServer(t, coretest.Config{})
	s.want(t, 204, "POST", "secret/metadata/a", `{"max_versions":2,"cas_required":true,"delete_version_after":"1h","custom_metadata":{"owner":"team"}}`)
	got := s.want(t, 200, "GET", "secret/metadata/a", "")
	for k, want := range map[string]any{"data.max_versions": 2.0, "data.cas_required": true, "data.delete_version_after": "1h0m0s", "data.custom_metadata.owner": "team", "data.current_version": 0.0} {
		if at(t, got, k) != want {
			t.Errorf("%s is %v, want %v", k, at(t, got, k), want)
		}
	}
	if msg := errorOf(t, s.want(t, 400, "POST", "secret/data/a", `{"data":{"v":"1"}}`)); msg != "check-and-set parameter required for this call" {
		t.Errorf("without cas: %q", msg)
	}
	got = s.want(t, 200, "POST", "secret/data/a", `{"data":{"v":"1"},"options":{"cas":0}}`)
	if at(t, got, "data.deletion_time") == "" || at(t, got, "data.custom_metadata.owner") != "team" {
		t.Errorf("with delete_version_after: %v", got)
	}
	s.want(t, 204, "PATCH", "secret/metadata/a", `{"custom_metadata":{"owner":null,"tier":"1"},"cas_required":false}`)
	got = s.want(t, 200, "GET", "secret/metadata/a", "")
	if diff := cmp.Diff(map[string]any{"tier": "1"}, at(t, got, "data.custom_metadata")); diff != "" {
		t.Errorf("patched metadata (-want +got):\n%s", diff)
	}
	for _, n := range []string{"2", "3", "4"} {
		s.want(t, 200, "POST", "secret/data/a", `{"data":{"v":"`+n+`"}}`)
	}
	got = s.want(t, 200, "GET", "secret/metadata/a", "")
	if len(at(t, got, "data.versions").(map[string]any)) > 3 || at(t, got, "data.oldest_version") == 0.0 {
		t.Errorf("more versions than max_versions allows, but for labelled ones: %v", got)
	}
	s.want(t, 204, "POST", "secret/config", `{"max_versions":5,"cas_required":true}`)
	got = s.want(t, 200, "GET", "secret/config", "")
	if at(t, got, "data.max_versions") != 5.0 || at(t, got, "data.cas_required") != true || at(t, got, "data.delete_version_after") != "0s" {
		t.Errorf("config: %v", got)
	}
	s.want(t, 400, "POST", "secret/data/b", `{"data":{"v":"1"}}`)
	for _, bad := range []string{`{"max_versions":-1}`, `{"max_versions":"x"}`, `{"custom_metadata":5}`, `{"custom_metadata":{"a":{}}}`, `{"delete_version_after":"soon"}`} {
		s.want(t, 400, "POST", "secret/metadata/a", bad)
	}
}

func TestKVListing(t *testing.T) {
	s := newServer(t, coretest.Config{})
	s.want(t, 204, "POST", "sys/mounts/kv", `{"type":"kv-v2"}`)
	for _, n := range []string{"secret/data/a", "secret/data/dir/b", "secret/data/dir/c/d", "secret/data/dir", "kv/data/x", "kv/data/dir/y"} {
		s.want(t, 200, "POST", n, `{"data":{"v":"1"}}`)
	}
	for path, want := range map[string][]any{"secret/metadata/": {"a", "dir", "dir/"}, "secret/metadata": {"a", "dir", "dir/"}, "secret/metadata/dir": {"b", "c/"},
		"secret/metadata/dir/": {"b", "c/"}, "secret/metadata/dir/c": {"d"}, "kv/metadata/": {"dir/", "x"}, "secret/detailed-metadata/dir": {"b", "c/"}} {
		if diff := cmp.Diff(want, at(t, s.want(t, 200, "LIST", path, ""), "data.keys")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
	for _, path := range []string{"secret/metadata/a", "secret/metadata/none", "secret/metadata/kv"} {
		s.want(t, 404, "LIST", path, "")
	}
	if got := s.want(t, 200, "LIST", "secret/detailed-metadata/dir", ""); at(t, got, "data.key_info.b.current_version") != 1.0 {
		t.Errorf("detailed: %v", got)
	}
	// A name of another mount is not reached by way of this one.
	s.want(t, 400, "GET", "secret/data/kv/x", "")
	s.want(t, 400, "POST", "secret/data/kv/z", `{"data":{"v":"1"}}`)
	if got := s.want(t, 200, "GET", "secret/metadata/?list=true&after=a&limit=1", ""); cmp.Diff([]any{"dir"}, at(t, got, "data.keys")) != "" {
		t.Errorf("a page: %v", got)
	}
}

// What one mount's listing is denied says nothing of another's.
func TestListingOfAnotherMount(t *testing.T) {
	s := newServer(t, coretest.Config{})
	s.want(t, 204, "POST", "sys/mounts/kv", `{"type":"kv-v2"}`)
	s.want(t, 204, "POST", "sys/mounts/transit", `{"type":"transit"}`)
	s.want(t, 204, "POST", "sys/mounts/keys", `{"type":"transit"}`)
	s.want(t, 200, "POST", "kv/data/a/b", `{"data":{"v":"1"}}`)
	s.want(t, 200, "POST", "secret/data/a/b", `{"data":{"v":"1"}}`)
	token := s.withPolicy(t, "one", `
		path "kv/metadata/*" { capabilities = ["list"] }
		path "kv/detailed-metadata/*" { capabilities = ["list"] }
		path "kv/metadata/hidden/*" { capabilities = ["deny"] }
		path "secret/metadata/*" { capabilities = ["deny"] }
		path "keys/random" { capabilities = ["update"] }
		path "transit/random" { capabilities = ["deny"] }`)
	s.wantAs(t, token, 200, "LIST", "kv/metadata", "")
	s.wantAs(t, token, 200, "LIST", "kv/metadata/a", "")
	s.wantAs(t, token, 200, "LIST", "kv/detailed-metadata/a", "")
	s.wantAs(t, token, 403, "LIST", "kv/metadata/hidden", "")
	s.wantAs(t, token, 403, "LIST", "secret/metadata", "")
	s.wantAs(t, token, 403, "LIST", "secret/metadata/a", "")
	s.wantAs(t, token, 200, "POST", "keys/random", "{}")
	s.wantAs(t, token, 403, "POST", "transit/random", "{}")
}

// Names that begin with a slash are reached by a mount with that prefix.
func TestLeadingSlash(t *testing.T) {
	s := newServer(t, coretest.Config{})
	_, err := s.Secrets.Create(t.Context(), s.Admin, secret.CreateRequest{Name: "/prod/pat", VersionID: strings.Repeat("a", 32), Value: &secret.Input{Data: sensitive.FromString(`{"k":"v"}`)}})
	if err != nil {
		t.Fatal(err)
	}
	s.want(t, 404, "LIST", "secret/metadata/", "")
	s.want(t, 204, "POST", "sys/mounts/aws", `{"type":"kv-v2","options":{"prefix":"/"}}`)
	if got := s.want(t, 200, "GET", "aws/data/prod/pat", ""); at(t, got, "data.data.k") != "v" {
		t.Errorf("read: %v", got)
	}
	if diff := cmp.Diff([]any{"prod/"}, at(t, s.want(t, 200, "LIST", "aws/metadata/", ""), "data.keys")); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
}

// Who may enable one mount does not reach by it what another one has: a mount with
// a prefix, or over names that exist, is for who may manage the mount that it takes
// them from.
func TestMountTakesNoNames(t *testing.T) {
	s := newServer(t, coretest.Config{})
	s.want(t, 200, "POST", "secret/data/prod/x", `{"data":{"a":"1"}}`)
	s.want(t, 204, "PUT", "sys/policies/acl/mine", `{"policy":"path \"sys/mounts/*\" { capabilities = [\"create\", \"update\", \"sudo\"] }\npath \"sys/mounts/secret\" { capabilities = [\"read\"] }\npath \"mine/*\" { capabilities = [\"read\"] }\npath \"prod/*\" { capabilities = [\"read\"] }"}`)
	token, _ := s.token(t, s.root, "create", `{"policies":["mine"],"ttl":"1h"}`)
	s.wantAs(t, token, 403, "POST", "sys/mounts/mine", `{"type":"kv-v2","options":{"prefix":"prod/"}}`)
	s.wantAs(t, token, 403, "POST", "sys/mounts/prod", `{"type":"kv-v2"}`)
	s.wantAs(t, token, 204, "POST", "sys/mounts/mine", `{"type":"kv-v2"}`) // there is nothing below it
	s.wantAs(t, token, 404, "GET", "prod/data/x", "")
	s.want(t, 204, "POST", "sys/mounts/prod", `{"type":"kv-v2"}`)
	s.wantAs(t, token, 200, "GET", "prod/data/x", "")
}

func TestKV1(t *testing.T) {
	s := newServer(t, coretest.Config{})
	s.want(t, 204, "POST", "sys/mounts/one", `{"type":"kv"}`)
	s.want(t, 204, "PUT", "one/app/db", `{"password":"p","ttl":"1h"}`)
	got := s.want(t, 200, "GET", "one/app/db", "")
	if at(t, got, "data.password") != "p" || at(t, got, "lease_duration") != 3600.0 {
		t.Errorf("read: %v", got)
	}
	if diff := cmp.Diff([]any{"app/"}, at(t, s.want(t, 200, "LIST", "one", ""), "data.keys")); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
	s.want(t, 400, "PUT", "one/app/db", `{}`)
	s.want(t, 204, "DELETE", "one/app/db", "")
	s.want(t, 404, "GET", "one/app/db", "")
	s.want(t, 204, "DELETE", "one/app/db", "")
}

// A request of the shape of version 1 on a mount of version 2 is answered as Vault
// answers it; a mount can be made to serve both.
func TestKV1OnKV2(t *testing.T) {
	s := newServer(t, coretest.Config{})
	s.want(t, 200, "POST", "secret/data/my-app/database", `{"data":{"password":"p"}}`)
	got := s.want(t, 404, "GET", "secret/my-app/database", "")
	if w, _ := got["warnings"].([]any); len(w) != 1 || !strings.HasPrefix(w[0].(string), "Invalid path for a versioned K/V secrets engine") {
		t.Errorf("read: %v", got)
	}
	s.want(t, 204, "POST", "sys/mounts/secret/tune", `{"options":{"version":"2","v1_reads":"true"}}`)
	if got = s.want(t, 200, "GET", "secret/my-app/database", ""); at(t, got, "data.password") != "p" {
		t.Errorf("read of a hybrid: %v", got)
	}
	s.want(t, 204, "PUT", "secret/my-app/database", `{"password":"q"}`)
	if got = s.want(t, 200, "GET", "secret/data/my-app/database", ""); at(t, got, "data.data.password") != "q" || at(t, got, "data.metadata.version") != 2.0 {
		t.Errorf("after a write of version 1's shape: %v", got)
	}
}

// A request in the shape of version 1 goes around no rule about the path of version
// 2 that is closer to the secret.
func TestKV1OnKV2InHCL(t *testing.T) {
	s := newServer(t, coretest.Config{})
	s.want(t, 204, "POST", "sys/mounts/secret/tune", `{"options":{"v1_reads":"true"}}`)
	const everything = `{ capabilities = ["create", "read", "update", "delete", "list"] }`
	for name, tt := range map[string]struct {
		policy      string
		read, write int
	}{
		"all":      {`path "secret/*" ` + everything, 200, 204},
		"version1": {`path "secret/prod/*" ` + everything, 200, 204},
		"denial":   {`path "secret/*" ` + everything + "\n" + `path "secret/data/prod/*" { capabilities = ["deny"] }`, 403, 403},
		"narrow":   {`path "secret/*" ` + everything + "\n" + `path "secret/data/prod/*" { capabilities = ["read"] }`, 200, 403},
		"empty":    {`path "secret/*" ` + everything + "\n" + `path "secret/data/+/x" { capabilities = [] }`, 403, 403},
		"wider":    {`path "secret/prod/x" ` + everything + "\n" + `path "secret/data/*" { capabilities = ["read"] }`, 200, 204},
		"wrapped":  {`path "secret/*" ` + everything + "\n" + `path "secret/data/prod/x" { capabilities = ["read", "update"] min_wrapping_ttl = "1m" }`, 403, 403},
	} {
		s.want(t, 204, "POST", "secret/prod/x", `{"a":"1"}`)
		token := s.withPolicy(t, name, tt.policy)
		for method, code := range map[string]int{"GET": tt.read, "POST": tt.write} {
			body := map[string]string{"POST": `{"a":"2"}`}[method]
			if w := s.do(t, token, method, "secret/prod/x", body); w.Code != code {
				t.Errorf("%s: %s: %d %s, want %d", name, method, w.Code, w.Body, code)
			}
		}
	}
}

func TestSubkeys(t *testing.T) {
	s := newServer(t, coretest.Config{})
	s.want(t, 200, "POST", "secret/data/a", `{"data":{"foo":"abc","bar":{"baz":"def","deep":{"x":1}},"empty":{}}}`)
	got := s.want(t, 200, "GET", "secret/subkeys/a", "")
	want := map[string]any{"foo": nil, "bar": map[string]any{"baz": nil, "deep": map[string]any{"x": nil}}, "empty": nil}
	if diff := cmp.Diff(want, at(t, got, "data.subkeys")); diff != "" {
		t.Errorf("subkeys (-want +got):\n%s", diff)
	}
	got = s.want(t, 200, "GET", "secret/subkeys/a?depth=1", "")
	if diff := cmp.Diff(map[string]any{"foo": nil, "bar": nil, "empty": nil}, at(t, got, "data.subkeys")); diff != "" {
		t.Errorf("depth 1 (-want +got):\n%s", diff)
	}
}

// What other fronts keep is shown without loss, and what is written here is read
// there.
func TestOtherFrontsValues(t *testing.T) {
	s := newServer(t, coretest.Config{})
	ctx := t.Context()
	put := func(n, token, text string, binary bool) {
		t.Helper()
		_, err := s.Secrets.Create(ctx, s.Admin, secret.CreateRequest{Name: n, VersionID: token + "0123456789abcdef0123456789abcdef", Value: &secret.Input{Data: sensitive.FromString(text), Binary: binary}})
		if err != nil {
			t.Fatal(err)
		}
	}
	put("plain", "a", "hunter2", false)
	put("bytes", "b", "\x00\x01", true)
	put("object", "c", `{"k": "v"}`, false)
	for n, want := range map[string]map[string]any{"plain": {"SecretString": "hunter2"}, "bytes": {"SecretBinary": "AAE="}, "object": {"k": "v"}} {
		if diff := cmp.Diff(want, at(t, s.want(t, 200, "GET", "secret/data/"+n, ""), "data.data")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", n, diff)
		}
	}
	s.want(t, 200, "POST", "secret/data/plain", `{"data":{"SecretString":"hunter3"}}`)
	v, err := s.Secrets.ReadValue(ctx, s.Admin, secret.ReadRequest{ID: coretest.ID(t, "plain")})
	if err != nil || string(v.Data.Reveal()) != "hunter3" || v.Binary || v.Number != 2 {
		t.Errorf("read at the other front: %q, %v", v.Data.Reveal(), err)
	}
	// A deletion here is one there, and the other way round.
	s.want(t, 204, "DELETE", "secret/data/plain", "")
	if _, err := s.Secrets.ReadValue(ctx, s.Admin, secret.ReadRequest{ID: coretest.ID(t, "plain")}); err == nil {
		t.Error("a version that was deleted here is read there")
	}
	if _, err := s.Secrets.Delete(ctx, s.Admin, secret.DeleteRequest{ID: coretest.ID(t, "object")}); err != nil {
		t.Fatal(err)
	}
	s.want(t, 404, "GET", "secret/data/object", "")
	s.want(t, 400, "POST", "secret/data/object", `{"data":{"a":"b"}}`)
	s.want(t, 204, "POST", "secret/undelete/object", `{"versions":[1]}`)
	s.want(t, 200, "GET", "secret/data/object", "")
}

// A write to a protected name is refused in the name of the change that it became,
// and nothing moves.
func TestProtected(t *testing.T) {
	s := newServer(t, coretest.Config{})
	ctx := t.Context()
	s.want(t, 204, "POST", "sys/mounts/one", `{"type":"kv"}`)
	for _, n := range []string{"secret/data/prod/a", "secret/data/prod/b"} {
		s.want(t, 200, "POST", n, `{"data":{"v":"1"}}`)
		s.want(t, 200, "POST", n, `{"data":{"v":"2"}}`)
	}
	s.want(t, 204, "POST", "one/prod", `{"v":"1"}`)
	if _, err := s.Authn.CreateGroup(ctx, s.Admin, "approvers"); err != nil {
		t.Fatal(err)
	}
	_, err := s.Changes.PutRules(ctx, s.Admin, change.RuleChange{Set: &protect.Rule{Name: "prod", Match: []string{"prod/*", "one/*", "mount:*", "policy:*", "password-policy:*"},
		Approvals: []protect.Approval{{Count: 1, Groups: []string{"approvers"}}}}}, "", change.Options{})
	if err != nil {
		t.Fatal(err)
	}
	doc := `{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"*\"}]}`
	for _, tt := range [][3]string{
		{"POST", "secret/data/prod/a", `{"data":{"v":"3"}}`},
		{"POST", "secret/data/prod/new", `{"data":{"v":"3"}}`},
		{"PATCH", "secret/data/prod/a", `{"data":{"v":"3"}}`},
		{"DELETE", "secret/data/prod/a", ``},
		{"POST", "secret/delete/prod/a", `{"versions":[1]}`},
		{"POST", "secret/destroy/prod/a", `{"versions":[1]}`},
		{"POST", "secret/metadata/prod/a", `{"max_versions":1}`},
		{"PATCH", "secret/metadata/prod/a", `{"custom_metadata":{"a":"b"}}`},
		{"DELETE", "secret/metadata/prod/b", ``},
		{"PUT", "one/prod", `{"v":"2"}`},
		{"DELETE", "one/prod", ``},
		{"POST", "sys/mounts/two", `{"type":"kv"}`},
		{"POST", "sys/mounts/one/tune", `{"description":"x"}`},
		{"POST", "sys/remount", `{"from":"one","to":"other"}`},
		{"POST", "secret/config", `{"max_versions":1}`},
		{"PUT", "sys/policy/p", `{"policy":"` + doc + `"}`},
		{"PUT", "sys/policies/password/p", `{"policy":"length = 20\nrule \"charset\" {\n charset = \"ab\"\n}"}`},
	} {
		before := s.view(t)
		w := s.do(t, s.root, tt[0], tt[1], tt[2])
		if w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "countersign review --id ") {
			t.Errorf("%v: %d %s, want a refusal that names the change", tt, w.Code, w.Body)
		}
		if diff := cmp.Diff(before, s.view(t)); diff != "" {
			t.Errorf("%v changed something:\n%s", tt, diff)
		}
	}
}

// updated is the one thing that a proposal moves: a version that waits is kept
// with the secret.
var updated = regexp.MustCompile(`"updated_time":"[^"]*"`)

// view is what clients see of the secrets and mounts that TestProtected is about.
func (s *server) view(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, path := range []string{"secret/data/prod/a", "secret/data/prod/b", "secret/data/prod/new", "secret/metadata/prod/a", "one/prod", "sys/mounts", "secret/config", "sys/policies/acl", "sys/policies/password/p"} {
		w := s.do(t, s.root, "GET", path, "")
		_, body, _ := strings.Cut(w.Body.String(), `"lease_id"`) // after the request's id
		out[path] = http.StatusText(w.Code) + updated.ReplaceAllString(body, "")
	}
	return out
}

// Whoever may not read a secret learns nothing of whether it is there.
func TestRefusalsTellNothing(t *testing.T) {
	s := newServer(t, coretest.Config{})
	s.want(t, 200, "POST", "secret/data/there", `{"data":{"v":"1"}}`)
	_, key := s.User(t, "alice", "")
	for _, tt := range [][3]string{{"GET", "secret/data/", ""}, {"POST", "secret/data/", `{"data":{"a":"b"}}`}, {"DELETE", "secret/data/", ""}, {"GET", "secret/metadata/", ""},
		{"DELETE", "secret/metadata/", ""}, {"POST", "secret/destroy/", `{"versions":[1]}`}, {"POST", "secret/undelete/", `{"versions":[1]}`}, {"GET", "secret/subkeys/", ""}, {"PATCH", "secret/data/", `{"data":{"a":"b"}}`}} {
		var bodies []string
		for _, n := range []string{"there", "none"} {
			w := s.do(t, tokenOf(key), tt[0], tt[1]+n, tt[2])
			text := w.Body.String()
			if i := strings.Index(text, "(decision "); i >= 0 {
				text = text[:i]
			}
			bodies = append(bodies, http.StatusText(w.Code)+text)
		}
		if bodies[0] != bodies[1] || !strings.HasPrefix(bodies[0], "Forbidden") {
			t.Errorf("%v: %q of what is there, %q of what is not", tt, bodies[0], bodies[1])
		}
	}
	s.wantAs(t, tokenOf(key), 403, "LIST", "secret/metadata/", "")
}
