package secret

import (
	"slices"

	"countersign/internal/kv"
)

// AnyUnder reports whether an account has a secret whose name begins with prefix,
// in any region, marked for deletion or not. hide tells of a name whether it is
// to be passed over, and up to where. It asks nobody.
func AnyUnder(r kv.Reader, account, prefix string, hide func(name string) (end string, hidden bool)) (bool, error) {
	all := kv.K(account, "secret")
	from := slices.Clone([]byte(all))
	for {
		region, ok, err := firstPart(r, all, from)
		if err != nil || !ok {
			return false, err
		}
		below := headPrefix(account, region)
		if some, err := anyNamed(r, below, prefix, hide); err != nil || some {
			return some, err
		}
		from = kv.After(below)
	}
}

// firstPart is the part after a prefix of the first key from a place on.
func firstPart(r kv.Reader, prefix kv.Key, from []byte) (string, bool, error) {
	for p, err := range r.Scan(kv.Range{Start: from, End: kv.After(prefix)}) {
		if err != nil {
			return "", false, err
		}
		strs, _, err := kv.Key(p.Key).Parts("ssss")
		if err != nil {
			return "", false, err
		}
		return strs[2], true, nil
	}
	return "", false, nil
}

func anyNamed(r kv.Reader, below kv.Key, prefix string, hide func(string) (string, bool)) (bool, error) {
	start := append(slices.Clone(below), prefix...)
	end := kv.After(start)
	for {
		n := ""
		for p, err := range r.Scan(kv.Range{Start: start, End: end}) {
			if err != nil {
				return false, err
			}
			strs, _, err := kv.Key(p.Key).Parts("ssss")
			if err != nil {
				return false, err
			}
			n = strs[3]
			break
		}
		if n == "" {
			return false, nil
		}
		after, hidden := hide(n)
		if !hidden {
			return true, nil
		}
		start = append(slices.Clone(below), after...)
	}
}
