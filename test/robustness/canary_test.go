package robustness

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// canaries are values that nothing but the answer to a read may show.
type canaries struct {
	forms map[string]string // bytes to look for -> what they are
	n     int
	core  string
}

func newCanaries() *canaries {
	c := &canaries{forms: map[string]string{}, core: "cnry" + rand.Text()[:16]}
	c.add("the planted value", c.core)
	return c
}

// next is another value to plant, with what encoders like to escape.
func (c *canaries) next() string {
	c.n++
	return fmt.Sprintf("%s<&\"\\\u00e9-%d", c.core, c.n)
}

// add looks for a text in every encoding that something might have used. What
// stands around it in base64 is not known, so all three alignments are looked
// for, without the characters at the ends that depend on it.
func (c *canaries) add(what, text string) {
	c.forms[text] = what
	b := []byte(text)
	c.forms[hex.EncodeToString(b)] = what + ", in hex"
	c.forms[strings.ToUpper(hex.EncodeToString(b))] = what + ", in hex"
	for shift := range 3 {
		enc := base64.StdEncoding.EncodeToString(append(make([]byte, shift), b...))
		enc = enc[(shift*8+5)/6:]
		enc = enc[:len(enc)/4*4-4]
		c.forms[enc] = what + ", in base64"
		c.forms[strings.NewReplacer("+", "-", "/", "_").Replace(enc)] = what + ", in base64"
	}
}

