package vault

import (
	"context"

	"countersign/internal/core/login"
	"countersign/internal/core/policy"
	"countersign/internal/sensitive"
)

// jwtRows are the login method of who shows a signed token, or comes back from an
// identity provider.
func jwtRows() []row {
	return append(append(roleRows("role"), methodRows()...),
		row{methods: "POST", path: "login", op: policy.Login, open: true, takes: "role jwt", do: loginJWT},
		row{methods: "POST", path: "oidc/auth_url", op: policy.BeginOIDCLogin, open: true, do: oidcAuthURL},
		row{methods: "GET", path: "oidc/callback", op: policy.Login, open: true, do: oidcCallback})
}

func loginJWT(ctx context.Context, c *call) (*answer, error) {
	req := login.JWTLogin{Role: c.text("role"), JWT: c.text("jwt")}
	if c.err != nil {
		return nil, nil
	}
	return c.loggedIn(c.f.Logins.LoginJWT(ctx, c.who, c.mount, req))
}

func oidcAuthURL(ctx context.Context, c *call) (*answer, error) {
	req := login.AuthURLRequest{Role: c.text("role"), Redirect: c.text("redirect_uri"), ClientNonce: c.text("client_nonce")}
	if c.err != nil {
		return nil, nil
	}
	at, err := c.f.Logins.AuthURL(ctx, c.who, c.mount, req)
	if err != nil {
		return nil, err
	}
	return ok(map[string]string{"auth_url": at}), nil
}

func oidcCallback(ctx context.Context, c *call) (*answer, error) {
	req := login.CallbackRequest{State: c.text("state"), Code: sensitive.FromString(c.text("code")), ClientNonce: c.text("client_nonce")}
	if c.err != nil {
		return nil, nil
	}
	return c.loggedIn(c.f.Logins.OIDCCallback(ctx, c.who, c.mount, req))
}
