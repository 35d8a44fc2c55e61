package schedule_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/core/schedule"
	"countersign/internal/errs"
)

func periods(t *testing.T, texts ...string) (out []schedule.Period) {
	t.Helper()
	for _, text := range texts {
		p, err := schedule.ParsePeriod(text)
		if err != nil {
			t.Fatalf("ParsePeriod(%q): %v", text, err)
		}
		out = append(out, p)
	}
	return out
}

// window is a rotation without its jitter: "2026-01-01 03:00 to 2026-01-01 04:00".
func window(opens, closes time.Time) string {
	return opens.Format("2006-01-02 15:04") + " to " + closes.Format("2006-01-02 15:04")
}

func TestPlanNext(t *testing.T) {
	tests := []struct {
		name, expr    string
		window        time.Duration
		blackout      []string
		anchor, after string // anchor "": after
		want          []string
	}{
		{"no-periods", "cron(0 3 * * ? *)", 3 * time.Hour, nil, "", "2026-12-23 03:00",
			[]string{"2026-12-24 03:00 to 2026-12-24 06:00"}},
		{"put-off-to-the-midnight-after", "cron(0 3 ? * MON *)", 3 * time.Hour, []string{"2026-12-24/2027-01-02"}, "", "2026-12-22 00:00",
			[]string{"2027-01-03 00:00 to 2027-01-03 03:00", "2027-01-04 03:00 to 2027-01-04 06:00"}},
		{"several-are-put-off-to-one", "cron(0 3 * * ? *)", time.Hour, []string{"2026-12-24/2027-01-02"}, "", "2026-12-23 00:00",
			[]string{"2026-12-23 03:00 to 2026-12-23 04:00", "2027-01-03 00:00 to 2027-01-03 01:00", "2027-01-03 03:00 to 2027-01-03 04:00"}},
		{"put-off-to-the-next-when-it-meets-it", "cron(0 0 * * ? *)", time.Hour, []string{"2026-12-24/2027-01-02"}, "", "2026-12-23 00:00",
			[]string{"2027-01-03 00:00 to 2027-01-03 01:00", "2027-01-04 00:00 to 2027-01-04 01:00"}},
		{"put-off-to-the-next-when-its-window-would", "cron(0 3 * * ? *)", 0, []string{"2026-12-24/2027-01-02"}, "", "2026-12-24 00:00",
			[]string{"2027-01-03 03:00 to 2027-01-04 00:00", "2027-01-04 03:00 to 2027-01-05 00:00"}},
		{"its-window-ends-with-the-next-one", "cron(0 3 * * ? *)", 3 * time.Hour, []string{"2026-12-24/2027-01-02"}, "", "2026-12-24 00:00",
			[]string{"2027-01-03 00:00 to 2027-01-03 03:00", "2027-01-03 03:00 to 2027-01-03 06:00"}},
		{"nothing-was-due-in-the-period", "cron(0 3 1 * ? *)", time.Hour, []string{"2026-12-24/2026-12-31"}, "", "2026-12-02 00:00",
			[]string{"2027-01-01 03:00 to 2027-01-01 04:00"}},
		{"asked-within-the-period", "cron(0 3 ? * MON *)", time.Hour, []string{"2026-12-24/2027-01-02"}, "2026-12-22 00:00", "2026-12-30 00:00",
			[]string{"2027-01-03 00:00 to 2027-01-03 01:00"}},
		{"done-within-the-period", "cron(0 3 ? * MON *)", time.Hour, []string{"2026-12-24/2027-01-02"}, "2026-12-30 00:00", "2026-12-30 00:00",
			[]string{"2027-01-04 03:00 to 2027-01-04 04:00"}},
		{"done-within-the-period-before-it-was-due", "cron(0 3 ? * MON *)", time.Hour, []string{"2026-12-24/2027-01-02"}, "2026-12-26 00:00", "2026-12-30 00:00",
			[]string{"2027-01-03 00:00 to 2027-01-03 01:00"}},
		{"days-from-an-anchor-within-the-period", "rate(10 days)", 0, []string{"2026-12-24/2027-01-10"}, "2026-12-24 12:00", "2027-01-05 00:00",
			[]string{"2027-01-11 00:00 to 2027-01-12 00:00"}},
		{"due-as-the-period-begins-and-asked-within-it", "rate(10 days)", 0, []string{"2026-12-24/2026-12-26"}, "2026-12-14 12:00", "2026-12-25 00:00",
			[]string{"2026-12-27 00:00 to 2026-12-28 00:00"}},
		{"periods-that-meet-are-one", "cron(0 3 ? * MON *)", time.Hour, []string{"2026-12-31", "2026-12-24/2026-12-30", "2027-01-01/2027-01-02"}, "", "2026-12-22 00:00",
			[]string{"2027-01-03 00:00 to 2027-01-03 01:00"}},
		{"periods-that-overlap-are-one", "cron(0 3 ? * MON *)", time.Hour, []string{"2026-12-30/2027-01-02", "2026-12-24/2027-01-01", "2026-12-28"}, "2026-12-22 00:00", "2027-01-01 00:00",
			[]string{"2027-01-03 00:00 to 2027-01-03 01:00"}},
		{"periods-a-day-apart-are-two", "cron(0 3 * * ? *)", time.Hour, []string{"2026-12-24", "2026-12-26"}, "", "2026-12-24 00:00",
			[]string{"2026-12-25 00:00 to 2026-12-25 01:00", "2026-12-25 03:00 to 2026-12-25 04:00", "2026-12-27 00:00 to 2026-12-27 01:00"}},
		{"put-off-within-a-day-between-periods", "rate(1 day)", 0, []string{"2026-12-24", "2026-12-26"}, "", "2026-12-23 00:00",
			[]string{"2026-12-25 00:00 to 2026-12-26 00:00", "2026-12-27 00:00 to 2026-12-28 00:00"}},
		{"a-window-ends-where-a-period-begins", "0 22 * * *", 4 * time.Hour, []string{"2026-12-24"}, "", "2026-12-23 00:00",
			[]string{"2026-12-23 22:00 to 2026-12-24 00:00", "2026-12-25 00:00 to 2026-12-25 04:00", "2026-12-25 22:00 to 2026-12-26 02:00"}},
		{"minutes", "3-58/5 * * * *", 0, []string{"2026-12-24"}, "", "2026-12-23 23:53",
			[]string{"2026-12-23 23:58 to 2026-12-24 00:00", "2026-12-25 00:03 to 2026-12-25 00:08"}},
		{"hours-from-their-own-anchor", "rate(9 hours)", 0, []string{"2026-12-24"}, "2026-12-20 10:00", "2026-12-23 20:00",
			[]string{"2026-12-25 00:00 to 2026-12-25 01:00", "2026-12-25 06:00 to 2026-12-25 07:00"}},
		{"after-a-period-long-over", "cron(0 3 ? * MON *)", time.Hour, []string{"2020-12-24/2021-01-02"}, "", "2026-12-22 00:00",
			[]string{"2026-12-28 03:00 to 2026-12-28 04:00"}},
		{"anchor-after-after", "cron(0 3 * * ? *)", time.Hour, nil, "2030-01-01 00:00", "2026-01-01 00:00",
			[]string{"2030-01-01 03:00 to 2030-01-01 04:00"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := schedule.Plan{Schedule: parseAny(t, tt.expr), Window: tt.window, Blackout: periods(t, tt.blackout...)}
			if err := p.Check(); err != nil {
				t.Fatal(err)
			}
			after := utc(t, tt.after)
			anchor := after
			if tt.anchor != "" {
				anchor = utc(t, tt.anchor)
			}
			var got []string
			for range tt.want {
				opens, at, closes, ok := p.Next(anchor, after, 7)
				if !ok || !at.Equal(opens) {
					t.Fatalf("Next = %v, %v, %v, %v", opens, at, closes, ok)
				}
				got = append(got, window(opens, closes))
				after = at
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestPlanNextEnds(t *testing.T) {
	start := utc(t, "2026-01-01 00:00")
	if _, _, _, ok := (schedule.Plan{}).Next(start, start, 1); ok {
		t.Error("the zero Plan has a rotation")
	}
	end := time.Date(9999, 12, 30, 12, 0, 0, 0, time.UTC)
	p := schedule.Plan{Schedule: parseAny(t, "@daily"), Blackout: periods(t, "9999-12-31")}
	if opens, _, _, ok := p.Next(end, end, 1); ok {
		t.Errorf("a rotation at %v", opens)
	}
	if got := p.Blackout[0].String(); got != "9999-12-31" {
		t.Errorf("the last day is %q", got)
	}
}

// TestPlanJitter: the beginning is the same for the same seed, spread over all of the
// jitter for many, and none before the opening or after the close.
func TestPlanJitter(t *testing.T) {
	p := schedule.Plan{Schedule: parseAny(t, "cron(0 3 * * ? *)"), Window: 2 * time.Hour, Jitter: time.Hour}
	if err := p.Check(); err != nil {
		t.Fatal(err)
	}
	after := utc(t, "2026-03-01 04:30")
	quarters := [4]int{}
	sameTime := map[time.Time]int{}
	for seed := range uint64(4000) {
		opens, at, _, ok := p.Next(after, after, seed)
		_, again, _, _ := p.Next(after, after, seed)
		if !ok || !at.Equal(again) || at.Before(opens) || !at.Before(opens.Add(p.Jitter)) || at.Nanosecond() != 0 {
			t.Fatalf("seed %d: opens %v, begins %v, then %v", seed, opens, at, again)
		}
		quarters[at.Sub(opens)/(15*time.Minute)]++
		sameTime[at]++
	}
	for i, n := range quarters {
		if n < 850 || n > 1150 {
			t.Errorf("%d of 4000 begin in quarter %d", n, i+1)
		}
	}
	if len(sameTime) < 2000 {
		t.Errorf("4000 secrets begin in %d different seconds of 3600", len(sameTime))
	}
	// One secret does not begin at the same minute each day.
	days := map[time.Duration]bool{}
	for range 20 {
		opens, at, _, _ := p.Next(after, after, 1)
		days[at.Sub(opens)], after = true, at
	}
	if len(days) < 15 {
		t.Errorf("20 days have %d beginnings", len(days))
	}
}

// TestPlanBetweenOpeningAndBeginning: who asks then is told of the beginning, which is
// still to come, unless the secret was changed after the opening.
func TestPlanBetweenOpeningAndBeginning(t *testing.T) {
	p := schedule.Plan{Schedule: parseAny(t, "cron(0 3 * * ? *)"), Window: 2 * time.Hour, Jitter: time.Hour}
	start := utc(t, "2026-03-01 12:00")
	opens, at, _, _ := p.Next(start, start, 3)
	if !at.After(opens.Add(time.Minute)) {
		t.Fatalf("the seed is of no use: %v", at.Sub(opens))
	}
	between := opens.Add(time.Minute)
	if _, got, _, _ := p.Next(start, between, 3); !got.Equal(at) {
		t.Errorf("at %v, the next is %v, want %v", between, got, at)
	}
	if got, _, _, _ := p.Next(between, between, 3); !got.Equal(opens.AddDate(0, 0, 1)) {
		t.Errorf("changed at %v, the next opens at %v", between, got)
	}
	if got, _, _, _ := p.Next(start, at, 3); !got.Equal(opens.AddDate(0, 0, 1)) {
		t.Errorf("after its beginning, the next opens at %v", got)
	}
}

// naive is a plan without any arithmetic: every minute of a year is asked whether it
// is an occurrence, and every day whether it is in a period.
type naive struct {
	plan     schedule.Plan
	occurs   func(time.Time) bool
	blackout map[string]bool // dates
	length   time.Duration
}

func (n *naive) dark(t time.Time) bool { return n.blackout[t.Format(time.DateOnly)] }

// rotations are the windows after an anchor until an end.
func (n *naive) rotations(anchor, end time.Time) (out [][2]time.Time) {
	add := func(opens time.Time) {
		closes := opens
		for closes.Before(opens.Add(n.length)) && !n.dark(closes) {
			closes = closes.Add(time.Minute)
		}
		out = append(out, [2]time.Time{opens, closes})
	}
	owed := false
	for at := anchor.Truncate(time.Minute).Add(time.Minute); at.Before(end); at = at.Add(time.Minute) {
		occurs := n.occurs(at)
		switch {
		case n.dark(at):
			owed = owed || occurs
		case occurs:
			owed = false
			add(at)
		case owed: // the midnight after: is there another before the window would close?
			owed = false
			before := false
			for m := at; m.Before(at.Add(n.length)); m = m.Add(time.Minute) {
				before = before || n.occurs(m)
			}
			if !before {
				add(at)
			}
		}
	}
	return out
}

// randomPlan draws a plan that Check takes, with its naive twin. Its periods are
// within a year from start.
func randomPlan(t *testing.T, r *rand.Rand, start, anchor time.Time) (schedule.Plan, *naive) {
	t.Helper()
	n := &naive{blackout: map[string]bool{}}
	for {
		switch r.IntN(4) {
		case 0:
			days := 1 + r.IntN(40)
			first := anchor.Truncate(24 * time.Hour)
			n.plan.Schedule = schedule.Days(days)
			n.occurs = func(at time.Time) bool { return at.Sub(first)%(time.Duration(days)*24*time.Hour) == 0 }
		case 1:
			hours := 4 + r.IntN(60)
			first := anchor.Truncate(24 * time.Hour)
			n.plan.Schedule = parseAny(t, fmt.Sprintf("rate(%d hours)", hours))
			n.occurs = func(at time.Time) bool { return at.Sub(first)%(time.Duration(hours)*time.Hour) == 0 }
		case 2:
			expr := randomExpr(r)
			s, err := schedule.Parse(expr)
			if err != nil {
				continue
			}
			n.plan.Schedule, n.occurs = s, newReference(expr).matches
		default:
			expr := randomFive(r)
			s, err := schedule.ParseAny(expr)
			if err != nil {
				continue
			}
			n.plan.Schedule, n.occurs = s, newCrontab(expr).matches
		}
		break
	}
	for range 10 { // the longest that fits
		if n.plan.Window = time.Duration(r.IntN(24)) * time.Hour; n.plan.Schedule.CheckWindow(n.plan.Window) == nil {
			break
		}
		n.plan.Window = 0
	}
	opens, _ := n.plan.Schedule.NextFrom(anchor, anchor)
	n.length = n.plan.Schedule.Closes(opens, n.plan.Window).Sub(opens)
	if r.IntN(3) > 0 {
		n.plan.Jitter = time.Duration(r.Int64N(int64(n.length/time.Second))) * time.Second
	}
	for range r.IntN(8) {
		from := start.AddDate(0, 0, r.IntN(366))
		to := from.AddDate(0, 0, r.IntN(1+r.IntN(30)))
		for day := from; !day.After(to); day = day.AddDate(0, 0, 1) {
			n.blackout[day.Format(time.DateOnly)] = true
		}
		n.plan.Blackout = append(n.plan.Blackout, periods(t, from.Format(time.DateOnly)+"/"+to.Format(time.DateOnly))...)
	}
	if err := n.plan.Check(); err != nil {
		t.Fatalf("%v: %v", n.plan, err)
	}
	return n.plan, n
}

// TestPlanAgreesWithEveryMinute walks through a year of many plans, from rotation to
// rotation, and asks at odd times between.
func TestPlanAgreesWithEveryMinute(t *testing.T) {
	for seed := range uint64(16) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 17))
			start := time.Date(1990+r.IntN(60), time.Month(1+r.IntN(12)), 1+r.IntN(28), 0, 0, 0, 0, time.UTC)
			anchor := start.Add(time.Duration(r.Int64N(int64(48 * time.Hour))))
			p, n := randomPlan(t, r, start, anchor)
			want := n.rotations(anchor, start.AddDate(1, 1, 0))
			about := fmt.Sprintf("%s, window %v, jitter %v, without %v, from %v", p.Schedule, p.Window, p.Jitter, p.Blackout, anchor)
			after, before := anchor, anchor
			var begins []time.Time
			for i, w := range want {
				opens, at, closes, ok := p.Next(anchor, after, seed)
				if !ok || !opens.Equal(w[0]) || !closes.Equal(w[1]) {
					t.Fatalf("%s: rotation %d is %s, %v; the reference says %s", about, i, window(opens, closes), ok, window(w[0], w[1]))
				}
				switch {
				case !at.After(after):
					t.Fatalf("%s: %v follows %v", about, at, after)
				case at.Before(opens) || !at.Before(closes) || p.Jitter > 0 && at.Sub(opens) >= p.Jitter || p.Jitter == 0 && !at.Equal(opens):
					t.Fatalf("%s: it begins at %v, in the window %s", about, at, window(opens, closes))
				case n.dark(at) || opens.Before(before):
					t.Fatalf("%s: %v is in a period, or in the window before", about, at)
				}
				begins = append(begins, at)
				after, before = at, closes
			}
			for range 200 { // at any time the first that is to come
				ask := anchor.Add(time.Duration(r.Int64N(int64(366 * 24 * time.Hour))))
				_, at, _, ok := p.Next(anchor, ask, seed)
				i := 0
				for i < len(begins) && !begins[i].After(ask) {
					i++
				}
				if i < len(begins) && (!ok || !at.Equal(begins[i])) {
					t.Fatalf("%s: after %v comes %v; the reference says %v", about, ask, at, begins[i])
				}
			}
		})
	}
}

