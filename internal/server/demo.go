package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/audit"
	"countersign/internal/core/authn"
	"countersign/internal/core/change"
	"countersign/internal/core/project"
	"countersign/internal/core/protect"
	"countersign/internal/core/secret"
	"countersign/internal/errs"
	"countersign/internal/name"
	"countersign/internal/sensitive"
)

// What the demonstration is made of.
const (
	demoProject = "backend-api"
	demoGroup   = "approvers"
	demoReaders = "read-backend-api"
)

// demoPeople are an author, a reviewer and a machine.
var demoPeople = [...]struct {
	name, person string
	machine      bool
	policies     []string
}{
	{"alice", "alice@example.com", false, []string{"Developer", demoReaders}},
	{"bob", "bob@example.com", false, []string{"Approver", demoReaders}},
	{"ci", "alice@example.com", true, []string{"Developer"}},
}

const demoPolicy = `{"Version": "2012-10-17", "Statement": [{"Sid": "ReadVariables", "Effect": "Allow",
  "Action": "secretsmanager:GetSecretValue", "Resource": "arn:aws:secretsmanager:*:*:secret:secret-review/backend-api/*"}]}`

// demo prepares a project with two environments, a rule on one of them, and
// people, and writes an env file for each of those. What is there already is left
// as it is.
func (s *Server) demo(ctx context.Context, dir string) error {
	now := time.Now()
	who := caller.ForSystem(devAccount, "demo", audit.NewID(now), now)
	who.Region = s.core.cfg.Regions[0]
	for _, step := range []func(context.Context, caller.Caller) error{s.demoVariables, s.demoIdentities, s.demoRule} {
		if err := step(ctx, who); err != nil {
			return fmt.Errorf("preparing the demonstration: %w", err)
		}
	}
	for _, p := range demoPeople {
		if err := s.demoEnv(ctx, who, p.name, demoEnvPath(dir, p.name)); err != nil {
			return err
		}
	}
	return nil
}

func demoEnvPath(dir, who string) string { return filepath.Join(dir, who+".env") }

// there takes it for success that something exists already.
func there(err error) error {
	if errs.Is(err, errs.Exists) {
		return nil
	}
	return err
}

func (s *Server) demoVariables(ctx context.Context, who caller.Caller) error {
	_, err := s.core.projects.Create(ctx, who, project.CreateRequest{Name: demoProject, Environments: []string{"development", "production"}})
	if errs.Is(err, errs.Exists) {
		return nil // with what somebody made of it since
	}
	if err != nil {
		return err
	}
	for env, vars := range map[string]map[string]string{
		"development": {"DATABASE_URL": "postgres://app@localhost/app", "LOG_LEVEL": "debug"},
		"production":  {"DATABASE_URL": "postgres://app@db.internal/app", "LOG_LEVEL": "info"},
	} {
		set := map[string]sensitive.Bytes{}
		for k, v := range vars {
			set[k] = sensitive.FromString(v)
		}
		_, err := s.core.secrets.Patch(ctx, who, secret.PatchRequest{ID: name.SecretID{Name: "secret-review/" + demoProject + "/" + env},
			Set: set, Reason: "the variables to begin with"})
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) demoIdentities(ctx context.Context, who caller.Caller) error {
	a := s.core.authn
	if _, err := a.CreateGroup(ctx, who, demoGroup); there(err) != nil {
		return err
	}
	if _, err := a.PutPolicy(ctx, who, demoReaders, demoPolicy, "read the variables of "+demoProject); err != nil {
		return err
	}
	for _, p := range demoPeople {
		_, err := a.CreateUser(ctx, who, authn.CreateUserRequest{Name: p.name, Machine: p.machine, Person: p.person})
		if there(err) != nil {
			return err
		}
		for _, policy := range p.policies {
			if _, err := a.Attach(ctx, who, authn.Attachment{Policy: policy, User: p.name}); err != nil {
				return err
			}
		}
	}
	_, err := a.AddToGroup(ctx, who, demoGroup, "bob")
	return err
}

func (s *Server) demoRule(ctx context.Context, who caller.Caller) error {
	rule := protect.Rule{Name: "production", Match: []string{"secret-review/*/production"},
		Approvals: []protect.Approval{{Count: 1, Groups: []string{demoGroup}}}}
	_, err := s.core.changes.PutRules(ctx, who, change.RuleChange{Set: &rule}, "production takes a second signature", change.Options{})
	return err
}

// demoEnv writes the env file of somebody who has none, with a new key.
func (s *Server) demoEnv(ctx context.Context, who caller.Caller, owner, path string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		key, err := readEnv(path)
		if err != nil {
			return err
		}
		if _, err := s.core.authn.Lookup(ctx, key.id, time.Now()); err == nil {
			return s.putEnv(path, key)
		}
	}
	made, err := s.core.authn.CreateKey(ctx, who, authn.CreateKeyRequest{Owner: owner, Description: "made by countersign dev --demo"})
	if err != nil {
		return fmt.Errorf("making an access key: %w", err)
	}
	return s.putEnv(path, devKey{made.ID, string(made.Secret.Reveal())})
}

// walkthrough is what a demonstration prints: the folder, then the program.
const walkthrough = `  Project backend-api has the environments development and production. What is
  proposed for production has to be countersigned by one of the group approvers.

  As alice, who may propose:

    . %[1]s/alice.env
    printf sk_live_demo | %[2]s propose -p backend-api -e production -r "Add Stripe key" --set STRIPE_API_KEY

  As bob, who may approve, in another shell:

    . %[1]s/bob.env
    %[2]s status
    %[2]s approve --latest -p backend-api -e production

  Then either reads what is live, and takes it back if it was wrong:

    %[2]s pull -p backend-api -e production -o -
    %[2]s rollback --latest -p backend-api -e production -r "the key was for staging"

  %[1]s/ci.env is a machine that proposes and waits: %[2]s propose --wait

`
