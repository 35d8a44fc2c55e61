package secret

import (
	"context"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/name"
)

// LabelRequest moves a label from one version to another, puts it on one, or
// takes it off one.
type LabelRequest struct {
	ID    name.SecretID
	Label string
	From  string // version id; needed when another version than To has the label
	To    string // version id; empty takes the label off From
	// Infer stands in for a From that is missing with where the label is.
	Infer  bool
	Reason string
}

type labelEdit struct {
	edit
	req LabelRequest
}

// MoveLabel moves a label. Moving AWSCURRENT moves AWSPREVIOUS to the version
// that it leaves.
func (s *Service) MoveLabel(ctx context.Context, who caller.Caller, req LabelRequest) (Written, error) {
	err := name.OwnLabel(req.Label)
	if err == nil && req.From == "" && req.To == "" {
		err = errs.InvalidField("MoveToVersionId", "say which version to move the label to, or to remove it from")
	}
	for _, id := range []string{req.From, req.To} {
		if err == nil && id != "" {
			err = name.Token("VersionId", id)
		}
	}
	if err != nil {
		return Written{}, s.refuse(ctx, who, policy.MoveLabel, req.ID.Name, err)
	}
	e := &labelEdit{edit: edit{s: s, op: policy.MoveLabel, who: who, id: req.ID}, req: req}
	return s.run(ctx, who, req.Reason, e, &e.edit)
}

// Rotates reports whether it is what a rotation does last, done by what the rotation
// calls. See change.Rotating.
func (e *labelEdit) Rotates() bool {
	if !e.turns("") || e.f.head.Run.Step != StepFinish {
		return false
	}
	h, to := e.f.head, e.req.To
	switch e.req.Label {
	case name.Current:
		return to == h.Run.Version && h.Labels[name.Current].Number == h.Run.Base
	case name.Pending:
		return to == "" && e.req.From == h.Run.Version && h.Labels[name.Current].Number == h.Run.Number
	}
	return false
}

func (e *labelEdit) Allow(a *gate.Access) error {
	return e.open(a, policy.Pair{Key: policy.KeyVersionStage, Value: e.req.Label})
}

func (e *labelEdit) Apply(tx *change.Tx) error {
	if err := e.ready(); err != nil {
		return err
	}
	if e.req.To == "" {
		return e.takeOff(tx)
	}
	h := e.f.head
	number, ok, err := numberOf(tx, e.f.Secret, h, e.req.To)
	if err != nil {
		return err
	}
	if !ok {
		return noVersion(CodeVersion, e.req.To)
	}
	if err := e.busy(number); err != nil {
		return err
	}
	v, err := getVersion(tx, e.f.Secret, h.Suffix, number)
	if err != nil {
		return err
	}
	if !v.Empty && !v.readable(tx.Now) {
		return noVersion(CodeVersion, e.req.To)
	}
	at, attached := h.Labels[e.req.Label]
	if err := e.busy(at.Number); attached && err != nil {
		return err
	}
	switch {
	case attached && at.Number == number:
		tx.NothingToDo()
		e.out.VersionID, e.out.Number, e.out.Labels = e.req.To, number, h.labelsOf(number)
		return nil
	case attached && e.req.From == "" && !e.req.Infer && !e.Rotates(): // a rotation moves it from where it is
		return &errs.Error{Kind: errs.Invalid, Code: CodeLabelElsewhere, Field: at.ID,
			Msg: "the label is on another version, which has to be named"}
	case e.req.From != "" && (!attached || at.ID != e.req.From):
		return &errs.Error{Kind: errs.Invalid, Code: CodeLabelNotThere, Field: e.req.From, Msg: "the label is not on the version it is to be moved from"}
	}
	if e.req.Label == name.Current && !v.Empty {
		if err := e.judgeStored(tx, number, v.Binary); err != nil {
			return err
		}
	}
	base := h.Labels[name.Current].Number
	h.attach(e.req.Label, v.at(number))
	labels := h.labelsOf(number)
	if len(labels) > name.MaxLabels {
		return errs.Coded(errs.Limit, CodeLabels, "a version has at most %d labels", name.MaxLabels)
	}
	tx.Wrote(base, number, nil)
	if e.req.Label == name.Current {
		if err := e.becameCurrent(tx, base, number, v); err != nil {
			return err
		}
	}
	e.out.VersionID, e.out.Number, e.out.Labels = v.ID, number, labels
	return e.save(tx)
}

func (e *labelEdit) takeOff(tx *change.Tx) error {
	h := e.f.head
	at, attached := h.Labels[e.req.Label]
	if err := e.busy(at.Number); attached && err != nil {
		return err
	}
	switch {
	case e.req.Label == name.Current:
		return errs.Coded(errs.Precondition, CodeLabelCurrent, "AWSCURRENT can be moved to another version, not removed")
	case !attached || at.ID != e.req.From:
		return &errs.Error{Kind: errs.Invalid, Code: CodeLabelNotThere, Field: e.req.From, Msg: "the label is not on that version"}
	}
	delete(h.Labels, e.req.Label)
	tx.Wrote(h.Labels[name.Current].Number, at.Number, nil)
	e.out.VersionID, e.out.Number, e.out.Labels = at.ID, at.Number, h.labelsOf(at.Number)
	// A version that was only registered is nothing once its last label goes.
	if at.Empty && len(e.out.Labels) == 0 {
		v, ok, err := record.Get[version](tx, versionKey(e.f.Secret, h.Suffix, at.Number))
		if err != nil {
			return err
		}
		if ok && v.Empty {
			h.Kept--
			if err := dropVersion(tx, e.f.Secret, h.Suffix, at.Number, v.ID); err != nil {
				return err
			}
		}
	}
	return e.save(tx)
}
