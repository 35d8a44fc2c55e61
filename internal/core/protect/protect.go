// Package protect says which changes need a second signature, and whose.
//
// An account has one ordered list of protection rules. A rule matches changes by
// the name of what they alter, by its tags and by the kind of change; as in a
// CODEOWNERS file the last rule that matches is the one that holds, so that
// exceptions stand below what they are exceptions to. A rule without approvals
// is such an exception: what it matches applies at once.
//
// The package is pure: it reads no store and no clock. Package change keeps the
// list, asks it, and counts votes with it. What is trusted is that the facts it
// is given about voters (groups, person, second factor, signature) are those of
// the transaction that decides.
package protect

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"countersign/internal/errs"
	"countersign/internal/name"
)

// Kind is a kind of change.
type Kind string

// The kinds of change.
const (
	Create      Kind = "create"
	Edit        Kind = "edit"   // values, tags, metadata, labels, replicas, restoring
	Delete      Kind = "delete" // also the removal of users, groups and the like
	Rollback    Kind = "rollback"
	RestoreLast Kind = "restore-last" // a rollback to the version that was current just before
	Rotate      Kind = "rotate"
	Policy      Kind = "policy" // who may do what: policies, memberships
	Rules       Kind = "rules"  // protection rules themselves
)

// Kinds lists every Kind.
func Kinds() []Kind {
	return []Kind{Create, Edit, Delete, Rollback, RestoreLast, Rotate, Policy, Rules}
}

// Limits of a list of rules.
const (
	MaxRules     = 100
	MaxMatch     = 20
	MaxApprovals = 5
	MaxCount     = 20
	MaxGroups    = 10
)

// Times of a change that waits, in days.
const (
	DefaultExpiry = 30
	MaxExpiry     = 365
)

// Approval asks for signatures: of Count different persons who are in one of
// the groups, or, without groups, of anybody whom policy lets approve.
type Approval struct {
	Count  int      `cbor:"1,keyasint" json:"count"`
	Groups []string `cbor:"2,keyasint,omitempty" json:"groups,omitempty"`
}

// Rule is one protection rule. Its zero options are the strict ones.
type Rule struct {
	Name string `cbor:"1,keyasint" json:"name"`
	// Match holds patterns of names, of which one has to match. A star stands for
	// any text, slashes included, and a question mark for one character. A
	// pattern alone is of secrets; "group:NAME", "policy:NAME" and "user:NAME"
	// are of identities, "transit-key:NAME" and the like of other things.
	Match []string `cbor:"2,keyasint" json:"match"`
	// Tags must all be on the secret as it is before the change, or, when it is
	// created, as it will be.
	Tags  map[string]string `cbor:"3,keyasint,omitempty" json:"tags,omitempty"`
	Kinds []Kind            `cbor:"4,keyasint,omitempty" json:"kinds,omitempty"` // empty: all
	// Approvals must all be met. One signature counts for each that its voter's
	// groups fit. Empty: what the rule matches needs no review.
	Approvals []Approval `cbor:"5,keyasint,omitempty" json:"approvals,omitempty"`
	// AllowAuthor lets the author's own signature count.
	AllowAuthor bool `cbor:"6,keyasint,omitempty" json:"allow_author,omitempty"`
	// MFA asks for votes in a session that has shown a second factor.
	MFA bool `cbor:"7,keyasint,omitempty" json:"mfa,omitempty"`
	// Signed asks for votes signed with a registered SSH key.
	Signed bool `cbor:"8,keyasint,omitempty" json:"signed,omitempty"`
	// Machines may approve too, by their names. No other machine ever may.
	Machines []string `cbor:"9,keyasint,omitempty" json:"machines,omitempty"`
	// Hours are the only times at which the change takes effect, as package hours
	// reads them; approved outside of them it waits for the next.
	Hours string `cbor:"10,keyasint,omitempty" json:"hours,omitempty"`
	// ExpiryDays is how long a proposal waits. Default DefaultExpiry.
	ExpiryDays int `cbor:"11,keyasint,omitempty" json:"expiry_days,omitempty"`
	// BreakGlass is the group whose members may apply at once in an emergency.
	BreakGlass string `cbor:"12,keyasint,omitempty" json:"break_glass,omitempty"`
}

// Subject is what a rule is held against.
type Subject struct {
	Noun string // secret, user, group, policy, ...
	Name string
	Tags map[string]string
	Kind Kind
	// Generated says that the server makes what is new, as its settings say that
	// were decided before: only rules that name the kind are about it.
	Generated bool
}

// nouns are those that a pattern can name.
var nouns = []string{"secret", "user", "group", "policy", "project",
	"audit-device",
	"identity-config",
	"identity-key",
	"identity-role",
	"login-method",
	"login-role",
	"mount",
	"password-policy",
	"token-role",
	"transit-key",
}

// split takes the noun off a pattern.
func split(pattern string) (noun, glob string) {
	if n, g, ok := strings.Cut(pattern, ":"); ok {
		return n, g
	}
	return "secret", pattern
}

