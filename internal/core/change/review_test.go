package change_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/caller"
	"countersign/internal/core/authn"
	"countersign/internal/core/change"
	"countersign/internal/core/coretest"
	"countersign/internal/core/protect"
	"countersign/internal/core/secret"
	"countersign/internal/errs"
	"countersign/internal/name"
	"countersign/internal/sensitive"
)

const (
	developer = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["countersign:ProposeChange","countersign:WithdrawChange","countersign:CommentChange","countersign:ReadChange","countersign:ListChanges","secretsmanager:DescribeSecret"],"Resource":"*"}]}`
	approver  = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["countersign:ReviewChange","countersign:CommentChange","countersign:ReadChange","countersign:ListChanges","secretsmanager:DescribeSecret"],"Resource":"*"}]}`
)

// office is a core with people in it.
type office struct {
	*coretest.Core
	t                 *testing.T
	alice, bob, carol caller.Caller // a developer and two approvers
}

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{Core: coretest.New(t, coretest.Config{}), t: t}
	ctx := t.Context()
	must(t, o.group("approvers"))
	o.alice, _ = o.User(t, "alice", developer)
	o.bob, _ = o.User(t, "bob", approver)
	o.carol, _ = o.User(t, "carol", approver)
	for _, n := range []string{"bob", "carol"} {
		must(t, only(o.Authn.AddToGroup(ctx, o.Admin, "approvers", n)))
	}
	return o
}

func (o *office) group(n string) error {
	_, err := o.Authn.CreateGroup(context.Background(), o.Admin, n)
	return err
}

// only drops the answer of a write.
func only(_ change.Result, err error) error { return err }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// protects puts a rule.
func (o *office) protects(r protect.Rule) {
	o.t.Helper()
	if r.Approvals == nil {
		r.Approvals = []protect.Approval{{Count: 1, Groups: []string{"approvers"}}}
	}
	res, err := o.Changes.PutRules(o.t.Context(), o.Admin, change.RuleChange{Set: &r}, "", change.Options{})
	if err != nil || res.Status != change.Applied {
		o.t.Fatalf("rule: %+v, %v", res, err)
	}
}

func vars(kv ...string) map[string]sensitive.Bytes {
	m := map[string]sensitive.Bytes{}
	for i := 0; i < len(kv); i += 2 {
		m[kv[i]] = sensitive.FromString(kv[i+1])
	}
	return m
}

// patch proposes keys of a secret.
func (o *office) patch(who caller.Caller, n string, kv ...string) secret.Written {
	o.t.Helper()
	w, err := o.Secrets.Patch(o.t.Context(), who, secret.PatchRequest{ID: name.SecretID{Name: n}, Set: vars(kv...), Reason: "test"})
	must(o.t, err)
	return w
}

// digest is that of the present review.
func (o *office) digest(id string) []byte {
	o.t.Helper()
	r, err := o.Changes.Get(o.t.Context(), o.Admin, id)
	must(o.t, err)
	b, err := hex.DecodeString(r.Digest)
	must(o.t, err)
	return b
}

func (o *office) approve(who caller.Caller, id string) (change.Status, error) {
	d, err := o.Changes.Vote(o.t.Context(), who, change.VoteRequest{ID: id, Approve: true, Digest: o.digest(id)})
	return d.Record.Status, err
}

func (o *office) value(n string) string {
	o.t.Helper()
	v, err := o.Secrets.ReadValue(o.t.Context(), o.Admin, secret.ReadRequest{ID: name.SecretID{Name: n}})
	if errs.Is(err, errs.NotFound) {
		return "absent"
	}
	must(o.t, err)
	return string(v.Data.Reveal())
}

func (o *office) status(id string) change.Status {
	o.t.Helper()
	r, err := o.Changes.Get(o.t.Context(), o.Admin, id)
	must(o.t, err)
	return r.Record.Status
}

func code(err error) string {
	if err == nil {
		return ""
	}
	e := errs.As(err)
	return e.Kind.String() + "/" + e.Code
}

func TestProposeApprove(t *testing.T) {
	o := newOffice(t)
	o.patch(o.Admin, "app/production", "A", "1", "B", "2")
	o.protects(protect.Rule{Name: "prod", Match: []string{"*/production"}})
	w := o.patch(o.alice, "app/production", "B", "3", "C", "4")
	if w.Status != change.Pending || w.Change == "" {
		t.Fatalf("got %+v", w)
	}
	if got := o.value("app/production"); got != `{"A":"1","B":"2"}` {
		t.Errorf("before approval: %s", got)
	}
	if _, err := o.approve(o.alice, w.Change); !errs.Is(err, errs.Denied) {
		t.Errorf("author without the permission: %v", err)
	}
	if st, err := o.approve(o.bob, w.Change); err != nil || st != change.Applied {
		t.Fatalf("got %s, %v", st, err)
	}
	if got := o.value("app/production"); got != `{"A":"1","B":"3","C":"4"}` {
		t.Errorf("after approval: %s", got)
	}
	if _, err := o.Changes.Vote(t.Context(), o.carol, change.VoteRequest{ID: w.Change, Approve: true}); code(err) != "precondition/closed" {
		t.Errorf("vote on an applied change: %v", err)
	}
	r, err := o.Changes.Get(t.Context(), o.bob, w.Change)
	must(t, err)
	if r.Record.Base != 1 || r.Record.Version != 2 || !slices.Equal(r.Record.Keys, []string{"B", "C"}) || r.Record.EndedBy != o.bob.ARN() || len(r.Diff) != 3 {
		t.Errorf("got %+v", r)
	}
}

