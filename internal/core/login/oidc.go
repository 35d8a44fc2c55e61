package login

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"countersign/internal/caller"
	"countersign/internal/core/gate"
	"countersign/internal/core/mount"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/sensitive"
)

// stateLasts is how long one may take to log in at the issuer.
const stateLasts = 10 * time.Minute

// state is what a login in a browser was begun for. It travels sealed, as the state
// of the authorization request, so that beginning many costs nothing.
type state struct {
	Role     string `cbor:"1,keyasint"`
	Redirect string `cbor:"2,keyasint"`
	Ends     int64  `cbor:"3,keyasint"`
	Head     []byte `cbor:"4,keyasint"`           // random; nonce and verifier are derived from it
	Client   []byte `cbor:"5,keyasint,omitempty"` // hash of the client's nonce
}

// AuthURLRequest begins a login in a browser (OpenID Connect Core 1.0,
// authorization code flow).
type AuthURLRequest struct {
	Role        string // default the method's
	Redirect    string // one of the role's allowed_redirect_uris
	ClientNonce string // shown again at the end, by who began; empty for none
}

// AuthURL returns where to send the browser, and "" when the role does not take
// part, or is not there: that is not told apart.
func (s *Service) AuthURL(ctx context.Context, nobody caller.Caller, m *mount.Mount, req AuthURLRequest) (string, error) {
	at, n, err := s.authURL(ctx, nobody, m, &req)
	rec := gate.NewRecord(nobody, policy.BeginOIDCLogin, short(m))
	if checkName(n) == nil {
		rec.Resource += "/" + n
	}
	return at, s.gate.Finish(ctx, &rec, err)
}

func (s *Service) authURL(ctx context.Context, nobody caller.Caller, m *mount.Mount, req *AuthURLRequest) (at, n string, err error) {
	n = strings.ToLower(req.Role)
	if err := s.begin(nobody); err != nil {
		return "", n, err
	}
	conf, of, n, err := s.oidcRole(ctx, nobody, m, n)
	if err != nil {
		return "", n, err
	}
	switch {
	case req.Redirect == "":
		return "", n, errs.InvalidField("redirect_uri", "missing redirect_uri")
	case len(req.Redirect) > maxText || len(req.ClientNonce) > maxText:
		return "", n, errs.InvalidField("redirect_uri", "it is too long")
	case of == nil || !allowsRedirect(of.JWT.Redirects, req.Redirect):
		return "", n, nil
	}
	p, err := s.provider(ctx, &conf.JWT.Keys)
	if err != nil {
		return "", n, err
	}
	st := state{Role: n, Redirect: req.Redirect, Ends: micros(time.Now().Add(stateLasts)), Head: random(16)}
	if req.ClientNonce != "" {
		st.Client = s.hash("oidc-client", req.ClientNonce)
	}
	sealed, err := s.seal(nobody.Account, m, &st)
	if err != nil {
		return "", n, err
	}
	opts := []oauth2.AuthCodeOption{oidc.Nonce(s.derived("oidc-nonce", st.Head)), oauth2.S256ChallengeOption(s.derived("oidc-verifier", st.Head))}
	if of.JWT.MaxAge > 0 {
		opts = append(opts, oauth2.SetAuthURLParam("max_age", seconds(of.JWT.MaxAge)))
	}
	return s.oauth(p, conf, of, req.Redirect).AuthCodeURL(sealed, opts...), n, nil
}

// oidcRole reads method and role; of is nil when the role does not take part.
func (s *Service) oidcRole(ctx context.Context, nobody caller.Caller, m *mount.Mount, n string) (conf *method, of *role, name string, err error) {
	if conf, err = s.method(ctx, nobody.Account, m); err != nil {
		return nil, nil, n, err
	}
	if conf == nil || conf.JWT == nil || conf.JWT.ClientID == "" {
		return nil, nil, n, notConfigured()
	}
	if n == "" {
		n = conf.JWT.DefaultRole
	}
	if n == "" {
		return nil, nil, n, errs.InvalidField("role", "missing role")
	}
	if checkName(n) != nil {
		return conf, nil, "", nil
	}
	if of, err = s.role(ctx, nobody.Account, m, n); err == nil && of != nil && (of.JWT == nil || of.JWT.Type != roleOIDC) {
		of = nil
	}
	return conf, of, n, err
}

