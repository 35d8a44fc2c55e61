package secret

import (
	"bytes"
	"context"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/name"
	"countersign/internal/sensitive"
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
}

type putEdit struct {
	edit
	req   PutRequest
	value printed
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
	return s.run(ctx, who, req.Reason, e, &e.edit)
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
		if err := name.Label(l); err != nil {
			return err
		}
	}
	e.value, err = e.s.print(account(e.who, e.req.ID), e.req.Value)
	return err
}

func (e *putEdit) Allow(a *gate.Access) error {
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
	h := e.f.head
	number, taken, err := numberOf(tx, e.f.Secret, h, e.req.VersionID)
	if err != nil {
		return err
	}
	if taken {
		return e.again(tx, number)
	}
	value, err := e.onto(tx)
	if err != nil {
		return err
	}
	labels := e.req.Labels
	if _, ok := h.Labels[name.Current]; !ok {
		labels = append(labels[:len(labels):len(labels)], name.Current)
	}
	if err := e.putVersion(tx, e.req.VersionID, value, labels); err != nil {
		return err
	}
	return e.save(tx)
}

// again answers a version id that is taken: by the same value, by another, or
// by a version that was registered without one and now gets it.
func (e *putEdit) again(tx *change.Tx, number uint64) error {
	h := e.f.head
	v, err := getVersion(tx, e.f.Secret, h.Suffix, number)
	if err != nil {
		return err
	}
	switch {
	case v.Empty:
		v.Empty, v.Size, v.Binary, v.Print, v.Keys = false, e.value.Data.Len(), e.value.Binary, e.value.print, e.value.keys
		for l, at := range h.Labels { // the labels it was registered with now lead to a value
			if at.Number == number {
				h.attach(l, labelled{Number: number, ID: v.ID, Created: v.Created, Binary: v.Binary})
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

// onto returns the value to store: the one given, or merged onto the current
// version when that is not the one the author saw.
func (e *putEdit) onto(tx *change.Tx) (printed, error) {
	current := e.f.head.Labels[name.Current].Number
	if e.req.Base == nil || *e.req.Base == current {
		return e.value, nil
	}
	conflict := func(field string) error {
		return &errs.Error{Kind: errs.Conflict, Code: CodeConflict, Field: field,
			Msg: "the secret was changed since the version that this change is based on"}
	}
	if *e.req.Base == 0 || current == 0 || e.value.Binary {
		return printed{}, conflict("")
	}
	base, ok, err := record.Get[version](tx, versionKey(e.f.Secret, e.f.head.Suffix, *e.req.Base))
	if err != nil {
		return printed{}, err
	}
	if !ok || base.State == Destroyed || base.Empty {
		return printed{}, conflict("")
	}
	was, err := e.s.value(tx, e.f, *e.req.Base)
	if err != nil {
		return printed{}, err
	}
	is, err := e.s.value(tx, e.f, current)
	if err != nil {
		return printed{}, err
	}
	if bytes.Equal(is.Reveal(), e.value.Data.Reveal()) {
		return e.value, nil
	}
	merged, keys, ok := merge(was.Reveal(), is.Reveal(), e.value.Data.Reveal())
	if !ok {
		return printed{}, conflict(quoteKeys(keys))
	}
	p, err := e.s.print(e.f.Account, Input{Data: sensitive.New(merged)})
	p.given = e.value.print
	return p, err
}

// UpdateRequest asks for new metadata, a new current version, or both. Nil
// leaves a thing as it is.
type UpdateRequest struct {
	ID                        name.SecretID
	Description, KMSKey, Type *string
	Value                     *Input
	VersionID                 string // needed with a value
	Reason                    string
}

type updateEdit struct {
	edit
	req   UpdateRequest
	value printed
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
	return s.run(ctx, who, req.Reason, e, &e.edit)
}

func (e *updateEdit) Allow(a *gate.Access) error {
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
	if e.req.Value != nil {
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

// account is whose secret an id names.
func account(who caller.Caller, id name.SecretID) string {
	if id.IsARN {
		return id.Account
	}
	return who.Account
}
