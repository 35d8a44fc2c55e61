package transit

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"

	"countersign/internal/caller"
	"countersign/internal/core/audit"
	"countersign/internal/core/policy"
	"countersign/internal/errs"
	"countersign/internal/kv"
)

// Algorithms of RSA signatures.
const (
	PSS    = "pss"
	PKCS1  = "pkcs1v15"
	algAny = "" // PSS
)

// Salt lengths of PSS beside numbers of bytes.
const (
	SaltAuto = rsa.PSSSaltLengthAuto       // as long as it fits; found out when verifying
	SaltHash = rsa.PSSSaltLengthEqualsHash // as long as the hash
)

// Scheme is how something is signed. Its zero value is Vault's default.
type Scheme struct {
	Hash      string // default DefaultHash; "sha1" and "none" besides those of Hash
	Prehashed bool   // the input is the hash already
	RSA       string // PSS (default) or PKCS1
	Salt      int    // of PSS: SaltAuto, SaltHash or bytes
	// Raw makes ECDSA signatures r and s one behind the other, each of the length of
	// the curve, as JSON Web Signatures have them. Default: ASN.1.
	Raw bool
}

func (c *Scheme) check() (crypto.Hash, error) {
	h, err := signatureHash(c.Hash)
	if err != nil {
		return 0, err
	}
	switch {
	case c.RSA != algAny && c.RSA != PSS && c.RSA != PKCS1:
		return 0, errs.InvalidField("signature_algorithm", "unsupported rsa signature algorithm %s", quote(c.RSA))
	case c.Salt < SaltHash:
		return 0, errs.InvalidField("salt_length", "salt length is invalid: %d", c.Salt)
	case h == 0 && (!c.Prehashed || c.RSA != PKCS1):
		return 0, errs.InvalidField("hash_algorithm", "hash_algorithm=none requires both prehashed=true and signature_algorithm=pkcs1v15")
	}
	return h, nil
}

// fits refuses salts that a modulus has no room for.
func (c *Scheme) fits(p *rsa.PublicKey, h crypto.Hash) error {
	if c.RSA == PKCS1 {
		return nil
	}
	if longest := (p.N.BitLen()-1+7)/8 - 2 - h.Size(); c.Salt > longest { // RFC 8017, section 9.1.1
		return errs.InvalidField("salt_length", "requested salt length %d is invalid", c.Salt)
	}
	return nil
}

// Signed is one item to sign, or with a signature to verify.
type Signed struct {
	Data      []byte
	Context   []byte
	Version   uint64 // of the signature
	Signature []byte
	Err       error // why the item is not one
}

// SignRequest asks to sign, or to verify.
type SignRequest struct {
	Key     string
	Items   []Signed
	Batch   bool   // as in EncryptRequest
	Version uint64 // to sign with; 0: the latest
	Scheme  Scheme
}

func (req *SignRequest) check() (crypto.Hash, bounds, error) {
	b := bounds{batch: req.Batch, items: len(req.Items)}
	for i := range req.Items {
		b.add(len(req.Items[i].Data), req.Items[i].Context, req.Items[i].Signature)
	}
	h, err := req.Scheme.check()
	if err == nil {
		err = b.check(req.Key)
	}
	return h, b, err
}

// Signature is an item that was signed, or why it was not.
type Signature struct {
	Sealed
	Public []byte // of a derived key: the public key that verifies it
}

// Sign signs, item by item.
func (s *Service) Sign(ctx context.Context, who caller.Caller, req SignRequest) ([]Signature, error) {
	h, b, err := req.check()
	if err != nil {
		return nil, s.refuse(ctx, who, policy.Sign, req.Key, err)
	}
	out := make([]Signature, len(req.Items))
	var version uint64
	err = s.use(ctx, who, policy.Sign, req.Key, noSigner, func(u *using, r kv.Reader) (err error) {
		if !u.head.Type.Signs() {
			return errs.Coded(errs.Invalid, CodeType, "key type %s does not support signing", u.head.Type)
		}
		if version, err = u.forNew(req.Version, verbSign); err != nil {
			return err
		}
		return u.load(r, version)
	}, func(u *using, rec *audit.Record) error {
		rec.Version = version
		k := u.version(version)
		for i := range req.Items {
			it, o := &req.Items[i], &out[i]
			if o.Err = it.Err; o.Err == nil {
				if o.Data, o.Public, o.Err = k.sign(&req.Scheme, h, it); o.Err == nil {
					o.Version = version
				}
			}
		}
		return b.outcome(func(i int) error { return out[i].Err })
	})
	if err != nil && errs.As(err).Code != CodeBatch {
		return nil, err
	}
	return out, err
}

