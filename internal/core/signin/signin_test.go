package signin_test

import (
	"context"
	"encoding/base32"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pquerna/otp/totp"

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

// authenticator makes codes of a secret.
func authenticator(t *testing.T, e signin.Enrolment) func(time.Time) string {
	t.Helper()
	if _, err := base32.StdEncoding.DecodeString(string(e.Secret.Reveal())); err != nil || !strings.HasPrefix(string(e.URI.Reveal()), "otpauth://totp/Countersign:ann@") {
		t.Fatalf("%v, %s", err, e.URI.Reveal())
	}
	return func(at time.Time) string {
		c, err := totp.GenerateCode(string(e.Secret.Reveal()), at)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
}

func TestTOTP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.member("ann")
		tk := w.enter("ann")
		who := w.as(tk)
		_, err := w.SignIn.ConfirmTOTP(t.Context(), who, "123456")
		w.want(err, "precondition")
		e, err := w.SignIn.EnrolTOTP(t.Context(), who)
		w.ok(err)
		codeAt := authenticator(t, e)
		w.enter("ann") // nothing counts before it is confirmed
		_, err = w.SignIn.ConfirmTOTP(t.Context(), who, codeAt(time.Now().Add(time.Hour)))
		w.want(err, "invalid")
		used := codeAt(time.Now())
		recovery, err := w.SignIn.ConfirmTOTP(t.Context(), who, used)
		w.ok(err)
		if len(recovery) != 10 || w.as(tk).MFA.IsZero() {
			t.Errorf("%d recovery codes, mfa %v", len(recovery), w.as(tk).MFA)
		}
		login := func(c string) string {
			time.Sleep(20 * time.Minute) // fake time: no waiting for guesses
			_, err := w.login(signin.LoginRequest{User: "ann", Password: text(passphrase), Code: c})
			return code(err)
		}
		at := func(d time.Duration) string { return codeAt(time.Now().Add(20*time.Minute + d)) }
		if got := login(""); got != signin.CodeNeedCode {
			t.Errorf("no code: %s", got)
		}
		if got := login(at(0)); got != "" {
			t.Errorf("a good code: %s", got)
		}
		for what, d := range map[string]time.Duration{"two steps late": -time.Minute, "two steps early": time.Minute} {
			if got := login(at(d)); got != signin.CodeBadCredentials {
				t.Errorf("%s: %s", what, got)
			}
		}
		for what, d := range map[string]time.Duration{"one step late": -30 * time.Second, "one step early": 30 * time.Second} {
			if got := login(at(d)); got != "" {
				t.Errorf("%s: %s", what, got)
			}
		}
		now := codeAt(time.Now().Add(time.Hour))
		time.Sleep(time.Hour)
		_, err = w.login(signin.LoginRequest{User: "ann", Password: text(passphrase), Code: now})
		w.ok(err)
		_, err = w.login(signin.LoginRequest{User: "ann", Password: text(passphrase), Code: now})
		w.want(err, signin.CodeBadCredentials)
		r := string(recovery[3].Reveal())
		if got := login(strings.ToUpper(r)); got != "" {
			t.Errorf("a recovery code: %s", got)
		}
		if got := login(r); got != signin.CodeBadCredentials {
			t.Errorf("a recovery code used twice: %s", got)
		}
		_, err = w.login(signin.LoginRequest{User: "ann", Password: text("wrong password"), Code: codeAt(time.Now())})
		w.want(err, signin.CodeBadCredentials)

		time.Sleep(time.Minute)
		in, err := w.login(signin.LoginRequest{User: "ann", Password: text(passphrase), Code: codeAt(time.Now())})
		w.ok(err)
		who = w.as(in)
		if !who.MFA.Equal(time.Now()) {
			t.Errorf("mfa at %v, now %v", who.MFA, time.Now())
		}
		_, err = w.SignIn.EnrolTOTP(t.Context(), who)
		w.want(err, "precondition")
		time.Sleep(time.Minute)
		_, err = w.SignIn.ConfirmTOTP(t.Context(), who, codeAt(time.Now()))
		w.ok(err)
		if m := w.as(in).MFA; !m.Equal(time.Now()) {
			t.Errorf("mfa at %v after another code", m)
		}
		w.want(w.SignIn.DisableTOTP(t.Context(), who, signin.DisableRequest{Code: "000000"}), "invalid")
		w.want(w.SignIn.DisableTOTP(t.Context(), who, signin.DisableRequest{}), "invalid")
		bob, _ := w.User(t, "bob", "")
		w.want(w.SignIn.DisableTOTP(t.Context(), bob, signin.DisableRequest{User: "ann"}), "no-match")
		w.ok(w.SignIn.DisableTOTP(t.Context(), who, signin.DisableRequest{Code: string(recovery[0].Reveal())}))
		if got := login(""); got != "" {
			t.Errorf("after disabling: %s", got)
		}
	})
}

