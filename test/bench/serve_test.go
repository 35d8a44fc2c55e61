package main

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"countersign/internal/config"
	"countersign/internal/core/authn"
	"countersign/internal/server"
)

// answer keeps the status of an answer and drops the rest.
type answer struct {
	head   http.Header
	status int
}

func (a *answer) Header() http.Header         { return a.head }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(b []byte) (int, error) { return len(b), nil }

// BenchmarkRead is the part of a read that is the server's own: without
// net/http and the sockets.
func BenchmarkRead(b *testing.B) {
	dir := b.TempDir()
	s, err := makeStore(b.Context(), dir, "127.0.0.1:0", withSecrets(b.Context(), 2000))
	if err != nil {
		b.Fatal(err)
	}
	cfg, err := config.Load(filepath.Join(dir, "server.yaml"))
	if err != nil {
		b.Fatal(err)
	}
	srv, err := server.Open(b.Context(), cfg, server.Options{Stderr: io.Discard, Version: "bench"})
	if err != nil {
		b.Fatal(err)
	}
	secret := string(s.key.Secret.Reveal())
	q := requests{addr: "127.0.0.1:8200", token: authn.Token(s.key.ID, secret), signer: v4.NewSigner(),
		credentials: aws.Credentials{AccessKeyID: s.key.ID, SecretAccessKey: secret}}
	signed, err := q.get(7)
	if err != nil {
		b.Fatal(err)
	}
	for name, raw := range map[string][]byte{"signed": signed, "token": q.bearer(7)} {
		b.Run(name, func(b *testing.B) {
			r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
			if err != nil {
				b.Fatal(err)
			}
			r.RemoteAddr = "127.0.0.1:40000"
			body, _ := io.ReadAll(r.Body)
			a := &answer{head: http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				r.Body = io.NopCloser(bytes.NewReader(body))
				clear(a.head)
				srv.ServeHTTP(a, r)
				if a.status != 0 && a.status != http.StatusOK {
					b.Fatalf("the server answered %d", a.status)
				}
			}
		})
	}
}
