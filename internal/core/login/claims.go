package login

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	jose "github.com/go-jose/go-jose/v4/json"

	"countersign/internal/errs"
)

// claims are what a token says. Numbers are json.Number.
type claims map[string]any

// parseClaims reads the payload of a token. A name that stands twice is refused:
// which of the two counts would be a matter of taste.
func parseClaims(b []byte) (claims, error) {
	d := jose.NewDecoder(bytes.NewReader(b))
	d.SetNumberType(jose.UnmarshalJSONNumber)
	var c claims
	if err := d.Decode(&c); err != nil || c == nil {
		return nil, errs.New(errs.Invalid, "the claims are not a JSON object")
	}
	return c, nil
}

// get finds a claim by its name, or, when that begins with a slash, by a JSON
// pointer (RFC 6901).
func (c claims) get(n string) any {
	if !strings.HasPrefix(n, "/") {
		return c[n]
	}
	var at any = map[string]any(c)
	for part := range strings.SplitSeq(n[1:], "/") {
		part = strings.NewReplacer("~1", "/", "~0", "~").Replace(part)
		switch v := at.(type) {
		case map[string]any:
			at = v[part]
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil || i < 0 || i >= len(v) || strconv.Itoa(i) != part {
				return nil
			}
			at = v[i]
		default:
			return nil
		}
	}
	return at
}

// text is a claim that is a text.
func (c claims) text(n string) (string, bool) {
	s, ok := c[n].(string)
	return s, ok
}

// number is a claim that is a number of seconds.
func (c claims) number(n string) (secs float64, has, ok bool) {
	v, has := c[n]
	if !has {
		return 0, false, true
	}
	switch v := v.(type) {
	case jose.Number:
		f, err := v.Float64()
		return f, true, err == nil && f > -1e12 && f < 1e12
	}
	return 0, true, false
}

// audiences are what aud says: a text, or a list of texts.
func (c claims) audiences() ([]string, bool) {
	switch v := c["aud"].(type) {
	case nil:
		return nil, true
	case string:
		return []string{v}, true
	case []any:
		var out []string
		for _, x := range v {
			s, ok := x.(string)
			if !ok {
				return nil, false
			}
			out = append(out, s)
		}
		return out, true
	}
	return nil, false
}

// wanted reads what a role wants of a claim: a text, a number, true or false, or a
// list of them.
func wanted(raw json.RawMessage) ([]any, bool) {
	d := jose.NewDecoder(bytes.NewReader(raw))
	d.SetNumberType(jose.UnmarshalJSONNumber)
	var v any
	if d.Decode(&v) != nil {
		return nil, false
	}
	return listOf(v)
}

// listOf is a value as a list, of one when it is none.
func listOf(v any) ([]any, bool) {
	switch v := v.(type) {
	case string, bool, jose.Number:
		return []any{v}, true
	case []any:
		for _, x := range v {
			switch x.(type) {
			case string, bool, jose.Number:
			default:
				return nil, false
			}
		}
		return v, true
	}
	return nil, false
}

// holds reports whether a claim, or one of a list, is one of the wanted values.
func holds(is any, want []any, globs bool) bool {
	all, ok := listOf(is)
	if !ok {
		return false
	}
	return slices.ContainsFunc(all, func(v any) bool {
		return slices.ContainsFunc(want, func(w any) bool { return equal(v, w, globs) })
	})
}

func equal(is, want any, globs bool) bool {
	switch w := want.(type) {
	case string:
		s, ok := is.(string)
		return ok && (s == w || globs && glob(w, s))
	case jose.Number:
		n, ok := is.(jose.Number)
		if !ok {
			return false
		}
		a, errA := n.Float64()
		b, errB := w.Float64()
		return n == w || errA == nil && errB == nil && a == b
	}
	return is == want
}

// glob matches a text against a pattern in which * stands for any characters, and
// nothing else has a meaning.
func glob(pattern, s string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == s
	}
	s, ok := strings.CutPrefix(s, parts[0])
	if !ok {
		return false
	}
	last := parts[len(parts)-1]
	for _, p := range parts[1 : len(parts)-1] {
		i := strings.Index(s, p)
		if i < 0 {
			return false
		}
		s = s[i+len(p):]
	}
	return strings.HasSuffix(s, last)
}

// anyGlob reports whether a text fits one of the patterns.
func anyGlob(patterns []string, s string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return glob(p, s) })
}
