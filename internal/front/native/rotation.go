package native

import (
	"context"
	"encoding/json"
	"time"

	"countersign/internal/core/policy"
	"countersign/internal/core/rotation"
	"countersign/internal/core/schedule"
	"countersign/internal/core/secret"
	"countersign/internal/front/httpx"
	"countersign/internal/name"
	"countersign/internal/rotator"
)

// rotationBody is how a secret is to be rotated. What is absent is forgotten.
type rotationBody struct {
	Rotator  string            `json:"rotator"`
	Function string            `json:"function"`
	Options  map[string]string `json:"options"`
	Days     int64             `json:"days"`
	Schedule string            `json:"schedule"`
	Window   string            `json:"window"`
	Jitter   string            `json:"jitter"`
	Blackout []string          `json:"blackout"`
	Grace    string            `json:"grace"`
	Readers  string            `json:"readers"`
	Deadline string            `json:"deadline"`
	Reason   string            `json:"reason"`
}

type rotateBody struct {
	Revoke string `json:"revoke_previous"`
	Reason string `json:"reason"`
}

type dryRunBody struct {
	On string `json:"rehearse_on"`
}

// rotationStatus is the rotation of a secret.
type rotationStatus struct {
	ARN      string            `json:"arn"`
	Name     string            `json:"name"`
	State    rotation.State    `json:"state"`
	Enabled  bool              `json:"enabled"`
	Rotator  string            `json:"rotator,omitempty"`
	Function string            `json:"function,omitempty"`
	Options  map[string]string `json:"options,omitempty"`
	Days     int64             `json:"days,omitempty"`
	Schedule string            `json:"schedule,omitempty"`
	Window   string            `json:"window,omitempty"`
	Jitter   string            `json:"jitter,omitempty"`
	Blackout []string          `json:"blackout,omitempty"`
	Grace    string            `json:"grace,omitempty"`
	Readers  string            `json:"readers,omitempty"`
	Deadline string            `json:"deadline,omitempty"`
	Last     time.Time         `json:"last,omitzero"`
	Next     time.Time         `json:"next,omitzero"`
	Closes   time.Time         `json:"window_closes,omitzero"`
	Overdue  bool              `json:"overdue,omitempty"`
	Current  uint64            `json:"current,omitempty"`
	Run      *runView          `json:"run,omitempty"`
	Failure  *failureView      `json:"failure,omitempty"`
	Retiring []retiringView    `json:"retiring,omitempty"`
	History  []outcomeView     `json:"history"`
}

// runView is a rotation under way.
type runView struct {
	VersionID string       `json:"version_id"`
	Version   uint64       `json:"version"`
	Step      secret.Step  `json:"step"`
	Attempt   int          `json:"attempt"`
	Began     time.Time    `json:"began"`
	Next      time.Time    `json:"next"`
	Until     time.Time    `json:"until,omitzero"`
	By        string       `json:"by,omitempty"`
	Failure   *failureView `json:"failure,omitempty"`
}

// failureView is why a step failed.
type failureView struct {
	Step    string    `json:"step"`
	Class   string    `json:"class"`
	Message string    `json:"message"`
	Time    time.Time `json:"time"`
}

// retiringView is a previous credential that is yet to end.
type retiringView struct {
	Version  uint64       `json:"version"`
	At       time.Time    `json:"at,omitzero"`
	Deadline time.Time    `json:"deadline,omitzero"`
	Readers  int          `json:"readers_waited_for,omitempty"`
	Failure  *failureView `json:"failure,omitempty"`
}

// outcomeView is how a rotation ended.
type outcomeView struct {
	Result    string       `json:"result"`
	VersionID string       `json:"version_id,omitempty"`
	Version   uint64       `json:"version,omitempty"`
	Began     time.Time    `json:"began"`
	Ended     time.Time    `json:"ended"`
	By        string       `json:"by,omitempty"`
	Previous  string       `json:"previous,omitempty"`
	Failure   *failureView `json:"failure,omitempty"`
}

func viewFailure(f *secret.Failure) *failureView {
	if f == nil {
		return nil
	}
	return &failureView{Step: f.Step, Class: f.Class, Message: f.Msg, Time: moment(f.Time)}
}

