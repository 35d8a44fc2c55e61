package login_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/caller"
	"countersign/internal/core/audit"
	"countersign/internal/core/authn"
	"countersign/internal/core/change"
	"countersign/internal/core/login"
	"countersign/internal/core/mount"
	"countersign/internal/core/policy"
	"countersign/internal/core/protect"
	"countersign/internal/errs"
)

// keycloak is an access token of Keycloak, as its documentation has it, with the
// mapper for groups that writes whole paths.
func keycloak(iss string, now time.Time) map[string]any {
	return map[string]any{"exp": now.Add(5 * time.Minute).Unix(), "iat": now.Unix(), "auth_time": now.Unix(), "jti": "b5e8a0a5-8a4e-4a4b-8d1c-1f5a7c3a8a10",
		"iss": iss, "aud": []any{"vault", "account"}, "sub": "f9c5c8a0-6f8e-4a55-8a55-0c6f4a4e7f0a", "typ": "Bearer", "azp": "vault", "session_state": "s", "acr": "1",
		"realm_access":    map[string]any{"roles": []any{"offline_access", "uma_authorization"}},
		"resource_access": map[string]any{"vault": map[string]any{"roles": []any{"reader"}}, "account": map[string]any{"roles": []any{"manage-account"}}},
		"scope":           "openid profile email", "email_verified": true, "preferred_username": "ann", "groups": []any{"/staff", "/staff/admins"}}
}

// federated is a world with a JWT method and external groups of it.
type federated struct {
	*world
	*issuer
	m *mount.Mount
}

func newFederated(t *testing.T, user, claim string) *federated {
	f := &federated{newWorld(t), newIssuer(t), nil}
	f.m = f.method("jwt", user, claim)
	return f
}

// method mounts the method with a role "r" at a path.
func (f *federated) method(path, user, claim string) *mount.Mount {
	f.t.Helper()
	m := f.mount(mount.JWT, path)
	f.done(f.Logins.PutMethod(f.t.Context(), f.Admin, m, login.Patch{"jwks_url": f.URL + "/jwks", "jwks_ca_pem": f.ca()}))
	f.role(m, "r", user, claim)
	return m
}

func (f *federated) role(m *mount.Mount, n, user, claim string) {
	f.t.Helper()
	f.done(f.Logins.PutRole(f.t.Context(), f.Admin, m, n, login.Patch{"role_type": "jwt", "user_claim": user, "groups_claim": claim, "token_bound_cidrs": []string{"0.0.0.0/0", "::/0"},
		"bound_audiences": []string{"vault", "https://vault.example.com", "https://github.com/octo-org"}}))
}

// group makes an external group with a policy that lets read secrets, and links it.
func (f *federated) group(n, alias string) {
	f.t.Helper()
	yes := true
	_, _, err := f.Authn.SetGroup(f.t.Context(), f.Admin, authn.SetGroupRequest{Name: n, External: &yes})
	f.ok(err)
	if alias != "" {
		f.linked(n, f.m.Accessor, alias)
	}
}

func (f *federated) linked(n, accessor, alias string) {
	f.t.Helper()
	_, made, err := f.Authn.LinkGroup(f.t.Context(), f.Admin, n, accessor, alias)
	f.ok(err)
	if !made {
		f.t.Fatalf("%s is linked to %s already", alias, n)
	}
}

func (f *federated) enter(claims map[string]any) caller.Caller {
	f.t.Helper()
	got, err := f.jwt(f.m, "r", f.sign(f.t, claims))
	f.ok(err)
	return got.Who
}

// in is which groups somebody is in now, by each way of asking.
func (f *federated) in(n string) []string {
	f.t.Helper()
	p, err := f.Authn.GetUser(f.t.Context(), f.Admin, n)
	f.ok(err)
	f.ok(f.view(func(r reader) error {
		who, err := f.Authn.Subject(r, f.Admin.Account, n)
		if err == nil && !slices.Equal(who.Groups, p.Groups) {
			f.t.Errorf("%q and %q", who.Groups, p.Groups)
		}
		return err
	}))
	all, err := f.Authn.ListGroups(f.t.Context(), f.Admin, "", 0)
	f.ok(err)
	var of []string
	for _, g := range all {
		one, err := f.Authn.GetGroup(f.t.Context(), f.Admin, g.Name)
		f.ok(err)
		if slices.Contains(one.Members, n) {
			of = append(of, g.Name)
		}
	}
	if !slices.Equal(of, p.Groups) {
		f.t.Errorf("it is in %q, and groups have it for a member: %q", p.Groups, of)
	}
	return p.Groups
}

