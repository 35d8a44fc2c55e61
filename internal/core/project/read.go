package project

import (
	"context"

	"countersign/internal/caller"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
)

// Limits of a listing.
const (
	DefaultLimit = 100
	MaxLimit     = 1000
	maxLooked    = 10000 // projects looked at for one page
)

// Get returns a project.
func (s *Service) Get(ctx context.Context, who caller.Caller, n string) (Project, error) {
	if err := checkName("name", n); err != nil {
		return Project{}, s.refuse(ctx, who, policy.GetProject, n, err)
	}
	var out Project
	err := s.gate.View(ctx, who, policy.GetProject, n, func(a *gate.Access) error {
		err := a.Allow(&policy.Request{Op: policy.GetProject, Resource: policy.ProjectARN(who.Account, n), Account: who.Account}, nil)
		if err != nil {
			return err
		}
		p, err := record.Find[stored](a, projectKey(who.Account, n))
		if err != nil {
			return err
		}
		if p == nil {
			return errs.Coded(errs.NotFound, CodeProject, "there is no such project")
		}
		out = show(n, p)
		return nil
	})
	if err != nil {
		return Project{}, err
	}
	return out, nil
}

// List is a page of projects. Next is empty on the last; a page may be short,
// even empty, before it.
type List struct {
	Projects []Project
	Next     string // name of the last project that was looked at
}

// List returns the projects that the caller may get, by name: at most limit
// (default DefaultLimit) of those after a name.
func (s *Service) List(ctx context.Context, who caller.Caller, after string, limit int) (List, error) {
	var out List
	err := s.gate.View(ctx, who, policy.ListProjects, "", func(a *gate.Access) error {
		out = List{}
		err := a.Allow(&policy.Request{Op: policy.ListProjects, Resource: policy.AnyResource, Account: who.Account}, nil)
		if err != nil {
			return err
		}
		if limit == 0 {
			limit = DefaultLimit
		}
		if limit < 1 || limit > MaxLimit {
			return errs.InvalidField("limit", "the limit is 1 to %d", MaxLimit)
		}
		return list(a, after, limit, &out)
	})
	if err != nil {
		return List{}, err
	}
	return out, nil
}

func list(a *gate.Access, after string, limit int, out *List) error {
	account := a.Who.Account
	rng := kv.Prefix(kv.K(account, "project"))
	if after != "" {
		rng.Start = append(projectKey(account, after), 0)
	}
	looked, last := 0, ""
	for e, err := range record.Scan[stored](a, rng) {
		if err != nil {
			return err
		}
		if len(out.Projects) == limit || looked == maxLooked {
			out.Next = last
			return nil
		}
		strs, _, err := e.Key.Parts("sss")
		if err != nil {
			return err
		}
		looked++
		last = strs[2]
		ok, err := a.May(&policy.Request{Resource: policy.ProjectARN(account, last), Account: account}, policy.GetProject, nil)
		if err != nil {
			return err
		}
		if ok {
			out.Projects = append(out.Projects, show(last, &e.Value))
		}
	}
	return nil
}
