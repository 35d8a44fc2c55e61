package audit

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// testKey is a signing key that is the same in every run.
func testKey(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

func testConfig(dir string) Config {
	return Config{Dir: dir, Key: testKey("test"), WarnFree: -1, MinFree: -1, Logger: slog.New(slog.DiscardHandler)}
}

func mustOpen(t testing.TB, cfg Config) *Log {
	t.Helper()
	l, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func mustClose(t testing.TB, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// sample is the n-th record of a test's log, a second after the one before.
func sample(n int) Record {
	at := epoch.Add(time.Duration(n) * time.Second)
	return Record{
		ID: NewID(at), Time: at, Duration: 1234567, RequestID: fmt.Sprintf("req-%d", n), Account: "000000000001",
		Principal: Principal{Kind: "user", Name: "alice", KeyID: "AKIA1", Proof: "sigv4"}, Front: "aws/secretsmanager",
		Operation: "ReadValue", Resource: fmt.Sprintf("/prod/app-%d", n%10), Region: "eu-1", Version: uint64(n),
		Source: "192.0.2.7", Agent: "aws-cli/2", Outcome: OK,
	}
}

func fill(t testing.TB, l *Log, from, to int) []Record {
	t.Helper()
	var list []Record
	for n := from; n <= to; n++ {
		r := sample(n)
		if err := l.Append(context.Background(), &r); err != nil {
			t.Fatal(err)
		}
		list = append(list, r)
	}
	return list
}

// readAll reads the records of a folder, oldest first, without verifying.
func readAll(t testing.TB, dir string) []Record {
	t.Helper()
	segments, err := listSegments(dir)
	if err != nil {
		t.Fatal(err)
	}
	var list []Record
	for _, seg := range segments {
		f, size, err := openSegment(seg)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		ls := readLines(f, 0, size)
		for {
			line, err := ls.next()
			if err != nil {
				break
			}
			if body, _, ok := splitLine(line); ok && lineKind(line) == "" {
				r, err := decodeRecord(body)
				if err != nil {
					t.Fatal(err)
				}
				list = append(list, r)
			}
		}
	}
	return list
}

func TestAppendAndOpenAgain(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, testConfig(dir))
	want := fill(t, l, 1, 20)
	mustClose(t, l)
	l = mustOpen(t, testConfig(dir))
	want = append(want, fill(t, l, 21, 30)...)
	mustClose(t, l)
	if diff := cmp.Diff(want, readAll(t, dir)); diff != "" {
		t.Error(diff)
	}
}

func TestConcurrentAppends(t *testing.T) {
	dir := t.TempDir()
	cfg := testConfig(dir)
	cfg.SegmentSize = 20 << 10
	cfg.CheckpointEvery = 50
	l := mustOpen(t, cfg)
	var mu sync.Mutex
	want := map[uint64]string{}
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			for n := range 50 {
				r, r2 := sample(g*100+n), sample(g*100+n+50)
				if n%10 == 0 {
					if err := l.AppendSync(context.Background(), []*Record{&r, &r2}); err != nil {
						t.Error(err)
					}
					if r2.Seq != r.Seq+1 {
						t.Errorf("AppendSync gave places %d and %d", r.Seq, r2.Seq)
					}
				} else if err := l.Append(context.Background(), &r); err != nil {
					t.Error(err)
				}
				mu.Lock()
				want[r.Seq] = r.ID
				if n%10 == 0 {
					want[r2.Seq] = r2.ID
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	mustClose(t, l)
	got := map[uint64]string{}
	for i, r := range readAll(t, dir) {
		if r.Seq != uint64(i+1) {
			t.Fatalf("record %d of the files has place %d", i+1, r.Seq)
		}
		got[r.Seq] = r.ID
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAppendBatch(t *testing.T) {
	disk := newBadDisk()
	cfg := testConfig(t.TempDir())
	cfg.disk, cfg.CheckpointAfter = disk, time.Hour
	l := mustOpen(t, cfg)
	batch := func(from int) []*Record {
		a, b, c := sample(from), sample(from+1), sample(from+2)
		return []*Record{&a, &b, &c}
	}
	ctx := context.Background()
	first := batch(1)
	if err := l.AppendBatch(ctx, first); err != nil || first[0].Seq != 1 || first[2].Seq != 3 {
		t.Fatalf("places %d to %d, %v", first[0].Seq, first[2].Seq, err)
	}
	if n := l.Synced(); n != 0 {
		t.Errorf("synced %d before any fsync", n)
	}
	if err := l.AppendBatch(ctx, nil); err != nil {
		t.Error(err)
	}

	// A write that breaks off after the first two lines leaves none of three.
	disk.failWrites(900, syscall.ENOSPC)
	second := batch(4)
	wantUnwritable(t, l.AppendBatch(ctx, second))
	if second[0].Seq != 0 || l.Stats().Seq != 3 {
		t.Errorf("a failed batch has place %d, and the log %d records", second[0].Seq, l.Stats().Seq)
	}
	if err := l.Err(); err != nil {
		t.Errorf("a failed write is tried again, and Err is %v", err)
	}
	disk.write.Store(nil)
	if err := l.AppendSync(ctx, second); err != nil || second[0].Seq != 4 || l.Synced() != 6 {
		t.Errorf("place %d, synced %d, %v", second[0].Seq, l.Synced(), err)
	}
	wantWhole(t, l, 6)
}

func TestErrWhileRefusing(t *testing.T) {
	disk := newBadDisk()
	cfg := testConfig(t.TempDir())
	cfg.disk, cfg.MinFree = disk, 100
	disk.space.Store(99)
	l := mustOpen(t, cfg)
	wantUnwritable(t, l.Err())
	disk.space.Store(1000)
	l.lookAtSpace()
	if err := l.Err(); err != nil {
		t.Error(err)
	}
	fill(t, l, 1, 1)
	disk.sync.Store(true)
	r := sample(2)
	wantUnwritable(t, l.AppendSync(context.Background(), []*Record{&r}))
	wantUnwritable(t, l.Err())
}

// evicted is a disk that knows how much of the segment written last it was let to
// forget.
type evicted struct {
	realDisk
	to int64
}

func (d *evicted) open(path string, flag int) (file, error) {
	f, err := d.realDisk.open(path, flag)
	d.to = 0
	return &evictedFile{f, d}, err
}

type evictedFile struct {
	file
	d *evicted
}

func (f *evictedFile) Evict(at, size int64) { f.d.to = at + size }

// TestEvict: the end of a segment stays in memory, and all that was pushed before
// it need not, of each segment for itself.
func TestEvict(t *testing.T) {
	cfg, d := testConfig(t.TempDir()), &evicted{}
	cfg.disk = d
	l := mustOpen(t, cfg)
	n := 1
	grow := func(size int64) int64 {
		for ; l.Stats().SegmentSize < size; n++ {
			fill(t, l, n, n)
		}
		l.push()
		l.syncMu.Lock() // a push of the background is over
		defer l.syncMu.Unlock()
		return d.to
	}
	for range 2 {
		if got := grow(keepCached - 4096); got != 0 {
			t.Errorf("%d bytes evicted of a segment that may stay in memory", got)
		}
		got := grow(keepCached + 100<<10)
		if size := l.Stats().SegmentSize; got <= 0 || got > size-keepCached || got < size-keepCached-4096 || got%4096 != 0 {
			t.Errorf("%d bytes evicted of %d, of which %d stay", got, size, keepCached)
		}
		if err := l.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	wantWhole(t, l, l.Stats().Seq)
}
