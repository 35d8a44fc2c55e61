package login

import (
	"context"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/audit"
	"countersign/internal/core/authn"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/mount"
	"countersign/internal/core/policy"
	"countersign/internal/core/signin"
	"countersign/internal/core/token"
	"countersign/internal/errs"
	"countersign/internal/kv"
)

// way is what a method found out about who logs in, and what that gets.
type way struct {
	mount *mount.Mount
	role  string
	terms *terms
	proof caller.Proof
	// alias is what the method knows it by, label what people would call it, for
	// the name of a principal that is made.
	alias, label string
	user         *identity // the principal, where the method knows it itself
	linked       alias     // what leads to the principal; made by the login where the method knows it itself
	display      string    // of the token
	meta         map[string]string
	groups       []string // of the method's, that it is in; those with an alias here count
	cidrs        []string // that the token is bound to; nil: the role's
	// settle checks once more what may have changed since, and spends what is
	// used up, in the transaction that stores the token. It may run twice.
	settle func(tx *change.Tx) error
}

// Entered is what a login gives: a token, and whom it stands for.
type Entered struct {
	token.Issued
	Who caller.Caller
}

// begin refuses an address with too many failures.
func (s *Service) begin(nobody caller.Caller) error {
	return s.failed.Blocked(nobody.Source, time.Now())
}

// fail records a login that came to nothing. It is nobody's; what was claimed is
// named as far as it is the name of a role. A failure counts against the address,
// unless it is the server's.
func (s *Service) fail(ctx context.Context, nobody caller.Caller, m *mount.Mount, claimed string, err error) error {
	switch errs.KindOf(err) {
	case errs.Unauthenticated, errs.Denied, errs.Invalid, errs.NotFound:
		s.failed.Count(nobody.Source, time.Now())
	}
	rec := gate.NewRecord(nobody, policy.Login, short(m))
	if checkName(claimed) == nil {
		rec.Resource += "/" + claimed
	}
	return s.gate.Finish(ctx, &rec, err)
}

// enter gives a token to who proved an alias. On an error nothing was recorded
// when known is false; the caller does. It is tried again when the alias was linked
// meanwhile, as the first logins of somebody may come at once.
func (s *Service) enter(ctx context.Context, nobody caller.Caller, w *way) (out Entered, known bool, err error) {
	if !from(nobody.Source, w.terms.CIDRs) {
		return out, false, refused("the login is not allowed from this address")
	}
	out, known, err = s.try(ctx, nobody, w)
	if e := errs.As(err); e != nil && e.Code == codeLinked {
		out, known, err = s.try(ctx, nobody, w)
	}
	return out, known, err
}

func (s *Service) try(ctx context.Context, nobody caller.Caller, w *way) (out Entered, known bool, err error) {
	id, err := s.who(ctx, nobody, w)
	if err != nil {
		return out, false, err
	}
	fresh, err := s.tokens.Draw(w.spec(id), time.Now())
	if err != nil {
		return out, false, err
	}
	e := &entry{account: nobody.Account, who: id, way: w, fresh: fresh}
	who := signin.As(nobody, id.Caller, w.proof)
	if _, err := s.changes.Submit(ctx, who, change.Request{Edit: e}); err != nil {
		if k := errs.KindOf(err); k == errs.Unauthenticated || k == errs.Denied {
			s.failed.Count(nobody.Source, time.Now())
		}
		return out, true, err
	}
	return Entered{fresh.Issued(), who}, true, nil
}

// who finds the principal of an alias, and makes it when there is none.
func (s *Service) who(ctx context.Context, nobody caller.Caller, w *way) (id identity, err error) {
	if err := checkAlias(w.alias); err != nil {
		return id, refused("the name that the login gives cannot be an alias")
	}
	find := func() (ok bool, err error) {
		err = s.gate.DB.View(ctx, func(r kv.Reader) error {
			var a *alias
			if a, id, ok, err = resolve(r, nobody.Account, w.mount.Accessor, w.alias); ok {
				w.linked = *a
			}
			return err
		})
		return ok, err
	}
	if w.user != nil {
		w.linked = alias{Created: micros(time.Now())} // unless it is there
		_, err := find()
		return *w.user, err
	}
	ok, err := find()
	if err == nil && !ok {
		if err = s.makePrincipal(ctx, nobody, w); err == nil {
			ok, err = find()
		}
	}
	switch {
	case err != nil:
		return id, err
	case !ok:
		return id, errs.New(errs.Conflict, "the principal of the login was removed meanwhile")
	case id.Disabled:
		return id, disabled()
	}
	return id, nil
}

