package authn

import (
	"fmt"
	"slices"
	"sync/atomic"

	"countersign/internal/core/generation"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
)

// Authorizer decides by the policies attached to a principal, to its groups
// and to the access key that it used. It is safe for concurrent use. The zero
// value is ready.
type Authorizer struct {
	sets cache[setKey, *sets]
	used usedKeys
}

type setKey struct{ account, name, key string }

// sets are a caller's compiled policies in one generation.
type sets struct {
	generation uint64
	identity   *policy.Set
	boundary   *policy.Set // of the access key; nil when it does not narrow
	// checked is a revision at which the generation was this.
	checked atomic.Uint64
	// noted is the second in which the key was last noted as used.
	noted atomic.Int64
}

// Authorize evaluates the caller's policies and the resource's own. Where the
// access key carries policies, they must allow too. The key counts as used: who
// gets here has proved that it holds it.
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
	if !d.Allowed || set.boundary == nil {
		return d, nil
	}
	own := *req // within the owner's account, so that nothing but the key's policies counts
	own.Account = who.Account
	if narrow := policy.Evaluate(set.boundary, nil, &own); !narrow.Allowed {
		return narrow, nil
	}
	return d, nil
}

// current returns the caller's policies as r shows them.
func (a *Authorizer) current(r kv.Reader, at kv.Revision, req *policy.Request) (*sets, error) {
	k := setKey{req.Caller.Account, req.Caller.Name, req.Caller.KeyID}
	set, ok := a.sets.get(k)
	if ok && at != 0 && set.checked.Load() == uint64(at) {
		return set, nil
	}
	g, err := generation.Get(r, k.account)
	if err != nil {
		return nil, err
	}
	if !ok || set.generation != g {
		if set, err = loadSets(r, req, g); err != nil {
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

// loadSets compiles what is attached to a caller.
func loadSets(r kv.Reader, req *policy.Request, g uint64) (*sets, error) {
	who := &req.Caller
	p, ok, err := record.Get[principal](r, principalKey(who.Account, who.Name))
	if err != nil {
		return nil, err
	}
	out := &sets{generation: g}
	if !ok || p.Disabled {
		return out, nil
	}
	names := slices.Clone(p.Policies)
	for _, gn := range p.Groups {
		grp, ok, err := record.Get[group](r, groupKey(who.Account, gn))
		if err != nil {
			return nil, err
		}
		if ok {
			names = append(names, grp.Policies...)
		}
	}
	slices.Sort(names)
	if out.identity, err = compile(r, who.Account, slices.Compact(names)); err != nil {
		return nil, err
	}
	if who.KeyID == "" {
		return out, nil
	}
	key, ok, err := record.Get[accessKey](r, keyKey(who.Account, who.KeyID))
	switch {
	case err != nil:
		return nil, err
	case !ok:
		out.identity = nil // revoked meanwhile
	case len(key.Policies) > 0:
		out.boundary, err = compile(r, who.Account, key.Policies)
	}
	return out, err
}

// compile reads and compiles policies by name. A name that leads nowhere is an
// error: an absent Deny must not pass for an Allow.
func compile(r kv.Reader, acct string, names []string) (*policy.Set, error) {
	var docs []policy.Named
	for _, n := range names {
		text, err := policyText(r, acct, n)
		if err != nil {
			return nil, errs.Wrap(errs.Internal, err, "reading an attached policy")
		}
		doc, err := policy.Parse([]byte(text), policy.Identity)
		if err != nil {
			return nil, errs.Wrap(errs.Internal, fmt.Errorf("policy %q: %w", n, err), "reading an attached policy")
		}
		docs = append(docs, policy.Named{Name: n, Doc: doc})
	}
	return policy.Compile(docs...), nil
}
