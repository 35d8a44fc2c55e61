package signin

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"countersign/internal/caller"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/name"
	"countersign/internal/sensitive"
)

const (
	methodOIDC = "oidc"
	// OIDCLasts is how long a session lasts that an identity provider let in:
	// it is not asked again when the session is refreshed.
	OIDCLasts = 12 * time.Hour
	// stateLasts is how long one may take to sign in at the provider.
	stateLasts  = 10 * time.Minute
	statePrefix = "cso_"
	macLen      = 32
)

// BeginRequest begins a login by the account's identity provider (OpenID Connect
// Core 1.0, authorization code flow) for a program on the user's machine
// (RFC 8252), which keeps the verifier of its challenge (RFC 7636).
type BeginRequest struct {
	Account   string // default the home account
	Redirect  string // http://127.0.0.1:PORT/callback
	Challenge string // S256
}

// Begun is where to send the user's browser.
type Begun struct {
	URL   string
	State string // comes back with the code
}

// BeginOIDC begins a login. The state is not kept: it holds a code of its own
// that binds it to what it was made for, so that beginning many costs nothing.
func (s *Service) BeginOIDC(ctx context.Context, nobody caller.Caller, req BeginRequest) (out Begun, err error) {
	if req.Account == "" {
		req.Account = s.home
	}
	out, err = s.begin(ctx, nobody, &req)
	return out, s.refuse(ctx, nobody, policy.BeginOIDCLogin, req.Account, "", err)
}

func (s *Service) begin(ctx context.Context, nobody caller.Caller, req *BeginRequest) (Begun, error) {
	now := time.Now()
	if err := s.sources.take(nobody.Source, now); err != nil {
		return Begun{}, err
	}
	if b, err := base64.RawURLEncoding.Strict().DecodeString(req.Challenge); err != nil || len(b) != sha256.Size {
		return Begun{}, errs.InvalidField("code_challenge", "the challenge is not a SHA-256 hash in base64url (RFC 7636)")
	}
	p, err := s.loadProvider(ctx, req.Account, req.Redirect)
	if err != nil {
		return Begun{}, err
	}
	at, err := s.providers.discover(ctx, p.Issuer)
	if err != nil {
		return Begun{}, err
	}
	head := binary.BigEndian.AppendUint64(random(idLen), uint64(now.Add(stateLasts).Unix()))
	state := string(spell(statePrefix, head, s.bind(head, req.Account, &p, req.Redirect, req.Challenge)))
	c := p.oauth(at, req.Redirect)
	return Begun{State: state, URL: c.AuthCodeURL(state, oidc.Nonce(s.nonce(state)),
		oauth2.SetAuthURLParam("code_challenge", req.Challenge), oauth2.SetAuthURLParam("code_challenge_method", "S256"))}, nil
}

// bind is the code by which a state is known to be of this server, for this.
func (s *Service) bind(head []byte, acct string, p *provider, redirect, challenge string) []byte {
	var b []byte
	for _, part := range []string{string(head), acct, p.Issuer, p.ClientID, redirect, challenge} {
		b = append(binary.AppendUvarint(b, uint64(len(part))), part...)
	}
	return s.hash("oidc-state", b)
}

func (s *Service) nonce(state string) string {
	return base64.RawURLEncoding.EncodeToString(s.hash("oidc-nonce", []byte(state)))
}

// loadProvider checks what a stranger names and reads the provider.
func (s *Service) loadProvider(ctx context.Context, acct, redirect string) (p provider, err error) {
	if err := name.Account(acct); err != nil {
		return p, err
	}
	u, err := url.Parse(redirect)
	if err != nil || len(redirect) > 64 || u.Scheme != "http" || !loopbackHost(u.Hostname()) || u.Port() == "" ||
		redirect != "http://"+u.Host+"/callback" {
		return p, errs.InvalidField("redirect_uri", "the redirect is not http://127.0.0.1:PORT/callback")
	}
	ok := false
	err = s.gate.DB.View(ctx, func(r kv.Reader) (err error) {
		p, ok, err = record.Get[provider](r, providerKey(acct))
		return err
	})
	if err == nil && !ok { // as for an account that does not exist
		err = errs.New(errs.NotFound, "the account has no identity provider")
	}
	return p, err
}

