package login

import (
	"bytes"
	"context"
	"fmt"

	"countersign/internal/caller"
	"countersign/internal/core/authn"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/mount"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/name"
)

// linking is an edit of whom a login method knows a principal by. It is one of the
// user, so that rules over users hold it: who could link an alias of its own to
// somebody would be that.
type linking struct {
	account, principal string
	op                 policy.Op
	linkRequest
	made bool // set by Apply: there was no such link
}

// linkRequest is what it says, as it is written down while it waits.
type linkRequest struct {
	Accessor string `cbor:"1,keyasint"`
	Name     string `cbor:"2,keyasint"`
}

// NounUser is that of principals, which are changed by package authn and here.
const NounUser = "user"

func (e *linking) Target() change.Target {
	return change.Target{Account: e.account, Noun: NounUser, Name: e.principal}
}
func (e *linking) Operation() policy.Op    { return e.op }
func (e *linking) Encode() ([]byte, error) { return record.Encode(e.linkRequest) }

func (e *linking) Allow(a *gate.Access) error {
	return a.Allow(&policy.Request{Op: e.op, Resource: caller.UserARN(e.account, e.principal), Account: e.account}, nil)
}

func (e *linking) Lines() []string {
	if e.op == policy.UnlinkUser {
		return []string{fmt.Sprintf("unlink the alias %q of %s from %s; the tokens of its logins end", e.Name, e.Accessor, e.principal)}
	}
	return []string{fmt.Sprintf("link the alias %q of %s: who logs in by it is %s", e.Name, e.Accessor, e.principal)}
}

func (e *linking) Apply(tx *change.Tx) error {
	id, ok, err := authn.FindIdentity(tx, e.account, e.principal)
	if err != nil {
		return err
	}
	a, is, linked, err := resolve(tx, e.account, e.Accessor, e.Name)
	if err != nil {
		return err
	}
	var made int64
	if linked {
		made = a.Created
	}
	on, err := record.Encode([]any{id.Created, is.Caller.Name, made}) // votes are void when one of these is another
	if err != nil {
		return err
	}
	tx.Produced(on)
	if e.op == policy.UnlinkUser {
		return e.unlink(tx, is, linked)
	}
	if !ok {
		return errs.New(errs.NotFound, "there is no such user")
	}
	return e.link(tx, id, is, linked)
}

func (e *linking) link(tx *change.Tx, id, is identity, linked bool) error {
	m, err := mustBeMounted(tx, e.account, e.Accessor)
	if err != nil {
		return err
	}
	if m.Type == mount.Userpass && (e.Name != e.principal || id.Caller.Kind != caller.User) {
		return errs.InvalidField("name", "userpass lets users in by their own names: link another login method")
	}
	e.made = !linked
	if linked && is.Caller.Name == e.principal {
		tx.NothingToDo()
	}
	return Link(tx, e.account, e.Accessor, e.Name, id, nil, tx.Now)
}

func (e *linking) unlink(tx *change.Tx, is identity, linked bool) error {
	switch {
	case !linked:
		tx.NothingToDo()
		return nil
	case is.Caller.Name != e.principal:
		return errs.New(errs.Conflict, "the alias was linked to another principal meanwhile")
	}
	return Unlink(tx, e.account, e.Accessor, e.Name)
}

// DecodeUser reads back links that were written down, and leaves other edits of
// users to next.
func (s *Service) DecodeUser(next change.Decoder) change.Decoder {
	return func(author caller.Caller, op policy.Op, t change.Target, data []byte) (change.Edit, error) {
		if op != policy.LinkUser && op != policy.UnlinkUser {
			return next(author, op, t, data)
		}
		e := &linking{account: t.Account, principal: t.Name, op: op}
		if err := record.Decode(data, &e.linkRequest); err != nil {
			return nil, err
		}
		again, err := e.Encode()
		if err != nil {
			return nil, err
		}
		if e.Target() != t || !bytes.Equal(again, data) {
			return nil, errs.Wrap(errs.Internal, fmt.Errorf("the stored %s says something else", op), "")
		}
		return e, nil
	}
}

// Linking is what came of a link.
type Linking struct {
	change.Result
	ID   string // of the alias
	Made bool   // it was not linked before
}

// LinkAlias makes a principal known to a login method by a name. Exists with
// CodeAlias: the name is another's, or the method knows the principal by another.
func (s *Service) LinkAlias(ctx context.Context, who caller.Caller, accessor, n, principal string) (out Linking, err error) {
	op := policy.LinkUser
	err = name.Principal("principal", principal)
	if err == nil {
		err = checkAlias(n)
	}
	if err == nil && len(accessor) > maxName {
		err = errs.InvalidField("mount_accessor", "that is no accessor of a mount")
	}
	if err != nil {
		rec := gate.NewRecord(who, op, "")
		return out, s.gate.Finish(ctx, &rec, err)
	}
	e := &linking{account: who.Account, principal: principal, op: op, linkRequest: linkRequest{accessor, n}}
	out.Result, err = s.changes.Submit(ctx, who, change.Request{Edit: e})
	out.ID, out.Made = AliasID(who.Account, accessor, n), e.made
	return out, err
}

