package vault

import (
	"context"
	"encoding/base64"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"countersign/internal/core/mount"
	"countersign/internal/core/policy"
	"countersign/internal/errs"
)

// mountRows are about what is reached where.
func mountRows() []row {
	return []row{
		{methods: "GET", path: "mounts", op: policy.ListMounts, do: listMounts(false)},
		{methods: "GET POST DELETE", path: "mounts/{path...}", op: policy.PutMount, do: oneMount("")},
		{methods: "GET", path: "auth", op: policy.ListMounts, do: listMounts(true)},
		{methods: "GET POST DELETE", path: "auth/{path...}", op: policy.PutMount, do: oneMount(mount.Auth)},
		{methods: "POST", path: "remount", op: policy.PutMount, do: remount},
		{methods: "GET", path: "remount/status/{id}", as: "RemountStatus", do: remountStatus},
		{methods: "GET", path: "internal/ui/mounts", op: policy.ListMounts, do: uiMounts},
		{methods: "GET", path: "internal/ui/mounts/{path...}", as: "MountPreflight", do: uiMount},
	}
}

// mountJSON is a mount as Vault shows it.
type mountJSON struct {
	Accessor    string            `json:"accessor"`
	Config      mountConfigJSON   `json:"config"`
	Deprecation string            `json:"deprecation_status,omitempty"`
	Description string            `json:"description"`
	Entropy     bool              `json:"external_entropy_access"`
	Local       bool              `json:"local"`
	Options     map[string]string `json:"options"`
	Plugin      string            `json:"plugin_version"`
	RunSHA      string            `json:"running_sha256"`
	RunPlugin   string            `json:"running_plugin_version"`
	SealWrap    bool              `json:"seal_wrap"`
	Type        string            `json:"type"`
	UUID        string            `json:"uuid"`
	Path        string            `json:"path,omitempty"`
}

type mountConfigJSON struct {
	DefaultTTL    int64    `json:"default_lease_ttl"`
	ForceNoCache  bool     `json:"force_no_cache"`
	MaxTTL        int64    `json:"max_lease_ttl"`
	Listing       string   `json:"listing_visibility,omitempty"`
	TokenType     string   `json:"token_type,omitempty"`
	PassHeaders   []string `json:"passthrough_request_headers,omitempty"`
	AllowHeaders  []string `json:"allowed_response_headers,omitempty"`
	PlainRequest  []string `json:"audit_non_hmac_request_keys,omitempty"`
	PlainResponse []string `json:"audit_non_hmac_response_keys,omitempty"`
}

func showConfig(m *mount.Mount) mountConfigJSON {
	c := m.Config
	out := mountConfigJSON{DefaultTTL: c.DefaultTTL, ForceNoCache: c.ForceNoCache, MaxTTL: c.MaxTTL, Listing: c.Listing, TokenType: c.TokenType,
		PassHeaders: c.PassHeaders, AllowHeaders: c.AllowHeaders, PlainRequest: c.PlainRequest, PlainResponse: c.PlainResponse}
	if m.Login() && out.TokenType == "" {
		out.TokenType = "default-service"
	}
	return out
}

func showMount(m *mount.Mount) mountJSON {
	return mountJSON{Accessor: m.Accessor, Config: showConfig(m), Deprecation: "supported", Description: m.Description,
		Options: m.Options, Type: m.Type, UUID: m.UUID}
}

// fixed are the mounts that every account has beside those of its table.
func fixed(login bool) map[string]mountJSON {
	if login {
		return map[string]mountJSON{"token/": {Accessor: "auth_token_00000000", Type: "token", Description: "token based credentials",
			Config: mountConfigJSON{TokenType: "default-service"}, UUID: "00000000-0000-4000-8000-000000000001"}}
	}
	return map[string]mountJSON{
		"cubbyhole/": {Accessor: "cubbyhole_00000000", Type: mount.Cubbyhole, Description: "per-token private secret storage", Local: true, UUID: "00000000-0000-4000-8000-000000000002"},
		"identity/":  {Accessor: "identity_00000000", Type: mount.Identity, Description: "identity store", UUID: "00000000-0000-4000-8000-000000000003"},
		"sys/":       {Accessor: "system_00000000", Type: mount.System, Description: "system endpoints used for control, policy and debugging", UUID: "00000000-0000-4000-8000-000000000004"},
	}
}

// shown lists a table's mounts by their paths, as sys/mounts or sys/auth has them.
func shown(t *mount.Table, login bool) map[string]mountJSON {
	out := fixed(login)
	for _, m := range t.All(login) {
		out[strings.TrimPrefix(m.Path, mount.Auth)+"/"] = showMount(m)
	}
	return out
}

func listMounts(login bool) func(context.Context, *call) (*answer, error) {
	return func(ctx context.Context, c *call) (*answer, error) {
		t, err := c.f.Mounts.List(ctx, c.who)
		if err != nil {
			return nil, err
		}
		return &answer{data: shown(t, login), plain: true}, nil
	}
}

