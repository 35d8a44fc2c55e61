package auditdevice_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/core/audit"
	"countersign/internal/core/auditdevice"
	"countersign/internal/core/coretest"
	"countersign/internal/core/mount"
	"countersign/internal/kv"
)

var update = flag.Bool("update", false, "write what is rendered as golden")

func mounts(t *testing.T, r *rig) *mount.Table {
	t.Helper()
	for _, m := range []mount.EnableRequest{{Path: "old", Type: "kv", Options: map[string]string{"version": "1"}}, {Path: "team/kv", Type: "kv-v2"},
		{Path: "transit", Type: "transit"}, {Path: "auth/approle", Type: "approle"}, {Path: "auth/ci/gitlab", Type: "jwt"}} {
		if _, err := r.Mounts.Enable(ctx, r.Admin, m); err != nil {
			t.Fatal(err)
		}
	}
	var table *mount.Table
	if err := r.DB.View(ctx, func(rd kv.Reader) (err error) { table, err = mount.Load(rd, coretest.Home); return err }); err != nil {
		t.Fatal(err)
	}
	return table
}

// sample is a record with everything that one can say.
func sample() audit.Record {
	at := time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)
	return audit.Record{Seq: 7, ID: "01KJMEQ5CB3Z9A1B2C3D4E5F6G", Time: at, Duration: 1500 * time.Microsecond, RequestID: "f5b1c5de-0000-4000-8000-000000000001",
		Account: coretest.Home, Principal: audit.Principal{Kind: "user", Name: "alice", KeyID: "AKIAEXAMPLE", Proof: "sigv4"}, Front: "aws/secretsmanager",
		Operation: "PutValue", Resource: "myapp/database", Region: "us-east-1", Version: 3, Keys: []string{"password", "user"}, Change: "01KJMEQ5CB0000000000000001",
		Source: "192.0.2.7", Agent: "aws-cli/2.1 <&>", Outcome: audit.OK}
}

func TestGolden(t *testing.T) {
	r := newRig(t, nil)
	table := mounts(t, r)
	salt := []byte("0123456789abcdef0123456789abcdef")
	denied, failed, nobody, foreign := sample(), sample(), audit.Record{ID: "01KJMEQ5CB3Z9A1B2C3D4E5F6H", Time: sample().Time, Operation: "Request", Front: "vault", Outcome: audit.Denied, Error: "unauthenticated/no-token"}, sample()
	denied.Version, denied.Keys, denied.Change, denied.Outcome, denied.Error = 0, nil, "", audit.Denied, "denied/no-match"
	denied.Decision = &audit.Decision{ID: denied.ID, Effect: "no-match", Action: "secretsmanager:PutSecretValue"}
	failed.Outcome, failed.Error, failed.RequestID = audit.Failed, "unavailable/store-full", ""
	foreign.Account, foreign.Principal.Account, foreign.Operation, foreign.Resource = coretest.Other, coretest.Home, "ListSecrets", ""
	var got strings.Builder
	for _, tt := range []struct {
		what    string
		options map[string]string
		rec     audit.Record
	}{
		{"ok", nil, sample()},
		{"denied", nil, denied},
		{"failed", nil, failed},
		{"nobody", nil, nobody},
		{"another account", nil, foreign},
		{"prefix and accessor", map[string]string{"prefix": "@cee: ", "hmac_accessor": "false"}, sample()},
	} {
		options := map[string]string{"file_path": "f"}
		for k, v := range tt.options {
			options[k] = v
		}
		got.WriteString("# " + tt.what + "\n" + auditdevice.Render(r.s, salt, options, coretest.Home, tt.rec, table))
	}
	path := filepath.Join("testdata", "lines.golden")
	if *update {
		if err := os.WriteFile(path, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got.String(), "\n")); diff != "" {
		t.Error(diff)
	}
}

