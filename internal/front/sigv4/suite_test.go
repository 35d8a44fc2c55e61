package sigv4

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"countersign/internal/sensitive"
)

const (
	suiteSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	suiteDate   = "20150830"
)

var suiteTime = time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)

// suiteVerifier accepts the published suite's scope at the suite's time.
func suiteVerifier(t testing.TB) *Verifier {
	t.Helper()
	v, err := New(Config{Regions: []string{"us-east-1"}, Now: func() time.Time { return suiteTime }})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func suiteKey() *Key {
	return DeriveKey(sensitive.FromString(suiteSecret), suiteDate, "us-east-1", "service")
}

// wire makes of a text what a server would have received. A request line that
// net/http refuses (a raw space in the path) is filled in by hand.
func wire(t testing.TB, text string) (*http.Request, []byte) {
	t.Helper()
	head, body, _ := strings.Cut(text, "\n\n")
	line, rest, _ := strings.Cut(head, "\n")
	method, uri, _ := strings.Cut(strings.TrimSuffix(line, " HTTP/1.1"), " ")
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(
		method + " / HTTP/1.1\r\n" + strings.ReplaceAll(rest, "\n", "\r\n") + "\r\n\r\n" + body)))
	if err != nil {
		t.Fatal(err)
	}
	r.RequestURI = uri
	if r.URL, err = url.ParseRequestURI(uri); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r, got
}

// verify is all four steps.
func verify(v *Verifier, call Call, r *http.Request, body []byte, key *Key) error {
	req, err := Parse(r)
	if err != nil {
		return err
	}
	if err := v.Check(&req, call); err != nil {
		return err
	}
	return v.Verify(&req, body, key)
}

func TestPublishedSuite(t *testing.T) {
	data, err := os.ReadFile("testdata/aws-signing-test-suite.txt")
	if err != nil {
		t.Fatal(err)
	}
	cases := bytes.Split(data, []byte("=== "))[1:]
	if len(cases) < 30 {
		t.Fatalf("found %d cases", len(cases))
	}
	v, key, call := suiteVerifier(t), suiteKey(), Call{Services: []string{"service"}}
	for _, c := range cases {
		name, text, _ := strings.Cut(string(c), "\n")
		t.Run(name, func(t *testing.T) {
			r, body := wire(t, text)
			if err := verify(v, call, r, body, key); err != nil {
				t.Fatal(err)
			}
			if err := verify(v, call, r, append(body, 'x'), key); err == nil {
				t.Error("a request with another body verified")
			}
			r.Method = "PUT"
			if err := verify(v, call, r, body, key); err == nil {
				t.Error("a request with another method verified")
			}
		})
	}
}
