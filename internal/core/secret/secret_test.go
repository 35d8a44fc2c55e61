package secret_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"countersign/internal/caller"
	"countersign/internal/core/audit"
	"countersign/internal/core/coretest"
	"countersign/internal/core/secret"
	"countersign/internal/errs"
	"countersign/internal/name"
	"countersign/internal/sensitive"
)

// fixture is a wired core with the shortest ways to do things as its
// administrator.
type fixture struct {
	*coretest.Core
	t   testing.TB
	ctx context.Context
}

func start(t testing.TB, c coretest.Config) *fixture {
	return &fixture{coretest.New(t, c), t, context.Background()}
}

// token is the nth version id.
func token(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

func text(s string) *secret.Input { return &secret.Input{Data: sensitive.FromString(s)} }

func id(n string) name.SecretID { return name.SecretID{Name: n} }

// create makes a secret with a first version under token(1), or without one
// when the value is empty.
func (f *fixture) create(n, value string) secret.Written {
	f.t.Helper()
	req := secret.CreateRequest{Name: n, VersionID: token(1)}
	if value != "" {
		req.Value = text(value)
	}
	w, err := f.Secrets.Create(f.ctx, f.Admin, req)
	f.must(err)
	return w
}

// put stores a version under token(n).
func (f *fixture) put(s string, n int, value string, labels ...string) secret.Written {
	f.t.Helper()
	w, err := f.Secrets.PutValue(f.ctx, f.Admin, secret.PutRequest{ID: id(s), VersionID: token(n), Value: *text(value), Labels: labels})
	f.must(err)
	return w
}

// read returns the value, or the code of the error in brackets.
func (f *fixture) read(req secret.ReadRequest) string {
	f.t.Helper()
	return f.readAs(f.Admin, req)
}

func (f *fixture) readAs(who caller.Caller, req secret.ReadRequest) string {
	f.t.Helper()
	v, err := f.Secrets.ReadValue(f.ctx, who, req)
	if err != nil {
		return "(" + code(err) + ")"
	}
	return string(v.Data.Reveal())
}

// labels spells where the labels are: "AWSCURRENT=2 AWSPREVIOUS=1".
func (f *fixture) labels(s string) string {
	f.t.Helper()
	vs, err := f.Secrets.ListVersions(f.ctx, f.Admin, secret.VersionsRequest{ID: id(s), Unlabeled: true})
	f.must(err)
	var out []string
	for _, v := range vs.Versions {
		out = append(out, fmt.Sprintf("%d:%s", v.Number, strings.Join(v.Labels, "+")))
	}
	return strings.Join(out, " ")
}

func (f *fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// asIn is the administrator in another region.
func (f *fixture) asIn(region string) caller.Caller {
	who := f.Admin
	who.Region = region
	return who
}

// code spells the class of an error: "not-found/secret".
func code(err error) string {
	if err == nil {
		return "ok"
	}
	e := errs.As(err)
	switch {
	case e.Code != "":
		return e.Kind.String() + "/" + e.Code
	case e.Field != "":
		return e.Kind.String() + "@" + e.Field
	}
	return e.Kind.String()
}

// expect fails unless err is of that class.
func (f *fixture) expect(err error, want string) {
	f.t.Helper()
	if got := code(err); got != want {
		f.t.Errorf("got %s, want %s: %v", got, want, err)
	}
}

// unchanged runs what must leave no trace in the store.
func (f *fixture) unchanged(do func()) {
	f.t.Helper()
	before := f.Dump(f.t)
	do()
	after := f.Dump(f.t)
	for k, v := range after {
		if old, ok := before[k]; !ok || string(old) != string(v) {
			f.t.Errorf("key %q was written", k)
		}
	}
	for k := range before {
		if _, ok := after[k]; !ok {
			f.t.Errorf("key %q was deleted", k)
		}
	}
}

// engines runs a test over both engines.
func engines(t *testing.T, test func(*testing.T, coretest.Config)) {
	t.Run("memkv", func(t *testing.T) { test(t, coretest.Config{}) })
	t.Run("boltkv", func(t *testing.T) { test(t, coretest.Config{Bolt: true}) })
}

type auditRecord = audit.Record

// TestReadsTogether: reads use memory of reads before them, and what one of them
// returned stays as it was while others run.
func TestReadsTogether(t *testing.T) {
	f := start(t, coretest.Config{})
	for i := range 8 {
		n := fmt.Sprintf("s%d", i)
		f.create(n, strings.Repeat(n, i+1))
		for v := 2; v < 2+i%3; v++ {
			f.put(n, v, fmt.Sprintf("%s of %s", strings.Repeat("v", v), n), name.Current, strings.Repeat("L", i+1))
		}
	}
	f.create("empty", "")
	f.create("deleted", "gone")
	f.versions("delete", "deleted")
	_, err := f.Secrets.Delete(f.ctx, f.Admin, secret.DeleteRequest{ID: id("s7")})
	f.must(err)
	few, _ := f.User(t, "few", `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"secretsmanager:GetSecretValue","Resource":["arn:aws:secretsmanager:*:*:secret:s1-*","arn:aws:secretsmanager:*:*:secret:s4-*","arn:aws:secretsmanager:*:*:secret:deleted-*"]},
		{"Effect":"Allow","Action":"secretsmanager:GetSecretValue","Resource":"*","Condition":{"StringEquals":{"secretsmanager:VersionStage":"AWSPREVIOUS"}}}]}`)

	var reads []func() (any, error)
	for _, who := range []caller.Caller{f.Admin, few} {
		for _, n := range []string{"s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "empty", "deleted", "absent"} {
			for _, req := range []secret.ReadRequest{{}, {Number: 1}, {VersionID: token(2)}, {Label: name.Previous}, {Label: "AWSCURRENT", VersionID: token(1)}} {
				req.ID = id(n)
				reads = append(reads,
					func() (any, error) { return f.Secrets.ReadValue(f.ctx, who, req) },
					func() (any, error) {
						return f.Secrets.ReadVersion(f.ctx, who, secret.KVRead{ID: req.ID, Number: req.Number})
					},
					func() (any, error) { return f.Secrets.Proof(f.ctx, who, req.ID, req.Number) })
			}
		}
	}
	alone := make([]string, len(reads))
	shown := func(v any, err error) string {
		s := fmt.Sprintf("%+v %s ", v, code(err)) // a denial has an id in it
		switch v := v.(type) {
		case secret.Value:
			s += string(v.Data.Reveal())
		case secret.KVVersion:
			s += string(v.Data.Reveal())
		}
		return s
	}
	for i, read := range reads {
		alone[i] = shown(read())
	}
	type outcome struct {
		read int
		v    any
		err  error
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			var kept []outcome
			for k := range 3 * len(reads) {
				i := (k*(2*g+1) + g) % len(reads)
				v, err := reads[i]()
				kept = append(kept, outcome{i, v, err})
			}
			for _, o := range kept {
				if got := shown(o.v, o.err); got != alone[o.read] {
					t.Errorf("read %d beside others:\n%s\nalone:\n%s", o.read, got, alone[o.read])
				}
			}
		})
	}
	wg.Wait()
}
