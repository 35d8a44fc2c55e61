package native

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/core/audit"
	"countersign/internal/core/coretest"
	"countersign/internal/core/policy"
	"countersign/internal/errs"
)

func TestSecretLife(t *testing.T) {
	s := newServer(t, coretest.Config{})
	out := s.want(t, "POST", "/secret", `{"name":"team/db","value":"{\"user\":\"ann\",\"pass\":\"one\"}","tags":{"team":"red"},"reason":"first"}`)
	if out["created"] != true || out["version"] != 1.0 || out["change"] == "" {
		t.Errorf("created %v", out)
	}
	out = s.want(t, "GET", "/secret/value?name=team/db", "")
	if out["value"] != `{"user":"ann","pass":"one"}` || out["version"] != 1.0 {
		t.Errorf("read %v", out)
	}
	out = s.want(t, "PUT", "/secret/value?name=team/db", `{"binary":"`+base64.StdEncoding.EncodeToString([]byte{0, 255})+`"}`)
	if out["version"] != 2.0 {
		t.Errorf("put %v", out)
	}
	out = s.want(t, "GET", "/secret/value?name=team/db&version=2", "")
	if out["binary"] != "AP8=" || out["value"] != nil {
		t.Errorf("read %v", out)
	}
	out = s.want(t, "GET", "/secret/versions?name=team/db&all=true&limit=1", "")
	if items := out["items"].([]any); len(items) != 1 || out["next"] == nil {
		t.Errorf("versions %v", out)
	}
	first := s.want(t, "GET", "/secret/value?name=team/db&version=1", "")["version_id"].(string)
	s.want(t, "POST", "/secret/label?name=team/db", `{"label":"AWSCURRENT","to":"`+first+`"}`)
	if out := s.want(t, "GET", "/secret/value?name=team/db", ""); out["version"] != 1.0 {
		t.Errorf("after the label was moved: %v", out)
	}
	s.want(t, "PUT", "/secret/tags?name=team/db", `{"tags":{"env":"prod"}}`)
	s.want(t, "DELETE", "/secret/tags?name=team/db&key=team", "")
	s.want(t, "PATCH", "/secret?name=team/db", `{"description":"the database"}`)
	out = s.want(t, "GET", "/secret?name=team/db", "")
	if diff := cmp.Diff(map[string]any{"env": "prod"}, out["tags"]); diff != "" || out["description"] != "the database" {
		t.Errorf("described %v", out)
	}
	out = s.want(t, "GET", "/secrets?prefix=team/&filter=tag-key:env", "")
	if items := out["items"].([]any); len(items) != 1 {
		t.Errorf("listed %v", out)
	}
	const pol = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"secretsmanager:DeleteSecret","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"false"}}}]}`
	s.want(t, "PUT", "/secret/policy?name=team/db", `{"document":`+pol+`}`)
	if out := s.want(t, "GET", "/secret/policy?name=team/db", ""); out["document"] != pol {
		t.Errorf("policy %v", out)
	}
	s.want(t, "DELETE", "/secret/policy?name=team/db", "")
	out = s.want(t, "GET", "/secret/changes?name=team/db", "")
	items := out["items"].([]any)
	newest, oldest := items[0].(map[string]any), items[len(items)-1].(map[string]any)
	if len(items) != 8 || newest["operation"] != "DeleteResourcePolicy" || oldest["operation"] != "CreateSecret" || oldest["reason"] != "first" {
		t.Errorf("changes %v", out)
	}
	out = s.want(t, "GET", "/secret/changes?name=team/db&limit=3", "")
	more := s.want(t, "GET", "/secret/changes?name=team/db&limit=100&page="+out["next"].(string), "")
	if len(out["items"].([]any)) != 3 || len(more["items"].([]any)) != 5 || more["next"] != nil {
		t.Errorf("pages of changes: %v, %v", out, more)
	}
	if out := s.want(t, "DELETE", "/secret?name=team/db&window=7", ""); out["purge"] == nil {
		t.Errorf("deleted %v", out)
	}
	if w := s.do(t, s.admin, "GET", "/secret/value?name=team/db", ""); w.Code != 409 || failed(t, w).Code != "marked-for-deletion" {
		t.Errorf("reading a deleted one: %d %s", w.Code, w.Body)
	}
	s.want(t, "POST", "/secret/restore?name=team/db", "")
	s.want(t, "GET", "/secret/value?name=team/db", "")
}

