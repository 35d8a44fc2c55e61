// Package browser signs in by an identity provider, through the user's browser
// (RFC 8252): it listens on loopback for the code that the browser brings back,
// and proves by a verifier that it is who began (RFC 7636).
package browser

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"countersign/internal/cli/streams"
	"countersign/internal/client"
	"countersign/internal/sensitive"
)

// patience is how long somebody may take in the browser.
const patience = 10 * time.Minute

// answer is what the browser brought back.
type answer struct {
	code sensitive.Bytes
	err  error
}

// Login says where to go, waits for the browser, and returns what finishes the
// login.
func Login(ctx context.Context, s *streams.Streams, c *client.Client, account string) (client.FinishOIDC, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return client.FinishOIDC{}, fmt.Errorf("listening for the browser: %w", err)
	}
	defer ln.Close()
	verifier := rand.Text() + rand.Text() // 52 characters, 260 bits
	sum := sha256.Sum256([]byte(verifier))
	redirect := "http://" + ln.Addr().String() + "/callback"
	begun, err := c.BeginOIDC(ctx, account, redirect, base64.RawURLEncoding.EncodeToString(sum[:]))
	if err != nil {
		return client.FinishOIDC{}, err
	}
	got := make(chan answer, 1)
	srv := &http.Server{Handler: callback(begun.State, got), ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 32 << 10}
	go func() { _ = srv.Serve(ln) }() // ends with Close
	defer func() {
		done, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = srv.Shutdown(done) // lets the browser have its page
	}()
	s.Notef("open this address in your browser:\n\n  %s\n", begun.URL)
	select {
	case a := <-got:
		return client.FinishOIDC{Account: account, Redirect: redirect, State: begun.State, Code: a.code, Verifier: sensitive.FromString(verifier)}, a.err
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return client.FinishOIDC{}, errors.New("nobody signed in in the browser within 10 minutes")
		}
		return client.FinishOIDC{}, ctx.Err()
	}
}

// callback takes the first answer to this login; whatever else asks is told
// nothing.
func callback(state string, got chan<- answer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "text/plain; charset=utf-8")
		h.Set("Cache-Control", "no-store")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		q := r.URL.Query()
		if r.Method != http.MethodGet || r.URL.Path != "/callback" || subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(state)) != 1 {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		a := answer{code: sensitive.FromString(q.Get("code"))}
		text := "You can close this window and go back to the terminal.\n"
		if a.code.Len() == 0 {
			a.err = fmt.Errorf("the identity provider refused: %.64q", q.Get("error"))
			text = "The identity provider refused. The terminal says more.\n"
		}
		_, _ = io.WriteString(w, text)
		select {
		case got <- a:
		default: // one was taken already
		}
	})
}
