// Package jwt rotates the key that tokens are signed with, so that nobody who
// verifies them has to be told.
//
// The value is an object with the members
//
//	kid          the key's thumbprint (RFC 7638)
//	alg          what it signs with
//	private_key  PKCS#8, PEM
//	jwk          the same as a private JWK (RFC 7517), for libraries that want one
//	jwks         the public keys as a JWK set: this one, then the previous ones
//
// Other members stay as they are. Who signs takes private_key or jwk, and writes kid
// into the token. Who verifies takes jwks, and finds the key of an old token there as
// well as that of a new one.
//
// No private member of a key ever stands in jwks. What is carried over there from the
// value before is read as public keys and written anew; what is none that this package
// knows is left out, as RFC 7517, section 5, has it.
package jwt

import (
	"context"
	"crypto"
	"encoding/json"
	"strconv"

	"github.com/go-jose/go-jose/v4"

	"countersign/internal/errs"
	"countersign/internal/rotator"
	"countersign/internal/rotator/keys"
)

const (
	defaultAlg  = "ES256"
	defaultKeep = 1
	maxKeep     = 5
)

var types = map[string]string{
	"RS256": "rsa-3072",
	"PS256": "rsa-3072",
	"ES256": "ec-p256",
	"ES384": "ec-p384",
	"EdDSA": "ed25519",
}

// Kind is the row of the list of rotators.
func Kind() rotator.Kind {
	return rotator.Kind{
		Name:   "jwt",
		Help:   "a key that signs JSON Web Tokens, with the public keys as a JWK set",
		Fate:   rotator.Stored,
		Undoes: true,
		Options: []rotator.Option{
			{Name: "alg", Help: "RS256, PS256, ES256, ES384 or EdDSA; default ES256"},
			{Name: "keep", Help: "how many previous public keys stay in the set, 0 to 5; default 1"},
		},
		Check: check,
		New:   func(rotator.Env) rotator.Rotator { return signing{} },

		Public: PublicSet,
	}
}

func check(options map[string]string) error {
	if err := keys.Check("alg", options["alg"], []string{"RS256", "PS256", "ES256", "ES384", "EdDSA"}); err != nil {
		return err
	}
	if _, ok := keep(options["keep"]); !ok {
		return errs.InvalidField("keep", "keep is a number from 0 to %d", maxKeep)
	}
	return nil
}

func keep(text string) (int, bool) {
	if text == "" {
		return defaultKeep, true
	}
	n, err := strconv.Atoi(text)
	return n, err == nil && n >= 0 && n <= maxKeep
}

type signing struct{ keys.Stored }

// Create makes a key, and the set of it and those before.
func (signing) Create(ctx context.Context, j rotator.Job) (rotator.Created, error) {
	o, err := keys.Object(j.Current)
	if err != nil {
		return rotator.Created{}, err
	}
	old, err := published(o)
	if err != nil {
		return rotator.Created{}, err
	}
	n, ok := keep(j.Options["keep"])
	if !ok {
		return rotator.Created{}, rotator.Fail(rotator.Unsuitable, nil, "keep is a number from 0 to %d", maxKeep)
	}
	alg := j.Options["alg"]
	if alg == "" {
		alg = defaultAlg
	}
	key, err := keys.Generate(ctx, types[alg])
	if err != nil {
		return rotator.Created{}, err
	}
	kid, err := keys.Thumbprint(key.Public())
	if err != nil {
		return rotator.Created{}, err
	}
	private, _, err := keys.PEM(key)
	if err != nil {
		return rotator.Created{}, err
	}
	jwk, err := (jose.JSONWebKey{Key: key, KeyID: kid, Algorithm: alg, Use: "sig"}).MarshalJSON()
	if err != nil {
		return rotator.Created{}, rotator.Fail(rotator.Broken, err, "writing a key as JWK")
	}
	set, err := write(append([]public{{kid, alg, key.Public()}}, old[:min(n, len(old))]...))
	if err != nil {
		return rotator.Created{}, err
	}
	o.Set("kid", kid)
	o.Set("alg", alg)
	o.Set("private_key", private)
	o.SetJSON("jwk", jwk)
	o.SetJSON("jwks", set)
	return o.Created()
}

