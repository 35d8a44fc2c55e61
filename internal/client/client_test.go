package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/client"
	"countersign/internal/errs"
	"countersign/internal/sensitive"
)

const canary = "canary-7d1f"

// serve starts a server and returns a client of it that has a token.
func serve(t *testing.T, h http.HandlerFunc) *client.Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	c, err := client.New(client.Config{Address: s.URL, Token: sensitive.FromString("cst_ID_SECRET"), Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestNew(t *testing.T) {
	tests := []struct {
		name    string
		cfg     client.Config
		address string
		refused string // part of the error
	}{
		{name: "default", address: "http://127.0.0.1:8200"},
		{name: "loopback-name", cfg: client.Config{Address: "http://localhost:1"}, address: "http://localhost:1"},
		{name: "loopback-v6", cfg: client.Config{Address: "http://[::1]:8200/"}, address: "http://[::1]:8200"},
		{name: "loopback-net", cfg: client.Config{Address: "http://127.8.9.1"}, address: "http://127.8.9.1"},
		{name: "https", cfg: client.Config{Address: "https://vault.example"}, address: "https://vault.example"},
		{name: "plain-elsewhere", cfg: client.Config{Address: "http://vault.example"}, refused: "not encrypted"},
		{name: "plain-looks-like-loopback", cfg: client.Config{Address: "http://127.0.0.1.example"}, refused: "not encrypted"},
		{name: "plain-localhost-subdomain", cfg: client.Config{Address: "http://localhost.example"}, refused: "not encrypted"},
		{name: "plain-allowed", cfg: client.Config{Address: "http://10.0.0.1", AllowPlaintext: true}, address: "http://10.0.0.1"},
		{name: "no-scheme", cfg: client.Config{Address: "127.0.0.1:8200"}, refused: "no http:// or https:// URL"},
		{name: "other-scheme", cfg: client.Config{Address: "ftp://127.0.0.1"}, refused: "no http:// or https:// URL"},
		{name: "path", cfg: client.Config{Address: "https://vault.example/x"}, refused: "host and port only"},
		{name: "user", cfg: client.Config{Address: "https://" + canary + "@vault.example"}, refused: "host and port only"},
		{name: "token-with-space", cfg: client.Config{Token: sensitive.FromString(canary + " x")}, refused: "character"},
		{name: "token-with-newline", cfg: client.Config{Token: sensitive.FromString(canary + "\r\nX: y")}, refused: "character"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := client.New(tt.cfg)
			switch {
			case tt.refused == "" && err != nil:
				t.Fatalf("New: %v", err)
			case tt.refused == "":
				if c.Address() != tt.address {
					t.Errorf("address %q, want %q", c.Address(), tt.address)
				}
			case err == nil || !strings.Contains(err.Error(), tt.refused):
				t.Errorf("New: %v, want a refusal with %q", err, tt.refused)
			case !client.Is(err, errs.Invalid):
				t.Errorf("kind %s, want invalid", client.KindOf(err))
			case strings.Contains(err.Error(), canary):
				t.Errorf("the error quotes a credential: %v", err)
			}
		})
	}
}

func TestTokenFile(t *testing.T) {
	write := func(t *testing.T, content string, mode os.FileMode) string {
		path := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	tests := []struct {
		name    string
		path    func(t *testing.T) string
		refused string
	}{
		{"private", func(t *testing.T) string { return write(t, "cst_A_B\n", 0o600) }, ""},
		{"read-only", func(t *testing.T) string { return write(t, "cst_A_B", 0o400) }, ""},
		{"group-readable", func(t *testing.T) string { return write(t, canary, 0o640) }, "open to others (mode 0640)"},
		{"all-readable", func(t *testing.T) string { return write(t, canary, 0o604) }, "open to others"},
		{"absent", func(t *testing.T) string { return filepath.Join(t.TempDir(), "none") }, "opening token file"},
		{"folder", func(t *testing.T) string { return t.TempDir() }, "no regular file"},
		{"large", func(t *testing.T) string { return write(t, strings.Repeat("x", 5000), 0o600) }, "larger than"},
		{"empty", func(t *testing.T) string { return write(t, "", 0o600) }, "reading token file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got string
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				got = r.Header.Get("Authorization")
				fmt.Fprint(w, "{}")
			}))
			defer s.Close()
			c, err := client.New(client.Config{Address: s.URL, TokenFile: tt.path(t)})
			if tt.refused != "" {
				if err == nil || !strings.Contains(err.Error(), tt.refused) || strings.Contains(err.Error(), canary) {
					t.Errorf("New: %v, want a refusal with %q", err, tt.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Status(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got != "Bearer cst_A_B" {
				t.Errorf("authorization %q", got)
			}
		})
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	reached := false
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { reached = true }))
	defer other.Close()
	for _, code := range []int{301, 302, 303, 307, 308} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			c := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, code) })
			if _, err := c.Status(t.Context()); err == nil || !strings.Contains(err.Error(), "redirect") {
				t.Errorf("got %v, want the refusal of a redirect", err)
			}
		})
	}
	if reached {
		t.Error("a redirect was followed")
	}
}

