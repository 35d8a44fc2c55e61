package client_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/client"
	"countersign/internal/errs"
)

type answers func(n int) (status int, body string)

type counting struct {
	answer answers
	n      int
	bodies []string
}

func (c *counting) RoundTrip(r *http.Request) (*http.Response, error) {
	c.n++
	if r.Body != nil {
		b, _ := io.ReadAll(r.Body)
		c.bodies = append(c.bodies, string(b))
	}
	status, body := c.answer(c.n)
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}, nil
}

// TestPatience holds that a call is made again that came too fast after others,
// with its whole body, and no other that was refused.
func TestPatience(t *testing.T) {
	const fast = `{"error":{"kind":"throttled","code":"rate","message":"more than 10 calls a second"}}`
	for _, tt := range []struct {
		name   string
		answer answers
		calls  int
		kind   errs.Kind
	}{
		{"soon", func(n int) (int, string) {
			if n < 4 {
				return 429, fast
			}
			return 200, `{"id":"01A","status":"rejected"}`
		}, 4, 0},
		{"never", func(int) (int, string) { return 429, fast }, 0, errs.Throttled},
		{"guesses", func(int) (int, string) {
			return 429, `{"error":{"kind":"throttled","code":"guesses","message":"wait"}}`
		}, 1, errs.Throttled},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rt := &counting{answer: tt.answer}
				c, err := client.New(client.Config{Transport: rt, Timeout: time.Minute})
				if err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				_, err = c.Reject(t.Context(), "01A", "why")
				var e *client.Error
				if tt.kind == 0 && err != nil || tt.kind != 0 && (!errors.As(err, &e) || e.Kind != tt.kind) {
					t.Errorf("got %v", err)
				}
				if tt.calls > 0 && rt.n != tt.calls {
					t.Errorf("%d calls, want %d", rt.n, tt.calls)
				}
				if took := time.Since(began); took > 15*time.Second {
					t.Errorf("it took %s", took)
				}
				for _, b := range rt.bodies {
					if b != `{"comment":"why"}` {
						t.Errorf("sent %s", b)
					}
				}
			})
		})
	}
}
