package token_test

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/authn"
	"countersign/internal/core/change"
	"countersign/internal/core/protect"
	"countersign/internal/core/token"
	"countersign/internal/errs"
)

func asks(names ...string) func(*token.CreateRequest) {
	return func(r *token.CreateRequest) { r.Policies = names }
}

func narrowed(who caller.Caller) string {
	if who.Token.Narrowed == nil {
		return "all"
	}
	return strings.Join(who.Token.Narrowed, " ")
}

// What a child may do is a part of what its parent may.
func TestChildPolicies(t *testing.T) {
	w := newWorld(t)
	w.user("ann", "web", "stage")
	w.policy("extra")
	w.policy("other")
	parents := map[string]caller.Caller{
		"key":      w.As(t, w.key("ann")),
		"login":    w.as(w.login("ann", func(s *token.Spec) { s.Granted = []string{"extra"} })),
		"bare":     w.as(w.login("ann", func(s *token.Spec) { s.NoDefault = true })),
		"narrow":   w.as(w.child(w.As(t, w.key("ann")), asks("web"))),
		"key-web":  w.As(t, w.key("ann", "ann-policy", "web")),
		"any":      w.any("sue"),
		"root":     w.Admin,
		"root-sub": w.as(w.child(w.Admin, asks("web"))),
	}
	for _, x := range []struct {
		parent  string
		asked   string
		no      bool // without the policy default
		granted string
		narrow  string // "all", or the reason of a refusal after a !
	}{
		{"key", "", false, "default", "all"},
		{"key", "web", false, "default", "default web"},
		{"key", "web default", true, "", "web"},
		{"key", "web other", false, "", "!child policies must be subset of parent"},
		{"key", "root", false, "", "!child policies must be subset of parent"},
		{"key", "AdministratorAccess", false, "", "!child policies must be subset of parent"},
		{"login", "", false, "default extra", "all"},
		{"login", "extra stage", false, "default extra", "default extra stage"},
		{"bare", "", false, "", "all"},
		{"bare", "web", false, "", "web"},
		{"bare", "web default", false, "", "!child policies must be subset of parent"},
		{"narrow", "", false, "default", "default web"},
		{"narrow", "web", true, "", "web"},
		{"narrow", "stage", false, "", "!child policies must be subset of parent"},
		{"key-web", "", false, "default", "ann-policy default web"},
		{"key-web", "web", false, "default", "default web"},
		{"key-web", "stage", false, "", "!child policies must be subset of parent"},
		{"any", "other", false, "default other", "default other"},
		{"any", "root", false, "", "!root tokens may not be created without parent token being root"},
		{"any", "AdministratorAccess", false, "", "!root tokens may not be created without parent token being root"},
		{"root", "", false, "default", "all"},
		{"root", "root", false, "default", "all"},
		{"root", "other web", false, "default other web", "default other web"},
		{"root-sub", "root", false, "", "!parent"},
		{"root-sub", "", false, "default web", "default web"},
		{"key", "a/b", false, "", "!a name is"},
	} {
		i, err := w.create(parents[x.parent], asks(strings.Fields(x.asked)...), func(r *token.CreateRequest) { r.NoDefault = x.no })
		if why, refused := strings.CutPrefix(x.narrow, "!"); refused {
			if err == nil || !strings.Contains(errs.As(err).Msg, why) {
				t.Errorf("%s asks %q: got %v, want %s", x.parent, x.asked, err, why)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s asks %q: %v", x.parent, x.asked, err)
			continue
		}
		who := w.as(i)
		if who.Name != parents[x.parent].Name {
			t.Errorf("a child of %s acts as %s", x.parent, who.Name)
		}
		if got := strings.Join(who.Token.Granted, " "); got != x.granted || narrowed(who) != x.narrow {
			t.Errorf("%s asks %q: granted %q narrowed to %q, want %q and %q", x.parent, x.asked, got, narrowed(who), x.granted, x.narrow)
		}
	}
	w.sound()
}

func (w *world) key(n string, policies ...string) authn.NewKey {
	w.t.Helper()
	k, err := w.Authn.CreateKey(w.ctx(), w.Admin, authn.CreateKeyRequest{Owner: n, Policies: policies})
	w.ok(err)
	return k
}

// any is a user who may create any token.
func (w *world) any(n string) caller.Caller {
	w.t.Helper()
	who, _ := w.User(w.t, n, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Resource":"*","Action":["countersign:Create*Token","countersign:*Token","countersign:PutTokenRole"]}]}`)
	return who
}

func TestCreateRefusals(t *testing.T) {
	w := newWorld(t)
	ann := w.user("ann")
	batch := w.as(w.login("ann", func(s *token.Spec) { s.Type = token.KindBatch }))
	none, _ := w.User(t, "none", "")
	for _, x := range []struct {
		who caller.Caller
		req token.CreateRequest
		why string
	}{
		{none, token.CreateRequest{}, "not authorized"},
		{none, token.CreateRequest{Role: "no-such"}, "not authorized"},
		{ann, token.CreateRequest{Role: "no-such"}, "unknown role no-such"},
		{ann, token.CreateRequest{Role: "a/b"}, "a name is"},
		{w.Admin, token.CreateRequest{ID: "mine"}, "cannot be given"},
		{ann, token.CreateRequest{EntityAlias: "x"}, "only allowed in combination with token role"},
		{ann, token.CreateRequest{EntityAlias: "x", Role: "r"}, "acts as who makes it"},
		{ann, token.CreateRequest{Type: "odd"}, "invalid 'token_type' value"},
		{ann, token.CreateRequest{NoParent: true}, "root or sudo privileges required to create orphan token"},
		{ann, token.CreateRequest{Period: time.Hour}, "root or sudo privileges required to create periodic token"},
		{ann, token.CreateRequest{TTL: -1}, "ttl must be positive"},
		{ann, token.CreateRequest{ExplicitMaxTTL: -1}, "explicit_max_ttl must be positive"},
		{ann, token.CreateRequest{NumUses: -1}, "cannot be negative"},
		{ann, token.CreateRequest{Type: "batch", NumUses: 1}, `batch tokens cannot have "num_uses" set`},
		{ann, token.CreateRequest{Type: "batch", ExplicitMaxTTL: 1}, `batch tokens cannot have "explicit_max_ttl" set`},
		{w.any("sue"), token.CreateRequest{Type: "batch", Period: 1}, `batch tokens cannot have "period" set`},
		{w.Admin, token.CreateRequest{Type: "batch"}, "batch tokens cannot be root tokens"},
		{batch, token.CreateRequest{}, "batch tokens cannot create more tokens"},
		{ann, token.CreateRequest{Meta: map[string]string{"a": strings.Repeat("x", 600)}}, "too long"},
		{ann, token.CreateRequest{Policies: slices.Repeat([]string{"x"}, 2)}, "subset"},
	} {
		before := len(w.sound())
		_, err := w.Tokens.Create(t.Context(), x.who, x.req)
		if err == nil || !strings.Contains(errs.As(err).Msg, x.why) {
			t.Errorf("%+v: got %v, want %s", x.req, err, x.why)
		}
		if len(w.sound()) != before {
			t.Errorf("%+v left something", x.req)
		}
	}
}

// A root token without a TTL never expires, and one that expires makes none.
func TestEndless(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		root := w.child(w.Admin)
		if root.TTL != 0 || !root.Expires.IsZero() || root.Renewable || !slices.Equal(root.Policies, []string{"root"}) {
			t.Errorf("root token %+v", root)
		}
		hour := w.child(w.as(root), func(r *token.CreateRequest) { r.TTL = time.Hour })
		if hour.TTL != time.Hour || !hour.Renewable {
			t.Errorf("an hour of root: %+v", hour)
		}
		capped := w.child(w.as(root), func(r *token.CreateRequest) { r.ExplicitMaxTTL = 2 * time.Hour })
		if capped.TTL != 2*time.Hour {
			t.Errorf("a root token with an explicit maximum: %+v", capped)
		}
		_, err := w.create(w.as(hour))
		w.want(err, "expiring root tokens cannot create non-expiring root tokens")
		web := w.child(w.as(hour), asks("web"))
		if web.TTL != token.SystemTTL {
			t.Errorf("a child that is not root lasts %s", web.TTL)
		}
		_, err = w.Tokens.RenewSelf(t.Context(), w.as(root), 0)
		w.want(err, "lease is not renewable")
		for i, want := range map[*token.Issued]bool{&root: true, &web: false} {
			if _, err := w.Tokens.Authenticate(t.Context(), text(*i), time.Now().AddDate(10, 0, 0), loopback); (err == nil) != want {
				t.Errorf("after ten years: %v, want it to be valid: %v", err, want)
			}
		}
		w.sound()
	})
}

