package transit

import (
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/binary"

	"countersign/internal/errs"
)

// cipherFor is the cipher for a context and, when equal plaintexts are to have
// equal ciphertexts, the two keys that make nonces of plaintexts, one behind the
// other: that of what comes alone, and that of what has associated data.
func (r *ready) cipherFor(context []byte) (c cipher.AEAD, nonces []byte, err error) {
	if r.aead != nil {
		return r.aead, nil, nil
	}
	size := r.typ.size()
	n := size
	if r.convergent {
		n += 2 * sha256.Size
	}
	key, err := r.derive(context, n)
	if err != nil {
		return nil, nil, err
	}
	if c, err = newAEAD(r.typ, key[:size]); err != nil {
		return nil, nil, err
	}
	return c, key[size:], nil
}

// seal encrypts. The result begins with the nonce.
func (r *ready) seal(plaintext, context, associated []byte) ([]byte, error) {
	if p, ok := r.public.(*rsa.PublicKey); ok {
		out, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, p, plaintext, nil)
		if err != nil {
			return nil, errs.Coded(errs.Invalid, CodeData, "the plaintext is too long for a key of type %s: at most %d bytes", r.typ, p.Size()-2*sha256.Size-2)
		}
		return out, nil
	}
	c, nonces, err := r.cipherFor(context)
	if err != nil {
		return nil, err
	}
	n := c.NonceSize()
	out := make([]byte, n, n+len(plaintext)+c.Overhead())
	if r.convergent {
		copy(out, nonceOf(nonces, plaintext, associated))
	} else {
		_, _ = rand.Read(out) // never fails; the runtime ends the process instead
	}
	return c.Seal(out, out, plaintext, associated), nil
}

// nonceOf makes a nonce of a plaintext, as Vault does. It is made of the associated
// data too, which Vault leaves out: two texts under one nonce that differ in that
// alone would give away the key that authenticates.
func nonceOf(keys, plaintext, associated []byte) []byte {
	if len(associated) == 0 {
		h := hmac.New(sha256.New, keys[:sha256.Size])
		h.Write(plaintext)
		return h.Sum(nil)
	}
	h := hmac.New(sha256.New, keys[sha256.Size:])
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(associated))))
	h.Write(associated)
	h.Write(plaintext)
	return h.Sum(nil)
}

// open decrypts what seal made.
func (r *ready) open(data, context, associated []byte) ([]byte, error) {
	if r.public != nil {
		private, ok := r.private.(*rsa.PrivateKey)
		if !ok {
			return nil, errs.New(errs.Precondition, "cannot decrypt ciphertext, key version does not have a private counterpart")
		}
		out, err := rsa.DecryptOAEP(sha256.New(), nil, private, data, nil)
		if err != nil {
			return nil, errs.Coded(errs.Invalid, CodeData, "failed to RSA decrypt the ciphertext")
		}
		return out, nil
	}
	c, _, err := r.cipherFor(context)
	if err != nil {
		return nil, err
	}
	n := c.NonceSize()
	if len(data) < n+c.Overhead() {
		return nil, errs.Coded(errs.Invalid, CodeData, "invalid ciphertext length")
	}
	out, err := c.Open(make([]byte, 0, len(data)-n-c.Overhead()), data[:n], data[n:], associated)
	if err != nil {
		return nil, errs.Coded(errs.Invalid, CodeData, "cipher: message authentication failed")
	}
	return out, nil
}
