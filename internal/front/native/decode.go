package native

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"

	"countersign/internal/core/secret"
	"countersign/internal/errs"
	"countersign/internal/sensitive"
)

// A body is one JSON object in UTF-8, whose members are exactly spelled, known,
// and given once. encoding/json takes more than that: other cases of a name,
// repeated names, null for anything, halves of surrogate pairs. So the form is
// checked against the type first, and then decoded.

// maxDepth bounds nesting; only policy documents nest at all.
const maxDepth = 32

// hidden is secret text in a body.
type hidden struct{ sensitive.Bytes }

// UnmarshalJSON reads a string.
func (h *hidden) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return errs.Coded(errs.Invalid, codeBody, "not a string")
	}
	h.Bytes = sensitive.FromString(s)
	return nil
}

// encoded is secret bytes in a body, in base64.
type encoded struct{ sensitive.Bytes }

// UnmarshalJSON reads a string of padded base64.
func (e *encoded) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return errs.Coded(errs.Invalid, codeBody, "not a string")
	}
	data, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || strings.ContainsAny(s, "\r\n") {
		return errs.InvalidField("binary", "the member is not base64 (RFC 4648, section 4, with padding)")
	}
	e.Bytes = sensitive.New(data)
	return nil
}

// document is a policy: an object, or a string with the text of one.
type document struct{ text string }

// UnmarshalJSON reads either.
func (d *document) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, &d.text)
	}
	d.text = string(b)
	return nil
}

// payload is a value in a body: at most one of the two.
type payload struct {
	Value  *hidden  `json:"value"`
	Binary *encoded `json:"binary"`
}

// input is the value, or nil when there is none.
func (p *payload) input(c *call) *secret.Input {
	switch {
	case p.Value != nil && p.Binary != nil:
		c.fail("value", "a value is either text in value or bytes in binary, not both")
	case p.Value != nil:
		return &secret.Input{Data: p.Value.Bytes}
	case p.Binary != nil:
		return &secret.Input{Data: p.Binary.Bytes, Binary: true}
	}
	return nil
}

// shape is what JSON a Go type takes.
type shape struct {
	kind    reflect.Kind      // Struct, Map, Slice, String, Int, Bool; Interface: anything
	members map[string]*shape // of a struct
	item    *shape            // of a slice or map
}

// shapeOf derives the shape of a type out of plain structs.
func shapeOf(t reflect.Type) *shape {
	switch t {
	case reflect.TypeFor[hidden](), reflect.TypeFor[encoded](), reflect.TypeFor[time.Time]():
		return &shape{kind: reflect.String}
	case reflect.TypeFor[document]():
		return &shape{kind: reflect.Interface}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return shapeOf(t.Elem())
	case reflect.Struct:
		s := &shape{kind: reflect.Struct, members: map[string]*shape{}}
		for _, f := range reflect.VisibleFields(t) {
			if tag, ok := f.Tag.Lookup("json"); ok {
				member, _, _ := strings.Cut(tag, ",")
				s.members[member] = shapeOf(f.Type)
			}
		}
		return s
	case reflect.Map, reflect.Slice:
		return &shape{kind: t.Kind(), item: shapeOf(t.Elem())}
	case reflect.Int, reflect.Int64, reflect.Uint64:
		return &shape{kind: reflect.Int}
	}
	return &shape{kind: t.Kind()}
}

// decode reads a body into v, whose type has that shape.
func decode(body []byte, s *shape, v any) error {
	bad := func(msg string) error { return errs.Coded(errs.Invalid, codeBody, "%s", msg) }
	switch {
	case len(bytes.TrimSpace(body)) == 0:
		return bad("a JSON object is required as the body")
	case !utf8.Valid(body):
		return bad("the body is not UTF-8")
	case !json.Valid(body):
		return bad("the body is not JSON")
	case halfSurrogate(body):
		return bad("the body has half of a surrogate pair, which is no character")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := s.check(d, "", 0); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return bad("the body goes on after its JSON object")
	}
	if err := json.Unmarshal(body, v); err != nil {
		if e := errs.As(err); e.Kind == errs.Invalid {
			return e
		}
		return bad("a member of the body is not of its type") // the cause could quote a value
	}
	return nil
}

