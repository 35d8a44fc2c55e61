package secret_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/caller"
	"countersign/internal/core/audit"
	"countersign/internal/core/change"
	"countersign/internal/core/coretest"
	"countersign/internal/core/secret"
	"countersign/internal/kv"
	"countersign/internal/name"
	"countersign/internal/sensitive"
)

func ptr[T any](v T) *T { return &v }

// kvPut writes a version as the key-value engine does.
func (f *fixture) kvPut(s, value string) secret.Written {
	f.t.Helper()
	w, err := f.Secrets.KVPut(f.ctx, f.Admin, secret.KVWrite{ID: id(s), Value: *text(value)})
	f.must(err)
	return w
}

// kvRead is what the key-value engine shows of a version, 0 for the current one:
// its value, what became of it, or the code of the error.
func (f *fixture) kvRead(s string, number uint64) string {
	f.t.Helper()
	who := f.Admin
	who.Time = time.Now()
	v, err := f.Secrets.ReadVersion(f.ctx, who, secret.KVRead{ID: id(s), Number: number})
	switch {
	case err != nil:
		return "(" + code(err) + ")"
	case v.Gone && v.Data.Len() > 0:
		return "(a value of what is gone)"
	case v.Destroyed:
		return "(destroyed)"
	case v.Gone && (v.Deleted.IsZero() || v.Deleted.After(who.Time)):
		return "(deleted without a time)"
	case v.Gone:
		return "(deleted)"
	}
	return string(v.Data.Reveal())
}

// versions does one of the three things to versions.
func (f *fixture) versions(what, s string, numbers ...uint64) change.Result {
	f.t.Helper()
	do := map[string]func() (change.Result, error){
		"delete": func() (change.Result, error) {
			return f.Secrets.DeleteVersions(f.ctx, f.Admin, secret.KVVersions{ID: id(s), Numbers: numbers})
		},
		"undelete": func() (change.Result, error) {
			return f.Secrets.UndeleteVersions(f.ctx, f.Admin, secret.KVVersions{ID: id(s), Numbers: numbers})
		},
		"destroy": func() (change.Result, error) {
			return f.Secrets.DestroyVersions(f.ctx, f.Admin, secret.KVVersions{ID: id(s), Numbers: numbers})
		},
	}
	res, err := do[what]()
	f.must(err)
	return res
}

// sound runs the check of the store.
func (f *fixture) sound() {
	f.t.Helper()
	f.must(f.DB.View(f.ctx, func(r kv.Reader) error {
		return secret.Refer(f.Ring)(r, func(k kv.Key, problem string) { f.t.Errorf("the check of the store: %q: %s", k, problem) })
	}))
}

func TestKVPut(t *testing.T) {
	engines(t, func(t *testing.T, c coretest.Config) {
		f := start(t, c)
		w := f.kvPut("app/db", `{"a":"1"}`)
		if w.Number != 1 || w.Created.IsZero() || !w.Deletes.IsZero() || w.Change == "" || w.Status != change.Applied || w.Name != "app/db" {
			t.Errorf("created %+v", w)
		}
		_, err := f.Secrets.Tag(f.ctx, f.Admin, id("app/db"), []secret.Tag{{Key: "team", Value: "x"}}, "")
		f.must(err)
		if w := f.kvPut("app/db", `{"a":"1"}`); w.Number != 2 || w.Tags["team"] != "x" {
			t.Errorf("the same value once more: %+v", w)
		}
		if got := f.read(secret.ReadRequest{ID: id("app/db")}); got != `{"a":"1"}` {
			t.Errorf("reads %s", got)
		}
		if got, want := f.labels("app/db"), "2:AWSCURRENT 1:AWSPREVIOUS"; got != want {
			t.Errorf("labels %q, want %q", got, want)
		}
		f.sound()
	})
}

