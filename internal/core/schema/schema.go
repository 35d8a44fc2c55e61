// Package schema holds values against JSON Schemas (draft 2020-12), and bounds the
// work of it.
//
// A schema is what a stranger wrote, held against what another wrote, inside of a
// transaction. So it is a part of the language: every keyword has to be known and
// is asserted, a misspelt one is refused; a reference leads to the schema's own
// $defs and never in a circle; patterns are Go's, which take linear time; formats
// are those that are decided without asking anybody. What a value costs is reckoned
// before it is judged, and too much of it is an error: what the outcome is depends
// on schema and value alone, never on how fast the machine is.
//
// No error repeats anything of a value but names of keys: those of an object that is
// the whole value, which the product shows anyway, and deeper ones when the schema
// names them. Nor does one repeat const, enum or pattern.
//
// Judging is github.com/santhosh-tekuri/jsonschema; a Schema is safe for concurrent
// use.
package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"countersign/internal/errs"
)

// Codes of errors.
const (
	CodeSchema = "schema"       // Invalid: the schema is none that is taken
	CodeValue  = "schema-value" // Invalid: the value does not fit; Limit: it cannot be judged
)

// Limits of a schema.
const (
	MaxText  = 16 << 10 // bytes
	maxDepth = 32       // of nesting
	maxChain = 64       // of schemas about one and the same thing, references followed
	maxNodes = 1000     // schemas in it
	maxInsts = 4000     // instructions of all patterns together
	maxCount = 1 << 30  // of minLength and its kin
)

// Schema is a schema, ready to judge.
type Schema struct {
	text  []byte
	root  *node
	rules *jsonschema.Schema
	names map[string]bool // of keys, that it says
}

// Text is the schema as compact JSON, its members in their order.
func (s *Schema) Text() []byte { return bytes.Clone(s.text) }

// Parse reads a schema. Errors are Invalid, or Limit, with CodeSchema.
func Parse(text []byte) (*Schema, error) {
	if len(text) > MaxText {
		return nil, errs.Coded(errs.Limit, CodeSchema, "a schema has at most %d bytes", MaxText)
	}
	if !utf8.Valid(text) || !json.Valid(text) {
		return nil, refuse("", "the schema is no JSON")
	}
	var b bytes.Buffer
	_ = json.Compact(&b, text) // it is valid
	doc, err := parse(b.Bytes(), maxDepth, MaxText)
	if err != nil {
		return nil, refuse("", err.Error())
	}
	r := &reader{defs: map[string]*node{}, names: map[string]bool{}, known: keywords()}
	root, err := r.document(doc)
	if err != nil {
		return nil, err
	}
	s := &Schema{text: b.Bytes(), root: root, names: r.names}
	if s.rules, err = compile(doc); err != nil {
		return nil, err
	}
	for _, smallest := range []any{"", json.Number("0"), map[string]any{}, []any{}} {
		if !s.bearable(smallest) {
			return nil, refuse("", "it takes too much work to hold a value against the schema")
		}
	}
	return s, nil
}

// refuse is an error about a place in a schema.
func refuse(at, msg string) error {
	if at != "" {
		msg = at + ": " + msg
	}
	return &errs.Error{Kind: errs.Invalid, Code: CodeSchema, Field: "schema", Msg: msg}
}

// place is where the schema stands for the library: nothing is ever loaded.
const place = "countersign:schema"

// nothing refuses to load schemas.
type nothing struct{}

func (nothing) Load(string) (any, error) { return nil, errors.New("nothing is loaded") }

// compile has the library read what the reader has found to be bounded.
func compile(doc any) (*jsonschema.Schema, error) {
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	c.UseLoader(nothing{})
	if err := c.AddResource(place, doc); err != nil {
		return nil, fmt.Errorf("adding a schema: %w", err)
	}
	rules, err := c.Compile(place)
	var wrong *jsonschema.SchemaValidationError
	switch {
	case err == nil:
		return rules, nil
	case errors.As(err, &wrong):
		var v *jsonschema.ValidationError
		if errors.As(wrong.Err, &v) {
			return nil, refuse(pointer(deepest(v).InstanceLocation), "this is not as JSON Schema has it")
		}
	}
	return nil, refuse("", "this is no JSON Schema")
}

// deepest is the error that says most about where it went wrong.
func deepest(v *jsonschema.ValidationError) *jsonschema.ValidationError {
	best := v
	for _, c := range v.Causes {
		if d := deepest(c); len(d.InstanceLocation) > len(best.InstanceLocation) {
			best = d
		}
	}
	return best
}
