package policy

import (
	"encoding/base64"
	"net/netip"
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

// readConditions reads a Condition element: operators, keys, values.
func readConditions(m *member, vars bool) ([]condition, error) {
	if m.value.shape != isObject {
		return nil, malformed("Condition is %s, not an object", m.value.shape)
	}
	var out []condition
	for _, op := range m.value.members {
		c, err := parseOperator(op.name)
		if err != nil {
			return nil, in("Condition", err)
		}
		if op.value.shape != isObject {
			return nil, malformed("Condition %s is %s, not an object", op.name, op.value.shape)
		}
		for _, k := range op.value.members {
			if !isKey(k.name) {
				return nil, malformed("Condition %s: %s is not a condition key", op.name, quote(k.name))
			}
			c.keyName, c.key = k.name, parseKey(k.name)
			if c.values, err = readCondValues(c.op, k.value, vars); err != nil {
				return nil, in("Condition "+op.name+" "+show(k.name)+":", err)
			}
			out = append(out, c)
		}
	}
	return out, nil
}

// readCondValues reads one value or a list; numbers and booleans may be written
// without quotes.
func readCondValues(op operator, n node, vars bool) ([]condValue, error) {
	items := []node{n}
	if n.shape == isArray {
		items = n.items
	}
	if len(items) == 0 {
		return nil, malformed("the list of values is empty")
	}
	out := make([]condValue, 0, len(items))
	for _, it := range items {
		if it.shape != isString && it.shape != isNumber && it.shape != isBool {
			return nil, malformed("a value is %s", it.shape)
		}
		v, err := parseCondValue(op, it.text, vars)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}