// oneMount is what is done with one mount, or with how it is tuned. Clients tune
// login methods below sys/mounts too; but to enable and disable them needs sudo,
// which the paths below sys/auth ask for.
func oneMount(base string) func(context.Context, *call) (*answer, error) {
	return func(ctx context.Context, c *call) (*answer, error) {
		path, tune := strings.CutSuffix(strings.Trim(c.vars[0], "/"), "/tune")
		path = base + path
		switch {
		case c.method == http.MethodGet:
			return readMount(ctx, c, path, tune)
		case base == "" && !tune && (path+"/" == mount.Auth || strings.HasPrefix(path, mount.Auth)):
			return nil, c.f.record(ctx, c.who, c.row.name(), errs.New(errs.Invalid, "login methods are enabled and disabled below sys/auth"))
		case c.method == http.MethodDelete && !tune:
			return c.done(c.f.Mounts.Disable(ctx, c.who, path))
		case c.method == http.MethodDelete:
			return nil, errs.Coded(errs.Invalid, codeMethod, "unsupported operation")
		case tune:
			return tuneMount(ctx, c, path)
		}
		return enableMount(ctx, c, path)
	}
}

func readMount(ctx context.Context, c *call, path string, tune bool) (*answer, error) {
	t, err := c.f.Mounts.List(ctx, c.who)
	if err != nil {
		return nil, err
	}
	m := t.Find(path)
	if m == nil {
		return nil, errs.New(errs.Invalid, "No %s engine at %s/", map[bool]string{true: "auth", false: "secret"}[strings.HasPrefix(path, mount.Auth)], path)
	}
	if !tune {
		return &answer{data: showMount(m), plain: true}, nil
	}
	type tuned struct {
		mountConfigJSON
		Description string            `json:"description"`
		Options     map[string]string `json:"options,omitempty"`
	}
	out := tuned{showConfig(m), m.Description, m.Options}
	if out.DefaultTTL == 0 {
		out.DefaultTTL = int64(defaultTTL / time.Second)
	}
	if out.MaxTTL == 0 {
		out.MaxTTL = int64(defaultTTL / time.Second)
	}
	return &answer{data: out, plain: true}, nil
}

// defaultTTL is how long what has no other time of its own counts: 32 days, as in
// Vault.
const defaultTTL = 768 * time.Hour

func enableMount(ctx context.Context, c *call, path string) (*answer, error) {
	c.unkept(refusedMount)
	req := mount.EnableRequest{Path: path, Type: c.text("type"), Options: c.texts("options"), Description: c.text("description")}
	if cfg, err := c.part("config"); err == nil && cfg != nil {
		req.Config = mountConfig(cfg, mount.Config{})
		c.take(cfg)
		if v := cfg.text("version"); v != "" && req.Options["version"] == "" { // an old spelling
			if req.Options == nil {
				req.Options = map[string]string{}
			}
			req.Options["version"] = v
		}
	}
	if c.err != nil {
		return nil, nil
	}
	return c.done(c.f.Mounts.Enable(ctx, c.who, req))
}

// mountConfig reads how a mount is to be tuned, over how it is.
func mountConfig(c *call, is mount.Config) mount.Config {
	c.unkept(refusedTuning)
	seconds := func(name string, to *int64) { // clients send the empty text for what they do not set
		switch {
		case !c.has(name) || c.text(name) == "":
		case c.text(name) == "system":
			*to = 0
		default:
			*to = int64(c.duration(name) / time.Second)
		}
	}
	seconds("default_lease_ttl", &is.DefaultTTL)
	seconds("max_lease_ttl", &is.MaxTTL)
	if c.has("listing_visibility") {
		if is.Listing = c.text("listing_visibility"); !slices.Contains([]string{"", "hidden", "unauth"}, is.Listing) {
			c.fail("listing_visibility", "it is hidden or unauth")
		}
	}
	if c.has("token_type") {
		is.TokenType = c.text("token_type")
		if !slices.Contains([]string{"", "default-service", "default-batch", "service", "batch"}, is.TokenType) {
			c.fail("token_type", "it is default-service, default-batch, service or batch")
		}
	}
	if c.has("force_no_cache") {
		is.ForceNoCache = c.boolean("force_no_cache")
	}
	for name, to := range map[string]*[]string{"passthrough_request_headers": &is.PassHeaders, "allowed_response_headers": &is.AllowHeaders,
		"audit_non_hmac_request_keys": &is.PlainRequest, "audit_non_hmac_response_keys": &is.PlainResponse} {
		if c.has(name) {
			if *to = c.list(name); len(*to) > 100 {
				c.fail(name, "it has more than 100 items")
			}
		}
	}
	if is.DefaultTTL < 0 || is.MaxTTL < 0 || is.MaxTTL > 0 && is.DefaultTTL > is.MaxTTL {
		c.fail("default_lease_ttl", "it is longer than max_lease_ttl, or negative")
	}
	return is
}

