package audit

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// drain takes steps until there is nothing more, and returns the numbers of
// what came and what was lost.
func drain(t *testing.T, r *Reader, limit int) (seqs []uint64, lost []LostError) {
	t.Helper()
	for {
		list, err := r.Next(context.Background(), limit)
		for i := range list {
			seqs = append(seqs, list[i].Seq)
		}
		var gap *LostError
		switch {
		case errors.As(err, &gap):
			lost = append(lost, *gap)
		case err != nil:
			t.Fatal(err)
		case len(list) < limit:
			return seqs, lost
		}
	}
}

func wantRange(t *testing.T, got []uint64, from, to uint64) {
	t.Helper()
	for i, s := range got {
		if s != from+uint64(i) {
			t.Fatalf("record %d follows %d records of %d to %d", s, i, from, to)
		}
	}
	if uint64(len(got)) != to+1-from {
		t.Fatalf("got %d records of %d to %d", len(got), from, to)
	}
}

func TestReader(t *testing.T) {
	l := mustOpen(t, testConfig(t.TempDir()))
	fill(t, l, 1, 25)
	r := l.Reader(Filter{Account: "000000000001"}, 3, "")
	got, _ := drain(t, r, 7)
	wantRange(t, got, 4, 25)
	if r.Place() != 25 {
		t.Errorf("it stands at %d", r.Place())
	}
	wake := r.Wake()
	other := sample(26)
	other.Account = "000000000002"
	if err := l.Append(context.Background(), &other); err != nil {
		t.Fatal(err)
	}
	select {
	case <-wake:
	case <-time.After(5 * time.Second):
		t.Fatal("nothing woke it")
	}
	if got, _ := drain(t, r, 7); len(got) != 0 || r.Place() != 26 {
		t.Errorf("of another account: %v, at %d", got, r.Place())
	}
	fill(t, l, 27, 40)
	got, _ = drain(t, r, 14)
	wantRange(t, got, 27, 40)
}

// TestReaderOfTheArchive reads records that were moved away before and while
// they are read, and is told which are nowhere.
func TestReaderOfTheArchive(t *testing.T) {
	ctx := context.Background()
	dir, _ := sampleLog(t, 30, 3)
	l := mustOpen(t, testConfig(dir))
	archive := filepath.Join(t.TempDir(), "archive")
	slow, poor := l.Reader(Filter{}, 2, archive), l.Reader(Filter{}, 2, "")
	first, err := slow.Next(ctx, 4)
	if err != nil || len(first) != 4 || first[0].Seq != 3 {
		t.Fatalf("%d records, %v", len(first), err)
	}
	out, err := l.Export(ctx, time.Time{}, archive)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := l.Prune(ctx, time.Time{}, out.Proof); n != 2 || err != nil {
		t.Fatalf("pruned %d, %v", n, err)
	}
	got, lost := drain(t, slow, 4)
	wantRange(t, got, 7, 30)
	if lost != nil {
		t.Errorf("lost %v", lost)
	}
	got, lost = drain(t, poor, 4)
	wantRange(t, got, 21, 30)
	if len(lost) != 1 || lost[0] != (LostError{3, 20}) {
		t.Errorf("lost %v", lost)
	}

	if err := os.Remove(filepath.Join(archive, "00000000000000000011.log")); err != nil {
		t.Fatal(err)
	}
	got, lost = drain(t, l.Reader(Filter{}, 0, archive), 100)
	if len(got) != 20 || len(lost) != 1 || lost[0] != (LostError{11, 20}) {
		t.Errorf("%d records, lost %v", len(got), lost)
	}
	if err := os.Remove(filepath.Join(archive, "00000000000000000001.log")); err != nil {
		t.Fatal(err)
	}
	if _, lost = drain(t, l.Reader(Filter{}, 0, archive), 100); len(lost) != 1 || lost[0] != (LostError{1, 20}) {
		t.Errorf("lost %v", lost)
	}
}
