package native

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"countersign/internal/caller"
	"countersign/internal/errs"
	"countersign/internal/front/httpx"
	"countersign/internal/name"
)

// Codes of refusals of this front.
const (
	codeMethod  = "method"
	codeHeader  = "header"
	codeContent = "content-type"
	codeBody    = "body"
	codeParam   = "parameter"
)

// Bounds of a query.
const (
	maxParams = 128
	maxQuery  = 16 << 10
)

// pair is one parameter as it was given.
type pair struct{ name, value string }

// call is one request while it is decoded and answered, and not to be kept any
// longer. The first thing wrong with it is kept
// in err, and the functions that read it then return zero values: a row looks at
// everything and its action runs only when nothing was wrong.
type call struct {
	who     caller.Caller
	vars    [2]string // variable parts of the path
	query   []pair
	body    []byte
	read    bool    // the body was read, for its signature
	claimed string  // id of an access key that was not proved
	key     string  // Idempotency-Key
	base    *uint64 // of If-Match
	err     error
}

// fail notes what is wrong, unless something was already.
func (c *call) fail(field, format string, args ...any) {
	if c.err == nil {
		c.err = errs.InvalidField(field, format, args...)
	}
}

// parseQuery reads the parameters and refuses those that a row does not take.
func (c *call) parseQuery(raw string, params []param) {
	if len(raw) > maxQuery {
		c.err = errs.Coded(errs.Limit, codeParam, "the query is longer than %d bytes", maxQuery)
		return
	}
	for raw != "" {
		var one string
		one, raw, _ = strings.Cut(raw, "&")
		if one == "" {
			continue
		}
		k, v, _ := strings.Cut(one, "=")
		key, errK := url.QueryUnescape(k)
		val, errV := url.QueryUnescape(v)
		if errK != nil || errV != nil || strings.Contains(one, ";") || !utf8.ValidString(key) || !utf8.ValidString(val) {
			c.err = errs.Coded(errs.Invalid, codeParam, "the query is not well-formed")
			return
		}
		if !c.take(key, val, params) {
			return
		}
	}
	for i := range params {
		if p := &params[i]; p.required {
			if s, _ := c.get(p.name); s == "" {
				c.fail(p.name, "the parameter is required")
			}
		}
	}
}

func (c *call) take(key, val string, params []param) bool {
	var p *param
	for i := range params {
		if params[i].name == key {
			p = &params[i]
		}
	}
	switch _, twice := c.get(key); {
	case p == nil:
		c.err = errs.Coded(errs.Invalid, codeParam, "the query has a parameter that is not known here: %s", quote(key))
	case twice && !p.repeats:
		c.err = &errs.Error{Kind: errs.Invalid, Code: codeParam, Field: p.name, Msg: "the parameter is given twice"}
	case len(c.query) == maxParams:
		c.err = errs.Coded(errs.Limit, codeParam, "the query has more than %d parameters", maxParams)
	default:
		c.query = append(c.query, pair{key, val})
	}
	return c.err == nil
}

// quote shows a stranger's word: short and printable.
func quote(s string) string {
	if len(s) > 64 {
		s = s[:64]
	}
	return strconv.QuoteToASCII(s)
}

// get returns the value of a parameter.
func (c *call) get(name string) (string, bool) {
	for i := range c.query {
		if c.query[i].name == name {
			return c.query[i].value, true
		}
	}
	return "", false
}

func (c *call) string(name string) string {
	s, _ := c.get(name)
	return s
}

// strings returns every value of a parameter that may be repeated.
func (c *call) strings(name string) (out []string) {
	for i := range c.query {
		if c.query[i].name == name {
			out = append(out, c.query[i].value)
		}
	}
	return out
}

func (c *call) bool(name string) bool {
	s, ok := c.get(name)
	switch {
	case !ok, s == "false":
	case s == "true":
		return true
	default:
		c.fail(name, "the parameter is true or false")
	}
	return false
}

// int returns a number from low to high, or 0 when the parameter is absent.
func (c *call) int(name string, low, high int) int {
	s, ok := c.get(name)
	if !ok {
		return 0
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < low || n > high || len(s) > 1 && (s[0] == '0' || s[0] == '+') {
		c.fail(name, "the parameter is a number from %d to %d", low, high)
		return 0
	}
	return n
}

// number returns a version number, or 0 when the parameter is absent.
func (c *call) number(name string) uint64 {
	s, ok := c.get(name)
	if !ok {
		return 0
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n == 0 || s[0] == '0' {
		c.fail(name, "the parameter is a version number, from 1")
		return 0
	}
	return n
}

func (c *call) time(name string) time.Time {
	s, ok := c.get(name)
	if !ok {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || t.Year() < 1970 || t.Year() > 2200 {
		c.fail(name, "the parameter is a time as in 2026-01-02T15:04:05Z")
		return time.Time{}
	}
	return t.UTC()
}

// secret returns the secret that the parameter "name" names.
func (c *call) secret() name.SecretID {
	if c.err != nil {
		return name.SecretID{}
	}
	id, err := name.ParseSecretID(c.string("name"))
	if err != nil {
		c.err = err
	}
	return id
}

// page returns the limit of a listing by name, and the name behind which it goes
// on. Those tokens are names in base64: there is nothing in them to protect.
func (c *call) page() (limit int, after string) {
	limit = c.int("limit", 1, 1000)
	if limit == 0 {
		limit = 100
	}
	after, ok := decodePage(c.string("page"))
	if !ok {
		c.fail("page", "the page token is not valid for this request")
	}
	return limit, after
}

// checkHeaders refuses what would change what a request means.
func checkHeaders(r *http.Request, rt *route, c *call) error {
	for _, h := range [...]string{"X-Http-Method-Override", "X-Http-Method", "X-Method-Override"} {
		if len(r.Header[h]) > 0 {
			return errs.Coded(errs.Invalid, codeHeader, "a method cannot be overridden by a header")
		}
	}
	if len(r.Header["Content-Encoding"]) > 0 {
		return errs.Coded(errs.Invalid, codeHeader, "an encoded body is not taken")
	}
	if err := checkConditions(r, rt, c); err != nil {
		return err
	}
	has := r.ContentLength != 0 || len(c.body) > 0
	if rt.limit > 0 && has && !saysJSON(r.Header["Content-Type"]) {
		return errs.Coded(errs.Invalid, codeContent, "the body must be application/json")
	}
	return nil
}

// saysJSON reports whether a Content-Type is application/json, in UTF-8 when it
// names a character set.
func saysJSON(values []string) bool {
	if len(values) != 1 {
		return false
	}
	media, rest, _ := strings.Cut(values[0], ";")
	if !strings.EqualFold(strings.TrimSpace(media), "application/json") {
		return false
	}
	rest = strings.TrimSpace(rest)
	return rest == "" || strings.EqualFold(rest, "charset=utf-8") || strings.EqualFold(rest, `charset="utf-8"`)
}

// readBody reads the body that a row takes, and makes sure of none where it takes
// none.
func readBody(w http.ResponseWriter, r *http.Request, rt *route) ([]byte, error) {
	if r.ContentLength == 0 || r.Body == nil {
		return nil, nil
	}
	body, err := httpx.ReadBody(w, r, rt.limit)
	if rt.limit == 0 && errs.Is(err, errs.Limit) {
		return nil, errs.Coded(errs.Invalid, codeBody, "no body is taken here")
	}
	return body, err
}
