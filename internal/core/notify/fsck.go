package notify

import (
	"fmt"

	"countersign/internal/core/record"
	"countersign/internal/kv"
	"countersign/internal/kv/fsck"
)

// Rules describe the records of this package for a check of the store.
func Rules() []fsck.Rule {
	return []fsck.Rule{
		{Kind: "notify-target", Shape: "sss", Decode: record.Check[target]},
		{Kind: "notify-queue", Shape: "sss", Decode: record.Check[queue]},
		{Kind: "notify-delivery", Shape: "sssns", Decode: record.Check[delivery]},
		{Kind: "notify-dead", Shape: "ssns", Decode: record.Check[letter]},
		{Kind: "notify-due", Shape: "ssnss"},
		{Kind: "notify-total", Shape: "ss", Decode: record.Check[total]},
	}
}

// Refer checks that each queue has as many deliveries as it says, and that its
// entry in the index stands where its first delivery is due.
func Refer(r kv.Reader, report func(kv.Key, string)) error {
	for p, err := range r.Scan(kv.Range{}) {
		if err != nil {
			return err
		}
		strs, _, err := kv.Key(p.Key).Parts("sss")
		if err != nil || strs[1] != "notify-queue" {
			continue
		}
		var q queue
		if err := record.Decode(p.Value, &q); err != nil {
			return err
		}
		if err := referQueue(r, place{strs[0], strs[2]}, q, func(problem string) { report(p.Key, problem) }); err != nil {
			return err
		}
	}
	return nil
}

func referQueue(r kv.Reader, p place, q queue, report func(string)) error {
	prefix, shape, later := p.prefix(), "sssns", int64(0)
	if p.name == "" {
		prefix, shape, later = deadPrefix(p.account), "ssns", KeepDead.Microseconds()
	}
	n, due := uint64(0), int64(0)
	for e, err := range r.Scan(kv.Prefix(prefix)) {
		if err != nil {
			return err
		}
		if n++; n == 1 {
			_, nums, err := kv.Key(e.Key).Parts(shape)
			if err != nil {
				return err
			}
			due = int64(nums[0]) + later
		}
	}
	if n != q.Waiting {
		report(fmt.Sprintf("it says that %d wait, and %d do", q.Waiting, n))
	}
	if due != 0 && (q.Due == 0 || q.Due > due) || due == 0 && q.Due != 0 { // one whose target was deleted is due before
		report("it is not due when its first delivery is")
	}
	if q.Due != 0 {
		if _, err := r.Get(p.dueKey(q.Due)); err != nil {
			report("its entry in the index is missing")
		}
	}
	return nil
}
