package inspect_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/audit"
	"countersign/internal/core/authn"
	"countersign/internal/core/coretest"
	"countersign/internal/core/inspect"
	"countersign/internal/core/secret"
	"countersign/internal/errs"
	"countersign/internal/sensitive"
)

func newService(core *coretest.Core, change func(*inspect.Config)) *inspect.Service {
	c := inspect.Config{Gate: core.Gate, Log: core.Log, Relay: core.Relay, Identities: core.Authn, Secrets: core.Secrets,
		Vault: core.Ring, Dir: filepath.Join(core.Dir, "audit"), Keys: []ed25519.PublicKey{core.Log.PublicKey()}}
	if change != nil {
		change(&c)
	}
	return inspect.New(c)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// now is the caller at this moment.
func now(who caller.Caller) caller.Caller { who.Time = time.Now(); return who }

func create(t *testing.T, core *coretest.Core, who caller.Caller, name, reason string) {
	t.Helper()
	_, err := core.Secrets.Create(t.Context(), now(who), secret.CreateRequest{Name: name, VersionID: strings.Repeat("v", 32),
		Value: &secret.Input{Data: sensitive.FromString("v")}, Reason: reason})
	must(t, err)
}

// read reads a secret, whatever comes of it, and returns the decision against it.
func read(t *testing.T, core *coretest.Core, who caller.Caller, name string) string {
	t.Helper()
	_, err := core.Secrets.ReadValue(t.Context(), now(who), secret.ReadRequest{ID: coretest.ID(t, name)})
	if err == nil {
		return ""
	}
	return errs.As(err).Decision
}

func TestQuery(t *testing.T) {
	core := coretest.New(t, coretest.Config{})
	s := newService(core, nil)
	stranger, _ := core.Stranger(t)
	bob, bobKey := core.User(t, "bob", "")
	create(t, core, core.Admin, "team/a", "")
	create(t, core, stranger, "team/a", "")
	denied := read(t, core, bob, "team/a")
	read(t, core, core.Admin, "team/a")
	nobody := audit.FromCaller(caller.Caller{}, "ReadValue")
	_ = core.Gate.Finish(t.Context(), &nobody, errs.New(errs.Unauthenticated, "no"))

	all := func(who caller.Caller, req inspect.QueryRequest) (out []audit.Record) {
		t.Helper()
		for {
			p, err := s.Query(t.Context(), now(who), req)
			must(t, err)
			out = append(out, p.Records...)
			if req.Page = p.Next; p.Next == "" {
				return out
			}
		}
	}
	for _, tt := range []struct {
		name string
		who  caller.Caller
		req  inspect.QueryRequest
		want int
	}{
		{"secret", core.Admin, inspect.QueryRequest{Secret: "team/a"}, 3},
		{"secret-of-the-other", stranger, inspect.QueryRequest{Secret: "team/a"}, 1},
		{"prefix", core.Admin, inspect.QueryRequest{Secret: "team/*"}, 3},
		{"principal", core.Admin, inspect.QueryRequest{Principal: "bob"}, 1},
		{"key", core.Admin, inspect.QueryRequest{Key: bobKey.ID}, 1},
		{"key-of-another-account", stranger, inspect.QueryRequest{Key: bobKey.ID}, 0},
		{"decision", core.Admin, inspect.QueryRequest{Decision: denied}, 1},
		{"decision-of-another-account", stranger, inspect.QueryRequest{Decision: denied}, 0},
		{"reads", core.Admin, inspect.QueryRequest{Operation: "ReadValue", Limit: 1}, 3},
		{"future", core.Admin, inspect.QueryRequest{Since: time.Now().Add(time.Hour)}, 0},
		{"past", core.Admin, inspect.QueryRequest{Until: time.Now().Add(-time.Hour)}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := all(tt.who, tt.req)
			if len(got) != tt.want {
				t.Errorf("%d records, want %d: %+v", len(got), tt.want, got)
			}
			for _, r := range got {
				if r.Account != tt.who.Account && !(r.Account == "" && tt.who.Account == coretest.Home) || r.Seq == 0 != (tt.who.Account != coretest.Home) {
					t.Errorf("record %+v", r)
				}
			}
		})
	}
	for name, req := range map[string]inspect.QueryRequest{
		"limit": {Limit: 1001}, "outcome": {Outcome: "fine"}, "page": {Page: "AAAA"}, "decision": {Decision: "x"},
		"until": {Since: time.Now(), Until: time.Now().Add(-time.Second)}, "secret": {Secret: "a\nb"},
	} {
		if _, err := s.Query(t.Context(), core.Admin, req); !errs.Is(err, errs.Invalid) || errs.As(err).Field != name {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A token is good for its own question and account alone.
	p, err := s.Query(t.Context(), core.Admin, inspect.QueryRequest{Limit: 1})
	must(t, err)
	if _, err := s.Query(t.Context(), core.Admin, inspect.QueryRequest{Limit: 1, Principal: "bob", Page: p.Next}); !errs.Is(err, errs.Invalid) {
		t.Errorf("a token of another question: %v", err)
	}
	if _, err := s.Query(t.Context(), stranger, inspect.QueryRequest{Limit: 1, Page: p.Next}); !errs.Is(err, errs.Invalid) {
		t.Errorf("a token of another account: %v", err)
	}
	if _, err := s.Query(t.Context(), bob, inspect.QueryRequest{}); !errs.Is(err, errs.Denied) {
		t.Errorf("without permission: %v", err)
	}
}

func TestExplain(t *testing.T) {
	core := coretest.New(t, coretest.Config{})
	s := newService(core, nil)
	stranger, _ := core.Stranger(t)
	bob, _ := core.User(t, "bob", `{"Version":"2012-10-17","Statement":[{"Sid":"Never","Effect":"Deny","Action":"*","Resource":"*"}]}`)
	id := read(t, core, bob, "team/a")
	e, err := s.Explain(t.Context(), core.Admin, id)
	must(t, err)
	for _, part := range []string{"user bob", "secretsmanager:GetSecretValue", "team/a", "explicit denial", "Never", "bob-policy"} {
		if !strings.Contains(e.Text, part) {
			t.Errorf("%q lacks %q", e.Text, part)
		}
	}
	if e.Record.Decision.ID != id || e.Record.Operation != "ReadValue" {
		t.Errorf("record %+v", e.Record)
	}
	_, other := s.Explain(t.Context(), stranger, id)
	_, absent := s.Explain(t.Context(), stranger, audit.NewID(time.Now()))
	if !errs.Is(other, errs.NotFound) || other.Error() != absent.Error() || errs.As(other).Code != errs.As(absent).Code {
		t.Errorf("of another account: %v; absent: %v", other, absent)
	}
	if _, err := s.Explain(t.Context(), core.Admin, "x"); !errs.Is(err, errs.Invalid) {
		t.Errorf("no id: %v", err)
	}
	if _, err := s.Explain(t.Context(), bob, id); !errs.Is(err, errs.Denied) {
		t.Errorf("without permission: %v", err)
	}
}

func TestChanges(t *testing.T) {
	core := coretest.New(t, coretest.Config{})
	s := newService(core, nil)
	create(t, core, core.Admin, "team/a", "because")
	create(t, core, core.Admin, "team/ab", "")
	for range 4 {
		_, err := core.Secrets.PutValue(t.Context(), now(core.Admin), secret.PutRequest{ID: coretest.ID(t, "team/a"),
			VersionID: audit.NewID(time.Now()) + audit.NewID(time.Now()), Value: secret.Input{Data: sensitive.FromString("w")}})
		must(t, err)
	}
	seen := map[string]bool{}
	var page string
	for {
		p, err := s.Changes(t.Context(), core.Admin, inspect.ChangesRequest{ID: coretest.ID(t, "team/a"), Limit: 2, Page: page})
		must(t, err)
		for _, c := range p.Changes {
			if seen[c.ID] || c.Name != "team/a" {
				t.Errorf("change %+v", c)
			}
			seen[c.ID] = true
		}
		if page = p.Next; page == "" {
			if last := p.Changes[len(p.Changes)-1]; last.Reason != "because" || last.Operation != "CreateSecret" {
				t.Errorf("the first change is %+v", last)
			}
			break
		}
	}
	if len(seen) != 5 {
		t.Errorf("%d changes", len(seen))
	}
	if _, err := s.Changes(t.Context(), core.Admin, inspect.ChangesRequest{ID: coretest.ID(t, "none")}); !errs.Is(err, errs.NotFound) {
		t.Errorf("of none: %v", err)
	}
	only := func(n, action string) caller.Caller {
		who, _ := core.User(t, n, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"`+action+`","Resource":"*"}]}`)
		return who
	}
	for _, who := range []caller.Caller{only("describer", "secretsmanager:DescribeSecret"), only("lister", "countersign:ListChanges")} {
		there := errs.As(func() error {
			_, err := s.Changes(t.Context(), who, inspect.ChangesRequest{ID: coretest.ID(t, "team/a")})
			return err
		}())
		absent := errs.As(func() error {
			_, err := s.Changes(t.Context(), who, inspect.ChangesRequest{ID: coretest.ID(t, "none")})
			return err
		}())
		if there == nil || absent == nil || there.Kind != errs.Denied || absent.Kind != errs.Denied {
			t.Errorf("%s: %v, %v", who.Name, there, absent)
		}
	}
}

func TestVerify(t *testing.T) {
	core := coretest.New(t, coretest.Config{})
	s := newService(core, nil)
	create(t, core, core.Admin, "team/a", "")
	rep, err := s.Verify(t.Context(), core.Admin)
	must(t, err)
	if !rep.OK() || rep.Records == 0 {
		t.Errorf("report %+v, %+v", rep, rep.Problem)
	}
	stranger, _ := core.Stranger(t)
	if _, err := s.Verify(t.Context(), stranger); !errs.Is(err, errs.Denied) {
		t.Errorf("of another account: %v", err)
	}
	files, err := filepath.Glob(filepath.Join(core.Dir, "audit", "*.log"))
	must(t, err)
	copied := filepath.Join(t.TempDir(), "audit")
	must(t, os.CopyFS(copied, os.DirFS(filepath.Join(core.Dir, "audit"))))
	data, err := os.ReadFile(files[0])
	must(t, err)
	data = bytes.Replace(data, []byte(`"name":"admin"`), []byte(`"name":"eve"`), 1)
	must(t, os.WriteFile(filepath.Join(copied, filepath.Base(files[0])), data, 0o600))
	rep, err = newService(core, func(c *inspect.Config) { c.Dir = copied }).Verify(t.Context(), core.Admin)
	must(t, err)
	if rep.OK() {
		t.Error("an edited log passed")
	}
}

func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core := coretest.New(t, coretest.Config{})
		s := newService(core, func(c *inspect.Config) { c.Followers = 1 })
		stranger, _ := core.Stranger(t)
		ann, key := core.User(t, "ann", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"countersign:QueryAudit","Resource":"*"}]}`)
		seq, err := s.Follow(t.Context(), now(ann), inspect.QueryRequest{Operation: "ReadValue"})
		must(t, err)
		if _, err := s.Follow(t.Context(), core.Admin, inspect.QueryRequest{}); !errs.Is(err, errs.Throttled) {
			t.Errorf("one too many: %v", err)
		}
		var got []audit.Record
		var end error
		done := make(chan struct{})
		go func() {
			defer close(done)
			for r, err := range seq {
				if err != nil {
					end = err
					return
				}
				got = append(got, r)
			}
		}()
		synctest.Wait()
		read(t, core, core.Admin, "one")
		read(t, core, stranger, "two")
		read(t, core, core.Admin, "three")
		synctest.Wait()
		if len(got) != 2 || got[0].Resource != "one" || got[1].Resource != "three" {
			t.Errorf("followed %+v", got)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		_, err = core.Authn.Detach(t.Context(), core.Admin, authn.Attachment{Policy: "ann-policy", User: "ann"})
		must(t, err)
		<-done
		if !errs.Is(end, errs.Denied) {
			t.Errorf("after the permission was lost: %v", end)
		}
		last := core.Records(t)
		if r := last[len(last)-1]; r.Operation != "QueryAudit" || r.Outcome != audit.Denied || r.Principal.Name != "ann" {
			t.Errorf("recorded as %+v", r)
		}

		// A key that is revoked ends it too, and so does the end of the request.
		_, err = core.Authn.Attach(t.Context(), core.Admin, authn.Attachment{Policy: "ann-policy", User: "ann"})
		must(t, err)
		for what, cut := range map[string]func(context.CancelFunc){
			"canceled": func(stop context.CancelFunc) { stop() },
			"revoked":  func(context.CancelFunc) { _, _ = core.Authn.RevokeKey(t.Context(), core.Admin, "ann", key.ID) },
		} {
			ctx, stop := context.WithCancel(t.Context())
			who := ann
			if what == "canceled" {
				who = core.Admin
			}
			seq, err := s.Follow(ctx, now(who), inspect.QueryRequest{})
			must(t, err)
			cut(stop)
			for _, err = range seq {
				if err != nil {
					break
				}
			}
			if want := map[string]errs.Kind{"canceled": errs.Canceled, "revoked": errs.Unauthenticated}[what]; !errs.Is(err, want) {
				t.Errorf("%s: %v", what, err)
			}
			stop()
		}
	})
}
