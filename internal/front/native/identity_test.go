package native

import (
	"testing"

	"countersign/internal/core/change"
	"countersign/internal/core/coretest"
	"countersign/internal/core/protect"
)

// An SSH key whose fingerprint stands in a URL as it is.
const (
	sshPublic      = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHySgB33t8lM2v4Bi1Cqs8H3TgRYL8LFkavdL6zcFckH"
	sshFingerprint = "SHA256:yPX2qxIjOSkJZcdtmxSBF9yUXEXhcBGZkp2jYEsSUco"
)

func TestSSHKeys(t *testing.T) {
	s := newServer(t, coretest.Config{})
	s.want(t, "POST", "/users", `{"name":"ann"}`)
	for body, code := range map[string]int{
		`{"key":"` + sshPublic + `\nssh-ed25519 x"}`: 400, `{"key":""}`: 400, `{"label":"l"}`: 400, `{"key":"` + sshPublic + `","label":"\u0000"}`: 400,
	} {
		if w := s.do(t, s.admin, "POST", "/users/ann/ssh-keys", body); w.Code != code || failed(t, w).Message == "" {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
	}
	out := s.want(t, "POST", "/users/ann/ssh-keys", `{"key":"`+sshPublic+` ann@laptop","label":"laptop"}`)
	if out["fingerprint"] != sshFingerprint || out["key"] != sshPublic || out["type"] != "ssh-ed25519" || out["status"] != "applied" {
		t.Errorf("registered %v", out)
	}
	if w := s.do(t, s.admin, "POST", "/users/admin/ssh-keys", `{"key":"`+sshPublic+`"}`); w.Code != 409 || failed(t, w).Kind != "exists" {
		t.Errorf("for somebody else: %d %s", w.Code, w.Body)
	}
	items := s.want(t, "GET", "/users/ann/ssh-keys", "")["items"].([]any)
	if len(items) != 1 || items[0].(map[string]any)["label"] != "laptop" {
		t.Errorf("listed %v", items)
	}
	s.want(t, "DELETE", "/users/ann/ssh-keys?fingerprint="+sshFingerprint, "")
	if w := s.do(t, s.admin, "DELETE", "/users/ann/ssh-keys?fingerprint="+sshFingerprint, ""); w.Code != 404 {
		t.Errorf("again: %d %s", w.Code, w.Body)
	}
}

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
		{"POST", "/users/ann/ssh-keys", `{"key":"` + sshPublic + `"}`},
	} {
		out := s.want(t, c[0], c[1], c[2])
		if id, _ := out["change"].(string); out["status"] != "pending" || len(id) != 26 || out["created"] != nil && c[0] == "POST" {
			t.Errorf("%s %s: %v", c[0], c[1], out)
		}
	}
}
