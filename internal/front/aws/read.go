package aws

import (
	"bytes"
	"encoding/base64"
	"strconv"

	"countersign/internal/errs"
)

// CodeSerialization is the code, and AWS's name, of the refusal of a body that
// is not what the protocol says: no JSON, or a member of the wrong type.
const CodeSerialization = "SerializationException"

// maxDepth is how many objects and lists may be within each other. The deepest
// request of the services has five.
const maxDepth = 64

// String is a text member. A member that is absent or null is not Set.
type String struct {
	Value string
	Set   bool
}

// Blob is a member of bytes, or of text that is a secret and so is kept out of
// strings.
type Blob struct {
	Data []byte
	Set  bool
}

// Int is a number member.
type Int struct {
	Value int64
	Set   bool
}

// Bool is a truth member.
type Bool struct{ Value, Set bool }

// Strings is a list of texts. A null among them is an element that is not Set.
type Strings struct {
	Values []String
	Set    bool
}

// Items is a list of structures.
type Items[T any] struct {
	Values []T
	Set    bool
}

// Members is a structure that takes its members as they come. Member must read
// the value with exactly one call of r; an unknown name calls r.Skip.
type Members interface {
	Member(r *Reader, name []byte)
}

// Reader reads one JSON body. It is strict where two readers could differ:
// UTF-8 must be valid, surrogates paired, nothing may follow the document, and
// a known member may stand once. The first failure is kept and ends the
// reading; what was read until then is not to be used.
type Reader struct {
	b     []byte
	pos   int
	depth int
	err   error
}

// Decode reads a whole body, which is one JSON object, into a structure. An
// empty body is an empty object. The error is of kind Invalid with
// CodeSerialization and holds nothing of the body.
func (r *Reader) Decode(body []byte, into Members) error {
	*r = Reader{b: body}
	r.space()
	if r.pos == len(body) {
		return nil
	}
	r.Struct(into)
	r.space()
	if r.err == nil && r.pos != len(body) {
		r.syntax()
	}
	err := r.err
	*r = Reader{}
	return err
}

func (r *Reader) fail(text string) {
	if r.err == nil {
		r.err = errs.Coded(errs.Invalid, CodeSerialization, "%s", text)
	}
	r.pos = len(r.b) // nothing more to be seen
}

func (r *Reader) syntax() {
	r.fail("The request body is not valid JSON at byte " + strconv.Itoa(r.pos))
}

func (r *Reader) space() {
	for r.pos < len(r.b) {
		switch r.b[r.pos] {
		case ' ', '\t', '\n', '\r':
			r.pos++
		default:
			return
		}
	}
}

// peek returns the next byte, or 0 at the end.
func (r *Reader) peek() byte {
	if r.pos < len(r.b) {
		return r.b[r.pos]
	}
	return 0
}

// take moves past c, or fails.
func (r *Reader) take(c byte) bool {
	if r.peek() != c || r.pos >= len(r.b) {
		r.syntax()
		return false
	}
	r.pos++
	return true
}

// Null moves past a null and reports whether there was one.
func (r *Reader) Null() bool {
	if r.peek() != 'n' {
		return false
	}
	r.literal("null")
	return true
}

func (r *Reader) literal(s string) {
	if !bytes.HasPrefix(r.b[r.pos:], []byte(s)) {
		r.syntax()
		return
	}
	r.pos += len(s)
}

// wrong fails because the next value is not of the wanted type, which is given
// with its article, in AWS's words.
func (r *Reader) wrong(want string) {
	var have string
	switch c := r.peek(); {
	case c == '{':
		r.fail("Start of structure or map found where not expected.")
		return
	case c == '[':
		r.fail("Start of list found where not expected")
		return
	case c == '"':
		have = "STRING_VALUE"
	case c == 't':
		have = "TRUE_VALUE"
	case c == 'f':
		have = "FALSE_VALUE"
	case c == '-' || c >= '0' && c <= '9':
		have = "NUMBER_VALUE"
	default:
		r.syntax()
		return
	}
	r.fail(have + " can not be converted to " + want)
}

// once fails when a member was there before.
func (r *Reader) once(set bool) bool {
	if set {
		r.fail("A member is present more than once")
	}
	return !set && r.err == nil
}

// String reads a text.
func (r *Reader) String(dst *String) {
	if r.Null() || !r.once(dst.Set) {
		return
	}
	if r.peek() != '"' {
		r.wrong("a String")
		return
	}
	dst.Value, dst.Set = string(r.text()), r.err == nil
}

// Text reads a text into bytes of its own.
func (r *Reader) Text(dst *Blob) {
	if r.Null() || !r.once(dst.Set) {
		return
	}
	if r.peek() != '"' {
		r.wrong("a String")
		return
	}
	dst.Data, dst.Set = bytes.Clone(r.text()), r.err == nil
}

