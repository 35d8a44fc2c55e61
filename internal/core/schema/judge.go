package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"countersign/internal/errs"
)

// Limits of judging.
const (
	maxWork       = 1 << 18 // in units of about a tenth of a microsecond
	maxParts      = 50_000  // of a value
	maxValueDepth = 128
	maxProblems   = 5 // that are told at once
	maxName       = 128
)

// Problem is where a value does not fit, and which rule it breaks.
type Problem struct {
	At   string `json:"at"` // JSON pointer; empty: the value as a whole
	Rule string `json:"rule"`
}

// Check tells what is wrong with a value. Text that is a JSON object or array is
// judged as that, and any other text as a JSON string, also when it is a number or
// in quotes: it is what readers get. Bytes that are no text fit no schema.
//
// Invalid with CodeValue: it does not fit. Limit with CodeValue: schema and value
// together take too much work, so it is refused as well.
func (s *Schema) Check(value []byte, binary bool) error {
	problems, err := s.Problems(value, binary)
	if err != nil || len(problems) == 0 {
		return err
	}
	var b strings.Builder
	b.WriteString("the value does not fit the secret's schema: ")
	for i, p := range problems {
		if i == maxProblems {
			b.WriteString("; and more")
			break
		}
		if i > 0 {
			b.WriteString("; ")
		}
		if p.At != "" {
			b.WriteString("at " + p.At + ", ")
		}
		b.WriteString(p.Rule)
	}
	return &errs.Error{Kind: errs.Invalid, Code: CodeValue, Field: "value", Msg: b.String()}
}

// Problems is Check for who wants them one by one, in the order of the places. The
// error is Limit only.
func (s *Schema) Problems(value []byte, binary bool) ([]Problem, error) {
	if binary || !utf8.Valid(value) {
		return []Problem{{Rule: "a value with a schema is text, not bytes"}}, nil
	}
	v, err := instance(value)
	switch {
	case errors.Is(err, errTwice):
		return []Problem{{Rule: errTwice.Error()}}, nil
	case err != nil:
		return nil, errs.Coded(errs.Limit, CodeValue, "the value cannot be held against its schema: %s", err)
	case !s.bearable(v):
		return nil, errs.Coded(errs.Limit, CodeValue, "it takes too much work to hold a value this large against its schema")
	}
	err = s.rules.Validate(v)
	var wrong *jsonschema.ValidationError
	if !errors.As(err, &wrong) {
		return nil, nil
	}
	var out []Problem
	s.collect(wrong, v, &out)
	slices.SortFunc(out, func(a, b Problem) int {
		if c := strings.Compare(a.At, b.At); c != 0 {
			return c
		}
		return strings.Compare(a.Rule, b.Rule)
	})
	return slices.Compact(out), nil
}

// instance is a value as it is judged.
func instance(value []byte) (any, error) {
	b := bytes.TrimLeft(value, " \t\r\n")
	if len(b) == 0 || b[0] != '{' && b[0] != '[' || !json.Valid(b) {
		return string(value), nil
	}
	return parse(b, maxValueDepth, maxParts)
}

// bearable tells whether the work of judging is bounded as it has to be.
func (s *Schema) bearable(v any) bool {
	w := work{left: maxWork}
	w.use(s.root, v)
	return w.left >= 0
}

type work struct{ left int }

// use reckons what it takes to hold v against n at most, whatever fits or does not.
func (w *work) use(n *node, v any) {
	if w.left -= n.own; w.left < 0 {
		return
	}
	switch v := v.(type) {
	case map[string]any:
		w.object(n, v)
	case []any:
		w.array(n, v)
	case string:
		w.left -= len(v)/512 + n.insts*len(v)/16 // the library copies a text for each schema
		if n.text {
			w.left -= len(v) / 32
		}
	}
	for _, c := range n.here {
		if w.left < 0 {
			return
		}
		w.use(c, v)
	}
}

func (w *work) object(n *node, v map[string]any) {
	w.left -= len(v)
	for k, m := range v {
		w.left -= n.keyInsts * len(k) / 16
		for _, c := range n.names {
			w.use(c, k)
		}
		if c := n.props[k]; c != nil {
			w.use(c, m)
		}
		for _, c := range n.patterned {
			w.use(c, m)
		}
		for _, c := range n.additional {
			w.use(c, m)
		}
		if w.left < 0 {
			return
		}
	}
}

func (w *work) array(n *node, v []any) {
	if n.loose {
		w.left -= len(v)
	}
	if n.unique {
		w.left -= 20 * size(v) // up to 20 items are compared each with each
	}
	for i := range min(len(n.prefix), len(v)) {
		w.use(n.prefix[i], v[i])
	}
	for _, c := range n.items {
		for i := range v {
			if w.use(c, v[i]); w.left < 0 {
				return
			}
		}
	}
}

