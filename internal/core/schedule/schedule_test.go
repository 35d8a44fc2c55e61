package schedule_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/core/schedule"
	"countersign/internal/errs"
)

func utc(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse("2006-01-02 15:04", text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func parse(t *testing.T, expr string) schedule.Schedule {
	t.Helper()
	s, err := schedule.Parse(expr)
	if err != nil {
		t.Fatalf("Parse(%q): %v", expr, err)
	}
	return s
}

// TestNext holds the examples of the User Guide ("Rotation schedules",
// https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotate-secrets_schedule.html),
// those of EventBridge ("Cron expressions reference",
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-cron-expressions.html) that
// fit its limits, and the corners of the calendar.
func TestNext(t *testing.T) {
	tests := []struct {
		name  string
		expr  string
		after string
		want  []string
	}{
		{"every-8-hours", "cron(0 /8 * * ? *)", "2025-03-01 00:00",
			[]string{"2025-03-01 08:00", "2025-03-01 16:00", "2025-03-02 00:00"}},
		{"every-8-hours-from-8", "cron(0 8/8 * * ? *)", "2025-03-01 00:00",
			[]string{"2025-03-01 08:00", "2025-03-01 16:00", "2025-03-02 08:00"}},
		{"every-12-hours-from-4", "cron(0 4/12 * * ? *)", "2025-03-01 04:00",
			[]string{"2025-03-01 16:00", "2025-03-02 04:00"}},
		{"every-10-hours-from-2", "cron(0 2/10 * * ? *)", "2025-03-01 01:59",
			[]string{"2025-03-01 02:00", "2025-03-01 12:00", "2025-03-01 22:00", "2025-03-02 02:00"}},
		{"daily", "cron(0 10 * * ? *)", "2025-12-31 10:00", []string{"2026-01-01 10:00"}},
		{"saturdays", "cron(0 18 ? * SAT *)", "2025-03-01 18:00", []string{"2025-03-08 18:00"}},
		{"first-of-month", "cron(0 8 1 * ? *)", "2025-01-01 08:00", []string{"2025-02-01 08:00", "2025-03-01 08:00"}},
		{"first-sunday-of-quarter", "cron(0 1 ? 1/3 SUN#1 *)", "2025-01-06 00:00",
			[]string{"2025-04-06 01:00", "2025-07-06 01:00", "2025-10-05 01:00", "2026-01-04 01:00"}},
		{"last-of-month", "cron(0 17 L * ? *)", "2024-01-31 17:00",
			[]string{"2024-02-29 17:00", "2024-03-31 17:00", "2024-04-30 17:00"}},
		{"workdays", "cron(0 8 ? * MON-FRI *)", "2025-02-28 08:00", []string{"2025-03-03 08:00", "2025-03-04 08:00"}},
		{"first-and-15th", "cron(0 16 1,15 * ? *)", "2025-02-02 00:00", []string{"2025-02-15 16:00", "2025-03-01 16:00"}},
		{"first-sunday", "cron(0 0 ? * SUN#1 *)", "2025-05-31 00:00", []string{"2025-06-01 00:00", "2025-07-06 00:00"}},
		{"every-11-months", "cron(0 0 ? 1/11 2#1 *)", "2025-01-06 00:00", []string{"2025-12-01 00:00", "2026-01-05 00:00"}},
		{"third-tuesday", "cron(0 0 ? * TUE#3 *)", "2025-03-01 00:00", []string{"2025-03-18 00:00"}},
		{"sunday-is-1", "cron(0 0 ? * 1 *)", "2025-03-01 00:00", []string{"2025-03-02 00:00", "2025-03-09 00:00"}},
		{"every-second-weekday", "cron(0 0 ? * 1/2 *)", "2025-03-01 00:00",
			[]string{"2025-03-02 00:00", "2025-03-04 00:00", "2025-03-06 00:00", "2025-03-08 00:00"}},
		{"every-two-days", "cron(0 0 1/2 * ? *)", "2025-04-29 12:00", []string{"2025-05-01 00:00", "2025-05-03 00:00"}},
		{"last-of-week", "cron(0 0 ? * L *)", "2025-03-02 00:00", []string{"2025-03-08 00:00"}},
		{"last-friday", "cron(0 10 ? * 6L *)", "2025-03-01 00:00", []string{"2025-03-28 10:00", "2025-04-25 10:00"}},
		{"last-sunday", "cron(0 0 ? * SUNL *)", "2025-03-01 00:00", []string{"2025-03-30 00:00", "2025-04-27 00:00"}},
		{"last-sunday-in-day-of-month", "cron(0 0 SUNL * ? *)", "2025-03-01 00:00", []string{"2025-03-30 00:00"}},
		{"nearest-to-saturday", "cron(0 0 15W * ? *)", "2025-03-01 00:00", []string{"2025-03-14 00:00"}},
		{"nearest-to-sunday", "cron(0 0 16W * ? *)", "2025-03-01 00:00", []string{"2025-03-17 00:00"}},
		{"nearest-to-saturday-1st", "cron(0 0 1W * ? *)", "2025-02-28 00:00", []string{"2025-03-03 00:00"}},
		{"nearest-to-sunday-31st", "cron(0 0 31W * ? *)", "2025-08-01 00:00", []string{"2025-08-29 00:00"}},
		{"nearest-31-skips-short-months", "cron(0 0 31W * ? *)", "2025-02-01 00:00", []string{"2025-03-31 00:00"}},
		{"names-ignore-case", "cron(0 0 ? jan,Jul mon#2 *)", "2025-02-01 00:00", []string{"2025-07-14 00:00"}},
		{"months-named", "cron(0 10 ? FEB,MAY,AUG,NOV TUE#2 *)", "2025-03-01 00:00", []string{"2025-05-13 10:00"}},
		{"months-wrap", "cron(0 0 1 NOV-FEB ? *)", "2025-02-02 00:00",
			[]string{"2025-11-01 00:00", "2025-12-01 00:00", "2026-01-01 00:00", "2026-02-01 00:00", "2026-11-01 00:00"}},
		{"weekdays-wrap", "cron(0 0 ? * FRI-MON *)", "2025-03-03 00:00",
			[]string{"2025-03-07 00:00", "2025-03-08 00:00", "2025-03-09 00:00", "2025-03-10 00:00", "2025-03-14 00:00"}},
		{"hours-wrap-with-increment", "cron(0 20-6/5 * * ? *)", "2025-03-01 01:00",
			[]string{"2025-03-01 06:00", "2025-03-01 20:00", "2025-03-02 01:00"}},
		{"days-wrap", "cron(0 0 31-2 * ? *)", "2025-01-02 00:00",
			[]string{"2025-01-31 00:00", "2025-02-01 00:00", "2025-02-02 00:00", "2025-03-01 00:00"}},
		{"hours-listed", "cron(0 6,18 * * ? *)", "2025-03-01 06:30", []string{"2025-03-01 18:00", "2025-03-02 06:00"}},
		{"last-and-15th", "cron(0 0 15,L * ? *)", "2025-02-15 00:00", []string{"2025-02-28 00:00", "2025-03-15 00:00"}},
		{"hour-ends-it", "cron(0 23 * * ? *)", "2025-03-01 23:00", []string{"2025-03-02 23:00"}},
		{"step-of-the-whole-field", "cron(0 8/24 * * ? *)", "2025-03-01 08:00", []string{"2025-03-02 08:00"}},
		{"rare-hours-on-rare-days", "cron(0 0/23 ? * MON *)", "2025-03-03 00:00", []string{"2025-03-03 23:00", "2025-03-10 00:00"}},
		{"spaces-between-fields", "cron( 0  10 * * ?  * )", "2025-03-01 00:00", []string{"2025-03-01 10:00"}},
		{"rate-hours", "rate(4 hours)", "2025-03-01 21:30", []string{"2025-03-02 00:00"}},
		{"rate-day", "rate(1 day)", "2025-03-01 00:00", []string{"2025-03-02 00:00", "2025-03-03 00:00"}},
		{"rate-days", "rate(10 days)", "2025-03-01 23:59", []string{"2025-03-11 00:00", "2025-03-21 00:00"}},
		{"rate-longest", "rate(999 days)", "2025-03-01 00:00", []string{"2027-11-25 00:00"}},
		{"rate-longest-hours", "rate(23976 hours)", "2025-03-01 00:00", []string{"2027-11-25 00:00"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := parse(t, tt.expr)
			if got := s.String(); got != tt.expr {
				t.Errorf("String() = %q, want %q", got, tt.expr)
			}
			at := utc(t, tt.after)
			for i, want := range tt.want {
				next, ok := s.Next(at)
				if !ok || !next.Equal(utc(t, want)) || next.Location() != time.UTC {
					t.Fatalf("occurrence %d after %v = %v, %v; want %v", i, at, next, ok, want)
				}
				at = next
			}
		})
	}
}

func TestNextFrom(t *testing.T) {
	tests := []struct {
		name, expr, anchor, after, want string
	}{
		{"days-from-the-anchors-midnight", "rate(10 days)", "2025-01-01 15:04", "2025-01-25 00:00", "2025-01-31 00:00"},
		{"days-on-an-occurrence", "rate(10 days)", "2025-01-01 15:04", "2025-01-11 00:00", "2025-01-21 00:00"},
		{"days-after-before-the-anchor", "rate(10 days)", "2025-01-01 15:04", "2020-01-01 00:00", "2025-01-11 00:00"},
		{"hours-keep-in-step-over-days", "rate(9 hours)", "2025-01-01 15:04", "2025-01-02 03:00", "2025-01-02 12:00"},
		{"hours-after-the-anchor-too", "rate(4 hours)", "2025-01-01 15:04", "2024-01-01 00:00", "2025-01-01 16:00"},
		{"hours-anchor-on-an-occurrence", "rate(4 hours)", "2025-01-01 16:00", "2024-01-01 00:00", "2025-01-01 20:00"},
		{"cron-has-no-anchor", "cron(0 10 * * ? *)", "2030-01-01 00:00", "2025-01-01 10:00", "2025-01-02 10:00"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := parse(t, tt.expr).NextFrom(utc(t, tt.anchor), utc(t, tt.after))
			if want := utc(t, tt.want); !ok || !got.Equal(want) {
				t.Errorf("NextFrom = %v, %v; want %v", got, ok, want)
			}
		})
	}
}

