package authn

import (
	"bytes"
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/kv/memkv"
)

const (
	testAccount = "111111111111"
	sshOne      = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHySgB33t8lM2v4Bi1Cqs8H3TgRYL8LFkavdL6zcFckH"
	sshTwo      = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBG0VIo7zyjAb9f3fPBYRgNWBTQYyC/fFZaC+TB537PXCRdxYy7bye5koW+WxxcGvRuj7RYfcA23xBL8NGEBT4dQ="
	sshTwoPrint = "SHA256:nsnDVEi5bdmQ3vwWPKs6ORP/aWEwD5n/+iFswk9y5CM"
)

// plain is a Vault without secrets.
type plain struct{}

func (plain) LookupHash(kind, id string) (h [32]byte)     { copy(h[:], kind+id); return h }
func (plain) EnsureAccount(context.Context, string) error { return nil }

// made is an edit with what has to be there before.
type made struct {
	op   policy.Op
	name string
	do   action
}

// edits is one of each kind of edit, and more where it has several forms.
func edits() []made {
	yes, no, ann, nobody := true, false, "ann@example.com", ""
	tags := map[string]string{"team": "red", "a": "b"}
	const doc = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`
	return []made{
		{policy.CreateUser, "new", &createUser{Tags: tags, Person: "ann@example.com"}},
		{policy.CreateUser, "robot", &createUser{Machine: true}},
		{policy.UpdateUser, "bob", &updateUser{Disabled: &yes}},
		{policy.UpdateUser, "off", &updateUser{Disabled: &no}},
		{policy.UpdateUser, "bob", &updateUser{Person: &ann}},
		{policy.UpdateUser, "off", &updateUser{Person: &nobody}},
		{policy.TagUser, "bob", &updateUser{SetTags: tags, Untag: []string{"old"}, Disabled: &yes}},
		{policy.UntagUser, "bob", &updateUser{Untag: []string{"old"}}},
		{policy.CreateUser, "idle", &createUser{Machine: true, Disabled: true}},
		{policy.UpdateUser, "bob", &updateUser{Attach: []string{"loose"}, Detach: []string{adminPolicy}}},
		{policy.DeleteUser, "bob", &deleteUser{}},
		{policy.CreateGroup, "others", &createGroup{}},
		{policy.CreateGroup, "abroad", &createGroup{External: true}},
		{policy.DeleteGroup, "linked", &deleteGroup{}},
		{policy.LinkGroup, "unlinked", &linkGroup{Accessor: "auth_jwt_1", Name: "/staff"}},
		{policy.UnlinkGroup, "linked", &linkGroup{Accessor: "auth_jwt_1", Name: "/admins", end: true}},
		{policy.UpdateGroup, "team", &updateGroup{Attach: []string{"loose"}, Detach: []string{adminPolicy}, Add: []string{"off"}, Remove: []string{"bob"}}},
		{policy.DeleteGroup, "empty", &deleteGroup{}},
		{policy.DeleteGroup, "team", &deleteGroup{Leave: []string{"bob"}}},
		{policy.AddToGroup, "empty", &membership{User: "bob"}},
		{policy.RemoveFromGroup, "team", &membership{User: "bob", leave: true}},
		{policy.PutPolicy, "fresh", &putPolicy{Text: doc, Description: "d"}},
		{policy.PutPolicy, "loose", &putPolicy{Text: doc}},
		{policy.DeletePolicy, "loose", &deletePolicy{}},
		{policy.AttachPolicy, "bob", &attachment{Policy: "loose"}},
		{policy.DetachPolicy, "bob", &attachment{Policy: adminPolicy, detach: true}},
		{policy.AttachGroupPolicy, "team", &attachment{Policy: "loose", group: true}},
		{policy.DetachGroupPolicy, "team", &attachment{Policy: adminPolicy, group: true, detach: true}},
		{policy.UploadSSHKey, "off", &addSSHKey{Line: sshOne, Label: "laptop"}},
		{policy.UploadSSHKey, "bob", &addSSHKey{Line: sshOne}},
		{policy.DeleteSSHKey, "bob", &removeSSHKey{Fingerprint: sshTwoPrint}},
		{policy.RevokeKey, "bob", &revokeKey{ID: "AKIAAAAAAAAAAAAAAAAA"}},
	}
}

// furnished is a store with something for each edit to alter.
func furnished(t testing.TB) (*Service, kv.DB) {
	t.Helper()
	db := memkv.New(memkv.Config{})
	t.Cleanup(func() { db.Close() })
	s := &Service{vault: plain{}}
	_, err := db.Update(t.Context(), func(tx kv.Txn) error {
		for k, v := range map[string]any{
			string(principalKey(testAccount, "bob")): principal{Kind: caller.User, Groups: []string{"team"}, Policies: []string{adminPolicy},
				Tags: map[string]string{"old": "x"}, Created: 1},
			string(principalKey(testAccount, "off")):                                                 principal{Kind: caller.Machine, Disabled: true, Created: 1, Person: "bob@example.com"},
			string(groupKey(testAccount, "team")):                                                    group{Policies: []string{adminPolicy}, Created: 1},
			string(groupKey(testAccount, "empty")):                                                   group{Created: 1},
			string(groupKey(testAccount, "unlinked")):                                                group{Created: 1, External: true},
			string(groupKey(testAccount, "linked")):                                                  group{Created: 1, External: true, Alias: &groupAlias{"auth_jwt_1", "/admins", 2}},
			string(groupAliasKey(testAccount, "auth_jwt_1", "/admins")):                              "linked",
			string(groupAliasIDKey(testAccount, GroupAliasID(testAccount, "auth_jwt_1", "/admins"))): "linked",
			string(sshKeysKey(testAccount, "bob")):                                                   sshKeys{[]sshKey{{Line: sshTwo, Created: 1}}},
			string(policyKey(testAccount, "loose")):                                                  storedPolicy{Text: `{"Statement":[]}`, Created: 1, Changed: 1},
		} {
			if err := record.Put(tx, kv.Key(k), v); err != nil {
				return err
			}
		}
		if err := tx.Put(memberKey(testAccount, "team", "bob"), []byte{1}); err != nil {
			return err
		}
		if err := record.Put(tx, kv.K(testAccount, "mount", "auth/jwt"), map[int]string{1: "jwt", 6: "auth_jwt_1"}); err != nil {
			return err
		}
		return s.addKey(tx, testAccount, "AKIAAAAAAAAAAAAAAAAA", accessKey{Principal: "bob", Secret: []byte("s"), Created: 1})
	})
	if err != nil {
		t.Fatal(err)
	}
	return s, db
}

func dumped(t testing.TB, db kv.DB) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := db.View(t.Context(), func(r kv.Reader) error {
		clear(out)
		for p, err := range r.Scan(kv.Range{}) {
			if err != nil {
				return err
			}
			out[string(p.Key)] = string(p.Value)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// now is when the edits of these tests are applied.
var now = time.Unix(1_700_000_000, 0)

func applied(t *testing.T, db kv.DB, e change.Edit) {
	t.Helper()
	_, err := db.Update(t.Context(), func(tx kv.Txn) error { return e.Apply(&change.Tx{Txn: tx, Now: now, Change: &change.Record{}}) })
	if err != nil {
		t.Fatalf("%s: %v", e.Operation(), err)
	}
}

// TestEditsAreData holds that an edit which was written down and read back does
// what it would have done, and that an edit keeps nothing from a run before.
func TestEditsAreData(t *testing.T) {
	covered := map[policy.Op]bool{}
	for _, m := range edits() {
		covered[m.op] = true
		t.Run(m.op.String()+"-"+m.name, func(t *testing.T) {
			s, direct := furnished(t)
			before := dumped(t, direct)
			e := s.edit(testAccount, m.name, m.do)
			if e.Operation() != m.op {
				t.Fatalf("it is %s", e.Operation())
			}
			data, err := e.Encode()
			if err != nil {
				t.Fatal(err)
			}
			_, elsewhere := furnished(t)
			applied(t, elsewhere, e)
			applied(t, direct, e)
			want := dumped(t, direct)
			if cmp.Equal(before, want) {
				t.Error("it does nothing")
			}
			if diff := cmp.Diff(want, dumped(t, elsewhere)); diff != "" {
				t.Errorf("a second run differs: %s", diff)
			}
			if again, err := e.Encode(); err != nil || !bytes.Equal(again, data) {
				t.Errorf("a run alters what is written down: %v", err)
			}
			decoded, err := s.DecodeEdit(caller.Caller{}, m.op, e.Target(), data)
			if err != nil {
				t.Fatal(err)
			}
			_, later := furnished(t)
			applied(t, later, decoded)
			if diff := cmp.Diff(want, dumped(t, later)); diff != "" {
				t.Errorf("read back it does something else: %s", diff)
			}
			if diff := cmp.Diff(e.Lines(), decoded.(*edit).Lines()); diff != "" || len(e.Lines()) == 0 {
				t.Errorf("lines %q: %s", e.Lines(), diff)
			}
			if diff := cmp.Diff(e.do.asks(testAccount), decoded.(*edit).do.asks(testAccount), cmp.AllowUnexported(question{})); diff != "" {
				t.Errorf("read back it asks for something else: %s", diff)
			}
		})
	}
	for _, op := range policy.Operations() {
		if blank(op) != nil && !covered[op] {
			t.Errorf("%s is in no test", op)
		}
	}
}

func TestWhatIsNoEdit(t *testing.T) {
	s := &Service{}
	add, err := record.Encode(&membership{User: "bob"})
	if err != nil {
		t.Fatal(err)
	}
	more, err := record.Encode(map[int]string{1: "bob", 9: "and something else"})
	if err != nil {
		t.Fatal(err)
	}
	group := change.Target{Account: testAccount, Noun: nounGroup, Name: "g"}
	user := change.Target{Account: testAccount, Noun: nounUser, Name: "u"}
	for name, tt := range map[string]struct {
		op   policy.Op
		t    change.Target
		data []byte
	}{
		"nothing":       {policy.AddToGroup, group, nil},
		"null":          {policy.AddToGroup, group, []byte{0xf6}},
		"cut":           {policy.AddToGroup, group, add[:len(add)-1]},
		"trailing":      {policy.AddToGroup, group, append(slices.Clone(add), 0)},
		"from-later":    {policy.AddToGroup, group, more},
		"other-noun":    {policy.AddToGroup, user, add},
		"other-op":      {policy.UpdateUser, user, []byte{0xa1, 3, 0x81, 0x61, 'k'}}, // removes a tag
		"cannot-wait":   {policy.CreateKey, user, []byte{0xa0}},
		"other-service": {policy.PutValue, user, []byte{0xa0}},
	} {
		t.Run(name, func(t *testing.T) {
			if e, err := s.DecodeEdit(caller.Caller{}, tt.op, tt.t, tt.data); !errs.Is(err, errs.Internal) {
				t.Errorf("got %+v, %v", e, err)
			}
		})
	}
	if _, err := s.DecodeEdit(caller.Caller{}, policy.AddToGroup, group, add); err != nil {
		t.Errorf("the edit itself: %v", err)
	}
}

// FuzzDecodeEdit holds that bytes are an edit of that operation, in the one way
// to write it down, or errs.Internal, and that an edit never breaks when it is
// applied.
func FuzzDecodeEdit(f *testing.F) {
	s := &Service{vault: plain{}}
	for _, m := range edits() {
		data, err := record.Encode(m.do)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(m.op.String(), m.do.noun(), m.name, data)
	}
	f.Fuzz(func(t *testing.T, operation, noun, n string, data []byte) {
		op, ok := policy.ByName(operation)
		if !ok {
			return
		}
		target := change.Target{Account: testAccount, Noun: noun, Name: n}
		got, err := s.DecodeEdit(caller.Caller{}, op, target, data)
		if err != nil {
			if !errs.Is(err, errs.Internal) {
				t.Fatalf("got %v", err)
			}
			return
		}
		e := got.(*edit)
		if again, err := e.Encode(); err != nil || !bytes.Equal(again, data) || e.Operation() != op || e.Target() != target {
			t.Errorf("read back: %x, %v", again, err)
		}
		e.Lines()
		db := memkv.New(memkv.Config{})
		defer db.Close()
		_, _ = db.Update(t.Context(), func(tx kv.Txn) error { return e.Apply(&change.Tx{Txn: tx, Now: now, Change: &change.Record{}}) })
	})
}
