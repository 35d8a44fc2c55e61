package signin_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/caller"
	"countersign/internal/core/audit"
	"countersign/internal/core/authn"
	"countersign/internal/core/change"
	"countersign/internal/core/coretest"
	"countersign/internal/core/signin"
	"countersign/internal/errs"
	"countersign/internal/sensitive"
)

const passphrase = "tall giraffes drink slowly"

func text(s string) sensitive.Bytes { return sensitive.FromString(s) }

// world is a core with somebody who signs in.
type world struct {
	*coretest.Core
	t *testing.T
}

func newWorld(t *testing.T) *world { return &world{coretest.New(t, coretest.Config{}), t} }

func (w *world) nobody() caller.Caller {
	return coretest.Circumstances(caller.Caller{})
}

// member makes a user with a password.
func (w *world) member(n string) {
	w.t.Helper()
	w.User(w.t, n, "")
	inv, err := w.SignIn.InviteUser(w.t.Context(), w.Admin, signin.InviteRequest{User: n})
	w.ok(err)
	_, err = w.SignIn.AcceptInvitation(w.t.Context(), w.nobody(), signin.AcceptRequest{User: n, Invitation: inv.Token, Password: text(passphrase)})
	w.ok(err)
}

// done is ok for a write that tells what became of it.
func (w *world) done(_ change.Result, err error) { w.t.Helper(); w.ok(err) }

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) login(req signin.LoginRequest) (signin.Tokens, error) {
	return w.SignIn.Login(w.t.Context(), w.nobody(), req)
}

// enter signs in, which must succeed.
func (w *world) enter(n string) signin.Tokens {
	w.t.Helper()
	t, err := w.login(signin.LoginRequest{User: n, Password: text(passphrase)})
	w.ok(err)
	return t
}

// as is the caller that an access token proves.
func (w *world) as(tk signin.Tokens) caller.Caller {
	w.t.Helper()
	who, _, err := w.SignIn.AuthenticateLimited(w.t.Context(), tk.Access, time.Now())
	w.ok(err)
	proof := who.Proof
	who = coretest.Circumstances(who)
	who.Proof = proof
	return who
}

func (w *world) alive(tk signin.Tokens) bool {
	_, err := w.SignIn.Authenticate(w.t.Context(), tk.Access, time.Now())
	return err == nil
}

// code is what an error is, "" for none.
func code(err error) string {
	e := errs.As(err)
	if e == nil {
		return ""
	}
	if e.Code != "" {
		return e.Code
	}
	return e.Kind.String()
}

func (w *world) want(err error, c string) {
	w.t.Helper()
	if code(err) != c {
		w.t.Errorf("got %v (%s), want %s", err, code(err), c)
	}
}

func TestSignIn(t *testing.T) {
	w := newWorld(t)
	w.member("ann")
	tk := w.enter("ann")
	who := w.as(tk)
	if who.Name != "ann" || who.Kind != caller.User || who.Account != coretest.Home || who.Proof != caller.ProofSession || who.Session != tk.Session || !who.MFA.IsZero() {
		t.Errorf("got %+v", who)
	}
	list, err := w.SignIn.ListSessions(t.Context(), who, "")
	if err != nil || len(list) != 1 || !list[0].Current || list[0].Method != "password" || list[0].Source != "127.0.0.1" {
		t.Errorf("sessions %+v, %v", list, err)
	}
	w.ok(w.SignIn.Logout(t.Context(), who))
	if w.alive(tk) {
		t.Error("a session is alive after logging out")
	}
	_, err = w.SignIn.Refresh(t.Context(), w.nobody(), tk.Refresh)
	w.want(err, signin.CodeBadSession)
	recs := w.Records(t)
	var ops []string
	for _, r := range recs {
		if r.Operation == "Login" || r.Operation == "AcceptInvitation" || r.Operation == "Logout" {
			if r.Operation == "Logout" && r.Principal.KeyID != tk.Session {
				t.Errorf("the session is not in the record: %+v", r)
			}
			ops = append(ops, r.Operation+" "+r.Principal.Name+" "+r.Principal.Proof+" "+string(r.Outcome))
		}
	}
	if want := []string{"AcceptInvitation ann invitation ok", "Login ann password ok", "Logout ann session ok"}; !slices.Equal(ops, want) {
		t.Errorf("records %q", ops)
	}
}

