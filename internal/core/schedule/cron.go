package schedule

import (
	"math/bits"
	"strings"
	"time"
)

// cron is a parsed cron expression: a set of minutes of a set of hours on a set of
// days. Years are always all, so they are not kept. Bits of minutes, hours, days and
// months stand at their own number, those of weekdays at time.Weekday's.
type cron struct {
	minutes  uint64 // 0 alone for AWS's expressions
	hours    uint32
	months   uint32
	days     uint32 // days of the month
	nearest  uint32 // days of the month, moved to the nearest weekday
	lastDay  bool   // the last day of the month
	weekdays uint32
	lastOf   uint32 // weekdays, their last of the month
	nth      int    // 1 to 5 with nthOf; 0 when there is none
	nthOf    time.Weekday
	five     bool // crontab(5)'s five fields, not AWS's six
}

// field is one field of a cron expression: its name in messages, the values it
// takes, and the names that stand for them.
type field struct {
	name  string
	first int
	last  int
	cycle int      // how many different values there are, if not last-first+1
	names []string // of first, first+1, …; nil when numbers are all
}

func hoursField() field      { return field{name: "hours", first: 0, last: 23} }
func dayOfMonthField() field { return field{name: "day-of-month", first: 1, last: 31} }

func monthField() field {
	return field{name: "month", first: 1, last: 12, names: []string{
		"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"}}
}

