package signin_test

import (
	"encoding/base32"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pquerna/otp/totp"

	"countersign/internal/core/signin"
)

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
