package secret

import (
	"context"

	"countersign/internal/caller"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/name"
	"countersign/internal/proof"
	"countersign/internal/sensitive"
)

// CodeUnreviewed says that nobody had to approve a version.
const CodeUnreviewed = "unreviewed"

// Proof is the evidence that a version was countersigned, with its value, which it
// takes to check it.
type Proof struct {
	Bundle proof.Bundle // without the value
	Value  sensitive.Bytes
}

// Proof returns the evidence for the current version of a secret, or of another
// when number is not 0. It takes the permission to read the value.
//
// Precondition: the version was written without a review.
func (s *Service) Proof(ctx context.Context, who caller.Caller, id name.SecretID, number uint64) (Proof, error) {
	r := s.borrow(policy.ReadValue, ReadRequest{ID: id, Number: number})
	defer s.giveBack(r)
	var out Proof
	err := s.gate.View(ctx, who, policy.ReadValue, id.Name, func(a *gate.Access) (err error) {
		out, err = r.proof(a)
		return err
	})
	if err != nil {
		return Proof{}, err
	}
	return out, nil
}

func (r *reading) proof(a *gate.Access) (Proof, error) {
	if err := r.value(a); err != nil {
		return Proof{}, err
	}
	v := &r.out
	at, ok, err := record.Get[version](a, versionKey(r.home, r.head.Suffix, v.Number))
	if err != nil || !ok {
		return Proof{}, err
	}
	b, ok, err := r.s.changes.Bundle(a, r.home.Account, at.Change)
	if err != nil {
		return Proof{}, err
	}
	if !ok {
		return Proof{}, errs.Coded(errs.Precondition, CodeUnreviewed, "version %d was written without a review, so there is nothing to prove", v.Number)
	}
	return Proof{Bundle: b, Value: v.Data}, nil
}