func TestFirstProposalsMerge(t *testing.T) {
	o := newOffice(t)
	o.protects(protect.Rule{Name: "prod", Match: []string{"*/production"}})
	one := o.patch(o.alice, "app/production", "A", "1")
	two := o.patch(o.Admin, "app/production", "B", "2")
	three := o.patch(o.Admin, "app/production", "A", "other")
	for _, id := range []string{one.Change, two.Change} {
		if st, err := o.approve(o.bob, id); err != nil || st != change.Applied {
			t.Fatalf("got %s, %v", st, err)
		}
	}
	if got := o.value("app/production"); got != `{"A":"1","B":"2"}` {
		t.Errorf("got %s", got)
	}
	if st := o.status(three.Change); st != change.Conflicted {
		t.Errorf("the third is %s", st)
	}
	_, err := o.approve(o.bob, three.Change)
	if code(err) != "conflict/conflict" || !strings.Contains(err.Error(), `"A"`) {
		t.Errorf("got %v", err)
	}
}

// TestVoid changes one thing after another under a vote.
func TestVoid(t *testing.T) {
	two := []protect.Approval{{Count: 2, Groups: []string{"approvers"}}}
	for name, move := range map[string]func(o *office, id string){
		"base": func(o *office, _ string) { o.patchAsRule("app/production", "Z", "9") },
		"rule": func(o *office, _ string) {
			must(o.t, o.group("others"))
			o.replaceRule(protect.Rule{Name: "prod", Match: []string{"*/production"}, Approvals: []protect.Approval{{Count: 2, Groups: []string{"approvers", "others"}}}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOffice(t)
			o.patch(o.Admin, "app/production", "A", "1")
			o.protects(protect.Rule{Name: "prod", Match: []string{"*/production"}, Approvals: two})
			w := o.patch(o.alice, "app/production", "B", "2")
			if st, err := o.approve(o.bob, w.Change); err != nil || st != change.Pending {
				t.Fatalf("got %s, %v", st, err)
			}
			reviewed := o.digest(w.Change)
			move(o, w.Change)
			_, err := o.Changes.Vote(t.Context(), o.carol, change.VoteRequest{ID: w.Change, Approve: true, Digest: reviewed})
			if code(err) != "conflict/digest" {
				t.Errorf("vote over what moved: %v", err)
			}
			if st, err := o.approve(o.carol, w.Change); err != nil || st != change.Pending {
				t.Errorf("bob's vote still counts: %s, %v", st, err)
			}
			if st, err := o.approve(o.bob, w.Change); err != nil || st != change.Applied {
				t.Errorf("voting again: %s, %v", st, err)
			}
		})
	}
}

// patchAsRule changes a protected secret the way it has to be.
func (o *office) patchAsRule(n string, kv ...string) {
	o.t.Helper()
	w := o.patch(o.Admin, n, kv...)
	for _, who := range []caller.Caller{o.bob, o.carol} {
		if o.status(w.Change) == change.Pending {
			_, err := o.approve(who, w.Change)
			must(o.t, err)
		}
	}
}

// replaceRule changes a rule with the approvals that it asks for.
func (o *office) replaceRule(r protect.Rule) {
	o.t.Helper()
	res, err := o.Changes.PutRules(o.t.Context(), o.Admin, change.RuleChange{Set: &r}, "", change.Options{})
	must(o.t, err)
	if res.Status != change.Pending {
		o.t.Fatalf("the change of a rule is %s", res.Status)
	}
	for _, who := range []caller.Caller{o.bob, o.carol} {
		if o.status(res.ID) == change.Pending {
			_, err := o.approve(who, res.ID)
			must(o.t, err)
		}
	}
	if st := o.status(res.ID); st != change.Applied {
		o.t.Fatalf("the change of a rule is %s", st)
	}
}

func TestFiftyApprovers(t *testing.T) {
	o := newOffice(t)
	o.protects(protect.Rule{Name: "prod", Match: []string{"*/production"}})
	w := o.patch(o.alice, "app/production", "A", "1")
	var all []caller.Caller
	for i := range 50 {
		n := fmt.Sprintf("approver-%d", i)
		who, _ := o.User(t, n, approver)
		must(t, only(o.Authn.AddToGroup(t.Context(), o.Admin, "approvers", n)))
		all = append(all, who)
	}
	digest := o.digest(w.Change)
	var wg sync.WaitGroup
	var mu sync.Mutex
	applied := 0
	for _, who := range all {
		wg.Go(func() {
			d, err := o.Changes.Vote(context.Background(), who, change.VoteRequest{ID: w.Change, Approve: true, Digest: digest})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil && d.Record.Status == change.Applied:
				applied++
			case code(err) != "precondition/closed":
				t.Errorf("got %s, %v", d.Record.Status, err)
			}
		})
	}
	wg.Wait()
	if applied != 1 {
		t.Errorf("%d approvers applied it", applied)
	}
	n := 0
	for _, r := range o.Records(t) {
		if r.Operation == "ReviewChange" && r.Version == 1 && r.Outcome == "ok" {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d records of the version", n)
	}
}

func TestMembershipCountsAtOnce(t *testing.T) {
	o := newOffice(t)
	o.protects(protect.Rule{Name: "prod", Match: []string{"*/production"}, Approvals: []protect.Approval{{Count: 2, Groups: []string{"approvers"}}}})
	w := o.patch(o.alice, "app/production", "A", "1")
	if _, err := o.approve(o.bob, w.Change); err != nil {
		t.Fatal(err)
	}
	must(t, only(o.Authn.RemoveFromGroup(t.Context(), o.Admin, "approvers", "bob")))
	if st, err := o.approve(o.carol, w.Change); err != nil || st != change.Pending {
		t.Errorf("a vote of who left the group counts: %s, %v", st, err)
	}
	dave, _ := o.User(t, "dave", approver)
	if _, err := o.approve(dave, w.Change); code(err) != "precondition/voter" {
		t.Errorf("a stranger to the group: %v", err)
	}
	must(t, only(o.Authn.AddToGroup(t.Context(), o.Admin, "approvers", "dave")))
	d := o.digest(w.Change)
	dave.Groups = []string{"approvers"}
	if dec, err := o.Changes.Vote(t.Context(), dave, change.VoteRequest{ID: w.Change, Approve: true, Digest: d}); err != nil || dec.Record.Status != change.Applied {
		t.Errorf("a new member: %+v, %v", dec, err)
	}
}

func TestAuthorGone(t *testing.T) {
	o := newOffice(t)
	o.protects(protect.Rule{Name: "prod", Match: []string{"*/production"}})
	w := o.patch(o.alice, "app/production", "A", "1")
	off := true
	_, err := o.Authn.UpdateUser(t.Context(), o.Admin, authn.UpdateUserRequest{Name: "alice", Disabled: &off})
	must(t, err)
	if _, err := o.approve(o.bob, w.Change); code(err) != "precondition/author-gone" {
		t.Errorf("got %v", err)
	}
}

func TestRejectWithdraw(t *testing.T) {
	o := newOffice(t)
	ctx := t.Context()
	o.protects(protect.Rule{Name: "prod", Match: []string{"*/production"}})
	w := o.patch(o.alice, "app/production", "A", "1")
	if _, err := o.Changes.Withdraw(ctx, o.bob, w.Change, ""); !errs.Is(err, errs.Denied) {
		t.Errorf("withdrawing another's change: %v", err)
	}
	if _, err := o.Changes.Vote(ctx, o.Admin, change.VoteRequest{ID: w.Change}); code(err) != "precondition/voter" {
		t.Errorf("a rejection by who could not approve: %v", err)
	}
	d, err := o.Changes.Vote(ctx, o.bob, change.VoteRequest{ID: w.Change, Comment: "wrong"})
	if err != nil || d.Record.Status != change.Rejected {
		t.Errorf("got %s, %v", d.Record.Status, err)
	}
	w = o.patch(o.alice, "app/production", "A", "1")
	if r, err := o.Changes.Withdraw(ctx, o.alice, w.Change, "never mind"); err != nil || r.Status != change.Withdrawn {
		t.Errorf("got %+v, %v", r, err)
	}
	list, err := o.Changes.List(ctx, o.alice, change.ListRequest{Statuses: []change.Status{change.Pending}})
	if err != nil || len(list.Changes) != 0 {
		t.Errorf("got %+v, %v", list, err)
	}
	own := o.patch(o.Admin, "app/production", "A", "1")
	must(t, only(o.Authn.AddToGroup(ctx, o.Admin, "approvers", "admin")))
	admin := o.As(t, o.Key)
	if _, err := o.Changes.Vote(ctx, admin, change.VoteRequest{ID: own.Change}); code(err) != "precondition/voter" || !strings.Contains(err.Error(), "withdraw") {
		t.Errorf("rejecting one's own: %v", err)
	}
	if _, err := o.approve(admin, own.Change); code(err) != "precondition/voter" {
		t.Errorf("approving one's own: %v", err)
	}
}

// TestPendingVersion is what AWS clients see of a change that waits.
func TestPendingVersion(t *testing.T) {
	o := newOffice(t)
	ctx := t.Context()
	put := func(who caller.Caller, token, value string) secret.Written {
		t.Helper()
		w, err := o.Secrets.PutValue(ctx, who, secret.PutRequest{ID: name.SecretID{Name: "db"}, VersionID: token,
			Value: secret.Input{Data: sensitive.FromString(value)}})
		must(t, err)
		return w
	}
	_, err := o.Secrets.Create(ctx, o.Admin, secret.CreateRequest{Name: "db", VersionID: strings.Repeat("a", 32), Value: &secret.Input{Data: sensitive.FromString("one")}})
	must(t, err)
	o.protects(protect.Rule{Name: "db", Match: []string{"db"}})
	w := put(o.alice, strings.Repeat("b", 32), "two")
	label := "PENDING-" + w.Change
	if w.Status != change.Pending || !slices.Equal(w.Labels, []string{label}) {
		t.Fatalf("got %+v", w)
	}
	if again := put(o.alice, strings.Repeat("b", 32), "two"); again.Number != w.Number || !slices.Equal(again.Labels, w.Labels) {
		t.Errorf("the same call again: %+v", again)
	}
	v, err := o.Secrets.ReadValue(ctx, o.Admin, secret.ReadRequest{ID: name.SecretID{Name: "db"}, Label: label})
	if err != nil || string(v.Data.Reveal()) != "two" {
		t.Errorf("the waiting version: %+v, %v", v, err)
	}
	if got := o.value("db"); got != "one" {
		t.Errorf("current is %q", got)
	}
	for _, req := range []secret.LabelRequest{
		{Label: label, From: strings.Repeat("b", 32)}, {Label: "PENDING-x", To: strings.Repeat("a", 32)},
	} {
		req.ID = name.SecretID{Name: "db"}
		if _, err := o.Secrets.MoveLabel(ctx, o.Admin, req); !errs.Is(err, errs.Invalid) {
			t.Errorf("%+v: %v", req, err)
		}
	}
	other := put(o.alice, strings.Repeat("c", 32), "three")
	if st, err := o.approve(o.bob, w.Change); err != nil || st != change.Applied {
		t.Fatalf("got %s, %v", st, err)
	}
	d, err := o.Secrets.Describe(ctx, o.Admin, name.SecretID{Name: "db"})
	must(t, err)
	if !slices.Equal(d.Labels[strings.Repeat("b", 32)], []string{"AWSCURRENT"}) || !slices.Equal(d.Labels[strings.Repeat("a", 32)], []string{"AWSPREVIOUS"}) {
		t.Errorf("labels %v", d.Labels)
	}
	if st := o.status(other.Change); st != change.Conflicted {
		t.Errorf("two values that cannot be merged: %s", st)
	}
	if _, err := o.Changes.Withdraw(ctx, o.alice, other.Change, ""); err != nil {
		t.Fatal(err)
	}
	if d, _ = o.Secrets.Describe(ctx, o.Admin, name.SecretID{Name: "db"}); len(d.Labels) != 2 {
		t.Errorf("labels after the withdrawal: %v", d.Labels)
	}
}

func TestRollbackKeepsLaterChanges(t *testing.T) {
	o := newOffice(t)
	o.patch(o.Admin, "app/production", "A", "1", "B", "1", "C", "1")
	var ids []string
	for i, kv := range [][2]string{{"A", "2"}, {"B", "2"}, {"C", "2"}, {"D", "2"}} {
		w := o.patch(o.Admin, "app/production", kv[0], kv[1])
		if w.Status != change.Applied {
			t.Fatalf("%d: %+v", i, w)
		}
		ids = append(ids, w.Change)
	}
	o.protects(protect.Rule{Name: "prod", Match: []string{"*/production"}})
	w, err := o.Secrets.Rollback(t.Context(), o.alice, secret.RollbackRequest{Change: ids[1][:20], Reason: "broke"})
	if err != nil || w.Status != change.Pending {
		t.Fatalf("got %+v, %v", w, err)
	}
	if st, err := o.approve(o.bob, w.Change); err != nil || st != change.Applied {
		t.Fatalf("got %s, %v", st, err)
	}
	if got := o.value("app/production"); got != `{"A":"2","B":"1","C":"2","D":"2"}` {
		t.Errorf("got %s", got)
	}
	r, err := o.Changes.Get(t.Context(), o.bob, w.Change)
	must(t, err)
	if !slices.Equal(r.Record.Keys, []string{"B"}) || r.Record.Operation != "Rollback" {
		t.Errorf("the diff of a rollback: %+v", r.Record)
	}
	back, err := o.Secrets.Rollback(t.Context(), o.Admin, secret.RollbackRequest{ID: name.SecretID{Name: "app/production"}, Version: 1, Reason: "all"})
	must(t, err)
	if _, err := o.approve(o.bob, back.Change); err != nil {
		t.Fatal(err)
	}
	if got := o.value("app/production"); got != `{"A":"1","B":"1","C":"1"}` {
		t.Errorf("version 1 again: %s", got)
	}
}

func TestRestoreLastFastTrack(t *testing.T) {
	o := newOffice(t)
	id := name.SecretID{Name: "app/production"}
	o.patch(o.Admin, "app/production", "A", "1")
	o.patch(o.Admin, "app/production", "A", "2")
	o.patch(o.Admin, "app/production", "A", "3")
	o.protects(protect.Rule{Name: "prod", Match: []string{"*/production"}})
	o.protects(protect.Rule{Name: "fast", Match: []string{"nothing"}, Approvals: []protect.Approval{}})
	_, err := o.Changes.PutRules(t.Context(), o.Admin, change.RuleChange{Delete: "fast"}, "", change.Options{})
	must(t, err)
	o.replaceRule(protect.Rule{Name: "fast", Match: []string{"*/production"}, Kinds: []protect.Kind{protect.RestoreLast}})
	if w, err := o.Secrets.Rollback(t.Context(), o.Admin, secret.RollbackRequest{ID: id, Version: 1}); err != nil || w.Status != change.Pending {
		t.Errorf("two versions back: %+v, %v", w, err)
	}
	if w, err := o.Secrets.Rollback(t.Context(), o.Admin, secret.RollbackRequest{ID: id, Version: 2}); err != nil || w.Status != change.Applied {
		t.Errorf("one version back: %+v, %v", w, err)
	}
	if got := o.value("app/production"); got != `{"A":"2"}` {
		t.Errorf("got %s", got)
	}
}

func TestBlindReview(t *testing.T) {
	const canary = "s3cr3t-canary-value"
	o := newOffice(t)
	o.patch(o.Admin, "app/staging", "KEY", canary)
	o.patch(o.Admin, "app/production", "KEY", "old", "GONE", "x", "SAME", "y")
	o.protects(protect.Rule{Name: "prod", Match: []string{"*/production"}})
	w, err := o.Secrets.Patch(t.Context(), o.alice, secret.PatchRequest{ID: name.SecretID{Name: "app/production"},
		Set: vars("KEY", canary, "NEW", "https://example.com/"), Unset: []string{"GONE"}})
	must(t, err)
	r, err := o.Changes.Get(t.Context(), o.bob, w.Change)
	must(t, err)
	if r.Reveals {
		t.Error("bob may not read values")
	}
	if text := fmt.Sprintf("%+v", r); strings.Contains(text, canary) || strings.Contains(text, "example.com") {
		t.Errorf("a value in a review: %s", text)
	}
	var got []string
	for _, d := range r.Diff {
		line := d.Key + " " + d.Change
		if d.New != nil {
			line += " " + d.New.Length + " " + d.New.Format
		}
		got = append(got, line+" "+strings.Join(d.Notes, ";"))
	}
	want := []string{"GONE removed ", "KEY changed 17-32 text equals staging", "NEW added 17-32 url ", "SAME same 1-8 text "}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	own, err := o.Changes.Get(t.Context(), o.alice, w.Change)
	must(t, err)
	for _, d := range own.Diff {
		if strings.Contains(strings.Join(d.Notes, ""), "equals") {
			t.Errorf("the author learns another secret's value by a guess: %+v", d)
		}
	}
	blind, _ := o.User(t, "blind", strings.Replace(approver, `,"secretsmanager:DescribeSecret"`, "", 1))
	r, err = o.Changes.Get(t.Context(), blind, w.Change)
	must(t, err)
	for _, d := range r.Diff {
		if len(d.Notes) > 0 {
			t.Errorf("a note about a secret that the reviewer may not see: %+v", d)
		}
	}
}

func TestSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		o.protects(protect.Rule{Name: "prod", Match: []string{"*/production"}})
		at := time.Now().Add(time.Hour)
		w, err := o.Secrets.Patch(t.Context(), o.alice, secret.PatchRequest{ID: name.SecretID{Name: "app/production"}, Set: vars("A", "1"),
			Options: change.Options{NotBefore: at}})
		must(t, err)
		if st, err := o.approve(o.bob, w.Change); err != nil || st != change.Approved {
			t.Fatalf("got %s, %v", st, err)
		}
		if got := o.value("app/production"); got != "absent" {
			t.Errorf("before its time: %s", got)
		}
		time.Sleep(time.Until(at))
		must(t, o.Changes.Due(t.Context()))
		if got := o.value("app/production"); got != `{"A":"1"}` {
			t.Errorf("at its time: %s", got)
		}
	})
}

