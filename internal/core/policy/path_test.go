package policy

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/caller"
)

// sampleOf is a resource of an operation, as the shape in the table has it.
func sampleOf(op Op) string {
	r := strings.NewReplacer("REGION", "eu-west-1", "ACCOUNT", home, "SUFFIX", "??????", "NAME", "some", "MOUNT/", "m/", "MOUNT", "m", "PATH", "kv")
	return r.Replace(op.Info().Resource)
}

// Every row leads to the path that it spells, and the path back to the row.
func TestEveryOperationHasItsPath(t *testing.T) {
	who := annaReads().Caller
	for _, op := range Operations() {
		row := op.Info()
		req := &Request{Caller: who, Op: op, Resource: sampleOf(op), Account: home}
		b, _, ok := appendPath(nil, req, testMounts{})
		capability, want, _ := strings.Cut(row.HCL, " ")
		mount := map[ResourceKind]string{KindTransitKey: "transit", KindMount: "kv", KindLoginMethod: "m", KindLoginRole: "m"}[row.Kind]
		if op == ListTransitKeys || op == RandomBytes || op == HashBytes {
			mount = "transit"
		}
		if mount == "" {
			mount = "secret"
		}
		name := "some"
		switch {
		case row.Kind == KindMount:
			name = "kv"
		case row.Kind == KindAccount:
			name = home
		}
		want = strings.NewReplacer("MOUNT", mount, "NAME", name, "PREFIX", "", "/ID", "/").Replace(want)
		if capability == "list" && !strings.HasSuffix(want, "/") {
			want += "/"
		}
		if got := string(b); !ok || got != want {
			t.Errorf("%s: path %q, %v, want %q", op, got, ok, want)
			continue
		}
		i := slices.IndexFunc(SpotsAt(testMounts{}, &who, want), func(s Spot) bool { return s.Op == op })
		if i < 0 {
			t.Errorf("%s is not found at its path %q", op, want)
			continue
		}
		got := SpotsAt(testMounts{}, &who, want)[i]
		resource := req.Resource
		if row.Kind == KindPrincipal && (!strings.Contains(row.HCL, "NAME") || strings.Contains(row.HCL, "cubbyhole")) {
			resource = who.ARN()
		}
		if diff := cmp.Diff(Spot{Op: op, Capability: capability, Resource: resource}, got); diff != "" {
			t.Errorf("%s: spot differs (-want +got):\n%s", op, diff)
		}
	}
}

// testMounts are secret/, a mount of secrets without versions, one with, keys
// and a login method.
type testMounts struct{}

func (testMounts) all() []Mount {
	return []Mount{
		{Path: "old", Kind: KindSecret, Version: 1, Prefix: "old/"},
		{Path: "team/kv", Kind: KindSecret, Version: 2, Prefix: "team/kv/"},
		firstSecrets,
		{Path: "keys", Kind: KindTransitKey, Prefix: "keys/"},
		firstKeys,
		{Path: "auth/m", Kind: KindLoginMethod},
		{Path: "kv", Kind: "else"},
	}
}

func (m testMounts) PathOf(kind ResourceKind, name string) (Mount, string, bool) {
	if strings.HasPrefix(name, "nowhere/") {
		return Mount{}, "", false
	}
	for _, x := range m.all() {
		if rel, ok := strings.CutPrefix(name, x.Prefix); ok && x.Kind == kind {
			return x, rel, true
		}
	}
	return Mount{}, "", false
}

func (m testMounts) At(path string) (Mount, string, bool) {
	for _, x := range m.all() {
		if rest, ok := strings.CutPrefix(path, x.Path); ok && (rest == "" || rest[0] == '/') {
			return x, strings.TrimPrefix(rest, "/"), true
		}
	}
	return Mount{}, "", false
}