func (f *federated) wantIn(n string, want ...string) {
	f.t.Helper()
	if got := f.in(n); !slices.Equal(got, want) {
		f.t.Errorf("it is in %q, want %q", got, want)
	}
}

func TestGroupsOfProviders(t *testing.T) {
	now := time.Now()
	for name, x := range map[string]struct {
		token       map[string]any
		user, claim string
		alias       string
	}{
		"keycloak":        {keycloak("https://kc.example/realms/a", now), "preferred_username", "groups", "/staff/admins"},
		"keycloak-client": {keycloak("https://kc.example/realms/a", now), "sub", "/resource_access/vault/roles", "reader"},
		"gitlab":          {gitlab("https://gitlab.example.com", now), "user_login", "groups_direct", "mygroup/mysubgroup"},
		"gitlab-text":     {gitlab("https://gitlab.example.com", now), "user_login", "namespace_path", "my-group"},
		"github":          {github("https://token.actions.githubusercontent.com", now), "repository", "repository_owner", "octo-org"},
		"pointer-escaped": {with(keycloak("i", now), map[string]any{"https://x/groups": map[string]any{"a~b": []any{"", "g"}}}), "sub", "/https:~1~1x~1groups/a~0b", "g"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFederated(t, x.user, x.claim)
			f.group("ours", x.alias)
			f.group("others", "not "+x.alias)
			f.group("unlinked", "")
			f.wantIn(f.enter(x.token).Name, "ours")
		})
	}
}

func TestExternalGroups(t *testing.T) {
	f := newFederated(t, "preferred_username", "groups")
	f.group("admins", "/staff/admins")
	f.group("staff", "/staff")
	base := keycloak("i", time.Now())
	n := len(f.Records(t))
	ann := f.enter(base)
	f.wantIn(ann.Name, "admins", "staff")
	if recs := f.since(n, policy.Login); len(recs) != 1 || !slices.Equal(recs[0].Keys, []string{"+group:admins", "+group:staff"}) {
		t.Errorf("%+v", recs)
	}
	// The next login decides anew.
	n = len(f.Records(t))
	f.enter(with(base, map[string]any{"groups": "/staff"}))
	f.wantIn(ann.Name, "staff")
	if recs := f.since(n, policy.Login); len(recs) != 1 || !slices.Equal(recs[0].Keys, []string{"-group:admins"}) {
		t.Errorf("%+v", recs)
	}
	f.enter(with(base, map[string]any{"groups": []any{}}))
	f.wantIn(ann.Name)
	f.enter(base)
	f.role(f.m, "plain", "preferred_username", "")
	_, err := f.jwt(f.m, "plain", f.sign(t, base))
	f.ok(err)
	f.wantIn(ann.Name)
	// A claim that is not there, or is none, lets nobody in; one that is not there
	// also ends what the claim of before proved.
	for name, x := range map[string]struct {
		groups any
		left   bool
	}{"absent": {nil, true}, "a number": {7, false}, "parts": {map[string]any{"a": "b"}, false}, "a list of numbers": {[]any{"/staff", 7}, false},
		"a list of lists": {[]any{[]any{"/staff"}}, false}, "too many": {slices.Repeat([]any{"x"}, 1001), false}} {
		f.enter(base)
		_, err := f.jwt(f.m, "r", f.sign(t, with(base, map[string]any{"groups": x.groups})))
		f.want(err, login.CodeRefused)
		if in := f.in(ann.Name); (len(in) == 0) != x.left {
			t.Errorf("%s: then it is in %q", name, in)
		}
	}
	f.enter(with(base, map[string]any{"groups": slices.Concat(slices.Repeat([]any{"x"}, 998), []any{"/staff", "\x00", "/STAFF/ADMINS"})[:999]}))
	f.wantIn(ann.Name, "staff")
	// Another's login moves nobody else.
	f.enter(with(base, map[string]any{"preferred_username": "bob", "groups": "/staff/admins"}))
	f.wantIn(ann.Name, "staff")
	f.wantIn("jwt.bob", "admins")
}

