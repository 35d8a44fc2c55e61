package native

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/core/audit"
	"countersign/internal/core/coretest"
	"countersign/internal/core/policy"
)

// canary is in every value that the tests below propose.
const canary = "c4naryIsNoBird77"

// office is a server with people: a developer, two approvers, and a rule.
type office struct {
	*server
	t                      *testing.T
	alice, bob, carl, read string // tokens; read may read values
}

func newOffice(t *testing.T) *office {
	t.Helper()
	return furnishOffice(t, newServer(t, coretest.Config{}))
}

func furnishOffice(t *testing.T, s *server) *office {
	t.Helper()
	o := &office{server: s, t: t}
	builtin := func(n string) string {
		for _, b := range policy.Builtins() {
			if b.Name == n {
				return b.Document
			}
		}
		t.Fatalf("no policy %s", n)
		return ""
	}
	for n, to := range map[string]*string{"alice": &o.alice, "bob": &o.bob, "carl": &o.carl, "reader": &o.read} {
		doc := builtin(map[string]string{"alice": "Developer", "bob": "Approver", "carl": "Approver", "reader": "SecretsReadOnly"}[n])
		_, key := s.User(t, n, doc)
		*to = token(key)
	}
	s.want(t, "POST", "/secret", `{"name":"app/prod","value":"{\"A\":\"1\"}"}`)
	o.rule(1)
	return o
}

// rule asks for n approvals of what is below app/, once as many approve of that
// as the rule asked for before.
func (o *office) rule(n int, more ...string) {
	o.t.Helper()
	out := o.want(o.t, "POST", "/protection", fmt.Sprintf(`{"set":{"name":"app","match":["app/*"],"approvals":[{"count":%d}]%s}}`, n, strings.Join(more, "")))
	for _, who := range []string{o.bob, o.carl} {
		if out["status"] == "pending" {
			out["status"] = o.approve(who, out["change"].(string))["status"]
		}
	}
	if out["status"] != "applied" {
		o.t.Fatalf("rule: %v", out)
	}
}

// as makes a request that must succeed, and whose answer must not hold a canary.
func (o *office) as(token, method, path, body string) map[string]any {
	o.t.Helper()
	w := o.blind(token, method, path, body)
	if w.Code != 200 {
		o.t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
	}
	return object(o.t, w)
}

// blind makes a request whose answer must not hold a canary, however encoded.
func (o *office) blind(token, method, path, body string) *httptest.ResponseRecorder {
	o.t.Helper()
	w := o.do(o.t, token, method, path, body)
	answer := strings.ToLower(fmt.Sprint(w.Header(), w.Body))
	for _, c := range []string{canary, hex.EncodeToString([]byte(canary)), base64.StdEncoding.EncodeToString([]byte(canary))[:20], canary[:8], canary[8:]} {
		if strings.Contains(answer, strings.ToLower(c)) {
			o.t.Errorf("%s %s: the answer holds a part of the value: %s", method, path, w.Body)
		}
	}
	return w
}

// fails makes a request that must be refused.
func (o *office) fails(token, method, path, body string, status int, code string) failure {
	o.t.Helper()
	w := o.blind(token, method, path, body)
	f := failed(o.t, w)
	if w.Code != status || f.Code != code {
		o.t.Errorf("%s %s: %d %s, want %d %s", method, path, w.Code, w.Body, status, code)
	}
	return f
}

// propose sets a key as alice.
func (o *office) propose(key, value string) string {
	o.t.Helper()
	out := o.as(o.alice, "POST", "/secret/patch?name=app/prod", fmt.Sprintf(`{"set":{%q:%q},"reason":"why %s"}`, key, value, key))
	if out["status"] != "pending" || out["version"] != nil || out["name"] != "app/prod" {
		o.t.Fatalf("proposed %v", out)
	}
	return out["change"].(string)
}

func (o *office) digest(id string) string {
	o.t.Helper()
	return o.as(o.bob, "GET", "/changes/"+id, "")["digest"].(string)
}

func (o *office) approve(token, id string) map[string]any {
	o.t.Helper()
	return o.as(token, "POST", "/changes/"+id+"/approve", `{"digest":"`+o.digest(id)+`"}`)
}

func (o *office) value() string {
	o.t.Helper()
	return object(o.t, o.do(o.t, o.read, "GET", "/secret/value?name=app/prod", ""))["value"].(string)
}

func (o *office) status(id string) string {
	o.t.Helper()
	return o.as(o.bob, "GET", "/changes/"+id, "")["status"].(string)
}

