package policy

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// ruleSet is the rules of the HCL dialect of one principal, made ready to find
// the one that decides about a path.
type ruleSet struct {
	exact    map[string]*merged
	prefixes map[string]*merged
	lengths  []int     // of the prefixes, longest first
	wild     []*merged // with "+" segments, the highest priority first
	blind    []*merged // denials whose template has no value
	all      []*merged // in the order of the documents
	mounts   Mounts
}

// merged is what all rules of one path say together.
type merged struct {
	text     string // of the path: without its star, anySegment for a "+"
	glob     bool
	segments []string // of text, when one is anySegment
	caps     capSet
	limits   limits
	from     []origin
}

// origin is one rule of a merged one.
type origin struct {
	policy string
	*rule
}

// compileRules merges and indexes the rules of documents; nil when there are
// none.
func compileRules(s *Scope, docs []Named) *ruleSet {
	set := &ruleSet{exact: map[string]*merged{}, prefixes: map[string]*merged{}, mounts: s.Mounts}
	if set.mounts == nil {
		set.mounts = firstMounts{}
	}
	wild := map[string]*merged{}
	for _, d := range docs {
		for i := range d.Doc.rules {
			set.add(s, wild, origin{d.Name, &d.Doc.rules[i]})
		}
	}
	if len(set.all) == 0 {
		return nil
	}
	for p := range set.prefixes {
		if !slices.Contains(set.lengths, len(p)) {
			set.lengths = append(set.lengths, len(p))
		}
	}
	slices.Sort(set.lengths)
	slices.Reverse(set.lengths)
	slices.SortFunc(set.wild, func(a, b *merged) int { return b.compare(a) })
	return set
}

func (set *ruleSet) add(s *Scope, wild map[string]*merged, o origin) {
	text, ok := o.fill(s)
	if !ok {
		// An allowance of nothing can go. A denial of something that is not known
		// must not: it denies whatever it might.
		if o.caps&capDeny != 0 {
			m := &merged{glob: o.glob, caps: capDeny, from: []origin{o}}
			set.blind, set.all = append(set.blind, m), append(set.all, m)
		}
		return
	}
	index, key := set.exact, text
	switch {
	case strings.Contains(text, anySegment):
		if index = wild; o.glob {
			key += "\x01" // and no star, which the value of a template may hold
		}
	case o.glob:
		index = set.prefixes
	}
	m := index[key]
	if m == nil {
		m = &merged{text: text, glob: o.glob}
		if strings.Contains(text, anySegment) {
			m.segments = strings.Split(text, "/")
			set.wild = append(set.wild, m)
		}
		index[key] = m
		set.all = append(set.all, m)
	}
	m.join(o)
}

// join adds a rule of the same path: capabilities add up, a denial voids all
// others, and what is asked of parameters and wrapping adds up too.
func (m *merged) join(o origin) {
	m.from = append(m.from, o)
	switch {
	case m.caps&capDeny != 0:
		return
	case o.caps&capDeny != 0:
		m.caps, m.limits = capDeny, limits{}
		return
	}
	m.caps |= o.caps
	l := o.rule.limits
	if l == nil {
		return
	}
	m.limits.allowed = joinParameters(m.limits.allowed, l.allowed)
	m.limits.denied = joinParameters(m.limits.denied, l.denied)
	for _, p := range l.required {
		if !slices.Contains(m.limits.required, p) {
			m.limits.required = append(m.limits.required, p)
		}
	}
	m.limits.minWrap = shorter(m.limits.minWrap, l.minWrap)
	m.limits.maxWrap = shorter(m.limits.maxWrap, l.maxWrap)
}

// joinParameters unites the values of each parameter; without values it stays.
func joinParameters(to, more map[string][]paramValue) map[string][]paramValue {
	if len(more) > 0 && to == nil {
		to = make(map[string][]paramValue, len(more))
	}
	for k, values := range more {
		had, ok := to[k]
		if len(values) == 0 || ok && len(had) == 0 {
			to[k] = nil
			continue
		}
		to[k] = slices.Concat(had, values)
	}
	return to
}