func (w *world) role(n string, c token.RoleChange) {
	w.t.Helper()
	_, err := w.Tokens.PutRole(w.ctx(), w.Admin, n, c, "")
	w.ok(err)
}

func TestRolePolicies(t *testing.T) {
	w := newWorld(t)
	ann := w.user("ann", "web")
	for _, n := range []string{"deploy", "team-a", "team-b"} {
		w.policy(n)
	}
	list := func(names ...string) *[]string { return &names }
	w.role("plain", token.RoleChange{})
	w.role("allowed", token.RoleChange{Allowed: list("deploy", "web")})
	w.role("globs", token.RoleChange{AllowedGlobs: list("team-*"), DisallowedGlobs: list("*-b")})
	w.role("not", token.RoleChange{Disallowed: list("deploy", "default")})
	w.role("root", token.RoleChange{Allowed: list("root")})
	w.role("bare", token.RoleChange{Allowed: list("deploy"), NoDefault: new(true)})
	for _, x := range []struct{ role, asked, want string }{
		{"plain", "", "all"},
		{"plain", "web", "default web"},
		{"plain", "deploy", "!child policies must be subset"},
		{"allowed", "", "default deploy web"},
		{"allowed", "deploy", "default deploy"},
		{"allowed", "deploy default", "default deploy"},
		{"allowed", "team-a", "!must be subset of the role's allowed policies"},
		{"globs", "team-a", "default team-a"},
		{"globs", "team-b", "!token policy \"team-b\" is disallowed by this role"},
		{"globs", "deploy", "!must be subset of the role's allowed policies"},
		{"globs", "", "default"},
		{"not", "team-a", "team-a"},
		{"not", "deploy", "!is disallowed by this role"},
		{"not", "root", "!root tokens may not be created"},
		{"not", "AdministratorAccess", "!root tokens may not be created"},
		{"root", "", "!root tokens may not be created"},
		{"bare", "", "deploy"},
	} {
		i, err := w.create(ann, asks(strings.Fields(x.asked)...), func(r *token.CreateRequest) { r.Role = x.role })
		if why, refused := strings.CutPrefix(x.want, "!"); refused {
			if err == nil || !strings.Contains(errs.As(err).Msg, why) {
				t.Errorf("%s asks %q: got %v, want %s", x.role, x.asked, err, why)
			}
			continue
		}
		if err != nil || narrowed(w.as(i)) != x.want || i.Path != "auth/token/create/"+x.role || i.Role != x.role {
			t.Errorf("%s asks %q: %+v, %v, want %s", x.role, x.asked, i.Policies, err, x.want)
			continue
		}
		for _, n := range strings.Fields(x.want) { // what the role gives is usable
			if who := w.as(i); n == "deploy" && !slices.Contains(who.Token.Granted, n) {
				t.Errorf("%s: %s is not granted", x.role, n)
			}
		}
	}
}

