package secret_test

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/core/change"
	"countersign/internal/core/coretest"
	"countersign/internal/core/protect"
	"countersign/internal/core/schema"
	"countersign/internal/core/secret"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/name"
	"countersign/internal/sensitive"
)

const portSchema = `{"type":"object","required":["port"],"properties":{"port":{"type":"integer"},"user":{"type":"string","maxLength":8}}}`

func (f *fixture) schema(n, text string) (secret.Written, error) {
	return f.Secrets.PutSchema(f.ctx, f.Admin, secret.SchemaRequest{ID: id(n), Text: []byte(text)})
}

// withSchema is a core with the secret "s", which has versions that fit the schema
// and one before them that does not.
func withSchema(t *testing.T, n string) *fixture {
	f := start(t, coretest.Config{})
	f.create(n, `{"port":"unset"}`)
	f.put(n, 2, `{"port":1,"user":"app"}`)
	_, err := f.schema(n, portSchema)
	f.must(err)
	return f
}

// TestSchemaAtEveryWrite: whatever stores a value, or makes one current, is held
// against the schema, and nothing is written when it does not fit.
func TestSchemaAtEveryWrite(t *testing.T) {
	const misfit = "invalid/schema-value"
	bad := sensitive.FromString(`{"port":"hunter2"}`)
	for _, tt := range []struct {
		name, want string
		do         func(f *fixture) error
	}{
		{"put", misfit, func(f *fixture) error {
			_, err := f.Secrets.PutValue(f.ctx, f.Admin, secret.PutRequest{ID: id("s"), VersionID: token(3), Value: secret.Input{Data: bad}})
			return err
		}},
		{"put bytes", misfit, func(f *fixture) error {
			_, err := f.Secrets.PutValue(f.ctx, f.Admin, secret.PutRequest{ID: id("s"), VersionID: token(3), Value: secret.Input{Data: sensitive.FromString(`{"port":1}`), Binary: true}})
			return err
		}},
		{"put under a label", misfit, func(f *fixture) error {
			_, err := f.Secrets.PutValue(f.ctx, f.Admin, secret.PutRequest{ID: id("s"), VersionID: token(3), Value: secret.Input{Data: bad}, Labels: []string{"next"}})
			return err
		}},
		{"put on a base", misfit, func(f *fixture) error {
			base := uint64(2)
			_, err := f.Secrets.PutValue(f.ctx, f.Admin, secret.PutRequest{ID: id("s"), VersionID: token(3), Value: secret.Input{Data: bad}, Base: &base})
			return err
		}},
		{"update", misfit, func(f *fixture) error {
			_, err := f.Secrets.Update(f.ctx, f.Admin, secret.UpdateRequest{ID: id("s"), VersionID: token(3), Value: &secret.Input{Data: bad}})
			return err
		}},
		{"patch", misfit, func(f *fixture) error {
			_, err := f.Secrets.Patch(f.ctx, f.Admin, secret.PatchRequest{ID: id("s"), Set: map[string]sensitive.Bytes{"port": sensitive.FromString("hunter2")}})
			return err
		}},
		{"patch away", misfit, func(f *fixture) error {
			_, err := f.Secrets.Patch(f.ctx, f.Admin, secret.PatchRequest{ID: id("s"), Unset: []string{"port"}})
			return err
		}},
		{"kv put", misfit, func(f *fixture) error {
			_, err := f.Secrets.KVPut(f.ctx, f.Admin, secret.KVWrite{ID: id("s"), Value: secret.Input{Data: bad}})
			return err
		}},
		{"kv patch", misfit, func(f *fixture) error {
			_, err := f.Secrets.KVPatch(f.ctx, f.Admin, secret.KVPatch{ID: id("s"), Patch: sensitive.FromString(`{"user":"hunter2-hunter2"}`)})
			return err
		}},
		{"rollback", "precondition/schema-misfit", func(f *fixture) error {
			_, err := f.Secrets.Rollback(f.ctx, f.Admin, secret.RollbackRequest{ID: id("s"), Version: 1})
			return err
		}},
		{"label", "precondition/schema-misfit", func(f *fixture) error {
			_, err := f.Secrets.MoveLabel(f.ctx, f.Admin, secret.LabelRequest{ID: id("s"), Label: name.Current, From: token(2), To: token(1)})
			return err
		}},
		{"too much work", "limit/schema-value", func(f *fixture) error {
			_, err := f.Secrets.KVPut(f.ctx, f.Admin, secret.KVWrite{ID: id("s"), Value: *text(`{"port":1e99999999}`)})
			return err
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := withSchema(t, "s")
			var err error
			f.unchanged(func() { err = tt.do(f) })
			if got := code(err); got != tt.want {
				t.Errorf("got %s, want %s: %v", got, tt.want, err)
			}
			if strings.Contains(fmt.Sprint(err), "hunter2") || strings.Contains(fmt.Sprint(err), "unset") {
				t.Errorf("the error repeats a value: %v", err)
			}
			for _, r := range f.Records(t) {
				if strings.Contains(fmt.Sprintf("%+v", r), "hunter2") {
					t.Errorf("the audit log has a value: %+v", r)
				}
			}
			f.put("s", 9, `{"port":2}`)
			f.sound()
		})
	}
}

