package native

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/pquerna/otp/totp"

	"countersign/internal/core/coretest"
)

const passphrase = "tall giraffes drink slowly"

// good sends a request that must succeed.
func (s *server) good(t testing.TB, token, method, path, body string) map[string]any {
	t.Helper()
	w := s.do(t, token, method, path, body)
	if w.Code != 200 {
		t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
	}
	return object(t, w)
}

// join makes a user with a password.
func (s *server) join(t testing.TB, n string) {
	t.Helper()
	s.want(t, "POST", "/users", `{"name":"`+n+`"}`)
	inv := s.want(t, "POST", "/users/"+n+"/invitation", "")
	s.good(t, "", "POST", "/login/invitation", `{"user":"`+n+`","invitation":"`+inv["invitation"].(string)+`","password":"`+passphrase+`"}`)
}

// signInCalls covers the rows whose requests hold what others answered.
func (s *server) signInCalls(t *testing.T, d doc, covered map[string]bool) {
	call := func(token, method, path, body string) map[string]any {
		t.Helper()
		out := s.good(t, token, method, path, body)
		bare, _, _ := strings.Cut(path, "?")
		s.fits(t, d, method, bare, out, covered)
		return out
	}
	call(s.admin, "POST", "/users", `{"name":"sue"}`)
	inv := call(s.admin, "POST", "/users/sue/invitation", `{"reset":true}`)["invitation"].(string)
	call("", "POST", "/login/invitation", `{"user":"sue","invitation":"`+inv+`","password":"`+passphrase+`"}`)
	tk := call("", "POST", "/login", `{"user":"sue","password":"`+passphrase+`"}`)
	tk = call("", "POST", "/login/refresh", `{"refresh_token":"`+tk["refresh_token"].(string)+`"}`)
	me := tk["access_token"].(string)
	call(me, "GET", "/sessions", "")
	call(me, "PUT", "/password", `{"old":"`+passphrase+`","new":"another long one"}`)
	secret := call(me, "POST", "/totp", "")["secret"].(string)
	code, err := totp.GenerateCode(secret, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	call(s.admin, "PUT", "/sign-in/settings", `{"mfa_required":true}`)
	call(s.admin, "GET", "/sign-in/settings", "")
	if w := s.do(t, me, "GET", "/whoami", ""); w.Code != 403 || failed(t, w).Code != "mfa-required" {
		t.Errorf("without a second factor: %d %s", w.Code, w.Body)
	}
	codes := call(me, "POST", "/totp/confirm", `{"code":"`+code+`"}`)["recovery_codes"].([]any)
	s.emergencyCalls(me, call)
	call(me, "DELETE", "/totp", `{"code":"`+codes[0].(string)+`"}`)
	call(me, "DELETE", "/sessions", "")
	call(me, "POST", "/logout", "")
	if w := s.do(t, me, "GET", "/whoami", ""); w.Code != 401 {
		t.Errorf("after logging out: %d %s", w.Code, w.Body)
	}
	call(s.admin, "PUT", "/sign-in/settings", `{"mfa_required":false}`)
	s.identityCalls(t, d, call)
}

// emergencyCalls breaks the glass in sue's session, which has shown a second
// factor, and has somebody else close it.
func (s *server) emergencyCalls(me string, call func(token, method, path, body string) map[string]any) {
	call(s.admin, "POST", "/groups", `{"name":"fire"}`)
	call(s.admin, "PUT", "/groups/fire/members/sue", "")
	call(s.admin, "PUT", "/policies/AdministratorAccess/attachments", `{"user":"sue"}`)
	call(s.admin, "POST", "/protection", `{"set":{"name":"fire","match":["burning"],"approvals":[{"count":1}],"break_glass":"fire"}}`)
	id := call(me, "POST", "/break-glass", `{"reason":"the house is on fire","minutes":5}`)["id"].(string)
	call(me, "POST", "/secret/patch?name=burning", `{"set":{"k":"v"}}`)
	call(s.admin, "GET", "/break-glass?all=true", "")
	call(s.admin, "GET", "/break-glass/"+id, "")
	call(s.admin, "POST", "/break-glass/"+id+"/close", `{"comment":"fine"}`)
}

// identityCalls signs in at an issuer that answers as if everybody had.
func (s *server) identityCalls(t *testing.T, d doc, call func(token, method, path, body string) map[string]any) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	nonce := ""
	var is *httptest.Server
	is = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/keys":
			_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &key.PublicKey, KeyID: "k"}}})
		case "/token":
			signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: key, KeyID: "k"}}, nil)
			if err != nil {
				t.Error(err)
				return
			}
			claims, _ := json.Marshal(map[string]any{"iss": is.URL, "aud": "c", "sub": "sub", "nonce": nonce, "exp": time.Now().Add(time.Minute).Unix()})
			j, _ := signer.Sign(claims)
			token, _ := j.CompactSerialize()
			_ = json.NewEncoder(w).Encode(map[string]string{"access_token": "a", "token_type": "Bearer", "id_token": token})
		default:
			_ = json.NewEncoder(w).Encode(map[string]string{"issuer": is.URL, "authorization_endpoint": is.URL + "/a", "token_endpoint": is.URL + "/token", "jwks_uri": is.URL + "/keys"})
		}
	}))
	t.Cleanup(is.Close)
	call(s.admin, "PUT", "/identity-provider", `{"issuer":"`+is.URL+`","client_id":"c","client_secret":"x","mfa":["mfa"],"domains":[],"claims":{}}`)
	call(s.admin, "GET", "/identity-provider", "")
	call(s.admin, "PUT", "/users/sue/identity", `{"subject":"sub"}`)
	verifier := strings.Repeat("v", 43)
	sum := sha256.Sum256([]byte(verifier))
	begun := call("", "POST", "/login/oidc", `{"redirect_uri":"http://127.0.0.1:1/callback","code_challenge":"`+base64.RawURLEncoding.EncodeToString(sum[:])+`"}`)
	u, err := url.Parse(begun["authorize_url"].(string))
	if err != nil {
		t.Fatal(err)
	}
	nonce = u.Query().Get("nonce")
	me := call("", "POST", "/login/oidc/finish", `{"redirect_uri":"http://127.0.0.1:1/callback","code":"x","state":"`+begun["state"].(string)+`","code_verifier":"`+verifier+`"}`)
	if me["user"] != "sue" {
		t.Errorf("signed in as %v", me["user"])
	}
	call(s.admin, "DELETE", "/users/sue/identity", "")
	call(s.admin, "DELETE", "/identity-provider", "")
}

