package login_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/caller"
	"countersign/internal/core/audit"
	"countersign/internal/core/authn"
	"countersign/internal/core/change"
	"countersign/internal/core/coretest"
	"countersign/internal/core/login"
	"countersign/internal/core/mount"
	"countersign/internal/core/policy"
	"countersign/internal/core/protect"
	"countersign/internal/core/signin"
	"countersign/internal/errs"
)

// secretID makes one of a role.
func (w *world) secretID(m *mount.Mount, role string) (roleID, secretID string) {
	w.t.Helper()
	id, err := w.Logins.GetRoleID(w.t.Context(), w.Admin, m, role)
	w.ok(err)
	s, err := w.Logins.CreateSecretID(w.t.Context(), w.Admin, m, login.SecretIDRequest{Role: role})
	w.ok(err)
	return id, string(s.Secret.Reveal())
}

func (w *world) enter(m *mount.Mount, roleID, secretID string) (login.Entered, error) {
	return w.Logins.LoginAppRole(w.t.Context(), w.nobody(), m, login.AppRoleLogin{RoleID: roleID, SecretID: secret(secretID)})
}

func TestAppRole(t *testing.T) {
	w := newWorld(t)
	m := w.mount(mount.AppRole, "approle")
	w.done(w.Logins.PutRole(t.Context(), w.Admin, m, "CI", login.Patch{"policies": []string{"b", "a", "b"}, "token_ttl": time.Hour, "secret_id_num_uses": 2}))
	got, err := w.Logins.GetRole(t.Context(), w.Admin, m, "ci")
	w.ok(err)
	want := login.Settings{"token_policies": []string{"a", "b"}, "token_ttl": time.Hour, "token_max_ttl": time.Duration(0), "token_explicit_max_ttl": time.Duration(0),
		"token_period": time.Duration(0), "token_num_uses": 0, "token_no_default_policy": false, "token_bound_cidrs": []string{}, "token_type": "default", "queue": false,
		"bind_secret_id": true, "secret_id_bound_cidrs": []string{}, "secret_id_num_uses": 2, "secret_id_ttl": time.Duration(0), "local_secret_ids": false}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	id, sid := w.secretID(m, "ci")
	n := len(w.Records(t))
	out, err := w.enter(m, id, " "+sid+"\n")
	w.ok(err)
	who, ok := w.principal(m, id)
	if !ok || who.Caller.Name != "approle.ci" || who.Caller.Kind != caller.Machine || out.Token.Len() == 0 {
		t.Errorf("%+v, %+v", who, out)
	}
	recs := w.since(n, policy.Login)
	if len(recs) != 1 || recs[0].Outcome != audit.OK || recs[0].Principal.Name != "approle.ci" || recs[0].Resource != "approle/ci" || recs[0].Principal.Proof != string(caller.ProofAppRole) {
		t.Errorf("%+v", recs)
	}
	if made := w.since(n, policy.CreateUser); len(made) != 1 || made[0].Principal.Kind != string(caller.System) || made[0].Change == "" {
		t.Errorf("%+v", made)
	}
	_, err = w.enter(m, id, sid)
	w.ok(err)
	_, err = w.enter(m, id, sid) // it had two uses
	w.want(err, login.CodeRefused)
	if made := w.since(n, policy.CreateUser); len(made) != 1 {
		t.Errorf("%d principals", len(made))
	}
	list, err := w.Logins.ListSecretIDs(t.Context(), w.Admin, m, "ci", "", 0)
	w.ok(err)
	if len(list) != 0 {
		t.Errorf("%q are left", list)
	}
}

// principal is who an alias of a mount is.
func (w *world) principal(m *mount.Mount, alias string) (id authn.Identity, ok bool) {
	w.t.Helper()
	w.ok(w.view(func(r reader) (err error) {
		id, ok, err = login.Resolve(r, coretest.Home, m.Accessor, alias)
		return err
	}))
	return id, ok
}

