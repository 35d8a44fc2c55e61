package token_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/authn"
	"countersign/internal/core/coretest"
	"countersign/internal/core/token"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/sensitive"
)

func TestRenew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.user("ann")
		const h = time.Hour
		hour := w.login("ann", func(s *token.Spec) { s.TTL = h })
		capped := w.login("ann", func(s *token.Spec) { s.TTL, s.MaxTTL = h, 3*h })
		hard := w.login("ann", func(s *token.Spec) { s.TTL, s.ExplicitMaxTTL = h, 2*h })
		periodic := w.login("ann", func(s *token.Spec) { s.Period = h })
		both := w.login("ann", func(s *token.Spec) { s.Period, s.ExplicitMaxTTL = h, 5*h/2 })
		short := w.login("ann", func(s *token.Spec) { s.TTL, s.NumUses = h, 10 })
		fixed := w.login("ann", func(s *token.Spec) { s.TTL, s.NotRenewable = h, true })
		time.Sleep(h / 2)
		for _, x := range []struct {
			name      string
			i         token.Issued
			increment time.Duration
			want      time.Duration
			warns     bool
		}{
			{"ttl", hour, 0, h, false},
			{"increment", hour, 5 * h, 5 * h, false},
			{"less", hour, h / 4, h / 4, false},
			{"system", hour, 1000 * h, token.SystemTTL - h/2, true},
			{"again", hour, 0, h, false},
			{"max", capped, 0, h, false},
			{"over-max", capped, 4 * h, 5 * h / 2, true},
			{"explicit", hard, 0, h, false},
			{"over-explicit", hard, 4 * h, 3 * h / 2, true},
			{"period", periodic, 7 * h, h, false},
			{"period-explicit", both, 0, h, false},
			{"counted", short, 0, h, false},
		} {
			got, err := w.Tokens.RenewSelf(t.Context(), w.as(x.i), x.increment)
			if err != nil || got.TTL != x.want || (len(got.Warnings) > 0) != x.warns || got.Token.Len() != 0 {
				t.Errorf("%s: %s, %q, %v, want %s", x.name, got.TTL, got.Warnings, err, x.want)
			}
			if x.name == "system" && !strings.Contains(got.Warnings[0], `TTL of "1000h0m0s" exceeded the effective max_ttl of "767h30m0s"; TTL value is capped accordingly`) {
				t.Errorf("warning %q", got.Warnings)
			}
			w.sound()
		}
		_, err := w.Tokens.RenewSelf(t.Context(), w.as(fixed), 0)
		w.want(err, "lease is not renewable")
		_, err = w.Tokens.RenewSelf(t.Context(), w.as(hour), -1)
		w.want(err, "increment must be positive")
		for range 3 { // a periodic token lives on
			time.Sleep(50 * time.Minute)
			_, err := w.Tokens.Renew(t.Context(), w.Admin, token.Ref{Accessor: periodic.Accessor}, 0)
			w.ok(err)
			if both, err := w.Tokens.Renew(t.Context(), w.Admin, token.Ref{Token: text(both)}, 0); err == nil && both.TTL > h {
				t.Errorf("a periodic token with an explicit maximum lasts %s", both.TTL)
			}
		}
		if !w.alive(periodic) || w.alive(both) || w.alive(hard) {
			t.Error("a periodic token ended, or what had a hard limit did not")
		}
		info, err := w.Tokens.LookupSelf(t.Context(), w.as(periodic), "")
		if err != nil || info.Renewed.IsZero() || info.CreationTTL != h || info.Period != h {
			t.Errorf("info %+v, %v", info, err)
		}
	})
}

