package secret

import (
	"context"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/protect"
	"countersign/internal/core/schedule"
	"countersign/internal/errs"
	"countersign/internal/name"
	"countersign/internal/rotator"
)

// KindFunction is the rotator that calls the function which Rotation.Function names.
const KindFunction = "function"

// OptionFunction is its option, which is not kept beside Rotation.Function.
const OptionFunction = "function"

// RotateRequest configures rotation and, unless Later is set, asks for one at
// once. Nil and empty leave a setting as it is, unless Replace is set.
type RotateRequest struct {
	ID        name.SecretID
	VersionID string // of the version that a rotation makes
	Function  string // ARN of the rotation function; excludes Rotator
	Days      int64  // rotate that many days after the last time; excludes Schedule
	Schedule  string // rate(...), cron(...) or, with Native, five fields
	Window    string // "3h"
	Later     bool   // keep the settings and wait for the schedule
	External  map[string]string
	Role      string
	Reason    string

	Replace  bool   // settings that are not given are forgotten
	Native   bool   // schedules as schedule.ParseAny reads them
	Rotator  string // kind of rotator
	Options  map[string]string
	Jitter   time.Duration
	Blackout []string      // periods, as schedule.ParsePeriod reads them
	Grace    time.Duration // how long the previous credential stays valid
	Readers  time.Duration // retire it once all who read in that time have the new one
	Deadline time.Duration // but that long after the rotation at the latest
	// Revoke ends the previous credential as soon as the new one is current.
	Revoke bool
}

// configures reports whether the request alters settings.
func (r *RotateRequest) configures() bool {
	return r.Replace || r.Function != "" || r.Days != 0 || r.Schedule != "" || r.Window != "" || r.External != nil || r.Role != "" ||
		r.Rotator != "" || r.Options != nil || r.Jitter != 0 || r.Blackout != nil || r.Grace != 0 || r.Readers != 0 || r.Deadline != 0
}

type rotateEdit struct {
	edit
	req RotateRequest
	// token is what proves to this server that a call belongs to the rotation.
	token string
}

// Rotate keeps how a secret is to be rotated and begins a rotation unless it is to
// wait for the schedule; package rotation carries it out. The version that it makes
// is registered under AWSPENDING, without a value.
//
// Precondition: there is nothing to rotate it with; a rotation is under way; the
// previous credential is in its grace. Precondition with CodeNotInvocable: the
// function is none that this server knows.
func (s *Service) Rotate(ctx context.Context, who caller.Caller, req RotateRequest) (Written, error) {
	if err := req.check(); err != nil {
		return Written{}, s.refuse(ctx, who, policy.Rotate, req.ID.Name, err)
	}
	e := &rotateEdit{edit: edit{s: s, op: policy.Rotate, who: who, id: req.ID}, req: req, token: NewRotationToken()}
	out, err := s.run(ctx, who, req.Reason, e, &e.edit)
	if err == nil {
		s.rotates.Ring()
	}
	return out, err
}

// Limits of settings.
const (
	maxExternal = 50 // members of the metadata of a managed external rotation
	maxOptions  = 50
	maxOption   = 4096
	maxGrace    = 366 * 24 * time.Hour
)

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
	switch {
	case r.Days != 0 && r.Schedule != "":
		return badSchedule("RotationRules", "AutomaticallyAfterDays and ScheduleExpression exclude each other")
	case r.Days < 0 || r.Days > schedule.MaxDays:
		return badSchedule("AutomaticallyAfterDays", "AutomaticallyAfterDays is 1 to 1000")
	case r.Function != "" && r.Rotator != "" && r.Rotator != KindFunction:
		return errs.InvalidField("rotator", "a function is called by the rotator %q, not by %q", KindFunction, r.Rotator)
	case len(r.Options) > maxOptions:
		return errs.InvalidField("options", "at most %d options", maxOptions)
	}
	for k, v := range r.Options {
		if err := name.Text("options", k+v, maxOption); err != nil {
			return err
		}
	}
	if r.Schedule != "" && !r.Native {
		if _, err := schedule.Parse(r.Schedule); err != nil {
			return badSchedule(schedule.FieldExpression, errs.As(err).Msg)
		}
	}
	for field, d := range map[string]time.Duration{"grace": r.Grace, "readers": r.Readers, "deadline": r.Deadline} {
		if d < 0 || d > maxGrace {
			return errs.InvalidField(field, "it is between 0 and 366 days")
		}
	}
	if r.Deadline != 0 && r.Deadline < r.Grace {
		return errs.InvalidField("deadline", "it is no earlier than the end of the grace")
	}
	return nil
}