func TestDraftAndRepeat(t *testing.T) {
	o := newOffice(t)
	ctx := t.Context()
	req := secret.PatchRequest{ID: name.SecretID{Name: "app/dev"}, Set: vars("A", "1"), Options: change.Options{Draft: true, Key: "k1"}}
	w, err := o.Secrets.Patch(ctx, o.Admin, req)
	if err != nil || w.Status != change.Draft {
		t.Fatalf("got %+v, %v", w, err)
	}
	again, err := o.Secrets.Patch(ctx, o.Admin, req)
	if err != nil || again.Change != w.Change {
		t.Errorf("the same request: %+v, %v", again, err)
	}
	req.Set = vars("A", "2")
	if _, err := o.Secrets.Patch(ctx, o.Admin, req); code(err) != "conflict/idempotency-key" {
		t.Errorf("another request with the key: %v", err)
	}
	if _, err := o.approve(o.Admin, w.Change); code(err) != "precondition/closed" {
		t.Errorf("a vote on a draft: %v", err)
	}
	if r, err := o.Changes.Ready(ctx, o.Admin, w.Change); err != nil || r.Status != change.Applied {
		t.Errorf("no rule holds, so it is applied: %+v, %v", r, err)
	}
	if got := o.value("app/dev"); got != `{"A":"1"}` {
		t.Errorf("got %s", got)
	}
}

