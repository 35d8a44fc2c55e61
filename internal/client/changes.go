package client

import (
	"context"
	"encoding/json"
	"net/url"
	"strconv"
	"time"

	"countersign/internal/sensitive"
)

// States of a change.
const (
	Draft      = "draft"
	Pending    = "pending"
	Conflicted = "conflicted"
	Approved   = "approved"
	Applied    = "applied"
	Rejected   = "rejected"
	Withdrawn  = "withdrawn"
	Expired    = "expired"
)

// Open reports whether a change in that state may still take effect.
func Open(status string) bool {
	return status == Draft || status == Pending || status == Conflicted || status == Approved
}

// Change is what is kept of a change. It holds no value.
type Change struct {
	ID         string    `json:"id"`
	Short      string    `json:"short,omitempty"` // as much of the id as is unique
	Noun       string    `json:"noun"`
	Region     string    `json:"region,omitempty"`
	Name       string    `json:"name"`
	Operation  string    `json:"operation"`
	Kind       string    `json:"kind,omitempty"`
	Author     string    `json:"author"` // ARN
	Front      string    `json:"front"`
	Reason     string    `json:"reason,omitempty"`
	Base       uint64    `json:"base_version,omitempty"`
	Version    uint64    `json:"version,omitempty"`
	Keys       []string  `json:"keys,omitempty"`
	Versions   []uint64  `json:"versions,omitempty"` // deleted, undeleted or destroyed
	Status     string    `json:"status"`
	Time       time.Time `json:"time"`
	Rule       string    `json:"rule,omitempty"`
	NotBefore  time.Time `json:"not_before,omitzero"`
	Expires    time.Time `json:"expires,omitzero"`
	Ended      time.Time `json:"ended,omitzero"`
	EndedBy    string    `json:"ended_by,omitempty"`
	Conflicts  []string  `json:"conflicts,omitempty"`
	BreakGlass string    `json:"break_glass,omitempty"`
	RequestID  string    `json:"request_id,omitempty"`
}

// Review is a change with what is needed to decide on it.
type Review struct {
	Change
	Digest   string     `json:"digest,omitempty"` // that an approval names; empty when the change is not open
	Current  uint64     `json:"current,omitempty"`
	Standing []Standing `json:"standing"`
	Rules    []Rule     `json:"rules"`
	Votes    []Vote     `json:"votes"`
	Comments []Comment  `json:"comments"`
	Diff     []KeyDiff  `json:"diff"`
	Lines    []string   `json:"lines,omitempty"`
	Conflict string     `json:"conflict,omitempty"` // why it cannot take effect
	Cannot   string     `json:"cannot,omitempty"`   // why the caller cannot approve it
	Reveals  bool       `json:"reveals"`            // the caller may read the values
}

// Standing is how far a change has come under one rule.
type Standing struct {
	Rule      string  `json:"rule"`
	Approvals []Count `json:"approvals"`
}

// Count is one approval that a rule asks for.
type Count struct {
	Need   int      `json:"need"`
	Have   int      `json:"have"`
	Groups []string `json:"groups,omitempty"`
	By     []string `json:"by,omitempty"`
}

// Vote is somebody's decision on a change.
type Vote struct {
	By        string    `json:"by"`
	Approve   bool      `json:"approve"`
	Counts    bool      `json:"counts"`
	Comment   string    `json:"comment,omitempty"`
	Time      time.Time `json:"time"`
	MFA       bool      `json:"mfa,omitempty"`
	Signed    bool      `json:"signed,omitempty"`
	Signature string    `json:"signature,omitempty"`
	Key       string    `json:"key,omitempty"`
}

// Comment is a remark on a change.
type Comment struct {
	By   string    `json:"by"`
	Text string    `json:"text"`
	Time time.Time `json:"time"`
}

// KeyDiff is how one key of a value changes; with an empty Key, the whole value.
type KeyDiff struct {
	Key    string   `json:"key"`
	Change string   `json:"change"` // added, removed, changed, same
	Old    *Facts   `json:"old,omitempty"`
	New    *Facts   `json:"new,omitempty"`
	Notes  []string `json:"notes,omitempty"`
}

// Facts is what is told of a value instead of it.
type Facts struct {
	Length string `json:"length"`
	Format string `json:"format"`
}

// Options say how a write is to be proposed.
type Options struct {
	Draft     bool
	NotBefore time.Time
	Key       string // of idempotency: the same request is made once only
}

// wireOptions is Options in a body.
type wireOptions struct {
	Draft     bool      `json:"draft,omitempty"`
	NotBefore time.Time `json:"not_before,omitzero"`
}

func (o Options) wire() wireOptions { return wireOptions{o.Draft, o.NotBefore} }

