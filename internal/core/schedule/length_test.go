package schedule

import (
	"testing"
	"time"
)

func TestLength(t *testing.T) {
	for text, want := range map[string]time.Duration{"": 0, "90s": 90 * time.Second, "1d12h": 36 * time.Hour, "2w": 14 * 24 * time.Hour, "0s": 0} {
		got, err := ParseLength("grace", text)
		if err != nil || got != want {
			t.Errorf("%q is %s, %v", text, got, err)
		}
	}
	for _, text := range []string{"1", "h", "1y", "-1h", "1.5h", " 1h", "99999999999h", "2147483647w2147483647w", "1h "} {
		if got, err := ParseLength("grace", text); err == nil {
			t.Errorf("%q is %s", text, got)
		}
	}
}

func FuzzLength(f *testing.F) {
	f.Add(int64(36 * time.Hour))
	f.Fuzz(func(t *testing.T, n int64) {
		d := time.Duration(n).Truncate(time.Second)
		if d < 0 {
			return
		}
		if got, err := ParseLength("x", FormatLength(d)); err != nil || got != d {
			t.Fatalf("%s is written %q and read as %s, %v", d, FormatLength(d), got, err)
		}
	})
}
