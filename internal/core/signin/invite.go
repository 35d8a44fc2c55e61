package signin

import (
	"context"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/name"
	"countersign/internal/sensitive"
)

// InvitationLasts is how long an invitation can be accepted.
const InvitationLasts = 72 * time.Hour

// Invitation lets a user set a password, once. It is shown this once.
type Invitation struct {
	User    string
	Token   sensitive.Bytes
	Expires time.Time
}

// InviteRequest asks for an invitation. Reset takes the place of a password
// that is there: it and all sessions end at once.
type InviteRequest struct {
	User  string
	Reset bool
}

// InviteUser makes an invitation for a user to set a password by.
func (s *Service) InviteUser(ctx context.Context, who caller.Caller, req InviteRequest) (Invitation, error) {
	op := policy.InviteUser
	if req.Reset {
		op = policy.ResetPassword
	}
	out := Invitation{User: req.User, Token: sensitive.New(spell(invitationPrefix, random(secretLen)))}
	err := s.submit(ctx, who, others(who, op, req.User, func(tx *change.Tx) error {
		_, p, err := mustFind(tx, who.Account, req.User)
		if err != nil {
			return err
		}
		if p.Password != nil && !req.Reset {
			return errs.Coded(errs.Precondition, CodeHasPassword, "the user has a password: an invitation in its place is a reset, which ends it")
		}
		out.Expires = tx.Now.Add(InvitationLasts).UTC().Truncate(time.Microsecond)
		p.Invitation, p.InvitedTo = s.hash("invitation", out.Token.Reveal()), micros(out.Expires)
		if req.Reset {
			p.Password = nil
			if err := dropSessions(tx, who.Account, req.User, ""); err != nil {
				return err
			}
			if err := dropDevices(tx, who.Account, req.User, 0); err != nil {
				return err
			}
		}
		return record.Put(tx, profileKey(who.Account, req.User), p)
	}))
	if err != nil {
		return Invitation{}, err
	}
	return out, nil
}

// AcceptRequest sets the first password.
type AcceptRequest struct {
	Account    string // default the home account
	User       string
	Invitation sensitive.Bytes
	Password   sensitive.Bytes
}

// AcceptInvitation sets a password by an invitation, which is used up, and
// returns a device token: whoever else guesses does not keep the user from the
// first login. nobody is the caller of a request that proved nothing else.
func (s *Service) AcceptInvitation(ctx context.Context, nobody caller.Caller, req AcceptRequest) (device sensitive.Bytes, err error) {
	if req.Account == "" {
		req.Account = s.home
	}
	who, err := s.invited(ctx, nobody, &req)
	var hash *password
	if err == nil {
		hash, err = s.hasher.make(ctx, req.Password)
	}
	if err != nil {
		return device, s.refuse(ctx, nobody, policy.AcceptInvitation, req.Account, req.User, err)
	}
	device = sensitive.New(spell(devicePrefix, random(secretLen)))
	err = s.submit(ctx, who, own(who, policy.AcceptInvitation, func(tx *change.Tx) error {
		id, p, ok, err := find(tx, req.Account, req.User)
		if err != nil {
			return err
		}
		if !ok || id.Disabled || !s.fits(&p, req.Invitation, tx.Now) {
			return badInvitation()
		}
		p.Invitation, p.InvitedTo = nil, 0
		p.Password, p.Changed = hash, micros(tx.Now)
		if _, err := s.succeeded(tx, req.Account, req.User, id.Created, sensitive.Bytes{}, device, tx.Now); err != nil {
			return err
		}
		if err := dropSessions(tx, req.Account, req.User, ""); err != nil {
			return err
		}
		return record.Put(tx, profileKey(req.Account, req.User), p)
	}))
	if err != nil {
		return sensitive.Bytes{}, err
	}
	return device, nil
}

func badInvitation() error {
	return errs.Coded(errs.Unauthenticated, CodeBadInvitation, "the invitation is not one for this user, was used, or has expired")
}

func (s *Service) fits(p *profile, token sensitive.Bytes, now time.Time) bool {
	return same(s.hash("invitation", token.Reveal()), p.Invitation) && now.Before(when(p.InvitedTo))
}

