package jwt

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"countersign/internal/rotator"
	"countersign/internal/rotator/keys"
)

const (
	maxSet = 16 // keys of a set that is read
	maxKid = 256
)

// public is one key of a set.
type public struct {
	kid, alg string // alg may be empty: any that fits
	key      crypto.PublicKey
}

// wire is what is read of a JWK: its public members. Whatever else is there is left
// behind.
type wire struct {
	Kty string `json:"kty"`
	Crv string `json:"crv"`
	X   string `json:"x"`
	Y   string `json:"y"`
	N   string `json:"n"`
	E   string `json:"e"`
	Kid string `json:"kid"`
	Alg string `json:"alg"`
}

// readSet reads a JWK set, nil when there is none. Keys that it does not know are
// left out; of two with one kid the first counts.
func readSet(raw json.RawMessage) ([]public, error) {
	if raw == nil || string(raw) == "null" {
		return nil, nil
	}
	bad := rotator.Fail(rotator.Unsuitable, nil, "the member jwks is no JWK set")
	if len(raw) > rotator.MaxValue {
		return nil, bad
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if json.Unmarshal(raw, &set) != nil {
		return nil, bad
	}
	if len(set.Keys) > maxSet {
		return nil, rotator.Fail(rotator.Unsuitable, nil, "the member jwks has more than %d keys", maxSet)
	}
	var out []public
	for _, k := range set.Keys {
		var w wire
		if json.Unmarshal(k, &w) != nil {
			continue
		}
		p := public{w.Kid, w.Alg, w.key()}
		if !keys.Supported(p.key) {
			continue
		}
		p, err := p.tidy()
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return unique(out), nil
}

// tidy gives a key its thumbprint when it has no name that can stand in a set, and
// takes an alg away that is not its own.
func (p public) tidy() (public, error) {
	if !name(p.kid) {
		var err error
		if p.kid, err = keys.Thumbprint(p.key); err != nil {
			return p, err
		}
	}
	if !fits(p.alg, p.key) {
		p.alg = ""
	}
	return p, nil
}

func name(kid string) bool {
	return kid != "" && len(kid) <= maxKid && !strings.ContainsFunc(kid, func(r rune) bool { return r < ' ' || r > '~' })
}

func unique(list []public) []public {
	seen := map[string]bool{}
	return slices.DeleteFunc(list, func(p public) bool {
		again := seen[p.kid]
		seen[p.kid] = true
		return again
	})
}

// fits reports whether a key can be used with an alg of RFC 7518 or RFC 8037.
func fits(alg string, key crypto.PublicKey) bool {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return slices.Contains([]string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}, alg)
	case *ecdsa.PublicKey:
		return alg == map[elliptic.Curve]string{elliptic.P256(): "ES256", elliptic.P384(): "ES384", elliptic.P521(): "ES512"}[k.Curve]
	case ed25519.PublicKey:
		return alg == "EdDSA"
	}
	return false
}

// key is the public key, nil when it is none that is known.
func (w *wire) key() crypto.PublicKey {
	switch w.Kty {
	case "RSA":
		n, okN := number(w.N)
		e, okE := number(w.E)
		// 32 bits are what crypto/rsa takes everywhere; 3 is the least that is one.
		if !okN || !okE || e.BitLen() > 31 || e.Int64() < 3 || e.Bit(0) == 0 || n.Bit(0) == 0 {
			return nil
		}
		return &rsa.PublicKey{N: n, E: int(e.Int64())}
	case "EC":
		curve, ok := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}[w.Crv]
		if !ok {
			return nil
		}
		return point(curve, w.X, w.Y)
	case "OKP":
		x, err := base64.RawURLEncoding.DecodeString(w.X)
		if w.Crv != "Ed25519" || err != nil || len(x) != ed25519.PublicKeySize {
			return nil
		}
		return ed25519.PublicKey(x)
	}
	return nil
}

// point reads a point, which has to be on the curve.
func point(curve elliptic.Curve, x, y string) crypto.PublicKey {
	size := (curve.Params().BitSize + 7) / 8
	raw := []byte{4} // uncompressed
	for _, text := range []string{x, y} {
		b, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil || len(b) != size { // RFC 7518, section 6.2.1.2
			return nil
		}
		raw = append(raw, b...)
	}
	k, err := ecdsa.ParseUncompressedPublicKey(curve, raw)
	if err != nil {
		return nil
	}
	return k
}

func number(text string) (*big.Int, bool) {
	if len(text) > 2048 { // 12288 bits
		return nil, false
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	return new(big.Int).SetBytes(b), err == nil
}

// write writes a set of public keys.
func write(list []public) (json.RawMessage, error) {
	set := jose.JSONWebKeySet{}
	for _, p := range list {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: p.key, KeyID: p.kid, Algorithm: p.alg, Use: "sig"})
	}
	raw, err := json.Marshal(set)
	if err != nil {
		return nil, rotator.Fail(rotator.Broken, err, "writing a JWK set")
	}
	return raw, nil
}
