package vault

import (
	"context"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/authn"
	"countersign/internal/core/policy"
	"countersign/internal/errs"
)

// groupRows are about groups.
func groupRows() []row {
	return []row{
		{methods: "POST", path: "group", op: policy.UpdateGroup, do: putAnyGroup},
		{methods: "LIST", path: "group/name", op: policy.ListGroups, do: listGroups(false)},
		{methods: "LIST", path: "group/id", op: policy.ListGroups, do: listGroups(true)},
		{methods: "GET", path: "group/name/{name}", op: policy.GetGroup, do: ofEntity(byName, readGroup)},
		{methods: "POST", path: "group/name/{name}", op: policy.UpdateGroup, do: ofEntity(byName, putGroup)},
		{methods: "DELETE", path: "group/name/{name}", op: policy.DeleteGroup, do: ofEntity(byName, deleteGroup)},
		{methods: "GET", path: "group/id/{id}", op: policy.GetGroup, do: ofEntity(byGroupID, readGroup)},
		{methods: "POST", path: "group/id/{id}", op: policy.UpdateGroup, do: ofEntity(byGroupID, putGroup)},
		{methods: "DELETE", path: "group/id/{id}", op: policy.DeleteGroup, do: ofEntity(byGroupID, deleteGroup)},
		{methods: "POST", path: "lookup/group", op: policy.GetGroup, do: lookupGroup},
	}
}

// Types of groups: one whose members are named, and one whose members a login
// method says.
const (
	internal = "internal"
	external = "external"
)

// groupJSON is a group as Vault shows it.
type groupJSON struct {
	Alias     any               `json:"alias"` // an empty object for none
	Created   string            `json:"creation_time"`
	ID        string            `json:"id"`
	Updated   string            `json:"last_update_time"`
	Entities  []string          `json:"member_entity_ids"`
	Groups    []string          `json:"member_group_ids"`
	Metadata  map[string]string `json:"metadata"`
	Modified  uint64            `json:"modify_index"`
	Name      string            `json:"name"`
	Namespace string            `json:"namespace_id"`
	Parents   []string          `json:"parent_group_ids"`
	Policies  []string          `json:"policies"`
	Type      string            `json:"type"`
}

func byGroupID(ctx context.Context, c *call, s string) (string, error) {
	names, err := c.f.Authn.GroupNames(ctx, c.who.Account, s)
	return names[s], err
}

// noGroup is noEntity of a group.
func (c *call) noGroup(ctx context.Context) error {
	_, err := c.f.Authn.GetGroup(ctx, c.who, "")
	return err
}

func readGroup(ctx context.Context, c *call, n string) (*answer, error) {
	g, err := c.f.Authn.GetGroup(ctx, c.who, n)
	if err != nil {
		return nil, err
	}
	members := make([]string, 0, len(g.Members))
	for _, m := range g.Members {
		members = append(members, caller.EntityID(c.who.Account, m))
	}
	at := g.Created.Format(time.RFC3339Nano)
	out := groupJSON{Alias: struct{}{}, Created: at, Updated: at, ID: caller.GroupID(c.who.Account, n), Entities: members, Modified: 1, Name: n,
		Namespace: namespaceID, Policies: append([]string{}, g.Policies...), Type: internal}
	if g.External {
		out.Type = external
	}
	if g.Alias != nil {
		out.Alias = c.showGroupAlias(g.Alias)
	}
	return ok(out), nil
}

// putAnyGroup makes or changes the group that the body names.
func putAnyGroup(ctx context.Context, c *call) (*answer, error) {
	n := c.text("name")
	if id := c.text("id"); id != "" && c.err == nil {
		var err error
		if n, err = byGroupID(ctx, c, id); err != nil {
			return nil, c.f.record(ctx, c.who, c.row.name(), err)
		}
	} else if n == "" {
		n = "group_" + drawn()
	}
	return putGroup(ctx, c, n)
}

// putGroup makes a group what the body says; what it does not say stays.
func putGroup(ctx context.Context, c *call, n string) (*answer, error) {
	if n == "" {
		return nil, asInvalid(c.noGroup(ctx), "invalid group ID")
	}
	c.keepsName(n)
	req := authn.SetGroupRequest{Name: n, External: c.groupType(), Policies: c.policies()}
	ids := c.list("member_entity_ids")
	if c.err != nil {
		return nil, nil
	}
	if ids != nil {
		names, err := c.f.Authn.EntityNames(ctx, c.who.Account, ids...)
		if err != nil {
			return nil, c.f.record(ctx, c.who, c.row.name(), err)
		}
		req.Members = make([]string, 0, len(ids))
		for _, id := range ids {
			req.Members = append(req.Members, names[id]) // empty is nobody, which is said once the caller is known to be allowed
		}
	}
	res, created, err := c.f.Authn.SetGroup(ctx, c.who, req)
	if err != nil {
		return nil, asInvalid(err, "")
	}
	if ans, err := c.done(res, nil); err != nil || ans != nil || !created {
		return ans, err
	}
	return ok(map[string]string{"id": caller.GroupID(c.who.Account, n), "name": n}), nil
}

// groupType reads the type of a group, nil when none is given, and refuses what
// groups here have not.
func (c *call) groupType() (out *bool) {
	switch t := c.text("type"); t {
	case "":
	case internal, external:
		is := t == external
		out = &is
	default:
		c.fail("type", "invalid group type %q", t)
	}
	if len(c.texts("metadata")) > 0 {
		c.fail("metadata", "groups have no metadata here")
	}
	if len(c.list("member_group_ids")) > 0 {
		c.fail("member_group_ids", "groups have users and machines for members here, and no groups")
	}
	return out
}

func deleteGroup(ctx context.Context, c *call, n string) (*answer, error) {
	if n == "" {
		return nil, unlessGone(c.noGroup(ctx))
	}
	res, err := c.f.Authn.DropGroup(ctx, c.who, n)
	if errs.Is(err, errs.NotFound) { // no error, as in Vault
		return nil, nil
	}
	return c.done(res, err)
}

// listGroups lists groups by their names or ids.
func listGroups(ids bool) func(context.Context, *call) (*answer, error) {
	return func(ctx context.Context, c *call) (*answer, error) {
		all, err := c.f.Authn.ListGroups(ctx, c.who, "", maxNames)
		if err != nil {
			return nil, err
		}
		l := newListing(len(all))
		for i := range all {
			n := all[i].Name
			l.add(n, caller.GroupID(c.who.Account, n), ids, map[string]any{"name": n, "num_parent_groups": 0})
		}
		return l.answer()
	}
}

func lookupGroup(ctx context.Context, c *call) (ans *answer, err error) {
	by, n := c.lookup()
	if c.err != nil {
		return nil, nil
	}
	switch by {
	case "name":
	case "id":
		if n, err = byGroupID(ctx, c, n); err != nil {
			return nil, c.f.record(ctx, c.who, c.row.name(), err)
		}
	default:
		if n, err = c.aliasGroup(ctx, by, n); err != nil {
			return nil, c.f.record(ctx, c.who, c.row.name(), err)
		}
	}
	ans, err = readGroup(ctx, c, n)
	return ans, unlessGone(err)
}
