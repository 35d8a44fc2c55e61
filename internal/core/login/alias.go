package login

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/authn"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/name"
)

// Alias says which principal somebody is whom a login method knows by a name.
type Alias struct {
	ID        string // derived from mount and name
	Accessor  string // of the mount
	Name      string
	Principal string
	Created   time.Time
	Meta      map[string]string
}

// alias is how it is kept, under its account, the mount's accessor and its name.
type alias struct {
	Principal string            `cbor:"1,keyasint"`
	Of        int64             `cbor:"2,keyasint"` // when the principal was made
	Created   int64             `cbor:"3,keyasint"`
	Meta      map[string]string `cbor:"4,keyasint,omitempty"`
}

// aliasPlace says where the alias with an id is.
type aliasPlace struct {
	Accessor string `cbor:"1,keyasint"`
	Name     string `cbor:"2,keyasint"`
}

func aliasKey(acct, accessor, n string) kv.Key { return kv.K(acct, "login-alias", accessor, n) }
func aliasIDKey(acct, id string) kv.Key        { return kv.K(acct, "login-alias-id", id) }
func aliasOfKey(acct, principal, accessor, n string) kv.Key {
	return kv.K(acct, "login-alias-of", principal, accessor, n)
}

// maxAliases is how many names one principal has: what deleting it takes along.
const maxAliases = 20

// AliasID is the id of an alias.
func AliasID(acct, accessor, n string) string {
	sum := sha256.Sum256([]byte(acct + "\x00" + accessor + "\x00" + n))
	return spellUUID(sum[:], 0x80)
}

func (a *alias) show(acct, accessor, n string) Alias {
	return Alias{ID: AliasID(acct, accessor, n), Accessor: accessor, Name: n, Principal: a.Principal, Created: when(a.Created), Meta: a.Meta}
}

func checkAlias(n string) error {
	if n == "" || len(n) > maxAlias || name.Text("name", n, maxAlias) != nil || strings.ContainsAny(n, "\t\r\n") {
		return errs.InvalidField("name", "the name of an alias is 1 to %d bytes of text without control characters", maxAlias)
	}
	return nil
}

// Resolve finds who an alias is; ok is false when nobody is linked, or who was is
// gone.
func Resolve(r kv.Reader, acct, accessor, n string) (id authn.Identity, ok bool, err error) {
	a, err := record.Find[alias](r, aliasKey(acct, accessor, n))
	if err != nil || a == nil {
		return id, false, err
	}
	id, ok, err = authn.FindIdentity(r, acct, a.Principal)
	return id, ok && id.Created == a.Of, err
}

// FindAlias reads an alias by its id, nil when there is none.
func FindAlias(r kv.Reader, acct, id string) (*Alias, error) {
	at, err := record.Find[aliasPlace](r, aliasIDKey(acct, id))
	if err != nil || at == nil {
		return nil, err
	}
	a, err := record.Find[alias](r, aliasKey(acct, at.Accessor, at.Name))
	if err != nil || a == nil {
		return nil, err
	}
	out := a.show(acct, at.Accessor, at.Name)
	return &out, nil
}

// Aliases lists the names of a principal; those of an earlier one of its name are
// left out.
func Aliases(r kv.Reader, acct, principal string, of int64) (out []Alias, err error) {
	places, err := aliasesOf(r, acct, principal)
	if err != nil {
		return nil, err
	}
	for _, at := range places {
		a, err := record.Find[alias](r, aliasKey(acct, at.Accessor, at.Name))
		if err != nil {
			return nil, err
		}
		if a != nil && a.Principal == principal && a.Of == of {
			out = append(out, a.show(acct, at.Accessor, at.Name))
		}
	}
	return out, nil
}

func aliasesOf(r kv.Reader, acct, principal string) (out []aliasPlace, err error) {
	prefix := kv.K(acct, "login-alias-of", principal)
	for p, err := range r.Scan(kv.Prefix(prefix)) {
		if err != nil {
			return nil, err
		}
		strs, _, err := kv.Key(p.Key[len(prefix):]).Parts("ss")
		if err != nil {
			return nil, err
		}
		out = append(out, aliasPlace{strs[0], strs[1]})
	}
	return out, nil
}