// TestGroupsEnd holds that a membership ends with all that it rests on, and that
// nothing brings it back but a login.
func TestGroupsEnd(t *testing.T) {
	f := newFederated(t, "preferred_username", "groups")
	yes := true
	base := keycloak("i", time.Now())
	for name, end := range map[string]func(alias string){
		"the alias of the group": func(alias string) {
			f.done(f.Authn.UnlinkGroup(t.Context(), f.Admin, alias))
		},
		"the alias of the group, and is made anew": func(alias string) {
			f.done(f.Authn.UnlinkGroup(t.Context(), f.Admin, alias))
			f.linked("g", f.m.Accessor, "/staff")
		},
		"the group": func(string) { f.done(f.Authn.DropGroup(t.Context(), f.Admin, "g")) },
		"the group, and is made anew": func(string) {
			f.done(f.Authn.DropGroup(t.Context(), f.Admin, "g"))
			_, _, err := f.Authn.SetGroup(t.Context(), f.Admin, authn.SetGroupRequest{Name: "g", External: &yes})
			f.ok(err)
			f.linked("g", f.m.Accessor, "/staff")
		},
		"the alias of the principal": func(string) {
			f.done(f.Logins.UnlinkAlias(t.Context(), f.Admin, login.AliasID(f.Admin.Account, f.m.Accessor, "ann")))
		},
		"the principal, and is made anew": func(string) {
			f.done(f.Authn.DeleteUser(t.Context(), f.Admin, "jwt.ann"))
			f.done(f.Authn.CreateUser(t.Context(), f.Admin, authn.CreateUserRequest{Name: "jwt.ann", Machine: true}))
		},
		"the mount": func(string) {
			f.done(f.Mounts.Disable(t.Context(), f.Admin, "auth/jwt"))
			f.m = f.method("jwt", "preferred_username", "groups")
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, _ = f.Authn.DropGroup(t.Context(), f.Admin, "g")
			_, _ = f.Authn.DeleteUser(t.Context(), f.Admin, "jwt.ann")
			f.group("g", "/staff")
			f.enter(base)
			f.wantIn("jwt.ann", "g")
			end(authn.GroupAliasID(f.Admin.Account, f.m.Accessor, "/staff"))
			f.wantIn("jwt.ann")
		})
	}
}