// Matches reports whether r is about s.
func (r *Rule) Matches(s Subject) bool {
	if len(r.Kinds) > 0 && !slices.Contains(r.Kinds, s.Kind) && (s.Kind != RestoreLast || !slices.Contains(r.Kinds, Rollback)) {
		return false
	}
	if s.Generated && len(r.Kinds) == 0 {
		return false
	}
	for k, v := range r.Tags {
		if got, ok := s.Tags[k]; !ok || got != v {
			return false
		}
	}
	return slices.ContainsFunc(r.Match, func(p string) bool {
		noun, glob := split(p)
		return noun == s.Noun && match(glob, s.Name)
	})
}

// Open reports whether r asks for nobody's approval.
func (r *Rule) Open() bool { return len(r.Approvals) == 0 }

// Find returns the rule that holds for s: the last that matches. It is nil when
// none does, or when that one asks for nothing.
func Find(rules []Rule, s Subject) *Rule {
	if r := Last(rules, s); r != nil && !r.Open() {
		return r
	}
	return nil
}

// Last returns the last rule that matches s, whatever it asks for.
func Last(rules []Rule, s Subject) *Rule {
	for i := len(rules) - 1; i >= 0; i-- {
		if rules[i].Matches(s) {
			return &rules[i]
		}
	}
	return nil
}

// Text is everything that r says, as JSON, the same for the same rule.
func (r *Rule) Text() (string, error) {
	b, err := json.Marshal(r)
	if err != nil {
		return "", fmt.Errorf("encoding a rule: %w", err)
	}
	return string(b), nil
}

// ParseTexts reads what Text wrote.
func ParseTexts(texts []string) ([]Rule, error) {
	out := make([]Rule, len(texts))
	for i, t := range texts {
		if err := json.Unmarshal([]byte(t), &out[i]); err != nil {
			return nil, fmt.Errorf("decoding a rule: %w", err)
		}
	}
	return out, nil
}

// Expiry is how many days a proposal under r waits.
func (r *Rule) Expiry() int {
	if r.ExpiryDays == 0 {
		return DefaultExpiry
	}
	return r.ExpiryDays
}

// Validate checks a rule by itself. hours checks the text of Hours.
func (r *Rule) Validate(hours func(string) error) error {
	bad := func(field, format string, args ...any) error { return errs.InvalidField(field, format, args...) }
	if err := name.Principal("name", r.Name); err != nil {
		return err
	}
	if len(r.Match) == 0 || len(r.Match) > MaxMatch {
		return bad("match", "a rule has 1 to %d patterns", MaxMatch)
	}
	for _, p := range r.Match {
		noun, glob := split(p)
		if !slices.Contains(nouns, noun) {
			return bad("match", "a pattern begins with nothing or one of %s and a colon", strings.Join(nouns, ", "))
		}
		if glob == "" || len(glob) > 512 || strings.ContainsFunc(glob, func(c rune) bool { return c <= ' ' || c >= 0x7f || c == ':' }) {
			return bad("match", "a pattern is 1 to 512 characters of a name, * and ?")
		}
	}
	if len(r.Tags) > name.MaxTags {
		return bad("tags", "a rule looks at no more than %d tags", name.MaxTags)
	}
	for _, k := range slices.Sorted(maps.Keys(r.Tags)) {
		if err := name.TagKey(k); err != nil {
			return err
		}
		if err := name.TagValue(r.Tags[k]); err != nil {
			return err
		}
	}
	for _, k := range r.Kinds {
		if !slices.Contains(Kinds(), k) {
			return bad("kinds", "%q is no kind of change", string(k))
		}
	}
	if r.ExpiryDays < 0 || r.ExpiryDays > MaxExpiry {
		return bad("expiry_days", "a proposal waits 1 to %d days", MaxExpiry)
	}
	if r.Hours != "" {
		if err := hours(r.Hours); err != nil {
			return err
		}
	}
	return r.validateVoters()
}

func (r *Rule) validateVoters() error {
	if len(r.Approvals) > MaxApprovals {
		return errs.InvalidField("approvals", "a rule has at most %d approvals", MaxApprovals)
	}
	var groups []string
	for _, a := range r.Approvals {
		if a.Count < 1 || a.Count > MaxCount {
			return errs.InvalidField("approvals", "an approval asks for 1 to %d signatures", MaxCount)
		}
		if len(a.Groups) > MaxGroups {
			return errs.InvalidField("approvals", "an approval names at most %d groups", MaxGroups)
		}
		groups = append(groups, a.Groups...)
	}
	if len(r.Machines) > MaxGroups {
		return errs.InvalidField("machines", "a rule names at most %d machines", MaxGroups)
	}
	if r.BreakGlass != "" {
		groups = append(groups, r.BreakGlass)
	}
	for _, g := range groups {
		if err := name.Principal("approvals", g); err != nil {
			return err
		}
	}
	for _, m := range r.Machines {
		if err := name.Principal("machines", m); err != nil {
			return err
		}
	}
	return nil
}
