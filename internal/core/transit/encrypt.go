package transit

import (
	"context"
	"crypto/rand"

	"countersign/internal/caller"
	"countersign/internal/core/audit"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/sensitive"
)

// What is said of a key that is not there, as Vault words it.
const (
	noKey       = "encryption key not found"
	noSigner    = "signing key not found"
	noVerifier  = "signature verification key not found"
	verbEncrypt = "encryption"
	verbSign    = "signing"
)

// Plain is one item to encrypt.
type Plain struct {
	Data       sensitive.Bytes
	Context    []byte // of a derived key
	Associated []byte // authenticated with the data, and needed to decrypt it
	Version    uint64 // 0: the latest
	Err        error  // why the item is not one; it becomes the item's result
}

// Sealed is an item that was encrypted, or why it was not.
type Sealed struct {
	Version uint64
	Data    []byte
	Err     error
}

// EncryptRequest asks to encrypt.
type EncryptRequest struct {
	Key   string
	Items []Plain
	// Batch lets items fail one by one. Without it there is one item, and the
	// request fails with it.
	Batch bool
	// Create, when it is not nil, makes the key if there is none and the caller may;
	// its Key is not read.
	Create *CreateRequest
}

// Encrypted is the outcome of Encrypt, item by item.
type Encrypted struct {
	Items   []Sealed
	Created bool // the key was made for this request
}

// Encrypt encrypts with a key. When every item of a batch failed, the outcome comes
// with an error that is Invalid with CodeBatch.
func (s *Service) Encrypt(ctx context.Context, who caller.Caller, req EncryptRequest) (Encrypted, error) {
	out := Encrypted{Items: make([]Sealed, len(req.Items))}
	b := bounds{batch: req.Batch, items: len(req.Items)}
	for i := range req.Items {
		it := &req.Items[i]
		b.add(it.Data.Len(), it.Context, it.Associated)
	}
	if err := b.check(req.Key); err != nil {
		return Encrypted{}, s.refuse(ctx, who, policy.Encrypt, req.Key, err)
	}
	pick := func(u *using, r kv.Reader) error {
		if !u.head.Type.Encrypts() {
			return errs.Coded(errs.Invalid, CodeType, "message encryption not supported for key type %s", u.head.Type)
		}
		for i := range req.Items {
			it := &req.Items[i]
			if err := out.Items[i].pick(u, r, it.Version, it.Associated, it.Err); err != nil {
				return err
			}
		}
		return nil
	}
	work := func(u *using, rec *audit.Record) error {
		for i := range req.Items {
			it := &req.Items[i]
			out.Items[i].seal(u, rec, it.Data.Reveal(), it.Context, it.Associated)
		}
		return b.outcome(out.errors)
	}
	err := s.encrypt(ctx, who, &req, &out, pick, work)
	if err != nil && errs.As(err).Code != CodeBatch {
		return Encrypted{}, err
	}
	return out, err
}

func (e *Encrypted) errors(i int) error { return e.Items[i].Err }

// pick chooses the version that an item is encrypted with.
func (o *Sealed) pick(u *using, r kv.Reader, version uint64, associated []byte, wrong error) error {
	if o.Err = wrong; o.Err != nil {
		return nil
	}
	if o.Version, o.Err = u.forNew(version, verbEncrypt); o.Err != nil {
		return nil
	}
	if o.Err = u.takes(associated); o.Err != nil {
		return nil
	}
	return u.load(r, o.Version)
}

func (o *Sealed) seal(u *using, rec *audit.Record, plaintext, context, associated []byte) {
	if o.Err != nil {
		o.Version = 0
		return
	}
	rec.Version = max(rec.Version, o.Version)
	if o.Data, o.Err = u.version(o.Version).seal(plaintext, context, associated); o.Err != nil {
		o.Version = 0
	}
}

// takes refuses associated data where a key cannot authenticate any.
func (u *using) takes(associated []byte) error {
	if len(associated) > 0 && !u.head.Type.aead() {
		return errs.InvalidField("associated_data", "it was provided for non-AEAD cipher suite %s", u.head.Type)
	}
	return nil
}

