package audit

import (
	"fmt"
	"strconv"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// decodeRecord reads the body of a record line: everything before its chain.
// It accepts exactly what appendRecord writes (the order of members, no space,
// one spelling for every string, number and time) and nothing else: a line has
// one meaning, and whatever reads the log reads the same.
func decodeRecord(body []byte) (Record, error) {
	p := parser{s: string(body)}
	var r Record
	p.need(`{"seq":`)
	r.Seq = p.number()
	p.need(`,"id":"`)
	r.ID = p.text(maxText)
	p.need(`,"time":"`)
	r.Time = p.time()
	if p.next(`,"duration_ns":`) {
		d := p.number()
		if r.Duration = time.Duration(d); r.Duration < 0 {
			p.fail("a duration in range")
		}
	}
	r.RequestID = p.field(`,"request_id":"`, maxText)
	r.Account = p.field(`,"account":"`, maxText)
	if p.next(`,"principal":{`) {
		r.Principal = p.principal()
	}
	r.Front = p.field(`,"front":"`, maxText)
	r.Operation = p.field(`,"operation":"`, maxText)
	r.Resource = p.field(`,"resource":"`, maxResource)
	r.Region = p.field(`,"region":"`, maxText)
	r.Version = p.optional(`,"version":`)
	r.Keys = p.list(`,"keys":[`, maxText)
	r.KeysOmitted = p.optional(`,"keys_omitted":`)
	r.Change = p.field(`,"change":"`, maxText)
	r.Source = p.field(`,"source":"`, maxText)
	r.Agent = p.field(`,"agent":"`, maxText)
	r.Outcome = Outcome(p.field(`,"outcome":"`, maxText))
	r.Error = p.field(`,"error":"`, maxText)
	if p.next(`,"decision":{`) {
		r.Decision = p.decision()
	}
	if p.err == nil && p.s != "" {
		p.fail("a known member, in its place")
	}
	if p.err == nil && keptKeys(r.Keys) != len(r.Keys) {
		p.fail("fewer keys")
	}
	if p.err != nil {
		return Record{}, p.err
	}
	return r, nil
}

// parser consumes s from the front. After the first failure it does nothing.
type parser struct {
	s    string
	done int
	err  error
}

func (p *parser) fail(want string) {
	if p.err == nil {
		p.err = fmt.Errorf("decoding record at byte %d: expected %s", p.done+1, want)
	}
	p.s = ""
}

func (p *parser) skip(n int) { p.s, p.done = p.s[n:], p.done+n }

// next consumes lit when it is what follows.
func (p *parser) next(lit string) bool {
	if len(p.s) < len(lit) || p.s[:len(lit)] != lit {
		return false
	}
	p.skip(len(lit))
	return true
}

func (p *parser) need(lit string) {
	if !p.next(lit) {
		p.fail(lit)
	}
}

// number consumes a decimal number above zero, which is how every number of a
// record is written: zero is left out.
func (p *parser) number() uint64 {
	n := 0
	for n < len(p.s) && n < 20 && p.s[n] >= '0' && p.s[n] <= '9' {
		n++
	}
	v, err := strconv.ParseUint(p.s[:n], 10, 64)
	if err != nil || p.s[0] == '0' {
		p.fail("a number above zero")
		return 0
	}
	p.skip(n)
	return v
}

func (p *parser) optional(name string) uint64 {
	if !p.next(name) {
		return 0
	}
	return p.number()
}

// field consumes a member that is left out when it is empty.
func (p *parser) field(name string, limit int) string {
	if !p.next(name) {
		return ""
	}
	s := p.text(limit)
	if s == "" {
		p.fail("a value that is not empty")
	}
	return s
}

// text consumes the rest of a string and its closing quote.
func (p *parser) text(limit int) string {
	for i := range len(p.s) {
		if c := p.s[i]; c == '"' {
			s := p.s[:i]
			if i > limit {
				p.fail("a shorter string")
				return ""
			}
			p.skip(i + 1)
			return s
		} else if !plain(c) {
			return p.escapedText(limit)
		}
	}
	p.fail("a closing quote")
	return ""
}

// escapedText is text for strings with anything but plain ASCII. It decodes,
// encodes again, and insists on the same bytes.
func (p *parser) escapedText(limit int) string {
	end := 0
	for end < len(p.s) && p.s[end] != '"' {
		if p.s[end] == '\\' {
			end++
		}
		end++
	}
	if end >= len(p.s) {
		p.fail("a closing quote")
		return ""
	}
	raw := p.s[:end]
	s, ok := unescape(raw)
	if !ok || len(s) > limit || string(appendText(make([]byte, 0, len(raw)), s, limit)) != raw {
		p.fail("a string in its one spelling")
		return ""
	}
	p.skip(end + 1)
	return s
}

func unescape(raw string) (string, bool) {
	out := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); {
		if raw[i] != '\\' {
			out = append(out, raw[i])
			i++
			continue
		}
		if i+1 == len(raw) {
			return "", false
		}
		if raw[i+1] != 'u' {
			out = append(out, raw[i+1])
			i += 2
			continue
		}
		r, ok := hex4(raw, i)
		if !ok {
			return "", false
		}
		i += 6
		if utf16.IsSurrogate(r) {
			low, _ := hex4(raw, i)
			r = utf16.DecodeRune(r, low)
			i += 6
		}
		out = utf8.AppendRune(out, r)
	}
	return string(out), true
}

