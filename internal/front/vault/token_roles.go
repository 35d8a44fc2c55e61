package vault

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"countersign/internal/core/policy"
	"countersign/internal/core/token"
)

// tokenRoleRows are the roles that tokens are made with.
func tokenRoleRows() []row {
	return []row{
		{methods: "LIST", path: "roles", op: policy.ListTokenRoles, do: listTokenRoles},
		{methods: "GET", path: "roles/{role}", op: policy.GetTokenRole, do: readTokenRole},
		{methods: "POST", path: "roles/{role}", op: policy.PutTokenRole, do: putTokenRole},
		{methods: "DELETE", path: "roles/{role}", op: policy.DeleteTokenRole, do: deleteTokenRole},
	}
}

func listTokenRoles(ctx context.Context, c *call) (*answer, error) {
	return keys(c.f.Tokens.ListRoles(ctx, c.who))
}

func readTokenRole(ctx context.Context, c *call) (*answer, error) {
	r, err := c.f.Tokens.GetRole(ctx, c.who, c.vars[0])
	if err != nil {
		return nil, absent(err, token.CodeNoRole)
	}
	out := map[string]any{"name": c.vars[0], "allowed_policies": some(r.Allowed), "allowed_policies_glob": some(r.AllowedGlobs),
		"disallowed_policies": some(r.Disallowed), "disallowed_policies_glob": some(r.DisallowedGlobs), "allowed_entity_aliases": r.Aliases,
		"orphan": r.Orphan, "renewable": r.Renewable, "path_suffix": r.PathSuffix, "token_type": string(r.Type), "token_no_default_policy": r.NoDefault,
		"token_period": seconds(r.Period), "token_explicit_max_ttl": seconds(r.ExplicitMaxTTL), "queue": r.Queue}
	out["period"], out["explicit_max_ttl"] = out["token_period"], out["token_explicit_max_ttl"]
	if len(r.CIDRs) > 0 {
		out["token_bound_cidrs"], out["bound_cidrs"] = r.CIDRs, r.CIDRs
	}
	if r.NumUses > 0 {
		out["token_num_uses"] = r.NumUses
	}
	return ok(out), nil
}

// newer is the name of a parameter, or its old one when only that is given. That
// both are is told in a warning.
func (c *call) newer(name, old string, warnings *[]string) string {
	switch {
	case !c.has(old):
		return name
	case !c.has(name):
		return old
	}
	*warnings = append(*warnings, "Both '"+name+"' and deprecated '"+old+"' value supplied, ignoring the deprecated value")
	return name
}

func putTokenRole(ctx context.Context, c *call) (*answer, error) {
	var warnings []string
	c.unkept(refusedTerms[:1])
	req := token.RoleChange{Allowed: given(c, "allowed_policies", c.list), AllowedGlobs: given(c, "allowed_policies_glob", c.list),
		Disallowed: given(c, "disallowed_policies", c.list), DisallowedGlobs: given(c, "disallowed_policies_glob", c.list),
		Aliases: given(c, "allowed_entity_aliases", c.list), Orphan: given(c, "orphan", c.boolean), Renewable: given(c, "renewable", c.boolean),
		PathSuffix: given(c, "path_suffix", c.text), NoDefault: given(c, "token_no_default_policy", c.boolean), Queue: given(c, "queue", c.boolean),
		NumUses:        given(c, "token_num_uses", func(n string) int { return int(c.integer(n)) }),
		Type:           given(c, "token_type", func(n string) token.RoleType { return token.RoleType(c.text(n)) }),
		CIDRs:          given(c, c.newer("token_bound_cidrs", "bound_cidrs", &warnings), c.ranges),
		Period:         given(c, c.newer("token_period", "period", &warnings), c.duration),
		ExplicitMaxTTL: given(c, c.newer("token_explicit_max_ttl", "explicit_max_ttl", &warnings), c.duration)}
	if c.err != nil {
		return nil, nil
	}
	if req.ExplicitMaxTTL != nil && *req.ExplicitMaxTTL > token.SystemTTL {
		warnings = append(warnings, "explicit max TTL is greater than that of the system, "+token.SystemTTL.Truncate(time.Hour).String()+", which tokens of this role get")
	}
	ans, err := c.done(c.f.Tokens.PutRole(ctx, c.who, c.vars[0], req, ""))
	if err == nil && len(warnings) > 0 {
		if ans == nil {
			ans = &answer{empty: true}
		}
		ans.warnings = append(ans.warnings, warnings...)
	}
	return ans, err
}

// ranges is a parameter that is a list of addresses and ranges of them.
func (c *call) ranges(name string) []string {
	list := c.list(name)
	out := make([]string, 0, len(list))
	for _, s := range list {
		s = strings.TrimSpace(s)
		if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
			out = append(out, netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()).String())
			continue
		}
		p, err := netip.ParsePrefix(s)
		if err != nil {
			c.fail(name, "it is not a list of addresses and ranges such as 10.0.0.0/8")
			return nil
		}
		out = append(out, p.Masked().String())
	}
	return out
}

func deleteTokenRole(ctx context.Context, c *call) (*answer, error) {
	return c.done(c.f.Tokens.DeleteRole(ctx, c.who, c.vars[0], ""))
}