func TestCheckAndSet(t *testing.T) {
	f := start(t, coretest.Config{})
	f.kvPut("two", "a")
	f.kvPut("two", "b")
	f.create("empty", "")
	f.kvPut("strict", "a")
	_, err := f.Secrets.KVSet(f.ctx, f.Admin, secret.KVSet{ID: id("strict"), CASRequired: ptr(true)})
	f.must(err)
	f.kvPut("gone", "a")
	f.versions("delete", "gone")
	f.kvPut("marked", "a")
	_, err = f.Secrets.Delete(f.ctx, f.Admin, secret.DeleteRequest{ID: id("marked")})
	f.must(err)
	for _, x := range []struct {
		name   string
		secret string
		cas    *uint64
		mount  secret.KVSettings
		all    bool // the mount asks for it
		want   string
	}{
		{"right", "two", ptr[uint64](2), secret.KVSettings{}, false, "ok"},
		{"older", "two", ptr[uint64](1), secret.KVSettings{}, false, "conflict/cas-mismatch"},
		{"newer", "two", ptr[uint64](3), secret.KVSettings{}, false, "conflict/cas-mismatch"},
		{"none-expected", "two", ptr[uint64](0), secret.KVSettings{}, false, "conflict/cas-mismatch"},
		{"none-expected-of-nothing", "new", ptr[uint64](0), secret.KVSettings{}, true, "ok"},
		{"one-expected-of-nothing", "new", ptr[uint64](1), secret.KVSettings{}, false, "conflict/cas-mismatch"},
		{"without-versions", "empty", ptr[uint64](0), secret.KVSettings{}, false, "ok"},
		{"required-by-the-secret", "strict", nil, secret.KVSettings{}, false, "precondition/cas-required"},
		{"required-by-the-secret-and-given", "strict", ptr[uint64](1), secret.KVSettings{}, false, "ok"},
		{"required-by-the-mount", "two", nil, secret.KVSettings{}, true, "precondition/cas-required"},
		{"required-by-the-defaults", "two", nil, secret.KVSettings{CASRequired: ptr(true)}, false, "precondition/cas-required"},
		{"required-of-nothing", "new", nil, secret.KVSettings{}, true, "precondition/cas-required"},
		{"mount-does-not-ask-but-the-secret-does", "strict", nil, secret.KVSettings{CASRequired: ptr(false)}, false, "precondition/cas-required"},
		{"deleted-is-still-current", "gone", ptr[uint64](0), secret.KVSettings{}, false, "conflict/cas-mismatch"},
		{"onto-deleted", "gone", ptr[uint64](1), secret.KVSettings{}, false, "ok"},
		{"marked-for-deletion", "marked", ptr[uint64](1), secret.KVSettings{}, false, "precondition/marked-for-deletion"},
		{"bad-name", "a//b", nil, secret.KVSettings{}, false, "invalid/secret-name"},
	} {
		t.Run(x.name, func(t *testing.T) {
			f := &fixture{f.Core, t, f.ctx}
			put := func(key string) error {
				_, err := f.Secrets.KVPut(f.ctx, f.Admin, secret.KVWrite{ID: id(x.secret), Value: *text(`{}`), CAS: x.cas, CASRequired: x.all, Defaults: x.mount,
					Options: change.Options{NotBefore: time.Now().Add(time.Hour), Key: key}}) // so that nothing changes
				return err
			}
			f.expect(put(""), x.want)
			_, err := f.Secrets.KVPatch(f.ctx, f.Admin, secret.KVPatch{ID: id(x.secret), Patch: sensitive.FromString(`{}`), CAS: x.cas, CASRequired: x.all, Defaults: x.mount,
				Options: change.Options{NotBefore: time.Now().Add(time.Hour)}})
			want := x.want
			switch {
			case x.secret == "new":
				want = "not-found/secret"
			case want == "ok" && x.secret == "empty", want == "ok" && x.secret == "gone":
				want = "not-found/label"
			case want == "ok": // what is there is plain text
				want = "precondition/not-an-object"
			}
			f.expect(err, want)
		})
	}
	// AWS's writes have no such parameter.
	f.put("strict", 2, "b")
	f.sound()
}

