package login_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pquerna/otp/totp"

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

const passphrase = "tall giraffes drink slowly"

func (w *world) userpass(m *mount.Mount, user, password, totp string) error {
	_, err := w.Logins.LoginUserpass(w.t.Context(), w.nobody(), m, login.UserpassLogin{User: user, Password: secret(password), Code: totp})
	return err
}

func (w *world) sessionOf(user, password string) (caller.Caller, error) {
	tk, err := w.SignIn.Login(w.t.Context(), w.nobody(), signin.LoginRequest{Account: coretest.Home, User: user, Password: secret(password)})
	if err != nil {
		return caller.Caller{}, err
	}
	who, _, err := w.SignIn.AuthenticateLimited(w.t.Context(), tk.Access, time.Now())
	return coretest.Circumstances(who), err
}

func TestUserpass(t *testing.T) {
	w := newWorld(t)
	m := w.mount(mount.Userpass, "userpass")
	put := func(name, password string, terms login.Patch) error {
		_, err := w.Logins.PutLoginUser(t.Context(), w.Admin, m, login.LoginUser{Name: name, Password: secret(password), Terms: terms})
		return err
	}
	w.want(put("ann", "short", nil), signin.CodeWeak)
	w.want(put("ann", "", login.Patch{"token_ttl": time.Hour}), login.CodeRole) // a user is made with a password only
	w.want(put("a/b", passphrase, nil), "invalid/username")
	w.ok(put("ann", passphrase, login.Patch{"policies": []string{"dev"}, "token_ttl": time.Hour}))
	n := len(w.Records(t))
	w.ok(w.userpass(m, "ann", passphrase, ""))
	recs := w.since(n, policy.Login)
	if len(recs) != 1 || recs[0].Outcome != audit.OK || recs[0].Principal.Name != "ann" || recs[0].Principal.Kind != "user" || recs[0].Resource != "userpass/ann" {
		t.Errorf("%+v", recs)
	}
	_, err := w.sessionOf("ann", passphrase) // one user, at every door
	w.ok(err)
	got, err := w.Logins.GetLoginUser(t.Context(), w.Admin, m, "ann")
	w.ok(err)
	if got["token_ttl"] != time.Hour || !slices.Equal(got["token_policies"].([]string), []string{"dev"}) {
		t.Errorf("%v", got)
	}
	// Any user with a password logs in, on the default terms.
	w.done(w.Authn.CreateUser(t.Context(), w.Admin, authn.CreateUserRequest{Name: "bob"}))
	inv, err := w.SignIn.InviteUser(t.Context(), w.Admin, signin.InviteRequest{User: "bob"})
	w.ok(err)
	_, err = w.SignIn.AcceptInvitation(t.Context(), w.nobody(), signin.AcceptRequest{User: "bob", Invitation: inv.Token, Password: secret("bobs own password")})
	w.ok(err)
	w.ok(w.userpass(m, "bob", "bobs own password", ""))
	list, err := w.Logins.ListLoginUsers(t.Context(), w.Admin, m, "", 0)
	w.ok(err)
	if !slices.Equal(list, []string{"ann", "bob"}) {
		t.Error(list)
	}
	w.want(w.userpass(m, "ann", "wrong", ""), login.CodeRefused)
	w.want(w.userpass(m, "nobody", "wrong", ""), login.CodeRefused)
	w.want(w.userpass(m, "a/b", "wrong", ""), login.CodeRefused)
	w.want(w.userpass(m, "ann", "", ""), "invalid/password")
	// A new password ends the one before, and its sessions.
	tk, err := w.SignIn.Login(t.Context(), w.nobody(), signin.LoginRequest{User: "ann", Password: secret(passphrase)})
	w.ok(err)
	w.ok(put("ann", "another long password", nil))
	_, err = w.SignIn.Authenticate(t.Context(), tk.Access, time.Now())
	w.want(err, signin.CodeBadSession)
	w.want(w.userpass(m, "ann", passphrase, ""), login.CodeRefused)
	w.ok(w.userpass(m, "ann", "another long password", ""))
	w.done(w.Logins.DeleteLoginUser(t.Context(), w.Admin, m, "ann"))
	w.done(w.Logins.DeleteLoginUser(t.Context(), w.Admin, m, "ann"))
	w.done(w.Logins.DeleteLoginUser(t.Context(), w.Admin, m, "nobody"))
	w.want(w.userpass(m, "ann", "another long password", ""), login.CodeRefused)
	if _, err := w.Authn.GetUser(t.Context(), w.Admin, "ann"); err != nil {
		t.Errorf("the user is gone: %v", err)
	}
	_, err = w.Logins.GetLoginUser(t.Context(), w.Admin, m, "ann")
	w.want(err, login.CodeRole)
	w.ok(put("ann", passphrase, nil))
	if got, err = w.Logins.GetLoginUser(t.Context(), w.Admin, m, "ann"); err != nil || len(got["token_policies"].([]string)) != 0 {
		t.Errorf("the terms came back: %v, %v", got, err)
	}
}