// An error of a stored value tells nothing of it to who may not know it.
func TestStoredValuesAreNotTold(t *testing.T) {
	f := withSchema(t, "s")
	_, err := f.Secrets.MoveLabel(f.ctx, f.Admin, secret.LabelRequest{ID: id("s"), Label: name.Current, From: token(2), To: token(1)})
	if err == nil || strings.Contains(err.Error(), "port") || strings.Contains(err.Error(), "integer") {
		t.Errorf("got %v", err)
	}
	_, err = f.Secrets.Rollback(f.ctx, f.Admin, secret.RollbackRequest{ID: id("s"), Version: 1})
	if err == nil || strings.Contains(err.Error(), "port") {
		t.Errorf("got %v", err)
	}
}

func TestPutSchema(t *testing.T) {
	engines(t, func(t *testing.T, c coretest.Config) {
		f := start(t, c)
		f.create("s", "")
		get := func(want string) {
			t.Helper()
			s, err := f.Secrets.GetSchema(f.ctx, f.Admin, id("s"))
			f.must(err)
			d, err := f.Secrets.Describe(f.ctx, f.Admin, id("s"))
			f.must(err)
			if string(s.Text) != want || d.Schema != (want != "") {
				t.Errorf("got %s, want %s; described %t", s.Text, want, d.Schema)
			}
			f.sound()
		}
		get("")
		w, err := f.schema("s", " "+portSchema+"\n") // there is no value yet
		f.must(err)
		if w.Change == "" || w.Status != change.Applied || w.VersionID != "" {
			t.Errorf("got %+v", w)
		}
		get(portSchema)
		w, err = f.schema("s", portSchema)
		f.must(err)
		if w.Change != "" {
			t.Error("the same schema is a change")
		}
		f.put("s", 1, `{"port":1}`)
		f.unchanged(func() {
			_, err := f.schema("s", `{"properties":{"port":{"minimum":5}}}`)
			f.expect(err, "precondition/schema-misfit")
			if err == nil || !strings.Contains(err.Error(), "at /port, minimum: it is too small") {
				t.Errorf("got %v", err)
			}
			_, err = f.schema("s", `{"$ref":"https://example.com/"}`)
			f.expect(err, "invalid/schema")
			_, err = f.schema("none", portSchema)
			f.expect(err, "not-found/secret")
		})
		_, err = f.schema("s", `{"type":"object"}`)
		f.must(err)
		get(`{"type":"object"}`)
		f.put("s", 2, `{}`)
		_, err = f.Secrets.DeleteSchema(f.ctx, f.Admin, id("s"), "no need")
		f.must(err)
		get("")
		f.put("s", 3, "anything")
		w, err = f.Secrets.DeleteSchema(f.ctx, f.Admin, id("s"), "")
		f.must(err)
		if w.Change != "" {
			t.Error("removing nothing is a change")
		}
		var ops []string
		for _, r := range f.Records(t) {
			if strings.HasSuffix(r.Operation, "PutSchema") || strings.HasSuffix(r.Operation, "DeleteSchema") {
				ops = append(ops, fmt.Sprint(r.Operation, " ", r.Resource, " ", r.Error, " ", r.Change != ""))
			}
		}
		want := []string{"PutSchema s  true", "PutSchema s  false", "PutSchema s precondition/schema-misfit false", "PutSchema s invalid/schema false",
			"PutSchema none not-found/secret false", "PutSchema s  true", "DeleteSchema s  true", "DeleteSchema s  false"}
		slices.Sort(want) // a refusal is written at once, and what was done is relayed
		slices.Sort(ops)
		if d := cmp.Diff(want, ops); d != "" {
			t.Error(d)
		}
	})
}

