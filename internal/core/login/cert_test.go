package login_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/login"
	"countersign/internal/core/mount"
	"countersign/internal/core/policy"
	"countersign/internal/errs"
)

// authority signs certificates.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	next int64
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// newAuthority makes one, under another when there is one.
func newAuthority(t testing.TB, name string, under *authority) *authority {
	t.Helper()
	a := &authority{t: t, key: newKey(t), next: 100}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	parent, key := tmpl, a.key
	if under != nil {
		parent, key = under.cert, under.key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, a.key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return a
}

// issue makes a client's certificate, which change may alter before it is signed.
func (a *authority) issue(cn string, change func(c *x509.Certificate)) *x509.Certificate {
	a.t.Helper()
	a.next++
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(a.next), Subject: pkix.Name{CommonName: cn}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if change != nil {
		change(tmpl)
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, newKey(a.t).Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return c
}

func certPEM(certs ...*x509.Certificate) string {
	var b strings.Builder
	for _, c := range certs {
		b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
	}
	return b.String()
}

func (w *world) cert(m *mount.Mount, role string, peer ...*x509.Certificate) (login.Entered, error) {
	return w.Logins.LoginCert(w.t.Context(), w.nobody(), m, login.CertLogin{Role: role, Peer: peer})
}

func TestCertificates(t *testing.T) {
	w := newWorld(t)
	m := w.mount(mount.Cert, "cert")
	ca := newAuthority(t, "Example CA", nil)
	other := newAuthority(t, "Example CA", nil) // of the same name
	under := newAuthority(t, "Intermediate", ca)
	w.done(w.Logins.PutRole(t.Context(), w.Admin, m, "Services", login.Patch{"certificate": certPEM(ca.cert), "allowed_common_names": []string{"*.svc.example.com"}, "display_name": "svc"}))
	web := ca.issue("web.svc.example.com", nil)
	n := len(w.Records(t))
	_, err := w.cert(m, "", web)
	w.ok(err)
	_, err = w.cert(m, "SERVICES", web)
	w.ok(err)
	recs := w.since(n, policy.Login)
	if len(recs) != 2 || recs[0].Principal.Name != "cert.web.svc.example.com" || recs[0].Resource != "cert/services" || recs[0].Principal.Proof != string(caller.ProofTLS) {
		t.Errorf("%+v", recs)
	}
	deep := under.issue("deep.svc.example.com", nil)
	_, err = w.cert(m, "", deep, under.cert)
	w.ok(err)
	day := 24 * time.Hour
	for name, peer := range map[string][]*x509.Certificate{
		"another name":       {ca.issue("web.example.com", nil)},
		"another authority":  {other.issue("web.svc.example.com", nil)},
		"itself":             {newAuthority(t, "web.svc.example.com", nil).cert},
		"expired":            {ca.issue("web.svc.example.com", func(c *x509.Certificate) { c.NotBefore, c.NotAfter = time.Now().Add(-2*day), time.Now().Add(-day) })},
		"not yet":            {ca.issue("web.svc.example.com", func(c *x509.Certificate) { c.NotBefore = time.Now().Add(30 * time.Minute) })},
		"for servers":        {ca.issue("web.svc.example.com", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })},
		"without the link":   {deep},
		"signed by a client": {deep, web},
		"a long way":         slices.Repeat([]*x509.Certificate{web}, 20),
	} {
		if _, err := w.cert(m, "", peer...); code(err) != login.CodeRefused {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err = w.cert(m, "absent", web)
	w.want(err, login.CodeRefused)
	if _, err = w.cert(m, ""); !errs.Is(err, errs.Invalid) {
		t.Errorf("no certificate: %v", err)
	}
}

func TestCertificateNames(t *testing.T) {
	w := newWorld(t)
	m := w.mount(mount.Cert, "cert")
	ca := newAuthority(t, "CA", nil)
	value, err := asn1.MarshalWithParams("team-a", "utf8")
	w.ok(err)
	client := ca.issue("client", func(c *x509.Certificate) {
		c.DNSNames, c.EmailAddresses = []string{"a.example.com", "b.example.com"}, []string{"ann@example.com"}
		c.URIs = []*url.URL{{Scheme: "spiffe", Host: "example.com", Path: "/ns/app"}}
		c.Subject.OrganizationalUnit = []string{"engineering"}
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 1, 1, 1}, Value: value}, {Id: asn1.ObjectIdentifier{2, 1, 1, 2}, Value: []byte{0x02, 0x01, 0x2a}}}
	})
	for _, x := range []struct {
		patch login.Patch
		want  string
	}{
		{login.Patch{}, ""},
		{login.Patch{"allowed_names": []string{"x", "b.*"}}, ""}, {login.Patch{"allowed_names": []string{"x"}}, login.CodeRefused},
		{login.Patch{"allowed_common_names": []string{"client"}}, ""}, {login.Patch{"allowed_common_names": []string{"Client"}}, login.CodeRefused},
		{login.Patch{"allowed_dns_sans": []string{"b.example.com"}}, ""}, {login.Patch{"allowed_dns_sans": []string{"client"}}, login.CodeRefused},
		{login.Patch{"allowed_email_sans": []string{"*@example.com"}}, ""}, {login.Patch{"allowed_email_sans": []string{"*@example.org"}}, login.CodeRefused},
		{login.Patch{"allowed_uri_sans": []string{"spiffe://example.com/*"}}, ""}, {login.Patch{"allowed_uri_sans": []string{"spiffe://example.org/*"}}, login.CodeRefused},
		{login.Patch{"allowed_organizational_units": []string{"eng*"}}, ""}, {login.Patch{"allowed_organizational_units": []string{"sales"}}, login.CodeRefused},
		{login.Patch{"required_extensions": []string{"2.1.1.1:team-*"}}, ""}, {login.Patch{"required_extensions": []string{"2.1.1.1:team-b"}}, login.CodeRefused},
		{login.Patch{"required_extensions": []string{"2.1.1.1:team-*", "2.1.1.3:*"}}, login.CodeRefused}, {login.Patch{"required_extensions": []string{"2.1.1.2:*"}}, login.CodeRefused},
		{login.Patch{"required_extensions": []string{"hex:2.1.1.2:02012a"}}, ""}, {login.Patch{"required_extensions": []string{"hex:2.1.1.2:02012b"}}, login.CodeRefused},
		{login.Patch{"allowed_common_names": []string{"client"}, "allowed_dns_sans": []string{"nowhere"}}, login.CodeRefused},
	} {
		w.done(w.Logins.DeleteRole(t.Context(), w.Admin, m, "r"))
		x.patch["certificate"] = certPEM(ca.cert)
		w.done(w.Logins.PutRole(t.Context(), w.Admin, m, "r", x.patch))
		_, err := w.cert(m, "", client)
		if code(err) != x.want {
			t.Errorf("%v: %v", x.patch, err)
		}
	}
	// A certificate without a common name is known by its first other name.
	w.done(w.Logins.PutRole(t.Context(), w.Admin, m, "s", login.Patch{"certificate": certPEM(ca.cert), "allowed_metadata_extensions": []string{"2.1.1.1"}}))
	_, err = w.cert(m, "s", ca.issue("", func(c *x509.Certificate) {
		c.URIs = []*url.URL{{Scheme: "spiffe", Host: "example.com", Path: "/ns/app"}}
	}))
	w.ok(err)
	if _, ok := w.principal(m, "spiffe://example.com/ns/app"); !ok {
		t.Error("it is nobody")
	}
	_, err = w.cert(m, "s", ca.issue("", nil))
	w.want(err, login.CodeRefused)
}

