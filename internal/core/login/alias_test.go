package login_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/core/authn"
	"countersign/internal/core/coretest"
	"countersign/internal/core/generation"
	"countersign/internal/core/login"
	"countersign/internal/core/mount"
	"countersign/internal/core/policy"
)

// names is what templates have to say of a principal, and the generation in which
// that is so.
func (w *world) names(principal string) (out map[string]policy.Alias, g uint64) {
	w.t.Helper()
	w.ok(w.view(func(r reader) (err error) {
		if g, err = generation.Get(r, coretest.Home); err == nil {
			out, err = login.ForPolicy(r, coretest.Home, principal)
		}
		return err
	}))
	return out, g
}

// TestNamesForTemplates holds that what templates say of a principal never changes
// without the generation.
func TestNamesForTemplates(t *testing.T) {
	w := newWorld(t)
	m := w.mount(mount.AppRole, "approle")
	w.done(w.Logins.PutRole(t.Context(), w.Admin, m, "ci", nil))
	id, _ := w.secretID(m, "ci")
	w.User(t, "ann", "")
	is, g := w.names("ann")
	if len(is) > 0 {
		t.Fatalf("%v", is)
	}
	linked := func(meta map[string]string) map[string]policy.Alias {
		return map[string]policy.Alias{m.Accessor: {ID: login.AliasID(coretest.Home, m.Accessor, id), Name: id, Metadata: meta}}
	}
	enter := func(meta map[string]string) func() {
		return func() {
			made, err := w.Logins.CreateSecretID(t.Context(), w.Admin, m, login.SecretIDRequest{Role: "ci", Meta: meta})
			w.ok(err)
			_, g = w.names("ann")
			_, err = w.enter(m, id, string(made.Secret.Reveal()))
			w.ok(err)
		}
	}
	for _, x := range []struct {
		what string
		do   func()
		want map[string]policy.Alias
		same bool // and so is the generation
	}{
		{"linked", func() { w.done(w.Logins.LinkAlias(t.Context(), w.Admin, m.Accessor, id, "ann")) }, linked(nil), false},
		{"linked again", func() { w.done(w.Logins.LinkAlias(t.Context(), w.Admin, m.Accessor, id, "ann")) }, linked(nil), true},
		{"login", enter(map[string]string{"team": "red"}), linked(map[string]string{"role_name": "ci", "team": "red"}), false},
		{"the same login", enter(map[string]string{"team": "red"}), linked(map[string]string{"role_name": "ci", "team": "red"}), true},
		{"another login", enter(nil), linked(map[string]string{"role_name": "ci"}), false},
		{"unlinked", func() {
			w.done(w.Logins.UnlinkAlias(t.Context(), w.Admin, login.AliasID(coretest.Home, m.Accessor, id)))
		}, nil, false},
		{"linked anew", func() { w.done(w.Logins.LinkAlias(t.Context(), w.Admin, m.Accessor, id, "ann")) }, linked(nil), false},
		{"moved", func() { w.done(w.Mounts.Move(t.Context(), w.Admin, "auth/approle", "auth/moved")) }, linked(nil), false},
		{"disabled", func() { w.done(w.Mounts.Disable(t.Context(), w.Admin, "auth/moved")) }, nil, false},
		{"swept", func() { w.ok(w.Logins.Sweep(t.Context())) }, nil, false},
	} {
		x.do()
		is, now := w.names("ann")
		if diff := cmp.Diff(x.want, is); diff != "" {
			t.Errorf("%s: %s", x.what, diff)
		}
		if (now == g) != x.same {
			t.Errorf("%s: generation %d after %d", x.what, now, g)
		}
		g = now
	}
}

