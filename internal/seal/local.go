package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"fmt"

	"countersign/internal/sensitive"
)

// KeySize is the length in bytes of the keys that Encrypt and Decrypt take.
const KeySize = 32

// Encrypt appends to dst what the seals that hold a key of their own make of
// the key to be wrapped: nonce, ciphertext and tag of AES-256-GCM.
//
// AES-256-GCM, because it runs in hardware that takes constant time, is in the
// FIPS module of the Go runtime, and its one weakness does not bite: random
// nonces of 96 bits are safe for 2^32 messages under a key, and such a seal
// wraps once per change of seal or rotation of the root key. The longer nonce
// of XChaCha20-Poly1305 would buy nothing.
//
// kind is authenticated with aad, so that one secret used in two kinds of seal
// does not make their blobs interchangeable.
func Encrypt(dst []byte, kind string, key []byte, plaintext sensitive.Bytes, aad []byte) ([]byte, error) {
	if n := plaintext.Len(); n < 1 || n > MaxKey {
		return nil, fmt.Errorf("wrapping key: it has %d bytes, not 1 to %d", n, MaxKey)
	}
	aead, err := gcm(key)
	if err != nil {
		return nil, err
	}
	return aead.Seal(dst, nil, plaintext.Reveal(), bind(kind, aad)), nil
}

// Decrypt returns what Encrypt was given, or ErrOpen.
func Decrypt(kind string, key, ciphertext, aad []byte) (sensitive.Bytes, error) {
	aead, err := gcm(key)
	if err != nil {
		return sensitive.Bytes{}, err
	}
	b, err := aead.Open(nil, nil, ciphertext, bind(kind, aad))
	if err != nil || len(b) < 1 || len(b) > MaxKey {
		return sensitive.Bytes{}, ErrOpen
	}
	return sensitive.New(b), nil
}

func gcm(key []byte) (cipher.AEAD, error) {
	if len(key) != KeySize {
		return nil, fmt.Errorf("preparing cipher: key of %d bytes, not %d", len(key), KeySize)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("preparing cipher: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("preparing cipher: %w", err)
	}
	return aead, nil
}

// bind is injective: a kind holds no zero byte.
func bind(kind string, aad []byte) []byte {
	return append([]byte("countersign/seal/"+kind+"\x00"), aad...)
}