// shorter is the lesser of two times, of which 0 is none.
func shorter(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// compare orders rules that are about one path by priority, the greater one
// deciding: the first wildcard stands further on, no star ends it, it has fewer
// "+", it is longer, it is greater as text.
func (m *merged) compare(o *merged) int {
	if c := cmp.Compare(m.firstWild(), o.firstWild()); c != 0 {
		return c
	}
	if m.glob != o.glob {
		if m.glob {
			return -1
		}
		return 1
	}
	if c := cmp.Compare(strings.Count(o.text, anySegment), strings.Count(m.text, anySegment)); c != 0 {
		return c
	}
	if c := cmp.Compare(len(m.text), len(o.text)); c != 0 {
		return c
	}
	return strings.Compare(m.shown(), o.shown())
}

// firstWild is where the first wildcard stands.
func (m *merged) firstWild() int {
	if i := strings.Index(m.text, anySegment); i >= 0 {
		return i
	}
	return len(m.text)
}

// shown is the path as people write it, with templates filled.
func (m *merged) shown() string {
	text := strings.ReplaceAll(m.text, anySegment, "+")
	if m.text == "" && len(m.from) > 0 {
		return m.from[0].source
	}
	if m.glob {
		text += "*"
	}
	return text
}

// find returns the rule that decides about a path, nil when none is about it.
func (set *ruleSet) find(path []byte) *merged {
	if m := set.exact[string(path)]; m != nil {
		return m
	}
	return set.findWild(path)
}

// findWild looks among the rules with wildcards.
func (set *ruleSet) findWild(path []byte) *merged {
	prefix := set.longestPrefix(path)
	for _, m := range set.wild {
		if !matchSegmented(m.segments, m.glob, path) {
			continue
		}
		if prefix == nil || m.compare(prefix) > 0 {
			return m
		}
		break // the others come after this one, and so after the prefix
	}
	return prefix
}

func (set *ruleSet) longestPrefix(path []byte) *merged {
	for _, n := range set.lengths {
		if n <= len(path) {
			if m := set.prefixes[string(path[:n])]; m != nil {
				return m
			}
		}
	}
	return nil
}

// findList is find for a listing of what is below path. With or without the
// slash at its end, a rule for it decides, and then one with wildcards: first
// one that is about it without the slash. Where only that with the slash is
// denied, other is that denial.
func (set *ruleSet) findList(path []byte) (m, other *merged) {
	if m := set.exact[string(path)]; m != nil {
		return m, nil
	}
	n := len(path) - 1
	if n < 0 || path[n] != '/' {
		return set.findWild(path), nil
	}
	if m := set.exact[string(path[:n])]; m != nil {
		return m, nil
	}
	first, second := set.findWild(path[:n]), set.findWild(path)
	if first == nil {
		return second, nil
	}
	if second != nil && second.caps&capDeny != 0 {
		other = second
	}
	return first, other
}

// matchSegmented matches a path by segments. A star at the end of the pattern's
// last segment takes the rest.
func matchSegmented(segments []string, glob bool, path []byte) bool {
	for i, want := range segments {
		end := slices.Index(path, '/')
		last := i == len(segments)-1
		got := path
		if end >= 0 {
			got = path[:end]
		}
		switch {
		case last && glob && want != anySegment:
			return len(got) >= len(want) && string(got[:len(want)]) == want
		case want != anySegment && want != string(got):
			return false
		case last:
			return end < 0 || glob
		case end < 0:
			return false
		}
		path = path[end+1:]
	}
	return false
}

// blindly finds a denial with a template of no value that might be about path:
// any text may stand in the template's place.
func (set *ruleSet) blindly(path []byte) *merged {
	for _, m := range set.blind {
		if matchPieces(m.from[0].anyValue(), string(path)) {
			return m
		}
	}
	return nil
}

// anyValue is the rule's path as a pattern with stars for its templates and for
// each "+".
func (r *rule) anyValue() []piece {
	var out []piece
	star := func() {
		if n := len(out); n == 0 || out[n-1].kind != pieceStar {
			out = append(out, piece{kind: pieceStar})
		}
	}
	for _, p := range r.parts {
		for i, text := range strings.Split(p.text, anySegment) {
			if i > 0 || p.tmpl != nil {
				star()
			}
			if text != "" {
				out = append(out, piece{kind: pieceText, text: text})
			}
		}
	}
	if r.glob {
		star()
	}
	return out
}
