package token

import (
	"net/netip"
	"slices"
	"time"

	"countersign/internal/core/authn"
	"countersign/internal/kv"
)

// Info is a token as it is shown: never the token itself.
type Info struct {
	Account, Principal string
	Of                 int64  // when the principal was made
	Accessor           string // empty: it has none
	Type               Kind
	Display, Path      string
	Meta               map[string]string
	Role               string

	Policies         []string // all of those below, sorted
	TokenPolicies    []string // of the token
	IdentityPolicies []string // of the principal and its groups, where the token is not narrowed

	Created, Renewed time.Time // Renewed is zero when it never was
	Expires          time.Time // zero: never
	TTL              time.Duration
	CreationTTL      time.Duration
	ExplicitMaxTTL   time.Duration
	Period           time.Duration
	Renewable        bool
	NumUses          int // left; 0: not counted
	BoundCIDRs       []netip.Prefix
	Orphan           bool
}

// show is what is told of a token.
func show(r kv.Reader, acct string, t *stored, now time.Time) (Info, error) {
	out := Info{Account: acct, Principal: t.Principal, Of: t.Of, Accessor: t.Accessor, Type: t.Kind, Display: t.Display, Path: t.Path, Meta: t.Meta,
		Role: t.Role, Created: when(t.Created), Renewed: when(t.Renewed), Expires: when(t.Expires), CreationTTL: span(t.TTL),
		ExplicitMaxTTL: span(t.Explicit), Period: span(t.Period), Renewable: !t.Fixed, NumUses: int(t.Uses)}
	if t.Kind == KindBatch {
		out.Accessor = ""
	}
	if len(t.CIDRs) > 0 {
		out.BoundCIDRs = prefixes(t.CIDRs)
	}
	if t.Expires != 0 {
		out.TTL = max(0, span(t.Expires-micros(now)))
	}
	var err error
	if out.Orphan, err = orphan(r, acct, t); err != nil {
		return Info{}, err
	}
	out.TokenPolicies, out.IdentityPolicies, err = policiesOf(r, acct, t)
	out.Policies = sorted(slices.Concat(out.TokenPolicies, out.IdentityPolicies))
	return out, err
}

// orphan reports whether a token hangs on its principal alone.
func orphan(r kv.Reader, acct string, t *stored) (bool, error) {
	if t.On != onToken {
		return t.On == onPrincipal, nil
	}
	parent, err := find(r, acct, string(t.OnID))
	return parent != nil && parent.Alone, err
}

// policiesOf tells the policies that a token brings, and those of its principal
// that it has beside them.
func policiesOf(r kv.Reader, acct string, t *stored) (token, identity []string, err error) {
	switch {
	case t.Kind == kindWrapping:
		return []string{policyWrap}, nil, nil
	case t.IsNarrowed:
		return t.Narrowed, nil, nil
	}
	if identity, err = authn.PoliciesOf(r, acct, t.Principal); err != nil {
		return nil, nil, err
	}
	if roots(identity) {
		return []string{policyRoot}, nil, nil
	}
	return t.Granted, identity, nil
}
