package login_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"countersign/internal/caller"
	"countersign/internal/core/audit"
	"countersign/internal/core/authn"
	"countersign/internal/core/login"
	"countersign/internal/core/mount"
	"countersign/internal/core/policy"
	"countersign/internal/errs"
)

// issuer is somebody who signs tokens, at a local TLS server.
type issuer struct {
	*httptest.Server
	mu      sync.Mutex
	keys    []jose.JSONWebKey // published
	signing jose.SigningKey
	fetches atomic.Int32
	broken  atomic.Bool
}

func newIssuer(t testing.TB) *issuer {
	i := &issuer{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
		json.NewEncoder(w).Encode(map[string]any{"issuer": i.URL, "jwks_uri": i.URL + "/jwks", "authorization_endpoint": i.URL + "/authorize",
			"token_endpoint": i.URL + "/token", "id_token_signing_alg_values_supported": []string{"RS256", "ES256"}})
	})
	mux.HandleFunc("GET /jwks", func(w http.ResponseWriter, r *http.Request) {
		i.fetches.Add(1)
		if i.broken.Load() {
			http.Error(w, "broken", http.StatusInternalServerError)
			return
		}
		i.mu.Lock()
		defer i.mu.Unlock()
		json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: i.keys})
	})
	i.Server = httptest.NewTLSServer(mux)
	t.Cleanup(i.Close)
	i.rotate(t, "key-1")
	return i
}

// rotate makes and publishes a new key, which signs from now on.
func (i *issuer) rotate(t testing.TB, kid string) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = append(i.keys, jose.JSONWebKey{Key: k.Public(), KeyID: kid, Algorithm: "ES256", Use: "sig"})
	i.signing = jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: k, KeyID: kid}}
}

func (i *issuer) ca() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.Certificate().Raw}))
}

func sign(t testing.TB, with jose.SigningKey, claims any) string {
	t.Helper()
	s, err := jose.NewSigner(with, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	obj, err := s.Sign(b)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := obj.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func (i *issuer) sign(t testing.TB, claims any) string {
	t.Helper()
	i.mu.Lock()
	with := i.signing
	i.mu.Unlock()
	return sign(t, with, claims)
}

// with is claims with others laid over them; nil takes one away.
func with(base, more map[string]any) map[string]any {
	out := map[string]any{}
	for k, v := range base {
		out[k] = v
	}
	for k, v := range more {
		if out[k] = v; v == nil {
			delete(out, k)
		}
	}
	return out
}

// github is a token of GitHub Actions, as its documentation has it.
func github(iss string, now time.Time) map[string]any {
	return map[string]any{"jti": "example-id", "sub": "repo:octo-org/octo-repo:environment:prod", "environment": "prod", "aud": "https://github.com/octo-org",
		"ref": "refs/heads/main", "sha": "example-sha", "repository": "octo-org/octo-repo", "repository_owner": "octo-org", "actor_id": "12",
		"repository_visibility": "private", "repository_id": "74", "repository_owner_id": "65", "run_id": "example-run-id", "run_number": "10", "run_attempt": "2",
		"runner_environment": "github-hosted", "actor": "octocat", "workflow": "example-workflow", "head_ref": "", "base_ref": "", "event_name": "workflow_dispatch",
		"ref_type": "branch", "job_workflow_ref": "octo-org/octo-automation/.github/workflows/oidc.yml@refs/heads/main",
		"iss": iss, "nbf": now.Add(-10 * time.Minute).Unix(), "exp": now.Add(5 * time.Minute).Unix(), "iat": now.Unix()}
}

// gitlab is one of GitLab CI.
func gitlab(iss string, now time.Time) map[string]any {
	return map[string]any{"namespace_id": "72", "namespace_path": "my-group", "project_id": "20", "project_path": "my-group/my-project", "user_id": "1",
		"user_login": "sample-user", "user_email": "sample-user@example.com", "user_identities": []any{map[string]any{"provider": "github", "extern_uid": "2435223452345"}},
		"pipeline_id": "574", "pipeline_source": "push", "job_id": "302", "ref": "feature-branch-1", "ref_type": "branch", "ref_protected": "true",
		"groups_direct": []any{"mygroup/mysubgroup"}, "environment": "test-environment2", "deployment_tier": "testing", "runner_id": 1,
		"jti": "235b3a54-b797-45c7-ae9a-f72d7bc6ef5b", "iss": iss, "aud": "https://vault.example.com", "iat": now.Unix(), "nbf": now.Unix() - 5,
		"exp": now.Add(time.Hour).Unix(), "sub": "project_path:my-group/my-project:ref_type:branch:ref:feature-branch-1"}
}

func raw(s string) json.RawMessage { return json.RawMessage(s) }

func (w *world) jwt(m *mount.Mount, role, jwt string) (login.Entered, error) {
	return w.Logins.LoginJWT(w.t.Context(), w.nobody(), m, login.JWTLogin{Role: role, JWT: jwt})
}

func publicPEM(t testing.TB, key crypto.PublicKey) string {
	t.Helper()
	b, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: b}))
}

