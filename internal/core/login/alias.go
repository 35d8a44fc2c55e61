package login

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"strconv"
	"strings"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/authn"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/generation"
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
	Updated   time.Time         // when the metadata were last changed
	Meta      map[string]string // what the last login proved beside the name
}

// alias is how it is kept, under its account, the mount's accessor and its name.
type alias struct {
	Principal string            `cbor:"1,keyasint"`
	Of        int64             `cbor:"2,keyasint"` // when the principal was made
	Created   int64             `cbor:"3,keyasint"`
	Meta      map[string]string `cbor:"4,keyasint,omitempty"`
	Updated   int64             `cbor:"5,keyasint,omitempty"`
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

// maxAliases is how many login methods know one principal.
const maxAliases = 100

// AliasID is the id of an alias.
func AliasID(acct, accessor, n string) string {
	sum := sha256.Sum256([]byte(acct + "\x00" + accessor + "\x00" + n))
	return spellUUID(sum[:], 0x80)
}

func (a *alias) show(acct, accessor, n string) Alias {
	return Alias{ID: AliasID(acct, accessor, n), Accessor: accessor, Name: n, Principal: a.Principal, Created: when(a.Created),
		Updated: when(max(a.Created, a.Updated)), Meta: a.Meta}
}

// link names a link, for tokens to end with it: one that is made anew is another.
func (a *alias) link(acct, accessor, n string) string {
	return AliasID(acct, accessor, n) + "/" + strconv.FormatInt(a.Created, 10)
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
	_, id, ok, err = resolve(r, acct, accessor, n)
	return id, ok, err
}

func resolve(r kv.Reader, acct, accessor, n string) (a *alias, id identity, ok bool, err error) {
	a, err = record.Find[alias](r, aliasKey(acct, accessor, n))
	if err != nil || a == nil {
		return nil, id, false, err
	}
	id, ok, err = authn.FindIdentity(r, acct, a.Principal)
	return a, id, ok && id.Created == a.Of, err
}

// Linked reports whether a link is still there, for the principal that it was made
// for, by a login method that still is; see token.Config.
func Linked(r kv.Reader, acct, link, principal string) (bool, error) {
	id, made, _ := strings.Cut(link, "/")
	at, err := record.Find[aliasPlace](r, aliasIDKey(acct, id))
	if err != nil || at == nil {
		return false, err
	}
	a, err := record.Find[alias](r, aliasKey(acct, at.Accessor, at.Name))
	if err != nil || a == nil || a.Principal != principal || strconv.FormatInt(a.Created, 10) != made {
		return false, err
	}
	m, err := mounted(r, acct, at.Accessor)
	return m != nil, err
}

// FindAlias reads an alias by its id, nil when there is none.
func FindAlias(r kv.Reader, acct, id string) (*Alias, error) {
	if len(id) != len("01234567-0123-0123-0123-012345678901") {
		return nil, nil
	}
	at, err := record.Find[aliasPlace](r, aliasIDKey(acct, id))
	if err != nil || at == nil {
		return nil, err
	}
	a, _, ok, err := resolve(r, acct, at.Accessor, at.Name)
	if err != nil || !ok {
		return nil, err
	}
	if m, err := mounted(r, acct, at.Accessor); err != nil || m == nil {
		return nil, err
	}
	out := a.show(acct, at.Accessor, at.Name)
	return &out, nil
}

// Aliases lists the names of a principal; those of an earlier one of its name, and
// of login methods that are not mounted any more, are left out.
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
		if a == nil || a.Principal != principal || a.Of != of {
			continue
		}
		m, err := mounted(r, acct, at.Accessor)
		if err != nil {
			return nil, err
		}
		if m != nil {
			out = append(out, a.show(acct, at.Accessor, at.Name))
		}
	}
	return out, nil
}

