package signin

import (
	"encoding/base64"
	"strings"
)

// What tokens begin with.
const (
	accessPrefix     = "css_"
	refreshPrefix    = "csr_"
	devicePrefix     = "csd_"
	invitationPrefix = "csi_"
)

const (
	idLen     = 16
	familyLen = 16
	secretLen = 32
)

// IsAccessToken reports whether a bearer token is spelled as one of a session.
func IsAccessToken(token string) bool { return strings.HasPrefix(token, accessPrefix) }

// spell writes a token out of its parts.
func spell(prefix string, parts ...[]byte) []byte {
	var all []byte
	for _, p := range parts {
		all = append(all, p...)
	}
	return base64.RawURLEncoding.AppendEncode([]byte(prefix), all)
}

// split reads a token's parts, whose lengths are given. A token has exactly one
// spelling.
func split(token []byte, prefix string, lengths ...int) (parts [][]byte, ok bool) {
	rest, ok := strings.CutPrefix(string(token), prefix)
	total := 0
	for _, n := range lengths {
		total += n
	}
	if !ok || len(rest) != base64.RawURLEncoding.EncodedLen(total) || strings.ContainsAny(rest, "\r\n") {
		return nil, false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(rest)
	if err != nil || len(b) != total {
		return nil, false
	}
	for _, n := range lengths {
		parts = append(parts, b[:n:n])
		b = b[n:]
	}
	return parts, true
}

// SessionID spells a session's id for people.
func sessionID(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }

func parseSessionID(s string) (raw []byte, ok bool) {
	parts, ok := split([]byte(s), "", idLen)
	if !ok {
		return nil, false
	}
	return parts[0], true
}
