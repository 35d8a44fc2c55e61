package secret_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/core/coretest"
	"countersign/internal/core/secret"
	"countersign/internal/errs"
	"countersign/internal/name"
	"countersign/internal/sensitive"
)

func TestLifeOfASecret(t *testing.T) {
	engines(t, func(t *testing.T, c coretest.Config) {
		f := start(t, c)
		w := f.create("myapp/database", `{"user":"a","pass":"1"}`)
		if w.VersionID != token(1) || w.Number != 1 || !slices.Equal(w.Labels, []string{name.Current}) || w.Change == "" {
			t.Errorf("created %+v", w)
		}
		if p, s, ok := name.CutSuffix(w.ARN); !ok || p != "arn:aws:secretsmanager:us-east-1:111111111111:secret:myapp/database" || len(s) != 6 {
			t.Errorf("ARN %q", w.ARN)
		}
		if got := f.put("myapp/database", 2, `{"user":"a","pass":"2"}`); got.Number != 2 || got.ARN != w.ARN {
			t.Errorf("put %+v", got)
		}
		if got, want := f.labels("myapp/database"), "2:AWSCURRENT 1:AWSPREVIOUS"; got != want {
			t.Errorf("labels %q, want %q", got, want)
		}
		for _, x := range []struct {
			name string
			req  secret.ReadRequest
			want string
		}{
			{"by-name", secret.ReadRequest{ID: id("myapp/database")}, `{"user":"a","pass":"2"}`},
			{"by-arn", secret.ReadRequest{ID: coretest.ID(t, w.ARN)}, `{"user":"a","pass":"2"}`},
			{"by-partial-arn", secret.ReadRequest{ID: coretest.ID(t, w.ARN[:len(w.ARN)-7])}, `{"user":"a","pass":"2"}`},
			{"by-arn-of-other-suffix", secret.ReadRequest{ID: coretest.ID(t, w.ARN[:len(w.ARN)-6]+"abcdef")}, "(not-found/secret)"},
			{"by-arn-of-other-region", secret.ReadRequest{ID: coretest.ID(t, strings.Replace(w.ARN, "us-east-1", "eu-west-1", 1))}, "(not-found/secret)"},
			{"by-label", secret.ReadRequest{ID: id("myapp/database"), Label: name.Previous}, `{"user":"a","pass":"1"}`},
			{"by-version-id", secret.ReadRequest{ID: id("myapp/database"), VersionID: token(1)}, `{"user":"a","pass":"1"}`},
			{"by-number", secret.ReadRequest{ID: id("myapp/database"), Number: 1}, `{"user":"a","pass":"1"}`},
			{"by-all", secret.ReadRequest{ID: id("myapp/database"), VersionID: token(1), Number: 1, Label: name.Previous}, `{"user":"a","pass":"1"}`},
			{"label-of-another", secret.ReadRequest{ID: id("myapp/database"), VersionID: token(1), Label: name.Current}, "(precondition/label-mismatch)"},
			{"label-that-is-nowhere", secret.ReadRequest{ID: id("myapp/database"), VersionID: token(1), Label: "X"}, "(precondition/label-mismatch)"},
			{"number-of-another", secret.ReadRequest{ID: id("myapp/database"), VersionID: token(2), Number: 1}, "(not-found/version)"},
			{"no-label", secret.ReadRequest{ID: id("myapp/database"), Label: name.Pending}, "(not-found/label)"},
			{"no-version", secret.ReadRequest{ID: id("myapp/database"), VersionID: token(9)}, "(not-found/version)"},
			{"no-number", secret.ReadRequest{ID: id("myapp/database"), Number: 9}, "(not-found/version)"},
			{"no-secret", secret.ReadRequest{ID: id("myapp/other")}, "(not-found/secret)"},
		} {
			t.Run(x.name, func(t *testing.T) {
				if got := f.read(x.req); got != x.want {
					t.Errorf("read %s, want %s", got, x.want)
				}
			})
		}
		last := f.Records(t)
		put := last[slices.IndexFunc(last, func(r auditRecord) bool { return r.Operation == "PutValue" })]
		if put.Version != 2 || !slices.Equal(put.Keys, []string{"pass"}) || put.Resource != "myapp/database" || put.Change == "" {
			t.Errorf("record of the put: %+v", put)
		}
	})
}

