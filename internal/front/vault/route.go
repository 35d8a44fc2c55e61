package vault

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"countersign/internal/core/mount"
	"countersign/internal/core/policy"
	"countersign/internal/errs"
)

// Limits of requests.
const (
	maxBody  = 2 << 20
	maxPath  = 2048
	deadline = 90 * time.Second // Vault's default
)

// The two tables of the key-value engine.
const (
	engineKV1 = "kv-1"
	engineKV2 = "kv-2"
)

// methodList is the method of listings, however they are asked for, and methodHelp
// that of questions about paths, which no row takes.
const (
	methodList = "LIST"
	methodHelp = "HELP"
)

// row is one endpoint.
type row struct {
	// methods that it takes; POST stands for PUT too.
	methods string
	// path below the engine: literal segments, {x} for one segment, {x...} last for
	// any number of them, none included.
	path string
	op   policy.Op // what the core is asked first; names it in records and metrics
	as   string    // that name where no operation is asked
	open bool      // asks for no token
	// naked: its answers are never put behind a wrapping token.
	naked bool
	// takes is the parameters of the body that mean something: an answer with a body
	// warns of others. Empty where any do, or where nothing is said of them.
	takes string
	do    func(ctx context.Context, c *call) (*answer, error)

	parts  []string
	verbs  []string
	params []string
}

func (r *row) name() string {
	if r.as != "" {
		return r.as
	}
	return r.op.String()
}

// engine is the rows of one engine, by the first segment of their paths; those
// that begin with a variable stand under the empty text.
type engine map[string][]*row

func newEngine(groups ...[]row) engine {
	e := engine{}
	for _, g := range groups {
		for i := range g {
			r := &g[i]
			r.verbs, r.params = strings.Fields(r.methods), strings.Fields(r.takes)
			if r.path != "" {
				r.parts = strings.Split(r.path, "/")
			}
			head := ""
			if len(r.parts) > 0 && r.parts[0][0] != '{' {
				head = r.parts[0]
			}
			e[head] = append(e[head], r)
		}
	}
	return e
}

// find returns the row of a method on a path, and the path's variable parts in
// buf. A row with the path but another method is told by ok alone.
func (e engine) find(method, path string, buf []string) (r *row, vars []string, ok bool) {
	head, _, _ := strings.Cut(path, "/")
	for _, rows := range [2][]*row{e[head], e[""]} {
		for _, r := range rows {
			v, fits := r.fits(path, buf)
			if !fits {
				continue
			}
			ok = true
			if slices.Contains(r.verbs, method) {
				return r, v, true
			}
		}
	}
	return nil, nil, ok
}

// fits holds a path against a row's and takes out the variable parts.
func (r *row) fits(path string, vars []string) (_ []string, ok bool) {
	rest, more := path, path != ""
	for _, p := range r.parts {
		if strings.HasSuffix(p, "...}") {
			return append(vars, rest), true
		}
		if !more {
			return nil, false
		}
		var seg string
		seg, rest, more = strings.Cut(rest, "/")
		switch {
		case p[0] != '{':
			if p != seg {
				return nil, false
			}
		case seg == "":
			return nil, false
		default:
			vars = append(vars, seg)
		}
	}
	return vars, !more || rest == "" // a trailing slash is of a listing
}

// mayBeOpen reports whether a row that asks for no token can have this path. It is
// known before there is a caller.
func mayBeOpen(path string) bool {
	switch path {
	case "sys/health", "sys/seal-status", "sys/leader", "sys/init", "sys/unseal", "sys/ha-status":
		return true
	}
	if strings.HasPrefix(path, wellKnown) {
		return true
	}
	rest, ok := strings.CutPrefix(path, mount.Auth)
	if !ok || strings.HasPrefix(rest, "token/") {
		return false
	}
	last := rest[strings.LastIndexByte(rest, '/')+1:]
	return last == "login" || strings.Contains(rest, "/login/") || strings.HasSuffix(rest, "/oidc/auth_url") || strings.HasSuffix(rest, "/oidc/callback")
}

// locate finds the engine and the row of a call.
func (c *call) locate() error {
	kind, rest := c.engine()
	e := c.f.engines[kind]
	if e == nil {
		return noHandler(c.path)
	}
	c.kind, c.rest = kind, rest
	if c.method == methodHelp {
		return errs.New(errs.Invalid, "paths have no help here: the documentation says which there are (docs/dialects/vault.md)")
	}
	row, vars, ok := e.find(c.method, rest, c.varbuf[:0])
	switch {
	case row != nil:
		c.row, c.vars = row, vars
		return nil
	case ok:
		return errs.Coded(errs.Invalid, codeMethod, "unsupported operation")
	}
	return errs.Coded(errs.NotFound, codePath, "unsupported path")
}

// engine returns the type of what a path leads to, and the path below it.
func (c *call) engine() (kind, rest string) {
	head, rest, _ := strings.Cut(c.path, "/")
	switch head {
	case "sys":
		return mount.System, rest
	case mount.Identity, mount.Cubbyhole:
		return head, rest
	case "auth":
		if below, ok := strings.CutPrefix(rest, "token/"); ok {
			return mount.Token, below
		}
	}
	if c.mount, rest = c.table.At(c.path); c.mount == nil {
		return "", ""
	}
	if c.mount.Type == mount.KV {
		if c.mount.Version == 2 {
			return engineKV2, rest
		}
		return engineKV1, rest
	}
	return c.mount.Type, rest
}

func noHandler(string) error { return errs.Coded(errs.NotFound, codeRoute, "no handler for route") }

// methods of HTTP that are taken, as rows name them.
func normalMethod(r *http.Request) (string, bool) {
	switch r.Method {
	case http.MethodPost, http.MethodPut:
		return http.MethodPost, true
	case http.MethodGet:
		if r.URL.RawQuery != "" {
			q := r.URL.Query()
			if list, err := strconv.ParseBool(q.Get("list")); err == nil && list { // hvac says "True"
				return methodList, true
			}
			if help, err := strconv.ParseBool(q.Get("help")); err == nil && help {
				return methodHelp, true
			}
		}
		return http.MethodGet, true
	case http.MethodHead, http.MethodDelete, http.MethodPatch, methodList:
		return r.Method, true
	case "SCAN": // OpenBao's recursive listing
		return "SCAN", true
	}
	return "", false
}
