package vault

import (
	"context"
	"encoding/json"
	"math"
	"time"

	"countersign/internal/core/login"
	"countersign/internal/core/policy"
	"countersign/internal/errs"
)

// roleRows are the roles of a login method, which stand under base: "role", or
// "certs".
func roleRows(base string) []row {
	return []row{
		{methods: methodList, path: base, op: policy.ListLoginRoles, do: listRoles},
		{methods: "GET", path: base + "/{name}", op: policy.GetLoginRole, do: readRole},
		{methods: "POST PATCH", path: base + "/{name}", op: policy.PutLoginRole, do: writeRole},
		{methods: "DELETE", path: base + "/{name}", op: policy.DeleteLoginRole, do: deleteRole},
	}
}

// methodRows are the configuration of a login method.
func methodRows() []row {
	return []row{
		{methods: "GET", path: "config", op: policy.GetLoginConfig, do: readMethod},
		{methods: "POST", path: "config", op: policy.PutLoginConfig, do: writeMethod},
	}
}

func listRoles(ctx context.Context, c *call) (*answer, error) {
	after, limit := c.page()
	if c.err != nil {
		return nil, nil
	}
	return keys(c.f.Logins.ListRoles(ctx, c.who, c.mount, after, limit))
}

// page is from where on and how far a listing goes, as OpenBao asks it.
func (c *call) page() (after string, limit int) {
	return c.text("after"), int(max(0, min(c.integer("limit"), math.MaxInt32)))
}

func readRole(ctx context.Context, c *call) (*answer, error) {
	got, err := c.f.Logins.GetRole(ctx, c.who, c.mount, c.vars[0])
	if err != nil {
		return nil, absent(err, login.CodeRole)
	}
	return ok(shownSettings(got)), nil
}

func writeRole(ctx context.Context, c *call) (*answer, error) {
	c.unkept(refusedTerms, refusedRole[c.mount.Type])
	p := c.patch(login.RoleFields(c.mount.Type))
	if c.err != nil {
		return nil, nil
	}
	return c.done(c.f.Logins.PutRole(ctx, c.who, c.mount, c.vars[0], p))
}

func deleteRole(ctx context.Context, c *call) (*answer, error) {
	return c.done(c.f.Logins.DeleteRole(ctx, c.who, c.mount, c.vars[0]))
}

func readMethod(ctx context.Context, c *call) (*answer, error) {
	got, err := c.f.Logins.GetMethod(ctx, c.who, c.mount)
	if err != nil {
		return nil, absent(err, login.CodeConfig)
	}
	return ok(shownSettings(got)), nil
}

func writeMethod(ctx context.Context, c *call) (*answer, error) {
	c.unkept(refusedMethod[c.mount.Type])
	p := c.patch(login.MethodFields(c.mount.Type))
	if c.err != nil {
		return nil, nil
	}
	return c.done(c.f.Logins.PutMethod(ctx, c.who, c.mount, p))
}

// shownSettings are settings as JSON has them: durations in seconds.
func shownSettings(s login.Settings) map[string]any {
	out := make(map[string]any, len(s))
	for k, v := range s {
		out[k] = shownSetting(v)
	}
	return out
}

func shownSetting(v any) any {
	if d, ok := v.(time.Duration); ok {
		return int64(d / time.Second)
	}
	return v
}

// patch reads the settings that a request gives.
func (c *call) patch(fields []login.Field) login.Patch {
	p := login.Patch{}
	for _, f := range fields {
		for _, n := range []string{f.Name, f.Old} {
			if n != "" && c.has(n) {
				p[n] = c.setting(f.Kind, n)
			}
		}
	}
	return p
}

// setting reads a parameter as one of a kind.
func (c *call) setting(k login.Kind, n string) any {
	switch k {
	case login.Flag:
		return c.boolean(n)
	case login.Count:
		v := c.integer(n)
		if v > math.MaxInt32 || v < math.MinInt32 {
			c.fail(n, "it is too large")
		}
		return int(v)
	case login.Span:
		return c.duration(n)
	case login.List:
		return append([]string{}, c.list(n)...)
	case login.Texts:
		return c.texts(n)
	case login.JSON:
		return c.members(n)
	}
	return c.text(n)
}

// members is a parameter that is an object, also as a text in JSON.
func (c *call) members(n string) map[string]json.RawMessage {
	v, _ := c.value(n)
	if len(v) > 0 && v[0] == '"' {
		v = json.RawMessage(c.text(n))
	}
	out := map[string]json.RawMessage{}
	if json.Unmarshal(v, &out) != nil {
		c.fail(n, "it is not an object")
	}
	return out
}

// loggedIn is the answer to a login. From then on the call is of whom it let in.
func (c *call) loggedIn(t login.Entered, err error) (*answer, error) {
	if err != nil {
		return nil, err
	}
	words := c.who.Call
	c.who = t.Who // what follows is for it
	c.who.Call = words
	return issued(&t.Issued, string(t.Token.Reveal())), nil
}

// forbidden is a refused login of a method that tells nothing else.
func forbidden(a *answer, err error) (*answer, error) {
	if e := errs.As(err); e != nil && e.Code == login.CodeRefused {
		return nil, denied()
	}
	return a, err
}
