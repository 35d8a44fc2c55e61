package vault

import (
	"strings"
	"testing"

	"countersign/internal/core/coretest"

	"github.com/google/go-cmp/cmp"
)

func TestCubbyhole(t *testing.T) {
	s := newServer(t, coretest.Config{})
	one, _ := s.token(t, s.root, "create", `{"policies":["default"]}`)
	two, _ := s.token(t, s.root, "create", `{"policies":["default"]}`)
	s.wantAs(t, one, 404, "LIST", "cubbyhole/", "")
	s.wantAs(t, one, 204, "POST", "cubbyhole/a", `{"text": "x", "list": [1, {"deep": null}]}`)
	s.wantAs(t, one, 204, "PUT", "cubbyhole/folder/b", `{"n":12345678901234567890}`)
	got := s.wantAs(t, one, 200, "GET", "cubbyhole/a", "")
	if diff := cmp.Diff(map[string]any{"text": "x", "list": []any{1.0, map[string]any{"deep": nil}}}, got["data"]); diff != "" {
		t.Errorf("the value differs (-want +got):\n%s", diff)
	}
	if w := s.do(t, one, "GET", "cubbyhole/folder/b", ""); !strings.Contains(w.Body.String(), `"data":{"n":12345678901234567890}`) {
		t.Errorf("a large number: %s", w.Body)
	}
	if got := s.wantAs(t, one, 200, "LIST", "cubbyhole/", ""); names(at(t, got, "data.keys")) != "[a folder/]" {
		t.Errorf("the listing: %v", got)
	}
	if got := s.wantAs(t, one, 200, "GET", "cubbyhole/folder?list=true", ""); names(at(t, got, "data.keys")) != "[b]" {
		t.Errorf("the folder: %v", got)
	}
	// It is the token's alone: neither another of the same principal sees it, nor who may do everything.
	for _, tk := range []string{two, s.root} {
		if w := s.do(t, tk, "GET", "cubbyhole/a", ""); w.Code == 200 {
			t.Errorf("another sees %s", w.Body)
		}
	}
	s.wantAs(t, one, 204, "DELETE", "cubbyhole/a", "")
	s.wantAs(t, one, 204, "DELETE", "cubbyhole/a", "")
	s.wantAs(t, one, 404, "GET", "cubbyhole/a", "")
	for _, tt := range []struct{ method, path, body, want string }{
		{"POST", "cubbyhole/a", "", "missing data fields"}, {"POST", "cubbyhole/a", "{}", "missing data fields"}, {"POST", "cubbyhole/a", "[1]", "not a JSON object"},
		{"GET", "cubbyhole/a/", "", "ends in no slash"}, {"POST", "cubbyhole/a", `{"a":"` + strings.Repeat("x", 64<<10) + `"}`, "65536 bytes"},
	} {
		if msg := errorOf(t, s.wantAs(t, one, 400, tt.method, tt.path, tt.body)); !strings.Contains(msg, tt.want) {
			t.Errorf("%s %s %.20s: %q, want %q", tt.method, tt.path, tt.body, msg, tt.want)
		}
	}
	batch, _ := s.token(t, s.root, "create", `{"type":"batch","policies":["default"]}`)
	for _, tk := range []string{s.root, batch} {
		if msg := errorOf(t, s.wantAs(t, tk, 400, "POST", "cubbyhole/a", `{"a":1}`)); msg != "cubbyhole operations are only supported by service tokens" {
			t.Errorf("without one: %q", msg)
		}
	}
}
