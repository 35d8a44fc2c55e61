package vault

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"countersign/internal/core/authn"
	"countersign/internal/core/change"
	"countersign/internal/core/coretest"
	"countersign/internal/core/protect"
)

// foxes is "the quick brown fox".
const foxes = "dGhlIHF1aWNrIGJyb3duIGZveA=="

// newTransit is a server with the engine where the command line enables it.
func newTransit(t testing.TB) *server {
	t.Helper()
	s := newServer(t, coretest.Config{})
	s.want(t, 204, "POST", "sys/mounts/transit", `{"type":"transit"}`)
	return s
}

func text(t testing.TB, v any, path string) string {
	t.Helper()
	s, ok := at(t, v, path).(string)
	if !ok {
		t.Fatalf("%s of %v is no text", path, v)
	}
	return s
}

func TestTransitKeys(t *testing.T) {
	s := newTransit(t)
	ans := s.want(t, 200, "POST", "transit/keys/k", ``)
	data := at(t, ans, "data").(map[string]any)
	created := at(t, data, "keys.1")
	delete(data, "keys")
	want := map[string]any{"allow_plaintext_backup": false, "auto_rotate_period": 0.0, "deletion_allowed": false, "derived": false, "exportable": false,
		"imported_key": false, "latest_version": 1.0, "min_available_version": 0.0, "min_decryption_version": 1.0, "min_encryption_version": 0.0,
		"name": "k", "supports_decryption": true, "supports_derivation": true, "supports_encryption": true, "supports_signing": false, "type": "aes256-gcm96"}
	if diff := cmp.Diff(want, data); diff != "" {
		t.Error(diff)
	}
	if n, ok := created.(float64); !ok || n < 1_000_000_000 || at(t, ans, "mount_type") != "transit" {
		t.Errorf("created %v", created)
	}
	ans = s.want(t, 200, "POST", "transit/keys/k", `{"type":"ed25519"}`)
	if diff := cmp.Diff([]any{"key k already existed"}, ans["warnings"]); diff != "" || at(t, ans, "data.type") != "aes256-gcm96" {
		t.Errorf("made twice: %v", ans)
	}
	ans = s.want(t, 200, "PUT", "transit/keys/c", `{"type":"aes128-gcm96","derived":true,"convergent_encryption":"true","exportable":true,"auto_rotate_period":"48h"}`)
	if at(t, ans, "data.kdf") != "hkdf_sha256" || at(t, ans, "data.convergent_encryption") != true || at(t, ans, "data.convergent_encryption_version") != -1.0 || at(t, ans, "data.auto_rotate_period") != 172800.0 {
		t.Errorf("convergent: %v", ans)
	}
	ans = s.want(t, 200, "POST", "transit/keys/e", `{"type":"ecdsa-p384"}`)
	if at(t, ans, "data.keys.1.name") != "P-384" || !strings.HasPrefix(text(t, ans, "data.keys.1.public_key"), "-----BEGIN PUBLIC KEY-----\n") {
		t.Errorf("ecdsa: %v", ans)
	}
	if ans = s.want(t, 200, "GET", "transit/keys/e", ``); at(t, ans, "data.supports_signing") != true {
		t.Errorf("read: %v", ans)
	}
	if ans = s.want(t, 404, "GET", "transit/keys/none", ``); len(at(t, ans, "errors").([]any)) != 0 {
		t.Errorf("a key that is not there: %v", ans)
	}
	for _, r := range []struct{ method, path string }{{"LIST", "transit/keys"}, {"GET", "transit/keys?list=true"}, {"GET", "transit/keys/?list=true"}} {
		if diff := cmp.Diff([]any{"c", "e", "k"}, at(t, s.want(t, 200, r.method, r.path, ``), "data.keys")); diff != "" {
			t.Error(diff)
		}
	}
	if ans = s.want(t, 200, "POST", "transit/keys/k/rotate", ``); at(t, ans, "data.latest_version") != 2.0 {
		t.Errorf("rotated: %v", ans)
	}
	ans = s.want(t, 200, "POST", "transit/keys/k/config", `{"min_decryption_version":0,"min_encryption_version":"2","deletion_allowed":true}`)
	if ans["warnings"] == nil || at(t, ans, "data.min_encryption_version") != 2.0 || at(t, ans, "data.deletion_allowed") != true {
		t.Errorf("configured: %v", ans)
	}
	s.want(t, 200, "POST", "transit/keys/k/config", `{"min_decryption_version":2}`)
	if ans = s.want(t, 200, "POST", "transit/keys/k/trim", `{"min_available_version":2}`); at(t, ans, "data.min_available_version") != 2.0 {
		t.Errorf("trimmed: %v", ans)
	}
	s.want(t, 204, "DELETE", "transit/keys/k", ``)
	s.want(t, 404, "GET", "transit/keys/k", ``)
}

