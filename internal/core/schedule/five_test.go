package schedule_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"countersign/internal/core/schedule"
	"countersign/internal/errs"
)

func parseAny(t *testing.T, expr string) schedule.Schedule {
	t.Helper()
	s, err := schedule.ParseAny(expr)
	if err != nil {
		t.Fatalf("ParseAny(%q): %v", expr, err)
	}
	return s
}

// TestNextOfFiveFields holds the examples of crontab(5) as far as they are not more
// often than a secret rotates, and the corners of the calendar.
func TestNextOfFiveFields(t *testing.T) {
	tests := []struct {
		name, expr, after string
		want              []string
	}{
		{"daily-5-past-midnight", "5 0 * * *", "2025-03-01 00:05", []string{"2025-03-02 00:05"}},
		{"first-of-month", "15 14 1 * *", "2025-03-01 14:15", []string{"2025-04-01 14:15"}},
		{"workdays-at-22", "0 22 * * 1-5", "2025-02-28 22:00", []string{"2025-03-03 22:00"}},
		{"every-2-hours", "23 0-23/2 * * *", "2025-03-01 21:00", []string{"2025-03-01 22:23", "2025-03-02 00:23"}},
		{"sundays", "5 4 * * sun", "2025-03-01 00:00", []string{"2025-03-02 04:05", "2025-03-09 04:05"}},
		{"either-day", "30 4 1,15 * 5", "2025-08-01 04:30",
			[]string{"2025-08-08 04:30", "2025-08-15 04:30", "2025-08-22 04:30", "2025-08-29 04:30", "2025-09-01 04:30", "2025-09-05 04:30"}},
		{"sunday-is-0", "0 0 * * 0", "2025-03-01 00:00", []string{"2025-03-02 00:00"}},
		{"sunday-is-7", "0 0 * * 7", "2025-03-01 00:00", []string{"2025-03-02 00:00"}},
		{"monday-is-1", "0 0 * * 1", "2025-03-01 00:00", []string{"2025-03-03 00:00"}},
		{"to-sunday", "0 0 * * 6-7", "2025-03-02 00:00", []string{"2025-03-08 00:00", "2025-03-09 00:00"}},
		{"from-sunday", "0 0 * * 7-1", "2025-03-03 00:00", []string{"2025-03-09 00:00", "2025-03-10 00:00"}},
		{"weekdays-wrap", "0 0 * * fri-mon", "2025-03-03 00:00",
			[]string{"2025-03-07 00:00", "2025-03-08 00:00", "2025-03-09 00:00", "2025-03-10 00:00", "2025-03-14 00:00"}},
		{"weekdays-wrap-with-increment", "0 0 * * FRI-MON/2", "2025-03-03 00:00", []string{"2025-03-07 00:00", "2025-03-09 00:00", "2025-03-14 00:00"}},
		{"every-2nd-weekday", "0 0 * * */2", "2025-03-02 00:00",
			[]string{"2025-03-04 00:00", "2025-03-06 00:00", "2025-03-08 00:00", "2025-03-09 00:00"}},
		{"every-2nd-weekday-from-monday", "0 0 * * 1-7/2", "2025-03-03 00:00", []string{"2025-03-05 00:00", "2025-03-07 00:00", "2025-03-09 00:00", "2025-03-10 00:00"}},
		{"every-2nd-day", "0 0 */2 * *", "2025-03-29 00:00", []string{"2025-03-31 00:00", "2025-04-01 00:00", "2025-04-03 00:00"}},
		{"a-day-of-every-week-beside-all-days", "0 0 1-31 * 1", "2025-03-04 00:00", []string{"2025-03-05 00:00", "2025-03-06 00:00"}},
		{"every-5-minutes", "*/5 * * * *", "2025-12-31 23:54", []string{"2025-12-31 23:55", "2026-01-01 00:00"}},
		{"increment-from", "7/20 3 * * *", "2025-03-01 03:07", []string{"2025-03-01 03:27", "2025-03-01 03:47", "2025-03-02 03:07"}},
		{"minutes-of-lone-hours", "0,58 3 * * *", "2025-03-01 03:00", []string{"2025-03-01 03:58", "2025-03-02 03:00"}},
		{"hours-wrap", "30 22-1 * * *", "2025-03-01 22:30", []string{"2025-03-01 23:30", "2025-03-02 00:30", "2025-03-02 01:30", "2025-03-02 22:30"}},
		{"minutes-wrap", "50-10/10 * * * *", "2025-03-01 00:10", []string{"2025-03-01 00:50", "2025-03-01 01:00", "2025-03-01 01:10"}},
		{"months-named", "0 0 1 jan,JUL *", "2025-01-01 00:00", []string{"2025-07-01 00:00", "2026-01-01 00:00"}},
		{"the-30th-or-a-monday", "0 0 30 2 1", "2025-02-04 00:00", []string{"2025-02-10 00:00", "2025-02-17 00:00", "2025-02-24 00:00", "2026-02-02 00:00"}},
		{"spaces", "  0   3  * *  * ", "2025-03-01 03:00", []string{"2025-03-02 03:00"}},
		{"step-of-the-whole-field", "*/60 */24 * * */7", "2025-03-01 00:00", []string{"2025-03-02 00:00", "2025-03-09 00:00"}},
		{"hourly", "@hourly", "2025-03-01 23:00", []string{"2025-03-02 00:00", "2025-03-02 01:00"}},
		{"daily", "@daily", "2025-03-01 00:00", []string{"2025-03-02 00:00"}},
		{"midnight", "@midnight", "2025-03-01 00:00", []string{"2025-03-02 00:00"}},
		{"weekly", "@weekly", "2025-03-01 00:00", []string{"2025-03-02 00:00", "2025-03-09 00:00"}},
		{"monthly", "@monthly", "2025-03-01 00:00", []string{"2025-04-01 00:00"}},
		{"yearly", "@yearly", "2025-03-01 00:00", []string{"2026-01-01 00:00"}},
		{"annually", "@annually", "2025-03-01 00:00", []string{"2026-01-01 00:00"}},
		{"rate-too", "rate(10 days)", "2025-03-01 23:59", []string{"2025-03-11 00:00"}},
		{"cron-too", "cron(0 0 ? * 1 *)", "2025-03-01 00:00", []string{"2025-03-02 00:00"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := parseAny(t, tt.expr)
			if s.String() != tt.expr {
				t.Errorf("String() = %q", s)
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

func TestParseAnyRefuses(t *testing.T) {
	tests := []struct {
		name, expr, want string
	}{
		{"empty", "", "1 to 256 characters"},
		{"long", "0 0 * * " + strings.Repeat("1,", 125) + "1", "1 to 256 characters"},
		{"tab", "0\t0 * * *", `'\t'`},
		{"no-break-space", "0\u00a00 * * *", "must not contain"},
		{"four-fields", "0 0 * *", "five fields (minutes hours day-of-month month day-of-week); these are 4"},
		{"six-fields", "0 0 * * * *", "these are 6"},
		{"seven-fields-of-text", "every day at three in the morning", "these are 7"},
		{"aws-without-cron", "0 10 * * ? *", "these are 6"},
		{"aws-in-five", "cron(0 0 * * *)", "six fields"},
		{"reboot", "@reboot", "begins with @"},
		{"shorthand-in-capitals", "@DAILY", "begins with @"},
		{"shorthand-and-more", "@daily 5", "begins with @"},
		{"every-minute", "* * * * *", "every 5 minutes at most, and this has 1"},
		{"every-4-minutes", "*/4 * * * *", "this has 4"},
		{"across-the-hour", "0,58 * * * *", "this has 2"},
		{"across-midnight", "1,59 0,23 * * *", "this has 2"},
		{"across-the-field", "*/7 3-4 * * *", "this has 4"},
		{"minutes-60", "60 * * * *", "minutes field"},
		{"minutes-negative", "-5 * * * *", "minutes field"},
		{"minutes-step-90", "*/90 * * * *", "minutes field: an increment"},
		{"minutes-step-0", "*/0 * * * *", "minutes field: an increment"},
		{"minutes-name", "MON * * * *", "minutes field"},
		{"increment-without-range", "/15 * * * *", `minutes field: the increment "/15" has no range`},
		{"hours-24", "0 24 * * *", "hours field"},
		{"hours-two-ranges", "0 1-2-3 * * *", "hours field"},
		{"hours-empty-in-list", "0 1,,2 * * *", "hours field"},
		{"hours-two-increments", "0 */2/2 * * *", "hours field"},
		{"day-of-month-zero", "0 0 0 * *", "day-of-month field"},
		{"day-of-month-32", "0 0 32 * *", "day-of-month field"},
		{"day-of-month-L", "0 0 L * *", "day-of-month field"},
		{"day-of-month-W", "0 0 15W * *", "day-of-month field"},
		{"question-mark", "0 0 ? * 1", "day-of-month field: five fields have no '?'"},
		{"month-0", "0 0 1 0 *", "month field"},
		{"month-13", "0 0 1 13 *", "JAN to DEC"},
		{"day-of-week-8", "0 0 * * 8", "from 0 to 7 or SUN to SAT"},
		{"day-of-week-long-name", "0 0 * * MONDAY", "day-of-week field"},
		{"day-of-week-hash", "0 0 * * 1#1", "day-of-week field: five fields have no '#'"},
		{"day-of-week-L", "0 0 * * 5L", "day-of-week field"},
		{"day-of-week-increment-alone", "0 0 * * 1/2", "write 1-6 before it, or 1-7"},
		{"day-of-week-increment-in-a-list", "0 0 * * 1/2,3-4", "write 1-6 before it"},
		{"day-of-week-increment-beside-all", "0 0 * * *,1/2", "write 1-6 before it"},
		{"day-of-week-step-8", "0 0 * * */8", "an increment must be from 1 to 7"},
		{"stepped-star-beside-a-weekday", "0 0 */2 * 1", "write the days out"},
		{"stepped-star-beside-a-day", "0 0 1 * */2", "write the days out"},
		{"february-30", "0 0 30 2 *", `day-of-month field: there is no day "30" in month "2"`},
		{"april-31", "0 0 31 4,6,9,11 *", "day-of-month field: there is no day"},
		{"february-29", "0 0 29 2 *", "some years"},
		{"rate", "rate(1 hour)", "every 4 hours at most"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := schedule.ParseAny(tt.expr)
			if err == nil {
				t.Fatalf("ParseAny(%q) accepted it", tt.expr)
			}
			if e := errs.As(err); e.Kind != errs.Invalid || e.Field != schedule.FieldExpression || !strings.Contains(e.Msg, tt.want) {
				t.Errorf("ParseAny(%q) = %v %q: %q; want one with %q", tt.expr, e.Kind, e.Field, e.Msg, tt.want)
			}
			if !s.IsZero() {
				t.Errorf("ParseAny(%q) returned a schedule with its error", tt.expr)
			}
		})
	}
}

// TestParseKeepsRefusingFiveFields: what speaks AWS's protocol takes what AWS does.
func TestParseKeepsRefusingFiveFields(t *testing.T) {
	for _, expr := range []string{"0 3 * * *", "*/5 * * * *", "@daily", "@hourly"} {
		if s, err := schedule.Parse(expr); !errs.Is(err, errs.Invalid) || !s.IsZero() {
			t.Errorf("Parse(%q) = %v, %v", expr, s, err)
		}
	}
}

func TestWindowsOfFiveFields(t *testing.T) {
	tests := []struct {
		name, expr string
		length     time.Duration // of the default
		longest    int           // hours that a window may have
	}{
		{"daily", "30 3 * * *", 20*time.Hour + 30*time.Minute, 24},
		{"late", "30 23 * * *", time.Hour, 24},
		{"last-minute", "59 23 * * 1", time.Hour, 24},
		{"hours", "0 */2 * * *", time.Hour, 2},
		{"hours-closer-overnight", "0 1,9,22 * * *", time.Hour, 3},
		{"two-a-day-once-a-week", "0 1,23 * * 1", time.Hour, 22},
		{"minutes", "*/5 * * * *", 5 * time.Minute, 0},
		{"minutes-of-one-hour", "0,45 3 * * *", 45 * time.Minute, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := parseAny(t, tt.expr)
			opens, _ := s.Next(utc(t, "2025-03-01 00:00"))
			if got := s.Closes(opens, 0).Sub(opens); got != tt.length {
				t.Errorf("the default window is %v long, want %v", got, tt.length)
			}
			for h := range 26 {
				if err := s.CheckWindow(time.Duration(h) * time.Hour); (h <= tt.longest) != (err == nil) {
					t.Errorf("CheckWindow(%dh) = %v", h, err)
				}
			}
		})
	}
}

// crontab reads five fields by asking each moment whether it matches; what it shares
// with the reference of AWS's expressions is the walk over a range.
type crontab []string

func newCrontab(expr string) crontab { return strings.Fields(strings.ToUpper(expr)) }

func (r crontab) matches(t time.Time) bool {
	return t.Second() == 0 && t.Nanosecond() == 0 && matchesAny(r[0], t.Minute(), 0, 59) && matchesAny(r[1], t.Hour(), 0, 23) && r.matchesDay(t)
}

func (r crontab) matchesDay(t time.Time) bool {
	if !matchesAny(names(r[3], "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC"), int(t.Month()), 1, 12) {
		return false
	}
	ofMonth := matchesAny(r[2], t.Day(), 1, 31)
	ofWeek := slices.ContainsFunc(strings.Split(r[4], ","), func(part string) bool { return matchesWeekday(part, int(t.Weekday())) })
	if r[2][0] == '*' || r[4][0] == '*' {
		return ofMonth && ofWeek
	}
	return ofMonth || ofWeek
}

// matchesWeekday counts on from the first day of a range, seven at most.
func matchesWeekday(part string, day int) bool {
	for i, name := range strings.Fields("SUN MON TUE WED THU FRI SAT") {
		part = strings.ReplaceAll(part, name, strconv.Itoa(i))
	}
	span, inc, stepped := strings.Cut(part, "/")
	step := 1
	if stepped {
		step, _ = strconv.Atoi(inc)
	}
	if span == "*" {
		return day%step == 0
	}
	start, end, ranged := strings.Cut(span, "-")
	from, _ := strconv.Atoi(start)
	to := from
	if ranged {
		to, _ = strconv.Atoi(end)
	}
	if to < from {
		to += 7
	}
	for at := from; at <= to; at++ {
		if at%7 == day && (at-from)%step == 0 {
			return true
		}
	}
	return false
}

// refusal says why the reference would not take a schedule, as that of AWS's does.
func (r crontab) refusal() string {
	all := func(i int) bool { return r[i] == "*" || r[i] == "*/1" }
	if (r[2][0] == '*' || r[4][0] == '*') && !all(2) && !all(4) {
		return "both days, and one begins with *"
	}
	var times []time.Duration
	for m := range 24 * 60 {
		if matchesAny(r[0], m%60, 0, 59) && matchesAny(r[1], m/60, 0, 23) {
			times = append(times, time.Duration(m)*time.Minute)
		}
	}
	years := map[int]bool{}
	var last time.Time
	for day := time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC); day.Year() <= 2029; day = day.AddDate(0, 0, 1) {
		if !r.matchesDay(day) {
			continue
		}
		years[day.Year()] = true
		for _, d := range times {
			at := day.Add(d)
			if !last.IsZero() && at.Sub(last) < schedule.MinMinutes {
				return fmt.Sprintf("%v and %v are too close", last, at)
			}
			last = at
		}
	}
	if len(years) < 29 {
		return fmt.Sprintf("only %d of 29 years have it", len(years))
	}
	return ""
}

// randomFive writes five well-formed fields, which may still be such as cannot be
// kept.
func randomFive(r *rand.Rand) string {
	pick := func(options ...string) string { return options[r.IntN(len(options))] }
	num := func(first, last int) string { return strconv.Itoa(first + r.IntN(last-first+1)) }
	span := func(first, last int) string {
		switch r.IntN(6) {
		case 0:
			return num(first, last) + "-" + num(first, last)
		case 1:
			return num(first, last) + "-" + num(first, last) + "/" + num(1, last-first+1)
		case 2:
			return "*/" + num(1, last-first+1)
		}
		return num(first, last)
	}
	list := func(part func() string) string {
		parts := []string{part()}
		for r.IntN(3) == 0 {
			parts = append(parts, part())
		}
		return strings.Join(parts, ",")
	}
	minutes := pick(num(0, 59), num(0, 59), "*/"+num(4, 59), num(0, 59)+"/"+num(5, 30), list(func() string { return span(0, 59) }))
	hours := pick("*", num(0, 23), num(0, 23), num(0, 12)+"/"+num(1, 12), list(func() string { return span(0, 23) }))
	days := pick("*", "*", list(func() string { return span(1, 31) }), num(1, 28)+"/"+num(1, 31))
	month := pick("*", "*", "jan-Jun", "NOV-FEB", "FEB", list(func() string { return span(1, 12) }))
	week := pick("*", "*", "*/"+num(1, 7), "FRI-MON", "sun", "0", "7",
		list(func() string { return num(0, 7) + "-" + num(0, 7) + "/" + num(1, 7) }), list(func() string { return pick(num(0, 7), num(0, 7)+"-"+num(0, 7)) }))
	return strings.Join([]string{minutes, hours, days, month, week}, pick(" ", "  "))
}

func TestParseAnyRefusesWhatTheReferenceRefuses(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	accepted := 0
	for range 80 {
		expr := randomFive(r)
		_, err := schedule.ParseAny(expr)
		why := newCrontab(expr).refusal()
		if (err == nil) != (why == "") {
			t.Errorf("ParseAny(%q) = %v; the reference says %q", expr, err, why)
		}
		if err == nil {
			accepted++
		}
	}
	if accepted < 20 || accepted > 76 {
		t.Errorf("%d of the random expressions were accepted", accepted)
	}
}

// TestNextOfFiveFieldsAgreesWithEveryMinute asks for each minute of a year.
func TestNextOfFiveFieldsAgreesWithEveryMinute(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	for tried := 0; tried < 8; {
		expr := randomFive(r)
		s, err := schedule.ParseAny(expr)
		if err != nil {
			continue
		}
		tried++
		ref := newCrontab(expr)
		start := time.Date(1995+r.IntN(110), 1, 1, 0, r.IntN(60), r.IntN(60), 0, time.UTC).AddDate(0, 0, r.IntN(366))
		due, ok := s.Next(start)
		for at := start.Truncate(time.Minute).Add(time.Minute); at.Sub(start) < 366*24*time.Hour; at = at.Add(time.Minute) {
			if !ok || ref.matches(at) != at.Equal(due) {
				t.Fatalf("%s: from %v, Next is %v, %v; the reference says %v for %v", expr, start, due, ok, ref.matches(at), at)
			}
			if at.Equal(due) {
				due, ok = s.Next(at)
			}
		}
	}
}

// FuzzParseAny holds of five fields what FuzzParse does of AWS's expressions.
func FuzzParseAny(f *testing.F) {
	for _, expr := range []string{
		"rate(4 hours)", "cron(0 17 L * ? *)", "@daily", "@hourly", "@reboot", "0 3 * * *", "*/5 * * * *", "0,58 3 * * *", "0 0 30 2 *",
		"0 0 * * FRI-MON/2", "0 0 * * 0-7/3", "30 4 1,15 * 5", "0 0 */2 * MON", "7/20 22-1 * NOV-FEB 7-1", "0 0 ? * 1#1",
	} {
		f.Add(expr, int64(1740787200))
	}
	r := rand.New(rand.NewPCG(15, 16))
	for range 20 {
		f.Add(randomFive(r), r.Int64N(8e9)-4e9)
	}
	f.Fuzz(func(t *testing.T, expr string, seconds int64) {
		s, err := schedule.ParseAny(expr)
		if e := errs.As(err); err != nil {
			if e.Kind != errs.Invalid || e.Field != schedule.FieldExpression || !s.IsZero() {
				t.Fatalf("ParseAny(%q) = %v, %v", expr, s, err)
			}
			if _, err := schedule.Parse(expr); err == nil {
				t.Fatalf("ParseAny refuses %q, which Parse takes", expr)
			}
			return
		}
		if again, err := schedule.ParseAny(s.String()); err != nil || again != s {
			t.Fatalf("%q reads as %v, %v again", expr, again, err)
		}
		if strings.Contains(expr, "(") {
			return // FuzzParse holds these
		}
		if _, err := schedule.Parse(expr); err == nil {
			t.Fatalf("Parse takes %q", expr)
		}
		after := time.Unix(seconds%200_000_000_000, 0).UTC()
		next, ok := s.Next(after)
		if !ok {
			if after.Year() < 9996 {
				t.Fatalf("%q has no next after %v", expr, after)
			}
			return
		}
		second, ok := s.Next(next)
		if !next.After(after) || ok && second.Sub(next) < schedule.MinMinutes || next.Year() < 9999 && s.Closes(next, 0).After(second) {
			t.Fatalf("%q: %v and %v follow %v", expr, next, second, after)
		}
		if strings.HasPrefix(expr, "@") {
			return
		}
		ref := newCrontab(expr)
		if !ref.matches(next) {
			t.Fatalf("%q: %v follows %v and does not match", expr, next, after)
		}
		for at := next.Add(-time.Minute); at.After(after) && next.Sub(at) < 48*time.Hour; at = at.Add(-time.Minute) {
			if ref.matches(at) {
				t.Fatalf("%q: %v follows %v, and %v was passed over", expr, next, after, at)
			}
		}
	})
}
