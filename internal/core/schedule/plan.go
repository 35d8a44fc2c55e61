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
	MaxPeriods = 100
	MaxPeriod  = 366 // days of one
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
	case to.Sub(from) >= MaxPeriod*24*time.Hour:
		return Period{}, errs.InvalidField(FieldBlackout, "the period %q is longer than %d days", text, MaxPeriod)
	}
	return Period{from, to.AddDate(0, 0, 1)}, nil
}

// String is the period as ParsePeriod reads it.
func (p Period) String() string {
	last := p.to.AddDate(0, 0, -1)
	if last.Equal(p.from) {
		return p.from.Format(time.DateOnly)
	}
	return p.from.Format(time.DateOnly) + "/" + last.Format(time.DateOnly)
}

// Check refuses what cannot be kept to. An error is of kind errs.Invalid with the
// Field at fault.
func (p Plan) Check() error {
	if err := p.Schedule.CheckWindow(p.Window); err != nil {
		return err
	}
	if len(p.Blackout) > MaxPeriods {
		return errs.InvalidField(FieldBlackout, "at most %d periods without rotations", MaxPeriods)
	}
	if p.Jitter < 0 || p.Jitter%time.Second != 0 {
		return errs.InvalidField(FieldJitter, "the jitter is a number of seconds")
	}
	if p.Jitter > 0 && !p.Schedule.IsZero() {
		opens := time.Date(cycleStart, time.January, 1, 0, 0, 0, 0, time.UTC)
		if opens, ok := p.Schedule.Next(opens); ok && !opens.Add(p.Jitter).Before(p.Schedule.Closes(opens, p.Window)) {
			return errs.InvalidField(FieldJitter, "the jitter is shorter than the rotation window")
		}
	}
	if !p.Schedule.IsZero() {
		if _, _, _, ok := p.Next(time.Unix(0, 0), time.Unix(0, 0), 0); !ok {
			return errs.InvalidField(FieldBlackout, "the periods leave no time to rotate")
		}
	}
	return nil
}

// Next returns the first rotation strictly after the given time: when its window
// opens, when it is to begin, and when the window closes. anchor is that of
// Schedule.NextFrom. An occurrence within a period without rotations is put off to
// the first midnight after it; if that is when the next occurrence is, or later, the
// two are one. The beginning is the opening, put off by a part of Jitter that is the
// same for the same seed and opening. It returns false when there is none.
func (p Plan) Next(anchor, after time.Time, seed uint64) (opens, at, closes time.Time, ok bool) {
	from := after
	if before := p.begun(after); before.Before(from) && !before.Before(anchor) {
		from = before // one that a period put off to after "after" is still to come
	}
	for range 3 * MaxPeriods {
		if opens, ok = p.Schedule.NextFrom(anchor, from); !ok {
			return opens, at, closes, false
		}
		length := p.Schedule.Closes(opens, p.Window).Sub(opens)
		opens = p.putOff(opens)
		from, closes = opens, opens.Add(length) // all that one period puts off is one
		at = opens.Add(p.jitter(opens, seed))
		if at.After(after) {
			return opens, at, closes, true
		}
	}
	return opens, at, closes, false
}

// begun is the beginning of the period, or of those that meet, which has just ended
// or goes on at a time: what they put off may lie after it. It is t when there is
// none.
func (p Plan) begun(t time.Time) time.Time {
	start := t.Add(-p.Jitter)
	for again := true; again; {
		again = false
		for _, b := range p.Blackout {
			if b.from.Before(start) && !b.to.Add(p.Jitter).Before(start) {
				start, again = b.from, true
			}
		}
	}
	return start.Add(-time.Second)
}

// putOff moves a time out of the periods without rotations.
func (p Plan) putOff(t time.Time) time.Time {
	for again := true; again; {
		again = false
		for _, b := range p.Blackout {
			if !t.Before(b.from) && t.Before(b.to) {
				t, again = b.to, true
			}
		}
	}
	return t
}

// jitter draws a part of Jitter, in whole seconds.
func (p Plan) jitter(opens time.Time, seed uint64) time.Duration {
	span := uint64(p.Jitter / time.Second)
	if span == 0 {
		return 0
	}
	h := fnv.New64a()
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], seed)
	binary.LittleEndian.PutUint64(b[8:], uint64(opens.Unix()))
	_, _ = h.Write(b[:])
	return time.Duration(h.Sum64()%span) * time.Second
}