func TestTransitRefusals(t *testing.T) {
	s := newTransit(t)
	s.want(t, 200, "POST", "transit/keys/k", ``)
	s.want(t, 200, "POST", "transit/keys/rsa", `{"type":"rsa-2048"}`)
	for _, x := range []struct{ method, path, body, want string }{
		{"POST", "transit/keys/x", `{"type":"des"}`, `type: unknown key type "des"`},
		{"POST", "transit/keys/x", `{"convergent_encryption":true}`, "convergent encryption requires derivation to be enabled"},
		{"POST", "transit/keys/x", `{"derived":"maybe"}`, "derived: it is not true or false"},
		{"POST", "transit/keys/x", `{"auto_rotate_period":"1m"}`, "auto rotate period must be 0 to disable or at least an hour"},
		{"POST", "transit/keys/x%20y", ``, "name: the name of a key is"},
		{"DELETE", "transit/keys/k", ``, "deletion is not allowed for this key"},
		{"DELETE", "transit/keys/none", ``, "could not delete key; not found"},
		{"POST", "transit/keys/none/config", `{}`, "no existing key"},
		{"POST", "transit/keys/k/config", `{"min_decryption_version":-1}`, "min_decryption_version: the number of a version is not negative"},
		{"POST", "transit/keys/k/trim", `{}`, "missing min_available_version"},
		{"GET", "transit/export/encryption-key/k", ``, "private key material is not exportable"},
		{"GET", "transit/export/all/k", ``, "invalid export type"},
		{"GET", "transit/export/public-key/rsa/x", ``, "invalid key version"},
		{"GET", "transit/backup/k", ``, "exporting is disallowed on the policy"},
		{"POST", "transit/restore", `{}`, "'backup' must be supplied"},
		{"POST", "transit/restore/x", `{"backup":"e30="}`, "the backup cannot be read"},
		{"POST", "transit/encrypt/k", `{}`, "missing plaintext to encrypt"},
		{"POST", "transit/encrypt/k", `{"plaintext":"%"}`, "failed to base64-decode plaintext"},
		{"POST", "transit/encrypt/k", `{"plaintext":"YQ==","context":"%"}`, "failed to base64-decode context"},
		{"POST", "transit/encrypt/k", `{"plaintext":"YQ==","associated_data":"%"}`, "failed to base64-decode associated_data"},
		{"POST", "transit/encrypt/k", `{"plaintext":"YQ==","nonce":"YQ=="}`, "provided nonce not allowed for this key"},
		{"POST", "transit/encrypt/k", `{"plaintext":"YQ==","key_version":2}`, "requested version for encryption is higher than the latest key version"},
		{"POST", "transit/encrypt/k", `{"plaintext":{}}`, "plaintext: it is not a text"},
		{"POST", "transit/encrypt/k", `{"batch_input":[]}`, "missing batch input to process"},
		{"POST", "transit/encrypt/k", `{"batch_input":"x"}`, "batch_input: it is not a list of objects"},
		{"POST", "transit/encrypt/k", `{"batch_input":[1]}`, "batch_input: [0] expected a map"},
		{"POST", "transit/encrypt/k", `{"batch_input":[{}]}`, "missing plaintext to encrypt"},
		{"POST", "transit/encrypt/k", `{"batch_input":[{"plaintext":"","context":"YQ=="},{"plaintext":""}]}`, "context should be set either in all the request blocks or in none"},
		{"POST", "transit/encrypt/k", `{"batch_input":[` + strings.TrimSuffix(strings.Repeat(`{},`, 1001), ",") + `]}`, "a batch has at most 1000 items"},
		{"POST", "transit/encrypt/k", `{"plaintext":"` + base64.StdEncoding.EncodeToString(make([]byte, 1<<20+1)) + `"}`, "1048576 bytes"},
		{"POST", "transit/encrypt/none", `{"plaintext":"YQ==","type":"rsa-2048"}`, "encryption key not found"},
		{"POST", "transit/decrypt/k", `{}`, "missing ciphertext to decrypt"},
		{"POST", "transit/decrypt/k", `{"ciphertext":"x"}`, "invalid ciphertext: no prefix"},
		{"POST", "transit/decrypt/k", `{"ciphertext":"vault:v1:abcd"}`, "invalid ciphertext length"},
		{"POST", "transit/decrypt/k", `{"ciphertext":"vault:v9:YQ=="}`, "invalid ciphertext: version is too new"},
		{"POST", "transit/decrypt/none", `{"ciphertext":"vault:v1:YQ=="}`, "encryption key not found"},
		{"POST", "transit/datakey/plaintext/k", `{"bits":7}`, "invalid bit length"},
		{"POST", "transit/datakey/plaintext/k", `{"bits":0}`, "invalid bit length"},
		{"POST", "transit/sign/none", `{"input":"YQ=="}`, "signing key not found"},
		{"POST", "transit/sign/k", `{"input":"YQ=="}`, "key type aes256-gcm96 does not support signing"},
		{"POST", "transit/sign/rsa/md5", `{"input":"YQ=="}`, "invalid hash algorithm"},
		{"POST", "transit/sign/rsa", `{"input":"%"}`, "failed to base64-decode input"},
		{"POST", "transit/sign/rsa", `{"input":"YQ==","marshaling_algorithm":"asn2"}`, "invalid marshaling type"},
		{"POST", "transit/sign/rsa", `{"input":"YQ==","salt_length":"bar"}`, "salt length neither 'auto', 'hash', nor an int"},
		{"POST", "transit/sign/rsa", `{"input":"YQ==","salt_length":"-2"}`, "salt length is invalid: -2"},
		{"POST", "transit/verify/rsa", `{"input":"YQ=="}`, "neither a 'signature' nor an 'hmac' were given to verify"},
		{"POST", "transit/verify/rsa", `{"input":"YQ==","signature":"x","hmac":"y"}`, "provide one of 'signature' or 'hmac'"},
		{"POST", "transit/verify/rsa", `{"input":"YQ==","signature":"x"}`, "invalid signature: no prefix"},
		{"POST", "transit/verify/rsa", `{"input":"YQ==","hmac":"x"}`, "invalid HMAC to verify: no prefix"},
		{"POST", "transit/verify/none", `{"input":"YQ==","signature":"vault:v1:YQ=="}`, "signature verification key not found"},
		{"POST", "transit/verify/rsa", `{"batch_input":[{"input":"YQ==","hmac":"x"},{"input":"YQ==","signature":"x"}]}`, "must all provide 'signature' or all provide 'hmac'"},
		{"POST", "transit/verify/rsa", `{"batch_input":[{"input":"YQ==","hmac":"x"},{"input":"YQ=="}]}`, "some elements of batch_input are missing 'hmac'"},
		{"POST", "transit/hmac/k", `{}`, "missing input for HMAC"},
		{"POST", "transit/hmac/k/foobar", `{"input":"YQ=="}`, "unsupported algorithm"},
		{"POST", "transit/random/0", ``, "'bytes' cannot be less than 1"},
		{"POST", "transit/random", `{"bytes":1000000}`, "'bytes' should be less than 131072"},
		{"POST", "transit/random/moon", ``, "unsupported entropy source"},
		{"POST", "transit/random", `{"format":"base92"}`, "unsupported encoding format"},
		{"POST", "transit/hash", `{}`, "input missing"},
		{"POST", "transit/hash/foobar", `{"input":"YQ=="}`, "unsupported algorithm"},
		{"POST", "transit/keys/x/import", `{}`, "one of ciphertext and public_key is required"},
		{"POST", "transit/keys/x/import_version", `{"public_key":"x"}`, "no key found with this name"},
		{"GET", "transit/config/keys", ``, "create on encrypt/NAME"},
	} {
		ans := s.want(t, 400, x.method, x.path, x.body)
		if got := errorOf(t, ans); !strings.Contains(got, x.want) {
			body := x.body[:min(len(x.body), 80)]
			t.Errorf("%s %s %s: %q, want %q", x.method, x.path, body, got, x.want)
		}
	}
	for path, code := range map[string]int{"transit/keys/x/sub": 404, "transit/nothing": 404, "transit/backup/none": 404, "transit/export/encryption-key/none": 404} {
		s.want(t, code, "GET", path, ``)
	}
	s.want(t, 405, "POST", "transit/wrapping_key", ``)
}