func TestGitHubActions(t *testing.T) {
	w, i := newWorld(t), newIssuer(t)
	m := w.mount(mount.JWT, "jwt")
	w.done(w.Logins.PutMethod(t.Context(), w.Admin, m, login.Patch{"oidc_discovery_url": i.URL, "oidc_discovery_ca_pem": i.ca(), "bound_issuer": i.URL, "default_role": "Deploy"}))
	w.done(w.Logins.PutRole(t.Context(), w.Admin, m, "deploy", login.Patch{"role_type": "jwt", "user_claim": "repository", "bound_audiences": []string{"https://github.com/octo-org"},
		"bound_claims_type": "glob", "bound_claims": map[string]json.RawMessage{"sub": raw(`"repo:octo-org/*:environment:prod"`), "ref": raw(`["refs/heads/main","refs/tags/*"]`)},
		"claim_mappings": map[string]string{"actor": "actor", "/sha": "commit"}, "token_policies": []string{"deploy"}}))
	good := github(i.URL, time.Now())
	n := len(w.Records(t))
	for _, role := range []string{"deploy", "DEPLOY", ""} {
		_, err := w.jwt(m, role, i.sign(t, good))
		w.ok(err)
	}
	recs := w.since(n, policy.Login)
	if len(recs) != 3 || recs[0].Outcome != audit.OK || !strings.HasPrefix(recs[0].Principal.Name, "jwt.octo-org-octo-repo-") || recs[0].Resource != "jwt/deploy" || recs[0].Principal.Proof != string(caller.ProofJWT) {
		t.Errorf("%+v", recs)
	}
	if n := i.fetches.Load(); n != 1 {
		t.Errorf("%d fetches", n)
	}
	for name, x := range map[string]map[string]any{
		"another audience":  {"aud": "https://github.com/other"},
		"another branch":    {"ref": "refs/heads/dev"},
		"another place":     {"sub": "repo:octo-org/octo-repo:pull_request"},
		"a look-alike":      {"sub": "repo:evil/x:repo:octo-org/a:environment:prod:more"},
		"no branch":         {"ref": nil},
		"a branch in parts": {"ref": map[string]any{"a": "b"}},
		"nobody":            {"repository": nil},
		"somebody in parts": {"repository": []any{"a"}},
		"a mapped number":   {"actor": 7},
	} {
		_, err := w.jwt(m, "deploy", i.sign(t, with(good, x)))
		w.want(err, login.CodeRefused)
		if fmt.Sprint(err) != "the role does not take this token" {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := w.jwt(m, "absent", i.sign(t, good))
	if fmt.Sprint(err) != "the role does not take this token" {
		t.Errorf("a role that is not there: %v", err)
	}
	for name, x := range map[string]map[string]any{
		"another issuer": {"iss": "https://token.actions.githubusercontent.com"},
		"expired":        {"exp": time.Now().Add(-time.Minute).Unix()},
		"not yet":        {"nbf": time.Now().Add(2 * time.Minute).Unix()},
		"of tomorrow":    {"iat": time.Now().Add(2 * time.Minute).Unix()},
		"of no time":     {"exp": nil, "nbf": nil, "iat": nil},
		"of odd times":   {"exp": "tomorrow"},
	} {
		_, err := w.jwt(m, "deploy", i.sign(t, with(good, x)))
		if !strings.HasPrefix(fmt.Sprint(err), "error validating token: ") || code(err) != login.CodeRefused {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestGitLab(t *testing.T) {
	w, i := newWorld(t), newIssuer(t)
	m := w.mount(mount.JWT, "gitlab")
	w.done(w.Logins.PutMethod(t.Context(), w.Admin, m, login.Patch{"jwks_url": i.URL + "/jwks", "jwks_ca_pem": i.ca(), "bound_issuer": "https://gitlab.example.com"}))
	w.done(w.Logins.PutRole(t.Context(), w.Admin, m, "staging", login.Patch{"role_type": "jwt", "user_claim": "/user_identities/0/extern_uid", "user_claim_json_pointer": true,
		"bound_audiences": []string{"https://vault.example.com"}, "token_explicit_max_ttl": time.Minute,
		"bound_claims": map[string]json.RawMessage{"project_id": raw(`"20"`), "ref_protected": raw(`"true"`), "runner_id": raw(`1`), "groups_direct": raw(`["other","mygroup/mysubgroup"]`)}}))
	good := gitlab("https://gitlab.example.com", time.Now())
	_, err := w.jwt(m, "staging", i.sign(t, good))
	w.ok(err)
	if _, ok := w.principal(m, "2435223452345"); !ok {
		t.Error("it is nobody")
	}
	for name, x := range map[string]map[string]any{
		"a text for a number":  {"runner_id": "1"},
		"a number for a text":  {"project_id": 20},
		"truth for a text":     {"ref_protected": true},
		"another group":        {"groups_direct": []any{"mygroup"}},
		"no audience":          {"aud": nil},
		"an audience in parts": {"aud": []any{"https://vault.example.com", 7}},
	} {
		_, err := w.jwt(m, "staging", i.sign(t, with(good, x)))
		if code(err) != login.CodeRefused {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err = w.jwt(m, "staging", i.sign(t, with(good, map[string]any{"aud": []any{"other", "https://vault.example.com"}, "runner_id": 1.0})))
	w.ok(err)
	got, err := w.Logins.GetRole(t.Context(), w.Admin, m, "staging")
	w.ok(err)
	if s := string(got["bound_claims"].(map[string]json.RawMessage)["groups_direct"]); s != `["other","mygroup/mysubgroup"]` {
		t.Error(s)
	}
}

// TestAlgorithms holds that a token counts only by a signature that nobody but the
// issuer can make.
func TestAlgorithms(t *testing.T) {
	w := newWorld(t)
	m := w.mount(mount.JWT, "jwt")
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	w.ok(err)
	edPub, edKey, err := ed25519.GenerateKey(rand.Reader)
	w.ok(err)
	ecKey, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	w.ok(err)
	w.done(w.Logins.PutMethod(t.Context(), w.Admin, m, login.Patch{"jwt_validation_pubkeys": []string{publicPEM(t, rsaKey.Public()), publicPEM(t, edPub), publicPEM(t, ecKey.Public())}}))
	w.done(w.Logins.PutRole(t.Context(), w.Admin, m, "ci", login.Patch{"role_type": "jwt", "user_claim": "sub", "bound_subject": "me"}))
	claims := map[string]any{"sub": "me", "exp": time.Now().Add(time.Minute).Unix()}
	for _, x := range []jose.SigningKey{{Algorithm: jose.RS256, Key: rsaKey}, {Algorithm: jose.RS512, Key: rsaKey}, {Algorithm: jose.PS256, Key: rsaKey},
		{Algorithm: jose.EdDSA, Key: edKey}, {Algorithm: jose.ES384, Key: ecKey}} {
		_, err := w.jwt(m, "ci", sign(t, x, claims))
		w.ok(err)
	}
	public := []byte(publicPEM(t, rsaKey.Public()))
	der, err := x509.MarshalPKIXPublicKey(rsaKey.Public())
	w.ok(err)
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	w.ok(err)
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	body, err := json.Marshal(claims)
	w.ok(err)
	good := sign(t, jose.SigningKey{Algorithm: jose.RS256, Key: rsaKey}, claims)
	parts := strings.Split(good, ".")
	embedded, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: other}, &jose.SignerOptions{EmbedJWK: true})
	w.ok(err)
	obj, err := embedded.Sign(body)
	w.ok(err)
	own, err := obj.CompactSerialize()
	w.ok(err)
	crit, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: rsaKey}, (&jose.SignerOptions{}).WithHeader("crit", []string{"x"}).WithHeader("x", "y"))
	w.ok(err)
	obj, err = crit.Sign(body)
	w.ok(err)
	critical, err := obj.CompactSerialize()
	w.ok(err)
	twice := sign(t, jose.SigningKey{Algorithm: jose.RS256, Key: rsaKey}, json.RawMessage(`{"sub":"you","sub":"me","exp":9999999999}`))
	for name, jwt := range map[string]string{
		"a MAC with the public key in PEM": sign(t, jose.SigningKey{Algorithm: jose.HS256, Key: public}, claims),
		"a MAC with the public key in DER": sign(t, jose.SigningKey{Algorithm: jose.HS256, Key: der}, claims),
		"none":                             part(`{"alg":"none"}`) + "." + parts[1] + ".",
		"none with a signature":            part(`{"alg":"none"}`) + "." + parts[1] + "." + parts[2],
		"None":                             part(`{"alg":"None"}`) + "." + parts[1] + "." + parts[2],
		"no algorithm":                     part(`{}`) + "." + parts[1] + "." + parts[2],
		"another's key":                    sign(t, jose.SigningKey{Algorithm: jose.RS256, Key: other}, claims),
		"a key that it brings along":       own,
		"another body":                     parts[0] + "." + part(`{"sub":"me"}`) + "." + parts[2],
		"another algorithm of the key":     part(`{"alg":"PS256","typ":"JWT"}`) + "." + parts[1] + "." + parts[2],
		"what nobody understands":          critical,
		"a name twice":                     twice,
		"nothing":                          "..",
		"too long":                         good + strings.Repeat("x", 20000),
		"JSON":                             `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`,
		"spaces":                           good + " ",
	} {
		if _, err := w.jwt(m, "ci", jwt); code(err) != login.CodeRefused {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.done(w.Logins.PutMethod(t.Context(), w.Admin, m, login.Patch{"jwt_validation_pubkeys": []string{publicPEM(t, rsaKey.Public()), publicPEM(t, edPub)}, "jwt_supported_algs": []string{"EdDSA"}}))
	_, err = w.jwt(m, "ci", good)
	w.want(err, login.CodeRefused)
	_, err = w.jwt(m, "ci", sign(t, jose.SigningKey{Algorithm: jose.EdDSA, Key: edKey}, claims))
	w.ok(err)
}

// TestKeysAreFetchedSparingly holds that a key which is not known is looked for,
// and that strangers cannot make the server ask as often as they like.
func TestKeysAreFetchedSparingly(t *testing.T) {
	w, i := newWorld(t), newIssuer(t)
	m := w.mount(mount.JWT, "jwt")
	w.done(w.Logins.PutMethod(t.Context(), w.Admin, m, login.Patch{"jwks_url": i.URL + "/jwks", "jwks_ca_pem": i.ca()}))
	w.done(w.Logins.PutRole(t.Context(), w.Admin, m, "ci", login.Patch{"role_type": "jwt", "user_claim": "sub", "bound_subject": "me"}))
	claims := map[string]any{"sub": "me", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() { _, err := w.jwt(m, "ci", i.sign(t, claims)); w.ok(err) })
	}
	wg.Wait()
	if n := i.fetches.Load(); n != 1 {
		t.Errorf("%d fetches", n)
	}
	old := i.sign(t, claims)
	i.rotate(t, "key-2")
	for k := range 20 { // the last fetch was just now
		stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		w.ok(err)
		_, err = w.jwt(m, "ci", sign(t, jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: stranger, KeyID: fmt.Sprint("no-", k)}}, claims))
		w.want(err, login.CodeRefused)
	}
	if n := i.fetches.Load(); n != 1 {
		t.Errorf("%d fetches", n)
	}
	login.Forget(w.Logins, 11*time.Second)
	_, err := w.jwt(m, "ci", i.sign(t, claims))
	w.ok(err)
	_, err = w.jwt(m, "ci", old)
	w.ok(err)
	if n := i.fetches.Load(); n != 2 {
		t.Errorf("%d fetches", n)
	}
	i.broken.Store(true) // what is known counts for a while
	login.Forget(w.Logins, 20*time.Minute)
	for range 5 {
		_, err = w.jwt(m, "ci", old)
		w.ok(err)
	}
	if n := i.fetches.Load(); n != 3 {
		t.Errorf("%d fetches", n)
	}
	login.Forget(w.Logins, time.Hour)
	_, err = w.jwt(m, "ci", old)
	w.want(err, login.CodeProvider)
	_, err = w.jwt(m, "ci", old)
	w.want(err, login.CodeProvider)
	if n := i.fetches.Load(); n != 4 {
		t.Errorf("%d fetches", n)
	}
}

// TestWhereKeysAreFetched holds that a configuration cannot make the server reach
// what only it can reach, nor wait or read without end.
func TestWhereKeysAreFetched(t *testing.T) {
	w := newWorld(t)
	m := w.mount(mount.JWT, "jwt")
	w.done(w.Logins.PutRole(t.Context(), w.Admin, m, "ci", login.Patch{"role_type": "jwt", "user_claim": "sub", "bound_subject": "me"}))
	hits := atomic.Int32{}
	inner := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { hits.Add(1) }))
	defer inner.Close()
	redirect := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, inner.URL, http.StatusFound) }))
	defer redirect.Close()
	endless := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		fmt.Fprint(rw, `{"keys":[`)
		for range 100_000 {
			if _, err := fmt.Fprint(rw, `{"kty":"none"},`); err != nil {
				return
			}
		}
	}))
	defer endless.Close()
	guarded := login.New(login.Config{Gate: w.Gate, Changes: w.Changes, Vault: w.Ring, Tokens: w.Tokens, SignIn: w.SignIn, Burst: 1000})
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	w.ok(err)
	jwt := sign(t, jose.SigningKey{Algorithm: jose.ES256, Key: key}, map[string]any{"sub": "me", "exp": time.Now().Add(time.Hour).Unix()})
	ca := func(s *httptest.Server) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	}
	for name, x := range map[string]struct {
		s     *login.Service
		patch login.Patch
	}{
		"loopback":        {guarded, login.Patch{"jwks_url": inner.URL}},
		"metadata":        {guarded, login.Patch{"jwks_url": "http://169.254.169.254/latest/meta-data/"}},
		"in other words":  {guarded, login.Patch{"jwks_url": "https://[::ffff:127.0.0.1]:1/"}},
		"a redirect":      {w.Logins, login.Patch{"jwks_url": redirect.URL, "jwks_ca_pem": ca(redirect)}},
		"an unknown CA":   {w.Logins, login.Patch{"jwks_url": redirect.URL}},
		"without end":     {w.Logins, login.Patch{"jwks_url": endless.URL, "jwks_ca_pem": ca(endless)}},
		"no issuer there": {w.Logins, login.Patch{"oidc_discovery_url": redirect.URL, "oidc_discovery_ca_pem": ca(redirect)}},
	} {
		w.done(x.s.PutMethod(t.Context(), w.Admin, m, x.patch))
		start := time.Now()
		_, err := x.s.LoginJWT(t.Context(), w.nobody(), m, login.JWTLogin{Role: "ci", JWT: jwt})
		if code(err) != login.CodeProvider || time.Since(start) > 5*time.Second {
			t.Errorf("%s: %v after %s", name, err, time.Since(start))
		}
		if s := fmt.Sprint(errs.As(err).Msg, errs.As(err).Err); strings.Contains(s, "127.0.0.1") || strings.Contains(s, "://") {
			t.Errorf("%s: the refusal quotes the address: %s", name, s)
		}
	}
	if n := hits.Load(); n != 0 {
		t.Errorf("%d requests arrived", n)
	}
	for _, u := range []string{"ftp://x/", "https://user:pw@example.com/", "https://0x7f000001/", "https://127.1/", "javascript:1"} {
		_, err := w.Logins.PutMethod(t.Context(), w.Admin, m, login.Patch{"jwks_url": u})
		w.want(err, "invalid/jwks_url")
	}
}

