package native

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"countersign/internal/core/audit"
	"countersign/internal/core/coretest"
)

// doc is a node of the document.
type doc map[string]any

func loadDocument(t testing.TB) doc {
	t.Helper()
	var d doc
	if err := yaml.Unmarshal(openAPI, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// at follows members, and references where they stand.
func (d doc) at(t testing.TB, path ...string) doc {
	t.Helper()
	now := d
	for _, p := range path {
		next, ok := now[p].(doc)
		if !ok {
			t.Fatalf("the document has no %q in %q", p, path)
		}
		now = d.follow(t, next)
	}
	return now
}

func (d doc) follow(t testing.TB, n doc) doc {
	t.Helper()
	ref, ok := n["$ref"].(string)
	if !ok {
		return n
	}
	return d.at(t, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
}

func TestDocumentIsTheTable(t *testing.T) {
	d := loadDocument(t)
	ids := map[string]bool{}
	documented := map[string]bool{}
	for path, methods := range d.at(t, "paths") {
		for m, op := range methods.(doc) {
			documented[strings.ToUpper(m)+" "+path] = true
			id, _ := op.(doc)["operationId"].(string)
			if id == "" || ids[id] {
				t.Errorf("%s %s: operationId %q is empty or not the only one", m, path, id)
			}
			ids[id] = true
		}
	}
	for _, r := range rows() {
		key := r.method + " " + r.path
		if !documented[key] {
			t.Errorf("%s is not documented", key)
			continue
		}
		delete(documented, key)
		op := d.at(t, "paths", r.path, strings.ToLower(r.method))
		t.Run(key, func(t *testing.T) { d.checkRow(t, r, op) })
	}
	for key := range documented {
		t.Errorf("%s is documented and not in the table", key)
	}
}

// checkRow holds one operation against its row.
func (d doc) checkRow(t *testing.T, r route, op doc) {
	want := map[string]string{}
	for _, p := range strings.Split(r.path, "/") {
		if strings.HasPrefix(p, "{") {
			want["path "+strings.Trim(p, "{}")] = "string required"
		}
	}
	for _, p := range r.params {
		want["query "+p.name] = spell(string(p.kind), p.required, p.repeats)
	}
	for header, takes := range map[string]bool{headerOnce: r.once, headerMatch: r.based, headerNoMatch: r.tagged} {
		if takes {
			want["header "+header] = "string"
		}
	}
	got := map[string]string{}
	params, _ := op["parameters"].([]any)
	for _, p := range params {
		p := d.follow(t, p.(doc))
		schema := p["schema"].(doc)
		kind, repeats := fmt.Sprint(schema["type"]), false
		if kind == "array" {
			schema, repeats = schema["items"].(doc), true
			kind = fmt.Sprint(schema["type"])
		}
		if schema["format"] == "date-time" {
			kind = "date-time"
		}
		got[fmt.Sprint(p["in"], " ", p["name"])] = spell(kind, p["required"] == true, repeats)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("parameters: %s", diff)
	}
	body, has := op["requestBody"].(doc)
	switch takes := r.limit > 0; {
	case takes != has:
		t.Errorf("a body: taken %v, documented %v", takes, has)
	case takes:
		if body["required"] != !r.mayLack {
			t.Errorf("the body is required: %v", body["required"])
		}
		d.checkType(t, "body", r.in, d.at(t, "paths", r.path, strings.ToLower(r.method), "requestBody", "content", "application/json", "schema"))
	}
	content := d.at(t, "paths", r.path, strings.ToLower(r.method), "responses", "200", "content", r.media)
	if r.media == "application/json" {
		d.checkType(t, "answer", r.out, d.follow(t, content["schema"].(doc)))
	}
	if r.workflow {
		d.at(t, "paths", r.path, strings.ToLower(r.method), "responses", "429", "headers", "RateLimit-Remaining")
	}
	if r.open {
		if open, ok := op["security"].([]any); !ok || len(open) != 0 {
			t.Error("a row that asks for no caller is not documented as open")
		}
	}
	if r.document == nil {
		d.at(t, "paths", r.path, strings.ToLower(r.method), "responses", "default", "content", "application/json")
	} else if open, ok := op["security"].([]any); !ok || len(open) != 0 {
		t.Error("the document is not documented as open")
	}
}

func spell(kind string, required, repeats bool) string {
	if repeats {
		kind += " repeats"
	}
	if required {
		kind += " required"
	}
	return kind
}

// checkType holds a schema against the Go type: the same members, of the same
// types, and for answers the same ones always there.
func (d doc) checkType(t *testing.T, at string, ty reflect.Type, schema doc) {
	t.Helper()
	schema = d.follow(t, schema)
	want := ""
	switch ty {
	case reflect.TypeFor[time.Time](), reflect.TypeFor[hidden](), reflect.TypeFor[encoded](), reflect.TypeFor[told](), reflect.TypeFor[[]byte](), reflect.TypeFor[audit.Hash]():
		want = "string"
	case reflect.TypeFor[document]():
		want = "[object string]"
	case reflect.TypeFor[audit.Record](), reflect.TypeFor[explanation]():
		return // they encode themselves; see TestAnswersFitTheDocument
	}
	if want == "" {
		switch ty.Kind() {
		case reflect.Pointer:
			d.checkType(t, at, ty.Elem(), schema)
			return
		case reflect.Struct:
			d.checkMembers(t, at, ty, schema)
			return
		case reflect.Slice:
			want = "array"
			d.checkType(t, at+"[]", ty.Elem(), schema["items"].(doc))
		case reflect.Map:
			want = "object"
			d.checkType(t, at+"{}", ty.Elem(), schema["additionalProperties"].(doc))
		case reflect.Bool:
			want = "boolean"
		case reflect.String:
			want = "string"
		default:
			want = "integer"
		}
	}
	if got := fmt.Sprint(schema["type"]); got != want {
		t.Errorf("%s: documented as %s, is %s", at, got, want)
	}
}

func (d doc) checkMembers(t *testing.T, at string, ty reflect.Type, schema doc) {
	t.Helper()
	if schema["type"] != "object" || schema["additionalProperties"] != false {
		t.Errorf("%s: not documented as an object without further members", at)
	}
	props, _ := schema["properties"].(doc)
	var members, always []string
	for _, f := range reflect.VisibleFields(ty) {
		tag, ok := f.Tag.Lookup("json")
		if !ok {
			continue
		}
		member, opts, _ := strings.Cut(tag, ",")
		members = append(members, member)
		if !strings.Contains(opts, "omit") {
			always = append(always, member)
		}
		if p, ok := props[member].(doc); ok {
			d.checkType(t, at+"."+member, f.Type, p)
		}
	}
	slices.Sort(members)
	if diff := cmp.Diff(members, slices.Sorted(maps.Keys(props))); len(members)+len(props) > 0 && diff != "" {
		t.Errorf("%s: members: %s", at, diff)
	}
	if !strings.HasPrefix(at, "answer") {
		return
	}
	var required []string
	list, _ := schema["required"].([]any)
	for _, m := range list {
		required = append(required, m.(string))
	}
	slices.Sort(required)
	slices.Sort(always)
	if diff := cmp.Diff(always, required); diff != "" {
		t.Errorf("%s: members that are always there: %s", at, diff)
	}
}

// valid holds a JSON value against a schema, and returns what is wrong.
func (d doc) valid(t testing.TB, at string, schema doc, v any) (wrong []string) {
	t.Helper()
	schema = d.follow(t, schema)
	is := ""
	switch v := v.(type) {
	case map[string]any:
		is = "object"
		props, _ := schema["properties"].(doc)
		for k, m := range v {
			switch p, ok := props[k].(doc); {
			case ok:
				wrong = append(wrong, d.valid(t, at+"."+k, p, m)...)
			default:
				more, ok := schema["additionalProperties"].(doc)
				if !ok {
					wrong = append(wrong, at+"."+k+" is not documented")
					continue
				}
				wrong = append(wrong, d.valid(t, at+"."+k, more, m)...)
			}
		}
		required, _ := schema["required"].([]any)
		for _, k := range required {
			if _, ok := v[k.(string)]; !ok {
				wrong = append(wrong, at+"."+k.(string)+" is missing")
			}
		}
	case []any:
		is = "array"
		if items, ok := schema["items"].(doc); ok {
			for i, m := range v {
				wrong = append(wrong, d.valid(t, fmt.Sprintf("%s[%d]", at, i), items, m)...)
			}
		}
	case string:
		is = "string"
		if _, err := time.Parse(time.RFC3339Nano, v); schema["format"] == "date-time" && (err != nil || !strings.HasSuffix(v, "Z")) {
			wrong = append(wrong, at+" is not a time in UTC: "+v)
		}
		if enum, ok := schema["enum"].([]any); ok && !slices.Contains(enum, any(v)) {
			wrong = append(wrong, at+" is not one of those documented: "+v)
		}
	case float64:
		is = "integer"
	case bool:
		is = "boolean"
	}
	if fmt.Sprint(schema["type"]) != is {
		wrong = append(wrong, fmt.Sprintf("%s is %q, documented as %v", at, is, schema["type"]))
	}
	return wrong
}

// golden are calls that go well, in order, one for each row and more where the
// answer has several forms.
func golden() [][3]string {
	const doc = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"secretsmanager:DeleteSecret","Resource":"*","Condition":{"Bool":{"aws:MultiFactorAuthPresent":"true"}}}]}`
	const identity = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"secretsmanager:*","Resource":"*"}]}`
	return [][3]string{
		{"POST", "/secret", `{"name":"a/b","value":"{\"k\":\"v\"}","description":"d","tags":{"t":"u"},"kms_key":"key","replicas":[{"region":"eu-west-1"}],"reason":"r"}`},
		{"POST", "/secret", `{"name":"empty"}`},
		{"PATCH", "/secret?name=a/b", `{"description":"e"}`},
		{"PUT", "/secret/value?name=a/b", `{"binary":"AAE=","base":1,"labels":["x","AWSCURRENT"]}`},
		{"GET", "/secret/value?name=a/b", ""},
		{"GET", "/secret/value?name=a/b&version=1&region=eu-west-1", ""},
		{"POST", "/secret/versions/delete?name=a/b", `{"versions":[2,1],"reason":"r"}`},
		{"GET", "/secret/versions?name=a/b&all=true", ""},
		{"POST", "/secret/versions/undelete?name=a/b", `{"versions":[1]}`},
		{"POST", "/secret/versions/destroy?name=a/b", `{"versions":[2]}`},
		{"POST", "/secret/versions/destroy?name=a/b", `{"versions":[2]}`},
		{"PUT", "/secret/tags?name=a/b", `{"tags":{"v":"w"}}`},
		{"DELETE", "/secret/tags?name=a/b&key=v&key=t", ""},
		{"PUT", "/secret/policy?name=a/b", `{"document":` + doc + `,"block_public":true}`},
		{"GET", "/secret/policy?name=a/b", ""},
		{"DELETE", "/secret/policy?name=a/b", ""},
		{"PUT", "/secret/schema?name=a/b", `{"document":{"$schema":"https://json-schema.org/draft/2020-12/schema","maxLength":10000},"reason":"r"}`},
		{"GET", "/secret/schema?name=a/b", ""},
		{"POST", "/secret/schema/check?name=a/b", `{"value":"` + strings.Repeat("x", 10001) + `"}`},
		{"GET", "/secret?name=a/b", ""},
		{"DELETE", "/secret/schema?name=a/b&reason=r", ""},
		{"DELETE", "/secret/replicas?name=a/b&replica=eu-west-1", ""},
		{"POST", "/secret/replicas?name=a/b", `{"replicas":[{"region":"eu-west-1","kms_key":"k"}],"force":false,"reason":"r"}`},
		{"GET", "/secret?name=a/b", ""},
		{"GET", "/secrets?sort=name&desc=true&limit=1", ""},
		{"GET", "/secret/changes?name=a/b", ""},
		{"GET", "/secret/rotation?name=a/b", ""},
		{"PUT", "/secret/rotation?name=a/b", `{"rotator":"random","options":{"password_length":"40"},"schedule":"0 3 * * 1","window":"2h","jitter":"30m","blackout":["2190-12-24/2191-01-02"],"grace":"1d","readers":"7d","deadline":"3d","reason":"r"}`},
		{"POST", "/secret/rotate/dry-run?name=a/b", `{}`},
		{"POST", "/secret/rotate?name=a/b", `{"revoke_previous":"now","reason":"r"}`},
		{"GET", "/secret/rotation?name=a/b", ""},
		{"POST", "/secret/verify?name=a/b", `{"value":"guess"}`},
		{"POST", "/secret", `{"name":"signing","value":"{\"kid\":\"k\",\"alg\":\"EdDSA\",\"jwks\":{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"k\",\"alg\":\"EdDSA\",\"use\":\"sig\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}}"}`},
		{"PUT", "/secret/rotation?name=signing", `{"rotator":"jwt","days":30}`},
		{"GET", "/secret/jwks?name=signing", ""},
		{"POST", "/secret/verify?name=a/b", `{"binary":"AAE=","key":""}`},
		{"GET", "/rotations?until=2190-01-01T00:00:00Z", ""},
		{"GET", "/rotators", ""},
		{"DELETE", "/secret/rotation?name=a/b&reason=r", ""},
		{"GET", "/secret/rotation?name=a/b", ""},
		{"POST", "/random-password", ""},
		{"DELETE", "/secret?name=empty&window=7", ""},
		{"POST", "/secret/restore?name=empty", ""},
		{"POST", "/users", `{"name":"ann","tags":{"a":"b"}}`},
		{"GET", "/users", ""}, {"GET", "/users/ann", ""}, {"PATCH", "/users/ann", `{"disabled":false}`},
		{"POST", "/groups", `{"name":"g"}`}, {"PUT", "/groups/g/members/ann", ""},
		{"GET", "/groups", ""}, {"GET", "/groups/g", ""},
		{"PUT", "/policies/p", `{"document":` + identity + `}`}, {"GET", "/policies/p", ""}, {"GET", "/policies", ""},
		{"PUT", "/policies/p/attachments", `{"user":"ann"}`}, {"DELETE", "/policies/p/attachments", `{"user":"ann"}`},
		{"POST", "/policy-test", `{"user":"ann","action":"ReadValue"}`},
		{"POST", "/keys", `{"owner":"ann","expires":"2190-01-01T00:00:00Z","policies":["p"],"description":"d"}`},
		{"GET", "/keys", ""}, {"GET", "/keys?owner=ann", ""},
		{"POST", "/users/ann/ssh-keys", `{"key":"` + sshPublic + `","label":"laptop"}`}, {"GET", "/users/ann/ssh-keys", ""},
		{"DELETE", "/users/ann/ssh-keys?fingerprint=" + sshFingerprint, ""},
		{"DELETE", "/groups/g/members/ann", ""}, {"DELETE", "/groups/g", ""}, {"DELETE", "/users/ann", ""}, {"DELETE", "/policies/p", ""},
		{"POST", "/accounts", `{"id":"222222222222","name":"two"}`}, {"GET", "/accounts", ""},
		{"GET", "/audit?limit=1000", ""}, {"GET", "/audit/verify", ""},
		{"GET", "/status", ""}, {"GET", "/keyring", ""}, {"POST", "/keyring/rotate", ""}, {"GET", "/whoami", ""},
	}
}

