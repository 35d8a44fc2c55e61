package authn_test

import (
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"

	"countersign/internal/caller"
	"countersign/internal/core/authn"
	"countersign/internal/core/change"
	"countersign/internal/core/coretest"
	"countersign/internal/core/protect"
	"countersign/internal/errs"
)

const approver = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["countersign:ReviewChange","countersign:ReadChange"],"Resource":"*"}]}`

// reviewed is a core in which identities are protected, with what each write
// needs, and an approver.
func reviewed(t *testing.T) (f *fixture, bob caller.Caller) {
	f = start(t, coretest.Config{})
	for _, g := range []string{"approvers", "empty"} {
		_, err := f.Authn.CreateGroup(f.ctx, f.Admin, g)
		f.must(err)
	}
	bob, _ = f.User(t, "bob", approver)
	f.User(t, "carol", allow("*", "*"))
	_, err := f.Authn.PutPolicy(f.ctx, f.Admin, "loose", allow("*", "*"), "")
	f.must(err)
	for _, n := range []string{"bob", "carol"} {
		f.must(only(f.Authn.AddToGroup(f.ctx, f.Admin, "approvers", n)))
	}
	f.protectPeople()
	return f, bob
}

// protectPeople has an approver look at every change of identities.
func (f *fixture) protectPeople() { f.t.Helper(); f.protect("group:*", "policy:*", "user:*") }

func (f *fixture) protect(match ...string) {
	f.t.Helper()
	res, err := f.Changes.PutRules(f.ctx, f.Admin, change.RuleChange{Set: &protect.Rule{Name: "people",
		Match: match, Approvals: []protect.Approval{{Count: 1, Groups: []string{"approvers"}}}}}, "", change.Options{})
	if err != nil || res.Status != change.Applied {
		f.t.Fatalf("rule: %+v, %v", res, err)
	}
}

// decide has somebody approve what waits.
func (f *fixture) decide(who caller.Caller, id string) (change.Review, error) {
	f.t.Helper()
	r, err := f.Changes.Get(f.ctx, who, id)
	f.must(err)
	digest, err := hex.DecodeString(r.Digest)
	f.must(err)
	_, err = f.Changes.Vote(f.ctx, who, change.VoteRequest{ID: id, Approve: true, Digest: digest})
	return r, err
}

// state is all that is known of identities, in one text.
func (f *fixture) state() string {
	f.t.Helper()
	var all []any
	users, err := f.Authn.ListUsers(f.ctx, f.Admin, "", 0)
	f.must(err)
	groups, err := f.Authn.ListGroups(f.ctx, f.Admin, "", 0)
	f.must(err)
	policies, err := f.Authn.ListPolicies(f.ctx, f.Admin, "", 0)
	f.must(err)
	for _, u := range users {
		keys, err := f.Authn.ListSSHKeys(f.ctx, f.Admin, u.Name)
		f.must(err)
		all = append(all, u, keys)
	}
	for _, g := range groups {
		g, err := f.Authn.GetGroup(f.ctx, f.Admin, g.Name)
		f.must(err)
		all = append(all, g)
	}
	for _, p := range policies {
		p, err := f.Authn.GetPolicy(f.ctx, f.Admin, p.Name)
		f.must(err)
		all = append(all, p)
	}
	keys, err := f.Authn.ListKeys(f.ctx, f.Admin, "")
	f.must(err)
	for i := range keys {
		keys[i].LastUsed = keys[i].Created
		all = append(all, keys[i])
	}
	b, err := json.MarshalIndent(all, "", " ")
	f.must(err)
	return string(b)
}

// heldWrites are the writes to identities that a rule can hold, with a line that
// its reviewer is shown.
func heldWrites(f *fixture) map[string]struct {
	line string
	do   func() (change.Result, error)
} {
	yes := true
	type write = struct {
		line string
		do   func() (change.Result, error)
	}
	user := func(p authn.Principal, err error) (change.Result, error) {
		return change.Result{ID: p.Change, Status: p.Status}, err
	}
	return map[string]write{
		"CreateUser": {"set tag team=red", func() (change.Result, error) {
			return user(f.Authn.CreateUser(f.ctx, f.Admin, authn.CreateUserRequest{Name: "dave", Tags: map[string]string{"team": "red"}}))
		}},
		"UpdateUser": {"disable carol", func() (change.Result, error) {
			return user(f.Authn.UpdateUser(f.ctx, f.Admin, authn.UpdateUserRequest{Name: "carol", Disabled: &yes}))
		}},
		"TagUser": {"set tag a=b", func() (change.Result, error) {
			return user(f.Authn.UpdateUser(f.ctx, f.Admin, authn.UpdateUserRequest{Name: "carol", SetTags: map[string]string{"a": "b"}}))
		}},
		"DeleteUser": {"delete user carol with its keys", func() (change.Result, error) { return f.Authn.DeleteUser(f.ctx, f.Admin, "carol") }},
		"CreateGroup": {"create group others", func() (change.Result, error) {
			g, err := f.Authn.CreateGroup(f.ctx, f.Admin, "others")
			return change.Result{ID: g.Change, Status: g.Status}, err
		}},
		"DeleteGroup": {"delete group empty", func() (change.Result, error) { return f.Authn.DeleteGroup(f.ctx, f.Admin, "empty") }},
		"UpdateGroup": {"add admin to group approvers", func() (change.Result, error) {
			res, _, err := f.Authn.SetGroup(f.ctx, f.Admin, authn.SetGroupRequest{Name: "approvers", Policies: []string{"loose"}, Members: []string{"bob", "admin"}})
			return res, err
		}},
		"AddToGroup": {"add admin to group approvers", func() (change.Result, error) {
			return f.Authn.AddToGroup(f.ctx, f.Admin, "approvers", "admin")
		}},
		"RemoveFromGroup": {"remove carol from group approvers", func() (change.Result, error) {
			return f.Authn.RemoveFromGroup(f.ctx, f.Admin, "approvers", "carol")
		}},
		"PutPolicy": {`description: all`, func() (change.Result, error) {
			p, err := f.Authn.PutPolicy(f.ctx, f.Admin, "carol-policy", allow("secretsmanager:*", "*"), "all")
			return change.Result{ID: p.Change, Status: p.Status}, err
		}},
		"DeletePolicy": {"delete policy loose", func() (change.Result, error) { return f.Authn.DeletePolicy(f.ctx, f.Admin, "loose") }},
		"AttachPolicy": {"attach policy loose to user carol", func() (change.Result, error) {
			return f.Authn.Attach(f.ctx, f.Admin, authn.Attachment{Policy: "loose", User: "carol"})
		}},
		"AttachGroupPolicy": {"attach policy loose to group approvers", func() (change.Result, error) {
			return f.Authn.Attach(f.ctx, f.Admin, authn.Attachment{Policy: "loose", Group: "approvers"})
		}},
		"UploadSSHKey": {"register SSH key SHA256:yPX2qxIjOSkJZcdtmxSBF9yUXEXhcBGZkp2jYEsSUco of bob: laptop", func() (change.Result, error) {
			k, err := f.Authn.AddSSHKey(f.ctx, f.Admin, "bob", sshPublic, "laptop")
			return change.Result{ID: k.Change, Status: k.Status}, err
		}},
		"DetachPolicy": {"detach policy carol-policy from user carol", func() (change.Result, error) {
			return f.Authn.Detach(f.ctx, f.Admin, authn.Attachment{Policy: "carol-policy", User: "carol"})
		}},
	}
}

func TestIdentitiesWaitForReview(t *testing.T) {
	for what := range heldWrites(nil) {
		t.Run(what, func(t *testing.T) {
			f, bob := reviewed(t)
			write := heldWrites(f)[what]
			before := f.state()
			res, err := write.do()
			f.must(err)
			if res.Status != change.Pending || res.ID == "" {
				t.Fatalf("got %+v", res)
			}
			if f.state() != before {
				t.Error("it took effect before it was approved")
			}
			if _, err := f.decide(f.Admin, res.ID); code(err) != "precondition/voter" {
				t.Errorf("its author approves: %v", err)
			}
			r, err := f.decide(bob, res.ID)
			f.must(err)
			if r.Record.Operation != what || !strings.Contains(strings.Join(r.Lines, "\n"), write.line) {
				t.Errorf("%s is shown as %q", r.Record.Operation, r.Lines)
			}
			after := f.state()
			if after == before {
				t.Error("approved it takes no effect")
			}
			if r, err := f.Changes.Get(f.ctx, bob, res.ID); err != nil || r.Record.Status != change.Applied {
				t.Errorf("got %+v, %v", r.Record, err)
			}
		})
	}
}

// TestApprovedCountsAtOnce holds that what was compiled before an approval does
// not outlive it.
func TestApprovedCountsAtOnce(t *testing.T) {
	f, bob := reviewed(t)
	lists := func() error { _, err := f.Authn.ListUsers(f.ctx, bob, "", 0); return err }
	f.expect(lists(), "denied/no-match")
	res, err := f.Authn.Attach(f.ctx, f.Admin, authn.Attachment{Policy: "loose", User: "bob"})
	f.must(err)
	f.expect(lists(), "denied/no-match")
	_, err = f.decide(bob, res.ID)
	f.must(err)
	f.must(lists())
}

// TestOnlyProposedRevocation is of a noun that no rule names: who may only
// propose has their change reviewed all the same.
func TestOnlyProposedRevocation(t *testing.T) {
	f := start(t, coretest.Config{})
	ann, _ := f.User(t, "ann", allow("countersign:ProposeChange", "*"))
	_, key := f.User(t, "carol", "")
	res, err := f.Authn.RevokeKey(f.ctx, ann, "carol", key.ID)
	f.must(err)
	if res.Status != change.Pending {
		t.Fatalf("got %+v", res)
	}
	f.As(t, key)
	_, err = f.decide(f.Admin, res.ID)
	f.must(err)
	if _, err := f.Authn.AuthenticateToken(f.ctx, authn.Token(key.ID, string(key.Secret.Reveal())), f.Admin.Time); !errs.Is(err, errs.Unauthenticated) {
		t.Errorf("a revoked key: %v", err)
	}
}

// TestSecretsShownOnceCannotWait holds that a write whose answer is a secret is
// refused to who may only propose it.
func TestSecretsShownOnceCannotWait(t *testing.T) {
	g := start(t, coretest.Config{})
	ann, _ := g.User(t, "ann", allow("countersign:ProposeChange", "*"))
	g.unchanged(func() {
		_, err := g.Authn.CreateKey(g.ctx, ann, authn.CreateKeyRequest{Owner: "ann"})
		g.expect(err, "denied/no-match")
	})
}

// TestNobodyTakesOverAnApprover holds that a rule over users keeps an
// administrator from making a key of somebody who has a say, with which to approve
// changes of their own, and keeps nobody from what does not amount to that.
func TestNobodyTakesOverAnApprover(t *testing.T) {
	f := start(t, coretest.Config{})
	_, err := f.Authn.CreateGroup(f.ctx, f.Admin, "approvers")
	f.must(err)
	f.User(t, "by-policy", approver)
	own, _ := f.User(t, "own", allow("*", "*"))
	_, err = f.Authn.CreateUser(f.ctx, f.Admin, authn.CreateUserRequest{Name: "robot", Machine: true})
	f.must(err)
	f.must(only(f.Authn.Attach(f.ctx, f.Admin, authn.Attachment{Policy: authnAdmin, User: "robot"})))
	for _, n := range []string{"by-group", "nobody-yet"} {
		_, err := f.Authn.CreateUser(f.ctx, f.Admin, authn.CreateUserRequest{Name: n})
		f.must(err)
	}
	f.must(only(f.Authn.AddToGroup(f.ctx, f.Admin, "approvers", "by-group")))
	create := func(who caller.Caller, owner string) error {
		_, err := f.Authn.CreateKey(f.ctx, who, authn.CreateKeyRequest{Owner: owner})
		return err
	}
	f.must(create(f.Admin, "by-group")) // nothing is protected yet
	f.protect("user:*")
	f.unchanged(func() {
		f.expect(create(f.Admin, "by-policy"), "precondition/cannot-wait")
		f.expect(create(f.Admin, "by-group"), "precondition/cannot-wait")
		f.expect(create(own, authn.Admin), "precondition/cannot-wait")
		f.expect(create(f.Admin, "absent"), "not-found")
	})
	f.must(create(f.Admin, "robot"))
	f.must(create(f.Admin, "nobody-yet"))
	f.must(create(own, "own"))
	f.must(create(caller.ForSystem(coretest.Home, "recover", "r", f.Admin.Time), "by-group"))
}

// TestGoneMeanwhile is an approval of what can no longer be done.
func TestGoneMeanwhile(t *testing.T) {
	f, bob := reviewed(t)
	add, err := f.Authn.AddToGroup(f.ctx, f.Admin, "empty", "carol")
	f.must(err)
	gone, err := f.Authn.DeleteGroup(f.ctx, f.Admin, "empty")
	f.must(err)
	_, err = f.decide(bob, gone.ID)
	f.must(err)
	_, err = f.decide(bob, add.ID)
	f.expect(err, "conflict/conflict")
}
