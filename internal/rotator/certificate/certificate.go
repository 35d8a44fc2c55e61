// Package certificate rotates a TLS certificate, self-signed or signed by a CA that is
// kept in the store.
//
// The value is an object with the members
//
//	certificate  the certificate, PEM
//	private_key  its key, PKCS#8, PEM: a new one each time
//	chain        what stands between it and the root, PEM, "" when nothing does
//	ca           what a verifier has to trust, PEM: the root, or the topmost
//	             certificate that the CA's secret has; self-signed, the certificate
//	serial       hexadecimal, 128 random bits
//	not_after    RFC 3339
//	subject      RFC 2253
//
// Other members stay as they are. The secret of a CA has the members certificate,
// private_key and chain, so that one which this package made, with is_ca, is one.
//
// A certificate is held against what signs it before it becomes a value: it is verified as a
// client does, with the CA's name constraints, usages and path length, at the time of
// Env.Now, and a TLS handshake is made with it in memory. It never outlives its CA.
//
// There is no target: nothing revokes the previous certificate, which ends by itself.
package certificate

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"countersign/internal/rotator"
	"countersign/internal/rotator/keys"
)

// skew is how far in the past a certificate begins, for verifiers whose clock is
// behind. It counts as part of its days.
const skew = 10 * time.Minute

// Kind is the row of the list of rotators.
func Kind() rotator.Kind {
	return rotator.Kind{
		Name:   "certificate",
		Help:   "a TLS certificate, self-signed or signed by a CA that is kept here",
		Fate:   rotator.Stored,
		Undoes: true,
		Options: []rotator.Option{
			{Name: "ca", Secret: true, Help: "the secret of the CA that signs: certificate, private_key and chain as PEM; default: self-signed"},
			{Name: "common_name", Help: "the name of the subject, at most 64 characters; default: the first of dns or ip"},
			{Name: "organization", Help: "the organization of the subject, at most 64 characters; default: none"},
			{Name: "dns", Help: "names of hosts, separated by commas; a wildcard is the whole first label"},
			{Name: "ip", Help: "addresses, separated by commas"},
			{Name: "days", Help: "how long it is valid, 1 to 825; default 90"},
			{Name: "key", Help: "rsa-2048, rsa-3072, rsa-4096, ec-p256, ec-p384, ec-p521 or ed25519; default ec-p256"},
			{Name: "usage", Help: "server, client or both; default server"},
			{Name: "is_ca", Help: "true: it signs certificates itself, with ca none but those of hosts and clients; default false"},
		},
		Check: func(options map[string]string) error {
			_, err := parse(options)
			return err
		},
		New: func(e rotator.Env) rotator.Rotator {
			if e.Now == nil {
				e.Now = time.Now
			}
			return certificate{now: e.Now}
		},
	}
}

type certificate struct {
	keys.Stored
	now func() time.Time
}

// settled reads the options of a job. They were accepted before, and are again.
func settled(j rotator.Job) (*settings, error) {
	s, err := parse(j.Options)
	if err != nil {
		return nil, rotator.Fail(rotator.Unsuitable, err, "the options of the rotation are not valid")
	}
	return s, nil
}

