package signin_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"countersign/internal/core/authn"
	"countersign/internal/core/coretest"
	"countersign/internal/core/signin"
	"countersign/internal/sensitive"
)

const (
	clientID = "countersign"
	redirect = "http://127.0.0.1:12345/callback"
	verifier = "a-verifier-that-is-long-enough-for-rfc-7636-1"
)

// vouching is a world with an identity provider.
type vouching struct {
	*world
	is *issuer
	s  *signin.Service
}

func newVouching(t *testing.T, p signin.Provider) *vouching {
	t.Helper()
	w := newWorld(t)
	v := &vouching{w, newIssuer(t), signin.New(signin.Config{Gate: w.Gate, Changes: w.Changes, Vault: w.Ring, Home: coretest.Home,
		Params: signin.Params{Memory: 64, Time: 1, Threads: 1}, Burst: 1000, AllowLoopback: true})}
	v.put(p)
	return v
}

func (v *vouching) put(p signin.Provider) {
	v.t.Helper()
	p.Issuer, p.ClientID = v.is.URL, clientID
	v.ok(v.s.PutProvider(v.t.Context(), v.Admin, p, text("client-secret")))
}

func challenge() string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func (v *vouching) begin() signin.Begun {
	v.t.Helper()
	b, err := v.s.BeginOIDC(v.t.Context(), v.nobody(), signin.BeginRequest{Redirect: redirect, Challenge: challenge()})
	v.ok(err)
	u, err := url.Parse(b.URL)
	v.ok(err)
	v.is.nonce = u.Query().Get("nonce")
	return b
}

// enter signs in with claims; change may spoil the request.
func (v *vouching) enterWith(claims map[string]any, change func(*signin.FinishRequest)) (signin.Tokens, error) {
	v.t.Helper()
	b := v.begin()
	v.is.claims = claims
	req := signin.FinishRequest{Redirect: redirect, Code: text("good"), State: b.State, Verifier: text(verifier)}
	if change != nil {
		change(&req)
	}
	return v.s.FinishOIDC(v.t.Context(), v.nobody(), req)
}

func TestOIDC(t *testing.T) {
	v := newVouching(t, signin.Provider{Scopes: []string{"email"}})
	b := v.begin()
	u, _ := url.Parse(b.URL)
	q := u.Query()
	for name, want := range map[string]string{"client_id": clientID, "redirect_uri": redirect, "response_type": "code", "scope": "openid email",
		"code_challenge": challenge(), "code_challenge_method": "S256", "state": b.State} {
		if q.Get(name) != want {
			t.Errorf("%s is %q", name, q.Get(name))
		}
	}
	v.User(t, "ann", "")
	_, err := v.enterWith(nil, nil)
	v.want(err, "bad-identity")
	if !strings.Contains(err.Error(), `--subject "subject-1"`) {
		t.Errorf("not told how to link: %v", err)
	}
	v.ok(v.s.LinkUser(t.Context(), v.Admin, "ann", "subject-1"))
	tk, err := v.enterWith(nil, nil)
	v.ok(err)
	if tk.User != "ann" || tk.Device.Len() == 0 || v.is.asked.Get("code_verifier") != verifier || v.is.asked.Get("client_secret") != "client-secret" {
		t.Errorf("got %+v, exchanged %v", tk, v.is.asked)
	}
	who := v.as(tk)
	if !who.MFA.IsZero() {
		t.Error("the provider's login counts as a second factor")
	}
	if d := time.Until(tk.RefreshExpires); d > signin.OIDCLasts {
		t.Errorf("the session lasts %s without the provider", d)
	}
	v.want(v.s.LinkUser(t.Context(), who, "ann", "other"), "no-match")
	v.ok(v.s.UnlinkUser(t.Context(), v.Admin, "ann"))
	if v.alive(tk) {
		t.Error("the session outlives the link")
	}
	_, err = v.enterWith(nil, nil)
	v.want(err, "bad-identity")
	// A later user of the same name is another.
	v.ok(v.s.LinkUser(t.Context(), v.Admin, "ann", "subject-1"))
	v.User(t, "bob", "")
	v.want(v.s.LinkUser(t.Context(), v.Admin, "bob", "subject-1"), "exists")
	v.done(v.Authn.DeleteUser(t.Context(), v.Admin, "ann"))
	_, err = v.Authn.CreateUser(t.Context(), v.Admin, authn.CreateUserRequest{Name: "ann"})
	v.ok(err)
	_, err = v.enterWith(nil, nil)
	v.want(err, "bad-identity")
	v.ok(v.s.LinkUser(t.Context(), v.Admin, "bob", "subject-1"))
	_, err = v.Authn.UpdateUser(t.Context(), v.Admin, authn.UpdateUserRequest{Name: "bob", Disabled: new(true)})
	v.ok(err)
	_, err = v.enterWith(nil, nil)
	v.want(err, "bad-identity")
}

