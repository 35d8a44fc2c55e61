package signin

import (
	"context"
	"strconv"
	"strings"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/audit"
	"countersign/internal/core/authn"
	"countersign/internal/core/change"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/kv"
)

// mapped finds the user of an identity: the one that it is linked to, or the one
// that it may be linked to at its first login. It is "" when there is none.
func mapped(r kv.Reader, acct string, p *provider, id *identity) (who authn.Identity, isLinked bool, err error) {
	l, ok, err := record.Get[link](r, linkKey(acct, p.Issuer, id.Subject))
	if err != nil {
		return who, false, err
	}
	if ok {
		who, ok, err = authn.FindIdentity(r, acct, l.User)
		if err != nil || ok && who.Created == l.Of {
			return who, true, err
		}
	}
	if !p.LinkByEmail || id.Email == "" {
		return authn.Identity{}, false, nil
	}
	local, _, _ := strings.Cut(id.Email, "@")
	for _, n := range []string{userName(id.Email), userName(local)} {
		if n == "" {
			continue
		}
		who, ok, err = authn.FindIdentity(r, acct, n)
		if err != nil {
			return who, false, err
		}
		other, _, err := record.Get[linked](r, linkedKey(acct, n))
		switch {
		case err != nil:
			return who, false, err
		case !ok || who.Caller.Kind != caller.User:
		case other.Of == who.Created: // it has another identity
		case n == id.Email, strings.EqualFold(who.Caller.Tags["email"], id.Email):
			return who, false, nil
		}
	}
	return authn.Identity{}, false, nil
}

// userOf names the user of an identity, and makes it when the settings say so.
func (s *Service) userOf(ctx context.Context, nobody caller.Caller, acct string, p *provider, id identity) (string, error) {
	var who authn.Identity
	taken := false
	err := s.gate.DB.View(ctx, func(r kv.Reader) (err error) {
		if who, _, err = mapped(r, acct, p, &id); err != nil || who.Caller.Name != "" || id.Name == "" {
			return err
		}
		_, taken, err = authn.FindIdentity(r, acct, id.Name)
		return err
	})
	switch {
	case err != nil:
		return "", err
	case who.Caller.Name != "":
		return who.Caller.Name, nil
	case !p.AutoCreate:
		return "", badIdentity("no user is linked to this identity; an administrator links one with: countersign user link NAME --subject " + strconv.QuoteToASCII(id.Subject))
	case id.Name == "":
		return "", badIdentity("the identity has no claim that could name a user")
	case taken:
		return "", badIdentity("there is a user of that name already, which is not linked to this identity")
	}
	sys := caller.ForSystem(acct, "signin", nobody.RequestID, nobody.Time)
	if sys.RequestID == "" {
		sys.RequestID = audit.NewID(time.Now())
	}
	e := others(sys, policy.CreateUser, id.Name, nil)
	tags := map[string]string{}
	if id.Email != "" {
		tags["email"] = id.Email
	}
	e.do = func(tx *change.Tx) error {
		made, err := authn.PutUser(tx, acct, id.Name, tags)
		if err != nil {
			return err
		}
		return putLink(tx, acct, p.Issuer, id.Subject, made)
	}
	return id.Name, s.submit(ctx, sys, e)
}

// enter opens the session of a user whom the provider vouched for.
func (s *Service) enter(ctx context.Context, nobody caller.Caller, req *FinishRequest, p *provider, id identity, user string) (Tokens, error) {
	var before authn.Identity
	err := s.gate.DB.View(ctx, func(r kv.Reader) (err error) {
		before, _, err = authn.FindIdentity(r, req.Account, user)
		return err
	})
	if err != nil {
		return Tokens{}, s.refuse(ctx, nobody, policy.Login, req.Account, user, err)
	}
	who := signingIn(nobody, before.Caller, caller.ProofOIDC)
	who.MFA = id.MFA
	st := newStart()
	err = s.submit(ctx, who, own(who, policy.Login, func(tx *change.Tx) error {
		now, err := mustProvider(tx, req.Account)
		if err != nil {
			return err
		}
		found, isLinked, err := mapped(tx, req.Account, &now, &id)
		if err != nil {
			return err
		}
		if found.Caller.Name != user || found.Created != before.Created || found.Disabled || now.Issuer != p.Issuer {
			return badIdentity("the user may not sign in")
		}
		if !isLinked {
			if err := putLink(tx, req.Account, p.Issuer, id.Subject, found); err != nil {
				return err
			}
		}
		return st.run(s, tx, newSession(who, found.Created, methodOIDC, id.MFA, tx.Now), req.Device)
	}).quietly())
	if err != nil {
		return Tokens{}, err
	}
	return st.out, nil
}
