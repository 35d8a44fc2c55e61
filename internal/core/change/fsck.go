package change

import (
	"countersign/internal/core/audit"
	"countersign/internal/core/record"
	"countersign/internal/kv/fsck"
)

// Rules describe the records of this package for a check of the store.
func Rules() []fsck.Rule {
	return []fsck.Rule{
		{Kind: "change", Shape: "ssssss", Decode: record.Check[Record]},
		{Kind: "change-place", Shape: "sss", Decode: record.Check[place]},
		{Kind: "change-open", Shape: "sss"},
		{Kind: "change-open-by", Shape: "ssss"},
		{Kind: "change-open-of", Shape: "ssssss"},
		{Kind: "change-repeat", Shape: "ssss", Decode: record.Check[repeated]},
		{Kind: "proposal", Shape: "sss", Decode: record.Check[proposal]},
		{Kind: "proposal-edit", Shape: "sss"},
		{Kind: "protection", Shape: "ss", Decode: record.Check[ruleList]},
		{Kind: "break-glass", Shape: "sss", Decode: record.Check[Emergency]},
		{Kind: "break-glass-of", Shape: "sss", Decode: record.Check[string]},
		{Kind: "break-glass-open", Shape: "sss"},
		{Kind: "change-due", Shape: "ssnsss"},
		{Kind: "outbox", Shape: "sss", Decode: record.Check[audit.Record]},
	}
}
