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
)

// reference reads an expression by asking each moment whether it matches: no
// sets, no search, nothing shared with the package but the documentation.
type reference []string // the six fields

func newReference(expr string) reference {
	body := strings.TrimSuffix(strings.TrimPrefix(expr, "cron("), ")")
	return strings.Fields(strings.ToUpper(body))
}

func (r reference) matches(t time.Time) bool {
	return t.Minute() == 0 && t.Second() == 0 && t.Nanosecond() == 0 && r.matchesHour(t.Hour()) && r.matchesDay(t)
}

func (r reference) matchesHour(h int) bool {
	return matchesAny(r[1], h, 0, 23)
}

func (r reference) matchesDay(t time.Time) bool {
	if !matchesAny(names(r[3], "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC"), int(t.Month()), 1, 12) {
		return false
	}
	parts := strings.Split(r[2], ",")
	if r[2] == "?" {
		parts = strings.Split(r[4], ",")
	}
	return slices.ContainsFunc(parts, func(part string) bool { return matchesDayPart(part, r[2] == "?", t) })
}

func matchesDayPart(part string, ofWeek bool, t time.Time) bool {
	weekday := strconv.Itoa(int(t.Weekday()) + 1)
	part = names(part, "SUN MON TUE WED THU FRI SAT")
	day, nth, hash := strings.Cut(part, "#")
	switch {
	case part == "L" && ofWeek:
		return t.Weekday() == time.Saturday
	case part == "L":
		return t.AddDate(0, 0, 1).Day() == 1
	case hash:
		return weekday == strings.TrimLeft(day, "0") && strconv.Itoa((t.Day()+6)/7) == nth
	case strings.HasSuffix(part, "L"):
		return weekday == strings.TrimLeft(strings.TrimSuffix(part, "L"), "0") && t.AddDate(0, 0, 7).Month() != t.Month()
	case strings.HasSuffix(part, "W"):
		n, _ := strconv.Atoi(strings.TrimSuffix(part, "W"))
		wanted := time.Date(t.Year(), t.Month(), n, 0, 0, 0, 0, time.UTC)
		return wanted.Month() == t.Month() && nearestByTrial(wanted).Day() == t.Day()
	case ofWeek:
		return matchesOne(part, int(t.Weekday())+1, 1, 7)
	}
	return matchesOne(part, t.Day(), 1, 31)
}

// nearestByTrial tries the days around one until a weekday of its month comes.
func nearestByTrial(wanted time.Time) time.Time {
	for _, offset := range []int{0, -1, 1, -2, 2} {
		day := wanted.AddDate(0, 0, offset)
		workday := day.Weekday() != time.Saturday && day.Weekday() != time.Sunday
		if workday && day.Month() == wanted.Month() {
			return day
		}
	}
	panic("no weekday within two days")
}

// names puts numbers, from 1, where the names stand.
func names(text, all string) string {
	for i, name := range strings.Fields(all) {
		text = strings.ReplaceAll(text, name, strconv.Itoa(i+1))
	}
	return text
}

func matchesAny(list string, v, first, last int) bool {
	return slices.ContainsFunc(strings.Split(list, ","), func(part string) bool { return matchesOne(part, v, first, last) })
}

// matchesOne walks from the start of a range to its end, round the field.
func matchesOne(part string, v, first, last int) bool {
	span, inc, stepped := strings.Cut(part, "/")
	step, from, to := 1, first, last
	if stepped {
		step, _ = strconv.Atoi(inc)
	}
	if span != "*" && span != "" {
		start, end, ranged := strings.Cut(span, "-")
		from, _ = strconv.Atoi(start)
		switch {
		case ranged:
			to, _ = strconv.Atoi(end)
		case !stepped:
			to = from
		}
	}
	for at, walked := from, 0; ; walked++ {
		if at == v && walked%step == 0 {
			return true
		}
		if at == to {
			return false
		}
		if at++; at > last {
			at = first
		}
	}
}

