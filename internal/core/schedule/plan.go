package schedule

import (
	"encoding/binary"
	"hash/fnv"
	"strings"
	"time"

	"countersign/internal/errs"
)

// Names of the members at fault, in errs.Error.Field.
const (
	FieldJitter   = "jitter"
	FieldBlackout = "blackout"
)

// Limits of a plan.
const (
	MaxPeriods    = 100
	MaxPeriodDays = 366
)

// Plan is a schedule with what is to be kept to: how long a rotation may take, by how
// much it is put off, and when there are none.
type Plan struct {
	Schedule Schedule
	Window   time.Duration // 0: the schedule's default; see Closes
	// Jitter is the time over which rotations are spread, so that not all secrets of
	// one schedule rotate at once.
	Jitter   time.Duration
	Blackout []Period
}

// Period is some whole days, in UTC. The zero Period is none.
type Period struct {
	from, to time.Time // the first midnight in it, and the first after it
}

// ParsePeriod reads two dates, which are both in the period, or one:
// 2026-12-24/2027-01-02. An error is of kind errs.Invalid with Field
// [FieldBlackout].
func ParsePeriod(text string) (Period, error) {
	if len(text) > len("2026-12-24/2027-01-02") {
		return Period{}, errs.InvalidField(FieldBlackout, "a period is a date or two, as in 2026-12-24/2027-01-02, and not longer")
	}
	first, last, two := strings.Cut(text, "/")
	if !two {
		last = first
	}
	from, err := time.Parse(time.DateOnly, first)
	to, errTo := time.Parse(time.DateOnly, last)
	switch {
	case err != nil || errTo != nil:
		return Period{}, errs.InvalidField(FieldBlackout, "a period is a date or two, as in 2026-12-24/2027-01-02, not %q", text)
	case to.Before(from):
		return Period{}, errs.InvalidField(FieldBlackout, "the period %q ends before it begins", text)
	case to.Sub(from) >= MaxPeriodDays*24*time.Hour:
		return Period{}, errs.InvalidField(FieldBlackout, "the period %q is longer than %d days", text, MaxPeriodDays)
	}
	return Period{from, to.AddDate(0, 0, 1)}, nil
}

// String is the period as ParsePeriod reads it; nothing for the zero Period.
func (p Period) String() string {
	if p == (Period{}) {
		return ""
	}
	last := p.to.AddDate(0, 0, -1)
	if last.Equal(p.from) {
		return p.from.Format(time.DateOnly)
	}
	return p.from.Format(time.DateOnly) + "/" + last.Format(time.DateOnly)
}

// holds reports whether a time is in the period.
func (p Period) holds(t time.Time) bool { return !t.Before(p.from) && t.Before(p.to) }

// Check refuses what cannot be kept to. An error is of kind errs.Invalid with the
// Field at fault.
func (p Plan) Check() error {
	if err := p.Schedule.CheckWindow(p.Window); err != nil {
		return err
	}
	if len(p.Blackout) > MaxPeriods {
		return errs.InvalidField(FieldBlackout, "there are %d periods without rotations, and at most %d are kept", len(p.Blackout), MaxPeriods)
	}
	if p.Jitter < 0 || p.Jitter%time.Second != 0 {
		return errs.InvalidField(FieldJitter, "the jitter is a number of seconds")
	}
	window := p.length()
	if p.Jitter >= window {
		return errs.InvalidField(FieldJitter, "the jitter must be shorter than the rotation window, which is %s", FormatLength(window))
	}
	return nil
}

// Next returns the first rotation that begins strictly after the given time: when its
// window opens, when it begins, and when the window closes. It is never in a period
// without rotations, and never before its anchor, which is that of
// Schedule.NextFrom: what was due before the anchor is not owed any more.
//
// The beginning is the opening, put off by a part of Jitter that is the same whenever
// seed and opening are. A window that would reach into a period without rotations
// closes where the period begins.
//
// All occurrences within such a period, or within several that meet, are put off to
// one: it opens at the first midnight after the period, unless the schedule itself
// has an occurrence before its window would close, which then is the one. So no two
// windows overlap.
//
// It returns false when there is none: for the zero Schedule, and after the year 9999.
func (p Plan) Next(anchor, after time.Time, seed uint64) (opens, at, closes time.Time, ok bool) {
	from := after.Add(-min(p.Jitter, maxWindow)) // what opened before has begun
	if first, _, in := p.around(from); in {
		from = first.Add(-time.Nanosecond) // what the period puts off comes after it
	}
	if from.Before(anchor) {
		from = anchor
	}
	for {
		if opens, closes, ok = p.following(anchor, from); !ok {
			return time.Time{}, time.Time{}, time.Time{}, false
		}
		at = opens.Add(jitter(min(p.Jitter, closes.Sub(opens)), opens, seed))
		if at.After(after) {
			return opens, at, closes, true
		}
		from = opens
	}
}

