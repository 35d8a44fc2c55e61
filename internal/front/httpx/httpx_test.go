package httpx_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"countersign/internal/caller"
	"countersign/internal/errs"
	"countersign/internal/front/httpx"
)

func proxies(list ...string) (p httpx.Proxies) {
	for _, s := range list {
		p = append(p, netip.MustParsePrefix(s))
	}
	return p
}

func TestSource(t *testing.T) {
	for _, x := range []struct {
		name    string
		proxies httpx.Proxies
		remote  string
		chain   []string // X-Forwarded-For headers
		want    string
	}{
		{"direct", nil, "192.0.2.1:5", nil, "192.0.2.1"},
		{"direct-spoofed", nil, "192.0.2.1:5", []string{"10.0.0.1"}, "192.0.2.1"},
		{"not-from-the-proxy", proxies("10.0.0.0/8"), "192.0.2.1:5", []string{"10.0.0.1"}, "192.0.2.1"},
		{"through-the-proxy", proxies("10.0.0.0/8"), "10.0.0.1:5", []string{"192.0.2.1"}, "192.0.2.1"},
		{"spoofed-through-the-proxy", proxies("10.0.0.0/8"), "10.0.0.1:5", []string{"203.0.113.9, 192.0.2.1"}, "192.0.2.1"},
		{"spoofed-as-a-proxy", proxies("10.0.0.0/8"), "10.0.0.1:5", []string{"10.9.9.9, 192.0.2.1"}, "192.0.2.1"},
		{"spoofed-in-a-header-of-its-own", proxies("10.0.0.0/8"), "10.0.0.1:5", []string{"203.0.113.9", "192.0.2.1"}, "192.0.2.1"},
		{"two-proxies", proxies("10.0.0.0/8"), "10.0.0.1:5", []string{"203.0.113.9, 192.0.2.1, 10.0.0.2"}, "192.0.2.1"},
		{"only-proxies", proxies("10.0.0.0/8"), "10.0.0.1:5", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"no-header", proxies("10.0.0.0/8"), "10.0.0.1:5", nil, "10.0.0.1"},
		{"garbage", proxies("10.0.0.0/8"), "10.0.0.1:5", []string{"192.0.2.1, unknown"}, "10.0.0.1"},
		{"garbage-behind-a-proxy", proxies("10.0.0.0/8"), "10.0.0.1:5", []string{"x, 10.0.0.2"}, "10.0.0.2"},
		{"with-a-port", proxies("10.0.0.0/8"), "10.0.0.1:5", []string{"192.0.2.1:80"}, "10.0.0.1"},
		{"mapped", proxies("10.0.0.0/8"), "[::ffff:10.0.0.1]:5", []string{"::ffff:192.0.2.1"}, "192.0.2.1"},
		{"v6", proxies("2001:db8::/32"), "[2001:db8::1]:5", []string{"2001:db9::7"}, "2001:db9::7"},
		{"zone-is-no-text", proxies("10.0.0.0/8"), "10.0.0.1:5", []string{"fe80::1%evil text"}, "fe80::1"},
		{"no-address", nil, "@", nil, "invalid IP"},
	} {
		t.Run(x.name, func(t *testing.T) {
			r := httptest.NewRequest("POST", "/", nil)
			r.RemoteAddr = x.remote
			for _, v := range x.chain {
				r.Header.Add("X-Forwarded-For", v)
			}
			if got := x.proxies.Meta(r).Source.String(); got != x.want {
				t.Errorf("got %s, want %s", got, x.want)
			}
		})
	}
}

func TestSecure(t *testing.T) {
	trusted := proxies("10.0.0.0/8")
	for _, x := range []struct {
		name    string
		proxies httpx.Proxies
		tls     bool
		proto   []string
		want    bool
	}{
		{"plain", nil, false, nil, false},
		{"tls", nil, true, nil, true},
		{"spoofed", nil, false, []string{"https"}, false},
		{"tls-and-a-strangers-header", nil, true, []string{"http"}, true},
		{"proxy-says-https", trusted, false, []string{"https"}, true},
		{"proxy-says-HTTPS", trusted, false, []string{"HTTPS"}, true},
		{"proxy-says-http-over-tls", trusted, true, []string{"http"}, false},
		{"proxy-says-nothing", trusted, true, nil, true},
		{"spoofed-before-the-proxy", trusted, false, []string{"https", "http"}, false},
		{"spoofed-in-the-same-header", trusted, false, []string{"https, http"}, false},
		{"nonsense", trusted, false, []string{"httpsx"}, false},
	} {
		t.Run(x.name, func(t *testing.T) {
			r := httptest.NewRequest("POST", "/", nil)
			r.RemoteAddr = "10.0.0.1:5"
			if x.tls {
				r.TLS = &tls.ConnectionState{}
			}
			for _, v := range x.proto {
				r.Header.Add("X-Forwarded-Proto", v)
			}
			if got := x.proxies.Meta(r).Secure; got != x.want {
				t.Errorf("got %v, want %v", got, x.want)
			}
		})
	}
}

