package project_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"countersign/internal/core/audit"
	"countersign/internal/core/change"
	"countersign/internal/core/coretest"
	"countersign/internal/core/project"
	"countersign/internal/core/protect"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/name"
)

var ctx = context.Background()

func create(t *testing.T, c *coretest.Core, n string, envs ...string) project.Written {
	t.Helper()
	out, err := c.Projects.Create(ctx, c.Admin, project.CreateRequest{Name: n, Environments: envs})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestLife(t *testing.T) {
	c := coretest.New(t, coretest.Config{})
	out, err := c.Projects.Create(ctx, c.Admin, project.CreateRequest{Name: "shop", Environments: []string{"prod", "dev"}, Description: "the shop", Reason: "new"})
	if err != nil {
		t.Fatal(err)
	}
	want := project.Project{Name: "shop", Template: project.DefaultTemplate, Description: "the shop", Environments: []project.Environment{
		{Name: "prod", Secret: "secret-review/shop/prod"}, {Name: "dev", Secret: "secret-review/shop/dev"}}}
	if diff := cmp.Diff(want, out.Project, cmpopts.IgnoreFields(project.Project{}, "Created")); diff != "" || out.Created.IsZero() || out.Status != change.Applied || out.ID == "" {
		t.Errorf("created %+v: %s", out, diff)
	}
	about := ""
	if out, err = c.Projects.Update(ctx, c.Admin, project.UpdateRequest{Name: "shop", Add: []string{"qa"}, Remove: []string{"prod"}, Description: &about}); err != nil {
		t.Fatal(err)
	}
	got, err := c.Projects.Get(ctx, c.Admin, "shop")
	want.Description, want.Environments = "", []project.Environment{{Name: "dev", Secret: "secret-review/shop/dev"}, {Name: "qa", Secret: "secret-review/shop/qa"}}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(project.Project{}, "Created")); diff != "" || err != nil {
		t.Errorf("got %v: %s", err, diff)
	}
	if diff := cmp.Diff(got, out.Project); diff != "" {
		t.Errorf("the answer to the update: %s", diff)
	}
	if again, err := c.Projects.Update(ctx, c.Admin, project.UpdateRequest{Name: "shop", Description: &about}); err != nil || again.ID != "" || again.Status != change.Applied {
		t.Errorf("nothing to do: %+v %v", again, err)
	}
	res, err := c.Projects.Delete(ctx, c.Admin, project.DeleteRequest{Name: "shop", Reason: "gone"})
	if err != nil || res.Status != change.Applied {
		t.Errorf("deleted %+v %v", res, err)
	}
	if _, err := c.Projects.Get(ctx, c.Admin, "shop"); !errs.Is(err, errs.NotFound) {
		t.Errorf("a deleted project: %v", err)
	}
	for k := range c.Dump(t) {
		if strs, _, err := kv.Key(k).Parts("sss"); err == nil && strings.HasPrefix(strs[1], "project") {
			t.Errorf("left behind: %q", k)
		}
	}
	list, err := c.Changes.List(ctx, c.Admin, change.ListRequest{Noun: "project", Name: "shop"})
	if err != nil || len(list.Changes) != 3 || list.Changes[0].Kind != string(protect.Delete) || list.Changes[0].Reason != "gone" || list.Changes[2].Kind != string(protect.Create) {
		t.Errorf("changes %+v %v", list, err)
	}
}

