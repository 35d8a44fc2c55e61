package fsck_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"countersign/internal/kv"
	"countersign/internal/kv/boltkv"
	"countersign/internal/kv/fsck"
)

// These tests run a writer under strace, which makes its system calls fail, or
// records them so that the disk after a power cut at any moment can be put
// together. They need strace and the right to use it.

const (
	straceEnv = "COUNTERSIGN_TEST_STRACE"
	writerEnv = "COUNTERSIGN_TEST_WRITER" // path of the store: this process is the writer
	writers   = 4
	rounds    = 15
)

func needStrace(t *testing.T) {
	t.Helper()
	if os.Getenv(straceEnv) != "1" {
		t.Skipf("set %s=1 to run the writer under strace", straceEnv)
	}
	if _, err := exec.LookPath("strace"); err != nil {
		t.Fatalf("%s=1, and strace is not installed", straceEnv)
	}
}

// pairOf are the two keys that one update writes.
func pairOf(w, i int) [2]kv.Key {
	name := fmt.Sprintf("%d/%d", w, i)
	return [2]kv.Key{kv.K(account, "secret", name), kv.K(account, "version", name).Num(1)}
}

// TestWriter is the writer: it says on its standard output which updates were
// acknowledged, one line and one write each.
func TestWriter(t *testing.T) {
	path := os.Getenv(writerEnv)
	if path == "" {
		t.Skip("runs as the child of other tests")
	}
	db := openStore(t, path)
	defer db.Close()
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range rounds {
				keys := pairOf(w, i)
				_, err := db.Update(t.Context(), func(tx kv.Txn) error {
					return errors.Join(tx.Put(keys[0], nil), tx.Put(keys[1], append([]byte("value"), make([]byte, 600*i)...)))
				})
				switch {
				case err == nil:
					fmt.Printf("ack %d %d\n", w, i)
				case errors.Is(err, kv.ErrUnknown):
					fmt.Printf("unknown %d %d\n", w, i)
				default:
					fmt.Printf("failed %d %d\n", w, i)
				}
			}
		})
	}
	wg.Wait()
}

// runWriter runs the writer under strace and returns its lines by first word.
func runWriter(t *testing.T, path string, args ...string) map[string][][2]int {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	args = append([]string{"-f", "-qq"}, args...)
	cmd := exec.CommandContext(t.Context(), "strace", append(args, self, "-test.run=^TestWriter$")...)
	cmd.Env = append(os.Environ(), writerEnv+"="+path)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("running strace: %v", err)
	}
	said := map[string][][2]int{}
	for line := range strings.Lines(string(out)) {
		var word string
		var at [2]int
		if n, _ := fmt.Sscanf(line, "%s %d %d", &word, &at[0], &at[1]); n == 3 {
			said[word] = append(said[word], at)
		}
	}
	if len(said) == 0 && strings.Contains(stderr.String(), "ptrace") {
		t.Fatalf("strace cannot trace here: %s", stderr.String())
	}
	return said
}

