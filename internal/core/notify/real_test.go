package notify_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign/internal/core/coretest"
	"countersign/internal/core/notice"
	"countersign/internal/core/notify"
	"countersign/internal/egress"
	"countersign/internal/sensitive"
)

// receiver is a real server on loopback.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	got    map[string][]*http.Request
	bodies map[string][]string
}

func receive(t *testing.T) *receiver {
	r := &receiver{got: map[string][]*http.Request{}, bodies: map[string][]string{}}
	release := make(chan struct{})
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		r.got[req.URL.Path] = append(r.got[req.URL.Path], req)
		r.bodies[req.URL.Path] = append(r.bodies[req.URL.Path], string(body))
		r.mu.Unlock()
		switch req.URL.Path {
		case "/fails":
			http.Error(w, "s3cr3t answer", http.StatusInternalServerError)
		case "/redirects":
			http.Redirect(w, req, "/followed", http.StatusTemporaryRedirect)
		case "/closes":
			panic(http.ErrAbortHandler)
		case "/slow":
			select {
			case <-release:
			case <-req.Context().Done():
			}
		}
	}))
	t.Cleanup(func() { close(release); r.Close() })
	return r
}

func (r *receiver) requests(path string) ([]*http.Request, []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got[path], r.bodies[path]
}

func TestRealReceiver(t *testing.T) {
	f := start(t, coretest.Config{})
	ctx := t.Context()
	r := receive(t)
	guard := egress.New(egress.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Timeout: 300 * time.Millisecond})
	s := f.service(guard.Poster())
	keys := map[string]sensitive.Bytes{}
	for _, n := range []string{"works", "fails", "redirects", "closes", "slow"} {
		out, err := s.Put(ctx, f.Admin, notify.PutRequest{Name: n, Type: notify.Webhook, URL: sensitive.FromString(r.URL + "/" + n)})
		must(t, err)
		keys[n] = out.Secret
	}
	defer run(t, s)()
	id := f.happens(notice.Notice{Name: "app/production", Reason: "because"})
	why := map[string]string{"fails": "it answered with status 500", "redirects": egress.ErrRedirect.Error(), "closes": "the connection was closed", "slow": "it took too long", "works": ""}
	deadline := time.Now().Add(20 * time.Second)
	for done := false; !done; time.Sleep(20 * time.Millisecond) {
		done = true
		for n := range why {
			tgt := f.target(n)
			done = done && (!tgt.Last.IsZero() || !tgt.Failed.IsZero())
		}
		if time.Now().After(deadline) {
			t.Fatal("it takes too long")
		}
	}
	for n, want := range why {
		if tgt := f.target(n); tgt.Why != want || (want == "") != (tgt.Waiting == 0) {
			t.Errorf("%s: %q, %d wait", n, tgt.Why, tgt.Waiting)
		}
	}
	if got, _ := r.requests("/followed"); len(got) != 0 {
		t.Error("a redirect was followed")
	}
	reqs, bodies := r.requests("/works")
	if len(reqs) != 1 {
		t.Fatalf("%d requests", len(reqs))
	}
	h := reqs[0].Header
	if !verify(keys["works"].Reveal(), h.Get("Countersign-Timestamp"), h.Get("Countersign-Signature"), []byte(bodies[0]), time.Now()) {
		t.Errorf("it does not verify: %v", h)
	}
	if verify(keys["fails"].Reveal(), h.Get("Countersign-Timestamp"), h.Get("Countersign-Signature"), []byte(bodies[0]), time.Now()) {
		t.Error("another target's key verifies")
	}
	var body map[string]any
	if err := json.Unmarshal([]byte(bodies[0]), &body); err != nil || body["name"] != "app/production" || body["notice"] != id || body["delivery"] != h.Get("Countersign-Delivery") {
		t.Errorf("body %v, %v", body, err)
	}
	for k := range h {
		switch k {
		case "Connection", "Content-Type", "Content-Length", "User-Agent", "Countersign-Delivery", "Countersign-Timestamp", "Countersign-Signature":
		default:
			t.Errorf("header %s is sent", k)
		}
	}
	if strings.Contains(f.log.String(), "s3cr3t") {
		t.Error("an answer is in the log")
	}
}

// A target that the configuration does not allow is refused when it is named by
// its address, and reached never.
func TestGuarded(t *testing.T) {
	f := start(t, coretest.Config{})
	r := receive(t)
	s := f.service(egress.New(egress.Config{}).Poster())
	for _, u := range []string{r.URL + "/x", strings.Replace(r.URL, "http:", "https:", 1) + "/x", "https://2130706433/x", "https://[::ffff:127.0.0.1]/x", "https://169.254.169.254/x"} {
		_, err := s.Put(t.Context(), f.Admin, notify.PutRequest{Name: "a", Type: notify.Webhook, URL: sensitive.FromString(u)})
		if err == nil {
			t.Errorf("%s was taken", u)
		}
	}
	_, err := s.Put(t.Context(), f.Admin, notify.PutRequest{Name: "a", Type: notify.Webhook, URL: sensitive.FromString("https://localhost:" + r.URL[strings.LastIndex(r.URL, ":")+1:])})
	must(t, err)
	res, err := s.Try(t.Context(), f.Admin, "a")
	if err != nil || res.Delivered || !strings.Contains(res.Why, egress.ErrAddress.Error()) && res.Why != egress.ErrName.Error() {
		t.Errorf("tried %+v, %v", res, err)
	}
	if got, _ := r.requests("/x"); len(got) != 0 {
		t.Error("it was reached")
	}
}
