package client

import (
	"context"
	"encoding/json"
	"time"

	"countersign/internal/sensitive"
)

// Outcome is what became of a write.
type Outcome struct {
	Change string `json:"change,omitempty"`
	Status string `json:"status"` // Applied, or another state while the change waits
}

// Wrote is the Outcome within the answer of a write that shows what was written,
// or while the change waits, what is proposed. It is empty where nothing was
// written.
type Wrote struct {
	Change string `json:"change,omitempty"`
	Status string `json:"status,omitempty"`
}

// Outcome is what became of the write.
func (w Wrote) Outcome() Outcome { return Outcome(w) }

// User is a user or a machine.
type User struct {
	Name     string            `json:"name"`
	Kind     string            `json:"kind"` // user or machine
	ARN      string            `json:"arn"`
	Person   string            `json:"person,omitempty"` // the human behind
	Groups   []string          `json:"groups"`
	Policies []string          `json:"policies"`
	Tags     map[string]string `json:"tags,omitempty"`
	Created  time.Time         `json:"created,omitzero"`
	Disabled bool              `json:"disabled,omitempty"`
	Wrote
}

// ListUsers returns one page of users and machines.
func (c *Client) ListUsers(ctx context.Context, limit int, page string) (Page[User], error) {
	var out Page[User]
	return out, c.call(ctx, request{method: "GET", path: "/users", query: q("limit", number(limit), "page", page)}, &out)
}

// CreateUserRequest asks for a user, or a machine.
type CreateUserRequest struct {
	Name    string            `json:"name"`
	Machine bool              `json:"machine,omitempty"`
	Person  string            `json:"person,omitempty"` // the human behind
	Tags    map[string]string `json:"tags,omitempty"`
}

// CreateUser makes a user, or a machine, without any permission.
func (c *Client) CreateUser(ctx context.Context, r CreateUserRequest) (User, error) {
	var out User
	return out, c.call(ctx, request{method: "POST", path: "/users", body: r}, &out)
}

// GetUser returns one user.
func (c *Client) GetUser(ctx context.Context, name string) (User, error) {
	var out User
	return out, c.call(ctx, request{method: "GET", path: "/users/" + segment(name)}, &out)
}

// UserUpdate changes a user; nil and empty leave a thing as it is.
type UserUpdate struct {
	Disabled *bool             `json:"disabled,omitempty"`
	Tags     map[string]string `json:"tags,omitempty"`
	Untag    []string          `json:"untag,omitempty"`
	Person   *string           `json:"person,omitempty"` // empty: nobody is known to be behind it
}

// UpdateUser disables or enables a user, changes its tags, or says who is behind it.
func (c *Client) UpdateUser(ctx context.Context, name string, u UserUpdate) (User, error) {
	var out User
	return out, c.call(ctx, request{method: "PATCH", path: "/users/" + segment(name), body: u}, &out)
}

// DeleteUser removes a user with its keys and memberships.
func (c *Client) DeleteUser(ctx context.Context, name string) (Outcome, error) {
	var out Outcome
	return out, c.call(ctx, request{method: "DELETE", path: "/users/" + segment(name)}, &out)
}

// Group is a group of users.
type Group struct {
	Name     string    `json:"name"`
	ARN      string    `json:"arn"`
	Policies []string  `json:"policies"`
	Members  []string  `json:"members,omitempty"` // of one group only, not in listings
	Created  time.Time `json:"created,omitzero"`
	// External groups have those for members whom logins prove to be in them.
	External bool        `json:"external,omitempty"`
	Alias    *GroupAlias `json:"alias,omitempty"`
	Wrote
}

// GroupAlias is the name by which a login method knows an external group.
type GroupAlias struct {
	ID      string    `json:"id"`
	Mount   string    `json:"mount"` // its accessor
	Name    string    `json:"name"`
	Group   string    `json:"group"`
	Created time.Time `json:"created,omitzero"`
}

// ListGroups returns one page of groups.
func (c *Client) ListGroups(ctx context.Context, limit int, page string) (Page[Group], error) {
	var out Page[Group]
	return out, c.call(ctx, request{method: "GET", path: "/groups", query: q("limit", number(limit), "page", page)}, &out)
}

