package transit

import (
	"context"
	"strings"

	"countersign/internal/caller"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/errs"
	"countersign/internal/kv"
)

// Limits of a listing.
const (
	DefaultLimit = 100
	MaxLimit     = 10_000
	maxLooked    = 10_000 // keys looked at for one page
)

// Get returns a key. context is that of a derived key of which the public halves
// are asked for.
func (s *Service) Get(ctx context.Context, who caller.Caller, n string, context []byte) (Key, error) {
	if err := CheckName(n); err != nil {
		return Key{}, s.refuse(ctx, who, policy.ReadTransitKey, n, err)
	}
	var out Key
	err := s.gate.View(ctx, who, policy.ReadTransitKey, n, func(a *gate.Access) error {
		if err := a.Allow(request(who, policy.ReadTransitKey, n), nil); err != nil {
			return err
		}
		k, err := find(a, who.Account, n)
		if err != nil {
			return err
		}
		if k == nil {
			return errs.Coded(errs.NotFound, CodeKey, "there is no such key")
		}
		out = k.show(n)
		return k.showVersions(a, who.Account, context, &out)
	})
	if err != nil {
		return Key{}, err
	}
	return out, nil
}

// List is a page of names. Next is empty on the last; a page may be short, even
// empty, before it.
type List struct {
	Names []string // below the prefix
	Next  string   // name that the next page begins after
}

// ListRequest asks for the names of keys.
type ListRequest struct {
	Prefix string // of the mount
	After  string // name below the prefix
	Limit  int    // default DefaultLimit
}

// List returns the names of keys right below a prefix that the caller may read.
func (s *Service) List(ctx context.Context, who caller.Caller, req ListRequest) (List, error) {
	var out List
	err := s.gate.View(ctx, who, policy.ListTransitKeys, "", func(a *gate.Access) error {
		out = List{}
		err := a.Allow(&policy.Request{Op: policy.ListTransitKeys, Resource: policy.AnyResource, Account: who.Account}, nil)
		if err != nil {
			return err
		}
		if req.Limit == 0 {
			req.Limit = DefaultLimit
		}
		if req.Limit < 1 || req.Limit > MaxLimit {
			return errs.InvalidField("limit", "the limit is 1 to %d", MaxLimit)
		}
		return req.list(a, &out)
	})
	if err != nil {
		return List{}, err
	}
	return out, nil
}

func (req *ListRequest) list(a *gate.Access, out *List) error {
	account := a.Who.Account
	keys := kv.K(account, "transit-key")
	rng := kv.Prefix(keys)
	rng.Start = append(kv.Key{}, keys...)
	rng.Start = append(rng.Start, req.Prefix...)
	if req.After != "" {
		rng.Start = append(keyKey(account, req.Prefix+req.After), 0)
	}
	looked, last := 0, ""
	for p, err := range a.Scan(rng) {
		if err != nil {
			return err
		}
		strs, _, err := kv.Key(p.Key).Parts("sss")
		if err != nil {
			return err
		}
		base, ok := strings.CutPrefix(strs[2], req.Prefix)
		if !ok {
			return nil
		}
		if len(out.Names) == req.Limit || looked == maxLooked {
			out.Next = last
			return nil
		}
		looked++
		last = base
		if strings.Contains(base, "/") { // of another mount
			continue
		}
		ask := request(a.Who, policy.ReadTransitKey, strs[2])
		ask.Under = base
		if ok, err = a.May(ask, policy.ReadTransitKey, nil); err != nil {
			return err
		}
		if ok {
			out.Names = append(out.Names, base)
		}
	}
	return nil
}
