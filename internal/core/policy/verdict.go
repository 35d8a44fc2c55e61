package policy

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"countersign/internal/caller"
)

// lack is why a rule that is about a path does not allow a request.
type lack uint8

const (
	lackNothing lack = iota
	lackRule         // there is none
	lackDenied
	lackCap
	lackSudo
	lackCall // what the rule asks is not known of requests at other fronts
	lackWrap
	lackParam
	lackAccount // rules are about the principal's own account
)

// verdict is what the rules of the HCL dialect say of a request.
type verdict struct {
	rule  *merged // that decided; nil when there is none
	lack  lack
	cap   capSet // that is needed
	param string // of lackParam: what is wrong, without a value
}

// maxPathOnStack is the room for a path that costs no allocation.
const maxPathOnStack = 320

// judge applies the rules to a request. The path and the capability are those of
// the call in the Vault protocol's words, when the request is one, and otherwise
// the table's. What the table's path is denied is denied in any case; of a mount
// that takes two shapes of paths, what a rule closer to it does not allow. foreign
// says that the thing is of another account, about which rules allow nothing.
func (set *ruleSet) judge(req *Request, foreign bool) verdict {
	var buf [maxPathOnStack]byte
	row := &pathRows[req.Op]
	path, base, known := appendPath(buf[:0], req, set.mounts)
	v := verdict{lack: lackRule, cap: row.cap}
	call := req.Caller.Call
	if req.Under != "" && row.cap != capList {
		call = nil // it is that of the listing
	}
	if known {
		v = set.judgePath(path, row.cap, call)
	}
	switch {
	case v.lack == lackDenied:
		return v
	case call != nil && req.Under == "":
		at := v
		if v = set.judgeCall(row, call); v.lack == lackNothing && at.outranks(&v) && set.shapedForV1(call.Path) {
			v = at
		}
	case v.lack != lackNothing && len(path) > base:
		v = set.judgeFolder(path, v, call)
	}
	if v.lack == lackNothing && foreign {
		v.lack = lackAccount
	}
	return v
}

// outranks reports whether v is of a rule that does not allow the request and has
// a higher priority than that of o.
func (v *verdict) outranks(o *verdict) bool {
	return v.rule != nil && v.lack != lackNothing && v.rule.compare(o.rule) > 0
}

// sectionsOfV2 begin the paths below a mount of secrets with versions.
var sectionsOfV2 = [...]string{"config", "data", "delete", "destroy", "detailed-metadata", "metadata", "subkeys", "undelete"}

// shapedForV1 reports whether a path leads into a mount of secrets with versions
// and is as if they had none: "secret/app" for what is at "secret/data/app".
func (set *ruleSet) shapedForV1(path string) bool {
	m, rest, ok := set.mounts.At(strings.TrimLeft(path, "/"))
	section, _, _ := strings.Cut(rest, "/")
	return ok && m.Kind == KindSecret && m.Version == 2 && !slices.Contains(sectionsOfV2[:], section)
}

// judgeCall answers by the literal path and capability of a call. Where the
// operation tells making from changing and the protocol does not, it is making.
func (set *ruleSet) judgeCall(row *pathRow, call *caller.Call) verdict {
	var buf [maxPathOnStack]byte
	path := append(buf[:0], strings.TrimLeft(call.Path, "/")...)
	c, _ := capNamed(call.Capability)
	switch c {
	case capUpdate:
		if row.cap == capCreate {
			c = capCreate
		}
	case capList:
		if n := len(path); n > 0 && path[n-1] != '/' {
			path = append(path, '/')
		}
	case capDeny, capSudo: // no capability of a request
		c = 0
	}
	return set.judgePath(path, c, call)
}

// judgePath answers for one path.
func (set *ruleSet) judgePath(path []byte, c capSet, call *caller.Call) verdict {
	v := verdict{cap: c}
	var denied bool
	if v.rule, denied = set.lookup(path, c); denied {
		v.lack = lackDenied
		return v
	}
	switch {
	case v.rule == nil:
		v.lack = lackRule
	case v.rule.caps&c == 0:
		v.lack = lackCap
	case v.rule.caps&capSudo == 0 && needsSudo(path):
		v.lack = lackSudo
	default:
		v.lack, v.param = v.rule.limits.met(c, call)
	}
	return v
}