// hex4 reads \uXXXX at i.
func hex4(raw string, i int) (rune, bool) {
	if len(raw) < i+6 {
		return 0, false
	}
	v, err := strconv.ParseUint(raw[i+2:i+6], 16, 16)
	return rune(v), err == nil
}

// time consumes a time of fixed width and its closing quote.
func (p *parser) time() time.Time {
	if len(p.s) <= timeLen || p.s[timeLen] != '"' {
		p.fail("a time with nine decimals")
		return time.Time{}
	}
	s := p.s[:timeLen]
	t, ok := parseTime(s)
	if !ok {
		p.fail("a time with nine decimals")
		return time.Time{}
	}
	p.skip(timeLen + 1)
	return t
}

func parseTime(s string) (time.Time, bool) {
	const shape = "0000-00-00T00:00:00.000000000Z"
	for i := range timeLen {
		if shape[i] == '0' {
			if s[i] < '0' || s[i] > '9' {
				return time.Time{}, false
			}
		} else if s[i] != shape[i] {
			return time.Time{}, false
		}
	}
	num := func(from, to int) (n int) {
		for _, c := range []byte(s[from:to]) {
			n = n*10 + int(c-'0')
		}
		return n
	}
	t := time.Date(num(0, 4), time.Month(num(5, 7)), num(8, 10), num(11, 13), num(14, 16), num(17, 19), num(20, 29), time.UTC)
	// A thirtieth of February and the like come out as another date.
	var back [timeLen]byte
	return t, string(appendTime(back[:0], t)) == s
}

func (p *parser) list(name string, limit int) []string {
	if !p.next(name) {
		return nil
	}
	var list []string
	for p.err == nil {
		p.need(`"`)
		list = append(list, p.text(limit))
		if !p.next(",") {
			break
		}
	}
	p.need("]")
	return list
}

// member consumes a member of an inner object. The first has no comma.
func (p *parser) member(name string, first *bool, limit int) string {
	if *first {
		name = name[1:]
	}
	s := p.field(name, limit)
	*first = *first && s == ""
	return s
}

func (p *parser) principal() Principal {
	first := true
	v := Principal{
		Kind:    p.member(`,"kind":"`, &first, maxText),
		Name:    p.member(`,"name":"`, &first, maxText),
		KeyID:   p.member(`,"key_id":"`, &first, maxText),
		Proof:   p.member(`,"proof":"`, &first, maxText),
		Account: p.member(`,"account":"`, &first, maxText),
	}
	if first {
		p.fail("a member of the principal")
	}
	p.need("}")
	return v
}

func (p *parser) decision() *Decision {
	first := true
	d := &Decision{
		ID:        p.member(`,"id":"`, &first, maxText),
		Effect:    p.member(`,"effect":"`, &first, maxText),
		Action:    p.member(`,"action":"`, &first, maxText),
		Resource:  p.member(`,"resource":"`, &first, maxResource),
		Policy:    p.member(`,"policy":"`, &first, maxResource),
		Statement: p.member(`,"statement":"`, &first, maxText),
	}
	name := `,"missing":[`
	if first {
		name = name[1:]
	}
	d.Missing = p.list(name, maxMissing)
	if len(d.Missing) > maxMissings {
		p.fail("fewer missing conditions")
	}
	p.need("}")
	return d
}
