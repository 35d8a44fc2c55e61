package native

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"countersign/internal/core/coretest"
)

// FuzzRequest sends any method, path, query and body with good credentials: the
// answer is never a failure of the server, is JSON, and a body that is not
// exactly one strict object never succeeds.
func FuzzRequest(f *testing.F) {
	for _, c := range golden() {
		path, query, _ := strings.Cut(c[1], "?")
		f.Add(c[0], path, query, []byte(c[2]))
	}
	f.Add("PUT", "/secret/value", "name=a/b", []byte(`{"value":"\ud800"}`))
	f.Add("POST", "/users", "", []byte(`{"Name":"x"}`))
	f.Add("GET", "/users/%2e%2e", "limit=00", []byte(nil))
	s := newServer(f, coretest.Config{})
	f.Fuzz(func(t *testing.T, method, path, query string, body []byte) {
		if path == "/backup" || path == "/audit" && strings.Contains(query, "follow") || path == "/keyring/rotate" {
			return // streams, and what takes long
		}
		u, err := url.Parse("http://host" + Base + path)
		if err != nil || method == "" || !utf8.ValidString(method) {
			return
		}
		u.RawQuery = query
		r := &http.Request{Method: method, URL: u, Header: http.Header{"Authorization": {"Bearer " + s.admin}}, Body: http.NoBody}
		if len(body) > 0 {
			r.Body = http.NoBody
			r = httptest.NewRequest("POST", "http://host/", bytes.NewReader(body))
			r.Method, r.URL = method, u
			r.Header.Set("Authorization", "Bearer "+s.admin)
			r.Header.Set("Content-Type", "application/json")
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Fatalf("%s %s?%s: %d %s", method, path, query, w.Code, w.Body)
		}
		if w.Code == 200 && path == "/openapi.yaml" {
			return
		}
		if !json.Valid(w.Body.Bytes()) {
			t.Fatalf("the answer is not JSON: %q", w.Body)
		}
		if w.Code == 200 && len(body) > 0 && (!json.Valid(body) || !utf8.Valid(body) || bytes.TrimSpace(body)[0] != '{') {
			t.Fatalf("accepted the body %q", body)
		}
	})
}

// FuzzQuoted compares the encoder of strings with encoding/json's.
func FuzzQuoted(f *testing.F) {
	for _, s := range []string{"", "plain", "\"\\\n\x00\x1f", "é\u2028\u2029", "\xff", "\xed\xa0\x80", "😀"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, s []byte) {
		var got string
		b := appendQuoted(nil, s)
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatalf("%q: %v", b, err)
		}
		if want := strings.ToValidUTF8(string(s), "\ufffd"); len(got) < len(want) || utf8.Valid(s) && got != string(s) {
			t.Fatalf("%q became %q", s, got)
		}
	})
}

// FuzzSurrogates holds the search for half of a surrogate pair against what
// encoding/json makes of the string.
func FuzzSurrogates(f *testing.F) {
	for _, s := range []string{`"\ud83d\ude00"`, `"\ud83d"`, `"\ude00"`, `"\\ud83d"`, `"\ud83dx"`, `"\ud83d\u0041"`, `"\\\ud83d"`, `"\uFFFD"`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var s string
		if !utf8.Valid(b) || json.Unmarshal(b, &s) != nil {
			return
		}
		literal := strings.Count(string(b), "\ufffd") + strings.Count(strings.ToLower(string(b)), `\ufffd`)
		if !halfSurrogate(b) && strings.Count(s, "\ufffd") > literal {
			t.Fatalf("%q lost half of a pair", b)
		}
		if halfSurrogate(b) && !strings.Contains(s, "\ufffd") {
			t.Fatalf("%q has no half of a pair", b)
		}
	})
}