// PatchRequest sets and removes keys of a secret that is a JSON object.
type PatchRequest struct {
	Set     map[string]sensitive.Bytes // texts
	Unset   []string
	Replace bool // the keys in Set are to be the only ones
	Base    *uint64
	Reason  string
	Options
}

// Patch proposes, or where no rule holds makes, changes to single keys.
func (c *Client) Patch(ctx context.Context, name string, r PatchRequest) (Written, error) {
	body := struct {
		Set     map[string]string `json:"set,omitempty"`
		Unset   []string          `json:"unset,omitempty"`
		Replace bool              `json:"replace,omitempty"`
		Base    *uint64           `json:"base,omitempty"`
		Reason  string            `json:"reason,omitempty"`
		wireOptions
	}{Set: map[string]string{}, Unset: r.Unset, Replace: r.Replace, Base: r.Base, Reason: r.Reason, wireOptions: r.Options.wire()}
	for k, v := range r.Set {
		body.Set[k] = string(v.Reveal())
	}
	var out Written
	return out, c.call(ctx, request{method: "POST", path: "/secret/patch", query: q("name", name), body: body, key: r.Key}, &out)
}

// RollbackRequest undoes a change, or goes back to a version or a time.
type RollbackRequest struct {
	Name    string // of the secret; may be empty with Change
	Change  string
	Version uint64
	Time    time.Time
	Reason  string
	Options
}

// Rollback proposes, or where no rule holds makes, a rollback.
func (c *Client) Rollback(ctx context.Context, r RollbackRequest) (Written, error) {
	body := struct {
		Name    string    `json:"name,omitempty"`
		Change  string    `json:"change,omitempty"`
		Version uint64    `json:"version,omitempty"`
		Time    time.Time `json:"time,omitzero"`
		Reason  string    `json:"reason,omitempty"`
		wireOptions
	}{r.Name, r.Change, r.Version, r.Time, r.Reason, r.Options.wire()}
	var out Written
	return out, c.call(ctx, request{method: "POST", path: "/rollback", body: body, key: r.Key}, &out)
}

// ChangeList selects changes, newest first; empty members select all.
type ChangeList struct {
	Name     string // of a secret, in the client's region, or of a Noun
	Noun     string
	Prefix   string
	Statuses []string
	Author   string // name
	Since    time.Time
	Until    time.Time
	Limit    int
	Page     string
}

// ListChanges returns one page of changes.
func (c *Client) ListChanges(ctx context.Context, o ChangeList) (Page[Change], error) {
	v := q("name", o.Name, "noun", o.Noun, "prefix", o.Prefix, "author", o.Author, "since", instant(o.Since), "until", instant(o.Until),
		"limit", number(o.Limit), "page", o.Page)
	for _, s := range o.Statuses {
		v.Add("status", s)
	}
	var out Page[Change]
	return out, c.call(ctx, request{method: "GET", path: "/changes", query: v}, &out)
}

// instant is a time in a query, empty for none.
func instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// GetChange returns a change for review, by its id or the beginning of it.
func (c *Client) GetChange(ctx context.Context, id string) (Review, error) {
	var out Review
	return out, c.call(ctx, request{method: "GET", path: "/changes/" + url.PathEscape(id)}, &out)
}

// Decided is what became of a change by a vote.
type Decided struct {
	Change
	Standing []Standing `json:"standing"`
}

// Approve votes for a change as it was reviewed.
func (c *Client) Approve(ctx context.Context, id, digest, comment, signature string) (Decided, error) {
	body := struct {
		Digest    string `json:"digest"`
		Comment   string `json:"comment,omitempty"`
		Signature string `json:"signature,omitempty"`
	}{digest, comment, signature}
	var out Decided
	return out, c.call(ctx, request{method: "POST", path: "/changes/" + url.PathEscape(id) + "/approve", body: body}, &out)
}

// Reject ends a change.
func (c *Client) Reject(ctx context.Context, id, comment string) (Decided, error) {
	var out Decided
	return out, c.step(ctx, id, "reject", comment, &out)
}

// Withdraw ends one's own change.
func (c *Client) Withdraw(ctx context.Context, id, comment string) (Change, error) {
	var out Change
	return out, c.step(ctx, id, "withdraw", comment, &out)
}

// AddComment says something about a change.
func (c *Client) AddComment(ctx context.Context, id, text string) (Change, error) {
	var out Change
	return out, c.step(ctx, id, "comments", text, &out)
}

// Ready puts one's own draft to review.
func (c *Client) Ready(ctx context.Context, id string) (Change, error) {
	var out Change
	return out, c.call(ctx, request{method: "POST", path: "/changes/" + url.PathEscape(id) + "/ready"}, &out)
}