func TestAgent(t *testing.T) {
	for in, want := range map[string]string{
		"aws-cli/2.0":                  "aws-cli/2.0",
		"":                             "",
		"a\nb\x00c":                    "a?b?c",
		"ü\xff":                        "??",
		strings.Repeat("x", 1000):      strings.Repeat("x", 256),
		strings.Repeat("x", 255) + "ü": strings.Repeat("x", 255) + "?",
	} {
		r := httptest.NewRequest("POST", "/", nil)
		r.Header["User-Agent"] = []string{in}
		if got := (httpx.Proxies)(nil).Meta(r).Agent; got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestFill(t *testing.T) {
	m := httpx.Meta{RequestID: "r", Source: netip.MustParseAddr("192.0.2.1"), Agent: "a", Secure: true, Time: time.Unix(1, 0)}
	got := m.Fill(caller.Caller{Account: "111111111111", Name: "bob"}, "native", "eu-west-1")
	if got.Name != "bob" || got.Front != "native" || got.Region != "eu-west-1" || got.RequestID != "r" || got.Agent != "a" || !got.Secure || got.Source != m.Source || !got.Time.Equal(m.Time) {
		t.Errorf("got %+v", got)
	}
	if n := m.Nobody("native"); n.Name != "" || n.Account != "" || n.Kind != "" || n.Front != "native" || n.RequestID != "r" {
		t.Errorf("nobody is %+v", n)
	}
}

func TestNewID(t *testing.T) {
	uuid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	seen := map[string]bool{}
	for range 1000 {
		id := httpx.NewID()
		if !uuid.MatchString(id) || seen[id] {
			t.Fatalf("id %q", id)
		}
		seen[id] = true
	}
}

// untold hides the length of a body, as chunked encoding does.
type untold struct{ io.Reader }

// cut ends a body early.
type cut struct{ r io.Reader }

func (c cut) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func TestReadBody(t *testing.T) {
	const limit = 100
	body := bytes.Repeat([]byte("x"), 1000)
	for _, x := range []struct {
		name   string
		body   io.Reader
		length int64 // declared; -1 for none
		want   int   // bytes read
		kind   errs.Kind
	}{
		{"empty", http.NoBody, 0, 0, 0},
		{"small", bytes.NewReader(body[:10]), 10, 10, 0},
		{"full", bytes.NewReader(body[:limit]), limit, limit, 0},
		{"declared-too-large", bytes.NewReader(body), 1000, 0, errs.Limit},
		{"chunked", untold{bytes.NewReader(body[:10])}, -1, 10, 0},
		{"chunked-full", untold{bytes.NewReader(body[:limit])}, -1, limit, 0},
		{"chunked-too-large", untold{bytes.NewReader(body[:limit+1])}, -1, 0, errs.Limit},
		{"cut", cut{bytes.NewReader(body[:5])}, 10, 0, errs.Canceled},
		{"chunked-cut", cut{bytes.NewReader(body[:5])}, -1, 0, errs.Canceled},
	} {
		t.Run(x.name, func(t *testing.T) {
			r := httptest.NewRequest("POST", "/", x.body)
			r.ContentLength = x.length
			got, err := httpx.ReadBody(httptest.NewRecorder(), r, limit)
			if len(got) != x.want || (err != nil) != (x.kind != 0) || err != nil && !errs.Is(err, x.kind) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			if x.kind == errs.Limit && errs.As(err).Code != httpx.CodeBody {
				t.Errorf("code %q", errs.As(err).Code)
			}
		})
	}
}

// TestLength holds that every answer says how long it is.
func TestLength(t *testing.T) {
	for _, n := range []int{0, 1, 2047, 2048, 2049, 100_000} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			httpx.SetLength(w.Header(), n)
			_, _ = w.Write(make([]byte, n))
		}))
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			req, err := http.NewRequestWithContext(t.Context(), method, srv.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := srv.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.ContentLength != int64(n) && (method != http.MethodHead || n > 0) {
				t.Errorf("%s of %d bytes: said to be %d", method, n, resp.ContentLength)
			}
		}
		srv.Close()
	}
}