func TestWrongAnswersAreAlike(t *testing.T) {
	w := newWorld(t)
	w.member("ann")
	w.User(t, "nopassword", "")
	w.member("gone")
	_, err := w.Authn.UpdateUser(t.Context(), w.Admin, authn.UpdateUserRequest{Name: "gone", Disabled: new(true)})
	w.ok(err)
	hashes := signin.CountHashes(w.SignIn)
	first := ""
	for _, x := range []struct{ account, user, password string }{
		{"", "ann", "not the password"}, {"", "nobody", passphrase}, {"", "nopassword", passphrase}, {"", "gone", passphrase},
		{coretest.Other, "ann", passphrase}, {"", "admin", ""}, {"", "ann", strings.Repeat("x", 2000)},
	} {
		before := hashes()
		_, err := w.login(signin.LoginRequest{Account: x.account, User: x.user, Password: text(x.password)})
		w.want(err, signin.CodeBadCredentials)
		if first == "" {
			first = err.Error()
		}
		if n := hashes() - before; n != 1 || err.Error() != first {
			t.Errorf("%s: %d hashes, %v", x.user, n, err)
		}
	}
	for _, r := range w.Records(t) {
		if r.Operation == "Login" && (r.Outcome != audit.Denied || r.Principal.Name != "" || r.Resource == "") {
			t.Errorf("recorded as %+v", r)
		}
	}
}

func TestBadNamesAreNotRecorded(t *testing.T) {
	w := newWorld(t)
	_, err := w.login(signin.LoginRequest{User: "my password by mistake", Password: text("x")})
	w.want(err, "invalid")
	recs := w.Records(t)
	if last := recs[len(recs)-1]; last.Operation != "Login" || last.Resource != "" || last.Outcome != audit.Refused {
		t.Errorf("recorded as %+v", last)
	}
}

func TestInvitation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.User(t, "ann", "")
		inv, err := w.SignIn.InviteUser(t.Context(), w.Admin, signin.InviteRequest{User: "ann"})
		w.ok(err)
		accept := func(user string, token sensitive.Bytes, password string) string {
			_, err := w.SignIn.AcceptInvitation(t.Context(), w.nobody(), signin.AcceptRequest{User: user, Invitation: token, Password: text(password)})
			return code(err)
		}
		for _, x := range []struct {
			user, token, password, want string
		}{
			{"ann", "csi_none", passphrase, signin.CodeBadInvitation},
			{"admin", string(inv.Token.Reveal()), passphrase, signin.CodeBadInvitation},
			{"none", string(inv.Token.Reveal()), passphrase, signin.CodeBadInvitation},
			{"ann", string(inv.Token.Reveal()), "short", signin.CodeWeak},
			{"ann", "", passphrase, signin.CodeBadInvitation},
		} {
			if got := accept(x.user, text(x.token), x.password); got != x.want {
				t.Errorf("%+v: got %s", x, got)
			}
		}
		if got := accept("ann", inv.Token, passphrase); got != "" {
			t.Fatal(got)
		}
		if got := accept("ann", inv.Token, passphrase); got != signin.CodeBadInvitation {
			t.Errorf("used twice: %s", got)
		}
		// Another one is a reset, which ends what was.
		tk := w.enter("ann")
		_, err = w.SignIn.InviteUser(t.Context(), w.Admin, signin.InviteRequest{User: "ann"})
		w.want(err, signin.CodeHasPassword)
		inv, err = w.SignIn.InviteUser(t.Context(), w.Admin, signin.InviteRequest{User: "ann", Reset: true})
		w.ok(err)
		if w.alive(tk) {
			t.Error("a session outlives a reset")
		}
		_, err = w.login(signin.LoginRequest{User: "ann", Password: text(passphrase)})
		w.want(err, signin.CodeBadCredentials)
		time.Sleep(signin.InvitationLasts) // fake time
		if got := accept("ann", inv.Token, passphrase); got != signin.CodeBadInvitation {
			t.Errorf("after its time: %s", got)
		}
		_, err = w.Authn.CreateUser(t.Context(), w.Admin, authn.CreateUserRequest{Name: "robot", Machine: true})
		w.ok(err)
		_, err = w.SignIn.InviteUser(t.Context(), w.Admin, signin.InviteRequest{User: "robot"})
		w.want(err, "precondition")
		bob, _ := w.User(t, "bob", "")
		_, err = w.SignIn.InviteUser(t.Context(), bob, signin.InviteRequest{User: "admin"})
		w.want(err, "no-match")
	})
}

func TestRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.member("ann")
		one := w.enter("ann")
		refresh := func(tk signin.Tokens) (signin.Tokens, error) {
			return w.SignIn.Refresh(t.Context(), w.nobody(), tk.Refresh)
		}
		time.Sleep(signin.AccessLasts) // fake time
		_, err := w.SignIn.Authenticate(t.Context(), one.Access, time.Now())
		w.want(err, signin.CodeExpired)
		two, err := refresh(one)
		w.ok(err)
		if !w.alive(two) || w.alive(one) {
			t.Error("the wrong tokens are alive")
		}
		time.Sleep(9 * time.Second)
		again, err := refresh(one) // the answer was lost
		w.ok(err)
		if !again.Access.Equal(two.Access) || !again.Refresh.Equal(two.Refresh) {
			t.Error("a retry gives other tokens")
		}
		three, err := refresh(two)
		w.ok(err)
		if !w.alive(two) {
			t.Error("the token before ends while requests with it are under way")
		}
		time.Sleep(2 * time.Minute)
		if w.alive(two) || !w.alive(three) {
			t.Error("the token before lives on")
		}
		// A stranger who knows the id alone cannot end the session.
		_, err = w.SignIn.Refresh(t.Context(), w.nobody(), text("csr_"+strings.Repeat("A", 86)))
		w.want(err, signin.CodeBadSession)
		if !w.alive(three) {
			t.Error("a stranger ended the session")
		}
		_, err = refresh(one)
		w.want(err, signin.CodeBadSession)
		if w.alive(three) {
			t.Error("a session whose token was copied lives on")
		}
		four := w.enter("ann")
		time.Sleep(signin.IdleLasts)
		_, err = refresh(four)
		w.want(err, signin.CodeBadSession)
		five := w.enter("ann")
		for start := time.Now(); time.Since(start) < signin.SessionLasts-signin.IdleLasts; {
			time.Sleep(signin.IdleLasts - time.Minute)
			five, err = refresh(five)
			w.ok(err)
		}
		time.Sleep(signin.IdleLasts - time.Minute)
		_, err = refresh(five)
		w.want(err, signin.CodeBadSession)
	})
}