// The current period of a role counts, and without the role nothing is renewed.
func TestRenewByRole(t *testing.T) {
	w := newWorld(t)
	ann := w.user("ann")
	w.role("ci", token.RoleChange{Period: new(time.Hour)})
	i := w.child(ann, func(r *token.CreateRequest) { r.Role = "ci" })
	w.role("ci", token.RoleChange{Period: new(2 * time.Hour)})
	if got, err := w.Tokens.RenewSelf(t.Context(), w.as(i), 0); err != nil || got.TTL != 2*time.Hour {
		t.Errorf("renewed for %s, %v", got.TTL, err)
	}
	w.role("ci", token.RoleChange{Period: new(time.Duration(0)), ExplicitMaxTTL: new(90 * time.Minute)})
	if got, err := w.Tokens.RenewSelf(t.Context(), w.as(i), 2*time.Hour); err != nil || got.TTL > 90*time.Minute {
		t.Errorf("renewed for %s, %v", got.TTL, err)
	}
	_, err := w.Tokens.DeleteRole(t.Context(), w.Admin, "ci", "")
	w.ok(err)
	_, err = w.Tokens.RenewSelf(t.Context(), w.as(i), 0)
	w.want(err, `original token role "ci" could not be found, not renewing`)
}

func TestBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.user("ann", "web")
		top := w.login("ann")
		before := len(w.Dump(t))
		login := w.login("ann", func(s *token.Spec) { s.Type, s.TTL, s.Granted = token.KindBatch, time.Hour, []string{"extra"} })
		low := w.child(w.as(top), asks("web"), func(r *token.CreateRequest) { r.Type, r.Meta = "batch", map[string]string{"a": "b"} })
		if got := len(w.Dump(t)); got != before {
			t.Errorf("batch tokens took %d records", got-before)
		}
		for _, b := range []token.Issued{login, low} {
			who := w.as(b)
			if b.Accessor != "" || b.Renewable || b.Type != token.KindBatch || !strings.HasPrefix(who.Token.Accessor, "batch.") {
				t.Errorf("batch token %+v, %+v", b, who.Token)
			}
			info, err := w.Tokens.LookupSelf(t.Context(), who, text(b))
			if err != nil || info.Type != token.KindBatch || info.Accessor != "" || info.Principal != "ann" {
				t.Errorf("info %+v, %v", info, err)
			}
			_, err = w.Tokens.LookupSelf(t.Context(), who, text(top))
			w.want(err, token.CodeBadToken)
			_, err = w.Tokens.RenewSelf(t.Context(), who, 0)
			w.want(err, "batch tokens cannot be renewed")
			w.want(w.Tokens.RevokeSelf(t.Context(), who), "batch tokens cannot be revoked")
			_, err = w.Tokens.Renew(t.Context(), w.Admin, token.Ref{Token: text(b)}, 0)
			w.want(err, "batch tokens cannot be renewed")
			w.want(w.Tokens.Revoke(t.Context(), w.Admin, token.Ref{Token: text(b)}), "batch tokens cannot be revoked")
			w.want(w.Tokens.RevokeAlone(t.Context(), w.Admin, token.Ref{Token: text(b)}), "batch tokens cannot be revoked")
			w.want(w.Tokens.WriteCubbyhole(t.Context(), who, "a", sensitive.FromString("{}")), token.CodeNoPlace)
			if _, err = w.Tokens.Lookup(t.Context(), w.Admin, token.Ref{Token: text(b)}); err != nil {
				t.Error(err)
			}
		}
		if who := w.as(low); narrowed(who) != "default web" || who.Token.Meta["a"] != "b" {
			t.Errorf("caller %+v", who.Token)
		}
		for i := range 20 { // no other spelling, and nothing that was altered
			b := []byte(text(login))
			b[len(b)-1-7*i] ^= 1
			if _, err := w.try(string(b)); !errs.Is(err, errs.Unauthenticated) {
				t.Errorf("altered: %v", err)
			}
		}
		w.ok(w.Tokens.Revoke(t.Context(), w.Admin, token.Ref{Token: text(top)}))
		if w.alive(low) || !w.alive(login) {
			t.Error("a batch token outlives its parent, or an orphan does not")
		}
		time.Sleep(time.Second)
		w.ok(w.Tokens.EndBatch(t.Context(), w.Admin))
		later := w.login("ann", func(s *token.Spec) { s.Type = token.KindBatch })
		time.Sleep(time.Second)
		if w.alive(login) {
			t.Error("a batch token outlives its epoch")
		}
		last := w.login("ann", func(s *token.Spec) { s.Type, s.TTL = token.KindBatch, time.Hour })
		if !w.alive(last) || w.alive(later) {
			t.Error("of batch tokens made since, those of the same moment end too, and others do not")
		}
		time.Sleep(time.Hour)
		if w.alive(last) {
			t.Error("a batch token outlives its time")
		}
		w.sound()
	})
}

