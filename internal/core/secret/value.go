package secret

import (
	"context"
	"slices"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/errs"
	"countersign/internal/name"
)

// PutRequest asks for a new version.
type PutRequest struct {
	ID        name.SecretID
	VersionID string // of the new version
	Value     Input
	// Labels to attach. Default AWSCURRENT. The first version of a secret has
	// AWSCURRENT in any case.
	Labels []string
	// Base, when set, is the number of the current version that the author
	// saw, 0 for none. When the current version is another by now, the value
	// is merged with it key by key if all three are JSON objects.
	Base   *uint64
	Reason string
	// RotationToken proves that the call is a part of a rotation under way.
	RotationToken string
	change.Options
}

// Rotates reports whether the write gives the version that a rotation makes its
// value, and is done by what the rotation calls. See change.Rotating.
func (e *putEdit) Rotates() bool {
	return e.turns(e.req.RotationToken) && e.req.VersionID == e.f.head.Run.Version && e.f.head.Run.Step == StepCreate &&
		len(e.req.Labels) == 1 && e.req.Labels[0] == name.Pending
}

type putEdit struct {
	edit
	req   PutRequest
	value printed
	held  held
}

// PutValue stores a version.
//
// Repeating a call (the same version id and value) succeeds and changes
// nothing. Exists: the version id is taken by another value. Conflict: the
// current version is no longer Base and the two changes cannot be merged; the
// error's Field names the keys at odds.
func (s *Service) PutValue(ctx context.Context, who caller.Caller, req PutRequest) (Written, error) {
	e := &putEdit{edit: edit{s: s, op: policy.PutValue, who: who, id: req.ID}, req: req}
	if err := e.prepare(); err != nil {
		return Written{}, s.refuse(ctx, who, policy.PutValue, req.ID.Name, err)
	}
	return s.runWith(ctx, who, req.Reason, req.Options, e, &e.edit)
}

func (e *putEdit) prepare() (err error) {
	if err := name.Token("ClientRequestToken", e.req.VersionID); err != nil {
		return err
	}
	if len(e.req.Labels) == 0 {
		e.req.Labels = []string{name.Current}
	}
	if len(e.req.Labels) > name.MaxLabels {
		return errs.Coded(errs.Limit, CodeLabels, "a version has at most %d labels", name.MaxLabels)
	}
	for _, l := range e.req.Labels {
		if err := name.OwnLabel(l); err != nil {
			return err
		}
	}
	e.value, err = e.s.print(account(e.who, e.req.ID), e.req.Value)
	return err
}

func (e *putEdit) Allow(a *gate.Access) error {
	e.forget(&e.held)
	var extra []policy.Pair
	for _, l := range e.req.Labels {
		extra = append(extra, policy.Pair{Key: policy.KeyVersionStage, Value: l})
	}
	return e.open(a, extra...)
}

func (e *putEdit) Apply(tx *change.Tx) error {
	if err := e.ready(); err != nil {
		return err
	}
	if e.held.Number != 0 {
		if err := e.release(tx, &e.held, e.labels()); err != nil {
			return err
		}
		return e.save(tx)
	}
	number, taken, err := numberOf(tx, e.f.Secret, e.f.head, e.req.VersionID)
	if err != nil {
		return err
	}
	if taken {
		return e.again(tx, number)
	}
	if at := e.f.head.Labels[name.Pending]; slices.Contains(e.req.Labels, name.Pending) {
		if err := e.busy(at.Number); err != nil {
			return err
		}
	}
	base, err := e.based(tx, e.req.Base)
	if err != nil {
		return err
	}
	value, err := e.onto(tx, &base, e.value)
	if err != nil {
		return err
	}
	if err := e.putVersion(tx, e.req.VersionID, value, e.labels()); err != nil {
		return err
	}
	return e.save(tx)
}

// labels are those that the version gets: the first of a secret is its current.
func (e *putEdit) labels() []string {
	labels := e.req.Labels
	if _, ok := e.f.head.Labels[name.Current]; !ok && !slices.Contains(labels, name.Current) {
		labels = append(labels[:len(labels):len(labels)], name.Current)
	}
	return labels
}

// Hold keeps the value as a version that waits.
func (e *putEdit) Hold(tx *change.Tx) (err error) {
	if e.held, err = e.hold(tx, e.req.Base, e.req.VersionID, e.value); err != nil {
		return err
	}
	return e.save(tx)
}

// Drop removes that version.
func (e *putEdit) Drop(tx *change.Tx) error { return e.dropHeld(tx, &e.held) }