func TestAnswersFitTheDocument(t *testing.T) {
	d := loadDocument(t)
	s := newServer(t, coretest.Config{})
	_, bob := s.User(t, "bob", "")
	refused := failed(t, s.do(t, token(bob), "GET", "/secret?name=a/b", ""))
	covered := map[string]bool{}
	calls := append(golden(), [3]string{"GET", "/decisions/" + refused.Decision, ""}, [3]string{"DELETE", "/keys/" + bob.ID + "?owner=bob", ""})
	first := ""
	for _, c := range calls {
		path, _, _ := strings.Cut(c[1], "?")
		out := s.want(t, c[0], c[1], c[2])
		if c[1] == "/secret/value?name=a/b&version=1&region=eu-west-1" {
			first = out["version_id"].(string)
		}
		s.fits(t, d, c[0], path, out, covered)
	}
	label := s.want(t, "POST", "/secret/label?name=a/b", `{"label":"AWSCURRENT","to":"`+first+`"}`)
	s.fits(t, d, "POST", "/secret/label", label, covered)
	s.reviewed(t, func(method, path, body string) map[string]any {
		out := s.want(t, method, path, body)
		path, _, _ = strings.Cut(path, "?")
		s.fits(t, d, method, path, out, covered)
		return out
	})
	s.signInCalls(t, d, covered)
	s.notifyCalls(t, d, covered)
	s.deviceCalls(t, d, covered)
	for _, r := range rows() {
		if r.media == "application/json" && !covered[r.method+" "+r.path] {
			t.Errorf("%s %s has no golden call", r.method, r.path)
		}
	}
	schema := d.at(t, "components", "schemas", "Error")
	for _, path := range []string{"/secret?name=none", "/secret?nonsense=1", "/users/none"} {
		w := s.do(t, s.admin, "GET", path, "")
		if wrong := d.valid(t, "error", schema, object(t, w)); len(wrong) > 0 {
			t.Errorf("%s: %s", path, wrong)
		}
	}
}

