package vault

import (
	"testing"

	"countersign/internal/core/coretest"
)

// A parameter counts where policies see it, and nowhere else.
func TestParametersAreSeenByPolicies(t *testing.T) {
	s := newServer(t, coretest.Config{})
	s.want(t, 200, "POST", "secret/data/x", `{"data":{"a":"1"}}`)
	s.want(t, 200, "POST", "secret/data/x", `{"data":{"a":"2"}}`)
	token := s.withPolicy(t, "narrow", `
		path "auth/token/create" { capabilities = ["update"] denied_parameters = { "ttl" = [] } }
		path "secret/data/x" { capabilities = ["read"] denied_parameters = { "version" = ["1"] } }
		path "secret/subkeys/x" { capabilities = ["read"] required_parameters = ["version"] }
		path "secret/destroy/x" { capabilities = ["update"] denied_parameters = { "versions" = ["1"] } }`)
	for _, tt := range []struct {
		code               int
		method, path, body string
	}{
		{403, "POST", "auth/token/create", `{"ttl":"1h"}`},
		{200, "POST", "auth/token/create", ``},
		{403, "GET", "secret/data/x?version=1", ``},
		{200, "GET", "secret/data/x?version=2", ``},
		{403, "GET", "secret/data/x?version=2&version=1", ``},
		{403, "GET", "secret/subkeys/x", ``},
		{200, "GET", "secret/subkeys/x?version=1", ``},
		{403, "POST", "secret/destroy/x", `{"versions":[1]}`},
		{400, "POST", "secret/destroy/x", `{"versions":[2],"versions":[1]}`}, // nobody chooses between the two
		{400, "POST", "secret/destroy/x?versions=1", `{}`},
		{400, "POST", "secret/destroy/x?versions=1", `{"versions":null}`},
	} {
		s.wantAs(t, token, tt.code, tt.method, tt.path, tt.body)
	}
	made := s.wantAs(t, token, 200, "POST", "auth/token/create?ttl=1h", ``)
	if ttl := at(t, made, "auth.lease_duration").(float64); ttl <= 3600 {
		t.Errorf("a parameter of a write was taken from the query: it lives %v seconds", ttl)
	}
}

// A slash at the end of a path makes no other path of it for policies, where it
// makes none for what is done.
func TestTrailingSlashIsNoOtherPath(t *testing.T) {
	s := newServer(t, coretest.Config{})
	s.want(t, 204, "POST", "sys/mounts/keep", `{"type":"kv"}`)
	s.want(t, 204, "POST", "sys/policies/acl/keep", `{"policy":"path \"x\" { capabilities = [\"read\"] }"}`)
	s.want(t, 200, "POST", "identity/entity/name/keep", `{}`)
	token := s.withPolicy(t, "narrow", `
		path "sys/mounts/*" { capabilities = ["read", "update", "delete"] }
		path "sys/mounts/keep" { capabilities = ["read"] }
		path "sys/policies/*" { capabilities = ["read", "update", "delete"] }
		path "sys/policies/+/keep" { capabilities = ["read"] }
		path "identity/entity/name/*" { capabilities = ["read", "delete"] }
		path "identity/entity/name/keep" { capabilities = ["read"] }
		path "sys/policies/acl" { capabilities = ["list"] }`)
	for _, path := range []string{"sys/mounts/keep", "sys/policies/acl/keep", "identity/entity/name/keep"} {
		s.wantAs(t, token, 403, "DELETE", path, "")
		s.wantAs(t, token, 403, "DELETE", path+"/", "")
	}
	s.wantAs(t, token, 200, "GET", "sys/policies/acl/keep/", "")
	s.wantAs(t, token, 200, "LIST", "sys/policies/acl/", "")
	s.wantAs(t, token, 200, "LIST", "sys/policies/acl", "")
}
