package policy

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// capSet is a set of capabilities.
type capSet uint8

const (
	capCreate capSet = 1 << iota
	capRead
	capUpdate
	capPatch
	capDelete
	capList
	capSudo
	capDeny
)

// everyCap is what a principal has who may do everything.
const everyCap = capCreate | capRead | capUpdate | capPatch | capDelete | capList | capSudo

// parameterized are the capabilities of requests that parameters go with.
const parameterized = capCreate | capRead | capUpdate | capPatch

// capNames is in the order in which capabilities are shown.
var capNames = [...]struct {
	cap  capSet
	name string
}{
	{capCreate, "create"}, {capDelete, "delete"}, {capDeny, "deny"}, {capList, "list"},
	{capPatch, "patch"}, {capRead, "read"}, {capSudo, "sudo"}, {capUpdate, "update"},
}

// idleCaps are capabilities of other servers of the protocol. There is nothing
// here that they allow.
var idleCaps = [...]string{"subscribe", "recover", "scan"}

// oldPolicies are the words of the policy element, which came before
// capabilities.
var oldPolicies = map[string]capSet{
	"deny":  capDeny,
	"read":  capRead | capList,
	"write": capCreate | capRead | capUpdate | capDelete | capList,
	"sudo":  capCreate | capRead | capUpdate | capDelete | capList | capSudo,
}

func capNamed(name string) (capSet, bool) {
	for _, c := range capNames {
		if c.name == name {
			return c.cap, true
		}
	}
	return 0, false
}

// names lists the set as it is shown: sorted, and a denial alone.
func (c capSet) names() []string {
	if c&capDeny != 0 {
		return []string{"deny"}
	}
	out := make([]string, 0, len(capNames))
	for _, n := range capNames {
		if c&n.cap != 0 {
			out = append(out, n.name)
		}
	}
	return out
}

func (c capSet) String() string { return strings.Join(c.names(), ", ") }

// rule is one path block.
type rule struct {
	source string     // the path as written
	parts  []pathPart // without the star at its end
	glob   bool       // a star ends it: it covers what begins like it
	caps   capSet
	idle   []string // capabilities that allow nothing here
	limits *limits  // nil when there are none
	old    string   // the policy element
}

// limits are what a rule asks of the request itself.
type limits struct {
	allowed, denied  map[string][]paramValue // by parameter in lower case
	required         []string
	minWrap, maxWrap time.Duration // 0: none
}

// paramValue is one of the values that a parameter is compared with. All but a
// list have one item.
type paramValue struct {
	items []string
	list  bool
}

// readRules reads the members of a document of the HCL dialect.
func (d *Document) readRules(root node) error {
	for i := range root.members {
		m := &root.members[i]
		switch m.name {
		case "path":
			if err := d.readPaths(m); err != nil {
				return err
			}
		case "name":
			if _, err := m.text(); err != nil {
				return err
			}
		default:
			return malformed("%s has no place in a policy: use path", quote(m.name))
		}
	}
	return nil
}

// readPaths reads an object of paths, or, as JSON may have it, a list of such.
func (d *Document) readPaths(m *member) error {
	return m.objects(func(paths *node) error {
		for i := range paths.members {
			p := &paths.members[i]
			err := p.objects(func(body *node) error {
				if len(d.rules) == MaxRules {
					return malformed("the document has more than %d paths", MaxRules)
				}
				r, err := readRule(p.name, body)
				d.rules = append(d.rules, r)
				return err
			})
			if err != nil {
				return in("path "+quote(p.name)+":", err)
			}
		}
		return nil
	})
}

// objects calls f with an object, or with each of a list of objects.
func (m *member) objects(f func(*node) error) error {
	items := []node{m.value}
	if m.value.shape == isArray {
		items = m.value.items
	}
	for i := range items {
		if items[i].shape != isObject {
			return malformed("%s is %s, not a block", quote(m.name), items[i].shape)
		}
		if err := f(&items[i]); err != nil {
			return err
		}
	}
	return nil
}

func readRule(path string, body *node) (rule, error) {
	r := rule{source: path}
	if err := r.readPath(); err != nil {
		return r, err
	}
	seen := map[string]bool{}
	for i := range body.members {
		m := &body.members[i]
		if seen[m.name] {
			return r, malformed("%s stands twice", quote(m.name))
		}
		seen[m.name] = true
		if err := r.readElement(m); err != nil {
			return r, err
		}
	}
	if l := r.limits; l != nil && l.minWrap > 0 && l.maxWrap > 0 && l.maxWrap < l.minWrap {
		return r, malformed("max_wrapping_ttl is less than min_wrapping_ttl")
	}
	return r, nil
}

