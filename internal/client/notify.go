package client

import (
	"context"
	"encoding/json"
	"time"

	"countersign/internal/sensitive"
)

// NotifyTarget is where notices go, without its URL and signing keys.
type NotifyTarget struct {
	Name    string    `json:"name"`
	Type    string    `json:"type"` // webhook, slack, teams or email
	Kinds   []string  `json:"kinds,omitempty"`
	Names   []string  `json:"names,omitempty"`
	Host    string    `json:"host,omitempty"` // scheme and host of the URL
	To      []string  `json:"to,omitempty"`
	KeyMade time.Time `json:"key_made,omitzero"`
	OldKey  time.Time `json:"old_key_until,omitzero"` // until when the key before signs too
	Created time.Time `json:"created"`
	Changed time.Time `json:"changed"`
	By      string    `json:"changed_by"` // ARN
	Waiting uint64    `json:"waiting"`
	Last    time.Time `json:"last_delivered,omitzero"`
	Failed  time.Time `json:"last_failed,omitzero"`
	Why     string    `json:"why,omitempty"` // the last attempt failed
	Fails   uint64    `json:"failed_in_a_row,omitempty"`
}

// NotifyTargets lists the targets of notices by name.
func (c *Client) NotifyTargets(ctx context.Context) ([]NotifyTarget, error) {
	var out Page[NotifyTarget]
	err := c.call(ctx, request{method: "GET", path: "/notify/targets"}, &out)
	return out.Items, err
}

// PutNotifyTarget creates or changes a target. What is nil or empty stays as it
// was.
type PutNotifyTarget struct {
	Type   string
	Kinds  *[]string
	Names  *[]string
	To     *[]string
	URL    sensitive.Bytes
	Secret sensitive.Bytes // signs; empty: the server makes one for a new webhook
	Rotate bool            // make a new signing key
	Reason string
}

// NewNotifyTarget is a target with the signing key that the server made, which it
// tells this once.
type NewNotifyTarget struct {
	NotifyTarget
	Secret sensitive.Bytes
}

// UnmarshalJSON takes the key out of the text at once.
func (t *NewNotifyTarget) UnmarshalJSON(b []byte) error {
	var v struct {
		NotifyTarget
		Secret string `json:"secret"`
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	*t = NewNotifyTarget{NotifyTarget: v.NotifyTarget, Secret: sensitive.FromString(v.Secret)}
	return nil
}

// PutNotifyTarget creates or changes the target of that name.
func (c *Client) PutNotifyTarget(ctx context.Context, name string, p PutNotifyTarget) (NewNotifyTarget, error) {
	body := struct {
		Type   string    `json:"type,omitempty"`
		Kinds  *[]string `json:"kinds,omitempty"`
		Names  *[]string `json:"names,omitempty"`
		To     *[]string `json:"to,omitempty"`
		URL    string    `json:"url,omitempty"`
		Secret string    `json:"secret,omitempty"`
		Rotate bool      `json:"rotate,omitempty"`
		Reason string    `json:"reason,omitempty"`
	}{p.Type, p.Kinds, p.Names, p.To, string(p.URL.Reveal()), string(p.Secret.Reveal()), p.Rotate, p.Reason}
	var out NewNotifyTarget
	return out, c.call(ctx, request{method: "PUT", path: "/notify/targets/" + segment(name), body: body}, &out)
}

// DeleteNotifyTarget removes a target, and what waits for it.
func (c *Client) DeleteNotifyTarget(ctx context.Context, name, reason string) error {
	return c.call(ctx, request{method: "DELETE", path: "/notify/targets/" + segment(name), query: q("reason", reason)}, nil)
}

// NotifyTest is what came of sending a test.
type NotifyTest struct {
	Delivered bool   `json:"delivered"`
	Why       string `json:"why,omitempty"` // not
	Delivery  string `json:"delivery"`
}

// TestNotifyTarget sends a notice to a target, once and now. That it was not taken
// is no error.
func (c *Client) TestNotifyTarget(ctx context.Context, name string) (NotifyTest, error) {
	var out NotifyTest
	return out, c.call(ctx, request{method: "POST", path: "/notify/targets/" + segment(name) + "/test"}, &out)
}

// DeadLetter is a notice that could not be delivered.
type DeadLetter struct {
	ID       string    `json:"id"`
	Target   string    `json:"target"`
	Type     string    `json:"type"`
	Kind     string    `json:"kind"`
	Change   string    `json:"change,omitempty"`
	Noun     string    `json:"noun,omitempty"`
	Name     string    `json:"name,omitempty"`
	Time     time.Time `json:"time"`
	Died     time.Time `json:"died"`
	Attempts int       `json:"attempts"`
	Why      string    `json:"why"`
}

// DeadLetters returns one page of them, the newest first.
func (c *Client) DeadLetters(ctx context.Context, limit int, page string) (Page[DeadLetter], error) {
	var out Page[DeadLetter]
	return out, c.call(ctx, request{method: "GET", path: "/notify/dead-letters", query: q("limit", number(limit), "page", page)}, &out)
}

// ReplayDeadLetter puts one back into its target's queue. id may be the beginning
// of it.
func (c *Client) ReplayDeadLetter(ctx context.Context, id, reason string) (DeadLetter, error) {
	var out DeadLetter
	return out, c.call(ctx, request{method: "POST", path: "/notify/dead-letters/" + segment(id) + "/replay", query: q("reason", reason)}, &out)
}