// newStore creates the store that the writer will open.
func newStore(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "store.db")
	if err := openStore(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// survived asserts that a file is sound, has every acknowledged update, none of
// those that failed for certain, and no half of any.
func survived(file []byte, said map[string][][2]int) error {
	ctx, r := context.Background(), bytes.NewReader(file)
	report, err := fsck.Check(ctx, r, int64(len(file)), config())
	if err != nil {
		return err
	}
	if len(report.Findings) > 0 {
		return fmt.Errorf("findings: %q", findings(report))
	}
	keys := map[string]bool{}
	if _, err := boltkv.Inspect(ctx, r, int64(len(file)), func(key, _ []byte) { keys[string(key)] = true }); err != nil {
		return err
	}
	for w := range writers {
		for i := range rounds {
			if p := pairOf(w, i); keys[string(p[0])] != keys[string(p[1])] {
				return fmt.Errorf("half of update %d of writer %d", i, w)
			}
		}
	}
	for word, want := range map[string]bool{"ack": true, "failed": false} {
		for _, at := range said[word] {
			if got := keys[string(pairOf(at[0], at[1])[0])]; got != want {
				return fmt.Errorf("update %d of writer %d: said %q, is there: %v", at[1], at[0], word, got)
			}
		}
	}
	return nil
}

func TestFailingCalls(t *testing.T) {
	needStrace(t)
	for _, x := range []struct {
		name, inject string // strace counts the calls of each thread on its own
		unknown      bool   // a commit record may be written and not synced
	}{
		{"a-sync", "fdatasync:error=EIO:when=5", true},
		{"another-sync", "fdatasync:error=EIO:when=6", true},
		{"every-sync", "fdatasync:error=EIO:when=5+", true},
		{"full-once", "pwrite64:error=ENOSPC:when=20", false},
		{"full-for-a-while", "pwrite64:error=ENOSPC:when=20..29", false},
		{"write-error", "pwrite64:error=EIO:when=33", false},
		{"killed-at-a-sync", "fdatasync:signal=KILL:when=5", false},
		{"killed-at-another-sync", "fdatasync:signal=KILL:when=6", false},
		{"killed-at-a-write", "pwrite64:signal=KILL:when=17", false},
	} {
		t.Run(x.name, func(t *testing.T) {
			path := newStore(t)
			said := runWriter(t, path, "-o", os.DevNull, "-e", "inject="+x.inject)
			killed := strings.HasPrefix(x.name, "killed")
			acked, failed, unknown := len(said["ack"]), len(said["failed"]), len(said["unknown"])
			t.Logf("%d acknowledged, %d failed, %d unknown", acked, failed, unknown)
			switch total := acked + failed + unknown; {
			case acked == 0:
				t.Error("nothing was acknowledged")
			case !killed && total < writers*rounds:
				t.Errorf("%d of %d updates were answered", total, writers*rounds)
			case unknown > 0 && !x.unknown:
				t.Errorf("%d outcomes are unknown", unknown)
			case x.name == "full-once" && acked < total/2:
				t.Error("writing did not go on when there was space again")
			}
			file, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := survived(file, said); err != nil {
				t.Error(err)
			}
			db := openStore(t, path) // and it goes on
			defer db.Close()
			update(t, db, func(tx kv.Txn) error { return tx.Put(kv.K(account, "secret", "after"), nil) })
		})
	}
}

// call is one system call of the writer that matters to the disk.
type call struct {
	name string // "write", "sync", "size" or "ack"
	data []byte
	off  int64
	at   [2]int
}

// strace -xx writes names of files in hexadecimal too.
const storeHex = `[^>]*\\x73\\x74\\x6f\\x72\\x65\\x2e\\x64\\x62` // store.db

var ( // never changed
	pwriteLine = regexp.MustCompile(`pwrite64\(\d+<` + storeHex + `>, "((?:\\x[0-9a-f]{2})*)", \d+, (\d+)`)
	sizeLine   = regexp.MustCompile(`ftruncate\(\d+<` + storeHex + `>, (\d+)`)
	syncLine   = regexp.MustCompile(`(?:fdatasync|fsync)(?:\(\d+<` + storeHex + `>| resumed>).* = 0`)
	ackLine    = regexp.MustCompile(`write\(1<[^>]*>, "((?:\\x[0-9a-f]{2})*)", \d+`)
)

func record(t *testing.T, trace string) []call {
	t.Helper()
	f, err := os.Open(trace)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	unhex := func(s string) []byte {
		out := make([]byte, 0, len(s)/4)
		for i := 2; i < len(s); i += 4 {
			n, _ := strconv.ParseUint(s[i:i+2], 16, 8)
			out = append(out, byte(n))
		}
		return out
	}
	var calls []call
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<28)
	for lines.Scan() {
		s := lines.Text()
		if m := pwriteLine.FindStringSubmatch(s); m != nil {
			off, _ := strconv.ParseInt(m[2], 10, 64)
			calls = append(calls, call{name: "write", data: unhex(m[1]), off: off})
		} else if m := sizeLine.FindStringSubmatch(s); m != nil {
			off, _ := strconv.ParseInt(m[1], 10, 64)
			calls = append(calls, call{name: "size", off: off})
		} else if syncLine.MatchString(s) {
			calls = append(calls, call{name: "sync"})
		} else if m := ackLine.FindStringSubmatch(s); m != nil {
			c := call{name: "ack"}
			if n, _ := fmt.Sscanf(string(unhex(m[1])), "ack %d %d", &c.at[0], &c.at[1]); n == 2 {
				calls = append(calls, c)
			}
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return calls
}

func apply(file []byte, c call) []byte {
	if end := c.off + int64(len(c.data)); end > int64(len(file)) {
		file = append(file, make([]byte, end-int64(len(file)))...)
	}
	copy(file[c.off:], c.data)
	return file
}

// TestPowerCut cuts the power after every system call of the writer. What was
// synced is on the disk; of what was not, any sectors may be.
func TestPowerCut(t *testing.T) {
	needStrace(t)
	const sector = 512
	path := newStore(t)
	disk, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	trace := filepath.Join(t.TempDir(), "trace")
	runWriter(t, path, "-y", "-xx", "-s", "1000000", "-o", trace, "-e", "trace=pwrite64,fdatasync,fsync,ftruncate,write")
	calls := record(t, trace)
	rng := rand.New(rand.NewPCG(1, 2))
	said := map[string][][2]int{}
	var pending []call
	cuts := 0
	for n, c := range calls {
		switch c.name {
		case "write":
			pending = append(pending, c)
		case "size":
			disk = apply(disk, c)
		case "sync":
			for _, p := range pending {
				disk = apply(disk, p)
			}
			pending = nil
		case "ack":
			said["ack"] = append(said["ack"], c.at)
		}
		for range 3 {
			image := bytes.Clone(disk)
			for _, p := range pending {
				for at := 0; at < len(p.data); at += sector {
					if rng.IntN(2) == 0 {
						image = apply(image, call{data: p.data[at:min(at+sector, len(p.data))], off: p.off + int64(at)})
					}
				}
			}
			cuts++
			if err := survived(image, maps.Clone(said)); err != nil {
				t.Fatalf("power cut after call %d of %d (%s), %d acknowledged: %v", n, len(calls), c.name, len(said["ack"]), err)
			}
			if len(pending) == 0 {
				break
			}
		}
	}
	t.Logf("%d system calls, %d power cuts, %d acknowledged updates", len(calls), cuts, len(said["ack"]))
	if len(said["ack"]) != writers*rounds {
		t.Errorf("the record has %d of %d acknowledgements", len(said["ack"]), writers*rounds)
	}
}