func badSchedule(field, msg string) error {
	return &errs.Error{Kind: errs.Invalid, Code: CodeSchedule, Field: field, Msg: msg}
}

// Plan is when the rotation is due.
func (r *Rotation) Plan() (p schedule.Plan, err error) {
	if r.Schedule != "" {
		p.Schedule, err = schedule.ParseAny(r.Schedule)
	} else {
		p.Schedule = schedule.Days(int(r.Days))
	}
	if err == nil && r.Window != "" {
		p.Window, err = schedule.ParseWindow(r.Window)
	}
	p.Jitter = time.Duration(r.Jitter) * time.Microsecond
	for _, text := range r.Blackout {
		if err != nil {
			break
		}
		var period schedule.Period
		period, err = schedule.ParsePeriod(text)
		p.Blackout = append(p.Blackout, period)
	}
	return p, err
}

// checkPlan refuses a schedule that cannot be kept.
func (r *Rotation) checkPlan() error {
	p, err := r.Plan()
	if err == nil {
		err = p.Check()
	}
	if err != nil {
		return badSchedule(errs.As(err).Field, errs.As(err).Msg)
	}
	return nil
}

// Kind is the name of the rotator, "" for none.
func (r *Rotation) Kind() string {
	if r == nil {
		return ""
	}
	if r.Rotator == "" && r.Function != "" {
		return KindFunction
	}
	return r.Rotator
}

// Settings are the options of the rotator, complete.
func (r *Rotation) Settings() map[string]string {
	out := maps.Clone(r.Options)
	if r.Function != "" {
		if out == nil {
			out = map[string]string{}
		}
		out[OptionFunction] = r.Function
	}
	return out
}

// with is the settings as a request leaves them.
func (r *Rotation) with(req *RotateRequest) Rotation {
	out := Rotation{}
	if r != nil {
		out = *r
	}
	if req.Replace {
		out = Rotation{Enabled: out.Enabled, Last: out.Last, Put: out.Put, Seen: out.Seen, Tried: out.Tried, Failure: out.Failure, Revoked: out.Revoked, Stopped: out.Stopped}
	}
	if req.Function != "" {
		out.Function, out.Rotator, out.Options = req.Function, "", nil
	}
	if req.Rotator != "" && req.Rotator != out.Rotator {
		out.Rotator, out.Options = req.Rotator, nil
		if req.Rotator != KindFunction {
			out.Function = ""
		}
	}
	if req.Options != nil {
		out.Options = maps.Clone(req.Options)
		if f, ok := out.Options[OptionFunction]; ok && out.Kind() == KindFunction {
			out.Function = f
			delete(out.Options, OptionFunction)
		}
	}
	if r != nil && out.Kind() != r.Kind() {
		out.Stopped = 0 // another kind cannot go on with it
	}
	if req.Days != 0 {
		out.Days, out.Schedule = req.Days, ""
	}
	if req.Schedule != "" {
		out.Days, out.Schedule = 0, req.Schedule
	}
	if req.Window != "" {
		out.Window = req.Window
	}
	if req.External != nil {
		out.External = req.External
	}
	if req.Role != "" {
		out.Role = req.Role
	}
	if req.Blackout != nil {
		out.Blackout = slices.Clone(req.Blackout)
	}
	for to, d := range map[*int64]time.Duration{&out.Jitter: req.Jitter, &out.Grace: req.Grace, &out.Readers: req.Readers, &out.Deadline: req.Deadline} {
		if d != 0 {
			*to = d.Microseconds()
		}
	}
	return out
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
	if err := e.open(a, extra...); err != nil || e.f.head == nil || !r.configures() {
		return err
	}
	// What the rotator may use of other secrets is what the author may read.
	rot := e.f.head.Rotation.with(&e.req)
	kind := e.s.kinds.Find(rot.Kind())
	if kind == nil {
		return nil // Apply says so
	}
	for _, n := range relatedNames(kind, &rot) {
		// They are of the account of the secret, not of the author's.
		of, err := e.s.load(a, name.Secret{Account: e.f.Account, Region: e.f.Region, Name: n}, "")
		if err != nil {
			return err
		}
		if err := of.allow(a, policy.ReadValue); err != nil {
			return err
		}
	}
	return nil
}

