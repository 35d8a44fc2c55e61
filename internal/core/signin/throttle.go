package signin

import (
	"context"
	"encoding/binary"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"countersign/internal/caller"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/sensitive"
)

// Bounds of guessing.
const (
	freeAttempts   = 5 // before one has to wait
	firstWait      = time.Second
	longestWait    = 15 * time.Minute
	forgetAfter    = 24 * time.Hour
	buckets        = 1 << 16 // counters in the store
	deviceAttempts = 10      // wrong ones, then the device is not known any more
	maxDevices     = 10      // of one user
	sessionTries   = 5       // wrong passwords or codes within a session, then it is over
)

// attempts counts for the names that share a bucket.
type attempts struct {
	Count int   `cbor:"1,keyasint"`
	Until int64 `cbor:"2,keyasint"` // when the next may be
	Last  int64 `cbor:"3,keyasint"`
}

// device is a client that signed in before.
type device struct {
	Of       int64 `cbor:"1,keyasint"` // when the user was made
	Used     int64 `cbor:"2,keyasint"`
	Failures int   `cbor:"3,keyasint,omitempty"`
}

func (s *Service) bucketKey(acct, user string) kv.Key {
	h := s.vault.LookupHash("signin-name", acct+"/"+user)
	return kv.K("sys", "signin-attempts").Num(uint64(binary.BigEndian.Uint16(h[:])) % buckets)
}

func (s *Service) deviceKey(acct, user string, token sensitive.Bytes) (kv.Key, bool) {
	if _, ok := split(token.Reveal(), devicePrefix, secretLen); !ok {
		return nil, false
	}
	return kv.K(acct, "signin-device", user, string(s.hash("device", token.Reveal()))), true
}

// wait is how long the attempt after this many has to wait.
func wait(count int) time.Duration {
	if count < freeAttempts {
		return 0
	}
	return min(longestWait, firstWait<<min(count-freeAttempts, 20))
}

// attempt counts one try to prove a name, before it is looked at. It is
// Throttled while the name has to wait, unless the client is known or has not
// tried yet. The names must be valid; whether they exist makes no difference.
func (s *Service) attempt(ctx context.Context, who caller.Caller, acct, user string, known sensitive.Bytes, now time.Time) error {
	var refusal error
	_, err := s.gate.DB.Update(ctx, func(tx kv.Txn) error {
		refusal = nil
		if ok, err := s.knownDevice(tx, acct, user, known); ok || err != nil {
			return err
		}
		key := s.bucketKey(acct, user)
		b, _, err := record.Get[attempts](tx, key)
		if err != nil {
			return err
		}
		if now.Sub(when(b.Last)) > forgetAfter {
			b = attempts{}
		}
		if left := when(b.Until).Sub(now); b.Until != 0 && left > 0 {
			refusal = errs.Coded(errs.Throttled, CodeWait, "too many attempts for this name: try again in %s, or from a device that signed in before", left.Round(time.Second)+time.Second)
			return nil
		}
		b.Count, b.Last, b.Until = b.Count+1, micros(now), 0
		if w := wait(b.Count); w > 0 {
			b.Until = micros(now.Add(w))
		}
		return record.Put(tx, key, b)
	})
	if err != nil || refusal == nil {
		return err
	}
	if s.strangers.may(string(s.bucketKey(acct, user)), who.Source, now) {
		return nil
	}
	return refusal
}

// knownDevice reports whether the token is that of a known device, and counts
// the attempt against it.
func (s *Service) knownDevice(tx kv.Txn, acct, user string, token sensitive.Bytes) (bool, error) {
	key, ok := s.deviceKey(acct, user, token)
	if !ok {
		return false, nil
	}
	d, ok, err := record.Get[device](tx, key)
	if err != nil || !ok {
		return false, err
	}
	id, _, found, err := find(tx, acct, user)
	if err != nil || !found || d.Of != id.Created || d.Failures >= deviceAttempts {
		return false, err
	}
	d.Failures++
	return true, record.Put(tx, key, d)
}

// succeeded forgets the attempts. known stays known; when the client was not,
// it gets to be, by the token fresh.
func (s *Service) succeeded(tx kv.Txn, acct, user string, of int64, known, fresh sensitive.Bytes, now time.Time) (isNew bool, err error) {
	if err := tx.Delete(s.bucketKey(acct, user)); err != nil {
		return false, err
	}
	if key, ok := s.deviceKey(acct, user, known); ok {
		d, ok, err := record.Get[device](tx, key)
		if err != nil {
			return false, err
		}
		if ok && d.Of == of {
			d.Used, d.Failures = micros(now), 0
			return false, record.Put(tx, key, d)
		}
	}
	if err := dropDevices(tx, acct, user, maxDevices-1); err != nil {
		return false, err
	}
	key, _ := s.deviceKey(acct, user, fresh)
	return true, record.Put(tx, key, device{Of: of, Used: micros(now)})
}

