package gate_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/audit"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/kv/memkv"
)

// log keeps records, or fails.
type log struct {
	recs []audit.Record
	err  error
}

func (l *log) Append(ctx context.Context, rec *audit.Record) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if l.err != nil {
		return l.err
	}
	l.recs = append(l.recs, *rec)
	return nil
}

// answers is an Authorizer that says what it was told to.
type answers struct {
	d   policy.Decision
	err error
}

func (a answers) Authorize(kv.Reader, kv.Revision, *policy.Request, *policy.Set) (policy.Decision, error) {
	return a.d, a.err
}

var (
	yes = answers{d: policy.Decision{Allowed: true, Effect: policy.EffectAllow}}
	no  = answers{d: policy.Decision{Effect: policy.EffectDeny, Policy: "p", Statement: "s", Missing: []string{"a reason"}}}
	who = caller.Caller{Account: "111111111111", Kind: caller.User, Name: "bob", Time: time.Unix(1000, 0)}
)

func ask(a *gate.Access) error {
	return a.Allow(&policy.Request{Op: policy.ReadValue, Resource: "r", Account: who.Account}, nil)
}

const inside = "text that stays inside"

func TestView(t *testing.T) {
	for _, x := range []struct {
		name    string
		auth    answers
		who     caller.Caller
		f       func(*gate.Access) error
		kind    string // "" for success
		outcome audit.Outcome
		error   string
	}{
		{"allowed", yes, who, ask, "", audit.OK, ""},
		{"denied", no, who, ask, "denied", audit.Denied, "denied/explicit-deny"},
		{"forgot-to-ask", yes, who, func(*gate.Access) error { return nil }, "internal", audit.Failed, "internal"},
		{"went-on-after-no", no, who, func(a *gate.Access) error { _ = ask(a); return nil }, "internal", audit.Failed, "internal"},
		{"system", no, caller.ForSystem("111111111111", "job", "", time.Unix(1, 0)), ask, "", audit.OK, ""},
		{"policy-unreadable", answers{err: errors.New(inside)}, who, ask, "internal", audit.Failed, "internal"},
		{"not-found", yes, who, func(a *gate.Access) error {
			_ = ask(a)
			return errs.Coded(errs.NotFound, "thing", "no")
		}, "not-found", audit.Refused, "not-found/thing"},
		{"defect", yes, who, func(*gate.Access) error { return errors.New(inside) }, "internal", audit.Failed, "internal"},
		{"disk-full", yes, who, func(*gate.Access) error { return fmt.Errorf("%s: %w", inside, kv.ErrNoSpace) }, "unavailable", audit.Failed, "unavailable/store-full"},
		{"closed", yes, who, func(*gate.Access) error { return kv.ErrClosed }, "unavailable", audit.Failed, "unavailable/store-closed"},
		{"limit", yes, who, func(*gate.Access) error { return kv.ErrLimit }, "limit", audit.Refused, "limit/transaction-limit"},
		{"unknown-and-full", yes, who, func(*gate.Access) error { return fmt.Errorf("%w: %w", kv.ErrUnknown, kv.ErrNoSpace) }, "internal", audit.Failed, "internal/outcome-unknown"},
		{"given-up", yes, who, func(*gate.Access) error { return context.Canceled }, "canceled", audit.Failed, "canceled"},
	} {
		t.Run(x.name, func(t *testing.T) {
			l := &log{}
			g := &gate.Gate{DB: memkv.New(memkv.Config{}), Auth: x.auth, Log: l}
			err := g.View(t.Context(), x.who, policy.ReadValue, "thing", x.f)
			if got := kind(err); got != x.kind {
				t.Errorf("got %q (%v), want %q", got, err, x.kind)
			}
			if len(l.recs) != 1 {
				t.Fatalf("%d records, want 1", len(l.recs))
			}
			rec := l.recs[0]
			if rec.Outcome != x.outcome || rec.Error != x.error || rec.Operation != "ReadValue" || rec.Resource != "thing" {
				t.Errorf("record %+v", rec)
			}
			if strings.Contains(fmt.Sprintf("%+v", rec), inside) {
				t.Errorf("record %+v holds the text of an internal error", rec)
			}
			if x.kind != "denied" {
				return
			}
			if d := rec.Decision; d == nil || d.ID != errs.As(err).Decision || d.ID != rec.ID || d.Policy != "p" || d.Statement != "s" ||
				d.Action != "secretsmanager:GetSecretValue" || d.Resource != "r" || len(d.Missing) != 1 {
				t.Errorf("decision %+v, told %+v", d, err)
			}
		})
	}
}

