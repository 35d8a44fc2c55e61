package authn

import (
	"context"
	"maps"
	"slices"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/name"
)

// Principal is a user or machine as it is shown.
type Principal struct {
	Name     string            `json:"name"`
	Kind     caller.Kind       `json:"kind"`
	ARN      string            `json:"arn"`
	Groups   []string          `json:"groups"`
	Policies []string          `json:"policies"`
	Tags     map[string]string `json:"tags,omitempty"`
	Created  time.Time         `json:"created"`
	Disabled bool              `json:"disabled,omitempty"`
}

func show(acct, n string, p principal) Principal {
	return Principal{Name: n, Kind: p.Kind, ARN: caller.UserARN(acct, n), Groups: p.Groups, Policies: p.Policies,
		Tags: p.Tags, Created: when(p.Created), Disabled: p.Disabled}
}

func (s *Service) principalEdit(who caller.Caller, op policy.Op, n string, do func(tx *change.Tx) error) *edit {
	return &edit{op: op, target: change.Target{Noun: "user", Name: n}, resource: caller.UserARN(who.Account, n), do: do}
}

// CreateUserRequest asks for a user, or for a machine.
type CreateUserRequest struct {
	Name    string
	Machine bool
	Tags    map[string]string
}

// CreateUser makes a principal without any policy. Tags need the permission to
// tag too, since policies may refer to them.
func (s *Service) CreateUser(ctx context.Context, who caller.Caller, req CreateUserRequest) (Principal, error) {
	p := principal{Kind: caller.User, Tags: req.Tags}
	if req.Machine {
		p.Kind = caller.Machine
	}
	e := s.principalEdit(who, policy.CreateUser, req.Name, func(tx *change.Tx) error {
		if err := checkTags(req.Tags); err != nil {
			return err
		}
		if err := absent(tx, principalKey(who.Account, req.Name), "user"); err != nil {
			return err
		}
		p.Created = micros(tx.Now)
		return record.Put(tx, principalKey(who.Account, req.Name), p)
	})
	e.extra = tagPairs(req.Tags)
	if len(req.Tags) > 0 {
		e.also = []question{{policy.TagUser, e.extra}}
	}
	if err := s.submit(ctx, who, e); err != nil {
		return Principal{}, err
	}
	return show(who.Account, req.Name, p), nil
}

func checkTags(tags map[string]string) error {
	if len(tags) > name.MaxTags {
		return errs.New(errs.Limit, "a principal has at most %d tags", name.MaxTags)
	}
	for k, v := range tags {
		if err := name.TagKey(k); err != nil {
			return err
		}
		if err := name.TagValue(v); err != nil {
			return err
		}
	}
	return nil
}

func tagPairs(tags map[string]string) (out []policy.Pair) {
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		out = append(out, policy.Pair{Key: policy.KeyRequestTagPrefix + k, Value: tags[k]}, policy.Pair{Key: policy.KeyTagKeys, Value: k})
	}
	return out
}

// UpdateUserRequest changes a principal; nil leaves a thing as it is.
type UpdateUserRequest struct {
	Name     string
	Disabled *bool             // a disabled principal proves nothing and is allowed nothing
	SetTags  map[string]string // set or replaced
	Untag    []string
}

// UpdateUser disables or enables a principal, or changes its tags, all at once
// or nothing. Each needs its own permission, since policies may refer to tags.
func (s *Service) UpdateUser(ctx context.Context, who caller.Caller, req UpdateUserRequest) (Principal, error) {
	var p principal
	e := s.principalEdit(who, policy.UpdateUser, req.Name, func(tx *change.Tx) (err error) {
		if p, err = must[principal](tx, principalKey(who.Account, req.Name), "user"); err != nil {
			return err
		}
		if err := req.alter(&p); err != nil {
			return err
		}
		return record.Put(tx, principalKey(who.Account, req.Name), p)
	})
	asks := req.asks()
	e.op, e.extra, e.also = asks[0].op, asks[0].extra, asks[1:]
	if err := s.submit(ctx, who, e); err != nil {
		return Principal{}, err
	}
	return show(who.Account, req.Name, p), nil
}

