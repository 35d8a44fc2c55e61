package client

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strconv"
	"time"
	"unicode/utf8"

	"countersign/internal/sensitive"
)

// Secret is what is known of a secret but its values.
type Secret struct {
	ARN           string              `json:"arn"`
	Name          string              `json:"name"`
	Region        string              `json:"region,omitempty"`
	Description   string              `json:"description,omitempty"`
	KMSKey        string              `json:"kms_key,omitempty"`
	Type          string              `json:"type,omitempty"`
	Created       time.Time           `json:"created,omitzero"`
	Changed       time.Time           `json:"changed,omitzero"`
	Accessed      time.Time           `json:"accessed,omitzero"` // the day
	Deleted       time.Time           `json:"deleted,omitzero"`  // zero unless marked for deletion
	Purge         time.Time           `json:"purge,omitzero"`    // when it is gone for good
	Tags          map[string]string   `json:"tags,omitempty"`
	Labels        map[string][]string `json:"labels,omitempty"`  // version id to labels
	Current       uint64              `json:"current,omitempty"` // number of the current version
	Rotation      json.RawMessage     `json:"rotation,omitempty"`
	NextRotation  time.Time           `json:"next_rotation,omitzero"`
	PrimaryRegion string              `json:"primary_region,omitempty"`
	Replicas      []Replica           `json:"replicas,omitempty"`
	Schema        bool                `json:"schema,omitempty"` // the value has to fit one
}

// Replica is a region in which a secret can be read too.
type Replica struct {
	Region  string `json:"region"`
	KMSKey  string `json:"kms_key,omitempty"`
	Status  string `json:"status,omitempty"`
	Message string `json:"message,omitempty"`
}

// Page is a part of a listing. Next is empty on the last.
type Page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"`
}

// ListOptions select and order secrets.
type ListOptions struct {
	Prefix  string
	Filters []string // "tag-key:team", "description:database"; a value with ! excludes
	Deleted bool     // also those marked for deletion
	Sort    string   // "name", "created-date", "last-changed-date", "last-accessed-date"
	Desc    bool
	Limit   int    // of one page; 0 leaves it to the server
	Page    string // Next of the page before
}

// ListSecrets returns one page of secrets.
func (c *Client) ListSecrets(ctx context.Context, o ListOptions) (Page[Secret], error) {
	v := q("prefix", o.Prefix, "sort", o.Sort, "limit", number(o.Limit), "page", o.Page,
		"deleted", truth(o.Deleted), "desc", truth(o.Desc))
	for _, f := range o.Filters {
		v.Add("filter", f)
	}
	var out Page[Secret]
	return out, c.call(ctx, request{method: "GET", path: "/secrets", query: v}, &out)
}

// Describe returns what is known of a secret.
func (c *Client) Describe(ctx context.Context, name string) (Secret, error) {
	var out Secret
	return out, c.call(ctx, request{method: "GET", path: "/secret", query: q("name", name)}, &out)
}

// Payload is a value on its way to the server.
type Payload struct {
	Data   sensitive.Bytes
	Binary bool // keep as bytes; otherwise text, which is valid UTF-8
}

// NewPayload is data as text when it is valid UTF-8, and as bytes otherwise.
func NewPayload(data sensitive.Bytes) Payload {
	return Payload{Data: data, Binary: !utf8.Valid(data.Reveal())}
}

// wireValue is a value in a body: exactly one of the two is set.
type wireValue struct {
	Value  *string `json:"value,omitempty"`
	Binary []byte  `json:"binary,omitempty"`
}

func (p Payload) wire() wireValue {
	if p.Binary {
		return wireValue{Binary: p.Data.Reveal()}
	}
	s := string(p.Data.Reveal())
	return wireValue{Value: &s}
}

// Written is the answer to a write.
type Written struct {
	ARN       string    `json:"arn"`
	Name      string    `json:"name"`
	Version   uint64    `json:"version,omitempty"`
	VersionID string    `json:"version_id,omitempty"`
	Labels    []string  `json:"labels,omitempty"`
	Change    string    `json:"change,omitempty"` // empty when nothing had to change
	Status    string    `json:"status,omitempty"` // of the change: "applied", or what it waits for
	Replicas  []Replica `json:"replicas,omitempty"`
	Created   bool      `json:"created,omitempty"` // the secret was absent before
}

// Outcome is what became of the write.
func (w Written) Outcome() Outcome { return Outcome{Change: w.Change, Status: w.Status} }

// CreateRequest asks for a new secret. Without a Value it has no version.
type CreateRequest struct {
	Name        string
	Value       *Payload
	Description string
	KMSKey      string
	Type        string
	Tags        map[string]string
	Replicas    []Replica
	Reason      string
	Key         string // of idempotency: the same request is made once only, within a day
}

