package native

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"countersign/internal/core/coretest"
)

// discard is a response that is thrown away.
type discard struct{ h http.Header }

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(int)             {}

// BenchmarkReadValue is a read with a bearer token, authorized and audited,
// without the HTTP server around it.
func BenchmarkReadValue(b *testing.B) {
	s := newServer(b, coretest.Config{Bolt: true})
	if w := s.do(b, s.admin, "POST", "/secret", `{"name":"team/db","value":"{\"username\":\"ann\",\"password\":\"correct horse battery staple\"}"}`); w.Code != 200 {
		b.Fatal(w.Body)
	}
	r := httptest.NewRequest("GET", Base+"/secret/value?name=team/db", nil)
	r.Header.Set("Authorization", "Bearer "+s.admin)
	w := &discard{http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.h)
		s.ServeHTTP(w, r)
	}
}