// TestGroupsOfOtherMounts holds that nobody gets into a group by the word of a
// method that the group has no alias with.
func TestGroupsOfOtherMounts(t *testing.T) {
	f := newFederated(t, "preferred_username", "groups")
	f.group("admins", "/staff/admins")
	theirs := f.method("theirs", "preferred_username", "groups")
	base := keycloak("i", time.Now())
	ann := f.enter(base)
	got, err := f.jwt(theirs, "r", f.sign(t, base)) // the same names, elsewhere
	f.ok(err)
	f.wantIn(got.Who.Name)
	f.wantIn(ann.Name, "admins")
	// One principal that both know: each says what is its own, and ends only that.
	_, err = f.Logins.UnlinkAlias(t.Context(), f.Admin, login.AliasID(f.Admin.Account, theirs.Accessor, "ann"))
	f.ok(err)
	_, err = f.Logins.LinkAlias(t.Context(), f.Admin, theirs.Accessor, "ann", ann.Name)
	f.ok(err)
	yes := true
	_, _, err = f.Authn.SetGroup(t.Context(), f.Admin, authn.SetGroupRequest{Name: "theirs", External: &yes})
	f.ok(err)
	f.linked("theirs", theirs.Accessor, "/staff/admins")
	_, err = f.jwt(theirs, "r", f.sign(t, base))
	f.ok(err)
	f.wantIn(ann.Name, "admins", "theirs")
	f.enter(with(base, map[string]any{"groups": []any{}}))
	f.wantIn(ann.Name, "theirs")
	// The group's own name is no alias of it.
	f.enter(with(base, map[string]any{"groups": []any{"admins", "theirs"}}))
	f.wantIn(ann.Name, "theirs")
	// Nor is there a way in by hand.
	for name, err := range map[string]error{
		"add": second(f.Authn.AddToGroup(t.Context(), f.Admin, "admins", ann.Name)),
		"set": third(f.Authn.SetGroup(t.Context(), f.Admin, authn.SetGroupRequest{Name: "admins", Members: []string{ann.Name}})),
	} {
		if !errs.Is(err, errs.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	no := false
	if _, _, err := f.Authn.SetGroup(t.Context(), f.Admin, authn.SetGroupRequest{Name: "admins", External: &no}); !errs.Is(err, errs.Invalid) {
		t.Errorf("it became an internal one: %v", err)
	}
}

func second[A any](_ A, err error) error        { return err }
func third[A, B any](_ A, _ B, err error) error { return err }

// TestGroupsDecide holds that what a group may do counts for the tokens of before,
// that templates see it, and that policy tests do.
func TestGroupsDecide(t *testing.T) {
	f := newFederated(t, "preferred_username", "groups")
	f.group("admins", "/staff/admins")
	f.done(f.Authn.PutPolicy(t.Context(), f.Admin, "of-groups", `path "secret/data/{{identity.groups.names.admins.name}}/*" { capabilities = ["read"] }`, ""))
	f.done(f.Authn.Attach(t.Context(), f.Admin, authn.Attachment{Policy: "of-groups", Group: "admins"}))
	base := keycloak("i", time.Now())
	got, err := f.jwt(f.m, "r", f.sign(t, base))
	f.ok(err)
	if diff := cmp.Diff([]string{"of-groups"}, got.IdentityPolicies); diff != "" {
		t.Error(diff)
	}
	may := func() bool {
		t.Helper()
		who, err := f.Tokens.Authenticate(t.Context(), string(got.Token.Reveal()), time.Now(), f.nobody().Source)
		f.ok(err)
		res, err := f.Authn.TestPolicy(t.Context(), f.Admin, authn.TestRequest{User: who.Name, Action: "read", Path: "secret/data/admins/x"}, nothing{})
		f.ok(err)
		var d policy.Decision
		f.ok(f.view(func(r reader) (err error) {
			who.Call = &caller.Call{Path: "secret/data/admins/x", Capability: "read"}
			d, err = f.Authn.Authorize(r, 0, &policy.Request{Caller: who, Op: policy.ReadValue, Account: who.Account, Resource: "arn:aws:secretsmanager:home:" + who.Account + ":secret:admins/x-??????"}, nil)
			return err
		}))
		if d.Allowed != res.Allowed {
			t.Errorf("a request is allowed: %v, and the test says: %v", d.Allowed, res.Allowed)
		}
		return d.Allowed
	}
	if !may() {
		t.Error("a member may not")
	}
	f.enter(with(base, map[string]any{"groups": "/staff"}))
	if may() {
		t.Error("the token of before still may")
	}
	f.enter(base)
	if !may() {
		t.Error("it does not come back with the next login")
	}
	f.done(f.Authn.UnlinkGroup(t.Context(), f.Admin, authn.GroupAliasID(f.Admin.Account, f.m.Accessor, "/staff/admins")))
	if may() {
		t.Error("without the alias it still may")
	}
}

// nothing knows of no resource.
type nothing struct{}

func (nothing) Whole(_ reader, arn string) (string, error) { return arn, nil }
func (nothing) Describe(reader, string) (*policy.Set, map[string]string, error) {
	return nil, nil, nil
}

// TestGroupAliasReview holds that a rule over groups holds their aliases, and that
// votes are void once the group is another.
func TestGroupAliasReview(t *testing.T) {
	f := newFederated(t, "preferred_username", "groups")
	f.group("admins", "")
	f.done(f.Changes.PutRules(t.Context(), f.Admin, change.RuleChange{Set: &protect.Rule{Name: "groups", Match: []string{"group:admins"}, Approvals: []protect.Approval{{Count: 1}}}}, "", change.Options{}))
	res, made, err := f.Authn.LinkGroup(t.Context(), f.Admin, "admins", f.m.Accessor, "/staff/admins")
	f.ok(err)
	if res.Status != change.Pending || made {
		t.Fatalf("%+v %v", res, made)
	}
	base := keycloak("i", time.Now())
	ann := f.enter(base)
	f.wantIn(ann.Name)
	rec, err := f.Changes.Get(t.Context(), f.Admin, res.ID)
	f.ok(err)
	if want := fmt.Sprintf("link the alias %q of %s to group admins: in it is whom a login there shows to be", "/staff/admins", f.m.Accessor); !slices.Equal(rec.Lines, []string{want}) {
		t.Errorf("%q", rec.Lines)
	}
	f.approve(res.ID)
	f.wantIn(ann.Name) // a login decides, not the link
	f.enter(base)
	f.wantIn(ann.Name, "admins")
	n := len(f.Records(t))
	res, err = f.Authn.UnlinkGroup(t.Context(), f.Admin, authn.GroupAliasID(f.Admin.Account, f.m.Accessor, "/staff/admins"))
	f.ok(err)
	f.wantIn(ann.Name, "admins")
	f.approve(res.ID)
	f.wantIn(ann.Name)
	if recs := f.since(n, policy.UnlinkGroup); len(recs) == 0 || recs[0].Resource != "admins" || recs[len(recs)-1].Outcome == audit.Denied {
		t.Errorf("%+v", recs)
	}
}

func TestGroupAliasRefusals(t *testing.T) {
	f := newFederated(t, "preferred_username", "groups")
	f.group("one", "/one")
	f.group("two", "")
	f.done(f.Authn.CreateGroup(t.Context(), f.Admin, "inside"))
	byRole := f.mount(mount.AppRole, "approle")
	for name, x := range map[string]struct {
		group, accessor, alias string
		want                   string
	}{
		"internal":     {"inside", f.m.Accessor, "/x", "invalid"},
		"taken":        {"two", f.m.Accessor, "/one", "exists/" + authn.CodeGroupAlias},
		"a second":     {"one", f.m.Accessor, "/x", "exists/" + authn.CodeGroupAlias},
		"no group":     {"none", f.m.Accessor, "/x", "not-found"},
		"no mount":     {"two", "auth_jwt_00000000", "/x", "not-found/" + authn.CodeLoginMount},
		"other method": {"two", byRole.Accessor, "/x", "invalid"},
		"no name":      {"two", f.m.Accessor, "", "invalid/name"},
		"control":      {"two", f.m.Accessor, "a\nb", "invalid/name"},
		"no accessor":  {"two", "", "/x", "invalid/mount_accessor"},
	} {
		_, _, err := f.Authn.LinkGroup(t.Context(), f.Admin, x.group, x.accessor, x.alias)
		if got := spelled(err); got != x.want {
			t.Errorf("%s: %v (%s), want %s", name, err, got, x.want)
		}
	}
	// Another account has groups, mounts and aliases of its own.
	other, _ := f.Stranger(t)
	if _, _, err := f.Authn.LinkGroup(t.Context(), other, "one", f.m.Accessor, "/mine"); err == nil {
		t.Error("a stranger links a group")
	}
	if _, err := f.Authn.GetGroupAlias(t.Context(), other, authn.GroupAliasID(f.Admin.Account, f.m.Accessor, "/one")); err == nil {
		t.Error("a stranger reads an alias")
	}
	bob, _ := f.User(t, "bob", "")
	for name, err := range map[string]error{
		"link":   third(f.Authn.LinkGroup(t.Context(), bob, "two", f.m.Accessor, "/x")),
		"unlink": second(f.Authn.UnlinkGroup(t.Context(), bob, authn.GroupAliasID(f.Admin.Account, f.m.Accessor, "/one"))),
		"absent": second(f.Authn.UnlinkGroup(t.Context(), bob, authn.GroupAliasID(f.Admin.Account, f.m.Accessor, "/none"))),
		"read":   second(f.Authn.GetGroupAlias(t.Context(), bob, authn.GroupAliasID(f.Admin.Account, f.m.Accessor, "/one"))),
		"list":   second(f.Authn.ListGroupAliases(t.Context(), bob, 0)),
	} {
		if !errs.Is(err, errs.Denied) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func spelled(err error) string {
	e := errs.As(err)
	switch {
	case e == nil:
		return ""
	case e.Code != "":
		return e.Kind.String() + "/" + e.Code
	case e.Field != "":
		return e.Kind.String() + "/" + e.Field
	}
	return e.Kind.String()
}

// TestTooManyGroups holds that somebody in more groups than are taken is refused,
// and not let in with some of them: one that is left out may be a denial.
func TestTooManyGroups(t *testing.T) {
	f := newFederated(t, "preferred_username", "groups")
	var names []any
	for i := range authn.MaxExternal + 1 {
		n := fmt.Sprintf("g%02d", i)
		f.group(n, n)
		names = append(names, n)
	}
	base := keycloak("i", time.Now())
	_, err := f.jwt(f.m, "r", f.sign(t, with(base, map[string]any{"groups": names})))
	if !errs.Is(err, errs.Limit) {
		t.Errorf("got %v", err)
	}
	if in := f.in(f.enter(with(base, map[string]any{"groups": names[1:]})).Name); len(in) != authn.MaxExternal {
		t.Errorf("it is in %d", len(in))
	}
}

// FuzzGroups holds that whatever a claim is, nobody is in a group whose alias it
// does not spell.
func FuzzGroups(f *testing.F) {
	for _, s := range []string{`["a"]`, `"a"`, `{"a":"b"}`, `[1]`, `null`, `["a",["b"]]`, `[""]`} {
		f.Add("groups", s)
		f.Add("/groups/0", s)
	}
	f.Fuzz(func(t *testing.T, claim, value string) {
		names, ok := login.GroupsIn(claim, []byte(`{"groups":`+value+`}`))
		if !ok && len(names) > 0 {
			t.Errorf("refused, with %q", names)
		}
		b, _ := json.Marshal(value)
		for _, n := range names {
			if n == "" || len(n) > len(value)+len(b) {
				t.Errorf("%q from %s", n, value)
			}
		}
	})
}
