package login

import (
	"net/netip"
	"slices"
	"time"

	"countersign/internal/core/mount"
	"countersign/internal/core/token"
	"countersign/internal/errs"
	"countersign/internal/name"
)

// Limits of what a role grants.
const (
	maxPolicies = 64
	maxCIDRs    = 64
	maxSpan     = 10 * 365 * 24 * time.Hour
	maxUses     = 1 << 30
)

// terms are those of the tokens that a role's logins get.
type terms struct {
	Policies    []string      `cbor:"1,keyasint,omitempty"` // granted beside the principal's own
	TTL         time.Duration `cbor:"2,keyasint,omitempty"`
	MaxTTL      time.Duration `cbor:"3,keyasint,omitempty"`
	ExplicitMax time.Duration `cbor:"4,keyasint,omitempty"`
	Period      time.Duration `cbor:"5,keyasint,omitempty"`
	Uses        int           `cbor:"6,keyasint,omitempty"`
	NoDefault   bool          `cbor:"7,keyasint,omitempty"`
	CIDRs       []string      `cbor:"8,keyasint,omitempty"`
	Type        string        `cbor:"9,keyasint,omitempty"`
	// Queue lets a write that a protection rule holds be answered as queued, where
	// the protocol has no word for it, instead of refused.
	Queue bool `cbor:"10,keyasint,omitempty"`
}

func (t *terms) fields() []Field {
	return []Field{
		list("token_policies", &t.Policies).old("policies"),
		span("token_ttl", &t.TTL).old("ttl"),
		span("token_max_ttl", &t.MaxTTL).old("max_ttl"),
		span("token_explicit_max_ttl", &t.ExplicitMax),
		span("token_period", &t.Period).old("period"),
		count("token_num_uses", &t.Uses).old("num_uses"),
		flag("token_no_default_policy", &t.NoDefault),
		list("token_bound_cidrs", &t.CIDRs).old("bound_cidrs"),
		text("token_type", &t.Type),
		flag("queue", &t.Queue),
	}
}

// Types of tokens that a role can ask for. Those that begin with "default-" give
// way to what the mount is tuned to.
const (
	typeService        = "service"
	typeBatch          = "batch"
	typeDefault        = "default"
	typeDefaultService = "default-service"
	typeDefaultBatch   = "default-batch"
)

func (t *terms) check() (err error) {
	if t.Type == "" {
		t.Type = typeDefault
	}
	if !slices.Contains([]string{typeDefault, typeService, typeBatch, typeDefaultService, typeDefaultBatch}, t.Type) {
		return errs.InvalidField("token_type", "a type of tokens is default, service, batch, default-service or default-batch")
	}
	if len(t.Policies) > maxPolicies {
		return errs.New(errs.Limit, "a role grants at most %d policies", maxPolicies)
	}
	for _, p := range t.Policies {
		if err := name.Principal("token_policies", p); err != nil {
			return err
		}
		if p == "root" {
			return errs.InvalidField("token_policies", "a login does not make root tokens")
		}
	}
	slices.Sort(t.Policies)
	t.Policies = slices.Compact(t.Policies)
	for _, s := range []struct {
		field string
		d     time.Duration
	}{{"token_ttl", t.TTL}, {"token_max_ttl", t.MaxTTL}, {"token_explicit_max_ttl", t.ExplicitMax}, {"token_period", t.Period}} {
		if err := checkSpan(s.field, s.d); err != nil {
			return err
		}
	}
	switch {
	case t.MaxTTL > 0 && t.TTL > t.MaxTTL:
		return errs.InvalidField("token_ttl", "'token_ttl' cannot be greater than 'token_max_ttl'")
	case t.Uses < 0 || t.Uses > maxUses:
		return errs.InvalidField("token_num_uses", "'token_num_uses' cannot be negative or too large")
	case t.Type == typeBatch && t.Period > 0:
		return errs.InvalidField("token_type", "'token_type' cannot be 'batch' when set to generate periodic tokens")
	case t.Type == typeBatch && t.Uses > 0:
		return errs.InvalidField("token_type", "'token_type' cannot be 'batch' when set to generate tokens with limited use count")
	}
	t.CIDRs, err = checkCIDRs("token_bound_cidrs", t.CIDRs)
	return err
}

