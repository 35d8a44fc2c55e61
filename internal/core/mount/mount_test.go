package mount_test

import (
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/coretest"
	"countersign/internal/core/mount"
	"countersign/internal/core/protect"
	"countersign/internal/core/secret"
	"countersign/internal/core/transit"
	"countersign/internal/errs"
	"countersign/internal/sensitive"
)

const tokenID = "0123456789abcdef0123456789abcdef"

// enable mounts an engine and returns what is wrong with that.
func enable(t *testing.T, c *coretest.Core, path, kind string, options map[string]string) error {
	t.Helper()
	_, err := c.Mounts.Enable(t.Context(), c.Admin, mount.EnableRequest{Path: path, Type: kind, Options: options})
	return err
}

func table(t *testing.T, c *coretest.Core, who caller.Caller) *mount.Table {
	t.Helper()
	tab, err := c.Mounts.List(t.Context(), who)
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

// paths lists a table as "path type version prefix".
func paths(tab *mount.Table) (out []string) {
	for _, login := range []bool{false, true} {
		for _, m := range tab.All(login) {
			out = append(out, strings.Join([]string{m.Path, m.Type, m.Options["version"], m.Prefix}, " "))
		}
	}
	return out
}

func TestMounts(t *testing.T) {
	c := coretest.New(t, coretest.Config{})
	if diff := cmp.Diff([]string{"secret kv 2 "}, paths(table(t, c, c.Admin))); diff != "" {
		t.Errorf("a new account (-want +got):\n%s", diff)
	}
	for _, m := range [][3]string{{"kv", "kv", ""}, {"/team/two/", "kv-v2", ""}, {"three", "kv", "2"}, {"transit", "transit", ""}, {"other", "transit", ""}, {"auth/ci", "approle", ""}} {
		options := map[string]string{"version": m[2]}
		if m[2] == "" {
			options = nil
		}
		if err := enable(t, c, m[0], m[1], options); err != nil {
			t.Errorf("%v: %v", m, err)
		}
	}
	want := []string{"kv kv 1 kv/", "other transit  other/", "secret kv 2 ", "team/two kv 2 team/two/", "three kv 2 three/", "transit transit  ", "auth/ci approle  "}
	tab := table(t, c, c.Admin)
	if diff := cmp.Diff(want, paths(tab)); diff != "" {
		t.Errorf("mounts (-want +got):\n%s", diff)
	}
	for name, at := range map[string]string{"kv/a": "kv a", "kv": "secret kv", "kva/b": "secret kva/b", "team/two/x/y": "team/two x/y", "team/three": "secret team/three", "a": "secret a"} {
		m, rest := tab.Of(name)
		if got := m.Path + " " + rest; got != at {
			t.Errorf("secret %q is at %q, want %q", name, got, at)
		}
	}
	for path, at := range map[string]string{"secret/data/a": "secret data/a", "team/two/data/b": "team/two data/b", "team/two": "team/two ", "auth/ci/login": "auth/ci login"} {
		m, rest := tab.At(path)
		if got := m.Path + " " + rest; got != at {
			t.Errorf("path %q leads to %q, want %q", path, got, at)
		}
	}
	for _, path := range []string{"", "team", "secrets/data/a", "auth/cia/login", "other2"} {
		if m, _ := tab.At(path); m != nil {
			t.Errorf("path %q leads to %s", path, m.Path)
		}
	}
	if m, rest := tab.OfKey("other/k"); m.Path != "other" || rest != "k" {
		t.Errorf("key other/k is at %s %s", m.Path, rest)
	}
}

// A mount can have another prefix than its path: "/" reaches names that begin with
// a slash.
func TestPrefix(t *testing.T) {
	c := coretest.New(t, coretest.Config{})
	must(t, enable(t, c, "aws", "kv", map[string]string{"version": "2", "prefix": "/"}))
	tab := table(t, c, c.Admin)
	if m, rest := tab.Of("/prod/db"); m.Path != "aws" || rest != "prod/db" {
		t.Errorf("/prod/db is at %s %s", m.Path, rest)
	}
	if m, rest := tab.Of("prod/db"); m.Path != "secret" || rest != "prod/db" {
		t.Errorf("prod/db is at %s %s", m.Path, rest)
	}
	for _, p := range []string{"x", "//", "/../", "a b/", "a"} {
		if err := enable(t, c, "bad", "kv", map[string]string{"prefix": p}); !errs.Is(err, errs.Invalid) {
			t.Errorf("prefix %q: %v", p, err)
		}
	}
	if err := enable(t, c, "twice", "kv", map[string]string{"prefix": "/"}); !errs.Is(err, errs.Exists) {
		t.Errorf("the prefix of another mount: %v", err)
	}
	if _, err := c.Mounts.Tune(t.Context(), c.Admin, mount.TuneRequest{Path: "aws", Options: map[string]string{"prefix": "x/"}}); !errs.Is(err, errs.Invalid) {
		t.Errorf("another prefix: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	c := coretest.New(t, coretest.Config{})
	if err := enable(t, c, "a/b", "kv", nil); err != nil {
		t.Fatal(err)
	}
	before := c.Dump(t)
	for what, tt := range map[string]struct {
		path, kind string
		options    map[string]string
		want       errs.Kind
		code       string
	}{
		"taken":       {"a/b", "kv", nil, errs.Exists, mount.CodeMount},
		"below":       {"a/b/c", "kv", nil, errs.Exists, mount.CodeMount},
		"above":       {"a", "kv", nil, errs.Exists, mount.CodeMount},
		"system":      {"sys/x", "kv", nil, errs.Exists, mount.CodeMount},
		"identity":    {"identity", "kv", nil, errs.Exists, mount.CodeMount},
		"cubbyhole":   {"cubbyhole/a", "kv", nil, errs.Exists, mount.CodeMount},
		"token":       {"auth/token", "approle", nil, errs.Exists, mount.CodeMount},
		"above-auth":  {"auth", "kv", nil, errs.Exists, mount.CodeMount},
		"no-engine":   {"x", "ssh", nil, errs.Invalid, mount.CodeType},
		"database":    {"database", "database", nil, errs.Invalid, mount.CodeType},
		"no-method":   {"auth/x", "ldap", nil, errs.Invalid, mount.CodeType},
		"engine-auth": {"auth/x", "kv", nil, errs.Invalid, mount.CodeType},
		"version":     {"x", "kv", map[string]string{"version": "3"}, errs.Invalid, ""},
		"empty":       {"", "kv", nil, errs.Invalid, ""},
		"dots":        {"a/../b", "kv", nil, errs.Invalid, ""},
		"double":      {"a//b", "kv", nil, errs.Invalid, ""},
		"space":       {"a b", "kv", nil, errs.Invalid, ""},
		"control":     {"a\nb", "kv", nil, errs.Invalid, ""},
		"long":        {strings.Repeat("a", 201), "kv", nil, errs.Invalid, ""},
	} {
		err := errs.As(enable(t, c, tt.path, tt.kind, tt.options))
		if err == nil || err.Kind != tt.want || err.Code != tt.code {
			t.Errorf("%s: %v (kind %s), want %s %s", what, err, errs.KindOf(err), tt.want, tt.code)
		}
	}
	if !maps.EqualFunc(before, c.Dump(t), func(a, b []byte) bool { return string(a) == string(b) }) {
		t.Error("a refusal changed something")
	}
}

// A mount that is moved keeps the names below it; one with something below it
// cannot be disabled, and never takes a secret with it.
func TestMoveAndDisable(t *testing.T) {
	c := coretest.New(t, coretest.Config{})
	ctx := t.Context()
	must(t, enable(t, c, "kv", "kv", nil))
	_, err := c.Secrets.Create(ctx, c.Admin, secret.CreateRequest{Name: "kv/a", VersionID: tokenID, Value: &secret.Input{Data: sensitive.FromString("x")}})
	must(t, err)
	_, err = c.Mounts.Move(ctx, c.Admin, "kv", "team/kv")
	must(t, err)
	if m, rest := table(t, c, c.Admin).Of("kv/a"); m.Path != "team/kv" || rest != "a" {
		t.Errorf("after the move kv/a is at %s %s", m.Path, rest)
	}
	if _, err = c.Mounts.Disable(ctx, c.Admin, "team/kv"); errs.As(err) == nil || errs.As(err).Code != mount.CodeInUse {
		t.Errorf("disabling what is in use: %v", err)
	}
	_, err = c.Secrets.Delete(ctx, c.Admin, secret.DeleteRequest{ID: coretest.ID(t, "kv/a"), Force: true})
	must(t, err)
	_, err = c.Mounts.Disable(ctx, c.Admin, "team/kv")
	must(t, err)
	// secret/ is there without a record, and stays away once it is disabled.
	_, err = c.Mounts.Disable(ctx, c.Admin, "secret")
	must(t, err)
	if got := paths(table(t, c, c.Admin)); len(got) != 0 {
		t.Errorf("left: %v", got)
	}
	must(t, enable(t, c, "secret", "kv", map[string]string{"version": "2"}))
	if diff := cmp.Diff([]string{"secret kv 2 "}, paths(table(t, c, c.Admin))); diff != "" {
		t.Errorf("enabled anew (-want +got):\n%s", diff)
	}
	// What lies below another mount does not count as below secret/.
	must(t, enable(t, c, "kv", "kv", nil))
	_, err = c.Secrets.Create(ctx, c.Admin, secret.CreateRequest{Name: "kv/b", VersionID: tokenID, Value: &secret.Input{Data: sensitive.FromString("x")}})
	must(t, err)
	_, err = c.Mounts.Disable(ctx, c.Admin, "secret")
	must(t, err)
}

// Two mounts never have the same names below them.
func TestNoTwoMountsShareNames(t *testing.T) {
	c := coretest.New(t, coretest.Config{})
	must(t, enable(t, c, "kv", "kv", nil))
	_, err := c.Mounts.Move(t.Context(), c.Admin, "kv", "moved")
	must(t, err)
	if err := enable(t, c, "kv", "kv", nil); !errs.Is(err, errs.Exists) {
		t.Errorf("a second mount over the names kv/: %v", err)
	}
}

func TestTune(t *testing.T) {
	c := coretest.New(t, coretest.Config{})
	ctx := t.Context()
	must(t, enable(t, c, "kv", "kv", nil))
	about := "keys"
	_, err := c.Mounts.Tune(ctx, c.Admin, mount.TuneRequest{Path: "kv", Description: &about, Options: map[string]string{"version": "2"}, Config: &mount.Config{MaxTTL: 60}})
	must(t, err)
	m := table(t, c, c.Admin).Find("kv")
	if m.Version != 2 || m.Description != about || m.Config.MaxTTL != 60 {
		t.Errorf("tuned: %+v", m)
	}
	if _, err = c.Mounts.Tune(ctx, c.Admin, mount.TuneRequest{Path: "kv", Options: map[string]string{"version": "1"}}); !errs.Is(err, errs.Invalid) {
		t.Errorf("back to version 1: %v", err)
	}
	if _, err = c.Mounts.Tune(ctx, c.Admin, mount.TuneRequest{Path: "none"}); !errs.Is(err, errs.NotFound) {
		t.Errorf("tuning nothing: %v", err)
	}
	_, err = c.Mounts.Configure(ctx, c.Admin, "kv", mount.Values{MaxVersions: 3, CASRequired: true, DeleteAfter: 60})
	must(t, err)
	if got, err := c.Mounts.Config(ctx, c.Admin, "kv"); err != nil || got.Values != (mount.Values{MaxVersions: 3, CASRequired: true, DeleteAfter: 60}) {
		t.Errorf("configured: %+v, %v", got, err)
	}
}

// A rule over mounts holds each of their writes, and the change does what it says
// once it is approved.
func TestReview(t *testing.T) {
	c := coretest.New(t, coretest.Config{})
	ctx := t.Context()
	must(t, enable(t, c, "old", "kv", nil))
	_, err := c.Authn.CreateGroup(ctx, c.Admin, "approvers")
	must(t, err)
	bob, _ := c.User(t, "bob", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["countersign:ReviewChange","countersign:ReadChange"],"Resource":"*"}]}`)
	_, err = c.Authn.AddToGroup(ctx, c.Admin, "approvers", "bob")
	must(t, err)
	_, err = c.Changes.PutRules(ctx, c.Admin, change.RuleChange{Set: &protect.Rule{Name: "mounts", Match: []string{"mount:*"},
		Approvals: []protect.Approval{{Count: 1, Groups: []string{"approvers"}}}}}, "", change.Options{})
	must(t, err)
	before := paths(table(t, c, c.Admin))
	var waiting []change.Result
	for what, do := range map[string]func() (change.Result, error){
		"enable": func() (change.Result, error) {
			return c.Mounts.Enable(ctx, c.Admin, mount.EnableRequest{Path: "new", Type: "kv"})
		},
		"tune": func() (change.Result, error) {
			return c.Mounts.Tune(ctx, c.Admin, mount.TuneRequest{Path: "secret", Options: map[string]string{"v1_reads": "true"}})
		},
		"configure": func() (change.Result, error) {
			return c.Mounts.Configure(ctx, c.Admin, "secret", mount.Values{MaxVersions: 2})
		},
		"move":    func() (change.Result, error) { return c.Mounts.Move(ctx, c.Admin, "secret", "elsewhere") },
		"disable": func() (change.Result, error) { return c.Mounts.Disable(ctx, c.Admin, "old") },
	} {
		res, err := do()
		if err != nil || res.Status != change.Pending {
			t.Errorf("%s under a rule: %+v, %v", what, res, err)
			continue
		}
		if what == "enable" || what == "disable" {
			waiting = append(waiting, res)
		}
	}
	if diff := cmp.Diff(before, paths(table(t, c, c.Admin))); diff != "" {
		t.Errorf("mounts moved before they were approved:\n%s", diff)
	}
	for _, w := range waiting {
		v, err := c.Changes.Get(ctx, bob, w.ID)
		must(t, err)
		if len(v.Lines) == 0 {
			t.Errorf("change %s tells a reviewer nothing", w.ID)
		}
		digest, err := hex.DecodeString(v.Digest)
		must(t, err)
		_, err = c.Changes.Vote(ctx, coretest.Circumstances(bob), change.VoteRequest{ID: w.ID, Approve: true, Digest: digest})
		must(t, err)
	}
	got := paths(table(t, c, c.Admin))
	if !slices.Contains(got, "new kv 1 new/") || slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, "old ") }) {
		t.Errorf("after the approvals: %v", got)
	}
}

func TestAccountsAreApart(t *testing.T) {
	c := coretest.New(t, coretest.Config{})
	stranger, _ := c.Stranger(t)
	must(t, enable(t, c, "kv", "kv", nil))
	if diff := cmp.Diff([]string{"secret kv 2 "}, paths(table(t, c, stranger))); diff != "" {
		t.Errorf("another account's mounts (-want +got):\n%s", diff)
	}
	alice, _ := c.User(t, "alice", "")
	if _, err := c.Mounts.List(t.Context(), alice); !errs.Is(err, errs.Denied) {
		t.Errorf("list without a permission: %v", err)
	}
	if _, err := c.Mounts.Enable(t.Context(), alice, mount.EnableRequest{Path: "x", Type: "kv"}); !errs.Is(err, errs.Denied) {
		t.Errorf("enable without a permission: %v", err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// What a mount makes policies mean is as if they were written anew: who may only
// manage mounts takes nothing out of the reach of a denial.
func TestWhoMayChangeWhatPoliciesMean(t *testing.T) {
	c := coretest.New(t, coretest.Config{})
	_, err := c.Secrets.Create(t.Context(), c.Admin, secret.CreateRequest{Name: "prod/db", VersionID: tokenID, Value: &secret.Input{Data: sensitive.FromString("x")}})
	must(t, err)
	_, err = c.Transit.Create(t.Context(), c.Admin, transit.CreateRequest{Key: "other/k"})
	must(t, err)
	must(t, enable(t, c, "held", "kv", nil))
	mounts := `{"Effect":"Allow","Action":["countersign:PutMount","countersign:DeleteMount"],"Resource":"*"}`
	some := `{"Effect":"Allow","Action":"iam:CreatePolicy","Resource":"arn:aws:iam::*:policy/team-*"}`
	every := `{"Effect":"Allow","Action":"iam:CreatePolicy","Resource":"*"}`
	document := func(statements ...string) string {
		return `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
	}
	manager, _ := c.User(t, "manager", document(mounts, some))
	writer, _ := c.User(t, "writer", document(mounts, every))
	for _, x := range []struct {
		what string
		do   func(who caller.Caller) error
	}{
		{"names that are there", func(who caller.Caller) error {
			_, err := c.Mounts.Enable(t.Context(), who, mount.EnableRequest{Path: "prod", Type: "kv-v2"})
			return err
		}},
		{"keys that are there", func(who caller.Caller) error {
			_, err := c.Mounts.Enable(t.Context(), who, mount.EnableRequest{Path: "other", Type: "transit"})
			return err
		}},
		{"names elsewhere", func(who caller.Caller) error {
			_, err := c.Mounts.Enable(t.Context(), who, mount.EnableRequest{Path: "mine", Type: "kv-v2", Options: map[string]string{"prefix": "none/"}})
			return err
		}},
		{"another version", func(who caller.Caller) error {
			_, err := c.Mounts.Tune(t.Context(), who, mount.TuneRequest{Path: "held", Options: map[string]string{"version": "2"}})
			return err
		}},
		{"paths of version 1", func(who caller.Caller) error {
			_, err := c.Mounts.Tune(t.Context(), who, mount.TuneRequest{Path: "secret", Options: map[string]string{"v1_reads": "true"}})
			return err
		}},
		{"a move", func(who caller.Caller) error {
			_, err := c.Mounts.Move(t.Context(), who, "held", "free")
			return err
		}},
	} {
		before := paths(table(t, c, c.Admin))
		if err := x.do(manager); !errs.Is(err, errs.Denied) || !strings.Contains(err.Error(), "iam:CreatePolicy") {
			t.Errorf("%s, by who manages mounts: %v", x.what, err)
		}
		if diff := cmp.Diff(before, paths(table(t, c, c.Admin))); diff != "" {
			t.Errorf("%s: changed\n%s", x.what, diff)
		}
		if err := x.do(writer); err != nil {
			t.Errorf("%s, by who writes policies: %v", x.what, err)
		}
	}
	if _, err := c.Mounts.Tune(t.Context(), manager, mount.TuneRequest{Path: "free", Options: map[string]string{"version": "2", "note": "x"}}); err != nil {
		t.Errorf("a mount stays what it is: %v", err)
	}
	for path, kind := range map[string]string{"fresh": "kv-v2", "keys": "transit", "auth/ci": "approle"} {
		if _, err := c.Mounts.Enable(t.Context(), manager, mount.EnableRequest{Path: path, Type: kind}); err != nil {
			t.Errorf("a mount over nothing: %v", err)
		}
	}
}
