package transit

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha1" // of OAEP, as Vault allows it
	"crypto/x509"
	"encoding/pem"
	"strings"
	"time"

	"github.com/tink-crypto/tink-go/v2/kwp/subtle"

	"countersign/internal/caller"
	"countersign/internal/core/audit"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
)

// wrapping is the key pair under which keys are sent to be imported below a mount.
type wrapping struct {
	Private []byte `cbor:"1,keyasint"` // PKCS #8, RSA with 4096 bits
}

func wrappingKey(account, prefix string) kv.Key { return kv.K(account, "transit-wrapping", prefix) }

// WrappingKey returns the public key, as a PEM block, under which keys are wrapped
// that are to be imported below a prefix. The first who asks makes it.
func (s *Service) WrappingKey(ctx context.Context, who caller.Caller, prefix string) (string, error) {
	var have *wrapping
	ask := &policy.Request{Op: policy.GetWrappingKey, Resource: policy.AnyResource, Account: who.Account}
	var text string
	err := s.gate.Work(ctx, who, policy.GetWrappingKey, "", func(a *gate.Access) error {
		if err := a.Allow(ask, nil); err != nil {
			return err
		}
		if err := CheckName(prefix + "x"); err != nil {
			return err
		}
		var err error
		have, err = record.Find[wrapping](a, wrappingKey(who.Account, prefix))
		return err
	}, func(*audit.Record) error {
		if have == nil {
			var err error
			if have, err = s.makeWrapping(ctx, who.Account, prefix); err != nil {
				return err
			}
		}
		private, err := have.key()
		if err != nil {
			return err
		}
		der, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
		text = block("PUBLIC KEY", der) + "\n"
		return err
	})
	if err != nil {
		return "", err
	}
	return text, nil
}

func (w *wrapping) key() (*rsa.PrivateKey, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(w.Private)
	if err != nil {
		return nil, errs.Wrap(errs.Internal, err, "reading the wrapping key")
	}
	private, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, errs.New(errs.Internal, "the wrapping key is not of RSA")
	}
	return private, nil
}

// makeWrapping makes the key pair of a mount, or returns the one that somebody else
// has made meanwhile.
func (s *Service) makeWrapping(ctx context.Context, account, prefix string) (*wrapping, error) {
	v, err := s.draw(ctx, RSA4096, 0)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	who := caller.ForSystem(account, "transit", "", now)
	who.Region = s.region
	e := &pairEdit{account: account, prefix: prefix, new: wrapping{v.Private}}
	if _, err := s.changes.Submit(ctx, who, change.Request{Edit: e}); err != nil {
		return nil, err
	}
	return e.out, nil
}

// pairEdit is the edit that does it. The server makes the pair for whoever
// imports keys first, so it is nobody's change.
type pairEdit struct {
	account, prefix string
	new             wrapping
	out             *wrapping
}

func (e *pairEdit) Target() change.Target {
	return change.Target{Account: e.account, Noun: "transit-wrapping", Name: e.prefix + "wrapping-key"}
}
func (e *pairEdit) Operation() policy.Op { return policy.GetWrappingKey }

func (e *pairEdit) Allow(a *gate.Access) error {
	return a.Allow(&policy.Request{Op: policy.GetWrappingKey, Resource: policy.AnyResource, Account: e.account}, nil)
}

func (e *pairEdit) Apply(tx *change.Tx) (err error) {
	tx.NothingToDo() // the record of it is the audit log's
	if e.out, err = record.Find[wrapping](tx, wrappingKey(e.account, e.prefix)); err != nil || e.out != nil {
		return err
	}
	e.out = &e.new
	return record.Put(tx, wrappingKey(e.account, e.prefix), e.new)
}

// ImportRequest brings a key from elsewhere.
type ImportRequest struct {
	Key string
	// Wrapped is the key: 512 bytes that are an AES-256 key under the mount's wrapping
	// key (RSA-OAEP), and then the key itself under that one (RFC 5649). A private key is
	// PKCS #8, another is as it is. Without it PublicKey is imported alone.
	Wrapped   []byte
	OAEPHash  string // SHA1, SHA224, SHA256 (default), SHA384, SHA512
	PublicKey string // PEM

	// Of a new key:
	Type            Type // default DefaultType
	Derived         bool
	Exportable      bool
	PlaintextBackup bool
	AllowRotation   bool
	RotateEvery     time.Duration

	More    bool   // it is a new version of an imported key that is there
	Version uint64 // with More: the version whose private half it is; 0: a new one
	Reason  string
	change.Options
}