// Create makes a key and a certificate, and checks them as Test does.
func (c certificate) Create(ctx context.Context, j rotator.Job) (rotator.Created, error) {
	s, err := settled(j)
	if err != nil {
		return rotator.Created{}, err
	}
	o, err := keys.Object(j.Current)
	if err != nil {
		return rotator.Created{}, err
	}
	now := c.now()
	var ca *authority
	if s.signed {
		if ca, err = readAuthority(j.Related["ca"], now); err != nil {
			return rotator.Created{}, err
		}
	}
	key, err := keys.Generate(ctx, s.key)
	if err != nil {
		return rotator.Created{}, err
	}
	cert, err := issue(s, ca, key, now)
	if err != nil {
		return rotator.Created{}, err
	}
	private, _, err := keys.PEM(key)
	if err != nil {
		return rotator.Created{}, err
	}
	anchor, between := cert, []*x509.Certificate(nil)
	if ca != nil {
		anchor, between = ca.anchor(), ca.between()
	}
	o.Set("certificate", encode(cert))
	o.Set("private_key", private)
	o.Set("chain", encode(between...))
	o.Set("ca", encode(anchor))
	o.Set("serial", fmt.Sprintf("%032X", cert.SerialNumber))
	o.Set("not_after", cert.NotAfter.UTC().Format(time.RFC3339))
	o.Set("subject", cert.Subject.String())
	made, err := o.Created()
	if err != nil {
		return made, err
	}
	if err := check(ctx, o, s, ca, now); err != nil {
		var f *rotator.Failure
		if errors.As(err, &f) && f.Class == rotator.Rejected { // trying again makes the same
			err = rotator.Fail(rotator.Unsuitable, f.Err, "%s", f.Msg)
		}
		return rotator.Created{}, err
	}
	return made, nil
}

// Test verifies the certificate against the CA, as it is now, for each of its names and
// usages, and makes a TLS handshake with it.
func (c certificate) Test(ctx context.Context, j rotator.Job) error {
	s, err := settled(j)
	if err != nil {
		return err
	}
	o, err := rotator.ParseObject(j.Pending)
	if err != nil {
		return err
	}
	now := c.now()
	var ca *authority
	if s.signed {
		if ca, err = readAuthority(j.Related["ca"], now); err != nil {
			return err
		}
	}
	return check(ctx, o, s, ca, now)
}

// issue makes the certificate.
func issue(s *settings, ca *authority, key crypto.Signer, now time.Time) (*x509.Certificate, error) {
	t := template(s)
	t.NotBefore = now.Add(-skew).UTC().Truncate(time.Second)
	t.NotAfter = t.NotBefore.Add(time.Duration(s.days)*24*time.Hour - time.Second) // both ends count
	t.SerialNumber = serial()
	if _, ok := key.Public().(*rsa.PublicKey); ok && s.server {
		t.KeyUsage |= x509.KeyUsageKeyEncipherment // for TLS 1.2 without (EC)DHE
	}
	parent, signer := t, key
	if ca != nil {
		if err := ca.permits(t); err != nil {
			return nil, err
		}
		parent, signer = ca.path[0], ca.key
		if t.NotBefore.Before(parent.NotBefore) {
			t.NotBefore = parent.NotBefore
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, key.Public(), signer)
	if err != nil {
		return nil, rotator.Fail(rotator.Unsuitable, err, "the certificate cannot be signed with this key")
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, rotator.Fail(rotator.Broken, err, "reading the new certificate")
	}
	return cert, nil
}

func template(s *settings) *x509.Certificate {
	t := &x509.Certificate{
		Subject:               pkix.Name{CommonName: s.commonName},
		DNSNames:              s.dns,
		IPAddresses:           s.ips,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
	}
	if s.organization != "" {
		t.Subject.Organization = []string{s.organization}
	}
	if s.server {
		t.ExtKeyUsage = append(t.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	if s.client {
		t.ExtKeyUsage = append(t.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
	}
	if s.isCA {
		t.IsCA = true
		t.KeyUsage |= x509.KeyUsageCertSign | x509.KeyUsageCRLSign
		t.MaxPathLen, t.MaxPathLenZero = -1, false
		if s.signed {
			t.MaxPathLen, t.MaxPathLenZero = 0, true
		}
	}
	return t
}

// serial draws 128 bits (RFC 5280, section 4.1.2.2: positive, at most 20 octets).
func serial() *big.Int {
	b := make([]byte, 16)
	for {
		_, _ = rand.Read(b) // it does not fail
		if n := new(big.Int).SetBytes(b); n.Sign() > 0 {
			return n
		}
	}
}

func encode(list ...*x509.Certificate) string {
	var b strings.Builder
	for _, c := range list {
		b.WriteString(keys.Block("CERTIFICATE", c.Raw))
	}
	return b.String()
}