// TestTrustedLeaf holds that a role may trust one certificate itself: no other of
// the same name or key holder, and in its time only.
func TestTrustedLeaf(t *testing.T) {
	w := newWorld(t)
	m := w.mount(mount.Cert, "cert")
	ca := newAuthority(t, "CA", nil)
	mine, other := ca.issue("client", nil), ca.issue("client", nil)
	w.done(w.Logins.PutRole(t.Context(), w.Admin, m, "leaf", login.Patch{"certificate": certPEM(mine)}))
	_, err := w.cert(m, "", mine)
	w.ok(err)
	_, err = w.cert(m, "", other)
	w.want(err, login.CodeRefused)
	_, err = w.cert(m, "", other, mine)
	w.want(err, login.CodeRefused)
	over := ca.issue("client", func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	})
	w.done(w.Logins.PutRole(t.Context(), w.Admin, m, "leaf", login.Patch{"certificate": certPEM(over)}))
	_, err = w.cert(m, "", over)
	w.want(err, login.CodeRefused)
	for _, x := range []login.Patch{{"certificate": ""}, {"certificate": "x"}, {"certificate": publicPEM(t, ca.key.Public())}, {"certificate": strings.Repeat("x", 70_000)},
		{"certificate": certPEM(ca.issue("server", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} }))}} {
		_, err := w.Logins.PutRole(t.Context(), w.Admin, m, "bad", x)
		w.want(err, "invalid/certificate")
	}
	for field, v := range map[string][]string{"required_extensions": {"2.1.1.1"}, "allowed_metadata_extensions": {"x"}} {
		_, err := w.Logins.PutRole(t.Context(), w.Admin, m, "bad", login.Patch{"certificate": certPEM(ca.cert), field: v})
		w.want(err, "invalid/"+field)
	}
}