// TestEveryWriteIsHeld tries each operation on a protected secret.
func TestEveryWriteIsHeld(t *testing.T) {
	_, all := protectedWrites(t)
	for what := range all {
		t.Run(strings.ReplaceAll(what, " ", "-"), func(t *testing.T) {
			o, writes := protectedWrites(t)
			o.mustHold(writes[what])
		})
	}
}

// mustHold does a write twice: what is withdrawn leaves nothing, and what is
// approved takes effect.
func (o *office) mustHold(write func() (secret.Written, error)) {
	t, ctx, id := o.t, o.t.Context(), name.SecretID{Name: "db"}
	before, err := o.Secrets.Describe(ctx, o.Admin, id)
	must(t, err)
	w, err := write()
	if err != nil || w.Status != change.Pending || w.Change == "" {
		t.Fatalf("got %+v, %v", w, err)
	}
	if st, err := o.approve(o.Admin, w.Change); code(err) != "precondition/voter" {
		t.Errorf("the author approves: %s, %v", st, err)
	}
	if got := o.value("db"); got != "two" {
		t.Errorf("current is %q", got)
	}
	_, err = o.Changes.Withdraw(ctx, o.Admin, w.Change, "")
	must(t, err)
	after, err := o.Secrets.Describe(ctx, o.Admin, id)
	must(t, err)
	before.Changed, before.Accessed, after.Changed, after.Accessed = time.Time{}, time.Time{}, time.Time{}, time.Time{}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("what was withdrawn left: %s", diff)
	}
	if w, err = write(); err != nil {
		t.Fatal(err)
	}
	if st, err := o.approve(o.bob, w.Change); err != nil || st != change.Applied {
		t.Errorf("approved it is %s, %v", st, err)
	}
}

