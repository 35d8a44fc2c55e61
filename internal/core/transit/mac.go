package transit

import (
	"context"
	"crypto"
	"crypto/hmac"

	"countersign/internal/caller"
	"countersign/internal/core/audit"
	"countersign/internal/core/policy"
	"countersign/internal/errs"
	"countersign/internal/kv"
)

// Message is one item to authenticate, or one whose code is to be checked.
type Message struct {
	Data    []byte
	Version uint64 // of the code that is to be checked
	Code    []byte // to be checked
	Err     error  // why the item is not one
}

// MACRequest asks for authentication codes, or to check some.
type MACRequest struct {
	Key     string
	Items   []Message
	Batch   bool   // as in EncryptRequest
	Hash    string // default DefaultHash
	Version uint64 // to make codes with; 0: the latest
}

func (req *MACRequest) check() (crypto.Hash, bounds, error) {
	b := bounds{batch: req.Batch, items: len(req.Items)}
	for i := range req.Items {
		b.add(len(req.Items[i].Data), req.Items[i].Code)
	}
	h, ok := hashOf(req.Hash)
	if !ok {
		return 0, b, errs.InvalidField("algorithm", "unsupported algorithm %s", quote(req.Hash))
	}
	return h, b, b.check(req.Key)
}

func (r *ready) code(h crypto.Hash, data []byte) []byte {
	m := hmac.New(h.New, r.mac)
	m.Write(data)
	return m.Sum(nil)
}

// MAC makes authentication codes: HMACs under a key that each version of every key
// has for that, or is.
func (s *Service) MAC(ctx context.Context, who caller.Caller, req MACRequest) ([]Sealed, error) {
	h, b, err := req.check()
	if err != nil {
		return nil, s.refuse(ctx, who, policy.GenerateMAC, req.Key, err)
	}
	out := make([]Sealed, len(req.Items))
	var version uint64
	err = s.use(ctx, who, policy.GenerateMAC, req.Key, noKey, func(u *using, r kv.Reader) error {
		switch k := &u.head; {
		case req.Version > k.Latest:
			return errs.Coded(errs.Invalid, CodeVersion, "key version does not exist; latest key version is %d", k.Latest)
		case req.Version != 0 && req.Version < max(k.MinEncryption, k.MinDecryption):
			return errs.Coded(errs.Invalid, CodeVersion, "cannot generate HMAC: version is too old (disallowed by policy)")
		}
		if version = req.Version; version == 0 {
			version = u.head.Latest
		}
		return u.load(r, version)
	}, func(u *using, rec *audit.Record) error {
		rec.Version = version
		for i := range req.Items {
			it := &req.Items[i]
			if out[i].Err = it.Err; out[i].Err == nil {
				out[i] = Sealed{Version: version, Data: u.version(version).code(h, it.Data)}
			}
		}
		return b.outcome(func(i int) error { return out[i].Err })
	})
	if err != nil && errs.As(err).Code != CodeBatch {
		return nil, err
	}
	return out, err
}

// Checked is whether a code or a signature is right, or why that cannot be said.
type Checked struct {
	Valid bool
	Err   error
}

// VerifyMAC checks authentication codes, in constant time.
func (s *Service) VerifyMAC(ctx context.Context, who caller.Caller, req MACRequest) ([]Checked, error) {
	h, b, err := req.check()
	if err != nil {
		return nil, s.refuse(ctx, who, policy.VerifyMAC, req.Key, err)
	}
	out := make([]Checked, len(req.Items))
	err = s.use(ctx, who, policy.VerifyMAC, req.Key, noKey, func(u *using, r kv.Reader) error {
		for i := range req.Items {
			it := &req.Items[i]
			if out[i].Err = it.Err; out[i].Err != nil {
				continue
			}
			switch k := &u.head; {
			case it.Version > k.Latest:
				out[i].Err = errs.Coded(errs.Invalid, CodeVersion, "invalid HMAC: version is too new")
			case it.Version < k.MinDecryption:
				out[i].Err = errs.Coded(errs.Invalid, CodeVersion, "cannot verify HMAC: version is too old (disallowed by policy)")
			default:
				if err := u.load(r, it.Version); err != nil {
					return err
				}
			}
		}
		return nil
	}, func(u *using, rec *audit.Record) error {
		for i := range req.Items {
			if it := &req.Items[i]; out[i].Err == nil {
				rec.Version = max(rec.Version, it.Version)
				out[i].Valid = hmac.Equal(u.version(it.Version).code(h, it.Data), it.Code)
			}
		}
		return b.outcome(func(i int) error { return out[i].Err })
	})
	if err != nil && errs.As(err).Code != CodeBatch {
		return nil, err
	}
	return out, err
}
