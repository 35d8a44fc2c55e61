package vault

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"countersign/internal/core/coretest"
)

// FuzzPath holds that a path that is taken has one spelling: what the engine sees
// is what was sent, without a segment that another reader would take away.
func FuzzPath(f *testing.F) {
	for _, s := range []string{"secret/data/a", "secret/data/a%2fb", "secret//a", "a/./b", "a/%2e%2e/b", "%00", "a%zz", "ü/é", "a/b/", "%c3%28", "a%5cb", "..", "a%0a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, sent string) {
		path, err := plainPath(sent)
		if err != nil {
			return
		}
		segments := strings.Split(path, "/")
		if strings.Count(path, "/") != strings.Count(sent, "/") {
			t.Errorf("%q has other segments as %q", sent, path)
		}
		for i, seg := range segments {
			if seg == "." || seg == ".." || seg == "" && i < len(segments)-1 {
				t.Errorf("%q has segment %q", sent, seg)
			}
		}
	})
}

// FuzzRequest sends a stranger's bytes to the whole front: it answers with JSON or
// nothing, never with a failure of the server.
func FuzzRequest(f *testing.F) {
	s := newServer(f, coretest.Config{})
	s.want(f, 204, "POST", "sys/mounts/transit", `{"type":"transit"}`)
	for _, kind := range []string{"approle", "cert", "jwt", "kubernetes", "userpass"} {
		s.enable(f, kind)
	}
	f.Add("POST", "auth/approle/role/r", `{"token_bound_cidrs":"::ffff:10.0.0.0/104","token_ttl":"1h","secret_id_num_uses":1e9,"bind_secret_id":"f"}`)
	f.Add("POST", "auth/approle/role/r/secret-id", `{"metadata":"{\"a\":\"b\"}","cidr_list":["1.2.3.4"],"ttl":-1,"num_uses":0}`)
	f.Add("POST", "auth/approle/login", `{"role_id":"r","secret_id":"s"}`)
	f.Add("POST", "auth/jwt/role/r", `{"role_type":"jwt","user_claim":"/a/0","user_claim_json_pointer":true,"bound_claims":{"/a":[1,true,"x*"]},"bound_claims_type":"glob","expiration_leeway":-1,"claim_mappings":{"a":"b"}}`)
	f.Add("POST", "auth/jwt/config", `{"jwt_validation_pubkeys":"-----BEGIN PUBLIC KEY-----","bound_issuer":"x"}`)
	f.Add("POST", "auth/jwt/login", `{"role":"r","jwt":"e30.e30.AA"}`)
	f.Add("POST", "auth/kubernetes/role/r", `{"bound_service_account_names":"*","bound_service_account_namespaces":["a"],"audience":"x"}`)
	f.Add("POST", "auth/cert/certs/r", `{"certificate":"-----BEGIN CERTIFICATE-----","required_extensions":"hex:1.2.3:*"}`)
	f.Add("POST", "auth/userpass/login/a", `{"password":"x","totp":123456}`)
	f.Add("POST", "auth/userpass/users/a", `{"policies":["p"]}`)
	f.Add("POST", "transit/encrypt/k", `{"plaintext":"YQ==","batch_input":[{"plaintext":"YQ==","context":"YQ=="},{"plaintext":1}]}`)
	f.Add("POST", "transit/decrypt/k", `{"ciphertext":"vault:v1:YQ=="}`)
	f.Add("POST", "transit/verify/k/sha2-384", `{"input":"YQ==","signature":"vault:v1:YQ==","marshaling_algorithm":"jws","salt_length":"hash"}`)
	f.Add("POST", "transit/keys/k", `{"type":"hmac","key_size":64,"auto_rotate_period":"24h"}`)
	f.Add("POST", "transit/restore/k", `{"backup":"e30=","force":true}`)
	f.Add("GET", "transit/export/signing-key/k/v1?format=pem", ``)
	f.Add("POST", "sys/mounts/kv", `{"type":"kv","options":{"version":"2"}}`)
	f.Add("PATCH", "secret/data/a", `{"data":{"a":null},"options":{"cas":1}}`)
	f.Add("LIST", "secret/metadata/", ``)
	f.Add("GET", "secret/data/a?version=-1", ``)
	f.Add("POST", "sys/policy/p", `{"policy":"cGF0aA=="}`)
	f.Add("PUT", "secret/metadata/a", `{"custom_metadata":{"a":"b"},"max_versions":"x"}`)
	f.Add("POST", "auth/token/create", `{"policies":["a"],"ttl":"1h","meta":{"a":"b"},"period":-1}`)
	f.Add("POST", "auth/token/roles/r", `{"allowed_policies":"a,b","token_bound_cidrs":["::1/128"],"token_type":"batch"}`)
	f.Add("POST", "auth/token/renew", `{"token":"cvs.AAAA","increment":1e3}`)
	f.Add("POST", "sys/wrapping/unwrap", `{"token":"cvw.AAAA"}`)
	f.Add("POST", "sys/capabilities-self", `{"paths":["+/*","secret/data/"]}`)
	f.Add("PUT", "cubbyhole/a/b", `{"a":[{}]}`)
	f.Fuzz(func(t *testing.T, method, path, body string) {
		req, err := http.NewRequest(method, "http://localhost"+Base+strings.TrimPrefix(path, "/"), strings.NewReader(body))
		if err != nil {
			return
		}
		req.Header.Set("X-Vault-Token", s.root)
		req.RemoteAddr = "127.0.0.1:1"
		w := httptest.NewRecorder()
		s.ServeHTTP(w, req)
		if w.Code >= 500 && w.Code != http.StatusServiceUnavailable {
			t.Errorf("%s %q %q: %d %s", method, path, body, w.Code, w.Body)
		}
	})
}