func TestErrors(t *testing.T) {
	answer := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Request-Id", "R1")
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		}
	}
	full := `{"error":{"kind":"denied","code":"c","field":"f","message":"no","decision":"D1","request_id":"R0"}}`
	tests := []struct {
		name string
		h    http.HandlerFunc
		want client.Error
	}{
		{"full", answer(403, full), client.Error{Status: 403, Kind: errs.Denied, Code: "c", Field: "f", Message: "no", Decision: "D1", RequestID: "R0"}},
		{"unknown-kind", answer(503, `{"error":{"kind":"new","message":"m"}}`), client.Error{Status: 503, Kind: errs.Unavailable, Message: "m", RequestID: "R1"}},
		{"not-ours", answer(502, `<html>`+canary), client.Error{Status: 502, Kind: errs.Unavailable, RequestID: "R1", Message: "ADDR answered with status 502 and no error of this API; is it a Countersign server?"}},
		{"success-not-json", answer(200, canary), client.Error{Status: 200, Kind: errs.Internal, RequestID: "R1", Message: "ADDR answered with status 200 and an answer that could not be decoded; is it a Countersign server?"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := serve(t, tt.h)
			_, err := c.Describe(t.Context(), "a")
			var e *client.Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v (%T), want *client.Error", err, err)
			}
			tt.want.Message = strings.Replace(tt.want.Message, "ADDR", c.Address(), 1)
			if diff := cmp.Diff(tt.want, *e); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestEveryKindHasAStatusOrSlug(t *testing.T) {
	for _, k := range errs.Kinds() {
		t.Run(k.String(), func(t *testing.T) {
			c := serve(t, func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(http.StatusTeapot)
				fmt.Fprintf(w, `{"error":{"kind":%q}}`, k)
			})
			if _, err := c.Status(t.Context()); !client.Is(err, k) {
				t.Errorf("kind %s came back as %s", k, client.KindOf(err))
			}
		})
	}
}

func TestUnreachable(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	c, err := client.New(client.Config{Address: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.ReadValue(t.Context(), "prod/"+canary, client.Which{})
	if !client.Is(err, errs.Unavailable) || strings.Contains(err.Error(), canary) {
		t.Errorf("got %v, want unavailable without the name", err)
	}
}

func TestTimeout(t *testing.T) {
	release := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer s.Close()
	defer close(release)
	c, err := client.New(client.Config{Address: s.URL, Timeout: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Status(t.Context()); !client.Is(err, errs.Unavailable) || !strings.Contains(err.Error(), "no answer") {
		t.Errorf("got %v, want unavailable", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Status(ctx); !client.Is(err, errs.Canceled) {
		t.Errorf("got %v, want canceled", err)
	}
}

// TestValues shows that values go in bodies, in the right member, and come back
// the same.
func TestValues(t *testing.T) {
	for name, data := range map[string]string{"text": "pass\"wörd\n", "binary": "\x00\xff" + canary, "empty-json": "{}"} {
		t.Run(name, func(t *testing.T) {
			var body map[string]any
			c := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method == "PUT" {
					if strings.Contains(r.RequestURI, canary) {
						t.Errorf("the value is in the URL: %s", r.RequestURI)
					}
					if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
						t.Error(err)
					}
					fmt.Fprint(w, `{"name":"a/b","version":3,"change":"C"}`)
					return
				}
				answer := map[string]any{"name": "a/b", "version": 3}
				for _, k := range []string{"value", "binary"} {
					if v, ok := body[k]; ok {
						answer[k] = v
					}
				}
				if err := json.NewEncoder(w).Encode(answer); err != nil {
					t.Error(err)
				}
			})
			w, err := c.PutValue(t.Context(), "a/b", client.PutRequest{Value: client.NewPayload(sensitive.FromString(data)), Base: 2})
			if err != nil || w.Version != 3 {
				t.Fatalf("PutValue: %+v, %v", w, err)
			}
			_, text := body["value"]
			_, binary := body["binary"]
			if text == binary || binary != (name == "binary") || body["base"] != 2.0 {
				t.Errorf("body has members %v", body)
			}
			v, err := c.ReadValue(t.Context(), "a/b", client.Which{})
			if err != nil || !v.Data.Equal(sensitive.FromString(data)) || v.Binary != (name == "binary") {
				t.Errorf("ReadValue: %+v, %v", v, err)
			}
			if out := fmt.Sprintf("%+v", v); strings.Contains(out, canary) {
				t.Errorf("the value prints itself: %s", out)
			}
		})
	}
}

func TestQueryIsExact(t *testing.T) {
	var got string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r.Method + " " + r.RequestURI
		fmt.Fprint(w, `{"items":[]}`)
	})
	ctx := t.Context()
	tests := []struct {
		name string
		call func() error
		want string
	}{
		{"describe", func() error { _, err := c.Describe(ctx, "a/b+c @="); return err }, "GET /api/v1/secret?name=a%2Fb%2Bc+%40%3D"},
		{"list", func() error {
			_, err := c.ListSecrets(ctx, client.ListOptions{Prefix: "p", Filters: []string{"tag-key:a", "all:b"}, Desc: true, Limit: 2})
			return err
		}, "GET /api/v1/secrets?desc=true&filter=tag-key%3Aa&filter=all%3Ab&limit=2&prefix=p"},
		{"delete", func() error {
			_, err := c.Delete(ctx, "a", client.DeleteOptions{Window: 7})
			return err
		}, "DELETE /api/v1/secret?name=a&window=7"},
		{"untag", func() error { _, err := c.Untag(ctx, "a", []string{"x", "y"}); return err }, "DELETE /api/v1/secret/tags?key=x&key=y&name=a"},
		{"user", func() error { _, err := c.GetUser(ctx, "../a b"); return err }, "GET /api/v1/users/..%2Fa%20b"},
		{"member", func() error { _, err := c.AddMember(ctx, "g", "u@x"); return err }, "PUT /api/v1/groups/g/members/u@x"},
		{"revoke", func() error { _, err := c.RevokeKey(ctx, "o", "K"); return err }, "DELETE /api/v1/keys/K?owner=o"},
		{"audit", func() error {
			_, err := c.QueryAudit(ctx, client.AuditQuery{Since: time.Unix(0, 0), Outcome: "ok", Limit: 1})
			return err
		}, "GET /api/v1/audit?limit=1&outcome=ok&since=1970-01-01T00%3A00%3A00Z"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.call(); err != nil {
				t.Fatal(err)
			}
			if got != tt.want {
				t.Errorf("sent %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestNewKeyHidesItself(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"id":"K","owner":"o","secret":"%s","token":"cst_K_%s"}`, canary, canary)
	})
	k, err := c.CreateKey(t.Context(), client.CreateKeyRequest{Owner: "o"})
	if err != nil || k.ID != "K" || string(k.Secret.Reveal()) != canary || string(k.Token.Reveal()) != "cst_K_"+canary {
		t.Fatalf("CreateKey: %+v, %v", k, err)
	}
	out, err := json.Marshal(k)
	if err != nil || strings.Contains(string(out)+fmt.Sprintf("%#v", k), canary) {
		t.Errorf("the key prints its secret: %s", out)
	}
}

func TestFollow(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		fmt.Fprint(w, "{\"seq\":1,\"operation\":\"ReadValue\"}\n\n{\"seq\":2}\n")
		_ = http.NewResponseController(w).Flush()
		if r.URL.Query().Get("outcome") == "denied" {
			<-r.Context().Done()
		}
	})
	var seqs []uint64
	stream, err := c.FollowAudit(t.Context(), client.AuditQuery{})
	if err != nil {
		t.Fatal(err)
	}
	for r, err := range stream {
		if err != nil {
			t.Fatal(err)
		}
		seqs = append(seqs, r.Seq)
	}
	if diff := cmp.Diff([]uint64{1, 2}, seqs); diff != "" {
		t.Error(diff)
	}

	ctx, cancel := context.WithCancel(t.Context())
	if stream, err = c.FollowAudit(ctx, client.AuditQuery{Outcome: "denied"}); err != nil {
		t.Fatal(err)
	}
	var last error
	for r, err := range stream {
		if last = err; r.Seq == 2 {
			cancel()
		}
	}
	if !client.Is(last, errs.Canceled) {
		t.Errorf("the stream ended with %v, want canceled", last)
	}
	cancel()
}

func TestBackupThatBreaksIsAnError(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprint(w, strings.Repeat("x", 10_000))
		if strings.Contains(string(body), "age1") {
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
	})
	var b bytes.Buffer
	if n, err := c.Backup(t.Context(), nil, &b); err != nil || n != 10_000 {
		t.Errorf("Backup: %d, %v", n, err)
	}
	if _, err := c.Backup(t.Context(), []string{"age1x"}, &b); !client.Is(err, errs.Unavailable) {
		t.Errorf("a backup that broke off: %v, want unavailable", err)
	}
}

// TestRate: what came too soon is sent again, body and all; other refusals for
// haste are not.
func TestRate(t *testing.T) {
	for code, want := range map[string]int{"rate": 3, "backoff": 1} {
		synctest.Test(t, func(t *testing.T) {
			calls := 0
			c, err := client.New(client.Config{Token: sensitive.FromString("t"), Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				calls++
				body, _ := io.ReadAll(r.Body)
				if !strings.Contains(string(body), "hello") {
					t.Errorf("call %d has the body %q", calls, body)
				}
				if calls < 3 {
					return answer(429, `{"error":{"kind":"throttled","code":"`+code+`","message":"slow down"}}`), nil
				}
				return answer(200, `{}`), nil
			})})
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.AddComment(t.Context(), "01ABC", "hello")
			if calls != want || (err == nil) != (want == 3) {
				t.Errorf("%s: %d calls, %v", code, calls, err)
			}
		})
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answer(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
}
