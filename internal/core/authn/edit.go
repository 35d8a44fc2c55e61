package authn

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/generation"
	"countersign/internal/core/policy"
	"countersign/internal/core/protect"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/name"
)

// Nouns of what edits alter.
const (
	nounUser   = "user"
	nounGroup  = "group"
	nounPolicy = "policy"
	nounKey    = "key"
)

// action is what an edit does, as data: its exported fields are written down
// while the edit waits, and what it alters is the target's name beside them.
//
// apply may run several times, over writes that nobody sees, so it sets what the
// answer is made of anew each time and reads nothing of it.
type action interface {
	noun() string
	// asks are the operations that it amounts to; the edit is named by the first.
	asks(acct string) []question
	apply(s *Service, tx *change.Tx, t change.Target) error
	// rests are the records that what it means rests on: once one of them has
	// changed, it is not what was reviewed any more.
	rests(t change.Target) []kv.Key
	// says what it does, for who reviews it.
	says(n string) []string
}

// question is an operation that an edit amounts to.
type question struct {
	op    policy.Op
	extra []policy.Pair
}

// asked asks policy for each operation on a resource.
func asked(a *gate.Access, acct, resource string, qs []question) error {
	for _, q := range qs {
		if err := a.Allow(&policy.Request{Op: q.op, Resource: resource, Account: acct, Extra: q.extra}, nil); err != nil {
			return err
		}
	}
	return nil
}

// edit is one write to identities, which can wait for review.
type edit struct {
	s      *Service
	op     policy.Op
	target change.Target
	do     action
}

func (s *Service) edit(acct, n string, do action) *edit {
	return &edit{s: s, op: do.asks(acct)[0].op, target: change.Target{Account: acct, Noun: do.noun(), Name: n}, do: do}
}

func (e *edit) Target() change.Target   { return e.target }
func (e *edit) Operation() policy.Op    { return e.op }
func (e *edit) Lines() []string         { return e.do.says(e.target.Name) }
func (e *edit) Encode() ([]byte, error) { return record.Encode(e.do) }

// Subject is that of the operation, but for an update of what somebody may do.
func (e *edit) Subject() protect.Subject {
	kind := change.KindOf(e.op)
	if d, ok := e.do.(*updateUser); ok && d.permits() {
		kind = protect.Policy
	}
	return protect.Subject{Noun: e.target.Noun, Name: e.target.Name, Kind: kind}
}

func (e *edit) Allow(a *gate.Access) error {
	return asked(a, e.target.Account, resourceOf(e.target), e.do.asks(e.target.Account))
}

func (e *edit) Apply(tx *change.Tx) error {
	found, err := state(tx, e.do.rests(e.target))
	if err != nil {
		return err
	}
	tx.Produced(found) // identities have no versions: this is what votes have for a base
	if err := e.do.apply(e.s, tx, e.target); err != nil {
		return err
	}
	return generation.Raise(tx, e.target.Account)
}

// state is what there is of records, in bytes that differ when one of them does.
func state(r kv.Reader, keys []kv.Key) ([]byte, error) {
	all := make([][]byte, len(keys)) // nil: there is none
	for i, k := range keys {
		b, err := r.Get(k)
		if err != nil && !errors.Is(err, kv.ErrNotFound) {
			return nil, fmt.Errorf("reading what an edit rests on: %w", err)
		}
		if err == nil {
			all[i] = append([]byte{}, b...)
		}
	}
	return record.Encode(all)
}

// resourceOf is the ARN of what an edit alters. Permission to keys hangs on
// their owner.
func resourceOf(t change.Target) string {
	switch t.Noun {
	case nounGroup:
		return policy.GroupARN(t.Account, t.Name)
	case nounPolicy:
		return policy.PolicyARN(t.Account, t.Name)
	}
	return caller.UserARN(t.Account, t.Name)
}

