package vault

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"countersign/internal/core/coretest"
)

// discard is an answer that nobody reads.
type discard struct{ h http.Header }

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(int)             {}

// BenchmarkReadKV2 is an audited read by an access key, by a token that was made
// with one, and by a token at the end of a tree of them whose policies narrow it.
func BenchmarkReadKV2(b *testing.B) {
	s := newServer(b, coretest.Config{Bolt: true})
	s.want(b, 200, "POST", "secret/data/myapp/database", `{"data":{"username":"admin","password":"`+strings.Repeat("x", 200)+`"}}`)
	s.policy(b, "reads", `path "secret/data/myapp/*" { capabilities = ["read"] }`)
	token, _ := s.token(b, s.root, "create", `{"ttl":"1h"}`)
	narrow := token
	for range 4 {
		narrow, _ = s.token(b, narrow, "create", `{"policies":["reads","root"],"ttl":"1h"}`)
	}
	narrow, _ = s.token(b, narrow, "create", `{"policies":["reads"],"ttl":"1h"}`)
	batch, _ := s.token(b, s.root, "create", `{"policies":["reads"],"type":"batch"}`)
	for _, bb := range []struct{ name, token string }{{"key", s.root}, {"token", token}, {"narrow", narrow}, {"batch", batch}} {
		b.Run(bb.name, func(b *testing.B) {
			req := httptest.NewRequest(http.MethodGet, Base+"secret/data/myapp/database", nil)
			req.RemoteAddr = "127.0.0.1:9999"
			req.Header.Set("X-Vault-Token", bb.token)
			w := &discard{h: http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				clear(w.h)
				s.ServeHTTP(w, req)
			}
			if code := s.do(b, bb.token, http.MethodGet, "secret/data/myapp/database", "").Code; code != http.StatusOK {
				b.Fatal(code)
			}
		})
	}
}
