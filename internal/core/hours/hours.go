// Package hours is a time window that comes again every week: when a change to
// a protected secret may be applied.
//
//	Mon-Fri 09:00-17:00 Europe/Berlin
//	Mon-Thu 09:00-12:00,13:00-17:00, Fri 09:00-15:00 America/New_York
//	Fri 22:00-06:00                      until Saturday morning, UTC
//	Sat,Sun                              all day, UTC
//
//	w, err := hours.Parse("Mon-Fri 09:00-17:00 Europe/Berlin")
//	if !w.Contains(now) {
//		wait until w.Next(now)
//	}
//
// # The language
//
// A window is one clause or several, and a zone of the IANA database at its
// end; without one it is UTC. A clause is days (Mon or Monday, in any case, and
// ranges of them, which may pass the end of the week: Fri-Mon) and times of
// these days. Words are separated by spaces, or by one comma where a list is;
// all days that are named after one another share the times that follow. A
// window without times is whole days; one without days is every day.
//
// A time range begins at its first minute and ends before its last: 09:00-17:00
// has 16:59:59 and not 17:00:00. One whose end is before its start passes
// midnight, and belongs to the day on which it begins. 24:00 is the end of a day;
// a range of which both ends are the same is refused, for it could mean all or
// nothing.
//
// # Days on which the clocks change
//
// A window speaks of what the clock on the wall shows. An instant is inside when
// the clock of the zone shows, at that instant, a time that is inside. So when
// clocks are put back both passes of the hour count, when they are put forward a
// window that lies wholly in the gap does not come on that day, and one around
// the gap is shorter. A calendar day that a country skips does not come.
//
// The package reads no clock. Parse reads the zone, from the system's files or
// those that the binary holds, so it has no place in a transaction; a Window is
// immutable and safe for concurrent use.
package hours

import (
	"time"

	"countersign/internal/errs"
)

// Field names the member at fault, in errs.Error.Field.
const Field = "window"

// MaxText is the greatest length of a window's text, in bytes, as it is written
// and in its canonical form, so that the latter can always be read back.
const MaxText = 1024

const (
	day  = 24 * 60 // minutes
	week = 7 * day
)

// Window is a set of minutes of the week, Monday 00:00 first, on the clock of
// one zone. The zero Window is never; Parse returns no such thing.
type Window struct {
	spans []span // in order, neither overlapping nor adjoining
	loc   *time.Location
	text  string
}

// span is from a minute of the week to before another.
type span struct{ from, to int }

// String is the canonical form: windows that contain the same instants of a
// zone's clock have the same one. It is empty for the zero Window.
func (w Window) String() string { return w.text }

// IsZero reports whether w is the zero Window.
func (w Window) IsZero() bool { return w.loc == nil }

// Equal reports whether both have the same canonical form.
func (w Window) Equal(v Window) bool { return w.text == v.text }

// Contains reports whether t is inside the window.
func (w Window) Contains(t time.Time) bool {
	if w.IsZero() {
		return false
	}
	return w.until(t.In(w.loc)) == 0
}

// Next returns the earliest instant inside the window that is not before t: t
// itself when that is inside. It returns the zero Time for the zero Window.
//
// Between two changes of the clock the wall time runs evenly, so the next start
// is a subtraction away, unless the clock changes first. Then the search goes on
// from the change. It ends: no two changes of any zone's rules for the future
// are always less than a week apart, and those of the past are finitely many.
func (w Window) Next(t time.Time) time.Time {
	if w.IsZero() {
		return time.Time{}
	}
	t = t.Round(0).In(w.loc) // what is answered is a time of the calendar, not of this process
	for {
		next := t.Add(w.until(t))
		_, change := t.ZoneBounds()
		if change.IsZero() || next.Before(change) || !change.After(t) {
			return next
		}
		t = change.In(w.loc)
	}
}

// until is how long the clock on the wall has to run from t to be inside; 0 when
// it is.
func (w Window) until(t time.Time) time.Duration {
	hour, minute, second := t.Clock()
	now := time.Duration((int(t.Weekday())+6)%7*day+hour*60+minute)*time.Minute +
		time.Duration(second)*time.Second + time.Duration(t.Nanosecond())
	for _, s := range w.spans {
		if now < time.Duration(s.to)*time.Minute {
			return max(0, time.Duration(s.from)*time.Minute-now)
		}
	}
	return time.Duration(week+w.spans[0].from)*time.Minute - now
}

func invalid(format string, args ...any) error { return errs.InvalidField(Field, format, args...) }
