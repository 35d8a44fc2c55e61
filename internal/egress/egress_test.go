package egress_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"countersign/internal/egress"
	"countersign/internal/errs"
)

func TestPublic(t *testing.T) {
	for in, want := range map[string]bool{
		"1.1.1.1": true, "8.8.8.8": true, "172.32.0.1": true, "100.128.0.1": true, "192.0.1.1": true, "223.255.255.255": true,
		"2606:4700::1111": true, "2a00:1450::1": true, "2001:4860:4860::8888": true, "::ffff:8.8.8.8": true,

		"127.0.0.1": false, "127.255.255.254": false, "0.0.0.0": false, "0.1.2.3": false, "10.1.2.3": false, "172.16.0.1": false,
		"172.31.255.255": false, "192.168.0.1": false, "100.64.0.1": false, "100.127.255.255": false, "169.254.169.254": false,
		"169.254.170.2": false, "192.0.0.192": false, "192.0.2.1": false, "198.18.0.1": false, "198.51.100.1": false, "203.0.113.1": false,
		"224.0.0.1": false, "239.255.255.255": false, "240.0.0.1": false, "255.255.255.255": false, "192.88.99.1": false,

		"::": false, "::1": false, "fe80::1": false, "fe80::1%eth0": false, "fec0::1": false, "fc00::1": false, "fd00:ec2::254": false, "ff02::1": false,
		"::ffff:127.0.0.1": false, "::ffff:7f00:1": false, "::ffff:10.0.0.1": false, "::127.0.0.1": false, "::8.8.8.8": false,
		"64:ff9b::7f00:1": false, "64:ff9b::8.8.8.8": false, "64:ff9b:1::1": false, "2002:7f00:1::": false, "2001::1": false, "2001:db8::1": false,
		"100::1": false, "3fff::1": false, "5f00::1": false, "2606:4700::1111%eth0": false, "::ffff:0:127.0.0.1": false,
	} {
		if got := egress.Public(netip.MustParseAddr(in)); got != want {
			t.Errorf("%s: %v, want %v", in, got, want)
		}
	}
	if egress.Public(netip.Addr{}) {
		t.Error("no address is public")
	}
}

func TestAllow(t *testing.T) {
	g := egress.New(egress.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("fd00:1::/32")}})
	for in, want := range map[string]bool{
		"127.0.0.1": true, "::ffff:127.0.0.1": true, "fd00:1::5": true, "1.1.1.1": true,
		"::1": false, "10.0.0.1": false, "fd00:2::5": false, "fd00:1::5%eth0": false, "169.254.169.254": false,
	} {
		if got := g.Check(netip.MustParseAddr(in)) == nil; got != want {
			t.Errorf("%s: %v, want %v", in, got, want)
		}
	}
}

func TestParseURL(t *testing.T) {
	for _, s := range []string{
		"https://example.com", "https://example.com/", "https://hooks.slack.com/services/T0/B0/x", "https://EXAMPLE.com:8443/a?b=c",
		"https://example.com./x", "https://1.1.1.1/", "https://[2606:4700::1111]/", "http://127.0.0.1:8080/", "https://xn--bcher-kva.example/",
		"https://a_b.example/", "https://localhost/", "https://3com.example/", "https://127.0.0.1.example/", "https://a/%2e%2e",
	} {
		if _, err := egress.ParseURL(s); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	const secret = "s3cr3t-path"
	for _, s := range []string{
		"", "example.com/" + secret, "//example.com/" + secret, "https:" + secret, "ftp://example.com/" + secret, "file:///" + secret, "gopher://x/" + secret,
		"https:///" + secret, "https://user:" + secret + "@example.com/", "https://" + secret + "@example.com/", "https://@example.com/" + secret,
		"https://example.com/#" + secret, "https://example.com#", "https://example.com:/" + secret, "https://example.com:0/", "https://example.com:65536/", "https://example.com:x/" + secret,
		"https://2130706433/" + secret, "https://0x7f000001/" + secret, "https://0x7f.0.0.1/", "https://127.1/" + secret, "https://0177.0.0.1/", "https://127.0.0.1./", "https://1.1/",
		"https://127.0.0.01/", "https://999.999.999.999/", "https://0x/", "https://example.0x1/", "https://18446744073709551616/",
		"https://[::1%25lo]/", "https://[fe80::1%25eth0]/", "https://[127.0.0.1]/", "https://::1/", "https://[::1/" + secret, "https://[example.com]/",
		"https://exa mple.com/" + secret, "https://example.com/" + secret + "\r\nX: y", "https://example.com\t/", "https://exämple.com/" + secret, "https://example.com\\@127.0.0.1/" + secret,
		"https://-a.example/", "https://a-.example/", "https://a..example/", "https://.example/", "https://example.com../", "https://127。0。0。1/", "https://①②⑦.0.0.1/",
		"https://%31%32%37.0.0.1/" + secret, "https://ex%61mple.com:99999/", "https://example.com/" + strings.Repeat("a", 2048), "https://" + strings.Repeat("a", 64) + ".com/",
	} {
		u, err := egress.ParseURL(s)
		if e := errs.As(err); e == nil || e.Kind != errs.Invalid || e.Field != "url" {
			t.Errorf("%q: %v, %v", s, u, err)
		} else if strings.Contains(e.Error(), secret) {
			t.Errorf("%q: the refusal quotes it: %v", s, err)
		}
	}
}

func FuzzParseURL(f *testing.F) {
	for _, s := range []string{"https://example.com/a", "http://127.0.0.1:1/", "https://[::ffff:127.0.0.1]/", "https://a@b/", "https://127.1/", "https://a.b./?x#y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := egress.ParseURL(s)
		if err != nil {
			return
		}
		if u.User != nil || u.Fragment != "" || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" {
			t.Errorf("%q was taken", s)
		}
		// What is sent is what was checked, and is checked alike when read again.
		again, err := egress.ParseURL(u.String())
		if err != nil || again.Host != u.Host {
			t.Errorf("%q is %q when read again: %v", s, u, err)
		}
	})
}

