package native

import (
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"countersign/internal/caller"
	"countersign/internal/errs"
)

// Rate bounds how often one principal may call what belongs to reviews.
type Rate struct {
	PerSecond float64 // default 10
	Burst     int     // default 20
}

// limiter holds a bucket of tokens for each principal that called lately.
type limiter struct {
	Rate
	mu      sync.Mutex
	buckets map[string]*rate.Limiter
}

// maxBuckets is how many are kept. When there are more, those that are full, and
// so tell nothing, are dropped.
const maxBuckets = 16384

func newLimiter(r Rate) *limiter {
	if r.PerSecond <= 0 {
		r.PerSecond = 10
	}
	if r.Burst <= 0 {
		r.Burst = 20
	}
	return &limiter{Rate: r, buckets: map[string]*rate.Limiter{}}
}

// take takes a token, and says in the headers of draft-ietf-httpapi-ratelimit-headers
// how many are left.
func (l *limiter) take(h http.Header, who caller.Caller) error {
	now := time.Now()
	b := l.bucket(who.Account+"/"+who.Name, now)
	ok := b.AllowN(now, 1)
	left := max(0, int(b.TokensAt(now)))
	reset := int(math.Ceil((float64(l.Burst) - b.TokensAt(now)) / l.PerSecond))
	h["Ratelimit-Policy"] = []string{strconv.Itoa(l.Burst) + ";w=" + strconv.Itoa(int(math.Ceil(float64(l.Burst)/l.PerSecond)))}
	h["Ratelimit-Limit"] = []string{strconv.Itoa(l.Burst)}
	h["Ratelimit-Remaining"] = []string{strconv.Itoa(left)}
	h["Ratelimit-Reset"] = []string{strconv.Itoa(reset)}
	if ok {
		return nil
	}
	return errs.Coded(errs.Throttled, "rate", "more than %g calls a second", l.PerSecond)
}

func (l *limiter) bucket(who string, now time.Time) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b := l.buckets[who]; b != nil {
		return b
	}
	if len(l.buckets) >= maxBuckets {
		for k, b := range l.buckets {
			if b.TokensAt(now) >= float64(l.Burst) {
				delete(l.buckets, k)
			}
		}
	}
	b := rate.NewLimiter(rate.Limit(l.PerSecond), l.Burst)
	l.buckets[who] = b
	return b
}