func TestReviewIsBlind(t *testing.T) {
	o := newOffice(t)
	o.rule(2)
	id := o.propose("B", canary)
	r := o.as(o.bob, "GET", "/changes/"+id, "")
	diff := r["diff"].([]any)
	want := []any{map[string]any{"key": "A", "change": "same", "old": map[string]any{"length": "1-8", "format": "digits"}, "new": map[string]any{"length": "1-8", "format": "digits"}},
		map[string]any{"key": "B", "change": "added", "new": map[string]any{"length": "9-16", "format": "base64"}}}
	if d := cmp.Diff(want, diff); d != "" || r["reveals"] != false || r["cannot"] != nil {
		t.Errorf("reviewed %v: %s", r, d)
	}
	if own := o.as(o.alice, "GET", "/changes/"+id, ""); own["cannot"] == nil {
		t.Error("the author could approve")
	}
	zeros := strings.Repeat("0", 64)
	o.fails(o.bob, "POST", "/changes/"+id+"/approve", `{"digest":"`+zeros+`"}`, 409, "digest")
	old := o.digest(id)
	o.as(o.bob, "POST", "/changes/"+id+"/approve", `{"digest":"`+old+`"}`)
	if r := o.as(o.carl, "GET", "/changes/"+id, ""); r["votes"].([]any)[0].(map[string]any)["counts"] != true || r["status"] != "pending" {
		t.Errorf("one of two votes: %v", r)
	}
	o.rule(2, `,"expiry_days":9`) // what was voted on is no longer what would take effect
	if r := o.as(o.carl, "GET", "/changes/"+id, ""); r["digest"] == old || r["votes"].([]any)[0].(map[string]any)["counts"] != false {
		t.Errorf("after the rule was changed: %v", r)
	}
	o.fails(o.carl, "POST", "/changes/"+id+"/approve", `{"digest":"`+old+`"}`, 409, "digest")
	o.fails(o.alice, "POST", "/changes/"+id+"/approve", `{"digest":"`+o.digest(id)+`"}`, 403, "no-match")
	o.fails(o.read, "GET", "/changes/"+id, "", 403, "no-match")
	o.approve(o.carl, id)
	if o.status(id) != "pending" {
		t.Error("two votes over two digests were enough")
	}
	out := o.approve(o.bob, id)
	if out["status"] != "applied" || out["version"] != 2.0 || out["keys"].([]any)[0] != "B" {
		t.Errorf("approved %v", out)
	}
	if got := o.value(); got != `{"A":"1","B":"`+canary+`"}` {
		t.Errorf("the value is %s", got)
	}
	o.fails(o.carl, "POST", "/changes/"+id+"/approve", `{"digest":"`+old+`"}`, 409, "closed")
	for _, path := range []string{"/changes", "/changes/" + id, "/secret/changes?name=app/prod", "/secret?name=app/prod", "/secret/versions?name=app/prod", "/audit?limit=1000", "/audit?change=" + id} {
		o.as(o.admin, "GET", path, "")
	}
}

func TestReadProposed(t *testing.T) {
	o := newOffice(t)
	id := o.propose("B", canary)
	for _, who := range []string{o.alice, o.bob} {
		o.fails(who, "GET", "/secret/proposed?change="+id, "", 403, "no-match")
	}
	o.Records(t) // the proposal's record is relayed after its answer: let it be there before that of the read
	got := object(t, o.do(t, o.read, "GET", "/secret/proposed?change="+id[:12], ""))
	if d := cmp.Diff(map[string]any{"change": id, "name": "app/prod", "base_version": 1.0, "value": `{"A":"1","B":"` + canary + `"}`}, got); d != "" {
		t.Error(d)
	}
	if last := o.Records(t); last[len(last)-1].Operation != "ReadValue" || last[len(last)-1].Change != id {
		t.Errorf("recorded as %+v", last[len(last)-1])
	}
	// Who may read values sees in the review that they may.
	if r := o.as(o.admin, "GET", "/changes/"+id, ""); r["reveals"] != true {
		t.Errorf("reviewed %v", r)
	}
	o.as(o.alice, "POST", "/changes/"+id+"/withdraw", "")
	o.fails(o.read, "GET", "/secret/proposed?change="+id, "", 404, "change")
}

