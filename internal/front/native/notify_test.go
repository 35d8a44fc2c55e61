package native

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"countersign/internal/core/coretest"
	"countersign/internal/core/notice"
	"countersign/internal/kv"
)

// notifyCalls covers the rows of notices, with a receiver that is gone.
func (s *server) notifyCalls(t *testing.T, d doc, covered map[string]bool) {
	call := func(method, path, body string) map[string]any {
		t.Helper()
		out := s.want(t, method, path, body)
		bare, _, _ := strings.Cut(path, "?")
		s.fits(t, d, method, bare, out, covered)
		return out
	}
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) }))
	defer receiver.Close()
	const path = "canary-of-the-path"
	made := call("PUT", "/notify/targets/hook", `{"type":"webhook","url":"`+receiver.URL+`/`+path+`","kinds":["change.*"],"names":["shop/*"],"reason":"r"}`)
	if key, _ := made["secret"].(string); !strings.HasPrefix(key, "whsec_") {
		t.Errorf("made %v", made)
	}
	if again := call("PUT", "/notify/targets/hook", `{"names":[]}`); again["secret"] != nil || again["names"] != nil {
		t.Errorf("changed to %v", again)
	}
	call("PUT", "/notify/targets/hook", `{"rotate":true}`)
	if out := call("POST", "/notify/targets/hook/test", ""); out["delivered"] != false || out["why"] != "it answered with status 410" {
		t.Errorf("tried %v", out)
	}
	n := notice.Notice{ID: "N1", Account: coretest.Home, Kind: notice.ChangeApplied, Change: "C", Noun: "secret", Name: "shop/a", Time: time.Now().UnixMicro()}
	if _, err := s.DB.Update(t.Context(), func(tx kv.Txn) error { return notice.Put(tx, n) }); err != nil {
		t.Fatal(err)
	}
	deliver := notices(s.Core)
	var dead []any
	for begun := time.Now(); len(dead) == 0 && time.Since(begun) < 10*time.Second; time.Sleep(10 * time.Millisecond) {
		if err := deliver.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
		dead = call("GET", "/notify/dead-letters?limit=1", "")["items"].([]any)
	}
	if len(dead) != 1 {
		t.Fatalf("%d dead letters", len(dead))
	}
	call("POST", "/notify/dead-letters/"+dead[0].(map[string]any)["id"].(string)+"/replay?reason=again", "")
	if list := s.do(t, s.admin, "GET", "/notify/targets", "").Body.String(); strings.Contains(list, path) || strings.Contains(list, "whsec_") || !strings.Contains(list, `"host":"http://127.0.0.1:`) {
		t.Errorf("listed %s", list)
	}
	call("GET", "/notify/targets", "")
	call("DELETE", "/notify/targets/hook?reason=done", "")
}

func TestNotifyErrors(t *testing.T) {
	s := newServer(t, coretest.Config{})
	for _, x := range []struct{ method, path, body, want string }{
		{"PUT", "/notify/targets/a", `{"type":"webhook","url":"https://169.254.169.254/s3cr3t"}`, "invalid url"},
		{"PUT", "/notify/targets/a", `{"type":"webhook","url":"https://user:s3cr3t@example.com/"}`, "invalid url"},
		{"PUT", "/notify/targets/a", `{"type":"email","to":["a@example.com"]}`, "precondition no-smtp"},
		{"PUT", "/notify/targets/a", `{"kinds":[]}`, "invalid type"},
		{"DELETE", "/notify/targets/a", "", "not-found notify-target"},
		{"POST", "/notify/targets/a/test", "", "not-found notify-target"},
		{"POST", "/notify/dead-letters/X/replay", "", "not-found dead-letter"},
		{"POST", "/notify/dead-letters/%20/replay", "", "invalid id"},
		{"GET", "/notify/dead-letters?page=AAAA", "", "invalid page"},
	} {
		w := s.do(t, s.admin, x.method, x.path, x.body)
		f := failed(t, w)
		got := f.Kind + " " + f.Code
		if f.Field != "" {
			got = f.Kind + " " + f.Field
		}
		if got != x.want || strings.Contains(w.Body.String(), "s3cr3t") {
			t.Errorf("%s %s: %s, want %s", x.method, x.path, w.Body, x.want)
		}
	}
}
