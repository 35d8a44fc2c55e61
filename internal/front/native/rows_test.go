package native

import (
	"maps"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/core/audit"
	"countersign/internal/core/coretest"
)

// things are names to put into the samples.
type things struct{ secret, user, group, policy, key, decision, version, change, project, target string }

// samples is a well-formed request to each row.
var samples = map[string][2]string{ // what follows the row's path, or the path, and the body
	"GET /secrets":                         {"?prefix=SECRET"},
	"GET /secret":                          {"?name=SECRET"},
	"POST /secret":                         {"", `{"name":"brand-new","value":"v"}`},
	"PATCH /secret":                        {"?name=SECRET", `{"description":"d"}`},
	"DELETE /secret":                       {"?name=SECRET&window=7"},
	"POST /secret/restore":                 {"?name=SECRET"},
	"GET /secret/value":                    {"?name=SECRET"},
	"PUT /secret/value":                    {"?name=SECRET", `{"value":"v"}`},
	"GET /secret/versions":                 {"?name=SECRET"},
	"POST /secret/versions/delete":         {"?name=SECRET", `{"versions":[1]}`},
	"POST /secret/versions/undelete":       {"?name=SECRET", `{"versions":[1]}`},
	"POST /secret/versions/destroy":        {"?name=SECRET", `{"versions":[1]}`},
	"POST /secret/label":                   {"?name=SECRET", `{"label":"x","to":"VERSION"}`},
	"PUT /secret/tags":                     {"?name=SECRET", `{"tags":{"a":"b"}}`},
	"DELETE /secret/tags":                  {"?name=SECRET&key=a"},
	"GET /secret/policy":                   {"?name=SECRET"},
	"PUT /secret/policy":                   {"?name=SECRET", `{"document":{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}]}}`},
	"DELETE /secret/policy":                {"?name=SECRET"},
	"GET /secret/changes":                  {"?name=SECRET"},
	"GET /secret/schema":                   {"?name=SECRET"},
	"PUT /secret/schema":                   {"?name=SECRET", `{"document":{"type":"string"}}`},
	"DELETE /secret/schema":                {"?name=SECRET"},
	"POST /secret/schema/check":            {"?name=SECRET", `{"value":"v"}`},
	"POST /secret/replicas":                {"?name=SECRET", `{"replicas":[{"region":"` + coretest.Second + `"}]}`},
	"DELETE /secret/replicas":              {"?name=SECRET&replica=" + coretest.Second},
	"GET /secret/rotation":                 {"?name=SECRET"},
	"PUT /secret/rotation":                 {"?name=SECRET", `{"rotator":"random","days":7}`},
	"DELETE /secret/rotation":              {"?name=SECRET"},
	"POST /secret/rotate":                  {"?name=SECRET", `{"reason":"r"}`},
	"POST /secret/rotate/dry-run":          {"?name=SECRET", `{"rehearse_on":""}`},
	"GET /secret/jwks":                     {"?name=SECRET"},
	"POST /secret/verify":                  {"?name=SECRET", `{"value":"v","key":"k"}`},
	"GET /rotations":                       {},
	"GET /rotators":                        {},
	"POST /random-password":                {"", `{"length":8}`},
	"GET /users":                           {},
	"POST /users":                          {"", `{"name":"brand-new"}`},
	"GET /users/{name}":                    {"/users/USER"},
	"PATCH /users/{name}":                  {"/users/USER", `{"disabled":true}`},
	"DELETE /users/{name}":                 {"/users/USER"},
	"GET /groups":                          {},
	"POST /groups":                         {"", `{"name":"brand-new"}`},
	"GET /groups/{name}":                   {"/groups/GROUP"},
	"DELETE /groups/{name}":                {"/groups/GROUP"},
	"PUT /groups/{name}/members/{user}":    {"/groups/GROUP/members/USER"},
	"DELETE /groups/{name}/members/{user}": {"/groups/GROUP/members/USER"},
	"GET /keys":                            {"?owner=USER"},
	"POST /keys":                           {"", `{"owner":"USER"}`},
	"DELETE /keys/{id}":                    {"/keys/KEY?owner=USER"},
	"GET /accounts":                        {},
	"POST /accounts":                       {"", `{"id":"333333333333"}`},
	"GET /policies":                        {},
	"GET /policies/{name}":                 {"/policies/POLICY"},
	"PUT /policies/{name}":                 {"/policies/brand-new", `{"document":{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}}`},
	"DELETE /policies/{name}":              {"/policies/POLICY"},
	"PUT /policies/{name}/attachments":     {"/policies/POLICY/attachments", `{"user":"USER"}`},
	"DELETE /policies/{name}/attachments":  {"/policies/POLICY/attachments", `{"user":"USER"}`},
	"POST /policy-test":                    {"", `{"user":"USER","action":"ReadValue","resource":"ARN"}`},
	"GET /audit":                           {"?decision=DECISION"},
	"GET /audit/verify":                    {},
	"GET /decisions/{id}":                  {"/decisions/DECISION"},
	"GET /status":                          {},
	"POST /backup":                         {"", `{"recipients":[]}`},
	"GET /keyring":                         {},
	"POST /keyring/rotate":                 {},
	"GET /whoami":                          {},
	"POST /secret/patch":                   {"?name=SECRET", `{"unset":["k"]}`},
	"GET /secret/proposed":                 {"?change=CHANGE"},
	"POST /rollback":                       {"", `{"name":"SECRET","version":1}`},
	"GET /changes":                         {"?name=SECRET"},
	"GET /changes/{id}":                    {"/changes/CHANGE"},
	"POST /changes/{id}/approve":           {"/changes/CHANGE/approve", `{"digest":"` + strings.Repeat("0", 64) + `"}`},
	"POST /changes/{id}/reject":            {"/changes/CHANGE/reject", `{"comment":"no"}`},
	"POST /changes/{id}/withdraw":          {"/changes/CHANGE/withdraw", `{"comment":"no"}`},
	"POST /changes/{id}/comments":          {"/changes/CHANGE/comments", `{"comment":"why?"}`},
	"POST /changes/{id}/ready":             {"/changes/CHANGE/ready"},
	"GET /protection":                      {},
	"GET /users/{name}/ssh-keys":           {"/users/USER/ssh-keys"},
	"POST /users/{name}/ssh-keys":          {"/users/USER/ssh-keys", `{"key":"` + sshPublic + `"}`},
	"DELETE /users/{name}/ssh-keys":        {"/users/USER/ssh-keys?fingerprint=" + sshFingerprint},
	"POST /protection":                     {"", `{"delete":"guard"}`},
	"GET /projects":                        {},
	"POST /projects":                       {"", `{"name":"shop","environments":["dev"]}`},
	"GET /projects/{name}":                 {"/projects/PROJECT"},
	"PATCH /projects/{name}":               {"/projects/PROJECT", `{"add":["qa"]}`},
	"DELETE /projects/{name}":              {"/projects/PROJECT"},
	"POST /protection/test":                {"", `{"name":"guarded/a"}`},
	"GET /break-glass":                     {"?all=true"},
	"POST /break-glass":                    {"", `{"reason":"the house is on fire"}`},
	"GET /break-glass/{id}":                {"/break-glass/CHANGE"},
	"POST /break-glass/{id}/close":         {"/break-glass/CHANGE/close", `{"comment":"fine"}`},
	"GET /secret/proof":                    {"?name=SECRET"},
	"POST /logout":                         {},
	"GET /sessions":                        {"?user=USER"},
	"DELETE /sessions":                     {"?user=USER"},
	"PUT /password":                        {"", `{"old":"x","new":"tall giraffes drink"}`},
	"POST /totp":                           {},
	"POST /totp/confirm":                   {"", `{"code":"123456"}`},
	"DELETE /totp":                         {"?user=USER", `{"code":""}`},
	"POST /users/{name}/invitation":        {"/users/USER/invitation", `{"reset":false}`},
	"GET /sign-in/settings":                {},
	"GET /identity-provider":               {},
	"PUT /identity-provider":               {"", `{"issuer":"https://idp.example","client_id":"c"}`},
	"DELETE /identity-provider":            {},
	"PUT /users/{name}/identity":           {"/users/USER/identity", `{"subject":"s"}`},
	"DELETE /users/{name}/identity":        {"/users/USER/identity"},
	"PUT /sign-in/settings":                {"", `{"mfa_required":true}`},

	"GET /audit/devices":                    {},
	"PUT /audit/devices/{name}":             {"/audit/devices/gramophone", `{"type":"file","options":{"file_path":"a"}}`},
	"DELETE /audit/devices/{name}":          {"/audit/devices/gramophone"},
	"POST /audit/devices/{name}/hash":       {"/audit/devices/gramophone/hash", `{"input":"x"}`},
	"GET /notify/targets":                   {},
	"PUT /notify/targets/{name}":            {"/notify/targets/TARGET", `{"kinds":["change.*"]}`},
	"DELETE /notify/targets/{name}":         {"/notify/targets/TARGET"},
	"POST /notify/targets/{name}/test":      {"/notify/targets/TARGET/test"},
	"GET /notify/dead-letters":              {},
	"POST /notify/dead-letters/{id}/replay": {"/notify/dead-letters/CHANGE/replay"},
}

