package audit

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func seqs(t testing.TB, records iter.Seq2[Record, error]) []uint64 {
	t.Helper()
	var list []uint64
	for r, err := range records {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, r.Seq)
	}
	return list
}

// mixedLog has forty records in four segments that differ in every member
// that can be asked for.
func mixedLog(t testing.TB) (*Log, []Record) {
	l := mustOpen(t, testConfig(t.TempDir()))
	var list []Record
	for n := 1; n <= 40; n++ {
		r := sample(n)
		switch n % 4 {
		case 1:
			r.Account, r.Principal.Name, r.Front = "000000000002", "bob \"x\"", "native"
		case 2:
			r.Outcome, r.Decision = Denied, &Decision{ID: NewID(r.Time), Effect: "no-match"}
		case 3:
			r.Operation, r.Change, r.Principal.KeyID = "WriteValue", "change-7", "AKIA2"
		}
		if err := l.Append(context.Background(), &r); err != nil {
			t.Fatal(err)
		}
		list = append(list, r)
		if n%10 == 0 && n < 40 {
			if err := l.Rotate(context.Background()); err != nil {
				t.Fatal(err)
			}
		} else if n%10 == 5 {
			if err := l.alone(l.checkpoint); err != nil {
				t.Fatal(err)
			}
		}
	}
	return l, list
}

func TestQuery(t *testing.T) {
	l, list := mixedLog(t)
	at := func(n int) time.Time { return list[n-1].Time }
	filters := map[string]struct {
		f    Filter
		want func(Record) bool
	}{
		"all":             {Filter{}, func(Record) bool { return true }},
		"account":         {Filter{Account: "000000000002"}, func(r Record) bool { return r.Account == "000000000002" }},
		"principal":       {Filter{Principal: `bob "x"`}, func(r Record) bool { return r.Seq%4 == 1 }},
		"since":           {Filter{Since: at(17)}, func(r Record) bool { return r.Seq >= 17 }},
		"until":           {Filter{Until: at(17)}, func(r Record) bool { return r.Seq < 17 }},
		"window":          {Filter{Since: at(9), Until: at(12)}, func(r Record) bool { return r.Seq >= 9 && r.Seq < 12 }},
		"after-the-end":   {Filter{Since: at(40).Add(1)}, func(Record) bool { return false }},
		"place":           {Filter{After: 9, Before: 22}, func(r Record) bool { return r.Seq > 9 && r.Seq < 22 }},
		"operation":       {Filter{Operation: "WriteValue"}, func(r Record) bool { return r.Seq%4 == 3 }},
		"resource":        {Filter{Resource: "/prod/app-1"}, func(r Record) bool { return r.Seq%10 == 1 }},
		"resource-part":   {Filter{Resource: "/prod/app"}, func(Record) bool { return false }},
		"resource-prefix": {Filter{Resource: "/prod/app*"}, func(Record) bool { return true }},
		"outcome":         {Filter{Outcome: Denied}, func(r Record) bool { return r.Seq%4 == 2 }},
		"decision":        {Filter{Decision: list[21].Decision.ID}, func(r Record) bool { return r.Seq == 22 }},
		"decision-as-id":  {Filter{Decision: list[21].ID}, func(Record) bool { return false }},
		"id":              {Filter{ID: list[12].ID}, func(r Record) bool { return r.Seq == 13 }},
		"change":          {Filter{Change: "change-7"}, func(r Record) bool { return r.Seq%4 == 3 }},
		"key":             {Filter{Key: "AKIA2"}, func(r Record) bool { return r.Seq%4 == 3 }},
		"front":           {Filter{Front: "native"}, func(r Record) bool { return r.Seq%4 == 1 }},
		"request":         {Filter{RequestID: "req-33"}, func(r Record) bool { return r.Seq == 33 }},
		"two":             {Filter{Outcome: Denied, Since: at(30)}, func(r Record) bool { return r.Seq%4 == 2 && r.Seq >= 30 }},
	}
	for name, tt := range filters {
		t.Run(name, func(t *testing.T) {
			var want, back []uint64
			for _, r := range list {
				if tt.want(r) {
					want = append(want, r.Seq)
					back = append([]uint64{r.Seq}, back...)
				}
			}
			if diff := cmp.Diff(want, seqs(t, l.Query(context.Background(), tt.f))); diff != "" {
				t.Errorf("oldest first: %s", diff)
			}
			tt.f.Order = NewestFirst
			if diff := cmp.Diff(back, seqs(t, l.Query(context.Background(), tt.f))); diff != "" {
				t.Errorf("newest first: %s", diff)
			}
			tt.f.Order, tt.f.Limit = ByLimit, 3
			if diff := cmp.Diff(back[:min(3, len(back))], seqs(t, Query(context.Background(), l.cfg.Dir, tt.f))); diff != "" {
				t.Errorf("the last three: %s", diff)
			}
		})
	}
	for r, err := range l.Query(context.Background(), Filter{Order: OldestFirst}) {
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(list[r.Seq-1], r); diff != "" {
			t.Error(diff)
		}
	}
}