// lookup finds the rule for a path, and says whether it denies.
func (set *ruleSet) lookup(path []byte, c capSet) (m *merged, denied bool) {
	var other *merged
	if c == capList {
		m, other = set.findList(path)
	} else {
		m = set.find(path)
	}
	switch {
	case m != nil && m.caps&capDeny != 0:
		return m, true
	case other != nil:
		return other, true
	case len(set.blind) > 0:
		if b := set.blindly(path); b != nil {
			return b, true
		}
	}
	return m, false
}

// judgeFolder answers for a name in a listing by the folder that it is in: who
// may list that sees what is in it, unless a rule denies the name.
func (set *ruleSet) judgeFolder(path []byte, name verdict, call *caller.Call) verdict {
	end := len(path)
	if path[end-1] == '/' {
		end--
	}
	v := set.judgePath(path[:bytes.LastIndexByte(path[:end], '/')+1], capList, call)
	if v.lack == lackNothing || v.lack == lackDenied {
		return v
	}
	return name
}

// met reports what of a rule's limits a request does not keep.
func (l *limits) met(c capSet, call *caller.Call) (lack, string) {
	if l.minWrap > 0 || l.maxWrap > 0 {
		switch {
		case call == nil:
			return lackCall, ""
		case call.WrapTTL <= 0 || call.WrapTTL < l.minWrap || l.maxWrap > 0 && call.WrapTTL > l.maxWrap:
			return lackWrap, ""
		}
	}
	if c&parameterized == 0 || len(l.required) == 0 && len(l.allowed) == 0 && len(l.denied) == 0 {
		return lackNothing, ""
	}
	if call == nil {
		return lackCall, ""
	}
	if why := l.params(call.Params); why != "" {
		return lackParam, why
	}
	return lackNothing, ""
}

// params says which parameter is against the limits, empty when none is. A
// request without parameters lacks only those that are required.
func (l *limits) params(got map[string][]string) string {
	for _, p := range l.required {
		if _, ok := got[strings.ToLower(p)]; !ok {
			return "requires the parameter " + quote(p)
		}
	}
	if len(got) == 0 {
		return ""
	}
	if _, ok := l.denied["*"]; ok {
		return "denies every parameter"
	}
	_, others := l.allowed["*"]
	for _, p := range slices.Sorted(maps.Keys(got)) {
		key := strings.ToLower(p)
		if values, ok := l.denied[key]; ok && (len(values) == 0 || denies(values, got[p])) {
			return "denies the parameter " + quote(p) + ", or the value that it has"
		}
		values, ok := l.allowed[key]
		switch {
		case len(l.allowed) == 0 || !ok && others:
		case !ok:
			return "does not allow the parameter " + quote(p)
		case len(values) > 0 && !allows(values, got[p]):
			return "does not allow the value of the parameter " + quote(p)
		}
	}
	return ""
}

// denies reports whether some item of a parameter is among values.
func denies(values []paramValue, items []string) bool {
	return slices.ContainsFunc(values, func(v paramValue) bool {
		if v.list {
			return slices.Equal(v.items, items)
		}
		return slices.ContainsFunc(items, func(it string) bool { return globbed(v.items[0], it) })
	})
}

// allows reports whether each item of a parameter is among values, or they are
// one of them as a list.
func allows(values []paramValue, items []string) bool {
	each := len(items) > 0
	for _, it := range items {
		each = each && slices.ContainsFunc(values, func(v paramValue) bool { return !v.list && globbed(v.items[0], it) })
	}
	return each || slices.ContainsFunc(values, func(v paramValue) bool { return v.list && slices.Equal(v.items, items) })
}

// globbed compares a value; a star at an end of the pattern stands for any text
// there, but a star alone for itself.
func globbed(pattern, s string) bool {
	if len(pattern) < 2 {
		return pattern == s
	}
	middle, before := strings.CutPrefix(pattern, "*")
	middle, after := strings.CutSuffix(middle, "*")
	switch {
	case before && after:
		return strings.Contains(s, middle)
	case before:
		return strings.HasSuffix(s, middle)
	case after:
		return strings.HasPrefix(s, middle)
	}
	return pattern == s
}