func TestTransitEncrypt(t *testing.T) {
	s := newTransit(t)
	ans := s.want(t, 200, "POST", "transit/encrypt/k", `{"plaintext":"`+foxes+`"}`) // which makes the key
	if at(t, ans, "data.key_version") != 1.0 || !strings.HasPrefix(text(t, ans, "data.ciphertext"), "vault:v1:") || len(at(t, ans, "data").(map[string]any)) != 2 {
		t.Errorf("encrypted: %v", ans)
	}
	first := text(t, ans, "data.ciphertext")
	ans = s.want(t, 200, "PUT", "transit/decrypt/k", `{"ciphertext":"`+first+`"}`)
	if diff := cmp.Diff(map[string]any{"plaintext": foxes}, at(t, ans, "data")); diff != "" {
		t.Error(diff)
	}
	ans = s.want(t, 200, "POST", "transit/encrypt/k", `{"plaintext":""}`)
	if ans = s.want(t, 200, "POST", "transit/decrypt/k", `{"ciphertext":"`+text(t, ans, "data.ciphertext")+`"}`); at(t, ans, "data.plaintext") != "" {
		t.Errorf("nothing: %v", ans)
	}
	s.want(t, 200, "POST", "transit/keys/k/rotate", ``)
	ans = s.want(t, 200, "POST", "transit/rewrap/k", `{"ciphertext":"`+first+`"}`)
	if at(t, ans, "data.key_version") != 2.0 || !strings.HasPrefix(text(t, ans, "data.ciphertext"), "vault:v2:") {
		t.Errorf("rewrapped: %v", ans)
	}
	ans = s.want(t, 200, "POST", "transit/encrypt/d", `{"plaintext":"`+foxes+`","context":"YWJj","convergent_encryption":true,"type":"chacha20-poly1305"}`)
	again := s.want(t, 200, "POST", "transit/encrypt/d", `{"plaintext":"`+foxes+`","context":"YWJj"}`)
	if text(t, ans, "data.ciphertext") != text(t, again, "data.ciphertext") {
		t.Errorf("convergent: %v and %v", ans, again)
	}
	if ans = s.want(t, 200, "GET", "transit/keys/d", ``); at(t, ans, "data.derived") != true || at(t, ans, "data.type") != "chacha20-poly1305" {
		t.Errorf("made for it: %v", ans)
	}
	if msg := errorOf(t, s.want(t, 400, "POST", "transit/encrypt/d", `{"plaintext":"`+foxes+`"}`)); !strings.HasPrefix(msg, "missing 'context' for key derivation;") {
		t.Errorf("without a context: %q", msg)
	}
	ans = s.want(t, 200, "POST", "transit/datakey/plaintext/k", `{"bits":512}`)
	key := text(t, ans, "data.plaintext")
	if ans = s.want(t, 200, "POST", "transit/decrypt/k", `{"ciphertext":"`+text(t, ans, "data.ciphertext")+`"}`); text(t, ans, "data.plaintext") != key || len(key) != 88 {
		t.Errorf("data key: %v", ans)
	}
	if ans = s.want(t, 200, "POST", "transit/datakey/wrapped/k", ``); len(at(t, ans, "data").(map[string]any)) != 2 {
		t.Errorf("wrapped: %v", ans)
	}
}

