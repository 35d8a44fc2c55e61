package certificate

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"net"
	"strings"
	"time"

	"countersign/internal/rotator"
	"countersign/internal/rotator/keys"
)

// material is what a value holds.
type material struct {
	cert   *x509.Certificate
	key    crypto.Signer
	chain  []*x509.Certificate
	anchor *x509.Certificate
}

// check proves a value by use.
func check(ctx context.Context, o *rotator.Object, s *settings, ca *authority, now time.Time) error {
	m, err := read(o)
	if err != nil {
		return err
	}
	m.anchor = m.cert
	if ca != nil {
		m.anchor = ca.anchor()
	} else if err := m.cert.CheckSignature(m.cert.SignatureAlgorithm, m.cert.RawTBSCertificate, m.cert.Signature); err != nil {
		return rotator.Fail(rotator.Rejected, err, "the certificate is not self-signed")
	}
	if s.isCA {
		return m.signs(now)
	}
	for _, usage := range usages(s) {
		if err := m.verify(m.cert, m.chain, usage, now); err != nil {
			return err
		}
	}
	for _, n := range append(s.hosts(), addresses(s)...) {
		if err := m.cert.VerifyHostname(n); err != nil {
			return rotator.Fail(rotator.Rejected, err, "the certificate is not valid for %q, which the options name", n)
		}
	}
	return m.handshake(ctx, s, now)
}

func usages(s *settings) (out []x509.ExtKeyUsage) {
	if s.server {
		out = append(out, x509.ExtKeyUsageServerAuth)
	}
	if s.client {
		out = append(out, x509.ExtKeyUsageClientAuth)
	}
	return out
}

// hosts are names that the certificate is to be valid for, one for each wildcard.
func (s *settings) hosts() (out []string) {
	for _, n := range s.dns {
		if rest, wild := strings.CutPrefix(n, "*."); wild {
			n = "a." + rest // as long as the wildcard is
		}
		out = append(out, n)
	}
	return out
}

func addresses(s *settings) (out []string) {
	for _, ip := range s.ips {
		out = append(out, ip.String())
	}
	return out
}

// read reads the members, and holds the key against the certificate.
func read(o *rotator.Object) (*material, error) {
	for _, n := range []string{"certificate", "private_key"} {
		if _, err := o.Need(n); err != nil {
			return nil, err
		}
	}
	own, err := parseCertificates(o.Get("certificate"))
	if err != nil || len(own) != 1 {
		return nil, rotator.Fail(rotator.Unsuitable, err, "the member certificate is not one certificate as PEM")
	}
	chain, err := parseCertificates(o.Get("chain"))
	if err != nil {
		return nil, rotator.Fail(rotator.Unsuitable, err, "the member chain is not certificates as PEM")
	}
	key, err := keys.ParsePrivate(o.Get("private_key"))
	if err != nil {
		return nil, rotator.Fail(rotator.Unsuitable, err, "the member private_key is no private key as PEM that is supported")
	}
	if err := keys.Prove(key, own[0].PublicKey); err != nil {
		return nil, err
	}
	return &material{cert: own[0], key: key, chain: chain}, nil
}

func pool(list ...*x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	for _, c := range list {
		p.AddCert(c)
	}
	return p
}

// verify verifies a certificate up to the anchor, as a client or a server does.
func (m *material) verify(c *x509.Certificate, chain []*x509.Certificate, usage x509.ExtKeyUsage, now time.Time) error {
	_, err := c.Verify(x509.VerifyOptions{Roots: pool(m.anchor), Intermediates: pool(chain...), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{usage}})
	if err == nil {
		return nil
	}
	return rotator.Fail(rotator.Rejected, err, "%s", reason(err))
}