// Import makes a key, or a version of one, of material that was made elsewhere.
func (s *Service) Import(ctx context.Context, who caller.Caller, req ImportRequest) (Written, error) {
	if err := req.check(); err != nil {
		return Written{}, s.refuse(ctx, who, policy.ImportTransitKey, req.Key, err)
	}
	if err := s.may(ctx, who, policy.ImportTransitKey, req.Key); err != nil {
		return Written{}, err
	}
	e := &edit{op: policy.ImportTransitKey, account: who.Account, name: req.Key, fields: fields{More: req.More, Version: req.Version}}
	if err := s.material(ctx, &req, e); err != nil {
		return Written{}, s.refuse(ctx, who, policy.ImportTransitKey, req.Key, gate.Classify(err))
	}
	return s.submit(ctx, who, req.Reason, req.Options, e)
}

func (req *ImportRequest) check() error {
	if req.Type == "" {
		req.Type = DefaultType
	}
	err := CheckName(req.Key)
	switch {
	case err != nil:
		return err
	case len(req.Wrapped) > 0 && req.PublicKey != "":
		return errs.InvalidField("ciphertext", "only one of the following fields, ciphertext and public_key, can be set")
	case len(req.Wrapped) == 0 && req.PublicKey == "":
		return errs.InvalidField("ciphertext", "one of ciphertext and public_key is required")
	case len(req.Wrapped) > 16<<10 || len(req.PublicKey) > 16<<10:
		return &errs.Error{Kind: errs.Limit, Field: "ciphertext", Msg: "a key to import has at most 16384 bytes"}
	case req.Version != 0 && req.PublicKey != "":
		return errs.InvalidField("version", "a version is completed by its private half")
	case req.RotateEvery > 0 && !req.AllowRotation:
		return errs.InvalidField("allow_rotation", "allow_rotation must be set to true if auto-rotation is enabled")
	case !req.More && !req.Type.Known():
		return errs.InvalidField("type", "unknown key type %s", quote(string(req.Type)))
	case !req.More && req.Derived && !req.Type.Derives():
		return errs.InvalidField("derived", "key derivation not supported for keys of type %s", req.Type)
	}
	if _, ok := oaepHash(req.OAEPHash); !ok {
		return errs.InvalidField("hash_function", "unknown hash function: %s", quote(req.OAEPHash))
	}
	return checkPeriod(req.RotateEvery)
}

func oaepHash(name string) (crypto.Hash, bool) {
	switch strings.ToUpper(name) {
	case "SHA1":
		return crypto.SHA1, true
	case "SHA224":
		return crypto.SHA224, true
	case "", "SHA256":
		return crypto.SHA256, true
	case "SHA384":
		return crypto.SHA384, true
	case "SHA512":
		return crypto.SHA512, true
	}
	return 0, false
}

// material unwraps what is imported and makes an edit of it.
func (s *Service) material(ctx context.Context, req *ImportRequest, e *edit) error {
	var w *wrapping
	var is *stored
	var latest *version
	err := s.gate.DB.View(ctx, func(r kv.Reader) (err error) {
		prefix := strings.TrimSuffix(e.name, base(e.name))
		if w, err = record.Find[wrapping](r, wrappingKey(e.account, prefix)); err != nil {
			return err
		}
		if is, err = find(r, e.account, e.name); err != nil || is == nil {
			return err
		}
		latest, err = findVersion(r, e.account, is, is.Latest)
		return err
	})
	if err != nil {
		return err
	}
	typ := req.Type
	if req.More {
		if is == nil {
			return noImported()
		}
		typ = is.Type
	}
	v, err := req.version(w, typ)
	if err != nil {
		return err
	}
	e.New = []version{v}
	if req.More {
		if req.Version == 0 && len(v.Private) > 0 && len(latest.Private) == 0 && bytes.Equal(latest.Public, v.Public) {
			e.Version = is.Latest // its private half follows
		}
		return nil
	}
	e.Key = &stored{ID: newID(), Type: typ, Derived: req.Derived, Exportable: req.Exportable, PlaintextBackup: req.PlaintextBackup,
		Latest: 1, MinDecryption: 1, RotateEvery: int64(req.RotateEvery / time.Second), Imported: true, AllowRotation: req.AllowRotation}
	if typ == HMAC {
		e.Key.Size = len(v.Private)
	}
	if err := checkShape(typ, e.Key.Size, req.Derived, false); err != nil {
		return err
	}
	_, err = prepare(e.Key, &v)
	return err
}

