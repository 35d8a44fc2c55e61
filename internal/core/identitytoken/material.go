package identitytoken

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"countersign/internal/errs"
)

// algorithms are those of RFC 7518 and RFC 8037 that keys can have.
var algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA}

func checkAlgorithm(a string) error {
	if !slices.Contains(algorithms, jose.SignatureAlgorithm(a)) {
		return errs.InvalidField("algorithm", "an algorithm is RS256, RS384, RS512, ES256, ES384, ES512 or EdDSA")
	}
	return nil
}

// generate makes the key of an algorithm.
func generate(algorithm string) (crypto.Signer, error) {
	switch jose.SignatureAlgorithm(algorithm) {
	case jose.ES256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jose.ES384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case jose.ES512:
		return ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case jose.EdDSA:
		_, k, err := ed25519.GenerateKey(rand.Reader)
		return k, err
	}
	return rsa.GenerateKey(rand.Reader, 2048) // the least that RFC 7518, section 3.3, takes
}

// newPair makes a pair under an id of its own.
func newPair(algorithm string) (*pair, error) {
	k, err := generate(algorithm)
	if err != nil {
		return nil, fmt.Errorf("making a key for %s: %w", algorithm, err)
	}
	p := &pair{ID: newID(), Algorithm: algorithm}
	if p.Private, err = x509.MarshalPKCS8PrivateKey(k); err != nil {
		return nil, fmt.Errorf("encoding a private key: %w", err)
	}
	if p.Public, err = x509.MarshalPKIXPublicKey(k.Public()); err != nil {
		return nil, fmt.Errorf("encoding a public key: %w", err)
	}
	return p, nil
}

// newID draws a UUID (RFC 9562, section 5.4).
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b[:])
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}

// sign makes a token of claims.
func (p *pair) sign(claims []byte) (string, error) {
	k, err := x509.ParsePKCS8PrivateKey(p.Private)
	if err != nil {
		return "", errs.Wrap(errs.Internal, err, "reading a private key")
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(p.Algorithm), Key: jose.JSONWebKey{Key: k, KeyID: p.ID}}, nil)
	if err != nil {
		return "", errs.Wrap(errs.Internal, err, "preparing to sign")
	}
	out, err := s.Sign(claims)
	if err != nil {
		return "", errs.Wrap(errs.Internal, err, "signing an identity token")
	}
	return out.CompactSerialize()
}

func (p *pair) retire(ends time.Time) old {
	return old{ID: p.ID, Algorithm: p.Algorithm, Public: p.Public, Ends: ends.UnixMicro()}
}

// published are the public keys by which tokens verify at a time.
func (k *key) published(now time.Time) (out []jose.JSONWebKey, err error) {
	add := func(id, algorithm string, der []byte) {
		pub, perr := x509.ParsePKIXPublicKey(der)
		if perr != nil {
			err = errs.Wrap(errs.Internal, perr, "reading a public key")
			return
		}
		out = append(out, jose.JSONWebKey{Key: pub, KeyID: id, Algorithm: algorithm, Use: "sig"})
	}
	for _, p := range []*pair{k.Signing, k.Next} {
		if p != nil {
			add(p.ID, p.Algorithm, p.Public)
		}
	}
	for _, o := range k.Old {
		if now.UnixMicro() < o.Ends {
			add(o.ID, o.Algorithm, o.Public)
		}
	}
	return out, err
}

// lacks tells which pairs have still to be made.
func (k *key) lacks() (signing, next bool) {
	return k.Signing == nil || k.Signing.Algorithm != k.Algorithm, k.Next == nil || k.Next.Algorithm != k.Algorithm
}

// turn lets the next pair sign, and keeps the one before published for a time.
func (k *key) turn(next *pair, now time.Time, keep int64) error {
	k.forget(now)
	if k.Signing != nil && keep > 0 {
		if len(k.Old) >= maxOld {
			return errs.New(errs.Limit, "the key was rotated too often: %d of its public keys are published still", maxOld)
		}
		k.Old = append(k.Old, k.Signing.retire(now.Add(seconds(keep))))
	}
	k.Signing, k.Next = k.Next, next
	k.Rotates = now.Add(seconds(k.Rotation)).UnixMicro()
	return nil
}

// forget drops what is published no more.
func (k *key) forget(now time.Time) {
	k.Old = slices.DeleteFunc(k.Old, func(o old) bool { return o.Ends <= now.UnixMicro() })
}
