package mailer_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/http/httptest"
	"net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign/internal/mailer"
)

const password = "s3cr3t-smtp-password"

// server is a small SMTP server on loopback.
type server struct {
	t        *testing.T
	cert     tls.Certificate
	roots    *x509.CertPool
	ln       net.Listener
	implicit bool
	noTLS    bool              // does not offer STARTTLS
	answers  map[string]string // to commands, instead of the usual ones
	silent   bool              // never says a word

	mu       sync.Mutex
	messages []string
	envelope []string // MAIL and RCPT lines
	auth     []string
	clear    []string // what was said without TLS
}

func start(t *testing.T, s *server) *server {
	t.Helper()
	tlsServer := httptest.NewUnstartedServer(nil)
	tlsServer.StartTLS()
	s.cert, s.roots = tlsServer.TLS.Certificates[0], x509.NewCertPool()
	s.roots.AddCert(tlsServer.Certificate())
	tlsServer.Close()
	var err error
	if s.ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	s.t = t
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := s.ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { s.session(c) })
		}
	})
	t.Cleanup(func() { _ = s.ln.Close(); wg.Wait() })
	return s
}

func (s *server) session(c net.Conn) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if s.silent {
		_, _ = io.Copy(io.Discard, c)
		return
	}
	secure := s.implicit
	if secure {
		c = tls.Server(c, &tls.Config{Certificates: []tls.Certificate{s.cert}})
	}
	r := bufio.NewReader(c)
	say := func(line string) { _, _ = io.WriteString(c, line+"\r\n") }
	say("220 test ESMTP")
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		verb := strings.ToUpper(strings.Fields(line + " x")[0])
		s.mu.Lock()
		if !secure {
			s.clear = append(s.clear, line)
		}
		answer := s.answers[verb]
		if a, ok := s.answers[line]; ok {
			answer = a
		}
		s.mu.Unlock()
		switch {
		case answer != "":
			say(answer)
		case verb == "EHLO" && secure:
			say("250-test\r\n250 AUTH PLAIN")
		case verb == "EHLO" && s.noTLS:
			say("250 test")
		case verb == "EHLO":
			say("250-test\r\n250-AUTH PLAIN\r\n250 STARTTLS")
		case verb == "STARTTLS":
			say("220 go")
			c, secure = tls.Server(c, &tls.Config{Certificates: []tls.Certificate{s.cert}}), true
			r = bufio.NewReader(c)
		case verb == "AUTH":
			s.note(&s.auth, line)
			say("235 ok")
		case verb == "MAIL", verb == "RCPT":
			s.note(&s.envelope, line)
			say("250 ok")
		case verb == "DATA":
			say("354 go")
			var b strings.Builder
			for {
				l, err := r.ReadString('\n')
				if err != nil {
					return
				}
				if l == ".\r\n" {
					break
				}
				b.WriteString(strings.TrimPrefix(l, "."))
			}
			s.note(&s.messages, b.String())
			say("250 taken")
		case verb == "QUIT":
			say("221 bye")
			return
		default:
			say("502 what")
		}
	}
}

func (s *server) note(list *[]string, line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*list = append(*list, line)
}

func (s *server) mailer(t *testing.T, c mailer.Config) *mailer.Mailer {
	t.Helper()
	c.Address, c.Roots = s.ln.Addr().String(), s.roots
	if c.From == "" {
		c.From = "countersign@example.com"
	}
	m, err := mailer.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func passwordFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(path, []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func message() mailer.Message {
	return mailer.Message{ID: "01ABC.12", To: []string{"anna@example.com", "bob@example.com"}, Subject: "hello", Text: "line\n.\n..two\n", Time: time.Unix(1_700_000_000, 0)}
}

func TestSend(t *testing.T) {
	for _, x := range []struct {
		name     string
		server   *server
		security mailer.Security
		login    bool
	}{
		{"starttls", &server{}, mailer.StartTLS, true},
		{"default", &server{}, "", true},
		{"implicit", &server{implicit: true}, mailer.Implicit, true},
		{"plain", &server{noTLS: true}, mailer.Plain, false},
	} {
		t.Run(x.name, func(t *testing.T) {
			s := start(t, x.server)
			c := mailer.Config{Security: x.security}
			if x.login {
				c.Username, c.PasswordFile = "user", passwordFile(t)
			}
			if err := s.mailer(t, c).Send(t.Context(), message()); err != nil {
				t.Fatal(err)
			}
			want := []string{"MAIL FROM:<countersign@example.com>", "RCPT TO:<anna@example.com>", "RCPT TO:<bob@example.com>"}
			if !slices.Equal(s.envelope, want) || len(s.messages) != 1 {
				t.Fatalf("envelope %q, %d messages", s.envelope, len(s.messages))
			}
			got, err := mail.ReadMessage(strings.NewReader(s.messages[0]))
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(quotedprintable.NewReader(got.Body))
			if err != nil || strings.ReplaceAll(string(body), "\r\n", "\n") != "line\n.\n..two\n" {
				t.Errorf("text %q, %v", body, err)
			}
			if got.Header.Get("Message-Id") != "<01ABC.12@example.com>" || got.Header.Get("Subject") != "hello" || got.Header.Get("Date") != "Tue, 14 Nov 2023 22:13:20 +0000" {
				t.Errorf("headers %v", got.Header)
			}
			if x.login {
				if want := "AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00user\x00"+password)); !slices.Equal(s.auth, []string{want}) {
					t.Errorf("authenticated %d times, or not as the user", len(s.auth))
				}
				for _, l := range s.clear {
					if strings.HasPrefix(l, "AUTH") || strings.HasPrefix(l, "MAIL") {
						t.Errorf("without TLS: %q", l)
					}
				}
			}
		})
	}
}

