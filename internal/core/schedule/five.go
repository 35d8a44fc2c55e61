package schedule

import (
	"math/bits"
	"slices"
	"strings"
	"time"
)

// MinMinutes is the shortest time between two rotations of five fields.
const MinMinutes = 5 * time.Minute

// shorthand is a word that stands for five fields, as crontab(5) has it. @reboot is
// none of them: it names no time.
type shorthand struct{ word, fields string }

func shorthands() []shorthand {
	return []shorthand{
		{"@hourly", "0 * * * *"},
		{"@daily", "0 0 * * *"},
		{"@midnight", "0 0 * * *"},
		{"@weekly", "0 0 * * 0"},
		{"@monthly", "0 0 1 * *"},
		{"@yearly", "0 0 1 1 *"},
		{"@annually", "0 0 1 1 *"},
	}
}

// ParseAny reads what Parse does, and five fields as crontab(5) has them: minutes
// hours day-of-month month day-of-week, in UTC. Sunday is 0 and 7. Where both days
// are restricted, one of them is enough; a field that begins with * does not restrict.
// As in the AWS dialect, a range whose end is before its start wraps around, and 5/15
// is every 15th from 5 to the end of the field; in day-of-week, whose end is 6 to some
// and 7 to others, an increment needs a range. @hourly, @daily, @midnight, @weekly,
// @monthly, @yearly and @annually stand for what crontab(5) says.
//
// Errors are those of Parse. A day that some years do not have is refused here too.
func ParseAny(expr string) (Schedule, error) {
	fields := expr
	switch {
	case strings.HasPrefix(expr, "@"):
		i := slices.IndexFunc(shorthands(), func(s shorthand) bool { return s.word == expr })
		if i < 0 {
			return Schedule{}, invalid("a schedule that begins with @ is @hourly, @daily, @weekly, @monthly or @yearly")
		}
		fields = shorthands()[i].fields
	case strings.Contains(expr, "(") || expr == "":
		return Parse(expr)
	}
	if err := checkCharset(fields); err != nil {
		return Schedule{}, err
	}
	parts := strings.Fields(fields)
	if len(parts) != 5 {
		return Schedule{}, invalid("the schedule expression must be rate(value unit), cron(six fields) or five fields (minutes hours day-of-month month day-of-week); these are %d", len(parts))
	}
	c, err := parseFive(parts)
	if err != nil {
		return Schedule{}, err
	}
	return Schedule{kind: onCalendar, cron: c, expr: expr}, nil
}

func minutesField() field { return field{name: "minutes", first: 0, last: 59} }

// crontabDays numbers the days as crontab(5) does: Sunday is 0, and 7.
func crontabDays() field {
	return field{name: "day-of-week", first: 0, last: 7, cycle: 7, names: []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}}
}

// unrestricted reports whether a field of days lets every day be.
func unrestricted(text string) bool { return text == "?" || strings.HasPrefix(text, "*") }

func parseFive(parts []string) (cron, error) {
	c := cron{five: true}
	fields := []field{minutesField(), hoursField(), dayOfMonthField(), monthField(), crontabDays()}
	sets := make([]uint64, len(fields))
	for i, f := range fields {
		if err := f.crontab(parts[i]); err != nil {
			return cron{}, err
		}
		var err error
		if sets[i], err = f.set(parts[i]); err != nil {
			return cron{}, err
		}
	}
	c.minutes, c.hours, c.months = sets[0], uint32(sets[1]), uint32(sets[3])
	dayOfMonth, month, dayOfWeek := parts[2], parts[3], parts[4]
	days, week := uint32(sets[2]), uint32(sets[4])
	switch {
	case unrestricted(dayOfWeek) && week == 1<<7-1:
		c.days = days
	case unrestricted(dayOfMonth) && days == 1<<32-2:
		c.weekdays = week
	case unrestricted(dayOfMonth) || unrestricted(dayOfWeek):
		return cron{}, invalid("day-of-month and day-of-week fields: %q beside %q asks for days that fulfil both to some programs, and for either to others: write the days out", dayOfMonth, dayOfWeek)
	default:
		c.days, c.weekdays = days, week
	}
	if err := c.checkDays(dayOfMonth, month, dayOfWeek); err != nil {
		return cron{}, err
	}
	if gap := c.leastGap(); gap < MinMinutes {
		return cron{}, invalid("minutes field: a secret can be rotated every %d minutes at most, and this has %d between two rotations", MinMinutes/time.Minute, gap/time.Minute)
	}
	return c, nil
}

// crontab refuses what the AWS dialect takes and crontab(5) does not.
func (f field) crontab(text string) error {
	if i := strings.IndexAny(text, "?#"); i >= 0 {
		return f.refuse("five fields have no %q, which belongs to cron(...)", text[i])
	}
	for part := range strings.SplitSeq(text, ",") {
		span, _, stepped := strings.Cut(part, "/")
		switch {
		case !stepped:
		case span == "":
			return f.refuse("the increment %q has no range: every 2nd is */2", part)
		case f.cycle != 0 && span != "*" && !strings.Contains(span, "-"):
			return f.refuse("the increment %q has no range: write %s-6 before it, or %s-7", part, span, span)
		}
	}
	return nil
}

// leastGap is the shortest time between two occurrences, and 24 hours when that is
// more.
func (c *cron) leastGap() time.Duration {
	first, last := bits.TrailingZeros64(c.minutes), bits.Len64(c.minutes)-1
	gap := min(c.hourGap(), c.overnight())*60 - last + first
	for rest := c.minutes; rest&(rest-1) != 0; {
		m := bits.TrailingZeros64(rest)
		rest &= rest - 1
		gap = min(gap, bits.TrailingZeros64(rest)-m)
	}
	return time.Duration(gap) * time.Minute
}