func TestSessionsEndAtOnce(t *testing.T) {
	w := newWorld(t)
	w.member("ann")
	for what, end := range map[string]func(ann caller.Caller) error{
		"revoked": func(ann caller.Caller) error {
			return w.SignIn.RevokeSessions(t.Context(), w.Admin, signin.RevokeRequest{User: "ann"})
		},
		"revoked-by-id": func(ann caller.Caller) error {
			return w.SignIn.RevokeSessions(t.Context(), ann, signin.RevokeRequest{ID: ann.Session})
		},
		"disabled": func(ann caller.Caller) error {
			_, err := w.Authn.UpdateUser(t.Context(), w.Admin, authn.UpdateUserRequest{Name: "ann", Disabled: new(true)})
			return err
		},
	} {
		tk := w.enter("ann")
		w.ok(end(w.as(tk)))
		_, err := w.SignIn.Refresh(t.Context(), w.nobody(), tk.Refresh)
		if w.alive(tk) || code(err) != signin.CodeBadSession {
			t.Errorf("%s: it lives on: %v", what, err)
		}
		_, err = w.Authn.UpdateUser(t.Context(), w.Admin, authn.UpdateUserRequest{Name: "ann", Disabled: new(false)})
		w.ok(err)
		w.ok(w.SignIn.RevokeSessions(t.Context(), w.Admin, signin.RevokeRequest{User: "ann"}))
	}
	// What belonged to a user is not that of a later one of the same name.
	tk := w.enter("ann")
	w.done(w.Authn.DeleteUser(t.Context(), w.Admin, "ann"))
	if w.alive(tk) {
		t.Error("the session of a deleted user is alive")
	}
	_, err := w.Authn.CreateUser(t.Context(), w.Admin, authn.CreateUserRequest{Name: "ann"})
	w.ok(err)
	_, err = w.login(signin.LoginRequest{User: "ann", Password: text(passphrase), Device: tk.Device})
	if code(err) != signin.CodeBadCredentials || w.alive(tk) {
		t.Errorf("a later user has the password or session of the first: %v", err)
	}
}

func TestOthersSessions(t *testing.T) {
	w := newWorld(t)
	w.member("ann")
	w.member("bob")
	ann, bob := w.enter("ann"), w.as(w.enter("bob"))
	_, err := w.SignIn.ListSessions(t.Context(), bob, "ann")
	w.want(err, "no-match")
	w.want(w.SignIn.RevokeSessions(t.Context(), bob, signin.RevokeRequest{User: "ann"}), "no-match")
	w.want(w.SignIn.RevokeSessions(t.Context(), bob, signin.RevokeRequest{ID: ann.Session}), "not-found")
	stranger, _ := w.Stranger(t)
	w.want(w.SignIn.RevokeSessions(t.Context(), stranger, signin.RevokeRequest{ID: ann.Session}), "not-found")
	if !w.alive(ann) {
		t.Error("somebody else ended the session")
	}
	list, err := w.SignIn.ListSessions(t.Context(), w.Admin, "ann")
	if err != nil || len(list) != 1 || list[0].Current {
		t.Errorf("%+v, %v", list, err)
	}
	for range signin.MaxSessions {
		w.enter("bob")
	}
	if list, err = w.SignIn.ListSessions(t.Context(), w.Admin, "bob"); err != nil || len(list) != signin.MaxSessions {
		t.Errorf("%d sessions, %v", len(list), err)
	}
	if _, err := w.SignIn.Authenticate(t.Context(), text("css_"), time.Now()); code(err) != signin.CodeBadSession {
		t.Error(err)
	}
}

func TestADenialHolds(t *testing.T) {
	w := newWorld(t)
	w.member("ann")
	_, err := w.Authn.PutPolicy(t.Context(), w.Admin, "stay-out", `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"countersign:Login","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"127.0.0.1"}}}]}`, "")
	w.ok(err)
	w.done(w.Authn.Attach(t.Context(), w.Admin, authn.Attachment{Policy: "stay-out", User: "ann"}))
	_, err = w.login(signin.LoginRequest{User: "ann", Password: text(passphrase)})
	w.want(err, "explicit-deny")
}