// message is what the signature is over.
func (r *ready) message(c *Scheme, h crypto.Hash, data []byte) []byte {
	if r.typ.HashesInput() && !c.Prehashed {
		return digest(h, data)
	}
	return data
}

func (r *ready) sign(c *Scheme, h crypto.Hash, it *Signed) (signature, public []byte, err error) {
	private, err := r.signer(it.Context)
	if err != nil {
		return nil, nil, err
	}
	msg := r.message(c, h, it.Data)
	switch k := private.(type) {
	case ed25519.PrivateKey:
		if r.derived {
			public = k.Public().(ed25519.PublicKey)
		}
		return ed25519.Sign(k, msg), public, nil
	case *ecdsa.PrivateKey:
		if len(msg) == 0 {
			return nil, nil, errs.InvalidField("input", "a hash is not empty")
		}
		if signature, err = ecdsa.SignASN1(rand.Reader, k, msg); err == nil && c.Raw {
			signature, err = rawECDSA(signature, k.Curve)
		}
	case *rsa.PrivateKey:
		if err = c.fits(&k.PublicKey, h); err != nil {
			return nil, nil, err
		}
		if err = hashed(h, msg, k.Size()); err != nil {
			return nil, nil, err
		}
		if c.RSA == PKCS1 {
			signature, err = rsa.SignPKCS1v15(nil, k, h, msg)
		} else {
			signature, err = rsa.SignPSS(rand.Reader, k, h, msg, &rsa.PSSOptions{SaltLength: c.Salt})
		}
	}
	return signature, nil, errs.Wrap(errs.Internal, err, "signing")
}

// hashed checks the length of what is signed with RSA.
func hashed(h crypto.Hash, msg []byte, modulus int) error {
	switch {
	case h != 0 && len(msg) != h.Size():
		return errs.InvalidField("input", "a hash of this algorithm has %d bytes", h.Size())
	case h == 0 && len(msg) > modulus-11: // RFC 8017, section 9.2
		return errs.InvalidField("input", "the input is too long for the key: at most %d bytes", modulus-11)
	}
	return nil
}

// Verify checks signatures, item by item.
func (s *Service) Verify(ctx context.Context, who caller.Caller, req SignRequest) ([]Checked, error) {
	h, b, err := req.check()
	if err != nil {
		return nil, s.refuse(ctx, who, policy.Verify, req.Key, err)
	}
	out := make([]Checked, len(req.Items))
	err = s.use(ctx, who, policy.Verify, req.Key, noVerifier, func(u *using, r kv.Reader) error {
		if !u.head.Type.Signs() {
			return errs.Coded(errs.Invalid, CodeType, "key type %s does not support verification", u.head.Type)
		}
		for i := range req.Items {
			it := &req.Items[i]
			if out[i].Err = it.Err; out[i].Err != nil {
				continue
			}
			if out[i].Err = u.forOld(it.Version, "signature"); out[i].Err != nil {
				continue
			}
			if err := u.load(r, it.Version); err != nil {
				return err
			}
		}
		return nil
	}, func(u *using, rec *audit.Record) error {
		for i := range req.Items {
			if it, o := &req.Items[i], &out[i]; o.Err == nil {
				rec.Version = max(rec.Version, it.Version)
				o.Valid, o.Err = u.version(it.Version).verify(&req.Scheme, h, it)
			}
		}
		return b.outcome(func(i int) error { return out[i].Err })
	})
	if err != nil && errs.As(err).Code != CodeBatch {
		return nil, err
	}
	return out, err
}

func (r *ready) verify(c *Scheme, h crypto.Hash, it *Signed) (bool, error) {
	public, err := r.verifier(it.Context)
	if err != nil {
		return false, err
	}
	msg := r.message(c, h, it.Data)
	switch k := public.(type) {
	case ed25519.PublicKey:
		return len(it.Signature) == ed25519.SignatureSize && ed25519.Verify(k, msg, it.Signature), nil
	case *ecdsa.PublicKey:
		sig := it.Signature
		if c.Raw {
			if sig, err = asn1ECDSA(sig); err != nil {
				return false, err
			}
		}
		return len(msg) > 0 && ecdsa.VerifyASN1(k, msg, sig), nil
	case *rsa.PublicKey:
		if err := c.fits(k, h); err != nil {
			return false, err
		}
		if hashed(h, msg, k.Size()) != nil {
			return false, nil
		}
		if c.RSA == PKCS1 {
			return rsa.VerifyPKCS1v15(k, h, msg, it.Signature) == nil, nil
		}
		return rsa.VerifyPSS(k, h, msg, it.Signature, &rsa.PSSOptions{SaltLength: c.Salt}) == nil, nil
	}
	return false, errs.New(errs.Internal, "a key of type %s has no public key", r.typ)
}