func TestPlanFreeAndUntil(t *testing.T) {
	p := schedule.Plan{Blackout: periods(t, "2026-12-31/2027-01-02", "2026-12-24/2026-12-30", "2027-02-01")}
	for text, want := range map[string]string{
		"2026-12-23 23:59": "2026-12-23 23:59", "2026-12-24 00:00": "2027-01-03 00:00", "2026-12-31 12:00": "2027-01-03 00:00",
		"2027-01-03 00:00": "2027-01-03 00:00", "2027-02-01 23:59": "2027-02-02 00:00",
	} {
		if got := p.Free(utc(t, text)); !got.Equal(utc(t, want)) {
			t.Errorf("Free(%s) = %v, want %s", text, got, want)
		}
	}
	for text, want := range map[string]string{"2026-12-23 00:00": "2026-12-24 00:00", "2027-01-03 00:00": "2027-02-01 00:00"} {
		if got := p.Until(utc(t, text)); !got.Equal(utc(t, want)) {
			t.Errorf("Until(%s) = %v, want %s", text, got, want)
		}
	}
	if got := p.Until(utc(t, "2027-02-01 00:00")); !got.IsZero() {
		t.Errorf("after the last, one begins at %v", got)
	}
}

func TestPlanCatchUp(t *testing.T) {
	tests := []struct {
		name, expr string
		window     time.Duration
		now, want  string
	}{
		{"at-once", "cron(0 3 * * ? *)", 3 * time.Hour, "2026-12-20 12:34", "2026-12-20 12:34 to 2026-12-20 15:34"},
		{"an-hour-at-least", "*/5 * * * *", 0, "2026-12-20 12:34", "2026-12-20 12:34 to 2026-12-20 13:34"},
		{"until-the-period", "cron(0 3 * * ? *)", 3 * time.Hour, "2026-12-23 22:30", "2026-12-23 22:30 to 2026-12-24 00:00"},
		{"after-the-period", "cron(0 3 * * ? *)", 3 * time.Hour, "2026-12-24 00:00", "2027-01-03 00:00 to 2027-01-03 03:00"},
		{"after-the-period-with-the-next", "cron(0 3 * * ? *)", 0, "2027-01-02 23:59", "2027-01-03 03:00 to 2027-01-04 00:00"},
		{"once-the-period-is-over", "cron(0 3 * * ? *)", 3 * time.Hour, "2027-01-03 00:00", "2027-01-03 00:00 to 2027-01-03 03:00"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := schedule.Plan{Schedule: parseAny(t, tt.expr), Window: tt.window, Blackout: periods(t, "2026-12-24/2027-01-02")}
			anchor, now := utc(t, "2026-12-01 00:00"), utc(t, tt.now)
			at, closes := p.CatchUp(anchor, now, 1)
			if got := window(at, closes); got != tt.want {
				t.Errorf("CatchUp = %s, want %s", got, tt.want)
			}
			p.Jitter = 2 * time.Hour
			late, _ := p.CatchUp(anchor, now, 1)
			if same := at.Equal(now); same != late.Equal(at) || late.Before(at) || !late.Before(at.Add(p.Jitter)) {
				t.Errorf("with jitter it is at %v", late)
			}
		})
	}
}

