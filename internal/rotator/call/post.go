package call

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"

	"countersign/internal/rotator"
)

// MaxAnswer is how long an answer may be, in bytes: a value with each of its
// characters escaped, and more.
const MaxAnswer = 512 << 10

// Agent is the User-Agent of requests.
const Agent = "countersign-rotation"

// NewRequest is a POST. The error tells nothing of the URL.
func NewRequest(ctx context.Context, url string, body []byte) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, rotator.Fail(rotator.Unsuitable, err, "its URL is none")
	}
	r.GetBody = nil // so that nothing is sent a second time
	r.Header.Set("User-Agent", Agent)
	return r, nil
}

// Send sends a request and reads the answer up to a limit. The text of a Failure that
// it returns is about what, such as `the webhook "a"`.
func Send(client *http.Client, r *http.Request, what string, limit int64) (status int, header http.Header, body []byte, err error) {
	failed := func(err error) (int, http.Header, []byte, error) {
		var f *rotator.Failure
		switch {
		case errors.As(err, &f):
			return 0, nil, nil, rotator.Fail(f.Class, err, "%s cannot be called: %s", what, f.Msg)
		case r.Context().Err() != nil:
			return 0, nil, nil, Late(r.Context().Err())
		}
		return 0, nil, nil, rotator.Fail(rotator.Unreachable, err, "%s did not answer", what)
	}
	res, err := client.Do(r)
	if err != nil {
		return failed(err)
	}
	defer res.Body.Close()
	if body, err = io.ReadAll(io.LimitReader(res.Body, limit+1)); err != nil {
		return failed(err)
	}
	if int64(len(body)) > limit {
		return 0, nil, nil, rotator.Fail(rotator.Unsuitable, nil, "%s answered with more than %s KiB", what, strconv.FormatInt(limit>>10, 10))
	}
	return res.StatusCode, res.Header, body, nil
}

// ClassOf is what a status of HTTP other than success means.
func ClassOf(status int) rotator.Class {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return rotator.Permission
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return rotator.Unreachable
	case http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusGone, http.StatusRequestEntityTooLarge,
		http.StatusUnsupportedMediaType, http.StatusNotImplemented:
		return rotator.Unsuitable
	}
	switch {
	case status >= 500:
		return rotator.Unreachable
	case status < 400:
		return rotator.Unsuitable // a redirect, or an answer that is none
	}
	return rotator.Rejected
}
