// Package gate is the one way into the store for a service method: authorize
// and audit in one call.
//
// View runs a read. The function it is given loads what policy needs to know,
// asks Access.Allow, and only then may disclose anything: that a thing exists,
// what state it is in, what it holds. Whatever comes of it, one record is
// written to the audit log before View returns, and a record that cannot be
// written turns the answer into a refusal. A function that succeeds without
// having asked is a defect and is refused too.
//
// Writes go through package change, which uses the same Access.
package gate

import (
	"context"
	"errors"
	"sync"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/audit"
	"countersign/internal/core/policy"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/name"
)

// Authorizer decides from the policies in the store as r sees it. It must
// return a decision for every request, and an error only when it could not
// read the store. resource is the policy on the thing itself, nil when it has
// none. at is the revision that r shows, 0 when it is not known: what was read
// at that revision before need not be read again.
type Authorizer interface {
	Authorize(r kv.Reader, at kv.Revision, req *policy.Request, resource *policy.Set) (policy.Decision, error)
}

// Log takes audit records; see audit.Log.Append.
type Log interface {
	Append(ctx context.Context, rec *audit.Record) error
}

// Gate joins the store, the authorizer and the log.
type Gate struct {
	DB   kv.DB
	Auth Authorizer
	Log  Log

	views sync.Pool // *view
}

// Access is one guarded operation under way. It must not be kept after the
// function that it was given to: its memory then serves another one.
type Access struct {
	kv.Reader
	Who    caller.Caller
	Record *audit.Record // the function may set Version, Keys, Resource, Region

	// Proposable says that an operation which policy does not allow may be turned
	// into a proposal, by who may propose it on that resource; OnlyProposes is
	// then set, and the caller of Allow must apply nothing.
	Proposable   bool
	OnlyProposes bool

	auth     Authorizer
	at       kv.Revision // that Reader shows; 0 when it is not known
	resource string      // ARN that was first asked about
	asked    bool
	refused  bool // policy said no to something that was asked

	question policy.Request // what is being asked, so that it needs no memory of its own
}

// ResourcePolicy is the name under which the policy on a thing itself is
// compiled, so that a decision of it can be told from others.
const ResourcePolicy = "resource policy"

// NewAccess prepares an operation on the state that r shows. Only package
// change needs it.
func NewAccess(r kv.Reader, auth Authorizer, who caller.Caller, rec *audit.Record) *Access {
	a := &Access{Who: who, Record: rec, auth: auth}
	a.begin(r)
	return a
}

// begin prepares for one run of a transaction function, which may be one of
// several.
func (a *Access) begin(r kv.Reader) {
	a.Reader, a.asked, a.refused, a.OnlyProposes = r, false, false, false
	a.Record.Decision = nil
	a.Record.Account, a.Record.Principal.Account = a.Who.Account, ""
}

