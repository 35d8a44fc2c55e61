package change_test

import (
	"strings"
	"testing"

	"countersign/internal/caller"
	"countersign/internal/core/authn"
	"countersign/internal/core/change"
	"countersign/internal/core/protect"
)

// is says which person is behind a principal.
func (o *office) is(n, person string) {
	o.t.Helper()
	_, err := o.Authn.UpdateUser(o.t.Context(), o.Admin, authn.UpdateUserRequest{Name: n, Person: &person})
	must(o.t, err)
}

// TestOnesOwnMachine has a machine propose what the person behind it would then
// approve.
func TestOnesOwnMachine(t *testing.T) {
	o := newOffice(t)
	ctx := t.Context()
	_, err := o.Authn.CreateUser(ctx, o.Admin, authn.CreateUserRequest{Name: "deploy", Machine: true, Person: "Bob@Example.com"})
	must(t, err)
	_, err = o.Authn.PutPolicy(ctx, o.Admin, "proposes", developer, "")
	must(t, err)
	must(t, only(o.Authn.Attach(ctx, o.Admin, authn.Attachment{Policy: "proposes", User: "deploy"})))
	key, err := o.Authn.CreateKey(ctx, o.Admin, authn.CreateKeyRequest{Owner: "deploy"})
	must(t, err)
	deploy := o.As(t, key)
	if deploy.Person != "bob@example.com" {
		t.Errorf("the machine is of %q", deploy.Person)
	}
	o.is("bob", "bob@example.com")
	o.is("carol", "carol@example.com")
	o.protects(protect.Rule{Name: "prod", Match: []string{"*/production"}})
	w := o.patch(deploy, "app/production", "A", "1")
	if _, err := o.approve(o.bob, w.Change); code(err) != "precondition/voter" || !strings.Contains(err.Error(), "another identity") {
		t.Errorf("the person behind the author: %v", err)
	}
	r, err := o.Changes.Get(ctx, o.bob, w.Change)
	must(t, err)
	if !strings.Contains(r.CannotBy, "another identity") {
		t.Errorf("bob is told %q", r.CannotBy)
	}
	if st, err := o.approve(o.carol, w.Change); err != nil || st != change.Applied {
		t.Errorf("somebody else: %s, %v", st, err)
	}
}

// TestOnePersonCountsOnce has two identities of one person approve.
func TestOnePersonCountsOnce(t *testing.T) {
	o := newOffice(t)
	dave, _ := o.User(t, "dave", approver)
	must(t, only(o.Authn.AddToGroup(t.Context(), o.Admin, "approvers", "dave")))
	o.is("bob", "bob@example.com")
	o.is("carol", "BOB@example.com") // the same one
	o.protects(protect.Rule{Name: "prod", Match: []string{"*/production"},
		Approvals: []protect.Approval{{Count: 2, Groups: []string{"approvers"}}}})
	w := o.patch(o.alice, "app/production", "A", "1")
	for _, who := range []caller.Caller{o.bob, o.carol} {
		if st, err := o.approve(who, w.Change); err != nil || st != change.Pending {
			t.Fatalf("%s: %s, %v", who.Name, st, err)
		}
	}
	r, err := o.Changes.Get(t.Context(), o.Admin, w.Change)
	must(t, err)
	if have := r.Standing[0].Approvals[0].Have; have != 1 {
		t.Errorf("two identities of one person count %d times", have)
	}
	if st, err := o.approve(dave, w.Change); err != nil || st != change.Applied {
		t.Errorf("a second person: %s, %v", st, err)
	}
}

// TestPersonFoundLater holds that a vote is counted by what is known when it is
// counted.
func TestPersonFoundLater(t *testing.T) {
	o := newOffice(t)
	o.protects(protect.Rule{Name: "prod", Match: []string{"*/production"},
		Approvals: []protect.Approval{{Count: 2, Groups: []string{"approvers"}}}})
	w := o.patch(o.alice, "app/production", "A", "1")
	if st, err := o.approve(o.bob, w.Change); err != nil || st != change.Pending {
		t.Fatalf("got %s, %v", st, err)
	}
	o.is("alice", "alice@example.com")
	o.is("bob", "alice@example.com")
	if st, err := o.approve(o.carol, w.Change); err != nil || st != change.Pending {
		t.Errorf("the vote of who turned out to be the author: %s, %v", st, err)
	}
}