func TestRoleSettings(t *testing.T) {
	w := newWorld(t)
	m := w.mount(mount.AppRole, "approle")
	put := func(p login.Patch) error {
		_, err := w.Logins.PutRole(t.Context(), w.Admin, m, "ci", p)
		return err
	}
	many := make([]string, 100)
	for i := range many {
		many[i] = fmt.Sprint("p", i)
	}
	for _, x := range []struct {
		patch login.Patch
		want  string
	}{
		{login.Patch{"no_such": true}, "invalid/no_such"},
		{login.Patch{"token_ttl": "1h"}, "invalid/token_ttl"},
		{login.Patch{"token_ttl": -time.Second}, "invalid/token_ttl"},
		{login.Patch{"token_ttl": 2 * time.Hour, "token_max_ttl": time.Hour}, "invalid/token_ttl"},
		{login.Patch{"token_policies": []string{"a b"}}, "invalid/token_policies"},
		{login.Patch{"token_policies": []string{"root"}}, "invalid/token_policies"},
		{login.Patch{"token_policies": many}, "limit"},
		{login.Patch{"token_bound_cidrs": []string{"10.0.0.0/40"}}, "invalid/token_bound_cidrs"},
		{login.Patch{"token_type": "other"}, "invalid/token_type"},
		{login.Patch{"token_type": "batch", "token_period": time.Hour}, "invalid/token_type"},
		{login.Patch{"token_type": "batch", "token_num_uses": 1}, "invalid/token_type"},
		{login.Patch{"token_num_uses": -1}, "invalid/token_num_uses"},
		{login.Patch{"secret_id_num_uses": -1}, "invalid/secret_id_num_uses"},
		{login.Patch{"bind_secret_id": false}, "invalid/bind_secret_id"},
		{login.Patch{"role_id": strings.Repeat("x", 5000)}, "invalid/role_id"},
		{login.Patch{"bind_secret_id": false, "bound_cidr_list": []string{"10.1.2.3/8", "::ffff:1.2.3.4"}}, ""},
	} {
		w.want(put(x.patch), x.want)
	}
	got, err := w.Logins.GetRole(t.Context(), w.Admin, m, "ci")
	w.ok(err)
	if diff := cmp.Diff([]string{"10.0.0.0/8", "1.2.3.4"}, got["secret_id_bound_cidrs"]); diff != "" {
		t.Error(diff)
	}
	_, err = w.Logins.ResetRole(t.Context(), w.Admin, m, "ci", "secret_id_bound_cidrs")
	w.want(err, "invalid/bind_secret_id")
	w.done(w.Logins.ResetRole(t.Context(), w.Admin, m, "ci", "secret_id_bound_cidrs", "bind_secret_id"))
	_, err = w.Logins.PatchRole(t.Context(), w.Admin, m, "absent", login.Patch{"token_ttl": time.Hour})
	w.want(err, login.CodeRole)
	_, err = w.Logins.PutRole(t.Context(), w.Admin, m, "a/b", nil)
	w.want(err, "invalid/name")
	names, err := w.Logins.ListRoles(t.Context(), w.Admin, m, "", 0)
	w.ok(err)
	if !slices.Equal(names, []string{"ci"}) {
		t.Error(names)
	}
	w.done(w.Logins.PutRole(t.Context(), w.Admin, m, "dev", login.Patch{"role_id": "mine"}))
	_, err = w.Logins.PutRoleID(t.Context(), w.Admin, m, "ci", "mine")
	w.want(err, "exists/role_id")
	_, err = w.Logins.PutRoleID(t.Context(), w.Admin, m, "absent", "other")
	w.want(err, login.CodeRole)
	_, sid := w.secretID(m, "ci")
	w.done(w.Logins.PutRoleID(t.Context(), w.Admin, m, "ci", "other"))
	_, err = w.enter(m, "other", sid) // secret ids stay
	w.ok(err)
	if names, err = w.Logins.ListRoles(t.Context(), w.Admin, m, "ci", 1); err != nil || !slices.Equal(names, []string{"dev"}) {
		t.Error(names, err)
	}
}

func TestSecretIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m := w.mount(mount.AppRole, "approle")
		w.done(w.Logins.PutRole(t.Context(), w.Admin, m, "ci", login.Patch{"secret_id_ttl": time.Hour, "secret_id_num_uses": 10, "secret_id_bound_cidrs": []string{"127.0.0.0/8"}}))
		id, err := w.Logins.GetRoleID(t.Context(), w.Admin, m, "ci")
		w.ok(err)
		create := func(req login.SecretIDRequest) (login.NewSecretID, error) {
			req.Role = "ci"
			return w.Logins.CreateSecretID(t.Context(), w.Admin, m, req)
		}
		for _, x := range []struct {
			req  login.SecretIDRequest
			want string
		}{
			{login.SecretIDRequest{TTL: new(2 * time.Hour)}, "invalid/ttl"},
			{login.SecretIDRequest{TTL: new(time.Duration(0))}, "invalid/ttl"},
			{login.SecretIDRequest{Uses: new(11)}, "invalid/num_uses"},
			{login.SecretIDRequest{Uses: new(0)}, "invalid/num_uses"},
			{login.SecretIDRequest{CIDRs: []string{"10.0.0.0/8"}}, "invalid/cidr_list"},
			{login.SecretIDRequest{CIDRs: []string{"x"}}, "invalid/cidr_list"},
			{login.SecretIDRequest{Meta: map[string]string{"a": "b\x00"}}, "invalid/metadata"},
			{login.SecretIDRequest{Secret: secret("chosen"), TTL: new(30 * time.Minute), Uses: new(3), CIDRs: []string{"127.0.0.1"}, TokenCIDRs: []string{"127.0.0.0/24"}, Meta: map[string]string{"tag": "x"}}, ""},
			{login.SecretIDRequest{Secret: secret("chosen")}, login.CodeSecretID},
		} {
			_, err := create(x.req)
			w.want(err, x.want)
		}
		list, err := w.Logins.ListSecretIDs(t.Context(), w.Admin, m, "ci", "", 0)
		w.ok(err)
		if len(list) != 1 {
			t.Fatal(list)
		}
		got, err := w.Logins.LookupSecretID(t.Context(), w.Admin, m, login.SecretIDRef{Role: "ci", Secret: secret("chosen")})
		w.ok(err)
		again, err := w.Logins.LookupSecretID(t.Context(), w.Admin, m, login.SecretIDRef{Role: "ci", Accessor: list[0]})
		w.ok(err)
		if diff := cmp.Diff(got, again); diff != "" {
			t.Error(diff)
		}
		now := time.Now().UTC()
		want := login.SecretID{Accessor: list[0], Uses: 3, TTL: 30 * time.Minute, Created: now, Updated: now, Expires: now.Add(30 * time.Minute),
			Meta: map[string]string{"tag": "x"}, CIDRs: []string{"127.0.0.1"}, TokenCIDRs: []string{"127.0.0.0/24"}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		_, err = w.enter(m, id, "chosen")
		w.ok(err)
		far := w.nobody()
		far.Source = netip.MustParseAddr("127.0.0.2")
		_, err = w.Logins.LoginAppRole(t.Context(), far, m, login.AppRoleLogin{RoleID: id, SecretID: secret("chosen")})
		w.want(err, login.CodeRefused)
		if got, err = w.Logins.LookupSecretID(t.Context(), w.Admin, m, login.SecretIDRef{Role: "ci", Secret: secret("chosen")}); err != nil || got.Uses != 2 {
			t.Errorf("%+v, %v", got, err)
		}
		// A role that was narrowed since holds too.
		w.done(w.Logins.PatchRole(t.Context(), w.Admin, m, "ci", login.Patch{"secret_id_bound_cidrs": []string{"10.0.0.0/8"}}))
		_, err = w.enter(m, id, "chosen")
		w.want(err, login.CodeRefused)
		w.done(w.Logins.ResetRole(t.Context(), w.Admin, m, "ci", "secret_id_bound_cidrs"))
		time.Sleep(30 * time.Minute)
		_, err = w.enter(m, id, "chosen")
		w.want(err, login.CodeRefused)
		_, err = w.Logins.LookupSecretID(t.Context(), w.Admin, m, login.SecretIDRef{Role: "ci", Accessor: list[0]})
		w.want(err, login.CodeSecretID)
		_, err = create(login.SecretIDRequest{Secret: secret("chosen"), Uses: new(1)}) // the old one is over
		w.ok(err)
		w.ok(w.Logins.DestroySecretID(t.Context(), w.Admin, m, login.SecretIDRef{Role: "ci", Secret: secret("chosen")}))
		w.ok(w.Logins.DestroySecretID(t.Context(), w.Admin, m, login.SecretIDRef{Role: "ci", Secret: secret("chosen")}))
		w.want(w.Logins.DestroySecretID(t.Context(), w.Admin, m, login.SecretIDRef{Role: "ci", Accessor: list[0]}), login.CodeSecretID)
		for range 70 {
			_, err := create(login.SecretIDRequest{})
			w.ok(err)
		}
		w.ok(w.Logins.Due(t.Context()))
		if n := w.count("login-secret"); n != 70 {
			t.Errorf("%d secret ids before their time", n)
		}
		time.Sleep(time.Hour)
		w.ok(w.Logins.TidySecretIDs(t.Context(), w.Admin, m))
		w.ok(w.Logins.Due(t.Context()))
		if n := w.count("login-secret") + w.count("login-secret-of") + w.count("login-due"); n != 0 {
			t.Errorf("%d records after their time", n)
		}
	})
}

