package token

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/name"
)

// RoleType is the type of the tokens that a role makes, and whether who makes one
// may ask for another.
type RoleType string

// The types of roles.
const (
	DefaultService RoleType = "default-service"
	DefaultBatch   RoleType = "default-batch"
	AlwaysService  RoleType = "service"
	AlwaysBatch    RoleType = "batch"
)

// Role says which tokens may be made with it, and what they are like.
type Role struct {
	Allowed         []string      `cbor:"1,keyasint,omitempty"` // policies; with these or AllowedGlobs, they need not be the parent's
	AllowedGlobs    []string      `cbor:"2,keyasint,omitempty"`
	Disallowed      []string      `cbor:"3,keyasint,omitempty"`
	DisallowedGlobs []string      `cbor:"4,keyasint,omitempty"`
	Aliases         []string      `cbor:"5,keyasint,omitempty"` // kept and shown: a token acts as who makes it
	Orphan          bool          `cbor:"6,keyasint,omitempty"`
	Renewable       bool          `cbor:"7,keyasint,omitempty"`
	PathSuffix      string        `cbor:"8,keyasint,omitempty"`
	Period          time.Duration `cbor:"9,keyasint,omitempty"`
	ExplicitMaxTTL  time.Duration `cbor:"10,keyasint,omitempty"`
	CIDRs           []string      `cbor:"11,keyasint,omitempty"`
	Type            RoleType      `cbor:"12,keyasint"`
	NumUses         int           `cbor:"13,keyasint,omitempty"`
	NoDefault       bool          `cbor:"14,keyasint,omitempty"`
	Queue           bool          `cbor:"15,keyasint,omitempty"` // writes that wait for review are a success
	Revision        uint64        `cbor:"16,keyasint"`
}

// RoleChange is what a write to a role says. What is nil stays as it is, or, of a
// new role, is as newRole has it.
type RoleChange struct {
	Allowed         *[]string      `cbor:"1,keyasint,omitempty"`
	AllowedGlobs    *[]string      `cbor:"2,keyasint,omitempty"`
	Disallowed      *[]string      `cbor:"3,keyasint,omitempty"`
	DisallowedGlobs *[]string      `cbor:"4,keyasint,omitempty"`
	Aliases         *[]string      `cbor:"5,keyasint,omitempty"`
	Orphan          *bool          `cbor:"6,keyasint,omitempty"`
	Renewable       *bool          `cbor:"7,keyasint,omitempty"`
	PathSuffix      *string        `cbor:"8,keyasint,omitempty"`
	Period          *time.Duration `cbor:"9,keyasint,omitempty"`
	ExplicitMaxTTL  *time.Duration `cbor:"10,keyasint,omitempty"`
	CIDRs           *[]string      `cbor:"11,keyasint,omitempty"`
	Type            *RoleType      `cbor:"12,keyasint,omitempty"`
	NumUses         *int           `cbor:"13,keyasint,omitempty"`
	NoDefault       *bool          `cbor:"14,keyasint,omitempty"`
	Queue           *bool          `cbor:"15,keyasint,omitempty"`
}

func newRole() Role { return Role{Renewable: true, Type: DefaultService} }

func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

// apply alters a role.
func (c *RoleChange) apply(r *Role) {
	for _, l := range []struct{ to, from *[]string }{{&r.Allowed, c.Allowed}, {&r.AllowedGlobs, c.AllowedGlobs}, {&r.Disallowed, c.Disallowed},
		{&r.DisallowedGlobs, c.DisallowedGlobs}, {&r.Aliases, c.Aliases}, {&r.CIDRs, c.CIDRs}} {
		if l.from != nil {
			*l.to = sorted(*l.from)
		}
	}
	set(&r.Orphan, c.Orphan)
	set(&r.Renewable, c.Renewable)
	set(&r.PathSuffix, c.PathSuffix)
	set(&r.Period, c.Period)
	set(&r.ExplicitMaxTTL, c.ExplicitMaxTTL)
	set(&r.Type, c.Type)
	set(&r.NumUses, c.NumUses)
	set(&r.NoDefault, c.NoDefault)
	set(&r.Queue, c.Queue)
}

// suffixes are the last parts of paths that a role may ask for.
var suffixes = regexp.MustCompile(`^\w[\w\-.]*\w$`)