func TestPathsInMounts(t *testing.T) {
	secretOf := func(n string) string { return "arn:aws:secretsmanager:eu-west-1:" + home + ":secret:" + n + "-a1B2c3" }
	for _, tt := range []struct {
		op              Op
		resource, under string
		want            string
	}{
		{ReadValue, secretOf("app/db"), "", "secret/data/app/db"},
		{ReadValue, secretOf("/app/db"), "", "secret/data//app/db"},
		{ReadValue, secretOf("team/kv/x"), "", "team/kv/data/x"},
		{ReadValue, secretOf("old/x"), "", "old/x"},
		{Describe, secretOf("old/x"), "", "old/x"},
		{DeleteSecret, secretOf("old/x"), "", "old/x"},
		{TagSecret, secretOf("old/x"), "", "sys/kv/tags/old/x"},
		{PutResourcePolicy, secretOf("old/policy/x"), "", "sys/kv/policy/old/policy/x"},
		{ReadValue, secretOf("nowhere/x"), "", ""},
		{ReadValue, ChangeARN(home, "7"), "", "secret/data/change:7"},
		{ReadValue, AnyResource, "", "secret/data/"},
		{ReviewChange, secretOf("old/x"), "", "sys/changes/review/old/x"},
		{ReviewChange, caller.UserARN(home, "bob"), "", "sys/changes/review/user:bob"},
		{ReviewChange, MountARN(home, "auth/m"), "", "sys/changes/review/mount:auth/m"},
		{ReviewChange, AccountARN(home), "", "sys/changes/review/account:"},
		{CreateAccount, AccountARN(home), "", "sys/namespaces/" + home},
		{ListSecrets, AnyResource, "", "secret/metadata/"},
		{ListSecrets, AnyResource, "app/db", "secret/metadata/app/db"},
		{ListSecrets, AnyResource, "app/", "secret/metadata/app/"},
		{ListSecrets, AnyResource, "team/kv/app/", "team/kv/metadata/app/"},
		{ListSecrets, AnyResource, "old/app", "old/app"},
		{ListSecrets, AnyResource, "old/", "old/"},
		{Describe, secretOf("app/db"), "app/db", "secret/metadata/app/db"},
		{ListVersions, secretOf("app/db"), "", "secret/versions/app/db/"},
		{Encrypt, TransitKeyARN("eu-west-1", home, "keys/k"), "", "keys/encrypt/k"},
		{RandomBytes, AnyResource, "", "transit/random"},
		{ListPolicies, AnyResource, "", "sys/policies/acl/"},
		{ListPolicies, AnyResource, "p", "sys/policies/acl/p"},
		{PutMount, MountARN(home, "kv"), "", "sys/mounts/kv"},
		{PutMount, MountARN(home, "auth/approle"), "", "sys/auth/approle"},
		{GetMountConfig, MountARN(home, "team/kv"), "", "team/kv/config"},
		{PutLoginRole, LoginRoleARN(home, "a/b", "ci"), "", "auth/a/b/role/ci"},
		{PutLoginConfig, LoginMethodARN(home, "approle"), "", "auth/approle/config"},
		{CreateKey, caller.UserARN(home, "bob"), "", "identity/entity/name/bob/keys"},
	} {
		req := annaReads()
		req.Op, req.Resource, req.Under = tt.op, tt.resource, tt.under
		b, _, ok := appendPath(nil, req, testMounts{})
		if !ok {
			b = nil
		}
		if string(b) != tt.want {
			t.Errorf("%s on %s under %q: %q, want %q", tt.op, tt.resource, tt.under, b, tt.want)
		}
	}
}

func TestSpots(t *testing.T) {
	who := annaReads().Caller
	for path, want := range map[string]string{
		"secret/data/app/db":           "ReadValue read, CreateSecret create, PutValue update, PatchValue patch, DeleteCurrent delete",
		"secret/metadata/app":          "Describe read, ListSecrets list, UpdateSecret update, DeleteSecret delete",
		"secret/metadata":              "ListSecrets list",
		"old/x":                        "ReadValue read, ListSecrets list, CreateSecret create, PutValue update, PatchValue patch, DeleteCurrent delete",
		"sys/kv/tags/old/x":            "TagSecret update, UntagSecret delete",
		"team/kv/destroy/x":            "DestroyVersion update",
		"sys/policies/acl":             "ListPolicies list",
		"sys/policies/acl/p":           "PutPolicy update, GetPolicy read, DeletePolicy delete",
		"sys/auth/m":                   "PutMount update, DeleteMount delete",
		"sys/mounts/team/kv/":          "PutMount update, DeleteMount delete",
		"auth/m/role/ci/secret-id":     "CreateSecretID update, ListSecretIDs list",
		"transit/keys/k/rotate":        "RotateTransitKey update",
		"identity/entity/name/x/other": "",
		"nowhere/data/x":               "",
		"secret/other/x":               "",
		"":                             "",
	} {
		var got []string
		for _, s := range SpotsAt(testMounts{}, &who, path) {
			got = append(got, s.Op.String()+" "+s.Capability)
		}
		if s := strings.Join(got, ", "); s != want {
			t.Errorf("%q: %s\nwant %s", path, s, want)
		}
	}
}

func TestSpotAt(t *testing.T) {
	who := annaReads().Caller
	for words, want := range map[string]Op{
		"read secret/data/x": ReadValue, "update secret/data/x": PutValue, "create secret/data/x": CreateSecret, "create secret/destroy/x": DestroyVersion,
		"update identity/entity/name/x": UpdateUser, "create sys/mounts/x": PutMount, "update sys/namespaces/1": CreateAccount, "sudo secret/data/x": 0, "read none": 0,
	} {
		capability, path, _ := strings.Cut(words, " ")
		s, ok := SpotAt(nil, &who, capability, path)
		if s.Op != want || ok != (want != 0) {
			t.Errorf("%s: %s, %v", words, s.Op, ok)
		}
	}
}

func TestNeedsSudo(t *testing.T) {
	for path, want := range map[string]bool{
		"sys/audit": true, "sys/audit/file": true, "sys/auditing": false, "sys/auth": false, "sys/auth/x/tune": true, "auth/token/accessors/": true,
		"sys/rotate": true, "sys/rotate/x": false, "sys/mounts/kv": false, "secret/data/sys/audit": false, "": false, "sys/": false,
		"auth/token/revoke-orphan": true, "auth/token/create-orphan": false, "sys/leases/lookup": false, "sys/leases/lookup/x": true,
	} {
		if got := NeedsSudo(path); got != want {
			t.Errorf("%q: %v", path, got)
		}
	}
}
