package audit

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/errs"

	"golang.org/x/sys/unix"
)

// badDisk fails on demand.
type badDisk struct {
	realDisk
	write    atomic.Pointer[func(b []byte) (int, error)] // how many bytes still go through
	truncate atomic.Bool
	sync     atomic.Bool
	create   atomic.Bool
	space    atomic.Int64
}

func newBadDisk() *badDisk {
	d := &badDisk{}
	d.space.Store(1 << 40)
	return d
}

func (d *badDisk) free(string) (int64, error) { return d.space.Load(), nil }

func (d *badDisk) open(path string, flag int) (file, error) {
	if d.create.Load() && flag&os.O_CREATE != 0 {
		return nil, syscall.ENOSPC
	}
	f, err := d.realDisk.open(path, flag)
	if err != nil {
		return nil, err
	}
	return &badFile{f, d}, nil
}

func (d *badDisk) failWrites(n int, err error) {
	f := func([]byte) (int, error) { return n, err }
	d.write.Store(&f)
}

type badFile struct {
	file
	d *badDisk
}

func (f *badFile) WriteAt(b []byte, at int64) (int, error) {
	if w := f.d.write.Load(); w != nil {
		n, err := (*w)(b)
		n = min(n, len(b))
		m, werr := f.file.WriteAt(b[:n], at)
		return m, errors.Join(err, werr)
	}
	return f.file.WriteAt(b, at)
}

func (f *badFile) Truncate(n int64) error {
	if f.d.truncate.Load() {
		return syscall.EIO
	}
	return f.file.Truncate(n)
}

func (f *badFile) Sync() error {
	if f.d.sync.Load() {
		return syscall.EIO
	}
	return f.file.Sync()
}

func appendOne(l *Log, n int) error {
	r := sample(n)
	return l.Append(context.Background(), &r)
}

func wantUnwritable(t *testing.T, err error) {
	t.Helper()
	if e := errs.As(err); e == nil || e.Kind != errs.Unavailable || e.Code != "audit-unwritable" {
		t.Errorf("got %v, want audit-unwritable", err)
	}
}

// wantWhole closes the log and checks that its files verify with so many
// records.
func wantWhole(t *testing.T, l *Log, records uint64) {
	t.Helper()
	mustClose(t, l)
	rep := verifyDir(t, l.cfg.Dir, []ed25519.PublicKey{l.PublicKey()})
	if !rep.OK() || rep.Records != records || rep.Unsigned != 0 {
		t.Errorf("%+v, problem %v, want %d records", rep, rep.Problem, records)
	}
}

func TestFailedWrites(t *testing.T) {
	for _, tt := range []struct {
		name     string
		n        int
		err      error
		truncate bool
	}{
		{"enospc-at-once", 0, syscall.ENOSPC, false},
		{"enospc-half-way", 100, syscall.ENOSPC, false},
		{"eio-after-all-bytes", 1 << 20, syscall.EIO, false},
		{"short-without-error", 37, nil, false},
		{"truncate-fails-too", 50, syscall.EIO, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			disk := newBadDisk()
			cfg := testConfig(t.TempDir())
			cfg.disk = disk
			l := mustOpen(t, cfg)
			fill(t, l, 1, 3)
			disk.truncate.Store(tt.truncate)
			disk.failWrites(tt.n, tt.err)
			for range 3 {
				wantUnwritable(t, appendOne(l, 4))
			}
			if s := l.Stats(); s.Seq != 3 || s.Failures < 3 {
				t.Errorf("stats %+v", s)
			}
			disk.write.Store(nil)
			if tt.truncate {
				wantUnwritable(t, appendOne(l, 4))
				disk.truncate.Store(false)
			}
			fill(t, l, 4, 6)
			wantWhole(t, l, 6)
		})
	}
}

