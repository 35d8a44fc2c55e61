package project

import (
	"context"
	"slices"
	"strings"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
)

// request is what an edit of a project says. Each operation uses some of it.
type request struct {
	Environments []string `cbor:"1,keyasint,omitempty"` // to begin with, or to add
	Remove       []string `cbor:"2,keyasint,omitempty"`
	Template     string   `cbor:"3,keyasint,omitempty"`
	Description  *string  `cbor:"4,keyasint,omitempty"`
}

// edit is every write to a project.
type edit struct {
	op      policy.Op
	account string
	name    string
	request
	is  *stored // as the transaction sees it; nil: absent
	out Project
}

// CreateRequest asks for a project.
type CreateRequest struct {
	Name         string
	Environments []string
	Template     string // default DefaultTemplate
	Description  string
	Reason       string
	change.Options
}

// Create makes a project. Exists: there is one of that name, or one of its
// secrets is another's environment.
func (s *Service) Create(ctx context.Context, who caller.Caller, req CreateRequest) (Written, error) {
	if req.Template == "" {
		req.Template = DefaultTemplate
	}
	p := stored{Environments: req.Environments, Template: req.Template, Description: req.Description}
	err := checkName("name", req.Name)
	if err == nil {
		err = p.check(req.Name)
	}
	if err != nil {
		return Written{}, s.refuse(ctx, who, policy.CreateProject, req.Name, err)
	}
	return s.submit(ctx, who, req.Reason, req.Options, &edit{op: policy.CreateProject, account: who.Account, name: req.Name,
		request: request{Environments: req.Environments, Template: req.Template, Description: &req.Description}})
}

// UpdateRequest changes a project. Environments that are added come last.
type UpdateRequest struct {
	Name        string
	Add, Remove []string
	Description *string // nil: stays
	Reason      string
	change.Options
}

// Update adds and removes environments. The secret of one that is removed stays.
func (s *Service) Update(ctx context.Context, who caller.Caller, req UpdateRequest) (Written, error) {
	if err := req.check(); err != nil {
		return Written{}, s.refuse(ctx, who, policy.UpdateProject, req.Name, err)
	}
	return s.submit(ctx, who, req.Reason, req.Options, &edit{op: policy.UpdateProject, account: who.Account, name: req.Name,
		request: request{Environments: req.Add, Remove: req.Remove, Description: req.Description}})
}

func (req *UpdateRequest) check() error {
	if err := checkName("name", req.Name); err != nil {
		return err
	}
	if len(req.Add)+len(req.Remove) == 0 && req.Description == nil {
		return errs.InvalidField("add", "nothing is given to change")
	}
	if len(req.Add) > MaxEnvironments || len(req.Remove) > MaxEnvironments {
		return &errs.Error{Kind: errs.Limit, Field: "add", Msg: "a project has at most 50 environments"}
	}
	var seen []string
	for _, given := range []struct {
		field string
		list  []string
	}{{"add", req.Add}, {"remove", req.Remove}} {
		for _, e := range given.list {
			if err := checkName(given.field, e); err != nil {
				return err
			}
			if slices.Contains(seen, e) {
				return errs.InvalidField(given.field, "environment %q is given twice", e)
			}
			seen = append(seen, e)
		}
	}
	return nil
}

// DeleteRequest asks for the end of a project.
type DeleteRequest struct {
	Name   string
	Reason string
	change.Options
}

// Delete removes a project. The secrets of its environments stay.
func (s *Service) Delete(ctx context.Context, who caller.Caller, req DeleteRequest) (change.Result, error) {
	if err := checkName("name", req.Name); err != nil {
		return change.Result{}, s.refuse(ctx, who, policy.DeleteProject, req.Name, err)
	}
	out, err := s.submit(ctx, who, req.Reason, req.Options, &edit{op: policy.DeleteProject, account: who.Account, name: req.Name})
	return out.Result, err
}

func (s *Service) submit(ctx context.Context, who caller.Caller, reason string, o change.Options, e *edit) (Written, error) {
	res, err := s.changes.Submit(ctx, who, change.Request{Edit: e, Reason: reason, Options: o})
	if err != nil {
		return Written{}, err
	}
	return Written{Project: e.out, Result: res}, nil
}

// DecodeEdit reads back an edit that was written down; see change.Decoder.
func (s *Service) DecodeEdit(_ caller.Caller, op policy.Op, t change.Target, data []byte) (change.Edit, error) {
	e := &edit{op: op, account: t.Account, name: t.Name}
	switch op {
	case policy.CreateProject, policy.UpdateProject, policy.DeleteProject:
		return e, record.Decode(data, &e.request)
	}
	return nil, errs.New(errs.Internal, "%s is no stored edit of a project", op)
}

