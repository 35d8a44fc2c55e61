package authn

import (
	"context"

	"countersign/internal/caller"
	"countersign/internal/core/policy"
	"countersign/internal/kv"
)

// CapabilitiesRequest asks what a principal may do at paths of the Vault protocol.
type CapabilitiesRequest struct {
	Of    *caller.Caller // nil: the one who asks, as it calls
	Paths []string
}

// Capabilities lists capabilities by path, as the protocol shows them; see
// policy.Capabilities. About oneself it is an operation of its own, and about
// another the same as a test of policies.
func (s *Service) Capabilities(ctx context.Context, who caller.Caller, req CapabilitiesRequest, things Resources) (map[string][]string, error) {
	op, of := policy.OwnCapabilities, who
	if req.Of != nil {
		op, of = policy.TestPolicy, *req.Of
	}
	var out map[string][]string
	err := s.view(ctx, who, op, safeName(of.Name), of.ARN(), func(r kv.Reader) error {
		out = make(map[string][]string, len(req.Paths))
		for _, p := range req.Paths {
			caps, err := s.CapabilitiesAt(r, of, p, things)
			if err != nil {
				return err
			}
			out[p] = caps
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
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

// PathGrants lists the caller's rules of the HCL dialect by path. It asks nobody:
// they are the caller's own. A caller that is narrowed has those that both give.
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