func (p *provider) oauth(at *oidc.Provider, redirect string) *oauth2.Config {
	scopes := p.Scopes
	if len(scopes) == 0 {
		scopes = []string{"profile", "email"}
	}
	return &oauth2.Config{ClientID: p.ClientID, ClientSecret: string(p.Secret), Endpoint: at.Endpoint(), RedirectURL: redirect,
		Scopes: append([]string{oidc.ScopeOpenID}, scopes...)}
}

// FinishRequest ends a login: what the browser brought back, and the verifier.
type FinishRequest struct {
	Account  string
	Redirect string
	Code     sensitive.Bytes
	State    string
	Verifier sensitive.Bytes
	Device   sensitive.Bytes
}

func badIdentity(msg string) error {
	return errs.Coded(errs.Unauthenticated, "bad-identity", "%s", msg)
}

// FinishOIDC signs in whom the identity provider vouches for.
func (s *Service) FinishOIDC(ctx context.Context, nobody caller.Caller, req FinishRequest) (Tokens, error) {
	if req.Account == "" {
		req.Account = s.home
	}
	p, id, err := s.vouched(ctx, nobody, &req)
	user := ""
	if err == nil {
		user, err = s.userOf(ctx, nobody, req.Account, &p, id)
	}
	if err != nil {
		return Tokens{}, s.refuse(ctx, nobody, policy.Login, req.Account, user, err)
	}
	return s.enter(ctx, nobody, &req, &p, id, user)
}

// vouched exchanges the code and verifies the identity token.
func (s *Service) vouched(ctx context.Context, nobody caller.Caller, req *FinishRequest) (p provider, id identity, err error) {
	now := time.Now()
	if err = s.sources.take(nobody.Source, now); err != nil {
		return p, id, err
	}
	if n := req.Verifier.Len(); n < 43 || n > 128 || req.Code.Len() == 0 || req.Code.Len() > 4096 {
		return p, id, errs.InvalidField("code", "the code is empty or too long, or the verifier not 43 to 128 characters")
	}
	if p, err = s.loadProvider(ctx, req.Account, req.Redirect); err != nil {
		return p, id, err
	}
	sum := sha256.Sum256(req.Verifier.Reveal())
	parts, ok := split([]byte(req.State), statePrefix, idLen+8, macLen)
	if !ok || !same(s.bind(parts[0], req.Account, &p, req.Redirect, base64.RawURLEncoding.EncodeToString(sum[:])), parts[1]) ||
		now.Unix() >= int64(binary.BigEndian.Uint64(parts[0][idLen:])) {
		return p, id, badIdentity("the login was not begun here, or took too long: begin again")
	}
	at, err := s.providers.discover(ctx, p.Issuer)
	if err != nil {
		return p, id, err
	}
	ctx = s.providers.with(ctx)
	tok, err := p.oauth(at, req.Redirect).Exchange(ctx, string(req.Code.Reveal()), oauth2.VerifierOption(string(req.Verifier.Reveal())))
	if err != nil {
		var said *oauth2.RetrieveError
		if errors.As(err, &said) && said.Response != nil && said.Response.StatusCode < 500 {
			return p, id, badIdentity("the identity provider does not take the code")
		}
		return p, id, unreachable(errors.New("exchanging the code")) // the cause may quote the answer
	}
	raw, _ := tok.Extra("id_token").(string)
	id, err = p.verify(ctx, at, raw, s.nonce(req.State), oauth2.StaticTokenSource(tok))
	return p, id, err
}

// identity is what an identity token says.
type identity struct {
	Subject string
	Email   string    // verified, lower case; empty otherwise
	Name    string    // by the name claim
	MFA     time.Time // when a second factor was shown; zero when none was
}