func TestNameThatEndsLikeASuffix(t *testing.T) {
	f := start(t, coretest.Config{})
	w := f.create("app-abcdef", "v")
	for arn, want := range map[string]string{
		w.ARN:                "v",
		w.ARN[:len(w.ARN)-7]: "(not-found/secret)", // as at AWS: read as secret "app" with suffix "abcdef"
	} {
		if got := f.read(secret.ReadRequest{ID: coretest.ID(t, arn)}); got != want {
			t.Errorf("%s: %s, want %s", arn, got, want)
		}
	}
	if got := f.read(secret.ReadRequest{ID: id("app-abcdef")}); got != "v" {
		t.Errorf("by name: %s", got)
	}
}

func TestCreate(t *testing.T) {
	f := start(t, coretest.Config{})
	f.create("taken", "v")
	f.create("empty", "")
	deleted := f.create("deleted", "v")
	_, err := f.Secrets.Delete(f.ctx, f.Admin, secret.DeleteRequest{ID: id("deleted")})
	f.must(err)
	tags := func(n int) (ts []secret.Tag) {
		for i := range n {
			ts = append(ts, secret.Tag{Key: fmt.Sprint("k", i)})
		}
		return ts
	}
	for _, x := range []struct {
		name   string
		req    secret.CreateRequest
		region string
		want   string
	}{
		{"same-token-and-value", secret.CreateRequest{Name: "taken", VersionID: token(1), Value: text("v")}, "", "ok"},
		{"same-token-other-value", secret.CreateRequest{Name: "taken", VersionID: token(1), Value: text("w")}, "", "exists/secret"},
		{"same-token-and-bytes-as-binary", secret.CreateRequest{Name: "taken", VersionID: token(1), Value: &secret.Input{Data: sensitive.FromString("v"), Binary: true}}, "", "exists/secret"},
		{"other-token", secret.CreateRequest{Name: "taken", VersionID: token(2), Value: text("v")}, "", "exists/secret"},
		{"taken-without-value", secret.CreateRequest{Name: "taken"}, "", "exists/secret"},
		{"empty-again", secret.CreateRequest{Name: "empty"}, "", "exists/secret"},
		{"deleted", secret.CreateRequest{Name: "deleted", VersionID: token(1), Value: text("v")}, "", "precondition/name-marked-for-deletion"},
		{"bad-name", secret.CreateRequest{Name: "a/../b"}, "", "invalid/secret-name"},
		{"control-in-name", secret.CreateRequest{Name: "a\x00b"}, "", "invalid/secret-name"},
		{"no-name", secret.CreateRequest{}, "", "invalid/too-short"},
		{"long-name", secret.CreateRequest{Name: strings.Repeat("a", 513)}, "", "invalid/too-long"},
		{"no-token", secret.CreateRequest{Name: "new", Value: text("v")}, "", "invalid@ClientRequestToken"},
		{"empty-value", secret.CreateRequest{Name: "new", VersionID: token(1), Value: text("")}, "", "invalid/too-short"},
		{"large-value", secret.CreateRequest{Name: "new", VersionID: token(1), Value: text(strings.Repeat("x", secret.MaxValue+1))}, "", "limit/value"},
		{"description", secret.CreateRequest{Name: "new", Description: "a\x00"}, "", "invalid@Description"},
		{"long-type", secret.CreateRequest{Name: "new", Type: strings.Repeat("x", 257)}, "", "invalid/too-long"},
		{"tags", secret.CreateRequest{Name: "new", Tags: tags(51)}, "", "limit/tags"},
		{"ten-thousand-tags", secret.CreateRequest{Name: "new", Tags: tags(10_000)}, "", "limit/tags"},
		{"tag-twice", secret.CreateRequest{Name: "new", Tags: []secret.Tag{{Key: "a"}, {Key: "a"}}}, "", "invalid@Tags"},
		{"reserved-tag", secret.CreateRequest{Name: "new", Tags: []secret.Tag{{Key: "AWS:x"}}}, "", "invalid@Tags"},
		{"region", secret.CreateRequest{Name: "new"}, "mars-1", "invalid/region"},
		{"replica-region", secret.CreateRequest{Name: "new", Replicas: []secret.Replica{{Region: "mars-1"}}}, "", "invalid/region"},
		{"replica-at-home", secret.CreateRequest{Name: "new", Replicas: []secret.Replica{{Region: coretest.Region}}}, "", "invalid/region"},
		{"long-reason", secret.CreateRequest{Name: "new", Reason: strings.Repeat("x", 2049)}, "", "invalid/too-long"},
	} {
		t.Run(x.name, func(t *testing.T) {
			who := f.Admin
			if x.region != "" {
				who.Region = x.region
			}
			f.unchanged(func() {
				w, err := f.Secrets.Create(f.ctx, who, x.req)
				f.expect(err, x.want)
				if err == nil && (w.Change != "" || w.VersionID != token(1) || w.Number != 1) {
					t.Errorf("answered %+v", w)
				}
			})
		})
	}
	t.Run("largest-value", func(t *testing.T) {
		f.create("large", strings.Repeat("x", secret.MaxValue))
		if got := f.read(secret.ReadRequest{ID: id("large")}); len(got) != secret.MaxValue {
			t.Errorf("%d bytes", len(got))
		}
	})
	t.Run("forced-delete-frees-the-name", func(t *testing.T) {
		_, err := f.Secrets.Delete(f.ctx, f.Admin, secret.DeleteRequest{ID: id("deleted"), Force: true})
		f.must(err)
		again := f.create("deleted", "new")
		if again.ARN == deleted.ARN {
			t.Errorf("the ARN is the old one")
		}
		if got := f.read(secret.ReadRequest{ID: coretest.ID(t, deleted.ARN)}); got != "(not-found/secret)" {
			t.Errorf("by the old ARN: %s", got)
		}
		if got := f.labels("deleted"); got != "1:AWSCURRENT" {
			t.Errorf("versions %q", got)
		}
	})
}

