package native

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"countersign/internal/core/audit"
	"countersign/internal/core/authn"
	"countersign/internal/core/coretest"
	"countersign/internal/core/inspect"
	"countersign/internal/core/notify"
	"countersign/internal/core/operate"
	"countersign/internal/core/secret"
	"countersign/internal/egress"
	"countersign/internal/keyring"
	"countersign/internal/kv/boltkv"
	"countersign/internal/kv/sealed"
)

// server is the front over a core.
type server struct {
	*coretest.Core
	http.Handler
	admin string // bearer token of the home account's administrator
}

func newServer(t testing.TB, c coretest.Config) *server {
	t.Helper()
	return newLimited(t, c, Rate{PerSecond: 1e6, Burst: 1e6})
}

// newLimited is a server with a limit of workflow calls.
func newLimited(t testing.TB, c coretest.Config, r Rate) *server {
	t.Helper()
	core := coretest.New(t, c)
	oc := operate.Config{Gate: core.Gate, Home: core.Authn, Log: core.Log, Relay: core.Relay, Keyring: core.Ring,
		Walk:     keyring.Walk{DB: core.DB, Ciphertext: sealed.Ciphertext, DataKeys: secret.DataKeys},
		AuditDir: filepath.Join(core.Dir, "audit"), Spool: core.Dir, Version: "test", Started: time.Now(),
		Regions: core.Secrets.Regions(), Logger: c.Logger}
	if db, ok := core.Engine.(*boltkv.DB); ok {
		oc.Store = db
	}
	h, err := New(Config{
		Secrets: core.Secrets, Authn: core.Authn, Changes: core.Changes, Projects: core.Projects, Rate: r, Gate: core.Gate, SignIn: core.SignIn, Notify: notices(core), Devices: core.Devices, Rotation: core.Rotation, Operate: operate.New(oc),
		Inspect: inspect.New(inspect.Config{Gate: core.Gate, Log: core.Log, Relay: core.Relay, Identities: core.Authn,
			Secrets: core.Secrets, Emergencies: core.Changes, Vault: core.Ring, Dir: filepath.Join(core.Dir, "audit"),
			Keys: []ed25519.PublicKey{core.Log.PublicKey()}}),
		Region: coretest.Region, Regions: core.Secrets.Regions(), Logger: c.Logger,
	})
	if err != nil {
		t.Fatal(err)
	}
	return &server{core, h, token(core.Key)}
}

// notices delivers to loopback.
func notices(core *coretest.Core) *notify.Service {
	guard := egress.New(egress.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	return notify.New(notify.Config{Gate: core.Gate, Changes: core.Changes, People: core.Authn, Poster: guard.Poster(), Logger: slog.New(slog.DiscardHandler)})
}

// after returns the newest records of the log, those behind a place in it.
func (s *server) after(t testing.TB, seq uint64) (out []audit.Record) {
	t.Helper()
	for r, err := range s.Log.Query(t.Context(), audit.Filter{After: seq}) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

func token(k authn.NewKey) string { return authn.Token(k.ID, string(k.Secret.Reveal())) }

// do sends one request with a bearer token, none when it is empty.
func (s *server) do(t testing.TB, token, method, path, body string) *httptest.ResponseRecorder {
	t.Helper()
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req := httptest.NewRequest(method, Base+path, r)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, req)
	return w
}

// want sends a request of the administrator that must succeed, and decodes it.
func (s *server) want(t testing.TB, method, path, body string) map[string]any {
	t.Helper()
	w := s.do(t, s.admin, method, path, body)
	if w.Code != http.StatusOK {
		t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
	}
	return object(t, w)
}

func object(t testing.TB, w *httptest.ResponseRecorder) map[string]any {
	t.Helper()
	var out map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		t.Fatalf("the answer is not JSON: %v: %q", err, w.Body)
	}
	return out
}

// failure is the body of an error.
type failure struct {
	Kind      string `json:"kind"`
	Code      string `json:"code"`
	Field     string `json:"field"`
	Message   string `json:"message"`
	Decision  string `json:"decision"`
	RequestID string `json:"request_id"`
}

func failed(t testing.TB, w *httptest.ResponseRecorder) failure {
	t.Helper()
	var out struct{ Error failure }
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || out.Error.Kind == "" {
		t.Fatalf("%d: not an error of the API: %q", w.Code, w.Body)
	}
	if out.Error.RequestID == "" || out.Error.RequestID != w.Header().Get("X-Request-Id") {
		t.Errorf("request id %q, header %q", out.Error.RequestID, w.Header().Get("X-Request-Id"))
	}
	return out.Error
}

// hmacOf chains HMAC-SHA256 over the parts.
func hmacOf(key []byte, parts ...string) []byte {
	for _, p := range parts {
		m := hmac.New(sha256.New, key)
		m.Write([]byte(p))
		key = m.Sum(nil)
	}
	return key
}
