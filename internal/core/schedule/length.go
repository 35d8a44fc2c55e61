package schedule

import (
	"strconv"
	"strings"
	"time"

	"countersign/internal/errs"
)

// units of lengths of time, the longest first.
var units = []struct {
	name   byte
	length time.Duration
}{{'w', 7 * 24 * time.Hour}, {'d', 24 * time.Hour}, {'h', time.Hour}, {'m', time.Minute}, {'s', time.Second}}

// ParseLength reads a length of time: numbers with a unit of s, m, h, d (24 hours) or
// w (7 days), as in 1d12h. Empty is 0. An error is of kind errs.Invalid with that
// field.
func ParseLength(field, text string) (total time.Duration, err error) {
	bad := errs.InvalidField(field, "%s is a length of time such as 90s, 1h, 30d or 2w, not %q", field, text)
	for rest := text; rest != ""; {
		i := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
		if i <= 0 || len(text) > 40 {
			return 0, bad
		}
		n, err := strconv.ParseUint(rest[:i], 10, 31)
		var unit time.Duration
		for _, u := range units {
			if u.name == rest[i] {
				unit = u.length
			}
		}
		part := time.Duration(n) * unit
		if err != nil || unit == 0 || part/unit != time.Duration(n) || total+part < total {
			return 0, bad
		}
		total, rest = total+part, rest[i+1:]
	}
	return total, nil
}

// FormatLength writes a length of time as ParseLength reads it; 0 is empty, and what
// is less than a second is dropped.
func FormatLength(d time.Duration) string {
	var b strings.Builder
	for _, u := range units {
		if u.name == 'w' && d%u.length != 0 { // days are read more easily than weeks and days
			continue
		}
		if n := d / u.length; n > 0 {
			b.WriteString(strconv.FormatInt(int64(n), 10))
			b.WriteByte(u.name)
			d %= u.length
		}
	}
	return b.String()
}