// Base64 reads bytes in the standard encoding, with padding.
func (r *Reader) Base64(dst *Blob) {
	if r.Null() || !r.once(dst.Set) {
		return
	}
	if r.peek() != '"' {
		r.wrong("a ByteBuffer")
		return
	}
	text := r.text()
	data, err := base64.StdEncoding.Strict().AppendDecode(nil, text)
	if err != nil || bytes.ContainsAny(text, "\r\n") {
		r.fail("A blob is not valid base64")
		return
	}
	dst.Data, dst.Set = data, r.err == nil
}

// Bool reads true or false.
func (r *Reader) Bool(dst *Bool) {
	if r.Null() || !r.once(dst.Set) {
		return
	}
	switch r.peek() {
	case 't':
		r.literal("true")
		dst.Value = true
	case 'f':
		r.literal("false")
	default:
		r.wrong("a Boolean")
		return
	}
	dst.Set = r.err == nil
}

// Int reads a whole number.
func (r *Reader) Int(dst *Int) {
	if r.Null() || !r.once(dst.Set) {
		return
	}
	if c := r.peek(); c != '-' && (c < '0' || c > '9') {
		r.wrong("a Long")
		return
	}
	token := r.number()
	if r.err != nil {
		return
	}
	n, err := strconv.ParseInt(string(token), 10, 64)
	if err != nil {
		f, ferr := strconv.ParseFloat(string(token), 64)
		if n = int64(f); ferr != nil || f < -1<<53 || f > 1<<53 || float64(n) != f {
			r.fail("NUMBER_VALUE can not be converted to a Long")
			return
		}
	}
	dst.Value, dst.Set = n, true
}

// Strings reads a list of texts.
func (r *Reader) Strings(dst *Strings) {
	r.list(&dst.Set, func() {
		var s String
		r.String(&s)
		dst.Values = append(dst.Values, s)
	})
}

// List reads a list of structures.
func List[T any, P interface {
	*T
	Members
}](r *Reader, dst *Items[T]) {
	r.list(&dst.Set, func() {
		var v T
		if !r.Null() {
			r.Struct(P(&v))
		}
		dst.Values = append(dst.Values, v)
	})
}

// list reads a list, calling element at each.
func (r *Reader) list(set *bool, element func()) {
	if r.Null() || !r.once(*set) {
		return
	}
	if r.peek() != '[' {
		r.fail("Expected list or null")
		return
	}
	r.elements(element)
	*set = r.err == nil
}

func (r *Reader) elements(element func()) {
	if !r.enter() {
		return
	}
	if r.space(); r.peek() == ']' {
		r.leave()
		return
	}
	for r.err == nil {
		r.space()
		element()
		if r.space(); r.peek() == ']' {
			r.leave()
			return
		}
		r.take(',')
	}
}

// enter moves past the bracket that opens an object or list.
func (r *Reader) enter() bool {
	if r.depth++; r.depth > maxDepth {
		r.fail("The request body is nested too deeply")
		return false
	}
	r.pos++
	return true
}

func (r *Reader) leave() {
	if r.err == nil {
		r.depth--
		r.pos++
	}
}

// Struct reads an object.
func (r *Reader) Struct(into Members) {
	if r.err != nil {
		return
	}
	switch r.peek() {
	case '{':
	case '[':
		r.fail("Start of list found where not expected")
		return
	case 0:
		r.syntax()
		return
	default:
		r.fail("Expected null")
		return
	}
	if !r.enter() {
		return
	}
	if r.space(); r.peek() == '}' {
		r.leave()
		return
	}
	for r.err == nil {
		r.space()
		if r.peek() != '"' {
			r.syntax()
			return
		}
		name := r.text()
		r.space()
		if !r.take(':') {
			return
		}
		r.space()
		into.Member(r, name)
		if r.space(); r.peek() == '}' {
			r.leave()
			return
		}
		r.take(',')
	}
}

// skipped takes the members of an object that nobody reads.
type skipped struct{}

func (skipped) Member(r *Reader, _ []byte) { r.Skip() }

// Skip moves past any value, which must be well-formed.
func (r *Reader) Skip() {
	switch c := r.peek(); {
	case r.err != nil:
	case c == '"':
		r.text()
	case c == '{':
		r.Struct(skipped{})
	case c == '[':
		r.elements(r.Skip)
	case c == 't':
		r.literal("true")
	case c == 'f':
		r.literal("false")
	case c == 'n':
		r.literal("null")
	case c == '-' || c >= '0' && c <= '9':
		r.number()
	default:
		r.syntax()
	}
}
