package policy

import (
	"fmt"
	"strings"
)

// Bounds of the reasons in a Decision.
const (
	maxReasons     = 5
	maxReasonBytes = 300
)

// reasons collects sentences within the bounds.
type reasons []string

// full reports whether no more sentences are taken.
func (r *reasons) full() bool { return len(*r) >= maxReasons }

func (r *reasons) add(format string, args ...any) {
	if !r.full() {
		*r = append(*r, clip(fmt.Sprintf(format, args...), maxReasonBytes))
	}
}

// denied explains an explicit denial: what made it hold.
func denied(r *ref, req *Request) Decision {
	d := Decision{Effect: EffectDeny, Policy: r.policy, Statement: r.label}
	if req.Brief {
		return d
	}
	var why reasons
	why.add("statement %q of policy %q denies %s", r.label, r.policy, req.Op.Action())
	for i := 0; i < len(r.conditions) && !why.full(); i++ {
		why.add("it would not if its condition did not hold: %s", r.conditions[i].describe(req))
	}
	d.Missing = why
	return d
}

// refused explains that nothing allowed the request: the near misses, the
// nearest first.
func refused(identity, resource *Set, req *Request, at place, v *verdict) Decision {
	if req.Brief {
		return Decision{Effect: EffectNoMatch}
	}
	var why reasons
	v.explain(&why)
	same := req.Caller.Account == req.Account
	own := identity.firstAllow(req, at, byAccount)
	theirs := resource.firstAllow(req, at, byAccount)
	switch {
	case same && theirs != nil:
		why.add("statement %q of policy %q names the account and so leaves it to identity policies; none allows it", theirs.label, theirs.policy)
	case !same && own != nil:
		why.add("policy %q allows it, but the resource is of account %s and its policy does not allow this principal", own.policy, clip(req.Account, 12))
	case !same && theirs != nil:
		why.add("the resource's policy allows it, but no identity policy of account %s does", clip(req.Caller.Account, 12))
	}
	if same || own == nil {
		identity.conditionsMissed(req, at, &why)
	}
	if same || theirs == nil {
		resource.conditionsMissed(req, at, &why)
	}
	if same || own == nil {
		identity.resourcesMissed(req, at, &why)
	}
	if same || theirs == nil {
		resource.resourcesMissed(req, at, &why)
		resource.principalsMissed(req, &why)
	}
	if identity != nil && identity.rules != nil {
		identity.rules.near(req, v, &why)
	}
	if len(why) == 0 {
		why.add("no policy of the principal has a statement that allows %s", req.Op.Action())
	}
	return Decision{Effect: EffectNoMatch, Missing: why}
}

// conditionsMissed tells of statements that only a condition kept from allowing.
func (s *Set) conditionsMissed(req *Request, at place, why *reasons) {
	for _, r := range s.allows(req.Op) {
		if why.full() {
			return
		}
		if r.named(&req.Caller) == notNamed || !r.covers(req, at) {
			continue
		}
		for i := range r.conditions {
			if c := &r.conditions[i]; !c.holds(req, Allow) {
				why.add("statement %q of policy %q would allow it if %s", r.label, r.policy, c.describe(req))
			}
		}
	}
}

// resourcesMissed tells of statements about the operation but other resources.
func (s *Set) resourcesMissed(req *Request, at place, why *reasons) {
	for _, r := range s.allows(req.Op) {
		if why.full() {
			return
		}
		if r.named(&req.Caller) == notNamed || r.covers(req, at) {
			continue
		}
		but := "on"
		if r.notResources {
			but = "except on"
		}
		why.add("statement %q of policy %q allows %s %s %s", r.label, r.policy, req.Op.Action(), but, sources(r.resources))
	}
}

// principalsMissed tells of statements of a resource policy for others. It does
// not say who they are.
func (s *Set) principalsMissed(req *Request, why *reasons) {
	for _, r := range s.allows(req.Op) {
		if why.full() {
			return
		}
		if r.named(&req.Caller) == notNamed {
			why.add("statement %q of policy %q does not name this principal", r.label, r.policy)
		}
	}
}

// describe says what a condition asks for and what the request has:
// "aws:SourceIp matched IpAddress [10.0.0.0/8]; it is 192.0.2.4".
func (c *condition) describe(req *Request) string {
	var b strings.Builder
	values := make([]pattern, len(c.values))
	for i := range c.values {
		values[i] = c.values[i].pattern
	}
	fmt.Fprintf(&b, "%s matched %s %s; ", show(c.keyName), c.written, sources(values))
	got := req.values(c.key, nil)
	switch len(got) {
	case 0:
		b.WriteString("it is absent")
	case 1:
		b.WriteString("it is " + show(got[0]))
	default:
		for i := range got {
			got[i] = show(got[i])
		}
		b.WriteString("it is [" + clip(strings.Join(got, " "), 2*maxQuoted) + "]")
	}
	return b.String()
}

// show prints a value plainly when it is plain, quoted otherwise.
func show(s string) string {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || s[i] == '"' {
			return quote(s)
		}
	}
	if s == "" {
		return `""`
	}
	return clip(s, maxQuoted)
}

// sources lists patterns as written, bounded.
func sources(ps []pattern) string {
	const most = 3
	var b strings.Builder
	b.WriteByte('[')
	for i := range ps {
		if i > 0 {
			b.WriteByte(' ')
		}
		if i == most {
			fmt.Fprintf(&b, "and %d more", len(ps)-most)
			break
		}
		b.WriteString(show(ps[i].source))
	}
	b.WriteByte(']')
	return b.String()
}
