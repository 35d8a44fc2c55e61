package native

import (
	"context"
	"encoding/json"
	"time"

	"countersign/internal/core/policy"
	"countersign/internal/core/signin"
	"countersign/internal/sensitive"
)

// told is secret text that an answer is there to tell, once.
type told struct{ sensitive.Bytes }

// MarshalJSON writes the text itself.
func (t told) MarshalJSON() ([]byte, error) { return json.Marshal(string(t.Reveal())) }

type loginBody struct {
	Account  string `json:"account"`
	User     string `json:"user"`
	Password hidden `json:"password"`
	Code     hidden `json:"code"`
	Device   hidden `json:"device"`
}

type refreshBody struct {
	Refresh hidden `json:"refresh_token"`
}

type acceptBody struct {
	Account    string `json:"account"`
	User       string `json:"user"`
	Invitation hidden `json:"invitation"`
	Password   hidden `json:"password"`
}

// acceptedView is the token by which the client is known at its first login.
type acceptedView struct {
	Device told `json:"device"`
}

// tokensView are the tokens of a session.
type tokensView struct {
	Account        string    `json:"account"`
	User           string    `json:"user"`
	Session        string    `json:"session"`
	Access         told      `json:"access_token"`
	ExpiresIn      int64     `json:"expires_in"`
	Refresh        told      `json:"refresh_token"`
	RefreshExpires time.Time `json:"refresh_expires"`
	Device         *told     `json:"device,omitempty"`
	NeedMFA        bool      `json:"mfa_needed,omitempty"`
}

func viewTokens(t signin.Tokens, err error) (tokensView, error) {
	if err != nil {
		return tokensView{}, err
	}
	v := tokensView{Account: t.Account, User: t.User, Session: t.Session, Access: told{t.Access}, Refresh: told{t.Refresh},
		ExpiresIn: int64(time.Until(t.AccessExpires) / time.Second), RefreshExpires: t.RefreshExpires, NeedMFA: t.NeedMFA}
	if t.Device.Len() > 0 {
		v.Device = &told{t.Device}
	}
	return v, nil
}

type inviteBody struct {
	Reset bool `json:"reset"`
}

type invitationView struct {
	User       string    `json:"user"`
	Invitation told      `json:"invitation"`
	Expires    time.Time `json:"expires"`
}

type changePasswordBody struct {
	Old hidden `json:"old"`
	New hidden `json:"new"`
}

type totpBody struct {
	Code hidden `json:"code"`
}

func (b totpBody) text() string { return string(b.Code.Reveal()) }

type enrolmentView struct {
	Secret told `json:"secret"`
	URI    told `json:"uri"`
}

type recoveryView struct {
	Codes []told `json:"recovery_codes,omitempty"`
}

