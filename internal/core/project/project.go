// Package project groups secrets by project and environment.
//
// A project has environments, and each environment is one secret: a JSON object
// of variables under a name that the project's template makes out of both. The
// project itself holds no value and grants nothing. Whether somebody may read or
// propose the variables of an environment is a question about that secret, and a
// project only says what it is called, so that people and programs need not.
//
// Two environments never are the same secret: an index from the name of a secret
// to the environment that it is, kept in the same transaction, holds this.
// Removing an environment or a project leaves its secrets alone.
//
// Every write is an edit of package change, which protection rules with the
// pattern "project:NAME" can hold for review.
package project

import (
	"context"
	"slices"
	"strings"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/name"
)

// Noun is the noun of changes to projects.
const Noun = "project"

// DefaultTemplate makes the names of secrets of projects that say no other.
const DefaultTemplate = "secret-review/{project}/{environment}"

// Limits of a project.
const (
	MaxEnvironments = 50
	MaxName         = 64 // of a project or an environment, in characters
	maxTemplate     = name.MaxSecret
	maxAbout        = 1000
)

// Codes of errors.
const (
	CodeProject     = "project"      // NotFound or Exists: the project
	CodeEnvironment = "environment"  // NotFound or Exists: the environment; Field names it
	CodeTaken       = "secret-taken" // Exists: the secret is another environment already; Field names it
)

// Places in a template.
const (
	placeProject     = "{project}"
	placeEnvironment = "{environment}"
)

// Project is a project as it is shown.
type Project struct {
	Name         string        `json:"name"`
	Template     string        `json:"template"`
	Description  string        `json:"description,omitempty"`
	Environments []Environment `json:"environments"`
	Created      time.Time     `json:"created,omitzero"`
}

// Environment is one environment of a project.
type Environment struct {
	Name   string `json:"name"`
	Secret string `json:"secret"` // name of the secret that holds its variables
}

// Written is a project after a write to it, and what became of that. While the
// change waits, the project is as it will be.
type Written struct {
	Project
	change.Result
}

// stored is a project as it is kept, under its account and name.
type stored struct {
	Environments []string `cbor:"1,keyasint,omitempty"` // in their order
	Template     string   `cbor:"2,keyasint"`
	Description  string   `cbor:"3,keyasint,omitempty"`
	Created      int64    `cbor:"4,keyasint,omitempty"` // microseconds
	Revision     uint64   `cbor:"5,keyasint,omitempty"` // counts the changes
}

// owner is the environment that a secret is.
type owner struct {
	Project     string `cbor:"1,keyasint"`
	Environment string `cbor:"2,keyasint"`
}

func projectKey(account, n string) kv.Key { return kv.K(account, "project", n) }
func ownerKey(account, secret string) kv.Key {
	return kv.K(account, "project-secret", secret)
}

func show(n string, p *stored) Project {
	out := Project{Name: n, Template: p.Template, Description: p.Description, Environments: []Environment{}}
	if p.Created != 0 {
		out.Created = time.UnixMicro(p.Created).UTC()
	}
	for _, e := range p.Environments {
		out.Environments = append(out.Environments, Environment{e, secretOf(p.Template, n, e)})
	}
	return out
}

// secretOf is the name of the secret that an environment is.
func secretOf(template, project, environment string) string {
	return strings.NewReplacer(placeProject, project, placeEnvironment, environment).Replace(template)
}

// checkName checks the name of a project or an environment.
func checkName(field, s string) error {
	if s == "" || len(s) > MaxName || strings.ContainsFunc(s, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-'
	}) {
		return errs.InvalidField(field, "a name here is 1 to %d letters, digits, - and _", MaxName)
	}
	return nil
}

// checkTemplate checks that a template makes a name of a secret for each
// environment, and another one for each.
func checkTemplate(template string) error {
	if strings.Count(template, placeProject) != 1 || strings.Count(template, placeEnvironment) != 1 || len(template) > maxTemplate {
		return errs.InvalidField("template", "a template has at most %d characters and holds %s and %s once each", maxTemplate, placeProject, placeEnvironment)
	}
	return checkSecret(secretOf(template, "p", "e"))
}

func checkSecret(n string) error {
	if err := name.SecretName(n); err != nil {
		return errs.InvalidField("template", "the template makes no name of a secret: %s", errs.As(err).Msg)
	}
	return nil
}

// check checks a whole project.
func (p *stored) check(n string) error {
	if err := checkTemplate(p.Template); err != nil {
		return err
	}
	if err := name.Text("description", p.Description, maxAbout); err != nil {
		return err
	}
	if len(p.Environments) > MaxEnvironments {
		return &errs.Error{Kind: errs.Limit, Field: "environments", Msg: "a project has at most 50 environments"}
	}
	for i, e := range p.Environments {
		if err := checkName("environments", e); err != nil {
			return err
		}
		if slices.Contains(p.Environments[:i], e) {
			return errs.InvalidField("environments", "environment %q is given twice", e)
		}
		if err := checkSecret(secretOf(p.Template, n, e)); err != nil {
			return err
		}
	}
	return nil
}

// Config configures New. Every field is required.
type Config struct {
	Gate    *gate.Gate
	Changes *change.Service
}

// Service keeps projects.
type Service struct {
	gate    *gate.Gate
	changes *change.Service
}

// New returns a Service.
func New(c Config) *Service { return &Service{gate: c.Gate, changes: c.Changes} }

// refuse records a request that does not get as far as policy.
func (s *Service) refuse(ctx context.Context, who caller.Caller, op policy.Op, n string, err error) error {
	rec := gate.NewRecord(who, op, "")
	if checkName("name", n) == nil {
		rec.Resource = n
	}
	return s.gate.Finish(ctx, &rec, err)
}
