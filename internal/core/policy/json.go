package policy

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf8"

	"countersign/internal/errs"
)

// Limits of a policy document.
const (
	MaxBytes      = 20480 // bytes of a document, either kind
	MaxStatements = 256   // statements in a document
	maxDepth      = 8     // nested arrays and objects; the language needs six
	maxQuoted     = 64    // bytes of a stranger's text repeated in a message
)

// CodeMalformed is the errs.Error code of every refusal by Parse.
const CodeMalformed = "malformed-policy"

func malformed(format string, args ...any) error {
	return errs.Coded(errs.Invalid, CodeMalformed, format, args...)
}

// quote repeats a piece of the document in a message, bounded.
func quote(s string) string { return strconv.Quote(clip(s, maxQuoted)) }

// clip cuts s to at most n bytes, at a rune's start, and marks the cut.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	n -= len("...")
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "..."
}

// shape is the JSON type of a node.
type shape string

const (
	isObject shape = "an object"
	isArray  shape = "a list"
	isString shape = "a string"
	isNumber shape = "a number"
	isBool   shape = "true or false"
	isNull   shape = "null"
)

// node is a JSON value with the order of its members kept.
type node struct {
	shape   shape
	text    string   // of a string, number or boolean
	members []member // of an object
	items   []node   // of an array
}

type member struct {
	name  string
	value node
}

// readJSON reads one JSON value, refusing what encoding/json lets pass:
// repeated members, text that is not UTF-8, deep nesting, and anything after
// the value.
func readJSON(data []byte) (node, error) {
	if len(data) > MaxBytes {
		return node{}, malformed("the document has %d bytes; the most is %d", len(data), MaxBytes)
	}
	if !utf8.Valid(data) {
		return node{}, malformed("the document is not UTF-8 text")
	}
	if !json.Valid(data) {
		return node{}, malformed("the document is not JSON: %s", syntaxError(data))
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	return readNode(dec, 1)
}

// syntaxError says where a document stops being JSON, without repeating it.
func syntaxError(data []byte) string {
	var v any
	if e, ok := json.Unmarshal(data, &v).(*json.SyntaxError); ok {
		return "at byte " + strconv.FormatInt(e.Offset, 10)
	}
	return "it cannot be read"
}

func readNode(dec *json.Decoder, depth int) (node, error) {
	if depth > maxDepth {
		return node{}, malformed("the document is nested deeper than %d levels", maxDepth)
	}
	tok, err := dec.Token()
	if err != nil {
		return node{}, malformed("the document is not JSON")
	}
	switch t := tok.(type) {
	case json.Delim:
		if t == '{' {
			return readObject(dec, depth)
		}
		return readArray(dec, depth)
	case string:
		return node{shape: isString, text: t}, nil
	case json.Number:
		return node{shape: isNumber, text: t.String()}, nil
	case bool:
		return node{shape: isBool, text: strconv.FormatBool(t)}, nil
	}
	return node{shape: isNull}, nil
}

func readObject(dec *json.Decoder, depth int) (node, error) {
	n := node{shape: isObject}
	seen := map[string]bool{}
	for dec.More() {
		tok, err := dec.Token()
		name, ok := tok.(string)
		if err != nil || !ok {
			return node{}, malformed("the document is not JSON")
		}
		if seen[name] {
			return node{}, malformed("member %s stands twice in one object", quote(name))
		}
		seen[name] = true
		v, err := readNode(dec, depth+1)
		if err != nil {
			return node{}, err
		}
		n.members = append(n.members, member{name, v})
	}
	_, err := dec.Token()
	return n, err
}

func readArray(dec *json.Decoder, depth int) (node, error) {
	n := node{shape: isArray}
	for dec.More() {
		v, err := readNode(dec, depth+1)
		if err != nil {
			return node{}, err
		}
		n.items = append(n.items, v)
	}
	_, err := dec.Token()
	return n, err
}