// source is the rule among the merged ones that a decision about c names: the
// first that gives it.
func (m *merged) source(c capSet) origin {
	for _, o := range m.from {
		if o.caps&c != 0 {
			return o
		}
	}
	return m.from[0]
}

func (v *verdict) allowed() Decision {
	o := v.rule.source(v.cap)
	return Decision{Allowed: true, Effect: EffectAllow, Policy: o.policy, Statement: o.rule.source}
}

// denied explains a denial by a rule.
func (v *verdict) denied(req *Request) Decision {
	o := v.rule.source(capDeny)
	d := Decision{Effect: EffectDeny, Policy: o.policy, Statement: o.rule.source}
	if req.Brief {
		return d
	}
	var why reasons
	why.add("rule %q of policy %q denies %s", clip(o.rule.source, maxPathShown), o.policy, req.Op.Action())
	if _, ok := o.fill(&Scope{}); !ok && v.rule.text == "" {
		why.add("a template in it has no value for this principal, so it denies every path that it could with any")
	}
	d.Missing = why
	return d
}

// explain tells what kept the rule that is about the path from allowing.
func (v *verdict) explain(why *reasons) {
	if v.rule == nil {
		return
	}
	o := v.rule.source(v.cap)
	rule := fmt.Sprintf("rule %q of policy %q", clip(o.rule.source, maxPathShown), o.policy)
	if n := len(v.rule.from); n > 1 {
		rule += fmt.Sprintf(" and %d more of the same path", n-1)
	}
	switch v.lack {
	case lackCap:
		why.add("%s gives [%s], %s is needed", rule, v.rule.caps, v.needed())
	case lackSudo:
		why.add("%s gives [%s], but the path needs sudo too", rule, v.rule.caps)
	case lackCall:
		why.add("%s asks for parameters or wrapping, which only requests of the Vault protocol have", rule)
	case lackWrap:
		why.add("%s asks for an answer wrapped for %s", rule, v.rule.limits.wrapTimes())
	case lackParam:
		why.add("%s %s", rule, v.param)
	case lackAccount:
		why.add("%s would allow it in the principal's own account, but the resource is of another", rule)
	}
}

func (l *limits) wrapTimes() string {
	switch {
	case l.maxWrap == 0:
		return l.minWrap.String() + " or longer"
	case l.minWrap == 0:
		return l.maxWrap.String() + " or shorter"
	}
	return "between " + l.minWrap.String() + " and " + l.maxWrap.String()
}

func (v *verdict) needed() string {
	if v.cap == 0 {
		return "another capability"
	}
	return v.cap.String()
}

// Bounds of what reasons say: how many rules are named that are not about the
// path, and how much of a path is shown.
const (
	maxNear      = 2
	maxPathShown = 128
)

// near tells of the rules that are about what is closest to the path.
func (set *ruleSet) near(req *Request, v *verdict, why *reasons) {
	if v.rule != nil || why.full() {
		return
	}
	b, _, ok := appendPath(nil, req, set.mounts)
	path := string(b)
	if call := req.Caller.Call; call != nil && req.Under == "" {
		path, ok = strings.TrimLeft(call.Path, "/"), true
	}
	if !ok {
		why.add("no mount reaches it, so no rule of the HCL dialect is about it")
		return
	}
	why.add("no rule of the HCL dialect is about %q, where %s is needed", clip(path, maxPathShown), v.needed())
	close := slices.Clone(set.all)
	slices.SortStableFunc(close, func(a, b *merged) int { return common(b.shown(), path) - common(a.shown(), path) })
	for _, m := range close[:min(maxNear, len(close))] {
		if common(m.shown(), path) > 0 {
			o := m.source(v.cap)
			why.add("rule %q of policy %q gives [%s], but is not about that path", clip(o.rule.source, maxPathShown), o.policy, m.caps)
		}
	}
}

// common is how many segments two paths have in common at their beginning, and
// within those the bytes.
func common(a, b string) (n int) {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		if a[i] == '/' {
			n += 1000
		}
		i++
	}
	if n == 0 {
		return 0
	}
	return n + min(i, 999)
}
