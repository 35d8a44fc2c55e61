package egress_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"countersign/internal/egress"
	"countersign/internal/errs"
)

func TestCheck(t *testing.T) {
	none := egress.New(egress.Config{}).Poster()
	some := egress.New(egress.Config{Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}).Poster()
	for _, x := range []struct {
		url        string
		none, some bool
	}{
		{"https://example.com/x", true, true}, {"https://1.1.1.1/x", true, true}, {"https://localhost/x", true, true},
		{"http://example.com/x", false, true}, {"https://10.0.0.1/x", false, true}, {"http://10.0.0.1/x", false, true}, {"http://1.1.1.1/", false, false},
		{"https://127.0.0.1/", false, false}, {"https://[::1]/", false, false}, {"https://[::ffff:10.0.0.1]/", false, true}, {"https://169.254.169.254/", false, false},
		{"https://127.1/", false, false}, {"https://u@example.com/", false, false}, {"example.com", false, false},
	} {
		for _, c := range []struct {
			p    *egress.Poster
			want bool
		}{{none, x.none}, {some, x.some}} {
			if err := c.p.Check(x.url); (err == nil) != c.want || err != nil && !errs.Is(err, errs.Invalid) {
				t.Errorf("%s: %v, want %v", x.url, err, c.want)
			}
		}
	}
}

func TestPost(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		if r.Method != "POST" || string(b) != "body" || r.Header.Get("X-A") != "b" {
			t.Errorf("got %s %q %v", r.Method, b, r.Header)
		}
		w.Header().Set("Retry-After", strings.TrimPrefix(r.URL.Path, "/"))
		w.WriteHeader(503)
	}))
	p := egress.New(egress.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}).Poster()
	for path, want := range map[string]time.Duration{"7": 7 * time.Second, "x": 0, "-1": 0, "99999999999999999999": 0, "Wed": 0} {
		status, after, err := p.Post(t.Context(), s.URL+"/"+path, map[string]string{"X-A": "b"}, []byte("body"))
		if err != nil || status != 503 || after != want {
			t.Errorf("%s: %d, %s, %v", path, status, after, err)
		}
	}
	url := s.URL
	s.Close()
	for _, u := range []string{url + "/s3cr3t", "https://s3cr3t.invalid/s3cr3t", "%s3cr3t", "https://127.1/s3cr3t"} {
		if _, _, err := p.Post(t.Context(), u, nil, nil); err == nil || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: %v", u, err)
		}
	}
}
