package secret

import (
	"context"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/protect"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/name"
)

// CodeNoRollback says that there is nothing to roll back to.
const CodeNoRollback = "no-rollback"

// RollbackRequest undoes one change, or goes back to a version. Exactly one of
// Change, Version and Time is given.
type RollbackRequest struct {
	ID      name.SecretID // may be zero with Change, which knows what it changed
	Change  string        // id, or enough of it: what it did to each key is undone
	Version uint64        // the value of that version becomes current again
	Time    time.Time     // the value that was current then
	Reason  string
	change.Options
}

// roll is a rollback with what it means found out.
type roll struct {
	Change string `cbor:"1,keyasint,omitempty"`
	From   uint64 `cbor:"2,keyasint,omitempty"` // version that the change wrote
	To     uint64 `cbor:"3,keyasint"`           // version whose value comes back
}

type rollbackEdit struct {
	edit
	req       RollbackRequest
	roll      roll
	versionID string
	held      held
}

// Rollback brings values back, as a new version. Undoing one change keeps what
// later ones did to other keys; a key that a later one changed too is a Conflict.
//
// Precondition: the change wrote no value, created the secret, or its versions
// are no longer kept; or the version never was current.
func (s *Service) Rollback(ctx context.Context, who caller.Caller, req RollbackRequest) (Written, error) {
	e := &rollbackEdit{edit: edit{s: s, op: policy.Rollback, who: who, id: req.ID}, req: req, versionID: newVersionID()}
	if err := e.prepare(ctx); err != nil {
		return Written{}, s.refuse(ctx, who, policy.Rollback, e.id.Name, err)
	}
	return s.runWith(ctx, who, req.Reason, req.Options, e, &e.edit)
}

// prepare checks the request, and finds the name of what a change changed, which
// tells nothing: policy is asked about it before anything is answered.
func (e *rollbackEdit) prepare(ctx context.Context) error {
	given := 0
	for _, is := range []bool{e.req.Change != "", e.req.Version != 0, !e.req.Time.IsZero()} {
		if is {
			given++
		}
	}
	if given != 1 {
		return errs.InvalidField("change", "give exactly one of a change to undo, a version to go back to, and a time")
	}
	if e.id.Name != "" || e.req.Change == "" {
		return nil
	}
	err := e.s.gate.DB.View(ctx, func(r kv.Reader) error {
		t, rec, err := e.s.changes.Where(r, e.who.Account, e.req.Change)
		if err == nil && t.Noun == "secret" {
			e.id = name.SecretID{Name: t.Name}
			e.who.Region, e.req.Change = t.Region, rec.ID
		}
		return err
	})
	if err == nil && e.id.Name == "" {
		e.id.Name = "change/" + e.req.Change // of nothing: policy answers
	}
	return err
}

// Allow finds out what the rollback means.
func (e *rollbackEdit) Allow(a *gate.Access) error {
	e.forget(&e.held)
	e.out = Written{}
	var err error
	who := a.Who
	who.Region = e.who.Region
	if e.f, err = e.s.find(a, who, e.id); err != nil {
		return err
	}
	a.Record.Resource, a.Record.Region = e.f.Name, e.f.Region
	if err := e.f.allow(a, policy.Rollback); err != nil {
		return err
	}
	if e.decoded || e.f.head == nil {
		return nil
	}
	e.roll, err = e.find(a)
	return err
}

// find turns the request into versions.
func (e *rollbackEdit) find(a *gate.Access) (roll, error) {
	if e.req.Version != 0 {
		return roll{To: e.req.Version}, nil
	}
	t := change.Target{Account: e.f.Account, Noun: "secret", Region: e.f.Region, Name: e.f.Name}
	if !e.req.Time.IsZero() {
		return e.at(a, t)
	}
	at, rec, err := e.s.changes.Where(a, e.f.Account, e.req.Change)
	switch {
	case err != nil:
		return roll{}, err
	case at != t:
		return roll{}, errs.Coded(errs.NotFound, change.CodeChange, "there is no such change to this secret")
	case rec.Status != change.Applied:
		return roll{}, errs.Coded(errs.Precondition, CodeNoRollback, "the change is %s, so there is nothing to undo", rec.Status)
	case rec.Version == 0 || rec.Version == rec.Base:
		return roll{}, errs.Coded(errs.Precondition, CodeNoRollback, "the change wrote no value")
	case rec.Base == 0:
		return roll{}, errs.Coded(errs.Precondition, CodeNoRollback, "the change wrote the first value: delete the secret instead")
	}
	return roll{Change: rec.ID, From: rec.Version, To: rec.Base}, nil
}

