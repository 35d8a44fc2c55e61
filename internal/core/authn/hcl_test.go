package authn_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/caller"
	"countersign/internal/core/authn"
	"countersign/internal/core/coretest"
	"countersign/internal/core/mount"
	"countersign/internal/core/policy"
	"countersign/internal/core/secret"
	"countersign/internal/kv"
	"countersign/internal/name"
	"countersign/internal/sensitive"
)

const readApp = `# what app reads
path "secret/data/app/*" {
  capabilities = ["read"]
}
path "secret/data/{{identity.entity.name}}" {
  capabilities = ["read", "create"]
}
path "secret/data/app/root" {
  capabilities = ["deny"]
}
`

// reads tells whether somebody reads a secret.
func (f *fixture) reads(who caller.Caller, n string) string {
	_, err := f.Secrets.ReadValue(f.ctx, who, secret.ReadRequest{ID: name.SecretID{Name: n}})
	return code(err)
}

func (f *fixture) makeSecret(n string) {
	f.t.Helper()
	_, err := f.Secrets.Create(f.ctx, f.Admin, secret.CreateRequest{Name: n, VersionID: "11111111-1111-4111-8111-111111111111", Value: &secret.Input{Data: sensitive.New([]byte("x"))}})
	f.must(err)
}

// A policy in the Vault dialect holds wherever a secret is asked for, beside one
// of the other dialect, and a denial in either refuses.
func TestHCLPolicyHoldsEverywhere(t *testing.T) {
	f := start(t, coretest.Config{})
	for _, n := range []string{"app/db", "app/root", "bob", "other", "kv/x"} {
		f.makeSecret(n)
	}
	bob, _ := f.User(t, "bob", "")
	p, err := f.Authn.PutPolicy(f.ctx, f.Admin, "reads", readApp, "")
	f.must(err)
	if p.Dialect != policy.HCL || p.Document != readApp {
		t.Errorf("put: %+v", p)
	}
	_, err = f.Authn.PutPolicy(f.ctx, f.Admin, "iam", allow("secretsmanager:GetSecretValue", "arn:aws:secretsmanager:*:*:secret:other-??????"), "")
	f.must(err)
	for _, n := range []string{"reads", "iam"} {
		f.must(only(f.Authn.Attach(f.ctx, f.Admin, authn.Attachment{Policy: n, User: "bob"})))
	}
	for n, want := range map[string]string{
		"app/db": "ok", "bob": "ok", "other": "ok", "app/root": "denied/explicit-deny", "app/none": "not-found/secret", "none": "denied/no-match", "kv/x": "denied/no-match",
	} {
		if got := f.reads(bob, n); got != want {
			t.Errorf("%s: %s, want %s", n, got, want)
		}
	}
	_, err = f.Authn.PutPolicy(f.ctx, f.Admin, "reads", strings.Replace(readApp, "data/app/*", "data/*", 1), "")
	f.must(err)
	if got := f.reads(bob, "kv/x"); got != "ok" {
		t.Errorf("below secret/: %s", got)
	}
	f.must(only(f.Mounts.Enable(f.ctx, f.Admin, mount.EnableRequest{Path: "kv", Type: "kv-v1"})))
	if got := f.reads(bob, "kv/x"); got != "denied/no-match" { // it is at kv/x now, and no longer below secret/
		t.Errorf("in another mount: %s", got)
	}
	list, err := f.Authn.ListPolicies(f.ctx, f.Admin, "iam", 2)
	f.must(err)
	if len(list) != 1 || list[0].Name != "reads" || list[0].Dialect != policy.HCL || list[0].Document != "" {
		t.Errorf("list: %+v", list)
	}
	for n, want := range map[string]policy.Dialect{"iam": policy.IAM, "root": policy.IAM, "default": policy.HCL} {
		if p, err := f.Authn.GetPolicy(f.ctx, f.Admin, n); err != nil || p.Dialect != want {
			t.Errorf("%s: %+v, %v", n, p, err)
		}
	}
	f.unchanged(func() {
		_, err = f.Authn.PutPolicy(f.ctx, f.Admin, "reads", `path "a" { capabilities = ["write"] }`, "")
		f.expect(err, "invalid/malformed-policy")
	})
}

