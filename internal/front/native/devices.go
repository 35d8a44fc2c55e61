package native

import (
	"context"

	"countersign/internal/core/auditdevice"
	"countersign/internal/core/change"
	"countersign/internal/core/policy"
)

type enableDeviceBody struct {
	Type        string            `json:"type"`
	Settings    map[string]string `json:"options"`
	Description string            `json:"description"`
	Reason      string            `json:"reason"`
	options
}

type hashBody struct {
	Input hidden `json:"input"`
}

type hashView struct {
	Hash string `json:"hash"`
}

func deviceRows() []route {
	return []route{
		row(route{method: "GET", path: "/audit/devices", op: policy.ListAuditDevices, deadline: deadline},
			func(a *api, c *call, _ *none) func(context.Context) (list[auditdevice.Device], error) {
				return func(ctx context.Context) (list[auditdevice.Device], error) {
					out, err := a.Devices.List(ctx, c.who)
					return listOf(out, ""), err
				}
			}),
		row(route{method: "PUT", path: "/audit/devices/{name}", op: policy.PutAuditDevice, deadline: deadline, once: true},
			func(a *api, c *call, in *enableDeviceBody) func(context.Context) (change.Result, error) {
				req := auditdevice.EnableRequest{Name: c.vars[0], Type: in.Type, Options: in.Settings, Description: in.Description,
					Reason: in.Reason, Change: in.options.of(c)}
				return func(ctx context.Context) (change.Result, error) { return a.Devices.Enable(ctx, c.who, req) }
			}),
		row(route{method: "DELETE", path: "/audit/devices/{name}", op: policy.DeleteAuditDevice, deadline: deadline, once: true, params: []param{reason}},
			func(a *api, c *call, _ *none) func(context.Context) (change.Result, error) {
				req := auditdevice.DisableRequest{Name: c.vars[0], Reason: c.string("reason"), Options: change.Options{Key: c.key}}
				return func(ctx context.Context) (change.Result, error) { return a.Devices.Disable(ctx, c.who, req) }
			}),
		row(route{method: "POST", path: "/audit/devices/{name}/hash", op: policy.AuditHash, deadline: deadline},
			func(a *api, c *call, in *hashBody) func(context.Context) (hashView, error) {
				return func(ctx context.Context) (hashView, error) {
					out, err := a.Devices.Hash(ctx, c.who, c.vars[0], in.Input.Reveal())
					return hashView{out}, err
				}
			}),
	}
}
