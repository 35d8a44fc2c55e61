package schedule

import (
	"math/bits"
	"time"

	"countersign/internal/errs"
)

// maxWindow is the longest rotation window. The service model allows two or
// three characters, so 99h could be written; no window may be longer than a
// day, because none may pass into the next UTC day or the next window.
const maxWindow = 24 * time.Hour

// ParseWindow reads the Duration of rotation rules, the length of a rotation
// window in whole hours: 1h to 24h. Whether it fits a schedule is CheckWindow's
// to say. An error is of kind errs.Invalid with Field [FieldDuration].
func ParseWindow(text string) (time.Duration, error) {
	if len(text) >= 2 && text[len(text)-1] == 'h' {
		if n, ok := number(text[:len(text)-1], 2); ok {
			if d := time.Duration(n) * time.Hour; d >= time.Hour && d <= maxWindow {
				return d, nil
			}
		}
	}
	return 0, errs.InvalidField(FieldDuration, "the duration must be a number of hours from 1h to 24h, not %q", text)
}

// inHours reports whether the schedule is one in hours: a rate in hours, or a
// cron expression with more than one time of the day.
func (s Schedule) inHours() bool {
	return s.kind == rateHours || s.kind == onCalendar && (bits.OnesCount32(s.cron.hours) > 1 || bits.OnesCount64(s.cron.minutes) > 1)
}

// CheckWindow refuses a window that would run into what follows it. For a
// schedule in hours, and for five fields, that is the next rotation: the window is
// at most the least time between two. For an AWS schedule in days it is the next
// UTC day: the start hour plus the window is at most 24 hours (User Guide,
// "Rotation windows"; the API Reference holds schedules in hours to the UTC day
// too, which would refuse windows that the guide allows). A window of 0 is the
// default, and always fits. An error is of kind errs.Invalid with Field
// [FieldDuration].
func (s Schedule) CheckWindow(window time.Duration) error {
	switch {
	case window == 0 || s.kind == none:
		return nil
	case window < 0 || window > maxWindow || window%time.Hour != 0:
		return errs.InvalidField(FieldDuration, "the duration must be a number of hours from 1h to 24h")
	case s.inHours() || s.cron.five:
		if gap := s.leastGap(); window > gap {
			return errs.InvalidField(FieldDuration, "a rotation window of %s runs into the next one, %s after it opens", FormatLength(window), FormatLength(gap))
		}
	default:
		if start := time.Duration(s.startHour()) * time.Hour; start+window > maxWindow {
			return errs.InvalidField(FieldDuration, "a rotation window of %s that opens at hour %d runs into the next UTC day", FormatLength(window), s.startHour())
		}
	}
	return nil
}

// Closes returns when the rotation window that opened at an occurrence ends.
// A window of 0 is the default: one hour for a schedule in hours, or less where two
// occurrences are closer; for one in days until the end of the UTC day, and an hour
// where less is left of it.
func (s Schedule) Closes(opened time.Time, window time.Duration) time.Time {
	opened = opened.UTC()
	hour := opened.Add(time.Hour)
	switch {
	case window > 0:
		return opened.Add(window)
	case s.kind == onCalendar && bits.OnesCount64(s.cron.minutes) > 1:
		return opened.Add(min(time.Hour, s.leastGap()))
	case s.inHours():
		return hour
	}
	if day := midnight(opened).AddDate(0, 0, 1); day.After(hour) {
		return day
	}
	return hour
}

// leastGap returns the least time between two occurrences of a schedule in hours, or
// on the calendar, where it is 24 hours when it is more.
func (s Schedule) leastGap() time.Duration {
	if s.kind == rateHours {
		return time.Duration(s.n) * time.Hour
	}
	return s.cron.leastGap()
}

// startHour returns the hour of the day at which a schedule in days occurs.
func (s Schedule) startHour() int {
	if s.kind == onCalendar {
		return bits.TrailingZeros32(s.cron.hours)
	}
	return 0
}