// Create makes a secret; errs.Exists when the name is taken.
func (c *Client) Create(ctx context.Context, r CreateRequest) (Written, error) {
	body := struct {
		Name string `json:"name"`
		wireValue
		Description string            `json:"description,omitempty"`
		KMSKey      string            `json:"kms_key,omitempty"`
		Type        string            `json:"type,omitempty"`
		Tags        map[string]string `json:"tags,omitempty"`
		Replicas    []Replica         `json:"replicas,omitempty"`
		Reason      string            `json:"reason,omitempty"`
	}{Name: r.Name, Description: r.Description, KMSKey: r.KMSKey, Type: r.Type, Tags: r.Tags, Replicas: r.Replicas, Reason: r.Reason}
	if r.Value != nil {
		body.wireValue = r.Value.wire()
	}
	var out Written
	return out, c.call(ctx, request{method: "POST", path: "/secret", body: body, key: r.Key}, &out)
}

// UpdateRequest changes what describes a secret; nil leaves a thing as it is.
type UpdateRequest struct {
	Description *string `json:"description,omitempty"`
	KMSKey      *string `json:"kms_key,omitempty"`
	Type        *string `json:"type,omitempty"`
	Reason      string  `json:"reason,omitempty"`
	Key         string  `json:"-"` // of idempotency: the same request is made once only, within a day
}

// Update changes what describes a secret.
func (c *Client) Update(ctx context.Context, name string, r UpdateRequest) (Written, error) {
	var out Written
	return out, c.call(ctx, request{method: "PATCH", path: "/secret", query: q("name", name), body: r, key: r.Key}, &out)
}

// DeleteOptions say how a secret is deleted.
type DeleteOptions struct {
	Window int  // days in which it can be restored, 7 to 30; 0 leaves it to the server
	Force  bool // at once and for good
	Reason string
}

// Deleted is the answer to a deletion.
type Deleted struct {
	ARN    string    `json:"arn"`
	Name   string    `json:"name"`
	Purge  time.Time `json:"purge,omitzero"` // when it is, or was, deleted for good
	Change string    `json:"change,omitempty"`
	Status string    `json:"status,omitempty"`
}

// Outcome is what became of the deletion.
func (d Deleted) Outcome() Outcome { return Outcome{Change: d.Change, Status: d.Status} }

// Delete marks a secret for deletion, or with Force deletes it at once.
func (c *Client) Delete(ctx context.Context, name string, o DeleteOptions) (Deleted, error) {
	var out Deleted
	return out, c.call(ctx, request{method: "DELETE", path: "/secret",
		query: q("name", name, "window", number(o.Window), "force", truth(o.Force), "reason", o.Reason)}, &out)
}

// Restore takes the mark for deletion off a secret.
func (c *Client) Restore(ctx context.Context, name string) (Written, error) {
	var out Written
	return out, c.call(ctx, request{method: "POST", path: "/secret/restore", query: q("name", name)}, &out)
}

// Which names a version; the zero value is the current one. Of several that
// are given the server asks that they agree.
type Which struct {
	Version   uint64
	VersionID string
	Label     string
}

// Value is a version with its value.
type Value struct {
	ARN       string
	Name      string
	Version   uint64
	VersionID string
	Labels    []string
	Created   time.Time
	Binary    bool
	Data      sensitive.Bytes
}

// ReadValue returns the value of one version.
func (c *Client) ReadValue(ctx context.Context, name string, w Which) (Value, error) {
	var version string
	if w.Version != 0 {
		version = strconv.FormatUint(w.Version, 10)
	}
	var out struct {
		ARN       string    `json:"arn"`
		Name      string    `json:"name"`
		Version   uint64    `json:"version"`
		VersionID string    `json:"version_id"`
		Labels    []string  `json:"labels"`
		Created   time.Time `json:"created"`
		wireValue
	}
	err := c.call(ctx, request{method: "GET", path: "/secret/value",
		query: q("name", name, "version", version, "version_id", w.VersionID, "label", w.Label)}, &out)
	if err != nil {
		return Value{}, err
	}
	v := Value{ARN: out.ARN, Name: out.Name, Version: out.Version, VersionID: out.VersionID, Labels: out.Labels, Created: out.Created}
	switch {
	case out.Value != nil:
		v.Data = sensitive.FromString(*out.Value)
	case out.Binary != nil:
		v.Data, v.Binary = sensitive.New(out.Binary), true
	default:
		return Value{}, errors.New("the server's answer holds no value")
	}
	return v, nil
}

// PutRequest stores a new version.
type PutRequest struct {
	Value     Payload
	Base      uint64   // the version that the value was made from; 0 asks for no check
	Labels    []string // default the current label
	VersionID string   // makes a repeated request harmless; default the server's choice
	Reason    string
	Create    bool // make the secret when it is absent
}