// signInRows are how people sign in. What a row of this file takes without a
// caller is limited and recorded by the core.
func signInRows() []route {
	return []route{
		row(route{method: "POST", path: "/login", op: policy.Login, deadline: deadline, open: true},
			func(a *api, c *call, in *loginBody) func(context.Context) (tokensView, error) {
				return func(ctx context.Context) (tokensView, error) {
					return viewTokens(a.SignIn.Login(ctx, c.who, signin.LoginRequest{Account: in.Account, User: in.User,
						Password: in.Password.Bytes, Code: string(in.Code.Reveal()), Device: in.Device.Bytes}))
				}
			}),
		row(route{method: "POST", path: "/login/refresh", op: policy.RefreshSession, deadline: deadline, open: true},
			func(a *api, c *call, in *refreshBody) func(context.Context) (tokensView, error) {
				return func(ctx context.Context) (tokensView, error) {
					return viewTokens(a.SignIn.Refresh(ctx, c.who, in.Refresh.Bytes))
				}
			}),
		row(route{method: "POST", path: "/login/invitation", op: policy.AcceptInvitation, deadline: deadline, open: true},
			func(a *api, c *call, in *acceptBody) func(context.Context) (acceptedView, error) {
				return func(ctx context.Context) (acceptedView, error) {
					device, err := a.SignIn.AcceptInvitation(ctx, c.who, signin.AcceptRequest{Account: in.Account, User: in.User,
						Invitation: in.Invitation.Bytes, Password: in.Password.Bytes})
					return acceptedView{told{device}}, err
				}
			}),
		row(route{method: "POST", path: "/logout", op: policy.Logout, deadline: deadline, limited: true},
			func(a *api, c *call, _ *none) func(context.Context) (none, error) {
				return func(ctx context.Context) (none, error) { return none{}, a.SignIn.Logout(ctx, c.who) }
			}),
		row(route{method: "PUT", path: "/password", op: policy.ChangePassword, deadline: deadline},
			func(a *api, c *call, in *changePasswordBody) func(context.Context) (none, error) {
				return func(ctx context.Context) (none, error) {
					return none{}, a.SignIn.ChangePassword(ctx, c.who, in.Old.Bytes, in.New.Bytes)
				}
			}),
		row(route{method: "POST", path: "/users/{name}/invitation", op: policy.InviteUser, deadline: deadline, mayLack: true},
			func(a *api, c *call, in *inviteBody) func(context.Context) (invitationView, error) {
				return func(ctx context.Context) (invitationView, error) {
					out, err := a.SignIn.InviteUser(ctx, c.who, signin.InviteRequest{User: c.vars[0], Reset: in.Reset})
					return invitationView{User: out.User, Invitation: told{out.Token}, Expires: out.Expires}, err
				}
			}),
		row(route{method: "GET", path: "/sign-in/settings", op: policy.GetSignInSettings, deadline: deadline},
			func(a *api, c *call, _ *none) func(context.Context) (signin.Settings, error) {
				return func(ctx context.Context) (signin.Settings, error) { return a.SignIn.GetSettings(ctx, c.who) }
			}),
		row(route{method: "PUT", path: "/sign-in/settings", op: policy.PutSignInSettings, deadline: deadline},
			func(a *api, c *call, in *signin.Settings) func(context.Context) (signin.Settings, error) {
				return func(ctx context.Context) (signin.Settings, error) {
					return *in, a.SignIn.PutSettings(ctx, c.who, *in)
				}
			}),
	}
}

// sessionRows are what a signed-in user does with sessions and the second
// factor.
func sessionRows() []route {
	user := param{name: "user", kind: text}
	return []route{
		row(route{method: "GET", path: "/sessions", op: policy.ListSessions, deadline: deadline, params: []param{user}},
			func(a *api, c *call, _ *none) func(context.Context) (list[signin.Session], error) {
				of := c.string("user")
				return func(ctx context.Context) (list[signin.Session], error) {
					out, err := a.SignIn.ListSessions(ctx, c.who, of)
					return listOf(out, ""), err
				}
			}),
		row(route{method: "DELETE", path: "/sessions", op: policy.RevokeSession, deadline: deadline, params: []param{user, {name: "id", kind: text}}},
			func(a *api, c *call, _ *none) func(context.Context) (none, error) {
				req := signin.RevokeRequest{User: c.string("user"), ID: c.string("id")}
				return func(ctx context.Context) (none, error) { return none{}, a.SignIn.RevokeSessions(ctx, c.who, req) }
			}),
		row(route{method: "POST", path: "/totp", op: policy.EnrolTOTP, deadline: deadline, limited: true},
			func(a *api, c *call, _ *none) func(context.Context) (enrolmentView, error) {
				return func(ctx context.Context) (enrolmentView, error) {
					out, err := a.SignIn.EnrolTOTP(ctx, c.who)
					return enrolmentView{told{out.Secret}, told{out.URI}}, err
				}
			}),
		row(route{method: "POST", path: "/totp/confirm", op: policy.ConfirmTOTP, deadline: deadline, limited: true},
			func(a *api, c *call, in *totpBody) func(context.Context) (recoveryView, error) {
				return func(ctx context.Context) (out recoveryView, err error) {
					codes, err := a.SignIn.ConfirmTOTP(ctx, c.who, in.text())
					for _, code := range codes {
						out.Codes = append(out.Codes, told{code})
					}
					return out, err
				}
			}),
		row(route{method: "DELETE", path: "/totp", op: policy.DisableTOTP, deadline: deadline, mayLack: true, params: []param{user}},
			func(a *api, c *call, in *totpBody) func(context.Context) (none, error) {
				req := signin.DisableRequest{User: c.string("user"), Code: in.text()}
				return func(ctx context.Context) (none, error) { return none{}, a.SignIn.DisableTOTP(ctx, c.who, req) }
			}),
	}
}
