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
		{Kind: "outbox", Shape: "sss", Decode: record.Check[audit.Record]},
	}
}