// verify checks an identity token and what the provider's settings ask of it.
func (p *provider) verify(ctx context.Context, at *oidc.Provider, raw, nonce string, access oauth2.TokenSource) (id identity, err error) {
	t, err := at.Verifier(&oidc.Config{ClientID: p.ClientID}).Verify(ctx, raw)
	if err != nil {
		return id, &errs.Error{Kind: errs.Unauthenticated, Code: "bad-identity", Msg: "the identity provider's token is not valid", Err: err}
	}
	var c map[string]any
	if err := t.Claims(&c); err != nil || !same([]byte(t.Nonce), []byte(nonce)) || t.Subject == "" || len(t.Subject) > maxSubject || !plain(t.Subject) {
		return id, badIdentity("the identity provider's token is not for this login")
	}
	if azp, _ := c["azp"].(string); len(t.Audience) > 1 && azp != p.ClientID {
		return id, badIdentity("the identity provider's token is for another client")
	}
	if err := p.complete(ctx, at, t.Subject, c, access); err != nil {
		return id, err
	}
	return p.read(c, t)
}

// complete asks the issuer for claims about the user that a token lacks: many
// tell them at their UserInfo endpoint alone (section 5.3). Whatever says how
// the user proved itself is taken from the signed token only.
func (p *provider) complete(ctx context.Context, at *oidc.Provider, subject string, c map[string]any, access oauth2.TokenSource) error {
	lacks := []string{}
	wanted := append(slices.Collect(maps.Keys(p.Claims)), "email", p.NameClaim)
	for _, n := range wanted {
		if _, ok := c[n]; !ok && n != "" && !slices.Contains(ofToken, n) {
			lacks = append(lacks, n)
		}
	}
	if len(lacks) == 0 || at.UserInfoEndpoint() == "" {
		return nil
	}
	info, err := at.UserInfo(ctx, access)
	if err != nil {
		return unreachable(errors.New("asking for claims")) // the cause may quote the answer
	}
	var more map[string]any
	if err := info.Claims(&more); err != nil || info.Subject != subject {
		return badIdentity("the identity provider's claims are about somebody else")
	}
	for _, n := range lacks {
		if v, ok := more[n]; ok {
			c[n] = v
		}
		if n == "email" {
			c["email_verified"] = more["email_verified"]
		}
	}
	return nil
}

// ofToken are claims that only the signed token can say.
var ofToken = []string{"iss", "sub", "aud", "exp", "iat", "nonce", "azp", "amr", "acr", "auth_time", "email_verified"}

// read takes what is of use out of the claims, and holds them against the
// provider's settings.
func (p *provider) read(c map[string]any, t *oidc.IDToken) (identity, error) {
	id := identity{Subject: t.Subject}
	if email, _ := c["email"].(string); verified(c["email_verified"]) {
		id.Email = strings.ToLower(email)
	}
	switch p.NameClaim {
	case "", "email":
		id.Name = userName(id.Email)
	default:
		n, _ := c[p.NameClaim].(string)
		id.Name = userName(n)
	}
	_, domain, _ := strings.Cut(id.Email, "@")
	if len(p.Domains) > 0 && !slices.ContainsFunc(p.Domains, func(d string) bool { return strings.EqualFold(d, domain) }) {
		return id, badIdentity("the identity has no verified e-mail address of an allowed domain")
	}
	for claim, want := range p.Claims {
		if !holds(c[claim], want) {
			return id, badIdentity("the identity has not what claim " + claim + " has to be")
		}
	}
	if slices.ContainsFunc(p.MFA, func(m string) bool { return holds(c["amr"], m) || holds(c["acr"], m) }) {
		id.MFA = shown(c["auth_time"], t.IssuedAt)
	}
	return id, nil
}

// verified takes the claim as the specification has it and as some spell it.
func verified(v any) bool { return v == true || v == "true" }

// holds reports whether a claim is a text, or a list that has it.
func holds(v any, want string) bool {
	switch v := v.(type) {
	case string:
		return v == want
	case bool:
		return want == map[bool]string{true: "true", false: "false"}[v]
	case []any:
		return slices.Contains(v, any(want))
	}
	return false
}

// shown is when the user last proved itself to the provider, at the latest when
// the token was made.
func shown(authTime any, issued time.Time) time.Time {
	if secs, ok := authTime.(float64); ok && secs > 0 && secs < float64(issued.Unix()) {
		return time.Unix(int64(secs), 0)
	}
	return issued
}
