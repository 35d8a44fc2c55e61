package robustness

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

const (
	account = "111111111111"
	region  = "us-east-1"
	// patience bounds every wait for the server.
	patience = 30 * time.Second
)

var binary string // set once, by TestMain

func TestMain(m *testing.M) {
	os.Exit(func() int {
		if binary = os.Getenv("COUNTERSIGN_BIN"); binary != "" {
			return m.Run()
		}
		dir, err := os.MkdirTemp("", "countersign-bin-")
		if err != nil {
			fmt.Fprintln(os.Stderr, "making a folder for the binary:", err)
			return 1
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "countersign")
		build := exec.Command("go", "build", "-o", binary, "./cmd/countersign")
		build.Dir, build.Stderr = filepath.Join("..", ".."), os.Stderr
		if err := build.Run(); err != nil {
			fmt.Fprintln(os.Stderr, "building the server:", err)
			return 1
		}
		return m.Run()
	}())
}

// store is a data folder with its configuration, and the key of its
// administrator.
type store struct {
	dir, config string
	key         key
}

type key struct{ ID, Secret, Token string }

// newStore makes a store in dir. extra is more lines of configuration.
func newStore(t *testing.T, dir, extra string) *store {
	t.Helper()
	s := &store{dir: dir, config: filepath.Join(dir, "server.yaml")}
	s.configure(t, extra)
	out, errOut, code := command(t, "server", "init", "--config", s.config, "--json")
	if code != 0 {
		t.Fatalf("server init ended with %d: %s", code, errOut)
	}
	if err := json.Unmarshal([]byte(out), &s.key); err != nil || s.key.Token == "" {
		t.Fatalf("server init printed no key: %v", err)
	}
	return s
}

func (s *store) configure(t *testing.T, extra string) {
	t.Helper()
	text := fmt.Sprintf("listen: 127.0.0.1:0\ndata: data\naccount: %q\nregions: [us-east-1, eu-west-1]\nlog: {level: debug}\n%s\n", account, extra)
	if err := os.WriteFile(s.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (s *store) data() string  { return filepath.Join(s.dir, "data") }
func (s *store) audit() string { return filepath.Join(s.dir, "data", "audit") }

// command runs the binary to its end.
func command(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("running %q: %v", args, err)
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}

// mustFsck fails the test unless the store is sound.
func (s *store) mustFsck(t *testing.T) {
	t.Helper()
	if out, errOut, code := command(t, "fsck", "--config", s.config); code != 0 {
		t.Fatalf("fsck ended with %d: %s%s", code, out, errOut)
	}
}

// mustVerify fails the test unless the audit log is whole.
func (s *store) mustVerify(t *testing.T) {
	t.Helper()
	if out, errOut, code := command(t, "audit", "verify", s.audit()); code != 0 {
		t.Fatalf("audit verify ended with %d: %s%s", code, out, errOut)
	}
}

// server is a running server.
type server struct {
	store *store
	cmd   *exec.Cmd
	url   string
	http  *http.Client
	log   *logged
	ended chan struct{}
}

// start runs a server until it answers.
func (s *store) start(t *testing.T) *server {
	t.Helper()
	p := s.spawn(t)
	select {
	case <-p.log.ready:
	case <-p.ended:
		t.Fatalf("the server ended: %s", p.log)
	case <-time.After(patience):
		p.kill()
		t.Fatalf("the server is not ready: %s", p.log)
	}
	p.url = "http://" + p.log.address
	return p
}

// spawn runs a server and does not wait.
func (s *store) spawn(t *testing.T) *server {
	t.Helper()
	p := &server{store: s, cmd: exec.Command(binary, "server", "--config", s.config), ended: make(chan struct{}),
		log: &logged{ready: make(chan struct{})}, http: &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.log.copy(stderr)
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.kill()
		p.http.CloseIdleConnections()
	})
	return p
}

// kill ends the server at once, and returns when it is gone.
func (p *server) kill() {
	_ = p.cmd.Process.Kill() // it may be gone already
	<-p.ended
}

// stop ends the server as an operator does, and returns its exit code.
func (p *server) stop(t *testing.T) int {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.kill()
		t.Fatalf("the server did not stop: %s", p.log)
	}
	return p.cmd.ProcessState.ExitCode()
}