// CreateGroup makes an empty group.
func (c *Client) CreateGroup(ctx context.Context, name string) (Group, error) {
	var out Group
	return out, c.call(ctx, request{method: "POST", path: "/groups", body: map[string]string{"name": name}}, &out)
}

// GetGroup returns one group with its members.
func (c *Client) GetGroup(ctx context.Context, name string) (Group, error) {
	var out Group
	return out, c.call(ctx, request{method: "GET", path: "/groups/" + segment(name)}, &out)
}

// DeleteGroup removes a group without members.
func (c *Client) DeleteGroup(ctx context.Context, name string) (Outcome, error) {
	var out Outcome
	return out, c.call(ctx, request{method: "DELETE", path: "/groups/" + segment(name)}, &out)
}

// AddMember makes a user a member of a group.
func (c *Client) AddMember(ctx context.Context, group, user string) (Outcome, error) {
	var out Outcome
	return out, c.call(ctx, request{method: "PUT", path: "/groups/" + segment(group) + "/members/" + segment(user)}, &out)
}

// RemoveMember ends a membership.
func (c *Client) RemoveMember(ctx context.Context, group, user string) (Outcome, error) {
	var out Outcome
	return out, c.call(ctx, request{method: "DELETE", path: "/groups/" + segment(group) + "/members/" + segment(user)}, &out)
}

// Key is an access key without its secret.
type Key struct {
	ID          string    `json:"id"`
	Owner       string    `json:"owner"`
	Policies    []string  `json:"policies,omitempty"` // narrow what the owner may do
	Description string    `json:"description,omitempty"`
	Created     time.Time `json:"created"`
	Expires     time.Time `json:"expires,omitzero"`
	LastUsed    time.Time `json:"last_used,omitzero"`
}

// NewKey is a key with its secret, which the server tells this once.
type NewKey struct {
	Key
	Secret sensitive.Bytes // of the AWS protocols
	Token  sensitive.Bytes // the same key as a bearer token
}

// UnmarshalJSON takes the secrets out of the text at once.
func (k *NewKey) UnmarshalJSON(b []byte) error {
	var v struct {
		Key
		Secret string `json:"secret"`
		Token  string `json:"token"`
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	*k = NewKey{Key: v.Key, Secret: sensitive.FromString(v.Secret), Token: sensitive.FromString(v.Token)}
	return nil
}

// CreateKeyRequest asks for an access key.
type CreateKeyRequest struct {
	Owner       string    `json:"owner"`
	Policies    []string  `json:"policies,omitempty"` // must allow too, beside the owner's
	Expires     time.Time `json:"expires,omitzero"`   // zero: never
	Description string    `json:"description,omitempty"`
}

// CreateKey makes an access key.
func (c *Client) CreateKey(ctx context.Context, r CreateKeyRequest) (NewKey, error) {
	var out NewKey
	return out, c.call(ctx, request{method: "POST", path: "/keys", body: r}, &out)
}

// ListKeys lists the keys of one owner, or with an empty owner of all.
func (c *Client) ListKeys(ctx context.Context, owner string) ([]Key, error) {
	var out Page[Key]
	err := c.call(ctx, request{method: "GET", path: "/keys", query: q("owner", owner)}, &out)
	return out.Items, err
}

// RevokeKey ends a key at once.
func (c *Client) RevokeKey(ctx context.Context, owner, id string) (Outcome, error) {
	var out Outcome
	return out, c.call(ctx, request{method: "DELETE", path: "/keys/" + segment(id), query: q("owner", owner)}, &out)
}

// Account is a tenant.
type Account struct {
	ID      string    `json:"id"`
	Name    string    `json:"name,omitempty"`
	Home    bool      `json:"home,omitempty"`
	Created time.Time `json:"created"`
}

// ListAccounts lists the server's accounts.
func (c *Client) ListAccounts(ctx context.Context) ([]Account, error) {
	var out Page[Account]
	err := c.call(ctx, request{method: "GET", path: "/accounts"}, &out)
	return out.Items, err
}

// CreateAccount makes an account and returns its administrator's first key.
func (c *Client) CreateAccount(ctx context.Context, id, name string) (NewKey, error) {
	body := struct {
		ID   string `json:"id"`
		Name string `json:"name,omitempty"`
	}{id, name}
	var out NewKey
	return out, c.call(ctx, request{method: "POST", path: "/accounts", body: body}, &out)
}
