package postgresql_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"countersign/internal/rotator"
	"countersign/internal/rotator/postgresql"
	"countersign/internal/rotator/rotatetest"
)

const hidden = "the-password-that-is-hidden"

// hostile is a server that a stranger has put in the place of the right one. It
// reads the start of a login, says what it wants, and keeps all that it is sent.
type hostile struct {
	cert *tls.Certificate
	says func(b *pgproto3.Backend, raw io.Writer)

	mu   sync.Mutex
	read bytes.Buffer
}

func (h *hostile) dial(t *testing.T) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		mine, its := net.Pipe()
		t.Cleanup(func() { its.Close() })
		go func() {
			defer its.Close()
			h.serve(its)
		}()
		return mine, nil
	}
}

func (h *hostile) serve(c net.Conn) {
	if h.cert != nil {
		io.ReadFull(c, make([]byte, 8)) // SSLRequest
		c.Write([]byte{'S'})
		c = tls.Server(c, &tls.Config{Certificates: []tls.Certificate{*h.cert}})
	}
	r := io.TeeReader(c, writer(h.keep))
	b := pgproto3.NewBackend(r, c)
	if _, err := b.ReceiveStartupMessage(); err != nil {
		return
	}
	h.says(b, c)
	b.Flush()
	io.Copy(io.Discard, r)
}

func (h *hostile) keep(p []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.read.Write(p)
}

type writer func([]byte)

func (w writer) Write(p []byte) (int, error) { w(p); return len(p), nil }

func (h *hostile) test(t *testing.T, options map[string]string) error {
	t.Helper()
	j := rotator.Job{Options: options, Pending: value(t, "host", "db", "username", "app", "password", hidden)}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	return postgresql.Kind().New(rotator.Env{Dial: h.dial(t)}).Test(ctx, j)
}

func (h *hostile) got() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.read.String()
}

// TestHostile holds what a server gets that has not proved who it is.
func TestHostile(t *testing.T) {
	cert := rotatetest.SelfSigned(t, "db")
	for name, tt := range map[string]struct {
		says  func(b *pgproto3.Backend, raw io.Writer)
		class rotator.Class
		text  string
	}{
		"cleartext": {func(b *pgproto3.Backend, _ io.Writer) { b.Send(&pgproto3.AuthenticationCleartextPassword{}) }, rotator.Unsuitable, "gives it away"},
		"md5":       {func(b *pgproto3.Backend, _ io.Writer) { b.Send(&pgproto3.AuthenticationMD5Password{}) }, rotator.Unsuitable, "gives it away"},
		"gss":       {func(b *pgproto3.Backend, _ io.Writer) { b.Send(&pgproto3.AuthenticationGSS{}) }, rotator.Unsuitable, "gives it away"},
		"oauth": {func(b *pgproto3.Backend, _ io.Writer) {
			b.Send(&pgproto3.AuthenticationSASL{AuthMechanisms: []string{"OAUTHBEARER"}})
		}, rotator.Unsuitable, "gives it away"},
		"trust": {func(b *pgproto3.Backend, _ io.Writer) {
			b.Send(&pgproto3.AuthenticationOk{})
			b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
		}, rotator.Unsuitable, "proves nothing"},
		"scram-cut": {func(b *pgproto3.Backend, _ io.Writer) {
			b.Send(&pgproto3.AuthenticationSASL{AuthMechanisms: []string{"SCRAM-SHA-256"}})
			b.Flush()
			b.SetAuthType(pgproto3.AuthTypeSASL)
			b.Receive()
			b.Send(&pgproto3.AuthenticationOk{})
			b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
		}, rotator.Rejected, "protocol"},
		"scram-unknowing": {func(b *pgproto3.Backend, _ io.Writer) {
			b.Send(&pgproto3.AuthenticationSASL{AuthMechanisms: []string{"SCRAM-SHA-256"}})
			b.Flush()
			b.SetAuthType(pgproto3.AuthTypeSASL)
			m, err := b.Receive()
			if err != nil {
				return
			}
			_, nonce, _ := strings.Cut(string(m.(*pgproto3.SASLInitialResponse).Data), "r=")
			b.Send(&pgproto3.AuthenticationSASLContinue{Data: []byte("r=" + nonce + "more,s=c2FsdHNhbHQ=,i=4096")})
			b.Flush()
			b.SetAuthType(pgproto3.AuthTypeSASLContinue)
			b.Receive()
			b.Send(&pgproto3.AuthenticationSASLFinal{Data: []byte("v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")})
		}, rotator.Rejected, "does not know the password"},
		"large": {func(_ *pgproto3.Backend, raw io.Writer) {
			raw.Write(binary.BigEndian.AppendUint32([]byte{'N'}, 1<<30))
		}, rotator.Rejected, "protocol"},
		"noise": {func(_ *pgproto3.Backend, raw io.Writer) { raw.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")) }, rotator.Rejected, "protocol"},
		"error": {func(b *pgproto3.Backend, _ io.Writer) {
			b.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: "<b>" + hidden, Message: hidden})
		}, rotator.Rejected, "unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, how := range []string{"disable", "require"} {
				h := &hostile{says: tt.says}
				if how == "require" {
					h.cert = cert
				}
				err := h.test(t, map[string]string{"tls": how})
				class(t, err, tt.class, tt.text)
				if strings.Contains(h.got(), hidden) {
					t.Errorf("%s: the server has the password", how)
				}
				if h.got() == "" {
					t.Error("the server got nothing")
				}
				if strings.Contains(err.Error(), hidden) {
					t.Error("what the server says stands in the failure")
				}
			}
		})
	}
}

