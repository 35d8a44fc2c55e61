package vault

import (
	"strings"
	"testing"

	"countersign/internal/core/coretest"
)

// TestSettingsThatAreNotKept holds that what a client may believe to restrict a
// login is refused with a reason where it would mean nothing.
func TestSettingsThatAreNotKept(t *testing.T) {
	s := newServer(t, coretest.Config{})
	bodies := map[string]string{ // that are taken
		"auth/jwt/role/r":             `"role_type":"jwt","user_claim":"sub","bound_audiences":"x"`,
		"auth/oidc/role/r":            `"user_claim":"sub","allowed_redirect_uris":"http://localhost:8250/oidc/callback"`,
		"auth/jwt/config":             `"jwks_url":"https://issuer.example/keys"`,
		"auth/kubernetes/role/r":      `"bound_service_account_names":"a","bound_service_account_namespaces":"b"`,
		"auth/kubernetes/config":      `"kubernetes_host":"https://cluster.example"`,
		"auth/approle/role/r":         `"token_ttl":60`,
		"auth/userpass/users/someone": `"password":"a long enough password 1"`,
		"auth/token/roles/r":          `"orphan":true`,
	}
	for _, m := range []string{"jwt", "oidc", "kubernetes", "approle", "userpass", "cert"} {
		s.enable(t, m)
	}
	for path, base := range bodies {
		s.want(t, 204, "POST", path, `{`+base+`}`)
	}
	for _, x := range []struct{ path, setting, bad string }{
		{"auth/jwt/role/r", "token_strictly_bind_ip", `true`},
		{"auth/jwt/role/r", "token_strictly_bind_ip", `"true"`},
		{"auth/jwt/role/r", "alias_metadata", `{"a":"b"}`},
		{"auth/jwt/role/r", "verbose_oidc_logging", `true`},
		{"auth/oidc/role/r", "callback_mode", `"device"`},
		{"auth/oidc/role/r", "oauth2_metadata", `["access_token"]`},
		{"auth/jwt/config", "jwks_pairs", `[ { "jwks_url" : "https://a" } ]`},
		{"auth/jwt/config", "oidc_response_types", `["code","id_token"]`},
		{"auth/jwt/config", "provider_config", `{"provider":"azure"}`},
		{"auth/jwt/config", "unsupported_critical_cert_extensions", `["1.2.3"]`},
		{"auth/jwt/config", "override_allowed_server_names", `["a"]`},
		{"auth/kubernetes/role/r", "bound_service_account_namespace_selector", `"{\"matchLabels\":{}}"`},
		{"auth/kubernetes/config", "use_annotations_as_alias_metadata", `true`},
		{"auth/cert/certs/r", "ocsp_enabled", `true`},
		{"auth/cert/certs/r", "allowed_organizations", `"Example"`},
		{"auth/approle/role/r", "token_strictly_bind_ip", `1`},
		{"auth/userpass/users/someone", "token_strictly_bind_ip", `true`},
		{"auth/token/roles/r", "token_strictly_bind_ip", `true`},
		{"auth/jwt/role/r", "max_age", `60`},
	} {
		base := bodies[x.path]
		if base != "" {
			base += ","
		}
		w := s.do(t, s.root, "POST", x.path, `{`+base+`"`+x.setting+`":`+x.bad+`}`)
		if w.Code != 400 || !strings.Contains(w.Body.String(), x.setting+": ") || len(w.Body.String()) < 60 {
			t.Errorf("%s %s=%s: %d %s", x.path, x.setting, x.bad, w.Code, w.Body)
		}
	}
	for _, x := range [][2]string{
		{"auth/jwt/role/r", `"token_strictly_bind_ip":false,"alias_metadata":{},"verbose_oidc_logging":"false","callback_mode":"client","oauth2_metadata":[],"max_age":0`},
		{"auth/jwt/config", `"jwks_pairs":[],"oidc_response_types":[ "code" ],"provider_config":{},"namespace_in_state":true,"unsupported_critical_cert_extensions":null,"override_allowed_server_names":""`},
		{"auth/kubernetes/role/r", `"bound_service_account_namespace_selector":""`},
	} {
		s.want(t, 204, "POST", x[0], `{`+bodies[x[0]]+`,`+x[1]+`}`)
	}
}

// TestMountSettingsThatAreNotKept is the same of mounts, of secrets and of logins,
// when they are made and when they are tuned; a refused one is not there.
func TestMountSettingsThatAreNotKept(t *testing.T) {
	s := newServer(t, coretest.Config{})
	// As the command sends it when nothing is said.
	s.want(t, 204, "POST", "sys/mounts/plain", `{"type":"kv","description":"","local":false,"seal_wrap":false,"external_entropy_access":false,
		"config":{"options":null,"default_lease_ttl":"","max_lease_ttl":"","force_no_cache":false,"plugin_version":"","identity_token_key":"default"},"options":null}`)
	s.want(t, 204, "POST", "sys/auth/approle", `{"type":"approle","local":false,"config":{"user_lockout_config":null}}`)
	refused := func(path, setting, body string) {
		t.Helper()
		w := s.do(t, s.root, "POST", path, body)
		if w.Code != 400 || !strings.Contains(w.Body.String(), setting+": ") || len(w.Body.String()) < 60 {
			t.Errorf("%s %s: %d %s", path, body, w.Code, w.Body)
		}
	}
	for _, setting := range []string{"local", "seal_wrap", "external_entropy_access"} {
		refused("sys/mounts/other", setting, `{"type":"kv","`+setting+`":true}`)
		refused("sys/auth/other", setting, `{"type":"approle","`+setting+`":"true"}`)
	}
	for setting, bad := range map[string]string{
		"plugin_version": `"v1.2.3"`, "allowed_managed_keys": `["k"]`, "delegated_auth_accessors": `["a"]`,
		"identity_token_key": `"mine"`, "user_lockout_config": `{"lockout_threshold":"5"}`,
	} {
		refused("sys/mounts/other", setting, `{"type":"kv","config":{"`+setting+`":`+bad+`}}`)
		refused("sys/mounts/plain/tune", setting, `{"description":"changed","`+setting+`":`+bad+`}`)
		refused("sys/auth/approle/tune", setting, `{"description":"changed","`+setting+`":`+bad+`}`)
	}
	for _, path := range []string{"sys/mounts/other", "sys/auth/other"} {
		s.want(t, 400, "GET", path, "")
	}
	if is := s.want(t, 200, "GET", "sys/mounts/plain", ""); is["description"] != "" {
		t.Errorf("a refused tuning changed it: %v", is)
	}
}