// TestTermsAreAUsers holds that a user does not inherit an earlier one's terms.
func TestTermsAreAUsers(t *testing.T) {
	w := newWorld(t)
	m := w.mount(mount.Userpass, "userpass")
	user := login.LoginUser{Name: "ann", Password: secret(passphrase), Terms: login.Patch{"token_policies": []string{"admin"}}}
	w.done(w.Logins.PutLoginUser(t.Context(), w.Admin, m, user))
	w.done(w.Authn.DeleteUser(t.Context(), w.Admin, "ann"))
	user.Terms = nil
	w.done(w.Logins.PutLoginUser(t.Context(), w.Admin, m, user))
	got, err := w.Logins.GetLoginUser(t.Context(), w.Admin, m, "ann")
	w.ok(err)
	if len(got["token_policies"].([]string)) != 0 {
		t.Errorf("%v", got)
	}
	out, err := w.Logins.LoginUserpass(t.Context(), w.nobody(), m, login.UserpassLogin{User: "ann", Password: secret(passphrase)})
	w.ok(err)
	if slices.Contains(granted(out), "admin") {
		t.Errorf("%v", granted(out))
	}
	w.done(w.Logins.PutLoginUser(t.Context(), w.Admin, m, login.LoginUser{Name: "ann", Terms: login.Patch{"token_ttl": time.Minute}}))
	if got, err = w.Logins.GetLoginUser(t.Context(), w.Admin, m, "ann"); err != nil || len(got["token_policies"].([]string)) != 0 {
		t.Errorf("%v, %v", got, err)
	}
}

// TestUserpassCodes holds that a password alone is not enough for who has an
// authenticator, nor where the account asks for one.
func TestUserpassCodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m := w.mount(mount.Userpass, "userpass")
		w.done(w.Logins.PutLoginUser(t.Context(), w.Admin, m, login.LoginUser{Name: "ann", Password: secret(passphrase)}))
		w.done(w.Logins.PutLoginUser(t.Context(), w.Admin, m, login.LoginUser{Name: "bob", Password: secret(passphrase)}))
		who, err := w.sessionOf("ann", passphrase)
		w.ok(err)
		enrolled, err := w.SignIn.EnrolTOTP(t.Context(), who)
		w.ok(err)
		now := func() string {
			c, err := totp.GenerateCode(string(enrolled.Secret.Reveal()), time.Now())
			w.ok(err)
			return c
		}
		_, err = w.SignIn.ConfirmTOTP(t.Context(), who, now())
		w.ok(err)
		time.Sleep(time.Minute)
		err = w.userpass(m, "ann", passphrase, "")
		w.want(err, login.CodeRefused)
		if !strings.Contains(errs.As(err).Msg, "authenticator") {
			t.Error(err)
		}
		w.want(w.userpass(m, "ann", passphrase, "000000"), login.CodeRefused)
		w.ok(w.userpass(m, "ann", passphrase, now()))
		w.want(w.userpass(m, "ann", passphrase, now()), login.CodeRefused) // it was used
		w.ok(w.userpass(m, "bob", passphrase, ""))
		w.ok(w.SignIn.PutSettings(t.Context(), w.Admin, signin.Settings{MFARequired: true}))
		w.want(w.userpass(m, "bob", passphrase, ""), login.CodeRefused)
		time.Sleep(time.Minute)
		w.ok(w.userpass(m, "ann", passphrase, now()))
	})
}

