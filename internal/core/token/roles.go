package token

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/name"
)

// NounRole is the noun of changes to roles.
const NounRole = "token-role"

// roleEdit is a write to a role, which can wait for review.
type roleEdit struct {
	op      policy.Op
	account string
	name    string
	asked   RoleChange
	is      *Role // as the transaction sees it; nil: absent
}

// PutRole makes a role or changes one.
func (s *Service) PutRole(ctx context.Context, who caller.Caller, n string, c RoleChange, reason string) (change.Result, error) {
	return s.alterRole(ctx, who, reason, &roleEdit{op: policy.PutTokenRole, account: who.Account, name: n, asked: c})
}

// DeleteRole removes a role. Tokens that were made with it are not renewed any
// more.
func (s *Service) DeleteRole(ctx context.Context, who caller.Caller, n, reason string) (change.Result, error) {
	return s.alterRole(ctx, who, reason, &roleEdit{op: policy.DeleteTokenRole, account: who.Account, name: n})
}

func (s *Service) alterRole(ctx context.Context, who caller.Caller, reason string, e *roleEdit) (change.Result, error) {
	if err := name.Principal("role_name", e.name); err != nil {
		return change.Result{}, s.ended(ctx, who, e.op, err)
	}
	return s.changes.Submit(ctx, who, change.Request{Edit: e, Reason: reason})
}

// Decoders reads back what this package's edits wrote down, by noun.
func (s *Service) Decoders() map[string]change.Decoder {
	return map[string]change.Decoder{NounRole: decodeRole}
}

// decodeRole refuses bytes that say more than this release understands: to do a
// part of what was approved would be to do something else.
func decodeRole(_ caller.Caller, op policy.Op, t change.Target, data []byte) (change.Edit, error) {
	e := &roleEdit{op: op, account: t.Account, name: t.Name}
	if op != policy.PutTokenRole && op != policy.DeleteTokenRole {
		return nil, errs.New(errs.Internal, "%s is no stored edit of a token role", op)
	}
	if err := record.Decode(data, &e.asked); err != nil {
		return nil, err
	}
	again, err := e.Encode()
	if err == nil && !bytes.Equal(again, data) {
		err = errs.Wrap(errs.Internal, fmt.Errorf("the stored %s says something else", op), "")
	}
	return e, err
}

func (e *roleEdit) Operation() policy.Op    { return e.op }
func (e *roleEdit) Encode() ([]byte, error) { return record.Encode(e.asked) }

func (e *roleEdit) Target() change.Target {
	return change.Target{Account: e.account, Noun: NounRole, Name: e.name}
}

func (e *roleEdit) Allow(a *gate.Access) (err error) {
	err = a.Allow(&policy.Request{Op: e.op, Resource: policy.TokenRoleARN(e.account, e.name), Account: e.account}, nil)
	if err != nil {
		return err
	}
	e.is, err = findRole(a, e.account, e.name)
	return err
}

func (e *roleEdit) Apply(tx *change.Tx) error {
	was := Role{}
	if e.is != nil {
		was = *e.is
	}
	if e.op == policy.DeleteTokenRole {
		if e.is == nil {
			tx.NothingToDo()
			return nil
		}
		tx.Wrote(was.Revision, was.Revision+1, nil)
		return tx.Delete(roleKey(e.account, e.name))
	}
	if e.is == nil {
		was = newRole()
	}
	will := was
	e.asked.apply(&will)
	if err := will.check(); err != nil {
		return err
	}
	if same, err := sameRole(was, will); err != nil || same && e.is != nil {
		tx.NothingToDo()
		return err
	}
	will.Revision = was.Revision + 1
	tx.Wrote(was.Revision, will.Revision, nil)
	b, err := record.Encode(will)
	if err != nil {
		return err
	}
	tx.Produced(b)
	return tx.Put(roleKey(e.account, e.name), b)
}

func sameRole(a, b Role) (bool, error) {
	ea, err := record.Encode(a)
	if err != nil {
		return false, err
	}
	eb, err := record.Encode(b)
	return bytes.Equal(ea, eb), err
}

// Lines say what a change does, for its review.
func (e *roleEdit) Lines() []string {
	if e.op == policy.DeleteTokenRole {
		return []string{"deletes token role " + e.name}
	}
	out := []string{"sets token role " + e.name}
	c := &e.asked
	for _, l := range []struct {
		what string
		list *[]string
	}{{"allowed policies", c.Allowed}, {"allowed patterns of policies", c.AllowedGlobs}, {"disallowed policies", c.Disallowed},
		{"disallowed patterns of policies", c.DisallowedGlobs}, {"entity aliases", c.Aliases}, {"bound to addresses", c.CIDRs}} {
		if l.list != nil {
			out = append(out, l.what+": "+strings.Join(*l.list, ", "))
		}
	}
	return append(out, c.lines()...)
}

// lines say what a change does beside lists.
func (c *RoleChange) lines() (out []string) {
	say := func(what string, is bool, v any) {
		if is {
			out = append(out, fmt.Sprintf("%s: %v", what, v))
		}
	}
	or := *c
	var r Role
	or.apply(&r)
	say("orphans", c.Orphan != nil, r.Orphan)
	say("renewable", c.Renewable != nil, r.Renewable)
	say("path suffix", c.PathSuffix != nil, r.PathSuffix)
	say("period", c.Period != nil, r.Period)
	say("explicit max TTL", c.ExplicitMaxTTL != nil, r.ExplicitMaxTTL)
	say("type", c.Type != nil, r.Type)
	say("uses", c.NumUses != nil, r.NumUses)
	say("without the policy default", c.NoDefault != nil, r.NoDefault)
	say("writes that wait for review succeed", c.Queue != nil, r.Queue)
	return out
}

// GetRole returns a role.
func (s *Service) GetRole(ctx context.Context, who caller.Caller, n string) (Role, error) {
	if err := name.Principal("role_name", n); err != nil {
		return Role{}, s.ended(ctx, who, policy.GetTokenRole, err)
	}
	var out Role
	err := s.gate.View(ctx, who, policy.GetTokenRole, n, func(a *gate.Access) error {
		if err := a.Allow(&policy.Request{Op: policy.GetTokenRole, Resource: policy.TokenRoleARN(who.Account, n), Account: who.Account}, nil); err != nil {
			return err
		}
		role, err := findRole(a, who.Account, n)
		if err != nil {
			return err
		}
		if role == nil {
			return errs.Coded(errs.NotFound, CodeNoRole, "there is no such token role")
		}
		out = *role
		return nil
	})
	return out, err
}

// ListRoles lists the names of roles, sorted.
func (s *Service) ListRoles(ctx context.Context, who caller.Caller) (names []string, err error) {
	err = s.gate.View(ctx, who, policy.ListTokenRoles, "", func(a *gate.Access) error {
		if err := a.Allow(&policy.Request{Op: policy.ListTokenRoles, Resource: policy.AnyResource, Account: who.Account}, nil); err != nil {
			return err
		}
		names = nil
		prefix := kv.K(who.Account, "token-role")
		for p, err := range a.Scan(kv.Prefix(prefix)) {
			if err != nil {
				return err
			}
			strs, _, err := kv.Key(p.Key[len(prefix):]).Parts("s")
			if err != nil {
				return err
			}
			names = append(names, strs[0])
		}
		return nil
	})
	slices.Sort(names)
	return names, err
}