func TestRefused(t *testing.T) {
	c := coretest.New(t, coretest.Config{})
	create(t, c, "shop", "dev")
	if _, err := c.Projects.Create(ctx, c.Admin, project.CreateRequest{Name: "x-y", Environments: []string{"z"}, Template: "a/{project}-{environment}"}); err != nil {
		t.Fatal(err)
	}
	many := make([]string, project.MaxEnvironments+1)
	for i := range many {
		many[i] = fmt.Sprint("e", i)
	}
	make := func(r project.CreateRequest) func() error {
		return func() error { _, err := c.Projects.Create(ctx, c.Admin, r); return err }
	}
	update := func(r project.UpdateRequest) func() error {
		return func() error { _, err := c.Projects.Update(ctx, c.Admin, r); return err }
	}
	remove := func(n string) func() error {
		return func() error {
			_, err := c.Projects.Delete(ctx, c.Admin, project.DeleteRequest{Name: n})
			return err
		}
	}
	get := func(n string) func() error {
		return func() error { _, err := c.Projects.Get(ctx, c.Admin, n); return err }
	}
	long := strings.Repeat("a", 65)
	for _, tt := range []struct {
		what  string
		do    func() error
		kind  errs.Kind
		code  string
		field string
	}{
		{"no name", make(project.CreateRequest{}), errs.Invalid, "", "name"},
		{"a slash", make(project.CreateRequest{Name: "a/b"}), errs.Invalid, "", "name"},
		{"a long name", make(project.CreateRequest{Name: long}), errs.Invalid, "", "name"},
		{"taken", make(project.CreateRequest{Name: "shop"}), errs.Exists, project.CodeProject, ""},
		{"bad environment", make(project.CreateRequest{Name: "a", Environments: []string{"b.c"}}), errs.Invalid, "", "environments"},
		{"environment twice", make(project.CreateRequest{Name: "a", Environments: []string{"b", "c", "b"}}), errs.Invalid, "", "environments"},
		{"many environments", make(project.CreateRequest{Name: "a", Environments: many}), errs.Limit, "", "environments"},
		{"no project in the template", make(project.CreateRequest{Name: "a", Template: "x/{environment}"}), errs.Invalid, "", "template"},
		{"no environment in the template", make(project.CreateRequest{Name: "a", Template: "x/{project}"}), errs.Invalid, "", "template"},
		{"project twice", make(project.CreateRequest{Name: "a", Template: "{project}/{project}/{environment}"}), errs.Invalid, "", "template"},
		{"no name of a secret", make(project.CreateRequest{Name: "a", Template: "x//{project}/{environment}"}), errs.Invalid, "", "template"},
		{"other braces", make(project.CreateRequest{Name: "a", Template: "{x}/{project}/{environment}"}), errs.Invalid, "", "template"},
		{"a long template", make(project.CreateRequest{Name: "a", Template: strings.Repeat("x", 500) + "{project}/{environment}"}), errs.Invalid, "", "template"},
		{"a long secret", make(project.CreateRequest{Name: strings.Repeat("a", 40), Environments: []string{strings.Repeat("b", 40)},
			Template: strings.Repeat("x", 480) + "{project}/{environment}"}), errs.Invalid, "", "template"},
		{"a long description", make(project.CreateRequest{Name: "a", Description: strings.Repeat("x", 1001)}), errs.Invalid, name.CodeTooLong, "description"},
		{"another's secret", make(project.CreateRequest{Name: "x", Environments: []string{"y-z"}, Template: "a/{project}-{environment}"}), errs.Exists, project.CodeTaken, "a/x-y-z"},
		{"nothing", update(project.UpdateRequest{Name: "shop"}), errs.Invalid, "", "add"},
		{"no project", update(project.UpdateRequest{Name: "none", Add: []string{"a"}}), errs.NotFound, project.CodeProject, ""},
		{"added twice", update(project.UpdateRequest{Name: "shop", Add: []string{"a", "a"}}), errs.Invalid, "", "add"},
		{"added and removed", update(project.UpdateRequest{Name: "shop", Add: []string{"a"}, Remove: []string{"a"}}), errs.Invalid, "", "remove"},
		{"there already", update(project.UpdateRequest{Name: "shop", Add: []string{"dev"}}), errs.Exists, project.CodeEnvironment, "dev"},
		{"not there", update(project.UpdateRequest{Name: "shop", Remove: []string{"qa"}}), errs.NotFound, project.CodeEnvironment, "qa"},
		{"too many", update(project.UpdateRequest{Name: "shop", Add: many[1:]}), errs.Limit, "", "environments"},
		{"delete none", remove("none"), errs.NotFound, project.CodeProject, ""},
		{"delete badly", remove("a b"), errs.Invalid, "", "name"},
		{"get none", get("none"), errs.NotFound, project.CodeProject, ""},
		{"get badly", get("../x"), errs.Invalid, "", "name"},
	} {
		t.Run(strings.ReplaceAll(tt.what, " ", "-"), func(t *testing.T) {
			before, n := c.Dump(t), len(c.Records(t))
			e := errs.As(tt.do())
			if e == nil || e.Kind != tt.kind || e.Code != tt.code || e.Field != tt.field {
				t.Errorf("error %+v", e)
			}
			if diff := cmp.Diff(before, c.Dump(t)); diff != "" {
				t.Errorf("the store was changed: %s", diff)
			}
			if got := c.Records(t)[n:]; len(got) != 1 || got[0].Outcome != audit.Refused {
				t.Errorf("recorded as %+v", got)
			}
		})
	}
}