func TestRequiredMFA(t *testing.T) {
	w := newWorld(t)
	w.member("ann")
	open := w.enter("ann")
	bob, _ := w.User(t, "bob", "")
	w.want(w.SignIn.PutSettings(t.Context(), bob, signin.Settings{MFARequired: true}), "no-match")
	w.ok(w.SignIn.PutSettings(t.Context(), w.Admin, signin.Settings{MFARequired: true}))
	if s, err := w.SignIn.GetSettings(t.Context(), w.Admin); err != nil || !s.MFARequired {
		t.Errorf("%+v, %v", s, err)
	}
	_, err := w.SignIn.Authenticate(t.Context(), open.Access, time.Now())
	w.want(err, signin.CodeNeedMFA)
	tk := w.enter("ann")
	if !tk.NeedMFA {
		t.Error("the login does not tell")
	}
	who := w.as(tk)
	e, err := w.SignIn.EnrolTOTP(t.Context(), who)
	w.ok(err)
	_, err = w.SignIn.ConfirmTOTP(t.Context(), who, authenticator(t, e)(time.Now()))
	w.ok(err)
	if !w.alive(tk) || w.alive(open) {
		t.Error("the second factor of one session counts for another, or not for its own")
	}
}

func TestGuessing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.member("ann")
		home := w.enter("ann").Device
		if home.Len() == 0 {
			t.Fatal("no device token")
		}
		guess := func(user string) (answers []string) {
			for range 8 {
				_, err := w.login(signin.LoginRequest{User: user, Password: text("a guess")})
				answers = append(answers, code(err))
			}
			return answers
		}
		known, unknown := guess("ann"), guess("nobody")
		if !slices.Equal(known, unknown) || known[5] != signin.CodeBadCredentials || known[6] != signin.CodeWait || known[7] != signin.CodeWait {
			t.Errorf("known %q, unknown %q", known, unknown)
		}
		_, err := w.login(signin.LoginRequest{User: "ann", Password: text(passphrase)})
		w.want(err, signin.CodeWait)
		tk, err := w.login(signin.LoginRequest{User: "ann", Password: text(passphrase), Device: home})
		w.ok(err)
		if tk.Device.Len() != 0 {
			t.Error("a known device gets another token")
		}
		w.enter("ann") // a success forgets the guesses
		// One who guesses from one address does not take another's turn.
		guess("ann")
		person := w.nobody()
		person.Source = netip.MustParseAddr("10.0.0.9")
		_, err = w.SignIn.Login(t.Context(), person, signin.LoginRequest{User: "ann", Password: text(passphrase)})
		w.ok(err)
		// Somebody who goes on as fast as allowed.
		tries := 0
		for start := time.Now(); time.Since(start) < 24*time.Hour; time.Sleep(30 * time.Second) {
			if _, err := w.login(signin.LoginRequest{User: "ann", Password: text("a guess")}); code(err) == signin.CodeBadCredentials {
				tries++
			}
		}
		if tries < 180 || tries > 220 {
			t.Errorf("%d guesses in a day", tries)
		}
		_, err = w.login(signin.LoginRequest{User: "ann", Password: text(passphrase), Device: home})
		w.ok(err) // and the person still signs in
		for range 20 {
			_, _ = w.login(signin.LoginRequest{User: "ann", Password: text("a guess")})
		}
		time.Sleep(15 * time.Minute)
		w.enter("ann") // nobody has to unlock it
		// A device token that was stolen is no way around for long.
		for range 10 {
			_, err = w.login(signin.LoginRequest{User: "ann", Password: text("a guess"), Device: home})
			w.want(err, signin.CodeBadCredentials)
		}
		guess("ann")
		_, err = w.login(signin.LoginRequest{User: "ann", Password: text(passphrase), Device: home})
		w.want(err, signin.CodeWait)
	})
}

func TestGuessesAtOnce(t *testing.T) {
	w := newWorld(t)
	w.member("ann")
	var wg sync.WaitGroup
	var mu sync.Mutex
	got := map[string]int{}
	for range 30 {
		wg.Go(func() {
			_, err := w.login(signin.LoginRequest{User: "ann", Password: text("a guess")})
			mu.Lock()
			defer mu.Unlock()
			got[code(err)]++
		})
	}
	wg.Wait()
	if got[signin.CodeBadCredentials] > 7 || got[signin.CodeBadCredentials]+got[signin.CodeWait] != 30 {
		t.Errorf("%v", got)
	}
}

func TestSourcesAreLimited(t *testing.T) {
	w := newWorld(t)
	s := signin.New(signin.Config{Gate: w.Gate, Changes: w.Changes, Vault: w.Ring, Home: coretest.Home, Burst: 3, Every: time.Hour,
		Params: signin.Params{Memory: 64, Time: 1, Threads: 1}})
	for i := range 5 {
		_, err := s.Login(t.Context(), w.nobody(), signin.LoginRequest{User: "nobody" + strings.Repeat("x", i), Password: text("a guess")})
		if want := map[bool]string{true: signin.CodeBadCredentials, false: signin.CodeWait}[i < 3]; code(err) != want {
			t.Errorf("attempt %d: %v", i, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Login(ctx, w.nobody(), signin.LoginRequest{User: "nobody"})
	w.want(err, signin.CodeWait)
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
