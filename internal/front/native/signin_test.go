package native

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

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
	call(me, "DELETE", "/totp", `{"code":"`+codes[0].(string)+`"}`)
	call(me, "DELETE", "/sessions", "")
	call(me, "POST", "/logout", "")
	if w := s.do(t, me, "GET", "/whoami", ""); w.Code != 401 {
		t.Errorf("after logging out: %d %s", w.Code, w.Body)
	}
	call(s.admin, "PUT", "/sign-in/settings", `{"mfa_required":false}`)
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
