package rotation

import (
	"context"
	"slices"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/schedule"
	"countersign/internal/core/secret"
	"countersign/internal/errs"
	"countersign/internal/name"
	"countersign/internal/rotator"
	"countersign/internal/sensitive"
)

// Report tells how a rotation would go. Nothing in the store was altered for it.
type Report struct {
	Name     string
	Kind     string
	On       string // the secret whose target it was rehearsed on; "": nothing outside was altered
	Steps    []Checked
	OK       bool
	Previous string // what would become of the previous credential
}

// Checked is one step of a report.
type Checked struct {
	Step    string
	Failure *secret.Failure // nil: it was done
	Took    time.Duration
}

// DryRun checks whether a secret could be rotated now: its settings, the secrets that
// they name, that a new value can be made, and that the target accepts the current
// one. It alters nothing. It takes the permission to rotate the secret.
//
// With a scratch secret it also goes through the steps on the target of that one,
// and takes them back: what it sets there is stored nowhere. It takes the permission to
// rotate both. What the new value is like the settings of the first say; where the target
// is, how it is spoken to, as which admin and about which user, those of the scratch
// secret: who may rotate both gets no login to do what its settings do not let it.
func (s *Service) DryRun(ctx context.Context, who caller.Caller, id name.SecretID, scratch *name.SecretID) (Report, error) {
	st, err := s.rotatable(ctx, who, id)
	if err != nil {
		return Report{}, err
	}
	w := &worker{s: s, st: st, kind: s.Kinds.Find(st.Rotation.Kind())}
	r := &report{Report: Report{Name: st.Name, Kind: st.Rotation.Kind(), OK: true}}
	if w.kind != nil {
		w.rotator = w.kind.New(s.Env)
		r.Previous = foretell(w.kind.Leaves(st.Rotation.Settings()), st)
	}
	job, ok := s.check(ctx, w, r)
	if !ok || scratch == nil {
		return r.Report, nil
	}
	on, err := s.rotatable(ctx, who, *scratch)
	if err != nil {
		return Report{}, err
	}
	switch {
	case on.Name == st.Name:
		return Report{}, errs.InvalidField("rehearse_on", "a rotation is rehearsed on another secret than its own")
	case on.Rotation.Kind() != st.Rotation.Kind():
		return Report{}, errs.InvalidField("rehearse_on", "the scratch secret is rotated by %q, and the secret by %q", on.Rotation.Kind(), st.Rotation.Kind())
	case on.Run != nil:
		return Report{}, errs.Coded(errs.Precondition, secret.CodeRotating, "a rotation of the scratch secret is under way")
	case !w.kind.Undoes:
		return Report{}, errs.New(errs.Precondition, "the rotator %q cannot take back what it did, so it is not rehearsed", w.kind.Name)
	}
	if !s.take(on.RotationRef) { // nor is a rotation to begin meanwhile
		return Report{}, errs.Coded(errs.Precondition, secret.CodeRotating, "a rotation of the scratch secret is under way")
	}
	defer s.leave(on.RotationRef)
	r.On = on.Name
	s.rehearse(ctx, &worker{s: s, st: on, kind: w.kind, rotator: w.rotator}, job.Options, r)
	return r.Report, nil
}

// rotatable is a secret that the caller may rotate.
func (s *Service) rotatable(ctx context.Context, who caller.Caller, id name.SecretID) (st *secret.RotationState, err error) {
	var n name.Secret
	err = s.Gate.View(ctx, who, policy.Rotate, id.Name, func(a *gate.Access) (err error) {
		n, err = s.Secrets.Locate(a, id, policy.Rotate)
		return err
	})
	if err != nil {
		return nil, err
	}
	st, err = s.Secrets.RotationState(ctx, secret.RotationRef{Secret: n})
	switch {
	case err != nil:
		return nil, err
	case st == nil || st.Rotation.Kind() == "":
		return nil, errs.Coded(errs.Precondition, secret.CodeNoRotation, "nothing is configured that rotates the secret")
	}
	return st, nil
}

// report collects steps.
type report struct{ Report }

// do does a step and notes how it went.
func (r *report) do(step string, f func() error) bool {
	began := time.Now()
	err := f()
	c := Checked{Step: step, Took: time.Since(began)}
	if err != nil {
		class, msg := rotator.Why(err)
		if e := errs.As(err); errs.Is(err, errs.Invalid) { // of settings
			class, msg = rotator.Unsuitable, e.Msg
		}
		c.Failure = &secret.Failure{Step: step, Class: string(class), Msg: msg, Time: time.Now().UnixMicro()}
		r.OK = false
	}
	r.Steps = append(r.Steps, c)
	return err == nil
}

