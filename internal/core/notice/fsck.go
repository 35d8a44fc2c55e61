package notice

import (
	"countersign/internal/core/record"
	"countersign/internal/kv/fsck"
)

// Rules describe the records of this package for a check of the store.
func Rules() []fsck.Rule {
	return []fsck.Rule{
		{Kind: "notice-outbox", Shape: "sss", Decode: record.Check[Notice]},
	}
}
