// Package schedule says when a secret is due to rotate: the rotation rules of
// AWS Secrets Manager, as calendars that answer "what is the next time".
//
// A Schedule comes from one of four places, and is used in one way:
//
//	rate(10 days)            Parse     every ten days, at midnight
//	cron(0 8 ? * MON-FRI *)  Parse     at 08:00 on workdays
//	AutomaticallyAfterDays   Days      every n days, at midnight
//	30 3 * * 1               ParseAny  at 03:30 on Mondays
//
//	s, err := schedule.Parse("cron(0 17 L * ? *)")
//	due, ok := s.NextFrom(anchor, now)
//
// A [Plan] is a Schedule with what else rotations keep to: the length of their
// windows, by how much they are spread, and the days on which there are none.
//
// # Invariants
//
// Everything is UTC. Every time a Schedule names is strictly after the time that was
// asked about. A Schedule that Parse or ParseAny accepted has an occurrence in every
// calendar year, so the search for the next one is bounded by two years of months.
//
// The times of AWS's expressions are whole hours, at least [MinPeriod] apart, and
// midnights for a schedule in days that is not a cron expression. Those of five
// fields are whole minutes, at least [MinMinutes] apart.
//
// # Anchors
//
// A cron expression lies on the calendar and needs no anchor. A rate does: its
// occurrences are whole periods after the midnight that begins the anchor's
// day, because the API reference of Secrets Manager says that the window of a
// rate opens at midnight, in hours as in days. For AutomaticallyAfterDays and
// for a rate in days the anchor is the last rotation (the reference: the next
// date is calculated from the previous rotation, and a value put by hand
// counts as one). For a rate in hours it is the time at which the schedule was
// set, and stays so: moved along with each rotation it would count from that
// day's midnight again, and rate(9 hours) would fall out of step every day.
//
// # What is refused
//
// Parse is as strict as the documentation of Secrets Manager (User Guide,
// "Rotation schedules"; API Reference, RotationRulesType): minutes are 0, the
// year is *, exactly one of day-of-month and day-of-week is ?, rotations are at
// least four hours and at most 999 days apart, and a cron expression recurs in
// every year: the guide says that schedules more than a year apart are not
// supported, so February 29 is refused as February 30 is. What that guide does
// not speak of but the cron dialect of EventBridge does (lists and ranges of
// hours, the nearest weekday W, ranges that wrap around such as FRI-MON) is
// accepted. What neither speaks of (LW, L-3) is refused.
//
// The package reads no clock and holds no state; a Schedule is a comparable
// value, safe for concurrent use.
package schedule

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"countersign/internal/errs"
)

// The limits of Secrets Manager.
const (
	// MinPeriod is the shortest time between two rotations.
	MinPeriod = 4 * time.Hour
	// MaxRateDays is the longest period of a rate expression, in days.
	MaxRateDays = 999
	// MaxDays is the greatest AutomaticallyAfterDays. It is one more than a
	// rate can say: the API Reference and the User Guide differ.
	MaxDays = 1000
	// MaxExpr is the greatest length of an expression, in bytes.
	MaxExpr = 256
)

// Names of the request members at fault, in errs.Error.Field.
const (
	FieldExpression = "ScheduleExpression"
	FieldDuration   = "Duration"
)

// maxYear is the last year a schedule names: RFC 3339 has no later one.
const maxYear = 9999

type kind uint8

const (
	none kind = iota
	rateHours
	rateDays
	onCalendar
)

// Schedule is when a secret is due to rotate. The zero Schedule is never due.
type Schedule struct {
	kind kind
	n    int  // of a rate: the period, in hours or days
	cron cron // of a cron expression
	expr string
}

// Parse reads a ScheduleExpression: rate(value unit) or cron(fields).
//
// An error is of kind errs.Invalid with Field [FieldExpression]; its message
// says which part of the expression is wrong (for cron: which of the six
// fields) and what is allowed there.
func Parse(expr string) (Schedule, error) {
	if err := checkCharset(expr); err != nil {
		return Schedule{}, err
	}
	if body, ok := unwrap(expr, "rate"); ok {
		return parseRate(expr, body)
	}
	if body, ok := unwrap(expr, "cron"); ok {
		c, err := parseCron(body)
		if err != nil {
			return Schedule{}, err
		}
		return Schedule{kind: onCalendar, cron: c, expr: expr}, nil
	}
	return Schedule{}, invalid("the schedule expression must be rate(value unit) or cron(fields)")
}

// Days is the schedule of AutomaticallyAfterDays: every n days at midnight,
// counted from the last rotation. n is from 1 to [MaxDays]; any other gives
// the zero Schedule, so a front checks the range that its protocol states.
func Days(n int) Schedule {
	if n < 1 || n > MaxDays {
		return Schedule{}
	}
	return Schedule{kind: rateDays, n: n}
}

