package signin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"countersign/internal/errs"
)

// Bounds of speaking to issuers.
const (
	issuerTimeout = 10 * time.Second
	issuerAnswer  = 1 << 20
	issuerKept    = time.Hour        // discovery documents; keys are fetched anew when one is not known
	issuerFailed  = 10 * time.Second // how long a failure is not tried again
	maxIssuers    = 64
)

// providers speaks to issuers. It reaches https:// addresses, and http:// ones on
// this machine when that is allowed, whatever a discovery document names.
type providers struct {
	loopback bool
	client   *http.Client

	mu    sync.Mutex
	known map[string]*discovered
}

// discovered is what an issuer said of itself.
type discovered struct {
	provider *oidc.Provider
	err      error
	until    time.Time
}

func newProviders(loopback bool, base http.RoundTripper) *providers {
	p := &providers{loopback: loopback, known: map[string]*discovered{}}
	if base == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.ResponseHeaderTimeout = issuerTimeout
		base = t
	}
	p.client = &http.Client{Timeout: issuerTimeout, Transport: guarded{p, base}, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // to where nobody chose
	}}
	return p
}

func (p *providers) mayReach(u *url.URL) bool {
	return u.Scheme == "https" || p.loopback && u.Scheme == "http" && loopbackHost(u.Hostname())
}

// guarded refuses other addresses and cuts answers.
type guarded struct {
	p    *providers
	base http.RoundTripper
}

func (g guarded) RoundTrip(r *http.Request) (*http.Response, error) {
	if !g.p.mayReach(r.URL) {
		return nil, errors.New("the issuer names an address that is not https://")
	}
	res, err := g.base.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	res.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(res.Body, issuerAnswer), res.Body}
	return res, nil
}

// with is a context in which the libraries use the guarded client.
func (p *providers) with(ctx context.Context) context.Context {
	return oidc.ClientContext(ctx, p.client)
}

// discover returns what an issuer says of itself.
func (p *providers) discover(ctx context.Context, issuer string) (*oidc.Provider, error) {
	now := time.Now()
	p.mu.Lock()
	d := p.known[issuer]
	p.mu.Unlock()
	if d != nil && now.Before(d.until) {
		return d.provider, d.err
	}
	d = &discovered{until: now.Add(issuerKept)}
	if d.provider, d.err = oidc.NewProvider(p.with(ctx), issuer); d.err == nil {
		d.err = p.check(d.provider)
	}
	if d.err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err() // the caller's doing, not the issuer's
		}
		d.err, d.until = unreachable(d.err), now.Add(issuerFailed)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.known) >= maxIssuers {
		p.known = map[string]*discovered{}
	}
	p.known[issuer] = d
	return d.provider, d.err
}

// check refuses an issuer that sends browsers where nobody protects them.
func (p *providers) check(found *oidc.Provider) error {
	for _, at := range []string{found.Endpoint().AuthURL, found.Endpoint().TokenURL} {
		if u, err := url.Parse(at); err != nil || !p.mayReach(u) {
			return fmt.Errorf("the issuer names an address that is not https://")
		}
	}
	return nil
}

func unreachable(err error) error {
	return &errs.Error{Kind: errs.Unavailable, Code: "identity-provider", Msg: "the identity provider cannot be reached, or does not answer as one", Err: err}
}
