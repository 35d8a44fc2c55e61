package sdk

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// canary is in every secret value that a scenario stores, and in nothing else.
const canary = "Kanarie-4f7e1c90b2"

// server is a running "countersign dev".
type server struct {
	url    string
	dir    string
	env    map[string]string // of the env file
	home   string            // an empty home folder for the clients
	cmd    *exec.Cmd
	output *lockedBuffer
	exited chan error
	// functions are the rotation functions that it knows, by name, and where it calls
	// them. At "rotate" nobody listens.
	functions map[string]string
}

func functionARN(name string) string {
	return "arn:aws:lambda:us-east-1:" + account + ":function:" + name
}

// freeAddress is one on loopback that is free.
func freeAddress() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}

// lockedBuffer collects what a process writes.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// theServer starts the server at its first call.
var theServer = sync.OnceValues(startServer)

// started is the server that TestMain has to stop.
var started atomic.Pointer[server]

func startServer() (*server, error) {
	bin := os.Getenv("COUNTERSIGN_BIN")
	if bin == "" {
		return nil, fmt.Errorf("COUNTERSIGN_BIN does not name the server's binary: run these tests with \"make e2e\", which builds it")
	}
	if _, err := os.Stat(bin); err != nil {
		return nil, fmt.Errorf("the server's binary is missing: build it with \"make build\": %w", err)
	}
	top, err := os.MkdirTemp("", "countersign-sdk-")
	if err != nil {
		return nil, err
	}
	s := &server{dir: filepath.Join(top, "dev"), home: filepath.Join(top, "home"), output: &lockedBuffer{}, exited: make(chan error, 1)}
	if err := os.Mkdir(s.home, 0o700); err != nil {
		return nil, err
	}
	args := []string{"dev", "--dir", s.dir, "--listen", "127.0.0.1:0"}
	s.functions = map[string]string{}
	for _, name := range []string{"rotate", "rotate-aws", "rotate-steps", "rotate-returns"} {
		at, err := freeAddress()
		if err != nil {
			return nil, err
		}
		s.functions[name] = at
		args = append(args, "--function", functionARN(name)+"=http://"+at)
	}
	s.cmd = exec.Command(bin, args...)
	s.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.home}
	s.cmd.Stderr = s.output
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	if err := s.waitReady(out); err != nil {
		_ = s.cmd.Process.Kill()
		return nil, fmt.Errorf("%w; the server wrote:\n%s", err, s.output)
	}
	started.Store(s)
	return s, s.readEnv()
}

// readyLine is the one line that the server prints when it answers requests.
var readyLine = regexp.MustCompile(`^countersign is ready on (http://[0-9.:]+): paste  \. (.+/env)$`)

func (s *server) waitReady(out io.Reader) error {
	lines := make(chan string, 1)
	go func() {
		sc := bufio.NewScanner(out)
		for first := true; sc.Scan(); first = false {
			fmt.Fprintln(s.output, sc.Text())
			if first {
				lines <- sc.Text()
			}
		}
		close(lines)
		s.exited <- s.cmd.Wait()
	}()
	select {
	case line, ok := <-lines:
		m := readyLine.FindStringSubmatch(line)
		switch {
		case !ok:
			return fmt.Errorf("the server ended before it was ready")
		case m == nil:
			return fmt.Errorf("the server's first line is %q", line)
		case m[2] != filepath.Join(s.dir, "env"):
			return fmt.Errorf("the server names the env file %q", m[2])
		}
		s.url = m[1]
		return nil
	case <-time.After(30 * time.Second):
		return fmt.Errorf("the server was not ready after 30 seconds")
	}
}

// exportLine is a line of the env file, which a shell sources.
var exportLine = regexp.MustCompile(`^export ([A-Z_]+)='([^']*)'$`)

