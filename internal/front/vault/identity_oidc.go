package vault

import (
	"context"
	"strings"
	"time"

	"countersign/internal/core/identitytoken"
	"countersign/internal/core/policy"
	"countersign/internal/sensitive"
)

// identityTokenRows are about tokens that tell others who somebody is.
func identityTokenRows() []row {
	return []row{
		{methods: "GET", path: "oidc/config", op: policy.GetIdentityTokenConfig, do: readTokenConfig},
		{methods: "POST", path: "oidc/config", op: policy.PutIdentityTokenConfig, do: putTokenConfig},
		{methods: "LIST", path: "oidc/key", op: policy.ListIdentityKeys, do: listIdentityKeys},
		{methods: "GET", path: "oidc/key/{name}", op: policy.GetIdentityKey, do: readIdentityKey},
		{methods: "POST", path: "oidc/key/{name}", op: policy.PutIdentityKey, do: putIdentityKey},
		{methods: "DELETE", path: "oidc/key/{name}", op: policy.DeleteIdentityKey, do: deleteIdentityKey},
		{methods: "POST", path: "oidc/key/{name}/rotate", op: policy.RotateIdentityKey, do: rotateIdentityKey},
		{methods: "LIST", path: "oidc/role", op: policy.ListIdentityRoles, do: listIdentityRoles},
		{methods: "GET", path: "oidc/role/{name}", op: policy.GetIdentityRole, do: readIdentityRole},
		{methods: "POST", path: "oidc/role/{name}", op: policy.PutIdentityRole, do: putIdentityRole},
		{methods: "DELETE", path: "oidc/role/{name}", op: policy.DeleteIdentityRole, do: deleteIdentityRole},
		{methods: "GET", path: "oidc/token/{name}", op: policy.IssueIdentityToken, do: issueIdentityToken},
		{methods: "POST", path: "oidc/introspect", op: policy.IntrospectIdentityToken, do: introspectIdentityToken},
		{methods: "GET", path: "oidc/.well-known/openid-configuration", as: "ReadIdentityDiscovery", open: true, do: identityDiscovery},
		{methods: "GET", path: "oidc/.well-known/keys", as: "ReadIdentityPublicKeys", open: true, do: identityPublicKeys},
	}
}

// wellKnown begins the paths of what verifies identity tokens.
const wellKnown = identitytoken.Path + "/.well-known/"

// takeAccount takes an account off the path of a public document, as the issuer of
// its tokens has it: who verifies these sends no header of this protocol.
func (c *call) takeAccount() {
	if account, rest, _ := strings.Cut(c.path, "/"); isAccount(account) && strings.HasPrefix(rest, wellKnown) {
		c.account, c.path = account, rest
	}
}

func identityDiscovery(ctx context.Context, c *call) (*answer, error) {
	b, err := c.f.IDTokens.Discovery(ctx, c.who)
	return &answer{raw: b}, err
}

func identityPublicKeys(ctx context.Context, c *call) (*answer, error) {
	b, err := c.f.IDTokens.PublicKeys(ctx, c.who)
	return &answer{raw: b}, err
}

func readTokenConfig(ctx context.Context, c *call) (*answer, error) {
	issuer, err := c.f.IDTokens.GetConfig(ctx, c.who)
	if err != nil {
		return nil, err
	}
	return ok(map[string]string{"issuer": issuer}), nil
}

func putTokenConfig(ctx context.Context, c *call) (*answer, error) {
	issuer := c.text("issuer")
	if c.err != nil {
		return nil, nil
	}
	return c.done(c.f.IDTokens.PutConfig(ctx, c.who, issuer))
}

func listIdentityKeys(ctx context.Context, c *call) (*answer, error) {
	return keys(c.f.IDTokens.ListKeys(ctx, c.who))
}

func readIdentityKey(ctx context.Context, c *call) (*answer, error) {
	k, err := c.f.IDTokens.GetKey(ctx, c.who, c.vars[0])
	if err != nil {
		return nil, absent(err, identitytoken.CodeKey)
	}
	return ok(map[string]any{"algorithm": k.Algorithm, "allowed_client_ids": append([]string{}, k.Clients...),
		"rotation_period": int64(k.Rotation / time.Second), "verification_ttl": int64(k.Verification / time.Second)}), nil
}

func putIdentityKey(ctx context.Context, c *call) (*answer, error) {
	req := identitytoken.KeyRequest{Name: c.vars[0], Algorithm: given(c, "algorithm", c.text), Rotation: given(c, "rotation_period", c.duration),
		Verification: given(c, "verification_ttl", c.duration), Clients: given(c, "allowed_client_ids", c.list)}
	if c.err != nil {
		return nil, nil
	}
	return c.done(c.f.IDTokens.PutKey(ctx, c.who, req))
}

func deleteIdentityKey(ctx context.Context, c *call) (*answer, error) {
	return c.done(c.f.IDTokens.DeleteKey(ctx, c.who, c.vars[0]))
}

func rotateIdentityKey(ctx context.Context, c *call) (*answer, error) {
	keep := given(c, "verification_ttl", c.duration)
	if c.err != nil {
		return nil, nil
	}
	res, err := c.f.IDTokens.RotateKey(ctx, c.who, c.vars[0], keep)
	return c.done(res, asInvalid(err, "no named key found at \""+c.vars[0]+"\""))
}

func listIdentityRoles(ctx context.Context, c *call) (*answer, error) {
	return keys(c.f.IDTokens.ListRoles(ctx, c.who))
}

func readIdentityRole(ctx context.Context, c *call) (*answer, error) {
	r, err := c.f.IDTokens.GetRole(ctx, c.who, c.vars[0])
	if err != nil {
		return nil, absent(err, identitytoken.CodeRole)
	}
	return ok(map[string]any{"client_id": r.Client, "key": r.Key, "template": r.Template, "ttl": int64(r.TTL / time.Second)}), nil
}

func putIdentityRole(ctx context.Context, c *call) (*answer, error) {
	req := identitytoken.RoleRequest{Name: c.vars[0], Key: given(c, "key", c.text), Client: given(c, "client_id", c.text),
		TTL: given(c, "ttl", c.duration), Template: given(c, "template", c.text)}
	if req.Template != nil {
		text := plainPolicy(*req.Template) // which may be base64, too
		req.Template = &text
	}
	if c.err != nil {
		return nil, nil
	}
	return c.done(c.f.IDTokens.PutRole(ctx, c.who, req))
}

func deleteIdentityRole(ctx context.Context, c *call) (*answer, error) {
	return c.done(c.f.IDTokens.DeleteRole(ctx, c.who, c.vars[0]))
}

func issueIdentityToken(ctx context.Context, c *call) (*answer, error) {
	got, err := c.f.IDTokens.Issue(ctx, c.who, c.vars[0])
	if err != nil {
		return nil, asInvalid(err, "role \""+c.vars[0]+"\" not found")
	}
	return ok(map[string]any{"token": string(got.Token.Reveal()), "client_id": got.Client, "ttl": int64(got.TTL / time.Second)}), nil
}

// introspection is the answer of RFC 7662, as far as Vault gives it.
type introspection struct {
	Active bool   `json:"active"`
	Error  string `json:"error,omitempty"`
}

func introspectIdentityToken(ctx context.Context, c *call) (*answer, error) {
	token, client := c.text("token"), c.text("client_id")
	if c.err != nil {
		return nil, nil
	}
	active, why, err := c.f.IDTokens.Introspect(ctx, c.who, sensitive.FromString(token), client)
	if err != nil {
		return nil, err
	}
	return &answer{data: introspection{active, why}, bare: true}, nil
}
