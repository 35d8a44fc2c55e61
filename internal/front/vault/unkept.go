package vault

import (
	"bytes"
	"encoding/json"
	"slices"

	"countersign/internal/core/mount"
)

// unkept is a setting of the mounts and login methods of Vault or OpenBao that is
// not kept here. Members that nobody knows are ignored, as in Vault; these are known, and a
// client that sets one would believe that it restricts something, or that it helps.
type unkept struct {
	name string
	why  string
	// harmless are values, as JSON without spaces, that say what is so anyway,
	// beside those that say nothing.
	harmless []string
}

// refusedMount are those of mounts when they are made.
var refusedMount = []unkept{
	{name: "local", why: "nothing is replicated: what is mounted is of this server and its store"},
	{name: "seal_wrap", why: "everything in the store is encrypted once, under the server's keys"},
	{name: "external_entropy_access", why: "keys are made of this machine's random numbers"},
}

// refusedTuning are those that can be changed, too.
var refusedTuning = []unkept{
	{name: "plugin_version", why: "there are no plugins: engines and login methods are built in"},
	{name: "allowed_managed_keys", why: "there are no keys outside of the store"},
	{name: "delegated_auth_accessors", why: "no engine logs in for somebody else"},
	{name: "identity_token_key", why: "no engine asks others with tokens of the server", harmless: []string{`"default"`}},
	{name: "user_lockout_config", why: "wrong passwords are slowed down wherever they are given, those of signing in counted too"},
}

// refusedTerms are those of roles of every login method, and of tokens.
var refusedTerms = []unkept{
	{name: "token_strictly_bind_ip", why: "a token is not bound to the address of its login: give token_bound_cidrs"},
	{name: "alias_metadata", why: "aliases have no metadata beside what a login proves: give claim_mappings, or metadata to the entity"},
}

// refusedRole are those of roles, by the method.
var refusedRole = map[string][]unkept{
	mount.JWT: refusedJWTRole, mount.OIDC: refusedJWTRole,
	mount.Kubernetes: {
		{name: "bound_service_account_namespace_selector", why: "namespaces are asked for by name: bound_service_account_namespaces"},
	},
	mount.Cert: {
		{name: "ocsp_enabled", why: "nobody is asked whether a certificate was revoked: upload lists to crls"},
		{name: "allowed_organizations", why: "a certificate is asked for its names and its organizational units: allowed_organizational_units"},
	},
}

// refusedMethod are those of configurations.
var refusedMethod = map[string][]unkept{
	mount.JWT: refusedJWTMethod, mount.OIDC: refusedJWTMethod,
	mount.Kubernetes: {
		{name: "use_annotations_as_alias_metadata", why: "aliases have no metadata but the service account"},
	},
}

var refusedJWTRole = []unkept{
	{name: "verbose_oidc_logging", why: "tokens and claims are not logged; a debug log says which claim did not fit"},
	{name: "callback_mode", why: "the browser comes back to the client, whatever it is (client)", harmless: []string{`"client"`}},
	{name: "oauth2_metadata", why: "the issuer's tokens are not kept"},
}

var refusedJWTMethod = []unkept{
	{name: "jwks_pairs", why: "a mount has one key set: mount the method once for each issuer"},
	{name: "oidc_response_types", why: "the authorization code flow is the one that is spoken (code)", harmless: []string{`["code"]`, `"code"`}},
	{name: "provider_config", why: "nothing is fetched from an issuer in ways of its own: have it put groups and claims into its tokens"},
	{name: "unsupported_critical_cert_extensions", why: "a certificate with a critical extension that is not understood is not trusted"},
	{name: "override_allowed_server_names", why: "the certificate of an issuer has to be for the name in its address"},
}

func (u *unkept) says(v json.RawMessage) bool {
	var b bytes.Buffer
	if json.Compact(&b, v) != nil {
		return true
	}
	s := b.String()
	return !slices.Contains([]string{`null`, `""`, `"0"`, `"false"`, `false`, `0`, `[]`, `{}`, `"{}"`}, s) && !slices.Contains(u.harmless, s)
}

// unkept refuses what a body sets of settings that are not kept.
func (c *call) unkept(lists ...[]unkept) {
	for _, list := range lists {
		for i := range list {
			if v, ok := c.value(list[i].name); ok && list[i].says(v) {
				c.fail(list[i].name, "%s", list[i].why)
			}
		}
	}
}
