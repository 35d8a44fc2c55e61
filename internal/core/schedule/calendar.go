package schedule

import (
	"math/bits"
	"time"
)

// next returns the first occurrence strictly after the given time. It looks at
// whole months as sets of days: a parsed expression has a day in every year,
// so at most two years of them.
func (c *cron) next(after time.Time) (time.Time, bool) {
	if after.UTC().Year() > maxYear || c.hours == 0 {
		return time.Time{}, false
	}
	earliest := after.UTC().Truncate(time.Minute).Add(time.Minute)
	year, month, day := earliest.Date()

	// What is left of the first day, if it is a day of the schedule at all, and of its
	// first hour.
	if c.daysOf(year, month)&(1<<day) != 0 {
		hour := earliest.Hour()
		if minutes := c.minutes >> earliest.Minute() << earliest.Minute(); minutes != 0 && c.hours&(1<<hour) != 0 {
			return at(year, month, day, 1<<hour, minutes)
		}
		if hours := c.hours >> hour >> 1 << hour << 1; hours != 0 {
			return at(year, month, day, hours, c.minutes)
		}
	}
	left := ^uint32(0) << day << 1 // the days after that one
	for range 25 {
		if days := c.daysOf(year, month) & left; days != 0 {
			return at(year, month, bits.TrailingZeros32(days), c.hours, c.minutes)
		}
		left = ^uint32(0)
		if month++; month > time.December {
			year, month = year+1, time.January
		}
	}
	return time.Time{}, false
}

// at returns the first of the minutes of the first of the hours on a day, unless the
// calendar is over.
func at(year int, month time.Month, day int, hours uint32, minutes uint64) (time.Time, bool) {
	if year > maxYear {
		return time.Time{}, false
	}
	return time.Date(year, month, day, bits.TrailingZeros32(hours), bits.TrailingZeros64(minutes), 0, 0, time.UTC), true
}

// daysOf returns the days of one month that match, as bits 1 to 31.
func (c *cron) daysOf(year int, month time.Month) uint32 {
	if c.months&(1<<month) == 0 {
		return 0
	}
	count := daysIn(year, month)
	first := time.Date(year, month, 1, 0, 0, 0, 0, time.UTC).Weekday()
	days := c.days
	if c.lastDay {
		days |= 1 << count
	}
	for d := time.Sunday; d <= time.Saturday; d++ {
		firstOf := 1 + int(d-first+7)%7
		if c.weekdays&(1<<d) != 0 {
			for day := firstOf; day <= count; day += 7 {
				days |= 1 << day
			}
		}
		if c.lastOf&(1<<d) != 0 {
			days |= 1 << (firstOf + (count-firstOf)/7*7)
		}
		if c.nth > 0 && c.nthOf == d {
			days |= 1 << (firstOf + (c.nth-1)*7) // past the month's end is cut off below
		}
	}
	for rest := c.nearest; rest != 0; rest &= rest - 1 {
		if day := bits.TrailingZeros32(rest); day <= count {
			days |= 1 << nearestWeekday(day, count, first)
		}
	}
	return days & (1<<(count+1) - 1)
}

// nearestWeekday returns the weekday nearest to a day without leaving its
// month: a Saturday moves back and a Sunday forward, and where the month is
// over, two days the other way.
func nearestWeekday(day, count int, first time.Weekday) int {
	switch (first + time.Weekday(day-1)) % 7 {
	case time.Saturday:
		if day == 1 {
			return day + 2
		}
		return day - 1
	case time.Sunday:
		if day == count {
			return day - 2
		}
		return day + 1
	}
	return day
}

// daysIn returns the number of days of a month.
func daysIn(year int, month time.Month) int {
	return time.Date(year, month+1, 0, 0, 0, 0, 0, time.UTC).Day()
}