func TestMergePatch(t *testing.T) {
	for _, x := range []struct{ target, patch, want string }{ // RFC 7396, appendix A, those of objects
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`{"e":null}`, `{"a":1}`, `{"e":null,"a":1}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
		// what it does not touch stays as it was written
		{`{"z": 1.50, "a" : {"y":1, "x":2}, "n":12345678901234567890}`, `{"b":"<&>"}`, `{"z":1.50,"a":{"y":1, "x":2},"n":12345678901234567890,"b":"<&>"}`},
		{`{"a":{"n":1.50,"s":"<"}}`, `{"a":{"m":12345678901234567890}}`, `{"a":{"m":12345678901234567890,"n":1.50,"s":"<"}}`},
		{`{"a":[null,{"b":null}]}`, `{"b":[null,{"c":null}]}`, `{"a":[null,{"b":null}],"b":[null,{"c":null}]}`},
		{`{"a":"b"}`, `["c"]`, ""},
		{`["a"]`, `{"a":1}`, ""},
		{`text`, `{"a":1}`, ""},
		{`{"a":1}`, `{"b":1,"b":2}`, ""},
	} {
		got, ok := secret.MergePatch([]byte(x.target), []byte(x.patch))
		if string(got) != x.want || ok != (x.want != "") {
			t.Errorf("%s patched by %s is %s, want %s", x.target, x.patch, got, x.want)
		}
	}
}

func TestKVPatch(t *testing.T) {
	f := start(t, coretest.Config{})
	f.kvPut("s", `{"a":"1","b":{"c":"2","d":"3"}}`)
	f.create("text", "plain")
	patch := func(s, patch string, more func(*secret.KVPatch)) error {
		req := secret.KVPatch{ID: id(s), Patch: sensitive.FromString(patch)}
		if more != nil {
			more(&req)
		}
		w, err := f.Secrets.KVPatch(f.ctx, f.Admin, req)
		if err == nil && (w.Number == 0 || w.Created.IsZero()) {
			t.Errorf("answered %+v", w)
		}
		return err
	}
	f.must(patch("s", `{"a":null,"b":{"c":"4"},"e":"5"}`, nil))
	if got, want := f.read(secret.ReadRequest{ID: id("s")}), `{"b":{"c":"4","d":"3"},"e":"5"}`; got != want {
		t.Errorf("patched %s, want %s", got, want)
	}
	f.expect(patch("text", `{"a":"1"}`, nil), "precondition/not-an-object")
	f.expect(patch("s", `[1]`, nil), "invalid@data")
	f.expect(patch("absent", `{"a":"1"}`, nil), "not-found/secret")
	wrapped := func(req *secret.KVPatch) {
		req.Show = func(in secret.Input) (sensitive.Bytes, error) {
			return sensitive.FromString(fmt.Sprintf(`{"SecretString":%q}`, in.Data.Reveal())), nil
		}
		req.Take = func(b sensitive.Bytes) (secret.Input, error) {
			return secret.Input{Data: sensitive.FromString(strings.TrimSuffix(strings.TrimPrefix(string(b.Reveal()), `{"SecretString":"`), `"}`))}, nil
		}
	}
	f.must(patch("text", `{"SecretString":"other"}`, wrapped))
	if got := f.read(secret.ReadRequest{ID: id("text")}); got != "other" {
		t.Errorf("a text patched through the front's words is %s", got)
	}
	f.versions("delete", "s")
	f.expect(patch("s", `{"a":"1"}`, nil), "not-found/label")
	f.versions("destroy", "s", 2)
	f.expect(patch("s", `{"a":"1"}`, nil), "not-found/label")
}

// TestGone holds what deleting, undeleting and destroying through either front
// mean to both: after each step, versions 1 to 3 at KV, the current one by label,
// and each by its id, at AWS; and what the lists of versions say.
func TestGone(t *testing.T) {
	const noLabel, noVersion = "(not-found/label)", "(not-found/version)"
	type view struct{ kv, aws, states string }
	for _, x := range []struct {
		name  string
		steps []string // "delete 1 2"; without numbers the current one
		want  view
	}{
		{"nothing", nil, view{"a b c | c", "a b c | c", "3 enabled AWSCURRENT, 2 enabled AWSPREVIOUS, 1 enabled"}},
		{"current", []string{"delete"}, view{"a b (deleted) | (deleted)", "a b " + noVersion + " | " + noLabel, "3 deleted AWSCURRENT, 2 enabled AWSPREVIOUS, 1 enabled"}},
		{"by-number", []string{"delete 1 2"}, view{"(deleted) (deleted) c | c", noVersion + " " + noVersion + " c | c", "3 enabled AWSCURRENT, 2 deleted AWSPREVIOUS, 1 deleted"}},
		{"and-back", []string{"delete", "delete 2", "undelete 2 3"}, view{"a b c | c", "a b c | c", "3 enabled AWSCURRENT, 2 enabled AWSPREVIOUS, 1 enabled"}},
		{"destroyed", []string{"destroy 1"}, view{"(destroyed) b c | c", noVersion + " b c | c", "3 enabled AWSCURRENT, 2 enabled AWSPREVIOUS, 1 destroyed"}},
		{"deleted-then-destroyed", []string{"delete 1", "destroy 1", "undelete 1"}, view{"(destroyed) b c | c", noVersion + " b c | c", "3 enabled AWSCURRENT, 2 enabled AWSPREVIOUS, 1 destroyed"}},
		{"destroyed-then-deleted", []string{"destroy 3", "delete"}, view{"a b (destroyed) | (destroyed)", "a b " + noVersion + " | " + noLabel, "3 destroyed AWSCURRENT, 2 enabled AWSPREVIOUS, 1 enabled"}},
		{"all-destroyed", []string{"destroy 1 2 3"}, view{"(destroyed) (destroyed) (destroyed) | (destroyed)", strings.Repeat(noVersion+" ", 3) + "| " + noLabel,
			"3 destroyed AWSCURRENT, 2 destroyed AWSPREVIOUS, 1 destroyed"}},
		{"what-is-not-there", []string{"delete 7", "undelete 7", "destroy 7"}, view{"a b c | c", "a b c | c", "3 enabled AWSCURRENT, 2 enabled AWSPREVIOUS, 1 enabled"}},
	} {
		t.Run(x.name, func(t *testing.T) {
			engines(t, func(t *testing.T, c coretest.Config) {
				f := start(t, c)
				f.create("s", "a")
				f.put("s", 2, "b")
				f.put("s", 3, "c")
				for _, step := range x.steps {
					what, rest, _ := strings.Cut(step, " ")
					var numbers []uint64
					for _, n := range strings.Fields(rest) {
						numbers = append(numbers, uint64(n[0]-'0'))
					}
					f.versions(what, "s", numbers...)
					f.unchanged(func() { // once more it is nothing
						if res := f.versions(what, "s", numbers...); res.ID != "" || res.Status != change.Applied {
							t.Errorf("%s once more: %+v", step, res)
						}
					})
				}
				var got view
				for n := uint64(1); n <= 3; n++ {
					got.kv += f.kvRead("s", n) + " "
					got.aws += f.read(secret.ReadRequest{ID: id("s"), VersionID: token(int(n))}) + " "
				}
				got.kv += "| " + f.kvRead("s", 0)
				got.aws += "| " + f.read(secret.ReadRequest{ID: id("s")})
				vs, err := f.Secrets.ListVersions(f.ctx, f.Admin, secret.VersionsRequest{ID: id("s"), Unlabeled: true, Destroyed: true})
				f.must(err)
				var states []string
				for _, v := range vs.Versions {
					states = append(states, strings.TrimSpace(fmt.Sprintf("%d %s %s", v.Number, v.State, strings.Join(v.Labels, "+"))))
					if (v.State == secret.Deleted) && v.Deleted.IsZero() {
						t.Errorf("version %d has no time of deletion", v.Number)
					}
				}
				got.states = strings.Join(states, ", ")
				if diff := cmp.Diff(x.want, got, cmp.AllowUnexported(view{})); diff != "" {
					t.Error(diff)
				}
				f.sound()
			})
		})
	}
}

// A destroyed value is in no record any more, and the rest of what there is goes on.
func TestDestroyedIsGoneForGood(t *testing.T) {
	f := start(t, coretest.Config{})
	w := f.create("s", `{"a":"1"}`)
	_, suffix, _ := name.CutSuffix(w.ARN)
	f.versions("destroy", "s", 1)
	if _, ok := f.Dump(t)[string(secret.ValueKey(home("s"), suffix, 1))]; ok {
		t.Error("the value is still there")
	}
	f.must(f.DB.View(f.ctx, func(r kv.Reader) error {
		if carried, err := secret.Carried(r, home("s")); err != nil || len(carried) > 0 {
			t.Errorf("the secret carries %d bytes: %v", len(carried), err)
		}
		return nil
	}))
	d, err := f.Secrets.Describe(f.ctx, f.Admin, id("s"))
	f.must(err)
	if !slices.Equal(d.Labels[token(1)], []string{name.Current}) {
		t.Errorf("described with %v", d.Labels)
	}
	f.put("s", 2, `{"a":"2"}`)
	if got := f.read(secret.ReadRequest{ID: id("s")}); got != `{"a":"2"}` {
		t.Errorf("written anew it reads %s", got)
	}
	// The keys of the base are enough to merge.
	_, err = f.Secrets.PutValue(f.ctx, f.Admin, secret.PutRequest{ID: id("s"), VersionID: token(3), Value: *text(`{"a":"1","b":"3"}`), Base: ptr[uint64](1)})
	f.must(err)
	if got := f.read(secret.ReadRequest{ID: id("s")}); got != `{"a":"2","b":"3"}` {
		t.Errorf("merged onto what came after a destroyed base it reads %s", got)
	}
	f.sound()
}

// What is gone does not come back by other ways, and nothing is merged from it.
func TestGoneStaysGone(t *testing.T) {
	for _, how := range []string{"delete", "destroy"} {
		t.Run(how, func(t *testing.T) {
			f := start(t, coretest.Config{})
			f.create("s", `{"a":"1"}`)
			f.put("s", 2, `{"a":"2"}`)
			f.put("s", 3, `{"a":"3"}`)
			f.versions(how, "s", 1)
			_, err := f.Secrets.MoveLabel(f.ctx, f.Admin, secret.LabelRequest{ID: id("s"), Label: "mine", To: token(1)})
			f.expect(err, "not-found/version")
			_, err = f.Secrets.MoveLabel(f.ctx, f.Admin, secret.LabelRequest{ID: id("s"), Label: name.Current, From: token(3), To: token(1)})
			f.expect(err, "not-found/version")
			_, err = f.Secrets.Rollback(f.ctx, f.Admin, secret.RollbackRequest{ID: id("s"), Version: 1})
			f.expect(err, "precondition/"+secret.CodeNoRollback)
			f.versions(how, "s", 3)
			_, err = f.Secrets.MoveLabel(f.ctx, f.Admin, secret.LabelRequest{ID: id("s"), Label: name.Current, To: token(3), Infer: true})
			f.expect(err, "not-found/version")
			_, err = f.Secrets.PutValue(f.ctx, f.Admin, secret.PutRequest{ID: id("s"), VersionID: token(4), Value: *text(`{"a":"2","b":"4"}`), Base: ptr[uint64](2)})
			f.expect(err, "conflict/base-version")
			_, err = f.Secrets.Patch(f.ctx, f.Admin, secret.PatchRequest{ID: id("s"), Set: map[string]sensitive.Bytes{"b": sensitive.FromString("4")}})
			f.must(err)
			if got := f.read(secret.ReadRequest{ID: id("s")}); got != `{"b":"4"}` {
				t.Errorf("with one key set it reads %s", got)
			}
			f.versions(how, "s", 4)
			_, err = f.Secrets.Patch(f.ctx, f.Admin, secret.PatchRequest{ID: id("s"), Set: map[string]sensitive.Bytes{"b": sensitive.FromString("4")}})
			f.must(err)
			if got := f.read(secret.ReadRequest{ID: id("s")}); got != `{"b":"4"}` {
				t.Errorf("with the same key set again it reads %s", got)
			}
			f.versions(how, "s", 5)
			if _, err := f.Secrets.Rollback(f.ctx, f.Admin, secret.RollbackRequest{ID: id("s"), Version: 2}); err != nil {
				t.Errorf("rolled back from what is gone: %v", err)
			}
			if got := f.read(secret.ReadRequest{ID: id("s")}); got != `{"a":"2"}` {
				t.Errorf("rolled back it reads %s", got)
			}
			f.sound()
		})
	}
}

// Undoing a change whose own version was destroyed needs no value of it.
func TestUndoAChangeWhoseVersionIsGone(t *testing.T) {
	f := start(t, coretest.Config{})
	f.create("s", `{"a":"1","b":"1"}`)
	w := f.put("s", 2, `{"a":"2","b":"1"}`)
	f.put("s", 3, `{"a":"2","b":"3"}`)
	f.versions("destroy", "s", 2)
	_, err := f.Secrets.Rollback(f.ctx, f.Admin, secret.RollbackRequest{Change: w.Change})
	f.must(err)
	if got := f.read(secret.ReadRequest{ID: id("s")}); got != `{"a":"1","b":"3"}` {
		t.Errorf("reads %s", got)
	}
}

func TestReadVersion(t *testing.T) {
	f := start(t, coretest.Config{})
	w := f.create("s", "a")
	f.create("empty", "")
	_, err := f.Secrets.KVSet(f.ctx, f.Admin, secret.KVSet{ID: id("s"), MaxVersions: ptr[uint64](5), CASRequired: ptr(true), DeleteAfter: ptr(time.Hour), Tags: map[string]*string{"k": ptr("v")}})
	f.must(err)
	for n, want := range map[uint64]string{0: "a", 1: "a", 2: "(not-found/version)"} {
		if got := f.kvRead("s", n); got != want {
			t.Errorf("version %d reads %s, want %s", n, got, want)
		}
	}
	if got := f.kvRead("empty", 0); got != "(not-found/label)" {
		t.Errorf("without a version: %s", got)
	}
	if got := f.kvRead("absent", 0); got != "(not-found/secret)" {
		t.Errorf("without a secret: %s", got)
	}
	f.Records(t) // the relay has brought what was written to the log, so that the reads' records are the last
	for op, read := range map[string]func(secret.KVRead) (secret.KVVersion, error){
		"ReadValue": func(r secret.KVRead) (secret.KVVersion, error) { return f.Secrets.ReadVersion(f.ctx, f.Admin, r) },
		"ReadKeys":  func(r secret.KVRead) (secret.KVVersion, error) { return f.Secrets.ReadKeys(f.ctx, f.Admin, r) },
	} {
		v, err := read(secret.KVRead{ID: coretest.ID(t, w.ARN)})
		f.must(err)
		if v.Number != 1 || v.VersionID != token(1) || v.Created.IsZero() || !v.Deleted.IsZero() || v.Gone || string(v.Data.Reveal()) != "a" || !slices.Equal(v.Labels, []string{name.Current}) {
			t.Errorf("%s: %+v", op, v)
		}
		if m := v.Metadata; *m.MaxVersions != 5 || !*m.CASRequired || *m.DeleteAfter != time.Hour || m.Tags["k"] != "v" {
			t.Errorf("%s: settings %+v", op, m)
		}
		last := f.Records(t)[len(f.Records(t))-1]
		if last.Operation != op || last.Version != 1 || last.Resource != "s" || last.Outcome != audit.OK {
			t.Errorf("%s: record %+v", op, last)
		}
	}
	f.versions("delete", "s")
	if got := f.kvRead("s", 0); got != "(deleted)" {
		t.Errorf("deleted it reads %s", got)
	}
	refused := slices.ContainsFunc(f.Records(t), func(r auditRecord) bool {
		return r.Operation == "ReadValue" && r.Outcome == audit.Refused && r.Error == "not-found/label" && r.Resource == "s"
	})
	if !refused {
		t.Error("what gave no value is not recorded as refused")
	}
	who, _ := f.User(t, "keys", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"countersign:ReadSecretKeys","Resource":"*"}]}`)
	if _, err := f.Secrets.ReadKeys(f.ctx, who, secret.KVRead{ID: id("s")}); err != nil {
		t.Errorf("reading keys: %v", err)
	}
	_, err = f.Secrets.ReadVersion(f.ctx, who, secret.KVRead{ID: id("s")})
	f.expect(err, "denied/no-match")
}