// TestUserpassGuessing holds that guesses count against the name as they do when
// signing in.
func TestUserpassGuessing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m := w.mount(mount.Userpass, "userpass")
		w.done(w.Logins.PutLoginUser(t.Context(), w.Admin, m, login.LoginUser{Name: "ann", Password: secret(passphrase)}))
		guess := func(user string) (out []string) {
			for range 8 {
				out = append(out, code(w.userpass(m, user, "a guess", "")))
			}
			return out
		}
		known, unknown := guess("ann"), guess("nobody")
		if !slices.Equal(known, unknown) || known[5] != login.CodeRefused || known[7] != signin.CodeWait {
			t.Errorf("known %q, unknown %q", known, unknown)
		}
		w.want(w.userpass(m, "ann", passphrase, ""), signin.CodeWait)
		if _, err := w.sessionOf("ann", passphrase); code(err) != signin.CodeWait {
			t.Errorf("signing in: %v", err)
		}
		time.Sleep(15 * time.Minute)
		w.ok(w.userpass(m, "ann", passphrase, ""))
		w.ok(w.userpass(m, "ann", passphrase, ""))
	})
}

// TestUserpassReview holds that a rule over users keeps an administrator from
// giving somebody a password, and one over login roles from changing terms.
func TestUserpassReview(t *testing.T) {
	w := newWorld(t)
	m := w.mount(mount.Userpass, "userpass")
	w.done(w.Logins.PutLoginUser(t.Context(), w.Admin, m, login.LoginUser{Name: "ann", Password: secret(passphrase)}))
	w.reviewer()
	stranger, _ := w.User(t, "stranger", "")
	w.done(w.Changes.PutRules(t.Context(), w.Admin, change.RuleChange{Set: &protect.Rule{Name: "people", Match: []string{"user:*", "login-role:userpass/*"}, Approvals: []protect.Approval{{Count: 1}}}}, "", change.Options{}))
	_, err := w.Logins.PutLoginUser(t.Context(), w.Admin, m, login.LoginUser{Name: "ann", Password: secret("another long password")})
	w.want(err, change.CodeCannotWait)
	_, err = w.Logins.DeleteLoginUser(t.Context(), w.Admin, m, "ann")
	w.want(err, change.CodeCannotWait)
	_, err = w.Logins.LinkAlias(t.Context(), w.Admin, m.Accessor, "x", "ann")
	w.want(err, "invalid/name")
	res, err := w.Logins.PutLoginUser(t.Context(), w.Admin, m, login.LoginUser{Name: "ann", Terms: login.Patch{"token_policies": []string{"admin"}}})
	w.ok(err)
	if res.Status != change.Pending {
		t.Errorf("%+v", res)
	}
	w.ok(w.userpass(m, "ann", passphrase, "")) // while it waits
	w.approve(res.ID)
	if got, err := w.Logins.GetLoginUser(t.Context(), w.Admin, m, "ann"); err != nil || !slices.Equal(got["token_policies"].([]string), []string{"admin"}) {
		t.Errorf("%v, %v", got, err)
	}
	for _, u := range []string{"ann", "nobody"} {
		_, err := w.Logins.PutLoginUser(t.Context(), stranger, m, login.LoginUser{Name: u, Password: secret("x")})
		if !errs.Is(err, errs.Denied) || !strings.Contains(errs.As(err).Msg, "UpdateLoginProfile") {
			t.Errorf("%s: %v", u, err)
		}
	}
	_, err = w.Logins.PutLoginUser(t.Context(), w.Admin, m, login.LoginUser{Name: "machine-1", Password: secret("x")})
	w.want(err, signin.CodeWeak)
}
