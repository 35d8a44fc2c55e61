package keyring

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
)

// Names of the ring's own keys, in their records and their associated data.
const (
	keyFingerprint = "fingerprint"
	keyLookup      = "lookup"
	keyAudit       = "audit"
)

func ownKeyNames() []string { return []string{keyFingerprint, keyLookup, keyAudit} }

func ownKeyAAD(store []byte, name string) []byte { return bound(nil, forOwnKey, string(store), name) }

func wrapOwnKey(under *root, name string, secret []byte) ([]byte, error) {
	w, err := under.aead.Encrypt(secret, ownKeyAAD(under.env.Store, name))
	if err != nil {
		return nil, fmt.Errorf("wrapping %s key: %w", name, err)
	}
	return encode(keyRecord{Wrapped: w})
}

// unwrapOwnKey returns the key and the id of the root key that it was under.
func unwrapOwnKey(under *root, name string, raw []byte) (secret []byte, id uint32, err error) {
	rec, err := decode[keyRecord](raw)
	if err != nil {
		return nil, 0, fmt.Errorf("reading %s key: %w", name, err)
	}
	secret, err = under.aead.Decrypt(rec.Wrapped, ownKeyAAD(under.env.Store, name))
	if err != nil || len(secret) != keySize {
		return nil, 0, fmt.Errorf("unwrapping %s key: %w", name, ErrDecrypt)
	}
	id, _ = KeyID(rec.Wrapped)
	return secret, id, nil
}

func (r *Ring) openOwnKeys(under *root, records map[string][]byte) error {
	secrets := map[string][]byte{}
	for _, name := range ownKeyNames() {
		raw, ok := records[name]
		if !ok {
			return fmt.Errorf("reading %s key: %w: it is not there", name, ErrFormat)
		}
		secret, _, err := unwrapOwnKey(under, name, raw)
		if err != nil {
			return err
		}
		secrets[name] = secret
	}
	if len(records) != len(secrets) {
		return fmt.Errorf("reading keys: %w: there are %d, not %d", ErrFormat, len(records), len(secrets))
	}
	r.own = ownKeys{
		fingerprint: secrets[keyFingerprint],
		lookup:      secrets[keyLookup],
		audit:       ed25519.NewKeyFromSeed(secrets[keyAudit]),
	}
	r.lookups.New = func() any { return hmac.New(sha256.New, r.own.lookup) }
	return nil
}

// AuditKey returns the key that signs checkpoints of the audit log. It is the same
// for the life of the store. The caller must not change it.
func (r *Ring) AuditKey() ed25519.PrivateKey { return bytes.Clone(r.own.audit) }

// Fingerprint returns the keyed hash of a value: equal values of one account have
// equal fingerprints, and without the key nothing can be told from one, guesses
// at the value included. Each account has a key of its own, so that nothing can
// be told across accounts either. It must not leave the server.
func (r *Ring) Fingerprint(account string, value []byte) (sum [32]byte) {
	var key []byte
	if k, err := r.get(account); err == nil {
		key = k.fingerprint
	} else {
		key, _ = r.fingerprintKey(account) // cannot fail at this length
	}
	h := hmac.New(sha256.New, key)
	h.Write(value)
	h.Sum(sum[:0])
	return sum
}

// fingerprintKey derives the account's key (HKDF-SHA-256, RFC 5869): the store is
// the salt, purpose and account are the info.
func (r *Ring) fingerprintKey(account string) ([]byte, error) {
	info := bound(nil, "countersign/fingerprint/v1", account)
	key, err := hkdf.Key(sha256.New, r.own.fingerprint, r.store, string(info), keySize)
	if err != nil {
		return nil, fmt.Errorf("deriving fingerprint key: %w", err)
	}
	return key, nil
}

// LookupHash returns the name under which a record is found by an identifier that
// should not stand in the database, such as that of an access key. kind keeps
// identifiers of different sorts apart.
func (r *Ring) LookupHash(kind, id string) (sum [32]byte) {
	buf := r.scratch.Get().(*[]byte)
	b := binary.AppendUvarint((*buf)[:0], uint64(len(kind)))
	b = append(append(b, kind...), id...)
	h := r.lookups.Get().(hash.Hash)
	h.Reset()
	h.Write(b)
	*buf = h.Sum(b[:0])
	copy(sum[:], *buf)
	r.lookups.Put(h)
	r.scratch.Put(buf)
	return sum
}