func TestSessionWorksLikeAKey(t *testing.T) {
	s := newServer(t, coretest.Config{})
	s.join(t, "ann")
	s.want(t, "PUT", "/policies/p", `{"document":{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"secretsmanager:*","Resource":"*"}]}}`)
	s.want(t, "PUT", "/policies/p/attachments", `{"user":"ann"}`)
	me := s.good(t, "", "POST", "/login", `{"user":"ann","password":"`+passphrase+`","account":"`+coretest.Home+`"}`)["access_token"].(string)
	s.good(t, me, "POST", "/secret", `{"name":"a","value":"v"}`)
	if v := s.good(t, me, "GET", "/secret/value?name=a", ""); v["value"] != "v" {
		t.Errorf("got %v", v)
	}
	if w := s.do(t, me, "GET", "/users", ""); w.Code != 403 {
		t.Errorf("what is not allowed: %d", w.Code)
	}
	who := s.good(t, me, "GET", "/whoami", "")
	if who["name"] != "ann" || who["proof"] != "session" {
		t.Errorf("got %v", who)
	}
	s.want(t, "PATCH", "/users/ann", `{"disabled":true}`)
	if w := s.do(t, me, "GET", "/secret/value?name=a", ""); w.Code != 401 {
		t.Errorf("disabled: %d", w.Code)
	}
}

func TestOpenRows(t *testing.T) {
	s := newServer(t, coretest.Config{})
	for _, r := range rows() {
		if !r.open {
			continue
		}
		// What does not reach the core is recorded as nobody's.
		for _, body := range []string{"", "{", `{"nonsense":1}`, `[]`} {
			n := len(s.Records(t))
			w := s.do(t, s.admin, r.method, r.path, body)
			if w.Code != 400 {
				t.Errorf("%s %q: %d %s", r.path, body, w.Code, w.Body)
			}
			if got := s.Records(t)[n:]; len(got) != 1 || got[0].Principal.Name != "" || got[0].Operation != r.name {
				t.Errorf("%s: recorded as %+v", r.path, got)
			}
		}
		n := len(s.Records(t))
		if w := s.do(t, "", r.method, r.path, "{}"); w.Code < 400 || w.Code >= 500 {
			t.Errorf("%s: %d %s", r.path, w.Code, w.Body)
		}
		if got := s.Records(t)[n:]; len(got) != 1 || got[0].Operation != r.name {
			t.Errorf("%s: recorded as %+v", r.path, got)
		}
	}
}

// FuzzSignIn sends any body to the rows that ask for no caller: it never
// succeeds, never fails the server, and no password in it comes back.
func FuzzSignIn(f *testing.F) {
	s := newServer(f, coretest.Config{})
	s.join(f, "ann")
	paths := []string{}
	for _, r := range rows() {
		if r.open {
			paths = append(paths, r.path)
		}
	}
	f.Add(0, []byte(`{"user":"ann","password":"canary-canary"}`))
	f.Add(0, []byte(`{"user":"ann","password":"canary-canary","code":"123456","device":"csd_x","account":"111111111111"}`))
	f.Add(1, []byte(`{"refresh_token":"csr_"}`))
	f.Add(2, []byte(`{"user":"ann","invitation":"csi_x","password":"canary-canary"}`))
	f.Add(3, []byte(`{"redirect_uri":"http://127.0.0.1:1/callback","code_challenge":"AAAA"}`))
	f.Add(4, []byte(`{"redirect_uri":"http://127.0.0.1:1/callback","state":"cso_","code":"canary-canary","code_verifier":"canary-canary"}`))
	f.Fuzz(func(t *testing.T, n int, body []byte) {
		req := httptest.NewRequest("POST", Base+paths[uint(n)%uint(len(paths))], strings.NewReader(string(body)))
		req.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, req)
		if w.Code < 400 || w.Code >= 500 || !json.Valid(w.Body.Bytes()) {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		if strings.Contains(w.Body.String(), "canary-canary") {
			t.Fatalf("the answer has the password: %s", w.Body)
		}
	})
}
