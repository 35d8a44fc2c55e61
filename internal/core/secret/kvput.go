package secret

import (
	"context"
	"fmt"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/protect"
	"countersign/internal/errs"
	"countersign/internal/name"
	"countersign/internal/sensitive"
)

// KVWrite asks for a new version, of a secret that may not exist.
type KVWrite struct {
	ID    name.SecretID
	Value Input
	// CAS, when set, is the number that the current version must have; 0: there is
	// none. Without it the value is written whatever is current.
	CAS         *uint64
	CASRequired bool       // by the mount
	Defaults    KVSettings // of the mount
	Reason      string
	change.Options
}

// KVPatch asks for a new version that is the current one with a JSON merge patch
// applied (RFC 7396).
type KVPatch struct {
	ID          name.SecretID
	Patch       sensitive.Bytes // a JSON object
	CAS         *uint64         // as in KVWrite
	CASRequired bool
	Defaults    KVSettings
	// Show is the JSON object by which the front knows a value, and Take reads one
	// back. They may run twice. Default: the value itself, which has to be an object.
	Show   func(Input) (sensitive.Bytes, error)
	Take   func(sensitive.Bytes) (Input, error)
	Reason string
	change.Options
}

type kvEdit struct {
	edit
	value     printed          // of a put
	patch     *sensitive.Bytes // nil: a put
	show      func(Input) (sensitive.Bytes, error)
	take      func(sensitive.Bytes) (Input, error)
	cas       *uint64
	required  bool // that cas is given
	versionID string
	suffix    string // for a secret that does not exist
	dataKey   []byte
	held      held
}

// KVPut creates the secret or writes its next version.
//
// Conflict with CodeCASMismatch: the current version is not the one named by CAS.
// Precondition with CodeCASRequired: it has to be named. Precondition with
// CodeDeleted: the secret is marked for deletion.
func (s *Service) KVPut(ctx context.Context, who caller.Caller, req KVWrite) (Written, error) {
	e := s.newKVEdit(who, policy.PutValue, req.ID, req.CAS, req.CASRequired, req.Defaults)
	err := e.prepare()
	if err == nil {
		e.value, err = s.print(account(who, req.ID), req.Value)
	}
	if err != nil {
		return Written{}, s.refuse(ctx, who, e.op, req.ID.Name, err)
	}
	return s.runWith(ctx, who, req.Reason, req.Options, e, &e.edit)
}

// KVPatch writes the current value as a JSON merge patch changes it. Errors are as
// of KVPut, and NotFound: there is no current version, or it is gone. Precondition
// with CodeNotObject: the value is no JSON object.
func (s *Service) KVPatch(ctx context.Context, who caller.Caller, req KVPatch) (Written, error) {
	e := s.newKVEdit(who, policy.PatchValue, req.ID, req.CAS, req.CASRequired, req.Defaults)
	e.patch, e.show, e.take = &req.Patch, req.Show, req.Take
	err := e.prepare()
	if _, ok := object(req.Patch.Reveal()); err == nil && !ok {
		err = errs.InvalidField("data", "the patch is no JSON object, or has a key twice")
	}
	if err != nil {
		return Written{}, s.refuse(ctx, who, e.op, req.ID.Name, err)
	}
	return s.runWith(ctx, who, req.Reason, req.Options, e, &e.edit)
}

func (s *Service) newKVEdit(who caller.Caller, op policy.Op, id name.SecretID, cas *uint64, required bool, mount KVSettings) *kvEdit {
	if mount.CASRequired != nil {
		required = required || *mount.CASRequired
	}
	return &kvEdit{edit: edit{s: s, op: op, who: who, id: id, mount: mount}, cas: cas, required: required,
		versionID: newVersionID(), suffix: newSuffix()}
}

func (e *kvEdit) prepare() (err error) {
	if !e.id.IsARN {
		if err := name.SecretName(e.id.Name); err != nil {
			return err
		}
		if err := e.s.region(e.who.Region); err != nil {
			return err
		}
	}
	if e.patch == nil {
		e.dataKey, err = e.s.vault.NewDataKey(e.who.Account)
	}
	return err
}

// creates reports whether the edit makes the secret, which it did not find.
func (e *kvEdit) creates() bool {
	return e.f != nil && e.f.head == nil && e.patch == nil && !e.id.IsARN && e.held.Number == 0
}

// Allow asks for a creation where there is nothing to replace.
func (e *kvEdit) Allow(a *gate.Access) (err error) {
	e.forget(&e.held)
	e.out = Written{}
	if e.f, err = e.s.find(a, a.Who, e.id); err != nil {
		return err
	}
	a.Record.Resource = e.f.Name
	stage := policy.Pair{Key: policy.KeyVersionStage, Value: name.Current}
	if e.creates() {
		return e.allowNew(a, nil, []policy.Pair{stage})
	}
	return e.f.allow(a, e.op, stage)
}

func (e *kvEdit) Subject() protect.Subject {
	s := e.edit.Subject()
	if e.creates() {
		s.Kind = protect.Create
	}
	return s
}

