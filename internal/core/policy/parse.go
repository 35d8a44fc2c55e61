package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"countersign/internal/errs"
)

// Parse reads a policy document, strictly: unknown and repeated members, wrong
// types, unknown operators and capabilities, and values that could never match
// are refused. It tells the dialect from the text: IAM is a JSON object with
// statements, HCL is what is no JSON, or a JSON object with paths. A resource
// policy is IAM only. An error is of kind errs.Invalid with CodeMalformed and
// names the statement or path and the element; it repeats at most a few bytes of
// the document.
//
// Actions and condition keys that this server does not have are accepted, as in
// IAM: a policy may be written for several services. [Document.Validate] tells
// of them.
func Parse(data []byte, kind Kind) (*Document, error) {
	if kind == Identity && textDialect(data) == HCL {
		root, err := readHCL(data)
		if err != nil {
			return nil, err
		}
		return parseHCL(root)
	}
	root, err := readJSON(data)
	switch {
	case err != nil:
		return nil, err
	case root.shape != isObject:
		return nil, malformed("the document is %s, not an object", root.shape)
	case kind == Identity && root.inHCL():
		return parseHCL(root)
	}
	return parseIAM(root, kind)
}

func parseHCL(root node) (*Document, error) {
	d := &Document{kind: Identity, dialect: HCL}
	if err := d.readRules(root); err != nil {
		return nil, err
	}
	return d, nil
}

func parseIAM(root node, kind Kind) (d *Document, err error) {
	d = &Document{kind: kind, dialect: IAM}
	var list *node // read last: what a statement means depends on Version
	for i := range root.members {
		m := &root.members[i]
		switch m.name {
		case "Version":
			d.version, err = m.text()
			if err == nil && d.version != version2012 && d.version != version2008 {
				err = malformed("Version is %s; use %q", quote(d.version), version2012)
			}
		case "Id":
			d.hasID = true
			d.id, err = m.text()
		case "Statement":
			list = &m.value
		default:
			err = malformed("%s is not a member of a policy: use Version, Id and Statement", quote(m.name))
		}
		if err != nil {
			return nil, err
		}
	}
	if list == nil {
		return nil, malformed("Statement is missing")
	}
	if err := d.readStatements(*list); err != nil {
		return nil, err
	}
	return d, nil
}

func (d *Document) readStatements(list node) error {
	items := list.items
	switch {
	case list.shape == isObject:
		items = []node{list}
	case list.shape != isArray:
		return malformed("Statement is %s, not an object or a list", list.shape)
	case len(items) == 0:
		return malformed("Statement is empty")
	case len(items) > MaxStatements:
		return malformed("Statement has %d items; the most is %d", len(items), MaxStatements)
	}
	sids := map[string]int{}
	for i, it := range items {
		s, err := d.readStatement(it, i)
		if err != nil {
			return inStatement(i, err)
		}
		if prev, ok := sids[s.sid]; ok && s.sid != "" {
			return inStatement(i, malformed("Sid %s is that of statement %d too", quote(s.sid), prev+1))
		}
		sids[s.sid] = i
		d.statements = append(d.statements, s)
	}
	return nil
}

// inStatement and in say where in the document a refusal is about.
func inStatement(i int, err error) error { return in(fmt.Sprintf("statement %d:", i+1), err) }

func in(place string, err error) error {
	var e *errs.Error
	if errors.As(err, &e) {
		return malformed("%s %s", place, e.Msg)
	}
	return err
}

func (m *member) text() (string, error) {
	if m.value.shape != isString {
		return "", malformed("%s is %s, not a string", m.name, m.value.shape)
	}
	return m.value.text, nil
}

// texts reads a string or a list of strings, at least one.
func (m *member) texts() ([]string, error) {
	switch m.value.shape {
	case isString:
		return []string{m.value.text}, nil
	case isArray:
	default:
		return nil, malformed("%s is %s, not a string or a list", m.name, m.value.shape)
	}
	if len(m.value.items) == 0 {
		return nil, malformed("%s is empty", m.name)
	}
	out := make([]string, len(m.value.items))
	for i, it := range m.value.items {
		if it.shape != isString {
			return nil, malformed("%s holds %s, not strings only", m.name, it.shape)
		}
		out[i] = it.text
	}
	return out, nil
}

func (d *Document) readStatement(n node, i int) (statement, error) {
	s := statement{}
	if n.shape != isObject {
		return s, malformed("it is %s, not an object", n.shape)
	}
	has := map[string]bool{}
	for j := range n.members {
		m := &n.members[j]
		has[m.name] = true
		if err := d.readMember(&s, m); err != nil {
			return s, err
		}
	}
	s.label = label(s.sid, i)
	return s, d.complete(&s, has)
}