func TestTransitBatch(t *testing.T) {
	s := newTransit(t)
	s.want(t, 200, "POST", "transit/keys/k", ``)
	ans := s.want(t, 200, "POST", "transit/encrypt/k", `{"batch_input":[{"plaintext":"`+foxes+`","reference":"b"},{"plaintext":"YQ=="}],"plaintext":"ignored"}`)
	res := at(t, ans, "data.batch_results").([]any)
	if len(res) != 2 || at(t, res[0], "reference") != "b" || at(t, res[1], "reference") != "" || at(t, res[1], "key_version") != 1.0 {
		t.Fatalf("encrypted: %v", ans)
	}
	good := text(t, res[0], "ciphertext")
	body := `{"batch_input":[{"ciphertext":"` + good + `"},{"ciphertext":"vault:v1:YWJj"},{}]%s}`
	for extra, code := range map[string]int{"": 400, `,"partial_failure_response_code":202`: 202, `,"partial_failure_response_code":9999`: 400} {
		ans = s.want(t, code, "POST", "transit/decrypt/k", fmt.Sprintf(body, extra))
		want := []any{map[string]any{"plaintext": foxes, "reference": ""},
			map[string]any{"plaintext": "", "reference": "", "error": "invalid ciphertext length"},
			map[string]any{"plaintext": "", "reference": "", "error": "missing ciphertext to decrypt"}}
		if diff := cmp.Diff(want, at(t, ans, "data.batch_results")); diff != "" {
			t.Error(diff)
		}
	}
	ans = s.want(t, 400, "POST", "transit/decrypt/k", `{"batch_input":[{"ciphertext":"x"}],"partial_failure_response_code":202}`)
	if diff := cmp.Diff([]any{map[string]any{"plaintext": "", "reference": "", "error": "invalid ciphertext: no prefix"}}, at(t, ans, "data.batch_results")); diff != "" {
		t.Errorf("all fail: %s", diff)
	}
	ans = s.want(t, 200, "POST", "transit/rewrap/k", `{"batch_input":[{"ciphertext":"`+good+`"},{"ciphertext":"x"}]}`)
	if res = at(t, ans, "data.batch_results").([]any); at(t, res[0], "key_version") != 1.0 || at(t, res[1], "error") != "invalid ciphertext: no prefix" {
		t.Errorf("rewrapped: %v", ans)
	}
	ans = s.want(t, 200, "POST", "transit/hmac/k", `{"batch_input":[{"input":"`+foxes+`","reference":"one"},{"input":":;.?"},{}]}`)
	res = at(t, ans, "data.batch_results").([]any)
	code := text(t, res[0], "hmac")
	if at(t, res[1], "error") != "failed to base64-decode input" || at(t, res[2], "error") != "missing input for HMAC" {
		t.Errorf("codes: %v", ans)
	}
	ans = s.want(t, 200, "POST", "transit/verify/k", `{"batch_input":[{"input":"`+foxes+`","hmac":"`+code+`"},{"input":"YQ==","hmac":"`+code+`"}]}`)
	if diff := cmp.Diff([]any{map[string]any{"valid": true, "reference": ""}, map[string]any{"valid": false, "reference": ""}}, at(t, ans, "data.batch_results")); diff != "" {
		t.Error(diff)
	}
	s.want(t, 200, "POST", "transit/keys/e", `{"type":"ed25519","derived":true}`)
	ans = s.want(t, 200, "POST", "transit/sign/e", `{"batch_input":[{"input":"`+foxes+`","context":"YWJj","reference":"r"},{"input":"`+foxes+`"},{"context":"YWJj"}]}`)
	res = at(t, ans, "data.batch_results").([]any)
	if at(t, res[0], "reference") != "r" || at(t, res[0], "publickey") == nil || at(t, res[1], "key_version") != 0.0 || at(t, res[2], "error") != "missing input" {
		t.Errorf("signed: %v", ans)
	}
	ans = s.want(t, 200, "POST", "transit/verify/e", `{"batch_input":[{"input":"`+foxes+`","context":"YWJj","signature":"`+text(t, res[0], "signature")+`"},{"input":"`+foxes+`","context":"YWJk","signature":"`+text(t, res[0], "signature")+`"}]}`)
	if diff := cmp.Diff([]any{map[string]any{"valid": true, "reference": ""}, map[string]any{"valid": false, "reference": ""}}, at(t, ans, "data.batch_results")); diff != "" {
		t.Error(diff)
	}
}

