package kvtest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"sync"
)

// Cipher is AES-256-GCM under keys made from the account's name: it is
// sealed.Cipher for tests that have no keyring. The zero value is ready.
type Cipher struct{ keys sync.Map }

func (c *Cipher) of(account string) (cipher.AEAD, error) {
	if a, ok := c.keys.Load(account); ok {
		return a.(cipher.AEAD), nil
	}
	key := sha256.Sum256([]byte(account))
	b, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	a, err := cipher.NewGCM(b)
	if err == nil {
		c.keys.Store(account, a)
	}
	return a, err
}

// Seal appends a nonce and the ciphertext to dst.
func (c *Cipher) Seal(dst, plaintext, aad []byte, account string) ([]byte, error) {
	a, err := c.of(account)
	if err != nil {
		return nil, err
	}
	var nonce [12]byte
	if _, err := rand.Read(nonce[:]); err != nil {
		return nil, err
	}
	return a.Seal(append(dst, nonce[:]...), nonce[:], plaintext, aad), nil
}

// Open appends the plaintext to dst.
func (c *Cipher) Open(dst, ciphertext, aad []byte, account string) ([]byte, error) {
	a, err := c.of(account)
	if err != nil {
		return nil, err
	}
	if len(ciphertext) < 12 {
		return nil, errors.New("ciphertext is too short")
	}
	return a.Open(dst, ciphertext[:12], ciphertext[12:], aad)
}