// A batch token names many policies and goes into a header.
func TestBatchIsBounded(t *testing.T) {
	w := newWorld(t)
	w.user("ann")
	_, err := w.put(token.Spec{Account: coretest.Home, Principal: "ann", Of: w.of(coretest.Home, "ann"), Type: token.KindBatch,
		Meta: func() map[string]string {
			m := map[string]string{}
			for _, k := range many(40) {
				m[k] = strings.Repeat("v", 300)
			}
			return m
		}()})
	if !errs.Is(err, errs.Limit) {
		t.Errorf("got %v", err)
	}
}

func TestCubbyhole(t *testing.T) {
	w := newWorld(t)
	w.user("ann")
	a, b := w.login("ann"), w.login("ann")
	one, two := w.as(a), w.as(b)
	val := sensitive.FromString(`{"password":"canary-in-the-hole"}`)
	w.ok(w.Tokens.WriteCubbyhole(t.Context(), one, "app/db", val))
	w.ok(w.Tokens.WriteCubbyhole(t.Context(), one, "app/db", val))
	w.ok(w.Tokens.WriteCubbyhole(t.Context(), one, "app/deep/x", val))
	w.ok(w.Tokens.WriteCubbyhole(t.Context(), one, "top", val))
	got, err := w.Tokens.ReadCubbyhole(t.Context(), one, "app/db")
	if err != nil || !got.Equal(val) {
		t.Errorf("read %v", err)
	}
	for below, want := range map[string]string{"": "[app/ top]", "app": "[db deep/]", "app/": "[db deep/]", "app/deep": "[x]"} {
		if names, err := w.Tokens.ListCubbyhole(t.Context(), one, below); err != nil || fmt.Sprint(names) != want {
			t.Errorf("below %q: %v, %v", below, names, err)
		}
	}
	for _, p := range []string{"app", "ap", "app/db/x"} { // nothing there, and no part of a name
		_, err = w.Tokens.ReadCubbyhole(t.Context(), one, p)
		w.want(err, token.CodeNoEntry)
		if p != "app" {
			_, err = w.Tokens.ListCubbyhole(t.Context(), one, p)
			w.want(err, token.CodeNoEntry)
		}
	}
	_, err = w.Tokens.ReadCubbyhole(t.Context(), two, "app/db")
	w.want(err, token.CodeNoEntry)
	_, err = w.Tokens.ListCubbyhole(t.Context(), two, "")
	w.want(err, token.CodeNoEntry)
	w.ok(w.Tokens.DeleteCubbyhole(t.Context(), two, "app/db"))
	w.ok(w.Tokens.DeleteCubbyhole(t.Context(), one, "top"))
	for _, who := range []caller.Caller{w.Admin, w.as(w.login("ann", func(s *token.Spec) { s.Type = token.KindBatch }))} {
		_, err = w.Tokens.ReadCubbyhole(t.Context(), who, "app/db")
		w.want(err, token.CodeNoPlace)
		_, err = w.Tokens.ListCubbyhole(t.Context(), who, "")
		w.want(err, token.CodeNoPlace)
		w.want(w.Tokens.WriteCubbyhole(t.Context(), who, "x", val), token.CodeNoPlace)
		w.want(w.Tokens.DeleteCubbyhole(t.Context(), who, "x"), token.CodeNoPlace)
	}
	for _, p := range []string{"", "a/", "a/../b", "..", "a\x00b", "a\nb\x01", strings.Repeat("x", 513), "\xff"} {
		w.want(w.Tokens.WriteCubbyhole(t.Context(), one, p, val), "")
		_, err = w.Tokens.ReadCubbyhole(t.Context(), one, p)
		w.want(err, "")
		w.want(w.Tokens.DeleteCubbyhole(t.Context(), one, p), "")
	}
	if left := w.sound(); left["cubbyhole"] != 2 {
		t.Errorf("left: %v", left)
	}
	w.ok(w.Tokens.RevokeSelf(t.Context(), one))
	w.sound()
	w.ok(w.Tokens.Due(t.Context()))
	if left := w.sound(); left["cubbyhole"] != 0 {
		t.Errorf("a cubbyhole outlives its token: %v", left)
	}
}