// maxBack is how many changes are looked through for the one of a time.
const maxBack = 10000

// at finds the version that was current at a time.
func (e *rollbackEdit) at(a *gate.Access, t change.Target) (roll, error) {
	var newest *change.Record
	before := ""
	for looked := 0; looked < maxBack; {
		list, err := change.History(a, t, before, 500)
		if err != nil {
			return roll{}, err
		}
		for i := range list {
			r := &list[i]
			if r.Status != change.Applied || r.Version == 0 || max(r.Time, r.Ended) > e.req.Time.UnixMicro() {
				continue
			}
			if newest == nil || max(r.Time, r.Ended) > max(newest.Time, newest.Ended) {
				newest = r
			}
		}
		looked += len(list)
		if len(list) < 500 {
			break
		}
		before = list[len(list)-1].ID
	}
	if newest == nil {
		return roll{}, errs.Coded(errs.Precondition, CodeNoRollback, "the secret had no value at that time")
	}
	return roll{To: newest.Version}, nil
}

func (e *rollbackEdit) Subject() protect.Subject {
	s := e.edit.Subject()
	if h := e.f.head; h != nil {
		prev, ok := h.Labels[name.Previous]
		if ok && prev.Number == e.roll.To && (e.roll.From == 0 || e.roll.From == h.Labels[name.Current].Number) {
			s.Kind = protect.RestoreLast
		}
	}
	return s
}

// Repeats is what makes two requests the same, without what chance added.
func (e *rollbackEdit) Repeats() []byte {
	b, _ := record.Encode(e.roll) // three plain members always encode
	return b
}

func (e *rollbackEdit) Apply(tx *change.Tx) error {
	if err := e.ready(); err != nil {
		return err
	}
	h := e.f.head
	current := h.Labels[name.Current].Number
	back, err := e.old(tx, e.roll.To)
	if err != nil {
		return err
	}
	if e.roll.From == 0 && back.Current == 0 {
		return errs.Coded(errs.Precondition, CodeNoRollback, "version %d never was current", e.roll.To)
	}
	data, err := e.s.value(tx, e.f, e.roll.To)
	if err != nil {
		return err
	}
	b := held{Base: current, Knows: true}
	switch {
	case e.roll.From != 0: // undo what it did, on whatever is current
		from, ok, err := record.Get[version](tx, versionKey(e.f.Secret, h.Suffix, e.roll.From))
		if err != nil {
			return err
		}
		if !ok || from.Empty { // its fingerprints are enough, its value may be gone
			return errs.Coded(errs.Precondition, CodeNoRollback, "version %d is no longer kept", e.roll.From)
		}
		b = held{Base: e.roll.From, Prints: from.Keys, Knows: true}
	case e.held.Knows:
		b = e.held
	}
	value := printed{Input: Input{Data: data, Binary: back.Binary}, print: back.Print, keys: back.Keys}
	p, err := e.edit.onto(tx, &b, value)
	if err != nil {
		return err
	}
	p.given = nil
	if current != 0 {
		v, err := getVersion(tx, e.f.Secret, h.Suffix, current)
		if err != nil {
			return err
		}
		if p.same(v) && v.readable(tx.Now) {
			tx.NothingToDo()
			e.out.VersionID, e.out.Number, e.out.Labels = v.ID, current, h.labelsOf(current)
			return nil
		}
	}
	if err := e.putVersion(tx, e.versionID, p, []string{name.Current}); err != nil {
		return misfit(err, "the value that would come back does not fit the secret's schema")
	}
	return e.save(tx)
}

// old reads a version that must still have its value.
func (e *rollbackEdit) old(tx *change.Tx, number uint64) (version, error) {
	v, ok, err := record.Get[version](tx, versionKey(e.f.Secret, e.f.head.Suffix, number))
	switch {
	case err != nil:
		return v, err
	case !ok || v.Empty:
		return v, errs.Coded(errs.Precondition, CodeNoRollback, "version %d is no longer kept", number)
	case !v.readable(tx.Now):
		return v, errs.Coded(errs.Precondition, CodeNoRollback, "version %d is %s", number, v.state(tx.Now))
	}
	return v, nil
}

// Hold notes what is current, for the merge to come.
func (e *rollbackEdit) Hold(tx *change.Tx) error {
	e.held = held{Base: e.f.head.Labels[name.Current].Number, Knows: true}
	if e.held.Base == 0 {
		return nil
	}
	v, err := getVersion(tx, e.f.Secret, e.f.head.Suffix, e.held.Base)
	e.held.Prints = v.Keys
	return err
}

// Drop has nothing to undo.
func (e *rollbackEdit) Drop(*change.Tx) error { return nil }
