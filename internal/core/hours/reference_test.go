package hours_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"countersign/internal/core/hours"
)

// reference is a window as the text says it, evaluated minute by minute.
type reference struct {
	loc     *time.Location
	clauses []refClause
}

type refClause struct {
	days  [7]bool // by time.Weekday
	times [][2]int
}

// contains asks the clock on the wall, and for ranges that pass midnight the
// day before.
func (r reference) contains(t time.Time) bool {
	t = t.In(r.loc)
	today, minute := t.Weekday(), t.Hour()*60+t.Minute()
	yesterday := (today + 6) % 7
	for _, c := range r.clauses {
		for _, x := range c.times {
			from, to := x[0], x[1]
			switch {
			case from < to && c.days[today] && from <= minute && minute < to,
				from > to && c.days[today] && minute >= from,
				from > to && c.days[yesterday] && minute < to:
				return true
			}
		}
	}
	return false
}

// next walks. Clocks change at whole minutes in the years that the test is in.
func (r reference) next(t time.Time) (time.Time, bool) {
	if r.contains(t) {
		return t, true
	}
	t = t.Truncate(time.Minute)
	for range 16 * 24 * 60 {
		t = t.Add(time.Minute)
		if r.contains(t) {
			return t, true
		}
	}
	return time.Time{}, false
}

// random makes a window and its text.
func random(rng *rand.Rand, loc *time.Location) (reference, string) {
	r := reference{loc: loc}
	var parts []string
	for range 1 + rng.IntN(3) {
		var c refClause
		var days, times []string
		for range 1 + rng.IntN(2) {
			from, n := rng.IntN(7), 1+rng.IntN(7)
			last := (from + n - 1) % 7
			for i := range n {
				c.days[(from+i)%7] = true
			}
			word := time.Weekday(from).String()[:3]
			if n > 1 {
				word += "-" + time.Weekday(last).String()
			}
			days = append(days, word)
		}
		for len(times) == 0 || rng.IntN(2) == 0 {
			from, to := rng.IntN(24*60), 1+rng.IntN(24*60)
			if rng.IntN(2) == 0 { // short ones, near where clocks change
				from = rng.IntN(4 * 60)
				to = from + 1 + rng.IntN(40)
			}
			if from == to {
				continue
			}
			c.times = append(c.times, [2]int{from, to})
			times = append(times, fmt.Sprintf("%02d:%02d-%02d:%02d", from/60, from%60, to/60, to%60))
		}
		r.clauses = append(r.clauses, c)
		parts = append(parts, strings.Join(days, ",")+" "+strings.Join(times, ","))
	}
	return r, strings.Join(parts, ", ") + " " + loc.String()
}

// TestAgainstReference holds Contains and Next to the walk, around the days on
// which clocks change in zones that do so strangely: by half an hour, by two,
// at midnight, at one past, over the date line, for a month.
func TestAgainstReference(t *testing.T) {
	zones := []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Antarctica/Troll", "America/Havana",
		"America/Sao_Paulo", "America/St_Johns", "Pacific/Apia", "Africa/Casablanca", "Asia/Kathmandu", "Africa/Cairo", "Asia/Gaza"}
	runs := 150
	if testing.Short() {
		runs = 20
	}
	for _, name := range zones {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			loc, err := time.LoadLocation(name)
			if err != nil {
				t.Fatal(err)
			}
			rng := rand.New(rand.NewPCG(1, uint64(len(name))))
			for range runs {
				ref, text := random(rng, loc)
				w := parse(t, text)
				if again := parse(t, w.String()); !again.Equal(w) {
					t.Fatalf("%q: %q reads back as %q", text, w, again)
				}
				for range 6 {
					from := moment(rng, loc)
					if got, want := w.Contains(from), ref.contains(from); got != want {
						t.Fatalf("%q (%q) contains %s: %v, want %v", text, w, from, got, want)
					}
					want, ok := ref.next(from)
					if got := w.Next(from); ok && !got.Equal(want) {
						t.Fatalf("%q (%q): after %s comes %s, want %s", text, w, from, got, want.In(loc))
					}
				}
			}
		})
	}
}

// moment is some time from 1990 to 2040, mostly within two days of a change of
// the clock.
func moment(rng *rand.Rand, loc *time.Location) time.Time {
	t := time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(rng.Int64N(int64(50 * 365 * 24 * time.Hour)))).In(loc)
	if start, _ := t.ZoneBounds(); rng.IntN(4) > 0 && start.Year() > 1980 {
		t = start.Add(time.Duration(rng.Int64N(int64(96*time.Hour))) - 48*time.Hour)
		if rng.IntN(3) == 0 {
			t = start.Add(time.Duration(rng.IntN(5)-2) * time.Nanosecond)
		}
	}
	return t
}

// TestSameSetSameText writes the same window with its clauses in another order,
// and one of them twice.
func TestSameSetSameText(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		_, text := random(rng, time.UTC)
		w := parse(t, text)
		clauses := strings.Split(strings.TrimSuffix(text, " UTC"), ", ")
		rng.Shuffle(len(clauses), func(i, j int) { clauses[i], clauses[j] = clauses[j], clauses[i] })
		again := parse(t, strings.Join(append(clauses, clauses[0]), ", "))
		if !again.Equal(w) {
			t.Fatalf("%q is %q, and shuffled %q", text, w, again)
		}
	}
}

// FuzzParse holds that what is accepted has a canonical form that reads back to
// itself and means the same, and that Next is inside and the first.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"Mon-Fri 09:00-17:00 Europe/Berlin", "Mon-Thu 09:00-12:00,13:00-17:00, Fri 09:00-15:00", "Fri 22:00-06:00",
		"Sat,Sun", "Fri-Mon 00:00-24:00 America/New_York", "Sunday 02:15-02:45 Australia/Lord_Howe", "00:00-00:01"} {
		f.Add(text, int64(1774746000), int64(0))
		f.Add(text, int64(1792890000), int64(999999999))
	}
	f.Fuzz(func(t *testing.T, text string, sec, nsec int64) {
		w, err := hours.Parse(text)
		if err != nil {
			return
		}
		again, err := hours.Parse(w.String())
		if err != nil || again.String() != w.String() || len(w.String()) > hours.MaxText {
			t.Fatalf("%q is %q, which reads back as %q: %v", text, w, again, err)
		}
		from := time.Unix(sec%(1<<38), nsec%1e9)
		next := w.Next(from)
		if !w.Contains(next) || next.Before(from) || w.Contains(from) != next.Equal(from) {
			t.Fatalf("%q: after %s comes %s", w, from, next)
		}
		if !again.Next(from).Equal(next) {
			t.Fatalf("%q and %q differ after %s", text, w, from)
		}
		if next.After(from) {
			if w.Contains(next.Add(-1)) {
				t.Fatalf("%q: %s is not the first inside after %s", w, next, from)
			}
			between := from.Add(next.Sub(from) / 2)
			if !w.Next(between).Equal(next) {
				t.Fatalf("%q: from %s comes %s, from %s %s", w, from, next, between, w.Next(between))
			}
		}
	})
}