func TestOIDCRefuses(t *testing.T) {
	v := newVouching(t, signin.Provider{})
	v.User(t, "ann", "")
	v.ok(v.s.LinkUser(t.Context(), v.Admin, "ann", "subject-1"))
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	v.ok(err)
	public, err := json.Marshal(jose.JSONWebKey{Key: &v.is.key.PublicKey})
	v.ok(err)
	for what, x := range map[string]struct {
		claims map[string]any
		change func(*signin.FinishRequest)
		want   string
	}{
		"another-nonce":   {claims: map[string]any{"nonce": "x"}},
		"no-nonce":        {claims: map[string]any{"nonce": ""}},
		"audience":        {claims: map[string]any{"aud": "somebody"}},
		"audiences":       {claims: map[string]any{"aud": []string{clientID, "somebody"}}},
		"expired":         {claims: map[string]any{"exp": time.Now().Add(-time.Minute).Unix()}},
		"issuer":          {claims: map[string]any{"iss": "https://elsewhere.example"}},
		"no-subject":      {claims: map[string]any{"sub": ""}},
		"odd-subject":     {claims: map[string]any{"sub": "a\nb"}},
		"code":            {change: func(r *signin.FinishRequest) { r.Code = text("bad") }},
		"no-code":         {change: func(r *signin.FinishRequest) { r.Code = sensitive.Bytes{} }, want: "invalid"},
		"verifier":        {change: func(r *signin.FinishRequest) { r.Verifier = text(strings.Repeat("x", 43)) }},
		"no-state":        {change: func(r *signin.FinishRequest) { r.State = "" }},
		"another-port":    {change: func(r *signin.FinishRequest) { r.Redirect = "http://127.0.0.1:1/callback" }},
		"another-account": {change: func(r *signin.FinishRequest) { r.Account = coretest.Other }, want: "not-found"},
		"state": {change: func(r *signin.FinishRequest) {
			b := []byte(r.State)
			if b[20]++; b[20] > 'z' || b[20] < 'a' {
				b[20] = 'a'
			}
			if string(b) == r.State {
				b[20] = 'b'
			}
			r.State = string(b)
		}},
	} {
		t.Run(what, func(t *testing.T) {
			if x.want == "" {
				x.want = "bad-identity"
			}
			if _, err := v.enterWith(x.claims, x.change); code(err) != x.want {
				t.Errorf("got %v, want %s", err, x.want)
			}
		})
	}
	for what, set := range map[string]func(){
		"another-key": func() { v.is.key2 = other },
		"none":        func() { v.is.alg = "none" },
		"hmac":        func() { v.is.alg, v.is.key2 = jose.HS256, public },
	} {
		set()
		if _, err := v.enterWith(nil, nil); code(err) != "bad-identity" {
			t.Errorf("%s: %v", what, err)
		}
		v.is.alg, v.is.key2 = jose.RS256, nil
	}
	if _, err := v.enterWith(nil, nil); err != nil {
		t.Errorf("and a good one: %v", err)
	}
	for _, r := range []string{"", "https://127.0.0.1:1/callback", "http://localhost:1/callback", "http://10.0.0.1:1/callback", "http://127.0.0.1/callback",
		"http://127.0.0.1:1/other", "http://127.0.0.1:1/callback?x=y", "http://u@127.0.0.1:1/callback", "http://127.0.0.1:1/callback#f", "%"} {
		_, err := v.s.BeginOIDC(t.Context(), v.nobody(), signin.BeginRequest{Redirect: r, Challenge: challenge()})
		if code(err) != "invalid" {
			t.Errorf("redirect %q: %v", r, err)
		}
	}
	_, err = v.s.BeginOIDC(t.Context(), v.nobody(), signin.BeginRequest{Redirect: redirect, Challenge: "plain"})
	v.want(err, "invalid")
	for _, r := range v.Records(t) {
		if b, _ := json.Marshal(r); strings.Contains(string(b), verifier) || strings.Contains(string(b), "client-secret") {
			t.Errorf("a secret is recorded: %s", b)
		}
	}
}

