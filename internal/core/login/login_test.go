package login_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/audit"
	"countersign/internal/core/change"
	"countersign/internal/core/coretest"
	"countersign/internal/core/login"
	"countersign/internal/core/mount"
	"countersign/internal/core/policy"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/sensitive"
)

func secret(s string) sensitive.Bytes { return sensitive.FromString(s) }

// world is a core with mounted login methods.
type world struct {
	*coretest.Core
	t   testing.TB
	bob caller.Caller
}

func newWorld(t testing.TB) *world {
	w := &world{Core: coretest.New(t, coretest.Config{}), t: t}
	t.Cleanup(func() {
		for _, problem := range w.problems() {
			t.Errorf("after the test: %s", problem)
		}
	})
	return w
}

// problems are what a check of the store finds in the records of logins.
func (w *world) problems() (out []string) {
	err := w.DB.View(context.Background(), func(r reader) error {
		return login.Refer(r, func(key kv.Key, problem string) { out = append(out, fmt.Sprintf("%q: %s", key, problem)) })
	})
	if err != nil {
		out = append(out, err.Error())
	}
	for k, v := range w.Dump(w.t) {
		for _, rule := range login.Rules() {
			if !strings.HasPrefix(k, coretest.Home+"\x00\x01"+rule.Kind+"\x00\x01") && !strings.HasPrefix(k, "sys\x00\x01"+rule.Kind+"\x00\x01") {
				continue
			}
			if _, _, err := kv.Key(k).Parts(rule.Shape); err != nil || rule.Decode != nil && rule.Decode(kv.Key(k), v) != nil {
				out = append(out, fmt.Sprintf("%q is no %s", k, rule.Kind))
			}
		}
	}
	return out
}