// A time of deletion needs nobody to carry it out.
func TestDeleteVersionAfter(t *testing.T) {
	f := start(t, coretest.Config{})
	hour := secret.KVSettings{DeleteAfter: ptr(time.Hour)}
	set := func(s string, d time.Duration) {
		_, err := f.Secrets.KVSet(f.ctx, f.Admin, secret.KVSet{ID: id(s), DeleteAfter: &d})
		f.must(err)
	}
	for _, x := range []struct {
		name       string
		own, mount time.Duration // 0: says nothing
		want       time.Duration
	}{
		{"neither", 0, 0, 0}, {"secret", 2 * time.Hour, 0, 2 * time.Hour}, {"mount", 0, time.Hour, time.Hour},
		{"shorter-of-both", 2 * time.Hour, time.Hour, time.Hour}, {"longer-mount", time.Hour, 2 * time.Hour, time.Hour},
		{"mount-says-never", time.Hour, -time.Second, 0},
	} {
		t.Run(x.name, func(t *testing.T) {
			f := &fixture{f.Core, t, f.ctx}
			f.kvPut(x.name, "a")
			set(x.name, x.own)
			w, err := f.Secrets.KVPut(f.ctx, f.Admin, secret.KVWrite{ID: id(x.name), Value: *text("b"), Defaults: secret.KVSettings{DeleteAfter: &x.mount}})
			f.must(err)
			got := time.Duration(0)
			if !w.Deletes.IsZero() {
				got = w.Deletes.Sub(w.Created)
			}
			if got != x.want {
				t.Errorf("deleted after %s, want %s", got, x.want)
			}
		})
	}
	f.create("s", "a") // before there was a time
	set("s", time.Hour)
	f.put("s", 2, "b") // of whatever front
	later := f.Admin
	later.Time = time.Now().Add(61 * time.Minute)
	at := func(who caller.Caller) string {
		return strings.Join([]string{f.readAs(who, secret.ReadRequest{ID: id("s")}), f.readAs(who, secret.ReadRequest{ID: id("s"), VersionID: token(2)}),
			f.readAs(who, secret.ReadRequest{ID: id("s"), Label: name.Previous})}, " ")
	}
	if got, want := at(f.Admin), "b b a"; got != want {
		t.Errorf("before its time it reads %s, want %s", got, want)
	}
	if got, want := at(later), "(not-found/label) (not-found/version) a"; got != want {
		t.Errorf("after its time it reads %s, want %s", got, want)
	}
	vs, err := f.Secrets.ListVersions(f.ctx, later, secret.VersionsRequest{ID: id("s")})
	f.must(err)
	if v := vs.Versions[0]; v.State != secret.Deleted || v.Deleted.IsZero() {
		t.Errorf("listed as %+v", v)
	}
	if v, err := f.Secrets.ReadVersion(f.ctx, later, secret.KVRead{ID: id("s")}); err != nil || !v.Gone || v.Data.Len() != 0 {
		t.Errorf("at KV: %+v %v", v, err)
	}
	if v, err := f.Secrets.ReadVersion(f.ctx, f.Admin, secret.KVRead{ID: id("s")}); err != nil || v.Gone || v.Deleted.IsZero() || string(v.Data.Reveal()) != "b" {
		t.Errorf("at KV, before: %+v %v", v, err)
	}
	f.sound()

	// Its time over, a version is like any that was deleted.
	set("s", time.Microsecond)
	f.put("s", 3, "c")
	if got := f.kvRead("s", 0); got != "(deleted)" {
		t.Errorf("reads %s", got)
	}
	_, err = f.Secrets.MoveLabel(f.ctx, f.Admin, secret.LabelRequest{ID: id("s"), Label: "mine", To: token(3)})
	f.expect(err, "not-found/version")
	if res := f.versions("delete", "s"); res.ID != "" {
		t.Errorf("deleted anew: %+v", res)
	}
	set("s", 0)
	f.versions("undelete", "s", 3)
	if got := f.kvRead("s", 0); got != "c" {
		t.Errorf("undeleted it reads %s", got)
	}
	f.versions("delete", "s")
	_, err = f.Secrets.UndeleteVersions(f.ctx, f.Admin, secret.KVVersions{ID: id("s"), Numbers: []uint64{3}, Defaults: hour})
	f.must(err)
	if v, err := f.Secrets.ReadVersion(f.ctx, f.Admin, secret.KVRead{ID: id("s")}); err != nil || v.Deleted.Before(time.Now().Add(59*time.Minute)) {
		t.Errorf("undeleted, its time begins anew: %v %v", v.Deleted, err)
	}
	f.sound()
}

