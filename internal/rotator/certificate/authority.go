package certificate

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"slices"
	"strings"
	"time"

	"countersign/internal/rotator"
	"countersign/internal/rotator/keys"
)

// maxChain is how many certificates the secret of a CA may have.
const maxChain = 10

// authority is a CA out of the store.
type authority struct {
	key crypto.Signer
	// path begins with the CA's own certificate; each is signed by the next. The last
	// is self-signed, or the topmost that is known.
	path []*x509.Certificate
}

func (a *authority) anchor() *x509.Certificate    { return a.path[len(a.path)-1] }
func (a *authority) between() []*x509.Certificate { return a.path[:len(a.path)-1] }

// readAuthority reads the secret of a CA and refuses what cannot sign now.
func readAuthority(v rotator.Value, now time.Time) (*authority, error) {
	bad := func(cause error, format string, args ...any) (*authority, error) {
		return nil, rotator.Fail(rotator.Unsuitable, cause, "the secret of the CA: "+format, args...)
	}
	if v.Empty() {
		return bad(nil, "it has no value")
	}
	o, err := rotator.ParseObject(v)
	if err != nil {
		return bad(err, "its value is not a JSON object with each member once")
	}
	own, err := parseCertificates(o.Get("certificate"))
	if err != nil || len(own) == 0 {
		return bad(err, "its member certificate is no certificate as PEM")
	}
	pool := own[1:]
	for _, n := range []string{"chain", "ca"} {
		more, err := parseCertificates(o.Get(n))
		if err != nil {
			return bad(err, "its member %s is not certificates as PEM", n)
		}
		pool = append(pool, more...)
	}
	if len(pool) > maxChain {
		return bad(nil, "it has more than %d certificates", maxChain)
	}
	key, err := keys.ParsePrivate(o.Get("private_key"))
	if err != nil {
		return bad(err, "its member private_key is no private key as PEM that is supported")
	}
	if !keys.Same(key.Public(), own[0].PublicKey) {
		return bad(nil, "its private key is not that of its certificate")
	}
	a := &authority{key: key, path: path(own[0], pool)}
	for i, c := range a.path {
		which := "the certificate"
		if i > 0 {
			which = "a certificate of the chain"
		}
		if why := unfit(c, now); why != "" {
			return bad(nil, "%s %s", which, why)
		}
	}
	return a, nil
}

// unfit says why a certificate signs none now, "" when it does.
func unfit(c *x509.Certificate, now time.Time) string {
	switch {
	case !c.BasicConstraintsValid || !c.IsCA:
		return "is not a CA's"
	case c.KeyUsage&x509.KeyUsageCertSign == 0:
		return "has not the key usage keyCertSign"
	case now.Before(c.NotBefore):
		return "is not valid yet"
	case now.After(c.NotAfter):
		return "has expired"
	}
	return ""
}

// path goes up from a certificate, each step proved by its signature.
func path(c *x509.Certificate, pool []*x509.Certificate) []*x509.Certificate {
	out := []*x509.Certificate{c}
	for !bytes.Equal(c.RawIssuer, c.RawSubject) {
		i := slices.IndexFunc(pool, func(p *x509.Certificate) bool {
			return bytes.Equal(p.RawSubject, c.RawIssuer) && !slices.ContainsFunc(out, p.Equal) && c.CheckSignatureFrom(p) == nil
		})
		if i < 0 {
			break
		}
		c = pool[i]
		out = append(out, c)
	}
	return out
}

// permits refuses what verifiers would find out later, or not at all.
func (a *authority) permits(t *x509.Certificate) error {
	for i, c := range a.path {
		if t.NotAfter.After(c.NotAfter) {
			return rotator.Fail(rotator.Unsuitable, nil, "the certificate would be valid until %s and its CA only is until %s: set fewer days, or renew the CA",
				t.NotAfter.Format(time.RFC3339), c.NotAfter.UTC().Format(time.RFC3339))
		}
		limited := c.MaxPathLen > 0 || c.MaxPathLen == 0 && c.MaxPathLenZero
		if t.IsCA && limited && i+1 > c.MaxPathLen {
			return rotator.Fail(rotator.Unsuitable, nil, "the path length of the CA permits no further CA below it")
		}
	}
	return nil
}

var errCertificate = errors.New("not certificates as PEM, or too many or too long")

// parseCertificates reads a text that has nothing but certificates, none when it is
// blank.
func parseCertificates(text string) ([]*x509.Certificate, error) {
	if len(text) > keys.MaxPEM {
		return nil, errCertificate
	}
	var out []*x509.Certificate
	for rest := []byte(text); strings.TrimSpace(string(rest)) != ""; {
		var b *pem.Block
		b, rest = pem.Decode(rest)
		if b == nil || b.Type != "CERTIFICATE" || len(out) >= maxChain {
			return nil, errCertificate
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil || !keys.Supported(c.PublicKey) {
			return nil, errCertificate
		}
		out = append(out, c)
	}
	return out, nil
}
