package client

import (
	"context"
	"time"

	"countersign/internal/sensitive"
)

// AuditDevice is where the audit log is written a second time.
type AuditDevice struct {
	Name        string            `json:"name"`
	Type        string            `json:"type"` // file, socket or syslog
	Options     map[string]string `json:"options"`
	Description string            `json:"description,omitempty"`
	Local       bool              `json:"local,omitempty"`
	Created     time.Time         `json:"created"`
	By          string            `json:"created_by"` // ARN
	State       string            `json:"state"`      // starting, writing or failing
	Since       time.Time         `json:"since,omitzero"`
	Why         string            `json:"why,omitempty"` // it is failing
	Written     time.Time         `json:"last_written,omitzero"`
	Record      string            `json:"last_record,omitempty"`
	Behind      int64             `json:"behind_ms"` // age of the oldest record that is not written
	Lost        uint64            `json:"lost_records,omitempty"`
	Seq         uint64            `json:"last_sequence,omitempty"`
	Lag         uint64            `json:"lag_records,omitempty"`
}

// AuditDevices lists the audit devices by name.
func (c *Client) AuditDevices(ctx context.Context) ([]AuditDevice, error) {
	var out Page[AuditDevice]
	err := c.call(ctx, request{method: "GET", path: "/audit/devices"}, &out)
	return out.Items, err
}

// EnableAuditDevice says what a device is to be.
type EnableAuditDevice struct {
	Type        string            `json:"type"`
	Options     map[string]string `json:"options,omitempty"`
	Description string            `json:"description,omitempty"`
	Reason      string            `json:"reason,omitempty"`
}

// EnableAuditDevice makes the device of that name.
func (c *Client) EnableAuditDevice(ctx context.Context, name string, d EnableAuditDevice) (Result, error) {
	var out Result
	return out, c.call(ctx, request{method: "PUT", path: "/audit/devices/" + segment(name), body: d}, &out)
}

// DisableAuditDevice ends a device. What it wrote stays.
func (c *Client) DisableAuditDevice(ctx context.Context, name, reason string) (Result, error) {
	var out Result
	return out, c.call(ctx, request{method: "DELETE", path: "/audit/devices/" + segment(name), query: q("reason", reason)}, &out)
}

// HashForAudit returns how a text stands in the lines of a device.
func (c *Client) HashForAudit(ctx context.Context, name string, input sensitive.Bytes) (string, error) {
	body := struct {
		Input string `json:"input"`
	}{string(input.Reveal())}
	var out struct {
		Hash string `json:"hash"`
	}
	return out.Hash, c.call(ctx, request{method: "POST", path: "/audit/devices/" + segment(name) + "/hash", body: body}, &out)
}
