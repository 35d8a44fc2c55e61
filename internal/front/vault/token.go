package vault

import (
	"context"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/policy"
	"countersign/internal/core/token"
	"countersign/internal/errs"
)

// tokenRows are tokens.
func tokenRows() []row {
	return []row{
		{methods: "POST", path: "create", op: policy.CreateToken, takes: tokenParams, do: createToken},
		{methods: "POST", path: "create/{role}", op: policy.CreateRoleToken, takes: tokenParams, do: createToken},
		{methods: "POST", path: "create-orphan", op: policy.CreateOrphanToken, takes: tokenParams, do: createToken},
		{methods: "GET POST", path: "lookup", op: policy.LookupToken, do: lookupToken},
		{methods: "GET POST", path: "lookup-self", op: policy.LookupOwnToken, do: lookupSelf},
		{methods: "POST", path: "lookup-accessor", op: policy.LookupAccessor, do: lookupAccessor},
		{methods: "POST", path: "renew", op: policy.RenewToken, do: renewToken},
		{methods: "POST", path: "renew-self", op: policy.RenewOwnToken, do: renewSelf},
		{methods: "POST", path: "renew-accessor", op: policy.RenewAccessor, do: renewAccessor},
		{methods: "POST", path: "revoke", op: policy.RevokeToken, do: revokeToken},
		{methods: "POST", path: "revoke-self", op: policy.RevokeOwnToken, do: revokeSelf},
		{methods: "POST", path: "revoke-accessor", op: policy.RevokeAccessor, do: revokeAccessor},
		{methods: "POST", path: "revoke-orphan", op: policy.RevokeOrphan, do: revokeOrphan},
		{methods: "LIST", path: "accessors", op: policy.ListAccessors, do: listAccessors},
		{methods: "POST", path: "tidy", op: policy.TidyTokens, do: tidyTokens},
	}
}

// loginJSON is a token as its holder gets it.
type loginJSON struct {
	Token            string            `json:"client_token"`
	Accessor         string            `json:"accessor"`
	Policies         []string          `json:"policies"`
	TokenPolicies    []string          `json:"token_policies"`
	IdentityPolicies []string          `json:"identity_policies,omitempty"`
	Meta             map[string]string `json:"metadata"`
	Seconds          int64             `json:"lease_duration"`
	Renewable        bool              `json:"renewable"`
	Entity           string            `json:"entity_id"`
	Type             string            `json:"token_type"`
	Orphan           bool              `json:"orphan"`
	MFA              *struct{}         `json:"mfa_requirement"` // a second factor is asked for elsewhere
	NumUses          int               `json:"num_uses"`
}

// issued is the answer to what makes a token or gives it more time. text is the
// token, empty where it is not to be shown. A row whose caller was nobody sets
// call.who to whom it let in, so that the answer can be wrapped.
func issued(is *token.Issued, text string) *answer {
	return &answer{warnings: is.Warnings, auth: &loginJSON{Token: text, Accessor: is.Accessor, Policies: some(is.Policies),
		TokenPolicies: some(is.TokenPolicies), IdentityPolicies: is.IdentityPolicies, Meta: is.Meta, Seconds: seconds(is.TTL),
		Renewable: is.Renewable, Entity: caller.EntityID(is.Account, is.Principal), Type: is.Type.String(), Orphan: is.Orphan, NumUses: is.NumUses}}
}

