package aws

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"countersign/internal/errs"

	"github.com/google/go-cmp/cmp"
)

// thing is a structure with a member of every type.
type thing struct {
	Text  String
	Data  Blob
	Value Blob
	Num   Int
	Flag  Bool
	List  Strings
	Items Items[thing]
}

func (t *thing) Member(r *Reader, name []byte) {
	switch string(name) {
	case "Text":
		r.String(&t.Text)
	case "Data":
		r.Base64(&t.Data)
	case "Value":
		r.Text(&t.Value)
	case "Num":
		r.Int(&t.Num)
	case "Flag":
		r.Bool(&t.Flag)
	case "List":
		r.Strings(&t.List)
	case "Items":
		List(r, &t.Items)
	default:
		r.Skip()
	}
}

func TestDecode(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		want thing
	}{
		"empty":        {"", thing{}},
		"blank":        {" \n", thing{}},
		"none":         {" { } ", thing{}},
		"nulls":        {`{"Text":null,"Data":null,"Value":null,"Num":null,"Flag":null,"List":null,"Items":null}`, thing{}},
		"null-first":   {`{"Text":null,"Text":"a"}`, thing{Text: String{"a", true}}},
		"text":         {`{"Text":"a"}`, thing{Text: String{"a", true}}},
		"escapes":      {`{"\u0054ext":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00"}`, thing{Text: String{"\"\\/\b\f\n\r\té😀", true}}},
		"blob":         {`{"Data":"AAE="}`, thing{Data: Blob{[]byte{0, 1}, true}}},
		"value":        {`{"Value":"a\u0000"}`, thing{Value: Blob{[]byte("a\x00"), true}}},
		"number":       {`{"Num":-12}`, thing{Num: Int{-12, true}}},
		"whole":        {`{"Num":1.5e1}`, thing{Num: Int{15, true}}},
		"true":         {`{"Flag":true}`, thing{Flag: Bool{true, true}}},
		"false":        {`{"Flag":false}`, thing{Flag: Bool{false, true}}},
		"list":         {`{"List":["a",null]}`, thing{List: Strings{[]String{{"a", true}, {}}, true}}},
		"empty-list":   {`{"List":[ ]}`, thing{List: Strings{nil, true}}},
		"items":        {`{"Items":[{"Num":1},null]}`, thing{Items: Items[thing]{[]thing{{Num: Int{1, true}}, {}}, true}}},
		"unknown":      {`{"X":[1,-0.5E+3,{"y":[]},"z",true,false,null],"Num":1,"X":0}`, thing{Num: Int{1, true}}},
		"deep-as-much": {`{"X":` + strings.Repeat("[", maxDepth-1) + strings.Repeat("]", maxDepth-1) + `,"Num":1}`, thing{Num: Int{1, true}}},
	} {
		t.Run(name, func(t *testing.T) {
			var r Reader
			var got thing
			if err := r.Decode([]byte(c.in), &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"text":          {`"a"`, "Expected null"},
		"null":          {`null`, "Expected null"},
		"open":          {`{`, "at byte 1"},
		"no-name":       {`{1:2}`, "at byte 1"},
		"no-colon":      {`{"a" 1}`, "at byte 5"},
		"comma":         {`{"a":1,}`, "at byte 7"},
		"list-comma":    {`{"a":[1,]}`, "at byte 8"},
		"missing-comma": {`{"a":1 "b":2}`, "at byte 7"},
		"after":         {`{} x`, "at byte 3"},
		"twice":         {`{"Num":1,"Num":1}`, "more than once"},
		"too-deep":      {`{"X":` + strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth) + `}`, "too deeply"},
		"utf8":          {"{\"Text\":\"\xff\"}", "UTF-8"},
		"utf8-escaped":  {"{\"Text\":\"\\n\xff\"}", "UTF-8"},
		"utf8-unknown":  {"{\"X\":\"\xc0\x80\"}", "UTF-8"},
		"control":       {"{\"Text\":\"\n\"}", "at byte 9"},
		"control-late":  {"{\"Text\":\"\\n\n\"}", "at byte 11"},
		"escape":        {`{"Text":"\x"}`, "at byte 9"},
		"half-escape":   {`{"Text":"\u12"}`, "at byte 9"},
		"lone-high":     {`{"Text":"\ud83d"}`, "at byte 9"},
		"lone-low":      {`{"Text":"\ude00"}`, "at byte 9"},
		"high-high":     {`{"Text":"\ud83d\ud83d"}`, "at byte 9"},
		"unended":       {`{"Text":"a`, "at byte 10"},
		"unended-late":  {`{"Text":"\n`, "at byte 11"},
		"zeros":         {`{"Num":01}`, "at byte 8"},
		"minus":         {`{"Num":-}`, "at byte 8"},
		"dot":           {`{"Num":1.}`, "at byte 9"},
		"exponent":      {`{"Num":1e}`, "at byte 9"},
		"fraction":      {`{"Num":1.5}`, "NUMBER_VALUE can not be converted to a Long"},
		"huge":          {`{"Num":9223372036854775808}`, "NUMBER_VALUE can not be converted to a Long"},
		"number-text":   {`{"Num":"1"}`, "STRING_VALUE can not be converted to a Long"},
		"text-number":   {`{"Text":1}`, "NUMBER_VALUE can not be converted to a String"},
		"value-flag":    {`{"Value":false}`, "FALSE_VALUE can not be converted to a String"},
		"text-object":   {`{"Text":{}}`, "Start of structure or map found where not expected."},
		"text-list":     {`{"Text":[]}`, "Start of list found where not expected"},
		"flag-text":     {`{"Flag":"true"}`, "STRING_VALUE can not be converted to a Boolean"},
		"flag-half":     {`{"Flag":tru}`, "at byte 8"},
		"blob":          {`{"Data":"AA="}`, "base64"},
		"blob-newline":  {`{"Data":"AA\n=="}`, "base64"},
		"blob-number":   {`{"Data":1}`, "NUMBER_VALUE can not be converted to a ByteBuffer"},
		"list":          {`{"List":"a"}`, "Expected list or null"},
		"items":         {`{"Items":{}}`, "Expected list or null"},
		"item":          {`{"Items":["a"]}`, "Expected null"},
		"item-list":     {`{"Items":[[]]}`, "Start of list found where not expected"},
		"value-end":     {`{"Text":`, "at byte 8"},
		"value-none":    {`{"X":}`, "at byte 5"},
	} {
		t.Run(name, func(t *testing.T) {
			var r Reader
			err := r.Decode([]byte(c.in), &thing{})
			e := errs.As(err)
			if e == nil || e.Kind != errs.Invalid || e.Code != CodeSerialization || !strings.Contains(e.Msg, c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// FuzzDecode holds the reader to encoding/json: what it accepts the other
// accepts too, and reads alike.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{``, `{}`, `{"Text":"a","Num":-1.0e2,"Flag":true,"List":["b",null],"Items":[{"Text":"\ud83d\ude00"}],"X":{"y":[0.5]}}`,
		`{"Text":"\u0000","Data":"AAE="}`, `{"Text":null,"Text":"a"}`, "{\"Value\":\"\xff\"}", `[[[`, `{"Num":1e400}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var r Reader
		var got thing
		err := r.Decode(in, &got)
		if err != nil {
			if errs.As(err).Code != CodeSerialization {
				t.Fatalf("the error is %v", err)
			}
			return
		}
		if len(strings.TrimSpace(string(in))) == 0 {
			return
		}
		var want map[string]any
		dec := json.NewDecoder(bytes.NewReader(in))
		dec.UseNumber() // an unknown member's number may be larger than any type
		if err := dec.Decode(&want); err != nil || !json.Valid(in) {
			t.Fatalf("accepted what is no JSON: %v", err)
		}
		if text, is := want["Text"].(string); is != got.Text.Set || text != got.Text.Value || !utf8.ValidString(text) {
			t.Fatalf("Text is %q, want %q", got.Text.Value, text)
		}
		if number, is := want["Num"].(json.Number); is != got.Num.Set {
			t.Fatalf("Num is set: %v, want %v", got.Num.Set, is)
		} else if is {
			if n, err := number.Float64(); err != nil || math.Abs(float64(got.Num.Value)-n) > math.Abs(n)/1e15 {
				t.Fatalf("Num is %d, want %v", got.Num.Value, number)
			}
		}
		if list, is := want["List"].([]any); is != got.List.Set || len(list) != len(got.List.Values) {
			t.Fatalf("List is %v, want %v", got.List, list)
		}
	})
}

// FuzzText holds what the writer makes of any text to encoding/json.
func FuzzText(f *testing.F) {
	for _, s := range []string{"", "plain", "a\"\\\n\r\t\x00\x1f\x7f", "é😀\u2028", "\xff\xc0a", "\xe2\x82"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var w Writer
		w.Open('{')
		w.TextAlways("a", s)
		w.TextBytes("b", []byte(s))
		w.Base64("c", []byte(s))
		w.Close('}')
		var got struct {
			A, B string
			C    []byte
		}
		if err := json.Unmarshal(w.B, &got); err != nil {
			t.Fatalf("%v: %q", err, w.B)
		}
		// encoding/json replaces each bad byte, as the writer does.
		want := string([]rune(s))
		if got.A != want || got.B != want || string(got.C) != s {
			t.Fatalf("got %q, %q, %q, want %q", got.A, got.B, got.C, want)
		}
	})
}

func TestWriter(t *testing.T) {
	var w Writer
	w.Open('{')
	w.Text("Left", "")
	w.Text("A", "1")
	w.Time("None", time.Time{})
	w.Time("Second", time.Unix(1700000000, 0))
	w.Time("Milli", time.Unix(1700000000, 45_900_000))
	w.Time("Tenth", time.Unix(1700000000, 500_000_000))
	w.Int("Zero", 0)
	w.Int("N", -5)
	w.Bool("T", true)
	w.Texts("No", nil)
	w.Texts("L", []string{"x", "y"})
	w.Name("O")
	w.Open('{')
	w.Key("k\"")
	w.Open('[')
	w.Open('{')
	w.Close('}')
	w.Open('{')
	w.Close('}')
	w.Close(']')
	w.Close('}')
	w.Close('}')
	const want = `{"A":"1","Second":1700000000,"Milli":1700000000.045,"Tenth":1700000000.5,"N":-5,"T":true,"L":["x","y"],"O":{"k\"":[{},{}]}}`
	if got := string(w.B); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestChecks(t *testing.T) {
	var c Checks
	if c.Err() != nil || !c.Sound() {
		t.Error("nothing is wrong yet")
	}
	c.Fail(errs.New(errs.Invalid, "first"))
	c.Fail(errs.New(errs.Invalid, "second"))
	if err := c.Err(); err == nil || err.Error() != "first" {
		t.Errorf("got %v", err)
	}
	for range 20 {
		c.Length("a", String{strings.Repeat("é", 100), true}, 0, 1)
	}
	e := errs.As(c.Err())
	if e.Code != CodeValidation || !strings.HasPrefix(e.Msg, "20 validation errors detected: Value 'é") ||
		len(e.Msg) > maxBroken*(maxEcho+120) || !utf8.ValidString(e.Msg) {
		t.Errorf("got %s", e.Msg)
	}
}

func TestNewRefuses(t *testing.T) {
	if _, err := New(Config{}); !errs.Is(err, errs.Invalid) {
		t.Errorf("got %v", err)
	}
}
