package policy

import (
	"encoding/base64"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// compare is the kind of comparison that a condition operator makes.
type compare uint8

const (
	cmpString compare = iota
	cmpFold
	cmpLike
	cmpNumber
	cmpDate
	cmpBool
	cmpBinary
	cmpIP
	cmpARN
	cmpNull
)

// operator is a condition operator without its set prefix and IfExists.
type operator struct {
	name   string
	cmp    compare
	sign   string // for numbers and dates: "==", "<", "<=", ">", ">="
	negate bool
}

// operators is the whole list of the IAM language.
var operators = [...]operator{
	{"StringEquals", cmpString, "", false},
	{"StringNotEquals", cmpString, "", true},
	{"StringEqualsIgnoreCase", cmpFold, "", false},
	{"StringNotEqualsIgnoreCase", cmpFold, "", true},
	{"StringLike", cmpLike, "", false},
	{"StringNotLike", cmpLike, "", true},
	{"NumericEquals", cmpNumber, "==", false},
	{"NumericNotEquals", cmpNumber, "==", true},
	{"NumericLessThan", cmpNumber, "<", false},
	{"NumericLessThanEquals", cmpNumber, "<=", false},
	{"NumericGreaterThan", cmpNumber, ">", false},
	{"NumericGreaterThanEquals", cmpNumber, ">=", false},
	{"DateEquals", cmpDate, "==", false},
	{"DateNotEquals", cmpDate, "==", true},
	{"DateLessThan", cmpDate, "<", false},
	{"DateLessThanEquals", cmpDate, "<=", false},
	{"DateGreaterThan", cmpDate, ">", false},
	{"DateGreaterThanEquals", cmpDate, ">=", false},
	{"Bool", cmpBool, "", false},
	{"BinaryEquals", cmpBinary, "", false},
	{"IpAddress", cmpIP, "", false},
	{"NotIpAddress", cmpIP, "", true},
	{"ArnEquals", cmpARN, "", false},
	{"ArnNotEquals", cmpARN, "", true},
	{"ArnLike", cmpARN, "", false},
	{"ArnNotLike", cmpARN, "", true},
	{"Null", cmpNull, "", false},
}

// quantifier says how a key with several values is judged.
type quantifier uint8

const (
	once      quantifier = iota // some value matches; negated: none does
	forAll                      // every value passes, or there is none
	forAny                      // some value passes
	allPrefix = "ForAllValues:"
	anyPrefix = "ForAnyValue:"
	ifExists  = "IfExists"
)

// condition is one operator applied to one key.
type condition struct {
	written  string // the operator as the document has it
	op       operator
	quant    quantifier
	ifExists bool
	keyName  string
	key      keyRef
	values   []condValue
}

// condValue is one value of a condition, prepared for its operator. When it has
// a variable, the preparation is done again for each request.
type condValue struct {
	pattern pattern
	ready   readyValue
}

// readyValue is a condition value as its operator needs it.
type readyValue struct {
	num    float64
	date   time.Time
	prefix netip.Prefix
	text   string // of booleans and binaries, in canonical form
	arn    *arnPattern
}

// parseOperator reads an operator's name with its prefix and suffix.
func parseOperator(s string) (condition, error) {
	c := condition{written: s}
	rest := s
	if r, ok := strings.CutPrefix(rest, allPrefix); ok {
		rest, c.quant = r, forAll
	} else if r, ok := strings.CutPrefix(rest, anyPrefix); ok {
		rest, c.quant = r, forAny
	}
	rest, c.ifExists = strings.CutSuffix(rest, ifExists)
	for _, op := range operators {
		if op.name == rest {
			c.op = op
			if op.cmp == cmpNull && rest != s {
				return c, malformed("%s: Null takes no prefix and no IfExists", quote(s))
			}
			return c, nil
		}
	}
	return c, malformed("%s is not a known operator", clip(s, maxQuoted))
}

// parseCondValue compiles one value of a condition, and refuses what its
// operator could never match: such a value would switch a Deny off unseen.
func parseCondValue(op operator, src string, vars bool) (condValue, error) {
	mode := literal
	if op.cmp == cmpLike || op.cmp == cmpARN {
		mode = wildcard
	}
	p, err := parsePattern(src, mode, vars)
	if err != nil {
		return condValue{}, err
	}
	v := condValue{pattern: p}
	if p.vars || p.all {
		return v, nil
	}
	var ok bool
	if op.cmp == cmpARN {
		v.ready.arn, ok = splitARN(p.pieces)
	} else {
		v.ready, ok = prepare(op.cmp, plainText(p))
	}
	if !ok {
		return condValue{}, malformed("%s is not %s", quote(src), op.cmp.wants())
	}
	return v, nil
}

func plainText(p pattern) string {
	if p.plain && len(p.pieces) == 1 {
		return p.pieces[0].text
	}
	return ""
}

// wants says what a value of the comparison has to be.
func (c compare) wants() string {
	switch c {
	case cmpNumber:
		return "a number"
	case cmpDate:
		return "a date: use 2006-01-02T15:04:05Z, or seconds since 1970"
	case cmpBool, cmpNull:
		return "true or false"
	case cmpBinary:
		return "base64"
	case cmpIP:
		return "an IP address or a CIDR block"
	case cmpARN:
		return "an ARN: six parts between colons"
	}
	return "text"
}

// prepare reads a literal as the comparison needs it.
func prepare(c compare, s string) (v readyValue, ok bool) {
	switch c {
	case cmpNumber:
		v.num, ok = parseNumber(s)
	case cmpDate:
		v.date, ok = parseDate(s)
	case cmpBool, cmpNull:
		v.text, ok = parseBool(s)
	case cmpBinary:
		var b []byte
		b, err := base64.StdEncoding.DecodeString(s)
		v.text, ok = string(b), err == nil
	case cmpIP:
		v.prefix, ok = parsePrefix(s)
	default:
		v.text, ok = s, true
	}
	return v, ok
}

// parseNumber reads a decimal integer or fraction. What ParseFloat takes beyond
// that (infinities, hexadecimal, underscores) is refused.
func parseNumber(s string) (float64, bool) {
	if s == "" || strings.Trim(s, "0123456789+-.eE") != "" {
		return 0, false
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil
}

// parseDate reads the forms of W3C's profile of ISO 8601 and seconds since 1970.
// Four digits are a year.
func parseDate(s string) (time.Time, bool) {
	if len(s) != 4 {
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return time.Unix(n, 0), true
		}
	}
	for _, layout := range [...]string{time.RFC3339, "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05", time.DateOnly, "2006-01", "2006"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

func parseBool(s string) (string, bool) {
	switch {
	case strings.EqualFold(s, "true"):
		return "true", true
	case strings.EqualFold(s, "false"):
		return "false", true
	}
	return "", false
}

// parsePrefix reads an address or a CIDR block. An IPv4 address written inside
// IPv6 is the IPv4 address.
func parsePrefix(s string) (netip.Prefix, bool) {
	if a, err := netip.ParseAddr(s); err == nil {
		if a.Zone() != "" {
			return netip.Prefix{}, false
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, false
	}
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	return p.Masked(), true
}

// holds reports whether the condition is met. For an Allow statement a negated
// comparison with an unresolved variable is not.
func (c *condition) holds(req *Request, effect Effect) bool {
	if c.key.id == keySourceIP && c.op.cmp == cmpIP && c.quant == once && req.Caller.Source.IsValid() {
		return c.holdsAddr(req.Caller.Source.Unmap().WithZone(""), req, effect)
	}
	var buf [4]string
	got := req.values(c.key, buf[:0])
	if c.op.cmp == cmpNull {
		return slices.ContainsFunc(c.values, func(v condValue) bool {
			r, ok := v.readyFor(cmpNull, req)
			return ok && (r.text == "true") == (len(got) == 0)
		})
	}
	if len(got) == 0 {
		switch {
		case c.ifExists || c.quant == forAll:
			return true
		case c.quant == forAny:
			return false
		}
		return c.op.negate
	}
	if c.op.negate && effect == Allow && !c.resolved(req) {
		return false
	}
	switch c.quant {
	case forAll:
		return !slices.ContainsFunc(got, func(g string) bool { return c.some(g, req) == c.op.negate })
	case forAny:
		return slices.ContainsFunc(got, func(g string) bool { return c.some(g, req) != c.op.negate })
	}
	for _, g := range got {
		if c.some(g, req) {
			return !c.op.negate
		}
	}
	return c.op.negate
}

// holdsAddr is holds for the client's address, without printing and reading it.
func (c *condition) holdsAddr(addr netip.Addr, req *Request, effect Effect) bool {
	if c.op.negate && effect == Allow && !c.resolved(req) {
		return false
	}
	for i := range c.values {
		if r, ok := c.values[i].readyFor(cmpIP, req); ok && r.prefix.Contains(addr) {
			return !c.op.negate
		}
	}
	return c.op.negate
}

// resolved reports whether every variable in the condition's values has a value.
func (c *condition) resolved(req *Request) bool {
	for i := range c.values {
		if p := &c.values[i].pattern; p.vars {
			if _, ok := p.expand(req); !ok {
				return false
			}
		}
	}
	return true
}

// some reports whether got matches one of the condition's values.
func (c *condition) some(got string, req *Request) bool {
	for i := range c.values {
		if c.values[i].matches(&c.op, got, req) {
			return true
		}
	}
	return false
}

// readyFor is the value as the comparison needs it, with variables replaced.
func (v *condValue) readyFor(cmp compare, req *Request) (readyValue, bool) {
	if !v.pattern.vars {
		return v.ready, true
	}
	text, ok := v.pattern.text(req)
	if !ok {
		return readyValue{}, false
	}
	return prepare(cmp, text)
}

// matches compares one value of the request with v.
func (v *condValue) matches(op *operator, got string, req *Request) bool {
	switch op.cmp {
	case cmpLike:
		ok, _ := v.pattern.match(got, req)
		return ok
	case cmpARN:
		return v.matchesARN(got, req)
	}
	want, ok := v.readyFor(op.cmp, req)
	if !ok {
		return false
	}
	switch op.cmp {
	case cmpString:
		return got == want.text
	case cmpFold:
		return strings.EqualFold(got, want.text)
	case cmpNumber:
		n, ok := parseNumber(got)
		return ok && ordered(op.sign, cmpFloat(n, want.num))
	case cmpDate:
		t, ok := parseDate(got)
		return ok && ordered(op.sign, t.Compare(want.date))
	case cmpIP:
		a, err := netip.ParseAddr(got)
		return err == nil && want.prefix.Contains(a.Unmap().WithZone(""))
	}
	r, ok := prepare(op.cmp, got) // booleans and binaries
	return ok && r.text == want.text
}

func cmpFloat(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// ordered judges a three-way comparison of the request's value with the policy's.
func ordered(sign string, c int) bool {
	switch sign {
	case "<":
		return c < 0
	case "<=":
		return c <= 0
	case ">":
		return c > 0
	case ">=":
		return c >= 0
	}
	return c == 0
}

// arnPattern is an ARN with wildcards, by segment.
type arnPattern [6][]piece

func (v *condValue) matchesARN(got string, req *Request) bool {
	if v.pattern.all {
		return true
	}
	want := v.ready.arn
	if v.pattern.vars {
		pieces, ok := v.pattern.expand(req)
		if !ok {
			return false
		}
		if want, ok = splitARN(pieces); !ok {
			return false
		}
	}
	return want.match(got)
}

// splitARN cuts pieces at their first five colons.
func splitARN(pieces []piece) (*arnPattern, bool) {
	var out arnPattern
	n := 0
	for _, pc := range pieces {
		for pc.kind == pieceText && n < 5 {
			head, tail, ok := strings.Cut(pc.text, ":")
			if !ok {
				break
			}
			if head != "" {
				out[n] = append(out[n], piece{kind: pieceText, text: head})
			}
			n++
			pc.text = tail
		}
		if pc.kind != pieceText || pc.text != "" {
			out[n] = append(out[n], pc)
		}
	}
	return &out, n == 5
}

func (a *arnPattern) match(s string) bool {
	for i := range 5 {
		head, tail, ok := strings.Cut(s, ":")
		if !ok || !matchPieces(a[i], head) {
			return false
		}
		s = tail
	}
	return matchPieces(a[5], s)
}
