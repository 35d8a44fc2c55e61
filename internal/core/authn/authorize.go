package authn

import (
	"fmt"
	"slices"
	"sync/atomic"

	"countersign/internal/caller"
	"countersign/internal/core/generation"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
)

// Authorizer decides by the policies attached to a principal, to its groups
// and to the access key or token that it used. It is safe for concurrent use. The
// zero value is ready.
type Authorizer struct {
	// Mounts returns the mounts of an account, which change together with its
	// generation. Default: those that every account begins with.
	Mounts func(r kv.Reader, account string) (policy.Mounts, error)
	// Aliases returns the names that logins know a principal by, by the accessor of
	// their mount; they change together with the generation too. Default: none.
	Aliases func(r kv.Reader, account, name string) (map[string]policy.Alias, error)

	sets cache[setKey, *sets]
	used usedKeys
}

// setKey is what a caller's policies follow from.
type setKey struct {
	account, name, key string
	tokened            bool
	token              string // Token.Key
}

func keyOf(who *caller.Caller) setKey {
	k := setKey{account: who.Account, name: who.Name, key: who.KeyID}
	if who.Token != nil {
		k.tokened, k.token = true, who.Token.Key
	}
	return k
}

// sets are a caller's compiled policies in one generation.
type sets struct {
	generation uint64
	identity   *policy.Set
	boundary   []*policy.Set // of the access key and the token, as far as they narrow
	mounts     policy.Mounts
	// checked is a revision at which the generation was this.
	checked atomic.Uint64
	// noted is the second in which the key was last noted as used.
	noted atomic.Int64
}

// Authorize evaluates the caller's policies, with those that its token was
// granted, and the resource's own. Where the access key carries policies, or the
// token is narrowed, those must allow too. The key counts as used: who gets here
// has proved that it holds it.
func (a *Authorizer) Authorize(r kv.Reader, at kv.Revision, req *policy.Request, resource *policy.Set) (policy.Decision, error) {
	who := &req.Caller
	set, err := a.current(r, at, req)
	if err != nil {
		return policy.Decision{}, err
	}
	if now := who.Time.Unix(); who.KeyID != "" && !who.Time.IsZero() && set.noted.Swap(now) != now {
		a.used.note(who.Account, who.KeyID, who.Time)
	}
	d := policy.Evaluate(set.identity, resource, req)
	for _, b := range set.boundary {
		if !d.Allowed {
			break
		}
		if narrow := policy.Within(b, req); !narrow.Allowed {
			d = narrow
		}
	}
	return d, nil
}

// current returns the caller's policies as r shows them.
func (a *Authorizer) current(r kv.Reader, at kv.Revision, req *policy.Request) (*sets, error) {
	k := keyOf(&req.Caller)
	set, ok := a.sets.get(k)
	if ok && at != 0 && set.checked.Load() == uint64(at) {
		return set, nil
	}
	g, err := generation.Get(r, k.account)
	if err != nil {
		return nil, err
	}
	if !ok || set.generation != g {
		if set, err = a.load(r, &req.Caller, g); err != nil {
			return nil, err
		}
		// What a write transaction shows may never be committed, and its
		// generation then be given out again: only a committed one is kept.
		if at != 0 || g == req.Caller.Generation {
			a.sets.put(k, set)
		}
	}
	if at != 0 {
		set.checked.Store(uint64(at))
	}
	return set, nil
}

// load compiles what is attached to a caller.
func (a *Authorizer) load(r kv.Reader, who *caller.Caller, g uint64) (*sets, error) {
	p, ok, err := record.Get[principal](r, principalKey(who.Account, who.Name))
	if err != nil {
		return nil, err
	}
	out := &sets{generation: g}
	if !ok || p.Disabled {
		return out, nil
	}
	subject, err := callerOf(r, who.Account, who.Name, &p)
	if err != nil {
		return nil, err
	}
	names := slices.Clone(p.Policies)
	for _, gn := range subject.Groups {
		grp, ok, err := record.Get[group](r, groupKey(who.Account, gn))
		if err != nil {
			return nil, err
		}
		if ok {
			names = append(names, grp.Policies...)
		}
	}
	scope, err := a.scope(r, subject)
	if err != nil {
		return nil, err
	}
	out.mounts = scope.Mounts
	docs, err := documents(r, who.Account, sorted(names), mustBe)
	if err != nil {
		return nil, err
	}
	if t := who.Token; t != nil {
		more, err := documents(r, who.Account, sorted(t.Granted), mayBeGone)
		if err != nil {
			return nil, err
		}
		docs = append(docs, more...)
	}
	out.identity = scope.Compile(docs...)
	return out, out.narrow(r, who, &scope)
}

func sorted(names []string) []string {
	names = slices.Clone(names)
	slices.Sort(names)
	return slices.Compact(names)
}

// scope is what the policies of a principal are compiled for.
func (a *Authorizer) scope(r kv.Reader, who caller.Caller) (sc policy.Scope, err error) {
	sc.Who = &who
	if a.Mounts != nil {
		if sc.Mounts, err = a.Mounts(r, who.Account); err != nil {
			return sc, err
		}
	}
	if a.Aliases != nil {
		sc.Aliases, err = a.Aliases(r, who.Account, who.Name)
	}
	return sc, err
}

// narrow adds the policies of the access key and of the token.
func (out *sets) narrow(r kv.Reader, who *caller.Caller, scope *policy.Scope) error {
	add := func(names []string, gone absence) error {
		docs, err := documents(r, who.Account, sorted(names), gone)
		out.boundary = append(out.boundary, scope.Compile(docs...))
		return err
	}
	if who.Token != nil && who.Token.Narrowed != nil {
		if err := add(who.Token.Narrowed, mayBeGone); err != nil {
			return err
		}
	}
	if who.KeyID == "" {
		return nil
	}
	key, ok, err := record.Get[accessKey](r, keyKey(who.Account, who.KeyID))
	switch {
	case err != nil:
		return err
	case !ok:
		out.identity = nil // revoked meanwhile
	case len(key.Policies) > 0:
		return add(key.Policies, mustBe)
	}
	return nil
}

// absence says what it means that there is no policy of a name.
type absence bool

const (
	// mustBe: what is attached cannot be deleted. That it is gone is an error: an
	// absent denial must not pass for an allowance.
	mustBe absence = false
	// mayBeGone: a token keeps the names of the policies that it was made with, and
	// one that is not there, or not yet, allows nothing and denies nothing.
	mayBeGone absence = true
)

// documents reads policies by name.
func documents(r kv.Reader, acct string, names []string, gone absence) (docs []policy.Named, err error) {
	for _, n := range names {
		text, err := policyText(r, acct, n)
		if gone == mayBeGone && errs.Is(err, errs.NotFound) {
			continue
		}
		if err != nil {
			return nil, errs.Wrap(errs.Internal, err, "reading an attached policy")
		}
		doc, err := policy.Parse([]byte(text), policy.Identity)
		if err != nil {
			return nil, errs.Wrap(errs.Internal, fmt.Errorf("policy %q: %w", n, err), "reading an attached policy")
		}
		docs = append(docs, policy.Named{Name: n, Doc: doc})
	}
	return docs, nil
}
