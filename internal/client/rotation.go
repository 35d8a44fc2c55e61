package client

import (
	"context"
	"time"
)

// RotationSettings are how a secret is rotated. Setting them replaces all that were
// there.
type RotationSettings struct {
	Rotator  string            `json:"rotator,omitempty"`
	Function string            `json:"function,omitempty"` // ARN; in the place of Rotator
	Options  map[string]string `json:"options,omitempty"`
	Days     int64             `json:"days,omitempty"`
	Schedule string            `json:"schedule,omitempty"`
	Window   string            `json:"window,omitempty"`
	Jitter   string            `json:"jitter,omitempty"`
	Blackout []string          `json:"blackout,omitempty"`
	Grace    string            `json:"grace,omitempty"`
	Readers  string            `json:"readers,omitempty"`
	Deadline string            `json:"deadline,omitempty"`
}

// States of a rotation.
const (
	RotationNone    = "none"
	RotationIdle    = "idle"
	RotationRunning = "running"
	RotationUndoing = "undoing"
	RotationFailed  = "failed"
)

// RotationStatus is how a secret is rotated, and how that went.
type RotationStatus struct {
	ARN   string `json:"arn"`
	Name  string `json:"name"`
	State string `json:"state"`
	RotationSettings
	Enabled  bool                 `json:"enabled"`
	Last     time.Time            `json:"last,omitzero"`
	Next     time.Time            `json:"next,omitzero"`
	Closes   time.Time            `json:"window_closes,omitzero"`
	Overdue  bool                 `json:"overdue,omitempty"`
	Current  uint64               `json:"current,omitempty"`
	Run      *RotationRun         `json:"run,omitempty"`
	Failure  *RotationFailure     `json:"failure,omitempty"`
	Retiring []RetiringCredential `json:"retiring,omitempty"`
	History  []RotationOutcome    `json:"history"`
}

// RotationRun is a rotation under way.
type RotationRun struct {
	VersionID string           `json:"version_id"`
	Version   uint64           `json:"version"`
	Step      string           `json:"step"`
	Attempt   int              `json:"attempt"`
	Began     time.Time        `json:"began"`
	Next      time.Time        `json:"next"`
	Until     time.Time        `json:"until,omitzero"`
	By        string           `json:"by,omitempty"`
	Failure   *RotationFailure `json:"failure,omitempty"`
}

// RotationFailure is why a step failed.
type RotationFailure struct {
	Step    string    `json:"step"`
	Class   string    `json:"class"`
	Message string    `json:"message"`
	Time    time.Time `json:"time"`
}

// RetiringCredential is a previous credential that is yet to end.
type RetiringCredential struct {
	Version  uint64           `json:"version"`
	At       time.Time        `json:"at,omitzero"`
	Deadline time.Time        `json:"deadline,omitzero"`
	Readers  int              `json:"readers_waited_for,omitempty"`
	Failure  *RotationFailure `json:"failure,omitempty"`
}

// RotationOutcome is how a rotation ended.
type RotationOutcome struct {
	Result    string           `json:"result"` // rotated, undone, stopped, cancelled, tested, retired
	VersionID string           `json:"version_id,omitempty"`
	Version   uint64           `json:"version,omitempty"`
	Began     time.Time        `json:"began"`
	Ended     time.Time        `json:"ended"`
	By        string           `json:"by,omitempty"`
	Previous  string           `json:"previous,omitempty"` // what became of the previous credential
	Failure   *RotationFailure `json:"failure,omitempty"`
}

// Rotation returns how a secret is rotated.
func (c *Client) Rotation(ctx context.Context, name string) (RotationStatus, error) {
	var out RotationStatus
	return out, c.call(ctx, request{method: "GET", path: "/secret/rotation", query: q("name", name)}, &out)
}

// PutRotation sets how a secret is rotated. It begins no rotation.
func (c *Client) PutRotation(ctx context.Context, name string, s RotationSettings, reason string) (Written, error) {
	var out Written
	body := struct {
		RotationSettings
		Reason string `json:"reason,omitempty"`
	}{s, reason}
	return out, c.call(ctx, request{method: "PUT", path: "/secret/rotation", query: q("name", name), body: body}, &out)
}

