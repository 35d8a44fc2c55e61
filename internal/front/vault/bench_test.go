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

func BenchmarkReadKV2(b *testing.B) {
	s := newServer(b, coretest.Config{Bolt: true})
	s.want(b, 200, "POST", "secret/data/myapp/database", `{"data":{"username":"admin","password":"`+strings.Repeat("x", 200)+`"}}`)
	req := httptest.NewRequest(http.MethodGet, Base+"secret/data/myapp/database", nil)
	req.RemoteAddr = "127.0.0.1:9999"
	req.Header.Set("X-Vault-Token", s.root)
	w := &discard{h: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.h)
		s.ServeHTTP(w, req)
	}
}
