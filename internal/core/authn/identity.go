package authn

import (
	"countersign/internal/caller"
	"countersign/internal/core/record"
	"countersign/internal/kv"
)

// Identity is a principal as another way of proving it needs to know it.
type Identity struct {
	// Caller holds account, kind, name, groups, tags and generation.
	Caller caller.Caller
	// Created tells a principal from a later one of the same name: what
	// belonged to the first is not the second's.
	Created  int64
	Disabled bool
}

// FindIdentity reads a principal as r shows it; ok is false when there is none.
// The names must be valid.
func FindIdentity(r kv.Reader, acct, n string) (id Identity, ok bool, err error) {
	p, ok, err := record.Get[principal](r, principalKey(acct, n))
	if err != nil || !ok {
		return Identity{}, false, err
	}
	g, err := generation(r, acct)
	if err != nil {
		return Identity{}, false, err
	}
	return Identity{Created: p.Created, Disabled: p.Disabled, Caller: caller.Caller{Account: acct, Kind: p.Kind, Name: n,
		Groups: p.Groups, Tags: p.Tags, Generation: g}}, true, nil
}

// AccountExists reports whether there is an account of that number.
func AccountExists(r kv.Reader, acct string) (bool, error) {
	_, ok, err := record.Get[account](r, accountKey(acct))
	return ok, err
}