func TestRoleTimes(t *testing.T) {
	w := newWorld(t)
	ann := w.user("ann")
	w.role("ci", token.RoleChange{Orphan: new(true), Renewable: new(false), PathSuffix: new("v2"), Period: new(time.Hour),
		ExplicitMaxTTL: new(3 * time.Hour), CIDRs: &[]string{"127.0.0.0/8"}, NumUses: new(100), Queue: new(true)})
	i := w.child(ann, func(r *token.CreateRequest) {
		r.Role, r.NumUses, r.ExplicitMaxTTL = "ci", 200, 2*time.Hour
	})
	if !i.Orphan || i.Renewable || i.Path != "auth/token/create/ci/v2" || i.TTL != time.Hour || i.Period != time.Hour || i.ExplicitMaxTTL != 2*time.Hour ||
		i.NumUses != 100 || len(i.BoundCIDRs) != 1 || len(i.Warnings) != 1 {
		t.Errorf("token %+v", i)
	}
	if !w.as(i).Token.Queue {
		t.Error("the role's answer to writes that wait is not the token's")
	}
	w.role("batch", token.RoleChange{Orphan: new(true), Renewable: new(false), Type: new(token.AlwaysBatch)})
	if b := w.child(ann, func(r *token.CreateRequest) { r.Role, r.Type = "batch", "service" }); b.Type != token.KindBatch || !strings.HasPrefix(text(b), "cvb.") {
		t.Errorf("of a batch role: %+v", b)
	}
	w.role("maybe", token.RoleChange{Type: new(token.DefaultBatch)})
	for asked, want := range map[string]token.Kind{"": token.KindBatch, "service": token.KindService, "batch": token.KindBatch} {
		if b := w.child(ann, func(r *token.CreateRequest) { r.Role, r.Type = "maybe", asked }); b.Type != want {
			t.Errorf("asked for %q: %v", asked, b.Type)
		}
	}
	w.role("service", token.RoleChange{Type: new(token.AlwaysService)})
	if b := w.child(ann, func(r *token.CreateRequest) { r.Role, r.Type = "service", "batch" }); b.Type != token.KindService {
		t.Errorf("of a service role: %+v", b)
	}
	w.sound()
}