// TestPathsOfRecords holds what Vault calls what a record is about.
func TestPathsOfRecords(t *testing.T) {
	r := newRig(t, nil)
	table := mounts(t, r)
	for _, tt := range []struct{ op, resource, operation, path, mount, kind string }{
		{"ReadValue", "myapp/database", "read", "secret/data/myapp/database", "secret/", "kv"},
		{"CreateSecret", "team/kv/a", "create", "team/kv/data/a", "team/kv/", "kv"},
		{"ReadValue", "old/a/b", "read", "old/a/b", "old/", "kv"},
		{"ListSecrets", "", "list", "secret/metadata/", "secret/", "kv"},
		{"ListSecrets", "old/", "list", "old/", "old/", "kv"},
		{"ListSecrets", "team/kv/x/", "list", "team/kv/metadata/x/", "team/kv/", "kv"},
		{"BatchReadValue", "", "read", "secret/batch", "secret/", "kv"},
		{"DestroyVersion", "a", "update", "secret/destroy/a", "secret/", "kv"},
		{"GetMountConfig", "team/kv", "read", "team/kv/config", "team/kv/", "kv"},
		{"Encrypt", "k", "update", "transit/encrypt/k", "transit/", "transit"},
		{"ListTransitKeys", "", "list", "transit/keys/", "transit/", "transit"},
		{"HashBytes", "", "update", "transit/hash", "transit/", "transit"},
		{"CreateSecretID", "approle/web", "update", "auth/approle/role/web/secret-id", "auth/approle/", "approle"},
		{"GetLoginRole", "ci/gitlab/web", "read", "auth/ci/gitlab/role/web", "auth/ci/gitlab/", "jwt"},
		{"GetLoginRole", "gone/web", "read", "", "", ""},
		{"PutPolicy", "readers", "update", "sys/policies/acl/readers", "sys/", "system"},
		{"ListPolicies", "", "list", "sys/policies/acl/", "sys/", "system"},
		{"PutAuditDevice", "file", "update", "sys/audit/file", "sys/", "system"},
		{"CreateUser", "", "create", "identity/entity/name", "identity/", "identity"},
		{"LookupOwnToken", "alice", "read", "auth/token/lookup-self", "auth/token/", "token"},
		{"WhoAmI", "", "", "", "", ""},
	} {
		rec := sample()
		rec.Operation, rec.Resource = tt.op, tt.resource
		text := auditdevice.Render(r.s, nil, map[string]string{"file_path": "f"}, coretest.Home, rec, table)
		got := parse(t, []byte(text), "")[1].Request
		if got.Operation != tt.operation || got.Path != tt.path || got.MountPoint != tt.mount || got.MountType != tt.kind {
			t.Errorf("%s of %q: %s %s at %s (%s)", tt.op, tt.resource, got.Operation, got.Path, got.MountPoint, got.MountType)
		}
	}
}

// TestLinesStayLines renders what a stranger may say of itself.
func TestLinesStayLines(t *testing.T) {
	r := newRig(t, nil)
	table := mounts(t, r)
	evil := "a\n{\"type\":\"response\"}\r\u2028\u202egnp.exe\x00\x7f\u0085\xff\U000e0001\"\\"
	rec := sample()
	rec.Agent, rec.Resource, rec.Principal.Name, rec.RequestID, rec.Error, rec.Source = evil, evil, evil, evil, evil, evil
	for range 512 {
		rec.Keys = append(rec.Keys, strings.Repeat("k\u202e", 16))
	}
	text := auditdevice.Render(r.s, nil, map[string]string{"file_path": "f"}, coretest.Home, rec, table)
	if n := strings.Count(text, "\n"); n != 2 || !strings.HasSuffix(text, "\n") {
		t.Fatalf("%d lines: %q", n, text)
	}
	for _, c := range strings.ReplaceAll(text, "\n", "") {
		if unicode.In(c, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
			t.Errorf("%U is in the lines", c)
		}
	}
	for _, p := range parse(t, []byte(text), "") {
		if got := p.Request.Headers["user-agent"][0]; got != strings.ToValidUTF8(evil, "\ufffd") {
			t.Errorf("the agent became %q", got)
		}
		if c := p.Countersign; p.Type == "response" && len(c.Keys) == 0 || p.Type == "response" && len(c.Keys)+c.KeysOmitted != len(rec.Keys) {
			t.Errorf("%d keys and %d omitted, of %d", len(c.Keys), c.KeysOmitted, len(rec.Keys))
		}
	}
	if len(text)/2 > 60_000 {
		t.Errorf("a line has %d bytes, more than a datagram", len(text)/2)
	}
	if !json.Valid([]byte(strings.SplitAfter(text, "\n")[0])) {
		t.Error("it is not JSON")
	}
}
