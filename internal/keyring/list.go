package keyring

import (
	"maps"
	"slices"
)

// Accounts lists the accounts that have a keyset, sorted.
func (r *Ring) Accounts() []string { return slices.Sorted(maps.Keys(*r.accounts.Load())) }
