package login

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"slices"
	"strings"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/mount"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/name"
)

// Bounds of certificates.
const (
	maxChain     = 10 // certificates that a client shows
	maxCertRoles = 1000
)

// certRole is which certificates may log in.
type certRole struct {
	// Certificate is, in PEM, the certificate of one client, or that of a
	// certificate authority whose clients these are.
	Certificate string   `cbor:"1,keyasint"`
	Display     string   `cbor:"2,keyasint,omitempty"`
	Names       []string `cbor:"3,keyasint,omitempty"` // of any kind: deprecated in the protocol
	CommonNames []string `cbor:"4,keyasint,omitempty"`
	DNS         []string `cbor:"5,keyasint,omitempty"`
	Emails      []string `cbor:"6,keyasint,omitempty"`
	URIs        []string `cbor:"7,keyasint,omitempty"`
	Units       []string `cbor:"8,keyasint,omitempty"`
	Extensions  []string `cbor:"9,keyasint,omitempty"`  // OID:PATTERN, or hex:OID:PATTERN
	Meta        []string `cbor:"10,keyasint,omitempty"` // OIDs of extensions that become metadata
}

func (c *certRole) fields() []Field {
	return []Field{
		text("certificate", &c.Certificate), text("display_name", &c.Display), list("allowed_names", &c.Names),
		list("allowed_common_names", &c.CommonNames), list("allowed_dns_sans", &c.DNS), list("allowed_email_sans", &c.Emails),
		list("allowed_uri_sans", &c.URIs), list("allowed_organizational_units", &c.Units),
		list("required_extensions", &c.Extensions), list("allowed_metadata_extensions", &c.Meta),
	}
}

func (c *certRole) check() error {
	certs, err := parseCertificates(c.Certificate)
	if err != nil {
		return errs.InvalidField("certificate", "failed to parse certificate: %s", errs.As(err).Msg)
	}
	if leaf := certs[0]; !leaf.IsCA && !forClients(leaf) {
		return errs.InvalidField("certificate", "nonCA certificates should have TLS client authentication set as an extended key usage")
	}
	if err := name.Text("display_name", c.Display, maxName); err != nil {
		return err
	}
	for field, l := range map[string][]string{"allowed_names": c.Names, "allowed_common_names": c.CommonNames, "allowed_dns_sans": c.DNS,
		"allowed_email_sans": c.Emails, "allowed_uri_sans": c.URIs, "allowed_organizational_units": c.Units,
		"required_extensions": c.Extensions, "allowed_metadata_extensions": c.Meta} {
		if err := checkTexts(field, l); err != nil {
			return err
		}
	}
	for _, x := range c.Extensions {
		if id, _, _, ok := extension(x); !ok || !isOID(id) {
			return errs.InvalidField("required_extensions", "each is an OID, a colon and a pattern, such as 2.1.1.1:*, or begins with hex: besides")
		}
	}
	if slices.ContainsFunc(c.Meta, func(id string) bool { return !isOID(id) }) {
		return errs.InvalidField("allowed_metadata_extensions", "each is an OID such as 2.1.1.1")
	}
	return nil
}

// parseCertificates reads one or more certificates in PEM.
func parseCertificates(text string) (out []*x509.Certificate, err error) {
	if len(text) > maxPEM {
		return nil, errs.New(errs.Invalid, "the text is longer than %d bytes", maxPEM)
	}
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" && block.Type != "TRUSTED CERTIFICATE" {
			return nil, errs.New(errs.Invalid, "it holds something else than certificates")
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, errs.New(errs.Invalid, "one of them is no certificate")
		}
		if out = append(out, c); len(out) > maxMembers {
			return nil, errs.New(errs.Invalid, "there are too many")
		}
	}
	if len(out) == 0 {
		return nil, errs.New(errs.Invalid, "there is none in PEM")
	}
	return out, nil
}

func forClients(c *x509.Certificate) bool {
	return len(c.ExtKeyUsage) == 0 && len(c.UnknownExtKeyUsage) == 0 || slices.ContainsFunc(c.ExtKeyUsage, func(u x509.ExtKeyUsage) bool {
		return u == x509.ExtKeyUsageClientAuth || u == x509.ExtKeyUsageAny
	})
}

