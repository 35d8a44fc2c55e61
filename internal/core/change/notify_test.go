package change_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/core/change"
	"countersign/internal/core/notice"
	"countersign/internal/core/protect"
	"countersign/internal/core/record"
	"countersign/internal/core/secret"
	"countersign/internal/kv"
	"countersign/internal/name"
)

// notices empties the outbox.
func (o *office) notices() (out []notice.Notice) {
	o.t.Helper()
	_, err := o.DB.Update(o.t.Context(), func(tx kv.Txn) error {
		out = nil
		for e, err := range record.Scan[notice.Notice](tx, kv.Prefix(notice.Prefix())) {
			if err != nil {
				return err
			}
			out = append(out, e.Value)
		}
		for _, n := range out {
			if err := tx.Delete(notice.Key(n.ID)); err != nil {
				return err
			}
		}
		return nil
	})
	must(o.t, err)
	return out
}

// told is what the notices in the outbox say, in a word each.
func (o *office) told() string {
	o.t.Helper()
	var out []string
	for _, n := range o.notices() {
		if n.Account != o.Admin.Account || n.Change == "" || n.Author == "" || n.Actor == "" {
			o.t.Errorf("notice %+v lacks something", n)
		}
		out = append(out, strings.TrimPrefix(string(n.Kind), "change."))
	}
	return strings.Join(out, " ")
}

func TestNotices(t *testing.T) {
	o := newOffice(t)
	ctx := t.Context()
	told := func(want string) {
		t.Helper()
		if got := o.told(); got != want {
			t.Errorf("told %q, want %q", got, want)
		}
	}
	o.patch(o.Admin, "app/production", "A", "1", "B", "2")
	o.protects(protect.Rule{Name: "prod", Match: []string{"*/production"}})
	told("") // what nobody had to review

	w := o.patch(o.alice, "app/production", "B", "s3cr3t")
	got := o.notices()
	if len(got) != 1 {
		t.Fatalf("%d notices", len(got))
	}
	want := notice.Notice{ID: got[0].ID, Account: o.Admin.Account, Time: got[0].Time, Kind: notice.ChangeProposed, Change: w.Change, Noun: "secret",
		Region: got[0].Region, Name: "app/production", Operation: got[0].Operation, Actor: o.alice.ARN(), Author: o.alice.ARN(), Reason: "test",
		Status: "pending", Keys: []string{"B"}, Facts: map[string]string{"rule": "prod"}, Audience: []string{"group:approvers"}}
	if diff := cmp.Diff(want, got[0]); diff != "" || got[0].Region == "" {
		t.Error(diff)
	}

	// Looking at a change, which tries it, tells nobody; nor does a failed step.
	o.digest(w.Change)
	if _, err := o.Changes.Vote(ctx, o.bob, change.VoteRequest{ID: w.Change, Approve: true, Digest: []byte("other")}); err == nil {
		t.Fatal("the digest was taken")
	}
	told("")

	other := o.patch(o.alice, "app/production", "B", "5")
	told("proposed")
	for range 2 {
		_, err := o.Changes.Comment(ctx, o.bob, w.Change, "why?")
		must(t, err)
	}
	comments := o.notices()
	if len(comments) != 2 || comments[0].ID == comments[1].ID || comments[0].Text != "why?" || comments[0].Actor != o.bob.ARN() || comments[0].Author != o.alice.ARN() {
		t.Errorf("comments: %+v", comments)
	}
	_, err := o.approve(o.bob, w.Change)
	must(t, err)
	got = o.notices()
	if len(got) != 2 || got[0].Kind != notice.ChangeApplied || got[0].Change != w.Change || got[1].Kind != notice.ChangeConflicted || got[1].Change != other.Change {
		t.Errorf("applied: %+v", got)
	}
	if diff := cmp.Diff([]string{"alice"}, got[0].Audience); diff != "" {
		t.Error(diff)
	}
	_, err = o.Changes.Vote(ctx, o.bob, change.VoteRequest{ID: other.Change, Comment: "no"})
	must(t, err)
	if got = o.notices(); len(got) != 1 || got[0].Kind != notice.ChangeRejected || got[0].Text != "no" || got[0].Status != "rejected" {
		t.Errorf("rejected: %+v", got)
	}
}

