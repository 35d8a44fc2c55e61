// Package sensitive holds bytes that must not be printed.
//
// Bytes shows as [redacted] in fmt, slog, JSON and text encodings, so that a
// value cannot reach a log or an error by accident. Reveal gives the bytes to
// the code that must have them; it is rare and easy to search for. Comparison
// is constant-time. The type does not try to wipe memory: the Go runtime moves
// and copies, and a promise that cannot be kept is worse than none.
package sensitive

import (
	"crypto/subtle"
	"fmt"
	"log/slog"
)

// Redacted is what a sensitive value prints as.
const Redacted = "[redacted]"

// Bytes is a secret byte string. The zero value is empty.
//
// The bytes are behind a function because fmt does not call the methods of a
// value in an unexported field of some other struct: it prints what is in it,
// through pointers when the verb does not fit. Of a function it prints the
// address. Nor can values be compared with ==, which would not be constant-time.
type Bytes struct{ reveal func() []byte }

// New takes ownership of b: the caller must not change it afterwards.
func New(b []byte) Bytes { return Bytes{func() []byte { return b }} }

// FromString copies s.
func FromString(s string) Bytes { return New([]byte(s)) }

// Reveal returns the bytes themselves, not a copy. They must not be changed,
// logged, or put into an error.
func (s Bytes) Reveal() []byte {
	if s.reveal == nil {
		return nil
	}
	return s.reveal()
}

// Len is the number of bytes.
func (s Bytes) Len() int { return len(s.Reveal()) }

// Equal compares in time that depends on the lengths alone.
func (s Bytes) Equal(t Bytes) bool { return subtle.ConstantTimeCompare(s.Reveal(), t.Reveal()) == 1 }

// String returns Redacted.
func (s Bytes) String() string { return Redacted }

// GoString returns Redacted.
func (s Bytes) GoString() string { return Redacted }

// Format writes Redacted for every verb, %x and %v included.
func (s Bytes) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(Redacted)) }

// LogValue returns Redacted.
func (s Bytes) LogValue() slog.Value { return slog.StringValue(Redacted) }

// MarshalText returns Redacted; encoding/json uses it too.
func (s Bytes) MarshalText() ([]byte, error) { return []byte(Redacted), nil }
