package rotation

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"countersign/internal/core/notice"
	"countersign/internal/core/policy"
	"countersign/internal/core/secret"
	"countersign/internal/errs"
	"countersign/internal/rotator"
)

// Classes of failures beside those of package rotator.
const (
	classCancelled  = "cancelled"  // somebody ended the rotation
	classSuperseded = "superseded" // another value became current meanwhile
	classBusy       = "busy"       // the rotation could not begin
)

// operations of the steps, for their records.
var operations = map[secret.Step]policy.Op{
	secret.StepCreate: policy.RotationCreate,
	secret.StepSet:    policy.RotationSet,
	secret.StepTest:   policy.RotationTest,
	secret.StepFinish: policy.RotationFinish,
	secret.StepUndo:   policy.RotationUndo,
}

// write runs a transaction, if the node still leads and the rotation is the one that
// the worker saw.
func (w *worker) write(ctx context.Context, op policy.Op, reason string, do func(r *secret.Rotating) error) error {
	return w.s.Secrets.Advance(context.WithoutCancel(ctx), self(w.st.RotationRef), op, w.st.RotationRef, reason, func(r *secret.Rotating) error {
		if err := w.s.Lock.Check(r.Tx, w.fence); err != nil {
			return err
		}
		was := w.st.Run
		if (was == nil) != (r.Run == nil) || was != nil && (was.Version != r.Run.Version || was.Step != r.Run.Step) {
			return errStale
		}
		return do(r)
	})
}

// newVersionID is a random UUID.
func newVersionID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// begin begins the rotation that the schedule asks for.
func (w *worker) begin(ctx context.Context) error {
	run := secret.Run{Version: newVersionID(), Token: secret.NewRotationToken()}
	return w.write(ctx, policy.Rotate, "its schedule asks for it", func(r *secret.Rotating) error {
		now := r.Tx.Now
		due, closes := r.Due()
		if due.IsZero() || due.After(now) {
			return errStale
		}
		retry := r.Rotation.Retry != 0
		if retry {
			closes = time.UnixMicro(r.Rotation.Closes)
		} else {
			r.Rotation.Retries = 0
		}
		missed := !closes.After(now)
		overdue := func() error {
			if !missed || retry {
				return nil
			}
			return w.tell(r, notice.RotationOverdue, "", map[string]string{"due": due.UTC().Format(time.RFC3339)})
		}
		if missed { // it is caught up once, when the days without rotations are over
			at, until, err := r.CatchUp()
			if err != nil {
				return err
			}
			if at.After(now) {
				r.Rotation.Retry, r.Rotation.Closes = at.UnixMicro(), until.UnixMicro()
				return overdue()
			}
			closes = until
		}
		run := run
		run.Until = closes.UnixMicro()
		err := r.Begin(run)
		if errs.Is(err, errs.Precondition) {
			return w.cannotBegin(r, err)
		}
		if err != nil {
			return err
		}
		r.Rotation.Closes = run.Until
		return overdue()
	})
}

// cannotBegin keeps why, and waits for the next time.
func (w *worker) cannotBegin(r *secret.Rotating, err error) error {
	f := failure(r, "begin", classBusy, errs.As(err).Msg)
	r.Rotation.Failure, r.Rotation.Retry, r.Rotation.Tried = f, 0, r.Tx.Now.UnixMicro()
	r.Tx.Failed("rotation/" + classBusy)
	return w.tell(r, notice.RotationFailed, f.Msg, map[string]string{"step": f.Step, "class": f.Class})
}

func failure(r *secret.Rotating, step, class, msg string) *secret.Failure {
	return &secret.Failure{Step: step, Class: class, Msg: msg, Time: r.Tx.Now.UnixMicro()}
}