// logged is what a server wrote to standard error.
type logged struct {
	ready   chan struct{} // closed once it answers
	address string

	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) copy(from io.Reader) {
	for in := bufio.NewReader(from); ; {
		line, err := in.ReadBytes('\n')
		l.mu.Lock()
		l.text.Write(line)
		l.mu.Unlock()
		var said struct{ Msg, Address string }
		if l.address == "" && json.Unmarshal(line, &said) == nil && said.Msg == "ready" {
			l.address = said.Address
			close(l.ready)
		}
		if err != nil {
			return
		}
	}
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// answer is what came back.
type answer struct {
	status    int
	requestID string
	body      []byte
}

// into decodes the body.
func (a answer) into(t *testing.T, v any) {
	t.Helper()
	if err := json.Unmarshal(a.body, v); err != nil {
		t.Fatalf("an answer is no JSON: %v", err)
	}
}

// aws calls an operation of Secrets Manager with a signed request.
func (p *server) aws(operation string, members any) (answer, error) {
	body, err := json.Marshal(members)
	if err != nil {
		return answer{}, err
	}
	return p.awsRaw(p.store.key, operation, body)
}

func (p *server) awsRaw(k key, operation string, body []byte) (answer, error) {
	r, err := http.NewRequest(http.MethodPost, p.url+"/", bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	r.Header.Set("X-Amz-Target", "secretsmanager."+operation)
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	sum := sha256.Sum256(body)
	err = v4.NewSigner().SignHTTP(r.Context(), aws.Credentials{AccessKeyID: k.ID, SecretAccessKey: k.Secret}, r,
		hex.EncodeToString(sum[:]), "secretsmanager", region, time.Now())
	if err != nil {
		return answer{}, err
	}
	return p.do(r, "X-Amzn-Requestid")
}

// native calls the native API with the token. A nil body sends none.
func (p *server) native(method, path string, members any) (answer, error) {
	var body io.Reader
	if members != nil {
		b, err := json.Marshal(members)
		if err != nil {
			return answer{}, err
		}
		body = bytes.NewReader(b)
	}
	return p.nativeRaw(p.store.key.Token, method, path, body)
}

func (p *server) nativeRaw(token, method, path string, body io.Reader) (answer, error) {
	r, err := http.NewRequest(method, p.url+"/api/v1"+path, body)
	if err != nil {
		return answer{}, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	return p.do(r, "X-Request-Id")
}

// get fetches one of the addresses that need no credentials.
func (p *server) get(t *testing.T, path string) answer {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, p.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := p.do(r, "")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (p *server) do(r *http.Request, idHeader string) (answer, error) {
	resp, err := p.http.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header.Get(idHeader), body}, err
}

// must fails the test unless the call was answered with 200.
func must(t *testing.T) func(answer, error) answer {
	return func(a answer, err error) answer {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if a.status != http.StatusOK {
			t.Fatalf("the server answered %d: %s", a.status, a.body)
		}
		return a
	}
}

// eventually waits until f is true.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	end := time.Now().Add(patience)
	for !f() {
		if time.Now().After(end) {
			t.Fatalf("%s did not come within %v", what, patience)
		}
		<-time.After(20 * time.Millisecond) // a real process: no bubble can hold it
	}
}

// version is a version id made of a number.
func version(n int) string { return fmt.Sprintf("20000000-0000-4000-8000-%012d", n) }

// line is the first line of a text, for messages.
func line(s string) string {
	first, _, _ := strings.Cut(s, "\n")
	return first
}
