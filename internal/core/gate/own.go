package gate

import (
	"countersign/internal/core/policy"
	"countersign/internal/errs"
)

// AllowOwn is Allow for what everybody may do with the proof of who they are:
// sign in and out, see and end their own sessions, change their own password
// and second factor. Nothing has to allow it, and an explicit denial holds. Who
// comes with an access key needs to be allowed: a key may be narrower than its
// owner. The request must be about the caller itself, of the caller's account.
func (a *Access) AllowOwn(req *policy.Request) error {
	if req.Account != a.Who.Account || req.Resource != a.Who.ARN() {
		return errs.New(errs.Internal, "%s is not about the caller", req.Op)
	}
	if a.Who.KeyID != "" {
		return a.Allow(req, nil)
	}
	refused, decision := a.refused, a.Record.Decision
	err := a.Allow(req, nil)
	if errs.Is(err, errs.Denied) && a.Record.Decision != nil && a.Record.Decision.Effect == policy.EffectNoMatch {
		a.refused, a.Record.Decision = refused, decision
		return nil
	}
	return err
}
