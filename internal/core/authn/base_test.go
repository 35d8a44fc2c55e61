package authn_test

import (
	"encoding/hex"
	"testing"

	"countersign/internal/caller"
	"countersign/internal/core/authn"
	"countersign/internal/core/change"
	"countersign/internal/core/coretest"
)

// TestVotesAreOverWhatIsChanged holds that a vote is for an edit of what the
// voter saw: when that is something else meanwhile, it does not count. What has
// nothing to do with the edit voids no vote.
func TestVotesAreOverWhatIsChanged(t *testing.T) {
	attach := func(f *fixture) (change.Result, error) {
		return f.Authn.Attach(f.ctx, f.Admin, authn.Attachment{Policy: "mild", Group: "approvers"})
	}
	add := func(f *fixture) (change.Result, error) {
		return f.Authn.AddToGroup(f.ctx, f.Admin, "approvers", "dave")
	}
	put := func(doc string) func(*fixture) (change.Result, error) {
		return func(f *fixture) (change.Result, error) {
			p, err := f.Authn.PutPolicy(f.ctx, f.Admin, "held", doc, "")
			return change.Result{ID: p.Change, Status: p.Status}, err
		}
	}
	const void = "conflict/digest"
	for name, x := range map[string]struct {
		propose func(f *fixture) (change.Result, error)
		alter   func(f *fixture, bob caller.Caller)
		want    string
	}{
		"member-made-anew": {add, func(f *fixture, _ caller.Caller) {
			f.must(only(f.Authn.DeleteUser(f.ctx, f.Admin, "dave")))
			_, err := f.Authn.CreateUser(f.ctx, f.Admin, authn.CreateUserRequest{Name: "dave"})
			f.must(err)
		}, void},
		"member-of-another-person": {add, func(f *fixture, _ caller.Caller) {
			other := "mallory@example.com"
			_, err := f.Authn.UpdateUser(f.ctx, f.Admin, authn.UpdateUserRequest{Name: "dave", Person: &other})
			f.must(err)
		}, void},
		"attached-policy-replaced": {attach, func(f *fixture, _ caller.Caller) {
			_, err := f.Authn.PutPolicy(f.ctx, f.Admin, "mild", allow("*", "*"), "")
			f.must(err)
		}, void},
		"policy-put-by-another-change": {put(allow("iam:ListGroups", "*")), func(f *fixture, bob caller.Caller) {
			res, err := put(allow("iam:ListAccessKeys", "*"))(f)
			f.must(err)
			_, err = f.decide(bob, res.ID)
			f.must(err)
		}, void},
		"other-member-added": {add, func(f *fixture, bob caller.Caller) {
			res, err := f.Authn.AddToGroup(f.ctx, f.Admin, "approvers", "erin")
			f.must(err)
			_, err = f.decide(bob, res.ID)
			f.must(err)
		}, "ok"},
		"other-user-changed": {attach, func(f *fixture, _ caller.Caller) {
			_, err := f.Authn.UpdateUser(f.ctx, f.Admin, authn.UpdateUserRequest{Name: "dave", SetTags: map[string]string{"a": "b"}})
			f.must(err)
		}, "ok"},
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t, coretest.Config{})
			_, err := f.Authn.CreateGroup(f.ctx, f.Admin, "approvers")
			f.must(err)
			bob, _ := f.User(t, "bob", approver)
			f.must(only(f.Authn.AddToGroup(f.ctx, f.Admin, "approvers", "bob")))
			f.User(t, "dave", "")
			f.User(t, "erin", "")
			_, err = f.Authn.PutPolicy(f.ctx, f.Admin, "mild", allow("iam:ListUsers", "*"), "")
			f.must(err)
			f.protect("group:*", "policy:held")
			res, err := x.propose(f)
			f.must(err)
			r, err := f.Changes.Get(f.ctx, bob, res.ID)
			f.must(err)
			seen, err := hex.DecodeString(r.Digest)
			f.must(err)
			x.alter(f, bob)
			_, err = f.Changes.Vote(f.ctx, bob, change.VoteRequest{ID: res.ID, Approve: true, Digest: seen})
			f.expect(err, x.want)
		})
	}
}
