package hours

import (
	"fmt"
	"slices"
	"strings"
)

// String writes the set as clauses, days with the same times together, in the
// order of the week. It depends on the set alone. Minutes in a row are one time
// range of the day on which they begin when they are fewer than a day has;
// otherwise they are cut at each midnight.
func (set *minutes) String() string {
	perDay := set.perDay()
	var clauses []string
	for d := range 7 {
		times := perDay[d]
		if times == "" || slices.Index(perDay[:], times) != d {
			continue
		}
		var days [7]bool
		for e := range 7 {
			days[e] = perDay[e] == times
		}
		clauses = append(clauses, writeDays(days)+" "+times)
	}
	return strings.Join(clauses, ", ")
}

// perDay lists the time ranges that begin on each day.
func (set *minutes) perDay() [7]string {
	var lists [7][]string
	add := func(from, to int) {
		d := from / day
		end := to - d*day
		if end > day {
			end -= day
		}
		lists[d] = append(lists[d], fmt.Sprintf("%s-%s", writeClock(from%day), writeClock(end)))
	}
	full := !slices.Contains(set[:], false)
	for from := range week {
		begins := set[from] && !set[(from+week-1)%week]
		if full {
			begins = from == 0 // a circle has no beginning
		}
		if !begins {
			continue
		}
		n := 0
		for n < week && set[(from+n)%week] {
			n++
		}
		if n < day {
			add(from, from+n)
			continue
		}
		for to := from + n; from < to; {
			midnight := min((from/day+1)*day, to)
			add(from%week, from%week+midnight-from)
			from = midnight
		}
	}
	var out [7]string
	for d, list := range lists {
		slices.Sort(list) // the start is at the front and has two digits
		out[d] = strings.Join(list, ",")
	}
	return out
}

func writeClock(m int) string { return fmt.Sprintf("%02d:%02d", m/60, m%60) }

// writeDays writes three or more days in a row as a range.
func writeDays(days [7]bool) string {
	names := dayNames()
	short := func(d int) string { return strings.ToUpper(names[d][:1]) + names[d][1:3] }
	var parts []string
	for d := 0; d < 7; d++ {
		if !days[d] {
			continue
		}
		last := d
		for last < 6 && days[last+1] {
			last++
		}
		switch {
		case last-d >= 2:
			parts = append(parts, short(d)+"-"+short(last))
		case last > d:
			parts = append(parts, short(d), short(last))
		default:
			parts = append(parts, short(d))
		}
		d = last
	}
	return strings.Join(parts, ",")
}