func TestCubbyholeIsBounded(t *testing.T) {
	w := newWorld(t)
	w.user("ann")
	who := w.as(w.login("ann"))
	if err := w.Tokens.WriteCubbyhole(t.Context(), who, "big", sensitive.New(make([]byte, token.MaxEntry+1))); !errs.Is(err, errs.Limit) {
		t.Errorf("got %v", err)
	}
	for n := range token.MaxEntries {
		w.ok(w.Tokens.WriteCubbyhole(t.Context(), who, fmt.Sprint(n), sensitive.FromString("{}")))
	}
	if err := w.Tokens.WriteCubbyhole(t.Context(), who, "more", sensitive.FromString("{}")); !errs.Is(err, errs.Limit) {
		t.Errorf("got %v", err)
	}
	w.ok(w.Tokens.WriteCubbyhole(t.Context(), who, "7", sensitive.FromString("{}")))
	w.ok(w.Tokens.DeleteCubbyhole(t.Context(), who, "7"))
	w.ok(w.Tokens.WriteCubbyhole(t.Context(), who, "more", sensitive.FromString("{}")))
	w.ok(w.Tokens.RevokeSelf(t.Context(), who))
	w.ok(w.Tokens.Due(t.Context()))
	if left := w.sound(); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

func TestWrapping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		ann := w.user("ann")
		stranger, _ := w.Stranger(t)
		body := sensitive.FromString(`{"data":{"secret_id":"canary-in-the-wrap"}}`)
		wrap := func() token.Wrapped {
			t.Helper()
			out, err := w.Tokens.Wrap(t.Context(), ann, token.WrapRequest{TTL: time.Minute, Body: body, Path: "auth/approle/role/ci/secret-id", Accessor: "acc"})
			w.ok(err)
			return out
		}
		one := wrap()
		tk := string(one.Token.Reveal())
		if !token.IsWrapping(tk) || !token.IsToken(tk) || one.TTL != time.Minute || one.WrappedAccessor != "acc" || one.Accessor == "" {
			t.Errorf("wrapped %+v", one)
		}
		for _, who := range []caller.Caller{ann, w.nobody(), w.Admin} {
			got, err := w.Tokens.LookupWrapping(t.Context(), who, tk)
			if err != nil || got.CreationPath != "auth/approle/role/ci/secret-id" || got.TTL != time.Minute || !got.CreationTime.Equal(one.CreationTime) || got.Token.Len() != 0 {
				t.Errorf("looked up %+v, %v", got, err)
			}
		}
		_, err := w.Tokens.Unwrap(t.Context(), stranger, tk)
		w.want(err, token.CodeWrapping)
		got, err := w.Tokens.Unwrap(t.Context(), w.nobody(), tk)
		if err != nil || !got.Body.Equal(body) || got.Path != "auth/approle/role/ci/secret-id" {
			t.Errorf("unwrapped %v", err)
		}
		_, err = w.Tokens.Unwrap(t.Context(), w.nobody(), tk)
		w.want(err, token.CodeWrapping)
		_, err = w.Tokens.LookupWrapping(t.Context(), ann, tk)
		w.want(err, token.CodeWrapping)

		two := wrap()
		three, err := w.Tokens.Rewrap(t.Context(), ann, string(two.Token.Reveal()))
		if err != nil || three.CreationPath != two.CreationPath || three.TTL != time.Minute || three.Accessor == two.Accessor || three.WrappedAccessor != "acc" {
			t.Errorf("rewrapped %+v, %v", three, err)
		}
		_, err = w.Tokens.Unwrap(t.Context(), ann, string(two.Token.Reveal()))
		w.want(err, token.CodeWrapping)
		w.sound()
		time.Sleep(time.Minute)
		_, err = w.Tokens.Unwrap(t.Context(), ann, string(three.Token.Reveal()))
		w.want(err, token.CodeWrapping)

		four := wrap()
		w.ok(w.Tokens.Revoke(t.Context(), w.Admin, token.Ref{Accessor: four.Accessor}))
		_, err = w.Tokens.Unwrap(t.Context(), ann, string(four.Token.Reveal()))
		w.want(err, token.CodeWrapping)
		five := wrap()
		_, err = w.Authn.DeleteUser(t.Context(), w.Admin, "ann")
		w.ok(err)
		_, err = w.Tokens.Unwrap(t.Context(), w.nobody(), string(five.Token.Reveal()))
		w.want(err, token.CodeWrapping)
		w.ok(w.Tokens.Sweep(t.Context()))
		if left := w.sound(); len(left) != 0 {
			t.Errorf("left: %v", left)
		}
	})
}

