package authn

import (
	"slices"
	"time"

	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
)

// PoliciesOf lists the policies of a principal and of its groups, sorted. It asks
// nobody.
func PoliciesOf(r kv.Reader, acct, n string) ([]string, error) {
	p, ok, err := record.Get[principal](r, principalKey(acct, n))
	if err != nil || !ok {
		return nil, err
	}
	groups, err := groupsOf(r, acct, n, &p)
	if err != nil {
		return nil, err
	}
	names := slices.Clone(p.Policies)
	for _, gn := range groups {
		g, _, err := record.Get[group](r, groupKey(acct, gn))
		if err != nil {
			return nil, err
		}
		names = append(names, g.Policies...)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// HasPolicy reports whether an account has a policy of that name. It asks nobody.
func HasPolicy(r kv.Reader, acct, n string) (bool, error) {
	_, err := policyText(r, acct, n)
	if errs.Is(err, errs.NotFound) {
		return false, nil
	}
	return err == nil, err
}

// KeyStanding is what hangs on an access key needs to know of it.
type KeyStanding struct {
	Owner    string
	Policies []string // narrow what the owner may do; empty: they do not
	Created  time.Time
	Expires  time.Time // zero: never
}

// FindKey reads an access key; ok is false when there is none. It asks nobody.
func FindKey(r kv.Reader, acct, id string) (k KeyStanding, ok bool, err error) {
	key, ok, err := record.Get[accessKey](r, keyKey(acct, id))
	if err != nil || !ok {
		return KeyStanding{}, false, err
	}
	return KeyStanding{Owner: key.Principal, Policies: key.Policies, Created: when(key.Created), Expires: when(key.Expires)}, true, nil
}

// Accounts lists the numbers of all accounts. It asks nobody.
func Accounts(r kv.Reader) (ids []string, err error) {
	prefix := kv.K("sys", "account")
	for e, err := range r.Scan(kv.Prefix(prefix)) {
		if err != nil {
			return nil, err
		}
		strs, _, err := kv.Key(e.Key[len(prefix):]).Parts("s")
		if err != nil {
			return nil, err
		}
		ids = append(ids, strs[0])
	}
	return ids, nil
}
