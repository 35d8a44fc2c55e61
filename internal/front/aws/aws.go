// Package aws is what the fronts of AWS's JSON services share: authentication
// by Signature Version 4, the envelope of the awsJson 1.1 protocol, and the
// form of errors.
//
// A service is a table of operations under a prefix of X-Amz-Target. New makes
// one handler for any number of them, since their clients all send POST / to
// the same endpoint:
//
//	POST / HTTP/1.1
//	Content-Type: application/x-amz-json-1.1
//	X-Amz-Target: secretsmanager.GetSecretValue
//	Authorization: AWS4-HMAC-SHA256 Credential=…/secretsmanager/aws4_request, …
//
// The order is: target, signature's form and time and scope, access key, body
// (at most 1 MiB), signature, JSON, constraints of the service's model, and
// only then the service, which authorizes. A refusal before the last step is
// recorded in the audit log by this package (through Call.Refuse when the
// caller is known, and as nobody's when it is not), a refusal in the last by
// the service. No answer leaves before its record.
//
// Content-Type is not looked at: clients need not sign it, so it must not
// decide what a body means. Session tokens are refused, because this server
// has not given out any. Nothing that a client sends is trusted before the
// signature is verified, and what it sends as a secret value is never repeated
// in an error.
//
// A table's function must not keep its Call, or what is in it, after it
// returned. It must either call exactly one method of a service, which records
// the operation, or return Call.Refuse.
package aws

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/authn"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/errs"
	"countersign/internal/front/httpx"
	"countersign/internal/front/sigv4"
)

// MaxBody is the largest request body in bytes.
const MaxBody = 1 << 20

const (
	cachedKeys   = 4096    // signing keys that are kept, at least
	keepBuffer   = 1 << 17 // larger response buffers are not used again
	targetHeader = "X-Amz-Target"
)

// isJSON is the Content-Type of every answer.
var isJSON = []string{"application/x-amz-json-1.1"} // never changed

// Operation is a row of a service's table.
type Operation struct {
	Name string    // in X-Amz-Target, behind the dot
	Op   policy.Op // the operation as policy and the audit log name it
	// Do answers the call: it decodes c.Body, calls the service, and appends
	// the response body to c.Out.
	Do func(ctx context.Context, c *Call) error
}

// Service is a table of operations.
type Service struct {
	Target     string // prefix of X-Amz-Target: "secretsmanager"
	Signing    string // name in the scope of a signature: "secretsmanager"
	Front      string // name in audit records: "aws/secretsmanager"
	Operations []Operation
	// Fault maps every error to the service's wire.
	Fault func(c *Call, e *errs.Error) Fault
}

// Keys finds access keys; authn.Service does.
type Keys interface {
	Lookup(ctx context.Context, id string, now time.Time) (authn.Credential, error)
}

// Config configures New. Keys, Gate, Regions and Services are needed.
type Config struct {
	Keys     Keys
	Gate     *gate.Gate
	Regions  []string       // region labels that a signature may name
	Proxies  httpx.Proxies  // default: none is believed
	Observer httpx.Observer // default: nobody is told
	Logger   *slog.Logger   // default: slog.Default()
	Services []Service
}

// Handler answers requests. It is safe for concurrent use.
type Handler struct {
	keys     Keys
	gate     *gate.Gate
	verifier *sigv4.Verifier
	derived  *sigv4.KeyCache
	proxies  httpx.Proxies
	observer httpx.Observer
	logger   *slog.Logger
	routes   map[string]*route
	calls    sync.Pool // *Call
}

// route is where a target leads.
type route struct {
	*Operation
	service *Service
	signing []string
}

