package signin

import (
	"countersign/internal/core/record"
	"countersign/internal/kv/fsck"
)

// Rules describe the records of this package for a check of the store.
func Rules() []fsck.Rule {
	return []fsck.Rule{
		{Kind: "login", Shape: "sss", Decode: record.Check[profile]},
		{Kind: "session", Shape: "sss", Decode: record.Check[session]},
		{Kind: "session-of", Shape: "ssss"},
		{Kind: "signin-settings", Shape: "ss", Decode: record.Check[settings]},
		{Kind: "signin-attempts", Shape: "ssn", Decode: record.Check[attempts]},
		{Kind: "identity-provider", Shape: "ss", Decode: record.Check[provider]},
		{Kind: "identity", Shape: "ssss", Decode: record.Check[link]},
		{Kind: "identity-of", Shape: "sss", Decode: record.Check[linked]},
		{Kind: "signin-device", Shape: "ssss", Decode: record.Check[device]},
	}
}