// check reads one value and holds it against the shape. at names it.
func (s *shape) check(d *json.Decoder, at string, depth int) error {
	t, err := d.Token()
	if err != nil || depth > maxDepth {
		return errs.Coded(errs.Limit, codeBody, "the body is nested too deeply")
	}
	ok := false
	switch t := t.(type) {
	case json.Delim:
		switch t {
		case '{':
			ok = s.kind == reflect.Struct || s.kind == reflect.Map || s.kind == reflect.Interface
		case '[':
			ok = s.kind == reflect.Slice || s.kind == reflect.Interface && depth > 1
		}
		if ok {
			return s.inside(d, t, at, depth)
		}
	case string:
		ok = s.kind == reflect.String || s.kind == reflect.Interface
	case bool:
		ok = s.kind == reflect.Bool || s.kind == reflect.Interface && depth > 1
	case json.Number:
		_, err := t.Int64()
		ok = s.kind == reflect.Int && err == nil || s.kind == reflect.Interface && depth > 1
	case nil:
		ok = s.kind == reflect.Interface && depth > 1
	}
	switch {
	case ok:
		return nil
	case at == "":
		return errs.Coded(errs.Invalid, codeBody, "the body is not a JSON object")
	}
	return &errs.Error{Kind: errs.Invalid, Code: codeBody, Field: at, Msg: "the member is not of its type"}
}

// inside checks the members of an object or the items of an array.
func (s *shape) inside(d *json.Decoder, open json.Delim, at string, depth int) error {
	seen := map[string]bool{}
	for d.More() {
		item, name := s.item, at
		if open == '{' {
			t, err := d.Token()
			key, isKey := t.(string)
			if err != nil || !isKey {
				return errs.Coded(errs.Invalid, codeBody, "the body is not JSON")
			}
			if seen[key] {
				return errs.Coded(errs.Invalid, codeBody, "the body has a member twice: %s", quote(key))
			}
			seen[key] = true
			if s.kind == reflect.Struct {
				if item = s.members[key]; item == nil {
					return errs.Coded(errs.Invalid, codeBody, "the body has a member that is not known here: %s", quote(key))
				}
			}
			if at == "" {
				name = key
			}
		}
		if s.kind == reflect.Interface {
			item = s
		}
		if err := item.check(d, name, depth+1); err != nil {
			return err
		}
	}
	_, err := d.Token()
	if err != nil {
		return errs.Coded(errs.Invalid, codeBody, "the body is not JSON")
	}
	return nil
}

// halfSurrogate reports whether valid JSON has an escape \uD800 to \uDFFF that is
// not one of a pair, which encoding/json would replace: a value would change.
func halfSurrogate(b []byte) bool {
	for i := bytes.IndexByte(b, '\\'); i >= 0 && i < len(b); i++ {
		if b[i] != '\\' {
			continue
		}
		i++
		if b[i] != 'u' {
			continue
		}
		switch r := escape(b[i+1:]); {
		case r < 0xd800 || r > 0xdfff:
			i += 4
		case r >= 0xdc00 || !bytes.HasPrefix(b[i+5:], []byte(`\u`)):
			return true
		default:
			if low := escape(b[i+7:]); low < 0xdc00 || low > 0xdfff {
				return true
			}
			i += 10
		}
	}
	return false
}

// escape is the number in four hexadecimal digits, of which valid JSON is sure.
func escape(b []byte) (r rune) {
	if len(b) < 4 {
		return 0
	}
	for _, c := range b[:4] {
		r <<= 4
		switch {
		case c <= '9':
			r |= rune(c - '0')
		default:
			r |= rune(c|0x20-'a') + 10
		}
	}
	return r
}