// PutValue stores a new version. With a Base that is no longer current, the
// server merges JSON objects by key, and answers errs.Conflict where it cannot.
func (c *Client) PutValue(ctx context.Context, name string, r PutRequest) (Written, error) {
	body := struct {
		wireValue
		Base      uint64   `json:"base,omitempty"`
		Labels    []string `json:"labels,omitempty"`
		VersionID string   `json:"version_id,omitempty"`
		Reason    string   `json:"reason,omitempty"`
		Create    bool     `json:"create,omitempty"`
	}{r.Value.wire(), r.Base, r.Labels, r.VersionID, r.Reason, r.Create}
	var out Written
	return out, c.call(ctx, request{method: "PUT", path: "/secret/value", query: q("name", name), body: body}, &out)
}

// Version is what is known of a version but its value.
type Version struct {
	Number   uint64    `json:"number"`
	ID       string    `json:"id"`
	Labels   []string  `json:"labels,omitempty"`
	State    string    `json:"state"`
	Created  time.Time `json:"created"`
	Deleted  time.Time `json:"deleted,omitzero"`  // when it was deleted, or will be by itself
	Accessed time.Time `json:"accessed,omitzero"` // the day
	KMSKey   string    `json:"kms_key,omitempty"`
	Size     int       `json:"size"` // of the value, in bytes
	Binary   bool      `json:"binary,omitempty"`
	Author   string    `json:"author,omitempty"`
	Change   string    `json:"change,omitempty"`
}

// ListVersions returns one page of a secret's versions, newest first; with all
// also those without a label.
func (c *Client) ListVersions(ctx context.Context, name string, all bool, limit int, page string) (Page[Version], error) {
	var out Page[Version]
	return out, c.call(ctx, request{method: "GET", path: "/secret/versions",
		query: q("name", name, "all", truth(all), "limit", number(limit), "page", page)}, &out)
}

// DeleteVersions makes versions read as if they were not there, until they are
// undeleted; with destroy it destroys their values for good. An outcome without a
// change says that nothing had to be done.
func (c *Client) DeleteVersions(ctx context.Context, name string, versions []uint64, destroy bool, reason string) (Wrote, error) {
	verb := "delete"
	if destroy {
		verb = "destroy"
	}
	return c.versions(ctx, verb, name, versions, reason)
}

// UndeleteVersions brings deleted versions back.
func (c *Client) UndeleteVersions(ctx context.Context, name string, versions []uint64) (Wrote, error) {
	return c.versions(ctx, "undelete", name, versions, "")
}

func (c *Client) versions(ctx context.Context, verb, name string, versions []uint64, reason string) (Wrote, error) {
	var out Wrote
	body := struct {
		Versions []uint64 `json:"versions"`
		Reason   string   `json:"reason,omitempty"`
	}{versions, reason}
	return out, c.call(ctx, request{method: "POST", path: "/secret/versions/" + verb, query: q("name", name), body: body}, &out)
}

// LabelRequest moves a label: from one version to another, onto one (no From),
// or off one (no To). Versions are named by id.
type LabelRequest struct {
	Label  string `json:"label"`
	From   string `json:"from,omitempty"`
	To     string `json:"to,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// MoveLabel moves a label between the versions of a secret.
func (c *Client) MoveLabel(ctx context.Context, name string, r LabelRequest) (Written, error) {
	var out Written
	return out, c.call(ctx, request{method: "POST", path: "/secret/label", query: q("name", name), body: r}, &out)
}

// Tag sets tags on a secret.
func (c *Client) Tag(ctx context.Context, name string, tags map[string]string, reason string) (Written, error) {
	var out Written
	body := struct {
		Tags   map[string]string `json:"tags"`
		Reason string            `json:"reason,omitempty"`
	}{tags, reason}
	return out, c.call(ctx, request{method: "PUT", path: "/secret/tags", query: q("name", name), body: body}, &out)
}

// Untag removes tags by key.
func (c *Client) Untag(ctx context.Context, name string, keys []string) (Written, error) {
	v := q("name", name)
	for _, k := range keys {
		v.Add("key", k)
	}
	var out Written
	return out, c.call(ctx, request{method: "DELETE", path: "/secret/tags", query: v}, &out)
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func truth(b bool) string {
	if b {
		return "true"
	}
	return ""
}

// segment escapes a name for a path.
func segment(s string) string { return url.PathEscape(s) }

// SecretChanges returns one page of the changes to a secret, newest first.
func (c *Client) SecretChanges(ctx context.Context, name string, limit int, page string) (Page[Change], error) {
	var out Page[Change]
	return out, c.call(ctx, request{method: "GET", path: "/secret/changes",
		query: q("name", name, "limit", number(limit), "page", page)}, &out)
}
