package signin

import (
	"context"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"countersign/internal/caller"
	"countersign/internal/core/authn"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/name"
	"countersign/internal/sensitive"
)

// Provider is an account's identity provider.
type Provider struct {
	Issuer   string   // as its discovery document says it, https://
	ClientID string   // of this server at the issuer
	Scopes   []string // beside openid; default profile and email
	// NameClaim gives the name of a user that is made; default email, which has
	// to be verified.
	NameClaim string
	// Domains are those of which a verified e-mail address has to be; empty for
	// any, and for none at all.
	Domains []string
	// Claims have to have these values, or hold them when they are lists.
	Claims map[string]string
	// MFA are the values of amr or acr that count as a second factor. Default
	// none does.
	MFA []string
	// LinkByEmail links an identity at its first login to the user whose name is
	// its verified e-mail address, or whose name is what stands before the @ and
	// whose tag "email" is the address.
	LinkByEmail bool
	// AutoCreate makes a user without any permission for an identity that has
	// none.
	AutoCreate bool
	HasSecret  bool // a client secret is kept; set in answers
}

// provider is how it is kept.
type provider struct {
	Issuer      string            `cbor:"1,keyasint"`
	ClientID    string            `cbor:"2,keyasint"`
	Secret      []byte            `cbor:"3,keyasint,omitempty"`
	Scopes      []string          `cbor:"4,keyasint,omitempty"`
	NameClaim   string            `cbor:"5,keyasint,omitempty"`
	Domains     []string          `cbor:"6,keyasint,omitempty"`
	Claims      map[string]string `cbor:"7,keyasint,omitempty"`
	MFA         []string          `cbor:"8,keyasint,omitempty"`
	LinkByEmail bool              `cbor:"9,keyasint,omitempty"`
	AutoCreate  bool              `cbor:"10,keyasint,omitempty"`
}

// link says whose an identity at an issuer is.
type link struct {
	User string `cbor:"1,keyasint"`
	Of   int64  `cbor:"2,keyasint"` // when the user was made
}

// linked is the identity of a user, for finding the link.
type linked struct {
	Issuer  string `cbor:"1,keyasint"`
	Subject string `cbor:"2,keyasint"`
	Of      int64  `cbor:"3,keyasint"`
}

func providerKey(acct string) kv.Key          { return kv.K(acct, "identity-provider") }
func linkKey(acct, issuer, sub string) kv.Key { return kv.K(acct, "identity", issuer, sub) }
func linkedKey(acct, user string) kv.Key      { return kv.K(acct, "identity-of", user) }

// Bounds of a provider's settings.
const (
	maxURL     = 512
	maxList    = 32
	maxSubject = 255 // OpenID Connect Core 1.0, section 2
)

// GetProvider returns the account's identity provider, without its secret.
func (s *Service) GetProvider(ctx context.Context, who caller.Caller) (out Provider, err error) {
	op := policy.GetIdentityProvider
	err = s.gate.View(ctx, who, op, "", func(a *gate.Access) error {
		if err := a.Allow(&policy.Request{Op: op, Resource: policy.AccountARN(who.Account), Account: who.Account}, nil); err != nil {
			return err
		}
		p, err := mustProvider(a, who.Account)
		out = p.show()
		return err
	})
	if err != nil {
		return Provider{}, err
	}
	return out, nil
}

func (p *provider) show() Provider {
	return Provider{Issuer: p.Issuer, ClientID: p.ClientID, Scopes: p.Scopes, NameClaim: p.NameClaim, Domains: p.Domains, Claims: p.Claims,
		MFA: p.MFA, LinkByEmail: p.LinkByEmail, AutoCreate: p.AutoCreate, HasSecret: len(p.Secret) > 0}
}

func mustProvider(r kv.Reader, acct string) (provider, error) {
	p, ok, err := record.Get[provider](r, providerKey(acct))
	if err == nil && !ok {
		err = errs.New(errs.NotFound, "the account has no identity provider")
	}
	return p, err
}

// PutProvider replaces the account's identity provider. An empty secret keeps
// the one that is there, as long as issuer and client id stay.
func (s *Service) PutProvider(ctx context.Context, who caller.Caller, p Provider, secret sensitive.Bytes) error {
	return s.submit(ctx, who, ofAccount(who, policy.PutIdentityProvider, func(tx *change.Tx) error {
		if err := s.checkProvider(p, secret); err != nil {
			return err
		}
		old, _, err := record.Get[provider](tx, providerKey(who.Account))
		if err != nil {
			return err
		}
		v := provider{Issuer: p.Issuer, ClientID: p.ClientID, Secret: secret.Reveal(), Scopes: p.Scopes, NameClaim: p.NameClaim,
			Domains: p.Domains, Claims: p.Claims, MFA: p.MFA, LinkByEmail: p.LinkByEmail, AutoCreate: p.AutoCreate}
		if len(v.Secret) == 0 && old.Issuer == p.Issuer && old.ClientID == p.ClientID {
			v.Secret = old.Secret
		}
		return record.Put(tx, providerKey(who.Account), v)
	}))
}

