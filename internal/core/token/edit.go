package token

import (
	"context"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
)

// edit is one write about tokens, of which no change is kept. look and do may run
// twice.
type edit struct {
	op       policy.Op
	account  string
	accessor string // of the token, when it is known before
	arn      string
	self     bool                     // about what the caller comes with
	look     func(*gate.Access) error // finds the token, once policy has let the caller
	do       func(*change.Tx) error
}

func (e *edit) Operation() policy.Op { return e.op }

func (e *edit) Target() change.Target {
	return change.Target{Account: e.account, Noun: nounToken, Name: e.accessor}
}

func (e *edit) Allow(a *gate.Access) (err error) {
	req := &policy.Request{Op: e.op, Resource: e.arn, Account: e.account}
	if e.self && a.Who.Kind != caller.System {
		err = a.AllowSelf(req)
	} else {
		err = a.Allow(req, nil)
	}
	if err != nil || e.look == nil {
		return err
	}
	return e.look(a)
}

func (e *edit) Apply(tx *change.Tx) error {
	tx.NothingToDo() // the record of it is the audit log's
	return e.do(tx)
}

// others is an edit of any token of the caller's account.
func others(who caller.Caller, op policy.Op) *edit {
	return &edit{op: op, account: who.Account, arn: policy.TokenARN(who.Account)}
}

// own is an edit of what the caller comes with.
func own(who caller.Caller, op policy.Op) *edit {
	e := &edit{op: op, account: who.Account, arn: who.ARN(), self: true}
	if who.Token != nil {
		e.accessor = who.Token.Accessor
	}
	return e
}

func (s *Service) submit(ctx context.Context, who caller.Caller, e *edit) error {
	_, err := s.changes.Submit(ctx, who, change.Request{Edit: e})
	return err
}

// ended records an operation that was refused before it was tried.
func (s *Service) ended(ctx context.Context, who caller.Caller, op policy.Op, err error) error {
	rec := gate.NewRecord(who, op, "")
	return s.gate.Finish(ctx, &rec, err)
}
