package when_test

import (
	"testing"
	"time"

	"countersign/internal/cli/when"
)

func TestTimes(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	tests := []struct {
		text         string
		past, future string // RFC 3339; empty when refused
	}{
		{"1h", "2026-11-23T11:00:00Z", "2026-11-23T13:00:00Z"},
		{"1d12h", "2026-11-22T00:00:00Z", "2026-11-25T00:00:00Z"},
		{"2w", "2026-11-09T12:00:00Z", "2026-12-07T12:00:00Z"},
		{"90s", "2026-11-23T11:58:30Z", "2026-11-23T12:01:30Z"},
		{"2026-11-01", "2026-11-01T00:00:00Z", "2026-11-01T00:00:00Z"},
		{"2026-11-01T10:00:00+02:00", "2026-11-01T08:00:00Z", "2026-11-01T08:00:00Z"},
		{"", "", ""}, {"1", "", ""}, {"h", "", ""}, {"-1h", "", ""}, {"1.5h", "", ""}, {"0d", "", ""}, {"1y", "", ""},
		{"1h ", "", ""}, {"9999999999h", "", ""}, {"2147483647w", "", ""}, {"2026-13-01", "", ""}, {"٣d", "", ""},
	}
	for _, tt := range tests {
		t.Run("text-"+tt.text, func(t *testing.T) {
			for _, way := range []struct {
				parse func(string, time.Time) (time.Time, error)
				want  string
			}{{when.Past, tt.past}, {when.Future, tt.future}} {
				got, err := way.parse(tt.text, now)
				if (err != nil) != (way.want == "") || err == nil && got.UTC().Format(time.RFC3339) != way.want {
					t.Errorf("%q is %s (%v), want %q", tt.text, got, err, way.want)
				}
			}
		})
	}
}

func TestAgo(t *testing.T) {
	now := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	for d, want := range map[time.Duration]string{-time.Hour: "just now", 59 * time.Second: "just now", 90 * time.Second: "1m ago",
		59 * time.Minute: "59m ago", 2 * time.Hour: "2h ago", 47 * time.Hour: "1d ago", 80 * 24 * time.Hour: "80d ago"} {
		if got := when.Ago(now.Add(-d), now); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
	}
	if got := when.Ago(time.Time{}, now); got != "" {
		t.Errorf("no time is %q", got)
	}
}
