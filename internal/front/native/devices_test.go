package native

import (
	"strings"
	"testing"

	"countersign/internal/core/coretest"
)

// deviceCalls covers the rows of audit devices.
func (s *server) deviceCalls(t *testing.T, d doc, covered map[string]bool) {
	t.Helper()
	call := func(method, path, body string) map[string]any {
		t.Helper()
		out := s.want(t, method, path, body)
		path, _, _ = strings.Cut(path, "?")
		s.fits(t, d, method, path, out, covered)
		return out
	}
	call("PUT", "/audit/devices/file", `{"type":"file","options":{"file_path":"a.log"},"description":"d","reason":"r"}`)
	s.want(t, "PUT", "/audit/devices/to%2Fnowhere", `{"type":"file","options":{"file_path":"discard"}}`)
	if items := call("GET", "/audit/devices", "")["items"].([]any); len(items) != 2 || items[1].(map[string]any)["name"] != "to/nowhere" {
		t.Errorf("devices are %v", items)
	}
	if out := call("POST", "/audit/devices/file/hash", `{"input":"x"}`); !strings.HasPrefix(out["hash"].(string), "hmac-sha256:") {
		t.Errorf("hash: %v", out)
	}
	call("DELETE", "/audit/devices/file?reason=done", "")
	s.want(t, "DELETE", "/audit/devices/to%2Fnowhere", "")
}

func TestDeviceErrors(t *testing.T) {
	s := newServer(t, coretest.Config{})
	s.want(t, "PUT", "/audit/devices/there", `{"type":"file","options":{"file_path":"a.log"}}`)
	for _, tt := range [][4]string{
		{"PUT", "/audit/devices/there", `{"type":"file","options":{"file_path":"b.log"}}`, "exists audit-device"},
		{"PUT", "/audit/devices/b", `{"type":"file","options":{"file_path":"a.log"}}`, "exists audit-device"},
		{"PUT", "/audit/devices/b", `{"type":"file","options":{"file_path":"../a.log"}}`, "invalid file_path"},
		{"PUT", "/audit/devices/b", `{"type":"file","options":{"file_path":"b","log_raw":"true"}}`, "invalid log_raw"},
		{"PUT", "/audit/devices/b", `{"type":"pipe"}`, "invalid type"},
		{"PUT", "/audit/devices/..%2Fb", `{"type":"file","options":{"file_path":"b"}}`, "invalid path"},
		{"DELETE", "/audit/devices/b", "", "not-found audit-device"},
		{"POST", "/audit/devices/b/hash", `{"input":"x"}`, "not-found audit-device"},
		{"POST", "/audit/devices/there/hash", `{}`, "invalid input"},
	} {
		f := failed(t, s.do(t, s.admin, tt[0], tt[1], tt[2]))
		if got := strings.TrimSpace(f.Kind + " " + f.Field); got != tt[3] && f.Kind+" "+f.Code != tt[3] {
			t.Errorf("%s %s %s: %+v, want %s", tt[0], tt[1], tt[2], f, tt[3])
		}
	}
}