// IsZero reports whether s is the zero Schedule, which is never due.
func (s Schedule) IsZero() bool { return s.kind == none }

// String returns the expression that was parsed, as it was written; for Days
// a phrase; for the zero Schedule nothing.
func (s Schedule) String() string {
	switch {
	case s.kind == none:
		return ""
	case s.expr != "":
		return s.expr
	case s.n == 1:
		return "every day"
	}
	return fmt.Sprintf("every %d days", s.n)
}

// Next returns the first occurrence strictly after the given time, in UTC. A
// rate is counted from that time's own midnight, as if it were the anchor: use
// NextFrom where a rate has one. It returns false when there is none: for the
// zero Schedule, and when it would be past the year 9999.
func (s Schedule) Next(after time.Time) (time.Time, bool) { return s.NextFrom(after, after) }

// NextFrom returns the first occurrence strictly after both anchor and after,
// in UTC. The package comment says what the anchor of a rate is; a cron
// expression has none and ignores it. It returns false as Next does.
func (s Schedule) NextFrom(anchor, after time.Time) (time.Time, bool) {
	switch s.kind {
	case rateHours, rateDays:
		if after.Before(anchor) {
			after = anchor
		}
		return s.nextRate(midnight(anchor), after)
	case onCalendar:
		return s.cron.next(after)
	}
	return time.Time{}, false
}

// nextRate counts in seconds, not in a time.Duration, which ends after 292
// years.
func (s Schedule) nextRate(start, after time.Time) (time.Time, bool) {
	if after.UTC().Year() > maxYear {
		return time.Time{}, false
	}
	period := int64(s.n) * 3600
	if s.kind == rateDays {
		period *= 24
	}
	from := start.Unix()
	periods := (after.Unix()-from)/period + 1 // start is not after "after": nothing rounds up
	next := time.Unix(from+periods*period, 0).UTC()
	return next, next.Year() <= maxYear
}

// midnight returns the start of t's day in UTC.
func midnight(t time.Time) time.Time {
	y, m, d := t.UTC().Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

// parseRate reads the inside of rate(…): a positive integer and a unit, which
// is singular for 1 and plural otherwise.
func parseRate(expr, body string) (Schedule, error) {
	parts := strings.Fields(body)
	if len(parts) != 2 {
		return Schedule{}, invalid("a rate has a value and a unit, as in rate(10 days)")
	}
	n, ok := number(parts[0], 5)
	if !ok || n == 0 {
		return Schedule{}, invalid("the value of a rate must be a positive integer, not %q", parts[0])
	}
	s := Schedule{n: n, expr: expr}
	hours := n
	switch parts[1] {
	case "hour", "hours":
		s.kind = rateHours
	case "day", "days":
		s.kind, hours = rateDays, n*24
	default:
		return Schedule{}, invalid("the unit of a rate must be hour, hours, day or days, not %q", parts[1])
	}
	if plural := strings.HasSuffix(parts[1], "s"); plural != (n != 1) {
		return Schedule{}, invalid("the unit of a rate must be singular for 1 and plural otherwise: %d %s", n, parts[1])
	}
	if time.Duration(hours)*time.Hour < MinPeriod {
		return Schedule{}, invalid("a secret can be rotated every 4 hours at most: rate(%d %s) is more often", n, parts[1])
	}
	if hours > MaxRateDays*24 {
		return Schedule{}, invalid("a rate can be %d days at most: rate(%d %s) is longer", MaxRateDays, n, parts[1])
	}
	return s, nil
}

// unwrap returns what stands inside word(…).
func unwrap(expr, word string) (string, bool) {
	rest, ok := strings.CutPrefix(expr, word+"(")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(rest, ")")
}

// checkCharset holds an expression to the length and the pattern of the
// service model: [0-9A-Za-z\(\)#\?\*\-\/, ]+.
func checkCharset(expr string) error {
	if expr == "" || len(expr) > MaxExpr {
		return invalid("the schedule expression must have 1 to %d characters", MaxExpr)
	}
	for _, r := range expr {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !letter && !strings.ContainsRune("()#?*-/, ", r) {
			return invalid("the schedule expression must not contain %q", r)
		}
	}
	return nil
}

// number reads an unsigned decimal of at most the given number of digits.
func number(s string, digits int) (int, bool) {
	if s == "" || len(s) > digits {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 31)
	return int(n), err == nil
}

func invalid(format string, args ...any) error {
	return errs.InvalidField(FieldExpression, format, args...)
}

// Anchor is what the occurrences of a schedule are counted from, for a secret whose
// schedule was set, and whose value was last changed, at these times: see the
// package comment.
func (s Schedule) Anchor(set, changed time.Time) time.Time {
	if s.kind == rateHours {
		return set
	}
	return changed
}
