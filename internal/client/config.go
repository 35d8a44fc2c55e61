package client

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"countersign/internal/errs"
	"countersign/internal/sensitive"
)

// Variables of the environment that ConfigFromEnv reads.
const (
	EnvAddr           = "COUNTERSIGN_ADDR"
	EnvToken          = "COUNTERSIGN_TOKEN"
	EnvTokenFile      = "COUNTERSIGN_TOKEN_FILE"
	EnvRegion         = "COUNTERSIGN_REGION"
	EnvCAFile         = "COUNTERSIGN_CA_FILE"
	EnvAllowPlaintext = "COUNTERSIGN_ALLOW_PLAINTEXT"
)

// DefaultAddress is where a server listens unless it is told otherwise.
const DefaultAddress = "http://127.0.0.1:8200"

// DefaultTimeout bounds a request that is no stream.
const DefaultTimeout = 30 * time.Second

// maxTokenFile bounds a token file, in bytes.
const maxTokenFile = 4 << 10

// Config says which server to speak to, and as whom.
type Config struct {
	Address string // scheme, host and port; default DefaultAddress
	// Token is an access key in its bearer form, cst_ID_SECRET, or the access
	// token of a session, css_…. Without one
	// only the requests that need no identity succeed.
	Token sensitive.Bytes
	// TokenFile holds the token where Token is empty. Others than its owner
	// must not be able to read it.
	TokenFile string
	Region    string // region label; default the server's home
	// CAFile holds PEM certificates of authorities to trust instead of the
	// system's.
	CAFile string
	// AllowPlaintext lets the token go over HTTP to another machine.
	AllowPlaintext bool
	Timeout        time.Duration // of a request that is no stream; default DefaultTimeout
	UserAgent      string        // default "countersign"
	// Session gives the tokens where there is neither Token nor TokenFile.
	Session Session
	// Transport replaces the network; nil means the real one.
	Transport http.RoundTripper
}

// ConfigFromEnv reads the variables named above through getenv. It looks at no
// file; New does.
func ConfigFromEnv(getenv func(string) string) Config {
	return Config{
		Address:        getenv(EnvAddr),
		Token:          sensitive.FromString(strings.TrimSpace(getenv(EnvToken))),
		TokenFile:      getenv(EnvTokenFile),
		Region:         getenv(EnvRegion),
		CAFile:         getenv(EnvCAFile),
		AllowPlaintext: getenv(EnvAllowPlaintext) == "1" || getenv(EnvAllowPlaintext) == "true",
	}
}

// address checks the server's address and that a token may go there.
func (c Config) address() (*url.URL, error) {
	text := c.Address
	if text == "" {
		text = DefaultAddress
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return nil, errs.InvalidField("address", "the server's address is no http:// or https:// URL; set %s, for example to %s", EnvAddr, DefaultAddress)
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Path != "" && u.Path != "/":
		return nil, errs.InvalidField("address", "the server's address has scheme, host and port only; the token goes in %s", EnvToken)
	case u.Scheme == "http" && !c.AllowPlaintext && !loopback(u.Hostname()):
		return nil, errs.InvalidField("address", "%q is not encrypted and is not this machine: use https://, or allow it with --allow-plaintext or %s=1", u.Scheme+"://"+u.Host, EnvAllowPlaintext)
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}

// loopback reports whether a host is this machine by its name or number.
func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

// token is the configured token, read from its file where it is in one.
func (c Config) token() (sensitive.Bytes, error) {
	t := c.Token
	if t.Len() == 0 && c.TokenFile != "" {
		var err error
		if t, err = readTokenFile(c.TokenFile); err != nil {
			return sensitive.Bytes{}, err
		}
	}
	for _, b := range t.Reveal() {
		if b <= ' ' || b >= 0x7f {
			return sensitive.Bytes{}, errs.InvalidField("token", "the token holds a character that no token has")
		}
	}
	return t, nil
}

// readTokenFile reads a token that nobody but its owner can read. What is
// judged is the opened file, so that exchanging the name has no effect.
func readTokenFile(path string) (sensitive.Bytes, error) {
	f, err := os.Open(path)
	if err != nil {
		return sensitive.Bytes{}, fmt.Errorf("opening token file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return sensitive.Bytes{}, fmt.Errorf("examining token file: %w", err)
	}
	switch {
	case !info.Mode().IsRegular():
		return sensitive.Bytes{}, errs.InvalidField("token-file", "token file %q is no regular file", path)
	case info.Mode().Perm()&0o077 != 0:
		return sensitive.Bytes{}, errs.InvalidField("token-file", "token file %q is open to others (mode %04o); run chmod 600 on it", path, info.Mode().Perm())
	case info.Size() > maxTokenFile:
		return sensitive.Bytes{}, errs.InvalidField("token-file", "token file %q is larger than %d bytes", path, maxTokenFile)
	}
	b := make([]byte, maxTokenFile)
	n, err := f.Read(b)
	if err != nil {
		return sensitive.Bytes{}, fmt.Errorf("reading token file: %w", err)
	}
	return sensitive.FromString(strings.TrimSpace(string(b[:n]))), nil
}

// transport is the network as the configuration wants it.
func (c Config) transport() (http.RoundTripper, error) {
	if c.Transport != nil {
		return c.Transport, nil
	}
	t := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: time.Minute,
		IdleConnTimeout:       time.Minute,
		ForceAttemptHTTP2:     true,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if c.CAFile == "" {
		return t, nil
	}
	pem, err := os.ReadFile(c.CAFile)
	if err != nil {
		return nil, fmt.Errorf("reading certificate authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errs.InvalidField("ca-file", "file %q holds no PEM certificate", c.CAFile)
	}
	t.TLSClientConfig.RootCAs = pool
	return t, nil
}
