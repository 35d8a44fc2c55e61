package protect

import (
	"slices"
)

// Affected returns the rules of the list before a change of it that the change
// may weaken, in their order: those that are gone or say something else
// afterwards, and those that a rule which is new, changed or moved could
// overrule or be overruled by. A change of the list needs the approvals of all
// of them.
func Affected(before, after []Rule) (out []Rule, err error) {
	same, err := unmoved(before, after)
	if err != nil {
		return nil, err
	}
	var moved []Rule // of either list: what is not where and as it was
	for i := range before {
		if !same[before[i].Name] {
			moved = append(moved, before[i])
		}
	}
	for i := range after {
		if !same[after[i].Name] {
			moved = append(moved, after[i])
		}
	}
	for i := range before {
		r := &before[i]
		if r.Open() {
			continue // it protects nothing; what it opens is protected by others
		}
		touched := !same[r.Name] || slices.ContainsFunc(moved, func(m Rule) bool { return m.Overlaps(r) })
		if touched {
			out = append(out, *r)
		}
	}
	return out, nil
}

// unmoved tells of each name whether its rule says the same in both lists and
// stands in the same order among those that do.
func unmoved(before, after []Rule) (map[string]bool, error) {
	was := map[string]string{}
	for i := range before {
		d, err := before[i].Text()
		if err != nil {
			return nil, err
		}
		was[before[i].Name] = d
	}
	var common []string // of after, in its order
	for i := range after {
		d, err := after[i].Text()
		if err != nil {
			return nil, err
		}
		if old, ok := was[after[i].Name]; ok && old == d {
			common = append(common, after[i].Name)
		}
	}
	var order []string // the same names as before has them
	for i := range before {
		if slices.Contains(common, before[i].Name) {
			order = append(order, before[i].Name)
		}
	}
	same := map[string]bool{}
	for i, n := range common {
		same[n] = order[i] == n
	}
	return same, nil
}
