package authn

import (
	"context"
	"slices"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
)

// Attachment is a policy and the user or group that it hangs on: exactly one
// of the two is set.
type Attachment struct{ Policy, User, Group string }

// attachment hangs a policy on a user or group, or takes it off.
type attachment struct {
	Policy string `cbor:"1,keyasint"`

	group, detach bool // these are in the operation
}

func (d *attachment) op() policy.Op {
	switch {
	case d.group && d.detach:
		return policy.DetachGroupPolicy
	case d.group:
		return policy.AttachGroupPolicy
	case d.detach:
		return policy.DetachPolicy
	}
	return policy.AttachPolicy
}

func (d *attachment) noun() string {
	if d.group {
		return nounGroup
	}
	return nounUser
}

func (d *attachment) asks(acct string) []question {
	return []question{{d.op(), []policy.Pair{{Key: policy.KeyPolicyARN, Value: policy.PolicyARN(acct, d.Policy)}}}}
}

func (d *attachment) says(n string) []string {
	if d.detach {
		return []string{"detach policy " + d.Policy + " from " + d.noun() + " " + n}
	}
	return []string{"attach policy " + d.Policy + " to " + d.noun() + " " + n}
}

// rests on what the policy says, too, as far as it is not built in.
func (d *attachment) rests(t change.Target) []kv.Key {
	holder := principalKey(t.Account, t.Name)
	if d.group {
		holder = groupKey(t.Account, t.Name)
	}
	return []kv.Key{holder, policyKey(t.Account, d.Policy)}
}

func (d *attachment) apply(_ *Service, tx *change.Tx, t change.Target) error {
	if d.group {
		g, err := must[group](tx, groupKey(t.Account, t.Name), "group")
		if err != nil {
			return err
		}
		if g.Policies, err = d.alter(tx, t.Account, g.Policies); err != nil {
			return err
		}
		return record.Put(tx, groupKey(t.Account, t.Name), g)
	}
	p, err := must[principal](tx, principalKey(t.Account, t.Name), "user")
	if err != nil {
		return err
	}
	if p.Policies, err = d.alter(tx, t.Account, p.Policies); err != nil {
		return err
	}
	return record.Put(tx, principalKey(t.Account, t.Name), p)
}

// alter returns the attached policies as they will be.
func (d *attachment) alter(tx *change.Tx, acct string, names []string) ([]string, error) {
	i, there := slices.BinarySearch(names, d.Policy)
	switch {
	case d.detach && there:
		names = slices.Delete(names, i, i+1)
	case !d.detach && !there:
		names = slices.Insert(names, i, d.Policy)
	}
	return names, mustHavePolicies(tx, acct, names)
}

// Attach hangs a policy on a user or group.
func (s *Service) Attach(ctx context.Context, who caller.Caller, at Attachment) (change.Result, error) {
	return s.attach(ctx, who, at, false)
}

// Detach takes a policy off a user or group; one that is not there is no error.
func (s *Service) Detach(ctx context.Context, who caller.Caller, at Attachment) (change.Result, error) {
	return s.attach(ctx, who, at, true)
}

func (s *Service) attach(ctx context.Context, who caller.Caller, at Attachment, detach bool) (change.Result, error) {
	d := &attachment{Policy: at.Policy, group: at.Group != "", detach: detach}
	if (at.User == "") == (at.Group == "") {
		rec := gate.NewRecord(who, (&attachment{detach: detach}).op(), "")
		return change.Result{}, s.gate.Finish(ctx, &rec, errs.InvalidField("User", "name either a user or a group"))
	}
	return s.perform(ctx, who, at.User+at.Group, d)
}
