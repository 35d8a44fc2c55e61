// Package mailer hands mail to the one SMTP server that the operator configured.
//
// A message is plain text. Its subject is encoded (RFC 2047) and its text is
// quoted-printable, so that no line of either can be taken for a header or the
// end of the message, whoever wrote it; an address is refused unless it is one
// plain address. The connection is protected by STARTTLS, which must succeed, or
// by TLS from the beginning; plain text is for a server on this machine. The
// password is read from its file for each message, and goes nowhere but into the
// authentication, which needs TLS.
//
// The server's address comes from the operator, not from an account, so it is not
// guarded like the addresses of webhooks.
//
// The text of errors is safe to show: it has the server's status code and no more
// of what it said.
package mailer

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/smtp"
	"net/textproto"
	"os"
	"strings"
	"time"
)

// Security is how the connection is protected.
type Security string

// The ways. STARTTLS is the default.
const (
	StartTLS Security = "starttls"
	Implicit Security = "implicit"
	Plain    Security = "none-on-loopback"
)

// Config says where and as whom.
type Config struct {
	Address      string // HOST:PORT
	From         string
	Username     string // empty: no authentication
	PasswordFile string
	Security     Security
	Roots        *x509.CertPool // default: the system's
	// Dial connects. Default: a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Message is one message. Nothing in it is encoded yet.
type Message struct {
	ID      string // unique, and the same each time the message is sent
	To      []string
	Subject string
	Text    string
	Time    time.Time
}

// Mailer sends. It is safe for concurrent use.
type Mailer struct {
	Config
	host string
}

// New checks the configuration. Nothing is opened.
func New(c Config) (*Mailer, error) {
	host, _, err := net.SplitHostPort(c.Address)
	if err != nil {
		return nil, errors.New("the address of the SMTP server is not HOST:PORT")
	}
	if !plainAddress(c.From) {
		return nil, errors.New("the sender's address is none")
	}
	if c.Security == "" {
		c.Security = StartTLS
	}
	if c.Dial == nil {
		c.Dial = (&net.Dialer{}).DialContext
	}
	return &Mailer{Config: c, host: host}, nil
}

// maxPassword bounds the file.
const maxPassword = 4096

// Send hands over one message. It succeeds when the server takes it for at least
// one recipient. It ends when ctx does.
func (m *Mailer) Send(ctx context.Context, msg Message) error {
	text, err := m.compose(msg)
	if err != nil {
		return err
	}
	raw, err := m.Dial(ctx, "tcp", m.Address)
	if err != nil {
		return why("connecting to the SMTP server", err)
	}
	defer raw.Close()
	stop := context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) }) // what waits fails
	defer stop()
	conn := raw
	conf := &tls.Config{ServerName: m.host, MinVersion: tls.VersionTLS12, RootCAs: m.Roots}
	if m.Security == Implicit {
		conn = tls.Client(conn, conf)
	}
	c, err := smtp.NewClient(conn, m.host)
	if err != nil {
		return why("greeting the SMTP server", err)
	}
	defer c.Close()
	if err := c.Hello("localhost"); err != nil {
		return why("greeting the SMTP server", err)
	}
	if err := m.secure(c, conf); err != nil {
		return err
	}
	return m.transfer(c, msg.To, text)
}

// secure brings the connection to where mail may be sent.
func (m *Mailer) secure(c *smtp.Client, conf *tls.Config) error {
	if m.Security == StartTLS {
		if ok, _ := c.Extension("STARTTLS"); !ok {
			return errors.New("the SMTP server does not offer STARTTLS")
		}
		if err := c.StartTLS(conf); err != nil {
			return why("agreeing on TLS with the SMTP server", err)
		}
	}
	if m.Username == "" {
		return nil
	}
	password, err := os.ReadFile(m.PasswordFile)
	if err != nil || len(password) > maxPassword {
		return errors.New("the file of the SMTP password cannot be read")
	}
	secret := strings.TrimRight(string(password), "\r\n")
	if err := c.Auth(smtp.PlainAuth("", m.Username, secret, m.host)); err != nil {
		return why("authenticating to the SMTP server", err)
	}
	return nil
}

func (m *Mailer) transfer(c *smtp.Client, to []string, text []byte) error {
	if err := c.Mail(m.From); err != nil {
		return why("naming the sender", err)
	}
	var refused error
	taken := 0
	for _, a := range to {
		if err := c.Rcpt(a); err != nil {
			refused = err
			continue
		}
		taken++
	}
	if taken == 0 {
		return why("naming the recipients", refused)
	}
	w, err := c.Data()
	if err != nil {
		return why("sending the message", err)
	}
	if _, err := w.Write(text); err != nil {
		return why("sending the message", err)
	}
	if err := w.Close(); err != nil {
		return why("sending the message", err)
	}
	_ = c.Quit() // the server has the message
	return nil
}

// compose writes a message as it is sent.
func (m *Mailer) compose(msg Message) ([]byte, error) {
	if len(msg.To) == 0 {
		return nil, errors.New("the message has no recipient")
	}
	for _, a := range msg.To {
		if !plainAddress(a) {
			return nil, errors.New("a recipient is not a plain address")
		}
	}
	_, domain, _ := strings.Cut(m.From, "@")
	id := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || r == '.' || r == '-' {
			return r
		}
		return -1
	}, msg.ID)
	var b bytes.Buffer
	for _, h := range [][2]string{
		{"From", m.From}, {"To", strings.Join(msg.To, ",\r\n ")}, {"Subject", encode(msg.Subject)},
		{"Date", msg.Time.UTC().Format("Mon, 02 Jan 2006 15:04:05 +0000")}, {"Message-ID", "<" + id + "@" + domain + ">"},
		{"Auto-Submitted", "auto-generated"}, {"MIME-Version", "1.0"},
		{"Content-Type", "text/plain; charset=utf-8"}, {"Content-Transfer-Encoding", "quoted-printable"},
	} {
		fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
	}
	b.WriteString("\r\n")
	w := quotedprintable.NewWriter(&b)
	text := strings.ReplaceAll(strings.ReplaceAll(msg.Text, "\r\n", "\n"), "\r", "\n")
	if _, err := w.Write([]byte(strings.ReplaceAll(text, "\n", "\r\n"))); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// encode makes a header's text of what somebody wrote: one line, in words of
// RFC 2047 that are folded between each other, when it is more than ASCII.
func encode(s string) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "\uFFFD")), " ")
	if r := []rune(s); len(r) > 200 {
		s = string(r[:199]) + "…"
	}
	return strings.ReplaceAll(mime.QEncoding.Encode("utf-8", s), "?= =?", "?=\r\n =?")
}

// plainAddress reports whether s can stand in a header and an envelope as it is.
func plainAddress(s string) bool {
	a, err := mail.ParseAddress(s)
	if err != nil || a.Address != s || len(s) > 254 {
		return false
	}
	for i := range len(s) {
		if s[i] <= 0x20 || s[i] >= 0x7f || strings.IndexByte(`<>"\(),;:`, s[i]) >= 0 {
			return false
		}
	}
	return true
}

// why says what failed, with the server's status code and nothing of its words.
func why(what string, err error) error {
	var said *textproto.Error
	var timeout net.Error
	switch {
	case errors.As(err, &said):
		return fmt.Errorf("%s: it answered with status %d", what, said.Code)
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return errors.New(what + ": it took too long")
	}
	return errors.New(what + ": it failed")
}
