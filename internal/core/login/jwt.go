package login

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/authn"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/mount"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/name"
)

// jwtMethod is how tokens are verified.
type jwtMethod struct {
	Keys         keySource `cbor:"1,keyasint"`
	Algorithms   []string  `cbor:"2,keyasint,omitempty"`
	Issuer       string    `cbor:"3,keyasint,omitempty"` // that iss has to be
	DefaultRole  string    `cbor:"4,keyasint,omitempty"`
	ClientID     string    `cbor:"5,keyasint,omitempty"` // of this server at the issuer, for logins in a browser
	ClientSecret string    `cbor:"6,keyasint,omitempty"`
	ResponseMode string    `cbor:"7,keyasint,omitempty"` // query, which is all that is spoken
}

func (j *jwtMethod) fields() []Field {
	return []Field{
		text("oidc_discovery_url", &j.Keys.Discovery), text("oidc_discovery_ca_pem", &j.Keys.DiscoveryCA),
		text("jwks_url", &j.Keys.JWKS), text("jwks_ca_pem", &j.Keys.JWKSCA), list("jwt_validation_pubkeys", &j.Keys.PEM),
		list("jwt_supported_algs", &j.Algorithms), text("bound_issuer", &j.Issuer), text("default_role", &j.DefaultRole),
		text("oidc_client_id", &j.ClientID), text("oidc_client_secret", &j.ClientSecret).hidden(), text("oidc_response_mode", &j.ResponseMode),
	}
}

func (j *jwtMethod) check() error {
	if j.Keys.count() != 1 {
		return errs.InvalidField("oidc_discovery_url", "exactly one of 'jwt_validation_pubkeys', 'jwks_url' or 'oidc_discovery_url' must be set")
	}
	j.Keys.Discovery, _, _ = strings.Cut(j.Keys.Discovery, "/.well-known/openid-configuration")
	if err := j.Keys.check("jwt_validation_pubkeys"); err != nil {
		return err
	}
	if err := checkAlgorithms("jwt_supported_algs", j.Algorithms); err != nil {
		return err
	}
	j.DefaultRole = strings.ToLower(j.DefaultRole)
	if j.DefaultRole != "" && checkName(j.DefaultRole) != nil {
		return errs.InvalidField("default_role", "that is no name of a role")
	}
	for field, s := range map[string]string{"bound_issuer": j.Issuer, "oidc_client_id": j.ClientID, "oidc_client_secret": j.ClientSecret} {
		if err := name.Text(field, s, maxText); err != nil {
			return err
		}
	}
	switch {
	case (j.ClientID == "") != (j.ClientSecret == ""):
		return errs.InvalidField("oidc_client_id", "both 'oidc_client_id' and 'oidc_client_secret' must be set for OIDC")
	case j.ClientID != "" && j.Keys.Discovery == "":
		return errs.InvalidField("oidc_discovery_url", "'oidc_discovery_url' must be set for OIDC")
	case j.ResponseMode != "" && j.ResponseMode != "query":
		return errs.InvalidField("oidc_response_mode", "the answer of the issuer comes in the query; form_post is not spoken")
	}
	return nil
}

// Types of roles, and of bound claims.
const (
	roleJWT  = "jwt"
	roleOIDC = "oidc"

	claimsText = "string"
	claimsGlob = "glob"
)

// jwtRole is what a role wants of a token.
type jwtRole struct {
	Type       string                     `cbor:"1,keyasint"`
	Audiences  []string                   `cbor:"2,keyasint,omitempty"`
	Subject    string                     `cbor:"3,keyasint,omitempty"`
	Claims     map[string]json.RawMessage `cbor:"4,keyasint,omitempty"`
	ClaimsType string                     `cbor:"5,keyasint"`
	UserClaim  string                     `cbor:"6,keyasint"`
	Pointer    bool                       `cbor:"7,keyasint,omitempty"` // UserClaim is a JSON pointer
	// GroupsClaim says which groups of the issuer's somebody is in; see
	// authn.PutExternal.
	GroupsClaim string            `cbor:"8,keyasint,omitempty"`
	Mappings    map[string]string `cbor:"9,keyasint,omitempty"` // claims to metadata
	Times       times             `cbor:"10,keyasint,omitempty"`
	Redirects   []string          `cbor:"11,keyasint,omitempty"`
	Scopes      []string          `cbor:"12,keyasint,omitempty"`
	MaxAge      time.Duration     `cbor:"13,keyasint,omitempty"`
}