func TestWhatSendRefuses(t *testing.T) {
	for _, x := range []struct {
		name   string
		server *server
		config mailer.Config
		alter  func(m *mailer.Message)
		roots  bool // none
		want   string
	}{
		{name: "no-starttls", server: &server{noTLS: true}, want: "does not offer STARTTLS"},
		{name: "starttls-fails", server: &server{answers: map[string]string{"STARTTLS": "454 no"}}, want: "status 454"},
		{name: "unknown-authority", roots: true, want: "agreeing on TLS with the SMTP server: it failed"},
		{name: "not-implicit", config: mailer.Config{Security: mailer.Implicit}, want: "greeting the SMTP server"},
		{name: "auth", server: &server{answers: map[string]string{"AUTH": "535 " + password + " is wrong"}}, config: mailer.Config{Username: "user", PasswordFile: "x"}, want: "authenticating to the SMTP server: it answered with status 535"},
		{name: "no-password-file", config: mailer.Config{Username: "user", PasswordFile: "/nonexistent/" + password}, want: "password cannot be read"},
		{name: "sender", server: &server{answers: map[string]string{"MAIL": "550 no"}}, want: "naming the sender: it answered with status 550"},
		{name: "all-recipients", server: &server{answers: map[string]string{"RCPT": "550 " + password}}, want: "naming the recipients: it answered with status 550"},
		{name: "data", server: &server{answers: map[string]string{"DATA": "451 later"}}, want: "sending the message: it answered with status 451"},
		{name: "busy", server: &server{answers: map[string]string{"EHLO": "421 busy", "HELO": "421 busy"}}, want: "greeting the SMTP server: it answered with status 421"},
		{name: "nobody", alter: func(m *mailer.Message) { m.To = nil }, want: "no recipient"},
		{name: "address-of-two-lines", alter: func(m *mailer.Message) { m.To = []string{"a@example.com\r\nRCPT TO:<b@example.com>"} }, want: "not a plain address"},
		{name: "address-with-name", alter: func(m *mailer.Message) { m.To = []string{"A <a@example.com>"} }, want: "not a plain address"},
		{name: "two-addresses", alter: func(m *mailer.Message) { m.To = []string{"a@example.com,b@example.com"} }, want: "not a plain address"},
	} {
		t.Run(x.name, func(t *testing.T) {
			if x.server == nil {
				x.server = &server{}
			}
			s := start(t, x.server)
			if x.config.PasswordFile == "x" {
				x.config.PasswordFile = passwordFile(t)
			}
			m := s.mailer(t, x.config)
			if x.roots {
				m.Roots = x509.NewCertPool()
			}
			msg := message()
			if x.alter != nil {
				x.alter(&msg)
			}
			err := m.Send(t.Context(), msg)
			if err == nil || !strings.Contains(err.Error(), x.want) || strings.Contains(err.Error(), password) {
				t.Errorf("got %v, want %q", err, x.want)
			}
			if len(s.messages) != 0 {
				t.Errorf("sent %q", s.messages)
			}
		})
	}
}

func TestSomeRecipientsAreRefused(t *testing.T) {
	s := start(t, &server{noTLS: true, answers: map[string]string{"RCPT TO:<anna@example.com>": "550 gone"}})
	if err := s.mailer(t, mailer.Config{Security: mailer.Plain}).Send(t.Context(), message()); err != nil || len(s.messages) != 1 {
		t.Errorf("%v, %d messages", err, len(s.messages))
	}
}

func TestSilentServer(t *testing.T) {
	s := start(t, &server{silent: true})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	begun := time.Now()
	if err := s.mailer(t, mailer.Config{}).Send(ctx, message()); err == nil || !strings.Contains(err.Error(), "too long") || time.Since(begun) > 5*time.Second {
		t.Errorf("%v after %s", err, time.Since(begun))
	}
}

// Whatever stands in subject and text, the message has the headers that it should
// have, and says what it should say.
func FuzzMessage(f *testing.F) {
	for _, s := range []string{"plain", "a\r\nBcc: evil@example.com", "ümläut \U0001F512", "\x00\x1b[31m", "=?utf-8?q?x?=", strings.Repeat("ü", 300), ".\r\n", "\xff"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, subject, text string) {
		msg := message()
		msg.Subject, msg.Text = subject, text
		raw, err := mailer.Compose("countersign@example.com", msg)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.SplitSeq(string(raw), "\r\n") {
			if strings.ContainsAny(line, "\r\n") || len(line) > 998 {
				t.Errorf("line %q", line)
			}
		}
		got, err := mail.ReadMessage(strings.NewReader(string(raw)))
		if err != nil {
			t.Fatalf("%v in %q", err, raw)
		}
		if len(got.Header) != 9 || len(got.Header["Subject"]) != 1 || got.Header.Get("Bcc") != "" {
			t.Errorf("headers %v", got.Header)
		}
		want := strings.Join(strings.Fields(strings.ToValidUTF8(subject, "\uFFFD")), " ")
		if s, err := new(mime.WordDecoder).DecodeHeader(got.Header.Get("Subject")); len([]rune(want)) <= 200 && !strings.Contains(want, "=?") && (err != nil || s != want) {
			t.Errorf("subject %q, %v, want %q", s, err, want)
		}
		body, err := io.ReadAll(quotedprintable.NewReader(got.Body))
		lines := func(s string) string { return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n") }
		if err != nil || lines(string(body)) != lines(text) {
			t.Errorf("text %q, %v, want %q", body, err, text)
		}
	})
}