// CancelRotation turns the schedule of a secret off, and takes a rotation under way
// back.
func (c *Client) CancelRotation(ctx context.Context, name, reason string) (Written, error) {
	var out Written
	return out, c.call(ctx, request{method: "DELETE", path: "/secret/rotation", query: q("name", name, "reason", reason)}, &out)
}

// Rotate begins a rotation. revoke is "now", "grace" or empty.
func (c *Client) Rotate(ctx context.Context, name, revoke, reason string) (Written, error) {
	var out Written
	body := map[string]string{"revoke_previous": revoke, "reason": reason}
	return out, c.call(ctx, request{method: "POST", path: "/secret/rotate", query: q("name", name), body: body}, &out)
}

// RotationReport tells how a rotation would go.
type RotationReport struct {
	Name     string               `json:"name"`
	Rotator  string               `json:"rotator"`
	On       string               `json:"rehearsed_on,omitempty"`
	OK       bool                 `json:"ok"`
	Previous string               `json:"previous,omitempty"`
	Steps    []RotationReportStep `json:"steps"`
}

// RotationReportStep is one step of a report.
type RotationReportStep struct {
	Step    string           `json:"step"`
	OK      bool             `json:"ok"`
	Micros  int64            `json:"micros"`
	Failure *RotationFailure `json:"failure,omitempty"`
}

// DryRunRotation checks whether a secret could be rotated; with a scratch secret it
// rehearses it on the target of that.
func (c *Client) DryRunRotation(ctx context.Context, name, scratch string) (RotationReport, error) {
	var out RotationReport
	return out, c.call(ctx, request{method: "POST", path: "/secret/rotate/dry-run", query: q("name", name), body: map[string]string{"rehearse_on": scratch}}, &out)
}

// PlannedRotation is one date of the calendar.
type PlannedRotation struct {
	Name    string    `json:"name"`
	At      time.Time `json:"at"`
	Closes  time.Time `json:"window_closes"`
	Rotator string    `json:"rotator"`
	State   string    `json:"state"`
}

// Calendar is when secrets rotate.
type Calendar struct {
	Items []PlannedRotation `json:"items"`
	More  bool              `json:"more,omitempty"`
}

// Rotations lists when secrets rotate until a time.
func (c *Client) Rotations(ctx context.Context, until time.Time) (Calendar, error) {
	var out Calendar
	return out, c.call(ctx, request{method: "GET", path: "/rotations", query: q("until", until.UTC().Format(time.RFC3339))}, &out)
}

// Rotator is what secrets can be rotated with.
type Rotator struct {
	Name     string          `json:"name"`
	Help     string          `json:"help"`
	Options  []RotatorOption `json:"options"`
	Undoes   bool            `json:"undoes"`
	Previous string          `json:"previous"`
}

// RotatorOption is one of its options.
type RotatorOption struct {
	Name     string `json:"name"`
	Help     string `json:"help"`
	Secret   bool   `json:"secret,omitempty"`
	Required bool   `json:"required,omitempty"`
}

// Rotators lists what secrets can be rotated with.
func (c *Client) Rotators(ctx context.Context) ([]Rotator, error) {
	var out Page[Rotator]
	err := c.call(ctx, request{method: "GET", path: "/rotators"}, &out)
	return out.Items, err
}

// What a presented value can be.
const (
	MatchCurrent  = "current"
	MatchPrevious = "previous"
	MatchNone     = "none"
)

// Verified tells what a presented value is.
type Verified struct {
	Match   string    `json:"match"`
	Version uint64    `json:"version,omitempty"`
	Until   time.Time `json:"until,omitzero"` // end of the grace of a previous value
}

// Verify tells whether a presented value is that of a secret, or with key of one
// member of it.
func (c *Client) Verify(ctx context.Context, name, key string, p Payload) (Verified, error) {
	var out Verified
	body := struct {
		wireValue
		Key string `json:"key,omitempty"`
	}{p.wire(), key}
	return out, c.call(ctx, request{method: "POST", path: "/secret/verify", query: q("name", name), body: body}, &out)
}

// JWKSet is a set of public keys.
type JWKSet struct {
	Keys []map[string]string `json:"keys"`
}

// PublicKeys returns the public keys of a signing key that rotates.
func (c *Client) PublicKeys(ctx context.Context, name string) (JWKSet, error) {
	var out JWKSet
	return out, c.call(ctx, request{method: "GET", path: "/secret/jwks", query: q("name", name)}, &out)
}
