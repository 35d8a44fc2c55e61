package sigv4

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"testing"
	"time"

	"countersign/internal/sensitive"
)

// vector is one request that another signer signed; see testdata/from_botocore.py
// and sdktest.
type vector struct {
	Method  string
	URI     string
	Host    string
	Header  [][2]string
	Body    string
	Time    time.Time
	Secret  string
	Region  string
	Service string
	Secure  bool
}

func (v vector) request(t *testing.T) *http.Request {
	t.Helper()
	u, err := url.ParseRequestURI(v.URI)
	if err != nil {
		t.Fatal(err)
	}
	r := &http.Request{Method: v.Method, URL: u, RequestURI: v.URI, Host: v.Host, Header: http.Header{},
		ContentLength: int64(len(v.Body))}
	for _, h := range v.Header {
		r.Header.Add(h[0], h[1])
	}
	return r
}

func TestOtherSigners(t *testing.T) {
	for _, file := range []string{"botocore", "sdk-go-v2"} {
		data, err := os.ReadFile("testdata/" + file + ".json")
		if err != nil {
			t.Fatal(err)
		}
		var vectors []vector
		if err := json.Unmarshal(data, &vectors); err != nil {
			t.Fatal(err)
		}
		if len(vectors) < 100 {
			t.Errorf("%s has only %d vectors", file, len(vectors))
		}
		for i, c := range vectors {
			t.Run(file+"/"+strconv.Itoa(i), func(t *testing.T) {
				v, err := New(Config{Regions: []string{c.Region}, Now: func() time.Time { return c.Time }})
				if err != nil {
					t.Fatal(err)
				}
				key := DeriveKey(sensitive.FromString(c.Secret), c.Time.Format("20060102"), c.Region, c.Service)
				call := Call{Services: []string{c.Service}, Secure: c.Secure}
				if err := verify(v, call, c.request(t), []byte(c.Body), key); err != nil {
					t.Errorf("%s %s %q: %v", c.Method, c.URI, c.Header, err)
				}
				if err := verify(v, call, c.request(t), []byte(c.Body+" "), key); err == nil {
					t.Error("verifies with another body")
				}
			})
		}
	}
}
