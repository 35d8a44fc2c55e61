package policy

import (
	"net/netip"
	"slices"
	"strings"
)

// Severity says what a Finding means for accepting the policy.
type Severity string

const (
	SeverityError   Severity = "error"   // the policy should not be accepted as it is
	SeverityWarning Severity = "warning" // it works, perhaps not as its author thinks
)

// Finding is one thing that a check found in a policy that Parse accepts.
type Finding struct {
	CheckName string // stable, CamelCase
	Severity  Severity
	Message   string // names the statement; for people
}

// Validate tells what a well-formed policy says that cannot work here or is
// rarely meant. It does not judge public access: see PublicAccess.
func (d *Document) Validate() []Finding {
	var out []Finding
	for i := range d.rules {
		out = append(out, d.rules[i].check()...)
	}
	for i := range d.statements {
		s := &d.statements[i]
		out = append(out, d.checkActions(s)...)
		out = append(out, d.checkVariables(s)...)
		for j := range s.conditions {
			if c := &s.conditions[j]; !knownKey(c.keyName) {
				out = append(out, Finding{"UnknownConditionKey", SeverityWarning,
					"statement " + quote(s.label) + ": condition key " + quote(c.keyName) + " never has a value here"})
			}
		}
		if s.effect == Allow && s.notActions {
			out = append(out, Finding{"AllowWithNotAction", SeverityWarning,
				"statement " + quote(s.label) + ": Allow with NotAction grants every other operation, future ones too"})
		}
		if s.effect == Allow && s.notResources {
			out = append(out, Finding{"AllowWithNotResource", SeverityWarning,
				"statement " + quote(s.label) + ": Allow with NotResource grants every other resource, future ones too"})
		}
		out = append(out, checkPrincipals(s)...)
	}
	return out
}

// checkActions tells of actions that are not in the table, and in a resource
// policy of those that are not about a secret.
func (d *Document) checkActions(s *statement) []Finding {
	var out []Finding
	for _, a := range s.actions {
		one := statement{actions: nil}
		if err := one.readActions(&member{"Action", node{shape: isString, text: a}}); err != nil {
			continue
		}
		onSecret := slices.ContainsFunc(Operations(), func(op Op) bool {
			return one.ops.has(op) && (operations[op].Kind == KindSecret || strings.HasPrefix(operations[op].Action, "secretsmanager:"))
		})
		service, _, _ := strings.Cut(strings.ToLower(a), ":")
		ours := service == "secretsmanager" || service == "iam" || service == "kms" || service == "countersign"
		switch {
		case one.ops == opSet{} && ours:
			out = append(out, Finding{"UnknownAction", SeverityWarning, "statement " + quote(s.label) + ": no operation is called " + quote(a)})
		case one.ops == opSet{}:
			out = append(out, Finding{"ForeignAction", SeverityWarning, "statement " + quote(s.label) + ": " + quote(a) + " is of a service that is not here"})
		case d.kind == Resource && !onSecret:
			out = append(out, Finding{"ActionNotOnSecret", SeverityWarning, "statement " + quote(s.label) + ": " + quote(a) + " is no operation on a secret"})
		}
	}
	return out
}

// checkVariables tells of variables that are text, because the version is old,
// and of those that never have a value.
func (d *Document) checkVariables(s *statement) []Finding {
	var out []Finding
	check := func(p *pattern) {
		if d.version != version2012 && strings.Contains(p.source, "${") {
			out = append(out, Finding{"VariableInOldVersion", SeverityWarning,
				"statement " + quote(s.label) + ": variables are plain text unless Version is " + quote(version2012)})
		}
		for _, pc := range p.pieces {
			if pc.kind == pieceVar && !knownKey(pc.v.name) {
				out = append(out, Finding{"UnknownVariable", SeverityWarning,
					"statement " + quote(s.label) + ": variable " + quote(pc.v.name) + " never has a value here"})
			}
		}
	}
	for i := range s.resources {
		check(&s.resources[i])
	}
	for i := range s.conditions {
		for j := range s.conditions[i].values {
			check(&s.conditions[i].values[j].pattern)
		}
	}
	return out
}