// Allow returns nil when policy allows Who what is asked for, and otherwise an errs.Denied that carries the decision id and tells nothing of
// the thing itself: message and code (the effect) are those that a caller would
// get if it did not exist, as long as that would be a refusal too. The
// explanation goes into the record. A system caller is allowed everything: only
// the server's own jobs are one.
//
// An operation on a thing of another account belongs into the log of its owner
// when it is allowed, and into the caller's when it is not. What the caller's
// account can then read of the refusal is worded as if the thing did not exist.
func (a *Access) Allow(asked *policy.Request, resource *policy.Set) error {
	if !a.asked {
		a.resource = asked.Resource
	}
	a.asked = true
	if a.Who.Kind == caller.System {
		return nil // the server's own work, never a stranger's request
	}
	req := &a.question
	*req = *asked
	req.Caller = a.Who
	foreign := req.Account != a.Who.Account
	d, err := a.auth.Authorize(a.Reader, a.at, req, resource)
	if err != nil {
		return err
	}
	if d.Allowed {
		a.allowed(req, foreign)
		return nil
	}
	if a.Proposable && d.Effect != policy.EffectDeny {
		ok, err := a.May(req, policy.ProposeChange, resource)
		if err != nil {
			return err
		}
		if ok {
			a.OnlyProposes = true
			a.allowed(req, foreign)
			return nil
		}
	}
	a.refused = true
	blind := unseen(req)
	told, err := a.auth.Authorize(a.Reader, a.at, blind, nil)
	if err != nil {
		return err
	}
	if told.Allowed { // what denies is of the thing, which the caller may know to exist
		told = d
	}
	if foreign {
		d, req = told, blind
		a.Record.Account, a.Record.Principal.Account = a.Who.Account, ""
	}
	a.Record.Decision = &audit.Decision{
		ID: a.Record.ID, Effect: d.Effect, Action: req.Op.Action(), Resource: req.Resource,
		Policy: d.Policy, Statement: d.Statement, Missing: d.Missing,
	}
	return &errs.Error{Kind: errs.Denied, Decision: a.Record.ID, Code: told.Effect,
		Msg: a.Who.ARN() + " is not authorized to perform " + req.Op.Action() + " (decision " + a.Record.ID + ")"}
}

// allowed puts the record of an operation on another account's thing into the
// log of its owner.
func (a *Access) allowed(req *policy.Request, foreign bool) {
	if foreign {
		a.Record.Account, a.Record.Principal.Account = req.Account, a.Who.Account
	}
}

// Resource is the ARN that policy was first asked about.
func (a *Access) Resource() string { return a.resource }

// May tells whether policy would allow the caller op on what req is about. It
// is no operation by itself: nothing is recorded or refused.
func (a *Access) May(req *policy.Request, op policy.Op, resource *policy.Set) (bool, error) {
	if a.Who.Kind == caller.System {
		return true, nil
	}
	ask := *req
	ask.Op, ask.Caller, ask.Brief = op, a.Who, true
	if ask.Under == "" {
		ask.Caller.Call = nil // what the request is called says nothing of another operation
	}
	d, err := a.auth.Authorize(a.Reader, a.at, &ask, resource)
	return d.Allowed, err
}

// unseen is the same question about something that does not exist.
func unseen(req *policy.Request) *policy.Request {
	u := *req
	u.Tags = nil
	if base, _, ok := name.CutSuffix(u.Resource); ok {
		u.Resource = base + "-" + name.UnknownSuffix
	}
	return &u
}

// Complete tells whether an operation that came to a result may have one: it
// asked policy, and took no for an answer. Anything else is a defect.
func (a *Access) Complete(op policy.Op) error {
	switch {
	case !a.asked:
		return errs.New(errs.Internal, "%s did not ask policy", op)
	case a.refused:
		return errs.New(errs.Internal, "%s went on after a refusal", op)
	}
	return nil
}

// View runs f over a snapshot as operation op on the resource of that name.
func (g *Gate) View(ctx context.Context, who caller.Caller, op policy.Op, resource string, f func(*Access) error) error {
	return g.Work(ctx, who, op, resource, f, nil)
}

// Work is View with something to do once the snapshot is closed, for what takes
// longer or needs chance, with what f has read. work may add to the record; it is
// not called when f failed, and nil is none.
func (g *Gate) Work(ctx context.Context, who caller.Caller, op policy.Op, resource string, f func(*Access) error, work func(rec *audit.Record) error) error {
	v, _ := g.views.Get().(*view)
	if v == nil {
		v = &view{g: g}
		v.run = v.see
	}
	v.Who, v.auth, v.Record, v.rec = who, g.Auth, &v.rec, NewRecord(who, op, resource)
	v.op, v.f, v.before = op, f, g.DB.Revision()
	err := g.DB.View(ctx, v.run)
	if err == nil && work != nil {
		err = work(&v.rec)
	}
	err = g.Finish(ctx, &v.rec, err)
	*v = view{g: g, run: v.run} // nothing of this operation is left to the next
	g.views.Put(v)
	return err
}