func TestSteps(t *testing.T) {
	o := newOffice(t)
	id := o.propose("B", canary)
	o.as(o.bob, "POST", "/changes/"+id+"/comments", `{"comment":"which B?"}`)
	o.fails(o.alice, "POST", "/changes/"+id+"/reject", `{"comment":"no"}`, 403, "no-match")
	o.fails(o.bob, "POST", "/changes/"+id+"/withdraw", "", 403, "no-match")
	o.fails(o.admin, "POST", "/changes/"+id+"/withdraw", "", 409, "voter")
	o.fails(o.bob, "POST", "/changes/"+id+"/comments", `{}`, 400, "")
	o.fails(o.bob, "POST", "/changes/"+id+"/comments", `{"comment":"`+strings.Repeat("x", 2049)+`"}`, 400, "too-long")
	r := o.as(o.bob, "POST", "/changes/"+id+"/reject", `{"comment":"not this one"}`)
	if r["status"] != "rejected" || !strings.HasSuffix(r["ended_by"].(string), "/bob") {
		t.Errorf("rejected %v", r)
	}
	review := o.as(o.alice, "GET", "/changes/"+id, "")
	if c := review["comments"].([]any); len(c) != 1 || c[0].(map[string]any)["text"] != "which B?" || review["digest"] != nil {
		t.Errorf("rejected %v", review)
	}
	if v := review["votes"].([]any); len(v) != 1 || v[0].(map[string]any)["approve"] != false || v[0].(map[string]any)["comment"] != "not this one" {
		t.Errorf("rejected %v", review)
	}
	for _, step := range []string{"reject", "withdraw"} {
		if f := o.fails(o.admin, "POST", "/changes/"+id+"/"+step, "", 409, "closed"); f.Field != "rejected" {
			t.Errorf("%s: %+v", step, f)
		}
	}
	draft := o.as(o.alice, "POST", "/secret/patch?name=app/prod", `{"set":{"B":"`+canary+`"},"draft":true}`)["change"].(string)
	if o.status(draft) != "draft" {
		t.Error("it is no draft")
	}
	o.fails(o.bob, "POST", "/changes/"+draft+"/approve", `{"digest":"`+o.digest(draft)+`"}`, 409, "closed")
	o.fails(o.admin, "POST", "/changes/"+draft+"/ready", "", 409, "voter")
	if out := o.as(o.alice, "POST", "/changes/"+draft+"/ready", ""); out["status"] != "pending" {
		t.Errorf("ready %v", out)
	}
	o.fails(o.alice, "POST", "/changes/"+draft+"/ready", "", 409, "closed")
	if out := o.as(o.alice, "POST", "/changes/"+draft+"/withdraw", `{"comment":"later"}`); out["status"] != "withdrawn" {
		t.Errorf("withdrawn %v", out)
	}
	if got := o.value(); got != `{"A":"1"}` {
		t.Errorf("the value is %s", got)
	}
}

// TestDraftWhereNoRuleHolds takes effect when it is ready.
func TestDraftWhereNoRuleHolds(t *testing.T) {
	o := newOffice(t)
	id := o.want(t, "POST", "/secret/patch?name=free", `{"set":{"B":"b"},"draft":true}`)["change"].(string)
	o.fails(o.read, "GET", "/secret/value?name=free", "", 404, "secret")
	if out := o.want(t, "POST", "/changes/"+id+"/ready", ""); out["status"] != "applied" || out["version"] != 1.0 {
		t.Errorf("ready %v", out)
	}
	o.want(t, "GET", "/secret/value?name=free", "")
}

func TestConflictAndRollback(t *testing.T) {
	o := newOffice(t)
	first, second, third := o.propose("B", "x"), o.propose("B", "y"), o.propose("C", "z")
	o.approve(o.bob, first)
	r := o.as(o.bob, "GET", "/changes/"+second, "")
	if r["status"] != "conflicted" || !strings.Contains(r["conflict"].(string), `"B"`) || r["conflicts"].([]any)[0] != `"B"` {
		t.Errorf("at odds: %v", r)
	}
	if f := o.fails(o.bob, "POST", "/changes/"+second+"/approve", `{"digest":"`+r["digest"].(string)+`"}`, 409, "conflict"); f.Field != `"B"` {
		t.Errorf("at odds: %+v", f)
	}
	o.approve(o.carl, third)
	if got := o.value(); got != `{"A":"1","B":"x","C":"z"}` {
		t.Fatalf("the value is %s", got)
	}
	undo := o.as(o.alice, "POST", "/rollback", `{"change":"`+first+`","reason":"wrong"}`)
	o.approve(o.bob, undo["change"].(string))
	if got := o.value(); got != `{"A":"1","C":"z"}` {
		t.Errorf("undone: %s", got)
	}
	back := o.as(o.alice, "POST", "/rollback", `{"name":"app/prod","version":2}`)
	if o.status(back["change"].(string)) != "pending" {
		t.Error("a rollback was not held")
	}
	o.fails(o.alice, "POST", "/rollback", `{"name":"app/prod"}`, 400, "")
	o.fails(o.alice, "POST", "/rollback", `{}`, 400, "")
	o.fails(o.alice, "POST", "/rollback", `{"name":"app/prod","version":1,"change":"`+first+`"}`, 400, "")
	o.fails(o.alice, "POST", "/rollback", `{"name":"app/prod","change":"`+second+`"}`, 409, "no-rollback")
	o.fails(o.alice, "POST", "/rollback", `{"name":"other","change":"`+first+`"}`, 404, "secret")
}

// TestScheduled waits for its time though it is approved.
func TestScheduled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		at := time.Now().Add(48 * time.Hour).UTC()
		id := o.as(o.alice, "POST", "/secret/patch?name=app/prod", `{"set":{"B":"2"},"not_before":"`+at.Format(time.RFC3339)+`"}`)["change"].(string)
		if out := o.approve(o.bob, id); out["status"] != "approved" || out["not_before"] == nil {
			t.Errorf("approved %v", out)
		}
		for _, step := range []struct {
			wait time.Duration
			want string
		}{{47 * time.Hour, "approved"}, {2 * time.Hour, "applied"}} {
			time.Sleep(step.wait)
			if err := o.Changes.Due(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := o.status(id); got != step.want {
				t.Errorf("after %s more: %s", step.wait, got)
			}
		}
	})
}

