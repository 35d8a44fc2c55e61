package transit

import (
	"context"
	"crypto"
	"crypto/rand"
	_ "crypto/sha1"   // for signatures of old
	_ "crypto/sha256" // and the others that hashes names
	_ "crypto/sha3"
	_ "crypto/sha512"

	"countersign/internal/caller"
	"countersign/internal/core/audit"
	"countersign/internal/core/policy"
	"countersign/internal/errs"
	"countersign/internal/sensitive"
)

// DefaultHash is the algorithm of requests that name none.
const DefaultHash = "sha2-256"

// hashOf is the algorithm of a name, as Vault names them.
func hashOf(name string) (crypto.Hash, bool) {
	switch name {
	case "", DefaultHash:
		return crypto.SHA256, true
	case "sha2-224":
		return crypto.SHA224, true
	case "sha2-384":
		return crypto.SHA384, true
	case "sha2-512":
		return crypto.SHA512, true
	case "sha3-224":
		return crypto.SHA3_224, true
	case "sha3-256":
		return crypto.SHA3_256, true
	case "sha3-384":
		return crypto.SHA3_384, true
	case "sha3-512":
		return crypto.SHA3_512, true
	}
	return 0, false
}

// signatureHash is hashOf for signatures: those know SHA-1 too, and none.
func signatureHash(name string) (crypto.Hash, error) {
	switch name {
	case "sha1":
		return crypto.SHA1, nil
	case hashNone:
		return 0, nil
	}
	h, ok := hashOf(name)
	if !ok {
		return 0, errs.InvalidField("hash_algorithm", "invalid hash algorithm %s", quote(name))
	}
	return h, nil
}

// hashNone is the name of no algorithm: what is signed stands for itself.
const hashNone = "none"

func digest(h crypto.Hash, data []byte) []byte {
	d := h.New()
	d.Write(data)
	return d.Sum(nil)
}

// Hash returns the hash of data.
func (s *Service) Hash(ctx context.Context, who caller.Caller, algorithm string, data []byte) ([]byte, error) {
	h, ok := hashOf(algorithm)
	var out []byte
	err := s.keyless(ctx, who, policy.HashBytes, func() error {
		switch {
		case !ok:
			return errs.InvalidField("algorithm", "unsupported algorithm %s", quote(algorithm))
		case len(data) > MaxData:
			return &errs.Error{Kind: errs.Limit, Field: "input", Msg: "the input is at most 1048576 bytes"}
		}
		out = digest(h, data)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Random returns n bytes of the system's chance.
func (s *Service) Random(ctx context.Context, who caller.Caller, n int) (sensitive.Bytes, error) {
	var out sensitive.Bytes
	err := s.keyless(ctx, who, policy.RandomBytes, func() error {
		switch {
		case n < 1:
			return errs.InvalidField("bytes", "'bytes' cannot be less than 1")
		case n > MaxRandom:
			return errs.InvalidField("bytes", "'bytes' should be less than %d", MaxRandom)
		}
		b := make([]byte, n)
		_, _ = rand.Read(b) // never fails; the runtime ends the process instead
		out = sensitive.New(b)
		return nil
	})
	if err != nil {
		return sensitive.Bytes{}, err
	}
	return out, nil
}

// keyless runs an operation without a key.
func (s *Service) keyless(ctx context.Context, who caller.Caller, op policy.Op, f func() error) error {
	ask := &policy.Request{Op: op, Resource: policy.AnyResource, Account: who.Account}
	return s.gate.Do(ctx, who, "", ask, func(*audit.Record) error { return f() })
}