func TestPlanCheck(t *testing.T) {
	daily := parseAny(t, "cron(0 20 * * ? *)")
	many := make([]string, 101)
	for i := range many {
		many[i] = utc(t, "2026-01-01 00:00").AddDate(0, 0, 2*i).Format(time.DateOnly)
	}
	tests := []struct {
		name  string
		plan  schedule.Plan
		field string // "": it is taken
		want  string
	}{
		{"zero", schedule.Plan{}, "", ""},
		{"no-schedule-and-a-period", schedule.Plan{Blackout: periods(t, "2026-12-24")}, "", ""},
		{"jitter", schedule.Plan{Schedule: daily, Window: 2 * time.Hour, Jitter: 2*time.Hour - time.Second}, "", ""},
		{"jitter-in-the-default", schedule.Plan{Schedule: daily, Jitter: 4*time.Hour - time.Second}, "", ""},
		{"100-periods", schedule.Plan{Schedule: daily, Blackout: periods(t, many[:100]...)}, "", ""},
		{"window-too-long", schedule.Plan{Schedule: daily, Window: 5 * time.Hour}, schedule.FieldDuration, "next UTC day"},
		{"window-into-the-next", schedule.Plan{Schedule: parseAny(t, "*/30 * * * *"), Window: time.Hour}, schedule.FieldDuration, "runs into the next one, 30m after"},
		{"jitter-as-long-as-the-window", schedule.Plan{Schedule: daily, Window: 2 * time.Hour, Jitter: 2 * time.Hour}, schedule.FieldJitter, "which is 2h"},
		{"jitter-as-long-as-the-default", schedule.Plan{Schedule: daily, Jitter: 4 * time.Hour}, schedule.FieldJitter, "which is 4h"},
		{"jitter-in-minutes", schedule.Plan{Schedule: parseAny(t, "*/5 * * * *"), Jitter: 5 * time.Minute}, schedule.FieldJitter, "which is 5m"},
		{"jitter-without-a-schedule", schedule.Plan{Jitter: 24 * time.Hour}, schedule.FieldJitter, "which is 1d"},
		{"jitter-negative", schedule.Plan{Schedule: daily, Jitter: -time.Second}, schedule.FieldJitter, "seconds"},
		{"jitter-of-a-fraction", schedule.Plan{Schedule: daily, Jitter: 1500 * time.Millisecond}, schedule.FieldJitter, "seconds"},
		{"101-periods", schedule.Plan{Schedule: daily, Blackout: periods(t, many...)}, schedule.FieldBlackout, "there are 101 periods"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.plan.Check()
			if tt.field == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if e := errs.As(err); err == nil || e.Kind != errs.Invalid || e.Field != tt.field || !strings.Contains(e.Msg, tt.want) {
				t.Errorf("Check() = %v; want one of %s with %q", err, tt.field, tt.want)
			}
		})
	}
}