func checkPrincipals(s *statement) []Finding {
	if s.principals == nil {
		return nil
	}
	var out []Finding
	for _, o := range s.principals.others {
		out = append(out, Finding{"UnsupportedPrincipal", SeverityWarning,
			"statement " + quote(s.label) + ": principals of kind " + o.kind + " match nobody here"})
	}
	return out
}

// PublicAccess finds the statements of a resource policy that allow everyone:
// the principal is "*" and no condition holds it to known accounts, principals,
// organizations, networks or addresses. A condition narrows when it compares for
// equality with fixed values and fails when the key is absent. Address blocks
// wider than /8 (IPv4) or /32 (IPv6) are the world.
func (d *Document) PublicAccess() []Finding {
	var out []Finding
	for i := range d.statements {
		s := &d.statements[i]
		if s.effect != Allow || s.principals == nil || !s.principals.any || slices.ContainsFunc(s.conditions, narrows) {
			continue
		}
		out = append(out, Finding{"PublicAccess", SeverityError,
			"statement " + quote(s.label) + ": it allows every principal; name them, or add a condition on aws:PrincipalAccount or aws:PrincipalArn"})
	}
	return out
}

// narrowing lists the condition keys, in lower case, whose fixed values say who
// or where a caller is.
var narrowing = [...]string{"aws:principalaccount", "aws:principalarn", "aws:principalorgid", "aws:principalorgpaths",
	"aws:sourceaccount", "aws:sourcearn", "aws:sourceip", "aws:sourceorgid", "aws:sourcevpc", "aws:sourcevpce", "aws:vpcsourceip"}

func narrows(c condition) bool {
	key := strings.ToLower(c.keyName)
	if c.op.negate || c.ifExists || c.quant == forAll || !slices.Contains(narrowing[:], key) {
		return false
	}
	for i := range c.values {
		if !fixed(&c, key, &c.values[i]) {
			return false
		}
	}
	switch c.op.cmp {
	case cmpString, cmpFold, cmpLike, cmpARN:
		return key != "aws:sourceip" && key != "aws:vpcsourceip"
	case cmpIP:
		return true
	}
	return false
}

// fixed reports whether a value pins its key down: no variable, no wildcard
// except after an ARN's account, no block that is half the world.
func fixed(c *condition, key string, v *condValue) bool {
	if v.pattern.vars {
		return false
	}
	if c.op.cmp == cmpIP {
		return narrowBlock(v.ready.prefix)
	}
	if v.pattern.plain {
		return true
	}
	if strings.HasSuffix(key, "arn") {
		parts := strings.SplitN(v.pattern.source, ":", 6)
		return len(parts) == 6 && isAccountID(parts[4]) && !strings.ContainsAny(strings.Join(parts[:5], ":"), "*?")
	}
	return key == "aws:principalorgpaths" && strings.HasPrefix(v.pattern.source, "o-")
}

func narrowBlock(p netip.Prefix) bool {
	if p.Addr().Is4() {
		return p.Bits() >= 8
	}
	return p.Bits() >= 32
}

// check tells what a rule of the HCL dialect says to no effect.
func (r *rule) check() (out []Finding) {
	warn := func(name, message string) {
		out = append(out, Finding{name, SeverityWarning, "path " + quote(r.source) + ": " + message})
	}
	for _, c := range r.idle {
		warn("IdleCapability", "capability "+quote(c)+" allows nothing here")
	}
	if r.caps == 0 {
		warn("NoCapability", "it allows nothing, and hides what wider paths allow")
	}
	if r.old != "" {
		warn("OldPolicyElement", "policy is the old way to write capabilities")
	}
	for _, p := range r.parts {
		switch {
		case p.tmpl != nil && p.tmpl.field == tmplNone:
			warn("UnknownTemplate", "a template in it never has a value here")
		case p.tmpl == nil && strings.Contains(p.text, "*"):
			warn("StarInside", "a star that does not end the path is a star")
		case p.tmpl == nil && strings.Contains(p.text, "+"):
			warn("PlusInside", "a plus that is no segment of its own is a plus")
		}
	}
	if l := r.limits; l != nil && r.caps&parameterized == 0 && len(l.allowed)+len(l.denied)+len(l.required) > 0 {
		warn("IdleParameters", "none of its capabilities goes with parameters")
	}
	return out
}
