package function_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"countersign/internal/front/sigv4"
	"countersign/internal/rotator"
	"countersign/internal/rotator/function"
	"countersign/internal/sensitive"
)

// TestSignature: what is sent verifies, as it comes over the wire, by code that has
// nothing in common with what signs.
func TestSignature(t *testing.T) {
	for name, to := range map[string]struct{ base, version, token string }{
		"plain": {"", "", ""}, "base": {"/a%20b/c", "", ""}, "latest": {"", "$LATEST", ""}, "session": {"/x/", "prod", "session-token=="},
	} {
		t.Run(name, func(t *testing.T) {
			verifier, err := sigv4.New(sigv4.Config{Regions: []string{"eu-west-1"}})
			if err != nil {
				t.Fatal(err)
			}
			called := false
			s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				called = true
				body, _ := io.ReadAll(r.Body)
				req, err := sigv4.Parse(r)
				if err == nil {
					err = verifier.Check(&req, sigv4.Call{Services: []string{"lambda"}})
				}
				if err != nil {
					t.Error(err)
					return
				}
				if req.AccessKeyID != "AKIDEXAMPLE" || r.Header.Get("X-Amz-Security-Token") != to.token {
					t.Errorf("signed by %s", req.AccessKeyID)
				}
				keys, err := sigv4.NewKeyCache(1)
				if err != nil {
					t.Error(err)
					return
				}
				key, err := keys.Key(req.KeyID("1"), func() (sensitive.Bytes, error) { return sensitive.FromString("wJalrXUtnFEMI"), nil })
				if err != nil {
					t.Error(err)
					return
				}
				if err := verifier.Verify(&req, body, key); err != nil {
					t.Error(err)
				}
				if verifier.Verify(&req, append(body, ' '), key) == nil {
					t.Error("another body verifies")
				}
			}))
			defer s.Close()
			file := `{"access_key_id":"AKIDEXAMPLE","secret_access_key":"wJalrXUtnFEMI","session_token":"` + to.token + `"}`
			r := kind(s.URL+to.base, func(f *function.Function) {
				f.Version = to.version
				f.Credentials = func() (sensitive.Bytes, error) { return sensitive.FromString(file), nil }
			}).New(rotator.Env{HTTP: http.DefaultClient, Now: time.Now})
			if err := r.Set(t.Context(), job()); err != nil || !called {
				t.Errorf("called: %t, %v", called, err)
			}
		})
	}
}
