package bucket

import (
	"strconv"
	"testing"
	"time"
)

func TestTake(t *testing.T) {
	b, now := New(2, 3), time.Unix(1000, 0)
	for i := range 3 {
		if ok, left := b.Take("a", now); !ok || left != float64(2-i) {
			t.Errorf("%d: %v, %v are left", i, ok, left)
		}
	}
	if ok, _ := b.Take("a", now); ok || b.Room("a", now) {
		t.Error("there was a fourth")
	}
	if ok, _ := b.Take("b", now); !ok {
		t.Error("one name has used up the tokens of another")
	}
	now = now.Add(time.Second)
	for i, want := range []bool{true, true, false} {
		if room := b.Room("a", now); room != want {
			t.Errorf("room for %d a second later: %v", i, room)
		}
		if ok, _ := b.Take("a", now); ok != want {
			t.Errorf("%d a second later: %v", i, ok)
		}
	}
}

// TestSweep: whoever has used up the tokens stays so however many others come, and
// what tells nothing is dropped.
func TestSweep(t *testing.T) {
	b, now := New(1, 2), time.Unix(1000, 0)
	for i := range 2 * sweepAt {
		b.Take(strconv.Itoa(i), now)
		b.Take(strconv.Itoa(i), now)
	}
	if len(b.of) != 2*sweepAt || b.sweepAt != 2*sweepAt {
		t.Errorf("%d are kept, and looked at again when there are %d", len(b.of), b.sweepAt)
	}
	if b.Take("more", now); b.Room("0", now) || len(b.of) != 2*sweepAt+1 || b.sweepAt != 4*sweepAt {
		t.Errorf("room %v, %d are kept, and looked at again when there are %d", b.Room("0", now), len(b.of), b.sweepAt)
	}
	b.sweepAt = len(b.of)
	if b.Take("later", now.Add(time.Minute)); len(b.of) != 1 || b.sweepAt != sweepAt {
		t.Errorf("%d are kept that are full, and looked at again when there are %d", len(b.of), b.sweepAt)
	}
}

func BenchmarkTake(b *testing.B) {
	l, now := New(1, 1), time.Unix(1000, 0)
	for i := 0; b.Loop(); i++ {
		l.Take(strconv.Itoa(i), now)
	}
}