// TestSchemaIsNoOracle: a schema that is set is held against the value, so who may
// not read the value may not set one, whether it would fit or not, nor propose one.
func TestSchemaIsNoOracle(t *testing.T) {
	f := start(t, coretest.Config{})
	f.create("s", "hunter2")
	grant := func(n string, actions ...string) string {
		return fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["%s"],"Resource":"*"}]}`, strings.Join(actions, `","`))
	}
	writer, _ := f.User(t, "writer", grant("w", "countersign:PutSecretSchema", "countersign:GetSecretSchema", "secretsmanager:PutSecretValue"))
	proposer, _ := f.User(t, "proposer", grant("p", "countersign:ProposeChange", "countersign:PutSecretSchema"))
	only, _ := f.User(t, "only", grant("o", "countersign:ProposeChange"))
	reader, _ := f.User(t, "reader", grant("r", "secretsmanager:GetSecretValue"))
	both, _ := f.User(t, "both", grant("b", "secretsmanager:GetSecretValue", "countersign:PutSecretSchema"))
	f.unchanged(func() {
		for _, guess := range []string{`{"pattern":"^h"}`, `{"pattern":"^a"}`} {
			for who, c := range map[string]func() error{
				"writer": func() error {
					_, err := f.Secrets.PutSchema(f.ctx, writer, secret.SchemaRequest{ID: id("s"), Text: []byte(guess)})
					return err
				},
				"proposer": func() error {
					_, err := f.Secrets.PutSchema(f.ctx, proposer, secret.SchemaRequest{ID: id("s"), Text: []byte(guess)})
					return err
				},
				"a draft": func() error {
					_, err := f.Secrets.PutSchema(f.ctx, proposer, secret.SchemaRequest{ID: id("s"), Text: []byte(guess), Options: change.Options{Draft: true}})
					return err
				},
				"who only proposes": func() error {
					_, err := f.Secrets.PutSchema(f.ctx, only, secret.SchemaRequest{ID: id("s"), Text: []byte(guess)})
					return err
				},
				"reader": func() error {
					_, err := f.Secrets.PutSchema(f.ctx, reader, secret.SchemaRequest{ID: id("s"), Text: []byte(guess)})
					return err
				},
			} {
				if err := c(); !errs.Is(err, errs.Denied) {
					t.Errorf("%s with %s: %v", who, guess, err)
				}
			}
		}
	})
	_, err := f.Secrets.PutSchema(f.ctx, both, secret.SchemaRequest{ID: id("s"), Text: []byte(`{"pattern":"^a"}`)})
	f.expect(err, "precondition/schema-misfit")
	_, err = f.Secrets.PutSchema(f.ctx, both, secret.SchemaRequest{ID: id("s"), Text: []byte(`{"pattern":"^h"}`)})
	f.must(err)
	// Removing it is a permission of its own, and so is seeing it.
	_, err = f.Secrets.DeleteSchema(f.ctx, both, id("s"), "")
	f.expect(err, "denied/no-match")
	_, err = f.Secrets.GetSchema(f.ctx, reader, id("s"))
	f.expect(err, "denied/no-match")
	_, err = f.Secrets.CheckSchema(f.ctx, reader, id("s"), *text("x"))
	f.expect(err, "denied/no-match")
	// Checking judges what is presented, and looks at nothing else.
	for value, problems := range map[string]int{"hunter3": 0, "a": 1} {
		v, err := f.Secrets.CheckSchema(f.ctx, writer, id("s"), *text(value))
		f.must(err)
		if !v.Schema || len(v.Problems) != problems {
			t.Errorf("%s: %+v", value, v)
		}
	}
}

func (f *fixture) decide(r change.Review) error {
	digest, err := hex.DecodeString(r.Digest)
	f.must(err)
	_, err = f.Changes.Vote(f.ctx, f.Admin, change.VoteRequest{ID: r.Record.ID, Approve: true, Digest: digest})
	return err
}

// TestSchemaAndReview: a protected secret's schema is proposed, and a proposal is held
// against the schema when it is made, and when it is applied.
func TestSchemaAndReview(t *testing.T) {
	f := start(t, coretest.Config{})
	f.create("guarded/s", `{"port":1}`)
	f.protect()
	w, err := f.schema("guarded/s", portSchema)
	f.must(err)
	if w.Status != change.Pending {
		t.Fatalf("got %+v", w)
	}
	again, err := f.schema("guarded/s", portSchema)
	f.must(err)
	if again.Change != w.Change {
		t.Error("the same proposal is made twice")
	}
	f.put("guarded/s", 2, `{"port":"late"}`) // there is no schema yet
	list := f.waiting()
	if len(list) != 2 {
		t.Fatalf("%d changes wait", len(list))
	}
	var set, put change.Review
	for _, r := range list {
		if r.Record.Operation == "PutSchema" {
			set = r
		} else {
			put = r
		}
	}
	if set.Record.Kind != string(protect.Edit) || len(set.Lines) < 5 || set.Lines[0] != "sets the schema of the value" || !strings.Contains(strings.Join(set.Lines, "\n"), `+       "maxLength": 8`) {
		t.Errorf("the review says %q (%s)", set.Lines, set.Record.Kind)
	}
	f.must(f.decide(set))
	f.sound()
	// What waited is at odds with it now, and cannot be applied.
	put, err = f.Changes.Get(f.ctx, f.Admin, put.Record.ID)
	f.must(err)
	if put.Record.Status != change.Conflicted || !strings.Contains(put.Conflict, "at /port, type: it has to be of type integer") || strings.Contains(put.Conflict, "late") {
		t.Errorf("it is %s: %s", put.Record.Status, put.Conflict)
	}
	f.expect(f.decide(put), "conflict/conflict")
	if got := f.read(secret.ReadRequest{ID: id("guarded/s")}); got != `{"port":1}` {
		t.Errorf("current is %s", got)
	}
	// What does not fit is not proposed.
	f.unchanged(func() {
		for what, err := range map[string]func() error{
			"put": func() error {
				_, err := f.Secrets.PutValue(f.ctx, f.Admin, secret.PutRequest{ID: id("guarded/s"), VersionID: token(3), Value: *text(`{"port":"x"}`)})
				return err
			},
			"patch": func() error {
				_, err := f.Secrets.Patch(f.ctx, f.Admin, secret.PatchRequest{ID: id("guarded/s"), Unset: []string{"port"}})
				return err
			},
			"draft": func() error {
				_, err := f.Secrets.Patch(f.ctx, f.Admin, secret.PatchRequest{ID: id("guarded/s"), Unset: []string{"port"}, Options: change.Options{Draft: true}})
				return err
			},
		} {
			if got := code(err()); got != "invalid/schema-value" {
				t.Errorf("%s: %s", what, got)
			}
		}
	})
	// A schema that waits and no longer fits the value says no more than that.
	_, err = f.schema("guarded/s", `{"type":"object","properties":{"port":{"const":1}}}`)
	f.must(err)
	w = f.put("guarded/s", 4, `{"port":2}`)
	for _, r := range f.waiting() {
		if r.Record.ID == w.Change {
			f.must(f.decide(r))
		}
	}
	for _, r := range f.waiting() {
		if r.Record.Operation == "PutSchema" && (r.Record.Status != change.Conflicted || strings.Contains(r.Conflict, "port") || !strings.Contains(r.Conflict, "the current value does not fit")) {
			t.Errorf("it is %s: %s", r.Record.Status, r.Conflict)
		}
	}
	// Removing one is reviewed as well.
	w, err = f.Secrets.DeleteSchema(f.ctx, f.Admin, id("guarded/s"), "")
	f.must(err)
	r, err := f.Changes.Get(f.ctx, f.Admin, w.Change)
	f.must(err)
	if w.Status != change.Pending || r.Lines[0] != "removes the schema of the value: any value is taken" || len(r.Lines) < 5 {
		t.Errorf("%s: %q", w.Status, r.Lines)
	}
	f.must(f.decide(r))
	s, err := f.Secrets.GetSchema(f.ctx, f.Admin, id("guarded/s"))
	f.must(err)
	if s.Text != nil {
		t.Error("it is still there")
	}
	f.sound()
}

// A deleted value that comes back has to fit what was set meanwhile.
func TestSchemaAndUndelete(t *testing.T) {
	f := start(t, coretest.Config{})
	f.create("s", `{"port":"x"}`)
	f.versions("delete", "s", 1)
	_, err := f.schema("s", portSchema)
	f.must(err)
	_, err = f.Secrets.UndeleteVersions(f.ctx, f.Admin, secret.KVVersions{ID: id("s"), Numbers: []uint64{1}})
	f.expect(err, "precondition/schema-misfit")
	f.put("s", 2, `{"port":1}`)
	_, err = f.Secrets.UndeleteVersions(f.ctx, f.Admin, secret.KVVersions{ID: id("s"), Numbers: []uint64{1}}) // it is history now
	f.must(err)
	f.sound()
}

func TestSchemaAndReplicas(t *testing.T) {
	f := withSchema(t, "s")
	_, err := f.replicate("s", false)
	f.must(err)
	there := f.asIn(coretest.Second)
	get := func(want string) {
		t.Helper()
		s, err := f.Secrets.GetSchema(f.ctx, there, id("s"))
		f.must(err)
		if string(s.Text) != want {
			t.Errorf("there it is %q", s.Text)
		}
	}
	get(portSchema)
	_, err = f.Secrets.PutSchema(f.ctx, there, secret.SchemaRequest{ID: id("s"), Text: []byte(`true`)})
	f.expect(err, "precondition/replica")
	_, err = f.schema("s", `{"type":"object"}`)
	f.must(err)
	get(`{"type":"object"}`)
	_, err = f.Secrets.Promote(f.ctx, there, id("s"), "")
	f.must(err)
	_, err = f.Secrets.DeleteSchema(f.ctx, f.Admin, id("s"), "")
	f.must(err)
	get(`{"type":"object"}`)
	_, err = f.Secrets.PutValue(f.ctx, there, secret.PutRequest{ID: id("s"), VersionID: token(8), Value: *text("x")})
	f.expect(err, "invalid/schema-value")
	f.sound()
}

// With the secret its schema goes, and a name that is made anew has none.
func TestSchemaGoesWithTheSecret(t *testing.T) {
	f := withSchema(t, "s")
	_, err := f.Secrets.Delete(f.ctx, f.Admin, secret.DeleteRequest{ID: id("s"), Force: true})
	f.must(err)
	for k := range f.Dump(t) {
		if strings.Contains(k, "schema") {
			t.Errorf("%q is left", k)
		}
	}
	f.create("s", "anything")
	f.sound()
}

// A repair notices a schema that is not the secret's.
func TestSchemaIsChecked(t *testing.T) {
	n := name.Secret{Account: coretest.Home, Region: coretest.Region, Name: "s"}
	for what, do := range map[string]func(tx kv.Txn) error{
		"gone":    func(tx kv.Txn) error { return tx.Delete(secret.SchemaKey(tx, n)) },
		"another": func(tx kv.Txn) error { return secret.SetSchema(tx, n, `{"type":"string"}`) },
	} {
		t.Run(what, func(t *testing.T) {
			f := withSchema(t, "s")
			_, err := f.DB.Update(f.ctx, do)
			f.must(err)
			found := 0
			f.must(f.DB.View(f.ctx, func(r kv.Reader) error {
				found = 0
				return secret.Refer(f.Ring)(r, func(kv.Key, string) { found++ })
			}))
			if found != 1 {
				t.Errorf("%d problems were found", found)
			}
		})
	}
}

// The largest schema is kept.
func TestLargestSchema(t *testing.T) {
	f := start(t, coretest.Config{})
	f.create("s", "v")
	long := `{"title":"` + strings.Repeat("x", schema.MaxText-12) + `"}`
	_, err := f.schema("s", long)
	f.must(err)
	_, err = f.schema("s", long+" ")
	f.expect(err, "limit/schema")
	s, err := f.Secrets.GetSchema(f.ctx, f.Admin, id("s"))
	f.must(err)
	if string(s.Text) != long {
		t.Error("it is another")
	}
}
