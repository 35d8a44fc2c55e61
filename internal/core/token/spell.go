package token

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"countersign/internal/name"
)

// What tokens begin with.
const (
	servicePrefix  = "cvs."
	batchPrefix    = "cvb."
	wrappingPrefix = "cvw."
)

// Behind the prefix a token is, in base64, its account, which says under whose
// keys to look, and a secret or, of a batch token, the sealed record.
const (
	accountLen  = 5 // bytes of a number of twelve digits
	secretLen   = 24
	maxBatch    = 8 << 10 // characters
	accessorLen = 24
	base62      = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
)

// batchAccessor begins what a batch token, which has no accessor, is called in the
// audit log. Accessors have no full stop.
const batchAccessor = "batch."

// IsToken reports whether s is spelled as a token of this package. Whether it is
// one, Authenticate tells.
func IsToken(s string) bool {
	return strings.HasPrefix(s, servicePrefix) || strings.HasPrefix(s, batchPrefix) || IsWrapping(s)
}

// IsWrapping reports whether s is spelled as a wrapping token, which Authenticate
// takes from nobody.
func IsWrapping(s string) bool { return strings.HasPrefix(s, wrappingPrefix) }

// parsed is a token as it is spelled.
type parsed struct {
	kind    Kind
	account string
	sealed  []byte // of a batch token
}

// parse reads a token. A token has exactly one spelling.
func parse(s string) (p parsed, ok bool) {
	if len(s) < len(servicePrefix) || len(s) > maxBatch {
		return parsed{}, false
	}
	switch s[:len(servicePrefix)] {
	case servicePrefix:
		p.kind = KindService
	case batchPrefix:
		p.kind = KindBatch
	case wrappingPrefix:
		p.kind = kindWrapping
	default:
		return parsed{}, false
	}
	rest := s[len(servicePrefix):]
	if strings.ContainsAny(rest, "\r\n") || p.kind != KindBatch && len(rest) != base64.RawURLEncoding.EncodedLen(accountLen+secretLen) {
		return parsed{}, false
	}
	var short [accountLen + secretLen]byte
	b, err := base64.RawURLEncoding.Strict().AppendDecode(short[:0], []byte(rest))
	if err != nil || len(b) <= accountLen {
		return parsed{}, false
	}
	var wide [8]byte
	copy(wide[8-accountLen:], b)
	n := binary.BigEndian.Uint64(wide[:])
	if n > 999_999_999_999 {
		return parsed{}, false
	}
	p.account = twelve(n)
	if p.kind == KindBatch {
		p.sealed = b[accountLen:]
	}
	return p, true
}

func twelve(n uint64) string {
	s := strconv.FormatUint(n, 10)
	return "000000000000"[len(s):] + s
}

// spell writes a token.
func spell(kind Kind, account string, rest []byte) ([]byte, error) {
	if err := name.Account(account); err != nil {
		return nil, err
	}
	n, err := strconv.ParseUint(account, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("spelling a token: %w", err)
	}
	b := binary.BigEndian.AppendUint64(nil, n)[8-accountLen:]
	prefix := map[Kind]string{KindService: servicePrefix, KindBatch: batchPrefix, kindWrapping: wrappingPrefix}[kind]
	return base64.RawURLEncoding.AppendEncode([]byte(prefix), append(b, rest...)), nil
}

// luck is what chance adds to a token, drawn before a transaction.
type luck struct {
	secret   []byte
	accessor string
}

func draw() luck {
	secret := make([]byte, secretLen)
	_, _ = rand.Read(secret) // never fails; the runtime ends the process instead
	return luck{secret, newAccessor()}
}

func newAccessor() string {
	out := make([]byte, 0, accessorLen)
	limit := byte(256 - 256%len(base62))
	for len(out) < accessorLen {
		var b [2 * accessorLen]byte
		_, _ = rand.Read(b[:])
		for _, c := range b {
			if c < limit && len(out) < accessorLen {
				out = append(out, base62[int(c)%len(base62)])
			}
		}
	}
	return string(out)
}
