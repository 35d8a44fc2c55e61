package authn

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/mount"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/name"
)

// GroupAlias is the name by which a login method knows an external group.
type GroupAlias struct {
	ID       string    `json:"id"` // made of account, mount and name
	Accessor string    `json:"mount"`
	Name     string    `json:"name"`
	Group    string    `json:"group"`
	Created  time.Time `json:"created,omitzero"`
}

// groupAlias is how it is kept, with its group.
type groupAlias struct {
	Accessor string `cbor:"1,keyasint"`
	Name     string `cbor:"2,keyasint"`
	Created  int64  `cbor:"3,keyasint"` // tells it from a later one of the name
}

// Codes of errors.
const (
	CodeGroupAlias = "group-alias" // NotFound: the alias
	CodeLoginMount = "login-mount" // NotFound: the login method
)

// maxGroupAlias bounds the name that a login method has for a group.
const maxGroupAlias = 512

// groupAliasKey leads to the name of the group.
func groupAliasKey(acct, accessor, n string) kv.Key { return kv.K(acct, "group-alias", accessor, n) }
func groupAliasIDKey(acct, id string) kv.Key        { return kv.K(acct, "group-alias-id", id) }

// GroupAliasID is the id of a group's alias, a UUID of version 8.
func GroupAliasID(acct, accessor, n string) string {
	b := sha256.Sum256([]byte("group\x00" + acct + "\x00" + accessor + "\x00" + n))
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80
	h := hex.EncodeToString(b[:16])
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}

func checkGroupAlias(n string) error {
	if n == "" || len(n) > maxGroupAlias || name.Text("name", n, maxGroupAlias) != nil || strings.ContainsAny(n, "\t\r\n") {
		return errs.InvalidField("name", "the name of an alias is 1 to %d bytes of text without control characters", maxGroupAlias)
	}
	return nil
}

func (a *groupAlias) show(acct, g string) GroupAlias {
	return GroupAlias{ID: GroupAliasID(acct, a.Accessor, a.Name), Accessor: a.Accessor, Name: a.Name, Group: g, Created: when(a.Created)}
}

// byAlias finds the group that a login method knows by a name, nil for none.
func byAlias(r kv.Reader, acct, accessor, alias string) (n string, g *group, err error) {
	at, err := record.Find[string](r, groupAliasKey(acct, accessor, alias))
	if err != nil || at == nil {
		return "", nil, err
	}
	g, err = record.Find[group](r, groupKey(acct, *at))
	if err != nil || g == nil || g.Alias == nil || g.Alias.Accessor != accessor || g.Alias.Name != alias {
		return "", nil, err
	}
	return *at, g, nil
}

// aliasNow is a group's alias, nil for none and when its login method is gone.
func (g *group) aliasNow(r kv.Reader, acct, n string) (*GroupAlias, error) {
	if g.Alias == nil {
		return nil, nil
	}
	methods, err := loginMethods(r, acct)
	if err != nil || methods[g.Alias.Accessor] == nil {
		return nil, err
	}
	out := g.Alias.show(acct, n)
	return &out, nil
}

// dropAlias takes a group's alias away, in a transaction; the caller puts the group.
func (g *group) dropAlias(tx kv.Txn, acct string) error {
	if g.Alias == nil {
		return nil
	}
	is := g.Alias
	g.Alias = nil
	for _, k := range []kv.Key{groupAliasKey(acct, is.Accessor, is.Name), groupAliasIDKey(acct, GroupAliasID(acct, is.Accessor, is.Name))} {
		if err := tx.Delete(k); err != nil {
			return err
		}
	}
	return nil
}

// linkGroup makes an external group known to a login method by a name, or ends
// that. It is an edit of the group, so that rules over groups hold it: whoever the
// method says is in a group of that name gets what the group may do.
type linkGroup struct {
	Accessor string `cbor:"1,keyasint"`
	Name     string `cbor:"2,keyasint"`

	end  bool // this is in the operation
	made bool // set by apply: there was no such alias
}