func TestJWTSettings(t *testing.T) {
	w := newWorld(t)
	m := w.mount(mount.OIDC, "oidc")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	w.ok(err)
	small := &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 1023, 1), E: 65537}
	for _, x := range []struct {
		patch login.Patch
		want  string
	}{
		{login.Patch{}, "invalid/oidc_discovery_url"},
		{login.Patch{"jwks_url": "https://example.com/", "oidc_discovery_url": "https://example.com/"}, "invalid/oidc_discovery_url"},
		{login.Patch{"jwks_url": "https://example.com/", "jwks_ca_pem": "x"}, "invalid/jwks_ca_pem"},
		{login.Patch{"jwt_validation_pubkeys": []string{"x"}}, "invalid/jwt_validation_pubkeys"},
		{login.Patch{"jwt_validation_pubkeys": []string{publicPEM(t, small)}}, "invalid/jwt_validation_pubkeys"},
		{login.Patch{"jwks_url": "https://example.com/", "jwt_supported_algs": []string{"HS256"}}, "invalid/jwt_supported_algs"},
		{login.Patch{"jwks_url": "https://example.com/", "jwt_supported_algs": []string{"none"}}, "invalid/jwt_supported_algs"},
		{login.Patch{"jwks_url": "https://example.com/", "oidc_client_id": "x"}, "invalid/oidc_client_id"},
		{login.Patch{"jwks_url": "https://example.com/", "oidc_client_id": "x", "oidc_client_secret": "y"}, "invalid/oidc_discovery_url"},
		{login.Patch{"jwks_url": "https://example.com/", "oidc_response_mode": "form_post"}, "invalid/oidc_response_mode"},
		{login.Patch{"jwks_url": "https://example.com/", "default_role": "a/b"}, "invalid/default_role"},
		{login.Patch{"other": "x"}, "invalid/other"},
		{login.Patch{"oidc_discovery_url": "https://example.com/.well-known/openid-configuration", "oidc_client_id": "x", "oidc_client_secret": "s3cr3t"}, ""},
	} {
		_, err := w.Logins.PutMethod(t.Context(), w.Admin, m, x.patch)
		w.want(err, x.want)
	}
	got, err := w.Logins.GetMethod(t.Context(), w.Admin, m)
	w.ok(err)
	if got["oidc_discovery_url"] != "https://example.com" || strings.Contains(fmt.Sprint(got), "s3cr3t") {
		t.Errorf("%v", got)
	}
	w.done(w.Logins.PutMethod(t.Context(), w.Admin, m, login.Patch{"jwt_validation_pubkeys": []string{publicPEM(t, key.Public())}}))
	if got, err = w.Logins.GetMethod(t.Context(), w.Admin, m); err != nil || got["oidc_discovery_url"] != "" {
		t.Errorf("what was not named stays: %v, %v", got, err)
	}
	for _, x := range []struct {
		patch login.Patch
		want  string
	}{
		{login.Patch{"role_type": "jwt", "user_claim": "sub"}, "invalid/bound_audiences"},
		{login.Patch{"role_type": "jwt", "bound_subject": "x"}, "invalid/user_claim"},
		{login.Patch{"role_type": "x", "user_claim": "sub"}, "invalid/role_type"},
		{login.Patch{"user_claim": "sub"}, "invalid/allowed_redirect_uris"},
		{login.Patch{"role_type": "jwt", "user_claim": "sub", "bound_subject": "x", "bound_claims_type": "regex"}, "invalid/bound_claims_type"},
		{login.Patch{"role_type": "jwt", "user_claim": "sub", "bound_claims": map[string]json.RawMessage{"a": raw(`{}`)}}, "invalid/bound_claims"},
		{login.Patch{"role_type": "jwt", "user_claim": "sub", "bound_claims": map[string]json.RawMessage{"a": raw(`[[1]]`)}}, "invalid/bound_claims"},
		{login.Patch{"role_type": "jwt", "user_claim": "sub", "bound_claims_type": "glob", "bound_claims": map[string]json.RawMessage{"a": raw(`1`)}}, "invalid/bound_claims"},
		{login.Patch{"role_type": "jwt", "user_claim": "sub", "bound_subject": "x", "claim_mappings": map[string]string{"a": "role"}}, "invalid/claim_mappings"},
		{login.Patch{"role_type": "jwt", "user_claim": "sub", "bound_subject": "x", "claim_mappings": map[string]string{"a": "x", "b": "x"}}, "invalid/claim_mappings"},
		{login.Patch{"role_type": "jwt", "user_claim": "sub", "bound_subject": "x", "clock_skew_leeway": -time.Second}, ""},
	} {
		_, err := w.Logins.PutRole(t.Context(), w.Admin, m, "ci", x.patch)
		w.want(err, x.want)
	}
	_, err = w.Logins.PutMethod(t.Context(), w.Admin, w.mount(mount.AppRole, "approle"), login.Patch{})
	w.want(err, "invalid")
	fresh := w.mount(mount.JWT, "fresh")
	_, err = w.Logins.GetMethod(t.Context(), w.Admin, fresh)
	w.want(err, login.CodeConfig)
	_, err = w.jwt(fresh, "ci", "x.y.z")
	w.want(err, login.CodeConfig)
	_, err = w.jwt(m, "", "x.y.z")
	w.want(err, "invalid/role")
	_, err = w.jwt(m, "ci", "")
	w.want(err, "invalid/jwt")
}

