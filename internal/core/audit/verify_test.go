package audit

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// sampleLog writes a small closed log and returns its folder and key.
func sampleLog(t testing.TB, records, segments int) (string, []ed25519.PublicKey) {
	t.Helper()
	dir := t.TempDir()
	l := mustOpen(t, testConfig(dir))
	each := records / segments
	for s := range segments {
		if s > 0 {
			if err := l.Rotate(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		for n := range each {
			fill(t, l, s*each+n+1, s*each+n+1)
			if n == each/2 {
				if err := l.alone(l.checkpoint); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	mustClose(t, l)
	return dir, []ed25519.PublicKey{l.PublicKey()}
}

func verifyDir(t testing.TB, dir string, keys []ed25519.PublicKey) Report {
	t.Helper()
	rep, err := Verify(context.Background(), dir, keys, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

func paths(t testing.TB, dir string) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// poke puts one byte into a file.
func poke(t testing.TB, path string, at int, b byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err == nil {
		_, err = f.WriteAt([]byte{b}, int64(at))
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestVerifyWhole(t *testing.T) {
	dir, keys := sampleLog(t, 30, 3)
	rep := verifyDir(t, dir, keys)
	if !rep.OK() || rep.Records != 30 || rep.Segments != 3 || rep.Signed != 30 || rep.First != 1 || rep.Pruned() {
		t.Errorf("unexpected report %+v, problem %v", rep, rep.Problem)
	}
	if !rep.FirstTime.Equal(sample(1).Time) || !rep.LastTime.Equal(sample(30).Time) {
		t.Errorf("times %v to %v", rep.FirstTime, rep.LastTime)
	}
	if rep, err := Verify(context.Background(), dir, keys, Options{Head: rep.Head}); err != nil || !rep.OK() {
		t.Errorf("with its own head: %v, %v", rep.Problem, err)
	}
}

func TestVerifyFindsEveryFlip(t *testing.T) {
	dir, keys := sampleLog(t, 4, 2)
	for _, path := range append(paths(t, dir), filepath.Join(dir, headName)) {
		good := read(t, path)
		for i := range good {
			for _, mask := range []byte{1 << (i % 8), 0x20} {
				poke(t, path, i, good[i]^mask)
				if rep := verifyDir(t, dir, keys); rep.OK() {
					t.Fatalf("%s: byte %d with %#x flipped is not found", filepath.Base(path), i, mask)
				}
			}
			poke(t, path, i, good[i])
		}
	}
	if rep := verifyDir(t, dir, keys); !rep.OK() {
		t.Fatal(rep.Problem)
	}
}

func TestVerifyFindsSampledFlips(t *testing.T) {
	dir, keys := sampleLog(t, 2000, 2)
	for _, path := range paths(t, dir) {
		good := read(t, path)
		for i := 0; i < len(good); i += len(good)/40 + 1 {
			poke(t, path, i, good[i]^4)
			rep := verifyDir(t, dir, keys)
			if rep.OK() {
				t.Fatalf("byte %d flipped is not found", i)
			}
			if at := bytes.Count(good[:i], []byte("\n")) + 1; rep.Problem.Line != at && rep.Problem.Line != 0 {
				t.Errorf("byte %d is in line %d, and the problem in %d: %v", i, at, rep.Problem.Line, rep.Problem)
			}
			poke(t, path, i, good[i])
		}
	}
}

func TestVerifyFindsCutsAndSwapsOfLines(t *testing.T) {
	dir, keys := sampleLog(t, 6, 2)
	for _, path := range paths(t, dir) {
		good := read(t, path)
		lines := bytes.SplitAfter(good, []byte("\n"))
		lines = lines[:len(lines)-1]
		check := func(what string, i int, bad [][]byte) {
			t.Helper()
			write(t, path, bytes.Join(bad, nil))
			if verifyDir(t, dir, keys).OK() {
				t.Errorf("%s: %s of line %d is not found", filepath.Base(path), what, i+1)
			}
		}
		for i := range lines {
			check("cut", i, append(append([][]byte{}, lines[:i]...), lines[i+1:]...))
			check("cut from the end", i, lines[:i])
			check("repetition", i, append(append([][]byte{}, lines[:i+1]...), lines[i:]...))
			for j := range i {
				swapped := append([][]byte{}, lines...)
				swapped[i], swapped[j] = swapped[j], swapped[i]
				check("swap", i, swapped)
			}
		}
		write(t, path, good)
		for n := len(good) - 1; n >= 0; n-- {
			if err := os.Truncate(path, int64(n)); err != nil {
				t.Fatal(err)
			}
			if verifyDir(t, dir, keys).OK() {
				t.Errorf("%s cut to %d bytes is not found", filepath.Base(path), n)
			}
		}
		write(t, path, good)
	}
}

func TestVerifyNamesTheProblem(t *testing.T) {
	tests := []struct {
		name   string
		tamper func(t *testing.T, dir string, p []string)
		kind   string
		seq    uint64
	}{
		{"edited", func(t *testing.T, _ string, p []string) {
			write(t, p[0], bytes.Replace(read(t, p[0]), []byte("/prod/app-3"), []byte("/prod/app-4"), 1))
		}, Edited, 2},
		{"renumbered", func(t *testing.T, _ string, p []string) {
			write(t, p[0], bytes.Replace(read(t, p[0]), []byte(`{"seq":4,`), []byte(`{"seq":5,`), 1))
		}, Cut, 3},
		{"line-cut", func(t *testing.T, _ string, p []string) {
			editLines(t, p[0], func(l [][]byte) [][]byte { return append(l[:4:4], l[5:]...) })
		}, Cut, 3},
		{"swapped", func(t *testing.T, _ string, p []string) {
			editLines(t, p[0], func(l [][]byte) [][]byte { l[3], l[4] = l[4], l[3]; return l })
		}, Reordered, 2},
		{"first-segment-gone", func(t *testing.T, _ string, p []string) { remove(t, p[0]) }, MissingSegment, 0},
		{"middle-segment-gone", func(t *testing.T, _ string, p []string) { remove(t, p[1]) }, MissingSegment, 10},
		{"last-segment-gone", func(t *testing.T, _ string, p []string) { remove(t, p[2]) }, Cut, 20},
		{"segments-swapped", func(t *testing.T, _ string, p []string) {
			a, b := read(t, p[0]), read(t, p[1])
			write(t, p[0], b)
			write(t, p[1], a)
		}, Reordered, 0},
		{"head-gone", func(t *testing.T, dir string, _ []string) { remove(t, filepath.Join(dir, headName)) }, Cut, 0},
		{"cut-at-checkpoint", func(t *testing.T, _ string, p []string) {
			editLines(t, p[2], func(l [][]byte) [][]byte { return l[:8] })
		}, Cut, 26},
		{"unfinished", func(t *testing.T, _ string, p []string) { write(t, p[2], append(read(t, p[2]), `{"seq":31,"id":`...)) }, Unfinished, 30},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir, keys := sampleLog(t, 30, 3)
			tt.tamper(t, dir, paths(t, dir))
			rep := verifyDir(t, dir, keys)
			if rep.OK() || rep.Problem.Kind != tt.kind || rep.Problem.Seq != tt.seq {
				t.Errorf("found %+v, want %s after record %d", rep.Problem, tt.kind, tt.seq)
			}
		})
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func editLines(t *testing.T, path string, f func([][]byte) [][]byte) {
	t.Helper()
	lines := bytes.SplitAfter(read(t, path), []byte("\n"))
	write(t, path, bytes.Join(f(lines[:len(lines)-1]), nil))
}

// rechain rewrites a segment as an attacker without the key would: after an
// edit of a record, every chain is computed anew, and signatures stay.
func rechain(t *testing.T, path string, edit func(body []byte) []byte, seal func(kind string, body []byte, prev Hash) []byte) {
	t.Helper()
	var hash Hash
	editLines(t, path, func(lines [][]byte) [][]byte {
		for i, line := range lines {
			body, _, ok := splitLine(line[:len(line)-1])
			if !ok {
				t.Fatal("sample line does not split")
			}
			body = bytes.Clone(body)
			if kind := lineKind(line); kind != "" {
				body = seal(kind, body, hash)
			} else {
				body = edit(body)
			}
			hash = chainNext(hash, body)
			lines[i] = appendChain(body, &hash)
		}
		return lines
	})
}

func TestVerifyFindsForgedChain(t *testing.T) {
	edit := func(b []byte) []byte { return bytes.Replace(b, []byte("alice"), []byte("bobby"), 1) }
	keep := func(_ string, b []byte, _ Hash) []byte { return b }

	t.Run("signatures-kept", func(t *testing.T) {
		dir, keys := sampleLog(t, 10, 1)
		rechain(t, paths(t, dir)[0], edit, keep)
		if rep := verifyDir(t, dir, keys); rep.OK() || rep.Problem.Kind != Edited {
			t.Errorf("found %+v", rep.Problem)
		}
	})
	t.Run("hashes-of-checkpoints-fitted", func(t *testing.T) {
		dir, keys := sampleLog(t, 10, 1)
		rechain(t, paths(t, dir)[0], edit, func(kind string, b []byte, prev Hash) []byte {
			if kind == kindSegment {
				return b
			}
			i := bytes.Index(b, []byte(`"hash":"`)) + 8
			copy(b[i:], prev.String())
			return b
		})
		if rep := verifyDir(t, dir, keys); rep.OK() || rep.Problem.Kind != BadSignature {
			t.Errorf("found %+v", rep.Problem)
		}
	})
	t.Run("signed-with-another-key", func(t *testing.T) {
		dir, _ := sampleLog(t, 10, 1)
		trusted := []ed25519.PublicKey{testKey("trusted").Public().(ed25519.PublicKey)}
		if rep := verifyDir(t, dir, trusted); rep.OK() || rep.Problem.Kind != WrongKey {
			t.Errorf("found %+v", rep.Problem)
		}
	})
	t.Run("segment-of-another-log", func(t *testing.T) {
		dir, keys := sampleLog(t, 10, 2)
		other, _ := sampleLog(t, 10, 2)
		write(t, paths(t, dir)[1], read(t, paths(t, other)[1]))
		if rep := verifyDir(t, dir, keys); rep.OK() {
			t.Error("not found")
		}
	})
	t.Run("whole-folder-older", func(t *testing.T) {
		dir, keys := sampleLog(t, 10, 1)
		old := map[string][]byte{}
		for _, p := range append(paths(t, dir), filepath.Join(dir, headName)) {
			old[p] = read(t, p)
		}
		l := mustOpen(t, testConfig(dir))
		fill(t, l, 11, 20)
		mustClose(t, l)
		head := l.Head()
		for p, b := range old {
			write(t, p, b)
		}
		if rep := verifyDir(t, dir, keys); !rep.OK() {
			t.Error(rep.Problem) // nothing in the folder can tell
		}
		rep, err := Verify(context.Background(), dir, keys, Options{Head: head})
		if err != nil || rep.OK() || rep.Problem.Kind != Cut {
			t.Errorf("with the trusted head: %+v, %v", rep.Problem, err)
		}
	})
}

func TestVerifyUnsignedTail(t *testing.T) {
	dir := t.TempDir()
	cfg := testConfig(dir)
	cfg.CheckpointAfter = 1 << 40
	l := mustOpen(t, cfg)
	fill(t, l, 1, 5)
	rep, err := Verify(context.Background(), dir, []ed25519.PublicKey{l.PublicKey()}, Options{Live: true})
	if err != nil || !rep.OK() || rep.Unsigned != 5 || rep.Signed != 0 {
		t.Errorf("unexpected %+v, %v, %v", rep, rep.Problem, err)
	}
}

func TestReportIsJSON(t *testing.T) {
	dir, keys := sampleLog(t, 4, 2)
	rep := verifyDir(t, dir, keys)
	b, err := json.Marshal(rep)
	if err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(b, &back); err != nil || back.Head != rep.Head {
		t.Errorf("%s: %v", b, err)
	}
}

func BenchmarkVerify(b *testing.B) {
	dir, keys := sampleLog(b, 20000, 1)
	info, err := os.Stat(paths(b, dir)[0])
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(info.Size())
	for b.Loop() {
		if rep := verifyDir(b, dir, keys); !rep.OK() {
			b.Fatal(fmt.Sprint(rep.Problem))
		}
	}
}
