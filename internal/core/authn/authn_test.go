package authn_test

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/authn"
	"countersign/internal/core/change"
	"countersign/internal/core/coretest"
	"countersign/internal/core/policy"
	"countersign/internal/core/secret"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/name"
)

type fixture struct {
	*coretest.Core
	t   testing.TB
	ctx context.Context
}

func start(t testing.TB, c coretest.Config) *fixture {
	return &fixture{coretest.New(t, c), t, context.Background()}
}

func (f *fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// only drops the answer of a write.
func only(_ change.Result, err error) error { return err }

func code(err error) string {
	e := errs.As(err)
	switch {
	case e == nil:
		return "ok"
	case e.Code != "":
		return e.Kind.String() + "/" + e.Code
	case e.Field != "":
		return e.Kind.String() + "@" + e.Field
	}
	return e.Kind.String()
}

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
		if string(before[k]) != string(v) {
			f.t.Errorf("key %q was written", k)
		}
	}
	if len(after) < len(before) {
		f.t.Errorf("%d keys were deleted", len(before)-len(after))
	}
}

func allow(action, resource string) string {
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":%q,"Resource":%q}]}`, action, resource)
}

// may tells whether a caller can list secrets, in one word.
func (f *fixture) may(who caller.Caller) string {
	_, err := f.Secrets.List(f.ctx, who, secret.ListRequest{})
	return code(err)
}

func (f *fixture) lookup(id string) string {
	_, err := f.Authn.Lookup(f.ctx, id, time.Now())
	return code(err)
}

func engines(t *testing.T, test func(*testing.T, coretest.Config)) {
	t.Run("memkv", func(t *testing.T) { test(t, coretest.Config{}) })
	t.Run("boltkv", func(t *testing.T) { test(t, coretest.Config{Bolt: true}) })
}

func TestKeys(t *testing.T) {
	engines(t, func(t *testing.T, c coretest.Config) {
		f := start(t, c)
		bob, key := f.User(t, "bob", allow("secretsmanager:*", "*"))
		if !regexp.MustCompile(`^AKIA[A-Z2-7]{16}$`).MatchString(key.ID) || key.Secret.Len() != 40 {
			t.Errorf("key %q with a secret of %d characters", key.ID, key.Secret.Len())
		}
		cred, err := f.Authn.Lookup(f.ctx, key.ID, time.Now())
		f.must(err)
		if !cred.Secret.Equal(key.Secret) || cred.Caller.Name != "bob" || cred.Caller.Account != coretest.Home || cred.Caller.KeyID != key.ID || cred.Caller.Proof != "" {
			t.Errorf("credential of %+v", cred.Caller)
		}
		for _, id := range []string{"", "AKIA", "AKIAAAAAAAAAAAAAAAAA", strings.ToLower(key.ID), key.ID + "A", "AKIA\x00AAAAAAAAAAAAAAA", strings.Repeat("A", 1<<16)} {
			if got := f.lookup(id); got != "unauthenticated/unknown-key" {
				t.Errorf("%.30q: %s", id, got)
			}
		}
		if got := f.may(bob); got != "ok" {
			t.Fatal(got)
		}
		f.unchanged(func() {
			f.expect(only(f.Authn.RevokeKey(f.ctx, f.Admin, authn.Admin, key.ID)), "not-found")
			f.expect(only(f.Authn.RevokeKey(f.ctx, f.Admin, "bob", "AKIAAAAAAAAAAAAAAAAA")), "not-found")
		})
		f.must(only(f.Authn.RevokeKey(f.ctx, f.Admin, "bob", key.ID)))
		if got := f.lookup(key.ID); got != "unauthenticated/unknown-key" { // it was cached
			t.Errorf("revoked: %s", got)
		}
		if got := f.may(bob); !strings.HasPrefix(got, "denied") { // a request that was authenticated just before
			t.Errorf("with a key revoked meanwhile: %s", got)
		}
		for k, v := range f.Dump(t) {
			if strings.Contains(k, key.ID) && !strings.Contains(k, "change") || strings.Contains(string(v), string(key.Secret.Reveal())) {
				t.Errorf("left of a revoked key: %q", k)
			}
		}
	})
}