func TestRoles(t *testing.T) {
	w := newWorld(t)
	w.role("ci", token.RoleChange{Period: new(time.Hour), Allowed: &[]string{"b", "a", "b"}})
	w.role("ci", token.RoleChange{NumUses: new(3)})
	r, err := w.Tokens.GetRole(t.Context(), w.Admin, "ci")
	if err != nil || r.Period != time.Hour || r.NumUses != 3 || !slices.Equal(r.Allowed, []string{"a", "b"}) || !r.Renewable || r.Type != token.DefaultService || r.Revision != 2 {
		t.Errorf("role %+v, %v", r, err)
	}
	res, err := w.Tokens.PutRole(t.Context(), w.Admin, "ci", token.RoleChange{NumUses: new(3)}, "")
	if err != nil || res.ID != "" {
		t.Errorf("what is so already made a change: %+v, %v", res, err)
	}
	for why, c := range map[string]token.RoleChange{
		"invalid characters":              {PathSuffix: new("../x")},
		"a name is":                       {Allowed: &[]string{"a b"}},
		"invalid 'token_type' value":      {Type: new(token.RoleType("x"))},
		"a range of addresses":            {CIDRs: &[]string{"10.0.0.1"}},
		"cannot be negative":              {Period: new(-time.Hour)},
		"generate non-orphan tokens":      {Type: new(token.AlwaysBatch)},
		"generate renewable tokens":       {Type: new(token.AlwaysBatch), Orphan: new(true), Period: new(time.Duration(0))},
		"generate periodic tokens":        {Type: new(token.AlwaysBatch), Orphan: new(true)},
		"explicit max TTL":                {Type: new(token.AlwaysBatch), Orphan: new(true), Period: new(time.Duration(0)), Renewable: new(false), ExplicitMaxTTL: new(time.Hour)},
		"at most 64 policies in one list": {Allowed: func() *[]string { l := many(65); return &l }()},
		"at most 64 aliases":              {Aliases: func() *[]string { l := many(65); return &l }()},
	} {
		if _, err := w.Tokens.PutRole(t.Context(), w.Admin, "ci", c, ""); err == nil || !strings.Contains(errs.As(err).Msg, why) {
			t.Errorf("got %v, want %s", err, why)
		}
	}
	w.role("also", token.RoleChange{})
	if names, err := w.Tokens.ListRoles(t.Context(), w.Admin); err != nil || !slices.Equal(names, []string{"also", "ci"}) {
		t.Errorf("roles %q, %v", names, err)
	}
	_, err = w.Tokens.DeleteRole(t.Context(), w.Admin, "ci", "")
	w.ok(err)
	_, err = w.Tokens.DeleteRole(t.Context(), w.Admin, "ci", "")
	w.ok(err)
	_, err = w.Tokens.GetRole(t.Context(), w.Admin, "ci")
	w.want(err, token.CodeNoRole)
	none, _ := w.User(t, "none", "")
	for _, f := range []func() error{
		func() error { _, err := w.Tokens.GetRole(t.Context(), none, "also"); return err },
		func() error { _, err := w.Tokens.GetRole(t.Context(), none, "no"); return err },
		func() error { _, err := w.Tokens.ListRoles(t.Context(), none); return err },
		func() error { _, err := w.Tokens.PutRole(t.Context(), none, "no", token.RoleChange{}, ""); return err },
		func() error { _, err := w.Tokens.DeleteRole(t.Context(), none, "no", ""); return err },
	} {
		if err := f(); !errs.Is(err, errs.Denied) {
			t.Errorf("got %v", err)
		}
	}
	for _, n := range []string{"", "a/b", strings.Repeat("x", 65)} {
		_, err := w.Tokens.GetRole(t.Context(), w.Admin, n)
		w.want(err, "a name is")
		_, err = w.Tokens.PutRole(t.Context(), w.Admin, n, token.RoleChange{}, "")
		w.want(err, "a name is")
	}
}

