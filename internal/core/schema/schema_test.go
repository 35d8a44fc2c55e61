package schema

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"countersign/internal/errs"
)

func parsed(t testing.TB, text string) *Schema {
	t.Helper()
	s, err := Parse([]byte(text))
	if err != nil {
		t.Fatalf("Parse(%.200s): %v", text, err)
	}
	return s
}

const database = `{"type": "object", "required": ["user", "port"], "additionalProperties": false,
	"properties": {"user": {"type": "string", "minLength": 3, "maxLength": 12}, "port": {"type": "integer", "minimum": 1, "maximum": 65535},
		"url": {"type": "string", "format": "uri"}, "kind": {"enum": ["hunter2", "other"]}, "fixed": {"const": "hunter3"},
		"key": {"type": "string", "pattern": "^sk_[a-z]{4}$"}, "list": {"type": "array", "items": {"$ref": "#/$defs/item"}, "uniqueItems": true, "maxItems": 3},
		"deep": {"type": "object", "additionalProperties": {"type": "string"}}},
	"$defs": {"item": {"type": "object", "properties": {"id": {"type": "integer"}}}}}`

func TestCheck(t *testing.T) {
	s := parsed(t, database)
	for _, tt := range []struct{ name, value, want string }{
		{"fits", `{"user":"app","port":5432}`, ""},
		{"lacks", `{"user":"app"}`, `required: it lacks "port"`},
		{"lacks both", `{}`, `required: it lacks "port", "user"`},
		{"type", `{"user":"app","port":"hunter1"}`, "at /port, type: it has to be of type integer"},
		{"short", `{"user":"ap","port":1}`, "at /user, minLength: it is shorter than 3 characters"},
		{"long", `{"user":"hunter1hunter1","port":1}`, "at /user, maxLength: it is longer than 12 characters"},
		{"large", `{"user":"app","port":70000}`, "at /port, maximum: it is too large"},
		{"more", `{"user":"app","port":1,"usr":"hunter1"}`, "at /usr, additionalProperties: the schema has no such key"},
		{"enum", `{"user":"app","port":1,"kind":"hunter1"}`, "at /kind, enum: it is none of those that are listed"},
		{"const", `{"user":"app","port":1,"fixed":"hunter1"}`, "at /fixed, const: it is not what it has to be"},
		{"pattern", `{"user":"app","port":1,"key":"hunter1"}`, "at /key, pattern: it does not match"},
		{"format", `{"user":"app","port":1,"url":"hunter1 x"}`, "at /url, format: it is no uri"},
		{"item", `{"user":"app","port":1,"list":[{"id":1},{"id":"hunter1"}]}`, "at /list/1/id, type: it has to be of type integer"},
		{"equal items", `{"user":"app","port":1,"list":[{"id":1},{"id":1}]}`, "at /list, uniqueItems: two items are the same"},
		{"name in the value", `{"user":"app","port":1,"deep":{"hunter1":1}}`, "at /deep/*, type: it has to be of type string"},
		{"several", `{"user":"a","port":"x"}`, "at /port, type: it has to be of type integer; at /user, minLength: it is shorter than 3 characters"},
		{"twice", `{"user":"app","user":"hunter1","port":1}`, "a key is given twice in one object"},
		{"text", `hunter1`, "type: it has to be of type object"},
		{"broken", `{"user":"hunter1"`, "type: it has to be of type object"},
		{"list", `["hunter1"]`, "type: it has to be of type object"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := s.Check([]byte(tt.value), false)
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			e := errs.As(err)
			if e == nil || e.Kind != errs.Invalid || e.Code != CodeValue {
				t.Fatalf("got %v", err)
			}
			if want := "the value does not fit the secret's schema: " + tt.want; e.Msg != want {
				t.Errorf("got  %s\nwant %s", e.Msg, want)
			}
			if strings.Contains(err.Error(), "hunter") {
				t.Errorf("the error repeats a value: %v", err)
			}
		})
	}
}