// extension splits what is required of one.
func extension(s string) (id, pattern string, isHex, ok bool) {
	s, isHex = strings.CutPrefix(s, "hex:")
	id, pattern, ok = strings.Cut(s, ":")
	return id, pattern, isHex, ok
}

func isOID(s string) bool {
	_, err := x509.ParseOID(s)
	return err == nil
}

// takes finds the chain by which a role trusts what a client shows, without the
// authority at its end; why is empty when it does.
func (c *certRole) takes(peer []*x509.Certificate, now time.Time) (chain []*x509.Certificate, why string) {
	trusted, err := parseCertificates(c.Certificate)
	if err != nil {
		return nil, "the stored certificate cannot be read"
	}
	leaf := peer[0]
	if !trusted[0].IsCA {
		if !bytes.Equal(trusted[0].Raw, leaf.Raw) {
			return nil, "it is another certificate"
		}
		if now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
			return nil, "it is not valid at this time"
		}
		return peer[:1], c.names(leaf)
	}
	opts := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	for _, t := range trusted {
		if t.IsCA {
			opts.Roots.AddCert(t)
		}
	}
	for _, i := range peer[1:] {
		opts.Intermediates.AddCert(i)
	}
	chains, err := leaf.Verify(opts)
	if err != nil {
		return nil, "no chain leads to the certificate authority"
	}
	chain = chains[0]
	if len(chain) > 1 {
		chain = chain[:len(chain)-1] // what is trusted is not asked about
	}
	return chain, c.names(leaf)
}

// names holds what a certificate says of its owner against the role.
func (c *certRole) names(leaf *x509.Certificate) (why string) {
	var uris []string
	for _, u := range leaf.URIs {
		uris = append(uris, u.String())
	}
	all := append(append([]string{leaf.Subject.CommonName}, leaf.DNSNames...), leaf.EmailAddresses...)
	for _, x := range []struct {
		what    string
		allowed []string
		have    []string
	}{
		{"name", c.Names, all}, {"common name", c.CommonNames, []string{leaf.Subject.CommonName}}, {"DNS name", c.DNS, leaf.DNSNames},
		{"e-mail address", c.Emails, leaf.EmailAddresses}, {"URI", c.URIs, uris}, {"organizational unit", c.Units, leaf.Subject.OrganizationalUnit},
	} {
		if len(x.allowed) > 0 && !slices.ContainsFunc(x.have, func(s string) bool { return anyGlob(x.allowed, s) }) {
			return "no " + x.what + " of it is allowed"
		}
	}
	for _, want := range c.Extensions {
		id, pattern, isHex, _ := extension(want)
		value, ok := extensionOf(leaf, id, isHex)
		if !ok || !glob(pattern, value) {
			return "extension " + id + " is not what it has to be"
		}
	}
	return ""
}

// extensionOf is the value of an extension: as a text when it is some kind of
// ASN.1 string, or the bytes in hexadecimal.
func extensionOf(c *x509.Certificate, id string, isHex bool) (string, bool) {
	for _, x := range c.Extensions {
		if x.Id.String() != id {
			continue
		}
		if isHex {
			return hex.EncodeToString(x.Value), true
		}
		var s string
		rest, err := asn1.Unmarshal(x.Value, &s)
		return s, err == nil && len(rest) == 0
	}
	return "", false
}

// CertLogin is a login by the certificate of a TLS connection, whose private key
// the client has proved to hold.
type CertLogin struct {
	Role string // default any
	Peer []*x509.Certificate
}

func badCert() error {
	return refused("invalid certificate or no client certificate supplied")
}

// LoginCert gives a token to who shows a certificate that a role trusts. Where none
// is named, the first that does counts, by name.
func (s *Service) LoginCert(ctx context.Context, nobody caller.Caller, m *mount.Mount, req CertLogin) (Entered, error) {
	w, err := s.proveCert(ctx, nobody, m, &req)
	return s.finish(ctx, nobody, m, strings.ToLower(req.Role), w, err)
}

// candidate is a role that may take a certificate.
type candidate struct {
	name string
	role *role
}

