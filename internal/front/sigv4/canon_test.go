package sigv4

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestPayload(t *testing.T) {
	const hash = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a" // of {}
	tests := []struct {
		name, declared, body string
		secure               bool
		text                 string // of the refusal; empty when it verifies
	}{
		{"declared", hash, "{}", false, ""},
		{"declared-other", strings.Repeat("0", 64), "{}", true, mismatchText},
		{"declared-garbage", "x", "{}", true, mismatchText},
		{"declared-not-hex", strings.Repeat("g", 64), "{}", true, mismatchText},
		{"unsigned-tls", "UNSIGNED-PAYLOAD", "{}", true, ""},
		{"unsigned-plain", "UNSIGNED-PAYLOAD", "{}", false, "over TLS only"},
		{"streaming", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "{}", true, "not supported"},
		{"streaming-unsigned", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "{}", true, "not supported"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := &http.Request{Method: "POST", URL: &url.URL{Path: "/"}, RequestURI: "/", Host: "h", Header: http.Header{
				"X-Amz-Date": {"20150830T123600Z"}, "X-Amz-Content-Sha256": {tt.declared}}}
			const list = "host;x-amz-content-sha256;x-amz-date"
			r.Header.Set("Authorization", Algorithm+" Credential=A/20150830/us-east-1/service/aws4_request,SignedHeaders="+list+
				",Signature="+docSignature("POST\n/\n\nhost:h\nx-amz-content-sha256:"+tt.declared+"\nx-amz-date:20150830T123600Z\n\n"+list+"\n"+tt.declared))
			call := Call{Services: []string{"service"}, Secure: tt.secure}
			if tt.text != "" {
				refused(t, r, call, tt.body, CodeInvalid, tt.text)
			} else if err := verify(suiteVerifier(t), call, r, []byte(tt.body), suiteKey()); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestDateHeader(t *testing.T) {
	for name, date := range map[string]string{"http": "Sun, 30 Aug 2015 12:36:00 GMT", "iso": "20150830T123600Z"} {
		t.Run(name, func(t *testing.T) {
			sum := "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
			r := &http.Request{Method: "GET", URL: &url.URL{Path: "/"}, Host: "h", Header: http.Header{"Date": {date}}}
			r.Header.Set("Authorization", Algorithm+" Credential=A/20150830/us-east-1/service/aws4_request,SignedHeaders=date;host,Signature="+
				docSignature("GET\n/\n\ndate:"+date+"\nhost:h\n\ndate;host\n"+sum))
			if err := verify(suiteVerifier(t), service, r, nil, suiteKey()); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestCanonicalPath(t *testing.T) {
	for path, want := range map[string]string{
		"": "/", "/": "/", "//": "/", "/.": "/", "/..": "/", "/../..": "/", "/a": "/a", "/a/": "/a/", "/a//b": "/a/b",
		"/a/./b/": "/a/b/", "/a/../b": "/b", "/a/..": "/", "/a/b/..": "/a", "/a/b/../": "/a/", "/a/b/../..": "/",
		"/%2e%2e/a": "/%252e%252e/a", "/a b": "/a%20b", "/\u1234": "/%E1%88%B4", "/...": "/...", "*": "/%2A", "/a%2Fb/..": "/",
	} {
		if got := string(appendNormalPath([]byte("x"), path)); got != "x"+want {
			t.Errorf("path %q: got %q, want %q", path, got[1:], want)
		}
		if clean(path) && string(appendPath(nil, path)) != want {
			t.Errorf("path %q is called clean", path)
		}
	}
}

func TestCanonicalQuery(t *testing.T) {
	for query, want := range map[string]string{
		"": "", "&&": "", "b=2&a=1": "a=1&b=2", "a=2&a=1": "a=1&a=2", "a": "a=", "a=": "a=", "=a": "=a", "a=b=c": "a=b%3Dc",
		"a=1+1": "a=1%201", "a=%2b": "a=%2B", "a=%7e%41": "a=~A", "A=1&a=1&%41=0": "A=0&A=1&a=1", "a-=1&a=2": "a=2&a-=1",
		"a=\u1234": "a=%E1%88%B4", "a=/?:": "a=%2F%3F%3A", "X-Amz-Signature=1": "X-Amz-Signature=1",
	} {
		var s scratch
		got, err := s.appendQuery(nil, query, false)
		if err != nil || string(got) != want {
			t.Errorf("query %q: got %q and %v, want %q", query, got, err, want)
		}
	}
}

func TestHeaderValue(t *testing.T) {
	for value, want := range map[string]string{
		"": "", "  ": "", " a ": "a", "a  b   c": "a b c", "\t\"a  b\"\t": "\"a b\"", "a\tb": "a\tb", "\u00e9 \xff": "\u00e9 \xff",
	} {
		if got := string(appendValue(nil, value)); got != want {
			t.Errorf("value %q: got %q, want %q", value, got, want)
		}
	}
}