func TestTransitSign(t *testing.T) {
	s := newTransit(t)
	for typ, bodies := range map[string][]string{
		"ed25519":    {`{}`},
		"ecdsa-p256": {`{}`, `{"marshaling_algorithm":"jws"}`, `{"hash_algorithm":"sha3-512"}`, `{"algorithm":"sha2-384"}`},
		"rsa-2048":   {`{}`, `{"signature_algorithm":"pkcs1v15"}`, `{"salt_length":"hash","hash_algorithm":"sha2-512"}`, `{"salt_length":"20","marshaling_algorithm":"jws"}`},
	} {
		s.want(t, 200, "POST", "transit/keys/"+typ, `{"type":"`+typ+`"}`)
		for _, body := range bodies {
			in := strings.Replace(body, "{", `{"input":"`+foxes+`",`, 1)
			in = strings.Replace(in, ",}", "}", 1)
			ans := s.want(t, 200, "POST", "transit/sign/"+typ, in)
			sig := text(t, ans, "data.signature")
			if !strings.HasPrefix(sig, "vault:v1:") || at(t, ans, "data.key_version") != 1.0 || strings.Contains(body, "jws") && strings.ContainsAny(sig, "+/=") {
				t.Errorf("%s %s: %v", typ, body, ans)
			}
			in = strings.Replace(in, "{", `{"signature":"`+sig+`",`, 1)
			if ans = s.want(t, 200, "POST", "transit/verify/"+typ, in); at(t, ans, "data.valid") != true {
				t.Errorf("%s %s: %v", typ, body, ans)
			}
			in = strings.Replace(in, foxes, "YQ==", 1)
			if ans = s.want(t, 200, "POST", "transit/verify/"+typ, in); at(t, ans, "data.valid") != false {
				t.Errorf("%s %s of something else: %v", typ, body, ans)
			}
		}
	}
	ans := s.want(t, 200, "POST", "transit/sign/ecdsa-p256/sha2-512", `{"input":"`+foxes+`"}`)
	if ans = s.want(t, 200, "POST", "transit/verify/ecdsa-p256/sha2-512", `{"input":"`+foxes+`","signature":"`+text(t, ans, "data.signature")+`"}`); at(t, ans, "data.valid") != true {
		t.Errorf("with the algorithm in the path: %v", ans)
	}
	s.want(t, 200, "POST", "transit/keys/h", `{"type":"hmac","key_size":64}`)
	ans = s.want(t, 200, "POST", "transit/hmac/h/sha3-256", `{"input":"`+foxes+`"}`)
	if ans = s.want(t, 200, "POST", "transit/verify/h/sha3-256", `{"input":"`+foxes+`","hmac":"`+text(t, ans, "data.hmac")+`"}`); at(t, ans, "data.valid") != true {
		t.Errorf("a code: %v", ans)
	}
}

