package token

import (
	"net/netip"
	"slices"
	"strings"

	"countersign/internal/caller"
	"countersign/internal/core/authn"
	"countersign/internal/errs"
	"countersign/internal/kv"
)

// parent is who makes a token: the principal, by what it proved itself with.
type parent struct {
	of       int64
	policies []string // all that it has, sorted; of what is narrowed only those
	granted  []string
	narrowed []string // nil: it is not
	expires  bool
	bound    []netip.Prefix
	link     string
	fenced   bool // it hangs on an access key with policies of its own, which bound what comes of it

	on    string // what a child hangs on
	id    []byte
	depth uint64
}

// root reports whether it may do everything.
func (p *parent) root() bool { return roots(p.policies) }

// parentOf finds out what the caller may hand on.
func parentOf(r kv.Reader, who caller.Caller) (*parent, error) {
	id, ok, err := authn.FindIdentity(r, who.Account, who.Name)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, badToken()
	}
	own, err := authn.PoliciesOf(r, who.Account, who.Name)
	if err != nil {
		return nil, err
	}
	p := &parent{of: id.Created}
	switch {
	case who.Token != nil:
		err = p.token(r, who)
	case who.KeyID != "":
		k, _, kerr := authn.FindKey(r, who.Account, who.KeyID)
		if len(k.Policies) > 0 {
			p.narrowed = sorted(k.Policies)
		}
		p.on, p.id, p.expires, err = onKey, []byte(who.KeyID), !k.Expires.IsZero(), kerr
	case who.Session != "":
		p.on, p.id, p.expires = onSession, []byte(who.Session), true
	default:
		p.on, p.id = onPrincipal, []byte(principalID(who.Name, id.Created))
	}
	if err == nil {
		p.fenced, err = fences(r, who.Account, who.KeyID)
	}
	if p.policies = p.narrowed; p.narrowed == nil {
		p.policies = sorted(slices.Concat(own, p.granted))
	}
	return p, err
}

// fences reports whether an access key, none when its id is empty, has policies of
// its own.
func fences(r kv.Reader, acct, key string) (bool, error) {
	if key == "" {
		return false, nil
	}
	k, _, err := authn.FindKey(r, acct, key)
	return len(k.Policies) > 0, err
}

// fenced refuses what would let a token live on without the policies of the key
// that it hangs on: a denial among them would be gone.
func fenced() error {
	return errs.New(errs.Invalid, "an access key with policies of its own bounds every token made with it: there are no orphans of these")
}

// token is parentOf for who comes with a token.
func (p *parent) token(r kv.Reader, who caller.Caller) error {
	if isBatch(who) {
		return errs.New(errs.Invalid, "batch tokens cannot create more tokens")
	}
	hash, t, err := named(r, who.Account, who.Token.Accessor)
	if err != nil {
		return err
	}
	if t == nil {
		return badToken()
	}
	if t.Uses > 0 || t.Spent {
		return errs.New(errs.Invalid, "restricted use token cannot generate child tokens")
	}
	p.granted, p.expires, p.bound, p.link = t.Granted, t.Expires != 0, prefixes(t.CIDRs), t.Link
	if t.IsNarrowed {
		p.narrowed = append([]string{}, t.Narrowed...)
	}
	p.on, p.id, p.depth = onToken, []byte(hash), t.Depth+1
	return nil
}

// isBatch reports whether the caller comes with a batch token.
func isBatch(who caller.Caller) bool {
	return who.Token != nil && strings.HasPrefix(who.Token.Accessor, batchAccessor)
}

// powers are what a token may do beside its principal, or of that.
type powers struct {
	granted, narrowed []string
	noDefault         bool
	root              bool
}

// inherit is what a child has for which no policies are asked.
func (p *parent) inherit(noDefault bool) powers {
	out := powers{granted: p.granted, narrowed: p.narrowed, root: p.root(), noDefault: noDefault}
	if p.on == onToken && !slices.Contains(p.policies, policyDefault) {
		out.noDefault = true // it is handed on, and no more than that
	}
	return out
}

// give is what a child has that is to have the policies asked for. What the parent
// has not is granted: a role or the caller's power to do so says that it may be.
func (p *parent) give(asked []string, noDefault bool) powers {
	if slices.ContainsFunc(asked, func(n string) bool { return strings.EqualFold(n, policyRoot) }) {
		return powers{granted: p.granted, narrowed: nil, root: true, noDefault: noDefault}
	}
	out := powers{granted: slices.Clone(p.granted), narrowed: append([]string{}, asked...), noDefault: noDefault}
	for _, n := range asked {
		if n != policyDefault && !slices.Contains(p.policies, n) {
			out.granted = append(out.granted, n)
		}
	}
	return out
}

// child is the powers of a token made without a role, or with one that says
// nothing of policies. any says that the caller may give what it has not.
func (p *parent) child(asked []string, noDefault, any bool) (powers, error) {
	switch {
	case len(asked) == 0:
		return p.inherit(noDefault), nil
	case any:
		return p.give(asked, noDefault), nil
	}
	hasDefault := p.on != onToken || slices.Contains(p.policies, policyDefault)
	for _, n := range asked {
		if !slices.Contains(p.policies, n) && !(n == policyDefault && hasDefault) && !(strings.EqualFold(n, policyRoot) && p.root()) {
			return powers{}, errs.New(errs.Invalid, "child policies must be subset of parent")
		}
	}
	return p.give(asked, noDefault || !hasDefault), nil
}

// check refuses to make root tokens for who is not root, and batch tokens that are.
func (w *powers) check(p *parent, kind Kind) error {
	if (w.root || roots(w.narrowed)) && !p.root() {
		return errs.New(errs.Invalid, "root tokens may not be created without parent token being root")
	}
	if w.root && kind == KindBatch {
		return errs.New(errs.Invalid, "batch tokens cannot be root tokens")
	}
	return nil
}

// globs reports whether one of the patterns, in which a star stands for any text,
// fits.
func globs(patterns []string, n string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return glob(p, n) })
}

func glob(pattern, s string) bool {
	first, rest, ok := strings.Cut(pattern, "*")
	if !ok {
		return pattern == s
	}
	if s, ok = strings.CutPrefix(s, first); !ok {
		return false
	}
	parts := strings.Split(rest, "*")
	last := parts[len(parts)-1]
	for _, part := range parts[:len(parts)-1] {
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s = s[i+len(part):]
	}
	return strings.HasSuffix(s, last)
}