func TestRevokedCertificates(t *testing.T) {
	w := newWorld(t)
	m := w.mount(mount.Cert, "cert")
	ca, other := newAuthority(t, "CA", nil), newAuthority(t, "Other", nil)
	under := newAuthority(t, "Intermediate", ca)
	w.done(w.Logins.PutRole(t.Context(), w.Admin, m, "all", login.Patch{"certificate": certPEM(ca.cert, other.cert)}))
	a, b := ca.issue("a", nil), ca.issue("b", nil)
	same := other.issue("c", func(c *x509.Certificate) { c.SerialNumber = a.SerialNumber })
	deep := under.issue("deep", nil)
	enter := func(peer ...*x509.Certificate) string { _, err := w.cert(m, "", peer...); return code(err) }
	crl := func(serials ...*big.Int) string {
		l := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now(), NextUpdate: time.Now().Add(time.Hour)}
		for _, s := range serials {
			l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: s, RevocationTime: time.Now()})
		}
		der, err := x509.CreateRevocationList(rand.Reader, l, ca.cert, ca.key)
		w.ok(err)
		return string(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der}))
	}
	w.done(w.Logins.PutCRL(t.Context(), w.Admin, m, "Main", crl(a.SerialNumber)))
	if got := []string{enter(a), enter(b), enter(same), enter(deep, under.cert)}; !slices.Equal(got, []string{login.CodeRefused, "", "", ""}) {
		t.Errorf("%q", got)
	}
	list, err := w.Logins.GetCRL(t.Context(), w.Admin, m, "main")
	w.ok(err)
	if !slices.Equal(list, []string{a.SerialNumber.String()}) {
		t.Error(list)
	}
	w.done(w.Logins.PutCRL(t.Context(), w.Admin, m, "more", crl(under.cert.SerialNumber)))
	if c := enter(deep, under.cert); c != login.CodeRefused {
		t.Errorf("under a revoked authority: %q", c)
	}
	names, err := w.Logins.ListCRLs(t.Context(), w.Admin, m)
	w.ok(err)
	if !slices.Equal(names, []string{"main", "more"}) {
		t.Error(names)
	}
	w.done(w.Logins.DeleteCRL(t.Context(), w.Admin, m, "main"))
	w.done(w.Logins.DeleteCRL(t.Context(), w.Admin, m, "main"))
	if c := enter(a); c != "" {
		t.Error(c)
	}
	_, err = w.Logins.GetCRL(t.Context(), w.Admin, m, "main")
	w.want(err, login.CodeConfig)
	_, err = w.Logins.PutCRL(t.Context(), w.Admin, m, "bad", "x")
	w.want(err, "invalid/crl")
}

// FuzzCertificates holds that a text which is to be a certificate or a list is
// read or refused.
func FuzzCertificates(f *testing.F) {
	w := newWorld(f)
	m := w.mount(mount.Cert, "cert")
	f.Add(certPEM(newAuthority(f, "CA", nil).cert))
	f.Add("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n")
	f.Add("\xff")
	f.Add("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, put := range []func() error{
			func() error {
				_, err := w.Logins.PutRole(t.Context(), w.Admin, m, "r", login.Patch{"certificate": text})
				return err
			},
			func() error { _, err := w.Logins.PutCRL(t.Context(), w.Admin, m, "c", text); return err },
		} {
			if err := put(); err != nil && !errs.Is(err, errs.Invalid) {
				t.Errorf("%v", err)
			}
		}
	})
}