func TestMaxVersions(t *testing.T) {
	f := start(t, coretest.Config{Keep: 8})
	limit := func(n uint64) {
		_, err := f.Secrets.KVSet(f.ctx, f.Admin, secret.KVSet{ID: id("s"), MaxVersions: &n})
		f.must(err)
	}
	f.create("s", "v1")
	_, err := f.Secrets.MoveLabel(f.ctx, f.Admin, secret.LabelRequest{ID: id("s"), Label: "KEEP", To: token(2)})
	f.expect(err, "not-found/version")
	f.put("s", 2, "v2")
	_, err = f.Secrets.MoveLabel(f.ctx, f.Admin, secret.LabelRequest{ID: id("s"), Label: "KEEP", To: token(2)})
	f.must(err)
	for n := 3; n <= 7; n++ {
		f.put("s", n, "v")
	}
	limit(4)
	if got, want := f.labels("s"), "7:AWSCURRENT 6:AWSPREVIOUS 5: 4: 3: 2:KEEP 1:"; got != want {
		t.Errorf("a limit alone removes nothing: %q", got)
	}
	f.kvPut("s", "v8")
	if got, want := f.labels("s"), "8:AWSCURRENT 7:AWSPREVIOUS 6: 2:KEEP"; got != want {
		t.Errorf("kept %q, want %q", got, want)
	}
	m, err := f.Secrets.KVDescribe(f.ctx, f.Admin, id("s"))
	f.must(err)
	if m.Oldest != 2 || m.Current != 8 || *m.Settings.MaxVersions != 4 {
		t.Errorf("described as %+v", m)
	}
	limit(1) // fewer than have labels
	f.kvPut("s", "v9")
	if got, want := f.labels("s"), "9:AWSCURRENT 8:AWSPREVIOUS 2:KEEP"; got != want {
		t.Errorf("kept %q, want %q", got, want)
	}
	limit(0) // the server's
	for n := 10; n <= 20; n++ {
		f.put("s", n, "v")
	}
	if got := len(strings.Fields(f.labels("s"))); got != 8 {
		t.Errorf("%d are kept, want the server's 8", got)
	}
	_, err = f.Secrets.KVPut(f.ctx, f.Admin, secret.KVWrite{ID: id("s"), Value: *text("v"), Defaults: secret.KVSettings{MaxVersions: ptr[uint64](3)}})
	f.must(err)
	if got, want := f.labels("s"), "21:AWSCURRENT 20:AWSPREVIOUS 2:KEEP"; got != want {
		t.Errorf("under the mount's limit kept %q, want %q", got, want)
	}
	f.sound()
}

