package hours_test

import (
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the test's zones do not depend on the machine's

	"countersign/internal/core/hours"
	"countersign/internal/errs"
)

func parse(t testing.TB, text string) hours.Window {
	t.Helper()
	w, err := hours.Parse(text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return w
}

func at(t testing.TB, text string) time.Time {
	t.Helper()
	when, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return when
}

func TestCanonical(t *testing.T) {
	for text, want := range map[string]string{
		"Mon-Fri 09:00-17:00 Europe/Berlin":     "Mon-Fri 09:00-17:00 Europe/Berlin",
		"mon-FRI  09:00-17:00   Europe/Berlin ": "Mon-Fri 09:00-17:00 Europe/Berlin",
		"Monday-friday 09:00-17:00":             "Mon-Fri 09:00-17:00 UTC",
		"Fri,Mon,Wed,Tue,Thu 09:00-17:00 utc":   "Mon-Fri 09:00-17:00 UTC",
		"Mon, Tue 09:00-10:00":                  "Mon,Tue 09:00-10:00 UTC",
		"Mon Tue 09:00-10:00":                   "Mon,Tue 09:00-10:00 UTC",
		"09:00-17:00":                           "Mon-Sun 09:00-17:00 UTC",
		"09:00-17:00 Asia/Tokyo":                "Mon-Sun 09:00-17:00 Asia/Tokyo",
		"Sat,Sun":                               "Sat,Sun 00:00-24:00 UTC",
		"Sat Europe/Berlin":                     "Sat 00:00-24:00 Europe/Berlin",
		"Fri-Mon":                               "Mon,Fri-Sun 00:00-24:00 UTC",
		"Sun-Sat":                               "Mon-Sun 00:00-24:00 UTC",
		"00:00-24:00":                           "Mon-Sun 00:00-24:00 UTC",
		"00:00-12:00,12:00-24:00":               "Mon-Sun 00:00-24:00 UTC",
		"22:00-06:00":                           "Mon-Sun 22:00-06:00 UTC",
		"22:00-00:00":                           "Mon-Sun 22:00-24:00 UTC",
		"Fri 22:00-06:00":                       "Fri 22:00-06:00 UTC",
		"Sun 22:00-06:00":                       "Sun 22:00-06:00 UTC",
		"Sun 22:00-24:00, Mon 00:00-06:00":      "Sun 22:00-06:00 UTC",
		"Mon 13:00-17:00,09:00-12:00":           "Mon 09:00-12:00,13:00-17:00 UTC",
		"Mon 09:00-12:00,11:00-17:00":           "Mon 09:00-17:00 UTC",
		"Mon 09:00-12:00,12:00-17:00":           "Mon 09:00-17:00 UTC",
		"Mon-Thu 09:00-17:00, Fri 09:00-15:00":  "Mon-Thu 09:00-17:00, Fri 09:00-15:00 UTC",
		"Fri 09:00-15:00, Mon-Thu 09:00-17:00":  "Mon-Thu 09:00-17:00, Fri 09:00-15:00 UTC",
		"Mon 09:00-10:00, Wed 09:00-10:00":      "Mon,Wed 09:00-10:00 UTC",
		"Fri 18:00-24:00, Sat,Sun 00:00-24:00, Mon 00:00-06:00": "Mon 00:00-06:00, Fri 18:00-24:00, Sat,Sun 00:00-24:00 UTC",
		"Fri-Sun, Mon 00:00-06:00":                              "Mon,Fri-Sun 00:00-06:00 UTC",
		"Mon 12:00-24:00, Tue 00:00-12:00":                      "Mon 12:00-24:00, Tue 00:00-12:00 UTC",
		"Mon 12:00-11:59":                                       "Mon 12:00-11:59 UTC",
		"Sun 23:00-01:00,12:00-13:00":                           "Sun 12:00-13:00,23:00-01:00 UTC",
		"Mon 08:00-09:00, Sun 23:00-01:00, Mon 05:00-06:00":     "Mon 05:00-06:00,08:00-09:00, Sun 23:00-01:00 UTC",
		"Mon-Fri,Sun 09:00-17:00 Etc/GMT+5":                     "Mon-Fri,Sun 09:00-17:00 Etc/GMT+5",
		"09:00-17:00 America/Argentina/Buenos_Aires":            "Mon-Sun 09:00-17:00 America/Argentina/Buenos_Aires",
		"09:00-17:00 MST7MDT":                                   "Mon-Sun 09:00-17:00 MST7MDT",
	} {
		t.Run(text, func(t *testing.T) {
			w := parse(t, text)
			if w.String() != want || w.IsZero() {
				t.Errorf("%q, want %q", w, want)
			}
			if again := parse(t, w.String()); !again.Equal(w) || again.String() != want {
				t.Errorf("read back as %q", again)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	var many []string
	for h := range 24 {
		for m := 0; m < 60; m += 15 {
			many = append(many, time.Date(0, 1, 1, h, m, 0, 0, time.UTC).Format("15:04")+time.Date(0, 1, 1, h, m+5, 0, 0, time.UTC).Format("-15:04"))
		}
	}
	for text, says := range map[string]string{
		"":                                 "is empty",
		"   ":                              "is empty",
		",":                                "comma",
		"Mon,,Tue":                         "comma",
		"Mon 09:00-10:00,":                 "comma",
		",Mon":                             "comma",
		"Mon, , Tue":                       "comma",
		"Europe/Berlin":                    "neither days nor times",
		"UTC":                              "neither days nor times",
		"Mon\t09:00-17:00":                 "at byte 3",
		"Mon 09:00–17:00":                  "at byte 9",
		"Mon-Mon":                          "same day at both ends",
		"Mon-Xyz":                          `"Xyz" is no day: in "Mon-Xyz"`,
		"Mon-":                             `"" is no day`,
		"Mon-Tue-Wed":                      `"Tue-Wed" is no day`,
		"Mun-Fri 09:00-17:00":              `"Mun-Fri" is neither a day (Mon), days`,
		"Mon 09:00":                        `"09:00" is no time range`,
		"Mon 9:00-17:00":                   `"9:00" is no time of day from 00:00 to 23:59: in "9:00-17:00"`,
		"Mon 09:00-17":                     `"17" is no time of day from 00:00 to 24:00`,
		"Mon 09:00-17:60":                  `"17:60" is no time`,
		"Mon 09:00-24:01":                  `"24:01" is no time`,
		"Mon 24:00-01:00":                  `"24:00" is no time of day from 00:00 to 23:59`,
		"Mon 25:00-01:00":                  `"25:00" is no time`,
		"Mon 0a:00-01:00":                  `"0a:00" is no time`,
		"Mon 09:00-09:00":                  "same start and end",
		"Mon 00:00-00:00":                  "same start and end",
		"Mon 09:00-10:00-11:00":            `"10:00-11:00" is no time`,
		"Mon 09:00:00-10:00":               `"09:00:00" is no time`,
		"09:00-10:00, Mon 11:00-12:00":     `the times before "Mon" are of no day`,
		"Mon 09:00-17:00, Sat":             "days at the end have no times",
		"Mon 09:00-17:00, Sat,Sun UTC":     "days at the end have no times",
		"Europe/Berlin Mon 09:00-17:00":    "a zone stands at the end",
		"Mon 09:00-17:00 UTC UTC":          "a zone stands at the end",
		"Mon 09:00-17:00 Europe/Nowhere":   `"Europe/Nowhere" is neither`,
		"Mon 09:00-17:00 Europe":           `"Europe" is neither`,
		"Mon 09:00-17:00 Local":            "the machine's own",
		"Mon 09:00-17:00 +02:00":           "is neither",
		"Mon 09:00-17:00 ../../etc/passwd": "is neither",
		"Mon 09:00-17:00 /etc/localtime":   "is neither",
		"Mon 09:00-17:00 " + strings.Repeat("Z", 65):                        "is neither",
		"Mon " + strings.Repeat(" ", 1024):                                  "longer than 1024",
		"Mon,Wed 09:00-09:01, " + strings.Join(many[:70], ","):              "",
		strings.Join(many[:80], ","):                                        "",
		"Mon,Wed " + strings.Join(many[:70], ",") + ", Tue,Wed 23:58-23:59": "too many times",
	} {
		name := text
		if len(name) > 40 {
			name = name[:40]
		}
		t.Run(name, func(t *testing.T) {
			w, err := hours.Parse(text)
			if says == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), says) || !errs.Is(err, errs.Invalid) || errs.As(err).Field != hours.Field || !w.IsZero() {
				t.Errorf("%q and error %v, want one that says %q", w, err, says)
			}
		})
	}
}

func TestNext(t *testing.T) {
	for _, x := range []struct{ name, window, from, want string }{
		{"inside", "Mon-Fri 09:00-17:00 UTC", "2026-03-04T12:34:56.000000789Z", "2026-03-04T12:34:56.000000789Z"},
		{"at-the-start", "Mon-Fri 09:00-17:00 UTC", "2026-03-04T09:00:00Z", "2026-03-04T09:00:00Z"},
		{"just-before-the-start", "Mon-Fri 09:00-17:00 UTC", "2026-03-04T08:59:59.999999999Z", "2026-03-04T09:00:00Z"},
		{"last-instant", "Mon-Fri 09:00-17:00 UTC", "2026-03-04T16:59:59.999999999Z", "2026-03-04T16:59:59.999999999Z"},
		{"at-the-end", "Mon-Fri 09:00-17:00 UTC", "2026-03-04T17:00:00Z", "2026-03-05T09:00:00Z"},
		{"over-the-weekend", "Mon-Fri 09:00-17:00 UTC", "2026-03-06T17:00:00Z", "2026-03-09T09:00:00Z"},
		{"over-the-end-of-the-week", "Mon 09:00-17:00 UTC", "2026-03-02T17:00:00Z", "2026-03-09T09:00:00Z"},
		{"over-midnight-first-part", "Sun 22:00-06:00 UTC", "2026-03-08T23:00:00Z", "2026-03-08T23:00:00Z"},
		{"over-midnight-second-part", "Sun 22:00-06:00 UTC", "2026-03-09T05:59:59Z", "2026-03-09T05:59:59Z"},
		{"over-midnight-after", "Sun 22:00-06:00 UTC", "2026-03-09T06:00:00Z", "2026-03-15T22:00:00Z"},
		{"zone-winter", "Mon-Fri 09:00-17:00 Europe/Berlin", "2026-01-05T00:00:00Z", "2026-01-05T08:00:00Z"},
		{"zone-summer", "Mon-Fri 09:00-17:00 Europe/Berlin", "2026-07-06T00:00:00Z", "2026-07-06T07:00:00Z"},
		{"zone-other-day", "Mon 00:00-01:00 Pacific/Auckland", "2026-07-05T00:00:00Z", "2026-07-05T12:00:00Z"},

		// Berlin, 29 March 2026: 02:00 becomes 03:00 at 01:00Z.
		{"gap-swallows", "Sun 02:00-03:00 Europe/Berlin", "2026-03-28T12:00:00Z", "2026-04-05T00:00:00Z"},
		{"gap-swallows-daily", "02:15-02:45 Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-30T00:15:00Z"},
		{"gap-cuts-the-start", "Sun 02:30-04:00 Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"},
		{"gap-cuts-the-end", "Sun 01:30-02:30 Europe/Berlin", "2026-03-29T01:00:00Z", "2026-04-04T23:30:00Z"},
		{"wait-over-the-gap", "Sun 09:00-10:00 Europe/Berlin", "2026-03-29T00:00:00Z", "2026-03-29T07:00:00Z"},
		// Berlin, 25 October 2026: 03:00 becomes 02:00 at 01:00Z.
		{"overlap-first-pass", "Sun 02:15-02:45 Europe/Berlin", "2026-10-25T00:00:00Z", "2026-10-25T00:15:00Z"},
		{"overlap-second-pass", "Sun 02:15-02:45 Europe/Berlin", "2026-10-25T00:45:00Z", "2026-10-25T01:15:00Z"},
		{"overlap-after", "Sun 02:15-02:45 Europe/Berlin", "2026-10-25T01:45:00Z", "2026-11-01T01:15:00Z"},
		{"overlap-back-into-it", "Sun 02:00-02:59 Europe/Berlin", "2026-10-25T00:59:00Z", "2026-10-25T01:00:00Z"},
		{"wait-over-the-overlap", "Sun 09:00-10:00 Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25T08:00:00Z"},
		// Clocks back over midnight: Saturday evening comes twice in Havana.
		{"overlap-over-midnight", "Sun 00:30-00:45 America/Havana", "2026-11-01T04:45:00Z", "2026-11-01T05:30:00Z"},
		// Samoa had no 30 December 2011.
		{"skipped-day", "Fri Pacific/Apia", "2011-12-29T12:00:00Z", "2012-01-05T10:00:00Z"},
		{"before-the-skipped-day", "Thu 23:00-01:00 Pacific/Apia", "2011-12-30T09:59:59Z", "2011-12-30T09:59:59Z"},
		{"into-the-skipped-day", "Thu 23:00-01:00 Pacific/Apia", "2011-12-30T10:00:00Z", "2012-01-05T09:00:00Z"},
		// Local mean time of Berlin is 53 minutes and 28 seconds ahead.
		{"local-mean-time", "Mon 09:00-10:00 Europe/Berlin", "1880-01-05T00:00:00Z", "1880-01-05T08:06:32Z"},
		{"far-future", "Mon 09:00-10:00 Europe/Berlin", "9999-12-31T23:59:59Z", "10000-01-03T08:00:00Z"},
	} {
		t.Run(x.name, func(t *testing.T) {
			w, from := parse(t, x.window), at(t, x.from)
			got := w.Next(from)
			if got.UTC().Format("2006-01-02T15:04:05.999999999Z07:00") != x.want {
				t.Errorf("%s (%s), want %s", got.UTC().Format(time.RFC3339Nano), got, x.want)
			}
			if !w.Contains(got) || w.Contains(from) != got.Equal(from) {
				t.Errorf("contains %s: %v, contains %s: %v", got, w.Contains(got), from, w.Contains(from))
			}
		})
	}
}

func TestZero(t *testing.T) {
	var w hours.Window
	if !w.IsZero() || w.Contains(time.Now()) || !w.Next(time.Now()).IsZero() || w.String() != "" {
		t.Error("the zero window is something")
	}
}

// TestEndsOfTime holds that Next comes back, wherever it begins.
func TestEndsOfTime(t *testing.T) {
	for _, window := range []string{"Mon 00:00-00:01 Europe/Berlin", "Sun 02:30-02:31 America/New_York", "Sat UTC", "Wed 12:00-13:00 Africa/Casablanca"} {
		w := parse(t, window)
		for _, from := range []time.Time{{}, time.Unix(0, 0), time.Unix(1<<40, 0), time.Unix(-1<<40, 0), time.Unix(1<<62, 0), time.Unix(-1<<62, 0),
			time.Unix(1<<63-62135596801, 999999999), time.Unix(-1<<63, 0), time.Date(-9999, 1, 1, 0, 0, 0, 0, time.UTC)} {
			got := w.Next(from)
			if year := from.Year(); year > -10000 && year < 40000 && (got.Before(from) || !w.Contains(got) || got.Sub(from) > 15*24*time.Hour) {
				t.Errorf("%s: after %s comes %s", w, from, got)
			}
		}
	}
}

// TestMonotonic holds that the answer is a time of the calendar alone.
func TestMonotonic(t *testing.T) {
	if got := parse(t, "00:00-24:00").Next(time.Now()); strings.Contains(got.String(), "m=") {
		t.Errorf("%s has a monotonic reading", got)
	}
}
