// Package native serves Countersign's own protocol: JSON over HTTP under /api/v1,
// for the command line, the agent, and whoever writes against it. The document
// openapi.yaml, which it serves too, describes it for programs, and a test holds
// that document against the table of rows.
//
// # How a request goes
//
// A row of the table says what a method on a path takes and calls. One adaptor
// serves them all: it finds the row, authenticates, decodes strictly (a member or
// parameter that is unknown, given twice, of another type or not UTF-8 is
// refused), calls one method of the core, and encodes what that returns or
// refuses. It never authorizes: the core does.
//
// No answer leaves before its record. The core records what it is asked; the
// adaptor records what does not get that far: a request that proves no identity,
// as one of nobody, and a malformed one of somebody who did. Two kinds of answer
// have no record, because they tell nothing: that a path or method does not
// exist, and the document itself.
//
// # Trust
//
// A caller proves who it is by a bearer token, or by AWS Signature Version 4 in
// the Authorization header for the service "countersign"; presigned URLs are not
// taken. The token is an access key's or a session's. The rows by which sessions
// begin ask for no caller, and answer one who has none like one who has. Nothing is trusted in a cookie, because none is read. There are no CORS
// headers, and a body must be declared application/json, so a page in a browser
// cannot make requests here that a form could not make. Every answer says no-store.
package native

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/audit"
	"countersign/internal/core/auditdevice"
	"countersign/internal/core/authn"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/inspect"
	"countersign/internal/core/notify"
	"countersign/internal/core/operate"
	"countersign/internal/core/project"
	"countersign/internal/core/rotation"
	"countersign/internal/core/secret"
	"countersign/internal/core/signin"
	"countersign/internal/errs"
	"countersign/internal/front/httpx"
	"countersign/internal/front/sigv4"
)

const (
	// Front is the name of this front in records and metrics.
	Front = "native"
	// Base is the path that every path of the API begins with.
	Base = "/api/v1"
	// Service is the service name in the scope of a signature.
	Service = "countersign"
)

// Config configures New. Every field is required but those with a default.
type Config struct {
	Secrets  *secret.Service
	Authn    *authn.Service
	Changes  *change.Service
	Projects *project.Service
	Inspect  *inspect.Service
	Operate  *operate.Service
	Gate     *gate.Gate
	SignIn   *signin.Service
	Notify   *notify.Service
	Devices  *auditdevice.Service
	Rotation *rotation.Service
	Proxies  httpx.Proxies  // whose word on the client's address is taken; default nobody's
	Observe  httpx.Observer // told of each answer; default nobody
	Region   string         // home: of requests that name none
	Regions  []string       // region labels of this server, Region among them
	Rate     Rate           // of workflow calls, for each principal
	Logger   *slog.Logger   // default slog.Default()
	// Draining ends when the server stops taking requests: then streams end
	// that would go on for ever. Default: they end with their client.
	Draining context.Context
}

// api is the handler.
type api struct {
	Config
	paths    map[string]*resource // without variable parts
	variable []*resource
	verifier *sigv4.Verifier
	keys     *sigv4.KeyCache
	limiter  *limiter
	buffers  sync.Pool // *[]byte, of answers
	calls    sync.Pool // *call
}

// cachedKeys is how many derived signing keys are kept.
const cachedKeys = 4096