// Deletes reports whether the mount has the write delete what the secret's own
// settings would keep: old versions, or after a time the new one. What those say
// was a change of the secret.
func (e *kvEdit) Deletes() bool {
	if e.f == nil || e.f.head == nil {
		return false
	}
	h, m := e.f.head, e.mount
	if m.MaxVersions != nil && *m.MaxVersions != 0 && h.MaxVersions == 0 && h.Kept >= *m.MaxVersions {
		return true
	}
	return e.expiry(time.UnixMicro(0)) != 0 && (h.DeleteAfter == 0 || e.expiry(time.UnixMicro(0)) < h.DeleteAfter)
}

// Keyless says that the Vault protocol has no key for a repeated request.
func (e *kvEdit) Keyless() {}

func (e *kvEdit) Apply(tx *change.Tx) error {
	if e.creates() {
		return e.create(tx)
	}
	if err := e.ready(); err != nil {
		return err
	}
	h := e.f.head
	if err := e.check(h.Labels[name.Current].Number, h.CASRequired); err != nil {
		return err
	}
	e.out.Tags = tagMap(h.Tags)
	if e.held.Number != 0 {
		if err := e.release(tx, &e.held, []string{name.Current}); err != nil {
			return err
		}
		return e.save(tx)
	}
	value, err := e.content(tx)
	if err != nil {
		return err
	}
	if value, err = e.onto(tx, &e.held, value); err != nil { // of a creation that waited, and came late
		return err
	}
	if err := e.putVersion(tx, e.versionID, value, []string{name.Current}); err != nil {
		return err
	}
	return e.save(tx)
}

// Lines say what a change does beside the value, for its review.
func (e *kvEdit) Lines() (out []string) {
	if e.cas != nil {
		out = append(out, fmt.Sprintf("takes effect only while version %d is current", *e.cas))
	}
	if e.f != nil && e.f.head != nil {
		if keep, asked := e.limit(); asked && e.f.head.Kept >= keep {
			out = append(out, fmt.Sprintf("removes the oldest versions, of which %d are kept", keep))
		}
		if after := e.expiry(time.UnixMicro(0)); after != 0 {
			out = append(out, fmt.Sprintf("the version is deleted by itself after %s", time.Duration(after)*time.Microsecond))
		}
	}
	return out
}

// check holds the current version against the one that the write expects.
func (e *kvEdit) check(current uint64, required bool) error {
	switch {
	case e.cas != nil && *e.cas != current:
		return errs.Coded(errs.Conflict, CodeCASMismatch, "the current version is %d and not %d", current, *e.cas)
	case e.cas == nil && (required || e.required) && !e.decoded:
		return errs.Coded(errs.Precondition, CodeCASRequired, "the write has to say which version it replaces")
	}
	return nil
}

// content is the value to be written.
func (e *kvEdit) content(tx *change.Tx) (printed, error) {
	if e.patch == nil {
		return e.value, nil
	}
	at, ok := e.f.head.Labels[name.Current]
	switch {
	case !ok:
		return printed{}, noVersion(CodeLabel, name.Current)
	case !at.readable(tx.Now):
		return printed{}, e.s.unreadable(tx, e.f, at.Number, tx.Now, noVersion(CodeLabel, name.Current))
	}
	data, err := e.s.value(tx, e.f, at.Number)
	if err != nil {
		return printed{}, err
	}
	value := Input{Data: data, Binary: at.Binary}
	if e.show != nil {
		if value.Data, err = e.show(value); err != nil {
			return printed{}, err
		}
		value.Binary = false
	}
	patched, ok := mergePatch(value.Data.Reveal(), e.patch.Reveal())
	if !ok || value.Binary {
		return printed{}, errs.Coded(errs.Precondition, CodeNotObject, "the secret's value is not a JSON object, so it cannot be patched")
	}
	value.Data = sensitive.New(patched)
	if e.take != nil {
		if value, err = e.take(value.Data); err != nil {
			return printed{}, err
		}
	}
	return e.s.print(e.f.Account, value)
}

// create makes the secret that the edit did not find.
func (e *kvEdit) create(tx *change.Tx) error {
	if err := e.check(0, false); err != nil {
		return err
	}
	if err := e.begin(&head{Suffix: e.suffix, Created: micros(tx.Now), DataKey: e.dataKey}); err != nil {
		return err
	}
	if err := e.putVersion(tx, e.versionID, e.value, []string{name.Current}); err != nil {
		return err
	}
	return e.saveNew(tx)
}

// Hold keeps the value as a version that waits; for a secret that does not exist
// the edit keeps it.
func (e *kvEdit) Hold(tx *change.Tx) error {
	if e.creates() {
		e.held = held{Knows: true}
		return nil
	}
	value, err := e.content(tx)
	if err != nil {
		return err
	}
	if e.held, err = e.hold(tx, nil, e.versionID, value); err != nil {
		return err
	}
	return e.save(tx)
}

// Drop removes that version.
func (e *kvEdit) Drop(tx *change.Tx) error { return e.dropHeld(tx, &e.held) }
