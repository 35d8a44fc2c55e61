package schedule_test

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/core/schedule"
	"countersign/internal/errs"
)

// manual is the page for users, whose dates these tests compute.
const manual = "../../../docs/rotation/schedules.md"

// example is a block of the manual that is marked "dates".
type example struct {
	line     int
	plan     schedule.Plan
	from     time.Time
	want     []string
	finished bool
}

func readManual(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(b), "\n")
}

// read takes one line of a block.
func (e *example) read(t *testing.T, line string) {
	t.Helper()
	word, value, _ := strings.Cut(line, " ")
	value = strings.TrimSpace(value)
	var err error
	switch word {
	case "days":
		n, _ := strconv.Atoi(value)
		e.plan.Schedule = schedule.Days(n)
	case "schedule":
		e.plan.Schedule, err = schedule.ParseAny(value)
	case "window":
		e.plan.Window, err = schedule.ParseWindow(value)
	case "blackout":
		e.plan.Blackout = append(e.plan.Blackout, periods(t, value)...)
	case "from":
		e.from = utc(t, value)
	case "next":
		e.want = append(e.want, value)
	default:
		t.Errorf("line %q", line)
	}
	if err != nil {
		t.Error(err)
	}
}

func TestManualDates(t *testing.T) {
	var all []*example
	for i, line := range readManual(t) {
		last := len(all) - 1
		switch {
		case line == "```dates":
			all = append(all, &example{line: i + 1})
		case last < 0 || all[last].finished:
		case line == "```":
			all[last].finished = true
		default:
			all[last].read(t, line)
		}
	}
	if len(all) < 7 {
		t.Errorf("the manual has %d examples", len(all))
	}
	for _, e := range all {
		if err := e.plan.Check(); err != nil || len(e.want) == 0 || e.from.IsZero() {
			t.Errorf("line %d: %v", e.line, err)
			continue
		}
		var got []string
		after := e.from
		for range e.want {
			opens, at, closes, _ := e.plan.Next(e.from, after, 1)
			got, after = append(got, window(opens, closes)), at
		}
		if diff := cmp.Diff(e.want, got); diff != "" {
			t.Errorf("line %d (-manual +computed):\n%s", e.line, diff)
		}
	}
}

// cells are those of a table's row whose first is code.
func cells(line string) []string {
	rest, ok := strings.CutPrefix(line, "| `")
	if !ok {
		return nil
	}
	expr, rest, _ := strings.Cut(rest, "`")
	out := []string{expr}
	for _, c := range strings.Split(strings.Trim(rest, " |"), "|") {
		out = append(out, strings.TrimSpace(c))
	}
	return out
}

func TestManualTables(t *testing.T) {
	set := utc(t, "2026-01-14 10:20")
	accepted, refused := 0, 0
	for _, line := range readManual(t) {
		switch c := cells(line); len(c) {
		case 0:
		case 4:
			accepted++
			s := parseAny(t, c[0])
			first, _ := s.NextFrom(set, set)
			second, _ := s.NextFrom(set, first)
			if diff := cmp.Diff(c[2:], []string{first.Format("2006-01-02 15:04"), second.Format("2006-01-02 15:04")}); diff != "" {
				t.Errorf("%s (-manual +computed):\n%s", c[0], diff)
			}
		case 2:
			refused++
			if _, err := schedule.ParseAny(c[0]); err == nil || !strings.Contains(errs.As(err).Msg, c[1]) {
				t.Errorf("%s: %v; the manual says %q", c[0], err, c[1])
			}
		default:
			t.Errorf("row %q", line)
		}
	}
	if accepted < 20 || refused < 10 {
		t.Errorf("the manual has %d expressions and %d that are refused", accepted, refused)
	}
}
