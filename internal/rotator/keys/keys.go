// Package keys makes private keys for the rotators whose credential is one, reads
// them again, and proves that the two halves of a pair belong together.
//
// Private keys are PKCS#8 and public ones SPKI (RFC 5958, RFC 5280), both as PEM. What
// is read may be PKCS#1 or SEC 1 too, since others write them; an encrypted key is
// none. RSA has 2048 to 8192 bits and elliptic curves are those of NIST up to P-521,
// and Ed25519: every other key is refused, also where it is only read.
//
// Nothing of a key ever stands in an error.
package keys

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"countersign/internal/errs"
	"countersign/internal/rotator"
)

// Limits of what is read.
const (
	MaxPEM = 32 << 10 // bytes of one key or certificate as PEM
	minRSA = 2048
	maxRSA = 8192
)

// Types are the keys that Generate makes, as an option names them.
func Types() []string {
	out := make([]string, len(makers))
	for i, m := range makers {
		out[i] = m.name
	}
	return out
}

var makers = []struct {
	name string
	make func() (crypto.Signer, error)
}{
	{"rsa-2048", makeRSA(2048)},
	{"rsa-3072", makeRSA(3072)},
	{"rsa-4096", makeRSA(4096)},
	{"ec-p256", makeEC(elliptic.P256())},
	{"ec-p384", makeEC(elliptic.P384())},
	{"ec-p521", makeEC(elliptic.P521())},
	{"ed25519", func() (crypto.Signer, error) {
		_, k, err := ed25519.GenerateKey(rand.Reader)
		return k, err
	}},
}

func makeRSA(bits int) func() (crypto.Signer, error) {
	return func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, bits) }
}

func makeEC(c elliptic.Curve) func() (crypto.Signer, error) {
	return func() (crypto.Signer, error) { return ecdsa.GenerateKey(c, rand.Reader) }
}

// Check refuses a type of key that is none of those, as an errs.Invalid with that
// option as its Field. An empty one is the default of who asks.
func Check(option, typ string, types []string) error {
	if typ == "" || slices.Contains(types, typ) {
		return nil
	}
	return errs.InvalidField(option, "%s is one of %s, not %q", option, strings.Join(types, ", "), typ)
}

// Generate makes a key of a type out of Types. Making an RSA key takes a second or
// more and cannot be interrupted, so that it is not begun when the time has ended.
func Generate(ctx context.Context, typ string) (crypto.Signer, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for _, m := range makers {
		if m.name == typ {
			k, err := m.make()
			if err != nil {
				return nil, rotator.Fail(rotator.Broken, err, "making a key of type %s", typ)
			}
			return k, nil
		}
	}
	return nil, rotator.Fail(rotator.Unsuitable, nil, "there is no type of key %q", typ)
}

// PEM writes a pair out.
func PEM(key crypto.Signer) (private, public string, err error) {
	priv, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", "", rotator.Fail(rotator.Broken, err, "writing a private key")
	}
	pub, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return "", "", rotator.Fail(rotator.Broken, err, "writing a public key")
	}
	return Block("PRIVATE KEY", priv), Block("PUBLIC KEY", pub), nil
}

// Block is one block of PEM.
func Block(typ string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der}))
}

var errPEM = errors.New("not what it should be, or too long")

// ParsePrivate reads a private key. Its error says nothing of what was there, and is
// a cause at most.
func ParsePrivate(text string) (crypto.Signer, error) {
	if len(text) > MaxPEM {
		return nil, errPEM
	}
	for rest := []byte(text); ; {
		var b *pem.Block
		b, rest = pem.Decode(rest)
		if b == nil {
			return nil, errPEM
		}
		var k any
		var err error
		switch b.Type {
		case "EC PARAMETERS": // which OpenSSL writes in front of a key
			continue
		case "PRIVATE KEY":
			k, err = x509.ParsePKCS8PrivateKey(b.Bytes)
		case "RSA PRIVATE KEY":
			k, err = x509.ParsePKCS1PrivateKey(b.Bytes)
		case "EC PRIVATE KEY":
			k, err = x509.ParseECPrivateKey(b.Bytes)
		default:
			return nil, errPEM
		}
		s, ok := k.(crypto.Signer)
		if err != nil || !ok || !Supported(s.Public()) {
			return nil, errPEM
		}
		return s, nil
	}
}