// reason says why in words that quote no certificate.
func reason(err error) string {
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) {
		switch invalid.Reason {
		case x509.Expired:
			return "the certificate, or one of its chain, has expired or is not valid yet"
		case x509.CANotAuthorizedForThisName:
			return "the name constraints of the CA do not permit the names of the certificate"
		case x509.IncompatibleUsage, x509.CANotAuthorizedForExtKeyUsage:
			return "the certificate or its CA does not permit this usage"
		case x509.TooManyIntermediates:
			return "the path length of the CA does not permit the certificate"
		case x509.NotAuthorizedToSign:
			return "what signed the certificate is not a CA"
		}
	}
	if errors.As(err, new(x509.UnhandledCriticalExtension)) {
		return "the certificate of the CA has a critical extension that is not known here"
	}
	if errors.As(err, new(x509.UnknownAuthorityError)) {
		return "the certificate is not signed by the CA, or its chain has a gap"
	}
	return "the certificate does not verify"
}

// signs proves a CA by a certificate that it signs, which is thrown away.
func (m *material) signs(now time.Time) error {
	if why := unfit(m.cert, now); why != "" {
		return rotator.Fail(rotator.Rejected, nil, "the certificate %s", why)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return rotator.Fail(rotator.Broken, err, "making a key")
	}
	leaf, err := throwaway(now, key, m.cert, m.key)
	if err != nil {
		return rotator.Fail(rotator.Rejected, err, "the CA cannot sign")
	}
	return m.verify(leaf, append([]*x509.Certificate{m.cert}, m.chain...), x509.ExtKeyUsageAny, now)
}

const nobody = "nobody.invalid"

// throwaway is a certificate for a check, self-signed when there is no parent.
func throwaway(now time.Time, key crypto.Signer, parent *x509.Certificate, signer crypto.Signer) (*x509.Certificate, error) {
	t := &x509.Certificate{Subject: pkix.Name{CommonName: nobody}, SerialNumber: serial(),
		NotBefore: now.Add(-time.Minute), NotAfter: now.Add(time.Minute), BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature}
	if parent == nil {
		t.DNSNames = []string{nobody}
		parent, signer = t, key
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, key.Public(), signer)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// handshake speaks TLS in memory, with the certificate on the side that it is for.
func (m *material) handshake(ctx context.Context, s *settings, now time.Time) error {
	own := tls.Certificate{PrivateKey: m.key, Certificate: [][]byte{m.cert.Raw}}
	for _, c := range m.chain {
		own.Certificate = append(own.Certificate, c.Raw)
	}
	clock := func() time.Time { return now }
	server := &tls.Config{MinVersion: tls.VersionTLS12, Time: clock, Certificates: []tls.Certificate{own}}
	client := &tls.Config{MinVersion: tls.VersionTLS12, Time: clock, RootCAs: pool(m.anchor)}
	if s.server {
		client.ServerName = append(s.hosts(), addresses(s)...)[0]
	} else {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return rotator.Fail(rotator.Broken, err, "making a key")
		}
		c, err := throwaway(now, key, nil, nil)
		if err != nil {
			return rotator.Fail(rotator.Broken, err, "making a certificate")
		}
		server.Certificates = []tls.Certificate{{PrivateKey: key, Certificate: [][]byte{c.Raw}}}
		client.RootCAs, client.ServerName = pool(c), nobody
	}
	if s.client {
		client.Certificates = []tls.Certificate{own}
		server.ClientCAs, server.ClientAuth = pool(m.anchor), tls.RequireAndVerifyClientCert
	}
	if err := shake(ctx, server, client); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return rotator.Fail(rotator.Rejected, err, "a TLS handshake with the certificate does not succeed")
	}
	return nil
}

func shake(ctx context.Context, server, client *tls.Config) error {
	a, b := net.Pipe()
	served := make(chan error, 1)
	go func() {
		err := tls.Server(a, server).HandshakeContext(ctx)
		_ = a.Close()
		served <- err
	}()
	c := tls.Client(b, client)
	err := c.HandshakeContext(ctx)
	if err == nil {
		// What the server says after its part of the handshake has to be taken from it.
		_ = b.SetReadDeadline(time.Now().Add(10 * time.Second))
		_, _ = c.Read(make([]byte, 1))
	}
	_ = b.Close()
	return errors.Join(err, <-served)
}