// check does what alters nothing.
func (s *Service) check(ctx context.Context, w *worker, r *report) (job rotator.Job, ok bool) {
	limited := func(f func(ctx context.Context) error) func() error {
		return func() error {
			ctx, cancel := context.WithTimeout(ctx, w.patience())
			defer cancel()
			return f(ctx)
		}
	}
	if !r.do("settings", func() error {
		if w.kind == nil {
			return rotator.Fail(rotator.Unsuitable, nil, "this server has no rotator %q", w.st.Rotation.Kind())
		}
		return w.kind.AcceptFor(w.st.Account, w.st.Rotation.Settings())
	}) || !r.do("secrets", func() (err error) {
		job, err = w.job(ctx)
		return err
	}) {
		return job, false
	}
	if w.kind.Stores { // what it makes it would store
		return job, true
	}
	if !r.do("create", limited(func(ctx context.Context) error {
		_, err := w.rotator.Create(ctx, job)
		return err
	})) {
		return job, false
	}
	if job.Current.Empty() {
		return job, true
	}
	return job, r.do("current", limited(func(ctx context.Context) error {
		j := job
		j.Pending = j.Current
		return w.rotator.Test(ctx, j)
	}))
}

// rehearse goes through the steps on the target of a scratch secret. What was begun
// is taken back even when the caller has gone.
func (s *Service) rehearse(ctx context.Context, w *worker, options map[string]string, r *report) {
	ctx = context.WithoutCancel(ctx)
	settings := rehearsed(w.kind, options, w.st.Rotation.Settings())
	var job rotator.Job
	step := func(name string, f func(context.Context) error) bool {
		return r.do("rehearse-"+name, func() error {
			ctx, cancel := context.WithTimeout(ctx, w.patience())
			defer cancel()
			return f(ctx)
		})
	}
	if !step("create", func(ctx context.Context) (err error) {
		if job, err = w.job(ctx); err != nil {
			return err
		}
		job.Options, job.VersionID, job.Token = settings, newVersionID(), sensitive.FromString(secret.NewRotationToken())
		job.Password = s.password(ctx, w.st.RotationRef, settings)
		made, err := w.rotator.Create(ctx, job)
		job.Pending, job.Note = made.Value, made.Note
		return err
	}) {
		return
	}
	_ = step("set", func(ctx context.Context) error { return w.rotator.Set(ctx, job) }) &&
		step("test", func(ctx context.Context) error { return w.rotator.Test(ctx, job) }) &&
		step("finish", func(ctx context.Context) error { return w.rotator.Finish(ctx, job) })
	step("undo", func(ctx context.Context) error { return w.rotator.Undo(ctx, job) })
}

// rehearsed are the settings of a rehearsal: those that say what the new value is like are
// of the secret that is rehearsed. What is the target, and what its admin's login may be
// used for, its own secret says: who may rotate both decides neither.
func rehearsed(kind *rotator.Kind, of, on map[string]string) map[string]string {
	settings := map[string]string{}
	for _, o := range kind.Settings() {
		from := on
		if o.Form || !slices.ContainsFunc(kind.Options, func(x rotator.Option) bool { return x.Name == o.Name }) || !o.Secret && kind.Leaves(on) == rotator.Stored {
			from = of
		}
		if v, ok := from[o.Name]; ok {
			settings[o.Name] = v
		}
	}
	return settings
}

// foretell says what would become of the previous credential.
func foretell(fate rotator.Fate, st *secret.RotationState) string {
	grace := time.Duration(st.Rotation.Grace) * time.Microsecond
	switch {
	case fate == rotator.Replaced:
		return "it ends when the new one is set"
	case fate == rotator.Kept && grace > 0:
		return "it stays valid for its grace of " + schedule.FormatLength(grace)
	case fate == rotator.Kept:
		return "it stays valid until the rotation after"
	case fate == rotator.Stored && grace > 0:
		return "it is accepted as a previous value for its grace of " + schedule.FormatLength(grace)
	case fate == rotator.Stored:
		return "it is kept as the previous value, and not accepted"
	}
	return "what is called decides"
}
