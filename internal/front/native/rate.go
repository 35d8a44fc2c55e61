package native

import (
	"math"
	"net/http"
	"strconv"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/bucket"
	"countersign/internal/errs"
)

// Rate bounds how often one principal may call what belongs to reviews.
type Rate struct {
	PerSecond float64 // default 10
	Burst     int     // default 20
}

// limiter has a bucket of tokens for each principal that called lately.
type limiter struct {
	Rate
	buckets *bucket.Buckets
}

func newLimiter(r Rate) *limiter {
	if r.PerSecond <= 0 {
		r.PerSecond = 10
	}
	if r.Burst <= 0 {
		r.Burst = 20
	}
	return &limiter{Rate: r, buckets: bucket.New(r.PerSecond, r.Burst)}
}

// take takes a token, and says in the headers of draft-ietf-httpapi-ratelimit-headers
// how many are left.
func (l *limiter) take(h http.Header, who caller.Caller) error {
	ok, tokens := l.buckets.Take(who.Account+"/"+who.Name, time.Now())
	left := max(0, int(tokens))
	reset := int(math.Ceil((float64(l.Burst) - tokens) / l.PerSecond))
	h["Ratelimit-Policy"] = []string{strconv.Itoa(l.Burst) + ";w=" + strconv.Itoa(int(math.Ceil(float64(l.Burst)/l.PerSecond)))}
	h["Ratelimit-Limit"] = []string{strconv.Itoa(l.Burst)}
	h["Ratelimit-Remaining"] = []string{strconv.Itoa(left)}
	h["Ratelimit-Reset"] = []string{strconv.Itoa(reset)}
	if ok {
		return nil
	}
	return errs.Coded(errs.Throttled, "rate", "more than %g calls a second", l.PerSecond)
}
