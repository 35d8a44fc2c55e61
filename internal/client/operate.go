package client

import (
	"context"
	"encoding/json"

	"countersign/internal/sensitive"
)

// Document is an answer that is shown as it came: a JSON object whose members
// the server chooses.
type Document = json.RawMessage

// Status returns what the server says of itself.
func (c *Client) Status(ctx context.Context) (Document, error) {
	var out Document
	return out, c.call(ctx, request{method: "GET", path: "/status"}, &out)
}

// WhoAmI returns the caller as the server sees it.
func (c *Client) WhoAmI(ctx context.Context) (Document, error) {
	var out Document
	return out, c.call(ctx, request{method: "GET", path: "/whoami"}, &out)
}

// RotateKeys makes a new generation of keys and begins to re-wrap what is
// stored under it.
func (c *Client) RotateKeys(ctx context.Context) (Document, error) {
	var out Document
	return out, c.call(ctx, request{method: "POST", path: "/keyring/rotate"}, &out)
}

// Keyring returns the generations of keys and how far a re-wrap is.
func (c *Client) Keyring(ctx context.Context) (Document, error) {
	var out Document
	return out, c.call(ctx, request{method: "GET", path: "/keyring"}, &out)
}

// PasswordRequest describes a password to generate.
type PasswordRequest struct {
	Length        int    `json:"length,omitempty"` // default 32
	Exclude       string `json:"exclude,omitempty"`
	NoPunctuation bool   `json:"no_punctuation,omitempty"`
}

// RandomPassword returns a password out of the server's randomness.
func (c *Client) RandomPassword(ctx context.Context, r PasswordRequest) (sensitive.Bytes, error) {
	var out struct {
		Password string `json:"password"`
	}
	if err := c.call(ctx, request{method: "POST", path: "/random-password", body: r}, &out); err != nil {
		return sensitive.Bytes{}, err
	}
	return sensitive.FromString(out.Password), nil
}