// view is the memory of a View, which is the way of every read.
type view struct {
	Access
	rec    audit.Record
	g      *Gate
	op     policy.Op
	f      func(*Access) error
	before kv.Revision           // the store's when the snapshot was asked for
	run    func(kv.Reader) error // see, made once
}

// see runs the operation on a snapshot.
func (v *view) see(r kv.Reader) error {
	v.begin(r)
	if v.before == v.g.DB.Revision() { // then it is also that of the snapshot, which was taken in between
		v.at = v.before
	}
	if err := v.f(&v.Access); err != nil {
		return err
	}
	return v.Complete(v.op)
}

// Finish writes the record of an operation that ended in err, which it returns
// unless the record could not be written. Who goes away early does not escape
// the record: it is written even when ctx has ended. A denial is returned when
// refusalTakes is over.
func (g *Gate) Finish(ctx context.Context, rec *audit.Record, err error) error {
	err = Classify(err)
	Close(rec, err)
	defer evenly(ctx, rec)
	if logErr := g.Log.Append(context.WithoutCancel(ctx), rec); logErr != nil {
		return &errs.Error{Kind: errs.Unavailable, Code: "audit-unwritable",
			Msg: "the audit log cannot be written, so nothing is answered", Err: logErr}
	}
	return err
}

// refusalTakes is how long a refused request takes at least. What is decided about
// has to be read first, as policies ask for its tags: a secret with many would tell
// by the time that this takes that it is there.
const refusalTakes = time.Millisecond

// evenly waits until a denial has taken that long.
func evenly(ctx context.Context, rec *audit.Record) {
	if rec.Outcome != audit.Denied {
		return
	}
	wait := min(refusalTakes-time.Since(rec.Time), refusalTakes)
	if wait <= 0 {
		return
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// NewRecord begins the record of an operation.
func NewRecord(who caller.Caller, op policy.Op, resource string) audit.Record {
	rec := audit.FromCaller(who, op.String())
	rec.Resource = resource
	return rec
}

// Close fills in what became of the operation.
func Close(rec *audit.Record, err error) {
	rec.Duration = time.Since(rec.Time)
	rec.Outcome, rec.Error = audit.OK, ""
	e := errs.As(err)
	if e == nil {
		return
	}
	switch rec.Error = e.Kind.String(); e.Kind {
	case errs.Denied, errs.Unauthenticated:
		rec.Outcome = audit.Denied
	case errs.Internal, errs.Unavailable, errs.Canceled:
		rec.Outcome = audit.Failed
	default:
		rec.Outcome = audit.Refused
	}
	if e.Code != "" {
		rec.Error += "/" + e.Code
	}
}

// CodeUnknown is the code of an Internal error after which nobody can say
// whether a change was made.
const CodeUnknown = "outcome-unknown"

// Classify gives the store's own errors their kind, so that a full disk or a
// transaction over the limits is told from a defect.
func Classify(err error) error {
	var known *errs.Error
	switch {
	case err == nil || errors.As(err, &known):
		return err
	case errors.Is(err, kv.ErrUnknown):
		return &errs.Error{Kind: errs.Internal, Code: CodeUnknown, Msg: "it is not known whether the change was made", Err: err}
	case errors.Is(err, kv.ErrNoSpace):
		return &errs.Error{Kind: errs.Unavailable, Code: "store-full", Msg: "the store's disk is full, nothing was changed", Err: err}
	case errors.Is(err, kv.ErrClosed), errors.Is(err, kv.ErrReadOnly):
		return &errs.Error{Kind: errs.Unavailable, Code: "store-closed", Msg: "the store is not open for this", Err: err}
	case errors.Is(err, kv.ErrLimit):
		return &errs.Error{Kind: errs.Limit, Code: "transaction-limit", Msg: "the change is too large for one transaction", Err: err}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &errs.Error{Kind: errs.Canceled, Msg: "the request was given up", Err: err}
	}
	return err
}