func TestParsePeriod(t *testing.T) {
	for text, want := range map[string]string{
		"2026-12-24/2027-01-02": "2026-12-24/2027-01-02", "2026-12-24": "2026-12-24", "2026-12-24/2026-12-24": "2026-12-24",
		"2028-02-29": "2028-02-29", "2026-01-01/2027-01-01": "2026-01-01/2027-01-01", "9999-12-31": "9999-12-31",
	} {
		if p, err := schedule.ParsePeriod(text); err != nil || p.String() != want {
			t.Errorf("ParsePeriod(%q) = %q, %v; want %q", text, p, err, want)
		}
	}
	for text, want := range map[string]string{
		"": "a date or two", "/": "a date or two", "2026-12-24/": "a date or two", "/2026-12-24": "a date or two", "2026-12-24 ": "a date or two",
		"2027-02-29": "a date or two", "2026-13-01": "a date or two", "26-12-24": "a date or two", "2026-12-24T00:00:00Z": "a date or two",
		"24.12.2026": "a date or two", "2026-12-24/2026-12-25/2026-12-26": "not longer", "2026-12-24 / 2027-01-02": "not longer",
		"2027-01-02/2026-12-24": "ends before it begins", "2026-01-01/2027-01-02": "longer than 366 days", strings.Repeat("9", 1<<20): "not longer",
	} {
		p, err := schedule.ParsePeriod(text)
		if e := errs.As(err); err == nil || e.Kind != errs.Invalid || e.Field != schedule.FieldBlackout || !strings.Contains(e.Msg, want) || len(e.Msg) > 200 {
			t.Errorf("ParsePeriod(%.40q) = %q, %v; want it refused with %q", text, p, err, want)
		}
	}
	if got := (schedule.Period{}).String(); got != "" {
		t.Errorf("the zero Period is %q", got)
	}
}