func TestWhomAnIdentityIs(t *testing.T) {
	mail := func(more map[string]any) map[string]any {
		c := map[string]any{"email": "Ann@Example.com", "email_verified": true}
		maps.Copy(c, more)
		return c
	}
	for _, x := range []struct {
		what   string
		p      signin.Provider
		claims map[string]any
		setup  func(v *vouching)
		want   string // the user, or a code
	}{
		{"name", signin.Provider{LinkByEmail: true}, mail(nil), func(v *vouching) { v.User(v.t, "ann@example.com", "") }, "ann@example.com"},
		{"tag", signin.Provider{LinkByEmail: true}, mail(nil), func(v *vouching) {
			_, err := v.Authn.CreateUser(v.t.Context(), v.Admin, authn.CreateUserRequest{Name: "ann", Tags: map[string]string{"email": "ann@example.com"}})
			v.ok(err)
		}, "ann"},
		{"another-tag", signin.Provider{LinkByEmail: true}, mail(nil), func(v *vouching) { v.User(v.t, "ann", "") }, "bad-identity"},
		{"not-allowed", signin.Provider{}, mail(nil), func(v *vouching) { v.User(v.t, "ann@example.com", "") }, "bad-identity"},
		{"not-verified", signin.Provider{LinkByEmail: true}, mail(map[string]any{"email_verified": false}), func(v *vouching) { v.User(v.t, "ann@example.com", "") }, "bad-identity"},
		{"machine", signin.Provider{LinkByEmail: true}, mail(nil), func(v *vouching) {
			_, err := v.Authn.CreateUser(v.t.Context(), v.Admin, authn.CreateUserRequest{Name: "ann@example.com", Machine: true})
			v.ok(err)
		}, "bad-identity"},
		{"has-another", signin.Provider{LinkByEmail: true}, mail(nil), func(v *vouching) {
			v.User(v.t, "ann@example.com", "")
			v.ok(v.s.LinkUser(v.t.Context(), v.Admin, "ann@example.com", "subject-2"))
		}, "bad-identity"},
		{"made", signin.Provider{AutoCreate: true}, mail(nil), nil, "ann@example.com"},
		{"made-by-claim", signin.Provider{AutoCreate: true, NameClaim: "preferred_username"}, mail(map[string]any{"preferred_username": "annabel"}), nil, "annabel"},
		{"made-of-nothing", signin.Provider{AutoCreate: true}, nil, nil, "bad-identity"},
		{"made-of-a-bad-name", signin.Provider{AutoCreate: true, NameClaim: "n"}, map[string]any{"n": "a b/c"}, nil, "bad-identity"},
		{"taken", signin.Provider{AutoCreate: true, NameClaim: "n"}, map[string]any{"n": "admin"}, nil, "bad-identity"},
		{"domain", signin.Provider{AutoCreate: true, Domains: []string{"example.COM"}}, mail(nil), nil, "ann@example.com"},
		{"another-domain", signin.Provider{AutoCreate: true, Domains: []string{"example.org"}}, mail(nil), nil, "bad-identity"},
		{"unverified-domain", signin.Provider{AutoCreate: true, NameClaim: "n", Domains: []string{"example.com"}}, mail(map[string]any{"n": "ann", "email_verified": nil}), nil, "bad-identity"},
		{"claim", signin.Provider{AutoCreate: true, Claims: map[string]string{"groups": "staff"}}, mail(map[string]any{"groups": []string{"all", "staff"}}), nil, "ann@example.com"},
		{"no-claim", signin.Provider{AutoCreate: true, Claims: map[string]string{"groups": "staff"}}, mail(map[string]any{"groups": []string{"all"}}), nil, "bad-identity"},
	} {
		t.Run(x.what, func(t *testing.T) {
			v := newVouching(t, x.p)
			if x.setup != nil {
				x.setup(v)
			}
			for range 2 { // the second time it is linked
				tk, err := v.enterWith(x.claims, nil)
				got := tk.User
				if err != nil {
					got = code(err)
				}
				if got != x.want {
					t.Errorf("got %s (%v), want %s", got, err, x.want)
				}
			}
		})
	}
}