// relatedNames are the secrets that a rotation uses, sorted.
func relatedNames(kind *rotator.Kind, rot *Rotation) []string {
	names := slices.Sorted(maps.Values(kind.Secrets(rot.Settings())))
	return slices.Compact(names)
}

// Subject says of a rotation that changes no setting that the server makes what is
// new.
func (e *rotateEdit) Subject() protect.Subject {
	s := e.edit.Subject()
	s.Generated = !e.req.configures()
	return s
}

func (e *rotateEdit) Apply(tx *change.Tx) error {
	if err := e.ready(); err != nil {
		return err
	}
	h := e.f.head
	if known, err := e.known(tx); known || err != nil {
		return err
	}
	rot := h.Rotation.with(&e.req)
	if err := e.can(&rot); err != nil {
		return err
	}
	another := h.Rotation.Kind() != rot.Kind()
	if h.Run != nil && (another || h.Run.Step != StepUndo && !maps.Equal(h.Rotation.Settings(), rot.Settings())) { // an undo may be helped by other options
		return errs.Coded(errs.Precondition, CodeRotating, "a rotation of the secret is under way, by the settings that it has")
	}
	if another || e.s.keeps(h.Rotation) && !e.s.keeps(&rot) { // what was kept by those settings they alone could end
		h.Retiring = nil
	}
	if e.req.configures() {
		if err := rot.checkPlan(); err != nil {
			return err
		}
		rot.Since, rot.Retry = micros(tx.Now), 0
	}
	rot.setBack(&back{now: micros(tx.Now)}) // who asks for a rotation goes by the clock as it is
	rot.Enabled = rot.Enabled || e.req.configures() || !e.req.Later
	h.Rotation = &rot
	at := h.Labels[name.Current]
	e.out.VersionID, e.out.Number = at.ID, at.Number
	tx.Wrote(at.Number, 0, nil)
	run := Run{Version: e.req.VersionID, Token: e.token, By: e.who.ARN(), Revoke: e.req.Revoke}
	_, pending := h.Labels[name.Pending]
	switch {
	case !e.req.Later:
		if err := e.beginRun(tx, run); err != nil {
			return err
		}
	case e.req.configures() && !e.req.Native && h.Run == nil && !pending: // as the AWS protocol has it
		run.Test = true
		if err := e.beginRun(tx, run); err != nil {
			return err
		}
	}
	return e.save(tx)
}

// known answers a request that repeats one: its rotation is under way, or over.
func (e *rotateEdit) known(tx *change.Tx) (bool, error) {
	h := e.f.head
	number, taken, err := numberOf(tx, e.f.Secret, h, e.req.VersionID)
	if err != nil || !taken || e.req.Later {
		return false, err
	}
	if h.Run == nil && number != h.Labels[name.Current].Number {
		return false, errs.Coded(errs.Exists, CodeToken, "a version with this id exists, and no rotation makes it")
	}
	tx.NothingToDo()
	e.out.VersionID, e.out.Number, e.out.Labels = e.req.VersionID, number, h.labelsOf(number)
	return true, nil
}