// ParsePublic reads a public key, as ParsePrivate does a private one.
func ParsePublic(text string) (crypto.PublicKey, error) {
	if len(text) > MaxPEM {
		return nil, errPEM
	}
	b, _ := pem.Decode([]byte(text))
	if b == nil || b.Type != "PUBLIC KEY" {
		return nil, errPEM
	}
	k, err := x509.ParsePKIXPublicKey(b.Bytes)
	if err != nil || !Supported(k) {
		return nil, errPEM
	}
	return k, nil
}

// Supported reports whether a public key is one of those that this package handles.
func Supported(pub crypto.PublicKey) bool {
	switch k := pub.(type) {
	case *rsa.PublicKey:
		return k.N.BitLen() >= minRSA && k.N.BitLen() <= maxRSA
	case *ecdsa.PublicKey:
		return k.Curve == elliptic.P256() || k.Curve == elliptic.P384() || k.Curve == elliptic.P521()
	case ed25519.PublicKey:
		return len(k) == ed25519.PublicKeySize
	}
	return false
}

// Same reports whether two public keys are one.
func Same(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}

// Prove signs with the private key and verifies with the public one.
func Prove(key crypto.Signer, pub crypto.PublicKey) error {
	const text = "a pair of keys is proved by a signature"
	sum := sha512.Sum512([]byte(text))
	digest, opts := sum[:], crypto.SignerOpts(crypto.SHA512)
	if _, ok := key.Public().(ed25519.PublicKey); ok {
		digest, opts = []byte(text), crypto.Hash(0)
	}
	sig, err := key.Sign(rand.Reader, digest, opts)
	if err != nil {
		return rotator.Fail(rotator.Rejected, err, "the private key cannot sign")
	}
	ok := false
	switch k := pub.(type) {
	case *rsa.PublicKey:
		ok = rsa.VerifyPKCS1v15(k, crypto.SHA512, digest, sig) == nil
	case *ecdsa.PublicKey:
		ok = ecdsa.VerifyASN1(k, digest, sig)
	case ed25519.PublicKey:
		ok = ed25519.Verify(k, digest, sig)
	}
	if !ok {
		return rotator.Fail(rotator.Rejected, nil, "the private and the public key do not belong together")
	}
	return nil
}

// Thumbprint names a public key by what it is (RFC 7638), with SHA-256.
func Thumbprint(pub crypto.PublicKey) (string, error) {
	sum, err := (&jose.JSONWebKey{Key: pub}).Thumbprint(crypto.SHA256)
	if err != nil {
		return "", rotator.Fail(rotator.Broken, err, "computing the thumbprint of a key")
	}
	return base64.RawURLEncoding.EncodeToString(sum), nil
}

// Object is the value that a new key is put into: the current one, whose other
// members stay, or an empty object when the secret has no value yet. What is there
// and is no object is not thrown away.
func Object(current rotator.Value) (*rotator.Object, error) {
	if current.Empty() {
		return rotator.NewObject(), nil
	}
	return rotator.ParseObject(current)
}

// Stored are the steps of a rotator that has no target: there is nothing to do.
type Stored struct{}

// Set does nothing.
func (Stored) Set(context.Context, rotator.Job) error { return nil }

// Finish does nothing.
func (Stored) Finish(context.Context, rotator.Job) error { return nil }

// Undo does nothing.
func (Stored) Undo(context.Context, rotator.Job) error { return nil }

// Retire does nothing.
func (Stored) Retire(context.Context, rotator.Job) error { return nil }