func disabled() error {
	return errs.Coded(errs.Unauthenticated, CodeDisabled, "the principal of this login is disabled")
}

// spec is the token that it gets.
func (w *way) spec(id identity) token.Spec {
	spec := w.terms.spec(w.mount)
	spec.Account, spec.Principal, spec.Of = id.Caller.Account, id.Caller.Name, id.Created
	spec.Display, spec.Meta, spec.Link = w.display, w.meta, w.linked.link(id.Caller.Account, w.mount.Accessor, w.alias)
	bound := w.terms.CIDRs
	if w.cidrs != nil {
		bound = w.cidrs
	}
	spec.BoundCIDRs = prefixes(bound)
	return spec
}

// entry is the edit of a login: quiet, by the principal itself, allowed unless it
// is denied.
type entry struct {
	account string
	who     identity
	way     *way
	fresh   *token.Fresh
}

func (e *entry) Target() change.Target {
	n := short(e.way.mount)
	if e.way.role != "" {
		n += "/" + e.way.role
	}
	return change.Target{Account: e.account, Noun: nounLogin, Name: n}
}
func (e *entry) Operation() policy.Op { return policy.Login }

func (e *entry) Allow(a *gate.Access) error {
	a.Record.Principal.KeyID = e.fresh.Accessor() // what came of it
	return a.AllowOwn(&policy.Request{Op: policy.Login, Resource: e.who.Caller.ARN(), Account: e.account})
}

func (e *entry) Apply(tx *change.Tx) error {
	tx.NothingToDo() // the record of it is the audit log's
	id, ok, err := e.way.principal(tx, e.account)
	switch {
	case err != nil:
		return err
	case !ok || id.Caller.Name != e.who.Caller.Name || id.Created != e.who.Created:
		return errs.New(errs.Conflict, "the principal of the login was changed meanwhile")
	case id.Disabled:
		return disabled()
	}
	if err := e.way.settle(tx); err != nil {
		return err
	}
	if err := e.way.join(tx, id); err != nil {
		return err
	}
	return e.fresh.Put(tx)
}

// join puts the principal into the external groups that the login proved, and out
// of those that it did not. The record of the login names both.
func (w *way) join(tx *change.Tx, id identity) error {
	if kindOf(w.mount.Type) != mount.JWT { // no other method says groups
		return nil
	}
	joined, left, err := authn.PutExternal(tx, id, w.mount.Accessor, w.groups)
	if err != nil || len(joined)+len(left) == 0 {
		return err
	}
	var moved []string
	for _, g := range joined {
		moved = append(moved, "+group:"+g)
	}
	for _, g := range left {
		moved = append(moved, "-group:"+g)
	}
	tx.Wrote(0, 0, moved)
	return nil
}

// codeLinked: Conflict: the alias of a login was linked since it was looked up.
const codeLinked = "login-linked"

// principal finds who it is in a transaction, and keeps what the login proved. The
// link of who is known without one is made.
func (w *way) principal(tx *change.Tx, acct string) (id identity, ok bool, err error) {
	a, id, ok, err := resolve(tx, acct, w.mount.Accessor, w.alias)
	if err != nil {
		return id, false, err
	}
	if !ok && w.user != nil {
		if id, ok, err = authn.FindIdentity(tx, acct, w.user.Caller.Name); err != nil || !ok {
			return id, false, err
		}
		return id, true, Link(tx, acct, w.mount.Accessor, w.alias, id, w.meta, when(w.linked.Created))
	}
	if !ok {
		return id, false, nil
	}
	if a.Created != w.linked.Created {
		return id, false, errs.Coded(errs.Conflict, codeLinked, "the principal of the login was linked meanwhile")
	}
	return id, true, a.learn(tx, acct, w.mount.Accessor, w.alias, w.meta, tx.Now)
}

// systemFor is the server acting because of somebody's request.
func systemFor(nobody caller.Caller) caller.Caller {
	sys := caller.ForSystem(nobody.Account, "login", nobody.RequestID, nobody.Time)
	if sys.RequestID == "" {
		sys.RequestID = audit.NewID(time.Now())
	}
	return sys
}