// protectedWrites are all writes to a secret that a rule protects.
func protectedWrites(t *testing.T) (*office, map[string]func() (secret.Written, error)) {
	o := newOffice(t)
	ctx := t.Context()
	id := name.SecretID{Name: "db"}
	tok := func(c string) string { return strings.Repeat(c, 32) }
	in := &secret.Input{Data: sensitive.FromString("new")}
	_, err := o.Secrets.Create(ctx, o.Admin, secret.CreateRequest{Name: "db", VersionID: tok("a"), Value: &secret.Input{Data: sensitive.FromString("one")}, Tags: []secret.Tag{{Key: "k", Value: "v"}}})
	must(t, err)
	_, err = o.Secrets.PutValue(ctx, o.Admin, secret.PutRequest{ID: id, VersionID: tok("b"), Value: secret.Input{Data: sensitive.FromString("two")}})
	must(t, err)
	_, err = o.Secrets.PutValue(ctx, o.Admin, secret.PutRequest{ID: name.SecretID{Name: "db"}, VersionID: tok("c"), Value: secret.Input{Data: sensitive.FromString("x")}, Labels: []string{"CANDIDATE"}})
	must(t, err)
	_, err = o.Secrets.Replicate(ctx, o.Admin, id, []secret.Replica{{Region: coretest.Second}}, false, "")
	must(t, err)
	_, err = o.Secrets.Create(ctx, o.Admin, secret.CreateRequest{Name: "db3", VersionID: tok("i"), Value: in})
	must(t, err)
	o.protects(protect.Rule{Name: "db", Match: []string{"db", "db2", "db3"}})
	elsewhere := o.Admin
	elsewhere.Region = coretest.Second
	text := func(s string) *string { return &s }
	return o, map[string]func() (secret.Written, error){
		"create": func() (secret.Written, error) {
			return o.Secrets.Create(ctx, o.Admin, secret.CreateRequest{Name: "db2", VersionID: tok("d"), Value: in})
		},
		"put": func() (secret.Written, error) {
			return o.Secrets.PutValue(ctx, o.Admin, secret.PutRequest{ID: id, VersionID: tok("e"), Value: *in})
		},
		"put under a label": func() (secret.Written, error) {
			return o.Secrets.PutValue(ctx, o.Admin, secret.PutRequest{ID: id, VersionID: tok("f"), Value: *in, Labels: []string{"AWSPENDING"}})
		},
		"update value": func() (secret.Written, error) {
			return o.Secrets.Update(ctx, o.Admin, secret.UpdateRequest{ID: id, VersionID: tok("g"), Value: in})
		},
		"update description": func() (secret.Written, error) {
			return o.Secrets.Update(ctx, o.Admin, secret.UpdateRequest{ID: id, Description: text("d")})
		},
		"move current": func() (secret.Written, error) {
			return o.Secrets.MoveLabel(ctx, o.Admin, secret.LabelRequest{ID: id, Label: name.Current, From: tok("b"), To: tok("c")})
		},
		"move another label": func() (secret.Written, error) {
			return o.Secrets.MoveLabel(ctx, o.Admin, secret.LabelRequest{ID: id, Label: "X", To: tok("c")})
		},
		"tag": func() (secret.Written, error) {
			return o.Secrets.Tag(ctx, o.Admin, id, []secret.Tag{{Key: "a", Value: "b"}}, "")
		},
		"untag": func() (secret.Written, error) { return o.Secrets.Untag(ctx, o.Admin, id, []string{"k"}, "") },
		"resource policy": func() (secret.Written, error) {
			return o.Secrets.PutResourcePolicy(ctx, o.Admin, id, approverResource, true, "")
		},
		"delete": func() (secret.Written, error) {
			d, err := o.Secrets.Delete(ctx, o.Admin, secret.DeleteRequest{ID: name.SecretID{Name: "db3"}})
			return secret.Written{Change: d.Change, Status: d.Status}, err
		},
		"rotate": func() (secret.Written, error) {
			return o.Secrets.Rotate(ctx, o.Admin, secret.RotateRequest{ID: id, VersionID: tok("h"), Function: "arn:aws:lambda:us-east-1:111111111111:function:f", Days: 7, Later: true})
		},
		"remove replicas": func() (secret.Written, error) {
			return o.Secrets.RemoveReplicas(ctx, o.Admin, id, []string{coretest.Second}, "")
		},
		"promote replica": func() (secret.Written, error) { return o.Secrets.Promote(ctx, elsewhere, id, "") },
		"patch": func() (secret.Written, error) {
			return o.Secrets.Patch(ctx, o.Admin, secret.PatchRequest{ID: name.SecretID{Name: "db2"}, Set: vars("A", "1")})
		},
		"roll back": func() (secret.Written, error) {
			return o.Secrets.Rollback(ctx, o.Admin, secret.RollbackRequest{ID: id, Version: 1})
		},
	}
}

