package signin

import (
	"testing"

	"countersign/internal/sensitive"
)

// BenchmarkHash is what one attempt costs.
func BenchmarkHash(b *testing.B) {
	h := newHasher(DefaultParams, 4)
	for b.Loop() {
		if _, err := h.check(b.Context(), sensitive.FromString("tall giraffes drink slowly"), nil); err != nil {
			b.Fatal(err)
		}
	}
}
