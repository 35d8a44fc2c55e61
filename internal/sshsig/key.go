package sshsig

import (
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"countersign/internal/errs"
)

// minRSABits is what NIST SP 800-131A asks for. The greatest size, 16384, is
// the ssh package's.
const minRSABits = 2048

// allowed are the types of key that a person may register.
func allowed() []string {
	return []string{
		ssh.KeyAlgoED25519, ssh.KeyAlgoSKED25519,
		ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521, ssh.KeyAlgoSKECDSA256,
		ssh.KeyAlgoRSA,
	}
}

// PublicKey is a public key of a type that is accepted. It is comparable with
// ==, which compares the key and nothing beside it. The zero PublicKey is none.
type PublicKey struct {
	algorithm string
	blob      string // wire form, RFC 4253 section 6.6
}

// ParsePublicKey reads the line of a .pub file or of authorized_keys: a type,
// the key in base64, and a comment, which is dropped. One line feed may follow.
// An error is of kind errs.Invalid with Field [FieldPublicKey].
func ParsePublicKey(line string) (PublicKey, error) {
	if len(line) > MaxKeyLine {
		return PublicKey{}, badKey("the public key is longer than %d bytes", MaxKeyLine)
	}
	line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
	if strings.ContainsAny(line, "\r\n") {
		if strings.HasPrefix(line, "-----BEGIN") {
			return PublicKey{}, badKey("this is a PEM file: give the one line of the .pub file")
		}
		return PublicKey{}, badKey("a public key is one line, and there are several: register keys one by one")
	}
	fields := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' })
	if len(fields) == 0 {
		return PublicKey{}, badKey("the public key is empty")
	}
	if err := checkType(fields); err != nil {
		return PublicKey{}, err
	}
	if len(fields) == 1 {
		return PublicKey{}, badKey("after the type %s must stand the key in base64", fields[0])
	}
	if slices.ContainsFunc(fields[2:], func(f string) bool { return slices.Contains(allowed(), f) }) {
		return PublicKey{}, badKey("there are several keys in the line: register keys one by one")
	}
	blob, err := base64.StdEncoding.Strict().DecodeString(fields[1])
	if err != nil {
		return PublicKey{}, badKey("what follows the type %s is not base64", fields[0])
	}
	key, err := keyFromBlob(string(blob))
	if err != nil {
		return PublicKey{}, err
	}
	if key.algorithm != fields[0] {
		return PublicKey{}, badKey("the line says %s, and the key in it is %s", fields[0], key.algorithm)
	}
	return key, nil
}

// checkType refuses a line that does not begin with an allowed type. It does
// not repeat what stands there: people paste the wrong thing.
func checkType(fields []string) error {
	first := fields[0]
	if slices.Contains(allowed(), first) {
		return nil
	}
	if err := refuseType(first); err != nil {
		return err
	}
	for _, f := range fields[1:] {
		if slices.Contains(allowed(), f) || refuseType(f) != nil {
			return badKey("there are options before the key: give the key alone")
		}
	}
	return badKey("the line must begin with the type of the key: %s", strings.Join(allowed(), ", "))
}

// refuseType says why a type that SSH knows is refused; nil of any other text.
func refuseType(keyType string) error {
	switch {
	case strings.HasSuffix(keyType, "-cert-v01@openssh.com"):
		return badKey("certificates are refused: register the key itself")
	case keyType == "ssh-dss":
		return badKey("DSA keys are too weak: use ssh-ed25519")
	case keyType == ssh.KeyAlgoRSASHA256, keyType == ssh.KeyAlgoRSASHA512:
		return badKey("%s is no type of key: that of an RSA key is %s", keyType, ssh.KeyAlgoRSA)
	}
	return nil
}

// keyOf takes over a key of the ssh package.
func keyOf(pub ssh.PublicKey) (PublicKey, error) { return keyFromBlob(string(pub.Marshal())) }

// keyFromBlob reads the wire form. Only the one form that this program itself
// would write is accepted, so that equal keys are equal bytes.
func keyFromBlob(blob string) (PublicKey, error) {
	algorithm, _, ok := cutString(blob)
	if !ok {
		return PublicKey{}, badKey("the key is cut short")
	}
	if !slices.Contains(allowed(), algorithm) {
		if err := refuseType(algorithm); err != nil {
			return PublicKey{}, err
		}
		return PublicKey{}, badKey("the key is of a type that is not accepted; these are: %s", strings.Join(allowed(), ", "))
	}
	pub, err := ssh.ParsePublicKey([]byte(blob))
	if err != nil {
		return PublicKey{}, &errs.Error{Kind: errs.Invalid, Field: FieldPublicKey, Msg: "the " + algorithm + " key is damaged", Err: err}
	}
	if string(pub.Marshal()) != blob {
		return PublicKey{}, badKey("the %s key is not written in its only right form", algorithm)
	}
	if err := checkStrength(pub, blob); err != nil {
		return PublicKey{}, err
	}
	return PublicKey{algorithm, blob}, nil
}

// checkStrength refuses keys whose signatures prove nothing.
func checkStrength(pub ssh.PublicKey, blob string) error {
	switch pub.Type() {
	case ssh.KeyAlgoRSA:
		if c, ok := pub.(ssh.CryptoPublicKey); ok {
			if k, ok := c.CryptoPublicKey().(*rsa.PublicKey); ok && k.N.BitLen() >= minRSABits && k.N.Sign() > 0 {
				return nil
			}
		}
		return badKey("the RSA key must have at least %d bits", minRSABits)
	case ssh.KeyAlgoED25519, ssh.KeyAlgoSKED25519:
		_, rest, _ := cutString(blob)
		point, _, _ := cutString(rest)
		if smallOrder(point) {
			return badKey("the ed25519 key is one of those for which anybody can sign")
		}
	}
	return nil
}

// smallOrder reports whether an ed25519 point is of an order that divides 8. For
// such a key there are signatures that hold for one message in eight or for all.
// These are the y coordinates of the eight points, and the forms of 0 and 1 that
// are not reduced; the sign of x, the top bit, does not matter.
func smallOrder(point string) bool {
	b := []byte(point)
	b[len(b)-1] &= 0x7f
	return slices.Contains([]string{
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	}, hex.EncodeToString(b))
}

// String is the canonical line: type and base64, no comment. ParsePublicKey
// reads it back to an equal key. It is empty for the zero PublicKey.
func (k PublicKey) String() string {
	if k.IsZero() {
		return ""
	}
	return k.algorithm + " " + base64.StdEncoding.EncodeToString([]byte(k.blob))
}

// Fingerprint is SHA256: and a digest, as ssh-keygen -l shows it. It is empty
// for the zero PublicKey.
func (k PublicKey) Fingerprint() string {
	if k.IsZero() {
		return ""
	}
	sum := sha256.Sum256([]byte(k.blob))
	return "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:])
}

// Algorithm is the type of the key, such as ssh-ed25519.
func (k PublicKey) Algorithm() string { return k.algorithm }

// IsZero reports whether k is no key.
func (k PublicKey) IsZero() bool { return k.blob == "" }

// onSecurityKey reports whether the private key is in a FIDO token.
func (k PublicKey) onSecurityKey() bool {
	return k.algorithm == ssh.KeyAlgoSKED25519 || k.algorithm == ssh.KeyAlgoSKECDSA256
}

func badKey(format string, args ...any) error {
	return errs.InvalidField(FieldPublicKey, format, args...)
}