func TestClaimsFromUserInfo(t *testing.T) {
	v := newVouching(t, signin.Provider{AutoCreate: true, MFA: []string{"mfa"}})
	v.is.info = map[string]any{"email": "ann@example.com", "email_verified": true, "amr": []string{"mfa"}, "sub": "somebody-else"}
	_, err := v.enterWith(nil, nil)
	v.want(err, "bad-identity")
	v.is.info["sub"] = "subject-1"
	tk, err := v.enterWith(nil, nil)
	v.ok(err)
	if tk.User != "ann@example.com" || !v.as(tk).MFA.IsZero() {
		t.Errorf("%s, mfa %v", tk.User, v.as(tk).MFA)
	}
	// What the token says is not mixed with what is told elsewhere.
	v.ok(v.s.UnlinkUser(t.Context(), v.Admin, "ann@example.com"))
	_, err = v.enterWith(map[string]any{"email": "bob@example.com", "sub": "subject-1"}, nil)
	v.want(err, "bad-identity")
}

func TestMFAOfTheProvider(t *testing.T) {
	v := newVouching(t, signin.Provider{MFA: []string{"mfa", "phr"}, AutoCreate: true})
	at := time.Now().Add(-time.Hour).Truncate(time.Second)
	for i, x := range []struct {
		claims map[string]any
		want   bool
	}{
		{map[string]any{"amr": []string{"pwd", "mfa"}, "auth_time": at.Unix()}, true},
		{map[string]any{"acr": "phr", "auth_time": at.Unix()}, true},
		{map[string]any{"amr": []string{"pwd"}, "auth_time": at.Unix()}, false},
		{map[string]any{"acr": "0"}, false},
	} {
		x.claims["email"], x.claims["email_verified"] = "ann@example.com", true
		tk, err := v.enterWith(x.claims, nil)
		v.ok(err)
		mfa := v.as(tk).MFA
		if mfa.IsZero() == x.want || x.want && !mfa.Equal(at) {
			t.Errorf("%d: mfa at %v", i, mfa)
		}
	}
}