func TestTransitRandomAndHash(t *testing.T) {
	s := newTransit(t)
	for path, n := range map[string]int{"transit/random": 32, "transit/random/7": 7, "transit/random/platform": 32, "transit/random/all/9": 9} {
		raw, err := base64.StdEncoding.DecodeString(text(t, s.want(t, 200, "POST", path, ``), "data.random_bytes"))
		if err != nil || len(raw) != n {
			t.Errorf("%s: %d bytes %v", path, len(raw), err)
		}
	}
	if ans := s.want(t, 200, "POST", "transit/random/seal", `{"bytes":"4","format":"hex"}`); len(text(t, ans, "data.random_bytes")) != 8 || ans["warnings"] == nil {
		t.Errorf("hex: %v", ans)
	}
	for path, x := range map[string]struct{ body, want string }{
		"transit/hash":          {`{"input":"` + foxes + `"}`, "9ecb36561341d18eb65484e833efea61edc74b84cf5e6ae1b81c63533e25fc8f"},
		"transit/hash/sha2-224": {`{"input":"` + foxes + `","algorithm":"sha2-512"}`, "ea074a96cabc5a61f8298a2c470f019074642631a49e1c5e2f560865"},
		"transit/hash/sha3-512": {`{"input":"` + foxes + `","format":"base64"}`, "98rFrYMEIqVAizamCmBiBoe+GAdlo+KJW8O9vYV8nggkbIMGTU42EvDLkn8+rSCEE6uYYkv3sGF68PA/YggJdg=="},
	} {
		if got := text(t, s.want(t, 200, "POST", path, x.body), "data.sum"); got != x.want {
			t.Errorf("%s: %s", path, got)
		}
	}
}