func TestFailedWriteFailsTheWholeGroup(t *testing.T) {
	disk := newBadDisk()
	cfg := testConfig(t.TempDir())
	cfg.disk = disk
	l := mustOpen(t, cfg)
	fill(t, l, 1, 1)
	// All of these queue while the lead is held, and are then one group.
	const appenders = 8
	results := make(chan error, appenders)
	err := l.alone(func() error {
		disk.failWrites(500, syscall.ENOSPC)
		for n := range appenders {
			go func() { results <- appendOne(l, n+2) }()
		}
		for {
			l.mu.Lock()
			n := len(l.queue)
			l.mu.Unlock()
			if n == appenders {
				return nil
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	for range appenders {
		wantUnwritable(t, <-results)
	}
	disk.write.Store(nil)
	fill(t, l, 2, 2)
	wantWhole(t, l, 2)
}

func TestFailedSyncIsFinal(t *testing.T) {
	disk := newBadDisk()
	cfg := testConfig(t.TempDir())
	cfg.disk = disk
	l := mustOpen(t, cfg)
	fill(t, l, 1, 2)
	disk.sync.Store(true)
	r := sample(3)
	wantUnwritable(t, l.AppendSync(context.Background(), []*Record{&r}))
	disk.sync.Store(false)
	wantUnwritable(t, appendOne(l, 4))
	if !l.Stats().Broken {
		t.Error("not broken")
	}
	if err := l.Close(); err == nil {
		t.Error("closed without an error")
	}
	// What the relay does next: ask, and offer again what is not there.
	l = mustOpen(t, cfg)
	got, err := l.Contains(context.Background(), []string{r.ID, NewID(epoch)}, epoch)
	if err != nil || len(got) != 1 || !got[r.ID] {
		t.Errorf("contains %v, %v", got, err)
	}
	wantWhole(t, l, 3)
}

func TestFailedRotationGoesOn(t *testing.T) {
	disk := newBadDisk()
	cfg := testConfig(t.TempDir())
	cfg.disk = disk
	l := mustOpen(t, cfg)
	fill(t, l, 1, 3)
	disk.create.Store(true)
	wantUnwritable(t, l.Rotate(context.Background()))
	fill(t, l, 4, 5)
	disk.create.Store(false)
	if err := l.Rotate(context.Background()); err != nil {
		t.Fatal(err)
	}
	fill(t, l, 6, 7)
	wantWhole(t, l, 7)
}

func TestLeftoversAreCutBeforeRotationAndClose(t *testing.T) {
	disk := newBadDisk()
	cfg := testConfig(t.TempDir())
	cfg.disk = disk
	l := mustOpen(t, cfg)
	for n := 1; n <= 2; n++ {
		fill(t, l, n, n)
		if err := l.alone(l.checkpoint); err != nil {
			t.Fatal(err)
		}
		disk.truncate.Store(true)
		disk.failWrites(77, syscall.EIO)
		wantUnwritable(t, appendOne(l, 9))
		disk.write.Store(nil)
		wantUnwritable(t, l.Rotate(context.Background()))
		disk.truncate.Store(false)
		if n == 1 {
			if err := l.Rotate(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
	}
	wantWhole(t, l, 2)
}

func TestLowSpaceRefusesInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newBadDisk()
		cfg := testConfig(t.TempDir())
		cfg.disk, cfg.WarnFree, cfg.MinFree = disk, 1000, 100
		l := mustOpen(t, cfg)
		fill(t, l, 1, 1)
		disk.space.Store(500)
		time.Sleep(2*time.Second + 1)
		synctest.Wait()
		if s := l.Stats(); !s.LowSpace || s.Full || s.Free != 500 {
			t.Errorf("stats %+v", s)
		}
		fill(t, l, 2, 2)
		disk.space.Store(99)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if !l.Stats().Full {
			t.Error("not full")
		}
		wantUnwritable(t, appendOne(l, 3))
		disk.space.Store(1 << 20)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if s := l.Stats(); s.LowSpace || s.Full {
			t.Errorf("stats %+v", s)
		}
		fill(t, l, 3, 3)
		wantWhole(t, l, 3)
	})
}

func TestBackgroundSignsAndAnchors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var anchored atomic.Int64 // times
		var fail atomic.Bool
		fail.Store(true)
		cfg := testConfig(t.TempDir())
		cfg.Anchor = func(context.Context, Head) error {
			if fail.Load() {
				return errors.New("the store is away")
			}
			anchored.Add(1)
			return nil
		}
		l := mustOpen(t, cfg)
		fill(t, l, 1, 5)
		time.Sleep(cfg.CheckpointAfter + 999*time.Millisecond)
		synctest.Wait()
		if s := l.Stats(); s.Signed != 0 {
			t.Errorf("signed too early: %+v", s)
		}
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		if s := l.Stats(); s.Signed != 5 || s.Synced != 5 || s.Anchored != 0 {
			t.Errorf("stats %+v", s)
		}
		fail.Store(false)
		time.Sleep(2 * time.Second) // the next tick tries again
		synctest.Wait()
		if s := l.Stats(); s.Anchored != 5 || anchored.Load() != 1 {
			t.Errorf("stats %+v, anchored %d times", s, anchored.Load())
		}
		time.Sleep(25 * time.Hour)
		synctest.Wait()
		if s := l.Stats(); s.Rotations != 1 || s.Segments != 2 {
			t.Errorf("not rotated by age: %+v", s)
		}
		wantWhole(t, l, 5)
	})
}