// TestCheckFindsDamage holds that records which refer to each other are checked.
func TestCheckFindsDamage(t *testing.T) {
	w := &world{Core: coretest.New(t, coretest.Config{}), t: t}
	m := w.mount(mount.AppRole, "approle")
	w.done(w.Logins.PutRole(t.Context(), w.Admin, m, "ci", login.Patch{"secret_id_ttl": time.Hour}))
	id, sid := w.secretID(m, "ci")
	_, err := w.enter(m, id, sid)
	w.ok(err)
	whole := w.Dump(t)
	if p := w.problems(); len(p) > 0 {
		t.Fatal(p)
	}
	for _, kind := range []string{"login-secret", "login-secret-of", "login-due", "login-alias", "login-alias-of", "login-alias-id"} {
		gone := kv.Key{}
		for k := range whole {
			if strings.Contains(k, "\x00\x01"+kind+"\x00\x01") || strings.HasPrefix(k, "sys\x00\x01"+kind+"\x00\x01") {
				gone = kv.Key(k)
			}
		}
		change := func(f func(tx kv.Txn) error) {
			_, err := w.DB.Update(t.Context(), f)
			w.ok(err)
		}
		change(func(tx kv.Txn) error { return tx.Delete(gone) })
		if len(w.problems()) == 0 {
			t.Errorf("nobody misses a %s", kind)
		}
		change(func(tx kv.Txn) error { return tx.Put(gone, whole[string(gone)]) })
	}
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// done is ok for a write that tells what became of it.
func (w *world) done(_ any, err error) { w.t.Helper(); w.ok(err) }

// code is what an error is, "" for none.
func code(err error) string {
	e := errs.As(err)
	switch {
	case e == nil:
		return ""
	case e.Code != "":
		return e.Code
	case e.Field != "":
		return e.Kind.String() + "/" + e.Field
	}
	return e.Kind.String()
}

func (w *world) want(err error, c string) {
	w.t.Helper()
	if code(err) != c {
		w.t.Errorf("got %v (%s), want %q", err, code(err), c)
	}
}

// nobody is the caller of a login.
func (w *world) nobody() caller.Caller {
	who := coretest.Circumstances(caller.Caller{Account: coretest.Home})
	who.Proof = ""
	return who
}

// mount mounts a method.
func (w *world) mount(kind, path string) *mount.Mount {
	w.t.Helper()
	w.done(w.Mounts.Enable(w.t.Context(), w.Admin, mount.EnableRequest{Path: mount.Auth + path, Type: kind}))
	return w.mounted(path)
}

func (w *world) mounted(path string) *mount.Mount {
	w.t.Helper()
	t, err := w.Mounts.List(w.t.Context(), w.Admin)
	w.ok(err)
	return t.Find(mount.Auth + path)
}

// since lists the records of an operation after the first n.
func (w *world) since(n int, op policy.Op) (out []audit.Record) {
	for _, r := range w.Records(w.t)[n:] {
		if r.Operation == op.String() {
			out = append(out, r)
		}
	}
	return out
}

type reader = kv.Reader

func (w *world) view(f func(r reader) error) error { return w.DB.View(w.t.Context(), f) }

// reviewer is somebody who may approve.
func (w *world) reviewer() caller.Caller {
	w.t.Helper()
	if w.bob.Name == "" {
		w.bob, _ = w.User(w.t, "bob-the-reviewer", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`)
	}
	return w.bob
}

// approve gives a change the vote that it waits for.
func (w *world) approve(id string) {
	w.t.Helper()
	d, err := w.vote(id)
	w.ok(err)
	if d.Record.Status != change.Applied {
		w.t.Fatalf("%+v", d.Record)
	}
}

func (w *world) vote(id string) (change.Decision, error) {
	w.t.Helper()
	r, err := w.Changes.Get(w.t.Context(), w.Admin, id)
	w.ok(err)
	digest, err := hex.DecodeString(r.Digest)
	w.ok(err)
	return w.Changes.Vote(w.t.Context(), w.reviewer(), change.VoteRequest{ID: id, Approve: true, Digest: digest})
}

func TestAliases(t *testing.T) {
	w := newWorld(t)
	m := w.mount(mount.AppRole, "approle")
	w.User(t, "ann", "")
	a, err := w.Logins.LinkAlias(t.Context(), w.Admin, m.Accessor, "subject-1", "ann")
	w.ok(err)
	if a.ID != login.AliasID(coretest.Home, m.Accessor, "subject-1") || !a.Made || a.Status != change.Applied {
		t.Errorf("%+v", a)
	}
	w.User(t, "bob", "")
	_, err = w.Logins.LinkAlias(t.Context(), w.Admin, m.Accessor, "subject-1", "bob")
	w.want(err, login.CodeAlias)
	_, err = w.Logins.LinkAlias(t.Context(), w.Admin, "auth_approle_00000000", "subject-1", "bob")
	w.want(err, login.CodeMount)
	_, err = w.Logins.LinkAlias(t.Context(), w.Admin, m.Accessor, "subject\n1", "bob")
	w.want(err, "invalid/name")
	_, err = w.Logins.LinkAlias(t.Context(), w.Admin, m.Accessor, "subject-2", "carl")
	w.want(err, "not-found")
	list, err := w.Logins.AliasesOf(t.Context(), coretest.Home, "ann")
	w.ok(err)
	if len(list) != 1 || list[0].Name != "subject-1" {
		t.Errorf("%+v", list)
	}
	w.done(w.Logins.UnlinkAlias(t.Context(), w.Admin, a.ID))
	w.done(w.Logins.UnlinkAlias(t.Context(), w.Admin, a.ID))
	list, err = w.Logins.AliasesOf(t.Context(), coretest.Home, "ann")
	w.ok(err)
	if len(list) != 0 {
		t.Errorf("%+v", list)
	}
	who, _ := w.User(t, "nobody", "")
	_, err = w.Logins.LinkAlias(t.Context(), who, m.Accessor, "subject-3", "nobody")
	if !errs.Is(err, errs.Denied) {
		t.Errorf("linked: %v", err)
	}
}

// TestPrincipalNames holds that names of principals are names, and that two
// aliases never get one.
func TestPrincipalNames(t *testing.T) {
	long := strings.Repeat("x", 300)
	seen := map[string]bool{}
	for _, label := range []string{"ci", "repo:org/app:ref:refs/heads/main", "repo:org/app:ref:refs/heads-main", "repo-org-app-ref-refs-heads-main", long, long + "y", "", "ü"} {
		for attempt := range 3 {
			n := login.PrincipalName("jwt", label, "auth_jwt_1", label, attempt)
			if attempt == 0 && seen[n] {
				t.Errorf("%q gets %s again", label, n)
			}
			seen[n] = true
			if len(n) > 64 || !strings.HasPrefix(n, "jwt.") || strings.ContainsAny(n, "/: ü") {
				t.Errorf("%q is named %s", label, n)
			}
		}
	}
	if n := login.PrincipalName("approle", "ci", "auth_approle_1", "some-id", 0); n != "approle.ci" {
		t.Error(n)
	}
}

// TestMountIsWhereRolesAre holds that roles move with their mount, and that one
// which is mounted anew begins empty, also after what was left is swept.
func TestMountIsWhereRolesAre(t *testing.T) {
	w := newWorld(t)
	m := w.mount(mount.AppRole, "approle")
	other := w.mount(mount.AppRole, "other")
	for _, at := range []*mount.Mount{m, other} {
		w.done(w.Logins.PutRole(t.Context(), w.Admin, at, "ci", nil))
	}
	id, sid := w.secretID(m, "ci")
	_, err := w.enter(m, id, sid)
	w.ok(err)
	w.done(w.Mounts.Move(t.Context(), w.Admin, "auth/approle", "auth/moved"))
	moved := w.mounted("moved")
	in, err := w.enter(moved, id, sid)
	w.ok(err)
	w.done(w.Logins.PatchRole(t.Context(), w.Admin, moved, "ci", login.Patch{"token_type": "batch"}))
	batch, err := w.enter(moved, id, sid)
	w.ok(err)
	alive := func(i login.Entered) bool {
		_, err := w.Tokens.Authenticate(t.Context(), string(i.Token.Reveal()), time.Now(), w.nobody().Source)
		return err == nil
	}
	if !alive(in) || !alive(batch) {
		t.Error("the tokens of a method that is mounted are not valid")
	}
	w.done(w.Mounts.Disable(t.Context(), w.Admin, "auth/moved"))
	if alive(in) || alive(batch) {
		t.Error("the tokens of a method are valid when it is disabled")
	}
	_, err = w.Logins.PutRole(t.Context(), w.Admin, moved, "late", nil)
	w.want(err, login.CodeMount)
	anew := w.mount(mount.AppRole, "moved")
	_, err = w.Logins.GetRole(t.Context(), w.Admin, anew, "ci")
	w.want(err, login.CodeRole)
	_, err = w.enter(anew, id, sid)
	w.want(err, login.CodeRefused)
	for range 100 {
		w.secretID(other, "ci")
	}
	w.ok(w.Logins.Sweep(t.Context()))
	for k := range w.Dump(t) {
		if strings.Contains(k, m.Accessor) && !strings.Contains(k, "change") {
			t.Errorf("%q is left", k)
		}
	}
	list, err := w.Logins.ListSecretIDs(t.Context(), w.Admin, other, "ci", "", 0)
	w.ok(err)
	if len(list) != 100 {
		t.Errorf("%d secret ids of another mount", len(list))
	}
	w.done(w.Mounts.Disable(t.Context(), w.Admin, "auth/other"))
	w.ok(w.Logins.Sweep(t.Context()))
	for k := range w.Dump(t) {
		if strings.Contains(k, other.Accessor) && !strings.Contains(k, "change") {
			t.Errorf("%q is left", k)
		}
	}
}

// loopback is where the issuers of tests are.
var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// granted are the policies that a login granted.
func granted(t login.Entered) []string { return t.TokenPolicies }