// reviewed goes through every step of a review.
func (s *server) reviewed(t *testing.T, call func(method, path, body string) map[string]any) {
	call("POST", "/protection", guard)
	call("POST", "/secret", `{"name":"free/a","value":"{}"}`)
	call("POST", "/secret/patch?name=free/a", `{"set":{"k":"v"},"base":1}`)
	propose := func(body string) string {
		return call("POST", "/secret/patch?name=guarded/a", body)["change"].(string)
	}
	approve := func(id string) {
		digest := call("GET", "/changes/"+id, "")["digest"].(string)
		call("POST", "/changes/"+id+"/approve", `{"digest":"`+digest+`","comment":"fine"}`)
		call("GET", "/changes/"+id, "")
	}
	approve(propose(`{"set":{"k":"v","l":"w"},"reason":"first"}`))
	approve(propose(`{"set":{"k":"x"},"unset":["l"]}`))
	call("GET", "/secret/proof?name=guarded/a", "")
	id := propose(`{"set":{"k":"y"},"draft":true,"not_before":"` + time.Now().Add(time.Hour).UTC().Format(time.RFC3339) + `"}`)
	call("GET", "/secret/proposed?change="+id, "")
	call("POST", "/changes/"+id+"/comments", `{"comment":"look"}`)
	call("POST", "/changes/"+id+"/ready", "")
	call("POST", "/changes/"+id+"/withdraw", "")
	_, carl := s.User(t, "carl", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`)
	others := object(t, s.do(t, token(carl), "POST", "/secret/patch?name=guarded/a", `{"set":{"z":"z"}}`))["change"].(string)
	call("POST", "/changes/"+others+"/reject", `{"comment":"no"}`)
	call("POST", "/rollback", `{"name":"guarded/a","version":1}`)
	call("GET", "/changes?name=guarded/a&limit=2", "")
	call("GET", "/protection", "")
	call("POST", "/protection/test", `{"name":"guarded/a"}`)
	call("POST", "/projects", `{"name":"shop","environments":["dev","prod"],"description":"the shop","reason":"new"}`)
	call("PATCH", "/projects/shop", `{"add":["qa"],"remove":["dev"],"description":"d"}`)
	call("GET", "/projects/shop", "")
	call("GET", "/projects?limit=1", "")
	call("DELETE", "/projects/shop?reason=old", "")
}

// fits holds an answer against the schema of its row.
func (s *server) fits(t *testing.T, d doc, method, path string, answer map[string]any, covered map[string]bool) {
	t.Helper()
	for _, r := range rows() {
		parts := pattern(r.path)
		same := r.path == path
		if parts != nil {
			_, same = fits(parts, strings.Split(strings.TrimPrefix(path, "/"), "/"))
			same = same && len(parts) == strings.Count(path, "/")
		}
		if r.method != method || !same {
			continue
		}
		covered[r.method+" "+r.path] = true
		schema := d.at(t, "paths", r.path, strings.ToLower(method), "responses", "200", "content", "application/json", "schema")
		if wrong := d.valid(t, "answer", schema, answer); len(wrong) > 0 {
			b, _ := json.Marshal(answer)
			t.Errorf("%s %s: %s\n%.300s", method, path, strings.Join(wrong, "; "), b)
		}
		return
	}
	t.Errorf("%s %s is no row", method, path)
}
