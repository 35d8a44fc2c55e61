package token

import (
	"fmt"
	"time"

	"countersign/internal/errs"
)

// limits are what a token's time is reckoned from.
type limits struct {
	ttl      time.Duration // that it is to have, unless more or less is asked for
	max      time.Duration // of what made it; 0: the system's
	explicit time.Duration // hard; 0: none
	period   time.Duration // of a periodic token; 0: it is none
}

// lasts is how long a token that was made at created lasts from now on. asked is
// what is asked for, 0 for nothing in particular.
//
// A periodic token gets its period each time, whatever is asked for, and never
// comes to an end by the limits of the system. Any other gets what is asked for,
// or its TTL, or the system's, up to the least of the limits since it was made.
func (s *Service) lasts(l limits, asked time.Duration, created, now time.Time) (ttl time.Duration, warnings []string, err error) {
	most := s.maxTTL
	if l.max > 0 {
		most = min(most, l.max)
	}
	if l.explicit > 0 {
		most = min(most, l.explicit)
	}
	warn := func(what string, given, limit time.Duration) {
		warnings = append(warnings, fmt.Sprintf("%s of %q exceeded the effective max_ttl of %q; %s value is capped accordingly", what, given, limit, what))
	}
	if l.period > 0 {
		if ttl = l.period; ttl > s.maxTTL {
			warn("period", ttl, s.maxTTL)
			ttl = s.maxTTL
		}
		if l.explicit == 0 {
			return ttl, warnings, nil
		}
		most = l.explicit
	} else {
		for _, d := range []time.Duration{asked, l.ttl, s.defaultTTL} {
			if ttl = d; d > 0 {
				break
			}
		}
	}
	left := created.Add(most).Sub(now)
	if left <= 0 {
		return 0, nil, errs.New(errs.Invalid, "past the max TTL, cannot renew")
	}
	if ttl > left {
		if l.period == 0 {
			warn("TTL", ttl, left.Round(time.Second))
		}
		ttl = left
	}
	return ttl, warnings, nil
}
