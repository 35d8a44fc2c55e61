package vault

import (
	"bytes"
	"encoding/json"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"countersign/internal/caller"
	"countersign/internal/core/mount"
	"countersign/internal/errs"
	"countersign/internal/front/httpx"
)

// call is one request under way.
type call struct {
	f       *front
	r       *http.Request
	meta    httpx.Meta
	who     caller.Caller
	method  string // GET, POST (PUT too), PATCH, DELETE, LIST, HEAD
	path    string // without the version: "secret/data/app"
	account string // that the path of a public document names; empty for none
	kind    string // of engine
	table   *mount.Table
	mount   *mount.Mount // nil for sys, identity, cubbyhole and auth/token
	rest    string       // path below the mount
	row     *row
	vars    []string // variable parts of the row's path
	varbuf  [3]string
	raw     []byte // body as sent
	body    map[string]json.RawMessage
	query   url.Values
	wrapTTL time.Duration
	err     error // first parameter that is wrong
}

// readPath takes the path and the method as they were sent.
func (c *call) readPath() error {
	method, ok := normalMethod(c.r)
	if !ok {
		return errs.Coded(errs.Invalid, codeMethod, "unsupported operation")
	}
	c.method = method
	sent := c.r.URL.EscapedPath()
	if len(sent) > maxPath {
		return errs.New(errs.Invalid, "the path has more than %d characters", maxPath)
	}
	rest, ok := strings.CutPrefix(sent, Base)
	if !ok {
		return noHandler(sent)
	}
	path, err := plainPath(rest)
	c.path = path
	c.takeAccount()
	return err
}

// plainPath decodes a path and refuses what could be another in another spelling.
func plainPath(sent string) (string, error) {
	path := sent
	if strings.IndexByte(sent, '%') >= 0 {
		if lower := strings.ToLower(sent); strings.Contains(lower, "%2f") || strings.Contains(lower, "%5c") {
			return "", errs.New(errs.Invalid, "the path holds an encoded slash")
		}
		var err error
		if path, err = url.PathUnescape(sent); err != nil {
			return "", errs.New(errs.Invalid, "the path is not well encoded")
		}
	}
	if !utf8.ValidString(path) || strings.ContainsFunc(path, func(r rune) bool { return r < 0x20 || r >= 0x7f && r < 0xa0 }) {
		return "", errs.New(errs.Invalid, "the path holds a control character")
	}
	for rest, more := path, true; more; {
		var seg string
		seg, rest, more = strings.Cut(rest, "/")
		switch {
		case seg == "" && more:
			return "", errs.New(errs.Invalid, "the path has an empty segment")
		case seg == "." || seg == "..":
			return "", errs.New(errs.Invalid, "the path has a dot segment")
		}
	}
	return path, nil
}

// readBody reads the body of a write, which is empty or a JSON object. What is no
// write has its parameters in the query, and a write none of them, as in Vault.
func (c *call) readBody(w http.ResponseWriter) error {
	if c.method != http.MethodPost && c.method != http.MethodPatch {
		if c.r.URL.RawQuery != "" {
			c.query = c.r.URL.Query()
		}
		return nil
	}
	if strings.HasSuffix(c.path, "/") {
		return errs.New(errs.Invalid, "cannot write to a path ending in '/'")
	}
	var err error
	if c.raw, err = httpx.ReadBody(w, c.r, maxBody); err != nil {
		return err
	}
	if len(bytes.TrimSpace(c.raw)) == 0 {
		return nil
	}
	if !utf8.Valid(c.raw) {
		return errs.New(errs.Invalid, "the body is not UTF-8 text")
	}
	if err := checkDepth(c.raw); err != nil {
		return err
	}
	if err := json.Unmarshal(c.raw, &c.body); err != nil {
		return errs.New(errs.Invalid, "the body is not a JSON object")
	}
	if members(c.raw) != len(c.body) { // policies see one of the two, and an engine could keep the other
		return errs.New(errs.Invalid, "the body has a member twice")
	}
	return nil
}

// maxNested bounds the nesting of a body, as Vault does by default.
const maxNested = 300