func FuzzParsePeriod(f *testing.F) {
	for _, text := range []string{"2026-12-24/2027-01-02", "2026-12-24", "0000-01-01", "9999-12-31", "2026-12-24/2026-12-23", "2026-1-1", "//"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := schedule.ParsePeriod(text)
		if err != nil {
			if e := errs.As(err); e.Kind != errs.Invalid || e.Field != schedule.FieldBlackout || p != (schedule.Period{}) {
				t.Fatalf("ParsePeriod(%q) = %v, %v", text, p, err)
			}
			return
		}
		again, err := schedule.ParsePeriod(p.String())
		if err != nil || again != p {
			t.Fatalf("%q is written %q and read as %q, %v", text, p, again, err)
		}
		// The first and the last moment of it are put off to the same midnight.
		plan := schedule.Plan{Blackout: []schedule.Period{p}}
		first, _ := time.Parse(time.DateOnly, text[:len(time.DateOnly)])
		end := plan.Free(first)
		if !end.After(first) || end.Sub(first) > schedule.MaxPeriodDays*24*time.Hour || !plan.Free(end.Add(-1)).Equal(end) || !plan.Free(end).Equal(end) {
			t.Fatalf("%q ends at %v", text, end)
		}
		if before := first.Add(-1); !plan.Free(before).Equal(before) || !plan.Until(before).Equal(first) {
			t.Fatalf("%q begins at %v", text, plan.Until(before))
		}
	})
}

func BenchmarkPlanNext(b *testing.B) {
	s, err := schedule.ParseAny("30 3 * * 1")
	if err != nil {
		b.Fatal(err)
	}
	p := schedule.Plan{Schedule: s, Window: 2 * time.Hour, Jitter: time.Hour}
	for i := range schedule.MaxPeriods {
		period, err := schedule.ParsePeriod(time.Date(2026, 1, 1+3*i, 0, 0, 0, 0, time.UTC).Format(time.DateOnly))
		if err != nil {
			b.Fatal(err)
		}
		p.Blackout = append(p.Blackout, period)
	}
	after := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	b.ReportAllocs()
	for b.Loop() {
		p.Next(after, after, 1)
	}
}
