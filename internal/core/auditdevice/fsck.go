package auditdevice

import (
	"slices"

	"countersign/internal/core/record"
	"countersign/internal/kv"
	"countersign/internal/kv/fsck"
)

// Rules describe the records of this package for a check of the store.
func Rules() []fsck.Rule {
	return []fsck.Rule{
		{Kind: "audit-device", Shape: "sss", Decode: record.Check[stored]},
		{Kind: "audit-device-at", Shape: "sss", Decode: record.Check[cursor]},
		{Kind: "audit-device-of", Shape: "ssss", Decode: record.Check[entry]},
	}
}

// Refer checks that each device is in the list of all, and that each entry of
// that, and each note of how far one came, is of a device.
func Refer(r kv.Reader, report func(key kv.Key, problem string)) error {
	for p, err := range r.Scan(kv.Range{}) {
		if err != nil {
			return err
		}
		strs, _, err := kv.Key(p.Key).Parts("sss")
		if err == nil && (strs[1] == "audit-device" || strs[1] == "audit-device-at") {
			at := place{strs[0], strs[2]}
			if strs[1] == "audit-device" && !has(r, at.entryKey()) {
				report(slices.Clone(kv.Key(p.Key)), "the audit device is not in the list of all")
			}
			if !has(r, at.key()) {
				report(slices.Clone(kv.Key(p.Key)), "there is no audit device of which this is how far it came")
			}
			continue
		}
		strs, _, err = kv.Key(p.Key).Parts("ssss")
		if err == nil && strs[1] == "audit-device-of" && !has(r, place{strs[2], strs[3]}.key()) {
			report(slices.Clone(kv.Key(p.Key)), "the list of all audit devices names one that is not there")
		}
	}
	return nil
}

func has(r kv.Reader, k kv.Key) bool {
	_, err := r.Get(k)
	return err == nil
}
