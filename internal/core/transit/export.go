package transit

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"strings"

	"countersign/internal/caller"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/sensitive"
)

// What of a key is exported.
const (
	EncryptionKey = "encryption-key"
	SigningKey    = "signing-key"
	HMACKey       = "hmac-key"
	PublicKey     = "public-key"
)

// Formats of exported keys.
const (
	FormatDefault = ""    // base64 of secret keys and of Ed25519, a PEM block of the algorithm's own of others
	FormatRaw     = "raw" // base64 of secret keys and of Ed25519
	FormatDER     = "der" // base64 of PKCS #8 or PKIX
	FormatPEM     = "pem" // PKCS #8 or PKIX
)

// ExportRequest asks for the material of a key.
type ExportRequest struct {
	Key     string
	What    string // EncryptionKey, SigningKey, HMACKey or PublicKey
	Format  string
	Version uint64 // 0: all that may be used
	Latest  bool   // the latest version alone
}

// Exported is material of a key.
type Exported struct {
	Name string
	Type Type
	Keys map[uint64]sensitive.Bytes // texts, by version
}

// Export shows the material of a key that allows it. The public halves of key
// pairs are shown of every key.
func (s *Service) Export(ctx context.Context, who caller.Caller, req ExportRequest) (Exported, error) {
	if err := req.check(); err != nil {
		return Exported{}, s.refuse(ctx, who, policy.ExportTransitKey, req.Key, err)
	}
	var out Exported
	err := s.gate.View(ctx, who, policy.ExportTransitKey, req.Key, func(a *gate.Access) error {
		if err := a.Allow(request(who, policy.ExportTransitKey, req.Key), nil); err != nil {
			return err
		}
		k, err := find(a, who.Account, req.Key)
		if err != nil {
			return err
		}
		if k == nil {
			return errs.Coded(errs.NotFound, CodeKey, "there is no such key")
		}
		out = Exported{Name: req.Key, Type: k.Type, Keys: map[uint64]sensitive.Bytes{}}
		if err := req.fits(k); err != nil {
			return err
		}
		a.Record.Version = req.Version
		return req.collect(a, who.Account, k, out.Keys)
	})
	if err != nil {
		return Exported{}, err
	}
	return out, nil
}

func (req *ExportRequest) check() error {
	switch req.What {
	case EncryptionKey, SigningKey, HMACKey, PublicKey:
	default:
		return errs.InvalidField("type", "invalid export type: %s", quote(req.What))
	}
	switch req.Format {
	case FormatDefault, FormatRaw, FormatDER, FormatPEM:
	default:
		return errs.InvalidField("format", "invalid format: %s", quote(req.Format))
	}
	return CheckName(req.Key)
}

// fits refuses what is not to be had of a key.
func (req *ExportRequest) fits(k *stored) error {
	refuse := func(msg string) error { return errs.Coded(errs.Invalid, CodeType, "%s", msg) }
	switch {
	case !k.Exportable && req.What != PublicKey:
		return errs.Coded(errs.Precondition, CodeExport, "private key material is not exportable")
	case req.What == EncryptionKey && !k.Type.Encrypts():
		return refuse("encryption not supported for the key")
	case req.What == SigningKey && !k.Type.Signs():
		return refuse("signing not supported for the key")
	case req.What == PublicKey && !k.Type.asymmetric():
		return refuse("unknown key type " + string(k.Type) + " for export type public-key")
	case req.What == PublicKey && k.Derived:
		return refuse("a derived key has a public key for each context: read the key with one")
	}
	if req.Latest {
		req.Version = k.Latest
	}
	switch {
	case req.Version == 0:
		return nil
	case req.Version < k.MinDecryption:
		return errs.Coded(errs.Invalid, CodeVersion, "version for export is below minimum decryption version")
	case req.Version > k.Latest:
		return errs.Coded(errs.Invalid, CodeVersion, "version does not exist or cannot be found")
	}
	return nil
}