func (j *jwtRole) fields() []Field {
	return []Field{
		text("role_type", &j.Type), list("bound_audiences", &j.Audiences), text("bound_subject", &j.Subject),
		values("bound_claims", &j.Claims), text("bound_claims_type", &j.ClaimsType),
		text("user_claim", &j.UserClaim), flag("user_claim_json_pointer", &j.Pointer), text("groups_claim", &j.GroupsClaim),
		texts("claim_mappings", &j.Mappings),
		span("expiration_leeway", &j.Times.Expiry), span("not_before_leeway", &j.Times.NotBefore), span("clock_skew_leeway", &j.Times.Skew),
		list("allowed_redirect_uris", &j.Redirects), list("oidc_scopes", &j.Scopes), span("max_age", &j.MaxAge),
	}
}

// ownMeta are names of metadata that the method itself sets.
const ownMeta = "role"

func (j *jwtRole) check(t *terms) error {
	switch {
	case j.Type != roleJWT && j.Type != roleOIDC:
		return errs.InvalidField("role_type", "invalid 'role_type': it is jwt or oidc")
	case j.UserClaim == "":
		return errs.InvalidField("user_claim", "a user claim must be defined on the role")
	case j.ClaimsType != claimsText && j.ClaimsType != claimsGlob:
		return errs.InvalidField("bound_claims_type", "invalid 'bound_claims_type': it is string or glob")
	case j.Type == roleOIDC && len(j.Redirects) == 0:
		return errs.InvalidField("allowed_redirect_uris", "'allowed_redirect_uris' must be set if 'role_type' is 'oidc' or unspecified.")
	case j.Type == roleJWT && j.MaxAge != 0:
		return errs.InvalidField("max_age", "it is of roles of type oidc: only of a login in a browser is it known when the user proved itself")
	case j.Type == roleJWT && len(j.Audiences) == 0 && len(t.CIDRs) == 0 && j.Subject == "" && len(j.Claims) == 0:
		return errs.InvalidField("bound_audiences", "must have at least one bound constraint when creating/updating a role")
	}
	for field, l := range map[string][]string{"bound_audiences": j.Audiences, "allowed_redirect_uris": j.Redirects, "oidc_scopes": j.Scopes} {
		if err := checkTexts(field, l); err != nil {
			return err
		}
	}
	if err := checkTexts("user_claim", []string{j.UserClaim, j.GroupsClaim, j.Subject}); err != nil {
		return err
	}
	for field, d := range map[string]time.Duration{"expiration_leeway": j.Times.Expiry, "not_before_leeway": j.Times.NotBefore, "clock_skew_leeway": j.Times.Skew, "max_age": j.MaxAge} {
		if d < -maxSpan || d > maxSpan {
			return errs.InvalidField(field, "it is too long")
		}
	}
	if err := j.checkMappings(); err != nil {
		return err
	}
	return j.checkClaims()
}

func checkTexts(field string, l []string) error {
	if len(l) > maxMembers {
		return errs.InvalidField(field, "more than %d members", maxMembers)
	}
	for _, s := range l {
		if err := name.Text(field, s, maxText); err != nil {
			return err
		}
	}
	return nil
}

func (j *jwtRole) checkMappings() error {
	if len(j.Mappings) > maxMembers {
		return errs.InvalidField("claim_mappings", "more than %d members", maxMembers)
	}
	to := slices.Sorted(maps.Values(j.Mappings))
	for i, k := range to {
		switch {
		case k == "" || len(k) > 128 || name.Text("claim_mappings", k, 128) != nil:
			return errs.InvalidField("claim_mappings", "the name of a piece of metadata is 1 to 128 characters of text")
		case k == ownMeta:
			return errs.InvalidField("claim_mappings", "metadata key %q is reserved and may not be a mapping destination", k)
		case i > 0 && to[i-1] == k:
			return errs.InvalidField("claim_mappings", "multiple keys are mapped to metadata key %q", k)
		}
	}
	return nil
}

func (j *jwtRole) checkClaims() error {
	if len(j.Claims) > maxMembers {
		return errs.InvalidField("bound_claims", "more than %d claims", maxMembers)
	}
	for n, raw := range j.Claims {
		want, ok := wanted(raw)
		if !ok || n == "" || len(raw) > maxText || len(want) > maxMembers {
			return errs.InvalidField("bound_claims", "what a claim has to be is a text, a number, true or false, or a list of up to %d of them", maxMembers)
		}
		for _, w := range want {
			if _, isText := w.(string); j.ClaimsType == claimsGlob && !isText {
				return errs.InvalidField("bound_claims", "a pattern is a text")
			}
		}
	}
	return nil
}

