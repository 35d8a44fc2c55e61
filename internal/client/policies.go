package client

import (
	"context"
	"time"
)

// Policy is a stored or built-in policy.
type Policy struct {
	Name        string    `json:"name"`
	ARN         string    `json:"arn"`
	Description string    `json:"description,omitempty"`
	Dialect     string    `json:"dialect"`            // iam or hcl
	Document    string    `json:"document,omitempty"` // as it was put; of one policy only, not in listings
	Builtin     bool      `json:"builtin,omitempty"`
	Created     time.Time `json:"created,omitzero"`
	Changed     time.Time `json:"changed,omitzero"`
	Wrote
}

// ListPolicies returns one page of policies, the built-in ones first.
func (c *Client) ListPolicies(ctx context.Context, limit int, page string) (Page[Policy], error) {
	var out Page[Policy]
	return out, c.call(ctx, request{method: "GET", path: "/policies", query: q("limit", number(limit), "page", page)}, &out)
}

// GetPolicy returns a policy with its document.
func (c *Client) GetPolicy(ctx context.Context, name string) (Policy, error) {
	var out Policy
	return out, c.call(ctx, request{method: "GET", path: "/policies/" + segment(name)}, &out)
}

// PutPolicy creates or replaces a policy.
func (c *Client) PutPolicy(ctx context.Context, name, document, description string) (Policy, error) {
	body := struct {
		Document    string `json:"document"`
		Description string `json:"description,omitempty"`
	}{document, description}
	var out Policy
	return out, c.call(ctx, request{method: "PUT", path: "/policies/" + segment(name), body: body}, &out)
}

// DeletePolicy removes a policy that nothing refers to.
func (c *Client) DeletePolicy(ctx context.Context, name string) (Outcome, error) {
	var out Outcome
	return out, c.call(ctx, request{method: "DELETE", path: "/policies/" + segment(name)}, &out)
}

// Holder is whom a policy hangs on: exactly one of the two is set.
type Holder struct {
	User  string `json:"user,omitempty"`
	Group string `json:"group,omitempty"`
}

// AttachPolicy hangs a policy on a user or group.
func (c *Client) AttachPolicy(ctx context.Context, policy string, on Holder) (Outcome, error) {
	var out Outcome
	return out, c.call(ctx, request{method: "PUT", path: "/policies/" + segment(policy) + "/attachments", body: on}, &out)
}

// DetachPolicy takes a policy off a user or group.
func (c *Client) DetachPolicy(ctx context.Context, policy string, from Holder) (Outcome, error) {
	var out Outcome
	return out, c.call(ctx, request{method: "DELETE", path: "/policies/" + segment(policy) + "/attachments", body: from}, &out)
}

// PolicyTest asks whether a user could do an action on a resource.
type PolicyTest struct {
	User     string            `json:"user"`
	Action   string            `json:"action"`             // with a path: a capability
	Resource string            `json:"resource,omitempty"` // an ARN or *
	Path     string            `json:"path,omitempty"`     // in place of a resource
	Tags     map[string]string `json:"tags,omitempty"`     // of the resource
	Context  map[string]string `json:"context,omitempty"`  // further condition keys
}

// PolicyResult is the decision that the request would have had.
type PolicyResult struct {
	Allowed   bool     `json:"allowed"`
	Effect    string   `json:"effect"` // allow, explicit-deny, no-match
	Policy    string   `json:"policy,omitempty"`
	Statement string   `json:"statement,omitempty"`
	Missing   []string `json:"missing,omitempty"`
}

// TestPolicy evaluates policies without doing anything.
func (c *Client) TestPolicy(ctx context.Context, t PolicyTest) (PolicyResult, error) {
	var out PolicyResult
	return out, c.call(ctx, request{method: "POST", path: "/policy-test", body: t}, &out)
}