// collect finds the problems in what the library says. Of alternatives it is told
// only that none fits: each has its own reasons.
func (s *Schema) collect(e *jsonschema.ValidationError, v any, out *[]Problem) {
	if len(*out) > 1000 {
		return
	}
	switch k := e.ErrorKind.(type) {
	case *kind.Schema, *kind.Group, *kind.AllOf, *kind.Reference:
		for _, c := range e.Causes {
			s.collect(c, v, out)
		}
		return
	case *kind.PropertyNames: // the library's place of it is only sure at the top
		p := Problem{Rule: "propertyNames: a key has a name that is not allowed"}
		if len(e.InstanceLocation) == 0 {
			p.At = pointer([]string{s.shown(k.Property, true)})
		}
		*out = append(*out, p)
		return
	case *kind.AdditionalProperties:
		for _, key := range k.Properties {
			at := s.locate(append(slices.Clone(e.InstanceLocation), key), v)
			*out = append(*out, Problem{At: at, Rule: "additionalProperties: the schema has no such key"})
		}
		return
	}
	*out = append(*out, Problem{At: s.locate(e.InstanceLocation, v), Rule: rule(e.ErrorKind)})
}

// locate is the place of a problem, without the names that are a part of the value.
func (s *Schema) locate(where []string, v any) string {
	shown := make([]string, len(where))
	for i, key := range where {
		switch in := v.(type) {
		case map[string]any:
			shown[i], v = s.shown(key, i == 0), in[key]
		case []any:
			shown[i] = key
			if n, err := strconv.Atoi(key); err == nil && n < len(in) {
				v = in[n]
			}
		default:
			shown[i] = hidden
		}
	}
	return pointer(shown)
}

// hidden stands for a key that is not named.
const hidden = "*"

func (s *Schema) shown(key string, top bool) string {
	if !top && !s.names[key] || len(key) > maxName {
		return hidden
	}
	return key
}

// pointer is a JSON pointer (RFC 6901).
func pointer(where []string) string {
	var b strings.Builder
	for _, t := range where {
		b.WriteByte('/')
		b.WriteString(escape(t))
	}
	return b.String()
}

func escape(t string) string {
	return strings.ReplaceAll(strings.ReplaceAll(t, "~", "~0"), "/", "~1")
}

func quoted(s string) string {
	if len(s) > maxName {
		return "a long one"
	}
	return strconv.Quote(s)
}

// rule says which rule is broken: never what the value has.
func rule(k jsonschema.ErrorKind) string {
	n := strconv.Itoa
	switch k := k.(type) {
	case *kind.Type:
		return "type: it has to be of type " + strings.Join(k.Want, " or ")
	case *kind.Enum:
		return "enum: it is none of those that are listed"
	case *kind.Const:
		return "const: it is not what it has to be"
	case *kind.Format:
		return "format: it is no " + k.Want
	case *kind.Pattern:
		return "pattern: it does not match"
	case *kind.MinLength:
		return "minLength: it is shorter than " + n(k.Want) + " characters"
	case *kind.MaxLength:
		return "maxLength: it is longer than " + n(k.Want) + " characters"
	case *kind.MinItems:
		return "minItems: it has fewer than " + n(k.Want) + " items"
	case *kind.MaxItems:
		return "maxItems: it has more than " + n(k.Want) + " items"
	case *kind.MinProperties:
		return "minProperties: it has fewer than " + n(k.Want) + " keys"
	case *kind.MaxProperties:
		return "maxProperties: it has more than " + n(k.Want) + " keys"
	case *kind.Required:
		return "required: it lacks " + keys(k.Missing)
	case *kind.DependentRequired:
		return "dependentRequired: with " + quoted(k.Prop) + " it lacks " + keys(k.Missing)
	case *kind.FalseSchema:
		return "nothing is allowed here"
	case *kind.UniqueItems:
		return "uniqueItems: two items are the same"
	case *kind.Minimum:
		return "minimum: it is too small"
	case *kind.ExclusiveMinimum:
		return "exclusiveMinimum: it is too small"
	case *kind.Maximum:
		return "maximum: it is too large"
	case *kind.ExclusiveMaximum:
		return "exclusiveMaximum: it is too large"
	case *kind.MultipleOf:
		return "multipleOf: it is no multiple"
	case *kind.Not:
		return "not: it is what it must not be"
	case *kind.AnyOf:
		return "anyOf: it fits none of the alternatives"
	case *kind.OneOf:
		if len(k.Subschemas) > 0 {
			return "oneOf: it fits more than one of the alternatives"
		}
		return "oneOf: it fits none of the alternatives"
	case *kind.Contains:
		return "contains: it has no item of that kind"
	case *kind.MinContains:
		return "minContains: it has too few items of that kind"
	case *kind.MaxContains:
		return "maxContains: it has too many items of that kind"
	}
	return "it breaks a rule"
}

// keys are names that the schema says.
func keys(names []string) string {
	out := make([]string, 0, len(names))
	for i, k := range slices.Sorted(slices.Values(names)) {
		if i == maxProblems {
			out = append(out, "more")
			break
		}
		out = append(out, quoted(k))
	}
	return strings.Join(out, ", ")
}
