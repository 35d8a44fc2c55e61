package native

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/core/coretest"
)

func TestSchema(t *testing.T) {
	s := newServer(t, coretest.Config{})
	s.want(t, "POST", "/secret", `{"name":"a","value":"{\"port\":1}"}`)
	s.want(t, "PUT", "/secret/schema?name=a", `{"document":"{ \"properties\": {\"port\": {\"type\": \"integer\"}} }"}`)
	if got := s.want(t, "GET", "/secret/schema?name=a", "")["document"]; got != `{"properties":{"port":{"type":"integer"}}}` {
		t.Errorf("the schema is %v", got)
	}
	if s.want(t, "GET", "/secret?name=a", "")["schema"] != true {
		t.Error("the secret does not say that it has one")
	}
	bad := func(method, path, body string, status int, code, msg string) {
		t.Helper()
		w := s.do(t, s.admin, method, path, body)
		if f := failed(t, w); w.Code != status || f.Code != code || !strings.Contains(f.Message, msg) {
			t.Errorf("%s %s: %d %s", method, path, w.Code, w.Body)
		}
	}
	const misfit = "at /port, type: it has to be of type integer"
	bad("PUT", "/secret/value?name=a", `{"value":"{\"port\":\"x\"}"}`, 400, "schema-value", misfit)
	bad("PUT", "/secret/value?name=a", `{"value":"{\"port\":\"x\"}","create":true}`, 400, "schema-value", misfit)
	bad("POST", "/secret/patch?name=a", `{"set":{"port":"x"}}`, 400, "schema-value", misfit)
	bad("PUT", "/secret/schema?name=a", `{"document":{"type":"string"}}`, 409, "schema-misfit", "type: it has to be of type string")
	bad("PUT", "/secret/schema?name=a", `{"document":{"$ref":"http://169.254.169.254/"}}`, 400, "schema", "/$ref: a reference leads to")
	bad("PUT", "/secret/schema?name=a", `{"document":"type: object"}`, 400, "schema", "no JSON")
	bad("PUT", "/secret/schema?name=a", `{"document":{"title":"`+strings.Repeat("x", 17000)+`"}}`, 413, "schema", "at most")
	bad("POST", "/secret/schema/check?name=a", `{}`, 400, "", "give the value")
	got := s.want(t, "POST", "/secret/schema/check?name=a", `{"value":"{\"port\":\"x\"}"}`)
	if diff := cmp.Diff(map[string]any{"schema": true, "fits": false, "problems": []any{map[string]any{"at": "/port", "rule": "type: it has to be of type integer"}}}, got); diff != "" {
		t.Error(diff)
	}
	// The same request once more is the same change.
	s.want(t, "POST", "/secret", `{"name":"b"}`)
	got = s.want(t, "POST", "/secret/schema/check?name=b", `{"value":"x"}`)
	if diff := cmp.Diff(map[string]any{"schema": false, "fits": true}, got); diff != "" {
		t.Error(diff)
	}
}

func TestReplicas(t *testing.T) {
	s := newServer(t, coretest.Config{})
	s.want(t, "POST", "/secret", `{"name":"a","value":"v"}`)
	out := s.want(t, "POST", "/secret/replicas?name=a", `{"replicas":[{"region":"eu-west-1"}]}`)
	if out["status"] != "applied" || len(out["replicas"].([]any)) != 1 {
		t.Errorf("replicated: %v", out)
	}
	if s.want(t, "GET", "/secret/value?name=a&region=eu-west-1", "")["value"] != "v" {
		t.Error("it is not read there")
	}
	w := s.do(t, s.admin, "POST", "/secret/replicas?name=a", `{"replicas":[{"region":"us-east-1"}]}`)
	if f := failed(t, w); w.Code != 400 || f.Field != "replicas" {
		t.Errorf("its own region: %d %s", w.Code, w.Body)
	}
	w = s.do(t, s.admin, "DELETE", "/secret/replicas?name=a&replica=us-east-1", "")
	if f := failed(t, w); w.Code != 400 || f.Field != "replica" {
		t.Errorf("where it is not: %d %s", w.Code, w.Body)
	}
	if out = s.want(t, "DELETE", "/secret/replicas?name=a&replica=eu-west-1", ""); out["replicas"] != nil {
		t.Errorf("removed: %v", out)
	}
	// A rule holds either.
	s.want(t, "POST", "/secret", `{"name":"guarded/b","value":"v"}`)
	s.want(t, "POST", "/protection", guard)
	out = s.want(t, "POST", "/secret/replicas?name=guarded/b", `{"replicas":[{"region":"eu-west-1"}],"force":true}`)
	if out["status"] != "pending" {
		t.Errorf("of a protected secret: %v", out)
	}
	review := s.want(t, "GET", "/changes/"+out["change"].(string), "")
	if diff := cmp.Diff([]any{"makes the secret readable in eu-west-1, and deletes a secret of that name there"}, review["lines"]); diff != "" {
		t.Error(diff)
	}
}
