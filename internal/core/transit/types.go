package transit

import (
	"crypto/elliptic"
	"slices"

	"countersign/internal/errs"
)

// Type is what a key is and can do.
type Type string

// The types of keys, by the names that Vault has for them. XChaCha20 is one of
// OpenBao's.
const (
	AES128    Type = "aes128-gcm96"
	AES256    Type = "aes256-gcm96"
	ChaCha20  Type = "chacha20-poly1305"
	XChaCha20 Type = "xchacha20-poly1305"
	Ed25519   Type = "ed25519"
	ECDSAP256 Type = "ecdsa-p256"
	ECDSAP384 Type = "ecdsa-p384"
	ECDSAP521 Type = "ecdsa-p521"
	RSA2048   Type = "rsa-2048"
	RSA3072   Type = "rsa-3072"
	RSA4096   Type = "rsa-4096"
	HMAC      Type = "hmac"
)

// Types lists every Type.
func Types() []Type {
	return []Type{AES128, AES256, ChaCha20, XChaCha20, Ed25519, ECDSAP256, ECDSAP384, ECDSAP521, RSA2048, RSA3072, RSA4096, HMAC}
}

// DefaultType is that of keys whose request names none.
const DefaultType = AES256

// Known reports whether t is one of Types.
func (t Type) Known() bool { return slices.Contains(Types(), t) }

// Encrypts reports whether keys of the type encrypt and decrypt.
func (t Type) Encrypts() bool { return t.aead() || t.bits() > 0 }

// Signs reports whether keys of the type sign and verify.
func (t Type) Signs() bool { return t.asymmetric() }

// Derives reports whether there can be a key of the type for each context.
func (t Type) Derives() bool { return t.aead() || t == Ed25519 }

// HashesInput reports whether what is signed is hashed first, by an algorithm
// that the request names. Ed25519 does its own hashing.
func (t Type) HashesInput() bool { return t.curve() != nil || t.bits() > 0 }

// asymmetric reports whether keys of the type have a public half.
func (t Type) asymmetric() bool { return t == Ed25519 || t.curve() != nil || t.bits() > 0 }

// aead reports whether the type is an authenticated cipher, which takes
// associated data.
func (t Type) aead() bool { return t == AES128 || t == AES256 || t == ChaCha20 || t == XChaCha20 }

// size is the length of a key of an authenticated cipher, in bytes.
func (t Type) size() int {
	if t == AES128 {
		return 16
	}
	return 32
}

// bits is the size of an RSA modulus, 0 for other types.
func (t Type) bits() int {
	switch t {
	case RSA2048:
		return 2048
	case RSA3072:
		return 3072
	case RSA4096:
		return 4096
	}
	return 0
}

// curve is that of ECDSA, nil for other types.
func (t Type) curve() elliptic.Curve {
	switch t {
	case ECDSAP256:
		return elliptic.P256()
	case ECDSAP384:
		return elliptic.P384()
	case ECDSAP521:
		return elliptic.P521()
	}
	return nil
}

// Sizes of the keys of type HMAC in bytes.
const (
	MinHMACKey     = 32
	MaxHMACKey     = 512
	defaultHMACKey = 32
)

// checkShape refuses combinations of a type and what is asked of its keys that
// there cannot be. It is held against new keys and restored ones alike.
func checkShape(t Type, size int, derived, convergent bool) error {
	switch {
	case !t.Known():
		return errs.InvalidField("type", "unknown key type %s", quote(string(t)))
	case size != 0 && t != HMAC:
		return errs.InvalidField("key_size", "key_size is not valid for algorithm %s", t)
	case t == HMAC && (size < MinHMACKey || size > MaxHMACKey):
		return errs.InvalidField("key_size", "invalid key_size %d: an HMAC key has %d to %d bytes", size, MinHMACKey, MaxHMACKey)
	case convergent && !derived:
		return errs.InvalidField("convergent_encryption", "convergent encryption requires derivation to be enabled")
	case derived && !t.Derives():
		return errs.InvalidField("derived", "key derivation and convergent encryption not supported for keys of type %s", t)
	case convergent && !t.aead():
		return errs.InvalidField("convergent_encryption", "convergent encryption not supported for keys of type %s", t)
	}
	return nil
}