const approverResource = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111111111111:user/bob"},"Action":"secretsmanager:DescribeSecret","Resource":"*"}]}`

func TestBreakGlass(t *testing.T) {
	o := newOffice(t)
	ctx := t.Context()
	must(t, o.group("firefighters"))
	o.protects(protect.Rule{Name: "prod", Match: []string{"*/production"}, BreakGlass: "firefighters"})
	o.protects(protect.Rule{Name: "vault", Match: []string{"vault"}})
	admin := o.Admin
	if _, err := o.Changes.BreakGlass(ctx, admin, change.GlassRequest{Reason: "the database is down"}); code(err) != "precondition/second-factor" {
		t.Errorf("without a second factor: %v", err)
	}
	admin.MFA = time.Now()
	if _, err := o.Changes.BreakGlass(ctx, admin, change.GlassRequest{Reason: "the database is down"}); code(err) != "precondition/break-glass" {
		t.Errorf("without the group: %v", err)
	}
	must(t, only(o.Authn.AddToGroup(ctx, o.Admin, "firefighters", "admin")))
	if _, err := o.Changes.BreakGlass(ctx, admin, change.GlassRequest{}); !errs.Is(err, errs.Invalid) {
		t.Errorf("without a reason: %v", err)
	}
	if w := o.patch(admin, "app/production", "A", "1"); w.Status != change.Pending {
		t.Errorf("before the glass is broken: %+v", w)
	}
	e, err := o.Changes.BreakGlass(ctx, admin, change.GlassRequest{Reason: "the database is down"})
	must(t, err)
	w := o.patch(admin, "app/production", "A", "2")
	if w.Status != change.Applied || o.value("app/production") != `{"A":"2"}` {
		t.Errorf("in the emergency: %+v", w)
	}
	o.patch(admin, "app/production", "A", "2") // alters nothing, so the emergency does not list it
	plain := admin
	plain.MFA = time.Time{}
	if w := o.patch(plain, "app/production", "A", "3"); w.Status != change.Pending {
		t.Errorf("from a session without a second factor: %+v", w)
	}
	if w := o.patch(admin, "vault", "A", "1"); w.Status != change.Pending {
		t.Errorf("a rule that names no group for emergencies: %+v", w)
	}
	open, err := o.Changes.Emergencies(ctx, o.Admin, false)
	if err != nil || len(open) != 1 || !slices.Equal(open[0].Changes, []string{w.Change}) {
		t.Errorf("open emergencies: %+v, %v", open, err)
	}
	if _, err := o.Changes.CloseGlass(ctx, admin, e.ID, "fine"); code(err) != "precondition/emergency-of-self" {
		t.Errorf("closing one's own: %v", err)
	}
	closer, _ := o.User(t, "closer", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`)
	got, err := o.Changes.CloseGlass(ctx, closer, e.ID, "looked at all of it")
	if err != nil || got.ClosedBy != closer.ARN() {
		t.Errorf("got %+v, %v", got, err)
	}
	if w := o.patch(admin, "app/production", "A", "4"); w.Status != change.Pending {
		t.Errorf("after it was closed: %+v", w)
	}
	_, changes, err := o.Changes.Emergency(ctx, o.Admin, e.ID)
	if err != nil || len(changes) != 1 || changes[0].BreakGlass != e.ID || changes[0].Keys[0] != "A" {
		t.Errorf("report %+v, %v", changes, err)
	}
}

// TestDraftAsksAgain: whoever lost the permission meanwhile cannot have a draft
// applied, nor a change that only waited for its time.
func TestDraftAsksAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		ctx := t.Context()
		dora, _ := o.User(t, "dora", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["secretsmanager:CreateSecret","countersign:WithdrawChange"],"Resource":"*"}]}`)
		draft, err := o.Secrets.Patch(ctx, dora, secret.PatchRequest{ID: name.SecretID{Name: "a"}, Set: vars("A", "1"), Options: change.Options{Draft: true}})
		must(t, err)
		at := time.Now().Add(time.Hour)
		later, err := o.Secrets.Patch(ctx, dora, secret.PatchRequest{ID: name.SecretID{Name: "b"}, Set: vars("A", "1"), Options: change.Options{NotBefore: at}})
		must(t, err)
		if later.Status != change.Approved {
			t.Errorf("only its time has not come: %+v", later)
		}
		_, err = o.Authn.PutPolicy(ctx, o.Admin, "dora-policy", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"countersign:WithdrawChange","Resource":"*"}]}`, "")
		must(t, err)
		if _, err := o.Changes.Ready(ctx, dora, draft.Change); !errs.Is(err, errs.Denied) {
			t.Errorf("a draft of who may no longer write: %v", err)
		}
		time.Sleep(time.Until(at))
		must(t, o.Changes.Due(ctx))
		if st := o.status(later.Change); st != change.Pending || o.value("b") != "absent" {
			t.Errorf("its time came, and it is %s", st)
		}
	})
}

// TestGlassKeepsRules: an emergency lets nobody change who may do what.
func TestGlassKeepsRules(t *testing.T) {
	o := newOffice(t)
	ctx := t.Context()
	must(t, o.group("firefighters"))
	must(t, only(o.Authn.AddToGroup(ctx, o.Admin, "firefighters", "admin")))
	rule := protect.Rule{Name: "prod", Match: []string{"*/production", "group:*"}, BreakGlass: "firefighters"}
	o.protects(rule)
	admin := o.Admin
	admin.MFA = time.Now()
	_, err := o.Changes.BreakGlass(ctx, admin, change.GlassRequest{Reason: "the database is down"})
	must(t, err)
	if res, err := o.Changes.PutRules(ctx, admin, change.RuleChange{Delete: "prod"}, "", change.Options{}); err != nil || res.Status != change.Pending {
		t.Errorf("the rule itself: %+v, %v", res, err)
	}
	if res, err := o.Authn.AddToGroup(ctx, admin, "approvers", "alice"); err != nil || res.Status != change.Pending {
		t.Errorf("a membership: %+v, %v", res, err)
	}
}

// TestTwin: what is proposed once more is the same change, as long as it waits.
func TestTwin(t *testing.T) {
	o := newOffice(t)
	ctx := t.Context()
	o.protects(protect.Rule{Name: "new", Match: []string{"new/*"}})
	create := func(who caller.Caller, token, value string) string {
		t.Helper()
		w, err := o.Secrets.Create(ctx, who, secret.CreateRequest{Name: "new/a", VersionID: strings.Repeat(token, 32), Value: &secret.Input{Data: sensitive.FromString(value)}})
		must(t, err)
		return w.Change
	}
	first := create(o.alice, "a", "v")
	if again := create(o.alice, "b", "v"); again != first {
		t.Errorf("the same request made %s and %s", first, again)
	}
	if other := create(o.alice, "a", "w"); other == first {
		t.Error("another value is the same change")
	}
	if other := create(o.Admin, "a", "v"); other == first {
		t.Error("another author has the same change")
	}
	_, err := o.Changes.Withdraw(ctx, o.alice, first, "")
	must(t, err)
	if again := create(o.alice, "a", "v"); again == first {
		t.Error("what was withdrawn is proposed again as itself")
	}
}

// TestLargest: what waits may be as large as what is kept, and is not kept twice.
func TestLargest(t *testing.T) {
	o := newOffice(t)
	o.protects(protect.Rule{Name: "prod", Match: []string{"*/production"}})
	large := strings.Repeat("x", secret.MaxValue-len(`{"A":"","B":"1"}`))
	w := o.patch(o.alice, "app/production", "A", large, "B", "1")
	if st, err := o.approve(o.bob, w.Change); err != nil || st != change.Applied {
		t.Fatalf("got %s, %v", st, err)
	}
	w = o.patch(o.alice, "app/production", "B", "2")
	if st, err := o.approve(o.bob, w.Change); err != nil || st != change.Applied {
		t.Fatalf("one key of it: %s, %v", st, err)
	}
	put, err := o.Secrets.PutValue(t.Context(), o.Admin, secret.PutRequest{ID: name.SecretID{Name: "app/production"}, VersionID: strings.Repeat("a", 32),
		Value: secret.Input{Data: sensitive.FromString(strings.Repeat("y", secret.MaxValue))}})
	must(t, err)
	if st, err := o.approve(o.bob, put.Change); err != nil || st != change.Applied {
		t.Errorf("a whole value: %s, %v", st, err)
	}
	_, err = o.Secrets.Patch(t.Context(), o.alice, secret.PatchRequest{ID: name.SecretID{Name: "app2/production"}, Set: vars("A", large+"xxxxxxxxxxxx")})
	if !errs.Is(err, errs.Limit) {
		t.Errorf("one that is too large: %v", err)
	}
}

// TestPrunedBase: a change that waits is merged although the version that its
// author saw is no longer kept.
func TestPrunedBase(t *testing.T) {
	o := &office{Core: coretest.New(t, coretest.Config{Keep: 2}), t: t}
	must(t, o.group("approvers"))
	o.alice, _ = o.User(t, "alice", developer)
	o.bob, _ = o.User(t, "bob", approver)
	must(t, only(o.Authn.AddToGroup(t.Context(), o.Admin, "approvers", "bob")))
	o.patch(o.Admin, "app/production", "A", "1", "B", "1")
	o.protects(protect.Rule{Name: "prod", Match: []string{"*/production"}})
	held := o.patch(o.alice, "app/production", "B", "2")
	whole, err := o.Secrets.PutValue(t.Context(), o.Admin, secret.PutRequest{ID: name.SecretID{Name: "app/production"}, VersionID: strings.Repeat("a", 32),
		Value: secret.Input{Data: sensitive.FromString(`{"A":"1","B":"1","C":"1"}`)}})
	must(t, err)
	for i := range 4 {
		w := o.patch(o.Admin, "app/production", "A", fmt.Sprint(i+2))
		_, err := o.approve(o.bob, w.Change)
		must(t, err)
	}
	if _, err := o.Secrets.ReadValue(t.Context(), o.Admin, secret.ReadRequest{ID: name.SecretID{Name: "app/production"}, Number: 1}); !errs.Is(err, errs.NotFound) {
		t.Errorf("version 1 is still kept: %v", err)
	}
	for _, id := range []string{held.Change, whole.Change} {
		if st, err := o.approve(o.bob, id); err != nil || st != change.Applied {
			t.Errorf("got %s, %v", st, err)
		}
	}
	if got, want := o.value("app/production"), `{"A":"5","B":"2","C":"1"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestHours: what is approved outside of the hours of its rule waits for them, and
// must still be able to take effect then.
func TestHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the clock begins on Saturday 2000-01-01, at midnight UTC
		o := newOffice(t)
		o.protects(protect.Rule{Name: "prod", Match: []string{"*/production"}, Hours: "Mon-Fri 09:00-17:00"})
		w := o.patch(o.alice, "app/production", "A", "1")
		kept := o.patch(o.Admin, "other/production", "A", "1")
		for _, id := range []string{w.Change, kept.Change} {
			if st, err := o.approve(o.bob, id); err != nil || st != change.Approved {
				t.Fatalf("on a Saturday: %s, %v", st, err)
			}
		}
		time.Sleep(24 * time.Hour)
		must(t, o.Changes.Due(t.Context()))
		if st := o.status(w.Change); st != change.Approved {
			t.Errorf("on Sunday: %s", st)
		}
		time.Sleep(33*time.Hour - time.Minute)
		must(t, o.Changes.Due(t.Context()))
		if st := o.status(w.Change); st != change.Approved {
			t.Errorf("a minute before nine on Monday: %s", st)
		}
		off := true
		_, err := o.Authn.UpdateUser(t.Context(), o.Admin, authn.UpdateUserRequest{Name: "alice", Disabled: &off})
		must(t, err)
		time.Sleep(2 * time.Minute)
		must(t, o.Changes.Due(t.Context()))
		if st := o.status(kept.Change); st != change.Applied || o.value("other/production") != `{"A":"1"}` {
			t.Errorf("after nine on Monday: %s", st)
		}
		if st := o.status(w.Change); st != change.Pending || o.value("app/production") != "absent" {
			t.Errorf("of an author who was disabled meanwhile: %s", st)
		}
	})
}