// dropDevices forgets a user's devices but the last used ones.
func dropDevices(tx kv.Txn, acct, user string, keep int) error {
	type entry struct {
		key  kv.Key
		used int64
	}
	var all []entry
	for e, err := range record.Scan[device](tx, kv.Prefix(kv.K(acct, "signin-device", user))) {
		if err != nil {
			return err
		}
		all = append(all, entry{append(kv.Key{}, e.Key...), e.Value.Used})
	}
	for len(all) > keep {
		oldest := 0
		for i := range all {
			if all[i].used < all[oldest].used {
				oldest = i
			}
		}
		if err := tx.Delete(all[oldest].key); err != nil {
			return err
		}
		all = append(all[:oldest], all[oldest+1:]...)
	}
	return nil
}

// Sources limits the attempts of one address, in memory. It holds two
// generations of at most half of maxSources each: an address that asks again is
// moved to the younger one. It is safe for concurrent use.
type Sources struct {
	burst int
	every time.Duration

	mu         sync.Mutex
	young, old map[netip.Prefix]*rate.Limiter
}

const maxSources = 16384

// NewSources allows burst attempts at once, and then one each every.
func NewSources(burst int, every time.Duration) *Sources {
	return &Sources{burst: burst, every: every, young: map[netip.Prefix]*rate.Limiter{}}
}

// subscriber is what counts as one address: those of IPv6 share a /64. No
// address is the zero prefix.
func subscriber(from netip.Addr) netip.Prefix {
	bits := from.BitLen()
	if from.Is6() {
		bits = 64
	}
	p, _ := from.Prefix(bits)
	return p
}

// take counts an attempt from an address.
func (s *Sources) take(from netip.Addr, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.of(from).AllowN(now, 1) {
		return tooMany()
	}
	return nil
}

// Blocked refuses an address that has used its attempts up. It counts nothing: it
// is for those who let every attempt in that does not fail, and Count the others.
func (s *Sources) Blocked(from netip.Addr, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.known(from); l != nil && l.TokensAt(now) < 1 {
		return tooMany()
	}
	return nil
}

// Count counts an attempt that failed.
func (s *Sources) Count(from netip.Addr, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.of(from).AllowN(now, 1)
}

func tooMany() error {
	return errs.Coded(errs.Throttled, CodeWait, "too many attempts from this address: try again in a while")
}

func (s *Sources) known(from netip.Addr) *rate.Limiter {
	p := subscriber(from)
	if l := s.young[p]; l != nil {
		return l
	}
	return s.old[p]
}

// of is the limiter of an address, which is young from then on.
func (s *Sources) of(from netip.Addr) *rate.Limiter {
	p := subscriber(from)
	l := s.young[p]
	if l != nil {
		return l
	}
	if l = s.old[p]; l == nil {
		l = rate.NewLimiter(rate.Every(s.every), s.burst)
	}
	if len(s.young) >= maxSources/2 {
		s.old, s.young = s.young, map[netip.Prefix]*rate.Limiter{}
	}
	s.young[p] = l
	return l
}

// strangers lets an address that has not tried a name yet have one attempt while
// the name has to wait, so that who guesses from a few addresses does not take
// the turn of a person on a new device. It is a few attempts in each longestWait
// for one name, and kept in memory for the names that wait.
type strangers struct {
	mu sync.Mutex
	m  map[string]*turns
}

// turns are the addresses that had theirs.
type turns struct {
	since time.Time
	had   [maxTurns]netip.Prefix
	n     int
}

const (
	maxTurns = 10
	maxNames = 4096
)

func (x *strangers) may(name string, from netip.Addr, now time.Time) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	t := x.m[name]
	if t == nil || now.Sub(t.since) >= longestWait {
		if x.m == nil || len(x.m) >= maxNames {
			x.m = map[string]*turns{}
		}
		t = &turns{since: now}
		x.m[name] = t
	}
	p := subscriber(from)
	if t.n == maxTurns || slices.Contains(t.had[:t.n], p) {
		return false
	}
	t.had[t.n] = p
	t.n++
	return true
}