func (d *Document) readMember(s *statement, m *member) (err error) {
	var effect string
	switch m.name {
	case "Sid":
		if s.sid, err = m.text(); err == nil && !isSid(s.sid) {
			err = malformed("Sid %s may hold letters and digits only, at most 128", quote(s.sid))
		}
	case "Effect":
		if effect, err = m.text(); err == nil && effect != string(Allow) && effect != string(Deny) {
			err = malformed("Effect is %s; use %q or %q", quote(effect), Allow, Deny)
		}
		s.effect = Effect(effect)
	case "Action", "NotAction":
		if s.actions == nil {
			s.notActions = m.name == "NotAction"
			err = s.readActions(m)
		}
	case "Resource", "NotResource":
		if s.resources == nil {
			s.notResources = m.name == "NotResource"
			err = s.readResources(m, d.version == version2012)
		}
	case "Principal", "NotPrincipal":
		if s.principals == nil {
			s.notPrincipals = m.name == "NotPrincipal"
			s.principals, err = readPrincipals(m)
		}
	case "Condition":
		s.conditions, err = readConditions(m, d.version == version2012)
	default:
		err = malformed("%s is not a member of a statement", quote(m.name))
	}
	return err
}

// complete checks which members a statement has together.
func (d *Document) complete(s *statement, has map[string]bool) error {
	for _, pair := range [...][2]string{{"Action", "NotAction"}, {"Resource", "NotResource"}, {"Principal", "NotPrincipal"}} {
		both, one := has[pair[0]] && has[pair[1]], has[pair[0]] || has[pair[1]]
		switch {
		case both:
			return malformed("it has both %s and %s", pair[0], pair[1])
		case pair[0] == "Principal" && d.kind == Identity:
			if one {
				return malformed("a Principal has no place in an identity policy")
			}
		case !one:
			return malformed("%s is missing", pair[0])
		}
	}
	if !has["Effect"] {
		return malformed("Effect is missing")
	}
	if s.notPrincipals && s.effect == Allow {
		return malformed("NotPrincipal needs the Effect %q", Deny)
	}
	return nil
}

func isSid(s string) bool {
	for i := range len(s) {
		if !isWord(s[i]) || s[i] == '-' || s[i] == '_' {
			return false
		}
	}
	return len(s) <= 128
}

// readActions reads Action or NotAction and finds the operations they cover.
func (s *statement) readActions(m *member) error {
	var err error
	if s.actions, err = m.texts(); err != nil {
		return err
	}
	lower := lowerActions()
	for _, a := range s.actions {
		if !isAction(a) {
			return malformed("%s %s is not SERVICE:ACTION or \"*\"", m.name, quote(a))
		}
		p, err := parsePattern(strings.ToLower(a), wildcard, false)
		if err != nil {
			return err
		}
		for op := Op(1); op < endOfOps; op++ {
			if ok, _ := p.match(lower[op], nil); ok {
				s.ops.add(op)
			}
		}
	}
	if s.notActions {
		for op := Op(1); op < endOfOps; op++ {
			s.ops[op>>6] ^= 1 << (op & 63)
		}
	}
	return nil
}

// lowerActions is the table's actions as actions are compared.
func lowerActions() (out [numOps]string) {
	for op := range out {
		out[op] = strings.ToLower(operations[op].Action)
	}
	return out
}

// isAction reports whether a has the form of an action. The service may be "*"
// but is otherwise without wildcards, as in IAM.
func isAction(a string) bool {
	if a == "*" {
		return true
	}
	service, name, ok := strings.Cut(a, ":")
	if !ok || service == "" || name == "" || len(a) > 256 {
		return false
	}
	for i := range len(service) {
		if !isWord(service[i]) && service != "*" {
			return false
		}
	}
	for i := range len(name) {
		if c := name[i]; !isWord(c) && c != '*' && c != '?' {
			return false
		}
	}
	return true
}

func (s *statement) readResources(m *member, vars bool) error {
	list, err := m.texts()
	if err != nil {
		return err
	}
	for _, r := range list {
		if err := checkResource(r); err != nil {
			return in(m.name, err)
		}
		p, err := parsePattern(r, arnWild, vars)
		if err != nil {
			return in(m.name, err)
		}
		s.resources = append(s.resources, p)
	}
	return nil
}

// checkResource holds a resource to the form of an ARN: the service is named, and
// there are six segments unless a "*" that ends one stands for the rest.
func checkResource(r string) error {
	if r == "*" {
		return nil
	}
	if !strings.HasPrefix(r, "arn:") {
		return malformed("%s is neither an ARN nor \"*\"", quote(r))
	}
	parts := strings.SplitN(r, ":", 6)
	if len(parts) < 4 || strings.ContainsAny(parts[2], "*?") || parts[1] == "" || parts[2] == "" {
		return malformed("%s does not name a service: arn:aws:SERVICE:REGION:ACCOUNT:...", quote(r))
	}
	if len(parts) < 6 && !slices.ContainsFunc(parts[3:], func(p string) bool { return strings.HasSuffix(p, "*") }) {
		return malformed("%s is not a whole ARN: six parts between colons", quote(r))
	}
	return nil
}