// A secret that was marked for deletion reads as if all of its versions were
// deleted, and undeleting one takes the mark off.
func TestMarkedForDeletionAtKV(t *testing.T) {
	f := start(t, coretest.Config{})
	f.create("s", "a")
	f.put("s", 2, "b")
	f.versions("delete", "s", 1)
	_, err := f.Secrets.Delete(f.ctx, f.Admin, secret.DeleteRequest{ID: id("s")})
	f.must(err)
	for n := range uint64(3) {
		if got := f.kvRead("s", n); got != "(deleted)" {
			t.Errorf("version %d reads %s", n, got)
		}
	}
	m, err := f.Secrets.KVDescribe(f.ctx, f.Admin, id("s"))
	f.must(err)
	if m.Deleted.IsZero() || !m.Versions[2].Deleted.Equal(m.Deleted) || !m.Versions[1].Deleted.Before(m.Deleted) {
		t.Errorf("described as %+v", m)
	}
	if res := f.versions("delete", "s"); res.ID != "" {
		t.Errorf("deleting what is deleted: %+v", res)
	}
	_, err = f.Secrets.KVSet(f.ctx, f.Admin, secret.KVSet{ID: id("s"), MaxVersions: ptr[uint64](1)})
	f.expect(err, "precondition/marked-for-deletion")
	half, _ := f.User(t, "half", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"countersign:UndeleteSecretVersion","Resource":"*"}]}`)
	_, err = f.Secrets.UndeleteVersions(f.ctx, half, secret.KVVersions{ID: id("s"), Numbers: []uint64{2}})
	f.expect(err, "denied/no-match")
	f.versions("destroy", "s", 1)
	f.versions("undelete", "s", 2)
	for n, want := range map[uint64]string{0: "b", 1: "(destroyed)", 2: "b"} {
		if got := f.kvRead("s", n); got != want {
			t.Errorf("version %d reads %s, want %s", n, got, want)
		}
	}
	if got := f.read(secret.ReadRequest{ID: id("s")}); got != "b" {
		t.Errorf("at AWS it reads %s", got)
	}
	for k := range f.Dump(t) {
		if strings.Contains(k, "purge") {
			t.Errorf("key %q is left of the mark", k)
		}
	}
	f.sound()
}

func TestVersionsRequests(t *testing.T) {
	f := start(t, coretest.Config{})
	f.create("s", "a")
	_, err := f.Secrets.Replicate(f.ctx, f.Admin, id("s"), []secret.Replica{{Region: coretest.Second}}, false, "")
	f.must(err)
	many := make([]uint64, 41)
	for i := range many {
		many[i] = uint64(i + 1)
	}
	for _, do := range []func(secret.KVVersions) error{
		func(r secret.KVVersions) error { _, err := f.Secrets.DeleteVersions(f.ctx, f.Admin, r); return err },
		func(r secret.KVVersions) error { _, err := f.Secrets.UndeleteVersions(f.ctx, f.Admin, r); return err },
		func(r secret.KVVersions) error { _, err := f.Secrets.DestroyVersions(f.ctx, f.Admin, r); return err },
	} {
		f.unchanged(func() {
			f.expect(do(secret.KVVersions{ID: id("s"), Numbers: []uint64{}}), "invalid@versions")
			f.expect(do(secret.KVVersions{ID: id("s"), Numbers: []uint64{0}}), "invalid@versions")
			f.expect(do(secret.KVVersions{ID: id("s"), Numbers: many}), "limit")
			f.expect(do(secret.KVVersions{ID: id("absent"), Numbers: []uint64{1}}), "ok")
			f.expect(do(secret.KVVersions{ID: id("absent"), Numbers: []uint64{1}, Exists: true}), "not-found/secret")
		})
	}
	replica := f.asIn(coretest.Second)
	_, err = f.Secrets.DeleteVersions(f.ctx, replica, secret.KVVersions{ID: id("s")})
	f.expect(err, "precondition/replica")
	f.versions("delete", "s")
	if got := f.readAs(replica, secret.ReadRequest{ID: id("s")}); got != "(not-found/label)" {
		t.Errorf("the replica reads %s", got)
	}
	f.versions("undelete", "s", 1)
	f.put("s", 2, "b")
	f.versions("destroy", "s", 1)
	_, err = f.Secrets.Promote(f.ctx, replica, id("s"), "")
	f.must(err)
	if got := f.readAs(replica, secret.ReadRequest{ID: id("s")}) + f.readAs(replica, secret.ReadRequest{ID: id("s"), Label: name.Previous}); got != "b(not-found/label)" {
		t.Errorf("promoted it reads %s", got)
	}
	f.sound()
}

func TestKVSet(t *testing.T) {
	f := start(t, coretest.Config{})
	set := func(req secret.KVSet) error { _, err := f.Secrets.KVSet(f.ctx, f.Admin, req); return err }
	tags := func(pairs ...string) map[string]*string {
		m := map[string]*string{}
		for _, p := range pairs {
			if k, v, ok := strings.Cut(p, "="); ok {
				m[k] = &v
			} else {
				m[k] = nil
			}
		}
		return m
	}
	shown := func() string {
		m, err := f.Secrets.KVDescribe(f.ctx, f.Admin, id("s"))
		f.must(err)
		out := ""
		if s := m.Settings; s.MaxVersions != nil {
			out += fmt.Sprintf("max %d ", *s.MaxVersions)
		}
		if s := m.Settings; s.CASRequired != nil {
			out += "cas "
		}
		if s := m.Settings; s.DeleteAfter != nil {
			out += fmt.Sprintf("after %s ", *s.DeleteAfter)
		}
		for _, k := range slices.Sorted(maps.Keys(m.Settings.Tags)) {
			out += k + "=" + m.Settings.Tags[k] + " "
		}
		return strings.TrimSpace(out)
	}
	f.expect(set(secret.KVSet{ID: id("s"), Merge: true, MaxVersions: ptr[uint64](1)}), "not-found/secret")
	f.expect(set(secret.KVSet{ID: id("s")}), "ok") // asks for nothing
	f.expect(func() error { _, err := f.Secrets.KVDescribe(f.ctx, f.Admin, id("s")); return err }(), "not-found/secret")
	for _, x := range []struct {
		name string
		req  secret.KVSet
		code string
		want string
	}{
		{"creates", secret.KVSet{MaxVersions: ptr[uint64](3), Tags: tags("a=1", "b=2")}, "ok", "max 3 a=1 b=2"},
		{"adds", secret.KVSet{CASRequired: ptr(true), DeleteAfter: ptr(90 * time.Second)}, "ok", "max 3 cas after 1m30s a=1 b=2"},
		{"replaces-tags", secret.KVSet{Tags: tags("b=3", "c=4")}, "ok", "max 3 cas after 1m30s b=3 c=4"},
		{"merges-tags", secret.KVSet{Merge: true, Tags: tags("b", "d=5", "nowhere")}, "ok", "max 3 cas after 1m30s c=4 d=5"},
		{"takes-away", secret.KVSet{MaxVersions: ptr[uint64](0), CASRequired: ptr(false), DeleteAfter: ptr(time.Duration(0)), Tags: tags()}, "ok", ""},
		{"negative", secret.KVSet{DeleteAfter: ptr(-time.Second)}, "invalid@delete_version_after", ""},
		{"centuries", secret.KVSet{DeleteAfter: ptr(200 * 365 * 24 * time.Hour)}, "invalid@delete_version_after", ""},
		{"no-value", secret.KVSet{Tags: tags("a")}, "invalid@custom_metadata", ""},
		{"reserved", secret.KVSet{Tags: tags("aws:x=1")}, "invalid@Tags", ""},
		{"reserved-to-remove", secret.KVSet{Merge: true, Tags: tags("aws:x")}, "invalid@Tags", ""},
	} {
		t.Run(x.name, func(t *testing.T) {
			f := &fixture{f.Core, t, f.ctx}
			x.req.ID = id("s")
			f.expect(set(x.req), x.code)
			if got := shown(); got != x.want {
				t.Errorf("shown as %q, want %q", got, x.want)
			}
			if x.code == "ok" {
				f.unchanged(func() { f.must(set(x.req)) })
			}
		})
	}
	if w := f.kvPut("s", "v"); w.Number != 1 {
		t.Errorf("the first version is %+v", w)
	}
	f.sound()
}

// Settings take the permissions that they are about, and nobody takes them from
// themselves.
func TestKVSetAsksForTags(t *testing.T) {
	f := start(t, coretest.Config{})
	f.create("s", "v")
	_, err := f.Secrets.Tag(f.ctx, f.Admin, id("s"), []secret.Tag{{Key: "team", Value: "blue"}}, "")
	f.must(err)
	user := func(n, actions, condition string) caller.Caller {
		who, _ := f.User(t, n, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":[`+actions+`],"Resource":"*"`+condition+`}]}`)
		return who
	}
	const update, tag, untag = `"secretsmanager:UpdateSecret"`, `"secretsmanager:TagResource"`, `"secretsmanager:UntagResource"`
	own := `,"Condition":{"StringEquals":{"aws:ResourceTag/team":"blue"}}`
	settings := secret.KVSet{ID: id("s"), MaxVersions: ptr[uint64](3)}
	more := secret.KVSet{ID: id("s"), Merge: true, Tags: map[string]*string{"x": ptr("1")}}
	fewer := secret.KVSet{ID: id("s"), Tags: map[string]*string{"x": ptr("1")}}
	other := secret.KVSet{ID: id("s"), Merge: true, Tags: map[string]*string{"team": ptr("red")}}
	created := secret.KVSet{ID: id("new"), MaxVersions: ptr[uint64](3)}
	for _, x := range []struct {
		name string
		who  caller.Caller
		req  secret.KVSet
		want string
	}{
		{"settings", user("a", update, ""), settings, "ok"},
		{"tags-without-the-permission", user("b", update, ""), more, "denied/no-match"},
		{"tags-alone", user("c", tag+","+untag, ""), more, "denied/no-match"},
		{"tags", user("d", update+","+tag, ""), more, "ok"},
		{"untag-without-the-permission", user("e", update+","+tag, ""), fewer, "denied/no-match"},
		{"lockout", user("g", update+","+tag+","+untag, own), other, "denied/lockout"},
		{"lockout-by-leaving-out", user("h", update+","+tag+","+untag, own), fewer, "denied/lockout"},
		{"create-without-the-permission", user("i", update, ""), created, "denied/no-match"},
		{"untag", user("f", update+","+tag+","+untag, ""), fewer, "ok"},
	} {
		t.Run(x.name, func(t *testing.T) {
			f := &fixture{f.Core, t, f.ctx}
			_, err := f.Secrets.KVSet(f.ctx, x.who, x.req)
			f.expect(err, x.want)
		})
	}
}