func (c *Client) step(ctx context.Context, id, step, comment string, out any) error {
	body := struct {
		Comment string `json:"comment,omitempty"`
	}{comment}
	return c.call(ctx, request{method: "POST", path: "/changes/" + url.PathEscape(id) + "/" + step, body: body}, out)
}

// Proposed returns the value that an open change would make current, and the
// version that is current now.
func (c *Client) Proposed(ctx context.Context, id string) (Payload, uint64, error) {
	var out struct {
		wireValue
		Base uint64 `json:"base_version"`
	}
	if err := c.call(ctx, request{method: "GET", path: "/secret/proposed", query: q("change", id)}, &out); err != nil {
		return Payload{}, 0, err
	}
	if out.Value == nil {
		return Payload{Data: sensitive.New(out.Binary), Binary: true}, out.Base, nil
	}
	return Payload{Data: sensitive.FromString(*out.Value)}, out.Base, nil
}

// Rule is a protection rule.
type Rule struct {
	Name        string            `json:"name"`
	Match       []string          `json:"match"`
	Tags        map[string]string `json:"tags,omitempty"`
	Kinds       []string          `json:"kinds,omitempty"`
	Approvals   []RuleApproval    `json:"approvals,omitempty"`
	AllowAuthor bool              `json:"allow_author,omitempty"`
	MFA         bool              `json:"mfa,omitempty"`
	Signed      bool              `json:"signed,omitempty"`
	Machines    []string          `json:"machines,omitempty"`
	Hours       string            `json:"hours,omitempty"`
	ExpiryDays  int               `json:"expiry_days,omitempty"`
	BreakGlass  string            `json:"break_glass,omitempty"`
}

// RuleApproval asks for signatures.
type RuleApproval struct {
	Count  int      `json:"count"`
	Groups []string `json:"groups,omitempty"`
}

// Rules is the list of an account's rules: the last that matches holds.
type Rules struct {
	Rules    []Rule `json:"rules"`
	Revision uint64 `json:"revision"`
}

// ListRules returns the protection rules in their order.
func (c *Client) ListRules(ctx context.Context) (Rules, error) {
	var out Rules
	return out, c.call(ctx, request{method: "GET", path: "/protection"}, &out)
}

// Result tells what became of a write.
type Result struct {
	Change string `json:"change,omitempty"`
	Status string `json:"status"`
}

// RuleChange alters the rules: exactly one of Set, Delete and Replace is given.
type RuleChange struct {
	Set      *Rule   `json:"set,omitempty"`
	Before   string  `json:"before,omitempty"`
	Delete   string  `json:"delete,omitempty"`
	Replace  *[]Rule `json:"replace,omitempty"`
	Revision uint64  `json:"revision,omitempty"` // with Replace: of the list it was made from
	Reason   string  `json:"reason,omitempty"`
	Key      string  `json:"-"` // of idempotency: the same request is made once only, within a day
}

// PutRules alters the protection rules.
func (c *Client) PutRules(ctx context.Context, r RuleChange) (Result, error) {
	var out Result
	return out, c.call(ctx, request{method: "POST", path: "/protection", body: r, key: r.Key}, &out)
}

// RuleTest asks which rule holds.
type RuleTest struct {
	Name   string            `json:"name"`
	Noun   string            `json:"noun,omitempty"` // default secret
	Kind   string            `json:"kind,omitempty"` // default edit
	Tags   map[string]string `json:"tags,omitempty"`
	Author string            `json:"author,omitempty"`
}

// Protection is which rule holds, and who could approve.
type Protection struct {
	Rule     *Rule `json:"rule,omitempty"`
	Protects bool  `json:"protects"`
	Voters   []struct {
		Count  int      `json:"count"`
		Groups []string `json:"groups,omitempty"`
		Names  []string `json:"names"`
	} `json:"voters"`
	Warnings []string `json:"warnings,omitempty"`
}

// TestRules tells which rule holds for a change, and who could approve it.
func (c *Client) TestRules(ctx context.Context, t RuleTest) (Protection, error) {
	var out Protection
	return out, c.call(ctx, request{method: "POST", path: "/protection/test", body: t}, &out)
}

// Project is a project with its environments, each of which is one secret.
type Project struct {
	Name         string        `json:"name"`
	Template     string        `json:"template"` // of the secrets' names
	Description  string        `json:"description,omitempty"`
	Environments []Environment `json:"environments"`
	Created      time.Time     `json:"created"`
}

// Environment is one environment of a project.
type Environment struct {
	Name   string `json:"name"`
	Secret string `json:"secret"` // name of the secret that holds its variables
}