// sample makes the request to a row.
func sample(t *testing.T, r route, th things) (path, body string) {
	t.Helper()
	s, ok := samples[r.method+" "+r.path]
	if !ok {
		t.Fatalf("%s %s has no sample", r.method, r.path)
	}
	arn := th.secret
	if !strings.HasPrefix(arn, "arn:") {
		arn = "arn:aws:secretsmanager:" + coretest.Region + ":" + coretest.Home + ":secret:" + th.secret
	}
	fill := strings.NewReplacer("SECRET", th.secret, "USER", th.user, "GROUP", th.group, "POLICY", th.policy, "KEY", th.key,
		"DECISION", th.decision, "CHANGE", th.change, "PROJECT", th.project, "TARGET", th.target, "VERSION", th.version, "ARN", arn)
	if path = s[0]; !strings.HasPrefix(path, "/") {
		path = r.path + path
	}
	return fill.Replace(path), fill.Replace(s[1])
}

// authenticated are the rows that ask for a caller.
func authenticated() []route {
	return slices.DeleteFunc(rows(), func(r route) bool { return r.document != nil || r.open })
}

// guard is a rule for what begins with guarded/, which authors may decide on
// themselves.
const guard = `{"set":{"name":"guard","match":["guarded/*"],"approvals":[{"count":1}],"allow_author":true}}`