// TestSecretIsFreeAgain moves an environment from one project to another.
func TestSecretIsFreeAgain(t *testing.T) {
	c := coretest.New(t, coretest.Config{})
	with := func(n, e string) error {
		_, err := c.Projects.Create(ctx, c.Admin, project.CreateRequest{Name: n, Environments: []string{e}, Template: "a/{project}-{environment}"})
		return err
	}
	if err := with("x-y", "z"); err != nil {
		t.Fatal(err)
	}
	if err := with("x", "y-z"); !errs.Is(err, errs.Exists) {
		t.Fatal(err)
	}
	if _, err := c.Projects.Update(ctx, c.Admin, project.UpdateRequest{Name: "x-y", Remove: []string{"z"}}); err != nil {
		t.Fatal(err)
	}
	if err := with("x", "y-z"); err != nil {
		t.Fatal(err)
	}
	_, err := c.Projects.Update(ctx, c.Admin, project.UpdateRequest{Name: "x-y", Add: []string{"z"}})
	if e := errs.As(err); e == nil || e.Code != project.CodeTaken {
		t.Errorf("taken meanwhile: %v", err)
	}
	if found := refer(t, c); len(found) > 0 {
		t.Errorf("the check of the store: %q", found)
	}
}

func refer(t *testing.T, c *coretest.Core) (found []string) {
	t.Helper()
	err := c.DB.View(ctx, func(r kv.Reader) error {
		return project.Refer(r, func(k kv.Key, problem string) { found = append(found, string(k)+": "+problem) })
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestRefer(t *testing.T) {
	c := coretest.New(t, coretest.Config{})
	create(t, c, "shop", "dev", "prod")
	for k, v := range c.Dump(t) {
		strs, _, err := kv.Key(k).Parts("sss")
		if err != nil || !strings.HasPrefix(strs[1], "project") {
			continue
		}
		edit := func(f func(tx kv.Txn) error) {
			if _, err := c.DB.Update(ctx, f); err != nil {
				t.Fatal(err)
			}
		}
		edit(func(tx kv.Txn) error { return tx.Delete(kv.Key(k)) })
		if found := refer(t, c); len(found) == 0 {
			t.Errorf("%q is gone and nothing was found", k)
		}
		edit(func(tx kv.Txn) error { return tx.Put(kv.Key(k), v) })
	}
	if found := refer(t, c); len(found) > 0 {
		t.Errorf("found in a sound store: %q", found)
	}
}

func TestListShowsWhatMayBeSeen(t *testing.T) {
	c := coretest.New(t, coretest.Config{})
	for _, n := range []string{"a1", "b1", "a2", "b2", "a3"} {
		create(t, c, n, "dev")
	}
	who, _ := c.User(t, "ann", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"countersign:ListProjects","Resource":"*"},
		{"Effect":"Allow","Action":"countersign:GetProject","Resource":"arn:aws:countersign::*:project/a*"}]}`)
	var got []string
	after := ""
	for range 10 {
		out, err := c.Projects.List(ctx, who, after, 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range out.Projects {
			got = append(got, p.Name)
		}
		if after = out.Next; after == "" {
			break
		}
	}
	if diff := cmp.Diff([]string{"a1", "a2", "a3"}, got); diff != "" {
		t.Error(diff)
	}
	if _, err := c.Projects.Get(ctx, who, "b1"); !errs.Is(err, errs.Denied) {
		t.Errorf("another's project: %v", err)
	}
	if _, err := c.Projects.List(ctx, who, "", project.MaxLimit+1); !errs.Is(err, errs.Invalid) {
		t.Errorf("a large limit: %v", err)
	}
	stranger, _ := c.Stranger(t)
	if out, err := c.Projects.List(ctx, stranger, "", 0); err != nil || len(out.Projects) > 0 {
		t.Errorf("a stranger is shown %+v %v", out, err)
	}
	if _, err := c.Projects.Get(ctx, stranger, "a1"); !errs.Is(err, errs.NotFound) {
		t.Errorf("a stranger gets %v", err)
	}
}

// TestReview holds every write to a project for review.
func TestReview(t *testing.T) {
	c := coretest.New(t, coretest.Config{})
	rule := &protect.Rule{Name: "projects", Match: []string{"project:*"}, Approvals: []protect.Approval{{Count: 1}}}
	if _, err := c.Changes.PutRules(ctx, c.Admin, change.RuleChange{Set: rule}, "", change.Options{}); err != nil {
		t.Fatal(err)
	}
	approver, _ := c.User(t, "ann", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["countersign:R*","countersign:List*"],"Resource":"arn:aws:countersign::*:project/shop"}]}`)
	approve := func(id string, lines ...string) {
		t.Helper()
		first, err := c.Changes.Get(ctx, approver, id)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(lines, first.Lines); diff != "" || first.CannotBy != "" {
			t.Errorf("review: %s (%s)", diff, first.CannotBy)
		}
		again, err := c.Changes.Get(ctx, approver, id)
		if err != nil || again.Digest != first.Digest {
			t.Errorf("the digest is another a moment later: %v", err)
		}
		digest, _ := hex.DecodeString(first.Digest)
		d, err := c.Changes.Vote(ctx, approver, change.VoteRequest{ID: id, Approve: true, Digest: digest})
		if err != nil || d.Record.Status != change.Applied {
			t.Fatalf("approved: %+v %v", d, err)
		}
	}
	out, err := c.Projects.Create(ctx, c.Admin, project.CreateRequest{Name: "shop", Environments: []string{"dev"}, Options: change.Options{Key: "k"}})
	if err != nil || out.Status != change.Pending || len(out.Environments) != 1 || !out.Created.IsZero() {
		t.Fatalf("proposed %+v %v", out, err)
	}
	if same, err := c.Projects.Create(ctx, c.Admin, project.CreateRequest{Name: "shop", Environments: []string{"dev"}, Options: change.Options{Key: "k"}}); err != nil || same.ID != out.ID {
		t.Errorf("the same request: %+v %v", same, err)
	}
	if _, err := c.Projects.Get(ctx, c.Admin, "shop"); !errs.Is(err, errs.NotFound) {
		t.Errorf("before its approval: %v", err)
	}
	approve(out.ID, "creates project shop", "template "+project.DefaultTemplate, "adds environments dev")
	if out, err = c.Projects.Update(ctx, c.Admin, project.UpdateRequest{Name: "shop", Add: []string{"qa"}}); err != nil || out.Status != change.Pending {
		t.Fatalf("proposed %+v %v", out, err)
	}
	rival, err := c.Projects.Update(ctx, c.Admin, project.UpdateRequest{Name: "shop", Add: []string{"qa"}, Remove: []string{"dev"}})
	if err != nil {
		t.Fatal(err)
	}
	approve(out.ID, "adds environments qa")
	if r, err := c.Changes.Get(ctx, approver, rival.ID); err != nil || r.Record.Status != change.Conflicted {
		t.Errorf("at odds with what was applied: %+v %v", r.Record, err)
	}
	got, err := c.Projects.Get(ctx, c.Admin, "shop")
	if err != nil || !slices.ContainsFunc(got.Environments, func(e project.Environment) bool { return e.Name == "qa" }) || got.Created.IsZero() {
		t.Errorf("approved: %+v %v", got, err)
	}
	res, err := c.Projects.Delete(ctx, c.Admin, project.DeleteRequest{Name: "shop"})
	if err != nil || res.Status != change.Pending {
		t.Fatalf("proposed %+v %v", res, err)
	}
	approve(res.ID, "deletes project shop; its secrets stay")
	if found := refer(t, c); len(found) > 0 {
		t.Errorf("the check of the store: %q", found)
	}
}

// FuzzTemplate: whatever template and names are taken, each environment has a
// valid name of a secret, and another one than the rest.
func FuzzTemplate(f *testing.F) {
	f.Add(project.DefaultTemplate, "shop", "dev", "prod")
	f.Add("{environment}{project}", "a", "b", "c")
	f.Add("/x/{project}/../{environment}", "a", "b", "c")
	c := coretest.New(f, coretest.Config{})
	f.Fuzz(func(t *testing.T, template, n, e1, e2 string) {
		out, err := c.Projects.Create(ctx, c.Admin, project.CreateRequest{Name: n, Environments: []string{e1, e2}, Template: template})
		if err != nil {
			if errs.KindOf(err) == errs.Internal {
				t.Fatal(err)
			}
			return
		}
		if e1 == e2 || out.Environments[0].Secret == out.Environments[1].Secret {
			t.Errorf("two environments are one secret: %+v", out.Environments)
		}
		for _, e := range out.Environments {
			if err := name.SecretName(e.Secret); err != nil {
				t.Errorf("%q: %v", e.Secret, err)
			}
		}
		if _, err := c.Projects.Delete(ctx, c.Admin, project.DeleteRequest{Name: n}); err != nil {
			t.Fatal(err)
		}
	})
}
