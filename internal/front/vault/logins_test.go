package vault

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"countersign/internal/caller"
	"countersign/internal/core/coretest"
)

// proves is who the token of a login is.
func (s *server) proves(t testing.TB, ans map[string]any) caller.Caller {
	t.Helper()
	token, _ := at(t, ans, "auth.client_token").(string)
	who, err := s.Tokens.Authenticate(t.Context(), token, time.Now(), netip.MustParseAddr("127.0.0.1"))
	if err != nil {
		t.Fatalf("the token proves nobody: %v", err)
	}
	return who
}

// enable mounts a login method.
func (s *server) enable(t testing.TB, kind string) {
	t.Helper()
	s.want(t, 204, "POST", "sys/auth/"+kind, `{"type":"`+kind+`"}`)
}

func quoted(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

func TestAppRoleOnTheWire(t *testing.T) {
	s := newServer(t, coretest.Config{})
	s.enable(t, "approle")
	s.want(t, 404, "LIST", "auth/approle/role", "")
	s.want(t, 404, "GET", "auth/approle/role/ci", "")
	s.want(t, 204, "POST", "auth/approle/role/ci", `{"policies":"dev,ops","secret_id_ttl":"10m","token_num_uses":10,"token_ttl":"20m","token_max_ttl":"30m","secret_id_num_uses":"40","unknown":1}`)
	got := s.want(t, 200, "GET", "auth/approle/role/ci", "")
	want := map[string]any{"bind_secret_id": true, "local_secret_ids": false, "queue": false, "secret_id_bound_cidrs": []any{}, "secret_id_num_uses": 40.0, "secret_id_ttl": 600.0,
		"token_bound_cidrs": []any{}, "token_explicit_max_ttl": 0.0, "token_max_ttl": 1800.0, "token_no_default_policy": false, "token_num_uses": 10.0, "token_period": 0.0,
		"token_policies": []any{"dev", "ops"}, "token_ttl": 1200.0, "token_type": "default"}
	if diff := cmp.Diff(want, got["data"]); diff != "" {
		t.Error(diff)
	}
	if list := s.want(t, 200, "GET", "auth/approle/role?list=true", ""); fmt.Sprint(at(t, list, "data.keys")) != "[ci]" {
		t.Error(list)
	}
	id := at(t, s.want(t, 200, "GET", "auth/approle/role/ci/role-id", ""), "data.role_id").(string)
	made := s.want(t, 200, "PUT", "auth/approle/role/ci/secret-id", `{"metadata":"{\"tag\":\"x\"}","cidr_list":"127.0.0.0/8"}`)
	sid, accessor := at(t, made, "data.secret_id").(string), at(t, made, "data.secret_id_accessor").(string)
	if at(t, made, "data.secret_id_ttl") != 600.0 || at(t, made, "data.secret_id_num_uses") != 40.0 {
		t.Error(made)
	}
	in := s.wantAs(t, "", 200, "POST", "auth/approle/login", `{"role_id":"`+id+`","secret_id":"`+sid+`"}`)
	again := s.wantAs(t, at(t, in, "auth.client_token").(string), 200, "POST", "auth/token/renew-self", "{}")
	if at(t, again, "auth.lease_duration") != 1200.0 {
		t.Errorf("renewed: %v", again)
	}
	auth := in["auth"].(map[string]any)
	for k, v := range map[string]any{"policies": []any{"default", "dev", "ops"}, "token_policies": []any{"default", "dev", "ops"}, "lease_duration": 1200.0, "renewable": true,
		"token_type": "service", "orphan": true, "num_uses": 10.0, "metadata": map[string]any{"role_name": "ci", "tag": "x"}, "entity_id": caller.EntityID(coretest.Home, "approle.ci"), "mfa_requirement": nil} {
		if diff := cmp.Diff(v, auth[k]); diff != "" {
			t.Errorf("%s: %s", k, diff)
		}
	}
	if in["data"] != nil || auth["client_token"] == "" || in["mount_type"] != "approle" {
		t.Error(in)
	}
	if who := s.proves(t, in); who.Name != "approle.ci" || !slices.Contains(who.Token.Granted, "dev") {
		t.Errorf("%+v", who)
	}
	for _, body := range []string{`{"role_id":"` + id + `","secret_id":"wrong"}`, `{"role_id":"wrong","secret_id":"` + sid + `"}`, `{"role_id":"` + id + `"}`} {
		if text := errorOf(t, s.wantAs(t, "", 400, "POST", "auth/approle/login", body)); text != "invalid role or secret ID" {
			t.Error(text)
		}
	}
	if text := errorOf(t, s.wantAs(t, "", 400, "POST", "auth/approle/login", `{}`)); !strings.Contains(text, "missing role_id") {
		t.Error(text)
	}
	looked := s.want(t, 200, "POST", "auth/approle/role/ci/secret-id-accessor/lookup", `{"secret_id_accessor":"`+accessor+`"}`)
	if at(t, looked, "data.secret_id_num_uses") != 39.0 || at(t, looked, "data.metadata.tag") != "x" || fmt.Sprint(at(t, looked, "data.cidr_list")) != "[127.0.0.0/8]" || fmt.Sprint(at(t, looked, "data.token_bound_cidrs")) != "[]" {
		t.Error(looked)
	}
	if diff := cmp.Diff(looked["data"], s.want(t, 200, "POST", "auth/approle/role/ci/secret-id/lookup", `{"secret_id":"`+sid+`"}`)["data"]); diff != "" {
		t.Error(diff)
	}
	s.want(t, 204, "POST", "auth/approle/role/ci/secret-id/lookup", `{"secret_id":"other"}`)
	s.want(t, 404, "POST", "auth/approle/role/ci/secret-id-accessor/lookup", `{"secret_id_accessor":"other"}`)
	if list := s.want(t, 200, "LIST", "auth/approle/role/ci/secret-id", ""); fmt.Sprint(at(t, list, "data.keys")) != "["+accessor+"]" {
		t.Error(list)
	}
	s.want(t, 204, "POST", "auth/approle/role/ci/secret-id/destroy", `{"secret_id":"`+sid+`"}`)
	s.wantAs(t, "", 400, "POST", "auth/approle/login", `{"role_id":"`+id+`","secret_id":"`+sid+`"}`)
	custom := s.want(t, 200, "POST", "auth/approle/role/ci/custom-secret-id", `{"secret_id":"pushed","num_uses":1,"ttl":60,"token_bound_cidrs":["127.0.0.1/32"],"metadata":{"a":"b"}}`)
	if at(t, custom, "data.secret_id") != "pushed" {
		t.Error(custom)
	}
	s.want(t, 400, "POST", "auth/approle/role/ci/custom-secret-id", `{}`)
	s.wantAs(t, "", 200, "POST", "auth/approle/login", `{"role_id":"`+id+`","secret_id":"pushed"}`)
	s.wantAs(t, "", 400, "POST", "auth/approle/login", `{"role_id":"`+id+`","secret_id":"pushed"}`)
	s.want(t, 204, "POST", "auth/approle/role/ci/role-id", `{"role_id":"chosen"}`)
	s.want(t, 200, "POST", "auth/approle/tidy/secret-id", "")
	s.want(t, 204, "DELETE", "auth/approle/role/ci", "")
	s.want(t, 404, "GET", "auth/approle/role/ci/role-id", "")
}

// TestAppRoleSettings goes over the endpoints of single settings.
func TestAppRoleSettings(t *testing.T) {
	s := newServer(t, coretest.Config{})
	s.enable(t, "approle")
	s.want(t, 204, "POST", "auth/approle/role/ci", "")
	for _, x := range []struct {
		path, field string
		set         string
		want, reset any
	}{
		{"policies", "token_policies", `"a,b"`, []any{"a", "b"}, []any{}},
		{"secret-id-num-uses", "secret_id_num_uses", `5`, 5.0, 0.0},
		{"secret-id-ttl", "secret_id_ttl", `"1h"`, 3600.0, 0.0},
		{"token-ttl", "token_ttl", `60`, 60.0, 0.0},
		{"token-max-ttl", "token_max_ttl", `"2m"`, 120.0, 0.0},
		{"token-num-uses", "token_num_uses", `"7"`, 7.0, 0.0},
		{"bind-secret-id", "bind_secret_id", `true`, true, true},
		{"secret-id-bound-cidrs", "secret_id_bound_cidrs", `["10.0.0.0/8"]`, []any{"10.0.0.0/8"}, []any{}},
		{"token-bound-cidrs", "token_bound_cidrs", `"10.0.0.1"`, []any{"10.0.0.1"}, []any{}},
		{"period", "token_period", `300`, 300.0, 0.0},
	} {
		at_ := "auth/approle/role/ci/" + x.path
		s.want(t, 400, "POST", at_, `{"other":1}`)
		s.want(t, 204, "POST", at_, `{"`+x.field+`":`+x.set+`}`)
		if got := at(t, s.want(t, 200, "GET", at_, ""), "data."+x.field); !cmp.Equal(got, x.want) {
			t.Errorf("%s: %v", x.path, got)
		}
		s.want(t, 204, "DELETE", at_, "")
		if got := at(t, s.want(t, 200, "GET", at_, ""), "data."+x.field); !cmp.Equal(got, x.reset) {
			t.Errorf("%s after: %v", x.path, got)
		}
		s.want(t, 404, "POST", "auth/approle/role/absent/"+x.path, `{"`+x.field+`":`+x.set+`}`)
		s.want(t, 404, "GET", "auth/approle/role/absent/"+x.path, "")
	}
	s.want(t, 204, "POST", "auth/approle/role/ci/period", `{"period":"1m"}`) // by its old name
	if got := at(t, s.want(t, 200, "GET", "auth/approle/role/ci", ""), "data.token_period"); got != 60.0 {
		t.Error(got)
	}
	s.want(t, 400, "POST", "auth/approle/role/ci", `{"token_ttl":"soon"}`)
	s.want(t, 400, "POST", "auth/approle/role/ci", `{"token_num_uses":99999999999}`)
}

func TestUserpassOnTheWire(t *testing.T) {
	s := newServer(t, coretest.Config{})
	s.enable(t, "userpass")
	s.want(t, 204, "POST", "auth/userpass/users/ann", `{"password":"tall giraffes drink slowly","policies":"dev","ttl":"1h"}`)
	s.want(t, 400, "POST", "auth/userpass/users/bob", `{"password_hash":"$2a$10$x"}`)
	s.want(t, 400, "POST", "auth/userpass/users/bob", `{"password":"short"}`)
	s.want(t, 404, "GET", "auth/userpass/users/bob", "")
	if got := s.want(t, 200, "GET", "auth/userpass/users/ann", ""); fmt.Sprint(at(t, got, "data.token_policies")) != "[dev]" || at(t, got, "data.token_ttl") != 3600.0 {
		t.Error(got)
	}
	if list := s.want(t, 200, "LIST", "auth/userpass/users", ""); fmt.Sprint(at(t, list, "data.keys")) != "[ann]" {
		t.Error(list)
	}
	in := s.wantAs(t, "", 200, "POST", "auth/userpass/login/ann", `{"password":"tall giraffes drink slowly"}`)
	if who := s.proves(t, in); who.Name != "ann" || who.Kind != caller.User || at(t, in, "auth.metadata.username") != "ann" || at(t, in, "auth.lease_duration") != 3600.0 {
		t.Errorf("%+v, %v", who, in)
	}
	for _, u := range []string{"ann", "nobody", "a,b+c"} {
		if text := errorOf(t, s.wantAs(t, "", 400, "POST", "auth/userpass/login/"+u, `{"password":"a guess"}`)); text != "invalid username or password" {
			t.Error(text)
		}
	}
	s.want(t, 204, "POST", "auth/userpass/users/ann/policies", `{"token_policies":["ops"]}`)
	s.want(t, 400, "POST", "auth/userpass/users/ann/policies", `{}`)
	s.want(t, 204, "POST", "auth/userpass/users/ann/password", `{"password":"another long password"}`)
	s.want(t, 400, "POST", "auth/userpass/users/ann/password", `{}`)
	in = s.wantAs(t, "", 200, "PUT", "auth/userpass/login/ann", `{"password":"another long password"}`)
	if fmt.Sprint(at(t, in, "auth.policies")) != "[default ops]" {
		t.Error(in)
	}
	s.want(t, 204, "DELETE", "auth/userpass/users/ann", "")
	s.wantAs(t, "", 400, "POST", "auth/userpass/login/ann", `{"password":"another long password"}`)
	for header, code := range map[string]string{"": "", "totp:123456": "123456", "my_method:passcode=123456": "123456", "totp:(123456)": "123456", "totp": ""} {
		if got := mfaCode(header); got != code {
			t.Errorf("%q: %q", header, got)
		}
	}
}

func TestTokensOfOthersOnTheWire(t *testing.T) {
	s := newServer(t, coretest.Config{})
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	public := quoted(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
	sign := func(claims map[string]any) string {
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, nil)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := json.Marshal(claims)
		obj, err := signer.Sign(b)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := obj.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	now := time.Now()
	s.enable(t, "jwt")
	s.want(t, 404, "GET", "auth/jwt/config", "")
	s.want(t, 400, "POST", "auth/jwt/config", `{}`)
	s.want(t, 204, "POST", "auth/jwt/config", `{"jwt_validation_pubkeys":[`+public+`],"bound_issuer":"me","default_role":"ci"}`)
	if got := s.want(t, 200, "GET", "auth/jwt/config", ""); at(t, got, "data.bound_issuer") != "me" || at(t, got, "data.oidc_client_secret") != nil {
		t.Error(got)
	}
	s.want(t, 204, "POST", "auth/jwt/role/ci", `{"role_type":"jwt","user_claim":"sub","bound_audiences":"aud-1","bound_claims":{"project":["a","b"],"n":1},"claim_mappings":{"project":"project"},"clock_skew_leeway":-1,"policies":["dev"]}`)
	if got := s.want(t, 200, "GET", "auth/jwt/role/ci", ""); fmt.Sprint(at(t, got, "data.bound_claims")) != "map[n:1 project:[a b]]" || at(t, got, "data.clock_skew_leeway") != -1.0 {
		t.Error(got)
	}
	claims := map[string]any{"iss": "me", "sub": "someone", "aud": "aud-1", "project": "b", "n": 1, "iat": now.Unix(), "exp": now.Add(time.Minute).Unix()}
	in := s.wantAs(t, "", 200, "POST", "auth/jwt/login", `{"jwt":`+quoted(sign(claims))+`}`)
	if who := s.proves(t, in); who.Name != "jwt.someone" || at(t, in, "auth.metadata.project") != "b" || at(t, in, "auth.metadata.role") != "ci" {
		t.Errorf("%+v, %v", who, in)
	}
	claims["project"] = "c"
	s.wantAs(t, "", 400, "POST", "auth/jwt/login", `{"jwt":`+quoted(sign(claims))+`,"role":"ci"}`)
	s.want(t, 400, "POST", "auth/jwt/role/bad", `{"role_type":"jwt","user_claim":"sub","bound_claims":"x"}`)
	s.wantAs(t, "", 400, "POST", "auth/jwt/oidc/auth_url", `{"redirect_uri":"http://localhost:8250/oidc/callback"}`) // no client is configured
	s.wantAs(t, "", 400, "GET", "auth/jwt/oidc/callback?state=x&code=y", "")

	s.enable(t, "kubernetes")
	s.want(t, 204, "POST", "auth/kubernetes/config", `{"pem_keys":`+public+`}`)
	s.want(t, 204, "POST", "auth/kubernetes/role/web", `{"bound_service_account_names":"web","bound_service_account_namespaces":["app"],"ttl":"5m"}`)
	pod := map[string]any{"iss": "x", "sub": "system:serviceaccount:app:web", "exp": now.Add(time.Minute).Unix(),
		"kubernetes.io": map[string]any{"namespace": "app", "serviceaccount": map[string]any{"name": "web", "uid": "u-1"}}}
	in = s.wantAs(t, "", 200, "POST", "auth/kubernetes/login", `{"role":"web","jwt":`+quoted(sign(pod))+`}`)
	if at(t, in, "auth.metadata.service_account_name") != "web" || at(t, in, "auth.lease_duration") != 300.0 {
		t.Error(in)
	}
	if text := errorOf(t, s.wantAs(t, "", 403, "POST", "auth/kubernetes/login", `{"role":"other","jwt":`+quoted(sign(pod))+`}`)); text != "permission denied" {
		t.Error(text)
	}
	s.wantAs(t, "", 400, "POST", "auth/kubernetes/login", `{"jwt":"x"}`)
	s.want(t, 204, "DELETE", "auth/kubernetes/role/web", "")
	s.want(t, 404, "LIST", "auth/kubernetes/role", "")
}

func TestCertificatesOnTheWire(t *testing.T) {
	s := newServer(t, coretest.Config{})
	s.enable(t, "cert")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(5), Subject: pkix.Name{CommonName: "web"}, NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	text := quoted(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	s.want(t, 204, "POST", "auth/cert/certs/web", `{"certificate":`+text+`,"allowed_common_names":"w*","policies":"dev","display_name":"web"}`)
	s.want(t, 400, "POST", "auth/cert/certs/bad", `{"certificate":"x"}`)
	if got := s.want(t, 200, "GET", "auth/cert/certs/web", ""); fmt.Sprint(at(t, got, "data.allowed_common_names")) != "[w*]" {
		t.Error(got)
	}
	enter := func(body string, peer ...*x509.Certificate) *httptest.ResponseRecorder {
		req := httptest.NewRequest("POST", Base+"auth/cert/login", strings.NewReader(body))
		req.RemoteAddr = "127.0.0.1:9999"
		req.TLS = &tls.ConnectionState{PeerCertificates: peer}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, req)
		return w
	}
	for _, body := range []string{"", `{"name":"web"}`} {
		w := enter(body, cert)
		var in map[string]any
		if w.Code != http.StatusOK || json.Unmarshal(w.Body.Bytes(), &in) != nil {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		if who := s.proves(t, in); who.Name != "cert.web" || at(t, in, "auth.metadata.serial_number") != "5" || at(t, in, "auth.metadata.cert_name") != "web" {
			t.Errorf("%+v, %v", who, in)
		}
	}
	if w := enter(`{"name":"other"}`, cert); w.Code != 400 || !strings.Contains(w.Body.String(), "invalid certificate or no client certificate supplied") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := enter(""); w.Code != 400 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	s.wantAs(t, "", 400, "POST", "auth/cert/login", "")
	s.want(t, 404, "LIST", "auth/cert/crls", "")
	s.want(t, 400, "POST", "auth/cert/crls/main", `{"url":"https://example.com/crl"}`)
	s.want(t, 404, "GET", "auth/cert/crls/main", "")
	s.want(t, 204, "DELETE", "auth/cert/crls/main", "")
}
