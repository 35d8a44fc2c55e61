package hours

import (
	"strings"
	"time"
)

// dayNames are also what String writes, cut to three letters.
func dayNames() [7]string {
	return [7]string{"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"}
}

// minutes is the set of the week's minutes.
type minutes [week]bool

// clause is what has been read of one: days, then times.
type clause struct {
	days  [7]bool
	named bool // days were named
	times []span
}

// Parse reads a window. An error is of kind errs.Invalid with Field [Field]; it
// says which word is wrong and what may stand there.
func Parse(text string) (Window, error) {
	words, err := split(text)
	if err != nil {
		return Window{}, err
	}
	loc := time.UTC
	if last := words[len(words)-1]; !isDays(last) && !isTimes(last) {
		if loc, err = zone(last); err != nil {
			return Window{}, err
		}
		words = words[:len(words)-1]
	}
	if len(words) == 0 {
		return Window{}, invalid("the window has a zone and neither days nor times: as in Mon-Fri 09:00-17:00 Europe/Berlin")
	}
	clauses, err := read(words)
	if err != nil {
		return Window{}, err
	}
	var set minutes
	for _, c := range clauses {
		c.addTo(&set)
	}
	canonical := set.String() + " " + loc.String()
	if len(canonical) > MaxText {
		return Window{}, invalid("the window has too many times: written day by day it is longer than %d bytes", MaxText)
	}
	return Window{spans: set.spans(), loc: loc, text: canonical}, nil
}

// split cuts a text into words. A comma may stand between two of them, once.
func split(text string) ([]string, error) {
	if len(text) > MaxText {
		return nil, invalid("the window is longer than %d bytes", MaxText)
	}
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' {
			return nil, invalid("the window has a character at byte %d that is not printable ASCII", i)
		}
	}
	if strings.Trim(text, " ") == "" {
		return nil, invalid("the window is empty: it is days, times and a zone, as in Mon-Fri 09:00-17:00 Europe/Berlin")
	}
	var words []string
	for part := range strings.SplitSeq(text, ",") {
		fields := strings.Fields(part)
		if len(fields) == 0 {
			return nil, invalid("a comma must stand between two words")
		}
		words = append(words, fields...)
	}
	return words, nil
}

// read makes clauses of the words before the zone.
func read(words []string) ([]clause, error) {
	var all []clause
	var c clause
	for _, word := range words {
		switch {
		case isDays(word):
			if len(c.times) > 0 {
				if !c.named {
					return nil, invalid("the times before %q are of no day: name the days first", word)
				}
				all, c = append(all, c), clause{}
			}
			if err := c.addDays(word); err != nil {
				return nil, err
			}
		case isTimes(word):
			s, err := times(word)
			if err != nil {
				return nil, err
			}
			c.times = append(c.times, s)
		default:
			return nil, invalid("%q is neither a day (Mon), days (Mon-Fri) nor times (09:00-17:00), and a zone stands at the end", word)
		}
	}
	if len(all) > 0 && len(c.times) == 0 {
		return nil, invalid("the days at the end have no times: the whole day is 00:00-24:00")
	}
	return append(all, c), nil
}

// isTimes reports whether a word is meant as a time range: no day and no zone
// begins with a digit.
func isTimes(word string) bool { return word[0] >= '0' && word[0] <= '9' }

// isDays reports whether a word is meant as days: no zone begins with a day's
// name and a dash, or is one.
func isDays(word string) bool {
	first, _, _ := strings.Cut(word, "-")
	_, ok := dayOf(first)
	return ok
}

func dayOf(word string) (int, bool) {
	for i, name := range dayNames() {
		if w := strings.ToLower(word); w == name || w == name[:3] {
			return i, true
		}
	}
	return 0, false
}

func (c *clause) addDays(word string) error {
	first, last, ranged := strings.Cut(word, "-")
	from, _ := dayOf(first)
	to := from
	if ranged {
		var ok bool
		if to, ok = dayOf(last); !ok {
			return invalid("%q is no day: in %q", last, word)
		}
		if from == to {
			return invalid("the range %q has the same day at both ends: write the day alone, or Mon-Sun", word)
		}
	}
	for d := from; ; d = (d + 1) % 7 {
		c.days[d] = true
		if d == to {
			break
		}
	}
	c.named = true
	return nil
}

// times reads HH:MM-HH:MM as minutes of a day; the end of one that passes
// midnight is in the next.
func times(word string) (span, error) {
	first, last, ranged := strings.Cut(word, "-")
	if !ranged {
		return span{}, invalid("%q is no time range: it has a start and an end, as 09:00-17:00", word)
	}
	from, ok := clock(first)
	if !ok || from == day {
		return span{}, invalid("%q is no time of day from 00:00 to 23:59: in %q", first, word)
	}
	to, ok := clock(last)
	if !ok {
		return span{}, invalid("%q is no time of day from 00:00 to 24:00: in %q", last, word)
	}
	if from == to {
		return span{}, invalid("the times %q have the same start and end: the whole day is 00:00-24:00", word)
	}
	if to < from {
		to += day
	}
	return span{from, to}, nil
}

// clock reads HH:MM, 24:00 included.
func clock(s string) (int, bool) {
	if len(s) != 5 || s[2] != ':' {
		return 0, false
	}
	for _, i := range []int{0, 1, 3, 4} {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	hour, minute := int(s[0]-'0')*10+int(s[1]-'0'), int(s[3]-'0')*10+int(s[4]-'0')
	at := hour*60 + minute
	return at, minute < 60 && at <= day
}

// zone loads a zone by its IANA name. That of the machine ("Local") is refused:
// a rule must not mean something else on another server.
func zone(name string) (*time.Location, error) {
	if strings.EqualFold(name, "local") {
		return nil, invalid("the zone %q is the machine's own: name it, as in Europe/Berlin", name)
	}
	if strings.EqualFold(name, "utc") {
		return time.UTC, nil
	}
	ok := len(name) <= 64
	for i := range len(name) {
		c := name[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		ok = ok && (letter || i > 0 && (c >= '0' && c <= '9' || strings.IndexByte("_+-/", c) >= 0))
	}
	if ok {
		if loc, err := time.LoadLocation(name); err == nil {
			return loc, nil
		}
	}
	return nil, invalid("%q is neither a day, a time range nor a zone of the IANA database, as Europe/Berlin is", name)
}

func (c clause) addTo(set *minutes) {
	ranges := c.times
	if ranges == nil {
		ranges = []span{{0, day}}
	}
	for d := range 7 {
		if c.named && !c.days[d] {
			continue
		}
		for _, r := range ranges {
			for m := r.from; m < r.to; m++ {
				set[(d*day+m)%week] = true
			}
		}
	}
}

func (set *minutes) spans() []span {
	var out []span
	for m := 0; m < week; m++ {
		if !set[m] {
			continue
		}
		from := m
		for m < week && set[m] {
			m++
		}
		out = append(out, span{from, m})
	}
	return out
}
