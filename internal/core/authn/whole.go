package authn

import (
	"context"
	"maps"
	"slices"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/protect"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
)

// MaxMoved is how many memberships one edit begins and ends: two keys each.
const MaxMoved = 50

// SetUserRequest says what a principal is to be as a whole; nil leaves a thing as
// it is.
type SetUserRequest struct {
	Name     string
	Tags     map[string]string // all that it is to have
	Policies []string          // all that are to be attached
	Disabled *bool
}

// SetUser makes a principal what is asked: a machine of that name when there is
// none. It is two changes where both what it is and what it may do change, since
// protection rules tell these apart, and asks for the permission to each thing
// that changes. What somebody else changes at the same time is left alone, as if
// it had been done afterwards. The result is that of the first change which waits,
// if one does: a principal that waits to be made is given no policies.
func (s *Service) SetUser(ctx context.Context, who caller.Caller, req SetUserRequest) (res change.Result, created bool, err error) {
	is, err := find[principal](ctx, s, principalKey(who.Account, req.Name))
	if err != nil {
		return res, false, err
	}
	wanted := sorted(req.Policies)
	var steps []action
	if is == nil {
		created, is = true, &principal{}
		steps = append(steps, &createUser{Machine: true, Tags: req.Tags, Disabled: req.Disabled != nil && *req.Disabled})
	} else if d := is.becomes(&req); d != nil {
		steps = append(steps, d)
	}
	if attach, detach := without(wanted, is.Policies), without(is.Policies, wanted); req.Policies != nil && len(attach)+len(detach) > 0 {
		steps = append(steps, &updateUser{Attach: attach, Detach: detach})
	}
	if len(steps) == 0 {
		steps = append(steps, &updateUser{})
	}
	res, err = s.each(ctx, who, req.Name, steps)
	return res, created, err
}

// becomes is the edit of what a principal is; nil when nothing changes.
func (p *principal) becomes(req *SetUserRequest) *updateUser {
	d := &updateUser{}
	if req.Disabled != nil && *req.Disabled != p.Disabled {
		d.Disabled = req.Disabled
	}
	if req.Tags != nil {
		d.SetTags, d.Untag = tagDifference(p.Tags, req.Tags)
	}
	if d.Disabled == nil && len(d.SetTags)+len(d.Untag) == 0 {
		return nil
	}
	return d
}

// each performs one action after the other, and returns the result of the first
// that waits. What waits to be made is altered no further.
func (s *Service) each(ctx context.Context, who caller.Caller, n string, steps []action) (first change.Result, err error) {
	for i, do := range steps {
		res, err := s.perform(ctx, who, n, do)
		if err != nil {
			return change.Result{}, err
		}
		if i == 0 || first.Status == change.Applied {
			first = res
		}
		if change.KindOf(do.asks(who.Account)[0].op) == protect.Create && res.Status != change.Applied {
			break
		}
	}
	return first, nil
}

// SetGroupRequest says what a group is to be as a whole; nil leaves a thing as it
// is.
type SetGroupRequest struct {
	Name     string
	External *bool    // stays what it was made as
	Policies []string // all that are to be attached
	Members  []string // all that are to be in it; nobody is named into an external group
}

// SetGroup makes a group what is asked, like SetUser.
func (s *Service) SetGroup(ctx context.Context, who caller.Caller, req SetGroupRequest) (res change.Result, created bool, err error) {
	is, in, err := s.whole(ctx, who.Account, req.Name)
	if err != nil {
		return res, false, err
	}
	var steps []action
	op := policy.UpdateGroup
	if is == nil {
		created, is, op = true, &group{External: req.External != nil && *req.External}, policy.CreateGroup
		steps = append(steps, &createGroup{External: is.External})
	}
	if req.External != nil && *req.External != is.External {
		return res, created, s.refused(ctx, who, op, req.Name, errs.New(errs.Invalid, "group type cannot be changed"))
	}
	if err := is.mustBeInternal(req.Members); err != nil {
		return res, created, s.refused(ctx, who, op, req.Name, err)
	}
	d := &updateGroup{}
	if req.Policies != nil {
		d.Attach, d.Detach = without(sorted(req.Policies), is.Policies), without(is.Policies, req.Policies)
	}
	if req.Members != nil {
		d.Add, d.Remove = without(sorted(req.Members), in), without(in, req.Members)
	}
	if len(d.Add)+len(d.Remove) > MaxMoved {
		return res, created, s.tooManyMoved(ctx, who, op, req.Name)
	}
	if !created || len(d.Attach)+len(d.Add) > 0 {
		steps = append(steps, d)
	}
	res, err = s.each(ctx, who, req.Name, steps)
	return res, created, err
}

// DropGroup removes a group, and ends the memberships in it with it.
func (s *Service) DropGroup(ctx context.Context, who caller.Caller, n string) (change.Result, error) {
	_, in, err := s.whole(ctx, who.Account, n)
	if err != nil {
		return change.Result{}, err
	}
	if len(in) > MaxMoved {
		return change.Result{}, s.tooManyMoved(ctx, who, policy.DeleteGroup, n)
	}
	return s.perform(ctx, who, n, &deleteGroup{Leave: in})
}

// tooManyMoved refuses a write, if its caller may know that there is so much.
func (s *Service) tooManyMoved(ctx context.Context, who caller.Caller, op policy.Op, n string) error {
	return s.refused(ctx, who, op, n, errs.New(errs.Limit, "at most %d memberships begin or end at once: change the group in several steps", MaxMoved))
}