// Link makes a principal known to a login method by a name, in a transaction. A
// link of a principal that is gone gives way; another's does not.
func Link(tx kv.Txn, acct, accessor, n string, id authn.Identity, meta map[string]string, now time.Time) error {
	if err := checkAlias(n); err != nil {
		return err
	}
	is, ok, err := Resolve(tx, acct, accessor, n)
	switch {
	case err != nil:
		return err
	case ok && is.Caller.Name != id.Caller.Name:
		return errs.Coded(errs.Exists, CodeAlias, "the alias is linked to another principal")
	case ok:
		return nil
	}
	if err := Unlink(tx, acct, accessor, n); err != nil {
		return err
	}
	if err := makeRoom(tx, acct, id); err != nil {
		return err
	}
	a := alias{Principal: id.Caller.Name, Of: id.Created, Created: micros(now), Meta: meta}
	if err := record.Put(tx, aliasKey(acct, accessor, n), a); err != nil {
		return err
	}
	if err := record.Put(tx, aliasIDKey(acct, AliasID(acct, accessor, n)), aliasPlace{accessor, n}); err != nil {
		return err
	}
	return tx.Put(aliasOfKey(acct, a.Principal, accessor, n), []byte{1})
}

// makeRoom drops the aliases of an earlier principal of the name, and refuses one
// too many.
func makeRoom(tx kv.Txn, acct string, id authn.Identity) error {
	all, err := aliasesOf(tx, acct, id.Caller.Name)
	if err != nil {
		return err
	}
	for _, at := range all {
		a, err := record.Find[alias](tx, aliasKey(acct, at.Accessor, at.Name))
		if err != nil {
			return err
		}
		if a == nil || a.Principal == id.Caller.Name && a.Of == id.Created {
			continue
		}
		if err := Unlink(tx, acct, at.Accessor, at.Name); err != nil {
			return err
		}
		all = all[1:] // only their number counts
	}
	if len(all) >= maxAliases {
		return errs.New(errs.Limit, "a principal has at most %d aliases", maxAliases)
	}
	return nil
}

// Unlink ends a link, in a transaction. One that is not there is no error.
func Unlink(tx kv.Txn, acct, accessor, n string) error {
	a, err := record.Find[alias](tx, aliasKey(acct, accessor, n))
	if err != nil || a == nil {
		return err
	}
	for _, k := range []kv.Key{aliasKey(acct, accessor, n), aliasIDKey(acct, AliasID(acct, accessor, n)), aliasOfKey(acct, a.Principal, accessor, n)} {
		if err := tx.Delete(k); err != nil {
			return err
		}
	}
	return nil
}

// principalName names the principal of somebody nobody linked: after the mount
// and what a person would call it. attempt counts the names that were taken. What
// had to be changed to be a name ends in a hash of what it was, so that two never
// become one.
func principalName(mountName, label, accessor, n string, attempt int) string {
	clean := strings.Map(func(c rune) rune {
		if c < 0x80 && name.Principal("Name", string(c)) == nil {
			return c
		}
		return '-'
	}, mountName+"."+label)
	sum := sha256.Sum256([]byte(accessor + "\x00" + n))
	const longest = 64
	switch changed := clean != mountName+"."+label || len(clean) > longest; {
	case attempt == 0 && !changed:
		return clean
	case attempt == 0 || attempt == 1 && !changed:
		return clean[:min(len(clean), longest-9)] + "-" + hex.EncodeToString(sum[:4])
	}
	return clean[:min(len(clean), longest-33)] + "-" + hex.EncodeToString(sum[:16])
}

// makePrincipal makes a machine for an alias that nobody linked, as a change by
// the server: who logs in has proved the alias, and gets what the role grants.
func (s *Service) makePrincipal(ctx context.Context, nobody caller.Caller, w *way) error {
	sys := systemFor(nobody)
	taken := func(n string) (is bool, err error) {
		err = s.gate.DB.View(ctx, func(r kv.Reader) error {
			_, is, err = authn.FindIdentity(r, sys.Account, n)
			return err
		})
		return is, err
	}
	n := ""
	for i := range 3 {
		n = principalName(short(w.mount), w.label, w.mount.Accessor, w.alias, i)
		is, err := taken(n)
		if err != nil {
			return err
		}
		if !is {
			break
		}
	}
	_, err := s.changes.Submit(ctx, sys, change.Request{Reason: "the first login as " + w.label, Edit: &making{account: sys.Account, name: n, way: w}})
	return err
}

// making is the edit that makes it.
type making struct {
	account, name string
	way           *way
}

func (e *making) Target() change.Target {
	return change.Target{Account: e.account, Noun: "user", Name: e.name}
}
func (e *making) Operation() policy.Op { return policy.CreateUser }

func (e *making) Allow(a *gate.Access) error {
	return a.Allow(&policy.Request{Op: policy.CreateUser, Resource: caller.UserARN(e.account, e.name), Account: e.account}, nil)
}

