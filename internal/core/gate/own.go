package gate

import (
	"context"

	"countersign/internal/caller"
	"countersign/internal/core/policy"
	"countersign/internal/errs"
	"countersign/internal/kv"
)

// AllowOwn is Allow for what everybody may do with the proof of who they are:
// sign in and out, see and end their own sessions, change their own password
// and second factor. Nothing has to allow it, and an explicit denial holds. Who
// comes with an access key or a token of the Vault protocol needs to be allowed:
// it may be narrower than its owner. The request must be about the caller itself,
// of the caller's account.
func (a *Access) AllowOwn(req *policy.Request) error {
	if a.Who.KeyID != "" || a.Who.Token != nil {
		if err := a.aboutCaller(req); err != nil {
			return err
		}
		return a.Allow(req, nil)
	}
	return a.AllowSelf(req)
}

// AllowSelf is Allow for what may be done with any credential about that very
// credential, and reaches nothing else: be told what it is, prolong it or end it,
// keep things that nobody else sees. Nothing has to allow it, however narrow the
// credential is, and an explicit denial holds. The request is made as for AllowOwn.
func (a *Access) AllowSelf(req *policy.Request) error {
	if err := a.aboutCaller(req); err != nil {
		return err
	}
	refused, decision := a.refused, a.Record.Decision
	err := a.Allow(req, nil)
	if errs.Is(err, errs.Denied) && a.Record.Decision != nil && a.Record.Decision.Effect == policy.EffectNoMatch {
		a.refused, a.Record.Decision = refused, decision
		return nil
	}
	return err
}

// Ahead asks, before an operation, whether another one may follow it that needs no
// more than AllowSelf. Only a refusal leaves a record: the other one is to ask
// again.
func (g *Gate) Ahead(ctx context.Context, who caller.Caller, req *policy.Request) error {
	rec := NewRecord(who, req.Op, "")
	err := g.DB.View(ctx, func(r kv.Reader) error {
		return NewAccess(r, g.Auth, who, &rec).AllowSelf(req)
	})
	if err == nil {
		return nil
	}
	return g.Finish(ctx, &rec, err)
}

func (a *Access) aboutCaller(req *policy.Request) error {
	if req.Account != a.Who.Account || req.Resource != a.Who.ARN() {
		return errs.New(errs.Internal, "%s is not about the caller", req.Op)
	}
	return nil
}