// TestFullDisk fills a real limit: the kernel writes a part and refuses the
// rest. It runs itself as a child, because the limit is a process's.
func TestFullDisk(t *testing.T) {
	if dir := os.Getenv("AUDIT_TEST_LIMITED_DIR"); dir != "" {
		limitedChild(t, dir)
		return
	}
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestFullDisk$", "-test.v")
	cmd.Env = append(os.Environ(), "AUDIT_TEST_LIMITED_DIR="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func limitedChild(t *testing.T, dir string) {
	signal.Ignore(unix.SIGXFSZ)
	l := mustOpen(t, testConfig(dir))
	fill(t, l, 1, 10)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	soft := limit
	soft.Cur = uint64(l.Stats().SegmentSize) + 150 // less than half a line
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &soft); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		wantUnwritable(t, appendOne(l, 11))
	}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	fill(t, l, 11, 15)
	wantWhole(t, l, 15)
}

// TestFullFileSystem fills a small file system of its own.
func TestFullFileSystem(t *testing.T) {
	if os.Getenv("COUNTERSIGN_TEST_ROOT") != "1" {
		t.Skip("mounts a tmpfs, which needs root: set COUNTERSIGN_TEST_ROOT=1")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	l := mustOpen(t, testConfig(dir))
	n := uint64(0)
	for {
		if err := appendOne(l, int(n+1)); err != nil {
			wantUnwritable(t, err)
			break
		}
		n++
	}
	for range 3 {
		wantUnwritable(t, appendOne(l, int(n+1)))
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT, "size=1m"); err != nil {
		t.Fatal(err)
	}
	fill(t, l, int(n+1), int(n+5))
	wantWhole(t, l, n+5)
}

// TestKilled kills a writer with SIGKILL while it appends: every record that
// it reported is there, and the log opens and verifies.
func TestKilled(t *testing.T) {
	if dir := os.Getenv("AUDIT_TEST_KILL_DIR"); dir != "" {
		cfg := testConfig(dir)
		cfg.CheckpointAfter, cfg.SegmentSize = 5*time.Millisecond, 64<<10
		l := mustOpen(t, cfg)
		for n := 1; ; n++ {
			r := sample(n)
			if err := l.Append(context.Background(), &r); err != nil {
				t.Fatal(err)
			}
			fmt.Println("acknowledged", r.ID)
		}
	}
	dir := t.TempDir()
	acked := map[string]bool{}
	for round := range 4 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilled$")
		cmd.Env = append(os.Environ(), "AUDIT_TEST_KILL_DIR="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		in := bufio.NewScanner(out)
		for n := 0; in.Scan(); n++ {
			if id, ok := strings.CutPrefix(in.Text(), "acknowledged "); ok {
				acked[id] = true
			}
			if n == 300+round*211 {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait() // killed
	}
	l := mustOpen(t, testConfig(dir))
	mustClose(t, l)
	if rep := verifyDir(t, dir, []ed25519.PublicKey{l.PublicKey()}); !rep.OK() {
		t.Fatal(rep.Problem)
	}
	for _, r := range readAll(t, dir) {
		delete(acked, r.ID)
	}
	if len(acked) > 0 {
		t.Errorf("%d acknowledged records are missing", len(acked))
	}
}

func TestNothingLeaksIntoErrors(t *testing.T) {
	disk := newBadDisk()
	cfg := testConfig(t.TempDir())
	cfg.disk = disk
	l := mustOpen(t, cfg)
	disk.failWrites(0, syscall.ENOSPC)
	err := appendOne(l, 1)
	if msg := errs.As(err).Msg; strings.Contains(msg, "space") || bytes.Contains([]byte(msg), []byte(cfg.Dir)) {
		t.Errorf("the message %q tells of the inside", msg)
	}
	disk.write.Store(nil)
}