func TestPutValue(t *testing.T) {
	f := start(t, coretest.Config{})
	f.create("s", "one")
	f.put("s", 2, "two")
	many := make([]string, 21)
	for i := range many {
		many[i] = fmt.Sprint("L", i)
	}
	zero, five := uint64(0), uint64(5)
	for _, x := range []struct {
		name string
		req  secret.PutRequest
		want string
	}{
		{"same-token-and-value", secret.PutRequest{ID: id("s"), VersionID: token(2), Value: *text("two")}, "ok"},
		{"same-token-and-value-of-old", secret.PutRequest{ID: id("s"), VersionID: token(1), Value: *text("one")}, "ok"},
		{"same-token-other-value", secret.PutRequest{ID: id("s"), VersionID: token(2), Value: *text("three")}, "exists/token"},
		{"same-token-as-binary", secret.PutRequest{ID: id("s"), VersionID: token(2), Value: secret.Input{Data: sensitive.FromString("two"), Binary: true}}, "exists/token"},
		{"no-secret", secret.PutRequest{ID: id("none"), VersionID: token(3), Value: *text("x")}, "not-found/secret"},
		{"no-token", secret.PutRequest{ID: id("s"), Value: *text("x")}, "invalid@ClientRequestToken"},
		{"short-token", secret.PutRequest{ID: id("s"), VersionID: "short", Value: *text("x")}, "invalid@ClientRequestToken"},
		{"empty", secret.PutRequest{ID: id("s"), VersionID: token(3)}, "invalid/too-short"},
		{"labels", secret.PutRequest{ID: id("s"), VersionID: token(3), Value: *text("x"), Labels: many}, "limit/labels"},
		{"empty-label", secret.PutRequest{ID: id("s"), VersionID: token(3), Value: *text("x"), Labels: []string{""}}, "invalid@VersionStage"},
		{"base-none", secret.PutRequest{ID: id("s"), VersionID: token(3), Value: *text("x"), Base: &zero}, "conflict/base-version"},
		{"base-unknown", secret.PutRequest{ID: id("s"), VersionID: token(3), Value: *text("x"), Base: &five}, "conflict/base-version"},
	} {
		t.Run(x.name, func(t *testing.T) {
			f.unchanged(func() {
				w, err := f.Secrets.PutValue(f.ctx, f.Admin, x.req)
				f.expect(err, x.want)
				if err == nil && (w.Change != "" || w.VersionID != x.req.VersionID) {
					t.Errorf("answered %+v", w)
				}
			})
		})
	}
}

