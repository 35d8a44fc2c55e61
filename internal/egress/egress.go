// Package egress is how the server reaches addresses that somebody else named.
//
// Whoever may configure a webhook or an identity provider must not thereby reach
// what only this machine reaches: its loopback, its network, the metadata service
// of its cloud. A Guard makes HTTP clients that refuse such addresses.
//
//   - The address that is dialled is what is judged, after the name was resolved
//     and in the moment of connecting. A name that answers differently the second
//     time gains nothing.
//   - Only addresses of the public internet are dialled, unless the server's
//     configuration allows a block by name. The list is of what is allowed, not of
//     what is known to be bad: for IPv6 that is the global unicast space without
//     its special parts, so that loopback, unique local, link-local, multicast,
//     NAT64, 6to4 and Teredo are refused as what they are. An IPv4 address in IPv6
//     clothes (::ffff:127.0.0.1) is judged as IPv4.
//   - HTTPS only, certificates verified. Plain HTTP is dialled in allowed blocks.
//   - No redirect is followed, no proxy is taken from the environment, no cookie
//     and no credential of ours is sent, no connection is kept.
//   - A request ends within the timeout, and an answer is read up to a limit.
//
// Ports are any: a service on a public address is public on each of them.
//
// Errors say why in words that name no URL: in a webhook's, the path is often the
// secret. Callers must not log the errors of net/http, which quote it; Reason
// gives what may be told.
package egress

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

// Defaults of Config.
const (
	DefaultTimeout = 10 * time.Second
	MaxAnswer      = 64 << 10
)

// maxAddresses is how many addresses of one name are tried.
const maxAddresses = 4

// Config configures New. The zero value refuses everything that is not public.
type Config struct {
	// Allow are blocks that may be dialled although they are not public, and by
	// plain HTTP.
	Allow []netip.Prefix
	// Timeout is of a whole request. Default DefaultTimeout.
	Timeout time.Duration
	// MaxAnswer is how many bytes of an answer are read. Default MaxAnswer.
	MaxAnswer int64
	// Lookup resolves a name. Default: the system's resolver.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	// Dial connects to an address that was judged. Default: a net.Dialer, which
	// judges once more what it is about to connect to.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// TLS is the base of the client's TLS configuration. Default: the system's
	// certificate authorities, TLS 1.2 and up.
	TLS *tls.Config
}

// Guard decides what may be dialled. It is safe for concurrent use.
type Guard struct {
	allow   []netip.Prefix
	timeout time.Duration
	answer  int64
	lookup  func(ctx context.Context, host string) ([]netip.Addr, error)
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	tls     *tls.Config
}

// Errors of a Guard. Their text is safe to show.
var (
	ErrAddress  = errors.New("the address is not a public one, and the server does not allow it")
	ErrPlain    = errors.New("plain HTTP is only for addresses that the server allows")
	ErrBare     = errors.New("what is sent there is not encrypted, so the server's configuration must allow the address")
	ErrName     = errors.New("the name cannot be resolved")
	ErrRedirect = errors.New("the answer is a redirect, which is not followed")
)

// New makes a Guard.
func New(c Config) *Guard {
	g := &Guard{allow: c.Allow, timeout: c.Timeout, answer: c.MaxAnswer, lookup: c.Lookup, dial: c.Dial, tls: c.TLS}
	if g.timeout == 0 {
		g.timeout = DefaultTimeout
	}
	if g.answer == 0 {
		g.answer = MaxAnswer
	}
	if g.lookup == nil {
		g.lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	if g.dial == nil {
		d := &net.Dialer{Timeout: g.timeout, KeepAlive: -1, Control: g.control}
		g.dial = d.DialContext
	}
	return g
}

// control judges an address in the moment of connecting to it. What Dial was
// given has been judged before; this holds even if it were a name.
func (g *Guard) control(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return ErrAddress
	}
	return g.Check(at.Addr())
}

// Check refuses an address that must not be dialled.
func (g *Guard) Check(a netip.Addr) error {
	if g.Allowed(a) || Public(a) {
		return nil
	}
	return ErrAddress
}

// Allowed reports whether the configuration names a block with that address.
func (g *Guard) Allowed(a netip.Addr) bool {
	if a.Zone() != "" {
		return false
	}
	a = a.Unmap()
	for _, p := range g.allow {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// dialer returns a dial function that resolves, judges each address, and connects
// to the first that may be reached.
func (g *Guard) dialer(plain bool) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, _, address string) (net.Conn, error) {
		return g.connect(ctx, "tcp", address, plain)
	}
}

func (g *Guard) connect(ctx context.Context, network, address string, plain bool) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, ErrName
	}
	list, err := g.resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	last := error(ErrName)
	for _, a := range list {
		if last = g.judge(a, plain); last != nil {
			continue
		}
		var conn net.Conn
		if conn, last = g.dial(ctx, network, net.JoinHostPort(a.Unmap().String(), port)); last == nil {
			return conn, nil
		}
	}
	return nil, last
}

func (g *Guard) judge(a netip.Addr, plain bool) error {
	if err := g.Check(a); err != nil {
		return err
	}
	if plain && !g.Allowed(a) {
		return ErrPlain
	}
	return nil
}

func (g *Guard) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	list, err := g.lookup(ctx, host)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, ErrName
	}
	return list[:min(len(list), maxAddresses)], nil
}

// Client returns an HTTP client that reaches only what the guard lets it. Its
// errors may quote the URL: see Reason.
func (g *Guard) Client() *http.Client {
	return &http.Client{
		Transport: &transport{plain: g.transport(true), tls: g.transport(false), answer: g.answer},
		Timeout:   g.timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
}

func (g *Guard) transport(plain bool) *http.Transport {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if g.tls != nil {
		conf = g.tls.Clone()
	}
	return &http.Transport{
		Proxy: nil, DialContext: g.dialer(plain), TLSClientConfig: conf,
		DisableKeepAlives: true, DisableCompression: true, // what is small compressed may be large
		TLSHandshakeTimeout: g.timeout, ResponseHeaderTimeout: g.timeout, MaxResponseHeaderBytes: MaxAnswer,
		MaxConnsPerHost: 0,
	}
}

// transport sends plain requests over connections that were judged as such.
type transport struct {
	plain, tls *http.Transport
	answer     int64 // bytes that are read
}

func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if _, err := ParseURL(r.URL.String()); err != nil { // nobody forgot to
		return nil, err
	}
	via := t.tls
	if r.URL.Scheme == "http" {
		via = t.plain
	}
	res, err := via.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if res.StatusCode >= 300 && res.StatusCode < 400 && res.Header.Get("Location") != "" {
		_ = res.Body.Close() // it is not read
		return nil, ErrRedirect
	}
	res.Body = limited{io.LimitReader(res.Body, t.answer), res.Body}
	return res, nil
}

type limited struct {
	io.Reader
	io.Closer
}
