package policy

import "strings"

// readPrincipals reads Principal or NotPrincipal: "*", or an object whose AWS
// member lists account ids, ARNs of principals, or "*". Members for services and
// federations are kept and match nobody here.
func readPrincipals(m *member) (*principals, error) {
	p := &principals{}
	switch {
	case m.value.shape == isString && m.value.text == "*":
		p.any, p.bare = true, true
		return p, nil
	case m.value.shape != isObject:
		return nil, malformed("%s is neither \"*\" nor an object", m.name)
	case len(m.value.members) == 0:
		return nil, malformed("%s is empty", m.name)
	}
	for i := range m.value.members {
		k := &m.value.members[i]
		names, err := k.texts()
		if err != nil {
			return nil, in(m.name, err)
		}
		switch k.name {
		case "AWS":
			p.aws = names
			for _, n := range names {
				if err := p.add(n); err != nil {
					return nil, in(m.name, err)
				}
			}
		case "Service", "Federated", "CanonicalUser":
			p.others = append(p.others, otherPrincipal{k.name, names})
		default:
			return nil, malformed("%s: %s is not a kind of principal", m.name, quote(k.name))
		}
	}
	return p, nil
}

// add reads one AWS principal. Wildcards match nothing in a Principal, as in
// IAM, so that one inside a name is refused.
func (p *principals) add(s string) error {
	switch {
	case s == "*":
		p.any = true
		return nil
	case isAccountID(s):
		p.accounts = append(p.accounts, s)
		return nil
	}
	parts := strings.SplitN(s, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || parts[1] != "aws" || parts[3] != "" ||
		(parts[2] != "iam" && parts[2] != "sts") || !isAccountID(parts[4]) {
		return malformed("AWS %s is not an account, the ARN of a principal, or \"*\"", quote(s))
	}
	if parts[5] == "root" && parts[2] == "iam" {
		p.accounts = append(p.accounts, parts[4])
		return nil
	}
	kind, name, ok := strings.Cut(parts[5], "/")
	if !ok || name == "" || strings.ContainsAny(name, "*?${}") {
		return malformed("AWS %s is not the ARN of one principal", quote(s))
	}
	switch parts[2] + ":" + kind {
	case "iam:user", "iam:role", "iam:service", "sts:assumed-role", "sts:federated-user":
		p.arns = append(p.arns, s)
		return nil
	}
	return malformed("AWS %s: a %s cannot be a principal", quote(s), clip(kind, 32))
}

// readConditions reads a Condition element: operators, keys, values.
func readConditions(m *member, vars bool) ([]condition, error) {
	if m.value.shape != isObject {
		return nil, malformed("Condition is %s, not an object", m.value.shape)
	}
	var out []condition
	for _, op := range m.value.members {
		c, err := parseOperator(op.name)
		if err != nil {
			return nil, in("Condition", err)
		}
		if op.value.shape != isObject {
			return nil, malformed("Condition %s is %s, not an object", op.name, op.value.shape)
		}
		for _, k := range op.value.members {
			if !isKey(k.name) {
				return nil, malformed("Condition %s: %s is not a condition key", op.name, quote(k.name))
			}
			c.keyName, c.key = k.name, parseKey(k.name)
			if c.values, err = readCondValues(c.op, k.value, vars); err != nil {
				return nil, in("Condition "+op.name+" "+clip(k.name, maxQuoted)+":", err)
			}
			out = append(out, c)
		}
	}
	return out, nil
}

// readCondValues reads one value or a list; numbers and booleans may be written
// without quotes.
func readCondValues(op operator, n node, vars bool) ([]condValue, error) {
	items := []node{n}
	if n.shape == isArray {
		items = n.items
	}
	if len(items) == 0 {
		return nil, malformed("the list of values is empty")
	}
	out := make([]condValue, 0, len(items))
	for _, it := range items {
		if it.shape != isString && it.shape != isNumber && it.shape != isBool {
			return nil, malformed("a value is %s", it.shape)
		}
		v, err := parseCondValue(op, it.text, vars)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}