// ListProjects returns one page of the projects that the caller may see.
func (c *Client) ListProjects(ctx context.Context, limit int, page string) (Page[Project], error) {
	var out Page[Project]
	return out, c.call(ctx, request{method: "GET", path: "/projects", query: q("limit", number(limit), "page", page)}, &out)
}

// GetProject returns a project.
func (c *Client) GetProject(ctx context.Context, name string) (Project, error) {
	var out Project
	return out, c.call(ctx, request{method: "GET", path: "/projects/" + url.PathEscape(name)}, &out)
}

// ProjectResult is a project after a change to it, and what became of that.
type ProjectResult struct {
	Project
	Result
}

// CreateProject makes a project.
func (c *Client) CreateProject(ctx context.Context, name string, environments []string, template, description string) (ProjectResult, error) {
	body := struct {
		Name         string   `json:"name"`
		Environments []string `json:"environments"`
		Template     string   `json:"template,omitempty"`
		Description  string   `json:"description,omitempty"`
	}{name, environments, template, description}
	var out ProjectResult
	return out, c.call(ctx, request{method: "POST", path: "/projects", body: body}, &out)
}

// UpdateProject adds and removes environments. The secret of a removed one stays.
func (c *Client) UpdateProject(ctx context.Context, name string, add, remove []string) (ProjectResult, error) {
	body := struct {
		Add    []string `json:"add,omitempty"`
		Remove []string `json:"remove,omitempty"`
	}{add, remove}
	var out ProjectResult
	return out, c.call(ctx, request{method: "PATCH", path: "/projects/" + url.PathEscape(name), body: body}, &out)
}

// DeleteProject removes a project. The secrets of its environments stay.
func (c *Client) DeleteProject(ctx context.Context, name string) (Result, error) {
	var out Result
	return out, c.call(ctx, request{method: "DELETE", path: "/projects/" + url.PathEscape(name)}, &out)
}

// Proof returns what proves that a version was countersigned, as the export that
// package proof reads; it holds the value. Version 0 is the current one.
func (c *Client) Proof(ctx context.Context, name string, version uint64) (sensitive.Bytes, error) {
	v := q("name", name)
	if version != 0 {
		v.Set("version", strconv.FormatUint(version, 10))
	}
	var out json.RawMessage
	err := c.call(ctx, request{method: "GET", path: "/secret/proof", query: v}, &out)
	return sensitive.New(out), err
}

// Emergency is a broken glass.
type Emergency struct {
	ID       string    `json:"id"`
	By       string    `json:"by"`
	Reason   string    `json:"reason"`
	Opened   time.Time `json:"opened"`
	Until    time.Time `json:"until"`
	Changes  []string  `json:"changes"`
	Closed   time.Time `json:"closed,omitzero"`
	ClosedBy string    `json:"closed_by,omitempty"`
	Comment  string    `json:"comment,omitempty"`
}

// EmergencyReport is an emergency with what was done in it.
type EmergencyReport struct {
	Emergency
	Done    []Change `json:"done"`
	Records []Record `json:"records"`
	Cut     bool     `json:"cut,omitempty"`
}

// BreakGlass opens an emergency.
func (c *Client) BreakGlass(ctx context.Context, reason string, minutes int) (Emergency, error) {
	body := struct {
		Reason  string `json:"reason"`
		Minutes int    `json:"minutes,omitempty"`
	}{reason, minutes}
	var out Emergency
	return out, c.call(ctx, request{method: "POST", path: "/break-glass", body: body}, &out)
}

// Emergencies lists those that nobody closed, or all.
func (c *Client) Emergencies(ctx context.Context, all bool) (Page[Emergency], error) {
	var out Page[Emergency]
	return out, c.call(ctx, request{method: "GET", path: "/break-glass", query: q("all", truth(all))}, &out)
}

// Emergency returns the report of one.
func (c *Client) Emergency(ctx context.Context, id string) (EmergencyReport, error) {
	var out EmergencyReport
	return out, c.call(ctx, request{method: "GET", path: "/break-glass/" + url.PathEscape(id)}, &out)
}

// CloseGlass ends the review of an emergency.
func (c *Client) CloseGlass(ctx context.Context, id, comment string) (Emergency, error) {
	body := struct {
		Comment string `json:"comment,omitempty"`
	}{comment}
	var out Emergency
	return out, c.call(ctx, request{method: "POST", path: "/break-glass/" + url.PathEscape(id) + "/close", body: body}, &out)
}

// In is the client in another region; empty is the same one.
func (c *Client) In(region string) *Client {
	d := *c
	if region != "" {
		d.region = region
	}
	return &d
}
