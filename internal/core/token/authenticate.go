package token

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/authn"
	"countersign/internal/core/generation"
	"countersign/internal/core/record"
	"countersign/internal/kv"
)

// known is a token with all that it rests on, as they stand in one revision of
// the store.
type known struct {
	account    string
	own        link // of a service token
	token      *stored
	st         *standing
	bound      []netip.Prefix
	generation uint64
	epoch      int64
	who        caller.Caller
	// checked is the store's revision when this was last compared with it.
	checked atomic.Uint64
}

// Authenticate proves a principal by a token that is used from that address, and
// counts the use. The error is Unauthenticated, with CodeBadToken, whatever is
// wrong with the token. A wrapping token proves nobody.
func (s *Service) Authenticate(ctx context.Context, token string, now time.Time, from netip.Addr) (caller.Caller, error) {
	p, ok := parse(token)
	if !ok || p.kind == kindWrapping {
		p, token = parsed{kind: KindService, account: nobodys}, token[:min(len(token), maxBatch)] // takes as long as one that nobody knows
	}
	hash := s.vault.LookupHash("vault-token", token)
	k := s.known.get(hash)
	at := uint64(s.gate.DB.Revision()) // the snapshot below is at least as new
	if k == nil || k.checked.Load() != at {
		fresh, err := s.look(ctx, p, string(hash[:]), k, now)
		if err != nil {
			return caller.Caller{}, err
		}
		if fresh != k && fresh != nil && fresh.token.Uses == 0 && !fresh.st.session {
			s.known.put(hash, fresh)
		}
		if k = fresh; k != nil {
			k.checked.Store(at)
		}
	}
	if k == nil || k.st.ends != 0 && micros(now) >= k.st.ends || !fits(k.bound, from) {
		return caller.Caller{}, badToken()
	}
	if k.token.Uses > 0 {
		if err := s.use(ctx, k.account, string(hash[:]), now); err != nil {
			return caller.Caller{}, err
		}
	}
	return k.who, nil
}

// nobodys is the number of an account that cannot be.
const nobodys = "none"

// look returns what is known of a token when it is still so, and otherwise what
// the store has, nil for nothing.
func (s *Service) look(ctx context.Context, p parsed, hash string, was *known, now time.Time) (k *known, err error) {
	var batch *stored
	switch {
	case was != nil:
		batch = was.token
	case p.kind == KindBatch:
		if batch = s.unseal(p); batch == nil {
			return nil, nil
		}
	}
	err = s.gate.DB.View(ctx, func(r kv.Reader) (err error) {
		if k = was; was != nil && micros(now) < was.soon() {
			if same, err := was.same(r); err != nil || same {
				return err
			}
		}
		if p.kind == KindBatch {
			k, err = s.load(r, p.account, batch, link{}, now)
			return err
		}
		k, err = s.service(r, p.account, hash, now)
		return err
	})
	return k, err
}

// soon is when what is known may have come to its end, and is read anew: it may
// have been renewed.
func (k *known) soon() int64 {
	if k.st.ends == 0 {
		return 1 << 62
	}
	return k.st.ends
}

// unseal reads a batch token, nil when it is none.
func (s *Service) unseal(p parsed) *stored {
	b, err := s.vault.Open(nil, p.sealed, batchAAD(), p.account)
	if err != nil {
		return nil
	}
	t := new(stored)
	if record.Decode(b, t) != nil || t.Kind != KindBatch {
		return nil
	}
	return t
}

// service reads a service token and what it rests on.
func (s *Service) service(r kv.Reader, acct, hash string, now time.Time) (*known, error) {
	key := tokenKey(acct, hash)
	t, raw, err := read(r, key)
	if err != nil || t == nil || t.Kind != KindService {
		return nil, err
	}
	return s.load(r, acct, t, link{key, raw}, now)
}

// load finds out what a token rests on, nil when it is not valid.
func (s *Service) load(r kv.Reader, acct string, t *stored, own link, now time.Time) (*known, error) {
	st, err := s.standingOf(r, acct, t, micros(now))
	if err != nil || st == nil {
		return nil, err
	}
	id, ok, err := authn.FindIdentity(r, acct, t.Principal)
	if err != nil || !ok || id.Disabled || id.Created != t.Of {
		return nil, err
	}
	k := &known{account: acct, own: own, token: t, st: st, bound: prefixes(t.CIDRs), generation: id.Caller.Generation, who: id.Caller}
	if t.Kind == KindBatch {
		if k.epoch, err = epoch(r, acct); err != nil || t.Created <= k.epoch {
			return nil, err
		}
	}
	k.who.Token, k.who.Proof, k.who.KeyID = t.token(), caller.ProofVaultToken, st.key
	return k, nil
}

// epoch is when the account's batch tokens were last ended.
func epoch(r kv.Reader, acct string) (int64, error) {
	us, _, err := record.Get[int64](r, epochKey(acct))
	return us, err
}

// same reports whether all that is known is as it was.
func (k *known) same(r kv.Reader) (bool, error) {
	g, err := generation.Get(r, k.account)
	if err != nil || g != k.generation || k.st.session {
		return false, err
	}
	if k.own.key == nil {
		if us, err := epoch(r, k.account); err != nil || us != k.epoch {
			return false, err
		}
	} else if ok, err := k.own.same(r); err != nil || !ok {
		return false, err
	}
	for _, l := range k.st.above {
		if ok, err := l.same(r); err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}

func (l link) same(r kv.Reader) (bool, error) {
	b, err := r.Get(l.key)
	if errors.Is(err, kv.ErrNotFound) {
		return false, nil
	}
	return err == nil && bytes.Equal(b, l.raw), err
}

// lingers is how long a token whose last use was taken stays for that request, in
// which its holder may still want to be told of it.
const lingers = time.Minute

// use takes one of a token's uses. Of requests that come at once, as many get one
// as there are.
func (s *Service) use(ctx context.Context, acct, hash string, now time.Time) error {
	_, err := s.gate.DB.Update(ctx, func(tx kv.Txn) error {
		t, err := find(tx, acct, hash)
		if err != nil {
			return err
		}
		if t == nil || t.Uses == 0 || t.over(micros(now)) {
			return badToken()
		}
		if t.Uses--; t.Uses > 0 {
			return record.Put(tx, tokenKey(acct, hash), t)
		}
		t.Spent = true
		end := micros(now.Add(lingers))
		if t.Expires == 0 || t.Expires > end {
			if err := t.moveDue(tx, acct, hash, end); err != nil {
				return err
			}
		}
		return record.Put(tx, tokenKey(acct, hash), t)
	})
	return err
}

// cache is a small bounded map from hashes of tokens; when full it is emptied,
// since what it holds is cheap to read again.
type cache struct {
	mu sync.RWMutex
	m  map[[32]byte]*known
}

const maxKnown = 8192

func (c *cache) get(hash [32]byte) *known {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.m[hash]
}

func (c *cache) put(hash [32]byte, k *known) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil || len(c.m) >= maxKnown {
		c.m = map[[32]byte]*known{}
	}
	c.m[hash] = k
}