// again answers a version id that is taken: by the same value, by another, or
// by a version that was registered without one and now gets it.
func (e *putEdit) again(tx *change.Tx, number uint64) error {
	h := e.f.head
	v, err := getVersion(tx, e.f.Secret, h.Suffix, number)
	if err != nil {
		return err
	}
	if err := e.busy(number); err != nil {
		return err
	}
	switch {
	case v.Empty:
		v.Empty, v.Size, v.Binary, v.Print, v.Keys = false, e.value.Data.Len(), e.value.Binary, e.value.print, e.value.keys
		v.Gone = e.expiry(tx.Now)
		for l, at := range h.Labels { // the labels it was registered with now lead to a value
			if at.Number == number {
				h.attach(l, v.at(number))
			}
		}
		base := h.Labels[name.Current].Number
		if err := e.storeVersion(tx, number, v, e.value, e.req.Labels); err != nil {
			return err
		}
		tx.Wrote(base, number, nil)
		return e.save(tx)
	case e.value.same(v):
		tx.NothingToDo()
		e.out.VersionID, e.out.Number, e.out.Labels = v.ID, number, h.labelsOf(number)
		return nil
	}
	return errs.Coded(errs.Exists, CodeToken, "a version with this id and another value exists")
}

// UpdateRequest asks for new metadata, a new current version, or both. Nil
// leaves a thing as it is.
type UpdateRequest struct {
	ID                        name.SecretID
	Description, KMSKey, Type *string
	Value                     *Input
	VersionID                 string // needed with a value
	Reason                    string
	change.Options
}

type updateEdit struct {
	edit
	req   UpdateRequest
	value printed
	held  held
}

// Update changes a secret. Unlike PutValue it fails with Exists whenever the
// version id is taken.
func (s *Service) Update(ctx context.Context, who caller.Caller, req UpdateRequest) (Written, error) {
	e := &updateEdit{edit: edit{s: s, op: policy.UpdateSecret, who: who, id: req.ID}, req: req}
	err := checkTexts(req.Description, req.KMSKey, req.Type)
	if err == nil && req.Value != nil {
		if err = name.Token("ClientRequestToken", req.VersionID); err == nil {
			e.value, err = s.print(account(who, req.ID), *req.Value)
		}
	}
	if err != nil {
		return Written{}, s.refuse(ctx, who, policy.UpdateSecret, req.ID.Name, err)
	}
	return s.runWith(ctx, who, req.Reason, req.Options, e, &e.edit)
}

func (e *updateEdit) Allow(a *gate.Access) error {
	e.forget(&e.held)
	var extra []policy.Pair
	if e.req.Description != nil {
		extra = append(extra, policy.Pair{Key: policy.KeyDescription, Value: *e.req.Description})
	}
	if e.req.KMSKey != nil {
		extra = append(extra, policy.Pair{Key: policy.KeyKmsKeyID, Value: *e.req.KMSKey})
	}
	return e.open(a, extra...)
}

func (e *updateEdit) Apply(tx *change.Tx) error {
	if err := e.ready(); err != nil {
		return err
	}
	h := e.f.head
	for _, set := range []struct{ to, from *string }{{&h.Description, e.req.Description}, {&h.KMSKey, e.req.KMSKey}, {&h.Type, e.req.Type}} {
		if set.from != nil {
			*set.to = *set.from
		}
	}
	switch {
	case e.held.Number != 0:
		if err := e.release(tx, &e.held, []string{name.Current}); err != nil {
			return err
		}
	case e.req.Value != nil:
		_, taken, err := numberOf(tx, e.f.Secret, h, e.req.VersionID)
		if err != nil {
			return err
		}
		if taken {
			return errs.Coded(errs.Exists, CodeToken, "a version with this id exists")
		}
		if err := e.putVersion(tx, e.req.VersionID, e.value, []string{name.Current}); err != nil {
			return err
		}
	}
	return e.save(tx)
}

// Hold keeps the value, if there is one, as a version that waits.
func (e *updateEdit) Hold(tx *change.Tx) (err error) {
	if e.req.Value == nil {
		return nil
	}
	if e.held, err = e.hold(tx, nil, e.req.VersionID, e.value); err != nil {
		return err
	}
	return e.save(tx)
}

// Drop removes that version.
func (e *updateEdit) Drop(tx *change.Tx) error { return e.dropHeld(tx, &e.held) }

// account is whose secret an id names.
func account(who caller.Caller, id name.SecretID) string {
	if id.IsARN {
		return id.Account
	}
	return who.Account
}