func TestUpdate(t *testing.T) {
	f := start(t, coretest.Config{})
	f.create("s", "one")
	str := func(s string) *string { return &s }
	for _, x := range []struct {
		name string
		req  secret.UpdateRequest
		want string
	}{
		{"token-taken-same-value", secret.UpdateRequest{ID: id("s"), VersionID: token(1), Value: text("one")}, "exists/token"},
		{"token-taken-other-value", secret.UpdateRequest{ID: id("s"), VersionID: token(1), Value: text("two")}, "exists/token"},
		{"no-token", secret.UpdateRequest{ID: id("s"), Value: text("two")}, "invalid@ClientRequestToken"},
		{"no-secret", secret.UpdateRequest{ID: id("none"), Description: str("x")}, "not-found/secret"},
		{"description", secret.UpdateRequest{ID: id("s"), Description: str(strings.Repeat("x", 2049))}, "invalid/too-long"},
		{"description-kept-out", secret.UpdateRequest{ID: id("s"), Description: str("new"), VersionID: token(1), Value: text("x")}, "exists/token"},
	} {
		t.Run(x.name, func(t *testing.T) {
			f.unchanged(func() {
				_, err := f.Secrets.Update(f.ctx, f.Admin, x.req)
				f.expect(err, x.want)
			})
		})
	}
	w, err := f.Secrets.Update(f.ctx, f.Admin, secret.UpdateRequest{ID: id("s"), Description: str("d"), Type: str("t"), KMSKey: str("k")})
	f.must(err)
	if w.VersionID != "" || w.Change == "" {
		t.Errorf("metadata only: %+v", w)
	}
	w, err = f.Secrets.Update(f.ctx, f.Admin, secret.UpdateRequest{ID: id("s"), VersionID: token(2), Value: text("two")})
	f.must(err)
	if w.VersionID != token(2) || w.Number != 2 {
		t.Errorf("with a value: %+v", w)
	}
	d, err := f.Secrets.Describe(f.ctx, f.Admin, id("s"))
	f.must(err)
	if d.Description != "d" || d.Type != "t" || d.KMSKey != "k" || d.Current != 2 {
		t.Errorf("described %+v", d)
	}
	if diff := cmp.Diff(map[string][]string{token(1): {name.Previous}, token(2): {name.Current}}, d.Labels); diff != "" {
		t.Error(diff)
	}
}