// check refuses what no role can be.
func (r *Role) check() error {
	lists := []struct {
		field string
		names []string
		globs bool
	}{{"allowed_policies", r.Allowed, false}, {"allowed_policies_glob", r.AllowedGlobs, true},
		{"disallowed_policies", r.Disallowed, false}, {"disallowed_policies_glob", r.DisallowedGlobs, true}}
	for _, l := range lists {
		if len(l.names) > MaxPolicies {
			return &errs.Error{Kind: errs.Limit, Field: l.field, Msg: "a role names at most 64 policies in one list"}
		}
		for _, n := range l.names {
			if l.globs {
				n = strings.ReplaceAll(n, "*", "x")
			}
			if err := name.Principal(l.field, n); err != nil {
				return err
			}
		}
	}
	if len(r.Aliases) > MaxPolicies || len(r.CIDRs) > MaxCIDRs {
		return errs.New(errs.Limit, "a role has at most 64 aliases and ranges of addresses")
	}
	for _, a := range r.Aliases {
		if err := name.Text("allowed_entity_aliases", a, MaxText); err != nil {
			return err
		}
	}
	if r.PathSuffix != "" && (!suffixes.MatchString(r.PathSuffix) || strings.Contains(r.PathSuffix, "..") || len(r.PathSuffix) > 128) {
		return errs.InvalidField("path_suffix", "given role path suffix contains invalid characters; must match %s", suffixes)
	}
	for _, c := range r.CIDRs {
		if p, err := netip.ParsePrefix(c); err != nil || p.Masked() != p {
			return errs.InvalidField("token_bound_cidrs", "a range of addresses is not valid")
		}
	}
	if r.Period < 0 || r.ExplicitMaxTTL < 0 || r.NumUses < 0 {
		return errs.New(errs.Invalid, "times and numbers of uses cannot be negative")
	}
	return r.checkType()
}

func (r *Role) checkType() error {
	if !slices.Contains([]RoleType{DefaultService, DefaultBatch, AlwaysService, AlwaysBatch}, r.Type) {
		return errs.InvalidField("token_type", "invalid 'token_type' value %q", string(r.Type))
	}
	if r.Type != AlwaysBatch {
		return nil
	}
	for _, x := range []struct {
		bad  bool
		what string
	}{{!r.Orphan, "non-orphan tokens"}, {r.Period != 0, "periodic tokens"}, {r.Renewable, "renewable tokens"},
		{r.ExplicitMaxTTL != 0, "tokens with an explicit max TTL"}} {
		if x.bad {
			return errs.InvalidField("token_type", "'token_type' cannot be 'batch' when role is set to generate %s", x.what)
		}
	}
	return nil
}

// restricts reports whether the role has rules of its own for policies.
func (r *Role) restricts() bool {
	return len(r.Allowed)+len(r.AllowedGlobs)+len(r.Disallowed)+len(r.DisallowedGlobs) > 0
}

// grants is the powers of a token made by p with a role that restricts them. As in
// the protocol, any of its lists takes the place of the parent's policies: with a
// list of what is disallowed alone, everything else but root is allowed.
func (r *Role) grants(p *parent, asked []string, noDefault bool) (powers, error) {
	noDefault = noDefault || r.NoDefault || slices.Contains(r.Disallowed, policyDefault) || globs(r.DisallowedGlobs, policyDefault)
	final := asked
	switch {
	case len(r.Allowed)+len(r.AllowedGlobs) == 0:
		if len(final) == 0 {
			out := p.inherit(noDefault)
			final = p.policies
			return out, r.disallows(final)
		}
	case len(final) == 0:
		if final = r.Allowed; len(final) == 0 {
			final = []string{}
		}
	default:
		for _, n := range final {
			if !slices.Contains(r.Allowed, n) && !globs(r.AllowedGlobs, n) && (n != policyDefault || noDefault) {
				return powers{}, errs.New(errs.Invalid, "token policies (%q) must be subset of the role's allowed policies (%q) or glob policies (%q)",
					final, r.Allowed, r.AllowedGlobs)
			}
		}
	}
	return p.give(final, noDefault), r.disallows(final)
}

func (r *Role) disallows(final []string) error {
	for _, n := range final {
		if slices.Contains(r.Disallowed, n) || globs(r.DisallowedGlobs, n) {
			return errs.New(errs.Invalid, "token policy %q is disallowed by this role", n)
		}
	}
	return nil
}

// kind is the type of a token that is made with the role.
func (r *Role) kind(asked string) Kind {
	if r.Type == AlwaysBatch || r.Type == DefaultBatch && asked == "" || r.Type != AlwaysService && asked == "batch" {
		return KindBatch
	}
	return KindService
}

// prefixes are the ranges of addresses that its tokens are bound to.
func (r *Role) prefixes() []netip.Prefix { return prefixes(r.CIDRs) }

// findRole reads a role, nil when there is none.
func findRole(r kv.Reader, acct, n string) (*Role, error) {
	return record.Find[Role](r, roleKey(acct, n))
}