// rig is a guard whose names and connections are the test's.
type rig struct {
	names  map[string][]string
	dialed []string
	calls  atomic.Int32
}

func (r *rig) lookup(_ context.Context, host string) (out []netip.Addr, err error) {
	n := int(r.calls.Add(1)) - 1
	list, ok := r.names[host]
	if !ok {
		return nil, errors.New("no such host " + host)
	}
	if len(list) > 0 && strings.HasPrefix(list[0], "rebind ") { // another answer each time
		list = strings.Fields(list[0])[1:]
		list = list[min(n, len(list)-1):][:1]
	}
	for _, a := range list {
		out = append(out, netip.MustParseAddr(a))
	}
	return out, nil
}

func (r *rig) dial(_ context.Context, _, address string) (net.Conn, error) {
	r.dialed = append(r.dialed, address)
	return nil, io.ErrUnexpectedEOF
}

func TestWhatIsDialled(t *testing.T) {
	names := map[string][]string{
		"public.example": {"1.1.1.1"}, "private.example": {"10.0.0.1"}, "meta.example": {"169.254.169.254", "fd00:ec2::254"},
		"both.example": {"127.0.0.1", "::1", "1.1.1.2"}, "mapped.example": {"::ffff:127.0.0.1"}, "localhost": {"127.0.0.1"}, "localhost.": {"127.0.0.1"},
		"allowed.example": {"192.168.7.7"}, "none.example": {}, "nat64.example": {"64:ff9b::7f00:1"},
	}
	for _, x := range []struct {
		url    string
		dialed string
		err    error
	}{
		{"https://public.example/", "1.1.1.1:443", nil},
		{"https://public.example:25/", "1.1.1.1:25", nil},
		{"http://public.example/", "", egress.ErrPlain},
		{"https://private.example/", "", egress.ErrAddress},
		{"http://private.example/", "", egress.ErrAddress},
		{"https://meta.example/", "", egress.ErrAddress},
		{"https://both.example/", "1.1.1.2:443", nil},
		{"https://mapped.example/", "", egress.ErrAddress},
		{"https://nat64.example/", "", egress.ErrAddress},
		{"https://localhost/", "", egress.ErrAddress},
		{"https://localhost./", "", egress.ErrAddress},
		{"https://127.0.0.1/", "", egress.ErrAddress},
		{"https://[::ffff:127.0.0.1]/", "", egress.ErrAddress},
		{"https://[::1]/", "", egress.ErrAddress},
		{"https://169.254.169.254/latest/meta-data", "", egress.ErrAddress},
		{"https://allowed.example/", "192.168.7.7:443", nil},
		{"http://allowed.example:81/", "192.168.7.7:81", nil},
		{"http://[::ffff:192.168.7.7]/", "192.168.7.7:80", nil},
		{"https://none.example/", "", egress.ErrName},
		{"https://unknown.example/", "", egress.ErrName},
	} {
		r := &rig{names: names}
		c := egress.New(egress.Config{Allow: []netip.Prefix{netip.MustParsePrefix("192.168.7.0/24")}, Lookup: r.lookup, Dial: r.dial}).Client()
		_, err := c.Get(x.url)
		if got := strings.Join(r.dialed, " "); got != x.dialed {
			t.Errorf("%s: dialled %q, want %q (%v)", x.url, got, x.dialed, err)
		}
		if err == nil || x.err != nil && !errors.Is(err, x.err) {
			t.Errorf("%s: %v, want %v", x.url, err, x.err)
		}
	}
}