// Who may make secret ids gets no token that is good at more addresses than the
// role says.
func TestSecretIDsStayWithinTheRole(t *testing.T) {
	w := newWorld(t)
	m := w.mount(mount.AppRole, "approle")
	w.done(w.Logins.PutRole(t.Context(), w.Admin, m, "ci", login.Patch{"token_bound_cidrs": []string{"127.0.0.0/8"}}))
	id, err := w.Logins.GetRoleID(t.Context(), w.Admin, m, "ci")
	w.ok(err)
	create := func(bound string) (string, error) {
		s, err := w.Logins.CreateSecretID(t.Context(), w.Admin, m, login.SecretIDRequest{Role: "ci", TokenCIDRs: []string{bound}})
		return string(s.Secret.Reveal()), err
	}
	for _, wider := range []string{"0.0.0.0/0", "126.0.0.0/7", "10.0.0.0/8", "::/0", "::ffff:0.0.0.0/96"} {
		_, err := create(wider)
		w.want(err, "invalid/token_bound_cidrs")
	}
	sid, err := create("127.0.0.0/16")
	w.ok(err)
	out, err := w.enter(m, id, sid)
	w.ok(err)
	if got := fmt.Sprint(out.BoundCIDRs); got != "[127.0.0.0/16]" {
		t.Errorf("the token is bound to %s", got)
	}
	// A role that was narrowed since holds too.
	w.done(w.Logins.PatchRole(t.Context(), w.Admin, m, "ci", login.Patch{"token_bound_cidrs": []string{"127.0.0.0/24"}}))
	_, err = w.enter(m, id, sid)
	w.want(err, login.CodeRefused)
}

// count counts records of a kind.
func (w *world) count(kind string) (n int) {
	for k := range w.Dump(w.t) {
		if strings.Contains(k, "\x00\x01"+kind+"\x00\x01") || strings.HasPrefix(k, "sys\x00\x01"+kind+"\x00\x01") {
			n++
		}
	}
	return n
}