func (e *edit) Target() change.Target {
	return change.Target{Account: e.account, Noun: Noun, Name: e.name}
}
func (e *edit) Operation() policy.Op    { return e.op }
func (e *edit) Encode() ([]byte, error) { return record.Encode(e.request) }

func (e *edit) Allow(a *gate.Access) (err error) {
	e.out = Project{Name: e.name, Template: e.Template, Environments: []Environment{}}
	err = a.Allow(&policy.Request{Op: e.op, Resource: policy.ProjectARN(e.account, e.name), Account: e.account}, nil)
	if err != nil {
		return err
	}
	if e.is, err = record.Find[stored](a, projectKey(e.account, e.name)); err != nil {
		return err
	}
	// What it will be, for the answer of a change that waits; Apply says what is
	// wrong with it.
	if next, err := e.next(); err == nil && next != nil {
		e.out = show(e.name, next)
	}
	return nil
}

// next is the project as it will be, nil when it goes.
func (e *edit) next() (*stored, error) {
	if e.op == policy.CreateProject {
		if e.is != nil {
			return nil, errs.Coded(errs.Exists, CodeProject, "there is a project of this name")
		}
		return &stored{Environments: e.Environments, Template: e.Template, Description: *e.Description}, nil
	}
	if e.is == nil {
		return nil, errs.Coded(errs.NotFound, CodeProject, "there is no such project")
	}
	if e.op == policy.DeleteProject {
		return nil, nil
	}
	p := *e.is
	p.Environments = slices.Clone(p.Environments)
	for _, n := range e.Remove {
		i := slices.Index(p.Environments, n)
		if i < 0 {
			return nil, &errs.Error{Kind: errs.NotFound, Code: CodeEnvironment, Field: n, Msg: "the project has no environment " + n}
		}
		p.Environments = slices.Delete(p.Environments, i, i+1)
	}
	for _, n := range e.Environments {
		if slices.Contains(p.Environments, n) {
			return nil, &errs.Error{Kind: errs.Exists, Code: CodeEnvironment, Field: n, Msg: "the project has an environment " + n + " already"}
		}
		p.Environments = append(p.Environments, n)
	}
	if e.Description != nil {
		p.Description = *e.Description
	}
	return &p, p.check(e.name)
}

func (e *edit) Apply(tx *change.Tx) error {
	next, err := e.next()
	if err != nil {
		return err
	}
	was, will, revision := e.is, next, uint64(0)
	if was == nil {
		was = &stored{}
	}
	if will == nil {
		will = &stored{}
	}
	if e.op == policy.UpdateProject && slices.Equal(was.Environments, will.Environments) && was.Description == will.Description {
		tx.NothingToDo()
		return nil
	}
	revision = was.Revision + 1
	tx.Wrote(was.Revision, revision, nil)
	if err := e.own(tx, was, will); err != nil {
		return err
	}
	// Votes are over what the project will be, which is the same at any time.
	will.Revision = revision
	text, err := record.Encode(will)
	if err != nil {
		return err
	}
	tx.Produced(text)
	if next == nil {
		return tx.Delete(projectKey(e.account, e.name))
	}
	if e.op == policy.CreateProject {
		next.Created = tx.Now.UnixMicro()
	}
	e.out = show(e.name, next)
	return record.Put(tx, projectKey(e.account, e.name), next)
}

// own keeps the index from secrets to environments.
func (e *edit) own(tx *change.Tx, was, will *stored) error {
	for _, n := range was.Environments {
		if !slices.Contains(will.Environments, n) {
			if err := tx.Delete(ownerKey(e.account, secretOf(was.Template, e.name, n))); err != nil {
				return err
			}
		}
	}
	for _, n := range will.Environments {
		if slices.Contains(was.Environments, n) {
			continue
		}
		secret := secretOf(will.Template, e.name, n)
		other, err := record.Find[owner](tx, ownerKey(e.account, secret))
		if err != nil {
			return err
		}
		if other != nil {
			return &errs.Error{Kind: errs.Exists, Code: CodeTaken, Field: secret,
				Msg: "secret " + secret + " is an environment of another project already"}
		}
		if err := record.Put(tx, ownerKey(e.account, secret), owner{e.name, n}); err != nil {
			return err
		}
	}
	return nil
}

// Lines say what a change does, for its review.
func (e *edit) Lines() []string {
	var out []string
	switch e.op {
	case policy.CreateProject:
		out = append(out, "creates project "+e.name, "template "+e.Template)
	case policy.DeleteProject:
		return []string{"deletes project " + e.name + "; its secrets stay"}
	}
	if len(e.Environments) > 0 {
		out = append(out, "adds environments "+strings.Join(e.Environments, ", "))
	}
	if len(e.Remove) > 0 {
		out = append(out, "removes environments "+strings.Join(e.Remove, ", ")+"; their secrets stay")
	}
	if e.Description != nil && *e.Description != "" {
		out = append(out, "description: "+*e.Description)
	}
	return out
}
