package login

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"slices"
	"strings"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/mount"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
)

// Bounds of revocation lists.
const (
	maxLists   = 32 // of a mount
	maxCRL     = 1 << 20
	maxRevoked = 10_000
)

// revocations is a list of certificates that do not count any more.
type revocations struct {
	Issuer  []byte   `cbor:"1,keyasint"` // its name, as in certificates
	Serials []string `cbor:"2,keyasint,omitempty"`
}

func crlKey(acct, accessor, n string) kv.Key { return kv.K(acct, "login-crl", accessor, n) }

// revocationLists reads those of a mount.
func revocationLists(r kv.Reader, acct, accessor string) (out []revocations, err error) {
	for e, err := range record.Scan[revocations](r, prefixOf(acct, "login-crl", accessor)) {
		if err != nil {
			return nil, err
		}
		out = append(out, e.Value)
	}
	return out, nil
}

// revoked reports whether a certificate of a chain is on a list of its issuer.
func revoked(chain []*x509.Certificate, lists []revocations) bool {
	for _, c := range chain {
		serial := c.SerialNumber.String()
		for _, l := range lists {
			if bytes.Equal(l.Issuer, c.RawIssuer) && slices.Contains(l.Serials, serial) {
				return true
			}
		}
	}
	return false
}

// parseCRL reads a list in PEM or DER. Who may upload one is who decides: its
// signature is not looked at, as in Vault.
func parseCRL(text string) (*revocations, error) {
	b := []byte(text)
	if len(b) > maxCRL {
		return nil, errs.InvalidField("crl", "the list is longer than 1 MiB")
	}
	if block, _ := pem.Decode(b); block != nil {
		b = block.Bytes
	}
	l, err := x509.ParseRevocationList(b)
	if err != nil {
		return nil, errs.InvalidField("crl", "that is no certificate revocation list")
	}
	if len(l.RevokedCertificateEntries) > maxRevoked {
		return nil, errs.InvalidField("crl", "the list has more than %d certificates", maxRevoked)
	}
	out := &revocations{Issuer: l.RawIssuer}
	for _, e := range l.RevokedCertificateEntries {
		out.Serials = append(out.Serials, e.SerialNumber.String())
	}
	return out, nil
}

// PutCRL puts a list of revoked certificates under a name.
func (s *Service) PutCRL(ctx context.Context, who caller.Caller, m *mount.Mount, n, crl string) (change.Result, error) {
	n = strings.ToLower(n)
	e := s.edited(who, policy.PutLoginConfig, m, "")
	err := checkName(n)
	if err == nil {
		e.CRL = n
		e.Revoked, err = parseCRL(crl)
	}
	if err != nil {
		return change.Result{}, s.refuse(ctx, who, e.op, m, n, err)
	}
	return s.submit(ctx, who, e)
}

// DeleteCRL takes one away. One that is not there is no error.
func (s *Service) DeleteCRL(ctx context.Context, who caller.Caller, m *mount.Mount, n string) (change.Result, error) {
	n = strings.ToLower(n)
	e := s.edited(who, policy.PutLoginConfig, m, "")
	if err := checkName(n); err != nil {
		return change.Result{}, s.refuse(ctx, who, e.op, m, n, err)
	}
	e.CRL = n
	return s.submit(ctx, who, e)
}

func (e *edit) putCRL(tx *change.Tx) error {
	key := crlKey(e.account, e.Accessor, e.CRL)
	is, err := record.Find[revocations](tx, key)
	if err != nil {
		return err
	}
	if err := base(tx, is, 0); err != nil {
		return err
	}
	if e.Revoked == nil {
		if is == nil {
			tx.NothingToDo()
		}
		return tx.Delete(key)
	}
	all, err := names(tx, kv.K(e.account, "login-crl", e.Accessor), "", maxLists)
	if err != nil {
		return err
	}
	if is == nil && len(all) >= maxLists {
		return errs.New(errs.Limit, "a login method has at most %d revocation lists", maxLists)
	}
	return record.Put(tx, key, e.Revoked)
}

// GetCRL returns the serial numbers on a list.
func (s *Service) GetCRL(ctx context.Context, who caller.Caller, m *mount.Mount, n string) (serials []string, err error) {
	n = strings.ToLower(n)
	err = s.aboutMethod(ctx, who, m, n, func(a *gate.Access) error {
		l, err := record.Find[revocations](a, crlKey(who.Account, m.Accessor, n))
		if err == nil && l == nil {
			err = errs.Coded(errs.NotFound, CodeConfig, "there is no such revocation list")
		}
		if err == nil {
			serials = append([]string{}, l.Serials...)
		}
		return err
	})
	return serials, err
}

// ListCRLs lists the names of a mount's lists.
func (s *Service) ListCRLs(ctx context.Context, who caller.Caller, m *mount.Mount) (out []string, err error) {
	err = s.aboutMethod(ctx, who, m, "", func(a *gate.Access) (err error) {
		out, err = names(a, kv.K(who.Account, "login-crl", m.Accessor), "", maxLists)
		return err
	})
	return out, err
}
