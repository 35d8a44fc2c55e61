package rotation

import (
	"context"
	"time"

	"countersign/internal/core/notice"
	"countersign/internal/core/policy"
	"countersign/internal/core/secret"
	"countersign/internal/rotator"
)

// lookEvery is how often it is looked whether all readers have the new version.
const lookEvery = 10 * time.Minute

// replaced writes down what is to become of the credential that was replaced, and
// says it in words.
func (w *worker) replaced(r *secret.Rotating) string {
	rot, run, now := r.Rotation, r.Run, r.Tx.Now
	fate := rotator.Unknown
	if w.kind != nil {
		fate = w.kind.Leaves(rot.Settings())
	}
	var list []secret.Retiring
	if fate == rotator.Kept { // what was kept until now ends
		for _, e := range *r.Retiring {
			e.At, e.Next, e.Readers = min(e.Since, now.UnixMicro()), 0, 0 // which is over, whatever becomes of the clock
			list = append(list, e)
		}
	}
	defer func() { *r.Retiring = list[max(0, len(list)-maxRetiring):] }()
	if run.Revoke {
		rot.Revoked = run.Number
	}
	if run.Base == 0 {
		return "there was none"
	}
	entry := secret.Retiring{Number: run.Base, Since: now.UnixMicro()}
	grace := time.Duration(rot.Grace) * time.Microsecond
	if !run.Revoke && grace > 0 {
		entry.At = now.Add(grace).UnixMicro()
		entry.Readers = rot.Readers
		if rot.Deadline > 0 {
			entry.Deadline = now.Add(time.Duration(rot.Deadline) * time.Microsecond).UnixMicro()
		}
	}
	until := time.UnixMicro(entry.At).UTC().Format(time.RFC3339)
	switch fate {
	case rotator.Replaced:
		return "it ended when the new one was set"
	case rotator.Kept:
		if run.Revoke {
			entry.At = now.UnixMicro()
		}
		list = append(list, entry)
		switch {
		case run.Revoke:
			return "it is being revoked"
		case entry.At != 0:
			return "it is valid until " + until
		}
		return "it is valid until the next rotation"
	case rotator.Stored:
		switch {
		case run.Revoke:
			return "it is no longer accepted as a previous value"
		case entry.At != 0:
			list = append(list, entry)
			return "it is accepted as a previous value until " + until
		}
		return "it is kept as the previous value, and not accepted"
	}
	return "what was called decides"
}

// maxRetiring bounds the credentials of one secret that are to end.
const maxRetiring = 8

// retires is the first credential whose end is due, -1 for none.
func (w *worker) retires(now time.Time) int {
	for i, e := range w.st.Retiring {
		if at := max(e.At, e.Next); at != 0 && at <= now.UnixMicro() {
			return i
		}
	}
	return -1
}

// retire ends one credential.
func (w *worker) retire(ctx context.Context, i int) error {
	entry := w.st.Retiring[i]
	waits, err := w.waits(ctx, entry)
	if err == nil && waits > 0 {
		return w.about(ctx, entry, func(r *secret.Rotating, e *secret.Retiring) (bool, error) {
			e.Waits, e.Next = waits, r.Tx.Now.Add(lookEvery).UnixMicro()
			return false, nil
		})
	}
	if err == nil {
		err = w.endOf(ctx, entry)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil {
		w.s.counts.step(stepRetire, "ok")
		return w.about(ctx, entry, func(r *secret.Rotating, e *secret.Retiring) (bool, error) {
			return true, r.Log(secret.RotationOutcome{Result: secret.RotationRetired, Number: e.Number, Began: e.Since, Ended: r.Tx.Now.UnixMicro()})
		})
	}
	class, msg := rotator.Why(err)
	w.s.counts.step(stepRetire, string(class))
	w.s.Logger.Warn("ending a previous credential failed", "account", w.st.Account, "region", w.st.Region, "secret", w.st.Name, "class", class, "why", msg)
	return w.about(ctx, entry, func(r *secret.Rotating, e *secret.Retiring) (bool, error) {
		f := failure(r, string(stepRetire), string(class), msg)
		r.Tx.Failed("rotation/" + f.Class)
		e.Failed, e.Error = e.Failed+1, f
		e.Next = r.Tx.Now.Add(backoff(firstBackoff, undoBackoff, e.Failed)).UnixMicro()
		if e.Failed != stuckAfter {
			return false, nil
		}
		return false, w.tell(r, notice.RotationFailed, f.Msg, map[string]string{"step": f.Step, "class": f.Class, "state": "stuck"})
	})
}

// stepRetire names the step that is no part of a rotation under way.
const stepRetire secret.Step = "retire"

// about alters the entry of one credential; it goes when do says so.
func (w *worker) about(ctx context.Context, entry secret.Retiring, do func(*secret.Rotating, *secret.Retiring) (gone bool, err error)) error {
	return w.write(ctx, policy.RotationRetire, "", func(r *secret.Rotating) error {
		list := *r.Retiring
		for i := range list {
			if list[i].Number != entry.Number {
				continue
			}
			gone, err := do(r, &list[i])
			if gone {
				*r.Retiring = append(list[:i:i], list[i+1:]...)
			}
			return err
		}
		return errStale
	})
}

// waits is how many readers have not yet read the current version.
func (w *worker) waits(ctx context.Context, e secret.Retiring) (int, error) {
	now := time.Now().UnixMicro()
	if e.Readers == 0 || w.s.Readers == nil || e.Deadline != 0 && e.Deadline <= now {
		return 0, nil
	}
	last, err := w.s.Readers(ctx, w.st.Secret, w.st.Regions, time.UnixMicro(e.Since-e.Readers))
	if err != nil {
		return 0, err
	}
	n := 0
	for _, version := range last {
		if version <= e.Number {
			n++
		}
	}
	return n, nil
}

// endOf makes the target accept a credential no more, unless it is the current one
// again.
func (w *worker) endOf(ctx context.Context, e secret.Retiring) error {
	if w.kind == nil || w.kind.Leaves(w.st.Rotation.Settings()) != rotator.Kept {
		return nil // nothing outside has it
	}
	old, current := w.st.Value(e.Number), w.st.Value(w.st.Number)
	if e.Number == w.st.Number || old.Data.Len() == 0 || old.Data.Equal(current.Data) {
		return nil
	}
	job, err := w.job(ctx)
	if err != nil {
		return err
	}
	job.Previous, job.Pending = given(old), rotator.Value{}
	ctx, cancel := context.WithTimeout(ctx, w.patience())
	defer cancel()
	return w.rotator.Retire(ctx, job)
}
