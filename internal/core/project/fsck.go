package project

import (
	"slices"

	"countersign/internal/core/record"
	"countersign/internal/kv"
	"countersign/internal/kv/fsck"
)

// Rules describe the records of this package for a check of the store.
func Rules() []fsck.Rule {
	return []fsck.Rule{
		{Kind: "project", Shape: "sss", Decode: record.Check[stored]},
		{Kind: "project-secret", Shape: "sss", Decode: record.Check[owner]},
	}
}

// Refer checks that each environment has its secret in the index, and that each
// entry of the index is of an environment.
func Refer(r kv.Reader, report func(key kv.Key, problem string)) error {
	for p, err := range r.Scan(kv.Range{}) {
		if err != nil {
			return err
		}
		strs, _, err := kv.Key(p.Key).Parts("sss")
		if err != nil || strs[1] != "project" && strs[1] != "project-secret" {
			continue // another kind, with another shape
		}
		if strs[1] == "project" {
			err = referProject(r, kv.Key(p.Key), strs[0], strs[2], p.Value, report)
		} else {
			err = referOwner(r, kv.Key(p.Key), strs[0], strs[2], p.Value, report)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func referProject(r kv.Reader, key kv.Key, account, n string, value []byte, report func(kv.Key, string)) error {
	var p stored
	if err := record.Decode(value, &p); err != nil {
		return err
	}
	for _, e := range p.Environments {
		at, err := record.Find[owner](r, ownerKey(account, secretOf(p.Template, n, e)))
		if err != nil {
			return err
		}
		if at == nil || *at != (owner{n, e}) {
			report(slices.Clone(key), "the secret of an environment is not in the index")
		}
	}
	return nil
}

func referOwner(r kv.Reader, key kv.Key, account, secret string, value []byte, report func(kv.Key, string)) error {
	var at owner
	if err := record.Decode(value, &at); err != nil {
		return err
	}
	p, err := record.Find[stored](r, projectKey(account, at.Project))
	if err != nil {
		return err
	}
	if p == nil || !slices.Contains(p.Environments, at.Environment) || secretOf(p.Template, at.Project, at.Environment) != secret {
		report(slices.Clone(key), "the index names an environment that is not there")
	}
	return nil
}