// in returns what of it is in b.
func (c *canaries) in(b []byte) []string {
	found := map[string]bool{}
	for form, what := range c.forms {
		if bytes.Contains(b, []byte(form)) {
			found[what] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

func (c *canaries) absent(t *testing.T, where string, b []byte) {
	t.Helper()
	if found := c.in(b); len(found) > 0 {
		t.Errorf("%s holds %q", where, found)
	}
}

// TestCanariesAreFound is the proof that a search finds what it looks for.
func TestCanariesAreFound(t *testing.T) {
	c := newCanaries()
	v := c.next()
	asJSON, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"plain": []byte("x" + v + "y"), "json": asJSON, "url": []byte(url.QueryEscape(v)), "hex": []byte(hex.EncodeToString([]byte("z" + v))),
		"base64-0": []byte(base64.StdEncoding.EncodeToString([]byte(v))), "base64-1": []byte(base64.URLEncoding.EncodeToString([]byte("a" + v))),
		"base64-2": []byte(base64.RawStdEncoding.EncodeToString([]byte("ab" + v + "c"))),
	} {
		t.Run(name, func(t *testing.T) {
			if len(c.in(b)) == 0 {
				t.Errorf("nothing was found in %q", b)
			}
		})
	}
	if found := c.in([]byte("cnry and other words")); len(found) > 0 {
		t.Errorf("%q was found in nothing", found)
	}
}

// TestCanary calls every operation of both fronts, well and badly, with values
// that must show nowhere, and then searches everything that the run left.
func TestCanary(t *testing.T) {
	s := newStore(t, t.TempDir(), "reviews: {per_second: 1000, burst: 1000}")
	c := newCanaries()
	c.add("the administrator's secret key", s.key.Secret)
	p := s.start(t)
	run := &canaryRun{t: t, c: c, p: p}
	run.awsWell()
	run.nativeWell()
	run.reviewed()
	run.schemas()
	run.awsBadly()
	run.nativeBadly()
	run.denied()

	for _, path := range []string{"/metrics", "/readyz", "/healthz", "/", "/nowhere?" + url.QueryEscape(c.next()), "/api/v1/openapi.yaml"} {
		c.absent(t, path, p.get(t, path).body)
	}
	backup := must(t)(p.native(http.MethodPost, "/backup", map[string]any{}))
	if len(backup.body) < 10_000 {
		t.Errorf("the backup has only %d bytes", len(backup.body))
	}
	c.absent(t, "the backup", backup.body)
	for _, f := range []string{"cmdline", "environ"} {
		c.absent(t, f, read(t, fmt.Sprintf("/proc/%d/%s", p.cmd.Process.Pid, f)))
	}
	c.files(t, s.dir)
	if err := p.cmd.Process.Signal(syscall.SIGQUIT); err != nil { // the runtime prints all stacks
		t.Fatal(err)
	}
	<-p.ended
	if !strings.Contains(p.log.String(), "goroutine ") {
		t.Error("SIGQUIT printed no stacks")
	}
	c.absent(t, "the log with the stacks", []byte(p.log.String()))

	p = s.start(t)
	run.p = p
	for _, name := range []string{"canary/aws", "canary/native"} { // the search looked where the values are
		if got, _, err := p.value(name, true); err != nil || !strings.Contains(got, c.core) {
			t.Errorf("%s holds no canary: %v", name, err)
		}
	}
	p.stop(t)
	c.absent(t, "the log", []byte(p.log.String()))
	c.files(t, s.dir)
	for _, args := range [][]string{{"fsck", "--config", s.config, "--json"}, {"audit", "verify", s.audit(), "--json"}} {
		out, said, code := command(t, args...)
		if code != 0 {
			t.Errorf("%q ended with %d: %s", args, code, said)
		}
		c.absent(t, args[0], []byte(out+said))
	}
	t.Logf("%d values planted, %d answers searched", c.n, run.answers)
}

// files searches every file of a folder.
func (c *canaries) files(t *testing.T, dir string) {
	t.Helper()
	n := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		n++
		c.absent(t, "the name of a file", []byte(path))
		b, err := os.ReadFile(path)
		c.absent(t, path, b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if n < 5 {
		t.Errorf("only %d files were searched", n)
	}
}

// canaryRun calls operations and searches the answers.
type canaryRun struct {
	t       *testing.T
	c       *canaries
	p       *server
	answers int
}

// shows are the operations whose answer holds a value, when it is 200.
var shows = []string{"GetSecretValue", "BatchGetSecretValue", "GET /secret/value", "GET /secret/proposed", "GET /secret/proof"} // never changed

func (r *canaryRun) look(what string, a answer, err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatalf("%s: no answer: %v: %s", what, err, r.p.log)
	}
	r.answers++
	name, _, _ := strings.Cut(what, "?")
	if a.status == http.StatusOK && slices.Contains(shows, name) {
		return
	}
	r.c.absent(r.t, fmt.Sprintf("the answer %d to %s", a.status, name), a.body)
}

func (r *canaryRun) aws(want int, op string, members map[string]any) answer {
	r.t.Helper()
	a, err := r.p.aws(op, members)
	r.look(op, a, err)
	if a.status != want {
		r.t.Errorf("%s was answered with %d, not %d: %s", op, a.status, want, a.body)
	}
	return a
}

func (r *canaryRun) native(want int, method, path string, members any) answer {
	r.t.Helper()
	a, err := r.p.native(method, path, members)
	r.look(method+" "+path, a, err)
	if a.status/100 != want/100 {
		r.t.Errorf("%s %s was answered with %d, not %d: %s", method, path, a.status, want, a.body)
	}
	return a
}

// awsWell calls all operations of Secrets Manager as they are meant.
func (r *canaryRun) awsWell() {
	id := map[string]any{"SecretId": "canary/aws"}
	with := func(more map[string]any) map[string]any {
		out := maps.Clone(id)
		maps.Copy(out, more)
		return out
	}
	policy := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":{"AWS":"arn:aws:iam::%s:user/nobody"},"Action":"secretsmanager:GetSecretValue","Resource":"*"}]}`, account)
	binary := base64.StdEncoding.EncodeToString([]byte(r.c.next()))
	object, _ := json.Marshal(map[string]string{"password": r.c.next(), "user": "u"})
	r.aws(200, "CreateSecret", map[string]any{"Name": "canary/aws", "ClientRequestToken": version(1), "SecretString": r.c.next(),
		"Description": "d", "Tags": []any{map[string]any{"Key": "k", "Value": "v"}}})
	r.aws(200, "CreateSecret", map[string]any{"Name": "canary/binary", "ClientRequestToken": version(1), "SecretBinary": binary})
	r.aws(200, "PutSecretValue", with(map[string]any{"ClientRequestToken": version(2), "SecretString": string(object)}))
	r.aws(200, "UpdateSecret", with(map[string]any{"ClientRequestToken": version(3), "SecretString": r.c.next(), "Description": "e"}))
	for _, op := range []string{"GetSecretValue", "DescribeSecret", "ListSecretVersionIds", "GetResourcePolicy"} {
		r.aws(200, op, id)
	}
	r.aws(200, "ListSecrets", map[string]any{})
	r.aws(200, "BatchGetSecretValue", map[string]any{"SecretIdList": []string{"canary/aws", "canary/binary", "canary/absent"}})
	r.aws(200, "GetRandomPassword", map[string]any{})
	r.aws(200, "UpdateSecretVersionStage", with(map[string]any{"VersionStage": "BLUE", "MoveToVersionId": version(2)}))
	r.aws(200, "TagResource", with(map[string]any{"Tags": []any{map[string]any{"Key": "a", "Value": "b"}}}))
	r.aws(200, "UntagResource", with(map[string]any{"TagKeys": []string{"a"}}))
	r.aws(200, "ValidateResourcePolicy", with(map[string]any{"ResourcePolicy": policy}))
	r.aws(200, "PutResourcePolicy", with(map[string]any{"ResourcePolicy": policy}))
	r.aws(200, "DeleteResourcePolicy", id)
	r.aws(200, "ReplicateSecretToRegions", with(map[string]any{"AddReplicaRegions": []any{map[string]any{"Region": "eu-west-1"}}}))
	r.aws(200, "RemoveRegionsFromReplication", with(map[string]any{"RemoveReplicaRegions": []string{"eu-west-1"}}))
	r.aws(400, "StopReplicationToReplica", id)
	r.aws(400, "RotateSecret", with(map[string]any{"ClientRequestToken": version(8)}))
	r.aws(200, "CancelRotateSecret", id)
	r.aws(200, "DeleteSecret", map[string]any{"SecretId": "canary/binary"})
	r.aws(200, "RestoreSecret", map[string]any{"SecretId": "canary/binary"})
}

// nativeWell calls the operations of the native API as they are meant.
func (r *canaryRun) nativeWell() {
	const at = "?name=canary/native"
	r.native(200, "POST", "/secret", map[string]any{"name": "canary/native", "value": r.c.next(), "description": "d", "tags": map[string]string{"a": "b"}})
	r.native(200, "PUT", "/secret/value"+at, map[string]any{"value": r.c.next(), "reason": "because"})
	r.native(200, "PUT", "/secret/value"+at, map[string]any{"binary": []byte(r.c.next())})
	r.native(200, "PUT", "/secret/value"+at, map[string]any{"value": `{"a":"` + r.c.core + `"}`})
	r.native(200, "GET", "/secret/value"+at, nil)
	for _, path := range []string{"/secrets", "/secret" + at, "/secret/versions" + at + "&all=true", "/secret/changes" + at, "/secret/policy" + at,
		"/users", "/groups", "/keys?owner=admin", "/policies", "/accounts", "/audit?limit=1000", "/audit/verify", "/status", "/keyring", "/whoami"} {
		r.native(200, "GET", path, nil)
	}
	r.native(200, "PATCH", "/secret"+at, map[string]any{"description": "e"})
	r.native(200, "PUT", "/secret/tags"+at, map[string]any{"tags": map[string]string{"c": "d"}})
	r.native(200, "DELETE", "/secret/tags"+at+"&key=c", nil)
	r.native(200, "POST", "/random-password", nil)
	r.native(200, "POST", "/users", map[string]any{"name": "bob"})
	r.native(200, "POST", "/groups", map[string]any{"name": "team"})
	r.native(200, "PUT", "/groups/team/members/bob", nil)
	r.native(200, "PUT", "/policies/none", map[string]any{"document": map[string]any{"Version": "2012-10-17",
		"Statement": []any{map[string]any{"Effect": "Allow", "Action": "secretsmanager:ListSecrets", "Resource": "*"}}}})
	r.native(200, "PUT", "/policies/none/attachments?user=bob", nil)
	r.native(200, "POST", "/policy-test", map[string]any{"user": "bob", "action": "secretsmanager:GetSecretValue", "resource": "*"})
	r.native(200, "DELETE", "/policies/none/attachments?user=bob", nil)
	r.native(200, "DELETE", "/secret?name=canary/binary&window=7", nil)
	r.native(200, "POST", "/secret/restore?name=canary/binary", nil)
	r.native(200, "DELETE", "/secret?name=canary/binary&force=true", nil)
	r.native(200, "POST", "/keyring/rotate", nil)
}

// reviewed takes values through proposals, their review and every end of it.
func (r *canaryRun) reviewed() {
	const at = "?name=canary/reviewed"
	propose := func(path string, body map[string]any) string {
		var out struct{ Change, Status string }
		if err := json.Unmarshal(r.native(200, "POST", path, body).body, &out); err != nil || out.Change == "" || out.Status == "applied" {
			r.t.Errorf("proposing at %s: %+v, %v", path, out, err)
		}
		return out.Change
	}
	approve := func(id string) {
		var out struct{ Digest string }
		if err := json.Unmarshal(r.native(200, "GET", "/changes/"+id, nil).body, &out); err != nil {
			r.t.Error(err)
		}
		r.native(200, "POST", "/changes/"+id+"/approve", map[string]any{"digest": out.Digest, "comment": "fine"})
		r.native(200, "GET", "/changes/"+id, nil)
	}
	set := func() map[string]any {
		return map[string]any{"set": map[string]string{"KEY": r.c.next(), "OTHER": r.c.next()}, "reason": "because"}
	}
	r.native(200, "POST", "/protection", map[string]any{"set": map[string]any{"name": "canary", "match": []string{"canary/reviewed"},
		"approvals": []any{map[string]any{"count": 1}}, "allow_author": true}})
	approve(propose("/secret/patch"+at, set()))
	id := propose("/secret/patch"+at, set())
	r.native(200, "GET", "/secret/proposed?change="+id, nil)
	r.native(200, "POST", "/changes/"+id+"/comments", map[string]any{"comment": "look"})
	r.aws(200, "PutSecretValue", map[string]any{"SecretId": "canary/reviewed", "ClientRequestToken": version(7), "SecretString": r.c.next()})
	r.aws(200, "DescribeSecret", map[string]any{"SecretId": "canary/reviewed"})
	approve(id) // and the other is at odds with it
	r.native(200, "POST", "/changes/"+propose("/secret/patch"+at, set())+"/withdraw", nil)
	approve(propose("/rollback", map[string]any{"change": id, "reason": "wrong"}))
	r.native(200, "GET", "/secret/proof"+at, nil)
	for _, path := range []string{"/changes", "/changes?status=conflicted", "/changes?name=canary/reviewed", "/protection"} {
		r.native(200, "GET", path, nil)
	}
	for _, body := range []any{map[string]any{"set": r.c.next()}, map[string]any{"set": map[string]any{"K": []string{r.c.next()}}}, []string{r.c.next()},
		map[string]any{"set": map[string]string{"K": r.c.next()}, "unset": []string{"K"}}} {
		r.native(400, "POST", "/secret/patch"+at, body)
	}
}

// schemas writes values that break each kind of rule, and asks whether they would.
func (r *canaryRun) schemas() {
	const at = "?name=canary/schema"
	rules := map[string]any{"type": "object", "additionalProperties": false, "properties": map[string]any{
		"port": map[string]any{"type": "integer"}, "pattern": map[string]any{"pattern": "^x$"}, "enum": map[string]any{"enum": []string{"a", "b"}},
		"const": map[string]any{"const": "a"}, "format": map[string]any{"format": "ipv4"}, "long": map[string]any{"maxLength": 3},
		"deep": map[string]any{"additionalProperties": false}, "names": map[string]any{"propertyNames": map[string]any{"maxLength": 3}},
		"not": map[string]any{"not": map[string]any{"type": "string"}}, "any": map[string]any{"anyOf": []any{map[string]any{"type": "integer"}, map[string]any{"maxLength": 2}}},
		"list": map[string]any{"items": map[string]any{"type": "integer"}, "uniqueItems": true}}}
	r.native(200, "POST", "/secret", map[string]any{"name": "canary/schema", "value": `{"port":1}`})
	r.native(200, "PUT", "/secret/schema"+at, map[string]any{"document": rules, "reason": "because"})
	r.native(200, "GET", "/secret/schema"+at, nil)
	text := func() string { return quoted(r.c.next()) }
	values := []string{r.c.next(), "[" + text() + "]", `{"deep":{` + text() + `:1},"names":{` + text() + `:1}}`, `{"list":[` + text() + `,` + text() + `]}`}
	for _, k := range []string{"port", "pattern", "enum", "const", "format", "long", "not", "any"} {
		values = append(values, `{"`+k+`":`+text()+`}`)
	}
	for _, v := range values {
		r.native(400, "PUT", "/secret/value"+at, map[string]any{"value": v})
		r.native(200, "POST", "/secret/schema/check"+at, map[string]any{"value": v})
		r.aws(400, "PutSecretValue", map[string]any{"SecretId": "canary/schema", "SecretString": v})
	}
	r.native(400, "POST", "/secret/patch"+at, map[string]any{"set": map[string]string{"port": r.c.next(), "long": r.c.next()}})
	r.native(200, "POST", "/secret", map[string]any{"name": "canary/judged", "value": `{"port":` + text() + `}`})
	r.native(400, "PUT", "/secret/schema?name=canary/judged", map[string]any{"document": rules})
}

// awsBadly puts values where they do not belong.
func (r *canaryRun) awsBadly() {
	v := r.c.next
	long := strings.Repeat(r.c.core, 200)
	for op, bodies := range map[string][]string{
		"CreateSecret": {
			`{"Name":` + quoted(v()) + `,"ClientRequestToken":"` + version(1) + `","SecretString":"x"}`,
			`{"Name":"canary/aws","ClientRequestToken":"` + version(1) + `","SecretString":` + quoted(v()) + `}`,
			`{"Name":"canary/new","SecretString":{"password":` + quoted(v()) + `}}`,
			`{"Name":"canary/new","SecretString":[` + quoted(v()) + `]}`,
			`{"Name":"canary/new","ClientRequestToken":"` + version(1) + `","SecretBinary":` + quoted(v()) + `}`,
			`{"Name":"canary/new","ClientRequestToken":"` + version(1) + `","SecretString":"` + long + strings.Repeat("x", 66_000) + `"}`,
			`{"Name":"canary/new","SecretString":` + quoted(v()), v(), quoted(v()), `[` + quoted(v()) + `]`,
			strings.Repeat(`{"a":`, 100) + quoted(v()) + strings.Repeat(`}`, 100),
		},
		"PutSecretValue": {
			`{"SecretId":"canary/absent","ClientRequestToken":"` + version(5) + `","SecretString":` + quoted(v()) + `}`,
			`{"SecretId":"canary/aws","ClientRequestToken":"` + version(1) + `","SecretString":` + quoted(v()) + `}`,
			`{"SecretId":"canary/aws","ClientRequestToken":"` + version(6) + `","SecretString":` + quoted(v()) + `,"SecretBinary":"AAAA"}`,
		},
		"GetSecretValue": {
			`{"SecretId":` + quoted(v()) + `}`,
		},
		"ListSecrets":                   {`{"NextToken":` + quoted(v()) + `}`},
		"PutResourcePolicy":             {`{"SecretId":"canary/aws","ResourcePolicy":` + quoted(v()) + `}`},
		"UpdateSecret":                  {`{"SecretId":"canary/aws","SecretString":12,"Description":` + quoted(long) + `}`},
		"No" + url.PathEscape(r.c.core): {`{"SecretString":` + quoted(v()) + `}`},
	} {
		for _, body := range bodies {
			a, err := r.p.awsRaw(r.p.store.key, op, []byte(body))
			if strings.HasPrefix(op, "No") {
				op = "an unknown operation"
			}
			r.look(op, a, err)
			if a.status/100 != 4 {
				r.t.Errorf("%s, badly, was answered with %d: %s", op, a.status, a.body)
			}
		}
	}
	r.repeated()
	for _, k := range []key{{ID: r.c.core, Secret: "x"}, {ID: r.p.store.key.ID, Secret: v()}, {ID: r.p.store.key.Secret, Secret: r.p.store.key.ID}} {
		a, err := r.p.awsRaw(k, "PutSecretValue", []byte(`{"SecretId":"canary/aws","SecretString":`+quoted(v())+`}`))
		r.look("a call with a wrong key", a, err)
		if a.status/100 != 4 {
			r.t.Errorf("a wrong key was answered with %d", a.status)
		}
	}
	a, err := r.p.awsRaw(r.p.store.key, "CreateSecret", bytes.Repeat([]byte(r.c.core), 100_000))
	r.look("a body over the limit", a, err)
}

// repeated puts values where an identifier belongs. AWS's own text of the
// refusal repeats an identifier to who sent it, and so does the native API the
// name of an unknown member; nobody else may see them.
func (r *canaryRun) repeated() {
	v := r.c.next
	long := quoted(strings.Repeat(r.c.core, 200))
	told := func(a answer, err error) {
		r.t.Helper()
		if r.answers++; err != nil || a.status/100 != 4 {
			r.t.Errorf("a bad identifier was answered with %d: %s, %v", a.status, a.body, err)
		}
	}
	for _, call := range [][2]string{
		{"CreateSecret", `{"Name":"canary/new","ClientRequestToken":` + quoted(v()) + `,"SecretString":"x"}`},
		{"CreateSecret", `{"Name":"canary/new","Tags":[{"Key":` + long + `,"Value":"v"}]}`},
		{"PutSecretValue", `{"SecretId":"canary/aws","ClientRequestToken":"` + version(6) + `","VersionStages":[` + long + `],"SecretString":"x"}`},
		{"GetSecretValue", `{"SecretId":"canary/aws","VersionId":` + quoted(v()) + `}`},
		{"GetSecretValue", `{"SecretId":"canary/aws","VersionId":` + long + `}`},
		{"ListSecrets", `{"Filters":[{"Key":` + quoted(v()) + `,"Values":["x"]}]}`},
	} {
		told(r.p.awsRaw(r.p.store.key, call[0], []byte(call[1])))
	}
	told(r.p.nativeRaw(r.p.store.key.Token, http.MethodPut, "/secret/value?name=canary/native", strings.NewReader(`{"value":"x",`+quoted(v())+`:1}`)))
}

func quoted(s string) string {
	b, _ := json.Marshal(s) // a string always has a form
	return string(b)
}

// nativeBadly does the same to the native API.
func (r *canaryRun) nativeBadly() {
	v := r.c.next
	esc := func() string { return url.QueryEscape(v()) }
	for _, call := range [][2]string{
		{"GET /secret/value?name=" + esc(), ""},
		{"GET /secret/value?name=canary/native&value=" + esc(), ""},
		{"GET /secret/value?name=canary/native&version=" + esc(), ""},
		{"GET /" + url.PathEscape(v()), ""},
		{"PUT /secret/value?name=canary/native&value=" + esc(), `{"value":` + quoted(v()) + `}`},
		{"PUT /secret/value?name=canary/absent", `{"value":` + quoted(v()) + `}`},
		{"PUT /secret/value?name=canary/native", `{"value":` + quoted(v()) + `,"binary":"AAAA"}`},
		{"PUT /secret/value?name=canary/native", `{"value":` + quoted(v())},
		{"PUT /secret/value?name=canary/native", `{"binary":` + quoted(v()) + `}`},
		{"PUT /secret/value?name=canary/native", `{"value":{"a":` + quoted(v()) + `}}`},
		{"PUT /secret/value?name=canary/native", `{"value":` + quoted(v()) + `,"base":999}`},
		{"PUT /secret/value?name=canary/native", v()},
		{"POST /secret", `{"name":` + quoted(v()) + `,"value":` + quoted(v()) + `}`},
		{"POST /secret", `{"name":"canary/native","value":` + quoted(v()) + `}`},
		{"POST /users", `{"name":` + quoted(v()) + `}`},
		{"POST /keys", `{"owner":` + quoted(v()) + `}`},
		{"PUT /policies/x", `{"document":` + quoted(v()) + `}`},
		{"POST /policy-test", `{"user":"admin","action":` + quoted(v()) + `,"resource":"*"}`},
		{"GET /decisions/" + r.c.core, ""},
		{"GET /audit?page=" + esc(), ""},
		{"POST /backup", `{"recipients":[` + quoted(v()) + `]}`},
	} {
		method, path, _ := strings.Cut(call[0], " ")
		a, err := r.p.nativeRaw(r.p.store.key.Token, method, path, strings.NewReader(call[1]))
		r.look("a bad "+call[0], a, err)
		if a.status/100 != 4 {
			r.t.Errorf("%s %s, badly, was answered with %d: %s", method, strings.SplitN(path, "?", 2)[0], a.status, a.body)
		}
	}
	for _, token := range []string{r.c.core, "cst_" + r.c.core, r.p.store.key.Secret,
		"cst_" + r.p.store.key.ID + "_" + strings.Repeat("A", 40-len(r.c.core)) + r.c.core} {
		a, err := r.p.nativeRaw(token, "GET", "/secret/value?name=canary/native", nil)
		r.look("a bad token", a, err)
		if a.status != http.StatusUnauthorized {
			r.t.Errorf("a bad token was answered with %d", a.status)
		}
	}
}

// denied is what somebody without rights is told, and what the log keeps.
func (r *canaryRun) denied() {
	var k struct{ ID, Secret, Token string }
	a := must(r.t)(r.p.native(http.MethodPost, "/keys", map[string]any{"owner": "bob"}))
	a.into(r.t, &k)
	r.c.add("another user's secret key", k.Secret)
	for op, members := range map[string]map[string]any{
		"GetSecretValue": {"SecretId": "canary/aws"},
		"PutSecretValue": {"SecretId": "canary/aws", "ClientRequestToken": version(7), "SecretString": r.c.next()},
		"CreateSecret":   {"Name": "canary/other", "ClientRequestToken": version(7), "SecretString": r.c.next()},
	} {
		body, _ := json.Marshal(members) // texts always have a form
		a, err := r.p.awsRaw(key(k), op, body)
		r.look(op, a, err)
		if a.status != http.StatusBadRequest {
			r.t.Errorf("a denied %s was answered with %d: %s", op, a.status, a.body)
		}
	}
	a, err := r.p.nativeRaw(k.Token, http.MethodPut, "/secret/value?name=canary/native", strings.NewReader(`{"value":`+quoted(r.c.next())+`}`))
	r.look("a denied put", a, err)
	if a.status != http.StatusForbidden {
		r.t.Errorf("a denied put was answered with %d: %s", a.status, a.body)
	}
	r.native(200, "GET", "/audit?limit=1000", nil)
}
