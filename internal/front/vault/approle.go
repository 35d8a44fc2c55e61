package vault

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"countersign/internal/core/login"
	"countersign/internal/core/policy"
	"countersign/internal/errs"
	"countersign/internal/sensitive"
)

// appRoleRows are the login method of programs.
func appRoleRows() []row {
	rows := []row{
		{methods: "POST", path: "login", op: policy.Login, open: true, takes: "role_id secret_id", do: loginAppRole},
		{methods: "GET", path: "role/{name}/role-id", op: policy.GetRoleID, do: readRoleID},
		{methods: "POST", path: "role/{name}/role-id", op: policy.PutRoleID, do: writeRoleID},
		{methods: methodList, path: "role/{name}/secret-id", op: policy.ListSecretIDs, do: listSecretIDs},
		{methods: "POST", path: "role/{name}/secret-id", op: policy.CreateSecretID, takes: "metadata cidr_list token_bound_cidrs num_uses ttl", do: createSecretID},
		{methods: "POST", path: "role/{name}/custom-secret-id", op: policy.PutSecretID, takes: "secret_id metadata cidr_list token_bound_cidrs num_uses ttl", do: createSecretID},
		{methods: "POST", path: "role/{name}/secret-id/lookup", op: policy.LookupSecretID, do: lookupSecretID},
		{methods: "POST DELETE", path: "role/{name}/secret-id/destroy", op: policy.DestroySecretID, do: destroySecretID},
		{methods: "POST", path: "role/{name}/secret-id-accessor/lookup", op: policy.LookupSecretID, do: lookupSecretID},
		{methods: "POST DELETE", path: "role/{name}/secret-id-accessor/destroy", op: policy.DestroySecretID, do: destroySecretID},
		{methods: "POST", path: "tidy/secret-id", op: policy.TidySecretIDs, do: tidySecretIDs},
	}
	for path, setting := range map[string]string{
		"policies": "token_policies", "secret-id-num-uses": "secret_id_num_uses", "secret-id-ttl": "secret_id_ttl", "token-ttl": "token_ttl",
		"token-max-ttl": "token_max_ttl", "token-num-uses": "token_num_uses", "bind-secret-id": "bind_secret_id", "bound-cidr-list": "secret_id_bound_cidrs",
		"secret-id-bound-cidrs": "secret_id_bound_cidrs", "token-bound-cidrs": "token_bound_cidrs", "period": "token_period", "local-secret-ids": "local_secret_ids",
	} {
		at := "role/{name}/" + path
		rows = append(rows,
			row{methods: "GET", path: at, op: policy.GetLoginRole, do: readSetting(setting)},
			row{methods: "POST DELETE", path: at, op: policy.PutLoginRole, do: writeSetting(setting)})
	}
	return rows
}

func loginAppRole(ctx context.Context, c *call) (*answer, error) {
	req := login.AppRoleLogin{RoleID: c.text("role_id"), SecretID: sensitive.FromString(c.text("secret_id"))}
	if c.err != nil {
		return nil, nil
	}
	return c.loggedIn(c.f.Logins.LoginAppRole(ctx, c.who, c.mount, req))
}

// readSetting shows one setting of a role.
func readSetting(setting string) func(context.Context, *call) (*answer, error) {
	return func(ctx context.Context, c *call) (*answer, error) {
		got, err := c.f.Logins.GetRole(ctx, c.who, c.mount, c.vars[0])
		if err != nil {
			return nil, absent(err, login.CodeRole)
		}
		return ok(map[string]any{setting: shownSetting(got[setting])}), nil
	}
}

// writeSetting changes one setting of a role, or puts it back to what it is in a
// new one.
func writeSetting(setting string) func(context.Context, *call) (*answer, error) {
	return func(ctx context.Context, c *call) (*answer, error) {
		if c.method == http.MethodDelete {
			return c.done(c.f.Logins.ResetRole(ctx, c.who, c.mount, c.vars[0], setting))
		}
		p := c.patch(login.RoleFields(c.mount.Type))
		for n := range p {
			if n != setting && !stands(c.mount.Type, n, setting) {
				delete(p, n)
			}
		}
		if len(p) == 0 {
			c.fail(setting, "missing %s", setting)
		}
		if c.err != nil {
			return nil, nil
		}
		return c.done(c.f.Logins.PatchRole(ctx, c.who, c.mount, c.vars[0], p))
	}
}

// stands reports whether a name is a deprecated one of a setting.
func stands(mountType, n, setting string) bool {
	for _, f := range login.RoleFields(mountType) {
		if f.Name == setting {
			return f.Old == n
		}
	}
	return false
}

func readRoleID(ctx context.Context, c *call) (*answer, error) {
	id, err := c.f.Logins.GetRoleID(ctx, c.who, c.mount, c.vars[0])
	if err != nil {
		return nil, absent(err, login.CodeRole)
	}
	return ok(map[string]string{"role_id": id}), nil
}