func TestProviderSettings(t *testing.T) {
	v := newVouching(t, signin.Provider{Domains: []string{"example.com"}})
	got, err := v.s.GetProvider(t.Context(), v.Admin)
	if err != nil || !got.HasSecret || got.Issuer != v.is.URL || !slices.Equal(got.Domains, []string{"example.com"}) {
		t.Errorf("%+v, %v", got, err)
	}
	bob, _ := v.User(t, "bob", "")
	_, err = v.s.GetProvider(t.Context(), bob)
	v.want(err, "no-match")
	v.want(v.s.PutProvider(t.Context(), bob, got, text("")), "no-match")
	v.want(v.s.DeleteProvider(t.Context(), bob), "no-match")
	// An empty secret keeps the one that is there, for the same client alone.
	v.ok(v.s.PutProvider(t.Context(), v.Admin, got, text("")))
	if got, _ = v.s.GetProvider(t.Context(), v.Admin); !got.HasSecret {
		t.Error("the secret is gone")
	}
	got.ClientID = "another"
	v.ok(v.s.PutProvider(t.Context(), v.Admin, got, text("")))
	if got, _ = v.s.GetProvider(t.Context(), v.Admin); got.HasSecret {
		t.Error("another client has the secret")
	}
	for what, p := range map[string]signin.Provider{
		"http": {Issuer: "http://idp.example", ClientID: "c"}, "userinfo": {Issuer: "https://u:p@idp.example", ClientID: "c"},
		"query": {Issuer: "https://idp.example?x", ClientID: "c"}, "file": {Issuer: "file:///etc/passwd", ClientID: "c"}, "none": {ClientID: "c"},
		"localhost": {Issuer: "http://localhost:1", ClientID: "c"}, "client": {Issuer: "https://idp.example"},
		"scope": {Issuer: "https://idp.example", ClientID: "c", Scopes: []string{"a b"}},
		"many":  {Issuer: "https://idp.example", ClientID: "c", Domains: slices.Repeat([]string{"x"}, 100)},
	} {
		if err := v.s.PutProvider(t.Context(), v.Admin, p, text("")); code(err) != "invalid" {
			t.Errorf("%s: %v", what, err)
		}
	}
	// Without the operator's word, not even loopback is reached.
	strict := signin.New(signin.Config{Gate: v.Gate, Changes: v.Changes, Vault: v.Ring, Home: coretest.Home})
	v.want(strict.PutProvider(t.Context(), v.Admin, signin.Provider{Issuer: v.is.URL, ClientID: "c"}, text("")), "invalid")
	_, err = strict.BeginOIDC(t.Context(), v.nobody(), signin.BeginRequest{Redirect: redirect, Challenge: challenge()})
	v.want(err, "identity-provider")
	v.ok(v.s.DeleteProvider(t.Context(), v.Admin))
	_, err = v.s.BeginOIDC(t.Context(), v.nobody(), signin.BeginRequest{Redirect: redirect, Challenge: challenge()})
	v.want(err, "not-found")
}

// TestIssuerCannotLeadElsewhere holds that a discovery document names no place
// that an administrator could not.
func TestIssuerCannotLeadElsewhere(t *testing.T) {
	v := newVouching(t, signin.Provider{})
	v.is.tokenURL = "http://169.254.169.254/latest/meta-data"
	_, err := v.s.BeginOIDC(t.Context(), v.nobody(), signin.BeginRequest{Redirect: redirect, Challenge: challenge()})
	v.want(err, "identity-provider")
	if strings.Contains(code(err), "169") {
		t.Errorf("it tells what the issuer said: %v", err)
	}
}

// FuzzState holds that no state but those that were given out is taken.
func FuzzState(f *testing.F) {
	t := &testing.T{}
	core := coretest.New(f, coretest.Config{})
	is := newIssuer(f)
	s := signin.New(signin.Config{Gate: core.Gate, Changes: core.Changes, Vault: core.Ring, Home: coretest.Home, Burst: 1 << 30, AllowLoopback: true})
	w := &world{core, t}
	if err := s.PutProvider(context.Background(), core.Admin, signin.Provider{Issuer: is.URL, ClientID: clientID}, text("")); err != nil {
		f.Fatal(err)
	}
	b, err := s.BeginOIDC(context.Background(), w.nobody(), signin.BeginRequest{Redirect: redirect, Challenge: challenge()})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b.State, redirect, verifier)
	f.Add("cso_", "http://[::1]:1/callback", strings.Repeat("v", 43))
	f.Fuzz(func(t *testing.T, state, redir, ver string) {
		is.asked = nil
		_, err := s.FinishOIDC(context.Background(), w.nobody(), signin.FinishRequest{Redirect: redir, State: state, Code: text("bad"), Verifier: text(ver)})
		if err == nil {
			t.Fatal("signed in")
		}
		if is.asked != nil && (state != b.State || redir != redirect || ver != verifier) {
			t.Fatalf("the issuer was asked for state %q, redirect %q", state, redir)
		}
	})
}
