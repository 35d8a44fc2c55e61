package client

import (
	"context"
	"encoding/json"
	"time"

	"countersign/internal/errs"
	"countersign/internal/sensitive"
)

// Session is a signed-in session that gives the tokens of requests. It is safe
// for concurrent use.
type Session interface {
	// Token is the access token to send.
	Token(ctx context.Context) (sensitive.Bytes, error)
	// Renew gives another one for a token that the server does not take any
	// more.
	Renew(ctx context.Context, stale sensitive.Bytes) (sensitive.Bytes, error)
}

// expired is the server's code for an access token whose time is over.
const expired = "session-expired"

// isExpired reports whether a request can be repeated with a renewed token.
func isExpired(err error) bool {
	e, ok := err.(*Error)
	return ok && e.Kind == errs.Unauthenticated && e.Code == expired
}

// Tokens are what a client holds of a session.
type Tokens struct {
	Account, User, Session string
	Access                 sensitive.Bytes
	ExpiresIn              time.Duration // of the access token, when the answer was made
	Refresh                sensitive.Bytes
	RefreshExpires         time.Time
	Device                 sensitive.Bytes // to be shown at the next login from here; empty when the one shown was known
	NeedMFA                bool            // the session may only set up or show a second factor
}

// UnmarshalJSON takes the tokens out of the text at once.
func (t *Tokens) UnmarshalJSON(b []byte) error {
	var v struct {
		Account        string    `json:"account"`
		User           string    `json:"user"`
		Session        string    `json:"session"`
		Access         string    `json:"access_token"`
		ExpiresIn      int64     `json:"expires_in"`
		Refresh        string    `json:"refresh_token"`
		RefreshExpires time.Time `json:"refresh_expires"`
		Device         string    `json:"device"`
		NeedMFA        bool      `json:"mfa_needed"`
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	*t = Tokens{Account: v.Account, User: v.User, Session: v.Session, Access: sensitive.FromString(v.Access),
		ExpiresIn: time.Duration(v.ExpiresIn) * time.Second, Refresh: sensitive.FromString(v.Refresh),
		RefreshExpires: v.RefreshExpires, Device: sensitive.FromString(v.Device), NeedMFA: v.NeedMFA}
	return nil
}

// LoginRequest signs a user in by a password.
type LoginRequest struct {
	Account  string // default the server's home account
	User     string
	Password sensitive.Bytes
	Code     sensitive.Bytes // of the authenticator, or a recovery code
	Device   sensitive.Bytes // token of an earlier login from here
}

// Codes of refused logins.
const (
	CodeNeedCode = "totp-required" // the password is right; ask for a code and repeat
)

// Login signs in.
func (c *Client) Login(ctx context.Context, r LoginRequest) (Tokens, error) {
	body := map[string]string{"user": r.User, "password": string(r.Password.Reveal())}
	for name, v := range map[string]string{"account": r.Account, "code": string(r.Code.Reveal()), "device": string(r.Device.Reveal())} {
		if v != "" {
			body[name] = v
		}
	}
	var out Tokens
	return out, c.call(ctx, request{method: "POST", path: "/login", body: body}, &out)
}

// RefreshSession gives the next tokens for a refresh token, which is used up.
func (c *Client) RefreshSession(ctx context.Context, refresh sensitive.Bytes) (Tokens, error) {
	var out Tokens
	return out, c.call(ctx, request{method: "POST", path: "/login/refresh", body: map[string]string{"refresh_token": string(refresh.Reveal())}}, &out)
}

// AcceptInvitation sets a first password. The device token is to be shown at the
// first login.
func (c *Client) AcceptInvitation(ctx context.Context, account, user string, invitation, password sensitive.Bytes) (device sensitive.Bytes, err error) {
	body := map[string]string{"user": user, "invitation": string(invitation.Reveal()), "password": string(password.Reveal())}
	if account != "" {
		body["account"] = account
	}
	var v struct {
		Device string `json:"device"`
	}
	err = c.call(ctx, request{method: "POST", path: "/login/invitation", body: body}, &v)
	return sensitive.FromString(v.Device), err
}

// Logout ends the session.
func (c *Client) Logout(ctx context.Context) error {
	return c.call(ctx, request{method: "POST", path: "/logout"}, nil)
}

// ChangePassword replaces one's own password and ends the other sessions.
func (c *Client) ChangePassword(ctx context.Context, old, fresh sensitive.Bytes) error {
	return c.call(ctx, request{method: "PUT", path: "/password", body: map[string]string{"old": string(old.Reveal()), "new": string(fresh.Reveal())}}, nil)
}

// SessionInfo is a session as it is shown.
type SessionInfo struct {
	ID      string    `json:"id"`
	User    string    `json:"user"`
	Created time.Time `json:"created"`
	Used    time.Time `json:"used"`
	Expires time.Time `json:"expires"`
	MFA     time.Time `json:"mfa,omitzero"`
	Method  string    `json:"method"`
	Source  string    `json:"source,omitempty"`
	Agent   string    `json:"agent,omitempty"`
	Current bool      `json:"current,omitempty"`
}

// ListSessions lists the sessions of a user, one's own when none is named.
func (c *Client) ListSessions(ctx context.Context, user string) ([]SessionInfo, error) {
	var out Page[SessionInfo]
	err := c.call(ctx, request{method: "GET", path: "/sessions", query: q("user", user)}, &out)
	return out.Items, err
}

// RevokeSessions ends one session, or without an id all but the one that asks,
// of a user, by default oneself.
func (c *Client) RevokeSessions(ctx context.Context, user, id string) error {
	return c.call(ctx, request{method: "DELETE", path: "/sessions", query: q("user", user, "id", id)}, nil)
}

// Invitation lets a user set a password, once.
type Invitation struct {
	User    string
	Token   sensitive.Bytes
	Expires time.Time
}

// UnmarshalJSON takes the invitation out of the text at once.
func (i *Invitation) UnmarshalJSON(b []byte) error {
	var v struct {
		User       string    `json:"user"`
		Invitation string    `json:"invitation"`
		Expires    time.Time `json:"expires"`
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	*i = Invitation{v.User, sensitive.FromString(v.Invitation), v.Expires}
	return nil
}

// InviteUser makes an invitation; reset ends the password and the sessions that
// are there.
func (c *Client) InviteUser(ctx context.Context, user string, reset bool) (Invitation, error) {
	var out Invitation
	return out, c.call(ctx, request{method: "POST", path: "/users/" + segment(user) + "/invitation", body: map[string]bool{"reset": reset}}, &out)
}

// Enrolment is a secret for an authenticator.
type Enrolment struct{ Secret, URI sensitive.Bytes }

// EnrolTOTP begins to set up an authenticator.
func (c *Client) EnrolTOTP(ctx context.Context) (Enrolment, error) {
	var v struct {
		Secret string `json:"secret"`
		URI    string `json:"uri"`
	}
	err := c.call(ctx, request{method: "POST", path: "/totp"}, &v)
	return Enrolment{sensitive.FromString(v.Secret), sensitive.FromString(v.URI)}, err
}

// ConfirmTOTP shows a code. The first one of an authenticator gives recovery
// codes.
func (c *Client) ConfirmTOTP(ctx context.Context, code sensitive.Bytes) (recovery []sensitive.Bytes, err error) {
	var v struct {
		Codes []string `json:"recovery_codes"`
	}
	err = c.call(ctx, request{method: "POST", path: "/totp/confirm", body: map[string]string{"code": string(code.Reveal())}}, &v)
	for _, s := range v.Codes {
		recovery = append(recovery, sensitive.FromString(s))
	}
	return recovery, err
}

// DisableTOTP forgets an authenticator: one's own by a code, or another user's.
func (c *Client) DisableTOTP(ctx context.Context, user string, code sensitive.Bytes) error {
	r := request{method: "DELETE", path: "/totp", query: q("user", user)}
	if code.Len() > 0 {
		r.body = map[string]string{"code": string(code.Reveal())}
	}
	return c.call(ctx, r, nil)
}

// SignInSettings are what an account asks of who signs in.
type SignInSettings struct {
	MFARequired bool `json:"mfa_required"`
}

// GetSignInSettings shows them.
func (c *Client) GetSignInSettings(ctx context.Context) (SignInSettings, error) {
	var out SignInSettings
	return out, c.call(ctx, request{method: "GET", path: "/sign-in/settings"}, &out)
}

// PutSignInSettings replaces them.
func (c *Client) PutSignInSettings(ctx context.Context, s SignInSettings) error {
	return c.call(ctx, request{method: "PUT", path: "/sign-in/settings", body: s}, nil)
}

// As is a client of the same server that asks as a session.
func (c *Client) As(s Session) *Client {
	out := *c
	out.token, out.session = sensitive.Bytes{}, s
	return &out
}
