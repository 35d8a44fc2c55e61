package signin

import (
	"context"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/authn"
	"countersign/internal/core/change"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/name"
	"countersign/internal/sensitive"
)

// LoginRequest is a try to sign in by a password.
type LoginRequest struct {
	Account  string // default the home account
	User     string
	Password sensitive.Bytes
	Code     string          // of the authenticator, or one for recovery; empty when none was asked for
	Device   sensitive.Bytes // the token of an earlier login from the same client, if any
}

func badCredentials() error {
	return errs.Coded(errs.Unauthenticated, CodeBadCredentials, "the name, the password or the code is not right")
}

// Login signs a user in. nobody is the caller of a request that proved nothing
// else. An attempt that fails is answered the same way, after as much work,
// whether the name exists or not.
func (s *Service) Login(ctx context.Context, nobody caller.Caller, req LoginRequest) (Tokens, error) {
	if req.Account == "" {
		req.Account = s.home
	}
	who, p, err := s.prove(ctx, nobody, &req)
	if err != nil {
		return Tokens{}, s.refuse(ctx, nobody, policy.Login, req.Account, req.User, err)
	}
	caller := signingIn(nobody, who.Caller, caller.ProofPassword)
	var better *password
	if s.hasher.outdated(p.Password) {
		if better, err = s.hasher.make(ctx, req.Password); err != nil {
			return Tokens{}, s.refuse(ctx, nobody, policy.Login, req.Account, req.User, err)
		}
	}
	if len(p.TOTP) > 0 {
		caller.MFA = time.Now() // what is checked again below
	}
	st := newStart()
	err = s.submit(ctx, caller, own(caller, policy.Login, func(tx *change.Tx) error {
		id, now, ok, err := find(tx, req.Account, req.User)
		if err != nil {
			return err
		}
		if !ok || id.Disabled || id.Created != who.Created || now.Password == nil || !same(now.Password.Hash, p.Password.Hash) {
			return badCredentials() // it changed meanwhile
		}
		var mfa time.Time
		if len(now.TOTP) > 0 {
			if !s.takeCode(&now, req.Code, tx.Now) {
				return badCredentials()
			}
			mfa = tx.Now
		}
		if better != nil {
			now.Password = better
		}
		if err := record.Put(tx, profileKey(req.Account, req.User), now); err != nil {
			return err
		}
		return st.run(s, tx, newSession(caller, id.Created, "password", mfa, tx.Now), req.Device)
	}).quietly())
	if err != nil {
		return Tokens{}, err
	}
	return st.out, nil
}

// prove counts an attempt and checks name, password and code.
func (s *Service) prove(ctx context.Context, nobody caller.Caller, req *LoginRequest) (who authn.Identity, p profile, err error) {
	now := time.Now()
	if err = s.sources.take(nobody.Source, now); err != nil {
		return who, p, err
	}
	if err = name.Account(req.Account); err == nil {
		err = name.Principal("User", req.User)
	}
	if err != nil {
		return who, p, err
	}
	if err = s.attempt(ctx, nobody, req.Account, req.User, req.Device, now); err != nil {
		return who, p, err
	}
	found := false
	err = s.gate.DB.View(ctx, func(r kv.Reader) (err error) {
		who, p, found, err = find(r, req.Account, req.User)
		return err
	})
	if err != nil {
		return who, p, err
	}
	hash := p.Password
	if !found || who.Disabled {
		hash = nil
	}
	ok, err := s.hasher.check(ctx, req.Password, hash)
	switch {
	case err != nil:
		return who, p, err
	case !ok:
		return who, p, badCredentials()
	case len(p.TOTP) == 0:
		return who, p, nil
	case req.Code == "":
		return who, p, errs.Coded(errs.Unauthenticated, CodeNeedCode, "a code of the authenticator is needed beside the password")
	}
	if try := p; !s.takeCode(&try, req.Code, now) { // a copy: it is taken when the session is stored
		return who, p, badCredentials()
	}
	return who, p, nil
}
