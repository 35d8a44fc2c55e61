package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding"
	"fmt"
	"hash"
	"log/slog"
	"strings"
	"sync"

	"countersign/internal/errs"
	"countersign/internal/sensitive"
)

// Key is a signing key, derived from a secret access key for one date, region
// and service. It signs and nothing else: it prints as [redacted], and neither
// the secret nor another day's key follows from it. It is safe for concurrent
// use.
type Key struct {
	macs sync.Pool // of hash.Hash, keyed: a keyed HMAC that is reset costs half of a new one
}

// DeriveKey derives the signing key. Empty parts are allowed, as in HMAC.
func DeriveKey(secret sensitive.Bytes, date, region, service string) *Key {
	k := append([]byte("AWS4"), secret.Reveal()...)
	for _, part := range [...]string{date, region, service, terminator} {
		mac := hmac.New(sha256.New, k)
		mac.Write([]byte(part))
		k = mac.Sum(nil)
	}
	key := &Key{}
	key.macs.New = func() any { return hmac.New(sha256.New, k) }
	return key
}

// sign appends the HMAC-SHA256 of msg to dst.
func (k *Key) sign(dst, msg []byte) []byte {
	mac := k.macs.Get().(hash.Hash)
	mac.Reset()
	mac.Write(msg)
	dst = mac.Sum(dst)
	k.macs.Put(mac)
	return dst
}

// String returns sensitive.Redacted.
func (k *Key) String() string { return sensitive.Redacted }

// Format writes sensitive.Redacted for every verb.
func (k *Key) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(sensitive.Redacted)) }

// LogValue returns sensitive.Redacted.
func (k *Key) LogValue() slog.Value { return slog.StringValue(sensitive.Redacted) }

// MarshalText returns sensitive.Redacted; encoding/json uses it too.
func (k *Key) MarshalText() ([]byte, error) { return []byte(sensitive.Redacted), nil }

var _ encoding.TextMarshaler = (*Key)(nil)

// KeyID names a derived key in a KeyCache. Generation is the caller's and must
// change whenever the secret of the access key does: a version number, or a
// fingerprint of the secret.
type KeyID struct {
	AccessKeyID, Generation, Date, Region, Service string
}

// KeyCache keeps derived keys, so that a request costs neither the decryption
// of the secret nor four HMACs. It answers nothing about whether an access key
// may be used: the caller looks that up for every request, and only then asks
// for the key of the generation it saw.
//
// It holds at most twice its size, in two halves: the younger is filled, and
// when it is full the older one is dropped and the younger takes its place. A
// key that is used stays. It is safe for concurrent use.
type KeyCache struct {
	size int

	mu         sync.RWMutex
	young, old map[KeyID]*Key
}

// NewKeyCache returns a cache of about size keys; size must be positive.
func NewKeyCache(size int) (*KeyCache, error) {
	if size < 1 {
		return nil, errs.InvalidField("size", "must be positive")
	}
	return &KeyCache{size: size, young: make(map[KeyID]*Key)}, nil
}

// Key returns the derived key of id. On a miss it asks secret for the secret
// access key, outside any lock, and derives; an error of secret is returned as
// it is and nothing is kept. Two misses at once may both ask.
//
// Ask only for requests that Check has passed: they name a configured region
// and today's date, so that a stranger cannot fill the cache with others.
func (c *KeyCache) Key(id KeyID, secret func() (sensitive.Bytes, error)) (*Key, error) {
	c.mu.RLock()
	key := c.young[id]
	aged := false
	if key == nil {
		key = c.old[id]
		aged = key != nil
	}
	c.mu.RUnlock()
	if key != nil && !aged {
		return key, nil
	}
	if key == nil {
		s, err := secret()
		if err != nil {
			return nil, err
		}
		key = DeriveKey(s, id.Date, id.Region, id.Service)
	}
	return c.keep(id, key), nil
}

// keep puts a key into the younger half, or returns the one that is there.
func (c *KeyCache) keep(id KeyID, key *Key) *Key {
	c.mu.Lock()
	defer c.mu.Unlock()
	if other := c.young[id]; other != nil {
		return other
	}
	if len(c.young) >= c.size {
		c.old, c.young = c.young, make(map[KeyID]*Key, c.size)
	}
	c.young[id.clone()] = key
	return key
}

// clone gives the id its own memory: the parts of a parsed one are parts of a
// whole Authorization header.
func (id KeyID) clone() KeyID {
	return KeyID{AccessKeyID: strings.Clone(id.AccessKeyID), Generation: strings.Clone(id.Generation),
		Date: strings.Clone(id.Date), Region: strings.Clone(id.Region), Service: strings.Clone(id.Service)}
}
