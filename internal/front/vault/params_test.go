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
		{403, "POST", "secret/destroy/x", `{"versions":[2],"versions":[1]}`},
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
