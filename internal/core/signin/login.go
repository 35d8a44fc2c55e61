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
	p, err := s.Prove(ctx, nobody, req)
	if err != nil {
		return Tokens{}, s.refuse(ctx, nobody, policy.Login, req.Account, req.User, err)
	}
	caller := signingIn(nobody, p.Who.Caller, caller.ProofPassword)
	if p.MFA {
		caller.MFA = time.Now() // what is checked again below
	}
	st := newStart()
	err = s.submit(ctx, caller, own(caller, policy.Login, func(tx *change.Tx) error {
		id, mfa, err := p.settle(tx)
		if err != nil {
			return err
		}
		return st.run(s, tx, newSession(caller, id.Created, "password", mfa, tx.Now), req.Device)
	}).quietly())
	if err != nil {
		return Tokens{}, err
	}
	return st.out, nil
}

// Proved is a user whom a password proved, and a code where one is set up.
type Proved struct {
	Who authn.Identity
	MFA bool // by a code too

	s      *Service
	req    LoginRequest
	hash   []byte
	better *password // with the parameters of today
}

// Prove counts an attempt to sign in and checks name, password and code, for who
// gives out something else than a session. It records nothing. What it found holds
// once Settle has said so.
func (s *Service) Prove(ctx context.Context, nobody caller.Caller, req LoginRequest) (*Proved, error) {
	if req.Account == "" {
		req.Account = s.home
	}
	who, p, err := s.prove(ctx, nobody, &req)
	if err != nil {
		return nil, err
	}
	out := &Proved{Who: who, MFA: len(p.TOTP) > 0, s: s, req: req, hash: p.Password.Hash}
	if s.hasher.outdated(p.Password) {
		if out.better, err = s.hasher.make(ctx, req.Password); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Settle refuses what changed since, uses the code up, and forgets the attempts, in
// the transaction in which something is given out. A user who has yet to show the
// second factor that the account asks for is Denied, with CodeNeedMFA.
func (p *Proved) Settle(tx *change.Tx) error {
	_, mfa, err := p.settle(tx)
	if err != nil {
		return err
	}
	set, _, err := record.Get[settings](tx, settingsKey(p.req.Account))
	if err != nil {
		return err
	}
	if set.MFARequired && mfa.IsZero() {
		return errs.Coded(errs.Denied, CodeNeedMFA, "the account asks for a second factor: set one up with \"countersign totp enrol\"")
	}
	return tx.Delete(p.s.bucketKey(p.req.Account, p.req.User))
}

// settle checks and uses up. mfa is when a code was shown; zero when none was.
func (p *Proved) settle(tx *change.Tx) (id authn.Identity, mfa time.Time, err error) {
	id, now, ok, err := find(tx, p.req.Account, p.req.User)
	if err != nil {
		return id, mfa, err
	}
	if !ok || id.Disabled || id.Created != p.Who.Created || now.Password == nil || !same(now.Password.Hash, p.hash) {
		return id, mfa, badCredentials() // it changed meanwhile
	}
	if len(now.TOTP) > 0 {
		if !p.s.takeCode(&now, p.req.Code, tx.Now) {
			return id, mfa, badCredentials()
		}
		mfa = tx.Now
	}
	if p.better != nil {
		now.Password = p.better
	}
	return id, mfa, record.Put(tx, profileKey(p.req.Account, p.req.User), now)
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