func (s *Service) proveCert(ctx context.Context, nobody caller.Caller, m *mount.Mount, req *CertLogin) (*way, error) {
	if err := s.begin(nobody); err != nil {
		return nil, err
	}
	if len(req.Peer) == 0 {
		return nil, errs.InvalidField("", "client certificate must be supplied over TLS")
	}
	if len(req.Peer) > maxChain {
		return nil, badCert()
	}
	all, lists, err := s.certRoles(ctx, nobody.Account, m, strings.ToLower(req.Role))
	if err != nil {
		return nil, err
	}
	now, leaf := time.Now(), req.Peer[0]
	for _, x := range all {
		chain, why := x.role.Cert.takes(req.Peer, now)
		if why == "" && revoked(chain, lists) {
			why = "it is revoked"
		}
		if why != "" {
			s.because(m, x.name, why)
			continue
		}
		cn, who := leaf.Subject.CommonName, subjectOf(leaf)
		meta := map[string]string{"cert_name": x.name, "common_name": cn, "serial_number": leaf.SerialNumber.String(),
			"subject_key_id": colons(leaf.SubjectKeyId), "authority_key_id": colons(leaf.AuthorityKeyId)}
		for _, id := range x.role.Cert.Meta {
			if v, ok := extensionOf(leaf, id, false); ok {
				meta[strings.ReplaceAll(id, ".", "-")] = v
			}
		}
		if who == "" || checkMeta(meta) != nil {
			return nil, refused("the certificate names nobody, or says something that cannot be kept")
		}
		display := x.role.Cert.Display
		if display == "" {
			display = x.name
		}
		return &way{mount: m, role: x.name, terms: &x.role.Terms, proof: caller.ProofTLS, alias: who, label: who,
			display: short(m) + "-" + display, meta: meta, settle: s.stillTrusted(nobody.Account, m, x, chain)}, nil
	}
	return nil, badCert()
}

// subjectOf is the name of a certificate's owner: the common name, or, where there
// is none, the first of the alternative names.
func subjectOf(c *x509.Certificate) string {
	all := []string{c.Subject.CommonName}
	for _, u := range c.URIs {
		all = append(all, u.String())
	}
	for _, s := range append(append(all, c.DNSNames...), c.EmailAddresses...) {
		if s != "" {
			return s
		}
	}
	return ""
}

// colons spells bytes in hexadecimal, with colons between.
func colons(b []byte) string {
	var parts []string
	for _, c := range b {
		parts = append(parts, hex.EncodeToString([]byte{c}))
	}
	return strings.Join(parts, ":")
}

// certRoles reads the roles that may take a certificate, and what is revoked.
func (s *Service) certRoles(ctx context.Context, acct string, m *mount.Mount, n string) (out []candidate, lists []revocations, err error) {
	err = s.gate.DB.View(ctx, func(r kv.Reader) (err error) {
		out = nil
		if lists, err = revocationLists(r, acct, m.Accessor); err != nil {
			return err
		}
		if n != "" {
			if checkName(n) != nil {
				return nil
			}
			of, err := findRole(r, acct, m.Accessor, n)
			if err == nil && of != nil && of.Cert != nil {
				out = append(out, candidate{n, of})
			}
			return err
		}
		prefix := kv.K(acct, "login-role", m.Accessor)
		for e, err := range record.Scan[role](r, kv.Prefix(prefix)) {
			if err != nil {
				return err
			}
			strs, _, err := e.Key[len(prefix):].Parts("s")
			if err != nil {
				return err
			}
			if e.Value.Cert != nil && len(out) < maxCertRoles {
				out = append(out, candidate{strs[0], &e.Value})
			}
		}
		return nil
	})
	return out, lists, err
}

// stillTrusted refuses a login whose role was changed or whose certificate was
// revoked since it was judged.
func (s *Service) stillTrusted(acct string, m *mount.Mount, x candidate, chain []*x509.Certificate) func(tx *change.Tx) error {
	unchanged := s.unchanged(acct, m, x.name, x.role, nil)
	return func(tx *change.Tx) error {
		lists, err := revocationLists(tx, acct, m.Accessor)
		if err != nil {
			return err
		}
		if revoked(chain, lists) {
			return badCert()
		}
		return unchanged(tx)
	}
}
