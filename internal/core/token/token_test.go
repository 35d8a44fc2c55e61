package token_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
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
	"countersign/internal/core/signin"
	"countersign/internal/core/token"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/kv/fsck"
	"countersign/internal/sensitive"
)

// world is a core with people who have tokens.
type world struct {
	*coretest.Core
	t testing.TB
}

func newWorld(t testing.TB) *world { return &world{coretest.New(t, coretest.Config{}), t} }

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// want checks the code of an error, or its message.
func (w *world) want(err error, c string) {
	w.t.Helper()
	e := errs.As(err)
	if e == nil || e.Code != c && !strings.Contains(e.Msg, c) {
		w.t.Errorf("got %v, want %s", err, c)
	}
}

// tokens allows a user all of the operations on tokens but to create any.
const tokens = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Resource":"*","Action":["countersign:CreateToken","countersign:CreateOrphanToken",
	"countersign:CreateRoleToken","countersign:*TokenRole*","countersign:LookupToken*","countersign:RenewToken*","countersign:RevokeToken*","countersign:ListTokenAccessors","countersign:TidyTokens"]}]}`

// user makes a user with policies, of which the names are the user's own.
func (w *world) user(n string, policies ...string) caller.Caller {
	w.t.Helper()
	who, _ := w.User(w.t, n, tokens)
	for _, p := range policies {
		w.policy(p)
		_, err := w.Authn.Attach(context.Background(), w.Admin, authn.Attachment{Policy: p, User: n})
		w.ok(err)
	}
	return who
}

// policy makes a policy that allows the same as every user's own.
func (w *world) policy(n string) {
	w.t.Helper()
	_, err := w.Authn.PutPolicy(context.Background(), w.Admin, n, tokens, "")
	w.ok(err)
}

// of is when a principal was made.
func (w *world) of(acct, n string) (of int64) {
	w.t.Helper()
	w.ok(w.DB.View(context.Background(), func(r kv.Reader) error {
		id, ok, err := authn.FindIdentity(r, acct, n)
		if !ok {
			w.t.Fatalf("there is no %s", n)
		}
		of = id.Created
		return err
	}))
	return of
}

// login is a token as a login method makes one.
func (w *world) login(n string, change ...func(*token.Spec)) token.Issued {
	w.t.Helper()
	spec := token.Spec{Account: coretest.Home, Principal: n, Of: w.of(coretest.Home, n), Path: "auth/approle/login", Display: "approle", Meta: map[string]string{"role_name": "ci"}}
	for _, f := range change {
		f(&spec)
	}
	out, err := w.put(spec)
	w.ok(err)
	return out
}

func (w *world) put(spec token.Spec) (token.Issued, error) {
	f, err := w.Tokens.Draw(spec, time.Now())
	if err != nil {
		return token.Issued{}, err
	}
	if _, err := w.DB.Update(context.Background(), func(tx kv.Txn) error { return f.Put(tx) }); err != nil {
		return token.Issued{}, err
	}
	return f.Issued(), nil
}

func text(i token.Issued) string { return string(i.Token.Reveal()) }

var loopback = netip.MustParseAddr("127.0.0.1")

func (w *world) try(tk string) (caller.Caller, error) {
	return w.Tokens.Authenticate(context.Background(), tk, time.Now(), loopback)
}

func (w *world) alive(i token.Issued) bool {
	w.t.Helper()
	_, err := w.try(text(i))
	if err != nil && errs.As(err).Code != token.CodeBadToken {
		w.t.Fatal(err)
	}
	return err == nil
}

// as is the caller that a token proves.
func (w *world) as(i token.Issued) caller.Caller {
	w.t.Helper()
	who, err := w.try(text(i))
	w.ok(err)
	proof := who.Proof
	who = coretest.Circumstances(who)
	who.Proof = proof
	return who
}

func (w *world) nobody() caller.Caller { return coretest.Circumstances(caller.Caller{}) }

// child is a token made by another.
func (w *world) child(by caller.Caller, change ...func(*token.CreateRequest)) token.Issued {
	w.t.Helper()
	out, err := w.create(by, change...)
	w.ok(err)
	return out
}

func (w *world) create(by caller.Caller, change ...func(*token.CreateRequest)) (token.Issued, error) {
	var req token.CreateRequest
	for _, f := range change {
		f(&req)
	}
	return w.Tokens.Create(context.Background(), by, req)
}

// sound checks the store, and returns how many records of each kind there are.
func (w *world) sound() map[string]int {
	w.t.Helper()
	count := map[string]int{}
	w.ok(w.DB.View(context.Background(), func(r kv.Reader) error {
		rules := map[string]fsck.Rule{}
		for _, x := range token.Rules() {
			rules[x.Kind] = x
		}
		for p, err := range r.Scan(kv.Range{}) {
			if err != nil {
				return err
			}
			for kind, x := range rules {
				if _, _, err := kv.Key(p.Key).Parts(x.Shape); err != nil || !strings.Contains(string(p.Key), "\x00\x01"+kind+"\x00\x01") && !strings.HasSuffix(string(p.Key), "\x00\x01"+kind+"\x00\x01") {
					continue
				}
				count[kind]++
				if x.Decode != nil {
					w.ok(x.Decode(p.Key, p.Value))
				}
			}
		}
		return token.Refer(r, func(key kv.Key, problem string) { w.t.Errorf("%q: %s", []byte(key), problem) })
	}))
	return count
}

func TestLogin(t *testing.T) {
	w := newWorld(t)
	w.user("ci", "web")
	i := w.login("ci", func(s *token.Spec) { s.Granted, s.TTL = []string{"extra"}, time.Hour })
	if !strings.HasPrefix(text(i), "cvs.") || len(i.Accessor) != 24 || !i.Renewable || i.TTL != time.Hour || !i.Orphan || i.Type != token.KindService ||
		i.Principal != "ci" || i.Display != "approle" {
		t.Errorf("issued %+v", i)
	}
	if got := fmt.Sprint(i.Policies, i.TokenPolicies, i.IdentityPolicies); got != "[ci-policy default extra web] [default extra] [ci-policy web]" {
		t.Errorf("policies %s", got)
	}
	who := w.as(i)
	if who.Account != coretest.Home || who.Name != "ci" || who.Proof != caller.ProofVaultToken || who.KeyID != "" || who.Generation == 0 {
		t.Errorf("caller %+v", who)
	}
	if tk := who.Token; tk == nil || tk.Accessor != i.Accessor || tk.Narrowed != nil || !slices.Equal(tk.Granted, []string{"default", "extra"}) ||
		tk.Key != "default/extra" || tk.Meta["role_name"] != "ci" || tk.Queue {
		t.Errorf("token %+v", tk)
	}
	info, err := w.Tokens.LookupSelf(t.Context(), who, "")
	w.ok(err)
	if info.Accessor != i.Accessor || info.Path != "auth/approle/login" || info.CreationTTL != time.Hour || info.Expires.IsZero() {
		t.Errorf("info %+v", info)
	}
	w.sound()
}

// What is wrong with a token is told apart by nobody.
func TestRefusalsAreAlike(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for _, n := range []string{"ann", "off", "gone", "again"} {
			w.user(n)
		}
		stranger, _ := w.Stranger(t)
		good := w.login("ann")
		expired := w.login("ann", func(s *token.Spec) { s.TTL = time.Second })
		revoked := w.login("ann")
		bound := w.login("ann", func(s *token.Spec) { s.BoundCIDRs = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} })
		used := w.login("ann", func(s *token.Spec) { s.NumUses = 1 })
		off, gone, again := w.login("off"), w.login("gone"), w.login("again")
		wrap, err := w.Tokens.Wrap(t.Context(), w.Admin, token.WrapRequest{TTL: time.Hour, Body: sensitive.FromString("{}")})
		w.ok(err)
		for _, i := range []token.Issued{good, expired, revoked, used, off, gone, again} {
			if !w.alive(i) {
				t.Fatalf("%+v is not valid", i)
			}
		}
		w.ok(w.Tokens.Revoke(t.Context(), w.Admin, token.Ref{Token: text(revoked)}))
		_, err = w.Authn.UpdateUser(t.Context(), w.Admin, authn.UpdateUserRequest{Name: "off", Disabled: new(true)})
		w.ok(err)
		for _, n := range []string{"gone", "again"} {
			_, err = w.Authn.DeleteUser(t.Context(), w.Admin, n)
			w.ok(err)
		}
		time.Sleep(time.Second)
		_, err = w.Authn.CreateUser(t.Context(), w.Admin, authn.CreateUserRequest{Name: "again"})
		w.ok(err)
		here := text(good)
		there, err := w.Tokens.Create(t.Context(), stranger, token.CreateRequest{})
		w.ok(err)
		first := ""
		for name, tk := range map[string]string{"empty": "", "words": "password", "short": "cvs.", "long": strings.Repeat("c", 10000),
			"unknown": here[:len(here)-4] + "AAAA", "spelling": here + "=", "line": here + "\n", "other-prefix": "cvb." + here[4:], "as-wrapping": "cvw." + here[4:],
			"of-another-account": text(there)[:11] + here[11:], "expired": text(expired), "revoked": text(revoked), "bound": text(bound), "used": text(used),
			"disabled": text(off), "deleted": text(gone), "made-anew": text(again), "wrapping": string(wrap.Token.Reveal()), "batch": "cvb.GdD5aW4AAAAA"} {
			who, err := w.try(tk)
			if first == "" {
				first = fmt.Sprintf("%#v", errs.As(err))
			}
			if got := fmt.Sprintf("%#v", errs.As(err)); got != first || !errs.Is(err, errs.Unauthenticated) || who.Name != "" {
				t.Errorf("%s: %+v, %s; the first: %s", name, who, got, first)
			}
		}
		if !w.alive(good) || !w.alive(there) {
			t.Error("a good token was refused")
		}
		w.sound()
	})
}

func TestAddresses(t *testing.T) {
	w := newWorld(t)
	w.user("ann")
	i := w.login("ann", func(s *token.Spec) {
		s.BoundCIDRs = []netip.Prefix{netip.MustParsePrefix("10.1.2.3/8"), netip.MustParsePrefix("2001:db8::/32")}
	})
	for addr, want := range map[string]bool{"10.9.9.9": true, "::ffff:10.9.9.9": true, "11.0.0.1": false, "2001:db8::1": true, "2001:db9::1": false, "127.0.0.1": false} {
		_, err := w.Tokens.Authenticate(t.Context(), text(i), time.Now(), netip.MustParseAddr(addr))
		if (err == nil) != want {
			t.Errorf("from %s: %v", addr, err)
		}
	}
	if _, err := w.Tokens.Authenticate(t.Context(), text(i), time.Now(), netip.Addr{}); err == nil {
		t.Error("taken from no address")
	}
}

// Revoking counts at once for the whole tree; the records go in their time.
func TestTree(t *testing.T) {
	w := newWorld(t)
	w.user("ann")
	top := w.login("ann")
	var tree []token.Issued
	level := []token.Issued{top}
	for range 3 {
		var next []token.Issued
		for _, p := range level {
			for range 4 {
				next = append(next, w.child(w.as(p)))
			}
		}
		tree, level = append(tree, next...), next
	}
	w.ok(w.Tokens.WriteCubbyhole(t.Context(), w.as(tree[5]), "a/b", sensitive.FromString(`{"x":1}`)))
	for _, i := range tree {
		if !w.alive(i) {
			t.Fatal("a child is not valid")
		}
	}
	w.ok(w.Tokens.Revoke(t.Context(), w.Admin, token.Ref{Accessor: tree[0].Accessor}))
	w.sound()
	w.ok(w.Tokens.Revoke(t.Context(), w.Admin, token.Ref{Token: text(top)}))
	w.sound()
	for _, i := range tree {
		if w.alive(i) {
			t.Fatal("a token outlives its ancestor")
		}
	}
	w.want(w.Tokens.Revoke(t.Context(), w.Admin, token.Ref{Token: text(top)}), token.CodeNoToken)
	w.ok(w.Tokens.Due(t.Context()))
	if left := w.sound(); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

func TestRevokeAlone(t *testing.T) {
	w := newWorld(t)
	w.user("ann")
	top := w.login("ann")
	mid := w.child(w.as(top))
	var low []token.Issued
	for range 40 {
		low = append(low, w.child(w.as(mid)))
	}
	batch := w.child(w.as(mid), func(r *token.CreateRequest) { r.Type = "batch" })
	check := func(when string) {
		t.Helper()
		if w.alive(mid) || w.alive(batch) {
			t.Errorf("%s: what was revoked is valid", when)
		}
		for _, i := range low {
			info, err := w.Tokens.LookupSelf(t.Context(), w.as(i), "")
			if err != nil || !info.Orphan {
				t.Fatalf("%s: a child is %+v, %v", when, info, err)
			}
		}
		w.sound()
	}
	w.ok(w.Tokens.RevokeAlone(t.Context(), w.Admin, token.Ref{Token: text(mid)}))
	w.want(w.Tokens.RevokeAlone(t.Context(), w.Admin, token.Ref{Token: text(mid)}), token.CodeNoToken)
	check("at once")
	w.ok(w.Tokens.Revoke(t.Context(), w.Admin, token.Ref{Token: text(top)})) // of which the children are no descendants any more
	check("with the parent gone")
	w.ok(w.Tokens.Due(t.Context()))
	check("when they were moved")
	if left := w.sound(); left["token"] != len(low) || left["due-token"] != len(low) {
		t.Errorf("left: %v", left)
	}
	_, err := w.Authn.DeleteUser(t.Context(), w.Admin, "ann")
	w.ok(err)
	w.ok(w.Tokens.Sweep(t.Context()))
	if left := w.sound(); len(left) != 0 {
		t.Errorf("left of who is gone: %v", left)
	}
}

// A token that is counted is used exactly as often as it may be.
func TestUses(t *testing.T) {
	w := newWorld(t)
	w.user("ann")
	i := w.login("ann", func(s *token.Spec) { s.NumUses = 5 })
	var taken atomic.Int64
	var group sync.WaitGroup
	for range 40 {
		group.Go(func() {
			_, err := w.try(text(i))
			if err == nil {
				taken.Add(1)
			} else if errs.As(err).Code != token.CodeBadToken {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if taken.Load() != 5 {
		t.Errorf("used %d times, not 5", taken.Load())
	}
	w.sound()
}

// The request that took the last use is still told what it came with.
func TestLastUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.user("ann")
		i := w.login("ann", func(s *token.Spec) { s.NumUses = 2 })
		_, err := w.create(w.as(i))
		w.want(err, "restricted use token cannot generate child tokens")
		who := w.as(i)
		if _, err := w.Tokens.LookupSelf(t.Context(), who, ""); err != nil {
			t.Error(err)
		}
		if w.alive(i) {
			t.Error("a third use")
		}
		time.Sleep(2 * time.Minute)
		w.ok(w.Tokens.Due(t.Context()))
		if left := w.sound(); len(left) != 0 {
			t.Errorf("left: %v", left)
		}
	})
}

// A token that is made with an access key or in a session goes with it.
func TestHangsOnKey(t *testing.T) {
	w := newWorld(t)
	w.user("ann")
	key, err := w.Authn.CreateKey(t.Context(), w.Admin, authn.CreateKeyRequest{Owner: "ann"})
	w.ok(err)
	i := w.child(w.As(t, key))
	grand := w.child(w.as(i))
	orphan := w.child(w.As(t, key), func(r *token.CreateRequest) { r.Orphan = true })
	if i.Orphan || !orphan.Orphan {
		t.Errorf("orphans: %v, %v", i.Orphan, orphan.Orphan)
	}
	for _, c := range []token.Issued{i, grand, orphan} {
		who := w.as(c)
		if want := map[bool]string{true: "", false: key.ID}[c.Accessor == orphan.Accessor]; who.KeyID != want {
			t.Errorf("key %q, want %q", who.KeyID, want)
		}
	}
	_, err = w.Authn.RevokeKey(t.Context(), w.Admin, "ann", key.ID)
	w.ok(err)
	if w.alive(i) || w.alive(grand) || !w.alive(orphan) {
		t.Error("tokens do not go with their key, or an orphan does")
	}
	w.ok(w.Tokens.Sweep(t.Context()))
	if left := w.sound(); left["token"] != 1 {
		t.Errorf("left: %v", left)
	}
}

// The policies of an access key bound every token that is made with it, and what
// comes of that: nothing of it becomes an orphan, which would be rid of a denial
// among them.
func TestKeyFences(t *testing.T) {
	w := newWorld(t)
	w.user("ann")
	key, err := w.Authn.CreateKey(t.Context(), w.Admin, authn.CreateKeyRequest{Owner: "ann", Policies: []string{"ann-policy"}})
	w.ok(err)
	i := w.child(w.As(t, key))
	grand := w.child(w.as(i))
	for _, c := range []token.Issued{i, grand} {
		if who := w.as(c); who.KeyID != key.ID || !slices.Equal(who.Token.Narrowed, []string{"ann-policy", "default"}) {
			t.Errorf("key %q, narrowed to %q", who.KeyID, who.Token.Narrowed)
		}
	}
	for what, who := range map[string]caller.Caller{"the key": w.As(t, key), "its token": w.as(i), "the token of that": w.as(grand)} {
		if _, err := w.Tokens.Create(t.Context(), who, token.CreateRequest{Orphan: true}); !errs.Is(err, errs.Invalid) {
			t.Errorf("an orphan of %s: %v", what, err)
		}
	}
	if err := w.Tokens.RevokeAlone(t.Context(), w.Admin, token.Ref{Accessor: i.Accessor}); !errs.Is(err, errs.Invalid) {
		t.Errorf("parting a token from its key: %v", err)
	}
	w.ok(w.Tokens.Revoke(t.Context(), w.Admin, token.Ref{Accessor: i.Accessor}))
	if w.alive(grand) {
		t.Error("a token lives on without its parent")
	}
}

func TestKeyExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.user("ann")
		key, err := w.Authn.CreateKey(t.Context(), w.Admin, authn.CreateKeyRequest{Owner: "ann", Expires: time.Now().Add(time.Hour)})
		w.ok(err)
		i := w.child(w.As(t, key))
		time.Sleep(time.Hour - time.Second)
		if !w.alive(i) {
			t.Error("not valid before its key expires")
		}
		time.Sleep(2 * time.Second)
		if w.alive(i) {
			t.Error("valid after its key has expired")
		}
	})
}

func TestHangsOnSession(t *testing.T) {
	w := newWorld(t)
	w.user("ann")
	inv, err := w.SignIn.InviteUser(t.Context(), w.Admin, signin.InviteRequest{User: "ann"})
	w.ok(err)
	password := sensitive.FromString("tall giraffes drink slowly")
	_, err = w.SignIn.AcceptInvitation(t.Context(), w.nobody(), signin.AcceptRequest{User: "ann", Invitation: inv.Token, Password: password})
	w.ok(err)
	tk, err := w.SignIn.Login(t.Context(), w.nobody(), signin.LoginRequest{User: "ann", Password: password})
	w.ok(err)
	who, err := w.SignIn.Authenticate(t.Context(), tk.Access, time.Now())
	w.ok(err)
	who = coretest.Circumstances(who)
	i := w.child(who)
	if got := w.as(i); got.Session != "" || got.Name != "ann" {
		t.Errorf("caller %+v", got)
	}
	info, err := w.Tokens.LookupSelf(t.Context(), who, "")
	if err != nil || info.Accessor != who.Session || info.Renewable || info.TTL <= 0 {
		t.Errorf("a session as a token: %+v, %v", info, err)
	}
	w.ok(w.SignIn.Logout(t.Context(), who))
	if w.alive(i) {
		t.Error("a token outlives its session")
	}
	w.ok(w.Tokens.Sweep(t.Context()))
	if left := w.sound(); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

func TestDepth(t *testing.T) {
	w := newWorld(t)
	w.user("ann")
	i := w.login("ann")
	for range token.MaxDepth - 1 {
		i = w.child(w.as(i))
	}
	_, err := w.create(w.as(i))
	if !errs.Is(err, errs.Limit) {
		t.Errorf("got %v", err)
	}
	w.child(w.as(w.child(w.as(i), func(r *token.CreateRequest) { r.Orphan = true })))
	w.sound()
}

func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.user("ann")
		var all []token.Issued
		for n := range 100 {
			all = append(all, w.login("ann", func(s *token.Spec) { s.TTL = time.Duration(n+1) * time.Minute }))
		}
		low := w.child(w.as(all[9]))
		time.Sleep(50*time.Minute + time.Second)
		for n, i := range all {
			if w.alive(i) != (n >= 50) {
				t.Errorf("token %d is alive: %v", n, w.alive(i))
			}
		}
		if w.alive(low) {
			t.Error("a token outlives its parent")
		}
		w.ok(w.Tokens.Due(t.Context()))
		if left := w.sound(); left["token"] != 50 || left["due-token"] != 50 || left["token-accessor"] != 50 {
			t.Errorf("left: %v", left)
		}
	})
}

// The job of the server removes what is due, and wakes for what is revoked.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.user("ann")
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); w.Tokens.Run(ctx, func(err error) { t.Error(err) }) }()
		top := w.login("ann")
		w.child(w.as(top))
		w.login("ann", func(s *token.Spec) { s.TTL = time.Minute })
		w.ok(w.Tokens.Revoke(t.Context(), w.Admin, token.Ref{Token: text(top)}))
		synctest.Wait()
		if left := w.sound(); left["token"] != 1 {
			t.Errorf("after a revocation: %v", left)
		}
		time.Sleep(time.Minute + 10*time.Second)
		synctest.Wait()
		if left := w.sound(); len(left) != 0 {
			t.Errorf("after the end: %v", left)
		}
		w.login("ann")
		_, err := w.Authn.DeleteUser(t.Context(), w.Admin, "ann")
		w.ok(err)
		w.ok(w.Tokens.Tidy(t.Context(), w.Admin))
		synctest.Wait()
		if left := w.sound(); len(left) != 0 {
			t.Errorf("after tidying: %v", left)
		}
		stop()
		<-done
	})
}

// Where an entry cannot be carried out, the rest is, and it is told.
func TestDueGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.user("ann")
		w.login("ann", func(s *token.Spec) { s.TTL = time.Minute })
		broken := kv.K("sys", "due-token").Num(1).Str(coretest.Home, "x", "h")
		_, err := w.DB.Update(t.Context(), func(tx kv.Txn) error {
			return errors.Join(tx.Put(broken, []byte{1}), tx.Put(kv.K(coretest.Home, "token", "h"), []byte("no record")))
		})
		w.ok(err)
		time.Sleep(time.Hour)
		for range 2 {
			if err := w.Tokens.Due(t.Context()); !errs.Is(err, errs.Internal) {
				t.Errorf("got %v", err)
			}
		}
		if _, _, err := w.Tokens.ListAccessors(t.Context(), w.Admin, "", 10); err != nil {
			t.Error(err)
		}
		if left, _, _ := w.Tokens.ListAccessors(t.Context(), w.Admin, "", 10); len(left) != 0 {
			t.Errorf("left: %v", left)
		}
	})
}

func (w *world) ctx() context.Context { return context.Background() }