// TestMachines: a machine proposes, and approves only where the rule names it.
func TestMachines(t *testing.T) {
	o := newOffice(t)
	ctx := t.Context()
	for _, n := range []string{"robot", "other"} {
		_, err := o.Authn.CreateUser(ctx, o.Admin, authn.CreateUserRequest{Name: n, Machine: true})
		must(t, err)
		must(t, only(o.Authn.Attach(ctx, o.Admin, authn.Attachment{Policy: "Approver", User: n})))
		must(t, only(o.Authn.AddToGroup(ctx, o.Admin, "approvers", n)))
	}
	as := func(n string) caller.Caller {
		key, err := o.Authn.CreateKey(ctx, o.Admin, authn.CreateKeyRequest{Owner: n})
		must(t, err)
		return o.As(t, key)
	}
	robot, other := as("robot"), as("other")
	o.protects(protect.Rule{Name: "prod", Match: []string{"*/production"}, Machines: []string{"robot"}})
	w := o.patch(o.alice, "app/production", "A", "1")
	if _, err := o.approve(other, w.Change); code(err) != "precondition/voter" {
		t.Errorf("a machine that is not named: %v", err)
	}
	if st, err := o.approve(robot, w.Change); err != nil || st != change.Applied {
		t.Errorf("the machine that is: %s, %v", st, err)
	}
}
