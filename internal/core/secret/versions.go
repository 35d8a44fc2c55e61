package secret

import (
	"context"
	"fmt"
	"slices"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/name"
)

// maxNumbers is how many versions one request names: two keys each.
const maxNumbers = 40

// KVVersions names versions of a secret.
type KVVersions struct {
	ID       name.SecretID
	Numbers  []uint64
	Defaults KVSettings // of the mount
	// Exists makes a secret that does not exist NotFound. The Vault protocol has
	// that nothing is to be done then.
	Exists bool
	Reason string
	change.Options
}

type versionsEdit struct {
	edit
	numbers []uint64 // sorted; nil: the current version
	current uint64   // which that is, as the author saw it
	marked  bool     // the secret is marked for deletion
	exists  bool     // it has to
}

// DeleteVersions makes versions read as if they were not there, until they are
// undeleted; without Numbers, the current one. It moves no label. What is not
// there, or is deleted already, is no error.
//
// Conflict: it waited for review, and another version is current by now.
func (s *Service) DeleteVersions(ctx context.Context, who caller.Caller, req KVVersions) (change.Result, error) {
	op := policy.DeleteVersion
	if req.Numbers == nil {
		op = policy.DeleteCurrent
	}
	return s.versions(ctx, who, op, req)
}

// UndeleteVersions brings deleted versions back. It also takes the mark for
// deletion off the secret. What is not there, not deleted, or destroyed is no
// error.
func (s *Service) UndeleteVersions(ctx context.Context, who caller.Caller, req KVVersions) (change.Result, error) {
	return s.versions(ctx, who, policy.UndeleteVersion, req)
}

// DestroyVersions removes the values of versions for good. What else is known of
// them stays. What is not there, or destroyed already, is no error.
func (s *Service) DestroyVersions(ctx context.Context, who caller.Caller, req KVVersions) (change.Result, error) {
	return s.versions(ctx, who, policy.DestroyVersion, req)
}

func (s *Service) versions(ctx context.Context, who caller.Caller, op policy.Op, req KVVersions) (change.Result, error) {
	e := &versionsEdit{edit: edit{s: s, op: op, who: who, id: req.ID, mount: req.Defaults}, exists: req.Exists}
	var err error
	switch {
	case op == policy.DeleteCurrent:
	case len(req.Numbers) == 0:
		err = errs.InvalidField("versions", "no version number is given")
	case slices.Contains(req.Numbers, 0):
		err = errs.InvalidField("versions", "versions are counted from 1")
	default:
		e.numbers = slices.Clone(req.Numbers)
		slices.Sort(e.numbers)
		if e.numbers = slices.Compact(e.numbers); len(e.numbers) > maxNumbers {
			err = errs.New(errs.Limit, "name at most %d versions at once", maxNumbers)
		}
	}
	if err != nil {
		return change.Result{}, s.refuse(ctx, who, op, req.ID.Name, err)
	}
	return s.changes.Submit(ctx, who, change.Request{Edit: e, Reason: req.Reason, Options: req.Options})
}

func (e *versionsEdit) Allow(a *gate.Access) error {
	if err := e.open(a); err != nil || e.f.head == nil {
		return err
	}
	if !e.decoded {
		e.current = e.f.head.Labels[name.Current].Number
	}
	e.marked = e.f.head.Deleted != 0
	if e.op == policy.UndeleteVersion && e.marked {
		return e.f.allow(a, policy.RestoreSecret)
	}
	return nil
}

func (e *versionsEdit) Apply(tx *change.Tx) error {
	if e.f.head == nil && !e.exists {
		tx.NothingToDo()
		return nil
	}
	if err := e.f.mustBeWritable(); err != nil {
		return err
	}
	h := e.f.head
	current := h.Labels[name.Current].Number
	numbers := e.numbers
	if e.op == policy.DeleteCurrent {
		if current != e.current {
			return errs.Coded(errs.Conflict, CodeConflict, "version %d is not the current one any more", e.current)
		}
		numbers = []uint64{current}
	}
	var altered []uint64
	for _, n := range numbers {
		did, err := e.alter(tx, n)
		if err != nil {
			return err
		}
		if did {
			altered = append(altered, n)
		}
	}
	if e.op == policy.UndeleteVersion && e.marked {
		if err := e.unmark(tx); err != nil {
			return err
		}
	} else if altered == nil {
		tx.NothingToDo()
		return nil
	}
	tx.Wrote(current, 0, nil)
	tx.Marked(altered)
	return e.save(tx)
}

// alter does to one version what the edit is about. It reports whether anything
// had to be done.
func (e *versionsEdit) alter(tx *change.Tx, number uint64) (bool, error) {
	h, n := e.f.head, e.f.Secret
	key := versionKey(n, h.Suffix, number)
	v, ok, err := record.Get[version](tx, key)
	if err != nil || !ok || v.Empty || v.State == Destroyed || h.waiting(number) || h.making(number) {
		return false, err
	}
	switch deleted := v.state(tx.Now) == Deleted; {
	case e.op == policy.DestroyVersion:
		v.State = Destroyed
		if err := tx.Delete(valueKey(n, h.Suffix, number)); err != nil {
			return false, err
		}
	case e.op == policy.UndeleteVersion:
		if v.Gone == 0 {
			return false, nil
		}
		if h.Labels[name.Current].Number == number { // a schema may have been set meanwhile
			if err := e.judgeStored(tx, number, v.Binary); err != nil {
				return false, err
			}
		}
		v.State, v.Gone = Enabled, e.expiry(tx.Now)
	case deleted || e.marked:
		return false, nil
	default:
		v.State, v.Gone = Deleted, micros(tx.Now)
	}
	h.note(number, &v)
	return true, record.Put(tx, key, v)
}

// Lines say what a change does, for its review.
func (e *versionsEdit) Lines() []string {
	numbers := e.numbers
	if e.op == policy.DeleteCurrent {
		numbers = []uint64{e.current}
	}
	what, they := "version", "it"
	if len(numbers) > 1 {
		what, they = "versions", "they"
	}
	for i, n := range numbers {
		if i > 0 {
			what += ","
		}
		what += fmt.Sprintf(" %d", n)
	}
	switch e.op {
	case policy.DestroyVersion:
		return []string{"destroys what is stored as " + what + ", for good"}
	case policy.UndeleteVersion:
		lines := []string{"undeletes " + what}
		if e.marked {
			lines = append(lines, "takes the mark for deletion off the secret")
		}
		return lines
	}
	return []string{"deletes " + what + "; " + they + " can be undeleted"}
}