// some is a list that is never null.
func some(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

// need is a parameter that has to be given, and what is said when it is not.
func (c *call) need(name, missing string) string {
	s := c.text(name)
	if s == "" && c.err == nil {
		c.err = errs.New(errs.Invalid, "%s", missing)
	}
	return s
}

// tokenParams are what a token can be made with.
const tokenParams = "id policies meta no_parent no_default_policy renewable ttl lease explicit_max_ttl period type display_name num_uses entity_alias"

func createToken(ctx context.Context, c *call) (*answer, error) {
	req := token.CreateRequest{Orphan: c.row.op == policy.CreateOrphanToken, NoParent: c.boolean("no_parent"), ID: c.text("id"),
		Policies: c.list("policies"), Meta: c.texts("meta"), NoDefault: c.boolean("no_default_policy"),
		NotRenewable: c.has("renewable") && !c.boolean("renewable"), TTL: c.duration("ttl"), ExplicitMaxTTL: c.duration("explicit_max_ttl"),
		Period: c.duration("period"), Type: c.text("type"), Display: c.text("display_name"), NumUses: int(c.integer("num_uses")),
		EntityAlias: c.text("entity_alias")}
	if req.TTL == 0 {
		req.TTL = c.duration("lease") // the old name
	}
	if c.row.op == policy.CreateRoleToken {
		req.Role = c.vars[0]
	}
	if c.err != nil {
		return nil, nil
	}
	is, err := c.f.Tokens.Create(ctx, c.who, req)
	if err != nil {
		return nil, err
	}
	return issued(&is, string(is.Token.Reveal())), nil
}

// notFound says in Vault's words that there is no such token, of which it has
// others for each endpoint.
func notFound(err error, kind errs.Kind, text string) error {
	if e := errs.As(err); e != nil && e.Code == token.CodeNoToken {
		return errs.Coded(kind, codeNotFound, "%s", text)
	}
	return err
}

func lookupToken(ctx context.Context, c *call) (*answer, error) {
	t := c.text("token")
	switch {
	case c.err != nil:
		return nil, nil
	case t == "" || t == c.token():
		return lookupSelf(ctx, c)
	}
	info, err := c.f.Tokens.Lookup(ctx, c.who, token.Ref{Token: t})
	if err != nil {
		return nil, notFound(err, errs.Denied, "bad token")
	}
	return ok(shownToken(&info, t)), nil
}

func lookupSelf(ctx context.Context, c *call) (*answer, error) {
	info, err := c.f.Tokens.LookupSelf(ctx, c.who, c.token())
	if err != nil {
		return nil, err
	}
	return ok(shownToken(&info, c.token())), nil
}

func lookupAccessor(ctx context.Context, c *call) (*answer, error) {
	accessor := c.need("accessor", "missing accessor")
	if c.err != nil {
		return nil, nil
	}
	info, err := c.f.Tokens.Lookup(ctx, c.who, token.Ref{Accessor: accessor})
	if err != nil {
		return nil, notFound(err, errs.Invalid, "invalid accessor")
	}
	return ok(shownToken(&info, "")), nil
}

// shownToken is what is told of a token. Like Vault it says nothing of times of
// one that never ends, and only what there is of some other members.
func shownToken(t *token.Info, text string) map[string]any {
	out := map[string]any{"id": text, "accessor": t.Accessor, "policies": some(t.TokenPolicies), "path": t.Path, "meta": t.Meta, "display_name": t.Display,
		"num_uses": t.NumUses, "orphan": t.Orphan, "creation_time": int64(0), "creation_ttl": seconds(t.CreationTTL), "expire_time": nil,
		"ttl": seconds(t.TTL), "explicit_max_ttl": seconds(t.ExplicitMaxTTL), "entity_id": caller.EntityID(t.Account, t.Principal), "type": t.Type.String()}
	if !t.Created.IsZero() {
		out["creation_time"] = t.Created.Unix()
	}
	if !t.Expires.IsZero() {
		out["expire_time"], out["issue_time"], out["renewable"] = stamp(t.Expires), stamp(t.Created), t.Renewable
	}
	if !t.Renewed.IsZero() {
		out["last_renewal_time"], out["last_renewal"] = t.Renewed.Unix(), stamp(t.Renewed)
	}
	if t.Role != "" {
		out["role"] = t.Role
	}
	if t.Period != 0 {
		out["period"] = seconds(t.Period)
	}
	if len(t.BoundCIDRs) > 0 {
		out["bound_cidrs"] = t.BoundCIDRs
	}
	if len(t.IdentityPolicies) > 0 {
		out["identity_policies"] = t.IdentityPolicies
	}
	return out
}

func renewToken(ctx context.Context, c *call) (*answer, error) {
	t, increment := c.need("token", "missing token ID"), c.duration("increment")
	if c.err != nil {
		return nil, nil
	}
	is, err := c.f.Tokens.Renew(ctx, c.who, token.Ref{Token: t}, increment)
	if err != nil {
		return nil, notFound(err, errs.Invalid, "token not found")
	}
	return issued(&is, t), nil
}

func renewSelf(ctx context.Context, c *call) (*answer, error) {
	increment := c.duration("increment")
	if c.err != nil {
		return nil, nil
	}
	is, err := c.f.Tokens.RenewSelf(ctx, c.who, increment)
	if err != nil {
		return nil, notFound(err, errs.Invalid, "token not found")
	}
	return issued(&is, c.token()), nil
}

func renewAccessor(ctx context.Context, c *call) (*answer, error) {
	accessor, increment := c.need("accessor", "missing accessor"), c.duration("increment")
	if c.err != nil {
		return nil, nil
	}
	is, err := c.f.Tokens.Renew(ctx, c.who, token.Ref{Accessor: accessor}, increment)
	if err != nil {
		return nil, notFound(err, errs.Invalid, "invalid accessor")
	}
	return issued(&is, ""), nil
}

// revokeToken also succeeds where there is no such token.
func revokeToken(ctx context.Context, c *call) (*answer, error) {
	t := c.need("token", "missing token ID")
	if c.err != nil {
		return nil, nil
	}
	err := c.f.Tokens.Revoke(ctx, c.who, token.Ref{Token: t})
	if e := errs.As(err); e != nil && e.Code == token.CodeNoToken {
		return nil, nil
	}
	return nil, err
}

func revokeSelf(ctx context.Context, c *call) (*answer, error) {
	return nil, c.f.Tokens.RevokeSelf(ctx, c.who)
}

func revokeAccessor(ctx context.Context, c *call) (*answer, error) {
	accessor := c.need("accessor", "missing accessor")
	if c.err != nil {
		return nil, nil
	}
	err := c.f.Tokens.Revoke(ctx, c.who, token.Ref{Accessor: accessor})
	if e := errs.As(err); e != nil && e.Code == token.CodeNoToken {
		return &answer{empty: true, warnings: []string{"No token found with this accessor"}}, nil
	}
	return nil, err
}

func revokeOrphan(ctx context.Context, c *call) (*answer, error) {
	t := c.need("token", "missing token ID")
	if c.err != nil {
		return nil, nil
	}
	return nil, notFound(c.f.Tokens.RevokeAlone(ctx, c.who, token.Ref{Token: t}), errs.Invalid, "token to revoke not found")
}

// maxAccessors bounds a listing that asks for no fewer.
const maxAccessors = 100_000

// listAccessors can be asked for a page: so many, after the last of the one
// before.
func listAccessors(ctx context.Context, c *call) (*answer, error) {
	after, limit := c.text("after"), int(c.integer("limit"))
	if c.err != nil {
		return nil, nil
	}
	if limit <= 0 || limit > maxAccessors {
		limit = maxAccessors
	}
	list, more, err := c.f.Tokens.ListAccessors(ctx, c.who, after, limit)
	ans, err := keys(list, err)
	if err == nil && more {
		ans.warnings = []string{"there are more: ask for those after the last one (after=ACCESSOR)"}
	}
	return ans, err
}

func tidyTokens(ctx context.Context, c *call) (*answer, error) {
	if err := c.f.Tokens.Tidy(ctx, c.who); err != nil {
		return nil, err
	}
	return &answer{empty: true, warnings: []string{"Tidy operation successfully started."}}, nil
}