// TestLeeways holds how exact the clocks have to be.
func TestLeeways(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	at := func(d time.Duration) float64 { return float64(now.Add(d).Unix()) }
	for name, x := range map[string]struct {
		exp, nbf, skew time.Duration
		claims         map[string]any
		want           bool
	}{
		"within the default skew": {0, 0, 0, map[string]any{"exp": at(-59 * time.Second)}, true},
		"past it":                 {0, 0, 0, map[string]any{"exp": at(-60 * time.Second)}, false},
		"no skew":                 {0, 0, -1, map[string]any{"exp": at(-time.Second)}, false},
		"more skew":               {0, 0, time.Hour, map[string]any{"exp": at(-59 * time.Minute)}, true},
		"no end, young":           {0, 0, 0, map[string]any{"iat": at(-209 * time.Second)}, true},
		"no end, old":             {0, 0, 0, map[string]any{"iat": at(-210 * time.Second)}, false},
		"no end, none":            {-1, 0, -1, map[string]any{"iat": at(0)}, false},
		"no begin":                {0, 0, 0, map[string]any{"exp": at(209 * time.Second)}, true},
		"no begin, far":           {0, 0, 0, map[string]any{"exp": at(211 * time.Second)}, false},
		"no begin, given":         {0, time.Hour, 0, map[string]any{"exp": at(time.Hour)}, true},
		"a begin":                 {0, 0, 0, map[string]any{"exp": at(time.Hour), "nbf": at(60 * time.Second)}, true},
		"a late begin":            {0, 0, 0, map[string]any{"exp": at(time.Hour), "nbf": at(61 * time.Second)}, false},
		"made later":              {0, 0, 0, map[string]any{"exp": at(time.Hour), "iat": at(61 * time.Second), "nbf": at(0)}, false},
		"fractions":               {0, 0, -1, map[string]any{"exp": at(0) + 0.5, "iat": at(0)}, true},
		"too large":               {0, 0, 0, map[string]any{"exp": 1e300}, false},
	} {
		if got := login.CheckTimes(t, x.exp, x.nbf, x.skew, x.claims, now); got != x.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestOIDC runs a login in a browser.
func TestOIDC(t *testing.T) {
	w, i := newWorld(t), newIssuer(t)
	m := w.mount(mount.OIDC, "oidc")
	w.done(w.Logins.PutMethod(t.Context(), w.Admin, m, login.Patch{"oidc_discovery_url": i.URL, "oidc_discovery_ca_pem": i.ca(), "oidc_client_id": "countersign",
		"oidc_client_secret": "hush", "default_role": "people", "jwt_supported_algs": []string{"ES256"}}))
	w.done(w.Logins.PutRole(t.Context(), w.Admin, m, "people", login.Patch{"user_claim": "email", "allowed_redirect_uris": []string{"http://localhost:8250/oidc/callback"},
		"bound_claims": map[string]json.RawMessage{"hd": raw(`"example.com"`)}, "oidc_scopes": []string{"email"}}))
	begin := func(redirect, nonce string) string {
		at, err := w.Logins.AuthURL(t.Context(), w.nobody(), m, login.AuthURLRequest{Redirect: redirect, ClientNonce: nonce})
		w.ok(err)
		return at
	}
	for _, to := range []string{"http://localhost:8250/other", "http://evil.example/oidc/callback", "https://localhost:8250/oidc/callback", "http://localhost.evil.example:8250/oidc/callback", "http://user@localhost:8250/oidc/callback"} {
		if at := begin(to, ""); at != "" {
			t.Errorf("%s: %s", to, at)
		}
	}
	at := begin("http://localhost:9999/oidc/callback", "mine")
	q := parseQuery(t, at)
	if !strings.HasPrefix(at, i.URL+"/authorize?") || q.Get("client_id") != "countersign" || q.Get("scope") != "openid email" || q.Get("code_challenge_method") != "S256" {
		t.Fatal(at)
	}
	id := map[string]any{"iss": i.URL, "aud": "countersign", "sub": "u-1", "email": "ann@example.com", "hd": "example.com", "nonce": q.Get("nonce"),
		"exp": time.Now().Add(time.Minute).Unix(), "iat": time.Now().Unix()}
	more := map[string]any{}
	i.Config.Handler.(*http.ServeMux).HandleFunc("POST /token", func(rw http.ResponseWriter, r *http.Request) {
		user, pw, _ := r.BasicAuth()
		if user == "" {
			user, pw = r.FormValue("client_id"), r.FormValue("client_secret")
		}
		if r.FormValue("code") != "good" || user != "countersign" || pw != "hush" || len(r.FormValue("code_verifier")) < 43 || r.FormValue("redirect_uri") != "http://localhost:9999/oidc/callback" {
			http.Error(rw, `{"error":"invalid_grant"}`, http.StatusBadRequest)
			return
		}
		rw.Header().Set("Content-Type", "application/json")
		json.NewEncoder(rw).Encode(map[string]any{"access_token": "x", "token_type": "Bearer", "id_token": i.sign(t, with(id, more))})
	})
	end := func(state, code, nonce string) error {
		_, err := w.Logins.OIDCCallback(t.Context(), w.nobody(), m, login.CallbackRequest{State: state, Code: secret(code), ClientNonce: nonce})
		return err
	}
	state := q.Get("state")
	w.ok(end(state, "good", "mine"))
	if who, ok := w.principal(m, "ann@example.com"); !ok || who.Caller.Name != "oidc.ann@example.com" {
		t.Errorf("%+v", who)
	}
	w.want(end(state, "good", "yours"), login.CodeRefused)
	w.want(end(state, "good", ""), login.CodeRefused)
	w.want(end(state, "bad", "mine"), login.CodeRefused)
	w.want(end(state, "", "mine"), "invalid/code")
	w.want(end(state[:len(state)-2], "good", "mine"), login.CodeRefused)
	w.want(end("", "good", "mine"), login.CodeRefused)
	for name, x := range map[string]map[string]any{"another nonce": {"nonce": "x"}, "no nonce": {"nonce": nil}, "another client": {"aud": "other"},
		"for two": {"aud": []any{"countersign", "other"}}, "of another": {"azp": "other"}, "another issuer": {"iss": "https://other"}, "another domain": {"hd": "example.org"},
		"over": {"exp": time.Now().Add(-time.Hour).Unix()}, "without end": {"exp": nil}} {
		if more = x; code(end(state, "good", "mine")) != login.CodeRefused {
			t.Errorf("%s: %v", name, end(state, "good", "mine"))
		}
	}
	more = map[string]any{}
	w.want(end(state, "good", "mine"), "")
	yes := true
	_, _, err := w.Authn.SetGroup(t.Context(), w.Admin, authn.SetGroupRequest{Name: "staff", External: &yes})
	w.ok(err)
	_, _, err = w.Authn.LinkGroup(t.Context(), w.Admin, "staff", m.Accessor, "/staff")
	w.ok(err)
	w.done(w.Logins.PutRole(t.Context(), w.Admin, m, "people", login.Patch{"groups_claim": "groups"}))
	more = map[string]any{"groups": []any{"/staff", "/other"}}
	w.ok(end(state, "good", "mine"))
	if p, err := w.Authn.GetUser(t.Context(), w.Admin, "oidc.ann@example.com"); err != nil || !slices.Equal(p.Groups, []string{"staff"}) {
		t.Errorf("it is in %q, %v", p.Groups, err)
	}
	more = map[string]any{}
	w.want(end(state, "good", "mine"), login.CodeRefused) // without the claim
	w.done(w.Logins.PutRole(t.Context(), w.Admin, m, "people", login.Patch{"groups_claim": ""}))
	other := w.mount(mount.OIDC, "other")
	_, err = w.Logins.OIDCCallback(t.Context(), w.nobody(), other, login.CallbackRequest{State: state, Code: secret("good"), ClientNonce: "mine"})
	w.want(err, login.CodeRefused)
	_, err = w.jwt(m, "people", i.sign(t, id)) // an identity token by itself is none for this
	w.want(err, login.CodeRefused)
	if at, err := w.Logins.AuthURL(t.Context(), w.nobody(), m, login.AuthURLRequest{Role: "absent", Redirect: "http://localhost:8250/oidc/callback"}); at != "" || err != nil {
		t.Error(at, err)
	}
}

func parseQuery(t testing.TB, s string) (q interface{ Get(string) string }) {
	t.Helper()
	u, err := http.NewRequest("GET", s, nil)
	if err != nil {
		t.Fatal(err)
	}
	return u.URL.Query()
}

func TestGlob(t *testing.T) {
	for _, x := range []struct {
		pattern, s string
		want       bool
	}{
		{"*", "", true}, {"*", "x", true}, {"", "", true}, {"", "x", false}, {"a*", "a", true}, {"a*", "ba", false}, {"*a", "ba", true}, {"*a", "ab", false},
		{"a*b", "ab", true}, {"a*b", "aXb", true}, {"a*b", "aXbY", false}, {"a*a", "a", false}, {"a*b*c", "abc", true}, {"a*b*c", "acb", false}, {"a?b", "axb", false},
		{"a**b", "ab", true}, {"ab*ba", "aba", false}, {"*x*", "axb", true}, {"[a]", "a", false},
	} {
		if got := login.Glob(x.pattern, x.s); got != x.want {
			t.Errorf("%q on %q: %v", x.pattern, x.s, got)
		}
	}
}

// FuzzGlob holds the matcher against one that tries everything.
func FuzzGlob(f *testing.F) {
	f.Add("a*b*c", "aXbYc")
	f.Add("**", "")
	var slow func(p, s string) bool
	slow = func(p, s string) bool {
		switch {
		case p == "":
			return s == ""
		case p[0] == '*':
			return slow(p[1:], s) || s != "" && slow(p, s[1:])
		}
		return s != "" && p[0] == s[0] && slow(p[1:], s[1:])
	}
	f.Fuzz(func(t *testing.T, p, s string) {
		if len(p) > 12 || len(s) > 24 {
			return // the slow one takes too long
		}
		if login.Glob(p, s) != slow(p, s) {
			t.Errorf("%q on %q", p, s)
		}
	})
}

// FuzzLoginJWT holds that no text which the issuer did not sign gets anywhere, or
// does anything but be refused.
func FuzzLoginJWT(f *testing.F) {
	w := newWorld(f)
	m := w.mount(mount.JWT, "jwt")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	w.ok(err)
	w.done(w.Logins.PutMethod(f.Context(), w.Admin, m, login.Patch{"jwt_validation_pubkeys": []string{publicPEM(f, key.Public())}}))
	w.done(w.Logins.PutRole(f.Context(), w.Admin, m, "ci", login.Patch{"role_type": "jwt", "user_claim": "sub", "bound_subject": "me"}))
	good := sign(f, jose.SigningKey{Algorithm: jose.ES256, Key: key}, map[string]any{"sub": "you", "exp": time.Now().Add(time.Hour).Unix()})
	f.Add("ci", good)
	f.Add("", "")
	f.Add("ci\x00", "eyJhbGciOiJub25lIn0..")
	f.Add("a/b", "...")
	f.Fuzz(func(t *testing.T, role, jwt string) {
		if _, err := w.Logins.LoginJWT(t.Context(), w.nobody(), m, login.JWTLogin{Role: role, JWT: jwt}); !slices.Contains([]errs.Kind{errs.Invalid, errs.Unauthenticated, errs.Throttled}, errs.KindOf(err)) || err == nil {
			t.Errorf("%v", err)
		}
	})
}

// FuzzClaims holds that claims are read alike however they are asked for.
func FuzzClaims(f *testing.F) {
	f.Add(`{"a":{"b":[1,"x"]}}`, "/a/b/1")
	f.Add(`{"a/b":1,"~":2}`, "/a~1b")
	f.Add(`{"a":1,"a":2}`, "a")
	f.Fuzz(func(t *testing.T, body, pointer string) {
		login.ReadClaim([]byte(body), pointer)
	})
}
