package client

import (
	"context"

	"countersign/internal/sensitive"
)

// IdentityProvider is an account's identity provider.
type IdentityProvider struct {
	Issuer      string            `json:"issuer"`
	ClientID    string            `json:"client_id"`
	HasSecret   bool              `json:"has_secret"` // in answers
	Scopes      []string          `json:"scopes,omitempty"`
	NameClaim   string            `json:"name_claim,omitempty"`
	Domains     []string          `json:"domains,omitempty"`
	Claims      map[string]string `json:"claims,omitempty"`
	MFA         []string          `json:"mfa,omitempty"`
	LinkByEmail bool              `json:"link_by_email"`
	AutoCreate  bool              `json:"auto_create"`
}

// GetIdentityProvider shows it, without its client secret.
func (c *Client) GetIdentityProvider(ctx context.Context) (IdentityProvider, error) {
	var out IdentityProvider
	return out, c.call(ctx, request{method: "GET", path: "/identity-provider"}, &out)
}

// PutIdentityProvider sets it. An empty secret leaves the one that is there.
func (c *Client) PutIdentityProvider(ctx context.Context, p IdentityProvider, secret sensitive.Bytes) error {
	body := map[string]any{"issuer": p.Issuer, "client_id": p.ClientID, "link_by_email": p.LinkByEmail, "auto_create": p.AutoCreate}
	for name, list := range map[string][]string{"scopes": p.Scopes, "domains": p.Domains, "mfa": p.MFA} {
		if len(list) > 0 {
			body[name] = list
		}
	}
	if len(p.Claims) > 0 {
		body["claims"] = p.Claims
	}
	for name, text := range map[string]string{"name_claim": p.NameClaim, "client_secret": string(secret.Reveal())} {
		if text != "" {
			body[name] = text
		}
	}
	return c.call(ctx, request{method: "PUT", path: "/identity-provider", body: body}, nil)
}

// DeleteIdentityProvider forgets it.
func (c *Client) DeleteIdentityProvider(ctx context.Context) error {
	return c.call(ctx, request{method: "DELETE", path: "/identity-provider"}, nil)
}

// LinkUser lets an identity of the provider sign in as a user.
func (c *Client) LinkUser(ctx context.Context, user, subject string) error {
	return c.call(ctx, request{method: "PUT", path: "/users/" + segment(user) + "/identity", body: map[string]string{"subject": subject}}, nil)
}

// UnlinkUser ends that.
func (c *Client) UnlinkUser(ctx context.Context, user string) error {
	return c.call(ctx, request{method: "DELETE", path: "/users/" + segment(user) + "/identity"}, nil)
}

// OIDCLogin is a login by the identity provider under way.
type OIDCLogin struct {
	URL   string `json:"authorize_url"` // where the browser goes
	State string `json:"state"`
}

// BeginOIDC begins one. challenge is the SHA-256 of the verifier, in base64url.
func (c *Client) BeginOIDC(ctx context.Context, account, redirect, challenge string) (OIDCLogin, error) {
	body := map[string]string{"redirect_uri": redirect, "code_challenge": challenge}
	if account != "" {
		body["account"] = account
	}
	var out OIDCLogin
	return out, c.call(ctx, request{method: "POST", path: "/login/oidc", body: body}, &out)
}

// FinishOIDC is what the browser brought back.
type FinishOIDC struct {
	Account, Redirect, State string
	Code, Verifier, Device   sensitive.Bytes
}

// FinishOIDC signs in by it.
func (c *Client) FinishOIDC(ctx context.Context, f FinishOIDC) (Tokens, error) {
	body := map[string]string{"redirect_uri": f.Redirect, "state": f.State, "code": string(f.Code.Reveal()), "code_verifier": string(f.Verifier.Reveal())}
	for name, text := range map[string]string{"account": f.Account, "device": string(f.Device.Reveal())} {
		if text != "" {
			body[name] = text
		}
	}
	var out Tokens
	return out, c.call(ctx, request{method: "POST", path: "/login/oidc/finish", body: body}, &out)
}