func TestWrapRefusals(t *testing.T) {
	w := newWorld(t)
	w.user("ann")
	good := w.login("ann")
	for why, req := range map[string]token.WrapRequest{
		"wrapped for a time":      {},
		"at most":                 {TTL: time.Hour, Body: sensitive.New(make([]byte, token.MaxWrapped+1))},
		"768h0m0s":                {TTL: 1000 * time.Hour},
		"holds a control charact": {TTL: time.Hour, Path: "a\x01"},
	} {
		_, err := w.Tokens.Wrap(t.Context(), w.Admin, req)
		w.want(err, why)
	}
	big, err := w.Tokens.Wrap(t.Context(), w.Admin, token.WrapRequest{TTL: time.Hour, Body: sensitive.New(bytes.Repeat([]byte("x"), token.MaxWrapped))})
	w.ok(err)
	got, err := w.Tokens.Unwrap(t.Context(), w.nobody(), string(big.Token.Reveal()))
	if err != nil || got.Body.Len() != token.MaxWrapped {
		t.Errorf("the largest: %v", err)
	}
	for _, tk := range []string{"", "x", text(good), "cvw." + text(good)[4:], strings.Replace(string(big.Token.Reveal()), "cvw.", "cvs.", 1)} {
		for _, who := range []caller.Caller{w.nobody(), w.Admin} {
			_, err := w.Tokens.Unwrap(t.Context(), who, tk)
			w.want(err, token.CodeWrapping)
			_, err = w.Tokens.Rewrap(t.Context(), who, tk)
			w.want(err, token.CodeWrapping)
			_, err = w.Tokens.LookupWrapping(t.Context(), who, tk)
			w.want(err, token.CodeWrapping)
		}
	}
}

// Of many who unwrap at once one gets the answer.
func TestUnwrapOnce(t *testing.T) {
	w := newWorld(t)
	for range 5 {
		one, err := w.Tokens.Wrap(t.Context(), w.Admin, token.WrapRequest{TTL: time.Hour, Body: sensitive.FromString("{}")})
		w.ok(err)
		var got atomic.Int64
		var group sync.WaitGroup
		for n := range 16 {
			group.Go(func() {
				who := w.nobody()
				if n%2 == 0 {
					who = w.Admin
				}
				if _, err := w.Tokens.Unwrap(t.Context(), who, string(one.Token.Reveal())); err == nil {
					got.Add(1)
				}
			})
		}
		group.Wait()
		if got.Load() != 1 {
			t.Errorf("%d got the answer", got.Load())
		}
	}
}

