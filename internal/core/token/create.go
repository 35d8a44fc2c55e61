package token

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/authn"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/errs"
	"countersign/internal/name"
)

// CreateRequest asks for a token that acts as the caller.
type CreateRequest struct {
	Role     string // to make it with; empty: none
	Orphan   bool   // asked for as such, which needs a permission of its own
	NoParent bool   // an orphan by the power to create any token
	ID       string // refused: the server draws tokens, whoever asks

	Policies       []string // empty: the caller's
	Meta           map[string]string
	NoDefault      bool
	NotRenewable   bool
	TTL            time.Duration
	ExplicitMaxTTL time.Duration
	Period         time.Duration // needs the power to create any token
	Type           string        // "service", "batch"; empty: the role's, or service
	Display        string
	NumUses        int
	EntityAlias    string // refused: a token acts as who makes it
}

// create is the write of Create. What it finds out is set anew each time.
type create struct {
	s     *Service
	who   caller.Caller
	req   CreateRequest
	luck  luck
	any   bool // the caller may create any token
	role  *Role
	fresh *Fresh
}

// Create makes a token that acts as the caller and hangs on what the caller comes
// with. It can do no more than that, unless the role or the caller's power to
// create any token says so.
func (s *Service) Create(ctx context.Context, who caller.Caller, req CreateRequest) (Issued, error) {
	e := &create{s: s, who: who, req: req, luck: draw()}
	if err := req.check(); err != nil {
		rec := gate.NewRecord(who, e.Operation(), "")
		return Issued{}, s.gate.Finish(ctx, &rec, err)
	}
	if _, err := s.changes.Submit(ctx, who, change.Request{Edit: e}); err != nil {
		return Issued{}, err
	}
	if e.fresh.rec.Kind == KindBatch {
		if err := e.fresh.seal(); err != nil {
			return Issued{}, err
		}
	}
	return e.fresh.Issued(), nil
}

func (req *CreateRequest) check() error {
	switch {
	case req.ID != "":
		return errs.InvalidField("id", "token ids are drawn by the server and cannot be given")
	case req.EntityAlias != "" && req.Role == "":
		return errs.InvalidField("entity_alias", "'entity_alias' is only allowed in combination with token role")
	case req.EntityAlias != "":
		return errs.InvalidField("entity_alias", "a token acts as who makes it: log in through the alias instead")
	case !slices.Contains([]string{"", "service", "batch"}, req.Type):
		return errs.InvalidField("type", "invalid 'token_type' value")
	case req.Role != "":
		return name.Principal("role_name", req.Role)
	}
	return nil
}

func (e *create) Operation() policy.Op {
	switch {
	case e.req.Role != "":
		return policy.CreateRoleToken
	case e.req.Orphan:
		return policy.CreateOrphanToken
	}
	return policy.CreateToken
}

func (e *create) Target() change.Target {
	return change.Target{Account: e.who.Account, Noun: nounToken, Name: e.luck.accessor}
}

// nounToken is that of writes to tokens, which wait for nobody.
const nounToken = "token"

// Allow also finds out what the caller may give and the role says, once policy
// has let it.
func (e *create) Allow(a *gate.Access) (err error) {
	acct := e.who.Account
	req := &policy.Request{Op: e.Operation(), Resource: policy.TokenARN(acct), Account: acct}
	if e.req.Role != "" {
		req.Resource = policy.TokenRoleARN(acct, e.req.Role)
	}
	if err := a.Allow(req, nil); err != nil {
		return err
	}
	if e.any, err = mayAny(a, acct); err != nil {
		return err
	}
	if e.req.Role != "" {
		if e.role, err = findRole(a, acct, e.req.Role); err == nil && e.role == nil {
			err = errs.Coded(errs.Invalid, CodeNoRole, "unknown role %s", e.req.Role)
		}
	}
	if err == nil && e.kind() == KindBatch {
		a.Record.Resource = batchAccessor + e.luck.accessor
	}
	return err
}

func (e *create) kind() Kind {
	switch {
	case e.role != nil:
		return e.role.kind(e.req.Type)
	case e.req.Type == "batch":
		return KindBatch
	}
	return KindService
}

// mayAny reports whether the caller may create any token: with policies that it
// has not itself, periodic ones, and orphans by a parameter.
func mayAny(a *gate.Access, acct string) (bool, error) {
	return a.May(&policy.Request{Resource: policy.TokenARN(acct), Account: acct, Under: "create"}, policy.CreateAnyToken, nil)
}

func (e *create) Apply(tx *change.Tx) error {
	tx.NothingToDo() // the record of it is the audit log's
	p, err := parentOf(tx, e.who)
	if err != nil {
		return err
	}
	spec, err := e.spec(p)
	if err != nil {
		return err
	}
	e.fresh, err = e.s.form(e.luck, spec, tx.Now)
	if err != nil {
		return err
	}
	missing, err := e.missing(tx)
	if err != nil {
		return err
	}
	e.fresh.out.Warnings = append(append(e.fresh.out.Warnings, e.warnings()...), missing...)
	if e.fresh.rec.Expires == 0 && p.expires {
		return errs.New(errs.Invalid, "expiring root tokens cannot create non-expiring root tokens")
	}
	return e.fresh.Put(tx)
}

