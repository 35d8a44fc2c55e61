// Package when parses times as people give them on a command line.
//
// A time is RFC 3339 ("2026-11-23T08:00:00Z"), a day ("2026-11-23", its
// beginning in local time), or a length of time before or after now: a number
// with a unit of s, m, h, d (24 hours) or w (7 days), also in a row ("1d12h").
package when

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Past parses a time, where a length of time is counted back from now.
func Past(s string, now time.Time) (time.Time, error) { return parse(s, now, -1) }

// Future parses a time, where a length of time is counted on from now.
func Future(s string, now time.Time) (time.Time, error) { return parse(s, now, 1) }

func parse(s string, now time.Time, sign time.Duration) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t, nil
	}
	if t, err := time.ParseInLocation(time.DateOnly, s, now.Location()); err == nil {
		return t, nil
	}
	d, err := Duration(s)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is no time; give one like 1h, 30d, 2026-11-23 or 2026-11-23T08:00:00Z", s)
	}
	return now.Add(sign * d), nil
}

// Duration parses a positive length of time with the units s, m, h, d and w.
func Duration(s string) (time.Duration, error) {
	units := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour}
	bad := fmt.Errorf("%q is no length of time; give one like 90s, 1h, 30d or 2w", s)
	var total time.Duration
	for rest := s; rest != ""; {
		i := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
		if i <= 0 {
			return 0, bad
		}
		n, err := strconv.ParseInt(rest[:i], 10, 32)
		unit := units[rest[i]]
		if err != nil || unit == 0 {
			return 0, bad
		}
		part := time.Duration(n) * unit
		if total += part; part/unit != time.Duration(n) || total < 0 {
			return 0, bad
		}
		rest = rest[i+1:]
	}
	if total <= 0 {
		return 0, bad
	}
	return total, nil
}

// Ago says how long ago a time was, as people do; what is to come is "just now".
func Ago(t, now time.Time) string {
	d := now.Sub(t)
	switch {
	case t.IsZero():
		return ""
	case d < time.Minute:
		return "just now"
	case d < time.Hour:
		return fmt.Sprintf("%dm ago", d/time.Minute)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh ago", d/time.Hour)
	}
	return fmt.Sprintf("%dd ago", d/(24*time.Hour))
}
