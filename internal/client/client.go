package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"countersign/internal/errs"
	"countersign/internal/sensitive"
)

// base is the path that every request begins with.
const base = "/api/v1"

// maxAnswer bounds an answer that is no stream, in bytes: a value of the
// largest size, with every byte escaped, fits several times.
const maxAnswer = 32 << 20

// Client speaks to one server as one principal.
type Client struct {
	http    *http.Client
	address *url.URL
	token   sensitive.Bytes
	session Session // nil when there is none, or a token is given
	region  string
	agent   string
	timeout time.Duration
}

// New checks the configuration and returns a Client. It reads the token file
// and the certificate file, and opens no connection.
func New(c Config) (*Client, error) {
	address, err := c.address()
	if err != nil {
		return nil, err
	}
	token, err := c.token()
	if err != nil {
		return nil, err
	}
	transport, err := c.transport()
	if err != nil {
		return nil, err
	}
	out := &Client{address: address, token: token, region: c.Region, agent: c.UserAgent, timeout: c.Timeout}
	if token.Len() == 0 {
		out.session = c.Session
	}
	out.http = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	if out.agent == "" {
		out.agent = "countersign"
	}
	if out.timeout == 0 {
		out.timeout = DefaultTimeout
	}
	return out, nil
}

// Address is the server's scheme, host and port.
func (c *Client) Address() string { return c.address.String() }

// request is one request before it is sent.
type request struct {
	method string
	path   string     // below /api/v1, escaped
	query  url.Values // nil for none
	body   any        // encoded as JSON; nil for none
	accept string     // default application/json
	key    string     // Idempotency-Key; empty for none
}

// q makes a query out of pairs, leaving out those with an empty value.
func q(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			v.Set(pairs[i], pairs[i+1])
		}
	}
	return v
}

// call sends a request and decodes the answer into out, which may be nil.
func (c *Client) call(ctx context.Context, r request, out any) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	res, err := c.patiently(ctx, r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return c.broken(ctx, fmt.Errorf("reading answer: %w", err))
	}
	if len(body) > maxAnswer {
		return &Error{Kind: errs.Limit, Message: "the server's answer is larger than 32 MiB"}
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(body, out); err != nil {
		return c.foreign(res, "an answer that could not be decoded")
	}
	return nil
}

// codeRate is the code of a refusal because of too many calls a second: nothing
// was done, and a moment later it would be.
const codeRate = "rate"

// patience is how long calls that came too fast are made again, in all.
const patience = 10 * time.Second

// patiently sends a request again that came too fast after others.
func (c *Client) patiently(ctx context.Context, r request) (*http.Response, error) {
	for waited, pause := time.Duration(0), 100*time.Millisecond; ; pause = min(2*pause, time.Second) {
		res, err := c.send(ctx, r)
		var e *Error
		if !errors.As(err, &e) || e.Code != codeRate || waited >= patience {
			return res, err
		}
		select {
		case <-time.After(pause):
			waited += pause
		case <-ctx.Done():
			return nil, err
		}
	}
}

// send sends a request and returns its answer when that is a success. The
// caller closes the body. Where the token of a session has expired, it is sent
// again with another: the server did nothing yet.
func (c *Client) send(ctx context.Context, r request) (*http.Response, error) {
	if c.session == nil {
		return c.sendAs(ctx, r, c.token)
	}
	token, err := c.session.Token(ctx)
	if err != nil {
		return nil, err
	}
	res, err := c.sendAs(ctx, r, token)
	if isExpired(err) {
		if token, err = c.session.Renew(ctx, token); err != nil {
			return nil, err
		}
		return c.sendAs(ctx, r, token)
	}
	return res, err
}

// sendAs sends a request with a token, none when it is empty.
func (c *Client) sendAs(ctx context.Context, r request, token sensitive.Bytes) (*http.Response, error) {
	var body io.Reader
	if r.body != nil {
		b, err := json.Marshal(r.body)
		if err != nil {
			return nil, errors.New("encoding request") // the cause could quote a value
		}
		body = bytes.NewReader(b)
	}
	if c.region != "" {
		if r.query == nil {
			r.query = url.Values{}
		}
		r.query.Set("region", c.region)
	}
	target := c.address.String() + base + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, body)
	if err != nil {
		return nil, fmt.Errorf("making request: %w", err)
	}
	req.Header.Set("User-Agent", c.agent)
	req.Header.Set("Accept", "application/json")
	if r.key != "" {
		req.Header.Set("Idempotency-Key", r.key)
	}
	if r.accept != "" {
		req.Header.Set("Accept", r.accept)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json; charset=utf-8")
	}
	if token.Len() > 0 {
		req.Header.Set("Authorization", "Bearer "+string(token.Reveal()))
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, c.broken(ctx, err)
	}
	if res.StatusCode >= 200 && res.StatusCode < 300 {
		return res, nil
	}
	defer res.Body.Close()
	return nil, c.refused(res)
}

