package secret_test

import (
	"strings"
	"testing"

	"countersign/internal/core/change"
	"countersign/internal/core/coretest"
	"countersign/internal/core/secret"
	"countersign/internal/name/convention"
	"countersign/internal/sensitive"
)

const usualNames = "/{environment}/{service}/{secret-type}/{secret-name}"

// creations are the ways in which a secret comes into being.
func (f *fixture) creations(n string) map[string]func() error {
	same := "same"
	return map[string]func() error{
		"Create": func() error {
			_, err := f.Secrets.Create(f.ctx, f.Admin, secret.CreateRequest{Name: n, VersionID: token(1), Value: text("v")})
			return err
		},
		"Create without a value": func() error {
			_, err := f.Secrets.Create(f.ctx, f.Admin, secret.CreateRequest{Name: n})
			return err
		},
		"Patch": func() error {
			_, err := f.Secrets.Patch(f.ctx, f.Admin, secret.PatchRequest{ID: id(n), Set: map[string]sensitive.Bytes{"k": sensitive.FromString("v")}})
			return err
		},
		"KVPut": func() error {
			_, err := f.Secrets.KVPut(f.ctx, f.Admin, secret.KVWrite{ID: id(n), Value: *text("v")})
			return err
		},
		"KVSet": func() error {
			_, err := f.Secrets.KVSet(f.ctx, f.Admin, secret.KVSet{ID: id(n), Tags: map[string]*string{"team": &same}})
			return err
		},
		"a draft": func() error {
			_, err := f.Secrets.Create(f.ctx, f.Admin, secret.CreateRequest{Name: n, VersionID: token(1), Value: text("v"), Options: change.Options{Draft: true}})
			return err
		},
		"a draft of a patch": func() error {
			_, err := f.Secrets.Patch(f.ctx, f.Admin, secret.PatchRequest{ID: id(n), Set: map[string]sensitive.Bytes{"k": sensitive.FromString("v")}, Options: change.Options{Draft: true}})
			return err
		},
	}
}

// New secrets keep to the convention, whatever the door, and be it in a proposal.
func TestNamesKeepToTheConvention(t *testing.T) {
	names, err := convention.Parse(usualNames, map[string][]string{"environment": {"prod", "staging", "dev"}})
	if err != nil {
		t.Fatal(err)
	}
	f := start(t, coretest.Config{Names: names})
	for _, x := range []struct{ name, says string }{
		{"prod/x", "it does not begin with a slash"},
		{"/prod/x/y", "{secret-name} is missing"},
		{"/qa/github-integration/api-token/pat", `{environment} is "qa", and has to be prod, staging or dev`},
		{"/prod/a/b/c/d", `"d" is a part too many`},
	} {
		for what, do := range f.creations(x.name) {
			f.unchanged(func() {
				err := do()
				f.expect(err, "invalid/"+secret.CodeConvention)
				if err == nil || !strings.HasSuffix(err.Error(), usualNames+": "+x.says) {
					t.Errorf("%s of %s: %v", what, x.name, err)
				}
			})
		}
	}
	f.unchanged(func() { // no name at all, with a convention or without
		_, err := f.Secrets.Create(f.ctx, f.Admin, secret.CreateRequest{Name: "/prod//x/y"})
		f.expect(err, "invalid/secret-name")
	})
	for _, n := range []string{"/prod/github-integration/api-token/personal-access-token", "/prod/claude-sdk/api-key/anthropic-key",
		"/prod/cognito/app-client/secret", "/staging/template-management/encryption-key/template-key"} {
		f.create(n, "v")
	}
	for what, do := range f.creations("/dev/service/type/n") {
		if err := do(); err != nil && code(err) != "exists/secret" && code(err) != "precondition/not-an-object" {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Who may not create is told that, and nothing of the convention.
func TestConventionAfterPolicy(t *testing.T) {
	names, err := convention.Parse(usualNames, nil)
	if err != nil {
		t.Fatal(err)
	}
	f := start(t, coretest.Config{Names: names})
	nobody, _ := f.User(t, "nobody", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"secretsmanager:ListSecrets","Resource":"*"}]}`)
	_, err = f.Secrets.Create(f.ctx, nobody, secret.CreateRequest{Name: "x"})
	if !strings.HasPrefix(code(err), "denied") {
		t.Errorf("got %v", err)
	}
}

// Secrets that are there keep their names and go on working when a convention comes.
func TestExistingNamesStay(t *testing.T) {
	f := start(t, coretest.Config{})
	f.create("old/name", "1")
	names, err := convention.Parse(usualNames, nil)
	if err != nil {
		t.Fatal(err)
	}
	f.Secrets = secret.New(secret.Config{Gate: f.Gate, Changes: f.Changes, Vault: f.Ring, Regions: []string{coretest.Region, coretest.Second}, Names: names})
	_, err = f.Secrets.Create(f.ctx, f.Admin, secret.CreateRequest{Name: "new/name"})
	f.expect(err, "invalid/"+secret.CodeConvention)

	f.put("old/name", 2, "2")
	_, err = f.Secrets.Create(f.ctx, f.Admin, secret.CreateRequest{Name: "old/name", VersionID: token(1), Value: text("1")})
	f.must(err) // a repeated creation changes nothing, and does not fail either
	_, err = f.Secrets.Replicate(f.ctx, f.Admin, id("old/name"), []secret.Replica{{Region: coretest.Second}}, false, "")
	f.must(err)
	_, err = f.Secrets.Promote(f.ctx, f.asIn(coretest.Second), id("old/name"), "")
	f.must(err)
	_, err = f.Secrets.KVPut(f.ctx, f.Admin, secret.KVWrite{ID: id("old/name"), Value: *text("3")})
	f.must(err)
	_, err = f.Secrets.Delete(f.ctx, f.Admin, secret.DeleteRequest{ID: id("old/name")})
	f.must(err)
	_, err = f.Secrets.Restore(f.ctx, f.Admin, id("old/name"), "")
	f.must(err)
	if got := f.read(secret.ReadRequest{ID: id("old/name")}); got != "3" {
		t.Errorf("read %s", got)
	}
}
