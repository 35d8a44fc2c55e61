package client

import (
	"context"
	"time"
)

// SSHKey is a public key by whose signatures a user's approvals are proved.
type SSHKey struct {
	Fingerprint string    `json:"fingerprint"` // SHA256:…
	Type        string    `json:"type"`
	Key         string    `json:"key"` // type and base64
	Label       string    `json:"label,omitempty"`
	Created     time.Time `json:"created,omitzero"`
	Wrote
}

// AddSSHKey registers a public key, the line of a .pub file, for a user.
func (c *Client) AddSSHKey(ctx context.Context, user, key, label string) (SSHKey, error) {
	body := struct {
		Key   string `json:"key"`
		Label string `json:"label,omitempty"`
	}{key, label}
	var out SSHKey
	return out, c.call(ctx, request{method: "POST", path: "/users/" + segment(user) + "/ssh-keys", body: body}, &out)
}

// ListSSHKeys lists the public keys of a user.
func (c *Client) ListSSHKeys(ctx context.Context, user string) ([]SSHKey, error) {
	var out Page[SSHKey]
	err := c.call(ctx, request{method: "GET", path: "/users/" + segment(user) + "/ssh-keys"}, &out)
	return out.Items, err
}

// RemoveSSHKey removes a public key of a user.
func (c *Client) RemoveSSHKey(ctx context.Context, user, fingerprint string) (Outcome, error) {
	var out Outcome
	return out, c.call(ctx, request{method: "DELETE", path: "/users/" + segment(user) + "/ssh-keys", query: q("fingerprint", fingerprint)}, &out)
}
