package authn

import (
	"context"
	"errors"
	"slices"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
)

// Group is a group as it is shown.
type Group struct {
	Name     string   `json:"name"`
	ARN      string   `json:"arn"`
	Policies []string `json:"policies"`
	Members  []string `json:"members,omitempty"` // of one group only, not in listings
	// External groups have those for members whom logins prove to be in them.
	External bool        `json:"external,omitempty"`
	Alias    *GroupAlias `json:"alias,omitempty"`
	Created  time.Time   `json:"created,omitzero"`
	// Of the answer to a write: the change, and whether it was applied.
	Change string        `json:"change,omitempty"`
	Status change.Status `json:"status,omitempty"`
}

type createGroup struct {
	External bool `cbor:"1,keyasint,omitempty"`

	out group
}

func (d *createGroup) noun() string           { return nounGroup }
func (d *createGroup) asks(string) []question { return []question{{op: policy.CreateGroup}} }

func (d *createGroup) says(n string) []string {
	if d.External {
		return []string{"create external group " + n}
	}
	return []string{"create group " + n}
}

func (d *createGroup) rests(change.Target) []kv.Key { return nil }

func (d *createGroup) apply(_ *Service, tx *change.Tx, t change.Target) error {
	if err := absent(tx, groupKey(t.Account, t.Name), "group"); err != nil {
		return err
	}
	d.out = group{Created: micros(tx.Now), External: d.External}
	return record.Put(tx, groupKey(t.Account, t.Name), d.out)
}

// CreateGroup makes an empty group.
func (s *Service) CreateGroup(ctx context.Context, who caller.Caller, n string) (Group, error) {
	d := &createGroup{}
	res, err := s.perform(ctx, who, n, d)
	if err != nil {
		return Group{}, err
	}
	out := Group{Name: n, ARN: policy.GroupARN(who.Account, n), Change: res.ID, Status: res.Status}
	if res.Status == change.Applied {
		out.Created = when(d.out.Created)
	}
	return out, nil
}

type deleteGroup struct {
	Leave []string `cbor:"1,keyasint,omitempty"` // members whose membership ends with it
}

func (d *deleteGroup) noun() string { return nounGroup }

func (d *deleteGroup) asks(string) []question {
	qs := []question{{op: policy.DeleteGroup}}
	if len(d.Leave) > 0 {
		qs = append(qs, question{op: policy.RemoveFromGroup})
	}
	return qs
}

func (d *deleteGroup) says(n string) []string {
	return append([]string{"delete group " + n}, saysEach("remove ", d.Leave, " from group "+n)...)
}

func (d *deleteGroup) rests(t change.Target) []kv.Key {
	return append([]kv.Key{groupKey(t.Account, t.Name)}, principalKeys(t.Account, d.Leave)...)
}

func (d *deleteGroup) apply(_ *Service, tx *change.Tx, t change.Target) error {
	g, err := must[group](tx, groupKey(t.Account, t.Name), "group")
	if err != nil {
		return err
	}
	if err := moveAll(tx, t, nil, d.Leave); err != nil {
		return err
	}
	m, err := members(tx, t.Account, t.Name, 1)
	if err != nil {
		return err
	}
	if len(m) > 0 {
		return errs.Coded(errs.Precondition, CodeInUse, "the group has members, which have to be removed first")
	}
	if err := g.dropAlias(tx, t.Account); err != nil {
		return err
	}
	return tx.Delete(groupKey(t.Account, t.Name))
}

// DeleteGroup removes a group without members.
func (s *Service) DeleteGroup(ctx context.Context, who caller.Caller, n string) (change.Result, error) {
	return s.perform(ctx, who, n, &deleteGroup{})
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

// membership makes a principal a member of a group, or ends that.
type membership struct {
	User string `cbor:"1,keyasint"`

	leave bool // this is in the operation
}

func (d *membership) noun() string { return nounGroup }

func (d *membership) asks(string) []question {
	if d.leave {
		return []question{{op: policy.RemoveFromGroup}}
	}
	return []question{{op: policy.AddToGroup}}
}

func (d *membership) says(g string) []string {
	if d.leave {
		return []string{"remove " + d.User + " from group " + g}
	}
	return []string{"add " + d.User + " to group " + g}
}

// rests on who the user is, too: a later one of the same name is somebody else.
func (d *membership) rests(t change.Target) []kv.Key {
	return []kv.Key{groupKey(t.Account, t.Name), principalKey(t.Account, d.User)}
}

func (d *membership) apply(_ *Service, tx *change.Tx, t change.Target) error {
	g, err := must[group](tx, groupKey(t.Account, t.Name), "group")
	if err != nil {
		return err
	}
	if !d.leave {
		if err := g.mustBeInternal([]string{d.User}); err != nil {
			return err
		}
	}
	return d.move(tx, t)
}

// move writes the membership, of a group that is there.
func (d *membership) move(tx *change.Tx, t change.Target) error {
	p, err := must[principal](tx, principalKey(t.Account, d.User), "user")
	if err != nil {
		return err
	}
	key := memberKey(t.Account, t.Name, d.User)
	i, in := slices.BinarySearch(p.Groups, t.Name)
	switch {
	case d.leave:
		if in {
			p.Groups = slices.Delete(p.Groups, i, i+1)
		}
		err = tx.Delete(key)
	case !in && len(p.Groups) >= MaxGroups:
		return errs.New(errs.Limit, "a principal is in at most %d groups", MaxGroups)
	default:
		if !in {
			p.Groups = slices.Insert(p.Groups, i, t.Name)
		}
		err = tx.Put(key, []byte{1})
	}
	if err != nil {
		return err
	}
	return record.Put(tx, principalKey(t.Account, d.User), p)
}

// AddToGroup makes a principal a member.
func (s *Service) AddToGroup(ctx context.Context, who caller.Caller, g, n string) (change.Result, error) {
	return s.perform(ctx, who, g, &membership{User: n})
}

// RemoveFromGroup ends a membership; one that is not there is no error.
func (s *Service) RemoveFromGroup(ctx context.Context, who caller.Caller, g, n string) (change.Result, error) {
	return s.perform(ctx, who, g, &membership{User: n, leave: true})
}

// GetGroup returns a group with its members.
func (s *Service) GetGroup(ctx context.Context, who caller.Caller, n string) (Group, error) {
	var out Group
	err := s.view(ctx, who, policy.GetGroup, safeName(n), policy.GroupARN(who.Account, n), func(r kv.Reader) error {
		g, err := must[group](r, groupKey(who.Account, n), "group")
		if err != nil {
			return err
		}
		if out, err = g.show(r, who.Account, n); err != nil {
			return err
		}
		out.Members, err = g.members(r, who.Account, n, -1)
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
		var bad error
		err := list(r, kv.K(who.Account, "group"), after, max, func(n string, g group) {
			one, err := g.show(r, who.Account, n)
			out, bad = append(out, one), errors.Join(bad, err)
		})
		return errors.Join(err, bad)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// show is a group as it is shown, without its members.
func (g *group) show(r kv.Reader, acct, n string) (Group, error) {
	alias, err := g.aliasNow(r, acct, n)
	return Group{Name: n, ARN: policy.GroupARN(acct, n), Policies: g.Policies, Created: when(g.Created), External: g.External, Alias: alias}, err
}
