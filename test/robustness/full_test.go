package robustness

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"countersign/internal/core/audit"
)

// small mounts a file system of so many MiB.
func small(t *testing.T, mib int) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("mounting a small file system needs root")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm,mode=0700", mib)); err != nil {
		t.Skipf("a small file system cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmounting: %v", err)
		}
	})
	return dir
}

// leave fills the file system until so many bytes are free, with a file that
// free removes.
func leave(t *testing.T, dir string, bytes int64) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(dir, "ballast"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for {
		var fs syscall.Statfs_t
		if err := syscall.Statfs(dir, &fs); err != nil {
			t.Fatal(err)
		}
		more := int64(fs.Bavail)*fs.Bsize - bytes
		if more <= 0 {
			return
		}
		if _, err := f.Write(make([]byte, min(more, 1<<20))); err != nil {
			return // full, which is the least there is
		}
	}
}

func free(t *testing.T, dir string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, "ballast")); err != nil {
		t.Fatal(err)
	}
}

// clients is what TestFullDisk expects of the records.
type clients struct {
	p        *server
	n        int
	acked    string
	answered map[string]int // request id -> status
}

// both calls a read and a write at each front and returns the statuses.
func (c *clients) both(t *testing.T) (statuses []int) {
	t.Helper()
	c.n++
	put := map[string]any{"SecretId": "full", "ClientRequestToken": version(c.n), "SecretString": value(c.n)}
	for i, call := range []func() (answer, error){
		func() (answer, error) { return c.p.aws("PutSecretValue", put) },
		func() (answer, error) { return c.p.aws("GetSecretValue", map[string]any{"SecretId": "full"}) },
		func() (answer, error) { return c.p.native(http.MethodGet, "/secret/value?name=full", nil) },
	} {
		a, err := call()
		if err != nil {
			t.Fatalf("no answer: %v: %s", err, c.p.log)
		}
		if i == 0 && a.status == http.StatusOK {
			c.acked = value(c.n)
		}
		c.answered[a.requestID] = a.status
		statuses = append(statuses, a.status)
	}
	return statuses
}

func every(statuses []int, want int) bool {
	for _, s := range statuses {
		if s != want {
			return false
		}
	}
	return true
}

// TestFullDisk fills the disk under a running server: it warns, then refuses
// everything with a clear 503, and goes on by itself when there is space again.
func TestFullDisk(t *testing.T) {
	for name, thresholds := range map[string]string{
		"by-its-reserve":  "audit: {warn_free: 12MiB, min_free: 6MiB}",
		"by-the-disk":     "audit: {warn_free: 2, min_free: 1}",
		"with-rotation":   "audit: {warn_free: 2, min_free: 1, segment_size: 4KiB}",
		"store-elsewhere": "audit: {warn_free: 12MiB, min_free: 6MiB, dir: data/log}",
	} {
		t.Run(name, func(t *testing.T) {
			dir := small(t, 32)
			s := newStore(t, dir, thresholds)
			reserve := strings.Contains(thresholds, "6MiB")
			log := s.audit()
			if name == "store-elsewhere" {
				log = filepath.Join(s.data(), "log")
			}
			p := s.start(t)
			c := &clients{p: p, answered: map[string]int{}}
			must(t)(p.aws("CreateSecret", map[string]any{"Name": "full", "ClientRequestToken": version(0), "SecretString": value(0)}))
			if got := c.both(t); !every(got, http.StatusOK) {
				t.Fatalf("with space the answers were %v", got)
			}
			if reserve {
				leave(t, dir, 9<<20)
				eventually(t, "the warning", func() bool { return metric(t, p, "countersign_audit_low_space") == 1 })
				if a := p.get(t, "/readyz"); a.status != http.StatusOK || !strings.Contains(string(a.body), "nearly full") {
					t.Errorf("/readyz said %d %q before the disk was full", a.status, a.body)
				}
				if got := c.both(t); !every(got, http.StatusOK) {
					t.Errorf("with little space the answers were %v", got)
				}
			}
			leave(t, dir, 0)
			if reserve {
				eventually(t, "the refusal", func() bool { return metric(t, p, "countersign_audit_refusing") == 1 })
				if a := p.get(t, "/readyz"); a.status != http.StatusServiceUnavailable || !strings.Contains(string(a.body), "full") {
					t.Errorf("/readyz said %d %q when the disk was full", a.status, a.body)
				}
			}
			// The last page of the log may still have room for some records.
			eventually(t, "a refusal", func() bool { return every(c.both(t), http.StatusServiceUnavailable) })
			a, err := p.native(http.MethodGet, "/secret/value?name=full", nil)
			if err != nil || !strings.Contains(string(a.body), "audit") {
				t.Errorf("the refusal does not say why: %s, %v", a.body, err)
			}
			free(t, dir)
			eventually(t, "recovery", func() bool { return every(c.both(t), http.StatusOK) })
			if a := p.get(t, "/readyz"); a.status != http.StatusOK {
				t.Errorf("/readyz said %d %q when there was space again", a.status, a.body)
			}
			if got, _, err := p.value("full", true); err != nil || got != c.acked {
				t.Errorf("the value is %q, %v; %q was acknowledged", got, err, c.acked)
			}
			if code := p.stop(t); code != 0 {
				t.Errorf("the server ended with %d: %s", code, p.log)
			}
			s.mustFsck(t)
			if out, said, code := command(t, "audit", "verify", log); code != 0 {
				t.Fatalf("audit verify ended with %d: %s%s", code, out, said)
			}
			c.check(t, log)
		})
	}
}

// check holds the log against the answers: one record of each success, and of a
// refusal that could not be recorded none.
func (c *clients) check(t *testing.T, dir string) {
	t.Helper()
	done := map[string]int{}
	for r, err := range audit.Query(t.Context(), dir, audit.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Outcome == audit.OK {
			done[r.RequestID]++
		}
	}
	for id, status := range c.answered {
		want := 0
		if status == http.StatusOK {
			want = 1
		}
		if done[id] != want {
			t.Errorf("request %s was answered with %d, and the log has %d records of success", id, status, done[id])
		}
	}
}