// The check of the store finds a value that should have been destroyed, one that
// is missing, and a label that says what is not so.
func TestCheckOfVersions(t *testing.T) {
	f := start(t, coretest.Config{})
	f.create("s", "a")
	f.put("s", 2, "b")
	problems := func(state secret.State) (found []string) {
		_, err := f.DB.Update(f.ctx, func(tx kv.Txn) error { return secret.SetState(tx, home("s"), 1, state) })
		f.must(err)
		f.must(f.DB.View(f.ctx, func(r kv.Reader) error {
			found = nil
			return secret.Refer(f.Ring)(r, func(_ kv.Key, problem string) { found = append(found, problem) })
		}))
		return found
	}
	const label = `label "AWSPREVIOUS" does not say of version 1 what is so`
	for state, want := range map[secret.State][]string{
		secret.Enabled:   nil,
		secret.Deleted:   {label},
		secret.Destroyed: {"version 1 has a value that it must not have", label},
	} {
		if diff := cmp.Diff(want, problems(state)); diff != "" {
			t.Errorf("%s: %s", state, diff)
		}
	}
	problems(secret.Enabled)
	f.versions("destroy", "s", 1)
	f.sound()
	if diff := cmp.Diff([]string{"the value of version 1 is missing", label}, problems(secret.Enabled)); diff != "" {
		t.Error(diff)
	}
}