// asks are the operations that a request amounts to, one at least.
func (req *UpdateUserRequest) asks() (qs []question) {
	if len(req.SetTags) > 0 {
		qs = append(qs, question{policy.TagUser, tagPairs(req.SetTags)})
	}
	if len(req.Untag) > 0 {
		q := question{op: policy.UntagUser}
		for _, k := range req.Untag {
			q.extra = append(q.extra, policy.Pair{Key: policy.KeyTagKeys, Value: k})
		}
		qs = append(qs, q)
	}
	if req.Disabled != nil || len(qs) == 0 {
		qs = append(qs, question{op: policy.UpdateUser})
	}
	return qs
}

func (req *UpdateUserRequest) alter(p *principal) error {
	if p.Tags == nil {
		p.Tags = map[string]string{}
	}
	maps.Copy(p.Tags, req.SetTags)
	maps.DeleteFunc(p.Tags, func(k, _ string) bool { return slices.Contains(req.Untag, k) })
	if req.Disabled != nil {
		p.Disabled = *req.Disabled
	}
	return checkTags(p.Tags)
}

// DeleteUser removes a principal with its keys and memberships.
func (s *Service) DeleteUser(ctx context.Context, who caller.Caller, n string) error {
	return s.submit(ctx, who, s.principalEdit(who, policy.DeleteUser, n, func(tx *change.Tx) error {
		p, err := must[principal](tx, principalKey(who.Account, n), "user")
		if err != nil {
			return err
		}
		keys, err := keysOf(tx, who.Account, n)
		if err != nil {
			return err
		}
		for _, id := range keys {
			if err := s.dropKey(tx, who.Account, n, id); err != nil {
				return err
			}
		}
		for _, g := range p.Groups {
			if err := tx.Delete(memberKey(who.Account, g, n)); err != nil {
				return err
			}
		}
		return tx.Delete(principalKey(who.Account, n))
	}))
}

// GetUser returns one principal.
func (s *Service) GetUser(ctx context.Context, who caller.Caller, n string) (Principal, error) {
	var out Principal
	err := s.view(ctx, who, policy.GetUser, safeName(n), caller.UserARN(who.Account, n), func(r kv.Reader) error {
		p, err := must[principal](r, principalKey(who.Account, n), "user")
		out = show(who.Account, n, p)
		return err
	})
	if err != nil {
		return Principal{}, err
	}
	return out, nil
}

