package policy

import (
	"net/netip"
	"slices"
	"strings"
)

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
