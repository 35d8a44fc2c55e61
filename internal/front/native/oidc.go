package native

import (
	"context"

	"countersign/internal/core/policy"
	"countersign/internal/core/signin"
)

type beginBody struct {
	Account   string `json:"account"`
	Redirect  string `json:"redirect_uri"`
	Challenge string `json:"code_challenge"`
}

type begunView struct {
	URL   string `json:"authorize_url"`
	State string `json:"state"`
}

type finishBody struct {
	Account  string `json:"account"`
	Redirect string `json:"redirect_uri"`
	Code     hidden `json:"code"`
	State    string `json:"state"`
	Verifier hidden `json:"code_verifier"`
	Device   hidden `json:"device"`
}

type providerBody struct {
	Issuer      string            `json:"issuer"`
	ClientID    string            `json:"client_id"`
	Secret      hidden            `json:"client_secret"`
	Scopes      []string          `json:"scopes"`
	NameClaim   string            `json:"name_claim"`
	Domains     []string          `json:"domains"`
	Claims      map[string]string `json:"claims"`
	MFA         []string          `json:"mfa"`
	LinkByEmail bool              `json:"link_by_email"`
	AutoCreate  bool              `json:"auto_create"`
}

type providerView struct {
	Issuer      string            `json:"issuer"`
	ClientID    string            `json:"client_id"`
	HasSecret   bool              `json:"has_secret"`
	Scopes      []string          `json:"scopes,omitempty"`
	NameClaim   string            `json:"name_claim,omitempty"`
	Domains     []string          `json:"domains,omitempty"`
	Claims      map[string]string `json:"claims,omitempty"`
	MFA         []string          `json:"mfa,omitempty"`
	LinkByEmail bool              `json:"link_by_email"`
	AutoCreate  bool              `json:"auto_create"`
}

func viewProvider(p signin.Provider, err error) (providerView, error) {
	return providerView{Issuer: p.Issuer, ClientID: p.ClientID, HasSecret: p.HasSecret, Scopes: p.Scopes, NameClaim: p.NameClaim,
		Domains: p.Domains, Claims: p.Claims, MFA: p.MFA, LinkByEmail: p.LinkByEmail, AutoCreate: p.AutoCreate}, err
}

type identityBody struct {
	Subject string `json:"subject"`
}

// oidcRows are signing in by an identity provider.
func oidcRows() []route {
	return []route{
		row(route{method: "POST", path: "/login/oidc", op: policy.BeginOIDCLogin, deadline: deadline, open: true},
			func(a *api, c *call, in *beginBody) func(context.Context) (begunView, error) {
				return func(ctx context.Context) (begunView, error) {
					out, err := a.SignIn.BeginOIDC(ctx, c.who, signin.BeginRequest{Account: in.Account, Redirect: in.Redirect, Challenge: in.Challenge})
					return begunView(out), err
				}
			}),
		row(route{method: "POST", path: "/login/oidc/finish", op: policy.Login, deadline: deadline, open: true},
			func(a *api, c *call, in *finishBody) func(context.Context) (tokensView, error) {
				return func(ctx context.Context) (tokensView, error) {
					return viewTokens(a.SignIn.FinishOIDC(ctx, c.who, signin.FinishRequest{Account: in.Account, Redirect: in.Redirect,
						Code: in.Code.Bytes, State: in.State, Verifier: in.Verifier.Bytes, Device: in.Device.Bytes}))
				}
			}),
		row(route{method: "GET", path: "/identity-provider", op: policy.GetIdentityProvider, deadline: deadline},
			func(a *api, c *call, _ *none) func(context.Context) (providerView, error) {
				return func(ctx context.Context) (providerView, error) { return viewProvider(a.SignIn.GetProvider(ctx, c.who)) }
			}),
		row(route{method: "PUT", path: "/identity-provider", op: policy.PutIdentityProvider, deadline: deadline},
			func(a *api, c *call, in *providerBody) func(context.Context) (none, error) {
				p := signin.Provider{Issuer: in.Issuer, ClientID: in.ClientID, Scopes: in.Scopes, NameClaim: in.NameClaim, Domains: in.Domains,
					Claims: in.Claims, MFA: in.MFA, LinkByEmail: in.LinkByEmail, AutoCreate: in.AutoCreate}
				return func(ctx context.Context) (none, error) {
					return none{}, a.SignIn.PutProvider(ctx, c.who, p, in.Secret.Bytes)
				}
			}),
		row(route{method: "DELETE", path: "/identity-provider", op: policy.DeleteIdentityProvider, deadline: deadline},
			func(a *api, c *call, _ *none) func(context.Context) (none, error) {
				return func(ctx context.Context) (none, error) { return none{}, a.SignIn.DeleteProvider(ctx, c.who) }
			}),
		row(route{method: "PUT", path: "/users/{name}/identity", op: policy.LinkUser, deadline: deadline},
			func(a *api, c *call, in *identityBody) func(context.Context) (none, error) {
				return func(ctx context.Context) (none, error) {
					return none{}, a.SignIn.LinkUser(ctx, c.who, c.vars[0], in.Subject)
				}
			}),
		row(route{method: "DELETE", path: "/users/{name}/identity", op: policy.UnlinkUser, deadline: deadline},
			func(a *api, c *call, _ *none) func(context.Context) (none, error) {
				return func(ctx context.Context) (none, error) { return none{}, a.SignIn.UnlinkUser(ctx, c.who, c.vars[0]) }
			}),
	}
}
