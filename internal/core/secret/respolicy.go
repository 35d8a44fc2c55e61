package secret

import (
	"context"
	"strconv"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/errs"
	"countersign/internal/name"
)

// MaxPolicy is the largest resource policy in bytes.
const MaxPolicy = 20480

type policyEdit struct {
	edit
	text  string // empty removes the policy
	block bool
}

// PutResourcePolicy sets the policy on a secret. With block, one that grants
// access to everybody is refused (Precondition, CodePublic).
func (s *Service) PutResourcePolicy(ctx context.Context, who caller.Caller, id name.SecretID, text string, block bool, reason string) (Written, error) {
	if err := checkPolicy(text, block); err != nil {
		return Written{}, s.refuse(ctx, who, policy.PutResourcePolicy, id.Name, err)
	}
	e := &policyEdit{edit{s: s, op: policy.PutResourcePolicy, who: who, id: id}, text, block}
	return s.run(ctx, who, reason, e, &e.edit)
}

// DeleteResourcePolicy removes the policy on a secret, if there is one.
func (s *Service) DeleteResourcePolicy(ctx context.Context, who caller.Caller, id name.SecretID, reason string) (Written, error) {
	e := &policyEdit{edit: edit{s: s, op: policy.DeleteResourcePolicy, who: who, id: id}}
	return s.run(ctx, who, reason, e, &e.edit)
}

func checkPolicy(text string, block bool) error {
	if text == "" || len(text) > MaxPolicy {
		return &errs.Error{Kind: errs.Invalid, Code: name.CodeTooLong, Field: "ResourcePolicy", Msg: "a resource policy is 1 to 20480 bytes"}
	}
	doc, err := policy.Parse([]byte(text), policy.Resource)
	if err != nil {
		return err
	}
	if block && len(doc.PublicAccess()) > 0 {
		return &errs.Error{Kind: errs.Precondition, Code: CodePublic, Field: "ResourcePolicy", Msg: "the policy grants access to everybody"}
	}
	return nil
}

func (e *policyEdit) Allow(a *gate.Access) error {
	if e.op == policy.PutResourcePolicy {
		return e.open(a, policy.Pair{Key: policy.KeyBlockPublicPolicy, Value: strconv.FormatBool(e.block)})
	}
	return e.open(a)
}

func (e *policyEdit) Apply(tx *change.Tx) error {
	if err := e.ready(); err != nil {
		return err
	}
	if e.f.head.Policy == e.text {
		tx.NothingToDo()
		return nil
	}
	e.f.head.Policy = e.text
	tx.Wrote(e.f.head.Labels[name.Current].Number, 0, nil)
	return e.save(tx)
}

// ValidateResourcePolicy tells what is wrong with a policy, without putting
// it. The id may be the zero SecretID: then no secret is meant.
func (s *Service) ValidateResourcePolicy(ctx context.Context, who caller.Caller, id name.SecretID, text string) ([]policy.Finding, error) {
	var findings []policy.Finding
	err := s.gate.View(ctx, who, policy.ValidateResourcePolicy, id.Name, func(a *gate.Access) error {
		if id.Name != "" {
			f, err := s.ask(a, id, policy.ValidateResourcePolicy)
			if err != nil {
				return err
			}
			if err := f.mustExist(); err != nil {
				return err
			}
		} else if err := a.Allow(anything(policy.ValidateResourcePolicy, who), nil); err != nil {
			return err
		}
		if len(text) > MaxPolicy {
			return checkPolicy(text, false)
		}
		doc, err := policy.Parse([]byte(text), policy.Resource)
		if err != nil {
			return err
		}
		findings = append(doc.Validate(), doc.PublicAccess()...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return findings, nil
}