func viewRotationStatus(st rotation.Status, err error) (rotationStatus, error) {
	s := &st.Settings
	length := func(us int64) string { return schedule.FormatLength(time.Duration(us) * time.Microsecond) }
	v := rotationStatus{ARN: st.ARN, Name: st.Name, State: st.State, Enabled: st.Enabled, Rotator: st.Kind, Function: s.Function, Options: s.Options,
		Days: s.Days, Schedule: s.Schedule, Window: s.Window, Jitter: length(s.Jitter), Blackout: s.Blackout, Grace: length(s.Grace),
		Readers: length(s.Readers), Deadline: length(s.Deadline), Last: st.Last, Next: st.Next, Closes: st.Closes, Overdue: st.Overdue,
		Current: st.Current, Failure: viewFailure(st.Failure), History: []outcomeView{}}
	if r := st.Run; r != nil {
		v.Run = &runView{VersionID: r.Version, Version: r.Number, Step: r.Step, Attempt: r.Failed + 1, Began: moment(r.Began), Next: moment(r.Next),
			Until: moment(r.Until), By: r.By, Failure: viewFailure(r.Error)}
	}
	for _, e := range st.Retiring {
		v.Retiring = append(v.Retiring, retiringView{Version: e.Number, At: moment(e.At), Deadline: moment(e.Deadline), Readers: e.Waits, Failure: viewFailure(e.Error)})
	}
	for _, o := range st.History {
		v.History = append(v.History, outcomeView{Result: o.Result, VersionID: o.Version, Version: o.Number, Began: moment(o.Began), Ended: moment(o.Ended),
			By: o.By, Previous: o.Previous, Failure: viewFailure(o.Failure)})
	}
	return v, err
}

// reportView tells how a rotation would go.
type reportView struct {
	Name     string       `json:"name"`
	Rotator  string       `json:"rotator"`
	On       string       `json:"rehearsed_on,omitempty"`
	OK       bool         `json:"ok"`
	Previous string       `json:"previous,omitempty"`
	Steps    []reportStep `json:"steps"`
}

type reportStep struct {
	Step    string       `json:"step"`
	OK      bool         `json:"ok"`
	Micros  int64        `json:"micros"`
	Failure *failureView `json:"failure,omitempty"`
}

// plannedView is one date of the calendar.
type plannedView struct {
	Name    string         `json:"name"`
	At      time.Time      `json:"at"`
	Closes  time.Time      `json:"window_closes"`
	Rotator string         `json:"rotator"`
	State   rotation.State `json:"state"`
}

type calendarView struct {
	Items []plannedView `json:"items"`
	More  bool          `json:"more,omitempty"` // dates were left off
}

// jwkSet is a set of public keys (RFC 7517, section 5).
type jwkSet struct {
	Keys []map[string]string `json:"keys"`
}

// rotatorView is what a secret can be rotated with.
type rotatorView struct {
	Name    string       `json:"name"`
	Help    string       `json:"help"`
	Options []optionView `json:"options"`
	Undoes  bool         `json:"undoes"`
	Fate    rotator.Fate `json:"previous"`
}

type optionView struct {
	Name     string `json:"name"`
	Help     string `json:"help"`
	Secret   bool   `json:"secret,omitempty"`
	Required bool   `json:"required,omitempty"`
}

func rotationRows() []route {
	return []route{
		row(route{method: "GET", path: "/secret/rotation", op: policy.Describe, name: "GetRotation", deadline: deadline, params: []param{named}},
			func(a *api, c *call, _ *none) func(context.Context) (rotationStatus, error) {
				id := c.secret()
				return func(ctx context.Context) (rotationStatus, error) {
					return viewRotationStatus(a.Rotation.Status(ctx, c.who, id))
				}
			}),
		row(route{method: "PUT", path: "/secret/rotation", op: policy.Rotate, name: "PutRotation", deadline: deadline, params: []param{named}}, putRotation),
		row(route{method: "DELETE", path: "/secret/rotation", op: policy.CancelRotation, deadline: deadline, params: []param{named, reason}},
			func(a *api, c *call, _ *none) func(context.Context) (written, error) {
				id, why := c.secret(), c.string("reason")
				return func(ctx context.Context) (written, error) {
					return viewWritten(a.Secrets.CancelRotation(ctx, c.who, id, why))
				}
			}),
		row(route{method: "POST", path: "/secret/rotate", op: policy.Rotate, deadline: deadline, mayLack: true, params: []param{named}}, rotateNow),
		row(route{method: "POST", path: "/secret/rotate/dry-run", op: policy.Rotate, name: "DryRunRotation", deadline: long, mayLack: true, params: []param{named}}, dryRun),
		row(route{method: "GET", path: "/secret/jwks", op: policy.Describe, name: "GetPublicKeys", deadline: deadline, params: []param{named}},
			func(a *api, c *call, _ *none) func(context.Context) (jwkSet, error) {
				id := c.secret()
				return func(ctx context.Context) (out jwkSet, err error) {
					b, err := a.Rotation.Public(ctx, c.who, id)
					if err == nil {
						err = json.Unmarshal(b, &out)
					}
					return out, err
				}
			}),
		row(route{method: "POST", path: "/secret/verify", op: policy.VerifyValue, deadline: deadline, params: []param{named}}, verifyValue),
		row(route{method: "GET", path: "/rotations", op: policy.ListRotations, deadline: deadline, params: []param{{name: "until", kind: instant}}},
			func(a *api, c *call, _ *none) func(context.Context) (calendarView, error) {
				until := c.time("until")
				if until.IsZero() {
					until = time.Now().AddDate(0, 0, 30)
				}
				return func(ctx context.Context) (calendarView, error) {
					dates, more, err := a.Rotation.Calendar(ctx, c.who, until)
					return calendarView{Items: views(dates, func(p rotation.Planned) plannedView {
						return plannedView{Name: p.Name, At: p.At, Closes: p.Closes, Rotator: p.Kind, State: p.State}
					}), More: more}, err
				}
			}),
		row(route{method: "GET", path: "/rotators", op: policy.ListRotations, name: "ListRotators", deadline: deadline},
			func(a *api, c *call, _ *none) func(context.Context) (list[rotatorView], error) {
				return func(ctx context.Context) (list[rotatorView], error) {
					kinds, err := a.Rotation.Rotators(ctx, c.who)
					return listOf(views(kinds, viewRotator), ""), err
				}
			}),
	}
}

