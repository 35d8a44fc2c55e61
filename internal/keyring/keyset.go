package keyring

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/aead/aesgcm"
	"github.com/tink-crypto/tink-go/v2/insecuresecretdataaccess"
	"github.com/tink-crypto/tink-go/v2/keyset"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
	"github.com/tink-crypto/tink-go/v2/tink"
)

const (
	keySize    = 32
	prefixSize = 5 // what Tink puts before a ciphertext: 1 and the key's id
	overhead   = 12 + 16
	maxKeys    = 32 // in one keyset
)

// keys is a Tink keyset made ready. It is immutable.
type keys struct {
	handle  *keyset.Handle
	primary *key
	all     []key
}

type key struct {
	id     uint32
	prefix [prefixSize]byte
	aead   cipher.AEAD // takes no nonce; makes its own
}

// newHandle is a keyset with one fresh AES-256-GCM key.
func newHandle() (*keyset.Handle, error) {
	h, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("making keyset: %w", err)
	}
	return h, nil
}

// withNewPrimary adds a fresh key to a keyset and makes it the one to write with.
func withNewPrimary(h *keyset.Handle) (*keyset.Handle, error) {
	m := keyset.NewManagerFromHandle(h)
	id, err := m.Add(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("adding key to keyset: %w", err)
	}
	if err := m.SetPrimary(id); err != nil {
		return nil, fmt.Errorf("adding key to keyset: %w", err)
	}
	out, err := m.Handle()
	if err != nil {
		return nil, fmt.Errorf("adding key to keyset: %w", err)
	}
	return out, nil
}

// withoutOld removes all keys but the primary from a keyset.
func withoutOld(k *keys) (*keyset.Handle, error) {
	m := keyset.NewManagerFromHandle(k.handle)
	for _, id := range k.old() {
		if err := m.Delete(id); err != nil {
			return nil, fmt.Errorf("removing key from keyset: %w", err)
		}
	}
	out, err := m.Handle()
	if err != nil {
		return nil, fmt.Errorf("removing key from keyset: %w", err)
	}
	return out, nil
}

// writeKeyset encrypts a keyset as Tink does. Of Tink's EncryptedKeyset message it
// keeps the ciphertext alone: the description of the keys beside it is not
// authenticated, and nothing that is not should lie in a store.
func writeKeyset(h *keyset.Handle, under tink.AEAD, aad []byte) ([]byte, error) {
	var c ciphertext
	if err := h.WriteWithAssociatedData(&c, under, aad); err != nil {
		return nil, fmt.Errorf("wrapping keyset: %w", err)
	}
	return c, nil
}

// readKeyset opens what writeKeyset made. Tink's own error is left out: it tells
// nothing that ErrDecrypt does not.
func readKeyset(b []byte, under tink.AEAD, aad []byte) (*keys, error) {
	c := ciphertext(b)
	h, err := keyset.ReadWithAssociatedData(&c, under, aad)
	if err != nil {
		return nil, fmt.Errorf("unwrapping keyset: %w", ErrDecrypt)
	}
	return parseKeyset(h)
}

// ciphertext is where Tink writes an encrypted keyset to and reads it from. It
// takes none in the clear.
type ciphertext []byte

var errCleartext = errors.New("keyset is not encrypted")

func (c *ciphertext) WriteEncrypted(ks *tinkpb.EncryptedKeyset) error {
	*c = ks.GetEncryptedKeyset()
	return nil
}

func (c *ciphertext) ReadEncrypted() (*tinkpb.EncryptedKeyset, error) {
	return &tinkpb.EncryptedKeyset{EncryptedKeyset: *c}, nil
}

func (c *ciphertext) Write(*tinkpb.Keyset) error    { return errCleartext }
func (c *ciphertext) Read() (*tinkpb.Keyset, error) { return nil, errCleartext }

// parseKeyset takes the keys out of a keyset. It accepts what this package makes
// and nothing else: AES-256-GCM keys with Tink's prefix, all enabled.
func parseKeyset(h *keyset.Handle) (*keys, error) {
	k := &keys{handle: h, all: make([]key, h.Len())}
	for i := range k.all {
		e, err := h.Entry(i)
		if err != nil {
			return nil, fmt.Errorf("reading keyset: %w", err)
		}
		gk, ok := e.Key().(*aesgcm.Key)
		if !ok || e.KeyStatus() != keyset.Enabled || len(gk.OutputPrefix()) != prefixSize {
			return nil, fmt.Errorf("reading keyset: %w: key %d is of another type", ErrFormat, e.KeyID())
		}
		raw := gk.KeyBytes().Data(insecuresecretdataaccess.Token{})
		gcm, err := newGCM(raw)
		if err != nil {
			return nil, fmt.Errorf("reading keyset: %w", err)
		}
		k.all[i] = key{id: e.KeyID(), prefix: [prefixSize]byte(gk.OutputPrefix()), aead: gcm}
		if e.IsPrimary() {
			k.primary = &k.all[i]
		}
	}
	if k.primary == nil {
		return nil, errors.New("reading keyset: it has no primary key")
	}
	return k, nil
}

func newGCM(raw []byte) (cipher.AEAD, error) {
	if len(raw) != keySize {
		return nil, fmt.Errorf("%w: key of %d bytes", ErrFormat, len(raw))
	}
	block, err := aes.NewCipher(raw)
	if err != nil {
		return nil, fmt.Errorf("preparing cipher: %w", err)
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("preparing cipher: %w", err)
	}
	return gcm, nil
}

// old lists the keys that are kept for reading alone.
func (k *keys) old() []uint32 {
	var ids []uint32
	for i := range k.all {
		if id := k.all[i].id; id != k.primary.id {
			ids = append(ids, id)
		}
	}
	return ids
}

func (k *keys) has(id uint32) bool { return k.find(id) != nil }

func (k *keys) find(id uint32) *key {
	for i := range k.all {
		if k.all[i].id == id {
			return &k.all[i]
		}
	}
	return nil
}

func (k *keys) seal(dst, plaintext, aad []byte) []byte {
	return k.primary.aead.Seal(append(dst, k.primary.prefix[:]...), nil, plaintext, aad)
}

func (k *keys) open(dst, ciphertext, aad []byte) ([]byte, error) {
	id, ok := KeyID(ciphertext)
	if !ok {
		return nil, ErrDecrypt
	}
	with := k.find(id)
	if with == nil {
		return nil, ErrUnknownKey
	}
	out, err := with.aead.Open(dst, nil, ciphertext[prefixSize:], aad)
	if err != nil {
		return nil, ErrDecrypt
	}
	return out, nil
}

// KeyID returns the id of the account key that a ciphertext of Seal, or a wrapped
// data key, is under. It is false for what cannot be such a ciphertext.
func KeyID(ciphertext []byte) (uint32, bool) {
	if len(ciphertext) < prefixSize+overhead || ciphertext[0] != 1 {
		return 0, false
	}
	return binary.BigEndian.Uint32(ciphertext[1:]), true
}
