package transit

import (
	"bytes"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"

	"countersign/internal/errs"
)

// macKeySize is the length of the HMAC key that every version of another type has
// beside its own.
const macKeySize = 32

// convergentVersion is the one scheme of convergent encryption that there is here:
// Vault's third.
const convergentVersion = 3

// draw makes the material of a new version. It takes chance, and for RSA up to
// seconds, so it is never called in a transaction.
func draw(t Type, size int) (version, error) {
	v := version{}
	if t == HMAC {
		v.Private = make([]byte, size)
		_, _ = rand.Read(v.Private)
		return v, nil
	}
	v.MAC = make([]byte, macKeySize)
	_, _ = rand.Read(v.MAC) // never fails; the runtime ends the process instead
	if t.aead() {
		v.Private = make([]byte, t.size())
		_, _ = rand.Read(v.Private)
		return v, nil
	}
	private, err := generate(t)
	if err != nil {
		return version{}, fmt.Errorf("generating a key of type %s: %w", t, err)
	}
	return v, v.take(private)
}

func generate(t Type) (crypto.Signer, error) {
	if t.bits() > 0 {
		return rsa.GenerateKey(rand.Reader, t.bits())
	}
	if c := t.curve(); c != nil {
		return ecdsa.GenerateKey(c, rand.Reader)
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	return private, err
}

// take keeps a key pair as the version's.
func (v *version) take(private crypto.Signer) (err error) {
	if v.Private, err = x509.MarshalPKCS8PrivateKey(private); err != nil {
		return fmt.Errorf("encoding a private key: %w", err)
	}
	if v.Public, err = x509.MarshalPKIXPublicKey(private.Public()); err != nil {
		return fmt.Errorf("encoding a public key: %w", err)
	}
	return nil
}

// ready is a version ready for use. It does not change, and many goroutines may
// use it at once.
type ready struct {
	typ        Type
	derived    bool
	convergent bool
	secret     []byte      // key of a cipher or of HMAC; of Ed25519 its 64 bytes, to derive from
	aead       cipher.AEAD // of a cipher whose keys are not derived
	mac        []byte
	private    crypto.Signer // nil when only the public half was imported
	public     crypto.PublicKey
}

// prepare reads a version's material. What is wrong with it is told in general
// words: they may reach somebody who tries to import it.
func prepare(k *stored, v *version) (*ready, error) {
	r := &ready{typ: k.Type, derived: k.Derived, convergent: k.Convergent, mac: v.MAC}
	var err error
	switch {
	case k.Type == HMAC:
		if len(v.Private) != k.Size {
			return nil, badMaterial("its length is not that of its key")
		}
		r.secret, r.mac = v.Private, v.Private
	case k.Type.aead():
		if len(v.Private) != k.Type.size() {
			return nil, badMaterial("its length is not that of a key of type " + string(k.Type))
		}
		r.secret = v.Private
		if !k.Derived {
			r.aead, err = newAEAD(k.Type, r.secret)
		}
	default:
		err = r.pair(v)
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

func badMaterial(why string) error {
	return errs.New(errs.Invalid, "the key material cannot be used: %s", why)
}

// pair reads a key pair, or its public half alone.
func (r *ready) pair(v *version) error {
	public, err := x509.ParsePKIXPublicKey(v.Public)
	if err != nil {
		return badMaterial("there is no public key in it")
	}
	if r.public = public; !r.typ.has(public) {
		return badMaterial("it is not of type " + string(r.typ))
	}
	if len(v.Private) == 0 {
		if r.derived {
			return badMaterial("keys are derived from a private key, and only its public half is there")
		}
		return nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(v.Private)
	if err != nil {
		return badMaterial("there is no private key in it")
	}
	private, ok := parsed.(crypto.Signer)
	if !ok || !samePublic(private.Public(), public) {
		return badMaterial("its two halves do not belong together")
	}
	r.private = private
	if k, ok := private.(ed25519.PrivateKey); ok {
		r.secret = k
	}
	return nil
}

// has reports whether a public key is of the type.
func (t Type) has(public crypto.PublicKey) bool {
	switch p := public.(type) {
	case *rsa.PublicKey:
		return p.N.BitLen() == t.bits()
	case *ecdsa.PublicKey:
		return t.curve() == p.Curve
	case ed25519.PublicKey:
		return t == Ed25519
	}
	return false
}

func samePublic(a, b crypto.PublicKey) bool {
	x, err := x509.MarshalPKIXPublicKey(a)
	if err != nil {
		return false
	}
	y, err := x509.MarshalPKIXPublicKey(b)
	return err == nil && bytes.Equal(x, y)
}

func newAEAD(t Type, key []byte) (cipher.AEAD, error) {
	switch t {
	case ChaCha20:
		return chacha20poly1305.New(key)
	case XChaCha20:
		return chacha20poly1305.NewX(key)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("making a cipher: %w", err)
	}
	return cipher.NewGCM(block)
}

// derive makes n bytes of key for a context: HKDF with SHA-256, without salt, and
// with the context for info. What is asked for less is the beginning of more.
func (r *ready) derive(context []byte, n int) ([]byte, error) {
	if len(context) == 0 {
		return nil, errs.New(errs.Invalid, "missing 'context' for key derivation; the key was created using a derived key, which means additional, per-request information must be included in order to perform operations with the key")
	}
	key, err := hkdf.Key(sha256.New, r.secret, nil, string(context), n)
	if err != nil {
		return nil, fmt.Errorf("deriving a key: %w", err)
	}
	return key, nil
}

// signer is the private key that signs for a context.
func (r *ready) signer(context []byte) (crypto.Signer, error) {
	if r.private == nil {
		return nil, errs.New(errs.Precondition, "requested version for signing does not contain a private part")
	}
	if !r.derived {
		return r.private, nil
	}
	seed, err := r.derive(context, ed25519.SeedSize)
	if err != nil {
		return nil, err
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// verifier is the public key that verifies for a context.
func (r *ready) verifier(context []byte) (crypto.PublicKey, error) {
	if !r.derived {
		return r.public, nil
	}
	s, err := r.signer(context)
	if err != nil {
		return nil, err
	}
	return s.Public(), nil
}
