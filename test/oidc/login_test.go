// Package oidc signs in to the built binary through an OpenID Provider made with
// github.com/zitadel/oidc, as a person with a browser would. Nothing of the
// provider is ours: what it refuses, we do wrong.
package oidc

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// provider serves on loopback and returns its issuer.
func provider(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	issuer := "http://" + ln.Addr().String()
	storage.RegisterClients(storage.NativeClient("countersign", "http://127.0.0.1/callback"))
	store := storage.NewStorage(storage.NewUserStore(issuer))
	srv := &http.Server{Handler: exampleop.SetupServer(issuer, store, nil, false, op.WithAllowInsecure())}
	go func() { _ = srv.Serve(ln) }()
	t.Cleanup(func() { _ = srv.Close() })
	return issuer
}

// world is a running server and a person's folder.
type world struct {
	t    *testing.T
	bin  string
	home string
	addr string
	env  []string // the administrator's
}

var ready = regexp.MustCompile(`ready.*?(127\.0\.0\.1:[0-9]+)`)

func start(t *testing.T) *world {
	t.Helper()
	bin := os.Getenv("COUNTERSIGN_BIN")
	if bin == "" {
		t.Skip("COUNTERSIGN_BIN names no binary; scripts/e2e builds one")
	}
	w := &world{t: t, bin: bin, home: t.TempDir()}
	cmd := exec.Command(bin, "dev", "--dir", filepath.Join(w.home, "dev"), "--listen", "127.0.0.1:0")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if m := ready.FindStringSubmatch(lines.Text()); m != nil {
			w.addr = "http://" + m[1]
			break
		}
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	if w.addr == "" {
		t.Fatal("the server did not say that it is ready")
	}
	text, err := os.ReadFile(filepath.Join(w.home, "dev", "env"))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`COUNTERSIGN_TOKEN='?([^'\s]+)`).FindStringSubmatch(string(text))
	if m == nil {
		t.Fatal("the env file has no token")
	}
	w.env = []string{"COUNTERSIGN_TOKEN=" + m[1]}
	return w
}

func (w *world) command(ctx context.Context, env []string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, w.bin, args...)
	cmd.Env = append([]string{"HOME=" + w.home, "PATH=" + os.Getenv("PATH"), "COUNTERSIGN_ADDR=" + w.addr}, env...)
	return cmd
}

// admin runs a command of the administrator, which must succeed.
func (w *world) admin(args ...string) string {
	w.t.Helper()
	out, err := w.command(w.t.Context(), w.env, args...).CombinedOutput()
	if err != nil {
		w.t.Fatalf("%q: %v\n%s", args, err, out)
	}
	return string(out)
}

// person runs a command of who is signed in.
func (w *world) person(args ...string) (string, error) {
	out, err := w.command(w.t.Context(), nil, args...).CombinedOutput()
	return string(out), err
}

var address = regexp.MustCompile(`http://127\.0\.0\.1:\S+code_challenge=\S+`)

// login runs "countersign login --oidc" and is the browser.
func (w *world) login(user string) (string, error) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	cmd := w.command(ctx, nil, "login", "--oidc")
	talk, in, err := os.Pipe()
	if err != nil {
		w.t.Fatal(err)
	}
	cmd.Stderr = in
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	in.Close()
	defer talk.Close()
	var said bytes.Buffer
	lines := bufio.NewScanner(io.TeeReader(talk, &said))
	for lines.Scan() {
		if at := address.FindString(lines.Text()); at != "" {
			w.browse(at, user)
			break
		}
	}
	for lines.Scan() {
	}
	return said.String(), cmd.Wait()
}

var requestID = regexp.MustCompile(`name="id" value="([^"]+)"`)

// browse signs in at the provider and follows where it leads.
func (w *world) browse(at, user string) {
	w.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	c := &http.Client{Jar: jar, Timeout: 20 * time.Second}
	page, where := get(w.t, c, at)
	m := requestID.FindStringSubmatch(page)
	if m == nil {
		w.t.Fatalf("the provider refuses to begin: %s", page)
	}
	res, err := c.PostForm(where, url.Values{"username": {user}, "password": {"verysecure"}, "id": {m[1]}})
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	if !strings.Contains(string(body), "go back to the terminal") {
		w.t.Fatalf("the browser ends at %s with %s", res.Request.URL.Path, body)
	}
}

func get(t *testing.T, c *http.Client, at string) (page, where string) {
	t.Helper()
	res, err := c.Get(at)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body), res.Request.URL.String()
}

func TestLogin(t *testing.T) {
	issuer := provider(t)
	w := start(t)
	w.admin("account", "identity-provider", "--issuer", issuer, "--client-id", "countersign", "--domain", "zitadel.ch")
	w.admin("user", "create", "alice")
	w.admin("policy", "attach", "SecretsReadWrite", "--user", "alice")

	said, err := w.login("test-user2")
	if err == nil || !strings.Contains(said, `--subject "id2"`) {
		t.Fatalf("without a link: %v\n%s", err, said)
	}
	w.admin("user", "link", "alice", "--subject", "id2")
	if said, err = w.login("test-user2"); err != nil || !strings.Contains(said, "as alice") {
		t.Fatalf("with a link: %v\n%s", err, said)
	}
	if out, err := w.person("list"); err != nil {
		t.Errorf("with the session: %v\n%s", err, out)
	}
	if out, err := w.person("session", "list"); err != nil || !strings.Contains(out, "\toidc\t") {
		t.Errorf("the session: %v\n%s", err, out)
	}
	w.admin("user", "unlink", "alice")
	if out, err := w.person("list"); err == nil {
		t.Errorf("the session outlives the link: %s", out)
	}

	// Users that are made, by a claim that the provider tells at UserInfo alone.
	w.admin("account", "identity-provider", "--issuer", issuer, "--client-id", "countersign", "--auto-create")
	if said, err = w.login("test-user2"); err != nil || !strings.Contains(said, "as test-user2@zitadel.ch") {
		t.Fatalf("a user that is made: %v\n%s", err, said)
	}
	if out, err := w.person("whoami"); err != nil || !strings.Contains(out, "test-user2@zitadel.ch") {
		t.Errorf("whoami: %v\n%s", err, out)
	}
	if out, err := w.person("list"); err == nil {
		t.Errorf("a user that was made may list: %s", out)
	}
	w.admin("account", "identity-provider", "--issuer", issuer, "--client-id", "countersign", "--domain", "example.com")
	if said, err = w.login("test-user2"); err == nil {
		t.Errorf("of another domain: %s", said)
	}
	if out := w.admin("audit", "query", "--operation", "Login", "--json"); strings.Count(out, `"outcome":"ok"`) != 2 || strings.Count(out, `"outcome":"denied"`) != 2 {
		t.Errorf("recorded: %s", out)
	}
}
