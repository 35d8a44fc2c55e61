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