// checkDepth refuses what is nested too deep, without reading what it says.
func checkDepth(b []byte) error {
	depth, inText := 0, false
	for i := 0; i < len(b); i++ {
		switch ch := b[i]; {
		case inText && ch == '\\':
			i++
		case ch == '"':
			inText = !inText
		case inText:
		case ch == '{' || ch == '[':
			if depth++; depth > maxNested {
				return errs.New(errs.Invalid, "the body is nested deeper than %d levels", maxNested)
			}
		case ch == '}' || ch == ']':
			depth--
		}
	}
	return nil
}

// members counts those of an object that is valid JSON, each as often as it stands
// there.
func members(object []byte) (n int) {
	dec := json.NewDecoder(bytes.NewReader(object))
	if t, _ := dec.Token(); t != json.Delim('{') {
		return 0
	}
	for ; dec.More(); n++ {
		var value json.RawMessage
		if _, err := dec.Token(); err != nil || dec.Decode(&value) != nil {
			return -1
		}
	}
	return n
}

// readWrap reads for how long the answer is to be wrapped.
func (c *call) readWrap() error {
	s := ""
	if sent := c.r.Header["X-Vault-Wrap-Ttl"]; len(sent) > 0 { // as net/http spells it
		s = sent[0]
	}
	if s == "" {
		return nil
	}
	d, ok := parseDuration(s)
	if !ok || d < 0 {
		return errs.InvalidField("X-Vault-Wrap-TTL", "a duration is seconds, or a number with s, m, h or d")
	}
	c.wrapTTL = d
	return nil
}

// inVault says the request in the words that policies in HCL are about. A slash at
// the end says something of a listing alone: no row takes what is before it for
// another thing because of one, and so policies do not either.
func (c *call) inVault() {
	out := &caller.Call{Path: strings.TrimSuffix(c.path, "/"), WrapTTL: c.wrapTTL}
	c.who.Call = out
	switch c.method {
	case http.MethodGet, http.MethodHead:
		out.Capability = "read"
	case http.MethodPost:
		out.Capability = "update"
	case http.MethodPatch:
		out.Capability = "patch"
	case http.MethodDelete:
		out.Capability = "delete"
	default:
		out.Capability = "list"
		out.Path += "/"
	}
	if c.body == nil {
		out.Params = c.query
		return
	}
	out.Params = make(map[string][]string, len(c.body))
	for k, v := range c.body {
		out.Params[k] = asTexts(v)
	}
}

// asTexts is a member of a body as policies compare it.
func asTexts(v json.RawMessage) []string {
	var list []json.RawMessage
	if len(v) > 0 && v[0] == '[' && json.Unmarshal(v, &list) == nil {
		out := make([]string, 0, len(list))
		for _, item := range list {
			out = append(out, asText(item))
		}
		return out
	}
	return []string{asText(v)}
}

func asText(v json.RawMessage) string {
	if s, ok := unquoted(v); ok {
		return s
	}
	var s string
	if len(v) > 0 && v[0] == '"' && json.Unmarshal(v, &s) == nil {
		return s
	}
	return string(v)
}

// unquoted reads a text of a body in which nothing is escaped, as nearly none has
// anything: the body is JSON and UTF-8, which its reader has seen.
func unquoted(v json.RawMessage) (string, bool) {
	if len(v) < 2 || v[0] != '"' || bytes.IndexByte(v, '\\') >= 0 {
		return "", false
	}
	return string(v[1 : len(v)-1]), true
}

// fail notes that a parameter is wrong; the first one counts.
func (c *call) fail(field, format string, args ...any) {
	if c.err == nil {
		c.err = errs.InvalidField(field, format, args...)
	}
}

// has reports whether a parameter was given.
func (c *call) has(name string) bool {
	if v, ok := c.body[name]; ok {
		return !bytes.Equal(v, []byte("null"))
	}
	return c.query.Has(name)
}

// value is a parameter: a member of the body, or one of the query as a JSON text.
func (c *call) value(name string) (json.RawMessage, bool) {
	if v, ok := c.body[name]; ok {
		return v, !bytes.Equal(v, []byte("null"))
	}
	if c.query.Has(name) {
		b, _ := json.Marshal(c.query.Get(name)) // a string always encodes
		return b, true
	}
	return nil, false
}