func TestTransitExportAndBackup(t *testing.T) {
	s := newTransit(t)
	s.want(t, 200, "POST", "transit/keys/k", `{"exportable":true,"allow_plaintext_backup":true}`)
	sealed := text(t, s.want(t, 200, "POST", "transit/encrypt/k", `{"plaintext":"`+foxes+`"}`), "data.ciphertext")
	s.want(t, 200, "POST", "transit/keys/k/rotate", ``)
	ans := s.want(t, 200, "GET", "transit/export/encryption-key/k", ``)
	if keys := at(t, ans, "data.keys").(map[string]any); len(keys) != 2 || at(t, ans, "data.name") != "k" || at(t, ans, "data.type") != "aes256-gcm96" {
		t.Errorf("exported %v", ans)
	}
	for path, version := range map[string]string{"latest": "2", "1": "1", "v1": "1"} {
		if keys := at(t, s.want(t, 200, "GET", "transit/export/hmac-key/k/"+path, ``), "data.keys").(map[string]any); len(keys) != 1 || keys[version] == nil {
			t.Errorf("%s: %v", path, keys)
		}
	}
	backup := text(t, s.want(t, 200, "GET", "transit/backup/k", ``), "data.backup")
	s.want(t, 204, "POST", "transit/restore/copy", `{"backup":"`+backup+`"}`)
	if ans := s.want(t, 200, "POST", "transit/decrypt/copy", `{"ciphertext":"`+sealed+`"}`); at(t, ans, "data.plaintext") != foxes {
		t.Errorf("by the copy: %v", ans)
	}
	if msg := errorOf(t, s.want(t, 400, "POST", "transit/restore", `{"backup":"`+backup+`"}`)); !strings.Contains(msg, `key "k" already exists`) {
		t.Errorf("over a key: %q", msg)
	}
	s.want(t, 204, "POST", "transit/restore", `{"backup":"`+backup+`","force":true}`)
	if ans := s.want(t, 200, "GET", "transit/keys/k", ``); at(t, ans, "data.restore_info.version") != 2.0 {
		t.Errorf("restored: %v", ans)
	}
	if msg := errorOf(t, s.want(t, 400, "POST", "transit/restore", `{"backup":"`+backup+`","name":"t2/k"}`)); msg != "key names cannot be paths" {
		t.Errorf("below another mount: %q", msg)
	}
	ans = s.want(t, 200, "GET", "transit/wrapping_key", ``)
	if !strings.HasPrefix(text(t, ans, "data.public_key"), "-----BEGIN PUBLIC KEY-----") {
		t.Errorf("wrapping key: %v", ans)
	}
}

// TestTransitMounts: a key below one mount is none of another, and of another
// account neither.
func TestTransitMounts(t *testing.T) {
	s := newTransit(t)
	s.want(t, 204, "POST", "sys/mounts/teams/pay", `{"type":"transit"}`)
	sealed := text(t, s.want(t, 200, "POST", "transit/encrypt/k", `{"plaintext":"`+foxes+`"}`), "data.ciphertext")
	if msg := errorOf(t, s.want(t, 400, "POST", "teams/pay/decrypt/k", `{"ciphertext":"`+sealed+`"}`)); msg != "encryption key not found" {
		t.Errorf("below another mount: %q", msg)
	}
	s.want(t, 200, "POST", "teams/pay/keys/k", ``)
	if msg := errorOf(t, s.want(t, 400, "POST", "teams/pay/decrypt/k", `{"ciphertext":"`+sealed+`"}`)); msg != "cipher: message authentication failed" {
		t.Errorf("by the key of another mount: %q", msg)
	}
	s.want(t, 200, "POST", "teams/pay/keys/own", ``)
	if diff := cmp.Diff([]any{"k", "own"}, at(t, s.want(t, 200, "LIST", "teams/pay/keys", ``), "data.keys")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]any{"k"}, at(t, s.want(t, 200, "LIST", "transit/keys", ``), "data.keys")); diff != "" {
		t.Error(diff)
	}
	if msg := errorOf(t, s.want(t, 400, "DELETE", "sys/mounts/teams/pay", ``)); !strings.Contains(msg, "there is something below teams/pay/") {
		t.Errorf("disabled with keys below it: %q", msg)
	}
	s.want(t, 200, "POST", "sys/remount", `{"from":"teams/pay","to":"moved"}`)
	s.want(t, 200, "GET", "moved/keys/own", ``)
}

