package inspect

import (
	"cmp"
	"context"
	"slices"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/errs"
	"countersign/internal/name"
)

// ChangesRequest asks for a page of the changes to one secret.
type ChangesRequest struct {
	ID    name.SecretID
	Limit int    // 1 to MaxLimit; default DefaultLimit
	Page  string // token of the page before
}

// Changes is a page of change records, newest first. Next is empty on the last.
type Changes struct {
	Changes []change.Record
	Next    string
}

// Changes returns who changed a secret, when and why. It takes two permissions:
// to describe this secret, and to list changes, because a record of a change
// names the keys of a JSON value that differ, which a description does not.
//
// A name that was deleted and created anew has the changes of both. Changes to a
// secret of another account are not shown, whatever its own policy grants.
func (s *Service) Changes(ctx context.Context, who caller.Caller, req ChangesRequest) (Changes, error) {
	var out Changes
	err := s.Gate.View(ctx, who, policy.ListChanges, req.ID.Name, func(a *gate.Access) error {
		var err error
		out, err = s.changes(a, req)
		return err
	})
	if err != nil {
		return Changes{}, err
	}
	return out, nil
}

func (s *Service) changes(a *gate.Access, req ChangesRequest) (Changes, error) {
	owner := a.Who.Account
	if req.ID.IsARN {
		owner = req.ID.Account
	}
	err := a.Allow(&policy.Request{Op: policy.ListChanges, Resource: policy.AnyResource, Account: owner}, nil)
	if err != nil {
		return Changes{}, err
	}
	at, err := s.Secrets.Locate(a, req.ID, policy.Describe)
	if err != nil {
		return Changes{}, err
	}
	switch {
	case req.Limit == 0:
		req.Limit = DefaultLimit
	case req.Limit < 1 || req.Limit > MaxLimit:
		return Changes{}, errs.InvalidField("limit", "the limit is 1 to %d", MaxLimit)
	}
	scope := scopeOf("changes", at.Account, at.Region, at.Name)
	before, err := s.openToken(a.Who.Account, scope, req.Page)
	if err != nil {
		return Changes{}, err
	}
	target := change.Target{Account: at.Account, Noun: "secret", Region: at.Region, Name: at.Name}
	list, err := change.History(a, target, string(before), req.Limit+1)
	if err != nil {
		return Changes{}, err
	}
	out := Changes{Changes: list[:min(len(list), req.Limit)]}
	if len(list) > req.Limit {
		out.Next, err = s.sealToken(a.Who.Account, scope, []byte(list[req.Limit-1].ID))
	}
	// Ids, which pages go by, order by the millisecond; times are finer.
	slices.SortStableFunc(out.Changes, func(a, b change.Record) int { return cmp.Compare(b.Time, a.Time) })
	return out, err
}