// Text is what readers get, so it is judged as it stands.
func TestCheckText(t *testing.T) {
	s := parsed(t, `{"type":"string","pattern":"^[0-9]{4}$"}`)
	if err := s.Check([]byte("1234"), false); err != nil {
		t.Error(err)
	}
	for _, v := range []string{`"1234"`, `{"a":1}`, `[1]`, "1234\n", " 1234"} {
		if s.Check([]byte(v), false) == nil {
			t.Errorf("%q fits", v)
		}
	}
	any := parsed(t, `true`)
	for _, v := range [][]byte{{0xff, 0xfe}, []byte("\xc3\x28")} {
		if any.Check(v, false) == nil {
			t.Errorf("%x fits", v)
		}
	}
	if any.Check([]byte("abc"), true) == nil {
		t.Error("bytes fit")
	}
	if err := any.Check([]byte(" {\"a\": 1}\n"), false); err != nil {
		t.Error(err)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"no JSON", `{`, "no JSON"},
		{"YAML", `type: object`, "no JSON"},
		{"text", `"x"`, "a schema is an object"},
		{"two", `{} {}`, "no JSON"},
		{"misspelt", `{"properties":{"a":{"minLenght":3}}}`, `/properties/a: a keyword is not known or not taken: "minLenght"`},
		{"twice", `{"type":"string","type":"object"}`, "given twice"},
		{"wrong type", `{"properties":{"a":{"type":"text"}}}`, "/properties/a/type: this is not as JSON Schema has it"},
		{"remote", `{"$ref":"https://example.com/schema.json"}`, "/$ref: a reference leads to"},
		{"file", `{"$ref":"file:///etc/passwd"}`, "/$ref: a reference leads to"},
		{"relative", `{"$ref":"other.json"}`, "/$ref: a reference leads to"},
		{"metaschema", `{"$ref":"https://json-schema.org/draft/2020-12/schema"}`, "/$ref: a reference leads to"},
		{"root", `{"properties":{"a":{"$ref":"#"}}}`, "/$ref: a reference leads to"},
		{"missing", `{"$ref":"#/$defs/x"}`, "/$ref: a reference leads to"},
		{"escaped", `{"$ref":"#/%24defs/x","$defs":{"x":{}}}`, "/$ref: a reference leads to"},
		{"circle", `{"$ref":"#/$defs/x","$defs":{"x":{"$ref":"#/$defs/y"},"y":{"$ref":"#/$defs/x"}}}`, "leads to itself"},
		{"recursion", `{"$ref":"#/$defs/x","$defs":{"x":{"properties":{"a":{"$ref":"#/$defs/x"}}}}}`, "leads to itself"},
		{"unused circle", `{"$defs":{"x":{"items":{"$ref":"#/$defs/x"}}}}`, "leads to itself"},
		{"default", `{"properties":{"default":{"default":"x"}}}`, "/properties/default/default: a schema holds no value"},
		{"examples", `{"examples":["x"]}`, "/examples: a schema holds no value"},
		{"id", `{"$id":"https://example.com/"}`, "not known or not taken"},
		{"anchor", `{"$anchor":"a"}`, "not known or not taken"},
		{"dynamic", `{"$dynamicRef":"#a"}`, "not known or not taken"},
		{"vocabulary", `{"$vocabulary":{}}`, "not known or not taken"},
		{"older draft", `{"$schema":"http://json-schema.org/draft-07/schema#"}`, "/$schema: the one that is known"},
		{"inner draft", `{"not":{"$schema":"https://json-schema.org/draft/2020-12/schema"}}`, "/not/$schema: the one that is known"},
		{"format", `{"format":"regex"}`, "/format: the formats are"},
		{"backreference", `{"pattern":"(a)\\1"}`, "none of RE2"},
		{"lookahead", `{"pattern":"(?=a)"}`, "none of RE2"},
		{"huge pattern", `{"pattern":"` + strings.Repeat("x{1000}", 2000) + `"}`, "too large"},
		{"nested pattern", `{"pattern":"((a{30}){30}){30}"}`, "none of RE2"},
		{"huge key pattern", `{"patternProperties":{"` + strings.Repeat("y{900}", 20) + `":{}}}`, "too large"},
		{"huge count", `{"maxProperties":1e99}`, "whole number"},
		{"huge count in full", `{"maxLength":99999999999999999999}`, "whole number"},
		{"negative", `{"minItems":-1}`, "whole number"},
		{"huge number", `{"maximum":1e999999999}`, "number is longer"},
		{"long number", `{"maximum":` + strings.Repeat("9", 100) + `}`, "number is longer"},
		{"deep", strings.Repeat(`{"not":`, 40) + `{}` + strings.Repeat("}", 40), "nested too deep"},
		{"large", `{"title":"` + strings.Repeat("x", MaxText) + `"}`, "at most"},
		{"many", `{"allOf":[` + strings.Repeat("{},", maxNodes) + `{}]}`, "more than 1000 schemas"},
		{"no list", `{"allOf":{}}`, "list of schemas"},
		{"empty list", `{"anyOf":[]}`, "list of schemas"},
		{"chain", chain(80), "in a chain"},
		{"blowup", blowup("allOf", 30), "too much work"},
		{"blowup of alternatives", blowup("anyOf", 30), "too much work"},
		{"not UTF-8", "{\"title\":\"\xff\"}", "no JSON"},
		{"defs", `{"$defs":[]}`, "/$defs: this is an object"},
		{"name of defs", `{"$defs":{"a/b":{}}}`, "a name here has"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			began := time.Now()
			_, err := Parse([]byte(tt.text))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
			if e := errs.As(err); e.Code != CodeSchema || e.Kind != errs.Invalid && e.Kind != errs.Limit {
				t.Errorf("got kind %v and code %q", e.Kind, e.Code)
			}
			if took := time.Since(began); took > time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// chain is a schema whose references lead one to the next.
func chain(n int) string {
	var b strings.Builder
	b.WriteString(`{"$ref":"#/$defs/d0","$defs":{`)
	for i := range n {
		fmt.Fprintf(&b, `"d%d":{"$ref":"#/$defs/d%d"},`, i, i+1)
	}
	fmt.Fprintf(&b, `"d%d":{}}}`, n)
	return b.String()
}

// blowup is a schema whose size doubles with every level.
func blowup(keyword string, n int) string {
	return blowupTo(keyword, n, `{"type":"object"}`)
}

func blowupTo(keyword string, n int, leaf string) string {
	var b strings.Builder
	b.WriteString(`{"$ref":"#/$defs/d0","$defs":{`)
	for i := range n {
		fmt.Fprintf(&b, `"d%d":{%q:[{"$ref":"#/$defs/d%d"},{"$ref":"#/$defs/d%d"}]},`, i, keyword, i+1, i+1)
	}
	fmt.Fprintf(&b, `"d%d":%s}}`, n, leaf)
	return b.String()
}

func TestTakes(t *testing.T) {
	for _, tt := range []struct{ name, schema, fits, not string }{
		{"draft", `{"$schema":"https://json-schema.org/draft/2020-12/schema","type":"object"}`, `{}`, `[]`},
		{"alternatives", `{"anyOf":[{"required":["a"]},{"required":["b"]}]}`, `{"a":1}`, `{"c":1}`},
		{"one", `{"oneOf":[{"required":["a"]},{"required":["b"]}]}`, `{"a":1}`, `{"a":1,"b":1}`},
		{"condition", `{"if":{"required":["a"]},"then":{"required":["b"]},"else":{"required":["c"]}}`, `{"a":1,"b":1}`, `{"a":1}`},
		{"dependent", `{"dependentRequired":{"a":["b"]}}`, `{"b":1}`, `{"a":1}`},
		{"dependent schemas", `{"dependentSchemas":{"a":{"required":["b"]}}}`, `{"b":1}`, `{"a":1}`},
		{"names", `{"propertyNames":{"pattern":"^[A-Z_]+$"}}`, `{"A_B":1}`, `{"a":1}`},
		{"key patterns", `{"patternProperties":{"^n_":{"type":"integer"}}}`, `{"n_a":1,"x":"y"}`, `{"n_a":"x"}`},
		{"unevaluated", `{"allOf":[{"properties":{"a":{}}}],"unevaluatedProperties":false}`, `{"a":1}`, `{"b":1}`},
		{"unevaluated items", `{"prefixItems":[{}],"unevaluatedItems":false}`, `[1]`, `[1,2]`},
		{"contains", `{"contains":{"type":"integer"},"minContains":2,"maxContains":2}`, `[1,2,"x"]`, `[1]`},
		{"numbers", `{"items":{"multipleOf":0.1,"exclusiveMaximum":10,"exclusiveMinimum":1}}`, `[1.5]`, `[10]`},
		{"annotations", `{"title":"t","description":"d","deprecated":true,"$comment":"c"}`, `{}`, "\xff"},
		{"nothing", `{"not":false}`, `{}`, "\xff"},
		{"long chain", chain(60), `{}`, "\xff"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := parsed(t, tt.schema)
			if err := s.Check([]byte(tt.fits), false); err != nil {
				t.Errorf("%s: %v", tt.fits, err)
			}
			if err := s.Check([]byte(tt.not), false); !errs.Is(err, errs.Invalid) {
				t.Errorf("%s: got %v", tt.not, err)
			}
		})
	}
}

// The text of a schema is kept as it is, but for space.
func TestText(t *testing.T) {
	s := parsed(t, `{ "type" : "object", "title" : "a  b" }`)
	if got := string(s.Text()); got != `{"type":"object","title":"a  b"}` {
		t.Errorf("got %s", got)
	}
	again := parsed(t, string(s.Text()))
	if string(again.Text()) != string(s.Text()) {
		t.Error("it is another the second time")
	}
}