// refusal says why the reference would not take a schedule: its days over the
// 28 years in which calendars repeat, hour by hour.
func (r reference) refusal() string {
	var hours []int
	for h := range 24 {
		if r.matchesHour(h) {
			hours = append(hours, h)
		}
	}
	years := map[int]bool{}
	var last time.Time
	for day := time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC); day.Year() <= 2029; day = day.AddDate(0, 0, 1) {
		if !r.matchesDay(day) {
			continue
		}
		years[day.Year()] = true
		for _, h := range hours {
			at := day.Add(time.Duration(h) * time.Hour)
			if !last.IsZero() && at.Sub(last) < schedule.MinPeriod {
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

// randomExpr writes a well-formed cron expression, which may still be one that
// cannot be kept.
func randomExpr(r *rand.Rand) string {
	pick := func(options ...string) string { return options[r.IntN(len(options))] }
	num := func(first, last int) string { return strconv.Itoa(first + r.IntN(last-first+1)) }
	span := func(first, last int) string {
		switch r.IntN(6) {
		case 0:
			return num(first, last) + "-" + num(first, last)
		case 1:
			return num(first, last) + "-" + num(first, last) + "/" + num(1, last-first+1)
		case 2:
			return num(first, last) + "/" + num(1, last-first+1)
		case 3:
			return pick("*", "") + "/" + num(1, last-first+1)
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
	hours := pick(num(0, 23), num(0, 23), "/"+num(4, 12), num(0, 5)+"/"+num(4, 12), span(0, 23))
	month := pick("*", "*", "jan-Jun", "NOV-FEB", "FEB", list(func() string { return span(1, 12) }))
	dayOfMonth, dayOfWeek := "?", "?"
	if r.IntN(2) == 0 {
		dayOfMonth = list(func() string {
			return pick("L", "*", "SUNL", num(1, 31)+"W", span(1, 31), span(1, 31))
		})
	} else {
		dayOfWeek = pick(num(1, 7)+"#"+num(1, 5), list(func() string {
			return pick("L", "*", "FRI-MON", "tue", num(1, 7)+"L", span(1, 7), span(1, 7))
		}))
	}
	return "cron(0 " + strings.Join([]string{hours, dayOfMonth, month, dayOfWeek}, " ") + " *)"
}

func TestParseRefusesWhatTheReferenceRefuses(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	accepted := 0
	for range 120 {
		expr := randomExpr(r)
		_, err := schedule.Parse(expr)
		why := newReference(expr).refusal()
		if (err == nil) != (why == "") {
			t.Errorf("Parse(%q) = %v; the reference says %q", expr, err, why)
		}
		if err == nil {
			accepted++
		}
	}
	if accepted < 25 {
		t.Errorf("only %d of the random expressions were accepted", accepted)
	}
}

func TestNextAgreesWithEveryMinute(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for tried := 0; tried < 30; {
		expr := randomExpr(r)
		s, err := schedule.Parse(expr)
		if err != nil {
			continue
		}
		tried++
		ref := newReference(expr)
		start := time.Date(1995+r.IntN(110), 1, 1, 0, r.IntN(60), r.IntN(60), 0, time.UTC).AddDate(0, 0, r.IntN(366))
		due, ok := s.Next(start)
		for at := start.Truncate(time.Minute).Add(time.Minute); at.Sub(start) < 400*24*time.Hour; at = at.Add(time.Minute) {
			if at.Minute() != 0 && !at.Equal(due) || ref.matches(at) == at.Equal(due) {
				if at.Equal(due) {
					due, ok = s.Next(at)
				}
				continue
			}
			t.Fatalf("%s: from %v, Next is %v, %v; the reference says %v for %v", expr, start, due, ok, ref.matches(at), at)
		}
		if !ok {
			t.Fatalf("%s: from %v, there is no next", expr, start)
		}
	}
}

func TestNextFromAgreesWithEveryMinute(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 20 {
		period := 4 + r.IntN(60)
		s := parse(t, fmt.Sprintf("rate(%d hours)", period))
		if r.IntN(2) == 0 {
			period = 24 * (1 + r.IntN(40))
			s = schedule.Days(period / 24)
		}
		anchor := time.Date(1960+r.IntN(100), 3, 1, r.IntN(24), r.IntN(60), 0, 0, time.UTC)
		first := anchor.Truncate(24 * time.Hour)
		due, ok := s.NextFrom(anchor, anchor)
		for at := anchor.Add(time.Minute); at.Sub(anchor) < 50*24*time.Hour; at = at.Add(time.Minute) {
			if want := at.Sub(first)%(time.Duration(period)*time.Hour) == 0; want != at.Equal(due) || !ok {
				t.Fatalf("%v from %v: NextFrom is %v, %v; the reference says %v for %v", s, anchor, due, ok, want, at)
			}
			if at.Equal(due) {
				due, ok = s.NextFrom(anchor, at)
			}
		}
	}
}

// FuzzParse holds that whatever is accepted reads the same again, that its next
// time is later and is one that the written fields allow, and that none was
// passed over on the way.
func FuzzParse(f *testing.F) {
	for _, expr := range []string{
		"rate(4 hours)", "rate(1 day)", "rate(999 days)", "rate(0 days)", "rate(5 day)",
		"cron(0 /8 * * ? *)", "cron(0 1 ? 1/3 SUN#1 *)", "cron(0 17 L * ? *)", "cron(0 8 ? * MON-FRI *)",
		"cron(0 0 15W,SUNL * ? *)", "cron(0 20-6/5 31-2 NOV-FEB ? *)", "cron(0 0 ? * 6L,2 *)",
		"cron(0 0 29 2 ? *)", "cron(15 10 ? * 6L 2019-2022)", "cron(0 00/24 01 01 ? *)",
	} {
		f.Add(expr, int64(1740787200))
	}
	r := rand.New(rand.NewPCG(7, 8))
	for range 20 {
		f.Add(randomExpr(r), r.Int64N(8e9)-4e9)
	}
	f.Fuzz(func(t *testing.T, expr string, seconds int64) {
		s, err := schedule.Parse(expr)
		if err != nil {
			return
		}
		if again, err := schedule.Parse(s.String()); err != nil || again != s {
			t.Fatalf("%q reads as %v, %v again", expr, again, err)
		}
		after := time.Unix(seconds%200_000_000_000, 0).UTC()
		next, ok := s.Next(after)
		if !ok {
			if after.Year() < 9996 {
				t.Fatalf("%q has no next after %v", expr, after)
			}
			return
		}
		if !next.After(after) || next.Sub(next.Truncate(time.Hour)) != 0 {
			t.Fatalf("%q: %v follows %v", expr, next, after)
		}
		if s.CheckWindow(time.Hour) != nil || !s.Closes(next, 0).After(next) {
			t.Fatalf("%q: an hour's window does not fit", expr)
		}
		if !strings.HasPrefix(expr, "cron(") {
			return
		}
		ref := newReference(expr)
		if !ref.matches(next) {
			t.Fatalf("%q: %v follows %v and does not match", expr, next, after)
		}
		for at := next.Add(-time.Hour); at.After(after) && next.Sub(at) < 1000*time.Hour; at = at.Add(-time.Hour) {
			if ref.matches(at) {
				t.Fatalf("%q: %v follows %v, and %v was passed over", expr, next, after, at)
			}
		}
	})
}

func BenchmarkNextYearly(b *testing.B) {
	s, err := schedule.Parse("cron(0 0 1W JAN ? *)")
	if err != nil {
		b.Fatal(err)
	}
	after := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	b.ReportAllocs()
	for b.Loop() {
		s.Next(after)
	}
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := schedule.Parse("cron(0 8 ? * MON-FRI *)"); err != nil {
			b.Fatal(err)
		}
	}
}
