package vault

import (
	"context"
	"encoding/base64"
	"net/http"
	"slices"
	"unicode/utf8"

	"countersign/internal/core/change"
	"countersign/internal/core/policy"
	"countersign/internal/errs"
)

// policyRows are the policies of the account, under both of the paths that Vault
// has for them. They are in either dialect, as they were written.
func policyRows() []row {
	return []row{
		{methods: "GET LIST", path: "policy", op: policy.ListPolicies, do: listPolicies},
		{methods: "GET", path: "policy/{name}", op: policy.GetPolicy, do: readPolicy("rules")},
		{methods: "POST", path: "policy/{name}", op: policy.PutPolicy, do: putPolicy},
		{methods: "DELETE", path: "policy/{name}", op: policy.DeletePolicy, do: deletePolicy},
		{methods: "GET LIST", path: "policies/acl", op: policy.ListPolicies, do: listPolicies},
		{methods: "GET", path: "policies/acl/{name}", op: policy.GetPolicy, do: readPolicy("policy")},
		{methods: "POST", path: "policies/acl/{name}", op: policy.PutPolicy, do: putPolicy},
		{methods: "DELETE", path: "policies/acl/{name}", op: policy.DeletePolicy, do: deletePolicy},
	}
}

// maxNames bounds a listing of what an account has few of.
const maxNames = 10_000

func listPolicies(ctx context.Context, c *call) (*answer, error) {
	all, err := c.f.Authn.ListPolicies(ctx, c.who, "", maxNames)
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(all))
	for i := range all {
		names = append(names, all[i].Name)
	}
	slices.Sort(names) // those that come with the server are no group of their own
	return &answer{data: struct {
		Keys     []string `json:"keys"`
		Policies []string `json:"policies"`
	}{names, names}, plain: true}, nil
}

// readPolicy shows a policy; member is what its text is called.
func readPolicy(member string) func(context.Context, *call) (*answer, error) {
	return func(ctx context.Context, c *call) (*answer, error) {
		p, err := c.f.Authn.GetPolicy(ctx, c.who, c.vars[0])
		if errs.Is(err, errs.NotFound) {
			return nil, errs.New(errs.NotFound, "")
		}
		if err != nil {
			return nil, err
		}
		return &answer{data: map[string]string{"name": p.Name, member: p.Document}, plain: true}, nil
	}
}

func putPolicy(ctx context.Context, c *call) (*answer, error) {
	text := c.text("policy")
	if text == "" {
		text = c.text("rules") // the old name
	}
	if text == "" {
		c.fail("policy", "'policy' parameter not supplied or empty")
	}
	if c.err != nil {
		return nil, nil
	}
	p, err := c.f.Authn.PutPolicy(ctx, c.who, c.vars[0], plainPolicy(text), "")
	if err != nil {
		return nil, err
	}
	return c.done(change.Result{ID: p.Change, Status: p.Status}, nil)
}

// plainPolicy is the text of a policy that may be sent as base64.
func plainPolicy(text string) string {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || !utf8.Valid(raw) {
		return text
	}
	return string(raw)
}

func deletePolicy(ctx context.Context, c *call) (*answer, error) {
	res, err := c.f.Authn.DeletePolicy(ctx, c.who, c.vars[0])
	if errs.Is(err, errs.NotFound) {
		return &answer{code: http.StatusNoContent}, nil // as in Vault
	}
	return c.done(res, err)
}
