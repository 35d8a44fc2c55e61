package transit

import (
	"encoding/base64"
	"strconv"
	"strings"

	"countersign/internal/errs"
)

// Prefix begins what Vault makes of ciphertexts, signatures and codes:
// "vault:v1:" and base64.
const Prefix = "vault:v"

// FormatText writes what was made with a version of a key.
func FormatText(version uint64, data []byte) string {
	return format(version, data, base64.StdEncoding)
}

// FormatJWS is FormatText with the alphabet of JSON Web Signatures.
func FormatJWS(version uint64, data []byte) string {
	return format(version, data, base64.RawURLEncoding)
}

func format(version uint64, data []byte, enc *base64.Encoding) string {
	b := make([]byte, 0, len(Prefix)+21+enc.EncodedLen(len(data)))
	b = strconv.AppendUint(append(b, Prefix...), version, 10)
	return string(enc.AppendEncode(append(b, ':'), data))
}

// ParseCiphertext reads what FormatText wrote of a ciphertext.
func ParseCiphertext(text string) (version uint64, data []byte, err error) {
	version, data, err = parse(text, "invalid ciphertext", "invalid ciphertext: no prefix", "invalid ciphertext: could not decode base64", base64.StdEncoding)
	if err == nil && version == 0 {
		version = 1 // as keys were counted in Vault's first release
	}
	return version, data, err
}

// ParseSignature reads a signature, with the alphabet of FormatJWS when jws is set.
func ParseSignature(text string, jws bool) (version uint64, data []byte, err error) {
	enc := base64.StdEncoding
	if jws {
		enc = base64.RawURLEncoding
	}
	return parse(text, "invalid signature", "invalid signature: no prefix", "invalid base64 signature value", enc)
}

// ParseMAC reads an authentication code.
func ParseMAC(text string) (version uint64, data []byte, err error) {
	return parse(text, "invalid HMAC", "invalid HMAC to verify: no prefix", "unable to decode verification HMAC as base64", base64.StdEncoding)
}

// parse reads such a text; what names it, and the others say what is wrong.
func parse(text, what, noPrefix, noBase64 string, enc *base64.Encoding) (uint64, []byte, error) {
	bad := func(msg string) (uint64, []byte, error) {
		return 0, nil, errs.Coded(errs.Invalid, CodeFormat, "%s", msg)
	}
	rest, ok := strings.CutPrefix(text, Prefix)
	if !ok {
		return bad(noPrefix)
	}
	number, body, ok := strings.Cut(rest, ":")
	if !ok {
		return bad(what + ": wrong number of fields")
	}
	version, err := strconv.ParseUint(number, 10, 32)
	if err != nil {
		return bad(what + ": version number could not be decoded")
	}
	data, err := enc.DecodeString(body)
	if err != nil {
		return bad(noBase64)
	}
	return version, data, nil
}
