package policy

import (
	"strconv"
	"strings"

	"countersign/internal/caller"
)

// Kind is where a policy stands: with a principal, or with a resource.
type Kind string

const (
	Identity Kind = "identity" // attached to a user, machine or group
	Resource Kind = "resource" // part of a secret; names its principals
)

// Dialect is the language that a policy is written in.
type Dialect string

const (
	IAM Dialect = "iam" // JSON of AWS IAM
	HCL Dialect = "hcl" // paths and capabilities of the Vault protocol, in HCL or as JSON
)

// Effect is what a statement does when it matches.
type Effect string

const (
	Allow Effect = "Allow"
	Deny  Effect = "Deny"
)

// The two versions of the language. Variables exist in the newer one only.
const (
	version2012 = "2012-10-17"
	version2008 = "2008-10-17" // what a document without a Version has
)

// Document is a parsed policy. It does not change once made and may be shared
// between goroutines.
type Document struct {
	kind       Kind
	dialect    Dialect
	version    string // as written; empty when the document has none
	id         string
	hasID      bool
	statements []statement
	rules      []rule // of the HCL dialect, which has no statements
}

// Kind returns what the document was parsed as.
func (d *Document) Kind() Kind { return d.kind }

// Dialect returns the language that the document is written in.
func (d *Document) Dialect() Dialect { return d.dialect }

// Len is the number of statements or path blocks.
func (d *Document) Len() int { return len(d.statements) + len(d.rules) }

// statement is one compiled statement.
type statement struct {
	label         string // Sid, or "#N" counted from 1
	sid           string
	effect        Effect
	principals    *principals // nil in identity policies
	notPrincipals bool
	actions       []string // as written
	notActions    bool
	ops           opSet // what the actions cover, NotAction applied
	resources     []pattern
	notResources  bool
	conditions    []condition
}

// principals is a Principal or NotPrincipal element.
type principals struct {
	any      bool     // "*"
	bare     bool     // written as "*" and not as {"AWS": "*"}
	accounts []string // whole accounts: the id, or the ARN of the root
	arns     []string
	others   []otherPrincipal // services and the like: kept, matching nobody
	aws      []string         // the AWS members as written
}

type otherPrincipal struct {
	kind  string // "Service", "Federated", "CanonicalUser"
	names []string
}

// reach says how a Principal element covers a caller.
type reach uint8

const (
	notNamed  reach = iota
	byAccount       // the caller's whole account is named
	byName          // the caller, or everyone
)

func (p *principals) covers(c *caller.Caller) reach {
	if p.any {
		return byName
	}
	for _, a := range p.arns {
		if isCaller(a, c) {
			return byName
		}
	}
	for _, a := range p.accounts {
		if a == c.Account {
			return byAccount
		}
	}
	return notNamed
}

// isCaller compares an ARN with the caller's own, without building it.
func isCaller(arn string, c *caller.Caller) bool {
	rest, ok := strings.CutPrefix(arn, "arn:aws:iam::")
	if !ok || c.Account == "" || c.Name == "" || c.Kind == caller.System {
		return ok && c.Kind == caller.System && arn == c.ARN()
	}
	rest, ok = strings.CutPrefix(rest, c.Account)
	if !ok {
		return false
	}
	name, ok := strings.CutPrefix(rest, ":user/")
	return ok && name == c.Name
}

// named reports how far the statement is about the caller. In an identity policy
// every statement is. NotPrincipal leaves out only who is named by an own ARN:
// naming the account spares nobody in it.
func (s *statement) named(c *caller.Caller) reach {
	switch {
	case s.principals == nil:
		return byName
	case s.notPrincipals:
		if s.principals.covers(c) == byName {
			return notNamed
		}
		return byName
	}
	return s.principals.covers(c)
}

// covers reports whether the statement is about the request's resource.
// at is the place of the resource.
func (s *statement) covers(req *Request, at place) bool {
	unknown := false
	for i := range s.resources {
		if s.resources[i].cannot(req.Resource, at) {
			continue
		}
		ok, known := s.resources[i].match(req.Resource, req)
		if ok {
			return !s.notResources
		}
		unknown = unknown || !known
	}
	// Not knowing what a NotResource leaves out must not grant more.
	return s.notResources && (!unknown || s.effect == Deny)
}

// met reports whether all conditions hold.
func (s *statement) met(req *Request) bool {
	for i := range s.conditions {
		if !s.conditions[i].holds(req, s.effect) {
			return false
		}
	}
	return true
}

func label(sid string, i int) string {
	if sid != "" {
		return sid
	}
	return "#" + strconv.Itoa(i+1)
}
