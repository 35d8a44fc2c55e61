// Package generation counts, for each account, the changes of what decisions rest
// on: identities, policies, mounts. What is derived from these may be kept in
// memory beside the generation that it was derived in, and counts as long as the
// store still has that one. Whoever writes such a thing raises the generation in
// the same transaction.
package generation

import (
	"countersign/internal/core/record"
	"countersign/internal/kv"
)

func key(account string) kv.Key { return kv.K(account, "iam-generation") }

// Get returns an account's generation, 0 before the first.
func Get(r kv.Reader, account string) (uint64, error) {
	g, _, err := record.Get[uint64](r, key(account))
	return g, err
}

// Raise makes all that is kept for the account so far out of date.
func Raise(tx kv.Txn, account string) error {
	g, err := Get(tx, account)
	if err != nil {
		return err
	}
	return record.Put(tx, key(account), g+1)
}