// following is the first window of which the schedule has an occurrence after a time.
func (p Plan) following(anchor, from time.Time) (opens, closes time.Time, ok bool) {
	if opens, ok = p.Schedule.NextFrom(anchor, from); !ok {
		return opens, closes, false
	}
	closes = p.Schedule.Closes(opens, p.Window)
	if _, end, in := p.around(opens); in {
		opens, closes = p.putOff(anchor, end, closes.Sub(opens))
	}
	return opens, p.cut(opens, closes), opens.Year() <= maxYear
}

// putOff is the window for what was due in a period that has an end: its own, unless
// the schedule has an occurrence before that would close. Before the next period there
// is at least a day, and no window of a schedule is longer.
func (p Plan) putOff(anchor, end time.Time, length time.Duration) (opens, closes time.Time) {
	own, ok := p.Schedule.NextFrom(anchor, end.Add(-time.Nanosecond))
	if ok && own.Before(end.Add(length)) {
		return own, p.Schedule.Closes(own, p.Window)
	}
	return end, end.Add(length)
}

// cut closes a window where a period begins.
func (p Plan) cut(opens, closes time.Time) time.Time {
	if begins := p.Until(opens); !begins.IsZero() && begins.Before(closes) {
		return begins
	}
	return closes
}

// length is that of the windows, which is the same for all of a schedule.
func (p Plan) length() time.Duration {
	opens, ok := p.Schedule.Next(time.Date(cycleStart, time.January, 1, 0, 0, 0, 0, time.UTC))
	if !ok {
		return maxWindow
	}
	return p.Schedule.Closes(opens, p.Window).Sub(opens)
}

// CatchUp returns when a rotation whose window has passed is made up for, and until
// when it may try: from now on, for the length of a window and an hour at least. In a
// period without rotations it is put off as what is due there.
func (p Plan) CatchUp(anchor, now time.Time, seed uint64) (at, closes time.Time) {
	length := max(p.length(), time.Hour)
	_, end, in := p.around(now)
	if !in {
		return now, p.cut(now, now.Add(length))
	}
	opens, closes := p.putOff(anchor, end, length)
	closes = p.cut(opens, closes)
	return opens.Add(jitter(min(p.Jitter, closes.Sub(opens)), opens, seed)), closes
}

// Free returns the first time, not before the given one, that is in no period without
// rotations.
func (p Plan) Free(t time.Time) time.Time {
	if _, end, in := p.around(t); in {
		return end
	}
	return t
}

// Until returns when the first period without rotations after a time begins, and the
// zero time when there is none.
func (p Plan) Until(t time.Time) (begins time.Time) {
	for _, b := range p.Blackout {
		if b.from.After(t) && (begins.IsZero() || b.from.Before(begins)) {
			begins = b.from
		}
	}
	return begins
}

// around returns the beginning and the end of the period that a time is in, together
// with those that meet it.
func (p Plan) around(t time.Time) (from, to time.Time, in bool) {
	for i := 0; i < len(p.Blackout); i++ {
		b := p.Blackout[i]
		switch {
		case !in && b.holds(t):
			from, to, in = b.from, b.to, true
		case in && !b.from.After(to) && !b.to.Before(from) && (b.from.Before(from) || b.to.After(to)):
			if b.from.Before(from) {
				from = b.from
			}
			if b.to.After(to) {
				to = b.to
			}
		default:
			continue
		}
		i = -1 // those before it may meet it now
	}
	return from, to, in
}

// jitter draws a part of a span, in whole seconds.
func jitter(span time.Duration, opens time.Time, seed uint64) time.Duration {
	seconds := uint64(span / time.Second)
	if seconds == 0 {
		return 0
	}
	h := fnv.New64a()
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], seed)
	binary.LittleEndian.PutUint64(b[8:], uint64(opens.Unix()))
	_, _ = h.Write(b[:])
	return time.Duration(h.Sum64()%seconds) * time.Second
}
