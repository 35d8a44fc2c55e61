package vault

import (
	"context"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/login"
	"countersign/internal/core/mount"
	"countersign/internal/core/policy"
	"countersign/internal/errs"
)

// aliasRows are about the names by which login methods know entities; for those of
// groups see groupAliasRows.
func aliasRows() []row {
	return []row{
		{methods: "POST", path: "entity-alias", op: policy.LinkUser, do: putAlias},
		{methods: methodList, path: "entity-alias/id", op: policy.ListUsers, do: listAliases},
		{methods: "GET", path: "entity-alias/id/{id}", op: policy.GetUser, do: readAlias},
		{methods: "POST", path: "entity-alias/id/{id}", op: policy.LinkUser, do: putAlias},
		{methods: "DELETE", path: "entity-alias/id/{id}", op: policy.UnlinkUser, do: deleteAlias},
	}
}

// aliasJSON is an alias as Vault shows it.
type aliasJSON struct {
	Canonical string            `json:"canonical_id"`
	Created   string            `json:"creation_time"`
	Custom    map[string]string `json:"custom_metadata"`
	ID        string            `json:"id"`
	Updated   string            `json:"last_update_time"`
	Local     bool              `json:"local"`
	Merged    []string          `json:"merged_from_canonical_ids"`
	Metadata  map[string]string `json:"metadata"`
	Accessor  string            `json:"mount_accessor"`
	Path      string            `json:"mount_path"`
	Type      string            `json:"mount_type"`
	Name      string            `json:"name"`
	Namespace string            `json:"namespace_id,omitempty"`
}

func (c *call) showAlias(a *login.Alias) aliasJSON {
	out := aliasJSON{Canonical: caller.EntityID(c.who.Account, a.Principal), Created: a.Created.Format(time.RFC3339Nano), Updated: a.Updated.Format(time.RFC3339Nano),
		ID: a.ID, Metadata: a.Meta, Accessor: a.Accessor, Name: a.Name}
	if m := c.loginMount(a.Accessor); m != nil {
		out.Path, out.Type = m.Path+"/", m.Type
	}
	return out
}

func (c *call) showAliases(all []login.Alias) []aliasJSON {
	out := make([]aliasJSON, 0, len(all))
	for i := range all {
		out = append(out, c.showAlias(&all[i]))
	}
	return out
}

// loginMount is the login method with an accessor, nil when it is not mounted.
func (c *call) loginMount(accessor string) *mount.Mount {
	for _, m := range c.table.All(true) {
		if m.Accessor == accessor {
			return m
		}
	}
	return nil
}

// putAlias links a name at a login method to an entity. What is linked stays as it
// is until it is unlinked, so that nobody takes over somebody else's logins by the
// permission to one entity alone.
func putAlias(ctx context.Context, c *call) (*answer, error) {
	id, n, accessor, entity := c.aliasParameters()
	if c.err != nil {
		return nil, nil
	}
	principal := ""
	if id != "" {
		is, err := c.f.Logins.Alias(ctx, c.who.Account, id)
		switch {
		case err != nil:
			return nil, c.f.record(ctx, c.who, c.row.name(), err)
		case is == nil:
			return nil, asInvalid(c.noEntity(ctx), "invalid alias ID provided")
		case n != "" && n != is.Name || accessor != "" && accessor != is.Accessor:
			if _, err := c.f.Logins.GetAlias(ctx, c.who, id); err != nil { // who may not know of it is told no more
				return nil, err
			}
			c.fail("name", "an alias keeps its name and mount, of which its id is made: make another and delete this one")
			return nil, nil
		}
		n, accessor, principal = is.Name, is.Accessor, is.Principal
	}
	if entity != "" {
		var err error
		if principal, err = byEntityID(ctx, c, entity); err != nil {
			return nil, c.f.record(ctx, c.who, c.row.name(), err)
		}
	}
	return c.link(ctx, accessor, n, principal)
}

// aliasParameters reads which alias is to be linked to which entity.
func (c *call) aliasParameters() (id, n, accessor, entity string) {
	id, n, accessor, entity = c.text("id"), c.text("name"), c.text("mount_accessor"), c.text("canonical_id")
	if len(c.vars) > 0 {
		id = c.vars[0]
	}
	if entity == "" {
		entity = c.text("entity_id")
	}
	switch {
	case len(c.texts("custom_metadata")) > 0:
		c.fail("custom_metadata", "aliases have no metadata here beside what a login proves: give them to the entity")
	case id == "" && (n == "" || accessor == ""):
		c.fail("name", "'id' or 'mount_accessor' and 'name' must be provided")
	case id == "" && entity == "":
		c.fail("canonical_id", "an alias is linked to an entity that is there: for who has none, the first login makes one")
	}
	return id, n, accessor, entity
}

func (c *call) link(ctx context.Context, accessor, n, principal string) (*answer, error) {
	if principal == "" {
		return nil, asInvalid(c.noEntity(ctx), "invalid canonical ID")
	}
	res, err := c.f.Logins.LinkAlias(ctx, c.who, accessor, n, principal)
	if e := errs.As(err); e != nil && e.Code == login.CodeMount {
		err = errs.New(errs.Invalid, "invalid mount accessor")
	}
	ans, err := c.done(res.Result, asInvalid(err, ""))
	if err != nil || ans != nil || !res.Made {
		return ans, err
	}
	return ok(map[string]string{"id": res.ID, "canonical_id": caller.EntityID(c.who.Account, principal)}), nil
}

func readAlias(ctx context.Context, c *call) (*answer, error) {
	a, err := c.f.Logins.GetAlias(ctx, c.who, c.vars[0])
	if err != nil {
		return nil, absent(err, login.CodeAlias)
	}
	out := c.showAlias(&a)
	out.Namespace = namespaceID
	return ok(out), nil
}

func deleteAlias(ctx context.Context, c *call) (*answer, error) {
	return c.done(c.f.Logins.UnlinkAlias(ctx, c.who, c.vars[0]))
}

func listAliases(ctx context.Context, c *call) (*answer, error) {
	all, err := c.f.Logins.ListAliases(ctx, c.who, maxNames)
	if err != nil {
		return nil, err
	}
	l := newListing(len(all))
	for i := range all {
		a := c.showAlias(&all[i])
		l.add("", a.ID, true, map[string]any{"name": a.Name, "canonical_id": a.Canonical, "mount_accessor": a.Accessor, "mount_path": a.Path,
			"mount_type": a.Type, "local": false, "custom_metadata": nil})
	}
	return l.answer()
}

// aliasOwner finds who a look-up by alias is about, empty for nobody.
func (c *call) aliasOwner(ctx context.Context, by, value string) (string, error) {
	id := value
	if by == "alias_name" {
		id = login.AliasID(c.who.Account, c.text("alias_mount_accessor"), value)
	}
	is, err := c.f.Logins.Alias(ctx, c.who.Account, id)
	if err != nil || is == nil {
		return "", err
	}
	return is.Principal, nil
}
