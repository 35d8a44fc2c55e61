package native

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"

	"countersign/internal/errs"
)

// Headers that make a request conditional, or the same as an earlier one. Each is
// taken by some rows; on others it is refused, because who sends it relies on it.
const (
	headerOnce    = "Idempotency-Key"
	headerMatch   = "If-Match"
	headerNoMatch = "If-None-Match"
)

const maxKey = 255 // bytes of an Idempotency-Key

// checkConditions reads those headers.
func checkConditions(r *http.Request, rt *route, c *call) error {
	bad := func(format string, args ...any) error { return errs.Coded(errs.Invalid, codeHeader, format, args...) }
	if values, ok := r.Header[headerOnce]; ok {
		switch {
		case !rt.once:
			return bad("an Idempotency-Key is not taken here")
		case len(values) != 1 || values[0] == "" || len(values[0]) > maxKey || !printable(values[0]):
			return bad("an Idempotency-Key is 1 to %d printable characters of ASCII, given once", maxKey)
		}
		c.key = values[0]
	}
	if values, ok := r.Header[headerMatch]; ok {
		if !rt.based {
			return bad("If-Match is not taken here")
		}
		n, ok := versionTag(values)
		if !ok {
			return bad(`If-Match is the number of one version in quotes, as in "7", and "0" for none`)
		}
		c.base = &n
	}
	if _, ok := r.Header[headerNoMatch]; ok && !rt.tagged && r.Method != http.MethodGet {
		return bad("If-None-Match is not taken here")
	}
	return nil
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c > '~' })
}

// versionTag reads a version number in quotes.
func versionTag(values []string) (uint64, bool) {
	if len(values) != 1 {
		return 0, false
	}
	s, isQuoted := strings.CutPrefix(values[0], `"`)
	s, closed := strings.CutSuffix(s, `"`)
	n, err := strconv.ParseUint(s, 10, 64)
	return n, isQuoted && closed && err == nil && strconv.FormatUint(n, 10) == s
}

// unchanged puts the tag of an answer into its headers, and tells whether the
// client has that very answer. The tag is a hash over the answer as it was
// encoded, so it is one of the caller too.
func unchanged(h http.Header, r *http.Request, answer []byte) bool {
	sum := sha256.Sum256(answer)
	tag := `"` + base64.RawURLEncoding.EncodeToString(sum[:18]) + `"`
	h["Etag"] = []string{tag}
	for _, v := range r.Header[headerNoMatch] {
		for one := range strings.SplitSeq(v, ",") {
			if one = strings.TrimPrefix(strings.TrimSpace(one), "W/"); one == tag || one == "*" {
				return true
			}
		}
	}
	return false
}
