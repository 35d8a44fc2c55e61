package webhook_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"countersign/internal/egress"
	"countersign/internal/rotator"
	"countersign/internal/rotator/call"
	"countersign/internal/rotator/webhook"
	"countersign/internal/sensitive"
)

// guarded reaches what a server does whose configuration allows these addresses.
func guarded(allow ...string) rotator.Env {
	c := egress.Config{Timeout: time.Minute, MaxAnswer: webhook.MaxAnswer + 1}
	for _, a := range allow {
		c.Allow = append(c.Allow, netip.MustParsePrefix(a))
	}
	return rotator.Env{HTTP: egress.New(c).Client(), Now: time.Now}
}

func called(options ...string) rotator.Job {
	j := rotator.Job{Account: account, Name: "app/key", Options: map[string]string{webhook.Option: "w"}, Token: sensitive.FromString("the-token"),
		Current: rotator.Text("the-current"), Pending: rotator.Text("the-pending")}
	for _, o := range options {
		k, v, _ := strings.Cut(o, "=")
		j.Options[k] = v
	}
	return j
}

// TestNothingOfASecretIsInTheRequestLine: names and options stand in the body alone.
func TestNothingOfASecretIsInTheRequestLine(t *testing.T) {
	var got *http.Request
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { got = r; w.WriteHeader(http.StatusNoContent) }))
	defer s.Close()
	j := called("detail=x\r\nX-Injected: 1")
	j.Name, j.ARN = "../../x?y#z", "arn:\r\nX-Injected: 1"
	if err := kind(s.URL, call.Steps, rotator.Unknown).New(guarded("127.0.0.0/8")).Set(t.Context(), j); err != nil {
		t.Fatal(err)
	}
	if got.Method != "POST" || got.RequestURI != "/hook?k=v" {
		t.Errorf("%s %s", got.Method, got.RequestURI)
	}
	for k := range got.Header {
		switch k {
		case "Content-Type", "Content-Length", "User-Agent", "Connection", webhook.HeaderID, webhook.HeaderTimestamp, webhook.HeaderSignature:
		default:
			t.Errorf("header %s is sent", k)
		}
	}
}

// TestHostile: a webhook that tries to lead the server elsewhere, or to fill it up.
func TestHostile(t *testing.T) {
	led := false
	inner := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { led = true }))
	defer inner.Close()
	for name, answer := range map[string]http.HandlerFunc{
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, inner.URL, http.StatusTemporaryRedirect)
		},
		"large": func(w http.ResponseWriter, _ *http.Request) { w.Write(bytes.Repeat([]byte(" "), webhook.MaxAnswer+1)) },
		"endless": func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		},
		"bomb": func(w http.ResponseWriter, _ *http.Request) { // which would unpack to a value
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			io.WriteString(z, `{"value":"made"}`)
			z.Write(bytes.Repeat([]byte(" "), 8<<20))
			z.Close()
		},
		"cut": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, `{"value":"made"}`)
		},
		"headers": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 1<<20)) },
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(answer)
			defer s.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			j := called()
			j.Pending = rotator.Value{}
			made, err := kind(s.URL, call.Steps, rotator.Unknown).New(guarded("127.0.0.0/8")).Create(ctx, j)
			if err == nil || !made.Value.Empty() {
				t.Error("it was taken")
			}
			if _, msg := rotator.Why(err); strings.Contains(msg, "127.0.0.1") || strings.Contains(msg, "/hook") {
				t.Errorf("the URL is told: %s", msg)
			}
		})
	}
	if led {
		t.Error("a redirect was followed")
	}
}

// TestAddresses: without leave of the configuration nothing is reached that only the
// server reaches.
func TestAddresses(t *testing.T) {
	reached := false
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	defer s.Close()
	port := s.URL[strings.LastIndexByte(s.URL, ':'):]
	for _, url := range []string{s.URL, "http://localhost" + port, "https://127.0.0.1" + port, "http://[::ffff:127.0.0.1]" + port, "http://169.254.169.254"} {
		if err := kind(url, call.Steps, rotator.Unknown).New(guarded()).Set(t.Context(), called()); err == nil {
			t.Errorf("%s was reached", url)
		}
	}
	if reached {
		t.Error("it was reached")
	}
}
