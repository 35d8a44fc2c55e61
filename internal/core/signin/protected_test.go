package signin_test

import (
	"testing"

	"countersign/internal/core/authn"
	"countersign/internal/core/change"
	"countersign/internal/core/protect"
	"countersign/internal/core/signin"
)

// TestSigningInIsNotHeld holds that a rule over users does not keep anybody from
// signing in, or from ending a session, which cannot wait; and that it does keep
// an administrator from taking over what somebody signs in with.
func TestSigningInIsNotHeld(t *testing.T) {
	w := newWorld(t)
	w.member("ann")
	w.User(t, "new", "")
	w.done(w.Changes.PutRules(t.Context(), w.Admin, change.RuleChange{Set: &protect.Rule{Name: "people", Match: []string{"user:*"},
		Approvals: []protect.Approval{{Count: 1}}}}, "", change.Options{}))
	tk := w.enter("ann")
	tk, err := w.SignIn.Refresh(t.Context(), w.nobody(), tk.Refresh)
	w.ok(err)
	w.ok(w.SignIn.ChangePassword(t.Context(), w.as(tk), text(passphrase), text("another long one")))
	w.ok(w.SignIn.ChangePassword(t.Context(), w.as(tk), text("another long one"), text(passphrase)))
	_, err = w.SignIn.EnrolTOTP(t.Context(), w.as(tk))
	w.ok(err)
	w.ok(w.SignIn.Logout(t.Context(), w.as(tk)))
	other := w.enter("ann")
	w.ok(w.SignIn.RevokeSessions(t.Context(), w.Admin, signin.RevokeRequest{User: "ann"}))
	if w.alive(tk) || w.alive(other) {
		t.Error("sessions live on")
	}
	_, err = w.SignIn.InviteUser(t.Context(), w.Admin, signin.InviteRequest{User: "ann"})
	w.want(err, change.CodeCannotWait)
	w.want(w.SignIn.LinkUser(t.Context(), w.Admin, "ann", "subject"), change.CodeCannotWait)
}

// TestPersonOfASession holds that who signs in is known to be the same person as
// with an access key.
func TestPersonOfASession(t *testing.T) {
	w := newWorld(t)
	w.member("ann")
	_, err := w.Authn.UpdateUser(t.Context(), w.Admin, authn.UpdateUserRequest{Name: "ann", Person: new("Ann@Example.com")})
	w.ok(err)
	if got := w.as(w.enter("ann")).Person; got != "ann@example.com" {
		t.Errorf("the session is of %q", got)
	}
}
