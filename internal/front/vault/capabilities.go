package vault

import (
	"context"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/authn"
	"countersign/internal/core/policy"
	"countersign/internal/core/token"
	"countersign/internal/errs"
)

// capabilityRows are about what a token may do.
func capabilityRows() []row {
	return []row{
		{methods: "POST", path: "capabilities", op: policy.TestPolicy, do: capabilities},
		{methods: "POST", path: "capabilities-self", op: policy.OwnCapabilities, do: ownCapabilities},
		{methods: "POST", path: "capabilities-accessor", op: policy.TestPolicy, do: accessorCapabilities},
		{methods: "GET", path: "internal/ui/resultant-acl", op: policy.OwnCapabilities, do: resultantACL},
	}
}

// maxAsked is how many paths can be asked about at once.
const maxAsked = 1000

func capabilities(ctx context.Context, c *call) (*answer, error) {
	t := c.need("token", "missing token")
	switch {
	case c.err != nil:
		return nil, nil
	case t == c.token():
		return ownCapabilities(ctx, c)
	}
	ans, err := c.capabilities(ctx, c.holder(token.Ref{Token: t}))
	if e := errs.As(err); e != nil && e.Code == authn.CodeNobody {
		err = errs.Coded(errs.Denied, codeNotFound, "invalid token")
	}
	return ans, err
}

func ownCapabilities(ctx context.Context, c *call) (*answer, error) {
	return c.capabilities(ctx, nil)
}

func accessorCapabilities(ctx context.Context, c *call) (*answer, error) {
	accessor := c.need("accessor", "missing accessor")
	if c.err != nil {
		return nil, nil
	}
	ans, err := c.capabilities(ctx, c.holder(token.Ref{Accessor: accessor}))
	if e := errs.As(err); e != nil && e.Code == authn.CodeNobody {
		err = errs.New(errs.Invalid, "invalid accessor")
	}
	return ans, err
}

// holder finds who a token stands for, as it would ask in this request's place.
func (c *call) holder(ref token.Ref) authn.Finder {
	return c.f.Tokens.Finder(c.who.Account, ref, time.Now(), func(who caller.Caller) caller.Caller { return c.meta.Fill(who, Front, c.f.Region) })
}

// capabilities answers what somebody may do at the paths that are asked about.
func (c *call) capabilities(ctx context.Context, of authn.Finder) (*answer, error) {
	paths := c.list("paths")
	if len(paths) == 0 {
		paths = c.list("path")
	}
	switch {
	case c.err != nil:
	case len(paths) == 0:
		c.err = errs.New(errs.Invalid, "paths must be supplied")
	case len(paths) > maxAsked:
		c.err = errs.New(errs.Limit, "at most %d paths can be asked about at once", maxAsked)
	}
	if c.err != nil {
		return nil, nil
	}
	by, err := c.f.Authn.Capabilities(ctx, c.who, authn.CapabilitiesRequest{Of: of, Paths: paths}, c.f.Secrets.Resources())
	if err != nil {
		return nil, err
	}
	if len(paths) == 1 {
		by["capabilities"] = by[paths[0]]
	}
	return &answer{data: by, plain: true}, nil
}

// resultantACL lists the caller's rules in HCL by path. What its policies in IAM
// JSON allow has no paths; capabilities-self tells that.
func resultantACL(ctx context.Context, c *call) (*answer, error) {
	g, err := c.f.Authn.OwnGrants(ctx, c.who)
	if err != nil {
		return nil, err
	}
	rules := func(by map[string][]string) map[string]any {
		out := make(map[string]any, len(by))
		for path, caps := range by {
			out[path] = map[string][]string{"capabilities": caps}
		}
		return out
	}
	return ok(map[string]any{"root": g.Root, "exact_paths": rules(g.Exact), "glob_paths": rules(g.Glob)}), nil
}