// TestQuerySkips damages what must not be read.
func TestQuerySkips(t *testing.T) {
	l, list := mixedLog(t)
	mustClose(t, l)
	p := paths(t, l.cfg.Dir)
	damage := func(path, old string) {
		write(t, path, bytes.Replace(read(t, path), []byte(old), []byte(`"XX`), 1))
	}
	damage(p[0], `"id":`)  // the first segment is older
	damage(p[1], `"id":`)  // so is the second
	damage(p[2], `"id":"`) // record 21 stands before the checkpoint of 25
	f := Filter{Since: list[25].Time, Until: list[28].Time, Order: NewestFirst}
	if diff := cmp.Diff([]uint64{28, 27, 26}, seqs(t, Query(context.Background(), l.cfg.Dir, f))); diff != "" {
		t.Error(diff)
	}
	younger := Filter{Since: list[0].Time.Add(-time.Hour), Until: list[0].Time, Order: NewestFirst}
	if got := seqs(t, Query(context.Background(), l.cfg.Dir, younger)); len(got) > 0 {
		t.Errorf("before all: %v", got)
	}
	var last error
	for _, err := range Query(context.Background(), l.cfg.Dir, Filter{}) {
		last = err
	}
	if last == nil || !strings.Contains(last.Error(), "00000000000000000001.log") {
		t.Errorf("damage gave %v", last)
	}
}

func TestQueryEnds(t *testing.T) {
	l, _ := mixedLog(t)
	for r, err := range l.Query(context.Background(), Filter{}) {
		if err != nil || r.Seq != 1 {
			t.Fatal(r, err)
		}
		break
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, err := range Query(ctx, l.cfg.Dir, Filter{}) {
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	for _, err := range Query(ctx, l.cfg.Dir+"/absent", Filter{}) {
		if err == nil {
			t.Error("an absent folder gave a record")
		}
	}
}

func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := mixedLog(t)
		ctx, cancel := context.WithCancel(context.Background())
		got := make(chan uint64, 100)
		ended := make(chan error, 1)
		go func() {
			for r, err := range l.Follow(ctx, Filter{Operation: "ReadValue"}, 36) {
				if err != nil {
					ended <- err
					return
				}
				got <- r.Seq
			}
		}()
		next := func(want uint64) {
			t.Helper()
			if n := <-got; n != want {
				t.Fatalf("got record %d, want %d", n, want)
			}
		}
		for _, n := range []uint64{37, 38, 40} {
			next(n)
		}
		for n := 41; n <= 60; n++ {
			fill(t, l, n, n)
			if n%7 == 0 {
				if err := l.Rotate(ctx); err != nil {
					t.Fatal(err)
				}
			}
			next(uint64(n))
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		closed := make(chan bool)
		go func() {
			for range l.Follow(context.Background(), Filter{}, 60) {
				t.Error("a record after the end")
			}
			close(closed)
		}()
		synctest.Wait()
		mustClose(t, l)
		<-closed
	})
}

func BenchmarkQueryByResource(b *testing.B) {
	dir, _ := sampleLog(b, 20000, 1)
	for b.Loop() {
		if n := len(seqs(b, Query(context.Background(), dir, Filter{RequestID: "req-7"}))); n != 1 {
			b.Fatal(n)
		}
	}
}

// TestReaders: the last read of each principal counts, over segments, and no other
// secret's.
func TestReaders(t *testing.T) {
	l := mustOpen(t, testConfig(t.TempDir()))
	at := time.Now().Add(-time.Hour)
	add := func(who, kind, account, region, secret, op string, version uint64, outcome Outcome) {
		t.Helper()
		at = at.Add(time.Second)
		r := Record{ID: NewID(at), Time: at, Account: account, Principal: Principal{Kind: kind, Name: who}, Operation: op, Resource: secret, Region: region, Version: version, Outcome: outcome}
		if err := l.Append(t.Context(), &r); err != nil {
			t.Fatal(err)
		}
	}
	const account, other = "111111111111", "222222222222"
	add("early", "user", account, "a", "db", "ReadValue", 1, OK)
	since := at.Add(500 * time.Millisecond)
	for n := range uint64(30) {
		if n%10 == 9 {
			if err := l.Rotate(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		add("one", "user", account, "a", "db", "ReadValue", n, OK)
		add("two", "machine", account, "b", "db", "ReadValue", 30-n, OK)
	}
	add("one", "user", account, "a", "db2", "ReadValue", 99, OK)
	add("one", "user", account, "a", "db", "PutValue", 99, OK)
	add("one", "user", account, "a", "db", "ReadValue", 99, Denied)
	add("one", "user", account, "a", "db", "ReadValue", 0, OK) // what is proposed
	add("far", "user", account, "c", "db", "ReadValue", 5, OK)
	add("theirs", "user", other, "a", "db", "ReadValue", 5, OK)
	add("rotation", "system", account, "a", "db", "ReadValue", 5, OK)
	got, err := l.Readers(t.Context(), account, "db", []string{"a", "b"}, since)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]uint64{"user/one": 29, "machine/two": 1}, got); diff != "" {
		t.Error(diff)
	}
}