func tuneMount(ctx context.Context, c *call, path string) (*answer, error) {
	m := c.table.Find(path)
	if m == nil {
		return nil, c.f.record(ctx, c.who, c.row.name(), errs.New(errs.Invalid, "no mount at %s/", path))
	}
	req := mount.TuneRequest{Path: path, Options: c.texts("options")}
	if c.has("description") {
		d := c.text("description")
		req.Description = &d
	}
	if cfg := mountConfig(c, m.Config); !sameConfig(cfg, m.Config) {
		req.Config = &cfg
	}
	if c.err != nil {
		return nil, nil
	}
	return c.done(c.f.Mounts.Tune(ctx, c.who, req))
}

func sameConfig(a, b mount.Config) bool {
	return a.DefaultTTL == b.DefaultTTL && a.MaxTTL == b.MaxTTL && a.Listing == b.Listing && a.TokenType == b.TokenType && a.ForceNoCache == b.ForceNoCache &&
		slices.Equal(a.PassHeaders, b.PassHeaders) && slices.Equal(a.AllowHeaders, b.AllowHeaders) &&
		slices.Equal(a.PlainRequest, b.PlainRequest) && slices.Equal(a.PlainResponse, b.PlainResponse)
}

// remount moves a mount, which is done when it answers. The id of the move says
// where to, so that nothing is kept of it.
func remount(ctx context.Context, c *call) (*answer, error) {
	from, to := c.text("from"), c.text("to")
	if from == "" || to == "" {
		c.fail("from", "from and to are both needed")
	}
	if c.err != nil {
		return nil, nil
	}
	ans, err := c.done(c.f.Mounts.Move(ctx, c.who, from, to))
	if e := errs.As(err); e != nil && e.Kind == errs.NotFound && e.Code == mount.CodeMount {
		err = errs.New(errs.Invalid, "no matching mount at %q", strings.Trim(from, "/")+"/")
	}
	if err != nil || ans != nil {
		return ans, err
	}
	id := base64.RawURLEncoding.EncodeToString([]byte(strings.Trim(from, "/") + "\n" + strings.Trim(to, "/")))
	return ok(map[string]string{"migration_id": id}), nil
}

func remountStatus(ctx context.Context, c *call) (*answer, error) {
	moved, err := base64.RawURLEncoding.DecodeString(c.vars[0])
	from, to, split := strings.Cut(string(moved), "\n")
	var refused error
	if err != nil || !split || c.table.Find(to) == nil {
		refused = errs.New(errs.NotFound, "")
	}
	if err := c.f.record(ctx, c.who, c.row.name(), refused); err != nil {
		return nil, err
	}
	return ok(map[string]any{"migration_id": c.vars[0],
		"migration_info": map[string]string{"source_mount": from + "/", "target_mount": to + "/", "status": "success"}}), nil
}

// uiMounts lists those mounts of the caller's account below which the caller may do
// anything, for clients that show them, and those whose configuration has them
// shown to everybody.
func uiMounts(ctx context.Context, c *call) (*answer, error) {
	secrets, logins := fixed(false), fixed(true)
	for _, m := range append(c.table.All(false), c.table.All(true)...) {
		enters, err := c.f.Authn.MayEnter(ctx, c.who, m.Path+"/")
		switch {
		case err != nil:
			return nil, c.f.record(ctx, c.who, c.row.name(), err)
		case !enters && m.Config.Listing != "unauth":
		case m.Login():
			logins[strings.TrimPrefix(m.Path, mount.Auth)+"/"] = showMount(m)
		default:
			secrets[m.Path+"/"] = showMount(m)
		}
	}
	if err := c.f.record(ctx, c.who, c.row.name(), nil); err != nil {
		return nil, err
	}
	return ok(map[string]any{"secret": secrets, "auth": logins}), nil
}

// uiMount tells a client which engine a path leads to before it asks there: the
// path of the mount, and of a key-value engine its version. Who may do nothing
// below a mount is told what it would be if there were none.
func uiMount(ctx context.Context, c *call) (*answer, error) {
	m, _ := c.table.At(strings.Trim(c.vars[0], "/"))
	enters, refused := false, error(nil)
	if m != nil {
		enters, refused = c.f.Authn.MayEnter(ctx, c.who, m.Path+"/")
	}
	out := mountJSON{}
	switch name, _, _ := strings.Cut(c.vars[0], "/"); {
	case refused != nil:
	case enters:
		out = showMount(m)
		out.Path = m.Path + "/"
	case slices.Contains(slices.Collect(maps.Keys(fixed(false))), name+"/"):
		out = fixed(false)[name+"/"]
		out.Path = name + "/"
	default:
		refused = errs.Coded(errs.Denied, codePreflight, "preflight capability check returned 403, please ensure client's policies grant access to path %q", strings.Trim(c.vars[0], "/")+"/")
	}
	if err := c.f.record(ctx, c.who, c.row.name(), refused); err != nil {
		return nil, err
	}
	return ok(out), nil
}
