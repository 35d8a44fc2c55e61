package vault

import (
	"context"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/authn"
	"countersign/internal/core/policy"
	"countersign/internal/errs"
)

// groupAliasRows are about the names by which login methods know external groups.
func groupAliasRows() []row {
	return []row{
		{methods: "POST", path: "group-alias", op: policy.LinkGroup, do: putGroupAlias},
		{methods: methodList, path: "group-alias/id", op: policy.ListGroups, do: listGroupAliases},
		{methods: "GET", path: "group-alias/id/{id}", op: policy.GetGroup, do: readGroupAlias},
		{methods: "POST", path: "group-alias/id/{id}", op: policy.LinkGroup, do: putGroupAlias},
		{methods: "DELETE", path: "group-alias/id/{id}", op: policy.UnlinkGroup, do: deleteGroupAlias},
	}
}

func (c *call) showGroupAlias(a *authn.GroupAlias) aliasJSON {
	at := a.Created.Format(time.RFC3339Nano)
	out := aliasJSON{Canonical: caller.GroupID(c.who.Account, a.Group), Created: at, Updated: at, ID: a.ID, Accessor: a.Accessor, Name: a.Name}
	if m := c.loginMount(a.Accessor); m != nil {
		out.Path, out.Type = m.Path+"/", m.Type
	}
	return out
}

// putGroupAlias links a name at a login method to an external group. What is linked
// stays as it is until it is unlinked, like the aliases of entities.
func putGroupAlias(ctx context.Context, c *call) (*answer, error) {
	id, n, accessor, canonical := c.text("id"), c.text("name"), c.text("mount_accessor"), c.text("canonical_id")
	if len(c.vars) > 0 {
		id = c.vars[0]
	}
	switch {
	case id == "" && n == "":
		c.fail("name", "missing alias name")
	case id == "" && accessor == "":
		c.fail("mount_accessor", "missing mount_accessor")
	case id == "" && canonical == "":
		c.fail("canonical_id", "an alias is linked to an external group that is there: make the group first")
	}
	if c.err != nil {
		return nil, nil
	}
	g := ""
	if id != "" {
		is, err := c.f.Authn.GroupAlias(ctx, c.who.Account, id)
		switch {
		case err != nil:
			return nil, c.f.record(ctx, c.who, c.row.name(), err)
		case is == nil:
			return nil, asInvalid(c.noGroup(ctx), "invalid group alias ID")
		case n != "" && n != is.Name || accessor != "" && accessor != is.Accessor:
			if _, err := c.f.Authn.GetGroupAlias(ctx, c.who, id); err != nil { // who may not know of it is told no more
				return nil, err
			}
			c.fail("name", "an alias keeps its name and mount, of which its id is made: make another and delete this one")
			return nil, nil
		}
		n, accessor, g = is.Name, is.Accessor, is.Group
	}
	if canonical != "" {
		var err error
		if g, err = byGroupID(ctx, c, canonical); err != nil {
			return nil, c.f.record(ctx, c.who, c.row.name(), err)
		}
	}
	return c.linkGroup(ctx, g, accessor, n)
}

func (c *call) linkGroup(ctx context.Context, g, accessor, n string) (*answer, error) {
	if g == "" {
		return nil, asInvalid(c.noGroup(ctx), "invalid group ID given in 'canonical_id'")
	}
	res, made, err := c.f.Authn.LinkGroup(ctx, c.who, g, accessor, n)
	if e := errs.As(err); e != nil && e.Code == authn.CodeLoginMount {
		err = errs.New(errs.Invalid, "invalid mount accessor %q", accessor)
	}
	ans, err := c.done(res, asInvalid(err, ""))
	if err != nil || ans != nil || !made {
		return ans, err
	}
	return ok(map[string]string{"id": authn.GroupAliasID(c.who.Account, accessor, n), "canonical_id": caller.GroupID(c.who.Account, g)}), nil
}

func readGroupAlias(ctx context.Context, c *call) (*answer, error) {
	a, err := c.f.Authn.GetGroupAlias(ctx, c.who, c.vars[0])
	if err != nil {
		return nil, absent(err, authn.CodeGroupAlias)
	}
	out := c.showGroupAlias(&a)
	out.Namespace = namespaceID
	return ok(out), nil
}

func deleteGroupAlias(ctx context.Context, c *call) (*answer, error) {
	return c.done(c.f.Authn.UnlinkGroup(ctx, c.who, c.vars[0]))
}

func listGroupAliases(ctx context.Context, c *call) (*answer, error) {
	all, err := c.f.Authn.ListGroupAliases(ctx, c.who, maxNames)
	if err != nil {
		return nil, err
	}
	l := newListing(len(all))
	for i := range all {
		a := c.showGroupAlias(&all[i])
		l.add("", a.ID, true, map[string]any{"name": a.Name, "canonical_id": a.Canonical, "mount_accessor": a.Accessor, "mount_path": a.Path,
			"mount_type": a.Type, "local": false, "metadata": nil, "custom_metadata": nil})
	}
	return l.answer()
}

// aliasGroup finds which group a look-up by alias is about, empty for none.
func (c *call) aliasGroup(ctx context.Context, by, value string) (string, error) {
	id := value
	if by == "alias_name" {
		id = authn.GroupAliasID(c.who.Account, c.text("alias_mount_accessor"), value)
	}
	is, err := c.f.Authn.GroupAlias(ctx, c.who.Account, id)
	if err != nil || is == nil {
		return "", err
	}
	return is.Group, nil
}