func (d *linkGroup) noun() string { return nounGroup }

func (d *linkGroup) asks(string) []question {
	if d.end {
		return []question{{op: policy.UnlinkGroup}}
	}
	return []question{{op: policy.LinkGroup}}
}

func (d *linkGroup) says(g string) []string {
	if d.end {
		return []string{fmt.Sprintf("unlink the alias %q of %s from group %s; who is in it because of that is not any more", d.Name, d.Accessor, g)}
	}
	return []string{fmt.Sprintf("link the alias %q of %s to group %s: in it is whom a login there shows to be", d.Name, d.Accessor, g)}
}

func (d *linkGroup) rests(t change.Target) []kv.Key {
	return []kv.Key{groupKey(t.Account, t.Name), groupAliasKey(t.Account, d.Accessor, d.Name)}
}

func (d *linkGroup) apply(_ *Service, tx *change.Tx, t change.Target) error {
	d.made = false
	g, err := must[group](tx, groupKey(t.Account, t.Name), "group")
	if err != nil {
		return err
	}
	same := g.Alias != nil && g.Alias.Accessor == d.Accessor && g.Alias.Name == d.Name
	switch {
	case d.end && !same, !d.end && same:
		tx.NothingToDo()
		return nil
	case d.end:
		if err := g.dropAlias(tx, t.Account); err != nil {
			return err
		}
		return record.Put(tx, groupKey(t.Account, t.Name), g)
	}
	if err := d.mayLink(tx, t, &g); err != nil {
		return err
	}
	if err := g.dropAlias(tx, t.Account); err != nil { // of a login method that is gone
		return err
	}
	d.made = true
	g.Alias = &groupAlias{Accessor: d.Accessor, Name: d.Name, Created: micros(tx.Now)}
	if err := record.Put(tx, groupKey(t.Account, t.Name), g); err != nil {
		return err
	}
	if err := record.Put(tx, groupAliasKey(t.Account, d.Accessor, d.Name), t.Name); err != nil {
		return err
	}
	return record.Put(tx, groupAliasIDKey(t.Account, GroupAliasID(t.Account, d.Accessor, d.Name)), t.Name)
}

// mayLink refuses an alias that would mean nothing, or two things.
func (d *linkGroup) mayLink(tx kv.Txn, t change.Target, g *group) error {
	if err := checkGroupAlias(d.Name); err != nil {
		return err
	}
	if !g.External {
		return errs.New(errs.Invalid, "alias can't be set on an internal group")
	}
	methods, err := loginMethods(tx, t.Account)
	m := methods[d.Accessor]
	switch {
	case err != nil:
		return err
	case m == nil:
		return errs.Coded(errs.NotFound, CodeLoginMount, "there is no such login method")
	case m.Type != mount.JWT && m.Type != mount.OIDC:
		return errs.New(errs.Invalid, "a login method %s does not say which groups somebody is in: jwt and oidc do", m.Type)
	}
	is, err := g.aliasNow(tx, t.Account, t.Name)
	if err != nil {
		return err
	}
	if is != nil {
		return errs.Coded(errs.Exists, CodeGroupAlias, "the group has another alias, which has to be deleted first")
	}
	other, _, err := byAlias(tx, t.Account, d.Accessor, d.Name)
	if err != nil {
		return err
	}
	if other != "" {
		return errs.Coded(errs.Exists, CodeGroupAlias, "combination of mount and group alias name is already in use")
	}
	return nil
}

// LinkGroup makes an external group known to a login method by a name; made is
// false when it was.
func (s *Service) LinkGroup(ctx context.Context, who caller.Caller, g, accessor, n string) (res change.Result, made bool, err error) {
	d := &linkGroup{Accessor: accessor, Name: n}
	err = checkGroupAlias(n)
	if err == nil && (accessor == "" || len(accessor) > maxGroupAlias) {
		err = errs.InvalidField("mount_accessor", "that is no accessor of a mount")
	}
	if err != nil {
		rec := gate.NewRecord(who, policy.LinkGroup, "")
		return res, false, s.gate.Finish(ctx, &rec, err)
	}
	res, err = s.perform(ctx, who, g, d)
	return res, d.made && res.Status == change.Applied, err
}