func TestLabels(t *testing.T) {
	f := start(t, coretest.Config{})
	f.create("s", "")
	if w := f.put("s", 1, "one", "A", "B"); !slices.Equal(w.Labels, []string{"A", "AWSCURRENT", "B"}) {
		t.Errorf("the first version has %q", w.Labels)
	}
	step := func(title, want string) {
		t.Helper()
		if got := f.labels("s"); got != want {
			t.Errorf("%s: %s, want %s", title, got, want)
		}
	}
	f.put("s", 2, "two", name.Pending)
	step("put with another label", "2:AWSPENDING 1:A+AWSCURRENT+B")
	f.put("s", 3, "three", "A")
	step("a custom label moves on re-use", "3:A 2:AWSPENDING 1:AWSCURRENT+B")

	move := func(label, from, to string) (secret.Written, error) {
		return f.Secrets.MoveLabel(f.ctx, f.Admin, secret.LabelRequest{ID: id("s"), Label: label, From: from, To: to})
	}
	refused := func(label, from, to, want string) {
		t.Helper()
		f.unchanged(func() { _, err := move(label, from, to); f.expect(err, want) })
	}
	refused(name.Current, "", token(2), "invalid/label-elsewhere")
	refused(name.Current, token(3), token(2), "invalid/label-not-there")
	refused("NEW", token(3), token(2), "invalid/label-not-there")
	refused(name.Current, token(1), token(9), "not-found/version")
	refused(name.Current, token(1), "", "precondition/label-current")
	refused(name.Pending, token(1), "", "invalid/label-not-there")
	refused("NEW", token(1), "", "invalid/label-not-there")
	refused("A", "", "", "invalid@MoveToVersionId")
	refused("", token(1), token(2), "invalid@VersionStage")
	refused("A", "short", token(2), "invalid@VersionId")

	w, err := move(name.Current, token(1), token(2))
	f.must(err)
	if !slices.Equal(w.Labels, []string{name.Current, name.Pending}) || w.Number != 2 {
		t.Errorf("moved: %+v", w)
	}
	step("moved by hand: AWSPENDING stays, AWSPREVIOUS follows", "3:A 2:AWSCURRENT+AWSPENDING 1:AWSPREVIOUS+B")
	w, err = move(name.Current, "", token(2))
	f.must(err)
	if w.Change != "" {
		t.Errorf("nothing was to be done, yet there is change %q", w.Change)
	}
	_, err = move(name.Current, token(2), token(1))
	f.must(err)
	step("back: the labels change places", "3:A 2:AWSPENDING+AWSPREVIOUS 1:AWSCURRENT+B")
	_, err = move("A", token(3), "")
	f.must(err)
	step("taken off", "3: 2:AWSPENDING+AWSPREVIOUS 1:AWSCURRENT+B")
	if got := f.read(secret.ReadRequest{ID: id("s"), VersionID: token(3)}); got != "three" {
		t.Errorf("the version without a label reads %s", got)
	}
	vs, err := f.Secrets.ListVersions(f.ctx, f.Admin, secret.VersionsRequest{ID: id("s")})
	f.must(err)
	if len(vs.Versions) != 2 {
		t.Errorf("%d labelled versions", len(vs.Versions))
	}
	_, err = move("NEW", "", token(3))
	f.must(err)
	w, err = f.Secrets.MoveLabel(f.ctx, f.Admin, secret.LabelRequest{ID: id("s"), Label: name.Current, To: token(3), Infer: true})
	f.must(err)
	step("inferred", "3:AWSCURRENT+NEW 2:AWSPENDING 1:AWSPREVIOUS+B")
	if got := f.read(secret.ReadRequest{ID: id("s")}); got != "three" {
		t.Errorf("current is %s", got)
	}
}

func TestLabelLimit(t *testing.T) {
	f := start(t, coretest.Config{})
	f.create("s", "one")
	for i := range name.MaxLabels - 1 {
		_, err := f.Secrets.MoveLabel(f.ctx, f.Admin, secret.LabelRequest{ID: id("s"), Label: fmt.Sprint("L", i), To: token(1)})
		f.must(err)
	}
	f.unchanged(func() {
		_, err := f.Secrets.MoveLabel(f.ctx, f.Admin, secret.LabelRequest{ID: id("s"), Label: "ONE-MORE", To: token(1)})
		f.expect(err, "limit/labels")
	})
	f.put("s", 2, "two") // moves AWSCURRENT off, AWSPREVIOUS on: still twenty
	d, err := f.Secrets.Describe(f.ctx, f.Admin, id("s"))
	f.must(err)
	if n := len(d.Labels[token(1)]); n != name.MaxLabels {
		t.Errorf("%d labels", n)
	}
}

func TestPruning(t *testing.T) {
	f := start(t, coretest.Config{Keep: 3})
	f.create("s", "v1")
	_, err := f.Secrets.MoveLabel(f.ctx, f.Admin, secret.LabelRequest{ID: id("s"), Label: "KEEP", To: token(1)})
	f.must(err)
	for n := 2; n <= 9; n++ {
		f.put("s", n, fmt.Sprint("v", n))
	}
	if got, want := f.labels("s"), "9:AWSCURRENT 8:AWSPREVIOUS 1:KEEP"; got != want {
		t.Errorf("kept %q, want %q", got, want)
	}
	if got := f.read(secret.ReadRequest{ID: id("s"), Label: "KEEP"}); got != "v1" {
		t.Errorf("the labelled version reads %s", got)
	}
	if got := f.read(secret.ReadRequest{ID: id("s"), VersionID: token(5)}); got != "(not-found/version)" {
		t.Errorf("a pruned version reads %s", got)
	}
	for k := range f.Dump(t) {
		if strings.Contains(k, token(5)) {
			t.Errorf("key %q is left of a pruned version", k)
		}
	}
	if w := f.put("s", 5, "anew"); w.Number != 10 {
		t.Errorf("the number %d was given out before", w.Number)
	}
}

