package native

import (
	"testing"

	"countersign/internal/core/change"
	"countersign/internal/core/coretest"
	"countersign/internal/core/protect"
)

// TestIdentitiesThatWait holds that each write to identities answers with its
// change, and with the state of it where it waits.
func TestIdentitiesThatWait(t *testing.T) {
	s := newServer(t, coretest.Config{})
	for _, c := range [][3]string{
		{"POST", "/users", `{"name":"ann"}`},
		{"POST", "/groups", `{"name":"team"}`},
		{"PUT", "/policies/p", `{"document":{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}}`},
		{"PUT", "/groups/team/members/ann", ""},
		{"DELETE", "/groups/team/members/ann", ""},
	} {
		if out := s.want(t, c[0], c[1], c[2]); out["status"] != "applied" || out["change"] == nil {
			t.Errorf("%s %s: %v", c[0], c[1], out)
		}
	}
	if out := s.want(t, "GET", "/users/ann", ""); out["status"] != nil || out["change"] != nil {
		t.Errorf("a read tells of a change: %v", out)
	}
	_, err := s.Changes.PutRules(t.Context(), s.Admin, change.RuleChange{Set: &protect.Rule{Name: "people",
		Match: []string{"user:*", "group:*", "policy:*"}, Approvals: []protect.Approval{{Count: 1}}}}, "", change.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range [][3]string{
		{"POST", "/users", `{"name":"bob"}`},
		{"PATCH", "/users/ann", `{"disabled":true}`},
		{"DELETE", "/users/ann", ""},
		{"POST", "/groups", `{"name":"other"}`},
		{"DELETE", "/groups/team", ""},
		{"PUT", "/groups/team/members/ann", ""},
		{"DELETE", "/groups/team/members/ann", ""},
		{"PUT", "/policies/q", `{"document":{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}}`},
		{"DELETE", "/policies/p", ""},
		{"PUT", "/policies/p/attachments", `{"user":"ann"}`},
		{"DELETE", "/policies/p/attachments", `{"group":"team"}`},
	} {
		out := s.want(t, c[0], c[1], c[2])
		if id, _ := out["change"].(string); out["status"] != "pending" || len(id) != 26 || out["created"] != nil && c[0] == "POST" {
			t.Errorf("%s %s: %v", c[0], c[1], out)
		}
	}
}
