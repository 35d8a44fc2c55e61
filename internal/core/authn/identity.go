package authn

import (
	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/generation"
	"countersign/internal/core/record"
	"countersign/internal/kv"
	"countersign/internal/name"
)

// Identity is a principal as another way of proving it needs to know it.
type Identity struct {
	// Caller holds account, kind, name, groups, person, tags and generation.
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
	g, err := generation.Get(r, acct)
	if err != nil {
		return Identity{}, false, err
	}
	who, err := callerOf(r, acct, n, &p)
	if err != nil {
		return Identity{}, false, err
	}
	who.Generation = g
	return Identity{Created: p.Created, Disabled: p.Disabled, Caller: who}, true, nil
}

// AccountExists reports whether there is an account of that number.
func AccountExists(r kv.Reader, acct string) (bool, error) {
	_, ok, err := record.Get[account](r, accountKey(acct))
	return ok, err
}

// PutUser makes a user without any policy, within the transaction of somebody
// who was let in for the first time. It fails with Exists when there is one.
func PutUser(tx *change.Tx, acct, n string, tags map[string]string) (Identity, error) {
	return put(tx, acct, n, caller.User, tags)
}

// PutMachine is PutUser of a machine.
func PutMachine(tx *change.Tx, acct, n string, tags map[string]string) (Identity, error) {
	return put(tx, acct, n, caller.Machine, tags)
}

func put(tx *change.Tx, acct, n string, kind caller.Kind, tags map[string]string) (Identity, error) {
	if err := name.Principal("Name", n); err != nil {
		return Identity{}, err
	}
	if err := checkTags(tags); err != nil {
		return Identity{}, err
	}
	if err := absent(tx, principalKey(acct, n), "user"); err != nil {
		return Identity{}, err
	}
	p := principal{Kind: kind, Tags: tags, Created: micros(tx.Now)}
	if err := record.Put(tx, principalKey(acct, n), p); err != nil {
		return Identity{}, err
	}
	if err := generation.Raise(tx, acct); err != nil {
		return Identity{}, err
	}
	id, _, err := FindIdentity(tx, acct, n)
	return id, err
}