// ListUsers lists the account's principals by name, after the given name, at
// most max (default 1000).
func (s *Service) ListUsers(ctx context.Context, who caller.Caller, after string, max int) ([]Principal, error) {
	var out []Principal
	err := s.view(ctx, who, policy.ListUsers, "", policy.AnyResource, func(r kv.Reader) error {
		return list(r, kv.K(who.Account, "principal"), after, max, func(n string, p principal) {
			out = append(out, show(who.Account, n, p))
		})
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// list walks the records under prefix that are named after a name.
func list[T any](r kv.Reader, prefix kv.Key, after string, limit int, f func(n string, v T)) error {
	if limit <= 0 {
		limit = 1000
	}
	rng := kv.Prefix(prefix)
	if after != "" {
		rng.Start = append(prefix[:len(prefix):len(prefix)].Str(after), 0)
	}
	for e, err := range record.Scan[T](r, rng) {
		if err != nil {
			return err
		}
		if limit--; limit < 0 {
			return nil
		}
		strs, _, err := e.Key[len(prefix):].Parts("s")
		if err != nil {
			return err
		}
		f(strs[0], e.Value)
	}
	return nil
}

// safeName is n where it may stand in a record.
func safeName(n string) string {
	if name.Principal("Name", n) != nil {
		return ""
	}
	return n
}

// Group is a group as it is shown.
type Group struct {
	Name     string    `json:"name"`
	ARN      string    `json:"arn"`
	Policies []string  `json:"policies"`
	Members  []string  `json:"members,omitempty"` // of one group only, not in listings
	Created  time.Time `json:"created"`
}

func (s *Service) groupEdit(who caller.Caller, op policy.Op, n string, do func(tx *change.Tx) error) *edit {
	return &edit{op: op, target: change.Target{Noun: "group", Name: n}, resource: policy.GroupARN(who.Account, n), do: do}
}

// CreateGroup makes an empty group.
func (s *Service) CreateGroup(ctx context.Context, who caller.Caller, n string) (Group, error) {
	var g group
	err := s.submit(ctx, who, s.groupEdit(who, policy.CreateGroup, n, func(tx *change.Tx) error {
		if err := absent(tx, groupKey(who.Account, n), "group"); err != nil {
			return err
		}
		g.Created = micros(tx.Now)
		return record.Put(tx, groupKey(who.Account, n), g)
	}))
	if err != nil {
		return Group{}, err
	}
	return Group{Name: n, ARN: policy.GroupARN(who.Account, n), Created: when(g.Created)}, nil
}

// DeleteGroup removes a group without members.
func (s *Service) DeleteGroup(ctx context.Context, who caller.Caller, n string) error {
	return s.submit(ctx, who, s.groupEdit(who, policy.DeleteGroup, n, func(tx *change.Tx) error {
		if _, err := must[group](tx, groupKey(who.Account, n), "group"); err != nil {
			return err
		}
		m, err := members(tx, who.Account, n, 1)
		if err != nil {
			return err
		}
		if len(m) > 0 {
			return errs.Coded(errs.Precondition, CodeInUse, "the group has members, which have to be removed first")
		}
		return tx.Delete(groupKey(who.Account, n))
	}))
}

func members(r kv.Reader, acct, g string, limit int) (out []string, err error) {
	prefix := kv.K(acct, "member", g)
	for p, err := range r.Scan(kv.Prefix(prefix)) {
		if err != nil {
			return nil, err
		}
		strs, _, err := kv.Key(p.Key[len(prefix):]).Parts("s")
		if err != nil {
			return nil, err
		}
		if out = append(out, strs[0]); len(out) == limit {
			break
		}
	}
	return out, nil
}

// AddToGroup makes a principal a member.
func (s *Service) AddToGroup(ctx context.Context, who caller.Caller, g, n string) error {
	return s.membership(ctx, who, policy.AddToGroup, g, n, func(tx *change.Tx, p *principal) error {
		if i, in := slices.BinarySearch(p.Groups, g); !in {
			p.Groups = slices.Insert(p.Groups, i, g)
		}
		if len(p.Groups) > MaxGroups {
			return errs.New(errs.Limit, "a principal is in at most %d groups", MaxGroups)
		}
		return tx.Put(memberKey(who.Account, g, n), []byte{1})
	})
}

// RemoveFromGroup ends a membership; one that is not there is no error.
func (s *Service) RemoveFromGroup(ctx context.Context, who caller.Caller, g, n string) error {
	return s.membership(ctx, who, policy.RemoveFromGroup, g, n, func(tx *change.Tx, p *principal) error {
		p.Groups = slices.DeleteFunc(p.Groups, func(have string) bool { return have == g })
		return tx.Delete(memberKey(who.Account, g, n))
	})
}

func (s *Service) membership(ctx context.Context, who caller.Caller, op policy.Op, g, n string, alter func(*change.Tx, *principal) error) error {
	return s.submit(ctx, who, s.groupEdit(who, op, g, func(tx *change.Tx) error {
		if _, err := must[group](tx, groupKey(who.Account, g), "group"); err != nil {
			return err
		}
		p, err := must[principal](tx, principalKey(who.Account, n), "user")
		if err != nil {
			return err
		}
		if err := alter(tx, &p); err != nil {
			return err
		}
		return record.Put(tx, principalKey(who.Account, n), p)
	}))
}

// GetGroup returns a group with its members.
func (s *Service) GetGroup(ctx context.Context, who caller.Caller, n string) (Group, error) {
	var out Group
	err := s.view(ctx, who, policy.GetGroup, safeName(n), policy.GroupARN(who.Account, n), func(r kv.Reader) error {
		g, err := must[group](r, groupKey(who.Account, n), "group")
		if err != nil {
			return err
		}
		out = Group{Name: n, ARN: policy.GroupARN(who.Account, n), Policies: g.Policies, Created: when(g.Created)}
		out.Members, err = members(r, who.Account, n, -1)
		return err
	})
	if err != nil {
		return Group{}, err
	}
	return out, nil
}

// ListGroups lists the account's groups by name, after the given name, at most
// max (default 1000).
func (s *Service) ListGroups(ctx context.Context, who caller.Caller, after string, max int) ([]Group, error) {
	var out []Group
	err := s.view(ctx, who, policy.ListGroups, "", policy.AnyResource, func(r kv.Reader) error {
		return list(r, kv.K(who.Account, "group"), after, max, func(n string, g group) {
			out = append(out, Group{Name: n, ARN: policy.GroupARN(who.Account, n), Policies: g.Policies, Created: when(g.Created)})
		})
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}