func TestNextReadsOtherZones(t *testing.T) {
	tokyo := time.FixedZone("UTC+9", 9*3600)
	after := time.Date(2025, 3, 2, 8, 0, 0, 1, tokyo) // 2025-03-01 23:00 UTC and a nanosecond
	for _, expr := range []string{"rate(1 day)", "cron(0 0 * * ? *)"} {
		if got, ok := parse(t, expr).Next(after); !ok || !got.Equal(utc(t, "2025-03-02 00:00")) {
			t.Errorf("%s: Next = %v, %v", expr, got, ok)
		}
	}
}

func TestNextEndsWithTheYear9999(t *testing.T) {
	for _, expr := range []string{"rate(4 hours)", "rate(999 days)", "cron(0 20 * * ? *)", "cron(0 0 1 1 ? *)"} {
		for _, after := range []time.Time{
			time.Date(9999, 12, 31, 20, 0, 0, 0, time.UTC),
			time.Date(10001, 1, 1, 0, 0, 0, 0, time.UTC),
		} {
			if got, ok := parse(t, expr).Next(after); ok {
				t.Errorf("%s: Next(%v) = %v, want none", expr, after, got)
			}
		}
	}
	if got, ok := parse(t, "cron(0 20 * * ? *)").Next(time.Date(9999, 12, 31, 19, 59, 0, 0, time.UTC)); !ok || got.Hour() != 20 {
		t.Errorf("the last occurrence of all = %v, %v", got, ok)
	}
}

