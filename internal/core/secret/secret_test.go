package secret_test

import (
	"context"
	"fmt"
	"strings"
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
