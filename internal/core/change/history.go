package change

import (
	"countersign/internal/core/record"
	"countersign/internal/kv"
)

// History returns the records of the changes to one target, newest first: at
// most limit of them, those before the change of that id when it is not empty.
// It asks nobody: the caller has authorized the reader to see them.
// The order is that of ids: changes of one millisecond are in any order.
func History(r kv.Reader, t Target, before string, limit int) ([]Record, error) {
	rng := kv.Prefix(kv.K(t.Account, "change", t.Noun, t.Region, t.Name))
	rng.Reverse = true
	if before != "" {
		rng.End = recordKey(t, before)
	}
	var out []Record
	for e, err := range record.Scan[Record](r, rng) {
		if err != nil {
			return nil, err
		}
		if len(out) == limit {
			break
		}
		out = append(out, e.Value)
	}
	return out, nil
}
