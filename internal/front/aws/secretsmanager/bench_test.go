package secretsmanager

import (
	"bytes"
	"io"
	"net/http"
	"testing"

	"countersign/internal/core/coretest"
)

// discard is a ResponseWriter that costs next to nothing.
type discard struct {
	head   http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.head }
func (d *discard) WriteHeader(status int)      { d.status = status }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }

func BenchmarkGetSecretValue(b *testing.B) {
	for name, bolt := range map[string]bool{"memkv": false, "boltkv": true} {
		b.Run(name, func(b *testing.B) {
			f := newFixture(b, coretest.Config{Bolt: bolt}, false)
			f.create(b, "prod/github/api-token/pat", "ghp_0123456789abcdefghijklmnopqrstuvwxyz")
			in := []byte(`{"SecretId":"prod/github/api-token/pat"}`)
			r := f.admin.Request("GetSecretValue", in)
			reader := bytes.NewReader(in)
			r.Body = io.NopCloser(reader)
			w := &discard{head: http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				reader.Reset(in)
				clear(w.head)
				f.handler.ServeHTTP(w, r)
				if w.status != http.StatusOK {
					b.Fatal(w.status)
				}
			}
		})
	}
}

func BenchmarkPutSecretValue(b *testing.B) {
	f := newFixture(b, coretest.Config{}, false)
	f.create(b, "x", "y")
	in := []byte(`{"SecretId":"x","ClientRequestToken":"` + token("a") + `","SecretString":"y"}`)
	b.ReportAllocs()
	for b.Loop() {
		if a := f.admin.Do("PutSecretValue", in); a.Status != http.StatusOK {
			b.Fatal(a.Status, string(a.Body))
		}
	}
}