func TestNoTLS(t *testing.T) {
	for _, how := range []string{"require", "verify-full"} {
		h := &hostile{}
		dial := func(context.Context, string, string) (net.Conn, error) {
			mine, its := net.Pipe()
			go func() {
				io.ReadFull(its, make([]byte, 8))
				its.Write([]byte{'N'})
				io.Copy(writer(h.keep), its)
			}()
			return mine, nil
		}
		j := rotator.Job{Options: map[string]string{"tls": how}, Pending: value(t, "host", "db", "username", "app", "password", hidden)}
		class(t, postgresql.Kind().New(rotator.Env{Dial: dial}).Test(t.Context(), j), rotator.Unsuitable, "does not speak TLS")
		if h.got() != "" {
			t.Error("something was sent without TLS")
		}
	}
}

// TestProved logs in by MD5 and in clear, at a server that has proved its name.
func TestProved(t *testing.T) {
	cert := rotatetest.SelfSigned(t, "db")
	for name, ask := range map[string]pgproto3.BackendMessage{"password": &pgproto3.AuthenticationCleartextPassword{}, "md5": &pgproto3.AuthenticationMD5Password{}} {
		t.Run(name, func(t *testing.T) {
			h := &hostile{cert: cert, says: func(b *pgproto3.Backend, _ io.Writer) {
				b.Send(ask)
				b.Flush()
				b.SetAuthType(pgproto3.AuthTypeCleartextPassword)
				b.Receive()
				b.Send(&pgproto3.AuthenticationOk{})
				b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
				b.Flush()
				for range 2 {
					if _, err := b.Receive(); err != nil {
						return
					}
					b.Send(&pgproto3.CommandComplete{CommandTag: []byte("SET")})
					b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
					b.Flush()
				}
			}}
			j := rotator.Job{Options: map[string]string{"tls_ca": "ca"}, Related: map[string]rotator.Value{"tls_ca": rotator.Text(rotatetest.PEM(cert))},
				Pending: value(t, "host", "db", "username", "app", "password", hidden)}
			ok(t, postgresql.Kind().New(rotator.Env{Dial: h.dial(t)}).Test(t.Context(), j))
			if strings.Contains(h.got(), hidden) != (name == "password") {
				t.Error("it got another form than it asked for")
			}
		})
	}
}
