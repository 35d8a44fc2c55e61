package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"countersign/internal/client"
	"countersign/internal/errs"
	"countersign/internal/sensitive"
)

// renewing is a session whose first token has expired.
type renewing struct {
	renewed int
	fail    error
}

func (r *renewing) Token(context.Context) (sensitive.Bytes, error) {
	return sensitive.FromString(fmt.Sprint("css_", r.renewed)), nil
}

func (r *renewing) Renew(ctx context.Context, stale sensitive.Bytes) (sensitive.Bytes, error) {
	r.renewed++
	t, _ := r.Token(ctx)
	return t, r.fail
}

func TestSessionIsRenewedOnce(t *testing.T) {
	code, asked := "session-expired", []string{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Header.Get("Authorization"))
		if r.Header.Get("Authorization") != "Bearer css_1" {
			w.WriteHeader(401)
			fmt.Fprintf(w, `{"error":{"kind":"unauthenticated","code":%q}}`, code)
			return
		}
		fmt.Fprint(w, `{"items":[]}`)
	}))
	defer s.Close()
	ask := func(r *renewing) error {
		t.Helper()
		asked = nil
		c, err := client.New(client.Config{Address: s.URL, Session: r})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.ListSessions(t.Context(), "")
		return err
	}
	if err := ask(&renewing{}); err != nil || len(asked) != 2 {
		t.Errorf("asked as %q: %v", asked, err)
	}
	if err := ask(&renewing{renewed: 4}); client.KindOf(err) != errs.Unauthenticated || len(asked) != 2 {
		t.Errorf("a second refusal: asked as %q: %v", asked, err)
	}
	lost := errors.New("lost")
	if err := ask(&renewing{fail: lost}); !errors.Is(err, lost) || len(asked) != 1 {
		t.Errorf("no other token: asked as %q: %v", asked, err)
	}
	code = "bad-session"
	if err := ask(&renewing{}); client.KindOf(err) != errs.Unauthenticated || len(asked) != 1 {
		t.Errorf("a session that is over: asked as %q: %v", asked, err)
	}
	// A token that is given wins over a session.
	c, err := client.New(client.Config{Address: s.URL, Session: &renewing{}, Token: sensitive.FromString("css_1")})
	if err != nil {
		t.Fatal(err)
	}
	asked = nil
	if _, err := c.ListSessions(t.Context(), ""); err != nil || len(asked) != 1 {
		t.Errorf("asked as %q: %v", asked, err)
	}
}