// New returns a handler, or an error of kind Invalid that names the field.
func New(c Config) (*Handler, error) {
	if c.Keys == nil || c.Gate == nil {
		return nil, errs.InvalidField("Keys", "keys and gate are needed")
	}
	verifier, err := sigv4.New(sigv4.Config{Regions: c.Regions})
	if err != nil {
		return nil, err
	}
	derived, err := sigv4.NewKeyCache(cachedKeys)
	if err != nil {
		return nil, err
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	h := &Handler{keys: c.Keys, gate: c.Gate, verifier: verifier, derived: derived, proxies: c.Proxies,
		observer: c.Observer, logger: c.Logger, routes: map[string]*route{}}
	h.calls.New = func() any { return &Call{} }
	for i := range c.Services {
		if err := h.add(&c.Services[i]); err != nil {
			return nil, err
		}
	}
	return h, nil
}

func (h *Handler) add(s *Service) error {
	own := *s
	own.Operations = slices.Clone(s.Operations)
	for i := range own.Operations {
		op := &own.Operations[i]
		target := own.Target + "." + op.Name
		if h.routes[target] != nil || op.Do == nil || !op.Op.Valid() || own.Fault == nil {
			return errs.InvalidField("Services", "operation %q is there twice or not complete", target)
		}
		h.routes[target] = &route{Operation: op, service: &own, signing: []string{own.Signing}}
	}
	return nil
}

// Said is how a request names things, for the messages of errors. It holds
// what the client sent, never what was found.
type Said struct {
	Resource string
	Label    string
	Token    string
}

// Call is one request to an operation.
type Call struct {
	Who  caller.Caller
	Op   *Operation
	Body []byte
	Out  Writer // the response body
	Said Said

	gate   *gate.Gate
	reader Reader
}

// Decode reads the body into a structure and lets check collect what
// constraints it breaks. The error is one to give to Refuse.
func (c *Call) Decode(into Members, check func(*Checks)) error {
	if err := c.reader.Decode(c.Body, into); err != nil {
		return err
	}
	var checks Checks
	check(&checks)
	return checks.Err()
}

// Refuse records that the request was refused before any service was asked,
// and returns the error to answer with.
func (c *Call) Refuse(ctx context.Context, err error) error {
	rec := gate.NewRecord(c.Who, c.Op.Op, "")
	return c.gate.Finish(ctx, &rec, err)
}

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	meta := h.proxies.Meta(r)
	to := h.route(r)
	c := h.calls.Get().(*Call)
	c.gate = h.gate
	var err error
	if to == nil {
		err = h.unknown(r.Context(), meta)
	} else {
		c.Op = to.Operation
		if err = h.admit(w, r, to, meta, c); err == nil {
			err = to.Do(r.Context(), c)
		}
	}
	h.answer(w, to, meta, c, err)
	h.release(c)
}

// release makes a call ready for the next request, without anything of this
// one.
func (h *Handler) release(c *Call) {
	out := c.Out.B
	clear(out)
	if cap(out) > keepBuffer {
		out = nil
	}
	*c = Call{Out: Writer{B: out[:0]}}
	h.calls.Put(c)
}

// route finds the operation that a request is for, or nil.
func (h *Handler) route(r *http.Request) *route {
	if r.Method != http.MethodPost || r.URL.Path != "/" {
		return nil
	}
	targets := r.Header[targetHeader]
	if len(targets) != 1 {
		return nil
	}
	return h.routes[targets[0]]
}

// front is the name in audit records of a request that is for no service.
const front = "aws"

func (h *Handler) unknown(ctx context.Context, meta httpx.Meta) error {
	rec := gate.NewRecord(meta.Nobody(front), 0, "")
	return h.gate.Finish(ctx, &rec, errs.Coded(errs.Invalid, CodeUnknownOperation, "The operation is not one of this service."))
}

// answer writes the response.
func (h *Handler) answer(w http.ResponseWriter, to *route, meta httpx.Meta, c *Call, err error) {
	status, outcome, name, service := http.StatusOK, "ok", "", front
	if to != nil {
		name, service = to.Op.String(), to.service.Front
	}
	if err != nil {
		e := errs.As(err)
		outcome = e.Kind.String()
		var f Fault
		if to != nil {
			f = to.service.Fault(c, e)
		} else {
			f = fallback(e)
		}
		status = f.Status
		c.Out.B = f.append(c.Out.B[:0])
		if e.Kind == errs.Internal || e.Kind == errs.Unavailable {
			h.logger.Error("a request failed", "front", service, "operation", name, "request", meta.RequestID, "error", err)
		}
	}
	head := w.Header()
	head["Content-Type"] = isJSON
	httpx.SetLength(head, len(c.Out.B))
	head["x-amzn-RequestId"] = []string{meta.RequestID} // spelled as AWS does
	w.WriteHeader(status)
	_, _ = w.Write(c.Out.B) // a client that went away is told nothing
	if h.observer != nil {
		h.observer.Answered(service, name, outcome, time.Since(meta.Time))
	}
}

// append writes the body of an error.
func (f Fault) append(b []byte) []byte {
	w := Writer{B: b}
	w.Open('{')
	w.TextAlways("__type", f.Type)
	member := "message"
	if f.Modelled {
		member = "Message"
	}
	w.Text(member, strings.ToValidUTF8(f.Message, "\ufffd"))
	w.Close('}')
	return w.B
}