// step does the step at hand.
func (w *worker) step(ctx context.Context) error {
	run := w.st.Run
	if (run.Cancelled || w.st.Deleted) && run.Step != secret.StepUndo && w.st.Number != run.Number {
		msg := "it was cancelled"
		if !run.Cancelled {
			msg = "the secret was marked for deletion"
		}
		return w.write(ctx, operations[run.Step], "", func(r *secret.Rotating) error {
			return w.giveUp(r, failure(r, string(run.Step), classCancelled, msg))
		})
	}
	if run.Until != 0 && time.Now().After(time.UnixMicro(run.Until)) && run.Failed > 0 && run.Step != secret.StepUndo {
		return w.write(ctx, operations[run.Step], "", func(r *secret.Rotating) error { return w.giveUp(r, r.Run.Error) })
	}
	if run.Step == secret.StepUndo {
		return w.undo(ctx)
	}
	if run.Step == secret.StepFinish && w.st.Number != run.Number && !w.s.wasProved(w.st.RotationRef, run.Version) {
		// The journal is of a process before this one, or of a store that was restored.
		return w.write(ctx, operations[secret.StepTest], "", func(r *secret.Rotating) error {
			r.Run.Step, r.Run.Next = secret.StepTest, r.Tx.Now.UnixMicro()
			return nil
		})
	}
	job, err := w.job(ctx)
	var made rotator.Created
	if err == nil {
		made, err = w.act(ctx, run.Step, job)
	}
	if ctx.Err() != nil {
		return ctx.Err() // the server stops; the step is done again after its start
	}
	if err != nil {
		return w.failed(ctx, err)
	}
	w.s.counts.step(run.Step, "ok")
	if run.Step == secret.StepTest {
		w.s.prove(w.st.RotationRef, run.Version)
	}
	err = w.write(ctx, operations[run.Step], "", func(r *secret.Rotating) error { return w.done(r, made) })
	if err == nil && run.Step == secret.StepFinish {
		w.s.prove(w.st.RotationRef, "")
	}
	return err
}

// act calls the rotator.
func (w *worker) act(ctx context.Context, step secret.Step, job rotator.Job) (made rotator.Created, err error) {
	if w.kind == nil {
		return made, rotator.Fail(rotator.Unsuitable, nil, "this server has no rotator %q", w.st.Rotation.Kind())
	}
	ctx, cancel := context.WithTimeout(ctx, w.patience())
	defer cancel()
	switch step {
	case secret.StepCreate:
		made, err = w.rotator.Create(ctx, job)
		if err == nil && made.Value.Empty() && !w.kind.Stores {
			err = rotator.Fail(rotator.Unsuitable, nil, "the rotator made no value")
		}
		if err == nil && len(made.Note) > rotator.MaxNote {
			err = rotator.Fail(rotator.Unsuitable, nil, "the rotator's note is too long")
		}
	case secret.StepSet:
		err = w.rotator.Set(ctx, job)
	case secret.StepTest:
		err = w.rotator.Test(ctx, job)
	case secret.StepFinish:
		err = w.rotator.Finish(ctx, job)
	}
	return made, err
}

// patience is how long one step may take.
func (w *worker) patience() time.Duration {
	if w.kind == nil {
		return w.s.Timeout
	}
	return w.kind.Patience(w.st.Rotation.Settings(), w.s.Timeout)
}

// done writes down that the step at hand was done, and what comes next.
func (w *worker) done(r *secret.Rotating, made rotator.Created) error {
	r.Run.Failed, r.Run.Error, r.Run.Next = 0, nil, r.Tx.Now.UnixMicro()
	switch r.Run.Step {
	case secret.StepCreate:
		why, err := w.keep(r, made)
		if err != nil {
			return err
		}
		if why != "" {
			return w.giveUp(r, failure(r, string(secret.StepCreate), string(rotator.Unsuitable), why))
		}
		r.Run.Step, r.Run.Set, r.Run.Note = secret.StepSet, true, made.Note
	case secret.StepSet:
		r.Run.Step = secret.StepTest
	case secret.StepTest:
		if r.Run.Test {
			return w.tested(r, nil)
		}
		r.Run.Step = secret.StepFinish
	case secret.StepFinish:
		return w.finish(r)
	}
	return nil
}

// keep stores the value that was made, unless what was called has. It returns why it
// cannot be kept, "" when it is.
func (w *worker) keep(r *secret.Rotating, made rotator.Created) (why string, err error) {
	stored, err := r.Stored()
	switch {
	case err != nil || stored && w.kind.Stores:
		return "", err
	case stored && made.Value.Data.Equal(w.st.Value(r.Run.Number).Data): // the rotation goes on with what it made before
		return "", nil
	case made.Value.Empty():
		return "what was called has not stored a value as the version that it was asked for", nil
	}
	err = r.Store(secret.Input{Data: made.Value.Data, Binary: made.Value.Binary})
	if errs.Is(err, errs.Invalid) || errs.Is(err, errs.Limit) {
		return "the value that was made cannot be stored: " + errs.As(err).Msg, nil
	}
	return "", err
}