// furnished is a server with one of each thing.
func furnished(t *testing.T) (*server, things) {
	s := newServer(t, coretest.Config{})
	th := things{secret: "team/db", user: "annabel", group: "readers", policy: "annabel-policy", project: "bakery", target: "klaxon"}
	_, key := s.User(t, "annabel", `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}`)
	th.key = key.ID
	s.want(t, "POST", "/groups", `{"name":"readers"}`)
	s.want(t, "POST", "/secret", `{"name":"team/db","value":"v"}`)
	th.version = s.want(t, "GET", "/secret/value?name=team/db", "")["version_id"].(string)
	s.want(t, "POST", "/protection", guard)
	s.want(t, "POST", "/projects", `{"name":"bakery","environments":["prod"]}`)
	s.want(t, "PUT", "/notify/targets/klaxon", `{"type":"slack","url":"https://hooks.example/x","names":["no/such"]}`)
	th.change = s.want(t, "POST", "/secret", `{"name":"guarded/a","value":"v"}`)["change"].(string)
	th.decision = failed(t, s.do(t, token(key), "GET", "/secret/value?name=team/db", "")).Decision
	return s, th
}

func TestUnauthenticated(t *testing.T) {
	s, th := furnished(t)
	before := s.Dump(t)
	for _, r := range authenticated() {
		path, body := sample(t, r, th)
		n := len(s.Records(t))
		w := s.do(t, "", r.method, path, body)
		if f := failed(t, w); w.Code != 401 || f.Kind != "unauthenticated" || w.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%s %s: %d %s", r.method, r.path, w.Code, w.Body)
		}
		if got := s.Records(t)[n:]; len(got) != 1 || got[0].Operation != r.name || got[0].Account != "" || got[0].Outcome != audit.Denied {
			t.Errorf("%s %s: recorded as %+v", r.method, r.path, got)
		}
	}
	if diff := cmp.Diff(before, s.Dump(t)); diff != "" {
		t.Errorf("the store was changed: %s", diff)
	}
}

func TestDenied(t *testing.T) {
	s, th := furnished(t)
	_, bob := s.User(t, "bob", "")
	before := s.Dump(t)
	for _, r := range authenticated() {
		if r.name == "WhoAmI" {
			continue
		}
		path, body := sample(t, r, th)
		n := len(s.Records(t))
		w := s.do(t, token(bob), r.method, path, body)
		if f := failed(t, w); w.Code != 403 || f.Decision == "" {
			t.Errorf("%s %s: %d %s", r.method, r.path, w.Code, w.Body)
		}
		if got := s.Records(t)[n:]; len(got) != 1 || got[0].Outcome != audit.Denied || got[0].Decision == nil || got[0].Principal.Name != "bob" {
			t.Errorf("%s %s: recorded as %+v", r.method, r.path, got)
		}
	}
	if diff := cmp.Diff(before, s.Dump(t)); diff != "" {
		t.Errorf("the store was changed: %s", diff)
	}
}