func writeRoleID(ctx context.Context, c *call) (*answer, error) {
	id := c.text("role_id")
	if c.err != nil {
		return nil, nil
	}
	return c.done(c.f.Logins.PutRoleID(ctx, c.who, c.mount, c.vars[0], id))
}

func listSecretIDs(ctx context.Context, c *call) (*answer, error) {
	after, limit := c.page()
	if c.err != nil {
		return nil, nil
	}
	list, err := c.f.Logins.ListSecretIDs(ctx, c.who, c.mount, c.vars[0], after, limit)
	return keys(list, absent(err, login.CodeRole))
}

func createSecretID(ctx context.Context, c *call) (*answer, error) {
	req := login.SecretIDRequest{Role: c.vars[0], Meta: c.metadata(), CIDRs: c.list("cidr_list"), TokenCIDRs: c.list("token_bound_cidrs")}
	if c.row.op == policy.PutSecretID {
		if req.Secret = sensitive.FromString(c.text("secret_id")); req.Secret.Len() == 0 {
			c.fail("secret_id", "missing secret_id")
		}
	}
	if c.has("num_uses") {
		req.Uses = new(c.setting(login.Count, "num_uses").(int))
	}
	if c.has("ttl") {
		req.TTL = new(c.duration("ttl"))
	}
	if c.err != nil {
		return nil, nil
	}
	made, err := c.f.Logins.CreateSecretID(ctx, c.who, c.mount, req)
	if err != nil {
		return nil, err
	}
	return ok(map[string]any{"secret_id": string(made.Secret.Reveal()), "secret_id_accessor": made.Accessor,
		"secret_id_ttl": int64(made.TTL / time.Second), "secret_id_num_uses": made.Uses}), nil
}

// metadata is a parameter that is an object of texts, mostly as a text in JSON.
func (c *call) metadata() map[string]string {
	v, ok := c.value("metadata")
	if !ok {
		return nil
	}
	if s := strings.TrimSpace(string(v)); s[0] != '"' {
		return c.texts("metadata")
	}
	s := strings.TrimSpace(c.text("metadata"))
	if s == "" {
		return nil
	}
	var out map[string]string
	if json.Unmarshal([]byte(s), &out) != nil {
		c.fail("metadata", "failed to parse metadata: it is not a JSON object of texts")
	}
	return out
}

// secretIDJSON is a secret id as it is shown.
type secretIDJSON struct {
	Accessor   string            `json:"secret_id_accessor"`
	Uses       int               `json:"secret_id_num_uses"`
	TTL        int64             `json:"secret_id_ttl"`
	Created    time.Time         `json:"creation_time"`
	Expires    time.Time         `json:"expiration_time"` // the year 1 for never
	Updated    time.Time         `json:"last_updated_time"`
	Meta       map[string]string `json:"metadata"`
	CIDRs      []string          `json:"cidr_list"`
	TokenCIDRs []string          `json:"token_bound_cidrs"`
}

// ref names a secret id by itself or by its accessor, as the path has it.
func (c *call) ref() login.SecretIDRef {
	ref := login.SecretIDRef{Role: c.vars[0]}
	if strings.Contains(c.row.path, "accessor") {
		ref.Accessor = c.text("secret_id_accessor")
		if ref.Accessor == "" {
			c.fail("secret_id_accessor", "missing secret_id_accessor")
		}
		return ref
	}
	if ref.Secret = sensitive.FromString(c.text("secret_id")); ref.Secret.Len() == 0 {
		c.fail("secret_id", "missing secret_id")
	}
	return ref
}

func lookupSecretID(ctx context.Context, c *call) (*answer, error) {
	ref := c.ref()
	if c.err != nil {
		return nil, nil
	}
	x, err := c.f.Logins.LookupSecretID(ctx, c.who, c.mount, ref)
	switch e := errs.As(err); {
	case e != nil && e.Code == login.CodeSecretID && ref.Accessor == "":
		return nil, nil // 204, as in Vault
	case err != nil:
		return nil, err
	}
	meta := x.Meta
	if meta == nil {
		meta = map[string]string{}
	}
	return ok(secretIDJSON{x.Accessor, x.Uses, int64(x.TTL / time.Second), x.Created, x.Expires, x.Updated, meta,
		append([]string{}, x.CIDRs...), append([]string{}, x.TokenCIDRs...)}), nil
}

func destroySecretID(ctx context.Context, c *call) (*answer, error) {
	ref := c.ref()
	if c.err != nil {
		return nil, nil
	}
	return nil, c.f.Logins.DestroySecretID(ctx, c.who, c.mount, ref)
}

func tidySecretIDs(ctx context.Context, c *call) (*answer, error) {
	if err := c.f.Logins.TidySecretIDs(ctx, c.who, c.mount); err != nil {
		return nil, err
	}
	return &answer{code: http.StatusOK, empty: true, warnings: []string{"Tidy operation successfully started. Any information from the operation will be printed to the server's log."}}, nil
}