// TestDeletedRole holds that a role takes its secret ids along, and that a later
// one of its name has none of them.
func TestDeletedRole(t *testing.T) {
	w := newWorld(t)
	m := w.mount(mount.AppRole, "approle")
	w.done(w.Logins.PutRole(t.Context(), w.Admin, m, "ci", login.Patch{"role_id": "fixed"}))
	for range 70 {
		w.secretID(m, "ci")
	}
	_, sid := w.secretID(m, "ci")
	w.done(w.Logins.DeleteRole(t.Context(), w.Admin, m, "ci"))
	w.done(w.Logins.DeleteRole(t.Context(), w.Admin, m, "ci"))
	_, err := w.enter(m, "fixed", sid)
	w.want(err, login.CodeRefused)
	w.done(w.Logins.PutRole(t.Context(), w.Admin, m, "ci", login.Patch{"role_id": "fixed"}))
	_, err = w.enter(m, "fixed", sid)
	w.want(err, login.CodeRefused)
	_, mine := w.secretID(m, "ci")
	w.ok(w.Logins.Due(t.Context()))
	_, err = w.enter(m, "fixed", mine)
	w.ok(err)
	if n := w.count("login-secret") + w.count("login-drop"); n != 1 {
		t.Errorf("%d records are left", n)
	}
}

// TestUsesAreExact holds that a secret id is never used more often than it may be.
func TestUsesAreExact(t *testing.T) {
	w := newWorld(t)
	m := w.mount(mount.AppRole, "approle")
	w.done(w.Logins.PutRole(t.Context(), w.Admin, m, "ci", login.Patch{"secret_id_num_uses": 7}))
	id, sid := w.secretID(m, "ci")
	var wg sync.WaitGroup
	var mu sync.Mutex
	got := map[string]int{}
	for range 40 {
		wg.Go(func() {
			_, err := w.enter(m, id, sid)
			mu.Lock()
			defer mu.Unlock()
			got[code(err)]++
		})
	}
	wg.Wait()
	if got[""] != 7 || got[login.CodeRefused] != 33 {
		t.Errorf("%v", got)
	}
	if n := w.count("principal"); n != 2 {
		t.Errorf("%d principals, of which one is the administrator", n)
	}
}

// TestWrongRoleOrSecret holds that a wrong secret id cannot be told from a wrong
// role id: by what is answered, by what is recorded, by what is done, or, as far as
// a test can tell, by how long that takes.
func TestWrongRoleOrSecret(t *testing.T) {
	w := newWorld(t)
	m := w.mount(mount.AppRole, "approle")
	w.done(w.Logins.PutRole(t.Context(), w.Admin, m, "ci", nil))
	id, sid := w.secretID(m, "ci")
	wrong := []struct{ role, secret string }{{id, strings.Repeat("0", len(sid))}, {strings.Repeat("0", len(id)), sid}, {strings.Repeat("1", len(id)), strings.Repeat("1", len(sid))}, {id, ""}}
	type seen struct {
		Err, Resource, Outcome, Kind, Error string
		Steps                               []string
	}
	var first seen
	for i, x := range wrong {
		n := len(w.Records(t))
		done := login.Steps(w.Logins)
		_, err := w.enter(m, x.role, x.secret)
		steps := done()
		recs := w.since(n, policy.Login)
		if len(recs) != 1 || recs[0].Principal.Name != "" {
			t.Fatalf("%+v", recs)
		}
		got := seen{fmt.Sprint(err), recs[0].Resource, string(recs[0].Outcome), recs[0].Principal.Kind, recs[0].Error, steps}
		if i == 0 {
			first = got
		}
		if diff := cmp.Diff(first, got); diff != "" {
			t.Errorf("%d: %s", i, diff)
		}
	}
	if !slices.Equal(first.Steps, []string{"hash", "hash", "compare"}) || first.Err != "invalid role or secret ID" || first.Resource != "approle" {
		t.Errorf("%+v", first)
	}
	const rounds = 300
	var took [2][]time.Duration
	for range rounds {
		for i := range took {
			start := time.Now()
			_, _ = w.enter(m, wrong[i].role, wrong[i].secret)
			took[i] = append(took[i], time.Since(start))
		}
	}
	for i := range took {
		slices.Sort(took[i])
	}
	a, b := took[0][rounds/2], took[1][rounds/2]
	if d := a - b; max(d, -d) > max(a, b)/2 {
		t.Errorf("a wrong secret id takes %s, a wrong role id %s", a, b)
	}
}