func TestBadInput(t *testing.T) {
	s, th := furnished(t)
	before := s.Dump(t)
	s.Records(t) // so that no record of the set-up comes after those of the test
	bad := func(r route, what, path, body string, status int) {
		t.Helper()
		n := s.Log.Stats().Seq
		w := s.do(t, s.admin, r.method, path, body)
		if f := failed(t, w); w.Code != status || (f.Kind != "invalid" && f.Kind != "limit") {
			t.Errorf("%s %s: %s: %d %s", r.method, r.path, what, w.Code, w.Body)
		}
		if got := s.after(t, n); len(got) != 1 || got[0].Outcome != audit.Refused || got[0].Principal.Name != "admin" {
			t.Errorf("%s %s: %s: recorded as %+v", r.method, r.path, what, got)
		}
	}
	for _, r := range authenticated() {
		path, body := sample(t, r, th)
		and := "?"
		if strings.Contains(path, "?") {
			and = "&"
		}
		bad(r, "unknown parameter", path+and+"nonsense=1", body, 400)
		bad(r, "parameter twice", path+and+"region=us-east-1&region=us-east-1", body, 400)
		bad(r, "unknown region", path+and+"region=nowhere-1", body, 400)
		bad(r, "bad escape", path+and+"region=%zz", body, 400)
		bad(r, "not UTF-8", path+and+"region=%ff", body, 400)
		bad(r, "long query", path+and+"region="+strings.Repeat("a", maxQuery), body, 413)
		for _, p := range r.params {
			if p.kind != text {
				bad(r, "wrong type of "+p.name, path+and+p.name+"=%20x", body, 400)
			}
			if p.required {
				bad(r, "no "+p.name, r.path0(path), body, 400)
			}
		}
		if r.limit == 0 {
			bad(r, "a body", path, "{}", 400)
			continue
		}
		bad(r, "unknown member", path, `{"nonsense":1}`, 400)
		bad(r, "not JSON", path, `{"name":`, 400)
		bad(r, "an array", path, `[]`, 400)
		bad(r, "goes on", path, body+"{}", 400)
		bad(r, "not UTF-8", path, "{\"\xff\":1}", 400)
		bad(r, "too large", path, `{"x":"`+strings.Repeat("a", maxBody)+`"}`, 413)
		for member := range shapeOf(r.in).members {
			if member != "document" {
				bad(r, "wrong type of "+member, path, `{"`+member+`":{"a":[1]}}`, 400)
			}
			bad(r, "null as "+member, path, `{"`+member+`":null}`, 400)
			bad(r, "twice "+member, path, strings.Replace(body, "{", `{"`+member+`":null,"`+member+`":null,`, 1), 400)
			bad(r, "other case of "+member, path, `{"`+strings.ToUpper(member)+`":null}`, 400)
		}
	}
	if diff := cmp.Diff(before, s.Dump(t)); diff != "" {
		t.Errorf("the store was changed: %s", diff)
	}
}

// path0 is a path without its query.
func (r *route) path0(path string) string {
	path, _, _ = strings.Cut(path, "?")
	return path
}

func TestContentType(t *testing.T) {
	s, th := furnished(t)
	for _, r := range authenticated() {
		path, body := sample(t, r, th)
		if r.limit == 0 || r.mayLack {
			continue
		}
		for _, ct := range []string{"", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1", "multipart/form-data"} {
			req := httptest.NewRequest(r.method, Base+path, strings.NewReader(body))
			req.Header.Set("Authorization", "Bearer "+s.admin)
			req.Header.Set("Content-Type", ct)
			w := httptest.NewRecorder()
			s.ServeHTTP(w, req)
			if w.Code != 400 || failed(t, w).Code != codeContent {
				t.Errorf("%s %s as %q: %d %s", r.method, r.path, ct, w.Code, w.Body)
			}
		}
	}
	req := httptest.NewRequest("GET", Base+"/whoami", nil)
	req.Header.Set("Authorization", "Bearer "+s.admin)
	req.Header.Set("X-HTTP-Method-Override", "DELETE")
	w := httptest.NewRecorder()
	if s.ServeHTTP(w, req); w.Code != 400 {
		t.Errorf("an overridden method: %d %s", w.Code, w.Body)
	}
}

