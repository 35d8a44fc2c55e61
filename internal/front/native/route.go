package native

import (
	"context"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"countersign/internal/core/policy"
	"countersign/internal/errs"
)

// Limits of rows.
const (
	maxBody  = 2 << 20
	deadline = 30 * time.Second
	long     = 10 * time.Minute // of what reads everything
	brief    = -1               // none: of what waits for nothing, for which a timer costs as much as the rest
)

// kind is the type of a query parameter.
type kind string

const (
	text    kind = "string"
	integer kind = "integer"
	boolean kind = "boolean"
	instant kind = "date-time"
)

// param is one query parameter of a row.
type param struct {
	name     string
	kind     kind
	required bool
	repeats  bool
}

// route is one row of the table.
type route struct {
	method, path string
	op           policy.Op
	name         string        // of the operation in records; default op's
	limit        int64         // bytes of the body; 0: none is taken
	mayLack      bool          // the body may be absent
	workflow     bool          // it is a step of a review, and so limited in rate
	deadline     time.Duration // brief: none; 0: a stream
	params       []param
	once         bool   // Idempotency-Key is taken: the same request is made once only
	based        bool   // If-Match is taken: the number of the base version
	tagged       bool   // the answer has an ETag, and If-None-Match is taken
	media        string // of the answer; default application/json
	open         bool   // asks for no caller: the core proves one, or not
	limited      bool   // may be used before an account's second factor was shown

	in, out  reflect.Type // of body and answer; for the test of the document
	plan     func(a *api, c *call) action
	document func(w http.ResponseWriter) error // answers without a caller
}

// action does what a request asks for. What it returns is encoded as JSON, or
// sends itself when it is a stream.
type action func(ctx context.Context) (any, error)

// none is the body of rows that take none, and the answer of those that have
// nothing to tell: {}.
type none struct{}

// row makes a route out of a function that checks a request and returns what to
// do. What the function finds wrong it notes in the call; then nothing is done.
func row[In, Out any](r route, plan func(a *api, c *call, in *In) func(context.Context) (Out, error)) route {
	r.in, r.out = reflect.TypeFor[In](), reflect.TypeFor[Out]()
	if r.in != reflect.TypeFor[none]() && r.limit == 0 {
		r.limit = maxBody
	}
	shape := shapeOf(r.in)
	r.plan = func(a *api, c *call) action {
		var in In
		if r.limit > 0 && (len(c.body) > 0 || !r.mayLack) {
			if c.err = decode(c.body, shape, &in); c.err != nil {
				return nil
			}
		}
		do := plan(a, c, &in)
		if c.err != nil {
			return nil
		}
		return func(ctx context.Context) (any, error) { return do(ctx) }
	}
	return r
}

// rows is the table, with what all rows have in common filled in.
func rows() []route {
	all := slices.Concat(secretRows(), versionRows(), schemaRows(), rotationRows(), userRows(), groupRows(), keyRows(), policyRows(), auditRows(), operateRows(), changeRows(), protectionRows(), glassRows(), proofRows(), projectRows(), notifyRows(), deviceRows(),
		signInRows(), sessionRows(), oidcRows(), sshKeyRows())
	for i := range all {
		r := &all[i]
		if r.name == "" {
			r.name = r.op.String()
		}
		if r.media == "" {
			r.media = "application/json"
		}
		if r.document == nil {
			r.params = append(r.params[:len(r.params):len(r.params)], param{name: "region", kind: text})
		}
	}
	return all
}

// resource is a path with its methods.
type resource struct {
	parts   []string // of a path with variable parts; "" stands for one
	methods []route
	allow   string // for the Allow header
}

// add puts a row where match finds it.
func (a *api) add(r route) {
	var res *resource
	parts := pattern(r.path)
	if parts == nil {
		if res = a.paths[Base+r.path]; res == nil {
			res = &resource{}
			a.paths[Base+r.path] = res
		}
	} else {
		i := slices.IndexFunc(a.variable, func(v *resource) bool { return slices.Equal(v.parts, parts) })
		if i < 0 {
			a.variable = append(a.variable, &resource{parts: parts})
			i = len(a.variable) - 1
		}
		res = a.variable[i]
	}
	res.methods = append(res.methods, r)
	if res.allow != "" {
		res.allow += ", "
	}
	res.allow += r.method
}

// pattern splits a path with variable parts, nil when it has none.
func pattern(path string) []string {
	if !strings.Contains(path, "{") {
		return nil
	}
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for i := range parts {
		if strings.HasPrefix(parts[i], "{") {
			parts[i] = ""
		}
	}
	return parts
}

// match finds the row of a request. Paths are compared as they were sent: there
// is no cleaning, so that what was signed is what is served.
func (a *api) match(w http.ResponseWriter, r *http.Request) (*route, [2]string, error) {
	res, vars := a.find(r.URL)
	if res == nil {
		return nil, vars, errs.Coded(errs.NotFound, "path", "there is nothing at this path")
	}
	for i := range res.methods {
		if res.methods[i].method == r.Method {
			return &res.methods[i], vars, nil
		}
	}
	w.Header()["Allow"] = []string{res.allow}
	return nil, vars, errs.Coded(errs.Invalid, codeMethod, "this path does not take that method")
}

func (a *api) find(u *url.URL) (*resource, [2]string) {
	var vars [2]string
	if u.RawPath == "" {
		if res := a.paths[u.Path]; res != nil {
			return res, vars
		}
	}
	rest, ok := strings.CutPrefix(u.EscapedPath(), Base+"/")
	if !ok {
		return nil, vars
	}
	got := strings.Split(rest, "/")
	for _, res := range a.variable {
		if len(got) != len(res.parts) {
			continue
		}
		if v, ok := fits(res.parts, got); ok {
			return res, v
		}
	}
	return nil, vars
}

// fits holds a path against a pattern and takes out the variable parts. A dot
// segment or an empty one is no name: proxies and signers remove those.
func fits(parts, got []string) (vars [2]string, ok bool) {
	n := 0
	for i, p := range parts {
		if p != "" {
			if p != got[i] {
				return vars, false
			}
			continue
		}
		v, err := url.PathUnescape(got[i])
		if err != nil || v == "" || v == "." || v == ".." || n == len(vars) {
			return vars, false
		}
		vars[n] = v
		n++
	}
	return vars, true
}