func TestChangePassword(t *testing.T) {
	w := newWorld(t)
	w.member("ann")
	here, there := w.enter("ann"), w.enter("ann")
	who := w.as(here)
	w.want(w.SignIn.ChangePassword(t.Context(), who, text("wrong"), text("another long one")), "invalid")
	w.want(w.SignIn.ChangePassword(t.Context(), who, text(passphrase), text("short")), signin.CodeWeak)
	w.ok(w.SignIn.ChangePassword(t.Context(), who, text(passphrase), text("another long one")))
	if !w.alive(here) || w.alive(there) {
		t.Error("the wrong sessions ended")
	}
	_, err := w.login(signin.LoginRequest{User: "ann", Password: text(passphrase)})
	w.want(err, signin.CodeBadCredentials)
	_, err = w.login(signin.LoginRequest{User: "ann", Password: text("another long one")})
	w.ok(err)
	// Somebody at a session that was left open cannot try for long.
	for range 5 {
		w.want(w.SignIn.ChangePassword(t.Context(), who, text("wrong"), text(passphrase)), "invalid")
	}
	w.want(w.SignIn.ChangePassword(t.Context(), who, text("another long one"), text(passphrase)), signin.CodeBadSession)
	if w.alive(here) {
		t.Error("the session lives on")
	}
	w.want(w.SignIn.ChangePassword(t.Context(), w.Admin, text("x"), text(passphrase)), "precondition")
	// An access key may be narrower than its owner, so it has to be allowed.
	bob, _ := w.User(t, "bob", "")
	w.want(w.SignIn.ChangePassword(t.Context(), bob, text("x"), text(passphrase)), "no-match")
	_, err = w.SignIn.EnrolTOTP(t.Context(), bob)
	w.want(err, "no-match")
	_, err = w.SignIn.ConfirmTOTP(t.Context(), bob, "123456")
	w.want(err, "no-match")
	w.want(w.SignIn.DisableTOTP(t.Context(), bob, signin.DisableRequest{}), "no-match")
}

func TestCheckPassword(t *testing.T) {
	for p, good := range map[string]bool{
		passphrase: true, "elevenchars": false, "twelve chars": true, "ééééééééééé": false, "éàéàüöéàüöñç": true,
		strings.Repeat("ab", 20): false, strings.Repeat("long ", 300): false, strings.Repeat("y", 1025): false,
		"Password1234": false, "Passwordpassword!": false, "annabel12345!": false, "Annabelannabel": false,
		"annabel likes soup": true, "correct horse battery staple": false, "123456789012": false, "\xff\xfe3456789012": false,
		"qwertyuiop12": false,
	} {
		if err := signin.CheckPassword("annabel", text(p)); (err == nil) != good {
			t.Errorf("%q: %v", p, err)
		}
	}
}

func TestSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for i := range 60 { // more than one transaction
			w.member("user" + strconv.Itoa(i))
			w.enter("user" + strconv.Itoa(i))
		}
		w.member("gone")
		w.enter("gone")
		w.ok(w.SignIn.PutProvider(t.Context(), w.Admin, signin.Provider{Issuer: "https://idp.example", ClientID: "c"}, text("")))
		w.ok(w.SignIn.LinkUser(t.Context(), w.Admin, "gone", "s"))
		w.ok(w.SignIn.LinkUser(t.Context(), w.Admin, "user1", "t"))
		_, err := w.login(signin.LoginRequest{User: "nobody", Password: text("a guess")})
		w.want(err, signin.CodeBadCredentials)
		kinds := func() map[string]int {
			n := map[string]int{}
			for k := range w.Dump(t) {
				if parts := strings.SplitN(k, "\x00\x01", 3); len(parts) > 1 {
					n[parts[1]]++
				}
			}
			return n
		}
		before := kinds()
		w.ok(w.SignIn.Sweep(t.Context()))
		if diff := cmp.Diff(before, kinds()); diff != "" {
			t.Errorf("what is in use was swept: %s", diff)
		}
		time.Sleep(time.Second)
		w.done(w.Authn.DeleteUser(t.Context(), w.Admin, "gone"))
		w.ok(w.SignIn.Sweep(t.Context()))
		after := kinds()
		for kind, fewer := range map[string]int{"session": 1, "session-of": 1, "login": 1, "signin-device": 2, "identity": 1, "identity-of": 1, "signin-attempts": 0} {
			if before[kind]-after[kind] != fewer {
				t.Errorf("of a deleted user: %s %d, before %d", kind, after[kind], before[kind])
			}
		}
		time.Sleep(25 * time.Hour) // fake time
		w.ok(w.SignIn.Sweep(t.Context()))
		if after = kinds(); after["session"]+after["session-of"]+after["signin-attempts"] != 0 || after["login"] != 60 || after["identity"] != 1 {
			t.Errorf("after a day: %v", after)
		}
	})
}
