// Package vault serves the HTTP API of HashiCorp Vault under /v1, as its clients
// and those of OpenBao speak it: the command line, the client libraries, agents,
// Terraform. It covers the system backend, the key-value engine in both versions,
// transit, tokens and the login methods; docs/dialects/vault.md lists every
// endpoint with what differs.
//
// # How a request goes
//
// A path leads to an engine: sys, auth/token, cubbyhole, identity, or, through the
// mounts of the account, an engine or a login method. Each engine is a table of
// rows. One adaptor serves them all: it finds the row, authenticates, reads the
// body, says in Vault's words what is asked (caller.Call, which policies in HCL
// are about), calls one method of the core, and encodes what that returns or
// refuses. It never authorizes: the core does.
//
// No answer leaves before its record. The core records what it is asked; the
// adaptor records what does not get that far. What has no record tells nothing:
// the health of the server, and that a path is none.
//
// # Trust
//
// A caller proves who it is by a token in X-Vault-Token or Authorization: Bearer:
// one of Vault's kind, an access key's or a session's. Paths are taken in one
// spelling: an empty segment, a dot segment, an encoded slash or a control
// character is refused, so that no policy is about another path than the engine
// sees. A member of a body or a parameter that is unknown is ignored, as Vault
// ignores it; one of the wrong type is refused by name. Nothing is trusted in a
// cookie, because none is read.
package vault

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/audit"
	"countersign/internal/core/auditdevice"
	"countersign/internal/core/authn"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/identitytoken"
	"countersign/internal/core/login"
	"countersign/internal/core/mount"
	"countersign/internal/core/password"
	"countersign/internal/core/secret"
	"countersign/internal/core/signin"
	"countersign/internal/core/token"
	"countersign/internal/core/transit"
	"countersign/internal/errs"
	"countersign/internal/front/httpx"
)

const (
	// Front is the name of this front in records and metrics.
	Front = "vault"
	// Base is what every path of the API begins with.
	Base = "/v1/"
)

// Config configures New. Every field is required but those with a default.
type Config struct {
	Secrets   *secret.Service
	Mounts    *mount.Service
	Passwords *password.Service
	Logins    *login.Service
	Devices   *auditdevice.Service
	IDTokens  *identitytoken.Service
	Transit   *transit.Service
	Authn     *authn.Service
	SignIn    *signin.Service
	Tokens    *token.Service
	Changes   *change.Service
	Gate      *gate.Gate
	Home      string         // account of requests that name no namespace and prove nobody
	Region    string         // home region: that of the secrets which are served
	Proxies   httpx.Proxies  // whose word on the client's address is taken; default nobody's
	Observe   httpx.Observer // told of each answer; default nobody
	Logger    *slog.Logger   // default slog.Default()
	// Version is what the server says it is, as "1.2.3".
	Version string
	// Cluster names the store; it does not change.
	Cluster string
	// Draining ends when the server stops taking requests.
	Draining context.Context
}

// front is the handler.
type front struct {
	Config
	engines map[string]engine // by the type of mount
	buffers sync.Pool         // *[]byte, of answers
	calls   sync.Pool         // *call
}

// New returns the handler of everything under Base. It expects the path as the
// client sent it.
func New(c Config) (http.Handler, error) {
	if c.Authn == nil ||
		c.Changes == nil ||
		c.Devices == nil ||
		c.Gate == nil ||
		c.Home == "" ||
		c.IDTokens == nil ||
		c.Mounts == nil ||
		c.Passwords == nil ||
		c.Logins == nil ||
		c.Region == "" ||
		c.Secrets == nil ||
		c.SignIn == nil ||
		c.Tokens == nil ||
		c.Transit == nil {
		return nil, errs.New(errs.Internal, "the vault front lacks a service")
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Draining == nil {
		c.Draining = context.Background()
	}
	f := &front{Config: c}
	f.engines = f.tables()
	f.calls.New = func() any { return new(call) }
	f.buffers.New = func() any { b := make([]byte, 0, 2048); return &b }
	return f, nil
}

// tables are the rows of every engine.
func (f *front) tables() map[string]engine {
	return map[string]engine{
		engineKV1:       newEngine(kv1Rows()),
		engineKV2:       newEngine(kv2Rows()),
		mount.Cubbyhole: newEngine(cubbyholeRows()),
		mount.Identity:  newEngine(entityRows(), aliasRows(), groupRows(), groupAliasRows(), identityTokenRows()),
		mount.System:    newEngine(sysRows(), mountRows(), policyRows(), passwordRows(), auditRows(), capabilityRows(), wrappingRows(), leaseRows(), notHereRows()),
		mount.Token:     newEngine(tokenRows(), tokenRoleRows()),
		mount.Transit:   newEngine(transitRows()),

		mount.AppRole:    newEngine(roleRows("role"), appRoleRows()),
		mount.Cert:       newEngine(certRows()),
		mount.JWT:        newEngine(jwtRows()),
		mount.Kubernetes: newEngine(kubernetesRows()),
		mount.OIDC:       newEngine(jwtRows()),
		mount.Userpass:   newEngine(userpassRows()),
	}
}

// Values of headers that every answer has, made once.
var (
	noStore = []string{"no-store"}
	isJSON  = []string{"application/json"}
)

// ServeHTTP answers one request.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	meta := f.Proxies.Meta(r)
	w.Header()["Cache-Control"] = noStore
	c := f.calls.Get().(*call)
	defer func() { *c = call{}; f.calls.Put(c) }()
	c.f, c.r, c.meta = f, r, meta
	ans, err := f.serve(w, c)
	name, outcome := "", "ok"
	if c.row != nil {
		name = c.row.name()
	}
	if err != nil {
		outcome = errs.KindOf(err).String()
		f.refuse(w, c, err)
	} else {
		f.send(w, c, ans)
	}
	if f.Observe != nil {
		f.Observe.Answered(Front, name, outcome, time.Since(meta.Time))
	}
}