func viewRotator(k rotator.Kind) rotatorView {
	return rotatorView{Name: k.Name, Help: k.Help, Undoes: k.Undoes, Fate: k.Fate, Options: views(k.Settings(), func(o rotator.Option) optionView {
		return optionView{Name: o.Name, Help: o.Help, Secret: o.Secret, Required: o.Require}
	})}
}

// length reads a length of time.
func (c *call) length(field, text string) time.Duration {
	d, err := schedule.ParseLength(field, text)
	if err != nil && c.err == nil {
		c.err = err
	}
	return d
}

func putRotation(a *api, c *call, in *rotationBody) func(context.Context) (written, error) {
	req := secret.RotateRequest{ID: c.secret(), VersionID: httpx.NewID(), Native: true, Replace: true, Later: true,
		Rotator: in.Rotator, Function: in.Function, Options: in.Options, Days: in.Days, Schedule: in.Schedule, Window: in.Window,
		Jitter: c.length("jitter", in.Jitter), Blackout: in.Blackout, Grace: c.length("grace", in.Grace), Readers: c.length("readers", in.Readers),
		Deadline: c.length("deadline", in.Deadline), Reason: in.Reason}
	if in.Rotator == "" && in.Function == "" {
		c.fail("rotator", "say what rotates the secret: a rotator, or the ARN of a function")
	}
	return func(ctx context.Context) (written, error) {
		return viewWritten(a.Secrets.Rotate(ctx, c.who, req))
	}
}

func rotateNow(a *api, c *call, in *rotateBody) func(context.Context) (written, error) {
	req := secret.RotateRequest{ID: c.secret(), VersionID: httpx.NewID(), Native: true, Revoke: in.Revoke == "now", Reason: in.Reason}
	switch in.Revoke {
	case "", "now", "grace":
	default:
		c.fail("revoke_previous", "the previous credential is revoked now or after its grace")
	}
	return func(ctx context.Context) (written, error) {
		return viewWritten(a.Secrets.Rotate(ctx, c.who, req))
	}
}

func dryRun(a *api, c *call, in *dryRunBody) func(context.Context) (reportView, error) {
	id := c.secret()
	var scratch *name.SecretID
	if in.On != "" {
		on, err := name.ParseSecretID(in.On)
		if err != nil {
			c.fail("rehearse_on", "this is no name of a secret")
		}
		scratch = &on
	}
	return func(ctx context.Context) (reportView, error) {
		r, err := a.Rotation.DryRun(ctx, c.who, id, scratch)
		return reportView{Name: r.Name, Rotator: r.Kind, On: r.On, OK: r.OK, Previous: r.Previous, Steps: views(r.Steps, func(s rotation.Checked) reportStep {
			return reportStep{Step: s.Step, OK: s.Failure == nil, Micros: s.Took.Microseconds(), Failure: viewFailure(s.Failure)}
		})}, err
	}
}

type verifyBody struct {
	payload
	Key string `json:"key"`
}

// verifiedView tells what a presented value is.
type verifiedView struct {
	Match   secret.Match `json:"match"`
	Version uint64       `json:"version,omitempty"`
	Until   time.Time    `json:"until,omitzero"`
}

func verifyValue(a *api, c *call, in *verifyBody) func(context.Context) (verifiedView, error) {
	req := secret.VerifyRequest{ID: c.secret(), Key: in.Key}
	if v := in.input(c); v != nil {
		req.Value = v.Data
	} else {
		c.fail("value", "give the value that was presented")
	}
	return func(ctx context.Context) (verifiedView, error) {
		v, err := a.Secrets.Verify(ctx, c.who, req)
		return verifiedView{Match: v.Match, Version: v.Version, Until: v.Until}, err
	}
}
