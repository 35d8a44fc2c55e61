package policy

import (
	"slices"
	"strings"
)

// PathQuestion asks what a principal may do at a path of the Vault protocol.
type PathQuestion struct {
	Identity *Set   // its policies
	Boundary []*Set // that narrow it, each for itself
	Request  Request
	Path     string
	// Find returns the whole ARN of a thing, which may lack the end that only the
	// store knows, and its own policy and tags, nil when it has none; nil stands for
	// a function that knows nothing.
	Find func(arn string) (whole string, own *Set, tags map[string]string, err error)
}

type finder = func(arn string) (whole string, own *Set, tags map[string]string, err error)

// Capabilities lists the capabilities of a principal at a path, as the Vault
// protocol shows them: sorted, "deny" alone when there is none or the path is
// denied, "root" alone when it may do everything everywhere. Rules of the HCL
// dialect give what they say of the path; IAM statements give the capability of
// each operation that the table has at the path, as far as they allow it. Of the
// Request only Caller counts; what its call is does not.
func Capabilities(q PathQuestion) ([]string, error) {
	q.Request.Caller.Call = nil
	q.Request.Account = q.Request.Caller.Account
	if q.Identity.isRoot() && !slices.ContainsFunc(q.Boundary, func(b *Set) bool { return !b.isRoot() }) {
		return []string{"root"}, nil
	}
	caps, err := q.capsOf(q.Identity, q.Find)
	if err != nil {
		return nil, err
	}
	for _, b := range q.Boundary {
		narrow, err := q.capsOf(b, nil)
		if err != nil {
			return nil, err
		}
		if narrow&capDeny != 0 {
			caps = capDeny
		}
		if caps != capDeny {
			caps &= narrow
		}
	}
	if caps == 0 {
		caps = capDeny
	}
	return caps.names(), nil
}

// capsOf is what one set gives at the path, with what find finds.
func (q *PathQuestion) capsOf(s *Set, find finder) (caps capSet, err error) {
	if s != nil && s.rules != nil {
		m, denied := s.rules.lookup([]byte(strings.TrimLeft(q.Path, "/")), capList)
		if denied {
			return capDeny, nil
		}
		if m != nil {
			caps = m.caps
		}
	}
	if s.grantsAll() {
		caps = everyCap
	}
	var mounts Mounts
	if s != nil {
		mounts = s.mounts
	}
	for _, spot := range SpotsAt(mounts, &q.Request.Caller, q.Path) {
		c, _ := capNamed(spot.Capability)
		effect, err := q.statements(s, &spot, find)
		switch {
		case err != nil:
			return 0, err
		case effect == EffectDeny:
			caps &^= c
		case effect == EffectAllow:
			if caps |= c; NeedsSudo(q.Path) {
				caps |= capSudo
			}
		}
	}
	return caps, nil
}

// statements is what IAM says of an operation at the path.
func (q *PathQuestion) statements(s *Set, spot *Spot, find finder) (effect string, err error) {
	req := q.Request
	req.Op, req.Resource = spot.Op, spot.Resource
	var own *Set
	if find != nil {
		if req.Resource, own, req.Tags, err = find(spot.Resource); err != nil {
			return "", err
		}
	}
	at := placeOf(req.Resource)
	switch {
	case s.firstDeny(&req, at) != nil || own.firstDeny(&req, at) != nil:
		return EffectDeny, nil
	case s.firstAllow(&req, at, byAccount) != nil || own.firstAllow(&req, at, byName) != nil:
		return EffectAllow, nil
	}
	return EffectNoMatch, nil
}

// grantsAll reports whether a statement allows everything without a condition.
func (s *Set) grantsAll() bool {
	return s != nil && slices.ContainsFunc(s.all, func(r ref) bool {
		return r.effect == Allow && r.principals == nil && !r.notActions && slices.Contains(r.actions, "*") &&
			!r.notResources && slices.ContainsFunc(r.resources, func(p pattern) bool { return p.all }) && len(r.conditions) == 0
	})
}

// isRoot reports whether the set allows everything and denies nothing.
func (s *Set) isRoot() bool {
	return s.grantsAll() && !slices.ContainsFunc(s.all, func(r ref) bool { return r.effect == Deny }) &&
		(s.rules == nil || !slices.ContainsFunc(s.rules.all, func(m *merged) bool { return m.caps&capDeny != 0 }))
}

// PathGrants are the rules of the HCL dialect of a principal by path, as clients
// of the Vault protocol ask for them.
type PathGrants struct {
	Root  bool                // everything is allowed
	Exact map[string][]string // capabilities by path
	Glob  map[string][]string // by the beginning of paths
}

// Grants lists the rules without "+", which the protocol has no place for. Where
// others narrow them, capabilities are left out that those do not give for all of
// what the rule is about.
func Grants(s *Set, boundary ...*Set) PathGrants {
	out := PathGrants{Root: s.isRoot(), Exact: map[string][]string{}, Glob: map[string][]string{}}
	for _, b := range boundary {
		out.Root = out.Root && b.isRoot()
	}
	if s == nil || s.rules == nil {
		return out
	}
	for p, m := range s.rules.exact {
		out.Exact[p] = m.narrowed(boundary).names()
	}
	for p, m := range s.rules.prefixes {
		out.Glob[p] = m.narrowed(boundary).names()
	}
	return out
}

// narrowed is what is left of a rule's capabilities.
func (m *merged) narrowed(boundary []*Set) capSet {
	caps := m.caps
	for _, b := range boundary {
		var give capSet
		if b.grantsAll() {
			give = everyCap
		} else if b.rules != nil {
			if o, denied := b.rules.lookup([]byte(m.text), 0); o != nil && (o.glob || !m.glob) {
				if give = o.caps; denied {
					give = 0
				}
			}
		}
		if caps &= give | capDeny; caps == 0 {
			return capDeny
		}
	}
	return caps
}

// Reaches reports whether a principal may do anything below a mount. It may say
// yes where it is just not impossible.
func (s *Set) Reaches(m Mount) bool {
	if s == nil {
		return false
	}
	if s.rules != nil && slices.ContainsFunc(s.rules.all, func(r *merged) bool { return r.reaches(m.Path + "/") }) {
		return true
	}
	return slices.ContainsFunc(s.all, func(r ref) bool {
		return r.effect == Allow && slices.ContainsFunc(Operations(), func(op Op) bool {
			return r.ops.has(op) && pathRows[op].mount == m.Kind && m.Kind != ""
		})
	})
}

// reaches reports whether a rule gives anything at a path that begins like this.
func (m *merged) reaches(mount string) bool {
	if m.caps == 0 || m.caps&capDeny != 0 {
		return false
	}
	if m.segments == nil {
		return strings.HasPrefix(m.text, mount) || m.glob && strings.HasPrefix(mount, m.text)
	}
	segments := strings.Split(strings.TrimSuffix(mount, "/"), "/")
	for i, want := range m.segments {
		switch last := i == len(m.segments)-1; {
		case i == len(segments):
			return true
		case last && m.glob:
			return strings.HasPrefix(segments[i], want)
		case want != anySegment && want != segments[i]:
			return false
		}
	}
	return false
}