func TestListFilters(t *testing.T) {
	o := newOffice(t)
	before := time.Now().Add(-time.Second).UTC().Format(time.RFC3339)
	ids := []string{o.propose("B", "1"), o.propose("C", "2"), o.propose("D", "3"), o.propose("E", "4")}
	o.as(o.bob, "POST", "/changes/"+ids[0]+"/reject", "")
	o.approve(o.bob, ids[1])
	o.want(t, "POST", "/projects", `{"name":"shop"}`)
	o.want(t, "POST", "/secret?region="+coretest.Second, `{"name":"app/prod","value":"v"}`)
	all := func(query string) (out []string) {
		t.Helper()
		page := ""
		for range 100 {
			got := o.as(o.admin, "GET", "/changes?limit=2"+query+page, "")
			for _, x := range got["items"].([]any) {
				out = append(out, x.(map[string]any)["id"].(string))
			}
			next, more := got["next"].(string)
			if !more {
				return out
			}
			page = "&page=" + next
		}
		t.Fatal("no end of pages")
		return nil
	}
	newest := []string{ids[3], ids[2], ids[1], ids[0]}
	whole := all("")
	if !slices.IsSortedFunc(whole, func(a, b string) int { return strings.Compare(b, a) }) || len(slices.Compact(slices.Clone(whole))) != len(whole) {
		t.Errorf("not newest first, each once: %v", whole)
	}
	created := o.as(o.admin, "GET", "/changes?noun=secret&name=app/prod&status=applied", "")["items"].([]any)
	first := created[len(created)-1].(map[string]any)["id"].(string)
	for query, want := range map[string][]string{
		"&author=alice":                                     newest,
		"&author=lice":                                      nil,
		"&author=alice&status=pending":                      newest[:2],
		"&author=alice&status=pending&status=rejected":      {ids[3], ids[2], ids[0]},
		"&status=rejected":                                  {ids[0]},
		"&name=app/prod&status=applied":                     {ids[1], first},
		"&name=app/prod&author=alice":                       newest,
		"&prefix=app/&author=alice":                         newest,
		"&prefix=ap%2Fp":                                    nil,
		"&noun=project&name=shop":                           whole[1:2],
		"&noun=project":                                     whole[1:2],
		"&noun=rules&author=alice":                          nil,
		"&name=app/prod&region=" + coretest.Second:          whole[:1],
		"&author=alice&since=" + before:                     newest,
		"&author=alice&until=" + before:                     nil,
		"&since=" + url.QueryEscape("2001-01-01T00:00:00Z"): whole,
		"&status=expired":                                   nil,
	} {
		if diff := cmp.Diff(want, all(query)); diff != "" {
			t.Errorf("%s: %s", query, diff)
		}
	}
	// A cursor is a place among all changes, and so goes with any filter.
	next := o.as(o.admin, "GET", "/changes?limit=1&author=alice", "")["next"].(string)
	for query, want := range map[string][]string{"&status=pending": {ids[2]}, "&name=app/prod&author=alice": newest[1:], "&noun=project": nil} {
		var got []string
		for _, x := range o.as(o.admin, "GET", "/changes?page="+next+query, "")["items"].([]any) {
			got = append(got, x.(map[string]any)["id"].(string))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s from a cursor: %s", query, diff)
		}
	}
	for _, q := range []string{"status=open", "limit=0", "limit=1001", "page=x", "page=" + base64.RawURLEncoding.EncodeToString([]byte("short")), "since=yesterday", "until=2026-13-01T00:00:00Z"} {
		o.fails(o.admin, "GET", "/changes?"+q, "", 400, "")
	}
	// Who may read the changes of some things sees those alone.
	_, key := o.User(t, "dora", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"countersign:ListChanges","Resource":"*"},
		{"Effect":"Allow","Action":"countersign:ReadChange","Resource":"arn:aws:countersign::*:project/*"}]}`)
	if got := o.as(token(key), "GET", "/changes", "")["items"].([]any); len(got) != 1 || got[0].(map[string]any)["name"] != "shop" {
		t.Errorf("shown %v", got)
	}
}

func TestShortIDs(t *testing.T) {
	o := newOffice(t)
	a, b := o.propose("B", "1"), o.propose("C", "2")
	r := o.as(o.bob, "GET", "/changes/"+a, "")
	short := r["short"].(string)
	if len(short) < 10 || !strings.HasPrefix(a, short) {
		t.Fatalf("short %q of %q", short, a)
	}
	for _, id := range []string{short, strings.ToLower(short), a[:25]} {
		if got := o.as(o.bob, "GET", "/changes/"+id, "")["id"]; got != a {
			t.Errorf("%s is %v", id, got)
		}
	}
	n := 0
	for a[n] == b[n] {
		n++
	}
	if f := o.fails(o.bob, "GET", "/changes/"+a[:max(n, 4)], "", 400, "ambiguous"); f.Field != "id" {
		t.Errorf("ambiguous: %+v", f)
	}
	o.fails(o.bob, "POST", "/changes/"+a[:4]+"/approve", `{"digest":"`+strings.Repeat("0", 64)+`"}`, 400, "ambiguous")
	for _, id := range []string{"abc", a + "0", "..%2f" + a[:8], "%20" + a[:8], "%00%00%00%00"} {
		o.fails(o.bob, "GET", "/changes/"+id, "", 400, "")
	}
	o.fails(o.bob, "GET", "/changes/ZZZZZZZZZZ", "", 404, "change")
	if out := o.as(o.bob, "POST", "/changes/"+short+"/approve", `{"digest":"`+r["digest"].(string)+`"}`); out["status"] != "applied" {
		t.Errorf("approved by a short id: %v", out)
	}
}

// with makes a request with further headers.
func (o *office) with(token, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	o.t.Helper()
	r := httptest.NewRequest(method, Base+path, strings.NewReader(body))
	if body == "" {
		r = httptest.NewRequest(method, Base+path, nil)
	} else {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set("Authorization", "Bearer "+token)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	o.ServeHTTP(w, r)
	return w
}

func TestIdempotency(t *testing.T) {
	o := newOffice(t)
	once := func(token, method, path, body, key string) map[string]any {
		t.Helper()
		w := o.with(token, method, path, body, "Idempotency-Key", key)
		if w.Code != 200 {
			t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
		}
		return object(t, w)
	}
	for i, c := range [][4]string{ // the last is another request
		{"POST", "/secret/patch?name=app/prod", `{"set":{"B":"1"}}`, `{"set":{"B":"2"}}`},
		{"PUT", "/secret/value?name=app/prod", `{"value":"whole"}`, `{"value":"other"}`},
		{"PUT", "/secret/value?name=app/new", `{"value":"whole","create":true}`, `{"value":"other","create":true}`},
		{"POST", "/secret", `{"name":"app/made","value":"v"}`, `{"name":"app/made","value":"w"}`},
		{"PUT", "/secret/value?name=free", `{"value":"whole","create":true}`, `{"value":"other","create":true}`},
		{"PATCH", "/secret?name=app/prod", `{"description":"d"}`, `{"description":"e"}`},
		{"POST", "/projects", `{"name":"shop"}`, `{"name":"shop","description":"d"}`},
		{"PATCH", "/projects/shop", `{"add":["dev"]}`, `{"add":["qa"]}`},
		{"DELETE", "/projects/shop", "", ""},
		{"POST", "/protection", `{"set":{"name":"x","match":["x"]}}`, `{"set":{"name":"y","match":["x"]}}`},
	} {
		key := fmt.Sprintf("key %d", i)
		first, second := once(o.admin, c[0], c[1], c[2], key), once(o.admin, c[0], c[1], c[2], key)
		if first["change"] == nil || first["change"] != second["change"] || first["status"] != second["status"] {
			t.Errorf("%v: %v, then %v", c, first, second)
		}
		if c[3] == "" {
			continue
		}
		w := o.with(o.admin, c[0], c[1], c[3], "Idempotency-Key", key)
		if w.Code != 409 || failed(t, w).Code != "idempotency-key" {
			t.Errorf("another request with that key: %v: %d %s", c, w.Code, w.Body)
		}
	}
	a, b := once(o.alice, "POST", "/secret/patch?name=app/prod", `{"set":{"Z":"1"}}`, "key 0"), once(o.admin, "POST", "/secret/patch?name=app/prod", `{"set":{"B":"1"}}`, "key 0")
	if a["change"] == b["change"] {
		t.Error("two callers share a key")
	}
	o.as(o.bob, "POST", "/changes/"+a["change"].(string)+"/reject", "")
	if again := once(o.alice, "POST", "/secret/patch?name=app/prod", `{"set":{"Z":"1"}}`, "key 0"); again["change"] != a["change"] || again["status"] != "rejected" {
		t.Errorf("the same request after it was rejected: %v", again)
	}
	for _, key := range []string{"", strings.Repeat("x", 256), "a\tb", "é"} {
		if w := o.with(o.alice, "POST", "/secret/patch?name=app/prod", `{"set":{"Z":"1"}}`, "Idempotency-Key", key); w.Code != 400 || failed(t, w).Code != codeHeader {
			t.Errorf("key %q: %d %s", key, w.Code, w.Body)
		}
	}
	for _, r := range authenticated() {
		path, body := sample(t, r, things{secret: "app/prod", user: "bob", group: "g", policy: "p", key: "k", change: "ZZZZZZZZZZ", project: "shop", target: "hook", decision: "d", version: "v"})
		w := o.with(o.alice, r.method, path, body, "Idempotency-Key", "k")
		if refused := w.Code == 400 && failed(t, w).Code == codeHeader; refused == r.once {
			t.Errorf("%s %s: takes an Idempotency-Key: %v, answers %d %s", r.method, r.path, r.once, w.Code, w.Body)
		}
	}
}

func TestConditions(t *testing.T) {
	o := newOffice(t)
	id := o.propose("B", canary)
	first := o.blind(o.bob, "GET", "/changes/"+id, "")
	tag := first.Header().Get("ETag")
	if tag == "" || first.Code != 200 {
		t.Fatalf("%d, ETag %q", first.Code, tag)
	}
	for _, match := range []string{tag, "W/" + tag, `"x", ` + tag, "*"} {
		w := o.with(o.bob, "GET", "/changes/"+id, "", "If-None-Match", match)
		if w.Code != 304 || w.Body.Len() > 0 || w.Header().Get("ETag") != tag {
			t.Errorf("%s: %d %s", match, w.Code, w.Body)
		}
	}
	if rec := o.Records(t); rec[len(rec)-1].Operation != "ReadChange" || rec[len(rec)-1].Outcome != audit.OK {
		t.Errorf("recorded as %+v", rec[len(rec)-1])
	}
	for _, step := range []struct {
		what string
		do   func()
	}{
		{"a comment", func() { o.as(o.bob, "POST", "/changes/"+id+"/comments", `{"comment":"hm"}`) }},
		{"a rule", func() { o.rule(2) }},
		{"a vote", func() { o.approve(o.carl, id) }},
		{"its end", func() { o.as(o.alice, "POST", "/changes/"+id+"/withdraw", "") }},
	} {
		before := o.with(o.bob, "GET", "/changes/"+id, "").Header().Get("ETag")
		step.do()
		if w := o.with(o.bob, "GET", "/changes/"+id, "", "If-None-Match", before); w.Code != 200 || w.Header().Get("ETag") == before {
			t.Errorf("after %s: %d", step.what, w.Code)
		}
	}
	if other := o.with(o.alice, "GET", "/changes/"+id, "", "If-None-Match", tag); other.Code != 200 {
		t.Errorf("the answer to another: %d", other.Code)
	}
	if w := o.with(o.read, "GET", "/changes/"+id, "", "If-None-Match", "*"); w.Code != 403 {
		t.Errorf("a condition spares no permission: %d", w.Code)
	}

	o.want(t, "POST", "/secret", `{"name":"free","value":"one"}`)
	put := func(body string, match ...string) *httptest.ResponseRecorder {
		t.Helper()
		var h []string
		for _, m := range match {
			h = append(h, "If-Match", m)
		}
		return o.with(o.admin, "PUT", "/secret/value?name=free", body, h...)
	}
	if w := put(`{"value":"two"}`, `"1"`); w.Code != 200 {
		t.Errorf("the current version: %d %s", w.Code, w.Body)
	}
	if w := put(`{"value":"three"}`, `"1"`); w.Code != 409 || failed(t, w).Kind != "conflict" {
		t.Errorf("an old version: %d %s", w.Code, w.Body)
	}
	if w := put(`{"value":"three","base":2}`, `"1"`); w.Code != 400 || failed(t, w).Field != "base" {
		t.Errorf("two bases: %d %s", w.Code, w.Body)
	}
	for _, bad := range [][]string{{"1"}, {"*"}, {`W/"1"`}, {`"1", "2"`}, {`"01"`}, {`""`}, {`"-1"`}, {`"1"`, `"1"`}} {
		if w := put(`{"value":"three"}`, bad...); w.Code != 400 || failed(t, w).Code != codeHeader {
			t.Errorf("%q: %d %s", bad, w.Code, w.Body)
		}
	}
	for header, path := range map[string]string{"If-Match": "/secret/patch?name=free", "If-None-Match": "/secret/patch?name=free"} {
		if w := o.with(o.admin, "POST", path, `{"unset":["x"]}`, header, `"1"`); w.Code != 400 || failed(t, w).Code != codeHeader {
			t.Errorf("%s: %d %s", header, w.Code, w.Body)
		}
	}
}

func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := furnishOffice(t, newLimited(t, coretest.Config{}, Rate{PerSecond: 2, Burst: 4}))
		time.Sleep(10 * time.Second)
		get := func(token, path string) (*httptest.ResponseRecorder, string) {
			w := o.do(t, token, "GET", path, "")
			h := w.Header()
			return w, strings.Join([]string{h.Get("RateLimit-Policy"), h.Get("RateLimit-Limit"), h.Get("RateLimit-Remaining"), h.Get("RateLimit-Reset")}, " ")
		}
		for i, want := range []string{"4;w=2 4 3 1", "4;w=2 4 2 1", "4;w=2 4 1 2", "4;w=2 4 0 2"} {
			if w, got := get(o.bob, "/changes"); w.Code != 200 || got != want {
				t.Errorf("call %d: %d, %s", i, w.Code, got)
			}
		}
		n := len(o.Records(t))
		w, got := get(o.bob, "/protection")
		if f := failed(t, w); w.Code != http.StatusTooManyRequests || f.Kind != "throttled" || w.Header().Get("Retry-After") != "1" || got != "4;w=2 4 0 2" {
			t.Errorf("one too many: %d %s, %s", w.Code, w.Body, got)
		}
		if rec := o.Records(t)[n:]; len(rec) != 1 || rec[0].Error != "throttled/rate" || rec[0].Principal.Name != "bob" || rec[0].Operation != "GetRules" {
			t.Errorf("recorded as %+v", rec)
		}
		if w, _ := get(o.carl, "/changes"); w.Code != 200 {
			t.Errorf("another principal: %d", w.Code)
		}
		if w, got := get(o.bob, "/secret?name=app/prod"); w.Code != 200 || got != "   " {
			t.Errorf("what belongs to no review: %d, %q", w.Code, got)
		}
		if w := o.do(t, "", "GET", "/changes", ""); w.Code != 401 || w.Header().Get("RateLimit-Limit") != "" {
			t.Errorf("nobody: %d %v", w.Code, w.Header())
		}
		time.Sleep(500 * time.Millisecond)
		if w, got := get(o.bob, "/changes"); w.Code != 200 || got != "4;w=2 4 0 2" {
			t.Errorf("half a second later: %d, %s", w.Code, got)
		}
	})
}

// TestMalformed is about what TestBadInput cannot know of the rows.
func TestMalformed(t *testing.T) {
	o := newOffice(t)
	id := o.propose("B", "1")
	before := o.Dump(t)
	year := time.Now().AddDate(2, 0, 0).UTC().Format(time.RFC3339)
	for _, c := range [][4]string{
		{"POST", "/changes/" + id + "/approve", `{}`, "digest"},
		{"POST", "/changes/" + id + "/approve", `{"digest":"zz"}`, "digest"},
		{"POST", "/changes/" + id + "/approve", `{"digest":"00"}`, "digest"},
		{"POST", "/changes/" + id + "/approve", `{"digest":"` + strings.Repeat("0", 66) + `"}`, "digest"},
		{"POST", "/changes/" + id + "/reject", `{"digest":"0000"}`, "digest"},
		{"POST", "/secret/patch?name=app/prod", `{}`, "set"},
		{"POST", "/secret/patch?name=app/prod", `{"set":{"":"x"}}`, "set"},
		{"POST", "/secret/patch?name=app/prod", `{"set":{"a\nb":"x"}}`, "set"},
		{"POST", "/secret/patch?name=app/prod", `{"set":{"` + strings.Repeat("k", 257) + `":"x"}}`, "set"},
		{"POST", "/secret/patch?name=app/prod", `{"set":{"a":"x"},"unset":["a"]}`, "unset"},
		{"POST", "/secret/patch?name=app/prod", `{"set":{"a":"x"},"not_before":"` + year + `"}`, "not_before"},
		{"POST", "/secret/patch?name=app//prod", `{"set":{"a":"x"}}`, "name"},
		{"POST", "/rollback", `{"name":"a//b","version":1}`, "name"},
		{"POST", "/rollback", `{"version":1}`, "name"},
		{"POST", "/protection", `{}`, "set"},
		{"POST", "/protection", `{"set":{"name":"x","match":["y"]},"delete":"z"}`, "set"},
		{"POST", "/protection", `{"set":{"name":"x","match":[]}}`, "match"},
		{"POST", "/protection", `{"set":{"name":"x","match":["nothing:x"]}}`, "match"},
		{"POST", "/protection", `{"set":{"name":"x","match":["y"],"kinds":["z"]}}`, "kinds"},
		{"POST", "/protection", `{"set":{"name":"x","match":["y"],"approvals":[{"count":0}]}}`, "approvals"},
		{"POST", "/protection/test", `{}`, "name"},
		{"POST", "/protection/test", `{"name":"x","author":"nobody-there"}`, ""},
		{"POST", "/projects", `{"name":"a/b"}`, "name"},
		{"POST", "/projects", `{"name":"a","template":"x"}`, "template"},
		{"POST", "/projects", `{"name":"a","environments":["b","b"]}`, "environments"},
		{"PATCH", "/projects/a", `{}`, "add"},
		{"PATCH", "/projects/a%2Fb", `{"add":["x"]}`, "name"},
		{"GET", "/projects/a.b", ``, "name"},
		{"DELETE", "/projects/a.b", ``, "name"},
		{"GET", "/projects?page=%2A", ``, "page"},
	} {
		w := o.do(t, o.admin, c[0], c[1], c[2])
		if c[3] == "" {
			continue
		}
		if f := failed(t, w); w.Code != 400 || f.Field != c[3] {
			t.Errorf("%s %s %s: %d %s", c[0], c[1], c[2], w.Code, w.Body)
		}
	}
	if diff := cmp.Diff(before, o.Dump(t)); diff != "" {
		t.Errorf("the store was changed: %s", diff)
	}
}

// TestForeignChanges asks about another account's change in every way: it is
// answered byte for byte like one that does not exist.
func TestForeignChanges(t *testing.T) {
	o := newOffice(t)
	there, gone := o.propose("B", canary), "01ARZ3NDEKTSV4RRFFQ69G5FAW"
	_, key := o.Stranger(t)
	before := accountOf(o.Dump(t), coretest.Home)
	for _, c := range [][3]string{
		{"GET", "/changes/ID", ""}, {"GET", "/secret/proposed?change=ID", ""}, {"POST", "/rollback", `{"change":"ID"}`},
		{"POST", "/rollback", `{"change":"ID","name":"app/prod"}`}, {"POST", "/changes/ID/approve", `{"digest":"` + o.digest(there) + `"}`},
		{"POST", "/changes/ID/reject", ""}, {"POST", "/changes/ID/withdraw", ""}, {"POST", "/changes/ID/ready", ""},
		{"POST", "/changes/ID/comments", `{"comment":"hello"}`}, {"GET", "/audit?change=ID", ""},
	} {
		for cut := range map[int]bool{26: true, 12: true} {
			var got [2]string
			for i, id := range []string{there[:cut], gone[:cut]} {
				fill := func(s string) string { return strings.ReplaceAll(s, "ID", id) }
				w := o.blind(token(key), c[0], fill(c[1]), fill(c[2]))
				body := ids.ReplaceAllString(strings.ReplaceAll(strings.ReplaceAll(w.Body.String(), id, "CHANGE"), w.Header().Get("X-Request-Id"), "REQUEST"), "CHANGE")
				got[i] = fmt.Sprint(w.Code, body)
			}
			if got[0] != got[1] {
				t.Errorf("%v: existing %s, absent %s", c, got[0], got[1])
			}
		}
	}
	if diff := cmp.Diff(before, accountOf(o.Dump(t), coretest.Home)); diff != "" {
		t.Errorf("the home account was changed: %s", diff)
	}
}

// TestNothingMovesCurrent sends every row to a protected secret, and holds that
// its current and previous versions stay.
func TestNothingMovesCurrent(t *testing.T) {
	o := newOffice(t)
	s := o.server
	o.approve(o.bob, o.propose("A", "2"))
	labels := func() map[string]string {
		out := map[string]string{}
		for id, all := range s.want(t, "GET", "/secret?name=app/prod", "")["labels"].(map[string]any) {
			for _, l := range all.([]any) {
				if !strings.HasPrefix(l.(string), "PENDING-") {
					out[l.(string)] = id
				}
			}
		}
		return out
	}
	want := labels()
	id := o.propose("B", "1")
	th := things{secret: "app/prod", user: "nobody", group: "g", policy: "p", key: "k", decision: "d", version: want["AWSPREVIOUS"], change: id, project: "p"}
	type request struct{ method, path, body string }
	var all []request
	for _, r := range authenticated() {
		path, body := sample(t, r, th)
		all = append(all, request{r.method, path, body})
	}
	const value = "/secret/value?name=app/prod"
	all = append(all, request{"PUT", value, `{"value":"x","base":2}`}, request{"PUT", value, `{"value":"x","create":true}`},
		request{"PUT", value, `{"value":"x","labels":["mine"]}`}, request{"PUT", value, `{"value":"x","labels":["mine","AWSCURRENT"]}`},
		request{"POST", "/secret/label?name=app/prod", `{"label":"AWSCURRENT","to":"` + want["AWSPREVIOUS"] + `"}`},
		request{"POST", "/secret/label?name=app/prod", `{"label":"AWSCURRENT","from":"` + want["AWSCURRENT"] + `","to":"` + want["AWSPREVIOUS"] + `"}`},
		request{"DELETE", "/secret?name=app/prod&force=true", ""}, request{"POST", "/secret/patch?name=app/prod", `{"set":{"A":"3"}}`},
		request{"POST", "/secret/patch?name=app/prod", `{"replace":true}`}, request{"POST", "/rollback", `{"name":"app/prod","time":"` + time.Now().UTC().Format(time.RFC3339Nano) + `"}`})
	for _, r := range all {
		w := s.do(t, s.admin, r.method, r.path, r.body)
		if w.Code >= 500 && r.path != "/backup" { // there is no file to copy
			t.Errorf("%s %s: %d %s", r.method, r.path, w.Code, w.Body)
		}
		if diff := cmp.Diff(want, labels()); diff != "" {
			t.Errorf("%s %s %s: %s", r.method, r.path, r.body, diff)
		}
	}
}
