package call_test

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"countersign/internal/rotator"
	"countersign/internal/rotator/call"
	"countersign/internal/sensitive"
)

func TestParseAnswer(t *testing.T) {
	for text, want := range map[string]string{
		"": "", " \n": "", "{}": "", `{"value":null}`: "", `{"value":"a\"b"}`: `a"b`, `{"value_base64":"AAE="}`: "\x00\x01", `{"value":"v","note":"n","more":[1]}`: "v",
	} {
		a, err := call.ParseAnswer([]byte(text))
		if err != nil || string(a.Value.Data.Reveal()) != want {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, text := range []string{"text", "[]", `{"value":1}`, `{"value":""}`, `{"value":"a","value_base64":"AA=="}`, `{"value_base64":"AA"}`, `{"value":"a","value":"b"}`,
		`{"value":"\ud800"}`, "{\"value\":\"\xff\"}", `{"value":"v","note":7}`, `{"value":"v","note":"` + strings.Repeat("n", rotator.MaxNote+1) + `"}`,
		`{"value":"` + strings.Repeat("v", rotator.MaxValue+1) + `"}`} {
		if _, err := call.ParseAnswer([]byte(text)); err == nil {
			t.Errorf("%.40q is an answer", text)
		}
	}
}

func TestParseRefusal(t *testing.T) {
	r := call.ParseRefusal([]byte(`{"class":"credentials","code":"bad login: hunter2","unsupported":false}`))
	if r.Class != rotator.Credentials || r.Code != "bad" || r.Unsupported {
		t.Errorf("%+v", r)
	}
	for _, text := range []string{"", "no", `{"class":"broken"}`, `{"class":7,"code":{},"unsupported":"true"}`} {
		if r := call.ParseRefusal([]byte(text)); r != (call.Refusal{}) {
			t.Errorf("%q: %+v", text, r)
		}
	}
}

func TestNothingOfAValueIsShown(t *testing.T) {
	j := rotator.Job{Token: sensitive.FromString("TOKEN-1"), Current: rotator.Text("hunter2"), Related: map[string]rotator.Value{"admin": rotator.Text(`{"password":"s3cret-word"}`)}}
	for _, code := range []string{"hunter2", "xhunter2x", "s3cret-word", "TOKEN", "unter"} {
		if got := call.Shown(code, j); got != "" {
			t.Errorf("%q is shown as %q", code, got)
		}
	}
	if got := call.Shown("Timeout", j); got != " (Timeout)" {
		t.Errorf("shown as %q", got)
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"value":"v","note":"n"}`))
	f.Add([]byte(`{"value_base64":"AAE="}`))
	f.Add([]byte(`{"class":"rejected","code":"c"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := call.ParseAnswer(b)
		if err != nil {
			for _, word := range strings.Fields(string(b)) {
				if len(word) > 24 && strings.Contains(err.Error(), word) {
					t.Fatalf("the error quotes the answer")
				}
			}
		}
		if n := a.Value.Data.Len(); n > rotator.MaxValue || len(a.Note) > rotator.MaxNote {
			t.Fatalf("a value of %d bytes", n)
		}
		if err == nil && !a.Value.Empty() { // what it holds is what was meant
			var in struct {
				Value  *string `json:"value"`
				Base64 *string `json:"value_base64"`
			}
			if json.Unmarshal(b, &in) == nil && in.Value != nil && in.Base64 == nil && *in.Value != string(a.Value.Data.Reveal()) {
				t.Fatalf("%q became another", *in.Value)
			}
			if a.Value.Binary && in.Base64 != nil && base64.StdEncoding.EncodeToString(a.Value.Data.Reveal()) != *in.Base64 {
				t.Fatal("the bytes became others")
			}
		}
		if r := call.ParseRefusal(b); r.Code != call.Code(r.Code) {
			t.Fatalf("the code %q", r.Code)
		}
	})
}
