package vault

import (
	"context"

	"countersign/internal/errs"
)

// leaseRows are about leases that somebody holds, of which there are none: tokens
// are renewed and revoked as tokens. That is said in Vault's words where it has
// some. A revocation is refused rather than said to be done, since it did nothing.
func leaseRows() []row {
	const tokens = "there are no leases below this prefix: tokens are revoked at auth/token/revoke and auth/token/revoke-accessor"
	return []row{
		{methods: "POST", path: "leases/lookup", as: "LookupLease", do: onLease("invalid lease")},
		{methods: "LIST", path: "leases/lookup/{prefix...}", as: "ListLeases", do: noLeases},
		{methods: "POST", path: "leases/renew", as: "RenewLease", do: onLease("lease not found")},
		{methods: "POST", path: "leases/revoke", as: "RevokeLease", do: onLease("lease not found")},
		{methods: "POST", path: "leases/renew/{id...}", as: "RenewLease", do: refusal("lease not found")},
		{methods: "POST", path: "leases/revoke/{id...}", as: "RevokeLease", do: refusal("lease not found")},
		{methods: "POST", path: "leases/revoke-prefix/{prefix...}", as: "RevokeLeases", do: refusal(tokens)},
		{methods: "POST", path: "leases/revoke-force/{prefix...}", as: "RevokeLeases", do: refusal(tokens)},
		{methods: "POST", path: "renew", as: "RenewLease", do: onLease("lease not found")}, // the old paths
		{methods: "POST", path: "revoke", as: "RevokeLease", do: onLease("lease not found")},
	}
}

// onLease refuses what is asked of a lease, which has to be named.
func onLease(reason string) func(context.Context, *call) (*answer, error) {
	return func(ctx context.Context, c *call) (*answer, error) {
		if c.need("lease_id", "lease_id must be specified"); c.err != nil {
			return nil, nil
		}
		return refusal(reason)(ctx, c)
	}
}

func noLeases(ctx context.Context, c *call) (*answer, error) {
	return nil, c.f.record(ctx, c.who, c.row.name(), errs.New(errs.NotFound, ""))
}