func (r *rule) readElement(m *member) (err error) {
	switch m.name {
	case "capabilities":
		return r.readCapabilities(m)
	case "policy":
		return r.readOldPolicy(m)
	case "comment":
		_, err = m.text()
		return err
	case "subscribe_event_types":
		_, err = m.some()
		return err
	case "mfa_methods", "control_group", "expiration", "pagination_limit", "list_scan_response_keys_filter_path":
		return malformed("%s would restrict the rule, and is not supported here", m.name)
	}
	l := r.limits
	if l == nil {
		l = &limits{}
	}
	switch m.name {
	case "allowed_parameters":
		l.allowed, err = readParameters(m)
	case "denied_parameters":
		l.denied, err = readParameters(m)
	case "required_parameters":
		l.required, err = m.some()
	case "min_wrapping_ttl":
		l.minWrap, err = readDuration(m)
	case "max_wrapping_ttl":
		l.maxWrap, err = readDuration(m)
	default:
		return malformed("%s is not an element of a path block", quote(m.name))
	}
	r.limits = l
	return err
}

// some reads a string or a list of strings, which may be empty.
func (m *member) some() ([]string, error) {
	if m.value.shape == isArray && len(m.value.items) == 0 {
		return nil, nil
	}
	return m.texts()
}

func (r *rule) readCapabilities(m *member) error {
	list, err := m.some()
	if err != nil {
		return err
	}
	for _, name := range list {
		c, ok := capNamed(name)
		switch {
		case ok:
			r.caps |= c
		case slices.Contains(idleCaps[:], name):
			r.idle = append(r.idle, name)
		default:
			return malformed("capabilities: %s is not a capability", quote(name))
		}
	}
	r.denyAlone()
	return nil
}

func (r *rule) readOldPolicy(m *member) error {
	word, err := m.text()
	if err != nil {
		return err
	}
	c, ok := oldPolicies[word]
	if !ok {
		return malformed("policy is %s; use capabilities", quote(word))
	}
	r.old = word
	r.caps |= c
	r.denyAlone()
	return nil
}

// denyAlone drops what a denial makes void.
func (r *rule) denyAlone() {
	if r.caps&capDeny != 0 {
		r.caps = capDeny
	}
}

// readParameters reads an object of parameters with the values that they are
// compared with; none stands for any.
func readParameters(m *member) (map[string][]paramValue, error) {
	out := map[string][]paramValue{}
	err := m.objects(func(n *node) error {
		for i := range n.members {
			p := &n.members[i]
			key := strings.ToLower(p.name)
			if _, ok := out[key]; ok || key == "" {
				return malformed("%s: parameter %s is empty or stands twice", m.name, quote(p.name))
			}
			values, err := readValues(p)
			if err != nil {
				return in(m.name, err)
			}
			if key == "*" && len(values) > 0 {
				return malformed("%s: the parameter \"*\" has no values: write []", m.name)
			}
			out[key] = values
		}
		return nil
	})
	return out, err
}

func readValues(p *member) ([]paramValue, error) {
	items := []node{p.value}
	if p.value.shape == isArray {
		items = p.value.items
	}
	out := []paramValue{}
	for _, it := range items {
		v := paramValue{list: it.shape == isArray}
		if !v.list {
			it = node{items: []node{it}}
		}
		for _, x := range it.items {
			if x.shape != isString && x.shape != isNumber && x.shape != isBool {
				return nil, malformed("a value of parameter %s is %s", quote(p.name), x.shape)
			}
			v.items = append(v.items, x.text)
		}
		out = append(out, v)
	}
	return out, nil
}

// maxWrapTTL is the longest time that a wrapping TTL can name, in seconds.
const maxWrapTTL = 1 << 31

// readDuration reads a number of seconds, or a text like "90s", "5m" or "1h".
func readDuration(m *member) (time.Duration, error) {
	text := m.value.text
	if m.value.shape != isString && m.value.shape != isNumber {
		return 0, malformed("%s is %s, not a number of seconds or a text like \"90s\"", m.name, m.value.shape)
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	}
	if n, err := strconv.ParseUint(text, 10, 64); err == nil && n <= maxWrapTTL {
		return time.Duration(n) * time.Second, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > maxWrapTTL*time.Second {
		return 0, malformed("%s is %s, not a number of seconds or a text like \"90s\"", m.name, quote(text))
	}
	return d, nil
}