// refused refuses a write of a group, as a denial for who may not write it.
func (s *Service) refused(ctx context.Context, who caller.Caller, op policy.Op, n string, err error) error {
	return s.view(ctx, who, op, safeName(n), policy.GroupARN(who.Account, n), func(kv.Reader) error { return err })
}

// whole reads a group, nil for none, with its members. It asks nobody.
func (s *Service) whole(ctx context.Context, acct, n string) (g *group, in []string, err error) {
	err = s.gate.DB.View(ctx, func(r kv.Reader) (err error) {
		if g, err = record.Find[group](r, groupKey(acct, n)); err != nil {
			return err
		}
		in, err = members(r, acct, n, -1)
		return err
	})
	return g, in, gate.Classify(err)
}

// find reads one record, nil for none. It asks nobody.
func find[T any](ctx context.Context, s *Service, key kv.Key) (v *T, err error) {
	err = s.gate.DB.View(ctx, func(r kv.Reader) (err error) {
		v, err = record.Find[T](r, key)
		return err
	})
	return v, gate.Classify(err)
}

// updateGroup changes what is attached to a group and who is in it.
type updateGroup struct {
	Attach []string `cbor:"1,keyasint,omitempty"`
	Detach []string `cbor:"2,keyasint,omitempty"`
	Add    []string `cbor:"3,keyasint,omitempty"`
	Remove []string `cbor:"4,keyasint,omitempty"`
}

func (d *updateGroup) noun() string { return nounGroup }

func (d *updateGroup) asks(acct string) []question {
	qs := append([]question{{op: policy.UpdateGroup}}, askEach(acct, policy.AttachGroupPolicy, d.Attach)...)
	qs = append(qs, askEach(acct, policy.DetachGroupPolicy, d.Detach)...)
	if len(d.Add) > 0 {
		qs = append(qs, question{op: policy.AddToGroup})
	}
	if len(d.Remove) > 0 {
		qs = append(qs, question{op: policy.RemoveFromGroup})
	}
	return qs
}

func (d *updateGroup) says(n string) []string {
	lines := append(saysEach("attach policy ", d.Attach, " to group "+n), saysEach("detach policy ", d.Detach, " from group "+n)...)
	return append(append(lines, saysEach("add ", d.Add, " to group "+n)...), saysEach("remove ", d.Remove, " from group "+n)...)
}

func (d *updateGroup) rests(t change.Target) []kv.Key {
	keys := append([]kv.Key{groupKey(t.Account, t.Name)}, policyKeys(t.Account, d.Attach)...)
	return append(append(keys, principalKeys(t.Account, d.Add)...), principalKeys(t.Account, d.Remove)...)
}

func (d *updateGroup) apply(_ *Service, tx *change.Tx, t change.Target) error {
	g, err := must[group](tx, groupKey(t.Account, t.Name), "group")
	if err != nil {
		return err
	}
	if g.Policies, err = altered(tx, t.Account, g.Policies, d.Attach, d.Detach); err != nil {
		return err
	}
	if err := g.mustBeInternal(d.Add); err != nil {
		return err
	}
	if len(d.says("")) == 0 {
		tx.NothingToDo()
	}
	if err := record.Put(tx, groupKey(t.Account, t.Name), g); err != nil {
		return err
	}
	return moveAll(tx, t, d.Add, d.Remove)
}

// moveAll begins and ends memberships in a group that is there.
func moveAll(tx *change.Tx, t change.Target, add, remove []string) error {
	for _, n := range remove {
		if err := (&membership{User: n, leave: true}).move(tx, t); err != nil {
			return err
		}
	}
	for _, n := range add {
		if err := (&membership{User: n}).move(tx, t); err != nil {
			return err
		}
	}
	return nil
}

// altered are attached policies with some more and some less.
func altered(r kv.Reader, acct string, is, attach, detach []string) ([]string, error) {
	if len(attach)+len(detach) == 0 {
		return is, nil
	}
	out := sorted(append(without(is, detach), attach...))
	return out, mustHavePolicies(r, acct, out)
}

// without are the names that are not among others.
func without(names, others []string) (out []string) {
	for _, n := range names {
		if !slices.Contains(others, n) {
			out = append(out, n)
		}
	}
	return out
}

func tagDifference(is, wanted map[string]string) (set map[string]string, untag []string) {
	for _, k := range slices.Sorted(maps.Keys(is)) {
		if _, ok := wanted[k]; !ok {
			untag = append(untag, k)
		}
	}
	for k, v := range wanted {
		if old, ok := is[k]; !ok || old != v {
			if set == nil {
				set = map[string]string{}
			}
			set[k] = v
		}
	}
	return set, untag
}

// askEach asks for one operation with each of some policies.
func askEach(acct string, op policy.Op, policies []string) (qs []question) {
	for _, p := range policies {
		qs = append(qs, question{op, []policy.Pair{{Key: policy.KeyPolicyARN, Value: policy.PolicyARN(acct, p)}}})
	}
	return qs
}

func saysEach(before string, names []string, after string) (lines []string) {
	for _, n := range names {
		lines = append(lines, before+n+after)
	}
	return lines
}

func policyKeys(acct string, names []string) (keys []kv.Key) {
	for _, n := range names {
		keys = append(keys, policyKey(acct, n))
	}
	return keys
}

func principalKeys(acct string, names []string) (keys []kv.Key) {
	for _, n := range names {
		keys = append(keys, principalKey(acct, n))
	}
	return keys
}
