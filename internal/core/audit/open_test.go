package audit

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// crash leaves the folder as a killed process would: nothing is signed or
// synced at the end.
func crash(t testing.TB, l *Log) {
	t.Helper()
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	close(l.stop)
	<-l.done
	if err := errors.Join(l.f.Close(), l.lock.Close()); err != nil {
		t.Fatal(err)
	}
}

// crashedLog leaves ten signed records and five that are not.
func crashedLog(t *testing.T) (Config, string) {
	t.Helper()
	cfg := testConfig(t.TempDir())
	l := mustOpen(t, cfg)
	fill(t, l, 1, 10)
	mustClose(t, l)
	slow := cfg
	slow.CheckpointAfter = time.Hour
	l = mustOpen(t, slow)
	fill(t, l, 11, 15)
	crash(t, l)
	return cfg, paths(t, cfg.Dir)[0]
}

func TestOpenAfterCrash(t *testing.T) {
	cfg, _ := crashedLog(t)
	l := mustOpen(t, cfg)
	fill(t, l, 16, 17)
	wantWhole(t, l, 17)
}

func TestOpenCutsUnfinishedLine(t *testing.T) {
	for _, tail := range []string{"{", `{"seq":16,"id":"01`, strings.Repeat("\x00", 5000), "}\r"} {
		cfg, path := crashedLog(t)
		write(t, path, append(read(t, path), tail...))
		l := mustOpen(t, cfg)
		wantWhole(t, l, 16)
		list := readAll(t, cfg.Dir)
		if r := list[len(list)-1]; r.Operation != "RecoverAuditLog" || !strings.Contains(r.Resource, "unfinished") || r.Account != "000000000000" {
			t.Errorf("the recovery is noted as %+v", r)
		}
	}
}

func TestOpenRefusesDamage(t *testing.T) {
	replace := func(old, new string) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			b := read(t, path)
			i := bytes.LastIndex(b, []byte(old))
			if i < 0 {
				t.Fatalf("no %q", old)
			}
			write(t, path, append(append(b[:i:i], new...), b[i+len(old):]...))
		}
	}
	tests := []struct {
		name   string
		damage func(t *testing.T, path string)
		want   error
	}{
		{"edited-tail", replace(`"req-13"`, `"req-99"`), ErrDamaged},
		{"tail-line-cut", func(t *testing.T, path string) {
			editLines(t, path, func(l [][]byte) [][]byte { return append(l[:len(l)-3], l[len(l)-2:]...) })
		}, ErrDamaged},
		{"garbage-line", func(t *testing.T, path string) { write(t, path, append(read(t, path), "garbage\n"...)) }, ErrDamaged},
		{"last-checkpoint-edited", replace(`{"checkpoint":{"seq":10`, `{"checkpoint":{"seq":11`), ErrDamaged},
		{"header-edited", replace(`"first":1`, `"first":2`), ErrDamaged},
		{"empty", func(t *testing.T, path string) { write(t, path, nil) }, ErrDamaged},
		{"cut-behind-head", func(t *testing.T, path string) {
			editLines(t, path, func(l [][]byte) [][]byte { return l[:6] })
		}, ErrBehind},
		{"checkpoint-cut", func(t *testing.T, path string) {
			editLines(t, path, func(l [][]byte) [][]byte { return l[:11] })
		}, ErrDamaged},
		{"all-gone", remove, ErrBehind},
		{"head-gone", func(t *testing.T, path string) { remove(t, filepath.Join(filepath.Dir(path), headName)) }, ErrDamaged},
		{"head-edited", func(t *testing.T, path string) {
			p := filepath.Join(filepath.Dir(path), headName)
			write(t, p, bytes.Replace(read(t, p), []byte(`"seq":10`), []byte(`"seq":1`), 1))
		}, ErrDamaged},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg, path := crashedLog(t)
			tt.damage(t, path)
			if _, err := Open(cfg); !errors.Is(err, tt.want) {
				t.Fatalf("opened with %v, want %v", err, tt.want)
			} else if tt.want == ErrBehind && !strings.Contains(err.Error(), "missing") {
				t.Errorf("%v does not say what is missing", err)
			}
			if tt.name == "header-edited" || tt.name == "empty" {
				return // not even accepted loss helps there: move the file away
			}
			cfg.AcceptLoss = true
			l := mustOpen(t, cfg)
			fill(t, l, 30, 31)
			mustClose(t, l)
			noted := false
			for _, r := range readAll(t, cfg.Dir) {
				noted = noted || r.Operation == "AcceptAuditLoss"
			}
			if !noted {
				t.Error("the loss is not noted in the log")
			}
			cfg.AcceptLoss = false
			mustClose(t, mustOpen(t, cfg))
		})
	}
}

func TestOpenChecksTheSegmentBefore(t *testing.T) {
	dir, _ := sampleLog(t, 10, 2)
	editLines(t, paths(t, dir)[0], func(l [][]byte) [][]byte { return l[:len(l)-1] })
	cfg := testConfig(dir)
	if _, err := Open(cfg); !errors.Is(err, ErrDamaged) {
		t.Fatalf("opened with %v", err)
	}
	cfg.AcceptLoss = true
	mustClose(t, mustOpen(t, cfg))
	list := readAll(t, dir)
	if r := list[len(list)-1]; r.Operation != "AcceptAuditLoss" {
		t.Errorf("noted as %+v", r)
	}
}