// blank is the action of an operation, to be read; nil when it has none.
func blank(op policy.Op) action {
	switch op {
	case policy.CreateUser:
		return &createUser{}
	case policy.UpdateUser, policy.TagUser, policy.UntagUser:
		return &updateUser{}
	case policy.DeleteUser:
		return &deleteUser{}
	case policy.CreateGroup:
		return &createGroup{}
	case policy.UpdateGroup:
		return &updateGroup{}
	case policy.DeleteGroup:
		return &deleteGroup{}
	case policy.AddToGroup:
		return &membership{}
	case policy.RemoveFromGroup:
		return &membership{leave: true}
	case policy.LinkGroup:
		return &linkGroup{}
	case policy.UnlinkGroup:
		return &linkGroup{end: true}
	case policy.PutPolicy:
		return &putPolicy{}
	case policy.DeletePolicy:
		return &deletePolicy{}
	case policy.AttachPolicy:
		return &attachment{}
	case policy.DetachPolicy:
		return &attachment{detach: true}
	case policy.AttachGroupPolicy:
		return &attachment{group: true}
	case policy.DetachGroupPolicy:
		return &attachment{group: true, detach: true}
	case policy.RevokeKey:
		return &revokeKey{}
	case policy.UploadSSHKey:
		return &addSSHKey{}
	case policy.DeleteSSHKey:
		return &removeSSHKey{}
	}
	return nil
}

// DecodeEdit reads back an edit that was written down; see change.Decoder. Bytes
// that say more than this release understands are refused: to do a part of what
// was approved would be to do something else.
func (s *Service) DecodeEdit(_ caller.Caller, op policy.Op, t change.Target, data []byte) (change.Edit, error) {
	do := blank(op)
	if do == nil || do.noun() != t.Noun {
		return nil, errs.Wrap(errs.Internal, fmt.Errorf("%s is no stored edit of a %s", op, t.Noun), "")
	}
	if err := record.Decode(data, do); err != nil {
		return nil, err
	}
	e := &edit{s: s, op: op, target: t, do: do}
	again, err := e.Encode()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, data) || do.asks(t.Account)[0].op != op {
		return nil, errs.Wrap(errs.Internal, fmt.Errorf("the stored %s says something else", op), "")
	}
	return e, nil
}

// Decoders reads back what this package's edits wrote down, by noun.
func (s *Service) Decoders() map[string]change.Decoder {
	return map[string]change.Decoder{nounUser: s.DecodeEdit, nounGroup: s.DecodeEdit, nounPolicy: s.DecodeEdit, nounKey: s.DecodeEdit}
}

// once is a write whose answer is a secret that is shown once, so that it cannot
// wait. do may run twice.
type once struct {
	op       policy.Op
	target   change.Target
	resource string // ARN
	do       func(tx *change.Tx) error
}

func (e *once) Target() change.Target { return e.target }
func (e *once) Operation() policy.Op  { return e.op }

func (e *once) Allow(a *gate.Access) error {
	return asked(a, e.target.Account, e.resource, []question{{op: e.op}})
}

func (e *once) Apply(tx *change.Tx) error {
	if err := e.do(tx); err != nil {
		return err
	}
	return generation.Raise(tx, e.target.Account)
}

// perform submits an action on what is named n in the caller's own account.
func (s *Service) perform(ctx context.Context, who caller.Caller, n string, do action) (change.Result, error) {
	return s.submit(ctx, who, s.edit(who.Account, n, do))
}

// submit validates the name of what a write alters, and runs it.
func (s *Service) submit(ctx context.Context, who caller.Caller, e change.Edit) (change.Result, error) {
	if err := name.Principal("Name", e.Target().Name); err != nil {
		rec := gate.NewRecord(who, e.Operation(), "")
		return change.Result{}, s.gate.Finish(ctx, &rec, err)
	}
	return s.changes.Submit(ctx, who, change.Request{Edit: e})
}