// allowsRedirect compares addresses as they are written, but for the port of one
// that leads to the machine of the browser (RFC 8252, section 7.3).
func allowsRedirect(allowed []string, to string) bool {
	if slices.Contains(allowed, to) {
		return true
	}
	u, err := url.Parse(to)
	if err != nil || u.User != nil || !slices.Contains([]string{"localhost", "127.0.0.1", "::1"}, u.Hostname()) {
		return false
	}
	return slices.ContainsFunc(allowed, func(a string) bool {
		v, err := url.Parse(a)
		return err == nil && v.Scheme == u.Scheme && v.Hostname() == u.Hostname() && v.Path == u.Path && v.RawQuery == u.RawQuery && v.User == nil
	})
}

func (s *Service) derived(kind string, head []byte) string {
	return base64.RawURLEncoding.EncodeToString(s.hash(kind, string(head)))
}

// stateFor binds a sealed state to the mount that made it.
func stateFor(m *mount.Mount) []byte { return []byte("login-oidc-state/1\x00" + m.Accessor) }

func (s *Service) seal(acct string, m *mount.Mount, st *state) (string, error) {
	b, err := record.Encode(st)
	if err != nil {
		return "", err
	}
	if b, err = s.vault.Seal(nil, b, stateFor(m), acct); err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(b), nil
}

func (s *Service) open(acct string, m *mount.Mount, sealed string, now time.Time) (*state, bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(sealed)
	if err != nil {
		return nil, false
	}
	if b, err = s.vault.Open(nil, b, stateFor(m), acct); err != nil {
		return nil, false
	}
	var st state
	if record.Decode(b, &st) != nil || micros(now) >= st.Ends {
		return nil, false
	}
	return &st, true
}

func (s *Service) oauth(p *oidc.Provider, conf *method, of *role, redirect string) *oauth2.Config {
	return &oauth2.Config{ClientID: conf.JWT.ClientID, ClientSecret: conf.JWT.ClientSecret, Endpoint: p.Endpoint(), RedirectURL: redirect,
		Scopes: append([]string{oidc.ScopeOpenID}, of.JWT.Scopes...)}
}

// CallbackRequest ends a login in a browser: what it brought back.
type CallbackRequest struct {
	State       string
	Code        sensitive.Bytes
	ClientNonce string
}

// OIDCCallback gives a token to whom the issuer vouches for.
func (s *Service) OIDCCallback(ctx context.Context, nobody caller.Caller, m *mount.Mount, req CallbackRequest) (Entered, error) {
	w, n, err := s.proveOIDC(ctx, nobody, m, &req)
	return s.finish(ctx, nobody, m, n, w, err)
}

func (s *Service) proveOIDC(ctx context.Context, nobody caller.Caller, m *mount.Mount, req *CallbackRequest) (*way, string, error) {
	if err := s.begin(nobody); err != nil {
		return nil, "", err
	}
	now := time.Now()
	if len(req.State) > maxText || req.Code.Len() == 0 || req.Code.Len() > maxText {
		return nil, "", errs.InvalidField("code", "no code, or one that is too long")
	}
	st, ok := s.open(nobody.Account, m, req.State, now)
	if !ok {
		return nil, "", refused("expired or missing OAuth state")
	}
	var client []byte
	if req.ClientNonce != "" {
		client = s.hash("oidc-client", req.ClientNonce)
	}
	if subtle.ConstantTimeCompare(client, st.Client) != 1 {
		return nil, "", refused("invalid client_nonce")
	}
	conf, of, n, err := s.oidcRole(ctx, nobody, m, st.Role)
	if err == nil && of == nil {
		err = roleRefuses() // it was changed
	}
	if err != nil {
		return nil, n, err
	}
	c, err := s.exchange(ctx, conf, of, st, req.Code)
	if err != nil {
		return nil, n, err
	}
	why := of.JWT.takesID(c, now)
	if why != "" {
		s.because(m, n, why)
		return nil, n, roleRefuses()
	}
	w, err := s.wayOf(ctx, nobody, m, n, of, conf, c)
	return w, n, err
}

