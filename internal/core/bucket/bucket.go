// Package bucket bounds how often something may be, of each of many: a bucket of
// tokens for each name, in memory.
package bucket

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// sweepAt is how many buckets there are before those that tell nothing are dropped
// for the first time.
const sweepAt = 4096

// Buckets holds a bucket for each name of which there was something lately. It is
// safe for concurrent use.
type Buckets struct {
	perSecond float64
	burst     int

	mu      sync.Mutex
	of      map[string]*rate.Limiter
	sweepAt int
}

// New allows each name burst at once, and then so many a second.
func New(perSecond float64, burst int) *Buckets {
	return &Buckets{perSecond: perSecond, burst: burst, of: map[string]*rate.Limiter{}, sweepAt: sweepAt}
}

// Room reports whether a name has a token. It takes none: it is for those who count
// afterwards, and only what failed.
func (b *Buckets) Room(name string, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.of[name]
	return l == nil || l.TokensAt(now) >= 1
}

// Take takes a token, and reports whether there was one and how many are left.
func (b *Buckets) Take(name string, now time.Time) (ok bool, left float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.of[name]
	if l == nil {
		b.sweep(now)
		l = rate.NewLimiter(rate.Limit(b.perSecond), b.burst)
		b.of[name] = l
	}
	ok = l.AllowN(now, 1)
	return ok, l.TokensAt(now)
}

// sweep drops the buckets that are full, which are as good as none. Nobody gets a
// token by it. When few are, it waits until there are twice as many as were left.
func (b *Buckets) sweep(now time.Time) {
	if len(b.of) < b.sweepAt {
		return
	}
	for name, l := range b.of {
		if l.TokensAt(now) >= float64(b.burst) {
			delete(b.of, name)
		}
	}
	b.sweepAt = max(sweepAt, 2*len(b.of))
}
