package notice

import (
	"maps"
	"slices"
)

// cutFacts keeps the first facts in the order of their names, so that a
// transaction that runs twice keeps the same ones.
func cutFacts(in map[string]string) map[string]string {
	if len(in) == 0 {
		return nil
	}
	names := slices.Sorted(maps.Keys(in))
	out := make(map[string]string, MaxFacts)
	for _, n := range names[:min(len(names), MaxFacts)] {
		out[cut(n, MaxKey)] = cut(in[n], MaxFact)
	}
	return out
}