// A name that is public when it is looked at and private when it is used.
func TestRebinding(t *testing.T) {
	r := &rig{names: map[string][]string{"evil.example": {"rebind 1.1.1.1 127.0.0.1"}}}
	c := egress.New(egress.Config{Lookup: r.lookup, Dial: r.dial}).Client()
	for range 3 {
		_, _ = c.Get("https://evil.example/")
	}
	if got := strings.Join(r.dialed, " "); got != "1.1.1.1:443" {
		t.Errorf("dialled %q: what is connected to is not what was judged", got)
	}
}

// The dialer of the system judges by itself too.
func TestRealDialerRefuses(t *testing.T) {
	var hits atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	defer s.Close()
	u, _ := url.Parse(s.URL)
	lookup := func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	}
	for _, target := range []string{s.URL, "https://" + u.Host, "http://name.example:" + u.Port(), "http://[::ffff:127.0.0.1]:" + u.Port()} {
		if _, err := egress.New(egress.Config{Lookup: lookup}).Client().Get(target); !errors.Is(err, egress.ErrAddress) {
			t.Errorf("%s: %v", target, err)
		}
	}
	if hits.Load() != 0 {
		t.Error("it was reached")
	}
}

func loopback(c egress.Config) *http.Client {
	c.Allow = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	return egress.New(c).Client()
}

func TestClient(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	var followed atomic.Bool
	release := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, r *http.Request) {
		if len(r.Cookies()) > 0 || r.Header.Get("Authorization") != "" {
			t.Error("credentials were sent")
		}
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
	})
	mux.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, io.LimitReader(zeros{}, 10<<20)) })
	mux.HandleFunc("/slow", func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("/away", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/followed", http.StatusFound) })
	mux.HandleFunc("/followed", func(http.ResponseWriter, *http.Request) { followed.Store(true) })
	mux.HandleFunc("/closed", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	s := httptest.NewServer(mux)
	defer s.Close()
	defer close(release)
	c := loopback(egress.Config{Timeout: 200 * time.Millisecond})
	get := func(path string) (int, error) {
		res, err := c.Get(s.URL + path)
		if err != nil {
			return 0, err
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		return len(b), err
	}
	for range 2 {
		if _, err := get("/ok"); err != nil {
			t.Error(err)
		}
	}
	if n, err := get("/large"); err != nil || n != egress.MaxAnswer {
		t.Errorf("read %d bytes, %v", n, err)
	}
	for path, want := range map[string]string{"/slow": "it took too long", "/away": egress.ErrRedirect.Error(), "/closed": "the connection was closed"} {
		if _, err := get(path); egress.Reason(err) != want {
			t.Errorf("%s: %q (%v), want %q", path, egress.Reason(err), err, want)
		}
	}
	if followed.Load() {
		t.Error("a redirect was followed")
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func TestCertificatesAreVerified(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was reached") }))
	s.Config.ErrorLog = nil
	defer s.Close()
	_, err := loopback(egress.Config{}).Get(s.URL)
	if got := egress.Reason(err); got != "the certificate is not valid for that host" {
		t.Errorf("%q (%v)", got, err)
	}
}

// Reason quotes nothing, whatever the error holds.
func TestReason(t *testing.T) {
	const secret = "s3cr3t"
	for _, err := range []error{
		&url.Error{Op: "Post", URL: "https://x/" + secret, Err: errors.New(secret)},
		&url.Error{Op: "Post", URL: "https://x/" + secret, Err: context.DeadlineExceeded},
		&net.DNSError{Err: secret, Name: secret}, errors.New(secret), errs.New(errs.Internal, secret),
	} {
		if got := egress.Reason(err); got == "" || strings.Contains(got, secret) {
			t.Errorf("%v: %q", err, got)
		}
	}
	if egress.Reason(nil) != "" {
		t.Error("nothing has a reason")
	}
}