// encrypt is use, but for a key that is to be made when there is none.
func (s *Service) encrypt(ctx context.Context, who caller.Caller, req *EncryptRequest, out *Encrypted, pick func(*using, kv.Reader) error, work func(*using, *audit.Record) error) error {
	if req.Create == nil {
		return s.use(ctx, who, policy.Encrypt, req.Key, noKey, pick, work)
	}
	u := &using{s: s, account: who.Account}
	var by *maker
	return s.gate.Work(ctx, who, policy.Encrypt, req.Key, func(a *gate.Access) error {
		if err := a.Allow(request(who, policy.Encrypt, req.Key), nil); err != nil {
			return err
		}
		err := u.find(a, req.Key, noKey, pick)
		if e := errs.As(err); e == nil || e.Code != CodeKey {
			return err
		}
		var errMay error
		if by, errMay = makerOf(a, req.Key); by != nil || errMay != nil {
			return errMay
		}
		return err
	}, func(rec *audit.Record) error {
		if by != nil {
			if err := s.createFor(ctx, by, req, out); err != nil {
				return err
			}
			err := s.gate.DB.View(ctx, func(r kv.Reader) error { return u.find(r, req.Key, noKey, pick) })
			if err != nil {
				return err
			}
		}
		return work(u, rec)
	})
}

// maker is who may make the key that is missing.
type maker struct {
	who       caller.Caller
	toEncrypt bool // by encrypting with it
}

// makerOf is the caller if it may make a key, or propose to, and nil otherwise. Who
// may do so in the Vault protocol may either create at the path to encrypt with the
// key, or make it where keys are made, which is another path than that of the call.
func makerOf(a *gate.Access, n string) (*maker, error) {
	m := &maker{who: a.Who, toEncrypt: true}
	ok, err := a.May(request(a.Who, policy.CreateKeyToEncrypt, n), policy.CreateKeyToEncrypt, nil)
	if ok || err != nil {
		return m, err
	}
	m.toEncrypt, m.who.Call = false, nil
	for _, op := range []policy.Op{policy.CreateTransitKey, policy.ProposeChange} {
		ask := request(a.Who, op, n)
		ask.Under = base(n)
		if ok, err := a.May(ask, op, nil); ok || err != nil {
			return m, err
		}
	}
	return nil, nil
}

// createFor makes the key that a request to encrypt is missing.
func (s *Service) createFor(ctx context.Context, m *maker, req *EncryptRequest, out *Encrypted) error {
	create := *req.Create
	create.Key, create.toEncrypt = req.Key, m.toEncrypt
	made, err := s.Create(ctx, m.who, create)
	if err != nil {
		return err
	}
	out.Created = !made.Existed
	return change.Awaits(made.ID, made.Status)
}

// Cipher is one item to decrypt.
type Cipher struct {
	Version    uint64
	Data       []byte
	Context    []byte
	Associated []byte
	NewVersion uint64 // of Rewrap: what to encrypt with; 0: the latest
	Err        error  // why the item is not one
}

// Opened is an item that was decrypted, or why it was not.
type Opened struct {
	Data sensitive.Bytes
	Err  error
}

// DecryptRequest asks to decrypt, or to encrypt anew.
type DecryptRequest struct {
	Key   string
	Items []Cipher
	Batch bool // as in EncryptRequest
}

func (req *DecryptRequest) bounds() bounds {
	b := bounds{batch: req.Batch, items: len(req.Items)}
	for i := range req.Items {
		it := &req.Items[i]
		b.add(len(it.Data), it.Context, it.Associated)
	}
	return b
}

// pickOld checks the version that an item was encrypted with.
func (c *Cipher) pickOld(u *using, r kv.Reader) (wrong, failed error) {
	switch {
	case c.Err != nil:
		return c.Err, nil
	case !u.head.Type.Encrypts():
		return nil, errs.Coded(errs.Invalid, CodeType, "message decryption not supported for key type %s", u.head.Type)
	}
	if wrong = u.forOld(c.Version, "ciphertext"); wrong == nil {
		wrong = u.takes(c.Associated)
	}
	if wrong != nil {
		return wrong, nil
	}
	return nil, u.load(r, c.Version)
}

