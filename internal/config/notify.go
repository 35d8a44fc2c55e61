package config

import (
	"fmt"
	"net"
	"net/mail"
	"net/url"
	"slices"
	"strings"
)

// Notify configures how notices leave the server.
type Notify struct {
	// Allow are addresses or CIDR blocks that webhooks may reach although they
	// are not public ones, and by plain HTTP. Default none.
	Allow []Prefix `yaml:"allow"`
}

// SMTP is the server that takes notices by e-mail. Default: there are none.
type SMTP struct {
	Address  string `yaml:"address"` // HOST:PORT
	From     string `yaml:"from"`    // the sender's address
	Username string `yaml:"username"`
	// PasswordFile holds the password, and is read for each message. Required
	// with username.
	PasswordFile string `yaml:"password_file"`
	// TLS is starttls, implicit or none-on-loopback. Default starttls.
	TLS string `yaml:"tls"`
}

// How a connection to the SMTP server is protected.
const (
	SMTPStartTLS = "starttls"
	SMTPImplicit = "implicit"
	SMTPPlain    = "none-on-loopback"
)

func (c *Config) checkNotices() error {
	refuse := func(field, format string, args ...any) error {
		return fmt.Errorf("%s: "+format, append([]any{field}, args...)...)
	}
	if c.PublicURL != "" {
		u, err := url.Parse(c.PublicURL)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
			strings.ContainsAny(c.PublicURL, "<>|\" ?#") {
			return refuse("public_url", "it is a URL such as https://secrets.example.com, without user, query and fragment")
		}
	}
	s := &c.SMTP
	if *s == (SMTP{}) {
		return nil
	}
	if s.TLS == "" {
		s.TLS = SMTPStartTLS
	}
	host, port, err := net.SplitHostPort(s.Address)
	from, errFrom := mail.ParseAddress(s.From)
	switch {
	case err != nil || host == "" || port == "":
		return refuse("smtp.address", "%q is not HOST:PORT", s.Address)
	case errFrom != nil || from.Address != s.From:
		return refuse("smtp.from", "%q is not an address such as countersign@example.com", s.From)
	case !slices.Contains([]string{SMTPStartTLS, SMTPImplicit, SMTPPlain}, s.TLS):
		return refuse("smtp.tls", "%q is not starttls, implicit or none-on-loopback", s.TLS)
	case s.TLS == SMTPPlain && !loopback(host):
		return refuse("smtp.tls", "none-on-loopback is for an address on loopback")
	case (s.Username == "") != (s.PasswordFile == ""):
		return refuse("smtp", "username and password_file go together")
	}
	return nil
}
