package server

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestAuditDevices enables devices as a client of Vault does, takes the server
// away in between, and finds each record once in the file.
func TestAuditDevices(t *testing.T) {
	dir := t.TempDir()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	sent := make(chan string, 1)
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		b := make([]byte, 1<<16)
		n, _ := io.ReadAtLeast(conn, b, 1)
		sent <- string(b[:n])
		_, _ = io.Copy(io.Discard, conn)
	}()
	cfg := parse(t, dir, "audit: {devices_dir: vault, device_allow: [127.0.0.1]}\n")
	key, err := Init(t.Context(), cfg, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	s, _, stop := start(t, cfg)
	call := func(code int, method, path, body string) string {
		t.Helper()
		req, err := http.NewRequest(method, s.URL()+"/v1/"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Vault-Token", key.Token)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		if res.StatusCode != code {
			t.Fatalf("%s %s: %d %s", method, path, res.StatusCode, b)
		}
		return string(b)
	}
	path := filepath.Join(dir, "vault", "audit.log")
	call(204, "PUT", "sys/audit/file", `{"type":"file","options":{"file_path":"`+path+`"}}`)
	call(204, "PUT", "sys/audit/sock", `{"type":"socket","options":{"address":"`+ln.Addr().String()+`"}}`)
	call(400, "PUT", "sys/audit/far", `{"type":"socket","options":{"address":"169.254.169.254:80"}}`)
	call(200, "POST", "secret/data/myapp/database", `{"data":{"password":"canary-of-value-78"}}`)
	call(200, "GET", "secret/data/myapp/database", "")
	responses := func() (paths []string) {
		b, _ := os.ReadFile(path)
		for l := range bytes.Lines(b) {
			var e struct {
				Type    string
				Request struct{ Operation, Path string }
			}
			if err := json.Unmarshal(l, &e); err != nil {
				return nil // half a line as yet
			}
			if e.Type == "response" {
				paths = append(paths, e.Request.Operation+" "+e.Request.Path)
			}
		}
		slices.Sort(paths)
		return paths
	}
	wait := func(want ...string) {
		t.Helper()
		// The record of a write may come into the log behind one that came later.
		text := strings.Join(slices.Sorted(slices.Values(want)), "\n")
		for begun := time.Now(); strings.Join(responses(), "\n") != text; time.Sleep(20 * time.Millisecond) {
			if time.Since(begun) > 10*time.Second {
				t.Fatalf("the file has\n%s\nwant\n%s", strings.Join(responses(), "\n"), text)
			}
		}
	}
	want := []string{"update sys/audit/file", "update sys/audit/sock", "update sys/audit/far", "update secret/data/myapp/database", "read secret/data/myapp/database"}
	wait(want...)
	if text := <-sent; !strings.Contains(text, `"path":"sys/audit/sock"`) {
		t.Errorf("the socket got %s", text)
	}
	_, page := get(t, http.DefaultClient, s.URL()+"/metrics")
	for _, line := range []string{"countersign_audit_devices 2\n", "countersign_audit_devices_failing 0\n", "countersign_audit_device_lost_records 0\n", `countersign_audit_device_lines_total{type="file"} 1`} {
		if !strings.Contains(page, line) {
			t.Errorf("the metrics lack %q", line)
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if rep, err := Fsck(t.Context(), cfg); err != nil || len(rep.Problems) > 0 {
		t.Errorf("fsck: %+v, %v", rep, err)
	}
	s, _, stop = start(t, cfg)
	call(200, "GET", "secret/data/myapp/database", "")
	wait(append(want, "create sys/namespaces/"+testAccount, "read secret/data/myapp/database")...) // start tried to initialize it
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(path); strings.Contains(string(b), "canary") {
		t.Error("a value is in the file")
	}
}
