package schedule

import (
	"math/bits"
	"strings"
	"time"
)

// MinMinutes is the shortest time between two rotations of five fields.
const MinMinutes = 5 * time.Minute

// ParseAny reads what Parse does, and five fields as crontab(5) has them: minutes
// hours day-of-month month day-of-week, in UTC. Sunday is 0 and 7. Where both days
// are restricted, one of them is enough; a field that begins with * does not restrict.
// Errors are those of Parse. A day that some years do not have is refused here too.
func ParseAny(expr string) (Schedule, error) {
	if strings.Contains(expr, "(") || len(strings.Fields(expr)) != 5 {
		return Parse(expr)
	}
	if err := checkCharset(expr); err != nil {
		return Schedule{}, err
	}
	c, err := parseFive(strings.Fields(expr))
	if err != nil {
		return Schedule{}, err
	}
	return Schedule{kind: onCalendar, cron: c, expr: expr}, nil
}

func minutesField() field { return field{name: "minutes", first: 0, last: 59} }

// crontabDays numbers the days as crontab(5) does: Sunday is 0, and 7.
func crontabDays() field {
	return field{name: "day-of-week", first: 0, last: 7, names: []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"}}
}

// unrestricted reports whether a field of days lets every day be.
func unrestricted(text string) bool { return text == "?" || strings.HasPrefix(text, "*") }

func parseFive(parts []string) (c cron, err error) {
	minutes, hours, dayOfMonth, month, dayOfWeek := parts[0], parts[1], parts[2], parts[3], parts[4]
	for _, p := range parts {
		if strings.ContainsAny(p, "?#") {
			return c, invalid("five fields have no %q: it belongs to cron(...)", p)
		}
	}
	if c.minutes, err = minutesField().set(minutes); err != nil {
		return c, err
	}
	if c.hours, err = hoursField().days(hours); err != nil {
		return c, err
	}
	if c.months, err = monthField().days(month); err != nil {
		return c, err
	}
	days, err := dayOfMonthField().days(dayOfMonth)
	if err != nil {
		return c, err
	}
	if strings.Contains(dayOfWeek, "/") && !strings.HasPrefix(dayOfWeek, "*") && !strings.Contains(dayOfWeek, "-") {
		return c, invalid("day-of-week field: %q has an increment without a range", dayOfWeek)
	}
	week, err := weekOf(dayOfWeek)
	if err != nil {
		return c, err
	}
	switch {
	case unrestricted(dayOfWeek) && week == 1<<7-1:
		c.days = days
	case unrestricted(dayOfMonth) && days == 1<<32-2:
		c.weekdays = week
	case unrestricted(dayOfMonth) || unrestricted(dayOfWeek):
		return c, invalid("day-of-month and day-of-week fields: an increment of * cannot stand beside days of the other field")
	default:
		c.days, c.weekdays = days, week
	}
	if err := c.checkDays(dayOfMonth, month, dayOfWeek); err != nil {
		return c, err
	}
	if gap := c.minuteGap(); gap < MinMinutes {
		return c, invalid("minutes field: a secret can be rotated every %d minutes at most, and this has %d between two rotations", int(MinMinutes.Minutes()), int(gap.Minutes()))
	}
	return c, nil
}

// weekOf reads days of the week, as bits of time.Weekday.
func weekOf(text string) (uint32, error) {
	f := crontabDays()
	var week uint64
	for part := range strings.SplitSeq(strings.ToUpper(text), ",") {
		if strings.HasPrefix(part, "*") { // the week begins once
			f.last, f.names = 6, f.names[:7]
		}
		set, err := f.part(part)
		if err != nil {
			return 0, err
		}
		week |= set
	}
	return uint32(week&(1<<7-1) | week>>7), nil
}

// minuteGap is the shortest time between two occurrences of an hour and the next,
// 24 hours when each hour has one, and no two hours follow each other.
func (c *cron) minuteGap() time.Duration {
	if bits.OnesCount64(c.minutes) == 1 {
		if bits.OnesCount32(c.hours) == 1 {
			return 24 * time.Hour
		}
		return time.Duration(min(c.hourGap(), c.overnight())) * time.Hour
	}
	gap, last := 60, -1
	for m := range 120 {
		if c.minutes&(1<<(m%60)) == 0 {
			continue
		}
		if last >= 0 {
			gap = min(gap, m-last)
		}
		last = m
	}
	return time.Duration(gap) * time.Minute
}