func (req *ExportRequest) collect(r kv.Reader, account string, k *stored, out map[uint64]sensitive.Bytes) error {
	rng := kv.Range{Start: versionKey(account, k.ID, k.MinDecryption), End: versionKey(account, k.ID, k.Latest+1)}
	if req.Version != 0 {
		rng = kv.Range{Start: versionKey(account, k.ID, req.Version), End: versionKey(account, k.ID, req.Version+1)}
	}
	prefix := len(versionsOf(account, k.ID))
	for e, err := range record.Scan[version](r, rng) {
		if err != nil {
			return err
		}
		_, nums, err := e.Key[prefix:].Parts("n")
		if err != nil {
			return err
		}
		text, err := req.text(k, &e.Value)
		if err != nil {
			return err
		}
		out[nums[0]] = sensitive.FromString(text)
	}
	return nil
}

// text is a version in the format asked for; empty when its private half is not
// there.
func (req *ExportRequest) text(k *stored, v *version) (string, error) {
	switch {
	case req.What == HMACKey && k.Type != HMAC:
		return req.secretText(v.MAC)
	case req.What == HMACKey || k.Type.aead():
		return req.secretText(v.Private)
	case req.What == PublicKey:
		return publicText(k.Type, req.Format, v.Public)
	case len(v.Private) == 0:
		return "", nil
	}
	return privateText(req.Format, v.Private)
}

func (req *ExportRequest) secretText(b []byte) (string, error) {
	if req.Format == FormatDER || req.Format == FormatPEM {
		return "", errs.InvalidField("format", "a secret key has the formats `` and `raw`")
	}
	return base64.StdEncoding.EncodeToString(b), nil
}

// publicText writes a public key, given as PKIX.
func publicText(t Type, format string, pkix []byte) (string, error) {
	switch {
	case format == FormatDER:
		return base64.StdEncoding.EncodeToString(pkix), nil
	case format == FormatPEM || t != Ed25519 && format == FormatDefault:
		text := block("PUBLIC KEY", pkix)
		if t.bits() > 0 {
			text += "\n" // as Vault does
		}
		return text, nil
	case t != Ed25519:
		return "", errs.InvalidField("format", "a key of this type has the formats ``, `der` and `pem`")
	}
	return PublicText(t, pkix), nil
}

// PublicText is a public key as Vault shows it in what a key is: a PEM block, or
// base64 of Ed25519. It is empty for none.
func PublicText(t Type, pkix []byte) string {
	if len(pkix) == 0 {
		return ""
	}
	if t == Ed25519 {
		if p, err := x509.ParsePKIXPublicKey(pkix); err == nil {
			if raw, ok := p.(ed25519.PublicKey); ok {
				return base64.StdEncoding.EncodeToString(raw)
			}
		}
		return ""
	}
	return block("PUBLIC KEY", pkix) + "\n"
}

// privateText writes a private key, given as PKCS #8.
func privateText(format string, pkcs8 []byte) (string, error) {
	switch format {
	case FormatDER:
		return base64.StdEncoding.EncodeToString(pkcs8), nil
	case FormatPEM:
		return block("PRIVATE KEY", pkcs8), nil
	}
	private, err := x509.ParsePKCS8PrivateKey(pkcs8)
	if err != nil {
		return "", errs.Wrap(errs.Internal, err, "reading a stored key")
	}
	if k, ok := private.(ed25519.PrivateKey); ok {
		return base64.StdEncoding.EncodeToString(k), nil
	}
	if format == FormatRaw {
		return "", errs.InvalidField("format", "a key of this type has the formats ``, `der` and `pem`")
	}
	if k, ok := private.(*rsa.PrivateKey); ok {
		return block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(k)) + "\n", nil
	}
	k, ok := private.(*ecdsa.PrivateKey)
	if !ok {
		return "", errs.New(errs.Internal, "a stored key is of no known type")
	}
	der, err := x509.MarshalECPrivateKey(k)
	return block("EC PRIVATE KEY", der), errs.Wrap(errs.Internal, err, "encoding a private key")
}

func block(kind string, der []byte) string {
	return strings.TrimSpace(string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})))
}