func many(n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf("n%d", i))
	}
	return out
}

// A role says who may do what, so it waits where a rule says so.
func TestRoleIsReviewed(t *testing.T) {
	w := newWorld(t)
	bob, _ := w.User(t, "bob", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`)
	_, err := w.Changes.PutRules(t.Context(), w.Admin, change.RuleChange{Set: &protect.Rule{Name: "roles", Match: []string{"token-role:ci*"},
		Kinds: []protect.Kind{protect.Policy, protect.Delete}, Approvals: []protect.Approval{{Count: 1}}}}, "", change.Options{})
	w.ok(err)
	res, err := w.Tokens.PutRole(t.Context(), w.Admin, "ci", token.RoleChange{Allowed: &[]string{"web"}, Period: new(time.Hour)}, "for the pipeline")
	if err != nil || res.Status != change.Pending {
		t.Fatalf("got %+v, %v", res, err)
	}
	_, err = w.create(w.Admin, func(r *token.CreateRequest) { r.Role = "ci" })
	w.want(err, token.CodeNoRole)
	review, err := w.Changes.Get(t.Context(), bob, res.ID)
	w.ok(err)
	if got := strings.Join(review.Lines, "; "); got != "sets token role ci; allowed policies: web; period: 1h0m0s" {
		t.Errorf("lines %q", got)
	}
	digest, err := hex.DecodeString(review.Digest)
	w.ok(err)
	_, err = w.Changes.Vote(t.Context(), bob, change.VoteRequest{ID: res.ID, Approve: true, Digest: digest})
	w.ok(err)
	if r, err := w.Tokens.GetRole(t.Context(), w.Admin, "ci"); err != nil || r.Period != time.Hour {
		t.Errorf("role %+v, %v", r, err)
	}
	if res, err = w.Tokens.DeleteRole(t.Context(), w.Admin, "ci", ""); err != nil || res.Status != change.Pending {
		t.Errorf("got %+v, %v", res, err)
	}
	w.role("free", token.RoleChange{})
}

func TestDisplayNames(t *testing.T) {
	w := newWorld(t)
	for asked, want := range map[string]string{"": "token", "ci": "token-ci", "a b/c!": "token-a-b-c", "_": "token-"} {
		if i := w.child(w.Admin, func(r *token.CreateRequest) { r.Display = asked }); i.Display != strings.TrimSuffix(want, "-") && i.Display != want {
			t.Errorf("%q is shown as %q, want %q", asked, i.Display, want)
		}
	}
}

func TestBoundIsInherited(t *testing.T) {
	w := newWorld(t)
	w.user("ann")
	top := w.login("ann", func(s *token.Spec) { s.BoundCIDRs = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	for _, orphan := range []bool{false, true} {
		if i := w.child(w.as(top), func(r *token.CreateRequest) { r.Orphan = orphan }); len(i.BoundCIDRs) != 1 {
			t.Errorf("bound to %v", i.BoundCIDRs)
		}
	}
	w.role("anywhere", token.RoleChange{})
	w.role("there", token.RoleChange{CIDRs: &[]string{"10.0.0.0/8"}})
	for role, want := range map[string]string{"anywhere": "[127.0.0.0/8]", "there": "[10.0.0.0/8]"} {
		if i := w.child(w.as(top), func(r *token.CreateRequest) { r.Role = role }); fmt.Sprint(i.BoundCIDRs) != want {
			t.Errorf("by the role %s bound to %v", role, i.BoundCIDRs)
		}
	}
}

// In the Vault dialect the power to create any token is sudo on the path.
func TestSudo(t *testing.T) {
	w := newWorld(t)
	w.policy("deploy")
	for caps, want := range map[string]bool{`"update"`: false, `"create", "update"`: false, `"update", "sudo"`: true} {
		n := fmt.Sprintf("u%d", len(caps))
		who, _ := w.User(t, n, `path "auth/token/create" { capabilities = [`+caps+`] }`)
		who.Call = &caller.Call{Path: "auth/token/create", Capability: "update"}
		w.child(who)
		for _, f := range []func(*token.CreateRequest){asks("deploy"), func(r *token.CreateRequest) { r.Period = time.Hour }, func(r *token.CreateRequest) { r.NoParent = true }} {
			if _, err := w.create(who, f); (err == nil) != want {
				t.Errorf("with %s: %v", caps, err)
			}
		}
		_, err := w.create(who, asks("root"))
		w.want(err, "parent")
	}
}
