package authn

import (
	"context"

	"countersign/internal/caller"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/errs"
	"countersign/internal/kv"
)

// CodeNobody is the code of the error for a question about somebody who is not
// there.
const CodeNobody = "nobody"

// Finder finds a principal in a snapshot, nil for nobody.
type Finder func(kv.Reader) (*caller.Caller, error)

// CapabilitiesRequest asks what a principal may do at paths of the Vault protocol.
type CapabilitiesRequest struct {
	// Of finds whom it is about, nil for nobody; a nil Of stands for who asks, as it
	// calls.
	Of    Finder
	Paths []string
}

// Capabilities lists capabilities by path, as the protocol shows them; see
// policy.Capabilities. What one may do oneself can be asked with any credential,
// and about another it is the same as a test of policies. Who may not test those of
// everybody does not learn that there is nobody to ask about: that is NotFound,
// with CodeNobody.
func (s *Service) Capabilities(ctx context.Context, who caller.Caller, req CapabilitiesRequest, things Resources) (map[string][]string, error) {
	op := policy.OwnCapabilities
	if req.Of != nil {
		op = policy.TestPolicy
	}
	var out map[string][]string
	err := s.gate.View(ctx, who, op, "", func(a *gate.Access) error {
		of, err := s.about(a, req)
		if err != nil {
			return err
		}
		out = make(map[string][]string, len(req.Paths))
		for _, p := range req.Paths {
			if out[p], err = s.CapabilitiesAt(a, *of, p, things); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// about finds whom a question is about, and asks whether it may be asked.
func (s *Service) about(a *gate.Access, req CapabilitiesRequest) (*caller.Caller, error) {
	if req.Of == nil {
		a.Record.Resource = safeName(a.Who.Name)
		return &a.Who, a.AllowSelf(&policy.Request{Op: policy.OwnCapabilities, Resource: a.Who.ARN(), Account: a.Who.Account})
	}
	of, err := req.Of(a)
	if err != nil {
		return nil, err
	}
	ask := &policy.Request{Op: policy.TestPolicy, Resource: policy.AnyResource, Account: a.Who.Account}
	if of != nil {
		ask.Resource, a.Record.Resource = of.ARN(), safeName(of.Name)
	}
	if err := a.Allow(ask, nil); err != nil {
		return nil, err
	}
	if of == nil {
		return nil, errs.Coded(errs.NotFound, CodeNobody, "there is nobody to ask about")
	}
	return of, nil
}

// CapabilitiesAt is what a principal may do at one path. It asks nobody.
func (a *Authorizer) CapabilitiesAt(r kv.Reader, who caller.Caller, path string, things Resources) ([]string, error) {
	set, err := a.current(r, 0, &policy.Request{Caller: who})
	if err != nil {
		return nil, err
	}
	q := policy.PathQuestion{Identity: set.identity, Boundary: set.boundary, Request: policy.Request{Caller: who}, Path: path}
	if things != nil {
		q.Find = func(arn string) (string, *policy.Set, map[string]string, error) {
			whole, err := things.Whole(r, arn)
			if err != nil {
				return "", nil, nil, err
			}
			own, tags, err := things.Describe(r, whole)
			return whole, own, tags, err
		}
	}
	return policy.Capabilities(q)
}

// OwnGrants lists the caller's rules of the HCL dialect by path. A caller that is
// narrowed has those that both give.
func (s *Service) OwnGrants(ctx context.Context, who caller.Caller) (out policy.PathGrants, err error) {
	err = s.gate.View(ctx, who, policy.OwnCapabilities, safeName(who.Name), func(a *gate.Access) error {
		if err := a.AllowSelf(&policy.Request{Op: policy.OwnCapabilities, Resource: who.ARN(), Account: who.Account}); err != nil {
			return err
		}
		out, err = s.PathGrants(a, who)
		return err
	})
	return out, err
}

// PathGrants is OwnGrants, and asks nobody.
func (a *Authorizer) PathGrants(r kv.Reader, who caller.Caller) (policy.PathGrants, error) {
	set, err := a.current(r, 0, &policy.Request{Caller: who})
	if err != nil {
		return policy.PathGrants{}, err
	}
	return policy.Grants(set.identity, set.boundary...), nil
}

// Reaches reports whether the caller may do anything below a mount. It asks
// nobody.
func (a *Authorizer) Reaches(r kv.Reader, who caller.Caller, m policy.Mount) (bool, error) {
	set, err := a.current(r, 0, &policy.Request{Caller: who})
	if err != nil {
		return false, err
	}
	ok := set.identity.Reaches(m)
	for _, b := range set.boundary {
		ok = ok && b.Reaches(m)
	}
	return ok, nil
}

// MayEnter reports whether a path leads into a mount below which the caller may do
// anything. It asks nobody, and is for nobody else to know.
func (s *Service) MayEnter(ctx context.Context, who caller.Caller, path string) (ok bool, err error) {
	err = s.gate.DB.View(ctx, func(r kv.Reader) error {
		set, err := s.current(r, 0, &policy.Request{Caller: who})
		if err != nil || set.mounts == nil {
			return err
		}
		m, _, is := set.mounts.At(path)
		if ok = is; is {
			ok, err = s.Reaches(r, who, m)
		}
		return err
	})
	return ok, err
}