// takes holds a token against a role. It tells what does not fit, for the log:
// outside it would tell of the role.
func (j *jwtRole) takes(c claims) (why string) {
	aud, ok := c.audiences()
	switch {
	case !ok:
		return "the claim aud is neither a text nor a list of texts"
	case len(aud) > 0 && len(j.Audiences) == 0:
		return "audience claim found in JWT but no audiences bound to the role"
	case len(j.Audiences) > 0 && !slices.ContainsFunc(aud, func(a string) bool { return slices.Contains(j.Audiences, a) }):
		return "aud claim does not match any bound audience"
	}
	return j.bound(c)
}

// bound holds the rest of a token against a role.
func (j *jwtRole) bound(c claims) (why string) {
	if sub, _ := c.text("sub"); j.Subject != "" && sub != j.Subject {
		return "sub claim does not match bound subject"
	}
	for _, n := range slices.Sorted(maps.Keys(j.Claims)) {
		is := c.get(n)
		if n == "aud" {
			aud, _ := c.audiences()
			var all []any
			for _, a := range aud {
				all = append(all, a)
			}
			is = all
		}
		want, ok := wanted(j.Claims[n])
		if !ok || is == nil || !holds(is, want, j.ClaimsType == claimsGlob) {
			return "claim " + n + " does not match any associated bound claim values"
		}
	}
	return ""
}

// user is the name by which the role knows who logs in.
func (j *jwtRole) user(c claims) (string, bool) {
	v := c[j.UserClaim]
	if j.Pointer {
		v = c.get(j.UserClaim)
	}
	s, ok := v.(string)
	return s, ok && s != ""
}

// maxClaimed is how many groups a token may name; GitLab and Entra ID stop at 200.
const maxClaimed = 1000

// groups are those of the issuer's that a token names, with or without an alias
// here. A claim that is not there is nobody's membership and no reason to let in:
// absent reports it.
func (j *jwtRole) groups(c claims) (names []string, absent, ok bool) {
	if j.GroupsClaim == "" {
		return nil, false, true
	}
	v := c.get(j.GroupsClaim)
	if v == nil {
		return nil, true, false
	}
	all, ok := listOf(v)
	if !ok || len(all) > maxClaimed {
		return nil, false, false
	}
	for _, x := range all {
		s, ok := x.(string)
		if !ok {
			return nil, false, false
		}
		if s != "" {
			names = append(names, s)
		}
	}
	return names, false, true
}

// meta is what the role takes from the claims.
func (j *jwtRole) meta(c claims, n string) (map[string]string, bool) {
	out := map[string]string{ownMeta: n}
	for from, to := range j.Mappings {
		switch v := c.get(from).(type) {
		case nil:
		case string:
			out[to] = v
		default:
			return nil, false
		}
	}
	return out, checkMeta(out) == nil
}

// JWTLogin is a login by a token of somebody who vouches for others.
type JWTLogin struct {
	Role string // default the method's
	JWT  string
}

// roleRefuses answers for a role, whether it exists or not.
func roleRefuses() error { return refused("the role does not take this token") }

// LoginJWT gives a token to who shows a signed one that the role takes.
func (s *Service) LoginJWT(ctx context.Context, nobody caller.Caller, m *mount.Mount, req JWTLogin) (Entered, error) {
	w, n, err := s.proveJWT(ctx, nobody, m, &req)
	return s.finish(ctx, nobody, m, n, w, err)
}

// finish enters, or records why not.
func (s *Service) finish(ctx context.Context, nobody caller.Caller, m *mount.Mount, claimed string, w *way, err error) (Entered, error) {
	if err != nil {
		return Entered{}, s.fail(ctx, nobody, m, claimed, err)
	}
	out, known, err := s.enter(ctx, nobody, w)
	if err != nil && !known {
		err = s.fail(ctx, nobody, m, claimed, err)
	}
	return out, err
}

// method reads how a mount is configured.
func (s *Service) method(ctx context.Context, acct string, m *mount.Mount) (out *method, err error) {
	err = s.gate.DB.View(ctx, func(r kv.Reader) (err error) {
		out, err = record.Find[method](r, methodKey(acct, m.Accessor))
		return err
	})
	return out, err
}

func notConfigured() error {
	return errs.Coded(errs.Precondition, CodeConfig, "could not load configuration: the login method is not configured")
}

// role reads a role, nil for none.
func (s *Service) role(ctx context.Context, acct string, m *mount.Mount, n string) (out *role, err error) {
	err = s.gate.DB.View(ctx, func(r kv.Reader) (err error) {
		out, err = findRole(r, acct, m.Accessor, n)
		return err
	})
	return out, err
}