func TestFailuresAreLimited(t *testing.T) {
	w := newWorld(t)
	m := w.mount(mount.AppRole, "approle")
	s := login.New(login.Config{Gate: w.Gate, Changes: w.Changes, Vault: w.Ring, Tokens: w.Tokens, SignIn: w.SignIn, Burst: 3, Every: time.Hour})
	w.done(s.PutRole(t.Context(), w.Admin, m, "ci", nil))
	id, sid := w.secretID(m, "ci")
	try := func(source, secretID string) error {
		who := w.nobody()
		who.Source = netip.MustParseAddr(source)
		_, err := s.LoginAppRole(t.Context(), who, m, login.AppRoleLogin{RoleID: id, SecretID: secret(secretID)})
		return err
	}
	for range 10 {
		w.ok(try("10.0.0.1", sid)) // what succeeds is not counted
	}
	for range 3 {
		w.want(try("10.0.0.1", "wrong"), login.CodeRefused)
	}
	w.want(try("10.0.0.1", sid), signin.CodeWait)
	w.ok(try("10.0.0.2", sid))
}

// TestWhoLogsIn holds what an alias leads to: a linked principal, not a disabled
// one, and a new one where it was deleted.
func TestWhoLogsIn(t *testing.T) {
	w := newWorld(t)
	m := w.mount(mount.AppRole, "approle")
	w.done(w.Logins.PutRole(t.Context(), w.Admin, m, "ci", nil))
	id, sid := w.secretID(m, "ci")
	w.User(t, "deploy", "")
	_, err := w.Logins.LinkAlias(t.Context(), w.Admin, m.Accessor, id, "deploy")
	w.ok(err)
	enter := func() (string, string) {
		n := len(w.Records(t))
		_, err := w.enter(m, id, sid)
		recs := w.since(n, policy.Login)
		if len(recs) != 1 {
			t.Fatalf("%+v", recs)
		}
		return recs[0].Principal.Name, code(err)
	}
	if n, c := enter(); n != "deploy" || c != "" {
		t.Error(n, c)
	}
	w.done(w.Authn.UpdateUser(t.Context(), w.Admin, authn.UpdateUserRequest{Name: "deploy", Disabled: new(true)}))
	if n, c := enter(); n != "" || c != login.CodeDisabled {
		t.Error(n, c)
	}
	w.done(w.Authn.DeleteUser(t.Context(), w.Admin, "deploy"))
	w.User(t, "deploy", "") // somebody else
	w.User(t, "approle.ci", "")
	n, c := enter()
	if !strings.HasPrefix(n, "approle.ci-") || c != "" {
		t.Error(n, c)
	}
	if again, c := enter(); again != n || c != "" {
		t.Error(again, c)
	}
	// What denies a login holds.
	w.done(w.Authn.PutPolicy(t.Context(), w.Admin, "no-login", `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"countersign:Login","Resource":"*"}]}`, ""))
	w.done(w.Authn.Attach(t.Context(), w.Admin, authn.Attachment{Policy: "no-login", User: n}))
	if _, c := enter(); c != policy.EffectDeny {
		t.Error(c)
	}
}