// finish makes the new version current, unless something else became so.
func (w *worker) finish(r *secret.Rotating) error {
	if r.Number != r.Run.Base && r.Number != r.Run.Number {
		return w.giveUp(r, failure(r, string(secret.StepFinish), classSuperseded, "another version became current meanwhile"))
	}
	if err := r.MakeCurrent(); err != nil {
		return err
	}
	now := r.Tx.Now.UnixMicro()
	rot, run := r.Rotation, r.Run
	rot.Last, rot.Failure, rot.Retry, rot.Retries, rot.Closes = now, nil, 0, 0, 0
	previous := w.replaced(r)
	if err := r.Prune(); err != nil {
		return err
	}
	o := secret.RotationOutcome{Result: secret.RotationDone, Version: run.Version, Number: run.Number, Began: run.Began, Ended: now, By: run.By, Previous: previous}
	if err := r.End(o); err != nil {
		return err
	}
	w.s.counts.outcome(secret.RotationDone, "")
	return w.tell(r, notice.RotationDone, "", map[string]string{"version": run.Version, "previous": previous})
}

// failed writes down that the step at hand failed.
func (w *worker) failed(ctx context.Context, cause error) error {
	class, msg := rotator.Why(cause)
	run := w.st.Run
	w.s.counts.step(run.Step, string(class))
	w.s.Logger.Warn("a step of a rotation failed", "account", w.st.Account, "region", w.st.Region, "secret", w.st.Name,
		"step", run.Step, "class", class, "why", msg, "attempt", run.Failed+1)
	return w.write(ctx, operations[run.Step], "", func(r *secret.Rotating) error {
		f := failure(r, string(run.Step), string(class), msg)
		r.Tx.Failed("rotation/" + f.Class)
		r.Run.Failed++
		r.Run.Error = f
		next := r.Tx.Now.Add(backoff(firstBackoff, lastBackoff, r.Run.Failed))
		r.Run.Next = next.UnixMicro()
		if class == rotator.Unsuitable || r.Run.Failed >= w.s.Attempts || r.Run.Until != 0 && next.UnixMicro() > r.Run.Until {
			return w.giveUp(r, f)
		}
		return nil
	})
}

// giveUp ends a rotation that does not get on, by an undo where that is needed.
func (w *worker) giveUp(r *secret.Rotating, why *secret.Failure) error {
	run := r.Run
	switch {
	case run.Test:
		return w.tested(r, why)
	case !run.Set && (w.kind == nil || !w.kind.Stores):
		run.Why = why
		return w.end(r, secret.RotationUndone) // nothing outside knows of it
	case w.kind != nil && !w.kind.Undoes:
		run.Why = why
		return w.end(r, secret.RotationStopped)
	}
	run.Step, run.Failed, run.Next, run.Why, run.Error = secret.StepUndo, 0, r.Tx.Now.UnixMicro(), why, nil
	return nil
}

// tested ends a rotation that only tries the target.
func (w *worker) tested(r *secret.Rotating, why *secret.Failure) error {
	run := r.Run
	if err := r.DropPending(); err != nil {
		return err
	}
	r.Rotation.Failure = why
	err := r.End(secret.RotationOutcome{Result: secret.RotationTested, Version: run.Version, Number: run.Number, Began: run.Began,
		Ended: r.Tx.Now.UnixMicro(), By: run.By, Failure: why})
	if err != nil || why == nil {
		return err
	}
	return w.tell(r, notice.RotationFailed, why.Msg, map[string]string{"step": why.Step, "class": why.Class})
}

// end ends a rotation that failed, and decides whether it is tried again in its
// window.
func (w *worker) end(r *secret.Rotating, result string) error {
	run, now := r.Run, r.Tx.Now
	switch result {
	case secret.RotationUndone:
		if err := r.DropPending(); err != nil {
			return err
		}
	case secret.RotationStopped:
		r.Rotation.Stopped = run.Number
	}
	cancelled := run.Why != nil && run.Why.Class == classCancelled
	if cancelled && result == secret.RotationUndone {
		result = secret.RotationCancelled
	}
	rot := r.Rotation
	rot.Failure, rot.Retry = run.Why, 0
	if cancelled {
		rot.Failure = nil
	}
	again := now.Add(backoff(runBackoff, undoBackoff, rot.Retries+1))
	retry := !cancelled && run.By == "" && run.Until != 0 && again.UnixMicro() < run.Until
	first := rot.Retries == 0
	if retry {
		rot.Retry = again.UnixMicro()
		rot.Retries++
	} else {
		rot.Retries, rot.Closes = 0, 0
	}
	r.Loud()
	o := secret.RotationOutcome{Result: result, Version: run.Version, Number: run.Number, Began: run.Began, Ended: now.UnixMicro(), By: run.By, Failure: run.Why}
	if err := r.End(o); err != nil || cancelled {
		return err
	}
	w.s.counts.outcome(result, run.Why.Step)
	facts := map[string]string{"step": run.Why.Step, "class": run.Why.Class, "state": result}
	if retry {
		facts["retry"] = again.UTC().Format(time.RFC3339)
	}
	if first || !retry {
		if err := w.tell(r, notice.RotationFailed, run.Why.Msg, facts); err != nil {
			return err
		}
	}
	if !retry && run.By == "" {
		return w.tell(r, notice.RotationOverdue, run.Why.Msg, map[string]string{"step": run.Why.Step, "class": run.Why.Class})
	}
	return nil
}