func TestOpenComparesWithTheAnchor(t *testing.T) {
	cfg := testConfig(t.TempDir())
	var anchored Head
	cfg.Anchor = func(_ context.Context, h Head) error { anchored = h; return nil }
	l := mustOpen(t, cfg)
	fill(t, l, 1, 10)
	mustClose(t, l)
	older := anchored
	old := map[string][]byte{}
	for _, name := range []string{filepath.Base(paths(t, cfg.Dir)[0]), headName} {
		old[name] = read(t, filepath.Join(cfg.Dir, name))
	}
	l = mustOpen(t, cfg)
	fill(t, l, 11, 20)
	mustClose(t, l)
	if anchored.Seq != 20 {
		t.Fatalf("anchored %+v", anchored)
	}
	for name, expect := range map[string]Head{"same": anchored, "older": older, "none": {}} {
		cfg.ExpectHead = expect
		l, err := Open(cfg)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		mustClose(t, l)
	}
	cfg.ExpectHead = Head{Seq: 10, Hash: Hash{1}}
	if _, err := Open(cfg); !errors.Is(err, ErrDamaged) {
		t.Errorf("another history: %v", err)
	}
	for name, b := range old {
		write(t, filepath.Join(cfg.Dir, name), b)
	}
	cfg.ExpectHead = anchored
	_, err := Open(cfg)
	if !errors.Is(err, ErrBehind) || !strings.Contains(err.Error(), "records 11 to 20 are missing") {
		t.Errorf("older copy: %v", err)
	}
	cfg.AcceptLoss = true
	mustClose(t, mustOpen(t, cfg))
	if anchored.Seq != 11 {
		t.Errorf("after accepting, anchored %+v", anchored)
	}
	cfg.Dir, cfg.AcceptLoss = t.TempDir(), false
	if _, err := Open(cfg); !errors.Is(err, ErrBehind) {
		t.Errorf("empty folder: %v", err)
	}
	if left := paths(t, cfg.Dir); len(left) > 0 {
		t.Errorf("a refused open made %v", left)
	}
}

func TestChangeOfKey(t *testing.T) {
	for _, records := range []int{0, 5} {
		cfg := testConfig(t.TempDir())
		l := mustOpen(t, cfg)
		old := l.PublicKey()
		fill(t, l, 1, records)
		mustClose(t, l)
		cfg.Key = testKey("new")
		if _, err := Open(cfg); err == nil || !strings.Contains(err.Error(), "key") {
			t.Fatalf("opened with another key: %v", err)
		}
		cfg.ChangeKey = true
		l = mustOpen(t, cfg)
		fill(t, l, records+1, records+5)
		mustClose(t, l)
		cfg.ChangeKey = false
		mustClose(t, mustOpen(t, cfg))
		keys, err := ReadPublicKeys(cfg.Dir)
		if err != nil || len(keys) != 2 || !keys[0].Equal(old) {
			t.Fatalf("keys %v, %v", keys, err)
		}
		if rep := verifyDir(t, cfg.Dir, keys); !rep.OK() || rep.Records != uint64(records+5) {
			t.Errorf("%+v, %v", rep, rep.Problem)
		}
		if rep := verifyDir(t, cfg.Dir, keys[:1]); rep.OK() || rep.Problem.Kind != WrongKey {
			t.Errorf("without the new key: %v", rep.Problem)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	mustOpen(t, testConfig(dir))
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, nil)
	odd := t.TempDir()
	write(t, filepath.Join(odd, "1.log"), nil)
	badPub := t.TempDir()
	write(t, filepath.Join(badPub, pubName), []byte("nonsense"))
	noKey := testConfig(t.TempDir())
	noKey.Key = nil
	for name, cfg := range map[string]Config{
		"in-use": testConfig(dir), "file": testConfig(file), "odd-name": testConfig(odd),
		"no-folder": testConfig(""), "bad-public-key": testConfig(badPub), "no-key": noKey,
	} {
		t.Run(name, func(t *testing.T) {
			if l, err := Open(cfg); err == nil {
				mustClose(t, l)
				t.Error("opened")
			}
		})
	}
}

// bigSegment writes a segment of about size bytes whose last part is not
// signed.
func bigSegment(t testing.TB, size int64) Config {
	cfg := testConfig(t.TempDir())
	cfg.SegmentSize = 1 << 40
	l := mustOpen(t, cfg)
	for n := 1; l.Stats().SegmentSize < size; n++ {
		batch := make([]*Record, 1000)
		for i := range batch {
			r := sample(n*1000 + i)
			batch[i] = &r
		}
		if err := l.AppendSync(context.Background(), batch); err != nil {
			t.Fatal(err)
		}
	}
	mustClose(t, l)
	slow := cfg
	slow.CheckpointAfter = time.Hour
	l = mustOpen(t, slow)
	fill(t, l, 1, 20000)
	crash(t, l)
	return cfg
}

func BenchmarkOpenBigSegment(b *testing.B) {
	cfg := bigSegment(b, 64<<20)
	path := paths(b, cfg.Dir)[0]
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		l, err := Open(cfg)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		crash(b, l)
		if err := os.Truncate(path, info.Size()); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

func TestPublicKeyFile(t *testing.T) {
	key := testKey("a").Public().(ed25519.PublicKey)
	good, err := EncodePublicKeys([]ed25519.PublicKey{key, key})
	if err != nil {
		t.Fatal(err)
	}
	if keys, err := ParsePublicKeys(append([]byte("\n"), good...)); err != nil || len(keys) != 2 || !keys[1].Equal(key) {
		t.Errorf("%v, %v", keys, err)
	}
	for _, bad := range []string{"", "text", string(good) + "text", strings.ReplaceAll(string(good), "PUBLIC", "PRIVATE"),
		strings.Replace(string(good), "MCow", "AAAA", 1)} {
		if keys, err := ParsePublicKeys([]byte(bad)); err == nil {
			t.Errorf("%q gave %v", bad, keys)
		}
	}
}