func TestDraftsTellNobody(t *testing.T) {
	o := newOffice(t)
	o.protects(protect.Rule{Name: "prod", Match: []string{"*/production"}})
	w, err := o.Secrets.Patch(t.Context(), o.alice, secret.PatchRequest{ID: name.SecretID{Name: "app/production"}, Set: vars("A", "1"), Options: change.Options{Draft: true}})
	must(t, err)
	if got := o.told(); got != "" {
		t.Errorf("told %q", got)
	}
	_, err = o.Changes.Ready(t.Context(), o.alice, w.Change)
	must(t, err)
	if got := o.told(); got != "proposed" {
		t.Errorf("told %q", got)
	}
	_, err = o.Changes.Withdraw(t.Context(), o.alice, w.Change, "")
	must(t, err)
	if got := o.told(); got != "withdrawn" {
		t.Errorf("told %q", got)
	}
}

func TestReminders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		o.protects(protect.Rule{Name: "prod", Match: []string{"*/production"}, ExpiryDays: 3})
		o.patch(o.alice, "app/production", "A", "1")
		if got := o.told(); got != "proposed" {
			t.Errorf("told %q", got)
		}
		ids := map[string]bool{}
		for range 2 {
			time.Sleep(25 * time.Hour)
			must(t, o.Changes.Due(t.Context()))
			got := o.notices()
			if len(got) != 1 || got[0].Kind != notice.ChangeReminder || ids[got[0].ID] {
				t.Errorf("got %+v", got)
				continue
			}
			ids[got[0].ID] = true
			if diff := cmp.Diff([]string{"group:approvers"}, got[0].Audience); diff != "" {
				t.Error(diff)
			}
		}
		time.Sleep(25 * time.Hour)
		must(t, o.Changes.Due(t.Context()))
		if got := o.told(); got != "expired" && got != "reminder expired" {
			t.Errorf("told %q", got)
		}
	})
}

// Who would have reviewed what is done in an emergency hears of it.
func TestEmergenciesAreTold(t *testing.T) {
	o := newOffice(t)
	ctx := t.Context()
	must(t, o.group("firefighters"))
	o.protects(protect.Rule{Name: "prod", Match: []string{"*/production"}, BreakGlass: "firefighters"})
	must(t, only(o.Authn.AddToGroup(ctx, o.Admin, "firefighters", "admin")))
	admin := o.Admin
	admin.MFA = time.Now()
	e, err := o.Changes.BreakGlass(ctx, admin, change.GlassRequest{Reason: "the database is down"})
	must(t, err)
	got := o.notices()
	if len(got) != 1 || got[0].Kind != notice.BreakGlassOpened || got[0].Change != "" || got[0].Facts["emergency"] != e.ID || got[0].Reason != "the database is down" {
		t.Errorf("opened: %+v", got)
	}
	w := o.patch(admin, "app/production", "A", "2")
	got = o.notices()
	if len(got) != 1 || got[0].Kind != notice.ChangeApplied || got[0].Change != w.Change || got[0].Facts["emergency"] != e.ID {
		t.Fatalf("applied: %+v", got)
	}
	if diff := cmp.Diff([]string{"group:approvers"}, got[0].Audience); diff != "" {
		t.Error(diff)
	}
	closer, _ := o.User(t, "closer", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`)
	_, err = o.Changes.CloseGlass(ctx, closer, e.ID, "looked at all of it")
	must(t, err)
	if got = o.notices(); len(got) != 1 || got[0].Kind != notice.BreakGlassClosed || got[0].Text != "looked at all of it" || got[0].Actor != closer.ARN() {
		t.Errorf("closed: %+v", got)
	}
}
