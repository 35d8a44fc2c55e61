package native

import (
	"context"
	"time"

	"countersign/internal/core/audit"
	"countersign/internal/core/change"
	"countersign/internal/core/inspect"
	"countersign/internal/core/policy"
)

type glassBody struct {
	Reason  string `json:"reason"`
	Minutes int    `json:"minutes"`
}

// emergencyView is a broken glass.
type emergencyView struct {
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

func viewEmergency(e change.Emergency) emergencyView {
	return emergencyView{ID: e.ID, By: e.By, Reason: e.Reason, Opened: moment(e.Opened), Until: moment(e.Until), Changes: some(e.Changes),
		Closed: moment(e.Closed), ClosedBy: e.ClosedBy, Comment: e.Comment}
}

// emergencyReport is an emergency with what was done in it.
type emergencyReport struct {
	emergencyView
	Done    []changeView   `json:"done"`
	Records []audit.Record `json:"records"`
	Cut     bool           `json:"cut,omitempty"` // there are more records
}

func glassRows() []route {
	return []route{
		row(route{method: "GET", path: "/break-glass", op: policy.ReadBreakGlass, name: "ListBreakGlass", deadline: deadline, workflow: true, params: []param{{name: "all", kind: boolean}}},
			func(a *api, c *call, _ *none) func(context.Context) (list[emergencyView], error) {
				all := c.bool("all")
				return func(ctx context.Context) (list[emergencyView], error) {
					out, err := a.Changes.Emergencies(ctx, c.who, all)
					return listOf(views(out, viewEmergency), ""), err
				}
			}),
		row(route{method: "POST", path: "/break-glass", op: policy.BreakGlass, deadline: deadline, workflow: true},
			func(a *api, c *call, in *glassBody) func(context.Context) (emergencyView, error) {
				return func(ctx context.Context) (emergencyView, error) {
					e, err := a.Changes.BreakGlass(ctx, c.who, change.GlassRequest{Reason: in.Reason, For: time.Duration(in.Minutes) * time.Minute})
					return viewEmergency(e), err
				}
			}),
		row(route{method: "GET", path: "/break-glass/{id}", op: policy.ReadBreakGlass, deadline: long, workflow: true},
			func(a *api, c *call, _ *none) func(context.Context) (emergencyReport, error) {
				return func(ctx context.Context) (emergencyReport, error) {
					r, err := a.Inspect.Emergency(ctx, c.who, c.vars[0])
					return viewReport(r), err
				}
			}),
		row(route{method: "POST", path: "/break-glass/{id}/close", op: policy.CloseBreakGlass, deadline: deadline, workflow: true, mayLack: true, limit: maxBody},
			func(a *api, c *call, in *commentBody) func(context.Context) (emergencyView, error) {
				return func(ctx context.Context) (emergencyView, error) {
					e, err := a.Changes.CloseGlass(ctx, c.who, c.vars[0], in.Comment)
					return viewEmergency(e), err
				}
			}),
	}
}

func viewReport(r inspect.EmergencyReport) emergencyReport {
	if r.Records == nil {
		r.Records = []audit.Record{}
	}
	return emergencyReport{emergencyView: viewEmergency(r.Emergency), Done: views(r.Changes, viewChange), Records: r.Records, Cut: r.Cut}
}
