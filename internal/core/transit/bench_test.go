package transit_test

import (
	"strings"
	"testing"

	"countersign/internal/core/coretest"
	"countersign/internal/core/transit"
)

// BenchmarkEncrypt is one request: authorized, encrypted, recorded.
func BenchmarkEncrypt(b *testing.B) {
	for _, derived := range []bool{false, true} {
		b.Run(map[bool]string{false: "plain", true: "derived"}[derived], func(b *testing.B) {
			c := &bench{coretest.New(b, coretest.Config{Bolt: true}), b}
			c.create(transit.CreateRequest{Key: "k", Derived: derived})
			it := plain(strings.Repeat("x", 1024))
			if derived {
				it.Context = []byte("context")
			}
			req := transit.EncryptRequest{Key: "k", Items: []transit.Plain{it}}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Transit.Encrypt(ctx, c.Admin, req); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