// dayOfWeekField numbers the days as AWS does: Sunday is 1.
func dayOfWeekField() field {
	return field{name: "day-of-week", first: 1, last: 7, names: []string{
		"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}}
}

// parseCron reads the inside of cron(…).
func parseCron(body string) (cron, error) {
	parts := strings.Fields(body)
	if len(parts) != 6 {
		return cron{}, invalid("a cron expression has six fields (minutes hours day-of-month month day-of-week year), not %d", len(parts))
	}
	minutes, hours, dayOfMonth, month, dayOfWeek, year := parts[0], parts[1], parts[2], parts[3], parts[4], parts[5]
	if n, ok := number(minutes, 2); !ok || n != 0 {
		return cron{}, invalid("minutes field: must be 0, not %q: a rotation window starts on the hour", minutes)
	}
	if year != "*" {
		return cron{}, invalid("year field: must be *, not %q: a rotation schedule recurs every year", year)
	}
	if dayOfMonth == "?" == (dayOfWeek == "?") {
		return cron{}, invalid("day-of-month and day-of-week fields: exactly one must be ?, not %q and %q", dayOfMonth, dayOfWeek)
	}
	c := cron{minutes: 1}
	var err error
	if c.hours, err = hoursField().days(hours); err != nil {
		return cron{}, err
	}
	if c.months, err = monthField().days(month); err != nil {
		return cron{}, err
	}
	if dayOfWeek == "?" {
		err = c.parseDayOfMonth(dayOfMonth)
	} else {
		err = c.parseDayOfWeek(dayOfWeek)
	}
	if err != nil {
		return cron{}, err
	}
	return c, c.check(dayOfMonth, month, dayOfWeek)
}

// parseDayOfMonth reads a list of days, ranges and increments, of L (the last
// day), nW (the weekday nearest to day n) and, as the User Guide has it in
// this field too, of SUNL (the last Sunday).
func (c *cron) parseDayOfMonth(text string) error {
	f := dayOfMonthField()
	for part := range strings.SplitSeq(strings.ToUpper(text), ",") {
		if part == "L" {
			c.lastDay = true
			continue
		}
		if day, ok := strings.CutSuffix(part, "W"); ok {
			n, err := f.value(day)
			if err != nil {
				return err
			}
			c.nearest |= 1 << n
			continue
		}
		if day, ok := strings.CutSuffix(part, "L"); ok && !isDigits(day) {
			n, err := dayOfWeekField().value(day)
			if err != nil {
				return f.refuse("%q is not the last of a named day, as SUNL is", part)
			}
			c.lastOf |= 1 << (n - 1)
			continue
		}
		days, err := f.part(part)
		if err != nil {
			return err
		}
		c.days |= uint32(days)
	}
	return nil
}

// parseDayOfWeek reads a list of days, ranges and increments, of L (the last
// day of the week: Saturday) and nL (the last such day of the month), or one
// d#n (the nth such day of the month), which stands alone.
func (c *cron) parseDayOfWeek(text string) error {
	f := dayOfWeekField()
	text = strings.ToUpper(text)
	if day, nth, ok := strings.Cut(text, "#"); ok {
		if strings.Contains(text, ",") {
			return f.refuse("%q has a list: a # must be the only expression in this field", text)
		}
		d, err := f.value(day)
		if err != nil {
			return err
		}
		n, ok := number(nth, 1)
		if !ok || n < 1 || n > 5 {
			return f.refuse("the number after # must be from 1 to 5, not %q", nth)
		}
		c.nth, c.nthOf = n, time.Weekday(d-1)
		return nil
	}
	for part := range strings.SplitSeq(text, ",") {
		if part == "L" {
			c.weekdays |= 1 << time.Saturday
			continue
		}
		if day, ok := strings.CutSuffix(part, "L"); ok {
			d, err := f.value(day)
			if err != nil {
				return err
			}
			c.lastOf |= 1 << (d - 1)
			continue
		}
		days, err := f.part(part)
		if err != nil {
			return err
		}
		c.weekdays |= uint32(days >> 1)
	}
	return nil
}

// set reads a list of values, ranges and increments.
func (f field) set(text string) (uint64, error) {
	var set uint64
	for part := range strings.SplitSeq(strings.ToUpper(text), ",") {
		s, err := f.part(part)
		if err != nil {
			return 0, err
		}
		set |= s
	}
	return set, nil
}

// days is set for a field of at most 31 values.
func (f field) days(text string) (uint32, error) {
	set, err := f.set(text)
	return uint32(set), err
}

// part reads one of: *, a, a-b, a/n, a-b/n, */n and /n. A range whose end is
// before its start wraps around: FRI-MON. An increment without a range runs to
// the end of the field and starts again in the next day, month or year: 4/12
// in hours is 4 and 16. The User Guide writes /8 for 0/8.
func (f field) part(text string) (uint64, error) {
	span, inc, stepped := strings.Cut(text, "/")
	size := f.last - f.first + 1
	if f.cycle != 0 {
		size = f.cycle
	}
	step := 1
	if stepped {
		n, ok := number(inc, 2)
		if !ok || n < 1 || n > size {
			return 0, f.refuse("an increment must be from 1 to %d, not %q", size, inc)
		}
		step = n
	}
	from, to := f.first, f.last
	start, end, ranged := strings.Cut(span, "-")
	switch {
	case span == "*", span == "" && stepped:
	default:
		var err error
		if from, err = f.value(start); err != nil {
			return 0, err
		}
		switch {
		case ranged:
			if to, err = f.value(end); err != nil {
				return 0, err
			}
		case !stepped:
			to = from
		}
	}
	if to < from {
		to += size
	}
	var set uint64
	for v := from; v <= to; v += step {
		set |= 1 << (f.first + (v-f.first)%size)
	}
	return set, nil
}

// value reads one number or name.
func (f field) value(text string) (int, error) {
	for i, name := range f.names {
		if text == name {
			return f.first + i, nil
		}
	}
	n, ok := number(text, 2)
	if ok && n >= f.first && n <= f.last {
		return n, nil
	}
	if f.names != nil {
		return 0, f.refuse("%q is not a value from %d to %d or %s to %s", text, f.first, f.last, f.names[0], f.names[len(f.names)-1])
	}
	return 0, f.refuse("%q is not a value from %d to %d", text, f.first, f.last)
}

func (f field) refuse(format string, args ...any) error {
	return invalid(f.name+" field: "+format, args...)
}

func isDigits(s string) bool { return strings.Trim(s, "0123456789") == "" }

// The calendar of a year is one of fourteen, by the weekday on which it begins
// and whether it is a leap year. Years without a skipped leap day have them
// all within 28, with every weekday on which the year after can begin, so what
// holds in these years holds in all.
const (
	cycleStart = 2001
	cycleEnd   = 2028
)

// check refuses what is well written and cannot be kept: rotations less than
// MinPeriod apart, and days that do not come in every year.
func (c *cron) check(dayOfMonth, month, dayOfWeek string) error {
	if err := c.checkDays(dayOfMonth, month, dayOfWeek); err != nil {
		return err
	}
	least := int(MinPeriod / time.Hour)
	if gap := c.hourGap(); gap < least {
		return invalid("hours field: a secret can be rotated every %d hours at most, and this has %d between two rotations", least, gap)
	}
	if gap := c.overnight(); gap < least {
		return invalid("hours field: a secret can be rotated every %d hours at most, and this has %d between the last rotation of a day and the first of the next", least, gap)
	}
	return nil
}

// checkDays refuses days that do not come in every year.
func (c *cron) checkDays(dayOfMonth, month, dayOfWeek string) error {
	days, where := dayOfMonth, "day-of-month"
	if unrestricted(dayOfMonth) {
		days, where = dayOfWeek, "day-of-week"
	}
	with := 0
	for y := cycleStart; y <= cycleEnd; y++ {
		if c.inYear(y) {
			with++
		}
	}
	switch {
	case with == 0:
		return invalid("%s field: there is no day %q in month %q", where, days, month)
	case with <= cycleEnd-cycleStart:
		return invalid("%s field: there is no day %q in month %q of some years: a rotation schedule recurs every year", where, days, month)
	}
	return nil
}

func (c *cron) inYear(year int) bool {
	for m := time.January; m <= time.December; m++ {
		if c.daysOf(year, m) != 0 {
			return true
		}
	}
	return false
}

// hourGap returns the fewest hours between two occurrences of one day; 24 when
// there is only one.
func (c *cron) hourGap() int {
	gap, rest := 24, c.hours
	for rest&(rest-1) != 0 {
		h := bits.TrailingZeros32(rest)
		rest &= rest - 1
		gap = min(gap, bits.TrailingZeros32(rest)-h)
	}
	return gap
}

// overnight returns the fewest hours from the last occurrence of a day to the
// first of the next; 24 when no two days in a row match, for then it is more.
func (c *cron) overnight() int {
	gap := 24 - (bits.Len32(c.hours) - 1) + bits.TrailingZeros32(c.hours)
	if gap < 24 && !c.consecutive() {
		return 24
	}
	return gap
}

// consecutive reports whether two days in a row ever match.
func (c *cron) consecutive() bool {
	before := false // whether the last day of the month before matches
	for y := cycleStart; y <= cycleEnd+1; y++ {
		for m := time.January; m <= time.December; m++ {
			days := c.daysOf(y, m)
			if days&(days>>1) != 0 || before && days&(1<<1) != 0 {
				return true
			}
			before = days&(1<<daysIn(y, m)) != 0
		}
	}
	return false
}
