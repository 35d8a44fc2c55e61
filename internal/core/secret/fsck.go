package secret

import (
	"bytes"
	"fmt"
	"strings"

	"countersign/internal/core/change"
	"countersign/internal/core/record"
	"countersign/internal/kv"
	"countersign/internal/kv/fsck"
	"countersign/internal/name"
)

// Rules describe the records of this package for a check of the store.
func Rules() []fsck.Rule {
	return []fsck.Rule{
		{Kind: "secret", Shape: "ssss", Decode: record.Check[head]},
		{Kind: "secret-created", Shape: "sssns"},
		{Kind: "version", Shape: "sssssn", Decode: record.Check[version]},
		{Kind: "value", Shape: "sssssn"},
		{Kind: "schema", Shape: "sssss", Decode: record.Check[storedSchema]},
		{Kind: "version-id", Shape: "ssssss", Decode: record.Check[uint64]},
		{Kind: "used", Shape: "sssssn", Decode: record.Check[int64]},
		{Kind: "due", Shape: "sssnssss"},
		{Kind: "rotation", Shape: "sssssn", Decode: record.Check[RotationOutcome]},
		{Kind: "rotation-due", Shape: "ssnssss"},
		{Kind: "rotation-clock", Shape: "ss", Decode: record.Check[RotationClock]},
	}
}

// Refer checks that each secret's labels lead to versions and say of them what is
// so, that each version has its value unless it was destroyed, and that each value
// opens for its place.
func Refer(v Vault) fsck.Refer {
	return func(r kv.Reader, report func(kv.Key, string)) error {
		for p, err := range r.Scan(kv.Range{}) {
			if err != nil {
				return err
			}
			strs, _, err := kv.Key(p.Key).Parts("ssss")
			if err != nil || strs[1] != "secret" {
				continue
			}
			var h head
			if err := record.Decode(p.Value, &h); err != nil {
				return err
			}
			n := name.Secret{Account: strs[0], Region: strs[2], Name: strs[3]}
			if err := referHead(r, v, n, &h, func(problem string) { report(p.Key, problem) }); err != nil {
				return err
			}
		}
		return nil
	}
}

func referHead(r kv.Reader, v Vault, n name.Secret, h *head, report func(string)) error {
	if h.Primary != "" {
		home := n
		home.Region = h.Primary
		if primary, err := getHead(r, home); err != nil || primary == nil {
			report("the replica's primary is missing")
			return err
		}
		return nil
	}
	seen := map[uint64]labelled{}
	for e, err := range record.Scan[version](r, kv.Prefix(kv.K(n.Account, "version", n.Region, n.Name, h.Suffix))) {
		if err != nil {
			return err
		}
		_, nums, err := e.Key.Parts("sssssn")
		if err != nil {
			return err
		}
		number := nums[0]
		seen[number] = e.Value.at(number)
		if number > h.Last {
			report(fmt.Sprintf("version %d is newer than the secret knows", number))
		}
		sealed, err := r.Get(valueKey(n, h.Suffix, number))
		if e.Value.Empty || e.Value.State == Destroyed {
			if err == nil {
				report(fmt.Sprintf("version %d has a value that it must not have", number))
			}
			continue
		}
		if err != nil {
			report(fmt.Sprintf("the value of version %d is missing", number))
			continue
		}
		if _, err := v.OpenValue(h.DataKey, valueID(n, h.Suffix, number), sealed); err != nil {
			report(fmt.Sprintf("the value of version %d does not open", number))
		}
	}
	for label, at := range h.Labels {
		if is, ok := seen[at.Number]; !ok {
			report(fmt.Sprintf("label %q leads to version %d, which is missing", label, at.Number))
		} else if is.Object = is.Object && at.Object; is != at { // releases before did not note it
			report(fmt.Sprintf("label %q does not say of version %d what is so", label, at.Number))
		}
		id, waits := strings.CutPrefix(label, name.PendingPrefix)
		if !waits {
			continue
		}
		if open, err := change.IsOpen(r, n.Account, id); err != nil {
			return err
		} else if !open {
			report(fmt.Sprintf("label %q is of a change that does not wait", label))
		}
	}
	if err := referRotation(r, n, h, report); err != nil {
		return err
	}
	if err := referSchema(r, n, h, report); err != nil {
		return err
	}
	carried, err := toCarry(r, n, h)
	if err == nil && !bytes.Equal(carried, h.Carried) {
		report("the value that the secret carries is not the current version's")
	}
	return nil
}
