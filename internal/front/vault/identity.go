package vault

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"maps"
	"slices"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/authn"
	"countersign/internal/core/login"
	"countersign/internal/core/policy"
	"countersign/internal/errs"
)

// entityRows are about entities, which are the users and machines of the account.
func entityRows() []row {
	return []row{
		{methods: "POST", path: "entity", op: policy.UpdateUser, do: putAnyEntity},
		{methods: "LIST", path: "entity/name", op: policy.ListUsers, do: listEntities(false)},
		{methods: "LIST", path: "entity/id", op: policy.ListUsers, do: listEntities(true)},
		{methods: "GET", path: "entity/name/{name}", op: policy.GetUser, do: ofEntity(byName, readEntity)},
		{methods: "POST", path: "entity/name/{name}", op: policy.UpdateUser, do: ofEntity(byName, putEntity)},
		{methods: "DELETE", path: "entity/name/{name}", op: policy.DeleteUser, do: ofEntity(byName, deleteEntity)},
		{methods: "GET", path: "entity/id/{id}", op: policy.GetUser, do: ofEntity(byEntityID, readEntity)},
		{methods: "POST", path: "entity/id/{id}", op: policy.UpdateUser, do: ofEntity(byEntityID, putEntity)},
		{methods: "DELETE", path: "entity/id/{id}", op: policy.DeleteUser, do: ofEntity(byEntityID, deleteEntity)},
		{methods: "POST", path: "entity/batch-delete", op: policy.DeleteUser, do: deleteEntities},
		{methods: "POST", path: "entity/merge", as: "MergeEntities", do: mergeEntities},
		{methods: "POST", path: "lookup/entity", op: policy.GetUser, do: lookupEntity},
	}
}

// entityJSON is an entity as Vault shows it.
type entityJSON struct {
	Aliases   []aliasJSON       `json:"aliases"`
	Created   string            `json:"creation_time"`
	Direct    []string          `json:"direct_group_ids"`
	Disabled  bool              `json:"disabled"`
	Groups    []string          `json:"group_ids"`
	ID        string            `json:"id"`
	Inherited []string          `json:"inherited_group_ids"`
	Updated   string            `json:"last_update_time"`
	Merged    []string          `json:"merged_entity_ids"`
	Metadata  map[string]string `json:"metadata"`
	Name      string            `json:"name"`
	Namespace string            `json:"namespace_id"`
	Policies  []string          `json:"policies"`
}

// namespaceID is that of every account: a token knows no other than its own.
const namespaceID = "root"

func (c *call) showEntity(p authn.Principal, aliases []login.Alias) entityJSON {
	groups := make([]string, 0, len(p.Groups))
	for _, g := range p.Groups {
		groups = append(groups, caller.GroupID(c.who.Account, g))
	}
	at := p.Created.Format(time.RFC3339Nano)
	return entityJSON{Aliases: c.showAliases(aliases), Created: at, Updated: at, Direct: groups, Groups: groups, Inherited: []string{}, Disabled: p.Disabled,
		ID: caller.EntityID(c.who.Account, p.Name), Metadata: p.Tags, Name: p.Name, Namespace: namespaceID, Policies: append([]string{}, p.Policies...)}
}

// named finds the name that a row is about: empty when nobody has the id.
type named func(ctx context.Context, c *call, s string) (string, error)

func byName(_ context.Context, _ *call, s string) (string, error) { return s, nil }

func byEntityID(ctx context.Context, c *call, s string) (string, error) {
	names, err := c.f.Authn.EntityNames(ctx, c.who.Account, s)
	return names[s], err
}

// ofEntity is what is done with one entity.
func ofEntity(find named, do func(ctx context.Context, c *call, n string) (*answer, error)) func(context.Context, *call) (*answer, error) {
	return func(ctx context.Context, c *call) (*answer, error) {
		n, err := find(ctx, c, c.vars[0])
		if err != nil {
			return nil, c.f.record(ctx, c.who, c.row.name(), err)
		}
		return do(ctx, c, n)
	}
}

// noEntity is the refusal of what is about an id that nobody has: whoever may not
// read users is denied, as if somebody had it.
func (c *call) noEntity(ctx context.Context) error {
	_, err := c.f.Authn.GetUser(ctx, c.who, "")
	return err
}

func readEntity(ctx context.Context, c *call, n string) (*answer, error) {
	p, err := c.f.Authn.GetUser(ctx, c.who, n)
	if err != nil {
		return nil, err
	}
	aliases, err := c.f.Logins.AliasesOf(ctx, c.who.Account, n)
	if err != nil {
		return nil, err
	}
	return ok(c.showEntity(p, aliases)), nil
}

// putAnyEntity makes or changes the entity that the body names, by its id if it
// has one. One that it does not name gets a name.
func putAnyEntity(ctx context.Context, c *call) (*answer, error) {
	n := c.text("name")
	if id := c.text("id"); id != "" && c.err == nil {
		var err error
		if n, err = byEntityID(ctx, c, id); err != nil {
			return nil, c.f.record(ctx, c.who, c.row.name(), err)
		}
	} else if n == "" {
		n = "entity_" + drawn()
	}
	return putEntity(ctx, c, n)
}