// refused reads the error out of an answer.
func (c *Client) refused(res *http.Response) error {
	if res.StatusCode >= 300 && res.StatusCode < 400 {
		return c.foreign(res, "a redirect, which is not followed")
	}
	var v struct {
		Error *struct {
			Kind      string `json:"kind"`
			Code      string `json:"code"`
			Field     string `json:"field"`
			Message   string `json:"message"`
			Decision  string `json:"decision"`
			RequestID string `json:"request_id"`
		} `json:"error"`
	}
	body, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if json.Unmarshal(body, &v) != nil || v.Error == nil {
		return c.foreign(res, "no error of this API")
	}
	e := &Error{Status: res.StatusCode, Code: v.Error.Code, Field: v.Error.Field, Message: v.Error.Message,
		Decision: v.Error.Decision, RequestID: v.Error.RequestID, Kind: kindOf(v.Error.Kind, res.StatusCode)}
	if e.RequestID == "" {
		e.RequestID = res.Header.Get("X-Request-Id")
	}
	return e
}

// foreign is the error for an answer that no Countersign server gives.
func (c *Client) foreign(res *http.Response, what string) error {
	return &Error{Status: res.StatusCode, Kind: kindOf("", res.StatusCode), RequestID: res.Header.Get("X-Request-Id"),
		Message: fmt.Sprintf("%s answered with status %d and %s; is it a Countersign server?", c.address, res.StatusCode, what)}
}

// broken classifies a failure below HTTP.
func (c *Client) broken(ctx context.Context, err error) error {
	// *url.Error repeats the URL, which holds names of secrets; the cause is enough.
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	e := &Error{Kind: errs.Unavailable, Err: err, Message: "cannot reach " + c.address.String()}
	switch {
	case errors.Is(err, context.Canceled):
		e.Kind, e.Message = errs.Canceled, "interrupted"
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(ctx.Err(), context.DeadlineExceeded):
		e.Message = fmt.Sprintf("no answer from %s within %s", c.address, c.timeout)
		e.Err = nil
	case strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		e.Message, e.Err = c.address.String()+" speaks plain HTTP, not HTTPS", nil
	}
	return e
}

// cut classifies a stream that broke off, on either side.
func (c *Client) cut(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return c.broken(ctx, ctx.Err())
	}
	return &Error{Status: http.StatusOK, Kind: errs.Unavailable, Err: err, Message: what + " from " + c.address.String() + " broke off"}
}

// kindOf is the kind with that slug, or else what the status suggests.
func kindOf(slug string, status int) errs.Kind {
	for _, k := range errs.Kinds() {
		if k.String() == slug {
			return k
		}
	}
	switch status {
	case http.StatusBadRequest:
		return errs.Invalid
	case http.StatusUnauthorized:
		return errs.Unauthenticated
	case http.StatusForbidden:
		return errs.Denied
	case http.StatusTooManyRequests:
		return errs.Throttled
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return errs.Unavailable
	}
	return errs.Internal
}

// Error is a request that did not succeed. Status is 0 when no answer came.
type Error struct {
	Status    int
	Kind      errs.Kind
	Code      string // stable slug within the kind
	Field     string // the request member at fault
	Message   string // for people; never a value
	Decision  string // id to explain a denial by
	RequestID string
	Err       error // what went wrong below HTTP; nil otherwise
}

// Error returns the message, and the cause where there is one.
func (e *Error) Error() string {
	msg := e.Message
	if msg == "" {
		msg = e.Kind.String()
	}
	if e.Err != nil {
		return msg + ": " + e.Err.Error()
	}
	return msg
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of an error of this package or of errs, Internal for
// others.
func KindOf(err error) errs.Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return errs.KindOf(err)
}

// Is reports whether err is of kind k.
func Is(err error, k errs.Kind) bool { return err != nil && KindOf(err) == k }