// The policies of an access key narrow in either dialect.
func TestHCLOnAccessKeys(t *testing.T) {
	f := start(t, coretest.Config{})
	f.makeSecret("app/db")
	f.makeSecret("other")
	_, err := f.Authn.PutPolicy(f.ctx, f.Admin, "reads", readApp, "")
	f.must(err)
	f.User(t, "bob", allow("*", "*"))
	key, err := f.Authn.CreateKey(f.ctx, f.Admin, authn.CreateKeyRequest{Owner: "bob", Policies: []string{"reads"}})
	f.must(err)
	who := f.As(t, key)
	for n, want := range map[string]string{"app/db": "ok", "other": "denied/no-match"} {
		if got := f.reads(who, n); got != want {
			t.Errorf("%s: %s, want %s", n, got, want)
		}
	}
}

// What a token was granted joins what its principal has; what it is narrowed to
// must allow as well. Names of policies that are not there mean nothing.
func TestTokenPolicies(t *testing.T) {
	f := start(t, coretest.Config{})
	f.makeSecret("app/db")
	f.makeSecret("other")
	_, err := f.Authn.PutPolicy(f.ctx, f.Admin, "reads", readApp, "")
	f.must(err)
	bob, _ := f.User(t, "bob", allow("secretsmanager:GetSecretValue", "arn:aws:secretsmanager:*:*:secret:other-??????"))
	for _, tt := range []struct {
		what       string
		token      *caller.Token
		app, other string
	}{
		{"none", nil, "denied/no-match", "ok"},
		{"granted", &caller.Token{Granted: []string{"reads", "none"}, Key: "1"}, "ok", "ok"},
		{"narrowed", &caller.Token{Granted: []string{"reads"}, Narrowed: []string{"reads", "none"}, Key: "2"}, "ok", "denied/no-match"},
		{"to-nothing", &caller.Token{Granted: []string{"reads"}, Narrowed: []string{}, Key: "3"}, "denied/no-match", "denied/no-match"},
		{"root", &caller.Token{Granted: []string{"root"}, Key: "4"}, "ok", "ok"},
		{"again", nil, "denied/no-match", "ok"},
	} {
		who := bob
		who.Token = tt.token
		if app, other := f.reads(who, "app/db"), f.reads(who, "other"); app != tt.app || other != tt.other {
			t.Errorf("%s: %s and %s, want %s and %s", tt.what, app, other, tt.app, tt.other)
		}
	}
}

func TestPolicyTestByPath(t *testing.T) {
	f := start(t, coretest.Config{})
	f.makeSecret("app/db")
	_, err := f.Authn.PutPolicy(f.ctx, f.Admin, "reads", readApp, "")
	f.must(err)
	f.User(t, "bob", "")
	f.must(only(f.Authn.Attach(f.ctx, f.Admin, authn.Attachment{Policy: "reads", User: "bob"})))
	ask := func(action, path string) string {
		r, err := f.Authn.TestPolicy(f.ctx, f.Admin, authn.TestRequest{User: "bob", Action: action, Path: path}, f.Secrets.Resources())
		if err != nil {
			return code(err)
		}
		return strings.TrimSpace(r.Effect + " " + r.Policy + " " + r.Statement)
	}
	got := map[string]string{}
	for _, words := range []string{"read secret/data/app/db", "update secret/data/app/db", "create secret/data/bob", "read secret/data/app/root",
		"read nowhere/x", "scan secret/data/app/db", "list secret/metadata/app/"} {
		action, path, _ := strings.Cut(words, " ")
		got[words] = ask(action, path)
	}
	want := map[string]string{
		"read secret/data/app/db": "allow reads secret/data/app/*", "update secret/data/app/db": "no-match",
		"create secret/data/bob":    "allow reads secret/data/{{identity.entity.name}}",
		"read secret/data/app/root": "explicit-deny reads secret/data/app/root",
		"read nowhere/x":            "invalid@Path", "scan secret/data/app/db": "invalid@Path", "list secret/metadata/app/": "no-match",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("answers differ (-want +got):\n%s", diff)
	}
	r, err := f.Authn.TestPolicy(f.ctx, f.Admin, authn.TestRequest{User: authn.Admin, Action: "read", Path: "secret/data/app/db"}, f.Secrets.Resources())
	if err != nil || !r.Allowed || r.Statement != "Everything" {
		t.Errorf("by an IAM policy: %+v, %v", r, err)
	}
}