func (s *Service) proveJWT(ctx context.Context, nobody caller.Caller, m *mount.Mount, req *JWTLogin) (w *way, n string, err error) {
	n = strings.ToLower(req.Role)
	if err := s.begin(nobody); err != nil {
		return nil, n, err
	}
	conf, err := s.method(ctx, nobody.Account, m)
	if err != nil {
		return nil, n, err
	}
	if conf == nil || conf.JWT == nil {
		return nil, n, notConfigured()
	}
	if n == "" {
		n = conf.JWT.DefaultRole
	}
	switch {
	case n == "":
		return nil, n, errs.InvalidField("role", "missing role")
	case req.JWT == "":
		return nil, n, errs.InvalidField("jwt", "missing token")
	case checkName(n) != nil:
		return nil, "", roleRefuses()
	}
	of, err := s.role(ctx, nobody.Account, m, n)
	if err != nil {
		return nil, n, err
	}
	there := of != nil && of.JWT != nil && of.JWT.Type == roleJWT
	if !there {
		of = &role{JWT: &jwtRole{}}
	}
	c, err := s.vouched(ctx, conf.JWT, &of.JWT.Times, req.JWT)
	if err != nil {
		return nil, n, err
	}
	if !there {
		s.because(m, n, "there is no such role of type jwt")
		return nil, n, roleRefuses()
	}
	if why := of.JWT.takes(c); why != "" {
		s.because(m, n, why)
		return nil, n, roleRefuses()
	}
	w, err = s.wayOf(ctx, nobody, m, n, of, conf, c)
	return w, n, err
}

// because tells the operator why a role refused what was shown; outside it would
// tell of the role.
func (s *Service) because(m *mount.Mount, n, why string) {
	s.logger.Debug("a login was refused", "mount", m.Path, "role", n, "reason", why)
}

// vouched verifies a token, its issuer and its times.
func (s *Service) vouched(ctx context.Context, conf *jwtMethod, t *times, raw string) (claims, error) {
	c, issuer, err := s.verify(ctx, &conf.Keys, conf.Algorithms, raw)
	if err != nil {
		return nil, err
	}
	if conf.Issuer != "" {
		issuer = conf.Issuer
	}
	if is, _ := c.text("iss"); issuer != "" && is != issuer {
		return nil, badToken("invalid issuer (iss) claim")
	}
	return c, t.check(c, time.Now())
}

// wayOf is what a token that the role took leads to.
func (s *Service) wayOf(ctx context.Context, nobody caller.Caller, m *mount.Mount, n string, of *role, conf *method, c claims) (*way, error) {
	user, ok := of.JWT.user(c)
	if !ok {
		s.because(m, n, "claim "+of.JWT.UserClaim+" is not a text")
		return nil, roleRefuses()
	}
	meta, ok := of.JWT.meta(c, n)
	if !ok {
		s.because(m, n, "a mapped claim is not a text, or too long")
		return nil, roleRefuses()
	}
	groups, absent, ok := of.JWT.groups(c)
	if !ok {
		s.because(m, n, "claim "+of.JWT.GroupsClaim+" is not there, or not a text or a list of at most "+strconv.Itoa(maxClaimed)+" texts")
		if absent {
			if err := s.leave(ctx, nobody.Account, m, user); err != nil {
				return nil, err
			}
		}
		return nil, roleRefuses()
	}
	return &way{mount: m, role: n, terms: &of.Terms, proof: caller.ProofJWT, alias: user, label: user, groups: groups,
		display: cut(short(m)+"-"+user, maxAlias), meta: meta, settle: s.unchanged(nobody.Account, m, n, of, conf)}, nil
}

// leave ends the memberships that earlier logins proved, of somebody whose issuer
// does not say any more which groups it is in. That nobody is let in by such a token
// must not leave it in all of them.
func (s *Service) leave(ctx context.Context, acct string, m *mount.Mount, user string) error {
	if checkAlias(user) != nil {
		return nil
	}
	_, err := s.gate.DB.Update(ctx, func(tx kv.Txn) error {
		id, ok, err := Resolve(tx, acct, m.Accessor, user)
		if err != nil || !ok {
			return err
		}
		_, _, err = authn.PutExternal(tx, id, m.Accessor, nil)
		return err
	})
	return gate.Classify(err)
}

// unchanged refuses a login whose role or method was changed since it was judged.
func (s *Service) unchanged(acct string, m *mount.Mount, n string, of *role, conf *method) func(tx *change.Tx) error {
	return func(tx *change.Tx) error {
		now, err := findRole(tx, acct, m.Accessor, n)
		if err != nil {
			return err
		}
		var how *method
		if conf != nil {
			if how, err = record.Find[method](tx, methodKey(acct, m.Accessor)); err != nil {
				return err
			}
		}
		if now == nil || now.Instance != of.Instance || now.Revision != of.Revision || conf != nil && (how == nil || how.Revision != conf.Revision) {
			return errs.New(errs.Conflict, "the role or the method was changed meanwhile")
		}
		return nil
	}
}

// cut shortens a text to so many bytes, whole characters of them.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}