// Decrypt decrypts, item by item. When every item of a batch failed, the outcome
// comes with an error that is Invalid with CodeBatch.
func (s *Service) Decrypt(ctx context.Context, who caller.Caller, req DecryptRequest) ([]Opened, error) {
	out := make([]Opened, len(req.Items))
	b := req.bounds()
	if err := b.check(req.Key); err != nil {
		return nil, s.refuse(ctx, who, policy.Decrypt, req.Key, err)
	}
	err := s.use(ctx, who, policy.Decrypt, req.Key, noKey, func(u *using, r kv.Reader) (err error) {
		for i := range req.Items {
			if out[i].Err, err = req.Items[i].pickOld(u, r); err != nil {
				return err
			}
		}
		return nil
	}, func(u *using, rec *audit.Record) error {
		for i := range req.Items {
			if out[i].Err != nil {
				continue
			}
			it := &req.Items[i]
			rec.Version = max(rec.Version, it.Version)
			var plain []byte
			if plain, out[i].Err = u.version(it.Version).open(it.Data, it.Context, it.Associated); out[i].Err == nil {
				out[i].Data = sensitive.New(plain)
			}
		}
		return b.outcome(func(i int) error { return out[i].Err })
	})
	if err != nil && errs.As(err).Code != CodeBatch {
		return nil, err
	}
	return out, err
}

// Rewrap decrypts and encrypts anew with the latest version, or another, and shows
// nobody what is inside.
func (s *Service) Rewrap(ctx context.Context, who caller.Caller, req DecryptRequest) ([]Sealed, error) {
	out := make([]Sealed, len(req.Items))
	b := req.bounds()
	if err := b.check(req.Key); err != nil {
		return nil, s.refuse(ctx, who, policy.ReEncrypt, req.Key, err)
	}
	err := s.use(ctx, who, policy.ReEncrypt, req.Key, noKey, func(u *using, r kv.Reader) error {
		for i := range req.Items {
			it := &req.Items[i]
			wrong, err := it.pickOld(u, r)
			if err != nil {
				return err
			}
			if err := out[i].pick(u, r, it.NewVersion, it.Associated, wrong); err != nil {
				return err
			}
		}
		return nil
	}, func(u *using, rec *audit.Record) error {
		for i := range req.Items {
			it := &req.Items[i]
			var plain []byte
			if out[i].Err == nil {
				plain, out[i].Err = u.version(it.Version).open(it.Data, it.Context, it.Associated)
			}
			out[i].seal(u, rec, plain, it.Context, it.Associated)
			clear(plain)
		}
		return b.outcome(func(i int) error { return out[i].Err })
	})
	if err != nil && errs.As(err).Code != CodeBatch {
		return nil, err
	}
	return out, err
}

// DataKeyRequest asks for a new key that is encrypted with one of these.
type DataKeyRequest struct {
	Key        string
	Bits       int // 128, 256 or 512; default 256
	Context    []byte
	Associated []byte
	Version    uint64 // 0: the latest
	Plaintext  bool   // give the new key in the clear too
}

// DataKey is a new key.
type DataKey struct {
	Sealed
	Plaintext sensitive.Bytes // empty when it was not asked for
}

// GenerateDataKey draws a key and encrypts it. To have it in the clear as well is
// another permission than to have it encrypted alone.
func (s *Service) GenerateDataKey(ctx context.Context, who caller.Caller, req DataKeyRequest) (DataKey, error) {
	op := policy.GenerateWrappedKey
	if req.Plaintext {
		op = policy.GenerateDataKey
	}
	if req.Bits == 0 {
		req.Bits = 256
	}
	b := bounds{items: 1}
	b.add(0, req.Context, req.Associated)
	err := b.check(req.Key)
	if err == nil && req.Bits != 128 && req.Bits != 256 && req.Bits != 512 {
		err = errs.InvalidField("bits", "invalid bit length: it is 128, 256 or 512")
	}
	if err != nil {
		return DataKey{}, s.refuse(ctx, who, op, req.Key, err)
	}
	var out DataKey
	err = s.use(ctx, who, op, req.Key, noKey, func(u *using, r kv.Reader) error {
		if !u.head.Type.Encrypts() {
			return errs.Coded(errs.Invalid, CodeType, "message encryption not supported for key type %s", u.head.Type)
		}
		return out.pick(u, r, req.Version, req.Associated, nil)
	}, func(u *using, rec *audit.Record) error {
		key := make([]byte, req.Bits/8)
		_, _ = rand.Read(key)
		out.seal(u, rec, key, req.Context, req.Associated)
		if req.Plaintext {
			out.Plaintext = sensitive.New(key)
		}
		return out.Err
	})
	if err != nil {
		return DataKey{}, err
	}
	return out, nil
}