// of finds somebody to ask about.
func of(who *caller.Caller) func(kv.Reader) (*caller.Caller, error) {
	return func(kv.Reader) (*caller.Caller, error) { return who, nil }
}

func TestCapabilitiesOfTokens(t *testing.T) {
	f := start(t, coretest.Config{})
	f.makeSecret("app/db")
	_, err := f.Authn.PutPolicy(f.ctx, f.Admin, "reads", readApp, "")
	f.must(err)
	bob, _ := f.User(t, "bob", allow("secretsmanager:PutSecretValue", "arn:aws:secretsmanager:*:*:secret:app/*"))
	bob.Token = &caller.Token{Granted: []string{"reads", "default"}, Key: "x"}
	paths := []string{"secret/data/app/db", "secret/data/app/root", "secret/data/other", "cubbyhole/x"}
	got, err := f.Authn.Capabilities(f.ctx, bob, authn.CapabilitiesRequest{Paths: paths}, f.Secrets.Resources())
	f.must(err)
	want := map[string][]string{"secret/data/app/db": {"read", "update"}, "secret/data/app/root": {"deny"}, "secret/data/other": {"deny"},
		"cubbyhole/x": {"create", "delete", "list", "read", "update"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("own capabilities differ (-want +got):\n%s", diff)
	}
	got, err = f.Authn.Capabilities(f.ctx, f.Admin, authn.CapabilitiesRequest{Of: of(&bob), Paths: paths[:1]}, f.Secrets.Resources())
	if diff := cmp.Diff(map[string][]string{paths[0]: want[paths[0]]}, got); err != nil || diff != "" {
		t.Errorf("asked by another: %v\n%s", err, diff)
	}
	got, err = f.Authn.Capabilities(f.ctx, f.Admin, authn.CapabilitiesRequest{Paths: paths[:1]}, nil)
	if diff := cmp.Diff(map[string][]string{paths[0]: {"root"}}, got); err != nil || diff != "" {
		t.Errorf("the administrator's: %v\n%s", err, diff)
	}
	bob.Token = nil
	_, err = f.Authn.Capabilities(f.ctx, bob, authn.CapabilitiesRequest{Of: of(&f.Admin), Paths: paths}, f.Secrets.Resources())
	f.expect(err, "denied/no-match")
	_, err = f.Authn.Capabilities(f.ctx, bob, authn.CapabilitiesRequest{Of: of(nil), Paths: paths}, f.Secrets.Resources())
	f.expect(err, "denied/no-match")
	_, err = f.Authn.Capabilities(f.ctx, f.Admin, authn.CapabilitiesRequest{Of: of(nil), Paths: paths}, f.Secrets.Resources())
	f.expect(err, "not-found/"+authn.CodeNobody)
	carol := bob
	carol.Token = &caller.Token{Granted: []string{"reads"}, Key: "y"}
	for path, want := range map[string]bool{"secret/data/app": true, "auth/ci/login": false, "nowhere/x": false, "cubbyhole/x": false} {
		if ok, err := f.Authn.MayEnter(f.ctx, carol, path); err != nil || ok != want {
			t.Errorf("may enter %s: %v, %v", path, ok, err)
		}
	}
	f.must(f.DB.View(f.ctx, func(r kv.Reader) error {
		grants, err := f.Authn.OwnGrants(f.ctx, carol)
		f.must(err)
		want := policy.PathGrants{Exact: map[string][]string{"secret/data/bob": {"create", "read"}, "secret/data/app/root": {"deny"}},
			Glob: map[string][]string{"secret/data/app/": {"read"}}}
		if diff := cmp.Diff(want, grants); diff != "" {
			t.Errorf("grants differ (-want +got):\n%s", diff)
		}
		for path, want := range map[string]bool{"secret": true, "transit": false} {
			kind := map[string]policy.ResourceKind{"secret": policy.KindSecret, "transit": policy.KindTransitKey}[path]
			if ok, err := f.Authn.Reaches(r, carol, policy.Mount{Path: path, Kind: kind}); err != nil || ok != want {
				t.Errorf("reaches %s: %v, %v", path, ok, err)
			}
		}
		return nil
	}))
}