// UnlinkAlias ends that, and the tokens that came of it. An alias that is not there
// is no error.
func (s *Service) UnlinkAlias(ctx context.Context, who caller.Caller, id string) (change.Result, error) {
	is, err := s.Alias(ctx, who.Account, id)
	if err != nil {
		rec := gate.NewRecord(who, policy.UnlinkUser, "")
		return change.Result{}, s.gate.Finish(ctx, &rec, err)
	}
	if is == nil { // what is not there is nobody's
		return change.Result{}, s.gate.View(ctx, who, policy.UnlinkUser, "", func(a *gate.Access) error {
			return a.Allow(&policy.Request{Op: policy.UnlinkUser, Resource: policy.AnyResource, Account: who.Account}, nil)
		})
	}
	return s.changes.Submit(ctx, who, change.Request{Edit: &linking{account: who.Account, principal: is.Principal, op: policy.UnlinkUser,
		linkRequest: linkRequest{is.Accessor, is.Name}}})
}

// Alias reads one by its id, nil for none. It asks nobody.
func (s *Service) Alias(ctx context.Context, acct, id string) (out *Alias, err error) {
	err = s.gate.DB.View(ctx, func(r kv.Reader) (err error) {
		out, err = FindAlias(r, acct, id)
		return err
	})
	return out, gate.Classify(err)
}

// AliasesOf lists by which names login methods know a principal. It asks nobody.
func (s *Service) AliasesOf(ctx context.Context, acct, principal string) (out []Alias, err error) {
	err = s.gate.DB.View(ctx, func(r kv.Reader) (err error) {
		out, err = aliasesNow(r, acct, principal)
		return err
	})
	return out, gate.Classify(err)
}

// GetAlias reads an alias by its id. NotFound with CodeAlias: there is none.
func (s *Service) GetAlias(ctx context.Context, who caller.Caller, id string) (out Alias, err error) {
	op := policy.GetUser
	err = s.gate.View(ctx, who, op, "", func(a *gate.Access) error {
		is, err := FindAlias(a, who.Account, id)
		if err != nil {
			return err
		}
		arn := policy.AnyResource
		if is != nil {
			arn = caller.UserARN(who.Account, is.Principal)
		}
		if err := a.Allow(&policy.Request{Op: op, Resource: arn, Account: who.Account}, nil); err != nil {
			return err
		}
		if is == nil {
			return errs.Coded(errs.NotFound, CodeAlias, "there is no such alias")
		}
		out, a.Record.Resource = *is, is.Principal
		return nil
	})
	return out, err
}

// ListAliases lists the account's aliases by the accessor of the mount and by name,
// at most max (default 10,000).
func (s *Service) ListAliases(ctx context.Context, who caller.Caller, max int) (out []Alias, err error) {
	op := policy.ListUsers
	if max <= 0 {
		max = MaxRoles
	}
	err = s.gate.View(ctx, who, op, "", func(a *gate.Access) (err error) {
		if err := a.Allow(&policy.Request{Op: op, Resource: policy.AnyResource, Account: who.Account}, nil); err != nil {
			return err
		}
		out, err = everyAlias(a, who.Account, max)
		return err
	})
	return out, err
}

// AllAliases is ListAliases by principal. It asks nobody.
func (s *Service) AllAliases(ctx context.Context, acct string) (map[string][]Alias, error) {
	out := map[string][]Alias{}
	err := s.gate.DB.View(ctx, func(r kv.Reader) error {
		all, err := everyAlias(r, acct, MaxRoles)
		for _, a := range all {
			out[a.Principal] = append(out[a.Principal], a)
		}
		return err
	})
	return out, gate.Classify(err)
}

// everyAlias reads an account's aliases, but for those of principals and login
// methods that are gone.
func everyAlias(r kv.Reader, acct string, max int) (out []Alias, err error) {
	t, err := mount.Load(r, acct)
	if err != nil {
		return nil, err
	}
	for _, m := range t.All(true) {
		prefix := kv.K(acct, "login-alias", m.Accessor)
		for e, err := range record.Scan[alias](r, kv.Prefix(prefix)) {
			if err != nil {
				return nil, err
			}
			strs, _, err := e.Key[len(prefix):].Parts("s")
			if err != nil {
				return nil, err
			}
			id, ok, err := authn.FindIdentity(r, acct, e.Value.Principal)
			if err != nil {
				return nil, err
			}
			if !ok || id.Created != e.Value.Of {
				continue
			}
			if out = append(out, e.Value.show(acct, m.Accessor, strs[0])); len(out) == max {
				return out, nil
			}
		}
	}
	return out, nil
}
