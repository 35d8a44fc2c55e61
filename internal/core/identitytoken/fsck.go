package identitytoken

import (
	"slices"

	"countersign/internal/core/record"
	"countersign/internal/kv"
	"countersign/internal/kv/fsck"
)

// Rules describe the records of this package for a check of the store.
func Rules() []fsck.Rule {
	return []fsck.Rule{
		{Kind: "identity-key", Shape: "sss", Decode: record.Check[key]},
		{Kind: "identity-role", Shape: "sss", Decode: record.Check[role]},
		{Kind: "identity-config", Shape: "ss", Decode: record.Check[config]},
		{Kind: "identity-due", Shape: "ssnss"},
	}
}

// Refer checks that each key is in the due index where it says, each entry of
// which is of a key, and that each role has its key.
func Refer(r kv.Reader, report func(key kv.Key, problem string)) error {
	for p, err := range r.Scan(kv.Range{}) {
		if err != nil {
			return err
		}
		k := kv.Key(p.Key)
		if strs, nums, err := k.Parts("ssnss"); err == nil && strs[1] == "identity-due" {
			if err := referDue(r, k, int64(nums[0]), strs[2], strs[3], report); err != nil {
				return err
			}
			continue
		}
		strs, _, err := k.Parts("sss")
		if err != nil {
			continue // of another kind
		}
		switch strs[1] {
		case "identity-key":
			err = referKey(r, k, strs[0], strs[2], p.Value, report)
		case "identity-role":
			err = referRole(r, k, strs[0], p.Value, report)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func referDue(r kv.Reader, at kv.Key, due int64, account, n string, report func(kv.Key, string)) error {
	k, err := record.Find[key](r, keyKey(account, n))
	if err == nil && (k == nil || k.Due != due) {
		report(slices.Clone(at), "the due index names a key that is not due then")
	}
	return err
}

func referKey(r kv.Reader, at kv.Key, account, n string, value []byte, report func(kv.Key, string)) error {
	var k key
	if err := record.Decode(value, &k); err != nil {
		return err
	}
	for range r.Scan(kv.Prefix(dueKey(k.Due, account, n))) {
		return nil
	}
	report(slices.Clone(at), "the key is not in the due index")
	return nil
}

func referRole(r kv.Reader, at kv.Key, account string, value []byte, report func(kv.Key, string)) error {
	var v role
	if err := record.Decode(value, &v); err != nil {
		return err
	}
	k, err := record.Find[key](r, keyKey(account, v.Key))
	if err == nil && k == nil {
		report(slices.Clone(at), "the role signs with a key that is not there")
	}
	return err
}