// TestReview holds that roles wait where a rule holds, and secret ids and logins
// do not.
func TestReview(t *testing.T) {
	w := newWorld(t)
	m := w.mount(mount.AppRole, "approle")
	w.done(w.Logins.PutRole(t.Context(), w.Admin, m, "ci", nil))
	w.done(w.Changes.PutRules(t.Context(), w.Admin, change.RuleChange{Set: &protect.Rule{Name: "logins", Match: []string{"login-role:approle/*", "login-method:*"},
		Approvals: []protect.Approval{{Count: 1}}}}, "", change.Options{}))
	id, sid := w.secretID(m, "ci")
	_, err := w.enter(m, id, sid)
	w.ok(err)
	res, err := w.Logins.PutRole(t.Context(), w.Admin, m, "ci", login.Patch{"token_policies": []string{"dev"}})
	w.ok(err)
	if res.Status != change.Pending {
		t.Fatalf("%+v", res)
	}
	if again, err := w.Logins.PutRole(t.Context(), w.Admin, m, "ci", login.Patch{"token_policies": []string{"dev"}}); err != nil || again.ID != res.ID {
		t.Errorf("proposed again: %+v, %v", again, err)
	}
	got, err := w.Logins.GetRole(t.Context(), w.Admin, m, "ci")
	w.ok(err)
	if len(got["token_policies"].([]string)) != 0 {
		t.Errorf("%v before the review", got["token_policies"])
	}
	review, err := w.Changes.Get(t.Context(), w.Admin, res.ID)
	w.ok(err)
	if !slices.Contains(review.Lines, "set token_policies to dev") {
		t.Errorf("%q", review.Lines)
	}
	w.approve(res.ID)
	if got, err = w.Logins.GetRole(t.Context(), w.Admin, m, "ci"); err != nil || !slices.Equal(got["token_policies"].([]string), []string{"dev"}) {
		t.Errorf("%v after the review, %v", got["token_policies"], err)
	}
	made, err := w.Logins.PutRole(t.Context(), w.Admin, m, "late", nil)
	w.ok(err)
	gone, err := w.Logins.DeleteRole(t.Context(), w.Admin, m, "ci")
	w.ok(err)
	w.approve(made.ID)
	w.approve(gone.ID)
	if names, err := w.Logins.ListRoles(t.Context(), w.Admin, m, "", 0); err != nil || !slices.Equal(names, []string{"late"}) {
		t.Error(names, err)
	}
	lost, err := w.Logins.PutRole(t.Context(), w.Admin, m, "lost", nil)
	w.ok(err)
	w.done(w.Mounts.Disable(t.Context(), w.Admin, "auth/approle"))
	if _, err := w.vote(lost.ID); !errs.Is(err, errs.NotFound) && !errs.Is(err, errs.Conflict) {
		t.Errorf("a role of a mount that is gone: %v", err)
	}
}

// TestNothingOfASecretIDIsKept holds that no record has what a client shows.
func TestNothingOfASecretIDIsKept(t *testing.T) {
	w := newWorld(t)
	m := w.mount(mount.AppRole, "approle")
	w.done(w.Logins.PutRole(t.Context(), w.Admin, m, "ci", nil))
	id, sid := w.secretID(m, "ci")
	_, err := w.enter(m, id, sid)
	w.ok(err)
	for k, v := range w.Dump(t) {
		if strings.Contains(k, sid) || strings.Contains(string(v), sid) {
			t.Errorf("%q has the secret id", k)
		}
	}
	for _, r := range w.Records(t) {
		if s := fmt.Sprintf("%+v", r); strings.Contains(s, sid) || strings.Contains(s, id) {
			t.Errorf("a record has it: %s", s)
		}
	}
}

// BenchmarkLoginAppRole is of logins one after the other, and of many at once,
// which share commits.
func BenchmarkLoginAppRole(b *testing.B) {
	w := &world{Core: coretest.New(b, coretest.Config{Bolt: true}), t: b}
	m := w.mount(mount.AppRole, "approle")
	w.done(w.Logins.PutRole(b.Context(), w.Admin, m, "ci", nil))
	id, sid := w.secretID(m, "ci")
	b.Run("one", func(b *testing.B) {
		for b.Loop() {
			_, err := w.enter(m, id, sid)
			w.ok(err)
		}
	})
	b.Run("many", func(b *testing.B) {
		b.SetParallelism(32)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := w.enter(m, id, sid); err != nil {
					b.Error(err)
				}
			}
		})
	})
}
