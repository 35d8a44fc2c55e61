package held_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"countersign/internal/cli/session/held"
	"countersign/internal/cli/settings"
	"countersign/internal/client"
	"countersign/internal/errs"
	"countersign/internal/sensitive"
)

// signedIn is a configuration with a session, and a server that refreshes it.
func signedIn(t *testing.T, expires time.Time, refused bool) (settings.Store, settings.Session, *client.Client, *atomic.Int64) {
	t.Helper()
	var n atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v1/login/refresh" || r.Header.Get("Authorization") != "" || refused {
			w.WriteHeader(401)
			fmt.Fprint(w, `{"error":{"kind":"unauthenticated","code":"bad-session"}}`)
			return
		}
		fmt.Fprintf(w, `{"user":"ann","access_token":"css_%d","expires_in":900,"refresh_token":"csr_%[1]d"}`, n.Add(1))
	}))
	t.Cleanup(srv.Close)
	store, err := settings.Locate(func(k string) string {
		return map[string]string{settings.EnvConfig: filepath.Join(t.TempDir(), "config.json")}[k]
	}, "")
	if err != nil {
		t.Fatal(err)
	}
	s := settings.Session{Address: srv.URL, User: "ann", AccessToken: sensitive.FromString("css_0"), AccessExpires: expires, RefreshToken: sensitive.FromString("csr_0")}
	if err := store.Update(t.Context(), func(g *settings.Global) error { g.Session = &s; return nil }); err != nil {
		t.Fatal(err)
	}
	c, err := client.New(client.Config{Address: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	return store, s, c, &n
}

func token(t *testing.T, h *held.Session) string {
	t.Helper()
	tok, err := h.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return string(tok.Reveal())
}

func TestOneRefreshes(t *testing.T) {
	store, s, c, n := signedIn(t, time.Now().Add(time.Second), false)
	var wg sync.WaitGroup
	for range 8 { // as eight processes
		wg.Go(func() {
			h := held.New(store, s, c, time.Now)
			for range 3 {
				if got := token(t, h); got != "css_1" {
					t.Errorf("got %q", got)
				}
			}
		})
	}
	wg.Wait()
	if n.Load() != 1 {
		t.Errorf("refreshed %d times", n.Load())
	}
	g, _, err := store.Load()
	if err != nil || string(g.Session.RefreshToken.Reveal()) != "csr_1" || time.Until(g.Session.AccessExpires) < 10*time.Minute {
		t.Errorf("kept %+v, %v", g.Session, err)
	}
}

func TestNotBeforeItsTime(t *testing.T) {
	store, s, c, n := signedIn(t, time.Now().Add(time.Hour), false)
	h := held.New(store, s, c, time.Now)
	if got := token(t, h); got != "css_0" || n.Load() != 0 {
		t.Errorf("got %q after %d refreshes", got, n.Load())
	}
	stale := sensitive.FromString("css_0")
	for range 2 { // the server says so; the second asks about one that was replaced
		if tok, err := h.Renew(context.Background(), stale); err != nil || string(tok.Reveal()) != "css_1" {
			t.Errorf("%v", err)
		}
	}
}

func TestOver(t *testing.T) {
	store, s, c, _ := signedIn(t, time.Now(), true)
	_, err := held.New(store, s, c, time.Now).Token(t.Context())
	if client.KindOf(err) != errs.Unauthenticated || !strings.Contains(err.Error(), "the session is over") {
		t.Errorf("got %v", err)
	}
}
