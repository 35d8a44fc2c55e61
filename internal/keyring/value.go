package keyring

import (
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"fmt"
)

// WrappedKeySize is the length of a wrapped data key in bytes.
const WrappedKeySize = prefixSize + overhead + keySize

// valueFormat is the first byte of a value's ciphertext.
const valueFormat = 1

// ValueOverhead is how much longer a value's ciphertext is than the value.
const ValueOverhead = 1 + overhead

// ValueID names the one place that a value belongs to. A ciphertext opens under
// the same ValueID alone.
type ValueID struct {
	Account string
	Kind    string // of thing: "secret", ...
	Region  string
	Name    string
	Suffix  string // tells apart things that had one name one after the other
	Version uint64
}

func (id *ValueID) aad(dst []byte) []byte {
	dst = bound(dst, forValue, id.Account, id.Kind, id.Region, id.Name, id.Suffix)
	return binary.BigEndian.AppendUint64(dst, id.Version)
}

// NewDataKey makes a key for the values of one secret and returns it wrapped under
// the account's key. The wrapped key is all there is of it: it is kept in the
// secret's record, and when every copy of it is gone, so is every value that it
// protected: the ring keeps none.
//
// Data keys are plain AES-256-GCM keys, not keysets: there are as many as secrets,
// and one takes 65 bytes instead of 141, and a third less time to open. What
// a keyset is for, several generations at once, is had by giving a secret a new
// data key and keeping the old one with the versions that it protects.
func (r *Ring) NewDataKey(account string) (wrapped []byte, err error) {
	k, err := r.get(account)
	if err != nil {
		return nil, fmt.Errorf("making data key: %w", err)
	}
	raw := make([]byte, keySize)
	rand.Read(raw) // never fails; the runtime ends the process instead
	return k.keys.seal(make([]byte, 0, WrappedKeySize), raw, dataKeyAAD(account)), nil
}

func dataKeyAAD(account string) []byte { return bound(nil, forDataKey, account) }

// unwrap opens a wrapped data key, appending it to dst. Its errors do not say
// which key it was.
func (k *keys) unwrap(dst, wrapped, aad []byte) ([]byte, error) {
	if len(wrapped) != WrappedKeySize {
		return nil, fmt.Errorf("unwrapping data key: %w: it has %d bytes", ErrDecrypt, len(wrapped))
	}
	raw, err := k.open(dst, wrapped, aad)
	if err != nil {
		return nil, fmt.Errorf("unwrapping data key: %w", err)
	}
	return raw, nil
}

// RewrapDataKey returns a data key wrapped under the account's newest key: the
// argument itself when it is already. The data key stays the same, so that no
// value has to be written again.
func (r *Ring) RewrapDataKey(account string, wrapped []byte) ([]byte, error) {
	k, err := r.get(account)
	if err != nil {
		return nil, fmt.Errorf("re-wrapping data key: %w", err)
	}
	raw, err := k.keys.unwrap(nil, wrapped, dataKeyAAD(account))
	if err != nil {
		return nil, fmt.Errorf("re-wrapping data key: %w", err)
	}
	if id, _ := KeyID(wrapped); id == k.keys.primary.id {
		return wrapped, nil
	}
	return k.keys.seal(make([]byte, 0, WrappedKeySize), raw, dataKeyAAD(account)), nil
}

// SealValue encrypts a value under a wrapped data key, for one place.
func (r *Ring) SealValue(wrapped []byte, id ValueID, plaintext []byte) ([]byte, error) {
	gcm, err := r.dataKey(wrapped, id.Account)
	if err != nil {
		return nil, fmt.Errorf("sealing value: %w", err)
	}
	buf := r.scratch.Get().(*[]byte)
	*buf = id.aad((*buf)[:0])
	out := append(make([]byte, 0, ValueOverhead+len(plaintext)), valueFormat)
	out = gcm.Seal(out, nil, plaintext, *buf)
	r.scratch.Put(buf)
	return out, nil
}

// OpenValue decrypts what SealValue made with the same data key for the same
// place; anything else is ErrDecrypt. The result is the caller's.
func (r *Ring) OpenValue(wrapped []byte, id ValueID, ciphertext []byte) ([]byte, error) {
	gcm, err := r.dataKey(wrapped, id.Account)
	if err != nil {
		return nil, fmt.Errorf("opening value: %w", err)
	}
	if len(ciphertext) < ValueOverhead || ciphertext[0] != valueFormat {
		return nil, fmt.Errorf("opening value: %w", ErrDecrypt)
	}
	buf := r.scratch.Get().(*[]byte)
	*buf = id.aad((*buf)[:0])
	out, err := gcm.Open(make([]byte, 0, len(ciphertext)-ValueOverhead), nil, ciphertext[1:], *buf)
	r.scratch.Put(buf)
	if err != nil {
		return nil, fmt.Errorf("opening value: %w", ErrDecrypt)
	}
	return out, nil
}

// dataKey returns the cipher of a data key. It is unwrapped at each use: that
// takes less time than to find it among ten thousand others in memory that is
// cold, and leaves no keys there for the collector to look at.
func (r *Ring) dataKey(wrapped []byte, account string) (cipher.AEAD, error) {
	k, err := r.get(account)
	if err != nil {
		return nil, err
	}
	buf := r.scratch.Get().(*[]byte)
	defer r.scratch.Put(buf)
	aad := bound((*buf)[:0], forDataKey, account)
	raw, err := k.keys.unwrap(aad[len(aad):], wrapped, aad) // into the room behind
	if err != nil {
		return nil, err
	}
	defer clear(raw)
	return newGCM(raw)
}
