package keyring

import (
	"crypto/cipher"
	"sync"
	"sync/atomic"
)

type wrappedKey [WrappedKeySize]byte

const shards = 8

// cache keeps the ciphers of the data keys used last, in bounded memory. It is a
// clock (second chance), because a hit then writes one flag instead of moving a
// list under a lock; in shards, so that readers on many cores do not meet. The
// shard is taken from the nonce of the wrapped key, which is random.
type cache struct{ shards [shards]shard }

type shard struct {
	mu    sync.RWMutex
	index map[wrappedKey]*slot
	ring  []*slot // nil where one was dropped
	hand  int
	limit int
}

type slot struct {
	key     wrappedKey
	account string
	gcm     cipher.AEAD
	used    atomic.Bool
}

func newCache(limit int) *cache {
	c := &cache{}
	for i := range c.shards {
		c.shards[i] = shard{index: map[wrappedKey]*slot{}, limit: max(1, limit/shards)}
	}
	return c
}

func (c *cache) of(k *wrappedKey) *shard { return &c.shards[k[prefixSize]%shards] }

// get returns nil when the key is not cached for that account.
func (c *cache) get(k *wrappedKey, account string) cipher.AEAD {
	s := c.of(k)
	s.mu.RLock()
	e := s.index[*k]
	s.mu.RUnlock()
	if e == nil || e.account != account {
		return nil
	}
	if !e.used.Load() { // a write would take the line from other cores
		e.used.Store(true)
	}
	return e.gcm
}

func (c *cache) put(k wrappedKey, account string, gcm cipher.AEAD) {
	s := c.of(&k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.index[k] != nil {
		return
	}
	e := &slot{key: k, account: account, gcm: gcm}
	if len(s.ring) < s.limit {
		s.ring = append(s.ring, e)
	} else {
		at := s.victim()
		if old := s.ring[at]; old != nil {
			delete(s.index, old.key)
		}
		s.ring[at] = e
	}
	s.index[k] = e
}

// victim finds the next slot that was not used since the hand passed it. It ends
// within two rounds, but for readers that set flags meanwhile.
func (s *shard) victim() int {
	for range 2 * len(s.ring) {
		at := s.hand
		s.hand = (s.hand + 1) % len(s.ring)
		if e := s.ring[at]; e == nil || !e.used.CompareAndSwap(true, false) {
			return at
		}
	}
	return s.hand
}

func (c *cache) drop(k wrappedKey) {
	s := c.of(&k)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.index[k]
	if e == nil {
		return
	}
	delete(s.index, k)
	for i := range s.ring {
		if s.ring[i] == e {
			s.ring[i] = nil
		}
	}
}

// clear drops everything.
func (c *cache) clear() {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		clear(s.index)
		s.ring, s.hand = nil, 0
		s.mu.Unlock()
	}
}

func (c *cache) len() int {
	n := 0
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.RLock()
		n += len(s.index)
		s.mu.RUnlock()
	}
	return n
}