// TestAliasOfUserpass holds that a login with a password links the user by its own
// name, and that logins which come at once all get in.
func TestAliasOfUserpass(t *testing.T) {
	w := newWorld(t)
	m := w.mount(mount.Userpass, "userpass")
	w.done(w.Logins.PutLoginUser(t.Context(), w.Admin, m, login.LoginUser{Name: "ann", Password: secret(passphrase)}))
	for i := range 10 { // as often as it takes for two to meet
		n := fmt.Sprint("user-", i)
		w.done(w.Logins.PutLoginUser(t.Context(), w.Admin, m, login.LoginUser{Name: n, Password: secret(passphrase)}))
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				if err := w.userpass(m, n, passphrase, ""); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
	w.ok(w.userpass(m, "ann", passphrase, ""))
	id := login.AliasID(coretest.Home, m.Accessor, "ann")
	want := map[string]policy.Alias{m.Accessor: {ID: id, Name: "ann", Metadata: map[string]string{"username": "ann"}}}
	if is, _ := w.names("ann"); !cmp.Equal(want, is) {
		t.Errorf("%v", is)
	}
	in, err := w.Logins.LoginUserpass(t.Context(), w.nobody(), m, login.UserpassLogin{User: "ann", Password: secret(passphrase)})
	w.ok(err)
	valid := func() bool {
		_, err := w.Tokens.Authenticate(t.Context(), string(in.Token.Reveal()), time.Now(), w.nobody().Source)
		return err == nil
	}
	if !valid() {
		t.Fatal("the token is not valid")
	}
	w.done(w.Logins.UnlinkAlias(t.Context(), w.Admin, id))
	if valid() {
		t.Error("the token is valid after the alias was unlinked")
	}
	w.ok(w.userpass(m, "ann", passphrase, ""))
	w.done(w.Authn.DeleteUser(t.Context(), w.Admin, "ann"))
	w.done(w.Logins.PutLoginUser(t.Context(), w.Admin, m, login.LoginUser{Name: "ann", Password: secret(passphrase)}))
	if is, _ := w.names("ann"); len(is) > 0 {
		t.Errorf("%v of the one before", is)
	}
	w.ok(w.userpass(m, "ann", passphrase, ""))
	if is, _ := w.names("ann"); len(is) != 1 {
		t.Errorf("%v", is)
	}
	w.done(w.Authn.CreateUser(t.Context(), w.Admin, authn.CreateUserRequest{Name: "robot", Machine: true}))
	for _, who := range []string{"robot", "ann"} {
		_, err = w.Logins.LinkAlias(t.Context(), w.Admin, m.Accessor, "robot", who)
		w.want(err, "invalid/name")
	}
}

// TestSweepOfGonePrincipals removes what is left of aliases, and no others.
func TestSweepOfGonePrincipals(t *testing.T) {
	w := newWorld(t)
	m := w.mount(mount.AppRole, "approle")
	for i := range 40 {
		n := fmt.Sprintf("robot-%02d", i)
		w.done(w.Authn.CreateUser(t.Context(), w.Admin, authn.CreateUserRequest{Name: n, Machine: true}))
		w.done(w.Logins.LinkAlias(t.Context(), w.Admin, m.Accessor, "alias-"+n, n))
		if i > 0 {
			w.done(w.Authn.DeleteUser(t.Context(), w.Admin, n))
		}
		if i == 1 { // somebody of the same name
			w.done(w.Authn.CreateUser(t.Context(), w.Admin, authn.CreateUserRequest{Name: n, Machine: true}))
			w.done(w.Logins.LinkAlias(t.Context(), w.Admin, m.Accessor, "another", n))
		}
	}
	list, err := w.Logins.ListAliases(t.Context(), w.Admin, 0)
	w.ok(err)
	if len(list) != 2 || list[0].Name != "alias-robot-00" || list[1].Name != "another" {
		t.Errorf("%+v", list)
	}
	w.ok(w.Logins.Sweep(t.Context()))
	left := 0
	for k := range w.Dump(t) {
		if strings.Contains(k, "\x00\x01login-alias") {
			left++
		}
	}
	if left != 2*3 {
		t.Errorf("%d records are left", left)
	}
}
