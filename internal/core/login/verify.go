package login

import (
	"context"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"

	"countersign/internal/errs"
)

// maxJWT is the longest token that is looked at.
const maxJWT = 16 << 10

// algorithms are those whose keys only the issuer has. What anybody could sign
// with a public key, or without one, is none of them.
var algorithms = []string{"RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "EdDSA"}

func checkAlgorithms(field string, algs []string) error {
	for _, a := range algs {
		if !slices.Contains(algorithms, a) {
			return errs.InvalidField(field, "the algorithms are among RS256, RS384, RS512, ES256, ES384, ES512, PS256, PS384, PS512 and EdDSA")
		}
	}
	return nil
}

// badToken refuses a token for what it is, whatever the role.
func badToken(why string) error { return refused("error validating token: %s", why) }

// verify checks the signature of a token in its compact form and returns what it
// says. issuer is what a discovery document calls the issuer. Keys that a token
// brings along are not looked at.
func (s *Service) verify(ctx context.Context, k *keySource, algs []string, raw string) (c claims, issuer string, err error) {
	if len(algs) == 0 {
		algs = algorithms
	}
	allowed := make([]jose.SignatureAlgorithm, len(algs))
	for i, a := range algs {
		allowed[i] = jose.SignatureAlgorithm(a)
	}
	if len(raw) > maxJWT {
		return nil, "", badToken("it is too long")
	}
	obj, err := jose.ParseSignedCompact(raw, allowed)
	if err != nil || len(obj.Signatures) != 1 {
		return nil, "", badToken("it is not a token signed with an allowed algorithm")
	}
	h := obj.Signatures[0].Protected
	keys, issuer, err := s.lookUp(ctx, k, h.KeyID, h.Algorithm)
	if err != nil {
		return nil, "", err
	}
	for _, key := range keys {
		payload, err := obj.Verify(key)
		if err != nil {
			continue
		}
		if c, err = parseClaims(payload); err != nil {
			return nil, "", badToken("its claims are not a JSON object with each name once")
		}
		return c, issuer, nil
	}
	return nil, "", badToken("no known key fits its signature")
}

// times are how exact the clocks have to be. Zero is the default, a negative one
// none.
type times struct {
	Expiry    time.Duration `cbor:"1,keyasint,omitempty"` // for a token that says not until when
	NotBefore time.Duration `cbor:"2,keyasint,omitempty"` // for one that says not from when
	Skew      time.Duration `cbor:"3,keyasint,omitempty"`
}

func leeway(d, otherwise time.Duration) float64 {
	switch {
	case d == 0:
		return otherwise.Seconds()
	case d < 0:
		return 0
	}
	return d.Seconds()
}

// check holds the times of a token against now. One that says nothing of time is
// none that could be trusted today and not tomorrow.
func (t *times) check(c claims, now time.Time) error {
	exp, hasExp, ok1 := c.number("exp")
	nbf, hasNbf, ok2 := c.number("nbf")
	iat, hasIat, ok3 := c.number("iat")
	switch {
	case !ok1 || !ok2 || !ok3:
		return badToken("a time in it is not a number of seconds")
	case !hasExp && !hasNbf && !hasIat:
		return badToken("no issued at (iat), not before (nbf), or expiration time (exp) claims in token")
	}
	if !hasExp {
		exp = max(nbf, iat) + leeway(t.Expiry, 150*time.Second)
	}
	if !hasNbf {
		if nbf = iat; !hasIat {
			nbf = exp - leeway(t.NotBefore, 150*time.Second)
		}
	}
	skew := leeway(t.Skew, time.Minute)
	at := float64(now.UnixMilli()) / 1000
	switch {
	case at >= exp+skew:
		return badToken("token is expired (exp)")
	case at < nbf-skew:
		return badToken("token not valid yet (nbf)")
	case hasIat && at < iat-skew:
		return badToken("token issued in the future (iat)")
	}
	return nil
}

// unverified reads what a token says without believing it.
func unverified(raw string) (claims, error) {
	allowed := make([]jose.SignatureAlgorithm, len(algorithms))
	for i, a := range algorithms {
		allowed[i] = jose.SignatureAlgorithm(a)
	}
	if len(raw) > maxJWT {
		return nil, badToken("it is too long")
	}
	obj, err := jose.ParseSignedCompact(raw, allowed)
	if err != nil {
		return nil, badToken("it is not a token signed with an allowed algorithm")
	}
	c, err := parseClaims(obj.UnsafePayloadWithoutVerification())
	if err != nil {
		return nil, badToken("its claims are not a JSON object with each name once")
	}
	return c, nil
}
