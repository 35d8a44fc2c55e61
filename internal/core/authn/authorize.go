package authn

import (
	"fmt"
	"slices"

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
}

// Authorize evaluates the caller's policies and the resource's own. Where the
// access key carries policies, they must allow too. The key counts as used: who
// gets here has proved that it holds it.
func (a *Authorizer) Authorize(r kv.Reader, req *policy.Request, resource *policy.Set) (policy.Decision, error) {
	who := &req.Caller
	if who.KeyID != "" && !who.Time.IsZero() {
		a.used.note(who.Account, who.KeyID, who.Time)
	}
	g, err := generation(r, who.Account)
	if err != nil {
		return policy.Decision{}, err
	}
	k := setKey{who.Account, who.Name, who.KeyID}
	set, ok := a.sets.get(k)
	if !ok || set.generation != g {
		if set, err = loadSets(r, req, g); err != nil {
			return policy.Decision{}, err
		}
		a.sets.put(k, set)
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