// takesID holds an identity token against a role of type oidc, whose audience was
// checked: it is this server.
func (j *jwtRole) takesID(c claims, now time.Time) (why string) {
	aud, _ := c.audiences()
	if len(j.Audiences) > 0 && !slices.ContainsFunc(aud, func(a string) bool { return slices.Contains(j.Audiences, a) }) {
		return "aud claim does not match any bound audience"
	}
	if at, has, _ := c.number("auth_time"); j.MaxAge > 0 && (!has || now.Sub(time.Unix(int64(at), 0)) > j.MaxAge+time.Minute) {
		return "the user proved itself to the issuer too long ago"
	}
	return j.bound(c)
}

// exchange turns the code into an identity token and verifies that.
func (s *Service) exchange(ctx context.Context, conf *method, of *role, st *state, code sensitive.Bytes) (claims, error) {
	p, err := s.provider(ctx, &conf.JWT.Keys)
	if err != nil {
		return nil, err
	}
	ctx = oidc.ClientContext(ctx, s.client(conf.JWT.Keys.DiscoveryCA))
	tok, err := s.oauth(p, conf, of, st.Redirect).Exchange(ctx, string(code.Reveal()), oauth2.VerifierOption(s.derived("oidc-verifier", st.Head)))
	if err != nil {
		var said *oauth2.RetrieveError
		if errors.As(err, &said) && said.Response != nil && said.Response.StatusCode < http.StatusInternalServerError {
			return nil, refused("the issuer does not take the code")
		}
		return nil, unreachable(err)
	}
	raw, _ := tok.Extra("id_token").(string)
	algs := conf.JWT.Algorithms
	if len(algs) == 0 {
		algs = algorithms[:1]
	}
	c, issuer, err := s.verify(ctx, &conf.JWT.Keys, algs, raw)
	if err != nil {
		return nil, err
	}
	if err := checkID(c, issuer, conf.JWT.ClientID, s.derived("oidc-nonce", st.Head)); err != nil {
		return nil, err
	}
	if _, has, _ := c.number("exp"); !has {
		return nil, badToken("it does not expire")
	}
	if err := (&times{}).check(c, time.Now()); err != nil {
		return nil, err
	}
	return c, s.complete(ctx, p, c, tok)
}

// checkID holds an identity token against what was asked for (section 3.1.3.7).
func checkID(c claims, issuer, client, nonce string) error {
	aud, ok := c.audiences()
	azp, hasAzp := c.text("azp")
	is, _ := c.text("iss")
	got, _ := c.text("nonce")
	switch {
	case issuer == "" || is != issuer:
		return badToken("invalid issuer (iss) claim")
	case !ok || !slices.Contains(aud, client), len(aud) > 1 && azp != client, hasAzp && azp != client:
		return badToken("it is for another client (aud, azp)")
	case subtle.ConstantTimeCompare([]byte(got), []byte(nonce)) != 1:
		return badToken("it is not of this login (nonce)")
	}
	return nil
}

// complete adds what the issuer tells at its UserInfo endpoint alone (section
// 5.3). What the signed token says stays as it is.
func (s *Service) complete(ctx context.Context, p *oidc.Provider, c claims, tok *oauth2.Token) error {
	if p.UserInfoEndpoint() == "" {
		return nil
	}
	info, err := p.UserInfo(ctx, oauth2.StaticTokenSource(tok))
	if err != nil {
		return unreachable(err)
	}
	var raw json.RawMessage
	sub, _ := c.text("sub")
	if err := info.Claims(&raw); err != nil || sub == "" || info.Subject != sub {
		return badToken("the issuer's claims are about somebody else")
	}
	more, err := parseClaims(raw)
	if err != nil {
		return badToken("the issuer's claims are not a JSON object")
	}
	for k, v := range more {
		if _, has := c[k]; !has && !slices.Contains(ofToken, k) {
			c[k] = v
		}
	}
	return nil
}

// ofToken are claims that only the signed token can say.
var ofToken = []string{"iss", "sub", "aud", "exp", "iat", "nbf", "nonce", "azp", "amr", "acr", "auth_time"}
