package authn_test

import (
	"maps"
	"slices"
	"strconv"
	"testing"

	"countersign/internal/caller"
	"countersign/internal/core/authn"
	"countersign/internal/core/change"
	"countersign/internal/core/coretest"
	"countersign/internal/core/protect"
	"countersign/internal/errs"
)

func TestSetUser(t *testing.T) {
	f := start(t, coretest.Config{})
	for _, n := range []string{"one", "two"} {
		_, err := f.Authn.PutPolicy(f.ctx, f.Admin, n, allow("*", "*"), "")
		f.must(err)
	}
	yes, no := true, false
	for i, step := range []struct {
		req      authn.SetUserRequest
		created  bool
		policies []string
		tags     map[string]string
		disabled bool
	}{
		{authn.SetUserRequest{Tags: map[string]string{"a": "1", "b": "2"}, Policies: []string{"two", "one", "two"}}, true, []string{"one", "two"}, map[string]string{"a": "1", "b": "2"}, false},
		{authn.SetUserRequest{}, false, []string{"one", "two"}, map[string]string{"a": "1", "b": "2"}, false},
		{authn.SetUserRequest{Tags: map[string]string{"b": "3", "c": "4"}, Policies: []string{"one"}, Disabled: &yes}, false, []string{"one"}, map[string]string{"b": "3", "c": "4"}, true},
		{authn.SetUserRequest{Tags: map[string]string{}, Policies: []string{}, Disabled: &no}, false, nil, map[string]string{}, false},
	} {
		step.req.Name = "robot"
		res, created, err := f.Authn.SetUser(f.ctx, f.Admin, step.req)
		f.must(err)
		u, err := f.Authn.GetUser(f.ctx, f.Admin, "robot")
		f.must(err)
		if created != step.created || res.Status != change.Applied || u.Kind != caller.Machine || !slices.Equal(u.Policies, step.policies) ||
			!maps.Equal(u.Tags, step.tags) || u.Disabled != step.disabled {
			t.Errorf("step %d: %+v, created %v, %+v", i, res, created, u)
		}
	}
	alice, _ := f.User(t, "alice", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["iam:UpdateUser","iam:CreateUser"],"Resource":"*"}]}`)
	for what, req := range map[string]authn.SetUserRequest{
		"attach": {Name: "robot", Policies: []string{"one"}},
		"create": {Name: "other", Policies: []string{"one"}},
	} {
		if _, _, err := f.Authn.SetUser(f.ctx, alice, req); !errs.Is(err, errs.Denied) {
			t.Errorf("%s without the permission to attach: %v", what, err)
		}
	}
	if _, _, err := f.Authn.SetUser(f.ctx, f.Admin, authn.SetUserRequest{Name: "a/b"}); !errs.Is(err, errs.Invalid) {
		t.Errorf("a name that is none: %v", err)
	}
}

// A rule over what somebody may do holds that alone, however it is written.
func TestSetUserByKind(t *testing.T) {
	f, _ := reviewed(t)
	_, err := f.Changes.PutRules(f.ctx, caller.ForSystem(coretest.Home, "recover", "r", f.Admin.Time), change.RuleChange{Set: &protect.Rule{Name: "people", Kinds: []protect.Kind{protect.Policy},
		Match: []string{"user:*", "group:*"}, Approvals: []protect.Approval{{Count: 1, Groups: []string{"approvers"}}}}}, "", change.Options{})
	f.must(err)
	res, created, err := f.Authn.SetUser(f.ctx, f.Admin, authn.SetUserRequest{Name: "robot", Tags: map[string]string{"a": "b"}, Policies: []string{"loose"}})
	f.must(err)
	u, err := f.Authn.GetUser(f.ctx, f.Admin, "robot")
	f.must(err)
	if !created || res.Status != change.Applied && len(u.Policies) > 0 || len(u.Policies) > 0 {
		t.Errorf("policies were attached past a rule: %+v, %+v", res, u)
	}
	if res, _, err = f.Authn.SetUser(f.ctx, f.Admin, authn.SetUserRequest{Name: "robot", Policies: []string{"loose"}}); err != nil || res.Status != change.Pending {
		t.Errorf("attaching: %+v, %v", res, err)
	}
	if res, _, err = f.Authn.SetGroup(f.ctx, f.Admin, authn.SetGroupRequest{Name: "empty", Members: []string{"robot"}}); err != nil || res.Status != change.Pending {
		t.Errorf("a membership: %+v, %v", res, err)
	}
	if res, _, err = f.Authn.SetUser(f.ctx, f.Admin, authn.SetUserRequest{Name: "robot", Tags: map[string]string{}}); err != nil || res.Status != change.Applied {
		t.Errorf("tags: %+v, %v", res, err)
	}
}

func TestSetGroup(t *testing.T) {
	f := start(t, coretest.Config{})
	_, err := f.Authn.PutPolicy(f.ctx, f.Admin, "one", allow("*", "*"), "")
	f.must(err)
	var all []string
	for i := range authn.MaxMoved + 1 {
		n := "m" + strconv.Itoa(i)
		_, err := f.Authn.CreateUser(f.ctx, f.Admin, authn.CreateUserRequest{Name: n, Machine: true})
		f.must(err)
		all = append(all, n)
	}
	slices.Sort(all)
	set := func(policies, members []string) error {
		_, _, err := f.Authn.SetGroup(f.ctx, f.Admin, authn.SetGroupRequest{Name: "g", Policies: policies, Members: members})
		return err
	}
	check := func(what string, policies, members []string) {
		t.Helper()
		g, err := f.Authn.GetGroup(f.ctx, f.Admin, "g")
		f.must(err)
		if !slices.Equal(g.Policies, policies) || !slices.Equal(g.Members, members) {
			t.Errorf("%s: %+v", what, g)
		}
	}
	if err := set(nil, all); !errs.Is(err, errs.Limit) {
		t.Errorf("too many members: %v", err)
	}
	f.must(set([]string{"one"}, all[1:]))
	check("made", []string{"one"}, all[1:])
	f.must(set(nil, all))
	check("one more", []string{"one"}, all)
	f.must(set([]string{}, nil))
	check("no policy", nil, all)
	if _, err := f.Authn.DropGroup(f.ctx, f.Admin, "g"); !errs.Is(err, errs.Limit) {
		t.Errorf("dropping too many: %v", err)
	}
	f.must(set(nil, all[:3]))
	check("three left", nil, all[:3])
	if err := set(nil, []string{"nobody"}); !errs.Is(err, errs.NotFound) {
		t.Errorf("a member that is not there: %v", err)
	}
	f.must(only(f.Authn.DropGroup(f.ctx, f.Admin, "g")))
	u, err := f.Authn.GetUser(f.ctx, f.Admin, all[0])
	f.must(err)
	if len(u.Groups) != 0 {
		t.Errorf("still in %v", u.Groups)
	}
	alice, _ := f.User(t, "alice", allow("iam:UpdateGroup", "*"))
	if _, err := f.Authn.CreateGroup(f.ctx, f.Admin, "h"); err != nil {
		t.Fatal(err)
	}
	for what, req := range map[string]authn.SetGroupRequest{"members": {Members: []string{"m1"}}, "policies": {Policies: []string{"one"}}} {
		req.Name = "h"
		if _, _, err := f.Authn.SetGroup(f.ctx, alice, req); !errs.Is(err, errs.Denied) {
			t.Errorf("%s without the permission: %v", what, err)
		}
	}
}

func TestNamesByID(t *testing.T) {
	f := start(t, coretest.Config{})
	f.User(t, "bob", "")
	id := caller.EntityID(coretest.Home, "bob")
	got, err := f.Authn.EntityNames(f.ctx, coretest.Home, id, "none", caller.EntityID(coretest.Home, authn.Admin))
	f.must(err)
	if !maps.Equal(got, map[string]string{id: "bob", caller.EntityID(coretest.Home, authn.Admin): authn.Admin}) {
		t.Errorf("got %v", got)
	}
	if got, err := f.Authn.EntityNames(f.ctx, coretest.Other, id); err != nil || len(got) != 0 {
		t.Errorf("in another account: %v, %v", got, err)
	}
}