func TestAccessors(t *testing.T) {
	w := newWorld(t)
	ann := w.user("ann")
	var all []string
	for range 25 {
		all = append(all, w.login("ann").Accessor)
	}
	slices.Sort(all)
	var got []string
	for after, more := "", true; more; {
		page, next, err := w.Tokens.ListAccessors(t.Context(), ann, after, 10)
		w.ok(err)
		got, more = append(got, page...), next
		after = page[len(page)-1]
	}
	if !slices.Equal(got, all) {
		t.Errorf("got %q, want %q", got, all)
	}
	info, err := w.Tokens.Lookup(t.Context(), ann, token.Ref{Accessor: all[3]})
	if err != nil || info.Accessor != all[3] || info.Display != "approle" {
		t.Errorf("looked up %+v, %v", info, err)
	}
	_, err = w.Tokens.Renew(t.Context(), ann, token.Ref{Accessor: all[3]}, time.Hour)
	w.ok(err)
	w.ok(w.Tokens.Revoke(t.Context(), ann, token.Ref{Accessor: all[3]}))
	for _, ref := range []token.Ref{{Accessor: all[3]}, {Accessor: "nobody's"}, {Accessor: ""}, {Token: "cvs.x"}, {Token: text(w.login("ann"))[:20]}} {
		_, err = w.Tokens.Lookup(t.Context(), ann, ref)
		w.want(err, token.CodeNoToken)
		_, err = w.Tokens.Renew(t.Context(), ann, ref, 0)
		w.want(err, token.CodeNoToken)
		w.want(w.Tokens.Revoke(t.Context(), ann, ref), token.CodeNoToken)
	}
}

