package audit

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const readersAccount = "111111111111"

// readOf is the record of a read of the secret "db".
func readOf(who string, at time.Time, version uint64) Record {
	return Record{ID: NewID(at), Time: at, Account: readersAccount, Principal: Principal{Kind: "user", Name: who}, Operation: "ReadValue",
		Resource: "db", Region: "a", Version: version, Outcome: OK}
}

func appendAll(t testing.TB, l *Log, list ...Record) {
	t.Helper()
	for i := range list {
		if err := l.Append(context.Background(), &list[i]); err != nil {
			t.Fatal(err)
		}
	}
}

// TestReadersThroughFronts: it does not matter through which front a secret is
// read, and a principal is one of its account and kind.
func TestReadersThroughFronts(t *testing.T) {
	l := mustOpen(t, testConfig(t.TempDir()))
	var list []Record
	add := func(kind, account, front string, version uint64) {
		r := readOf("one", epoch.Add(time.Duration(len(list)+1)*time.Second), version)
		r.Principal.Kind, r.Principal.Account, r.Front = kind, account, front
		list = append(list, r)
	}
	add("user", "", "aws/secretsmanager", 1)
	add("user", "", "vault", 2)
	add("user", "", "native", 3)
	add("user", "", "a-front-of-another-name", 4)
	add("machine", "", "native", 5)
	add("user", "222222222222", "aws/secretsmanager", 6)
	appendAll(t, l, list...)
	got, err := l.Readers(t.Context(), readersAccount, "db", []string{"a"}, epoch)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]uint64{"user/one": 4, "machine/one": 5, "user/one@222222222222": 6}, got); diff != "" {
		t.Error(diff)
	}
}

// TestReadersOlder damages what must not be read: segments of before the time.
func TestReadersOlder(t *testing.T) {
	l := mustOpen(t, testConfig(t.TempDir()))
	at := func(n int) time.Time { return epoch.Add(time.Duration(n) * time.Second) }
	for n := 1; n <= 40; n++ {
		appendAll(t, l, readOf("one", at(n), uint64(n)))
		if n%10 == 0 {
			if err := l.Rotate(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	second := paths(t, l.cfg.Dir)[1]
	write(t, second, []byte(strings.ReplaceAll(string(read(t, second)), `"id":"`, `"XX":"`)))
	got, err := l.Readers(t.Context(), readersAccount, "db", []string{"a"}, at(21))
	if err != nil || got["user/one"] != 40 {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := l.Readers(t.Context(), readersAccount, "db", []string{"a"}, at(20)); err == nil {
		t.Error("what is damaged was passed over")
	}
}

// TestReadersWhileWritten: a log that is written and begins new segments meanwhile
// is read whole up to where it was.
func TestReadersWhileWritten(t *testing.T) {
	l := mustOpen(t, testConfig(t.TempDir()))
	now := time.Now()
	for n := range 50 {
		appendAll(t, l, readOf(fmt.Sprintf("early-%d", n), now, 1))
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		for n := 0; n < 2000 && ctx.Err() == nil; n++ { // each look reads all of them
			r := readOf("busy", time.Now(), uint64(n+1))
			if err := l.Append(context.Background(), &r); err != nil {
				done <- err
				return
			}
			if n%50 == 49 {
				if err := l.Rotate(context.Background()); err != nil {
					done <- err
					return
				}
			}
		}
		done <- nil
	}()
	last := uint64(0)
	for range 100 {
		got, err := l.Readers(t.Context(), readersAccount, "db", []string{"a"}, now)
		if err != nil {
			t.Fatal(err)
		}
		if got["user/busy"] < last {
			t.Fatalf("version %d after %d", got["user/busy"], last)
		}
		last = got["user/busy"]
		delete(got, "user/busy")
		if len(got) != 50 {
			t.Fatalf("%d readers of before", len(got))
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// TestReadersRefuses: it is said when it cannot be known who reads.
func TestReadersRefuses(t *testing.T) {
	l := mustOpen(t, testConfig(t.TempDir()))
	var list []Record
	for n := range MaxReaders {
		list = append(list, readOf(fmt.Sprintf("r%d", n), epoch.Add(time.Duration(n+1)*time.Millisecond), 1))
	}
	appendAll(t, l, list...)
	ask := func(since time.Time) (map[string]uint64, error) {
		return l.Readers(t.Context(), readersAccount, "db", []string{"a"}, since)
	}
	if got, err := ask(epoch); err != nil || len(got) != MaxReaders {
		t.Fatalf("%d readers, %v", len(got), err)
	}
	if err := l.Rotate(t.Context()); err != nil {
		t.Fatal(err)
	}
	late := epoch.Add(time.Hour)
	appendAll(t, l, readOf("one-more", late, 2))
	if _, err := ask(epoch); err == nil || !strings.Contains(err.Error(), "10000 principals") {
		t.Errorf("too many: %v", err)
	}
	dst := t.TempDir()
	out, err := l.Export(t.Context(), late, dst)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := l.Prune(t.Context(), late, out.Proof); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if _, err := ask(epoch); err == nil || !strings.Contains(err.Error(), "goes back to "+late.UTC().Format(time.RFC3339)) {
		t.Errorf("moved away: %v", err)
	}
	if got, err := ask(late); err != nil || cmp.Diff(map[string]uint64{"user/one-more": 2}, got) != "" {
		t.Errorf("%v, %v", got, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Readers(ctx, readersAccount, "db", []string{"a"}, late); err == nil {
		t.Error("it went on after the end of the context")
	}
	if err := os.RemoveAll(l.cfg.Dir); err != nil {
		t.Fatal(err)
	}
	if _, err := ask(late); err == nil {
		t.Error("a log that is gone has no readers")
	}
}

// BenchmarkReaders is one look at a million records, of which one in ten is of the
// secret.
func BenchmarkReaders(b *testing.B) {
	l := mustOpen(b, testConfig(b.TempDir()))
	const records = 1_000_000
	for n := range records {
		r := sample(n)
		r.Principal.Name = fmt.Sprintf("reader-%d", n%997)
		if err := l.Append(context.Background(), &r); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		got, err := l.Readers(context.Background(), "000000000001", "/prod/app-7", []string{"eu-1"}, epoch)
		if err != nil || len(got) != 997 {
			b.Fatal(len(got), err)
		}
	}
}