func (e *making) Apply(tx *change.Tx) error {
	_, ok, err := Resolve(tx, e.account, e.way.mount.Accessor, e.way.alias)
	if err != nil {
		return err
	}
	if ok { // by another login at the same time
		tx.NothingToDo()
		return nil
	}
	id, err := authn.PutMachine(tx, e.account, e.name, nil)
	if err != nil {
		return err
	}
	return Link(tx, e.account, e.way.mount.Accessor, e.way.alias, id, nil, tx.Now)
}

// linking is an edit of whom a login method knows a principal by. It is one of the
// user, so that rules over users hold it: who could link an alias of its own to
// somebody would be that. It cannot wait.
type linking struct {
	account, principal string
	op                 policy.Op
	do                 func(tx *change.Tx) error
}

func (e *linking) Target() change.Target {
	return change.Target{Account: e.account, Noun: "user", Name: e.principal}
}
func (e *linking) Operation() policy.Op { return e.op }

func (e *linking) Allow(a *gate.Access) error {
	arn := policy.AnyResource // an alias that is not there is nobody's
	if e.principal != "" {
		arn = caller.UserARN(e.account, e.principal)
	}
	return a.Allow(&policy.Request{Op: e.op, Resource: arn, Account: e.account}, nil)
}

func (e *linking) Apply(tx *change.Tx) error { return e.do(tx) }

// LinkAlias makes a principal known to a login method by a name. Exists with
// CodeAlias: the name is another's.
func (s *Service) LinkAlias(ctx context.Context, who caller.Caller, accessor, n, principal string) (out Alias, err error) {
	op := policy.LinkUser
	if err := name.Principal("principal", principal); err != nil {
		rec := gate.NewRecord(who, op, "")
		return out, s.gate.Finish(ctx, &rec, err)
	}
	_, err = s.changes.Submit(ctx, who, change.Request{Edit: &linking{account: who.Account, principal: principal, op: op, do: func(tx *change.Tx) error {
		if err := mustBeMounted(tx, who.Account, accessor); err != nil {
			return err
		}
		id, ok, err := authn.FindIdentity(tx, who.Account, principal)
		if err != nil {
			return err
		}
		if !ok {
			return errs.New(errs.NotFound, "there is no such user")
		}
		if err := Link(tx, who.Account, accessor, n, id, nil, tx.Now); err != nil {
			return err
		}
		a, err := record.Find[alias](tx, aliasKey(who.Account, accessor, n))
		if err == nil {
			out = a.show(who.Account, accessor, n)
		}
		return err
	}}})
	return out, err
}

// UnlinkAlias ends that. An alias that is not there is no error.
func (s *Service) UnlinkAlias(ctx context.Context, who caller.Caller, id string) error {
	var is *Alias
	err := s.gate.DB.View(ctx, func(r kv.Reader) (err error) {
		is, err = FindAlias(r, who.Account, id)
		return err
	})
	e := &linking{account: who.Account, op: policy.UnlinkUser, do: func(tx *change.Tx) error { tx.NothingToDo(); return nil }}
	if is != nil {
		e.principal = is.Principal
		e.do = func(tx *change.Tx) error {
			now, err := FindAlias(tx, who.Account, id)
			switch {
			case err != nil:
				return err
			case now == nil:
				tx.NothingToDo()
				return nil
			case now.Principal != is.Principal:
				return errs.New(errs.Conflict, "the alias was linked to another principal meanwhile")
			}
			return Unlink(tx, who.Account, now.Accessor, now.Name)
		}
	}
	if err != nil {
		rec := gate.NewRecord(who, e.op, "")
		return s.gate.Finish(ctx, &rec, err)
	}
	_, err = s.changes.Submit(ctx, who, change.Request{Edit: e})
	return err
}

// ListAliases lists by which names login methods know a principal.
func (s *Service) ListAliases(ctx context.Context, who caller.Caller, principal string) (out []Alias, err error) {
	op := policy.GetUser
	if err := name.Principal("principal", principal); err != nil {
		rec := gate.NewRecord(who, op, "")
		return nil, s.gate.Finish(ctx, &rec, err)
	}
	err = s.gate.View(ctx, who, op, principal, func(a *gate.Access) error {
		if err := a.Allow(&policy.Request{Op: op, Resource: caller.UserARN(who.Account, principal), Account: who.Account}, nil); err != nil {
			return err
		}
		id, ok, err := authn.FindIdentity(a, who.Account, principal)
		if err == nil && !ok {
			err = errs.New(errs.NotFound, "there is no such user")
		}
		if err == nil {
			out, err = Aliases(a, who.Account, principal, id.Created)
		}
		return err
	})
	return out, err
}