func checkSpan(field string, d time.Duration) error {
	if d < 0 || d > maxSpan {
		return errs.InvalidField(field, "'%s' cannot be negative, or longer than ten years", field)
	}
	return nil
}

// spec is the token of a login, without whose it is.
func (t *terms) spec(m *mount.Mount) token.Spec {
	secs := func(n int64) time.Duration { return time.Duration(n) * time.Second }
	out := token.Spec{Path: m.Path + "/login", Granted: t.Policies, NoDefault: t.NoDefault, TTL: t.TTL, MaxTTL: t.MaxTTL,
		ExplicitMaxTTL: t.ExplicitMax, Period: t.Period, NumUses: t.Uses, Queue: t.Queue}
	if out.TTL == 0 {
		out.TTL = secs(m.Config.DefaultTTL)
	}
	if most := secs(m.Config.MaxTTL); most > 0 && (out.MaxTTL == 0 || most < out.MaxTTL) {
		out.MaxTTL = most
	}
	if t.batch(m.Config.TokenType) {
		out.Type, out.ExplicitMaxTTL = token.KindBatch, 0 // it cannot be renewed: what it may last at most is what it lasts
		if t.ExplicitMax > 0 && (out.MaxTTL == 0 || t.ExplicitMax < out.MaxTTL) {
			out.MaxTTL = t.ExplicitMax
		}
	}
	return out
}

// batch decides the type: the mount's where it leaves no choice, else the role's,
// else the mount's. A batch token has no period and is not counted, so a role that
// asks for either gets none.
func (t *terms) batch(mounted string) bool {
	if t.Period > 0 || t.Uses > 0 {
		return false
	}
	if mounted == typeService || mounted == typeBatch {
		return mounted == typeBatch
	}
	switch t.Type {
	case typeService, typeDefaultService:
		return false
	case typeBatch, typeDefaultBatch:
		return true
	}
	return mounted == typeDefaultBatch
}

// checkCIDRs checks blocks of addresses, and gives each its one spelling: a
// single address without its length.
func checkCIDRs(field string, in []string) ([]string, error) {
	if len(in) > maxCIDRs {
		return nil, errs.InvalidField(field, "more than %d blocks of addresses", maxCIDRs)
	}
	out := make([]string, 0, len(in))
	for _, s := range in {
		p, err := parsePrefix(s)
		if err != nil {
			return nil, errs.InvalidField(field, "each is an address, or a block of addresses such as 10.1.0.0/16")
		}
		if p.IsSingleIP() {
			out = append(out, p.Addr().String())
		} else {
			out = append(out, p.String())
		}
	}
	if len(out) == 0 {
		return nil, nil
	}
	return out, nil
}

func parsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, err
	}
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}

// prefixes reads what checkCIDRs let through. What cannot be read lets nobody in.
func prefixes(in []string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range in {
		p, err := parsePrefix(s)
		if err != nil {
			p = netip.Prefix{}
		}
		out = append(out, p)
	}
	return out
}

// from reports whether an address is in one of the blocks; where there are none,
// every address is.
func from(a netip.Addr, blocks []string) bool {
	a = a.Unmap().WithZone("")
	return len(blocks) == 0 || slices.ContainsFunc(prefixes(blocks), func(p netip.Prefix) bool { return p.IsValid() && p.Contains(a) })
}

// within reports whether every block lies in one of others; where there are no
// others, it does.
func within(blocks, others []string) bool {
	if len(others) == 0 {
		return true
	}
	all := prefixes(others)
	for _, p := range prefixes(blocks) {
		if !slices.ContainsFunc(all, func(o netip.Prefix) bool { return o.Bits() <= p.Bits() && o.Contains(p.Addr()) }) {
			return false
		}
	}
	return true
}
