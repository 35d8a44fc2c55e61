package schema

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"countersign/internal/errs"
)

// longest is what a judgement may take on a slow machine under the race detector. On
// an idle core each of these takes less than a tenth of it.
const longest = time.Second

// The worst that schema and value can do to each other within the limits is soon
// over: it is refused unread, or it is judged.
func TestWorst(t *testing.T) {
	list := func(item string, n int) string {
		return "[" + strings.TrimSuffix(strings.Repeat(item+",", n), ",") + "]"
	}
	object := func(n int, value string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"k%d":%s`, i, value)
		}
		return "{" + b.String()[1:] + "}"
	}
	const mega = 1 << 20
	for name, schema := range map[string]string{
		"all":           `{"items":{"allOf":[` + strings.TrimSuffix(strings.Repeat(`{"minimum":2},`, 9), ",") + `]},"additionalProperties":{"type":"string"}}`,
		"any":           `{"items":{"anyOf":[` + strings.TrimSuffix(strings.Repeat(`{"minimum":2},`, 4), ",") + `]}}`,
		"one":           `{"items":{"type":"array","items":{"oneOf":[{"const":1},{"enum":[2,3,4,5]}]}}}`,
		"enum":          `{"items":{"enum":` + list(`1000000001`, 1000) + `}}`,
		"fractions":     `{"items":{"multipleOf":1e-99,"minimum":1e99}}`,
		"types":         `{"items":{"type":"string"}}`,
		"nothing":       `{"items":false,"additionalProperties":false}`,
		"unique":        `{"uniqueItems":true,"items":{"uniqueItems":true}}`,
		"unevaluated":   `{"allOf":[` + strings.TrimSuffix(strings.Repeat(`{"properties":{"a":true}},`, 20), ",") + `],"unevaluatedProperties":false,"unevaluatedItems":false}`,
		"contains":      `{"contains":{"contains":{"const":2}}}`,
		"pattern":       `{"pattern":"^(a?){20}b$","items":{"pattern":"(a|aa)+$"}}`,
		"long pattern":  `{"pattern":"(x?y?z?){900}q","items":{"pattern":"(x?y?z?){50}q"}}`,
		"keys":          `{"patternProperties":{"^(k?[0-9]?){50}$":{"type":"string"}},"propertyNames":{"pattern":"^(k?[0-9]?){50}z$"}}`,
		"many keys":     `{"patternProperties":{` + patterns(50) + `}}`,
		"blowup of 10":  blowupTo("allOf", 10, `{"minimum":5}`),
		"blowup of 12":  blowupTo("anyOf", 12, `{"minimum":5}`),
		"items blowup":  `{"items":` + blowupAt(8) + `,"$defs":` + defsOf(8) + `}`,
		"chain":         `{"items":{"$ref":"#/$defs/d0"},` + strings.TrimPrefix(chain(55), `{"$ref":"#/$defs/d0",`),
		"formats":       `{"format":"email","items":{"format":"uri"}}`,
		"lengths":       `{"minLength":5000000,"items":{"maxLength":1}}`,
		"names of keys": `{"propertyNames":{"maxLength":1},"additionalProperties":{"propertyNames":{"maxLength":1}}}`,
		"exclusions":    `{"items":{"not":{"not":{"not":{"type":"integer"}}}},"not":{"additionalProperties":{"type":"integer"}}}`,
	} {
		s, err := Parse([]byte(schema))
		if err != nil {
			if errs.As(err).Code == CodeSchema {
				continue // it is refused before there is a value
			}
			t.Errorf("%s: %v", name, err)
			continue
		}
		most := func(item string) int { return (mega - 2) / (len(item) + 1) }
		for what, value := range map[string]string{
			"numbers": list("1", most("1")), "fewer numbers": list("1", 20_000), "some numbers": list("1", 5000),
			"long numbers": list("1e-99", 3000), "long integers": list(strings.Repeat("9", 64), 3000), "texts": list(`"aaaaaaaaaaaaaaaaaaaaaaaa"`, 3000),
			"lists": list("[1,2]", 8000), "many lists": list("[]", 40_000), "objects": list(`{"a":{"b":1}}`, 5000),
			"keys": object(15_000, "1"), "fewer keys": object(3000, `{"x":1}`), "a text": strings.Repeat("a", mega), "a text of 64 KiB": strings.Repeat("x", 64<<10),
			"a text of 4 KiB": strings.Repeat("x", 4<<10), "deep": strings.Repeat("[", 127) + strings.Repeat("]", 127),
			"deeper": strings.Repeat("[", 300_000) + strings.Repeat("]", 300_000), "twenty": list(list("1", 2000), 20), "addresses": list(`"a@b.cd"`, 20_000),
		} {
			var err error
			took := time.Hour
			for range 3 { // others may have the processor
				began := time.Now()
				err = s.Check([]byte(value), false)
				if took = min(took, time.Since(began)); took < longest {
					break
				}
			}
			if took > longest {
				t.Errorf("%s on %s took %v: %.200v", name, what, took, err)
			}
			if took > 40*time.Millisecond {
				t.Logf("%s on %s took %v: %.100v", name, what, took, err)
			}
			if err != nil && len(err.Error()) > 4000 {
				t.Errorf("%s on %s: the error has %d bytes", name, what, len(err.Error()))
			}
		}
	}
}

func patterns(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"^k[0-9]*%d$":{"type":"string"}`, i)
	}
	return b.String()[1:]
}

func blowupAt(int) string { return `{"$ref":"#/$defs/d0"}` }

func defsOf(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"d%d":{"allOf":[{"$ref":"#/$defs/d%d"},{"$ref":"#/$defs/d%d"}]},`, i, i+1, i+1)
	}
	return fmt.Sprintf(`{%s"d%d":{"minimum":3}}`, b.String(), n)
}

// A number takes as much memory to reckon with as its exponent says.
func TestNumbersAreBounded(t *testing.T) {
	s := parsed(t, `{"additionalProperties":{"type":"integer","maximum":5},"items":{"const":1}}`)
	for _, v := range []string{`{"a":1e999999999}`, `{"a":1e-999999999}`, `[1E+999999999]`, `{"a":` + strings.Repeat("1", 1000) + `}`, `[1e99999999999999999999999]`} {
		if err := s.Check([]byte(v), false); !errs.Is(err, errs.Limit) {
			t.Errorf("%.30s: got %v", v, err)
		}
	}
}

// What a value costs is told the same on every machine, so it is refused or not.
func TestTooMuchWork(t *testing.T) {
	s := parsed(t, `{"pattern":"(x?y?z?){50}q"}`)
	err := s.Check([]byte(strings.Repeat("x", 1<<20)), false)
	if e := errs.As(err); e == nil || e.Kind != errs.Limit || e.Code != CodeValue {
		t.Errorf("got %v", err)
	}
	if err := s.Check([]byte("xyzq"), false); err != nil {
		t.Error(err)
	}
}

// The sizes that secrets have are within what is judged.
func TestUsualSizes(t *testing.T) {
	var value strings.Builder
	for i := range 100 {
		fmt.Fprintf(&value, `,"VARIABLE_%d":"%s"`, i, strings.Repeat("Ab3", 60))
	}
	env := parsed(t, `{"type":"object","propertyNames":{"pattern":"^[A-Z][A-Z0-9_]*$"},"additionalProperties":{"type":"string","minLength":1,"maxLength":2000}}`)
	if err := env.Check([]byte("{"+value.String()[1:]+"}"), false); err != nil {
		t.Error(err)
	}
	pem := parsed(t, `{"type":"string","pattern":"^-----BEGIN [A-Z ]*PRIVATE KEY-----"}`)
	if err := pem.Check([]byte("-----BEGIN RSA PRIVATE KEY-----\n"+strings.Repeat("Ab3+/x", 1000)+"\n"), false); err != nil {
		t.Error(err)
	}
	large := parsed(t, `{"type":"string","minLength":10}`)
	if err := large.Check([]byte(strings.Repeat("x", 1<<20)), false); err != nil {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{database, `true`, `{"$ref":"#/$defs/a","$defs":{"a":{"type":["string","null"]}}}`, chain(5), blowup("oneOf", 4),
		`{"patternProperties":{"^a":{"uniqueItems":true}},"unevaluatedProperties":{"if":{"const":[1,{"a":null}]}}}`, `{"items":{"multipleOf":0.01},"contains":true}`} {
		for _, v := range []string{`{"user":"planted-value","port":1e3,"list":[1,1.0,{"id":"planted-value"}]}`, `planted-value`, `["planted-value",1e-9]`} {
			f.Add(s, v)
		}
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		stuck := time.AfterFunc(20*time.Second, func() { panic(fmt.Sprintf("it does not end: %q on %q", text, value)) })
		defer stuck.Stop()
		s, err := Parse([]byte(text))
		if err != nil {
			if e := errs.As(err); e.Kind != errs.Invalid && e.Kind != errs.Limit || e.Code != CodeSchema {
				t.Fatalf("got %v (%v)", err, e.Kind)
			}
			return
		}
		if again, err := Parse(s.Text()); err != nil || string(again.Text()) != string(s.Text()) {
			t.Fatalf("what is kept is read another way: %v", err)
		}
		// No text of the value stands in the error unless it is in the schema.
		err = s.Check([]byte(value), false)
		if err != nil && !strings.Contains(text, "planted") && strings.Contains(err.Error(), "planted-value") && !strings.Contains(value, `"planted-value":`) {
			t.Fatalf("the error has the value: %v", err)
		}
		if e := errs.As(err); e != nil && e.Kind != errs.Invalid && e.Kind != errs.Limit {
			t.Fatalf("got %v", err)
		}
	})
}