// TestTransitReview: a write that a rule holds is refused in the name of its change.
func TestTransitReview(t *testing.T) {
	s := newTransit(t)
	rule := &protect.Rule{Name: "keys", Match: []string{"transit-key:*"}, Approvals: []protect.Approval{{Count: 1}}}
	if _, err := s.Changes.PutRules(t.Context(), s.Admin, change.RuleChange{Set: rule}, "", change.Options{}); err != nil {
		t.Fatal(err)
	}
	for _, r := range []struct{ path, body string }{{"transit/keys/k", ``}, {"transit/encrypt/k", `{"plaintext":"YQ=="}`}} {
		if msg := errorOf(t, s.want(t, 403, "POST", r.path, r.body)); !strings.Contains(msg, "awaits approval") {
			t.Errorf("%s: %q", r.path, msg)
		}
	}
	s.want(t, 404, "GET", "transit/keys/k", ``)
}

// TestTransitInHCL: a policy of Vault's dialect says who may use a key for what.
func TestTransitInHCL(t *testing.T) {
	s := newTransit(t)
	s.want(t, 200, "POST", "transit/keys/a", ``)
	s.want(t, 200, "POST", "transit/keys/b", ``)
	body, err := json.Marshal(map[string]string{"policy": `
		path "transit/encrypt/*" { capabilities = ["update"] }
		path "transit/encrypt/app-*" { capabilities = ["create", "update"] }
		path "transit/keys/svc-*" { capabilities = ["update"] }
		path "transit/decrypt/a" { capabilities = ["update"] }
		path "transit/keys" { capabilities = ["list"] }
		path "transit/keys/a" { capabilities = ["read"] }`})
	if err != nil {
		t.Fatal(err)
	}
	s.want(t, 204, "POST", "sys/policies/acl/app", string(body))
	_, key := s.User(t, "app", "")
	if _, err := s.Authn.Attach(t.Context(), s.Admin, authn.Attachment{Policy: "app", User: "app"}); err != nil {
		t.Fatal(err)
	}
	token := tokenOf(key)
	sealed := text(t, s.wantAs(t, token, 200, "POST", "transit/encrypt/a", `{"plaintext":"YQ=="}`), "data.ciphertext")
	s.wantAs(t, token, 200, "POST", "transit/decrypt/a", `{"ciphertext":"`+sealed+`"}`)
	s.wantAs(t, token, 403, "POST", "transit/decrypt/b", `{"ciphertext":"`+sealed+`"}`)
	s.wantAs(t, token, 403, "POST", "transit/rewrap/a", `{"ciphertext":"`+sealed+`"}`)
	s.wantAs(t, token, 403, "POST", "transit/keys/c", ``)
	if msg := errorOf(t, s.wantAs(t, token, 400, "POST", "transit/encrypt/none", `{"plaintext":"YQ=="}`)); msg != "encryption key not found" {
		t.Errorf("a key that it may not make: %q", msg)
	}
	s.wantAs(t, token, 200, "POST", "transit/encrypt/app-new", `{"plaintext":"YQ=="}`) // which it may make there
	s.wantAs(t, token, 200, "POST", "transit/encrypt/svc-new", `{"plaintext":"YQ=="}`) // or where keys are made
	if diff := cmp.Diff([]any{"a"}, at(t, s.wantAs(t, token, 200, "LIST", "transit/keys", ``), "data.keys")); diff != "" {
		t.Errorf("listed: %s", diff)
	}
}

func BenchmarkTransitEncrypt(b *testing.B) {
	s := newServer(b, coretest.Config{Bolt: true})
	s.want(b, 204, "POST", "sys/mounts/transit", `{"type":"transit"}`)
	s.want(b, 200, "POST", "transit/keys/k", ``)
	body := `{"plaintext":"` + base64.StdEncoding.EncodeToString(make([]byte, 1024)) + `"}`
	w := &discard{h: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		req := httptest.NewRequest(http.MethodPost, Base+"transit/encrypt/k", strings.NewReader(body))
		req.RemoteAddr = "127.0.0.1:9999"
		req.Header.Set("X-Vault-Token", s.root)
		clear(w.h)
		s.ServeHTTP(w, req)
	}
}