func noImported() error {
	return errs.Coded(errs.NotFound, CodeKey, "no key found with this name; to import a new key, use the import/ endpoint")
}

// version is the material that is imported.
func (req *ImportRequest) version(w *wrapping, t Type) (v version, err error) {
	if req.PublicKey != "" {
		err = v.readPublic(t, req.PublicKey)
	} else {
		err = v.unwrap(w, t, req)
	}
	if err == nil && t != HMAC {
		v.MAC = make([]byte, macKeySize)
		_, _ = rand.Read(v.MAC)
	}
	return v, err
}

func (v *version) readPublic(t Type, text string) error {
	if !t.asymmetric() {
		return errs.Coded(errs.Invalid, CodeImport, "provided type does not support public_key import")
	}
	b, _ := pem.Decode([]byte(text))
	if b == nil {
		return errs.InvalidField("public_key", "error parsing public key: not in PEM format")
	}
	public, err := x509.ParsePKIXPublicKey(b.Bytes)
	if err != nil || !t.has(public) {
		return errs.InvalidField("public_key", "it is not a public key of type %s", t)
	}
	v.Public, err = x509.MarshalPKIXPublicKey(public)
	return err
}

// unwrap opens what was wrapped for import. One message stands for all that can be
// wrong with it, so that no answer helps to open it.
func (v *version) unwrap(w *wrapping, t Type, req *ImportRequest) error {
	bad := errs.Coded(errs.Invalid, CodeImport, "the ciphertext is not a key of type %s, wrapped with this mount's wrapping key", t)
	if w == nil {
		return bad
	}
	private, err := w.key()
	if err != nil {
		return err
	}
	n := private.Size()
	if len(req.Wrapped) <= n {
		return errs.InvalidField("ciphertext", "provided ciphertext is too short")
	}
	h, _ := oaepHash(req.OAEPHash)
	ephemeral, err := rsa.DecryptOAEP(h.New(), nil, private, req.Wrapped[:n], nil)
	if err != nil || len(ephemeral) != 32 {
		return bad
	}
	kwp, err := subtle.NewKWP(ephemeral)
	if err != nil {
		return bad
	}
	raw, err := kwp.Unwrap(req.Wrapped[n:])
	if err != nil {
		return bad
	}
	if !t.asymmetric() {
		v.Private = raw
		if t.aead() && len(raw) != t.size() {
			return bad
		}
		return nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(raw)
	if err != nil {
		return bad
	}
	if p, ok := parsed.(*ed25519.PrivateKey); ok {
		parsed = *p
	}
	signer, ok := parsed.(crypto.Signer)
	if !ok || !t.has(signer.Public()) {
		return bad
	}
	return v.take(signer)
}

// imported is the key as an import leaves it.
func (e *edit) imported() (*stored, error) {
	if !e.More {
		if e.is != nil {
			return nil, errs.Coded(errs.Exists, CodeKey, "the import path cannot be used with an existing key; use import-version to rotate an existing imported key")
		}
		return e.Key, nil
	}
	if e.is == nil {
		return nil, noImported()
	}
	k := *e.is
	switch {
	case !k.Imported:
		return nil, errs.Coded(errs.Precondition, CodeImport, "the import_version endpoint can only be used with an imported key")
	case e.Version == 0:
		k.Latest++
	case e.Version < k.first() || e.Version > k.Latest:
		return nil, errs.Coded(errs.Invalid, CodeVersion, "no such key version")
	default:
		k.Edition++
	}
	return &k, nil
}
