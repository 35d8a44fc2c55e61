package policy

// The outcomes of a decision, as they stand in the audit log.
const (
	EffectAllow   = "allow"
	EffectDeny    = "explicit-deny"
	EffectNoMatch = "no-match"
)

// Decision is the answer to a Request and what decided it.
type Decision struct {
	Allowed   bool
	Effect    string   // EffectAllow, EffectDeny or EffectNoMatch
	Policy    string   // name of the policy that decided, empty when none did
	Statement string   // its Sid, or "#N" counted from 1; of the HCL dialect the path of its rule
	Missing   []string // of a refusal: what stood in the way, a sentence each
}

// Named is a policy with the name that decisions call it by.
type Named struct {
	Name string
	Doc  *Document
}

// Set is policies made ready to answer requests: for every operation, the
// statements that are about it. It does not change once made and may be shared
// between goroutines. A nil Set is empty.
type Set struct {
	all  []ref // every statement, in order
	byOp []ref // for one operation after the other: denials, then allowances
	at   [numOps]span
	// rules are the documents of the HCL dialect; nil when there are none.
	rules  *ruleSet
	mounts Mounts // of the Scope that it was compiled for
}

// ref is a statement and the policy that it is from.
type ref struct {
	*statement
	policy string
}

// span is the part of byOp that is about one operation.
type span struct{ denies, allows, end uint32 }

// Compile indexes policies that need no Scope: those on resources, and those in
// which no template is and that the mounts of a new account suit.
func Compile(docs ...Named) *Set { return Scope{}.Compile(docs...) }

// Compile indexes the policies of one principal, in either dialect. Order matters
// for nothing but which of several matching statements a decision names: the
// first.
func (sc Scope) Compile(docs ...Named) *Set {
	s := &Set{rules: compileRules(&sc, docs), mounts: sc.Mounts}
	for _, d := range docs {
		for i := range d.Doc.statements {
			s.all = append(s.all, ref{&d.Doc.statements[i], d.Name})
		}
	}
	for op := Op(1); op < endOfOps; op++ {
		sp := &s.at[op]
		sp.denies = s.collect(op, Deny)
		sp.allows = s.collect(op, Allow)
		sp.end = uint32(len(s.byOp))
	}
	return s
}

// collect adds the statements of one effect about op, and returns where they
// begin.
func (s *Set) collect(op Op, effect Effect) uint32 {
	at := uint32(len(s.byOp))
	for _, r := range s.all {
		if r.effect == effect && r.ops.has(op) {
			s.byOp = append(s.byOp, r)
		}
	}
	return at
}

func (s *Set) denies(op Op) []ref {
	if s == nil {
		return nil
	}
	return s.byOp[s.at[op].denies:s.at[op].allows]
}

func (s *Set) allows(op Op) []ref {
	if s == nil {
		return nil
	}
	return s.byOp[s.at[op].allows:s.at[op].end]
}

// Evaluate answers a request from the policies of the caller (identity) and of
// the resource. Either may be nil. It is a pure function, safe for concurrent
// use; an allowance costs no allocation unless conditions or variables are read.
func Evaluate(identity, resource *Set, req *Request) Decision {
	return evaluate(identity, resource, req, req.Account != req.Caller.Account)
}

// evaluate is Evaluate; foreign says that the thing is of another account than
// the caller, whatever the request says.
func evaluate(identity, resource *Set, req *Request, foreign bool) Decision {
	if !req.Op.Valid() || req.Account == "" {
		return Decision{Effect: EffectNoMatch, Missing: []string{"the request names no operation or no account"}}
	}
	at := placeOf(req.Resource)
	if r := identity.firstDeny(req, at); r != nil {
		return denied(r, req)
	}
	if r := resource.firstDeny(req, at); r != nil {
		return denied(r, req)
	}
	var v verdict
	if identity != nil && identity.rules != nil {
		if v = identity.rules.judge(req, foreign); v.lack == lackDenied {
			return v.denied(req)
		}
	}
	same := req.Caller.Account == req.Account
	own := identity.firstAllow(req, at, byAccount)
	if same {
		if own == nil {
			own = resource.firstAllow(req, at, byName)
		}
		switch {
		case own != nil:
			return allowed(own)
		case v.rule != nil && v.lack == lackNothing:
			return v.allowed()
		}
		return refused(identity, resource, req, at, &v)
	}
	if own != nil && resource.firstAllow(req, at, byAccount) != nil {
		return allowed(own)
	}
	return refused(identity, resource, req, at, &v)
}

// Within answers whether policies that narrow what a principal may do, such as
// those on an access key, let a request pass. IAM statements are about the thing
// whatever its account; rules of the HCL dialect name those of the own account
// only.
func Within(boundary *Set, req *Request) Decision {
	inside := *req
	inside.Account = req.Caller.Account
	return evaluate(boundary, nil, &inside, req.Account != req.Caller.Account)
}

func allowed(r *ref) Decision {
	return Decision{Allowed: true, Effect: EffectAllow, Policy: r.policy, Statement: r.label}
}

func (s *Set) firstDeny(req *Request, at place) *ref {
	refs := s.denies(req.Op)
	for i := range refs {
		r := &refs[i]
		if r.named(&req.Caller) != notNamed && r.covers(req, at) && r.met(req) {
			return r
		}
	}
	return nil
}

// firstAllow returns the first allowance that names the caller at least as
// closely as asked.
func (s *Set) firstAllow(req *Request, at place, least reach) *ref {
	refs := s.allows(req.Op)
	for i := range refs {
		r := &refs[i]
		if r.named(&req.Caller) >= least && r.covers(req, at) && r.met(req) {
			return r
		}
	}
	return nil
}
