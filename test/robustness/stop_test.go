package robustness

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"countersign/internal/core/audit"
)

// TestStopUnderLoad stops the server while clients call it. Every request that
// the server began is answered, and nothing is left to do afterwards. A request
// that crosses the closing of its idle connection was never begun, which is how
// HTTP/1.1 is (RFC 9112, section 9.5).
func TestStopUnderLoad(t *testing.T) {
	s := newStore(t, t.TempDir(), "")
	p := s.start(t)
	var wg sync.WaitGroup
	var answered sync.Map // request id -> nothing
	var count atomic.Int64
	broken := make(chan error, 64)
	for w := range 12 {
		name := fmt.Sprintf("stop/secret-%d", w)
		must(t)(p.aws("CreateSecret", map[string]any{"Name": name, "ClientRequestToken": version(0), "SecretString": value(0)}))
		wg.Go(func() {
			for n := 1; ; n++ {
				var a answer
				var err error
				if w%2 == 0 {
					a, err = p.aws("PutSecretValue", map[string]any{"SecretId": name, "ClientRequestToken": version(n), "SecretString": value(n)})
				} else {
					a, err = p.native(http.MethodGet, "/secret/value?name="+url.QueryEscape(name), nil)
				}
				switch {
				case err != nil && crossed(err):
					return // never read by the server: below, the log has no record of it
				case err != nil:
					broken <- err
					return
				case a.status != http.StatusOK:
					broken <- fmt.Errorf("status %d: %s", a.status, a.body)
					return
				}
				answered.Store(a.requestID, nil)
				count.Add(1)
			}
		})
	}
	eventually(t, "load", func() bool { return count.Load() > 200 })
	if code := p.stop(t); code != 0 {
		t.Errorf("the server ended with %d: %s", code, p.log)
	}
	wg.Wait()
	close(broken)
	for err := range broken {
		t.Errorf("a request got no answer: %v", err)
	}
	s.mustFsck(t)
	s.mustVerify(t)
	counted := map[string]int{}
	for r, err := range audit.Query(t.Context(), s.audit(), audit.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		counted[r.RequestID]++
		_, ok := answered.Load(r.RequestID)
		if !ok && (r.Operation == "PutValue" || r.Operation == "ReadValue") {
			t.Errorf("%s %s was done and recorded, and never answered", r.Operation, r.RequestID)
		}
	}
	answered.Range(func(id, _ any) bool {
		if counted[id.(string)] != 1 {
			t.Errorf("request %s was answered, and the log has %d records of it", id, counted[id.(string)])
		}
		return true
	})
	// A start that finds records in the outbox relays them: the log would grow.
	before := len(counted)
	p = s.start(t)
	if got := metric(t, p, "countersign_outbox_records"); got != 0 {
		t.Errorf("the outbox held %v records after a clean stop", got)
	}
	if code := p.stop(t); code != 0 {
		t.Errorf("the server ended with %d", code)
	}
	after := map[string]int{}
	for r, err := range audit.Query(t.Context(), s.audit(), audit.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		after[r.RequestID]++
	}
	if len(after) != before {
		t.Errorf("%d requests in the log before a start and a stop, %d after", before, len(after))
	}
}

// crossed reports whether a request met a connection that was being closed. The
// last is net/http's own word for it, which it has no name for.
func crossed(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, io.EOF) || strings.Contains(err.Error(), "server closed idle connection")
}

// metric reads one number of /metrics.
func metric(t *testing.T, p *server, name string) float64 {
	t.Helper()
	for l := range strings.Lines(string(p.get(t, "/metrics").body)) {
		var v float64
		if rest, ok := strings.CutPrefix(l, name+" "); ok {
			if _, err := fmt.Sscan(rest, &v); err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	t.Fatalf("/metrics has no %s", name)
	return 0
}

// TestSystemdNotify is told of readiness and of the stop.
func TestSystemdNotify(t *testing.T) {
	s := newStore(t, t.TempDir(), "")
	// The path of a socket is at most 107 bytes, which t.TempDir may exceed.
	dir, err := os.MkdirTemp("", "notify-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "socket")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	p := s.start(t)
	told := func() string {
		b := make([]byte, 256)
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		n, err := conn.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	if got := told(); !strings.Contains(got, "READY=1") {
		t.Errorf("at the start it told %q", got)
	}
	p.stop(t)
	if got := told(); !strings.Contains(got, "STOPPING=1") {
		t.Errorf("at the stop it told %q", got)
	}
}
