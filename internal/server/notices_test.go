package server

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// mailServer takes mail on loopback, one message a session.
func mailServer(t *testing.T) (address string, messages chan string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	messages = make(chan string, 100)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				r, data := bufio.NewReader(c), false
				var text strings.Builder
				_, _ = io.WriteString(c, "220 test\r\n")
				for {
					line, err := r.ReadString('\n')
					switch {
					case err != nil:
						return
					case data && line != ".\r\n":
						text.WriteString(line)
						continue
					case data:
						messages <- text.String()
						data = false
					case strings.HasPrefix(line, "DATA"):
						data = true
						_, _ = io.WriteString(c, "354 go\r\n")
						continue
					}
					_, _ = io.WriteString(c, "250 ok\r\n")
				}
			}()
		}
	}()
	return ln.Addr().String(), messages
}

// TestNotices proposes a change, ends the server while the webhook's receiver
// thinks about it, and starts it again: it is delivered anew, under the same id.
func TestNotices(t *testing.T) {
	const inURL, value = "canary-of-url-55", "canary-of-value-77"
	var up atomic.Bool
	hooks := make(chan *http.Request, 100)
	bodies := make(chan string, 100)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		hooks <- r
		bodies <- string(b)
		if !up.Load() {
			<-r.Context().Done()
		}
	}))
	defer receiver.Close()
	address, mail := mailServer(t)
	dir := t.TempDir()
	cfg := parse(t, dir, "public_url: https://secrets.example.com\nnotify: {allow: [127.0.0.1]}\nsmtp: {address: '"+address+"', from: cs@example.com, tls: none-on-loopback}\n")
	key, err := Init(t.Context(), cfg, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	s, log1, stop := start(t, cfg)
	call := func(method, path, body string) map[string]any {
		t.Helper()
		req, err := http.NewRequest(method, s.URL()+"/api/v1"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+key.Token)
		if body != "" {
			req.Header.Set("Content-Type", "application/json")
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var out map[string]any
		if err := json.NewDecoder(res.Body).Decode(&out); err != nil || res.StatusCode != 200 {
			t.Fatalf("%s %s: %d %v %v", method, path, res.StatusCode, out, err)
		}
		return out
	}
	call("PUT", "/notify/targets/hook", `{"type":"webhook","url":"`+receiver.URL+`/`+inURL+`"}`)
	call("PUT", "/notify/targets/mail", `{"type":"email","to":["ops@example.com"]}`)
	call("POST", "/protection", `{"set":{"name":"guard","match":["guarded/*"],"approvals":[{"count":1}]}}`)
	id := call("POST", "/secret/patch?name=guarded/a", `{"set":{"k":"`+value+`"},"reason":"because"}`)["change"].(string)
	first := (<-hooks).Header.Get("Countersign-Delivery")
	<-bodies
	message := <-mail
	for _, want := range []string{"To: ops@example.com", "Subject: [countersign] A change was proposed: guarded/a", id, "because"} {
		if !strings.Contains(message, want) {
			t.Errorf("the mail lacks %q: %s", want, message)
		}
	}
	for begun := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		if _, page := get(t, http.DefaultClient, s.URL()+"/metrics"); strings.Contains(page, "countersign_notify_waiting 1\n") &&
			strings.Contains(page, `countersign_notify_attempts_total{outcome="delivered",target="email"} 1`) {
			break
		}
		if time.Since(begun) > 10*time.Second {
			t.Fatal("the metrics do not tell of it")
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	up.Store(true)
	if rep, err := Fsck(t.Context(), cfg); err != nil || len(rep.Problems) > 0 {
		t.Errorf("fsck: %+v, %v", rep, err)
	}
	s, log2, stop := start(t, cfg)
	select {
	case r := <-hooks:
		body := <-bodies
		if r.Header.Get("Countersign-Delivery") != first || !strings.Contains(body, `"link":"https://secrets.example.com/#/changes/`+id+`"`) || strings.Contains(body, value) {
			t.Errorf("delivered %v: %s", r.Header, body)
		}
	case <-time.After(20 * time.Second):
		t.Error("what waited was not delivered")
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"log": log1.String() + log2.String(), "mail": message} {
		if strings.Contains(text, inURL) || strings.Contains(text, value) {
			t.Errorf("a canary is in the %s", name)
		}
	}
	err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if strings.Contains(string(b), inURL) || strings.Contains(string(b), value) {
			t.Errorf("a canary is in %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