// UnlinkGroup ends that, and with it the memberships that came of it. One that is
// not there is no error.
func (s *Service) UnlinkGroup(ctx context.Context, who caller.Caller, id string) (change.Result, error) {
	is, err := s.GroupAlias(ctx, who.Account, id)
	if err != nil {
		rec := gate.NewRecord(who, policy.UnlinkGroup, "")
		return change.Result{}, s.gate.Finish(ctx, &rec, err)
	}
	if is == nil { // what is not there is nobody's
		return change.Result{}, s.view(ctx, who, policy.UnlinkGroup, "", policy.AnyResource, func(kv.Reader) error { return nil })
	}
	return s.perform(ctx, who, is.Group, &linkGroup{Accessor: is.Accessor, Name: is.Name, end: true})
}

// GroupAlias reads an alias by its id, nil for none. It asks nobody.
func (s *Service) GroupAlias(ctx context.Context, acct, id string) (out *GroupAlias, err error) {
	err = s.gate.DB.View(ctx, func(r kv.Reader) (err error) {
		out, err = groupAliasByID(r, acct, id)
		return err
	})
	return out, gate.Classify(err)
}

func groupAliasByID(r kv.Reader, acct, id string) (*GroupAlias, error) {
	if len(id) != len("01234567-0123-0123-0123-012345678901") {
		return nil, nil
	}
	n, err := record.Find[string](r, groupAliasIDKey(acct, id))
	if err != nil || n == nil {
		return nil, err
	}
	g, err := record.Find[group](r, groupKey(acct, *n))
	if err != nil || g == nil {
		return nil, err
	}
	out, err := g.aliasNow(r, acct, *n)
	if err != nil || out == nil || out.ID != id {
		return nil, err
	}
	return out, nil
}

// GetGroupAlias reads an alias by its id. NotFound with CodeGroupAlias: there is
// none.
func (s *Service) GetGroupAlias(ctx context.Context, who caller.Caller, id string) (out GroupAlias, err error) {
	op := policy.GetGroup
	err = s.gate.View(ctx, who, op, "", func(a *gate.Access) error {
		is, err := groupAliasByID(a, who.Account, id)
		if err != nil {
			return err
		}
		arn := policy.AnyResource
		if is != nil {
			arn = policy.GroupARN(who.Account, is.Group)
		}
		if err := a.Allow(&policy.Request{Op: op, Resource: arn, Account: who.Account}, nil); err != nil {
			return err
		}
		if is == nil {
			return errs.Coded(errs.NotFound, CodeGroupAlias, "there is no such alias")
		}
		out, a.Record.Resource = *is, is.Group
		return nil
	})
	return out, err
}

// ListGroupAliases lists the account's aliases of groups by group, at most max
// (default 1000).
func (s *Service) ListGroupAliases(ctx context.Context, who caller.Caller, max int) (out []GroupAlias, err error) {
	all, err := s.ListGroups(ctx, who, "", max)
	for i := range all {
		if a := all[i].Alias; a != nil {
			out = append(out, *a)
		}
	}
	return out, err
}

// mustBeInternal refuses to name the members of a group whom logins prove.
func (g *group) mustBeInternal(add []string) error {
	if g.External && len(add) > 0 {
		return errs.New(errs.Invalid, "member entities can't be set manually for external groups")
	}
	return nil
}

// members lists who is in a group, at most limit unless that is negative.
func (g *group) members(r kv.Reader, acct, n string, limit int) ([]string, error) {
	if g.External {
		return externalMembers(r, acct, n, limit)
	}
	return members(r, acct, n, limit)
}