func (s *server) readEnv() error {
	path := filepath.Join(s.dir, "env")
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Mode().Perm() != 0o600 {
		return fmt.Errorf("the env file has mode %v", info.Mode())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	s.env = map[string]string{}
	for line := range strings.Lines(string(text)) {
		m := exportLine.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if m == nil {
			return fmt.Errorf("the env file has a line that is no export")
		}
		s.env[m[1]] = m[2]
	}
	for _, want := range []string{"AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "COUNTERSIGN_ADDR", "COUNTERSIGN_TOKEN", "VAULT_ADDR", "VAULT_TOKEN"} {
		if s.env[want] == "" {
			return fmt.Errorf("the env file does not set %s", want)
		}
	}
	if s.env["AWS_ENDPOINT_URL"] != s.url {
		return fmt.Errorf("AWS_ENDPOINT_URL is %q, and the server is on %q", s.env["AWS_ENDPOINT_URL"], s.url)
	}
	// The Go SDK reads the variables of this process. Its home is moved so that
	// nobody's own configuration takes part.
	for k, v := range s.env {
		_ = os.Setenv(k, v)
	}
	_ = os.Setenv("AWS_CONFIG_FILE", filepath.Join(s.home, "config"))
	_ = os.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(s.home, "credentials"))
	_ = os.Unsetenv("AWS_PROFILE")
	_ = os.Unsetenv("AWS_SESSION_TOKEN")
	return nil
}

// start returns the server, started, or ends the test.
func start(t *testing.T) *server {
	t.Helper()
	s, err := theServer()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// childEnv is the environment of a client that runs as a process: the env file
// and no configuration of whoever runs the tests.
func (s *server) childEnv(more ...string) []string {
	env := []string{"HOME=" + s.home, "LC_ALL=C.UTF-8", "PYTHONDONTWRITEBYTECODE=1", "COUNTERSIGN_TEST_CANARY=" + canary}
	for _, k := range []string{"PATH", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH"} {
		if v := os.Getenv(k); v != "" {
			env = append(env, k+"="+v)
		}
	}
	for k, v := range s.env {
		env = append(env, k+"="+v)
	}
	return append(env, more...)
}

// TestMain stops the server when the tests are done, and looks for values that
// it wrote anywhere.
func TestMain(m *testing.M) {
	code := m.Run()
	if s := started.Load(); s != nil {
		if err := s.stop(); err != nil {
			fmt.Fprintln(os.Stderr, "FAIL:", err)
			code = 1
		}
	}
	os.Exit(code)
}

func (s *server) stop() error {
	metrics, err := get(s.url + "/metrics")
	if err != nil {
		return fmt.Errorf("reading the metrics: %w; the server wrote:\n%s", err, s.output)
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stopping the server: %w", err)
	}
	select {
	case err := <-s.exited:
		if err != nil {
			return fmt.Errorf("the server ended badly: %w; it wrote:\n%s", err, s.output)
		}
	case <-time.After(30 * time.Second):
		_ = s.cmd.Process.Kill()
		return fmt.Errorf("the server did not stop within 30 seconds")
	}
	if err := s.search(metrics); err != nil {
		return err
	}
	return os.RemoveAll(filepath.Dir(s.dir))
}

// get returns what a page says, for searching it.
func get(url string) (string, error) {
	resp, err := http.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && (resp.StatusCode != http.StatusOK || len(b) == 0) {
		err = fmt.Errorf("status %d and %d bytes", resp.StatusCode, len(b))
	}
	return string(b), err
}

// spellings are the forms in which a value could have been written.
func spellings() [][]byte {
	plain := []byte(canary)
	out := [][]byte{plain, []byte(hex.EncodeToString(plain)), []byte(strings.ToUpper(hex.EncodeToString(plain)))}
	for shift := range 3 {
		// Behind shift other bytes the first and last groups differ; what lies
		// between is the same for any neighbours.
		text := base64.StdEncoding.EncodeToString(append(make([]byte, shift), plain...))
		from := (shift + 2) / 3 * 4
		out = append(out, []byte(text[from:from+16]))
	}
	return out
}

// search fails when a value is in anything that the server wrote.
func (s *server) search(metrics string) error {
	find := spellings()
	leak := func(where string, b []byte) error {
		for _, f := range find {
			if bytes.Contains(b, f) {
				return fmt.Errorf("a secret value can be read in %s", where)
			}
		}
		return nil
	}
	if err := leak("the server's output", []byte(s.output.String())); err != nil {
		return err
	}
	if err := leak("the metrics", []byte(metrics)); err != nil {
		return err
	}
	files := 0
	err := filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		return leak(path, b)
	})
	if err == nil && files < 3 {
		err = fmt.Errorf("the server wrote only %d files into its folder", files)
	}
	return err
}