// can says whether there is something to rotate with.
func (e *rotateEdit) can(rot *Rotation) error {
	kind := e.s.kinds.Find(rot.Kind())
	switch {
	case rot.Kind() == "" && len(rot.External) == 0:
		return errs.Coded(errs.Precondition, CodeNoRotation, "nothing is configured that rotates the secret")
	case rot.Kind() == "":
		return errs.Coded(errs.Precondition, CodeNotInvocable, "this server rotates nothing by managed external rotation")
	case kind == nil && rot.Kind() == KindFunction:
		return errs.Coded(errs.Precondition, CodeNotInvocable, "this server has no rotation functions")
	case kind == nil:
		return errs.InvalidField("rotator", "there is no rotator %q", rot.Kind())
	case rot.Days == 0 && rot.Schedule == "" && e.req.Later && e.req.configures() && !e.req.Native:
		return badSchedule("RotationRules", "a rotation that is not at once needs a schedule")
	}
	if !e.req.configures() {
		return nil
	}
	if err := kind.AcceptFor(e.f.Account, rot.Settings()); err != nil {
		if rot.Kind() == KindFunction && errs.As(err).Field == OptionFunction {
			return &errs.Error{Kind: errs.Precondition, Code: CodeNotInvocable, Msg: errs.As(err).Msg}
		}
		return err
	}
	for _, n := range relatedNames(kind, rot) {
		if n == e.f.Name {
			return errs.InvalidField("options", "an option names the secret itself")
		}
	}
	return nil
}

// keeps reports whether the target goes on accepting what a rotation replaces.
func (s *Service) keeps(r *Rotation) bool {
	kind := s.kinds.Find(r.Kind())
	return kind != nil && kind.Leaves(r.Settings()) == rotator.Kept
}

type cancelEdit struct{ edit }

// CancelRotation turns scheduled rotation off, keeps its settings, and ends a
// rotation under way: what it made is taken back, where the target lets it be.
// Written is of the version that the cancelled rotation was making, if one was.
func (s *Service) CancelRotation(ctx context.Context, who caller.Caller, id name.SecretID, reason string) (Written, error) {
	e := &cancelEdit{edit{s: s, op: policy.CancelRotation, who: who, id: id}}
	out, err := s.run(ctx, who, reason, e, &e.edit)
	if err == nil {
		s.rotates.Ring()
	}
	return out, err
}

func (e *cancelEdit) Apply(tx *change.Tx) error {
	if err := e.ready(); err != nil {
		return err
	}
	h := e.f.head
	at := h.Labels[name.Current]
	e.out.VersionID, e.out.Number = at.ID, at.Number
	if h.Rotation == nil || !h.Rotation.Enabled && (h.Run == nil || h.Run.Cancelled) {
		tx.NothingToDo()
		return nil
	}
	rot := *h.Rotation
	rot.Enabled, rot.Retry = false, 0
	h.Rotation = &rot
	if h.Run != nil {
		e.out.VersionID, e.out.Number = h.Run.Version, h.Run.Number
		h.Run.Cancelled, h.Run.Next = true, micros(tx.Now)
	}
	tx.Wrote(at.Number, 0, nil)
	return e.save(tx)
}

// next is when the schedule asks for a rotation, until when, and whether it does at
// all. It reads no clock: what is in the past was missed and is to be caught up.
func (r *Rotation) next(n name.Secret) (at, closes time.Time, ok bool) {
	if r == nil || !r.Enabled {
		return at, closes, false
	}
	p, err := r.Plan()
	if err != nil {
		return at, closes, false
	}
	_, at, closes, ok = p.Next(r.anchor(p), when(max(r.Last, r.Put, r.Since, r.Tried)), seedOf(n))
	return at, closes, ok
}

// anchor is what the dates of its schedule are counted from.
func (r *Rotation) anchor(p schedule.Plan) time.Time {
	return p.Schedule.Anchor(when(r.Since), when(max(r.Last, r.Put, r.Since)))
}

// seedOf spreads the jitter of secrets.
func seedOf(n name.Secret) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(n.Account + "\x00" + n.Region + "\x00" + n.Name))
	return h.Sum64()
}