func kind(err error) string {
	if err == nil {
		return ""
	}
	return errs.KindOf(err).String()
}

func TestNoAnswerWithoutARecord(t *testing.T) {
	for name, auth := range map[string]answers{"allowed": yes, "denied": no} {
		t.Run(name, func(t *testing.T) {
			l := &log{err: errors.New(inside)}
			g := &gate.Gate{DB: memkv.New(memkv.Config{}), Auth: auth, Log: l}
			err := g.View(t.Context(), who, policy.ReadValue, "thing", ask)
			if e := errs.As(err); e.Kind != errs.Unavailable || e.Code != "audit-unwritable" || strings.Contains(e.Msg, inside) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// Who goes away as soon as the request is sent does not escape the record.
func TestRecordOfWhoGoesAway(t *testing.T) {
	l := &log{}
	g := &gate.Gate{DB: memkv.New(memkv.Config{}), Auth: no, Log: l}
	ctx, leave := context.WithCancel(t.Context())
	err := g.View(ctx, who, policy.ReadValue, "thing", func(a *gate.Access) error { leave(); return ask(a) })
	if kind(err) != "denied" || len(l.recs) != 1 || l.recs[0].Decision == nil {
		t.Errorf("got %v, records %+v", err, l.recs)
	}
}

// seen notes what policy was asked, and refuses.
type seen struct{ reqs []policy.Request }

func (s *seen) Authorize(_ kv.Reader, _ kv.Revision, req *policy.Request, resource *policy.Set) (policy.Decision, error) {
	s.reqs = append(s.reqs, *req)
	effect := policy.EffectNoMatch
	if resource != nil || req.Tags != nil {
		effect = policy.EffectDeny
	}
	return policy.Decision{Effect: effect, Missing: []string{req.Resource}}, nil
}

func TestRefusalAcrossAccountsIsBlind(t *testing.T) {
	const arn = "arn:aws:secretsmanager:us-east-1:222222222222:secret:a/b-"
	set := policy.Compile()
	var told []string
	for _, x := range []struct {
		req *policy.Request
		set *policy.Set
	}{
		{&policy.Request{Op: policy.ReadValue, Account: "222222222222", Resource: arn + "Abc123", Tags: map[string]string{"a": "b"}}, set},
		{&policy.Request{Op: policy.ReadValue, Account: "222222222222", Resource: arn + "??????"}, nil},
	} {
		l := &log{}
		g := &gate.Gate{DB: memkv.New(memkv.Config{}), Auth: &seen{}, Log: l}
		err := g.View(t.Context(), who, policy.ReadValue, "a/b", func(a *gate.Access) error { return a.Allow(x.req, x.set) })
		d := *l.recs[0].Decision
		d.ID = ""
		told = append(told, fmt.Sprintf("%s %s %+v", l.recs[0].Account, errs.As(err).Code, d))
	}
	if told[0] != told[1] {
		t.Errorf("of what exists: %s\nof what does not: %s", told[0], told[1])
	}
}

func TestWork(t *testing.T) {
	for name, x := range map[string]struct {
		auth   answers
		load   error
		work   error
		worked bool
		kind   string
	}{
		"done":         {yes, nil, nil, true, ""},
		"denied":       {no, nil, nil, false, "denied"},
		"not-there":    {yes, errs.New(errs.NotFound, "no"), nil, false, "not-found"},
		"work-refused": {yes, nil, errs.New(errs.Invalid, "no"), true, "invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			l, worked := &log{}, false
			g := &gate.Gate{DB: memkv.New(memkv.Config{}), Auth: x.auth, Log: l}
			err := g.Work(t.Context(), who, policy.ReadValue, "thing", func(a *gate.Access) error {
				if err := ask(a); err != nil {
					return err
				}
				return x.load
			}, func(rec *audit.Record) error { worked, rec.Version = true, 7; return x.work })
			if kind(err) != x.kind || worked != x.worked || len(l.recs) != 1 {
				t.Fatalf("got %v, worked %v, %d records", err, worked, len(l.recs))
			}
			if rec := l.recs[0]; worked != (rec.Version == 7) || (rec.Outcome == audit.OK) != (err == nil) {
				t.Errorf("record %+v", rec)
			}
		})
	}
}

func TestDo(t *testing.T) {
	l := &log{}
	g := &gate.Gate{DB: memkv.New(memkv.Config{}), Auth: no, Log: l}
	req := &policy.Request{Op: policy.QueryAudit, Resource: "r", Account: who.Account}
	err := g.Do(t.Context(), who, "", req, func(*audit.Record) error { t.Error("ran although it was refused"); return nil })
	if kind(err) != "denied" || len(l.recs) != 1 {
		t.Errorf("got %v, %d records", err, len(l.recs))
	}
	g.Auth = yes
	err = g.Do(t.Context(), who, "", req, func(rec *audit.Record) error { rec.Version = 7; return nil })
	if err != nil || len(l.recs) != 2 || l.recs[1].Version != 7 || l.recs[1].Outcome != audit.OK {
		t.Errorf("got %v, records %+v", err, l.recs)
	}
}

// What everybody may do about themselves needs no allowance, only with a
// credential that may be narrower than its owner; what is about the credential
// itself needs none with that either. A denial holds, and so does that it is about
// the caller.
func TestOwn(t *testing.T) {
	plain, key, token := who, who, who
	key.KeyID, token.Token = "AKIA", &caller.Token{}
	nothing := answers{d: policy.Decision{Effect: policy.EffectNoMatch}}
	for _, x := range []struct {
		name      string
		who       caller.Caller
		auth      answers
		own, self string
	}{
		{"session", plain, nothing, "", ""},
		{"key", key, nothing, "denied", ""},
		{"token", token, nothing, "denied", ""},
		{"session-denied", plain, no, "denied", "denied"},
		{"key-denied", key, no, "denied", "denied"},
		{"token-allowed", token, yes, "", ""},
	} {
		t.Run(x.name, func(t *testing.T) {
			for want, allow := range map[*string]func(*gate.Access, *policy.Request) error{&x.own: (*gate.Access).AllowOwn, &x.self: (*gate.Access).AllowSelf} {
				l := &log{}
				g := &gate.Gate{DB: memkv.New(memkv.Config{}), Auth: x.auth, Log: l}
				err := g.View(t.Context(), x.who, policy.LookupOwnToken, "", func(a *gate.Access) error {
					return allow(a, &policy.Request{Op: policy.LookupOwnToken, Resource: x.who.ARN(), Account: x.who.Account})
				})
				if kind(err) != *want || (l.recs[0].Decision != nil) != (*want == "denied") {
					t.Errorf("got %v, want %q; record %+v", err, *want, l.recs[0])
				}
				err = g.View(t.Context(), x.who, policy.LookupOwnToken, "", func(a *gate.Access) error {
					return allow(a, &policy.Request{Op: policy.LookupOwnToken, Resource: caller.UserARN(who.Account, "ann"), Account: who.Account})
				})
				if kind(err) != "internal" {
					t.Errorf("about somebody else: %v", err)
				}
			}
		})
	}
}

// briefly notes whether it was asked for reasons.
type briefly struct{ asked []bool }

func (b *briefly) Authorize(_ kv.Reader, _ kv.Revision, req *policy.Request, _ *policy.Set) (policy.Decision, error) {
	b.asked = append(b.asked, req.Brief)
	return policy.Decision{Allowed: true, Effect: policy.EffectAllow}, nil
}

// What nobody reads is not explained: a listing asks May about every name.
func TestMayAsksForNoReasons(t *testing.T) {
	auth := &briefly{}
	a := gate.NewAccess(nil, auth, who, &audit.Record{})
	req := &policy.Request{Op: policy.ReadValue, Resource: "r", Account: who.Account}
	if ok, err := a.May(req, policy.Describe, nil); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if err := a.Allow(req, nil); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(auth.asked, []bool{true, false}) {
		t.Errorf("asked briefly: %v", auth.asked)
	}
}