// published are the public keys of a value, that which it signs with first. That is
// taken from the private key, whatever the set says.
func published(o *rotator.Object) ([]public, error) {
	set, err := readSet(o.JSON("jwks"))
	if err != nil {
		return nil, err
	}
	text := o.Get("private_key")
	if text == "" {
		return set, nil
	}
	key, err := keys.ParsePrivate(text)
	if err != nil {
		return nil, rotator.Fail(rotator.Unsuitable, err, "the member private_key is no private key as PEM that is supported")
	}
	first := public{o.Get("kid"), o.Get("alg"), key.Public()}
	out := []public{}
	for _, p := range set {
		if keys.Same(p.key, first.key) {
			first = p // its tokens go by the name that it has here
			continue
		}
		out = append(out, p)
	}
	if first, err = first.tidy(); err != nil {
		return nil, err
	}
	return unique(append([]public{first}, out...)), nil
}

// PublicSet is the JWK set of a value as it may be published: read as public keys and
// written anew, so that it has no private member whoever wrote the value.
func PublicSet(v rotator.Value) ([]byte, error) {
	o, err := rotator.ParseObject(v)
	if err != nil {
		return nil, err
	}
	set, err := readSet(o.JSON("jwks"))
	if err != nil {
		return nil, err
	}
	if len(set) == 0 {
		return nil, rotator.Fail(rotator.Unsuitable, nil, "the value of the secret has no public keys in a member jwks")
	}
	return write(set)
}

// Test signs a token with the private key, verifies it with what the set has under its
// kid, and holds the other members against it.
func (signing) Test(_ context.Context, j rotator.Job) error {
	o, err := rotator.ParseObject(j.Pending)
	if err != nil {
		return err
	}
	for _, n := range []string{"kid", "alg", "private_key"} {
		if _, err := o.Need(n); err != nil {
			return err
		}
	}
	key, err := keys.ParsePrivate(o.Get("private_key"))
	if err != nil {
		return rotator.Fail(rotator.Unsuitable, err, "the member private_key is no private key as PEM that is supported")
	}
	alg := o.Get("alg")
	if !fits(alg, key.Public()) {
		return rotator.Fail(rotator.Unsuitable, nil, "the member alg is nothing that the private key signs with")
	}
	var jwk jose.JSONWebKey
	if err := jwk.UnmarshalJSON(o.JSON("jwk")); err != nil || jwk.IsPublic() || jwk.KeyID != o.Get("kid") {
		return rotator.Fail(rotator.Unsuitable, err, "the member jwk is not a private JWK with the kid of the value")
	}
	if other, ok := jwk.Key.(crypto.Signer); !ok || !keys.Same(other.Public(), key.Public()) {
		return rotator.Fail(rotator.Rejected, nil, "the members jwk and private_key are different keys")
	}
	if err := onlyPublic(o.JSON("jwks")); err != nil {
		return err
	}
	set, err := readSet(o.JSON("jwks"))
	if err != nil {
		return err
	}
	return prove(key, o.Get("kid"), jose.SignatureAlgorithm(alg), set)
}

func prove(key crypto.Signer, kid string, alg jose.SignatureAlgorithm, set []public) error {
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: key, KeyID: kid}}, nil)
	if err != nil {
		return rotator.Fail(rotator.Rejected, err, "the private key cannot sign")
	}
	signed, err := s.Sign([]byte(`{"sub":"test"}`))
	if err != nil {
		return rotator.Fail(rotator.Rejected, err, "the private key cannot sign")
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		return rotator.Fail(rotator.Broken, err, "writing a token")
	}
	got, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{alg})
	if err != nil {
		return rotator.Fail(rotator.Broken, err, "reading a token")
	}
	for _, p := range set {
		if p.kid != got.Signatures[0].Header.KeyID {
			continue
		}
		if _, err := got.Verify(p.key); err != nil || p.alg != string(alg) {
			return rotator.Fail(rotator.Rejected, err, "a token does not verify with the key that jwks has under its kid")
		}
		return nil
	}
	return rotator.Fail(rotator.Rejected, nil, "jwks has no key under the kid of a token")
}

// private are the members that only private and symmetric keys have (RFC 7518,
// section 6).
var private = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"}

func onlyPublic(raw json.RawMessage) error {
	var set struct {
		Keys []map[string]json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(raw, &set); err != nil {
		return rotator.Fail(rotator.Unsuitable, nil, "the member jwks is no JWK set")
	}
	for _, k := range set.Keys {
		for _, n := range private {
			if _, ok := k[n]; ok {
				return rotator.Fail(rotator.Rejected, nil, "the member jwks has a private member of a key")
			}
		}
	}
	return nil
}
