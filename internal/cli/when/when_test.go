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