var ids = regexp.MustCompile(`[0-9A-HJKMNP-TV-Z]{26}|[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}|"(purge|created|changed|time)":"[^"]*"`)

// TestIsolation asks everything as the administrator of another account: what
// exists in the home account is answered byte for byte like what does not.
func TestIsolation(t *testing.T) {
	s, th := furnished(t)
	_, key := s.Stranger(t)
	arn := "arn:aws:secretsmanager:" + coretest.Region + ":" + coretest.Home + ":secret:"
	full := strings.TrimPrefix(s.want(t, "GET", "/secret?name=team/db", "")["arn"].(string), arn)
	absent := things{secret: "team/zz", user: "zedekiah", group: "zeroers", policy: "zedekiah-policy", key: "AKIAAAAAAAAAAAAAAAAA",
		decision: "01ARZ3NDEKTSV4RRFFQ69G5FAV", change: "01ARZ3NDEKTSV4RRFFQ69G5FAW", project: "butcher", target: "kazoo7", version: "00000000-0000-4000-8000-000000000000"}
	there, gone := th, absent
	there.secret, gone.secret = arn+full, arn+"team/zz-ABCDEF"
	home := accountOf(s.Dump(t), coretest.Home)
	unnamed := func(b string, th things) string {
		for _, n := range []string{th.secret, strings.TrimPrefix(th.secret, arn), "team/db", "team/zz", th.policy, th.user, th.project, th.target, th.group, th.key, th.version} {
			b = strings.ReplaceAll(b, n, "NAME")
		}
		return ids.ReplaceAllString(b, "ID")
	}
	for _, r := range authenticated() {
		for _, pair := range [][2]things{{th, absent}, {there, gone}} {
			path1, body1 := sample(t, r, pair[0])
			path2, body2 := sample(t, r, pair[1])
			if body1 == body2 && path1 == path2 {
				continue // it names nothing
			}
			a, b := s.do(t, token(key), r.method, path1, body1), s.do(t, token(key), r.method, path2, body2)
			got, want := unnamed(a.Body.String(), pair[0]), unnamed(b.Body.String(), pair[1])
			if a.Code != b.Code || got != want {
				t.Errorf("%s %s: existing %d %s, absent %d %s", r.method, r.path, a.Code, got, b.Code, want)
			}
			if a.Code == 200 && r.path != "/secrets" && r.path != "/audit" && r.path != "/changes" {
				t.Errorf("%s %s: a stranger was answered: %s", r.method, r.path, a.Body)
			}
		}
	}
	for _, path := range []string{"/secrets", "/users", "/groups", "/policies", "/keys", "/changes", "/changes?prefix=guarded", "/projects", "/protection", "/notify/targets", "/notify/dead-letters", "/audit/devices"} {
		w := s.do(t, token(key), "GET", path, "")
		if b := w.Body.String(); w.Code != 200 || strings.Contains(b, coretest.Home) || strings.Contains(b, "team/db") || strings.Contains(b, "annabel") || strings.Contains(b, "guard") || strings.Contains(b, "bakery") || strings.Contains(b, "klaxon") {
			t.Errorf("%s: a stranger was told of the home account: %d %s", path, w.Code, b)
		}
	}
	for _, path := range []string{"/audit", "/audit?principal=admin", "/audit?outcome=ok"} {
		items := object(t, s.do(t, token(key), "GET", path, ""))["items"].([]any)
		for _, r := range items {
			if r := r.(map[string]any); r["account"] != coretest.Other || r["seq"] != 0.0 {
				t.Errorf("%s: a stranger was shown %v", path, r)
			}
		}
		if len(items) == 0 {
			t.Errorf("%s: no record", path)
		}
	}
	for _, path := range []string{"/status", "/keyring", "/accounts", "/audit/verify"} {
		if w := s.do(t, token(key), "GET", path, ""); w.Code != 403 || failed(t, w).Code != "not-home" {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if diff := cmp.Diff(home, accountOf(s.Dump(t), coretest.Home)); diff != "" {
		t.Errorf("the home account was changed: %s", diff)
	}
}

// accountOf is the part of a store that belongs to an account.
func accountOf(dump map[string][]byte, account string) map[string][]byte {
	dump = maps.Clone(dump)
	maps.DeleteFunc(dump, func(k string, _ []byte) bool { return !strings.HasPrefix(k, account) })
	return dump
}
