package secret

import (
	"context"
	"strconv"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/schedule"
	"countersign/internal/errs"
	"countersign/internal/name"
)

// RotateRequest configures rotation and, unless Later is set, asks for one at
// once. Nil and empty leave a setting as it is.
type RotateRequest struct {
	ID        name.SecretID
	VersionID string // of the version that a rotation makes
	Function  string // ARN of the rotation function
	Days      int64  // rotate that many days after the last time; excludes Schedule
	Schedule  string // rate(...) or cron(...)
	Window    string // "3h"
	Later     bool   // keep the settings and wait for the schedule
	External  map[string]string
	Role      string
	Reason    string
}

type rotateEdit struct {
	edit
	req RotateRequest
}

// Rotate keeps how a secret is to be rotated. Asked to rotate at once, it
// fails with CodeNotInvocable and changes nothing: no function can be invoked
// by this server.
func (s *Service) Rotate(ctx context.Context, who caller.Caller, req RotateRequest) (Written, error) {
	if err := req.check(); err != nil {
		return Written{}, s.refuse(ctx, who, policy.Rotate, req.ID.Name, err)
	}
	e := &rotateEdit{edit: edit{s: s, op: policy.Rotate, who: who, id: req.ID}, req: req}
	return s.run(ctx, who, req.Reason, e, &e.edit)
}

// maxExternal bounds the metadata of a managed external rotation.
const maxExternal = 50

func (r *RotateRequest) check() error {
	if err := name.Token("ClientRequestToken", r.VersionID); err != nil {
		return err
	}
	if err := name.Text("RotationLambdaARN", r.Function, 2048); err != nil {
		return err
	}
	if err := name.Text("ExternalSecretRotationRoleArn", r.Role, 2048); err != nil {
		return err
	}
	if len(r.External) > maxExternal {
		return errs.InvalidField("ExternalSecretRotationMetadata", "at most %d members", maxExternal)
	}
	for k, v := range r.External {
		if err := name.Text("ExternalSecretRotationMetadata", k+v, 2048); err != nil {
			return err
		}
	}
	refuse := func(field, msg string) error {
		return &errs.Error{Kind: errs.Invalid, Code: CodeSchedule, Field: field, Msg: msg}
	}
	switch {
	case r.Days != 0 && r.Schedule != "":
		return refuse("RotationRules", "AutomaticallyAfterDays and ScheduleExpression exclude each other")
	case r.Days < 0 || r.Days > 1000:
		return refuse("AutomaticallyAfterDays", "AutomaticallyAfterDays is 1 to 1000")
	}
	if r.Schedule != "" {
		if _, err := schedule.Parse(r.Schedule); err != nil {
			return refuse("ScheduleExpression", errs.As(err).Msg)
		}
	}
	if r.Window != "" {
		if _, err := schedule.ParseWindow(r.Window); err != nil {
			return refuse("Duration", errs.As(err).Msg)
		}
	}
	return nil
}

// plan is when a rotation is due; the zero Schedule when it never is.
func (r *Rotation) plan() (schedule.Schedule, error) {
	if r.Schedule != "" {
		return schedule.Parse(r.Schedule)
	}
	return schedule.Days(int(r.Days)), nil
}

// checkWindow refuses a window that runs into the next rotation.
func (r *Rotation) checkWindow() error {
	if r.Window == "" {
		return nil
	}
	plan, err := r.plan()
	if err != nil {
		return err
	}
	window, err := schedule.ParseWindow(r.Window)
	if err != nil {
		return err
	}
	if err := plan.CheckWindow(window); err != nil {
		return &errs.Error{Kind: errs.Invalid, Code: CodeSchedule, Field: "Duration", Msg: errs.As(err).Msg}
	}
	return nil
}

func (e *rotateEdit) Allow(a *gate.Access) error {
	r := e.req
	extra := []policy.Pair{
		{Key: policy.KeyRotateImmediately, Value: strconv.FormatBool(!r.Later)},
		{Key: policy.KeyModifyRotation, Value: strconv.FormatBool(r.Days != 0 || r.Schedule != "" || r.Window != "")},
	}
	if r.Function != "" {
		extra = append(extra, policy.Pair{Key: policy.KeyRotationLambdaARN, Value: r.Function})
	}
	return e.open(a, extra...)
}

func (e *rotateEdit) Apply(tx *change.Tx) error {
	if err := e.ready(); err != nil {
		return err
	}
	h := e.f.head
	rot := Rotation{}
	if h.Rotation != nil {
		rot = *h.Rotation
	}
	if e.req.Function != "" {
		rot.Function = e.req.Function
	}
	if e.req.Days != 0 {
		rot.Days, rot.Schedule = e.req.Days, ""
	}
	if e.req.Schedule != "" {
		rot.Days, rot.Schedule = 0, e.req.Schedule
	}
	if e.req.Window != "" {
		rot.Window = e.req.Window
	}
	if e.req.External != nil {
		rot.External = e.req.External
	}
	if e.req.Role != "" {
		rot.Role = e.req.Role
	}
	switch {
	case rot.Function == "" && len(rot.External) == 0:
		return errs.Coded(errs.Precondition, CodeNoRotation, "no rotation function is configured for the secret")
	case rot.Days == 0 && rot.Schedule == "" && e.req.Later:
		return &errs.Error{Kind: errs.Invalid, Code: CodeSchedule, Field: "RotationRules", Msg: "a rotation that is not at once needs a schedule"}
	case !e.req.Later:
		return errs.Coded(errs.Precondition, CodeNotInvocable, "the rotation function cannot be invoked")
	}
	if err := rot.checkWindow(); err != nil {
		return err
	}
	rot.Enabled, rot.Since = true, micros(tx.Now)
	h.Rotation = &rot
	at := h.Labels[name.Current]
	e.out.VersionID, e.out.Number = at.ID, at.Number
	tx.Wrote(at.Number, 0, nil)
	return e.save(tx)
}

type cancelEdit struct{ edit }

// CancelRotation turns scheduled rotation off and keeps its settings.
func (s *Service) CancelRotation(ctx context.Context, who caller.Caller, id name.SecretID, reason string) (Written, error) {
	e := &cancelEdit{edit{s: s, op: policy.CancelRotation, who: who, id: id}}
	return s.run(ctx, who, reason, e, &e.edit)
}

func (e *cancelEdit) Apply(tx *change.Tx) error {
	if err := e.ready(); err != nil {
		return err
	}
	h := e.f.head
	at := h.Labels[name.Current]
	e.out.VersionID, e.out.Number = at.ID, at.Number
	if h.Rotation == nil || !h.Rotation.Enabled {
		tx.NothingToDo()
		return nil
	}
	rot := *h.Rotation
	rot.Enabled = false
	h.Rotation = &rot
	tx.Wrote(at.Number, 0, nil)
	return e.save(tx)
}

// nextRotation is when a schedule fires next after it was set or last fired.
func nextRotation(r *Rotation) time.Time {
	if r == nil || !r.Enabled {
		return time.Time{}
	}
	plan, err := r.plan()
	if err != nil {
		return time.Time{}
	}
	from := when(max(r.Last, r.Since))
	next, _ := plan.NextFrom(from, from)
	return next
}
