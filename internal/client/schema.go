package client

import "context"

// Schema is what the value of a secret has to fit.
type Schema struct {
	ARN      string `json:"arn"`
	Name     string `json:"name"`
	Document string `json:"document,omitempty"` // JSON; empty: there is none
}

// GetSchema returns the schema of a secret.
func (c *Client) GetSchema(ctx context.Context, name string) (Schema, error) {
	var out Schema
	return out, c.call(ctx, request{method: "GET", path: "/secret/schema", query: q("name", name)}, &out)
}

// SchemaRequest sets a schema.
type SchemaRequest struct {
	Document string // a JSON Schema
	Reason   string
	Key      string // of idempotency: the same request is made once only, within a day
}

// PutSchema sets the schema that every further value of a secret has to fit.
// errs.Precondition: the current value does not.
func (c *Client) PutSchema(ctx context.Context, name string, r SchemaRequest) (Written, error) {
	body := struct {
		Document string `json:"document"`
		Reason   string `json:"reason,omitempty"`
	}{r.Document, r.Reason}
	var out Written
	return out, c.call(ctx, request{method: "PUT", path: "/secret/schema", query: q("name", name), body: body, key: r.Key}, &out)
}

// DeleteSchema removes the schema of a secret. An outcome without a change says that
// there was none.
func (c *Client) DeleteSchema(ctx context.Context, name, reason string) (Written, error) {
	var out Written
	return out, c.call(ctx, request{method: "DELETE", path: "/secret/schema", query: q("name", name, "reason", reason)}, &out)
}

// Problem is where a value does not fit, and which rule it breaks.
type Problem struct {
	At   string `json:"at"` // JSON pointer; empty: the value as a whole
	Rule string `json:"rule"`
}

// Checked tells whether a value would be taken.
type Checked struct {
	Schema   bool      `json:"schema"` // the secret has one
	Fits     bool      `json:"fits"`
	Problems []Problem `json:"problems,omitempty"`
}

// CheckSchema holds a value against the schema of a secret, and stores nothing.
func (c *Client) CheckSchema(ctx context.Context, name string, p Payload) (Checked, error) {
	var out Checked
	return out, c.call(ctx, request{method: "POST", path: "/secret/schema/check", query: q("name", name), body: p.wire()}, &out)
}

// Replicate makes a secret readable in further regions. One that holds another secret
// of that name has the status Failed in the answer.
func (c *Client) Replicate(ctx context.Context, name string, to []Replica, reason string) (Written, error) {
	type replica struct {
		Region string `json:"region"`
		KMSKey string `json:"kms_key,omitempty"`
	}
	body := struct {
		Replicas []replica `json:"replicas"`
		Reason   string    `json:"reason,omitempty"`
	}{Reason: reason}
	for _, r := range to {
		body.Replicas = append(body.Replicas, replica{r.Region, r.KMSKey})
	}
	var out Written
	return out, c.call(ctx, request{method: "POST", path: "/secret/replicas", query: q("name", name), body: body}, &out)
}

// RemoveReplicas ends the replication of a secret to regions.
func (c *Client) RemoveReplicas(ctx context.Context, name string, regions []string, reason string) (Written, error) {
	v := q("name", name, "reason", reason)
	for _, r := range regions {
		v.Add("replica", r)
	}
	var out Written
	return out, c.call(ctx, request{method: "DELETE", path: "/secret/replicas", query: v}, &out)
}