// What was put down of a token names it by its accessor, and the token is nowhere.
func TestRecords(t *testing.T) {
	w := newWorld(t)
	ann := w.user("ann")
	i := w.child(ann)
	b := w.child(ann, func(r *token.CreateRequest) { r.Type = "batch" })
	who := w.as(i)
	_, err := w.Tokens.LookupSelf(t.Context(), who, "")
	w.ok(err)
	_, err = w.Tokens.RenewSelf(t.Context(), who, 0)
	w.ok(err)
	w.ok(w.Tokens.WriteCubbyhole(t.Context(), who, "a", sensitive.FromString("canary-in-the-hole")))
	_, err = w.Tokens.Lookup(t.Context(), w.Admin, token.Ref{Token: text(i)})
	w.ok(err)
	wrap, err := w.Tokens.Wrap(t.Context(), who, token.WrapRequest{TTL: time.Hour, Body: sensitive.FromString("canary-in-the-wrap")})
	w.ok(err)
	_, err = w.Tokens.Unwrap(t.Context(), w.nobody(), string(wrap.Token.Reveal()))
	w.ok(err)
	_, err = w.Tokens.Unwrap(t.Context(), w.nobody(), string(wrap.Token.Reveal()))
	w.want(err, token.CodeWrapping)
	w.ok(w.Tokens.Revoke(t.Context(), w.Admin, token.Ref{Token: text(i)}))
	var got []string
	for _, r := range w.Records(t) {
		if op := r.Operation; strings.Contains(op, "Token") && op != "CreateRoleToken" || strings.Contains(op, "rap") || strings.Contains(op, "Cubby") {
			got = append(got, op+" "+r.Principal.Name+" "+r.Principal.KeyID+" "+r.Resource+" "+string(r.Outcome)+" "+r.Account)
		}
		if r.Change != "" && strings.Contains(r.Operation, "Token") {
			t.Errorf("%s left a change", r.Operation)
		}
		for _, secret := range []string{text(i), text(i)[4:], text(b)[4:], string(wrap.Token.Reveal()), "canary-in"} {
			if strings.Contains(fmt.Sprintf("%+v %+v", r, r.Decision), secret) {
				t.Errorf("a secret is in %+v", r)
			}
		}
	}
	const home = coretest.Home
	want := []string{
		"CreateToken ann " + ann.KeyID + " " + i.Accessor + " ok " + home,
		"CreateToken ann " + ann.KeyID + " " + w.as(b).Token.Accessor + " ok " + home,
		"LookupOwnToken ann " + i.Accessor + " ann ok " + home,
		"RenewOwnToken ann " + i.Accessor + " " + i.Accessor + " ok " + home,
		"WriteCubbyhole ann " + i.Accessor + " cubbyhole/a ok " + home,
		"LookupToken admin " + w.Admin.KeyID + " " + i.Accessor + " ok " + home,
		"WrapResponse ann " + i.Accessor + " " + wrap.Accessor + " ok " + home,
		"Unwrap wrapping-token  " + wrap.Accessor + " ok " + home,
		"Unwrap    refused " + home,
		"RevokeToken admin " + w.Admin.KeyID + " " + i.Accessor + " ok " + home,
	}
	slices.SortStableFunc(got, func(a, b string) int { return slices.Index(want, a) - slices.Index(want, b) }) // writes come through the outbox
	if !slices.Equal(got, want) {
		t.Errorf("records\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for key, value := range w.Dump(t) {
		for _, secret := range []string{text(i), text(i)[12:], text(b)[4:]} {
			if strings.Contains(key, secret) || bytes.Contains(value, []byte(secret)) {
				t.Errorf("a token is in the record %q", key)
			}
		}
	}
}

// An account sees nothing of another's tokens.
func TestIsolation(t *testing.T) {
	w := newWorld(t)
	w.user("ann")
	i := w.login("ann")
	b := w.login("ann", func(s *token.Spec) { s.Type = token.KindBatch })
	w.role("ci", token.RoleChange{})
	other, _ := w.Stranger(t)
	theirs := w.child(other)
	before := w.Dump(t)
	for _, ref := range []token.Ref{{Token: text(i)}, {Token: text(b)}, {Accessor: i.Accessor}, {Accessor: "none"}} {
		_, err := w.Tokens.Lookup(t.Context(), other, ref)
		w.want(err, token.CodeNoToken)
		_, err = w.Tokens.Renew(t.Context(), other, ref, 0)
		w.want(err, token.CodeNoToken)
		w.want(w.Tokens.Revoke(t.Context(), other, ref), token.CodeNoToken)
		w.want(w.Tokens.RevokeAlone(t.Context(), other, ref), token.CodeNoToken)
		w.ok(w.DB.View(t.Context(), func(r kv.Reader) error {
			who, err := w.Tokens.CallerOf(r, coretest.Other, ref, time.Now())
			if who != nil {
				t.Errorf("the caller of another account's token: %+v", who)
			}
			return err
		}))
	}
	_, err := w.Tokens.GetRole(t.Context(), other, "ci")
	w.want(err, token.CodeNoRole)
	_, err = w.create(other, func(r *token.CreateRequest) { r.Role = "ci" })
	w.want(err, token.CodeNoRole)
	if list, _, err := w.Tokens.ListAccessors(t.Context(), other, "", 100); err != nil || !slices.Equal(list, []string{theirs.Accessor}) {
		t.Errorf("accessors %q, %v", list, err)
	}
	w.ok(w.Tokens.EndBatch(t.Context(), other))
	if !w.alive(i) || !w.alive(b) || !w.alive(theirs) {
		t.Error("an account ends another's tokens")
	}
	after := w.Dump(t)
	for k, v := range before {
		if !bytes.Equal(after[k], v) {
			t.Errorf("%q was altered", k)
		}
	}
	w.ok(w.DB.View(t.Context(), func(r kv.Reader) error {
		who, err := w.Tokens.CallerOf(r, coretest.Home, token.Ref{Accessor: i.Accessor}, time.Now())
		if err != nil || who == nil || who.Name != "ann" || who.Token.Accessor != i.Accessor {
			t.Errorf("caller %+v, %v", who, err)
		}
		return err
	}))
}

// Whoever is allowed nothing may still deal with what they came with, unless that
// is denied.
func TestOwnToken(t *testing.T) {
	w := newWorld(t)
	poor, _ := w.User(t, "poor", "")
	denied, _ := w.User(t, "denied", `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}`)
	all := func(n string) []error {
		who := w.as(w.login(n))
		tk := func() string {
			out, err := w.Tokens.Wrap(t.Context(), who, token.WrapRequest{TTL: time.Hour, Body: sensitive.FromString("{}")})
			if err != nil {
				return ""
			}
			return string(out.Token.Reveal())
		}
		errsOf := func(_ any, err error) error { return err }
		return []error{
			errsOf(w.Tokens.LookupSelf(t.Context(), who, "")), errsOf(w.Tokens.RenewSelf(t.Context(), who, 0)),
			w.Tokens.WriteCubbyhole(t.Context(), who, "a", sensitive.FromString("{}")), errsOf(w.Tokens.ReadCubbyhole(t.Context(), who, "a")),
			errsOf(w.Tokens.ListCubbyhole(t.Context(), who, "")), w.Tokens.DeleteCubbyhole(t.Context(), who, "a"),
			errsOf(w.Tokens.Wrap(t.Context(), who, token.WrapRequest{TTL: time.Hour})), errsOf(w.Tokens.Unwrap(t.Context(), who, tk())),
			errsOf(w.Tokens.LookupWrapping(t.Context(), who, tk())), errsOf(w.Tokens.Rewrap(t.Context(), who, tk())), w.Tokens.RevokeSelf(t.Context(), who),
		}
	}
	for n, err := range all("poor") {
		if err != nil {
			t.Errorf("operation %d: %v", n, err)
		}
	}
	for n, err := range all("denied") {
		if !errs.Is(err, errs.Denied) && errs.As(err).Code != token.CodeWrapping {
			t.Errorf("operation %d where it is denied: %v", n, err)
		}
	}
	if _, err := w.Tokens.LookupSelf(t.Context(), poor, ""); err != nil {
		t.Errorf("an access key: %v", err)
	}
	if _, err := w.Tokens.LookupSelf(t.Context(), denied, ""); !errs.Is(err, errs.Denied) {
		t.Errorf("an access key where it is denied: %v", err)
	}
	for _, who := range []caller.Caller{poor, w.as(w.login("poor"))} {
		for n, f := range []func() error{
			func() error { _, err := w.create(who); return err },
			func() error { _, err := w.Tokens.Lookup(t.Context(), who, token.Ref{Accessor: "x"}); return err },
			func() error { _, err := w.Tokens.Renew(t.Context(), who, token.Ref{Token: "x"}, 0); return err },
			func() error { return w.Tokens.Revoke(t.Context(), who, token.Ref{Token: "x"}) },
			func() error { return w.Tokens.RevokeAlone(t.Context(), who, token.Ref{Token: "x"}) },
			func() error { _, _, err := w.Tokens.ListAccessors(t.Context(), who, "", 1); return err },
			func() error { return w.Tokens.Tidy(t.Context(), who) },
			func() error { return w.Tokens.EndBatch(t.Context(), who) },
		} {
			if err := f(); !errs.Is(err, errs.Denied) {
				t.Errorf("others' tokens, operation %d: %v", n, err)
			}
		}
	}
}

// An access key in the words of a token, as clients ask for it when they sign in.
func TestKeyAsToken(t *testing.T) {
	w := newWorld(t)
	info, err := w.Tokens.LookupSelf(t.Context(), w.Admin, "")
	if err != nil || !slices.Equal(info.Policies, []string{"root"}) || info.Accessor != w.Key.ID || info.TTL != 0 || info.Renewable || info.Type != token.KindService || !info.Orphan {
		t.Errorf("info %+v, %v", info, err)
	}
	w.user("ann")
	k, err := w.Authn.CreateKey(t.Context(), w.Admin, authn.CreateKeyRequest{Owner: "ann", Policies: []string{"ann-policy"}, Expires: time.Now().Add(time.Hour)})
	w.ok(err)
	info, err = w.Tokens.LookupSelf(t.Context(), w.As(t, k), "")
	if err != nil || !slices.Equal(info.Policies, []string{"ann-policy"}) || info.TTL < 50*time.Minute {
		t.Errorf("info %+v, %v", info, err)
	}
	_, err = w.Tokens.RenewSelf(t.Context(), w.Admin, 0)
	w.want(err, "lease is not renewable")
	w.want(w.Tokens.RevokeSelf(t.Context(), w.Admin), "this is no token")
}