// spec is what is asked for, within what the caller and the role allow.
func (e *create) spec(p *parent) (Spec, error) {
	req := &e.req
	spec := Spec{Account: e.who.Account, Principal: e.who.Name, Of: p.of, Path: "auth/token/create", Display: display(req.Display), Meta: req.Meta,
		TTL: req.TTL, ExplicitMaxTTL: req.ExplicitMaxTTL, Period: req.Period, NotRenewable: req.NotRenewable, NumUses: req.NumUses,
		BoundCIDRs: p.bound, Link: p.link, depth: p.depth, Role: req.Role}
	if req.Period > 0 && !e.any {
		return spec, errs.New(errs.Invalid, "root or sudo privileges required to create periodic token")
	}
	orphan := req.Orphan
	spec.Type = e.kind()
	switch {
	case e.role != nil:
		orphan = e.role.Orphan
		e.role.limit(&spec)
	case req.Orphan:
		spec.Path = "auth/token/create-orphan"
	case req.NoParent && !e.any:
		return spec, errs.New(errs.Invalid, "root or sudo privileges required to create orphan token")
	case req.NoParent:
		orphan = true
	}
	switch {
	case orphan && p.fenced:
		return spec, fenced()
	case orphan:
		spec.depth = 0
	case p.on == onToken && p.depth >= MaxDepth:
		return spec, errs.New(errs.Limit, "a tree of tokens is at most %d deep: make an orphan", MaxDepth)
	case p.on == onToken:
		spec.Parent = p.id
	case p.on == onKey:
		spec.KeyID = string(p.id)
	case p.on == onSession:
		spec.Session = string(p.id)
	}
	w, err := e.powers(p, spec.Type)
	spec.Granted, spec.Narrowed, spec.NoDefault, spec.endless = w.granted, w.narrowed, w.noDefault, w.root
	return spec, err
}

func (e *create) powers(p *parent, kind Kind) (w powers, err error) {
	asked := sorted(e.req.Policies)
	if err := checkPolicies("policies", asked); err != nil {
		return w, err
	}
	if e.role != nil && e.role.restricts() {
		w, err = e.role.grants(p, asked, e.req.NoDefault)
	} else {
		w, err = p.child(asked, e.req.NoDefault || e.role != nil && e.role.NoDefault, e.any)
	}
	if err != nil {
		return w, err
	}
	return w, w.check(p, kind)
}

// limit applies what a role says of times and uses.
func (r *Role) limit(spec *Spec) {
	spec.Path += "/" + spec.Role
	if r.PathSuffix != "" {
		spec.Path += "/" + r.PathSuffix
	}
	spec.NotRenewable = spec.NotRenewable || !r.Renewable
	spec.NumUses = int(least(int64(spec.NumUses), int64(r.NumUses)))
	if len(r.CIDRs) > 0 {
		spec.BoundCIDRs = r.prefixes()
	}
	spec.Queue = r.Queue
	if spec.Type != KindBatch {
		spec.ExplicitMaxTTL = time.Duration(least(int64(spec.ExplicitMaxTTL), int64(r.ExplicitMaxTTL)))
		spec.Period = time.Duration(least(int64(spec.Period), int64(r.Period)))
	}
}

// least is the lesser of two limits, of which 0 is none.
func least(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// warnings say where the request and the role both had something to say.
func (e *create) warnings() (out []string) {
	if e.role == nil || e.fresh.rec.Kind == KindBatch {
		return nil
	}
	for _, x := range []struct {
		what        string
		asked, role time.Duration
	}{{"Explicit max TTL", e.req.ExplicitMaxTTL, e.role.ExplicitMaxTTL}, {"Period", e.req.Period, e.role.Period}} {
		if x.asked > 0 && x.role > 0 {
			out = append(out, fmt.Sprintf("%s specified both during creation call and in role; using the lesser value of %d seconds",
				x.what, int64(min(x.asked, x.role).Seconds())))
		}
	}
	return out
}

// missing says which of the policies asked for there are not, or not yet.
func (e *create) missing(tx *change.Tx) (out []string, err error) {
	for _, n := range sorted(e.req.Policies) {
		has, err := authn.HasPolicy(tx, e.who.Account, n)
		if err != nil {
			return nil, err
		}
		if !has {
			out = append(out, fmt.Sprintf("Policy %q does not exist", n))
		}
	}
	return out, nil
}

var notDisplayed = regexp.MustCompile(`[^a-zA-Z0-9-]`)

// display is the display name of a token that is made with another.
func display(asked string) string {
	if asked == "" {
		return "token"
	}
	return strings.TrimSuffix(notDisplayed.ReplaceAllString("token-"+asked, "-"), "-")
}
