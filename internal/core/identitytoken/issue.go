package identitytoken

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"countersign/internal/caller"
	"countersign/internal/core/authn"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/sensitive"
)

// Issued is a token. Who holds it can show it until it ends.
type Issued struct {
	Token  sensitive.Bytes
	Client string // its audience
	TTL    time.Duration
}

// issuing is all that a token is made of.
type issuing struct {
	role    role
	key     key
	issuer  string
	subject subject
}

// Issue makes a token that says who the caller is, by a role.
func (s *Service) Issue(ctx context.Context, who caller.Caller, n string) (Issued, error) {
	var i issuing
	err := s.view(ctx, who, policy.IssueIdentityToken, NounRole, n, func(a *gate.Access) (err error) {
		i, err = s.gather(a, who, n)
		return err
	})
	if errs.As(err) != nil && errs.As(err).Code == CodeMaking {
		s.woken.Ring()
	}
	if err != nil {
		return Issued{}, err
	}
	return i.issue(s.namespace(who.Account), time.Now())
}

// gather reads what a token is made of.
func (s *Service) gather(r kv.Reader, who caller.Caller, n string) (i issuing, err error) {
	v, err := record.Find[role](r, roleKey(who.Account, n))
	switch {
	case err != nil:
		return i, err
	case v == nil:
		return i, missingRole()
	}
	k, err := record.Find[key](r, keyKey(who.Account, v.Key))
	switch {
	case err != nil:
		return i, err
	case k == nil:
		return i, missingKey()
	case !slices.Contains(k.Clients, "*") && !slices.Contains(k.Clients, v.Client):
		return i, errs.Coded(errs.Precondition, CodeClient, "the key %q does not list the client ID of the role %q as an allowed client ID", v.Key, n)
	case k.Signing == nil:
		return i, errs.Coded(errs.Unavailable, CodeMaking, "the key is being made: try again in a moment")
	}
	i = issuing{role: *v, key: *k, subject: subject{who: who}}
	if i.issuer, err = s.issuer(r, who.Account); err != nil || s.Aliases == nil {
		return i, err
	}
	i.subject.aliases, err = s.Aliases(r, who.Account, who.Name)
	return i, err
}

func (i *issuing) issue(namespace string, now time.Time) (Issued, error) {
	ttl := min(i.role.TTL, i.key.Verification)
	i.subject.now = now
	t, err := parseTemplate(i.role.Template)
	if err != nil {
		return Issued{}, errs.Wrap(errs.Internal, err, "reading a stored template")
	}
	claims, err := t.claims(&i.subject)
	if err != nil {
		return Issued{}, errs.Wrap(errs.Internal, err, "filling a template")
	}
	all := map[string]any{}
	for k, v := range claims {
		if !isReserved(k) { // a placeholder may stand where a name does
			all[k] = v
		}
	}
	all["iss"], all["sub"], all["aud"], all["namespace"] = i.issuer, i.subject.id(), i.role.Client, namespace
	all["iat"], all["exp"] = now.Unix(), now.Add(seconds(ttl)).Unix()
	b, err := json.Marshal(all)
	if err != nil {
		return Issued{}, errs.Wrap(errs.Internal, err, "encoding claims")
	}
	token, err := i.key.Signing.sign(b)
	return Issued{Token: sensitive.FromString(token), Client: i.role.Client, TTL: seconds(ttl)}, err
}

// Introspect tells whether a token counts: it was signed here, has not ended, is
// for the client if one is named, and is about somebody who is there and enabled.
// why says what is wrong.
func (s *Service) Introspect(ctx context.Context, who caller.Caller, token sensitive.Bytes, client string) (active bool, why string, err error) {
	now := time.Now()
	err = s.gate.View(ctx, who, policy.IntrospectIdentityToken, "", func(a *gate.Access) (err error) {
		if err := a.Allow(&policy.Request{Op: policy.IntrospectIdentityToken, Resource: policy.AccountARN(who.Account), Account: who.Account}, nil); err != nil {
			return err
		}
		why, err = s.introspect(a, who.Account, string(token.Reveal()), client, now)
		return err
	})
	return err == nil && why == "", why, err
}

func (s *Service) introspect(r kv.Reader, account, token, client string, now time.Time) (why string, err error) {
	if len(token) > maxTokenLen {
		return "error parsing token: it is too long", nil
	}
	t, err := jwt.ParseSigned(token, algorithms)
	if err != nil || len(t.Headers) != 1 {
		return "error parsing token: it is no signed token", nil
	}
	keys, err := published(r, account, now)
	if err != nil {
		return "", err
	}
	var claims jwt.Claims
	if !slices.ContainsFunc(keys, func(k jose.JSONWebKey) bool {
		return k.KeyID == t.Headers[0].KeyID && k.Algorithm == t.Headers[0].Algorithm && t.Claims(k.Key, &claims) == nil
	}) {
		return "unable to validate the token signature", nil
	}
	want := jwt.Expected{Time: now}
	if want.Issuer, err = s.issuer(r, account); err != nil {
		return "", err
	}
	if client != "" {
		want.AnyAudience = jwt.Audience{client}
	}
	if err := claims.ValidateWithLeeway(want, 0); err != nil {
		return "error validating claims: " + err.Error(), nil
	}
	n, err := authn.EntityName(r, account, claims.Subject)
	if err != nil || n == "" {
		return "entity was not found", err
	}
	id, _, err := authn.FindIdentity(r, account, n)
	if err == nil && id.Disabled {
		why = "entity is disabled"
	}
	return why, err
}
