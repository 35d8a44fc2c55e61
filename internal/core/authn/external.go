package authn

import (
	"slices"
	"strings"

	"countersign/internal/caller"
	"countersign/internal/core/generation"
	"countersign/internal/core/mount"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
)

// MaxExternal is in how many groups a principal is because of its logins.
const MaxExternal = 64

// external is the memberships of a principal that logins proved. They stand beside
// the principal and not in it: a login is no change of the user, on which votes
// about the user would rest.
type external struct {
	Of int64    `cbor:"1,keyasint"` // when the principal was made
	In []proved `cbor:"2,keyasint"` // sorted
}

// proved is one of them. It counts while the group has the alias by which it was
// proved, and the login method of that is mounted.
type proved struct {
	Accessor string `cbor:"1,keyasint"`
	Group    string `cbor:"2,keyasint"`
	Linked   int64  `cbor:"3,keyasint"` // when the alias was
}

func (p proved) compare(q proved) int {
	if c := strings.Compare(p.Accessor, q.Accessor); c != 0 {
		return c
	}
	return strings.Compare(p.Group, q.Group)
}

func externalKey(acct, n string) kv.Key { return kv.K(acct, "external-groups", n) }

// now are the memberships that count.
func (x *external) now(r kv.Reader, acct string) (out []proved, err error) {
	if len(x.In) == 0 {
		return nil, nil
	}
	methods, err := loginMethods(r, acct)
	if err != nil {
		return nil, err
	}
	for _, p := range x.In {
		g, err := record.Find[group](r, groupKey(acct, p.Group))
		if err != nil {
			return nil, err
		}
		if g != nil && g.Alias != nil && g.Alias.Accessor == p.Accessor && g.Alias.Created == p.Linked && methods[p.Accessor] != nil {
			out = append(out, p)
		}
	}
	return out, nil
}

// loginMethods are those that are mounted, by their accessors.
func loginMethods(r kv.Reader, acct string) (map[string]*mount.Mount, error) {
	t, err := mount.Load(r, acct)
	if err != nil {
		return nil, err
	}
	out := map[string]*mount.Mount{}
	for _, m := range t.All(true) {
		out[m.Accessor] = m
	}
	return out, nil
}

// groupsOf are the groups that a principal is in, sorted: those that it is a member
// of, and those that its last logins proved.
func groupsOf(r kv.Reader, acct, n string, p *principal) ([]string, error) {
	x, err := record.Find[external](r, externalKey(acct, n))
	if err != nil || x == nil || x.Of != p.Created {
		return p.Groups, err
	}
	in, err := x.now(r, acct)
	if err != nil {
		return nil, err
	}
	out := slices.Clone(p.Groups)
	for _, m := range in {
		out = append(out, m.Group)
	}
	return sorted(out), nil
}

// callerOf is what is known of who proves to be a principal, as r shows it.
func callerOf(r kv.Reader, acct, n string, p *principal) (caller.Caller, error) {
	groups, err := groupsOf(r, acct, n, p)
	return caller.Caller{Account: acct, Kind: p.Kind, Name: n, Groups: groups, Person: p.Person, Tags: p.Tags}, err
}

// externalMembers are the names in an external group, sorted, at most limit unless
// that is negative. There is no index by group: it looks at everybody whom a login
// put into some group.
func externalMembers(r kv.Reader, acct, g string, limit int) (out []string, err error) {
	prefix := kv.K(acct, "external-groups")
	for e, err := range record.Scan[external](r, kv.Prefix(prefix)) {
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(e.Value.In, func(p proved) bool { return p.Group == g }) {
			continue
		}
		strs, _, err := e.Key[len(prefix):].Parts("s")
		if err != nil {
			return nil, err
		}
		p, err := record.Find[principal](r, principalKey(acct, strs[0]))
		if err != nil {
			return nil, err
		}
		if p == nil {
			continue
		}
		in, err := groupsOf(r, acct, strs[0], &principal{Created: p.Created})
		if err != nil {
			return nil, err
		}
		if !slices.Contains(in, g) {
			continue
		}
		if out = append(out, strs[0]); len(out) == limit {
			break
		}
	}
	return out, nil
}

// PutExternal says, within the transaction of a login, which groups the login
// method knows a principal to be in, by the names that the method has for them: it
// is in the external groups with such an alias, and in no other by that method. It
// returns the groups that the principal came into and left.
func PutExternal(tx kv.Txn, id Identity, accessor string, names []string) (joined, left []string, err error) {
	acct, n := id.Caller.Account, id.Caller.Name
	is, err := record.Find[external](tx, externalKey(acct, n))
	if err != nil {
		return nil, nil, err
	}
	if is == nil {
		is = &external{}
	}
	will := &external{Of: id.Created}
	var before []string
	if is.Of == id.Created {
		in, err := is.now(tx, acct)
		if err != nil {
			return nil, nil, err
		}
		for _, p := range in {
			if p.Accessor == accessor {
				before = append(before, p.Group)
			} else {
				will.In = append(will.In, p)
			}
		}
	}
	after, err := provedBy(tx, acct, accessor, names)
	if err != nil {
		return nil, nil, err
	}
	var now []string
	for _, p := range after {
		now = append(now, p.Group)
	}
	joined, left = sorted(without(now, before)), sorted(without(before, now))
	if will.In = append(will.In, after...); len(will.In) > MaxExternal {
		return nil, nil, errs.New(errs.Limit, "the groups of the login, and those of other logins, are more than %d groups here", MaxExternal)
	}
	slices.SortFunc(will.In, proved.compare)
	if slices.Equal(will.In, is.In) && (will.Of == is.Of || len(is.In) == 0) {
		return nil, nil, nil
	}
	if len(will.In) == 0 {
		err = tx.Delete(externalKey(acct, n))
	} else {
		err = record.Put(tx, externalKey(acct, n), will)
	}
	if err != nil {
		return nil, nil, err
	}
	return joined, left, generation.Raise(tx, acct)
}

// provedBy finds the groups that a login method has names for.
func provedBy(r kv.Reader, acct, accessor string, names []string) (out []proved, err error) {
	for _, alias := range sorted(names) {
		if checkGroupAlias(alias) != nil {
			continue // nothing has that name
		}
		n, g, err := byAlias(r, acct, accessor, alias)
		if err != nil {
			return nil, err
		}
		if g != nil {
			out = append(out, proved{Accessor: accessor, Group: n, Linked: g.Alias.Created})
		}
	}
	return out, nil
}