// serve finds the row and does what it says.
func (f *front) serve(w http.ResponseWriter, c *call) (*answer, error) {
	if err := c.readPath(); err != nil {
		return nil, err
	}
	ctx := c.r.Context()
	if c.method != http.MethodGet { // a read waits for nothing, and a timer costs as much as the rest
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, deadline)
		defer cancel()
	}
	wrapping := c.bringsWrapping()
	if wrapping || mayBeOpen(c.path) {
		if err := f.locateOpen(ctx, c); err != nil {
			return nil, err
		}
		if c.row != nil && (c.row.open || wrapping) {
			return f.do(ctx, w, c)
		}
	}
	who, err := f.authenticate(ctx, c)
	if err != nil {
		return nil, f.record(ctx, c.meta.Nobody(Front), "Request", err)
	}
	c.who = c.meta.Fill(who, Front, f.Region)
	if c.table, err = f.Mounts.Table(ctx, c.who.Account, c.who.Generation); err != nil {
		return nil, err
	}
	if err := c.locate(); err != nil {
		return nil, f.record(ctx, c.who, "Request", err) // a use of the token was counted
	}
	return f.do(ctx, w, c)
}

// locateOpen finds the row of a request that may need no token, in the account
// that it names. None is no error: then the request goes on like any other.
func (f *front) locateOpen(ctx context.Context, c *call) error {
	account, err := c.account, error(nil)
	if account == "" {
		account, err = f.namespace(c.r.Header.Get("X-Vault-Namespace"))
	}
	if err != nil {
		return err
	}
	c.who = c.meta.Fill(caller.Caller{Account: account}, Front, f.Region)
	gen, err := f.Mounts.Generation(ctx, account)
	if err != nil {
		return err
	}
	if c.table, err = f.Mounts.Table(ctx, account, gen); err != nil {
		return err
	}
	if err := c.locate(); err != nil && errs.KindOf(err) == errs.Internal {
		return err
	}
	return nil
}

// do reads the body and runs the row.
func (f *front) do(ctx context.Context, w http.ResponseWriter, c *call) (*answer, error) {
	err := c.readBody(w)
	if err == nil {
		err = c.readWrap()
	}
	if err != nil {
		return nil, f.record(ctx, c.who, c.row.name(), err)
	}
	c.inVault()
	wraps := c.wrapTTL > 0 && !c.row.naked
	if wraps {
		if err := f.Tokens.MayWrap(ctx, c.who, c.wrapTTL, c.path); err != nil {
			return nil, err
		}
	}
	ans, err := c.row.do(ctx, c)
	if c.err != nil { // the row found its parameters wrong and went no further
		return nil, f.record(ctx, c.who, c.row.name(), c.err)
	}
	if err != nil {
		return ans, err
	}
	ans.warn(c)
	if !wraps {
		return ans, nil
	}
	return f.wrapped(ctx, c, ans)
}

// record writes the record of a request that did not reach the core, and returns
// what came of it, or a refusal if there is no record.
func (f *front) record(ctx context.Context, who caller.Caller, operation string, err error) error {
	rec := audit.FromCaller(who, operation)
	return f.Gate.Finish(ctx, &rec, err)
}

// namespace is the account that X-Vault-Namespace names: home when it says
// nothing or "root".
func (f *front) namespace(s string) (string, error) {
	s = strings.Trim(s, "/")
	if s == "" || s == "root" {
		return f.Home, nil
	}
	if !isAccount(s) {
		return "", errs.InvalidField("X-Vault-Namespace", "a namespace here is an account: twelve digits")
	}
	return s, nil
}

func isAccount(s string) bool {
	if len(s) != 12 {
		return false
	}
	return !strings.ContainsFunc(s, func(c rune) bool { return c < '0' || c > '9' })
}