func TestKeyLimitsAndFields(t *testing.T) {
	f := start(t, coretest.Config{})
	_, _ = f.User(t, "bob", "")
	f.unchanged(func() {
		for want, req := range map[string]authn.CreateKeyRequest{
			"invalid@Expires":     {Owner: "bob", Expires: time.Now().Add(-time.Hour)},
			"invalid@Description": {Owner: "bob", Description: "\x00"},
			"invalid@Name":        {Owner: "b/b"},
			"invalid@Policy":      {Owner: "bob", Policies: []string{"a/b"}},
		} {
			_, err := f.Authn.CreateKey(f.ctx, f.Admin, req)
			f.expect(err, want)
		}
		for _, req := range []authn.CreateKeyRequest{{Owner: "nobody"}, {Owner: "bob", Policies: []string{"none"}}} {
			_, err := f.Authn.CreateKey(f.ctx, f.Admin, req)
			f.expect(err, "not-found")
		}
	})
	for range authn.MaxKeys - 1 {
		_, err := f.Authn.CreateKey(f.ctx, f.Admin, authn.CreateKeyRequest{Owner: "bob"})
		f.must(err)
	}
	_, err := f.Authn.CreateKey(f.ctx, f.Admin, authn.CreateKeyRequest{Owner: "bob"})
	f.expect(err, "limit")
	for i := range authn.MaxGroups {
		g := fmt.Sprint("g", i)
		_, err := f.Authn.CreateGroup(f.ctx, f.Admin, g)
		f.must(err)
		f.must(only(f.Authn.AddToGroup(f.ctx, f.Admin, g, "bob")))
	}
	_, err = f.Authn.CreateGroup(f.ctx, f.Admin, "one-more")
	f.must(err)
	f.expect(only(f.Authn.AddToGroup(f.ctx, f.Admin, "one-more", "bob")), "limit")
	keys, err := f.Authn.ListKeys(f.ctx, f.Admin, "bob")
	f.must(err)
	f.must(only(f.Authn.DeleteUser(f.ctx, f.Admin, "bob"))) // with all of it in one transaction
	for _, k := range keys {
		if got := f.lookup(k.ID); got != "unauthenticated/unknown-key" {
			t.Errorf("a key of a deleted user: %s", got)
		}
	}
	for k := range f.Dump(t) {
		if strings.Contains(k, "\x00\x01bob\x00\x01") && !strings.Contains(k, "\x00\x01change\x00\x01") {
			t.Errorf("left of a deleted user: %q", k)
		}
	}
	f.must(only(f.Authn.DeleteGroup(f.ctx, f.Admin, "g0")))
}

func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := start(t, coretest.Config{})
		_, _ = f.User(t, "bob", "")
		key, err := f.Authn.CreateKey(f.ctx, f.Admin, authn.CreateKeyRequest{Owner: "bob", Expires: time.Now().Add(time.Hour)})
		f.must(err)
		token := authn.Token(key.ID, string(key.Secret.Reveal()))
		if got := f.lookup(key.ID); got != "ok" {
			t.Errorf("before: %s", got)
		}
		time.Sleep(time.Hour) // fake time
		if got := f.lookup(key.ID); got != "unauthenticated/expired-key" {
			t.Errorf("after: %s", got)
		}
		_, err = f.Authn.AuthenticateToken(f.ctx, token, time.Now())
		f.expect(err, "unauthenticated/bad-secret")
	})
}