func TestDays(t *testing.T) {
	for _, n := range []int{-1, 0, 1001} {
		if s := schedule.Days(n); !s.IsZero() || s.String() != "" {
			t.Errorf("Days(%d) = %q, want the zero Schedule", n, s)
		}
	}
	if _, ok := (schedule.Schedule{}).Next(utc(t, "2025-01-01 00:00")); ok {
		t.Error("the zero Schedule has an occurrence")
	}
	anchor := utc(t, "2025-01-01 18:00")
	tests := []struct {
		n    int
		want string
		text string
	}{
		{1, "2025-01-02 00:00", "every day"},
		{30, "2025-01-31 00:00", "every 30 days"},
		{1000, "2027-09-28 00:00", "every 1000 days"},
	}
	for _, tt := range tests {
		s := schedule.Days(tt.n)
		if got, ok := s.NextFrom(anchor, anchor); !ok || !got.Equal(utc(t, tt.want)) {
			t.Errorf("Days(%d): %v, %v; want %v", tt.n, got, ok, tt.want)
		}
		if diff := cmp.Diff(tt.text, s.String()); diff != "" {
			t.Errorf("Days(%d).String() (-want +got):\n%s", tt.n, diff)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	tests := []struct {
		name, expr, want string
	}{
		{"empty", "", "1 to 256 characters"},
		{"long", "rate(" + strings.Repeat(" ", 252) + ")", "1 to 256 characters"},
		{"charset", "rate(10\tdays)", `'\t'`},
		{"en-dash", "cron(0 0 1–15 * ? *)", `'–'`},
		{"neither", "at(2025-01-01)", "rate(value unit) or cron(fields)"},
		{"unclosed", "rate(10 days", "rate(value unit) or cron(fields)"},
		{"wrapper-case", "Rate(10 days)", "rate(value unit) or cron(fields)"},
		{"rate-empty", "rate()", "a value and a unit"},
		{"rate-zero", "rate(0 days)", "positive integer"},
		{"rate-negative", "rate(-1 days)", "positive integer"},
		{"rate-huge", "rate(99999999999 days)", "positive integer"},
		{"rate-unit", "rate(30 minutes)", `not "minutes"`},
		{"rate-plural-of-one", "rate(1 days)", "singular for 1"},
		{"rate-singular-of-many", "rate(5 day)", "singular for 1"},
		{"rate-one-hour", "rate(1 hour)", "every 4 hours at most"},
		{"rate-three-hours", "rate(3 hours)", "every 4 hours at most"},
		{"rate-1000-days", "rate(1000 days)", "999 days at most"},
		{"rate-too-many-hours", "rate(23977 hours)", "999 days at most"},
		{"cron-five-fields", "cron(0 10 * 2,5,8,11 2)", "six fields"},
		{"minutes-not-zero", "cron(15 12 * * ? *)", "minutes field"},
		{"minutes-every", "cron(* 12 * * ? *)", "minutes field"},
		{"minutes-list", "cron(0,30 12 * * ? *)", "minutes field"},
		{"year", "cron(0 12 * * ? 2025)", "year field"},
		{"year-increment", "cron(0 12 * * ? 2025/2)", "year field"},
		{"no-question-mark", "cron(0 12 * * * *)", "exactly one must be ?"},
		{"two-question-marks", "cron(0 12 ? * ? *)", "exactly one must be ?"},
		{"both-given", "cron(0 12 1 * MON *)", "exactly one must be ?"},
		{"question-mark-in-a-list", "cron(0 12 1,? * ? *)", "day-of-month field"},
		{"question-mark-in-hours", "cron(0 ? 1 * ? *)", "hours field"},
		{"question-mark-in-month", "cron(0 0 1 ? ? *)", "month field"},
		{"hours-out-of-range", "cron(0 24 * * ? *)", "hours field"},
		{"hours-every", "cron(0 * * * ? *)", "hours field: a secret can be rotated every 4 hours at most"},
		{"hours-too-close", "cron(0 /3 * * ? *)", "hours field: a secret can be rotated every 4 hours at most"},
		{"hours-too-close-overnight", "cron(0 1/11 * * ? *)", "between the last rotation of a day and the first of the next"},
		{"hours-too-close-over-new-year", "cron(0 0/23 1,31 JAN,DEC ? *)", "first of the next"},
		{"hours-zero-step", "cron(0 0/0 * * ? *)", "hours field: an increment"},
		{"hours-long-step", "cron(0 0/25 * * ? *)", "hours field: an increment"},
		{"hours-bare-slash", "cron(0 / * * ? *)", "hours field: an increment"},
		{"hours-open-range", "cron(0 4- * * ? *)", "hours field"},
		{"hours-two-ranges", "cron(0 4-8-12 * * ? *)", "hours field"},
		{"hours-L", "cron(0 L * * ? *)", "hours field"},
		{"day-of-month-zero", "cron(0 0 0 * ? *)", "day-of-month field"},
		{"day-of-month-32", "cron(0 0 32 * ? *)", "day-of-month field"},
		{"day-of-month-name", "cron(0 0 SUN * ? *)", "day-of-month field"},
		{"day-of-month-hash", "cron(0 0 1#1 * ? *)", "day-of-month field"},
		{"day-of-month-number-L", "cron(0 0 3L * ? *)", "day-of-month field"},
		{"day-of-month-unknown-L", "cron(0 0 FOOL * ? *)", "day-of-month field"},
		{"day-of-month-LW", "cron(0 0 LW * ? *)", "day-of-month field"},
		{"day-of-month-W", "cron(0 0 W * ? *)", "day-of-month field"},
		{"day-of-month-empty-in-list", "cron(0 0 1,,2 * ? *)", "day-of-month field"},
		{"month-zero", "cron(0 0 1 0 ? *)", "month field"},
		{"month-13", "cron(0 0 1 13 ? *)", "JAN to DEC"},
		{"month-name", "cron(0 0 1 JANUARY ? *)", "month field"},
		{"day-of-week-zero", "cron(0 0 ? * 0 *)", "SUN to SAT"},
		{"day-of-week-8", "cron(0 0 ? * 8 *)", "day-of-week field"},
		{"day-of-week-W", "cron(0 0 ? * 2W *)", "day-of-week field"},
		{"day-of-week-L-of-8", "cron(0 0 ? * 8L *)", "day-of-week field"},
		{"day-of-week-hash-day", "cron(0 0 ? * 9#1 *)", "day-of-week field"},
		{"day-of-week-sixth", "cron(0 0 ? * 1#6 *)", "from 1 to 5"},
		{"day-of-week-no-nth", "cron(0 0 ? * 1# *)", "from 1 to 5"},
		{"day-of-week-two-hashes", "cron(0 0 ? * 3#1,6#3 *)", "the only expression"},
		{"february-30", "cron(0 0 30 2 ? *)", `day-of-month field: there is no day "30" in month "2"`},
		{"april-31", "cron(0 0 31 APR,JUN,SEP,NOV ? *)", "there is no day"},
		{"february-29", "cron(0 0 29 FEB ? *)", "some years"},
		{"fifth-monday-of-may", "cron(0 0 ? MAY MON#5 *)", `day-of-week field: there is no day "MON#5" in month "MAY" of some years`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := schedule.Parse(tt.expr)
			if err == nil {
				t.Fatalf("Parse(%q) accepted it", tt.expr)
			}
			if e := errs.As(err); e.Kind != errs.Invalid || e.Field != schedule.FieldExpression || !strings.Contains(e.Msg, tt.want) {
				t.Errorf("Parse(%q) = %v %q: %q; want one with %q", tt.expr, e.Kind, e.Field, e.Msg, tt.want)
			}
			if !s.IsZero() {
				t.Errorf("Parse(%q) returned a schedule with its error", tt.expr)
			}
		})
	}
}