// drawn ends a name that nobody chose.
func drawn() string {
	var b [4]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// putEntity makes an entity what the body says; what it does not say stays.
func putEntity(ctx context.Context, c *call, n string) (*answer, error) {
	if n == "" {
		return nil, asInvalid(c.noEntity(ctx), "entity not found from id")
	}
	c.keepsName(n)
	req := authn.SetUserRequest{Name: n, Tags: c.texts("metadata"), Policies: c.policies()}
	if c.has("disabled") {
		b := c.boolean("disabled")
		req.Disabled = &b
	}
	if c.err != nil {
		return nil, nil
	}
	res, created, err := c.f.Authn.SetUser(ctx, c.who, req)
	if err != nil {
		return nil, asInvalid(err, "")
	}
	if ans, err := c.done(res, nil); err != nil || ans != nil || !created {
		return ans, err
	}
	return ok(map[string]any{"id": caller.EntityID(c.who.Account, n), "name": n, "aliases": nil}), nil
}

// keepsName refuses another name in the body: here ids are made of names.
func (c *call) keepsName(n string) {
	if other := c.text("name"); other != "" && other != n {
		c.fail("name", "it keeps its name, of which its id is made: make another and delete this one")
	}
}

// policies are those of the body, nil when it names none. As in Vault no entity
// and no group has the policy root.
func (c *call) policies() []string {
	out := c.list("policies")
	if slices.Contains(out, "root") {
		c.fail("policies", "policies cannot contain root")
	}
	return out
}

// asInvalid is a refusal of a write because of something that is not there: what
// the body names, since the thing itself would have been made.
func asInvalid(err error, msg string) error {
	e := errs.As(err)
	if e == nil || e.Kind != errs.NotFound {
		return err
	}
	if msg == "" {
		msg = e.Msg
	}
	return errs.New(errs.Invalid, "%s", msg)
}

func deleteEntity(ctx context.Context, c *call, n string) (*answer, error) {
	if n == "" {
		return nil, unlessGone(c.noEntity(ctx))
	}
	res, err := c.f.Authn.DeleteUser(ctx, c.who, n)
	if errs.Is(err, errs.NotFound) { // no error, as in Vault
		return nil, nil
	}
	return c.done(res, err)
}

func unlessGone(err error) error {
	if errs.Is(err, errs.NotFound) {
		return nil
	}
	return err
}

// maxBatch is how many entities one request deletes.
const maxBatch = 500

// deleteEntities deletes one entity after the other, each as a change of its own,
// and tells what came of the first that it could not delete.
func deleteEntities(ctx context.Context, c *call) (*answer, error) {
	ids := c.list("entity_ids")
	switch {
	case len(ids) == 0:
		c.fail("entity_ids", "missing entity ids to delete")
	case len(ids) > maxBatch:
		c.fail("entity_ids", "at most %d entities are deleted at once", maxBatch)
	}
	if c.err != nil {
		return nil, nil
	}
	names, err := c.f.Authn.EntityNames(ctx, c.who.Account, ids...)
	if err != nil {
		return nil, c.f.record(ctx, c.who, c.row.name(), err)
	}
	if len(names) == 0 {
		return nil, unlessGone(c.noEntity(ctx))
	}
	var first *answer
	for _, n := range slices.Sorted(maps.Values(names)) {
		ans, bad := deleteEntity(ctx, c, n)
		if err == nil {
			err = bad
		}
		if first == nil {
			first = ans
		}
	}
	return first, err
}

func mergeEntities(ctx context.Context, c *call) (*answer, error) {
	return nil, c.f.record(ctx, c.who, c.row.name(), errs.New(errs.Invalid,
		"entities are not merged: one that is merged would take its history of changes and votes with it. Link its aliases to the other, and delete it"))
}

// listEntities lists entities by their names or ids.
func listEntities(ids bool) func(context.Context, *call) (*answer, error) {
	return func(ctx context.Context, c *call) (*answer, error) {
		all, err := c.f.Authn.ListUsers(ctx, c.who, "", maxNames)
		if err != nil {
			return nil, err
		}
		aliases, err := c.f.Logins.AllAliases(ctx, c.who.Account)
		if err != nil {
			return nil, err
		}
		l := newListing(len(all))
		for i := range all {
			n := all[i].Name
			l.add(n, caller.EntityID(c.who.Account, n), ids, map[string]any{"name": n, "aliases": c.showAliases(aliases[n])})
		}
		return l.answer()
	}
}

// listing is names or ids, and what is said of each by its id.
type listing struct {
	Keys []string                  `json:"keys"`
	Info map[string]map[string]any `json:"key_info"`
}

func newListing(n int) *listing {
	return &listing{Keys: make([]string, 0, n), Info: make(map[string]map[string]any, n)}
}

func (l *listing) add(n, id string, ids bool, info map[string]any) {
	if ids {
		n = id
	}
	l.Keys, l.Info[id] = append(l.Keys, n), info
}

func (l *listing) answer() (*answer, error) {
	if len(l.Keys) == 0 {
		return nil, errs.New(errs.NotFound, "")
	}
	return ok(l), nil
}

// lookup reads what somebody is looked up by: by exactly one thing.
func (c *call) lookup() (by, value string) {
	count := 0
	for _, k := range []string{"name", "id", "alias_id", "alias_name"} {
		if v := c.text(k); v != "" {
			by, value = k, v
			count++
		}
	}
	if count != 1 || (by == "alias_name") != (c.text("alias_mount_accessor") != "") {
		c.fail("name", "a look-up is by name, by id, by alias_id, or by alias_name with alias_mount_accessor")
	}
	return by, value
}

func lookupEntity(ctx context.Context, c *call) (ans *answer, err error) {
	by, n := c.lookup()
	if c.err != nil {
		return nil, nil
	}
	switch by {
	case "name":
	case "id":
		if n, err = byEntityID(ctx, c, n); err != nil {
			return nil, c.f.record(ctx, c.who, c.row.name(), err)
		}
	default:
		if n, err = c.aliasOwner(ctx, by, n); err != nil {
			return nil, c.f.record(ctx, c.who, c.row.name(), err)
		}
	}
	ans, err = readEntity(ctx, c, n)
	return ans, unlessGone(err)
}
