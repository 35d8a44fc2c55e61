package identitytoken

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

// action is what an edit does, as data: its exported fields are written down while
// the edit waits.
type action interface {
	noun() string
	apply(tx *change.Tx, t change.Target) error
	says(n string) []string
}

// edit is one write.
type edit struct {
	op     policy.Op
	target change.Target
	do     action
}

// blank is the action of an operation, to be read.
func blank(op policy.Op) action {
	switch op {
	case policy.PutIdentityKey:
		return &putKey{}
	case policy.RotateIdentityKey:
		return &rotateKey{}
	case policy.DeleteIdentityKey:
		return &deleteKey{}
	case policy.PutIdentityRole:
		return &putRole{}
	case policy.DeleteIdentityRole:
		return &deleteRole{}
	case policy.PutIdentityTokenConfig:
		return &putConfig{}
	}
	return nil
}

func (e *edit) Target() change.Target      { return e.target }
func (e *edit) Operation() policy.Op       { return e.op }
func (e *edit) Encode() ([]byte, error)    { return record.Encode(e.do) }
func (e *edit) Apply(tx *change.Tx) error  { return e.do.apply(tx, e.target) }
func (e *edit) Lines() []string            { return e.do.says(e.target.Name) }
func (e *edit) Allow(a *gate.Access) error { return allow(a, e.op, e.target) }

func allow(a *gate.Access, op policy.Op, t change.Target) error {
	arn := policy.IdentityTokenARN(t.Account, t.Name)
	if t.Noun == NounConfig {
		arn = policy.AccountARN(t.Account)
	}
	return a.Allow(&policy.Request{Op: op, Resource: arn, Account: t.Account}, nil)
}

// submit checks the name of what a write alters, and runs it. invalid is what is
// wrong with the request already.
func (s *Service) submit(ctx context.Context, who caller.Caller, op policy.Op, n string, do action, invalid error) (change.Result, error) {
	if err := name.Principal("name", n); err != nil {
		n, invalid = "", err
	}
	if invalid != nil {
		rec := gate.NewRecord(who, op, n)
		return change.Result{}, s.gate.Finish(ctx, &rec, invalid)
	}
	return s.changes.Submit(ctx, who, change.Request{Edit: &edit{op: op, target: change.Target{Account: who.Account, Noun: do.noun(), Name: n}, do: do}})
}

// DecodeEdit reads back an edit that was written down; see change.Decoder.
func (s *Service) DecodeEdit(_ caller.Caller, op policy.Op, t change.Target, data []byte) (change.Edit, error) {
	do := blank(op)
	if do == nil || do.noun() != t.Noun {
		return nil, errs.New(errs.Internal, "%s is no stored edit of a %s", op, t.Noun)
	}
	return &edit{op: op, target: t, do: do}, record.Decode(data, do)
}

// Decoders reads back what this package's edits wrote down, by noun.
func (s *Service) Decoders() map[string]change.Decoder {
	return map[string]change.Decoder{NounKey: s.DecodeEdit, NounRole: s.DecodeEdit, NounConfig: s.DecodeEdit}
}

// view runs a read of what is named n.
func (s *Service) view(ctx context.Context, who caller.Caller, op policy.Op, noun, n string, f func(a *gate.Access) error) error {
	shown := n
	if name.Principal("name", n) != nil {
		shown = ""
	}
	return s.gate.View(ctx, who, op, shown, func(a *gate.Access) error {
		if err := allow(a, op, change.Target{Account: who.Account, Noun: noun, Name: n}); err != nil {
			return err
		}
		return f(a)
	})
}

// produced notes what votes have for a base.
func produced(tx *change.Tx, is any) error {
	b, err := record.Encode(is)
	if err == nil {
		tx.Produced(b)
	}
	return err
}