// text is a parameter that is a text; numbers and booleans are taken as they are
// written.
func (c *call) text(name string) string {
	v, ok := c.value(name)
	if !ok {
		return ""
	}
	if s, ok := unquoted(v); ok {
		return s
	}
	switch v[0] {
	case '"':
		var s string
		if json.Unmarshal(v, &s) == nil {
			return s
		}
	case '{', '[':
	default:
		return string(v)
	}
	c.fail(name, "it is not a text")
	return ""
}

// boolean is a parameter that is true or false, also as a text.
func (c *call) boolean(name string) bool {
	if !c.has(name) {
		return false
	}
	b, err := strconv.ParseBool(c.text(name))
	if err != nil {
		c.fail(name, "it is not true or false")
	}
	return b
}

// integer is a parameter that is a whole number, also as a text.
func (c *call) integer(name string) int64 {
	if !c.has(name) {
		return 0
	}
	s := c.text(name)
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		fl, ferr := strconv.ParseFloat(s, 64)
		if ferr != nil || fl != math.Trunc(fl) || math.Abs(fl) > 1<<53 {
			c.fail(name, "it is not a whole number")
			return 0
		}
		n = int64(fl)
	}
	return n
}

// duration is a parameter that is seconds, or a text such as "90s", "1h30m", "2d".
func (c *call) duration(name string) time.Duration {
	if !c.has(name) {
		return 0
	}
	d, ok := parseDuration(c.text(name))
	if !ok {
		c.fail(name, "a duration is seconds, or a number with s, m, h or d")
	}
	return d
}

func parseDuration(s string) (time.Duration, bool) {
	s = strings.TrimSpace(s)
	if s == "" {
		return 0, true
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return time.Duration(n) * time.Second, n < math.MaxInt64/int64(time.Second) && n > -math.MaxInt64/int64(time.Second)
	}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseInt(days, 10, 32)
		return time.Duration(n) * 24 * time.Hour, err == nil && n < 100_000 && n > -100_000
	}
	d, err := time.ParseDuration(s)
	return d, err == nil
}

// list is a parameter that is a list of texts, or one text with commas between.
func (c *call) list(name string) []string {
	v, ok := c.value(name)
	if !ok {
		return nil
	}
	var items []json.RawMessage
	if v[0] == '[' {
		if json.Unmarshal(v, &items) != nil {
			c.fail(name, "it is not a list")
			return nil
		}
		out := make([]string, 0, len(items))
		for _, it := range items {
			if len(it) > 0 && (it[0] == '{' || it[0] == '[') {
				c.fail(name, "it is not a list of texts")
				return nil
			}
			out = append(out, asText(it))
		}
		return out
	}
	out := []string{}
	for s := range strings.SplitSeq(c.text(name), ",") {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// texts is a parameter that is an object of texts, or a list of key=value.
func (c *call) texts(name string) map[string]string {
	v, ok := c.value(name)
	if !ok {
		return nil
	}
	out := map[string]string{}
	if v[0] == '{' {
		var m map[string]json.RawMessage
		if json.Unmarshal(v, &m) != nil {
			c.fail(name, "it is not an object")
			return nil
		}
		for k, x := range m {
			if len(x) > 0 && (x[0] == '{' || x[0] == '[') {
				c.fail(name, "the value of %q is not a text", k)
				return nil
			}
			if !bytes.Equal(x, []byte("null")) {
				out[k] = asText(x)
			}
		}
		return out
	}
	for _, pair := range c.list(name) {
		k, val, ok := strings.Cut(pair, "=")
		if !ok {
			c.fail(name, "it is not an object, nor a list of key=value")
			return nil
		}
		out[k] = val
	}
	return out
}

// part is a parameter that is an object, to be read like a body; nil when it was
// not given.
func (c *call) part(name string) (*call, error) {
	v, ok := c.value(name)
	if !ok {
		return nil, nil
	}
	p := &call{}
	if err := json.Unmarshal(v, &p.body); err != nil {
		c.fail(name, "it is not an object")
		return nil, c.err
	}
	return p, nil
}

// take notes what was found wrong in a part.
func (c *call) take(p *call) {
	if c.err == nil {
		c.err = p.err
	}
}

// given is a parameter, nil when there is none.
func given[T any](c *call, name string, read func(string) T) *T {
	if !c.has(name) {
		return nil
	}
	v := read(name)
	return &v
}