// New returns the handler of everything under Base. It expects the path as the
// client sent it, Base included.
func New(c Config) (http.Handler, error) {
	switch {
	case c.Secrets == nil, c.Authn == nil, c.Changes == nil, c.Projects == nil, c.Inspect == nil, c.Operate == nil, c.Notify == nil, c.Devices == nil, c.Rotation == nil, c.Gate == nil, c.SignIn == nil:
		return nil, errs.New(errs.Internal, "the native front lacks a service")
	case !slices.Contains(c.Regions, c.Region):
		return nil, errs.InvalidField("Region", "the home region is not one of the regions")
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	a := &api{Config: c, limiter: newLimiter(c.Rate), paths: map[string]*resource{}}
	a.calls.New = func() any { return &call{} }
	a.buffers.New = func() any { b := make([]byte, 0, 1024); return &b }
	var err error
	if a.verifier, err = sigv4.New(sigv4.Config{Regions: c.Regions}); err != nil {
		return nil, err
	}
	if a.keys, err = sigv4.NewKeyCache(cachedKeys); err != nil {
		return nil, err
	}
	for _, r := range rows() {
		a.add(r)
	}
	return a, nil
}

// Values of headers that every answer has, made once.
var (
	noStore  = []string{"no-store"}
	noSniff  = []string{"nosniff"}
	noFrames = []string{"default-src 'none'; frame-ancestors 'none'"}
	isJSON   = []string{"application/json; charset=utf-8"}
)

// ServeHTTP answers one request.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	meta := a.Proxies.Meta(r)
	h := w.Header()
	h["X-Request-Id"] = []string{meta.RequestID}
	h["Cache-Control"] = noStore
	h["X-Content-Type-Options"] = noSniff
	h["Content-Security-Policy"] = noFrames
	rt, vars, err := a.match(w, r)
	if err == nil {
		err = a.serve(w, r, rt, vars, meta)
	}
	name := ""
	if rt != nil {
		name = rt.name
	}
	outcome := "ok"
	if err != nil {
		outcome = errs.KindOf(err).String()
		a.refuse(w, meta, name, err)
	}
	if a.Observe != nil {
		a.Observe.Answered(Front, name, outcome, time.Since(meta.Time))
	}
}

// serve answers a request to a row, or returns why not; then nothing was written.
func (a *api) serve(w http.ResponseWriter, r *http.Request, rt *route, vars [2]string, meta httpx.Meta) error {
	if rt.document != nil {
		return rt.document(w)
	}
	ctx := r.Context()
	if rt.deadline > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, rt.deadline)
		defer cancel()
	}
	c := a.calls.Get().(*call)
	defer a.release(c)
	c.vars = vars
	c.parseQuery(r.URL.RawQuery, rt.params)
	who, err := a.authenticate(ctx, w, r, rt, c, meta)
	if err != nil {
		return a.record(ctx, meta.Nobody(Front), rt, c.claimed, err)
	}
	c.who = meta.Fill(who, Front, a.region(c))
	if rt.workflow {
		if err := a.limiter.take(w.Header(), c.who); err != nil {
			return a.record(ctx, c.who, rt, "", err)
		}
	}
	act := a.plan(w, r, rt, c)
	if c.err != nil {
		return a.record(ctx, c.who, rt, "", c.err)
	}
	if rt.deadline == 0 { // a stream outlives the time in which a request has to be read
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // a writer that has none is none of a socket
	}
	answer, err := act(ctx)
	if err != nil {
		return err
	}
	return a.answer(ctx, w, r, rt, answer)
}

// release makes a call ready for the next request, without anything of this one.
func (a *api) release(c *call) {
	clear(c.query)
	*c = call{query: c.query[:0]}
	a.calls.Put(c)
}

// plan decodes what is left to decode, and returns what to do.
func (a *api) plan(w http.ResponseWriter, r *http.Request, rt *route, c *call) action {
	if c.err != nil {
		return nil
	}
	if c.err = checkHeaders(r, rt, c); c.err != nil {
		return nil
	}
	if !c.read {
		if c.body, c.err = readBody(w, r, rt); c.err != nil {
			return nil
		}
	}
	return rt.plan(a, c)
}

// region is the region label that a request names, or home.
func (a *api) region(c *call) string {
	s, ok := c.get("region")
	switch {
	case !ok:
		return a.Region
	case slices.Contains(a.Regions, s):
		return s
	}
	c.fail("region", "the region is not one of this server's")
	return a.Region
}

// record writes the record of a request that did not reach the core, and
// returns the refusal, or another if there is no record. key is the id of an
// access key that was claimed and not proved.
func (a *api) record(ctx context.Context, who caller.Caller, rt *route, key string, err error) error {
	rec := audit.FromCaller(who, rt.name)
	if key != "" {
		rec.Principal.KeyID = key
	}
	return a.Gate.Finish(ctx, &rec, err)
}
