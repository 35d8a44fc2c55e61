package egress

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"countersign/internal/errs"
)

// Poster sends bodies to URLs, and tells nothing of these in its errors.
type Poster struct {
	guard  *Guard
	client *http.Client
}

// Poster returns one that reaches what the guard lets it.
func (g *Guard) Poster() *Poster { return &Poster{guard: g, client: g.Client()} }

// Check refuses a URL that would not be posted to, as far as it itself tells: an
// address that is not public, plain HTTP where nothing allows it. What a name
// leads to is judged when it is dialled.
func (p *Poster) Check(url string) error {
	u, err := ParseURL(url)
	if err != nil {
		return err
	}
	a, err := netip.ParseAddr(u.Hostname())
	literal := err == nil
	switch {
	case literal && p.guard.Check(a) != nil:
		return errs.InvalidField("url", "%s", ErrAddress.Error())
	case u.Scheme == "http" && (literal && !p.guard.Allowed(a) || len(p.guard.allow) == 0):
		return errs.InvalidField("url", "%s", ErrPlain.Error())
	}
	return nil
}

// Post sends a body and returns the status of the answer, which is read and
// dropped, and how long its Retry-After asks to wait. The text of an error is that
// of Reason and wraps nothing.
func (p *Poster) Post(ctx context.Context, url string, header map[string]string, body []byte) (status int, after time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, 0, errors.New("that is not a URL")
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	res, err := p.client.Do(req)
	if err != nil {
		return 0, 0, errors.New(Reason(err))
	}
	defer res.Body.Close()
	if res.StatusCode >= 200 && res.StatusCode < 300 {
		_, _ = io.Copy(io.Discard, res.Body) // the answer is there; whether all of its text is does not matter
	}
	return res.StatusCode, retryAfter(res.Header.Get("Retry-After")), nil
}

// retryAfter reads the header in its form of seconds.
func retryAfter(s string) time.Duration {
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}