func TestTokens(t *testing.T) {
	f := start(t, coretest.Config{})
	_, key := f.User(t, "bob", "")
	value := string(key.Secret.Reveal())
	token := authn.Token(key.ID, value)
	who, err := f.Authn.AuthenticateToken(f.ctx, token, time.Now())
	f.must(err)
	if who.Name != "bob" || who.Proof != caller.ProofToken || who.KeyID != key.ID {
		t.Errorf("authenticated %+v", who)
	}
	other := []byte(value)
	other[39] ^= 1
	var told []string
	for _, bad := range []string{"", "cst_", token[:len(token)-1], token + "a", authn.Token(key.ID, string(other)), authn.Token("AKIAAAAAAAAAAAAAAAAA", value),
		authn.Token(f.Key.ID, value), "Cst_" + token[4:], strings.Replace(token, "_", "-", 2), authn.Token(key.ID, strings.Repeat("\x00", 40))} {
		_, err := f.Authn.AuthenticateToken(f.ctx, bad, time.Now())
		told = append(told, fmt.Sprintf("%s %v", code(err), err))
	}
	slices.Sort(told)
	if got := slices.Compact(told); len(got) != 1 || !strings.HasPrefix(got[0], "unauthenticated/bad-secret") {
		t.Errorf("bad tokens are told apart: %q", got)
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add("cst_AKIAAAAAAAAAAAAAAAAA_" + strings.Repeat("a", 40))
	f.Add("cst_")
	f.Fuzz(func(t *testing.T, s string) {
		id, secret, ok := authn.ParseToken(s)
		if ok && (authn.Token(id, secret) != s || len(id) != 20 || len(secret) != 40 || strings.ContainsAny(id, "_\x00 ")) {
			t.Errorf("%q is read as %q and %q", s, id, secret)
		}
	})
}

func TestChangesCountFromTheNextRequest(t *testing.T) {
	engines(t, func(t *testing.T, c coretest.Config) {
		f := start(t, c)
		bob, key := f.User(t, "bob", "")
		step := func(title, want string) {
			t.Helper()
			if got := f.may(bob); got != want {
				t.Errorf("%s: %s, want %s", title, got, want)
			}
		}
		const no = "denied/no-match"
		step("nothing", no)
		_, err := f.Authn.CreateGroup(f.ctx, f.Admin, "readers")
		f.must(err)
		f.must(only(f.Authn.Attach(f.ctx, f.Admin, authn.Attachment{Policy: "SecretsReadOnly", Group: "readers"})))
		step("group without member", no)
		f.must(only(f.Authn.AddToGroup(f.ctx, f.Admin, "readers", "bob")))
		step("member", "ok")
		if cred, err := f.Authn.Lookup(f.ctx, key.ID, time.Now()); err != nil || !slices.Equal(cred.Caller.Groups, []string{"readers"}) {
			t.Errorf("groups %v, %v", cred.Caller.Groups, err)
		}
		f.expect(only(f.Authn.DeleteGroup(f.ctx, f.Admin, "readers")), "precondition/in-use")
		f.must(only(f.Authn.RemoveFromGroup(f.ctx, f.Admin, "readers", "bob")))
		step("no longer member", no)
		f.must(only(f.Authn.RemoveFromGroup(f.ctx, f.Admin, "readers", "bob")))
		f.must(only(f.Authn.Attach(f.ctx, f.Admin, authn.Attachment{Policy: "SecretsReadOnly", User: "bob"})))
		step("attached", "ok")
		f.must(only(f.Authn.Detach(f.ctx, f.Admin, authn.Attachment{Policy: "SecretsReadOnly", User: "bob"})))
		step("detached", no)
		_, err = f.Authn.PutPolicy(f.ctx, f.Admin, "own", allow("secretsmanager:ListSecrets", "*"), "")
		f.must(err)
		f.must(only(f.Authn.Attach(f.ctx, f.Admin, authn.Attachment{Policy: "own", User: "bob"})))
		step("own policy", "ok")
		_, err = f.Authn.PutPolicy(f.ctx, f.Admin, "own", allow("secretsmanager:GetSecretValue", "*"), "")
		f.must(err)
		step("policy replaced", no)
		f.expect(only(f.Authn.DeletePolicy(f.ctx, f.Admin, "own")), "precondition/in-use")
		f.must(only(f.Authn.Attach(f.ctx, f.Admin, authn.Attachment{Policy: authnAdmin, User: "bob"})))
		step("administrator", "ok")
		yes, not := true, false
		_, err = f.Authn.UpdateUser(f.ctx, f.Admin, authn.UpdateUserRequest{Name: "bob", Disabled: &yes})
		f.must(err)
		step("disabled", no)
		if got := f.lookup(key.ID); got != "unauthenticated/unknown-key" {
			t.Errorf("key of a disabled user: %s", got)
		}
		_, err = f.Authn.UpdateUser(f.ctx, f.Admin, authn.UpdateUserRequest{Name: "bob", Disabled: &not})
		f.must(err)
		step("enabled", "ok")
		if got := f.lookup(key.ID); got != "ok" {
			t.Errorf("key of an enabled user: %s", got)
		}
		f.must(only(f.Authn.DeleteUser(f.ctx, f.Admin, "bob")))
		step("deleted", no)
		f.must(only(f.Authn.DeletePolicy(f.ctx, f.Admin, "own")))
	})
}

const authnAdmin = "AdministratorAccess"

func TestKeysCanBeNarrowed(t *testing.T) {
	f := start(t, coretest.Config{})
	_, _ = f.User(t, "bob", allow("*", "*"))
	_, err := f.Authn.PutPolicy(f.ctx, f.Admin, "narrow", allow("secretsmanager:ListSecrets", "*"), "")
	f.must(err)
	key, err := f.Authn.CreateKey(f.ctx, f.Admin, authn.CreateKeyRequest{Owner: "bob", Policies: []string{"narrow"}})
	f.must(err)
	bob := f.As(t, key)
	if got := f.may(bob); got != "ok" {
		t.Errorf("what both allow: %s", got)
	}
	_, err = f.Secrets.Create(f.ctx, bob, secret.CreateRequest{Name: "x"})
	f.expect(err, "denied/no-match")
	_, err = f.Authn.CreateKey(f.ctx, bob, authn.CreateKeyRequest{Owner: "bob"})
	f.expect(err, "denied/no-match")
	f.expect(only(f.Authn.DeletePolicy(f.ctx, f.Admin, "narrow")), "precondition/in-use")
	_, err = f.Authn.PutPolicy(f.ctx, f.Admin, "narrow", allow("iam:*", "*"), "")
	f.must(err)
	if got := f.may(bob); got != "denied/no-match" {
		t.Errorf("the key's policy was replaced: %s", got)
	}
	// A key's policy grants nothing by itself.
	_, err = f.Authn.CreateUser(f.ctx, f.Admin, authn.CreateUserRequest{Name: "weak"})
	f.must(err)
	key, err = f.Authn.CreateKey(f.ctx, f.Admin, authn.CreateKeyRequest{Owner: "weak", Policies: []string{authnAdmin}})
	f.must(err)
	if got := f.may(f.As(t, key)); got != "denied/no-match" {
		t.Errorf("by the key's policy alone: %s", got)
	}
}

func TestLastUsed(t *testing.T) {
	f := start(t, coretest.Config{})
	bob, key := f.User(t, "bob", "")
	used := func() time.Time {
		f.must(authn.FlushUsed(f.Authn, f.ctx))
		keys, err := f.Authn.ListKeys(f.ctx, f.Admin, "bob")
		f.must(err)
		return keys[0].LastUsed
	}
	f.lookup(key.ID) // anybody who knows the id can get this far
	if _, err := f.Authn.AuthenticateToken(f.ctx, authn.Token(key.ID, strings.Repeat("a", 40)), time.Now()); err == nil {
		t.Fatal("authenticated")
	}
	if at := used(); !at.IsZero() {
		t.Errorf("used at %s, by nobody who proved it", at)
	}
	f.may(bob)
	if at := used(); !at.Equal(bob.Time.Truncate(time.Microsecond)) {
		t.Errorf("used at %s, want %s", at, bob.Time)
	}
}

func TestPolicies(t *testing.T) {
	f := start(t, coretest.Config{})
	put := func(n, doc string) error { _, err := f.Authn.PutPolicy(f.ctx, f.Admin, n, doc, ""); return err }
	f.unchanged(func() {
		f.expect(put(authnAdmin, allow("*", "*")), "precondition/reserved")
		f.expect(only(f.Authn.DeletePolicy(f.ctx, f.Admin, authnAdmin)), "precondition/reserved")
		f.expect(put("a/b", allow("*", "*")), "invalid@Name")
		f.expect(put("large", allow("*", strings.Repeat("*", authn.MaxPolicy))), "limit")
		if got := code(put("bad", `{"Statement":1}`)); !strings.HasPrefix(got, "invalid") {
			t.Errorf("malformed: %s", got)
		}
		f.expect(only(f.Authn.DeletePolicy(f.ctx, f.Admin, "none")), "not-found")
		f.expect(only(f.Authn.Attach(f.ctx, f.Admin, authn.Attachment{Policy: "none", User: authn.Admin})), "not-found")
		f.expect(only(f.Authn.Attach(f.ctx, f.Admin, authn.Attachment{Policy: authnAdmin, User: "none"})), "not-found")
		f.expect(only(f.Authn.Attach(f.ctx, f.Admin, authn.Attachment{Policy: authnAdmin})), "invalid@User")
		f.expect(only(f.Authn.Attach(f.ctx, f.Admin, authn.Attachment{Policy: authnAdmin, User: "a", Group: "b"})), "invalid@User")
		_, err := f.Authn.GetPolicy(f.ctx, f.Admin, "none")
		f.expect(err, "not-found")
	})
	for i := range authn.MaxPolicies { // the administrator has one already
		n := fmt.Sprint("p", i)
		f.must(put(n, allow("secretsmanager:ListSecrets", "*")))
		want := "ok"
		if i == authn.MaxPolicies-1 {
			want = "limit"
		}
		f.expect(only(f.Authn.Attach(f.ctx, f.Admin, authn.Attachment{Policy: n, User: authn.Admin})), want)
	}
	list, err := f.Authn.ListPolicies(f.ctx, f.Admin, "", 0)
	f.must(err)
	if want := len(policy.Builtins()) + authn.MaxPolicies; len(list) != want {
		t.Errorf("%d policies, want %d", len(list), want)
	}
	list, err = f.Authn.ListPolicies(f.ctx, f.Admin, "p8", 1)
	f.must(err)
	if len(list) != 1 || list[0].Name != "p9" {
		t.Errorf("after p8: %+v", list)
	}
	p, err := f.Authn.GetPolicy(f.ctx, f.Admin, authnAdmin)
	f.must(err)
	if !p.Builtin || p.Document == "" {
		t.Errorf("built in: %+v", p)
	}
}

// A policy that is attached and cannot be read must not pass for one that is
// not there: it might have denied.
func TestUnreadablePolicyIsNoPermission(t *testing.T) {
	f := start(t, coretest.Config{})
	bob, _ := f.User(t, "bob", allow("*", "*"))
	_, err := f.DB.Update(f.ctx, func(tx kv.Txn) error {
		if err := tx.Put(kv.K(coretest.Home, "iam-generation"), []byte{0x18, 0xff}); err != nil {
			return err
		}
		return tx.Delete(kv.K(coretest.Home, "policy", "bob-policy"))
	})
	f.must(err)
	if got := f.may(bob); got != "internal" {
		t.Errorf("got %s", got)
	}
}

func TestUsers(t *testing.T) {
	f := start(t, coretest.Config{})
	yes := true
	p, err := f.Authn.CreateUser(f.ctx, f.Admin, authn.CreateUserRequest{Name: "ci", Machine: true, Tags: map[string]string{"team": "blue"}})
	f.must(err)
	if p.Kind != caller.Machine || p.Tags["team"] != "blue" || p.ARN != "arn:aws:iam::111111111111:user/ci" {
		t.Errorf("created %+v", p)
	}
	f.unchanged(func() {
		_, err := f.Authn.CreateUser(f.ctx, f.Admin, authn.CreateUserRequest{Name: "ci"})
		f.expect(err, "exists")
		_, err = f.Authn.CreateUser(f.ctx, f.Admin, authn.CreateUserRequest{Name: "x", Tags: map[string]string{"aws:x": ""}})
		f.expect(err, "invalid@Tags")
		_, err = f.Authn.UpdateUser(f.ctx, f.Admin, authn.UpdateUserRequest{Name: "none", Disabled: &yes})
		f.expect(err, "not-found")
		_, err = f.Authn.GetUser(f.ctx, f.Admin, "../ci")
		f.expect(err, "not-found")
		f.expect(only(f.Authn.DeleteUser(f.ctx, f.Admin, "none")), "not-found")
		f.expect(only(f.Authn.AddToGroup(f.ctx, f.Admin, "none", "ci")), "not-found")
	})
	tagger, _ := f.User(t, "tagger", allow("iam:TagUser", "*"))
	f.unchanged(func() { // all of it, or nothing
		_, err := f.Authn.UpdateUser(f.ctx, tagger, authn.UpdateUserRequest{Name: "ci", SetTags: map[string]string{"a": "b"}, Disabled: &yes})
		f.expect(err, "denied/no-match")
	})
	p, err = f.Authn.UpdateUser(f.ctx, f.Admin, authn.UpdateUserRequest{Name: "ci", SetTags: map[string]string{"a": "b"}, Untag: []string{"team"}, Disabled: &yes})
	f.must(err)
	if fmt.Sprint(p.Tags) != "map[a:b]" || !p.Disabled {
		t.Errorf("updated %+v", p)
	}
	creator, _ := f.User(t, "creator", allow("iam:CreateUser", "*"))
	_, err = f.Authn.CreateUser(f.ctx, creator, authn.CreateUserRequest{Name: "x", Tags: map[string]string{"team": "blue"}})
	f.expect(err, "denied/no-match")
	_, err = f.Authn.CreateUser(f.ctx, creator, authn.CreateUserRequest{Name: "x"})
	f.must(err)
	users, err := f.Authn.ListUsers(f.ctx, f.Admin, "ci", 2)
	f.must(err)
	if len(users) != 2 || users[0].Name != "creator" || users[1].Name != "tagger" {
		t.Errorf("listed %+v", users)
	}
	groups, err := f.Authn.ListGroups(f.ctx, f.Admin, "", 0)
	f.must(err)
	if len(groups) != 0 {
		t.Errorf("groups %+v", groups)
	}
}

func TestAccounts(t *testing.T) {
	f := start(t, coretest.Config{})
	_, err := f.Authn.Bootstrap(f.ctx)
	f.expect(err, "exists")
	if ok, err := f.Authn.Bootstrapped(f.ctx); err != nil || !ok {
		t.Errorf("bootstrapped: %v, %v", ok, err)
	}
	bob, _ := f.User(t, "bob", allow("secretsmanager:*", "*"))
	stranger, _ := f.Stranger(t)
	keysets := func() int {
		n := 0
		f.must(f.Engine.View(f.ctx, func(r kv.Reader) error {
			n = 0
			for _, err := range r.Scan(kv.Prefix(kv.K("meta"))) {
				if err != nil {
					return err
				}
				n++
			}
			return nil
		}))
		return n
	}
	before := keysets()
	f.unchanged(func() {
		_, err := f.Authn.CreateAccount(f.ctx, bob, "333333333333", "")
		f.expect(err, "denied/no-match")
		for _, id := range []string{"333333333333", coretest.Home, coretest.Other, "x"} {
			_, err = f.Authn.CreateAccount(f.ctx, stranger, id, "")
			f.expect(err, "denied/not-home")
		}
		_, err = f.Authn.CreateAccount(f.ctx, f.Admin, "33333333333", "")
		f.expect(err, "invalid@account")
		_, err = f.Authn.CreateAccount(f.ctx, f.Admin, "333333333333", "\x00")
		f.expect(err, "invalid@Name")
		_, err = f.Authn.CreateAccount(f.ctx, f.Admin, coretest.Other, "")
		f.expect(err, "exists")
		_, err = f.Authn.ListAccounts(f.ctx, stranger)
		f.expect(err, "denied/not-home")
	})
	if after := keysets(); after != before {
		t.Errorf("refused creations left %d keysets", after-before)
	}
	accounts, err := f.Authn.ListAccounts(f.ctx, f.Admin)
	f.must(err)
	if len(accounts) != 2 || !accounts[0].Home || accounts[1].ID != coretest.Other || accounts[1].Name != "other" {
		t.Errorf("accounts %+v", accounts)
	}
}

var anID = regexp.MustCompile(`[0-9A-HJKMNP-TV-Z]{26}`)

// The administrator of another account is told the same whether something of the
// first exists or not, and reaches nothing of it.
func TestStrangerCannotTellWhatExists(t *testing.T) {
	f := start(t, coretest.Config{})
	stranger, _ := f.Stranger(t)
	_, key := f.User(t, "bob", allow("*", "*"))
	_, err := f.Authn.CreateGroup(f.ctx, f.Admin, "team")
	f.must(err)
	operations := func(user, group, pol, id string) map[string]func() error {
		yes := true
		return map[string]func() error{
			"GetUser": func() error { _, err := f.Authn.GetUser(f.ctx, stranger, user); return err },
			"UpdateUser": func() error {
				_, err := f.Authn.UpdateUser(f.ctx, stranger, authn.UpdateUserRequest{Name: user, Disabled: &yes})
				return err
			},
			"DeleteUser": func() error { return only(f.Authn.DeleteUser(f.ctx, stranger, user)) },
			"CreateKey": func() error {
				_, err := f.Authn.CreateKey(f.ctx, stranger, authn.CreateKeyRequest{Owner: user})
				return err
			},
			"ListKeys":    func() error { _, err := f.Authn.ListKeys(f.ctx, stranger, user); return err },
			"RevokeKey":   func() error { return only(f.Authn.RevokeKey(f.ctx, stranger, user, id)) },
			"RevokeOwn":   func() error { return only(f.Authn.RevokeKey(f.ctx, stranger, stranger.Name, id)) },
			"GetGroup":    func() error { _, err := f.Authn.GetGroup(f.ctx, stranger, group); return err },
			"DeleteGroup": func() error { return only(f.Authn.DeleteGroup(f.ctx, stranger, group)) },
			"AddToGroup":  func() error { return only(f.Authn.AddToGroup(f.ctx, stranger, group, user)) },
			"Remove":      func() error { return only(f.Authn.RemoveFromGroup(f.ctx, stranger, group, user)) },
			"GetPolicy":   func() error { _, err := f.Authn.GetPolicy(f.ctx, stranger, pol); return err },
			"Delete":      func() error { return only(f.Authn.DeletePolicy(f.ctx, stranger, pol)) },
			"Attach": func() error {
				return only(f.Authn.Attach(f.ctx, stranger, authn.Attachment{Policy: pol, User: stranger.Name}))
			},
			"AttachUser": func() error {
				return only(f.Authn.Attach(f.ctx, stranger, authn.Attachment{Policy: authnAdmin, User: user}))
			},
			"AttachGroup": func() error {
				return only(f.Authn.Attach(f.ctx, stranger, authn.Attachment{Policy: authnAdmin, Group: group}))
			},
			"TestPolicy": func() error {
				_, err := f.Authn.TestPolicy(f.ctx, stranger, authn.TestRequest{User: user, Action: "ReadValue", Resource: "*"}, f.Secrets.Resources())
				return err
			},
			"KeyWithPolicy": func() error {
				_, err := f.Authn.CreateKey(f.ctx, stranger, authn.CreateKeyRequest{Owner: stranger.Name, Policies: []string{pol}})
				return err
			},
		}
	}
	told := func(err error) string {
		if err == nil {
			return "ok"
		}
		e := errs.As(err)
		return anID.ReplaceAllString(fmt.Sprintf("%s|%s|%s|%s", e.Kind, e.Code, e.Field, e.Msg), "ID")
	}
	f.unchanged(func() {
		absent := operations("nobody", "nothing", "none", "AKIAAAAAAAAAAAAAAAAA")
		for op, do := range operations("bob", "team", "bob-policy", key.ID) {
			got, want := told(do()), told(absent[op]())
			if got != want || !strings.HasPrefix(got, "not-found") {
				t.Errorf("%s: told %s, of what is absent %s", op, got, want)
			}
		}
	})
	for what, list := range map[string]func() (int, error){
		"users":  func() (int, error) { l, err := f.Authn.ListUsers(f.ctx, stranger, "", 0); return len(l), err },
		"groups": func() (int, error) { l, err := f.Authn.ListGroups(f.ctx, stranger, "", 0); return len(l) + 1, err },
		"keys":   func() (int, error) { l, err := f.Authn.ListKeys(f.ctx, stranger, ""); return len(l), err },
	} {
		if n, err := list(); err != nil || n != 1 {
			t.Errorf("%d %s, %v", n, what, err)
		}
	}
	if got := f.lookup(key.ID); got != "ok" {
		t.Errorf("the key of the first account: %s", got)
	}
}

// TestPolicy must not be a window into other accounts' resources either.
func TestPolicyQuestions(t *testing.T) {
	f := start(t, coretest.Config{})
	stranger, _ := f.Stranger(t)
	_, _ = f.User(t, "bob", allow("secretsmanager:GetSecretValue", "arn:aws:secretsmanager:*:*:secret:mine-*"))
	for _, n := range []string{"mine", "shared", "guarded"} {
		_, err := f.Secrets.Create(f.ctx, f.Admin, secret.CreateRequest{Name: n})
		f.must(err)
	}
	grant := func(n, effect, principal string) {
		_, err := f.Secrets.PutResourcePolicy(f.ctx, f.Admin, name.SecretID{Name: n}, fmt.Sprintf(
			`{"Version":"2012-10-17","Statement":[{"Effect":%q,"Principal":{"AWS":%q},"Action":"*","Resource":"*"}]}`, effect, principal), false, "")
		f.must(err)
	}
	grant("shared", "Allow", caller.UserARN(coretest.Home, "bob"))
	grant("guarded", "Deny", "*")
	arn := func(n string) string {
		d, err := f.Secrets.Describe(f.ctx, f.Admin, name.SecretID{Name: n})
		if err != nil {
			return "arn:aws:secretsmanager:us-east-1:111111111111:secret:" + n + "-AAAAAA"
		}
		return d.ARN
	}
	ask := func(who caller.Caller, req authn.TestRequest) (authn.TestResult, error) {
		return f.Authn.TestPolicy(f.ctx, who, req, f.Secrets.Resources())
	}
	for n, want := range map[string]bool{"mine": true, "shared": true, "absent": false} {
		got, err := ask(f.Admin, authn.TestRequest{User: "bob", Action: "secretsmanager:GetSecretValue", Resource: arn(n)})
		if err != nil || got.Allowed != want {
			t.Errorf("%s: %+v, %v", n, got, err)
		}
	}
	_, _ = f.User(t, "remote", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*",
		"Condition":{"IpAddress":{"aws:SourceIp":"192.0.2.0/24"},"StringEquals":{"secretsmanager:VersionStage":"AWSCURRENT"}}}]}`)
	for ip, want := range map[string]bool{"192.0.2.7": true, "198.51.100.7": false} {
		got, err := ask(f.Admin, authn.TestRequest{User: "remote", Action: "ReadValue", Resource: arn("mine"),
			Context: map[string]string{"AWS:sourceip": ip, "secretsmanager:VersionStage": "AWSCURRENT"}})
		if err != nil || got.Allowed != want {
			t.Errorf("from %s: %+v, %v", ip, got, err)
		}
	}
	_, err := ask(f.Admin, authn.TestRequest{User: "bob", Action: "ReadValue", Resource: "*", Context: map[string]string{"aws:SourceIp": "x"}})
	f.expect(err, "invalid@Context")
	_, err = ask(f.Admin, authn.TestRequest{User: "bob", Action: "nonsense", Resource: "*"})
	f.expect(err, "invalid@Action")
	var told []string
	for _, n := range []string{"shared", "guarded", "absent"} {
		got, err := ask(stranger, authn.TestRequest{User: stranger.Name, Action: "ReadValue", Resource: arn(n)})
		f.must(err)
		told = append(told, fmt.Sprintf("%+v", got))
	}
	if slices.Sort(told); len(slices.Compact(told)) != 1 {
		t.Errorf("a stranger is told %q", told)
	}
}

func TestEscalation(t *testing.T) {
	f := start(t, coretest.Config{})
	// Who may attach only harmless policies, or make keys only for itself.
	doc := `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"iam:AttachUserPolicy","Resource":"*","Condition":{"ArnLike":{"iam:PolicyARN":"arn:aws:iam::*:policy/SecretsReadOnly"}}},
		{"Effect":"Allow","Action":"iam:CreateAccessKey","Resource":"arn:aws:iam::*:user/${aws:username}"}]}`
	bob, _ := f.User(t, "bob", doc)
	f.unchanged(func() {
		f.expect(only(f.Authn.Attach(f.ctx, bob, authn.Attachment{Policy: authnAdmin, User: "bob"})), "denied/no-match")
		_, err := f.Authn.CreateKey(f.ctx, bob, authn.CreateKeyRequest{Owner: authn.Admin})
		f.expect(err, "denied/no-match")
		_, err = f.Authn.PutPolicy(f.ctx, bob, "bob-policy", allow("*", "*"), "")
		f.expect(err, "denied/no-match")
		_, err = f.Authn.PutPolicy(f.ctx, bob, authnAdmin, allow("*", "*"), "")
		f.expect(err, "denied/no-match")
		f.expect(only(f.Authn.AddToGroup(f.ctx, bob, "admins", "bob")), "denied/no-match")
		_, err = f.Authn.UpdateUser(f.ctx, bob, authn.UpdateUserRequest{Name: "bob", SetTags: map[string]string{"role": "admin"}})
		f.expect(err, "denied/no-match")
		_, err = f.Authn.GetUser(f.ctx, bob, authn.Admin)
		f.expect(err, "denied/no-match")
	})
	f.must(only(f.Authn.Attach(f.ctx, bob, authn.Attachment{Policy: "SecretsReadOnly", User: "bob"})))
	_, err := f.Authn.CreateKey(f.ctx, bob, authn.CreateKeyRequest{Owner: "bob"})
	f.must(err)
	// A deleted user that is made anew has nothing of its predecessor.
	f.must(only(f.Authn.DeleteUser(f.ctx, f.Admin, "bob")))
	_, err = f.Authn.CreateUser(f.ctx, f.Admin, authn.CreateUserRequest{Name: "bob"})
	f.must(err)
	if got := f.may(bob); got != "denied/no-match" {
		t.Errorf("with the predecessor's key: %s", got)
	}
}