// stuckAfter is after how many failures of an undo or a retirement somebody is told.
const stuckAfter = 3

// undo makes the target accept what is current again.
func (w *worker) undo(ctx context.Context) error {
	job, err := w.job(ctx)
	if err == nil {
		err = w.takeBack(ctx, job)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil {
		w.s.counts.step(secret.StepUndo, "ok")
		return w.write(ctx, policy.RotationUndo, "", func(r *secret.Rotating) error { return w.end(r, secret.RotationUndone) })
	}
	class, msg := rotator.Why(err)
	w.s.counts.step(secret.StepUndo, string(class))
	forward := w.onlyForward(ctx, job)
	if forward {
		w.s.prove(w.st.RotationRef, w.st.Run.Version)
	}
	return w.write(ctx, policy.RotationUndo, "", func(r *secret.Rotating) error {
		f := failure(r, string(secret.StepUndo), string(class), msg)
		r.Tx.Failed("rotation/" + f.Class)
		if forward && r.Number == r.Run.Base && !r.Deleted {
			r.Run.Step, r.Run.Failed, r.Run.Error, r.Run.Cancelled, r.Run.Next = secret.StepFinish, 0, nil, false, r.Tx.Now.UnixMicro()
			return nil
		}
		if errors.Is(err, rotator.ErrCannotUndo) {
			return w.end(r, secret.RotationStopped)
		}
		r.Run.Failed++
		r.Run.Error = f
		r.Run.Next = r.Tx.Now.Add(backoff(firstBackoff, undoBackoff, r.Run.Failed)).UnixMicro()
		if r.Run.Told || r.Run.Failed < stuckAfter {
			return nil
		}
		r.Run.Told = true
		return w.tell(r, notice.RotationFailed, f.Msg, map[string]string{"step": f.Step, "class": f.Class, "state": "stuck"})
	})
}

// takeBack calls Undo.
func (w *worker) takeBack(ctx context.Context, job rotator.Job) error {
	if w.kind == nil {
		return rotator.Fail(rotator.Unsuitable, nil, "this server has no rotator %q", w.st.Rotation.Kind())
	}
	ctx, cancel := context.WithTimeout(ctx, w.patience())
	defer cancel()
	return w.rotator.Undo(ctx, job)
}

// onlyForward reports whether the target accepts the new value and not the current
// one, so that what works is what has to become current.
func (w *worker) onlyForward(ctx context.Context, job rotator.Job) bool {
	if w.kind == nil || job.Pending.Empty() || job.Current.Empty() || w.st.Number != w.st.Run.Base {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, w.patience())
	defer cancel()
	if w.rotator.Test(ctx, job) != nil {
		return false
	}
	job.Pending = job.Current
	class, _ := rotator.Why(w.rotator.Test(ctx, job))
	return class == rotator.Credentials
}

// tell puts a notice, in the transaction of what it tells of.
func (w *worker) tell(r *secret.Rotating, kind notice.Kind, text string, facts map[string]string) error {
	n := r.Name()
	return notice.Put(r.Tx, notice.Notice{ID: r.Tx.Change.ID + "." + suffixOf(kind), Account: n.Account, Time: r.Tx.Now.UnixMicro(), Kind: kind,
		Noun: "secret", Region: n.Region, Name: n.Name, Operation: policy.Rotate.String(), Actor: r.Tx.Who.ARN(), Text: text, Facts: facts})
}

// suffixOf tells the notices of one transaction apart.
func suffixOf(k notice.Kind) string {
	switch k {
	case notice.RotationDone:
		return "rd"
	case notice.RotationFailed:
		return "rf"
	}
	return "ro"
}