func TestPruningSparesTheYoung(t *testing.T) {
	f := start(t, coretest.Config{Keep: 1})
	young := secret.New(secret.Config{Gate: f.Gate, Changes: f.Changes, Vault: f.Ring, Regions: []string{coretest.Region}, Keep: 1})
	f.create("s", "v1")
	for n := 2; n <= 5; n++ {
		_, err := young.PutValue(f.ctx, f.Admin, secret.PutRequest{ID: id("s"), VersionID: token(n), Value: *text("x")})
		f.must(err)
	}
	if got, want := f.labels("s"), "5:AWSCURRENT 4:AWSPREVIOUS 3: 2: 1:"; got != want {
		t.Errorf("kept %q, want %q", got, want)
	}
}

func TestMergeOnWrite(t *testing.T) {
	engines(t, func(t *testing.T, c coretest.Config) {
		f := start(t, c)
		f.create("s", `{"a": 1, "b": 1.50, "c": "ü"}`)
		f.put("s", 2, `{"a": 2, "b": 1.50, "c": "ü"}`)
		one := uint64(1)
		req := secret.PutRequest{ID: id("s"), VersionID: token(3), Value: *text(`{"a": 1, "b": 9007199254740993, "c": "ü"}`), Base: &one}
		w, err := f.Secrets.PutValue(f.ctx, f.Admin, req)
		f.must(err)
		if got, want := f.read(secret.ReadRequest{ID: id("s")}), `{"a":2,"b":9007199254740993,"c":"ü"}`; got != want {
			t.Errorf("merged %s, want %s", got, want)
		}
		f.unchanged(func() { // the same call once more
			again, err := f.Secrets.PutValue(f.ctx, f.Admin, req)
			f.must(err)
			if again.Number != w.Number || again.Change != "" {
				t.Errorf("repeated: %+v", again)
			}
		})
		f.unchanged(func() {
			_, err := f.Secrets.PutValue(f.ctx, f.Admin, secret.PutRequest{ID: id("s"), VersionID: token(4),
				Value: *text(`{"a": 7, "b": 8, "c": "ü"}`), Base: &one})
			f.expect(err, "conflict/base-version")
			if got := errs.As(err).Field; got != `"a", "b"` {
				t.Errorf("the conflict names %s", got)
			}
		})
		three := uint64(3)
		_, err = f.Secrets.PutValue(f.ctx, f.Admin, secret.PutRequest{ID: id("s"), VersionID: token(5), Value: *text(`plain`), Base: &three})
		f.must(err)
		f.unchanged(func() {
			_, err := f.Secrets.PutValue(f.ctx, f.Admin, secret.PutRequest{ID: id("s"), VersionID: token(6), Value: *text(`{"a":1}`), Base: &three})
			f.expect(err, "conflict/base-version")
		})
	})
}

func TestRecordsHoldNoValue(t *testing.T) {
	const canary = "canary-7f3a"
	f := start(t, coretest.Config{})
	f.create("s", `{"key":"`+canary+`"}`)
	f.put("s", 2, `{"key":"`+canary+`2"}`)
	f.read(secret.ReadRequest{ID: id("s")})
	for _, r := range f.Records(t) {
		if strings.Contains(fmt.Sprintf("%+v", r), canary) {
			t.Errorf("record %+v holds a value", r)
		}
	}
	for k, v := range f.Dump(t) {
		if strings.Contains(k, canary) || strings.Contains(string(v), canary) {
			t.Errorf("key %q holds a value in the clear", k)
		}
	}
}
