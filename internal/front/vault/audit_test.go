package vault

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"countersign/internal/core/coretest"
)

// TestAuditDevices enables a device as clients do, and finds in its file what they
// then do.
func TestAuditDevices(t *testing.T) {
	s := newServer(t, coretest.Config{})
	running, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); s.Devices.Run(running) }()
	defer func() { stop(); <-done }()
	path := filepath.Join(s.Devices.Dir, "audit.log")

	if data := at(t, s.want(t, 200, "GET", "sys/audit", ""), "data").(map[string]any); len(data) != 0 {
		t.Errorf("there are %v", data)
	}
	s.want(t, 204, "PUT", "sys/audit/file", `{"type":"file","description":"d","options":{"file_path":"`+path+`","hmac_accessor":true}}`)
	if msg := errorOf(t, s.want(t, 400, "POST", "sys/audit/file", `{"type":"file","options":{"file_path":"b"}}`)); msg != "path is already in use at file/" {
		t.Errorf("again: %s", msg)
	}
	if msg := errorOf(t, s.want(t, 400, "POST", "sys/audit/b", `{"type":"file","options":{"file_path":"/etc/passwd"}}`)); !strings.HasPrefix(msg, "file_path: the path is not inside ") {
		t.Errorf("outside: %s", msg)
	}
	if msg := errorOf(t, s.want(t, 400, "POST", "sys/audit/b", `{"type":"file","options":{"file_path":"b","log_raw":"true"}}`)); !strings.Contains(msg, "values never leave") {
		t.Errorf("raw: %s", msg)
	}
	ans := s.want(t, 200, "GET", "sys/audit", "")
	for _, where := range []string{"data.file/", "file/"} {
		d := at(t, ans, where).(map[string]any)
		if d["type"] != "file" || d["path"] != "file/" || d["description"] != "d" || d["local"] != false || at(t, d, "options.file_path") != path {
			t.Errorf("%s is %v", where, d)
		}
	}
	s.want(t, 404, "GET", "secret/data/myapp/database", "")
	hash := at(t, s.want(t, 200, "POST", "sys/audit-hash/file", `{"input":"`+s.Key.ID+`"}`), "data.hash").(string)
	if msg := errorOf(t, s.want(t, 400, "POST", "sys/audit-hash/none", `{"input":"x"}`)); msg != "unknown audit backend" {
		t.Errorf("of no device: %s", msg)
	}
	end := time.Now().Add(10 * time.Second)
	for {
		b, _ := os.ReadFile(path)
		text := string(b)
		if strings.Contains(text, `"operation":"update","mount_point":"sys/","mount_type":"system","client_token_accessor":"`+hash+`","namespace":{"id":"root"},"path":"sys/audit-hash/file"`) &&
			strings.Contains(text, `"path":"secret/data/myapp/database"`) && strings.Contains(text, `"path":"sys/audit/file"`) {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the file has %s", text)
		}
		time.Sleep(20 * time.Millisecond)
	}
	s.want(t, 204, "DELETE", "sys/audit/file", "")
	s.want(t, 204, "DELETE", "sys/audit/file", "")
	_, bob := s.User(t, "bob", "")
	for _, call := range [][3]string{{"GET", "sys/audit", ""}, {"POST", "sys/audit/b", `{"type":"file","options":{"file_path":"b"}}`}, {"DELETE", "sys/audit/b", ""}, {"POST", "sys/audit-hash/b", `{"input":"x"}`}} {
		s.wantAs(t, tokenOf(bob), 403, call[0], call[1], call[2])
	}
}
