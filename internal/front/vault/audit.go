package vault

import (
	"context"
	"net/http"

	"countersign/internal/core/auditdevice"
	"countersign/internal/core/policy"
	"countersign/internal/errs"
)

// auditRows are the audit devices of the account.
func auditRows() []row {
	return []row{
		{methods: "GET", path: "audit", op: policy.ListAuditDevices, do: listDevices},
		{methods: "POST", path: "audit/{path...}", op: policy.PutAuditDevice, do: enableDevice},
		{methods: "DELETE", path: "audit/{path...}", op: policy.DeleteAuditDevice, do: disableDevice},
		{methods: "POST", path: "audit-hash/{path...}", op: policy.AuditHash, do: hashForDevice},
	}
}

type deviceJSON struct {
	Description string            `json:"description"`
	Local       bool              `json:"local"`
	Options     map[string]string `json:"options"`
	Path        string            `json:"path"`
	Type        string            `json:"type"`
}

func listDevices(ctx context.Context, c *call) (*answer, error) {
	list, err := c.f.Devices.List(ctx, c.who)
	if err != nil {
		return nil, err
	}
	out := make(map[string]deviceJSON, len(list))
	for _, d := range list {
		out[d.Name+"/"] = deviceJSON{Description: d.Description, Local: d.Local, Options: d.Options, Path: d.Name + "/", Type: d.Type}
	}
	return &answer{data: out, plain: true}, nil
}

func enableDevice(ctx context.Context, c *call) (*answer, error) {
	req := auditdevice.EnableRequest{Name: c.vars[0], Type: c.text("type"), Options: c.texts("options"), Description: c.text("description"), Local: c.boolean("local")}
	if c.err != nil {
		return nil, nil
	}
	return c.done(c.f.Devices.Enable(ctx, c.who, req))
}

// disableDevice ends a device. That there is none is no error, as in Vault.
func disableDevice(ctx context.Context, c *call) (*answer, error) {
	res, err := c.f.Devices.Disable(ctx, c.who, auditdevice.DisableRequest{Name: c.vars[0]})
	if errs.Is(err, errs.NotFound) {
		return &answer{code: http.StatusNoContent}, nil
	}
	return c.done(res, err)
}

func hashForDevice(ctx context.Context, c *call) (*answer, error) {
	input := c.text("input")
	if c.err != nil {
		return nil, nil
	}
	hash, err := c.f.Devices.Hash(ctx, c.who, c.vars[0], []byte(input))
	if errs.Is(err, errs.NotFound) {
		return nil, errs.New(errs.Invalid, "unknown audit backend")
	}
	if err != nil {
		return nil, err
	}
	return &answer{data: map[string]string{"hash": hash}, plain: true}, nil
}