// ForPolicy is the names of a principal as templates refer to them, by the
// accessor of the mount. They change together with the account's generation.
func ForPolicy(r kv.Reader, acct, principal string) (map[string]policy.Alias, error) {
	all, err := aliasesNow(r, acct, principal)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	out := make(map[string]policy.Alias, len(all))
	for _, a := range all {
		out[a.Accessor] = policy.Alias{ID: a.ID, Name: a.Name, Metadata: a.Meta}
	}
	return out, nil
}

// aliasesNow lists the names of the principal that has a name now.
func aliasesNow(r kv.Reader, acct, principal string) ([]Alias, error) {
	id, ok, err := authn.FindIdentity(r, acct, principal)
	if err != nil || !ok {
		return nil, err
	}
	return Aliases(r, acct, principal, id.Created)
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
		return errs.Coded(errs.Exists, CodeAlias, "the alias is linked to another principal: unlink it first")
	case ok:
		return nil
	}
	if err := Unlink(tx, acct, accessor, n); err != nil {
		return err
	}
	if err := roomFor(tx, acct, accessor, id); err != nil {
		return err
	}
	a := alias{Principal: id.Caller.Name, Of: id.Created, Created: micros(now), Meta: meta}
	if err := record.Put(tx, aliasKey(acct, accessor, n), a); err != nil {
		return err
	}
	if err := record.Put(tx, aliasIDKey(acct, AliasID(acct, accessor, n)), aliasPlace{accessor, n}); err != nil {
		return err
	}
	if err := tx.Put(aliasOfKey(acct, a.Principal, accessor, n), []byte{1}); err != nil {
		return err
	}
	return generation.Raise(tx, acct)
}

// roomFor refuses one alias too many, and a second one of a method: a template
// that asks what the method knows somebody by has one answer.
func roomFor(r kv.Reader, acct, accessor string, id authn.Identity) error {
	all, err := Aliases(r, acct, id.Caller.Name, id.Created)
	if err != nil {
		return err
	}
	for _, a := range all {
		if a.Accessor == accessor {
			return errs.Coded(errs.Exists, CodeAlias, "the login method knows the principal by another name already")
		}
	}
	if len(all) >= maxAliases {
		return errs.New(errs.Limit, "a principal has at most %d aliases", maxAliases)
	}
	return nil
}

// Unlink ends a link, in a transaction, and with it the tokens of its logins. One
// that is not there is no error.
func Unlink(tx kv.Txn, acct, accessor, n string) error {
	a, err := record.Find[alias](tx, aliasKey(acct, accessor, n))
	if err != nil || a == nil {
		return err
	}
	id, ok, err := authn.FindIdentity(tx, acct, a.Principal)
	if err != nil {
		return err
	}
	if ok && id.Created == a.Of { // the groups that the method put it into were because of the link
		if _, _, err := authn.PutExternal(tx, id, accessor, nil); err != nil {
			return err
		}
	}
	for _, k := range []kv.Key{aliasKey(acct, accessor, n), aliasIDKey(acct, AliasID(acct, accessor, n)), aliasOfKey(acct, a.Principal, accessor, n)} {
		if err := tx.Delete(k); err != nil {
			return err
		}
	}
	return generation.Raise(tx, acct)
}

// learn keeps what a login proved beside the name, when it is something new.
func (a *alias) learn(tx kv.Txn, acct, accessor, n string, meta map[string]string, now time.Time) error {
	if maps.Equal(a.Meta, meta) {
		return nil
	}
	a.Meta, a.Updated = meta, micros(now)
	if err := record.Put(tx, aliasKey(acct, accessor, n), a); err != nil {
		return err
	}
	return generation.Raise(tx, acct)
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
		err = s.gate.DB.View(ctx, func(r kv.Reader) (err error) {
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
	return change.Target{Account: e.account, Noun: NounUser, Name: e.name}
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
	return Link(tx, e.account, e.way.mount.Accessor, e.way.alias, id, e.way.meta, tx.Now)
}
