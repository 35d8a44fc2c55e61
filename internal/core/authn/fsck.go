package authn

import (
	"countersign/internal/core/record"
	"countersign/internal/kv/fsck"
)

// Rules describe the records of this package for a check of the store.
func Rules() []fsck.Rule {
	return []fsck.Rule{
		{Kind: "principal", Shape: "sss", Decode: record.Check[principal]},
		{Kind: "group", Shape: "sss", Decode: record.Check[group]},
		{Kind: "member", Shape: "ssss"},
		{Kind: "external-groups", Shape: "sss", Decode: record.Check[external]},
		{Kind: "group-alias", Shape: "ssss", Decode: record.Check[string]},
		{Kind: "group-alias-id", Shape: "sss", Decode: record.Check[string]},
		{Kind: "policy", Shape: "sss", Decode: record.Check[storedPolicy]},
		{Kind: "key", Shape: "sss", Decode: record.Check[accessKey]},
		{Kind: "key-of", Shape: "ssss"},
		{Kind: "key-used", Shape: "sss", Decode: record.Check[int64]},
		{Kind: "key-place", Shape: "sss", Decode: record.Check[keyPlace]},
		{Kind: "iam-generation", Shape: "ss", Decode: record.Check[uint64]},
		{Kind: "ssh-keys", Shape: "sss", Decode: record.Check[sshKeys]},
		{Kind: "account", Shape: "sss", Decode: record.Check[account]},
	}
}