// invited proves a user by an invitation.
func (s *Service) invited(ctx context.Context, nobody caller.Caller, req *AcceptRequest) (who caller.Caller, err error) {
	now := time.Now()
	if err := s.sources.take(nobody.Source, now); err != nil {
		return who, err
	}
	if err = name.Account(req.Account); err == nil {
		err = name.Principal("User", req.User)
	}
	if err == nil {
		err = CheckPassword(req.User, req.Password)
	}
	if err != nil {
		return who, err
	}
	fits := false
	err = s.gate.DB.View(ctx, func(r kv.Reader) error {
		id, p, ok, err := find(r, req.Account, req.User)
		fits = ok && !id.Disabled && s.fits(&p, req.Invitation, now)
		who = signingIn(nobody, id.Caller, caller.ProofInvitation)
		return err
	})
	if err == nil && !fits {
		err = badInvitation()
	}
	return who, err
}

// ChangePassword replaces the caller's own password and ends its other
// sessions. A wrong old one counts against the session, which a few end, or
// against the name.
func (s *Service) ChangePassword(ctx context.Context, who caller.Caller, old, fresh sensitive.Bytes) error {
	if err := s.mayOwn(ctx, who, policy.ChangePassword); err != nil {
		return err
	}
	err := CheckPassword(who.Name, fresh)
	var before *password
	if err == nil {
		before, err = s.proveAgain(ctx, who, old)
	}
	var hash *password
	if err == nil {
		hash, err = s.hasher.make(ctx, fresh)
	}
	if err != nil {
		return s.refuse(ctx, who, policy.ChangePassword, who.Account, who.Name, err)
	}
	return s.submit(ctx, who, own(who, policy.ChangePassword, func(tx *change.Tx) error {
		_, p, err := mustFind(tx, who.Account, who.Name)
		if err != nil {
			return err
		}
		if p.Password == nil || !same(p.Password.Hash, before.Hash) {
			return errs.New(errs.Conflict, "the password was changed meanwhile")
		}
		p.Password, p.Changed = hash, micros(tx.Now)
		if err := dropSessions(tx, who.Account, who.Name, who.Session); err != nil {
			return err
		}
		return record.Put(tx, profileKey(who.Account, who.Name), p)
	}))
}

// proveAgain checks the password of somebody who is signed in.
func (s *Service) proveAgain(ctx context.Context, who caller.Caller, old sensitive.Bytes) (*password, error) {
	if err := s.sources.take(who.Source, time.Now()); err != nil {
		return nil, err
	}
	if err := s.countWithin(ctx, who); err != nil {
		return nil, err
	}
	var p profile
	err := s.gate.DB.View(ctx, func(r kv.Reader) (err error) {
		_, p, err = mustFind(r, who.Account, who.Name)
		return err
	})
	if err != nil {
		return nil, err
	}
	if p.Password == nil {
		return nil, errs.New(errs.Precondition, "you have no password: an administrator can invite you to set one")
	}
	ok, err := s.hasher.check(ctx, old, p.Password)
	if err == nil && !ok {
		err = errs.InvalidField("old", "the old password is not right")
	}
	if err != nil {
		return nil, err
	}
	return p.Password, s.forgiveWithin(ctx, who)
}

// countWithin counts a try to prove something again, before it is looked at:
// against the session, or for who has none against the name.
func (s *Service) countWithin(ctx context.Context, who caller.Caller) error {
	if who.Session == "" {
		return s.attempt(ctx, who, who.Account, who.Name, sensitive.Bytes{}, time.Now())
	}
	over := false
	_, err := s.gate.DB.Update(ctx, func(tx kv.Txn) error {
		v, ok, err := record.Get[session](tx, sessionKey(who.Session))
		if over = !ok || v.Failures >= sessionTries; err != nil {
			return err
		}
		if over {
			return drop(tx, held{who.Session, session{Account: who.Account, User: who.Name}})
		}
		v.Failures++
		return record.Put(tx, sessionKey(who.Session), v)
	})
	if err == nil && over {
		err = errs.Coded(errs.Unauthenticated, CodeBadSession, "too many wrong answers: the session is ended, sign in again")
	}
	return err
}

// forgiveWithin forgets what countWithin counted.
func (s *Service) forgiveWithin(ctx context.Context, who caller.Caller) error {
	_, err := s.gate.DB.Update(ctx, func(tx kv.Txn) error {
		if who.Session == "" {
			return tx.Delete(s.bucketKey(who.Account, who.Name))
		}
		v, ok, err := record.Get[session](tx, sessionKey(who.Session))
		if err != nil || !ok {
			return err
		}
		v.Failures = 0
		return record.Put(tx, sessionKey(who.Session), v)
	})
	return err
}