// DeleteProvider forgets the account's identity provider. Sessions that it let
// in go on until their end; links stay for the same issuer to come back.
func (s *Service) DeleteProvider(ctx context.Context, who caller.Caller) error {
	return s.submit(ctx, who, ofAccount(who, policy.DeleteIdentityProvider, func(tx *change.Tx) error {
		if _, err := mustProvider(tx, who.Account); err != nil {
			return err
		}
		return tx.Delete(providerKey(who.Account))
	}))
}

func (s *Service) checkProvider(p Provider, secret sensitive.Bytes) error {
	u, err := url.Parse(p.Issuer)
	switch {
	case err != nil || len(p.Issuer) > maxURL || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || !s.providers.mayReach(u):
		return errs.InvalidField("issuer", "the issuer is not an https:// address without user, query and fragment")
	case p.ClientID == "" || len(p.ClientID) > maxURL || !plain(p.ClientID):
		return errs.InvalidField("client_id", "the client id is empty, too long, or not printable ASCII")
	case secret.Len() > 4096:
		return errs.InvalidField("client_secret", "the client secret is longer than 4096 bytes")
	case len(p.NameClaim) > 64 || !plain(p.NameClaim):
		return errs.InvalidField("name_claim", "the claim's name is too long or not printable ASCII")
	case len(p.Claims) > maxList:
		return errs.InvalidField("claims", "more than 32 claims are asked for")
	}
	texts := map[string][]string{"scopes": p.Scopes, "domains": p.Domains, "mfa": p.MFA,
		"claims": append(slices.Collect(maps.Keys(p.Claims)), slices.Collect(maps.Values(p.Claims))...)}
	for _, field := range slices.Sorted(maps.Keys(texts)) {
		if len(texts[field]) > 2*maxList {
			return errs.InvalidField(field, "the list is longer than 32")
		}
		for _, t := range texts[field] {
			if t == "" || len(t) > 256 || !plain(t) || field == "scopes" && strings.Contains(t, " ") {
				return errs.InvalidField(field, "a member is empty, too long, or not printable ASCII")
			}
		}
	}
	return nil
}

func plain(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// LinkUser lets an identity of the account's provider, by its subject, sign in
// as a user. It takes the place of the user's identity before.
func (s *Service) LinkUser(ctx context.Context, who caller.Caller, user, subject string) error {
	return s.submit(ctx, who, others(who, policy.LinkUser, user, func(tx *change.Tx) error {
		if subject == "" || len(subject) > maxSubject || !plain(subject) {
			return errs.InvalidField("subject", "the subject is empty, longer than 255 bytes, or not printable ASCII")
		}
		p, err := mustProvider(tx, who.Account)
		if err != nil {
			return err
		}
		id, _, err := mustFind(tx, who.Account, user)
		if err != nil {
			return err
		}
		return putLink(tx, who.Account, p.Issuer, subject, id)
	}))
}

// UnlinkUser ends that, and the sessions that an identity provider let in.
func (s *Service) UnlinkUser(ctx context.Context, who caller.Caller, user string) error {
	return s.submit(ctx, who, others(who, policy.UnlinkUser, user, func(tx *change.Tx) error {
		if _, _, err := mustFind(tx, who.Account, user); err != nil {
			return err
		}
		had, err := dropLink(tx, who.Account, user)
		if err != nil {
			return err
		}
		if !had {
			return errs.New(errs.NotFound, "the user has no identity at a provider")
		}
		all, err := sessionsOf(tx, who.Account, user)
		if err != nil {
			return err
		}
		for _, h := range all {
			if h.Method != methodOIDC {
				continue
			}
			if err := drop(tx, h); err != nil {
				return err
			}
		}
		return nil
	}))
}

func putLink(tx kv.Txn, acct, issuer, subject string, id authn.Identity) error {
	taken, ok, err := record.Get[link](tx, linkKey(acct, issuer, subject))
	if err != nil {
		return err
	}
	if ok && taken.User != id.Caller.Name {
		owner, exists, err := authn.FindIdentity(tx, acct, taken.User)
		if err != nil {
			return err
		}
		if exists && owner.Created == taken.Of {
			return errs.New(errs.Exists, "the identity is linked to another user")
		}
	}
	if _, err := dropLink(tx, acct, id.Caller.Name); err != nil {
		return err
	}
	if err := record.Put(tx, linkKey(acct, issuer, subject), link{id.Caller.Name, id.Created}); err != nil {
		return err
	}
	return record.Put(tx, linkedKey(acct, id.Caller.Name), linked{issuer, subject, id.Created})
}

// dropLink ends a user's link.
func dropLink(tx kv.Txn, acct, user string) (had bool, err error) {
	l, ok, err := record.Get[linked](tx, linkedKey(acct, user))
	if err != nil || !ok {
		return false, err
	}
	k := linkKey(acct, l.Issuer, l.Subject)
	at, found, err := record.Get[link](tx, k)
	if err != nil {
		return false, err
	}
	if found && at.User == user {
		if err := tx.Delete(k); err != nil {
			return false, err
		}
	}
	return true, tx.Delete(linkedKey(acct, user))
}

// loopbackHost reports whether a host is this machine, by a number: a name could
// be made to lead anywhere.
func loopbackHost(host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

// userName makes the name of a user out of a claim, "" when it is none.
func userName(claim string) string {
	if name.Principal("User", claim) != nil {
		return ""
	}
	return claim
}