func TestPutCreates(t *testing.T) {
	s := newServer(t, coretest.Config{})
	if w := s.do(t, s.admin, "PUT", "/secret/value?name=new", `{"value":"a"}`); w.Code != 404 {
		t.Errorf("put into nothing: %d %s", w.Code, w.Body)
	}
	if out := s.want(t, "PUT", "/secret/value?name=new", `{"value":"a","create":true}`); out["created"] != true {
		t.Errorf("created %v", out)
	}
	if out := s.want(t, "PUT", "/secret/value?name=new", `{"value":"b","create":true,"base":1}`); out["created"] != nil || out["version"] != 2.0 {
		t.Errorf("put %v", out)
	}
	if w := s.do(t, s.admin, "PUT", "/secret/value?name=new", `{"value":"c","base":1}`); w.Code != 409 || failed(t, w).Kind != "conflict" {
		t.Errorf("a stale base: %d %s", w.Code, w.Body)
	}
}

func TestIdentities(t *testing.T) {
	s := newServer(t, coretest.Config{})
	s.want(t, "POST", "/users", `{"name":"ann","tags":{"team":"red"}}`)
	s.want(t, "POST", "/users", `{"name":"robot","machine":true}`)
	out := s.want(t, "GET", "/users?limit=2", "")
	if len(out["items"].([]any)) != 2 || out["next"] == nil {
		t.Errorf("users %v", out)
	}
	if rest := s.want(t, "GET", "/users?limit=2&page="+out["next"].(string), ""); len(rest["items"].([]any)) != 1 || rest["next"] != nil {
		t.Errorf("the rest of the users %v", rest)
	}
	s.want(t, "POST", "/groups", `{"name":"readers"}`)
	s.want(t, "PUT", "/groups/readers/members/ann", "")
	const doc = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"secretsmanager:GetSecretValue","Resource":"*"}]}`
	if out := s.want(t, "PUT", "/policies/read", `{"document":`+doc+`,"description":"read"}`); out["document"] != doc {
		t.Errorf("policy %v", out)
	}
	s.want(t, "PUT", "/policies/read/attachments", `{"group":"readers"}`)
	test := `{"user":"ann","action":"secretsmanager:GetSecretValue","resource":"*"}`
	if out := s.want(t, "POST", "/policy-test", test); out["allowed"] != true {
		t.Errorf("test %v", out)
	}
	s.want(t, "DELETE", "/policies/read/attachments?group=readers", "")
	if out := s.want(t, "POST", "/policy-test", test); out["allowed"] != false || out["missing"] == nil {
		t.Errorf("test %v", out)
	}
	key := s.want(t, "POST", "/keys", `{"owner":"ann","expires":"2199-01-01T00:00:00Z","description":"laptop","policies":["read"]}`)
	tok := key["token"].(string)
	who := object(t, s.do(t, tok, "GET", "/whoami", ""))
	if who["name"] != "ann" || who["proof"] != "bearer-token" || who["home"] != true {
		t.Errorf("whoami %v", who)
	}
	if out := s.want(t, "GET", "/keys?owner=ann", ""); len(out["items"].([]any)) != 1 {
		t.Errorf("keys %v", out)
	}
	s.want(t, "DELETE", "/keys/"+key["id"].(string)+"?owner=ann", "")
	if w := s.do(t, tok, "GET", "/whoami", ""); w.Code != 401 || w.Header().Get("WWW-Authenticate") == "" {
		t.Errorf("a revoked key: %d %s", w.Code, w.Body)
	}
	s.want(t, "PATCH", "/users/ann", `{"disabled":true,"untag":["team"]}`)
	if out := s.want(t, "GET", "/users/ann", ""); out["disabled"] != true || out["tags"] != nil {
		t.Errorf("user %v", out)
	}
	s.want(t, "DELETE", "/groups/readers/members/ann", "")
	s.want(t, "DELETE", "/groups/readers", "")
	s.want(t, "DELETE", "/users/ann", "")
	s.want(t, "DELETE", "/policies/read", "")
	if out := s.want(t, "GET", "/policies?limit=1", ""); len(out["items"].([]any)) != len(policy.Builtins()) {
		t.Errorf("the built-in policies: %v", out)
	}
	if out := s.want(t, "POST", "/random-password", `{"length":12,"no_punctuation":true}`); len(out["password"].(string)) != 12 {
		t.Errorf("password of %d characters", len(out["password"].(string)))
	}
	if out := s.want(t, "POST", "/accounts", `{"id":"222222222222","name":"two"}`); !strings.HasPrefix(out["token"].(string), "cst_") {
		t.Error("no token of the new account")
	}
	if out := s.want(t, "GET", "/accounts", ""); len(out["items"].([]any)) != 2 {
		t.Errorf("accounts %v", out)
	}
}

func TestRefusedIsRecorded(t *testing.T) {
	s := newServer(t, coretest.Config{})
	_, key := s.User(t, "bob", "")
	for _, tt := range []struct {
		name, token, method, path, body string
		status                          int
		want                            audit.Record
	}{
		{"no-credentials", "", "GET", "/secret/value?name=a", "", 401,
			audit.Record{Operation: "ReadValue", Outcome: audit.Denied, Error: "unauthenticated/no-credentials"}},
		{"bad-token", "cst_AAAAAAAAAAAAAAAAAAAA_" + strings.Repeat("a", 40), "GET", "/whoami", "", 401,
			audit.Record{Operation: "WhoAmI", Outcome: audit.Denied, Error: "unauthenticated/bad-secret", Principal: audit.Principal{KeyID: "AAAAAAAAAAAAAAAAAAAA"}}},
		{"denied", token(key), "GET", "/secret/value?name=a", "", 403,
			audit.Record{Operation: "ReadValue", Outcome: audit.Denied, Error: "denied/no-match", Account: coretest.Home, Resource: "a",
				Principal: audit.Principal{Kind: "user", Name: "bob", KeyID: key.ID, Proof: "bearer-token"}, Region: coretest.Region}},
		{"malformed", token(key), "POST", "/secret", "{", 400,
			audit.Record{Operation: "CreateSecret", Outcome: audit.Refused, Error: "invalid/body", Account: coretest.Home,
				Principal: audit.Principal{Kind: "user", Name: "bob", KeyID: key.ID, Proof: "bearer-token"}, Region: coretest.Region}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := len(s.Records(t))
			w := s.do(t, tt.token, tt.method, tt.path, tt.body)
			if w.Code != tt.status {
				t.Errorf("status %d %s", w.Code, w.Body)
			}
			after := s.Records(t)[before:]
			if len(after) != 1 {
				t.Fatalf("%d records", len(after))
			}
			got := after[0]
			if got.RequestID != failed(t, w).RequestID || got.Front != Front {
				t.Errorf("record %+v", got)
			}
			got = audit.Record{Operation: got.Operation, Outcome: got.Outcome, Error: got.Error, Account: got.Account,
				Resource: got.Resource, Principal: got.Principal, Region: got.Region}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestExplainAndQuery(t *testing.T) {
	s := newServer(t, coretest.Config{})
	_, key := s.User(t, "bob", "")
	f := failed(t, s.do(t, token(key), "GET", "/secret/value?name=team/db", ""))
	out := s.want(t, "GET", "/decisions/"+f.Decision, "")
	text, _ := out["text"].(string)
	if out["operation"] != "ReadValue" || !strings.Contains(text, "user bob") || !strings.Contains(text, "secretsmanager:GetSecretValue") {
		t.Errorf("explained %v", out)
	}
	out = s.want(t, "GET", "/audit?principal=bob&outcome=denied&limit=10", "")
	if items := out["items"].([]any); len(items) != 1 || items[0].(map[string]any)["id"] != f.Decision {
		t.Errorf("queried %v", out)
	}
	before := len(s.Records(t))
	out = s.want(t, "GET", "/audit?limit=2", "")
	next, seen := out["next"].(string), len(out["items"].([]any))
	for range 100 {
		if next == "" {
			break
		}
		out = s.want(t, "GET", "/audit?limit=2&page="+next, "")
		next, _ = out["next"].(string)
		seen += len(out["items"].([]any))
	}
	if seen != before || next != "" {
		t.Errorf("%d records over all pages, there were %d; next %q", seen, before, next)
	}
	if out := s.want(t, "GET", "/audit/verify", ""); out["problem"] != nil || out["records"] == 0.0 {
		t.Errorf("verified %v", out)
	}
	if w := s.do(t, s.admin, "GET", "/decisions/01ARZ3NDEKTSV4RRFFQ69G5FAV", ""); w.Code != 404 {
		t.Errorf("no such decision: %d %s", w.Code, w.Body)
	}
}

func TestHeaders(t *testing.T) {
	s := newServer(t, coretest.Config{})
	for _, path := range []string{"/whoami", "/nothing", "/secret/value", "/openapi.yaml"} {
		w := s.do(t, "", "GET", path, "")
		for h, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
			"Access-Control-Allow-Origin": "", "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"} {
			if got := w.Header().Get(h); got != want {
				t.Errorf("%s: %s is %q", path, h, got)
			}
		}
		if w.Header().Get("X-Request-Id") == "" {
			t.Errorf("%s: no request id", path)
		}
	}
	w := s.do(t, s.admin, "OPTIONS", "/secret", "")
	if w.Code != 405 || w.Header().Get("Allow") != "GET, POST, PATCH, DELETE" {
		t.Errorf("OPTIONS: %d, Allow %q", w.Code, w.Header().Get("Allow"))
	}
}

func TestPaths(t *testing.T) {
	s := newServer(t, coretest.Config{})
	for _, path := range []string{"/", "", "/secret/", "//secret", "/users/..", "/users/.", "/users/%2e%2e", "/users/",
		"/users/a/b", "/secret/../secret", "/groups/a/members/", "/%73ecret%2f", "/users/%zz"} {
		r, err := http.NewRequest("GET", "http://host"+Base+path, nil)
		if err != nil {
			continue // a client cannot send it
		}
		r.Header.Set("Authorization", "Bearer "+s.admin)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != 404 {
			t.Errorf("%q: %d %s", path, w.Code, w.Body)
		}
	}
	// A name that holds an escaped slash is one name, and no name of a user.
	if w := s.do(t, s.admin, "GET", "/users/a%2Fb", ""); w.Code != 404 || failed(t, w).Code == "path" {
		t.Errorf("an escaped slash: %d %s", w.Code, w.Body)
	}
}

func TestErrorsOfAllKinds(t *testing.T) {
	want := map[errs.Kind]int{errs.Internal: 500, errs.Invalid: 400, errs.Unauthenticated: 401, errs.Denied: 403, errs.NotFound: 404,
		errs.Exists: 409, errs.Conflict: 409, errs.Precondition: 409, errs.Limit: 413, errs.Throttled: 429, errs.Unavailable: 503, errs.Canceled: 503}
	for _, k := range errs.Kinds() {
		t.Run(k.String(), func(t *testing.T) {
			if got, ok := want[k]; !ok || status(k) != got {
				t.Errorf("status %d, want %d", status(k), got)
			}
			b := string(appendError(nil, &errs.Error{Kind: k, Code: "code", Field: "F", Msg: "said", Err: errs.New(errs.Internal, "kept")}, "id"))
			if strings.Contains(b, "kept") || strings.Contains(b, "said") == (k == errs.Internal) || !strings.Contains(b, `"kind":"`+k.String()+`"`) {
				t.Errorf("body %s", b)
			}
		})
	}
	if len(want) != len(errs.Kinds()) {
		t.Errorf("%d kinds are mapped, there are %d", len(want), len(errs.Kinds()))
	}
}

// Versions that are gone say so, and their history which they were.
func TestVersionsThatAreGone(t *testing.T) {
	s := newServer(t, coretest.Config{})
	s.want(t, "POST", "/secret", `{"name":"team/db","value":"one"}`)
	s.want(t, "PUT", "/secret/value?name=team/db", `{"value":"two"}`)
	s.want(t, "POST", "/secret/versions/delete?name=team/db", `{"versions":[2]}`)
	if e := failed(t, s.do(t, s.admin, "GET", "/secret/value?name=team/db", "")); e.Kind != "not-found" || e.Message != "version 2 is deleted" {
		t.Errorf("a deleted version: %+v", e)
	}
	out := s.want(t, "GET", "/secret/versions?name=team/db", "")
	if v := out["items"].([]any)[0].(map[string]any); v["state"] != "deleted" || v["deleted"] == nil {
		t.Errorf("a deleted version is listed as %v", v)
	}
	s.want(t, "POST", "/secret/versions/undelete?name=team/db", `{"versions":[2,7]}`)
	s.want(t, "GET", "/secret/value?name=team/db", "")
	out = s.want(t, "POST", "/secret/versions/destroy?name=team/db", `{"versions":[1],"reason":"leaked"}`)
	if e := failed(t, s.do(t, s.admin, "GET", "/secret/value?name=team/db&version=1", "")); e.Message != "version 1 is destroyed" {
		t.Errorf("a destroyed version: %+v", e)
	}
	last := s.want(t, "GET", "/secret/changes?name=team/db", "")["items"].([]any)[0].(map[string]any)
	if diff := cmp.Diff([]any{1.0}, last["versions"]); diff != "" || last["id"] != out["change"] || last["operation"] != "DestroyVersion" {
		t.Errorf("the change is %v", last)
	}
	if out := s.want(t, "POST", "/secret/versions/destroy?name=team/db", `{"versions":[1]}`); out["change"] != nil {
		t.Errorf("destroyed once more: %v", out)
	}
	if e := failed(t, s.do(t, s.admin, "POST", "/secret/versions/delete?name=team/none", `{"versions":[2]}`)); e.Kind != "not-found" {
		t.Errorf("of no secret: %+v", e)
	}
	if e := failed(t, s.do(t, s.admin, "POST", "/secret/versions/delete?name=team/db", `{"versions":[]}`)); e.Kind != "invalid" || e.Field != "versions" {
		t.Errorf("without versions: %+v", e)
	}
}
