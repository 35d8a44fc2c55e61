package signin

import (
	"context"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/name"
	"countersign/internal/sensitive"
)

// Refresh gives the next pair of tokens for a refresh token. nobody is the
// caller of a request that proved nothing else.
func (s *Service) Refresh(ctx context.Context, nobody caller.Caller, token sensitive.Bytes) (Tokens, error) {
	now := time.Now()
	if err := s.sources.take(nobody.Source, now); err != nil {
		return Tokens{}, s.refuse(ctx, nobody, policy.RefreshSession, "", "", err)
	}
	parts, ok := split(token.Reveal(), refreshPrefix, idLen, familyLen, secretLen)
	if !ok {
		return Tokens{}, s.refuse(ctx, nobody, policy.RefreshSession, "", "", badSession())
	}
	id, family := sessionID(parts[0]), parts[1]
	var who caller.Caller
	var v *session
	err := s.gate.DB.View(ctx, func(r kv.Reader) error {
		found, user, err := owner(r, id, now)
		v, who = found, user.Caller
		return err
	})
	switch {
	case err == nil && (v == nil || !same(s.hash("family", family), v.Family)):
		err = badSession()
	case err == nil && !s.fresh(v, token, now):
		return Tokens{}, s.copied(ctx, nobody, v, id)
	}
	if err != nil {
		return Tokens{}, s.refuse(ctx, nobody, policy.RefreshSession, "", "", err)
	}
	return s.rotate(ctx, signingIn(nobody, who, caller.ProofSession), id, parts[0], family, token)
}

// fresh reports whether a refresh token is the session's, or was so recently
// that its answer may have been lost.
func (s *Service) fresh(v *session, token sensitive.Bytes, now time.Time) bool {
	shown := s.hash("refresh", token.Reveal())
	return same(shown, v.Refresh) || same(shown, v.OldRefresh) && now.Sub(when(v.Used)) <= grace
}

func (s *Service) rotate(ctx context.Context, who caller.Caller, id string, raw, family []byte, token sensitive.Bytes) (out Tokens, err error) {
	next := s.nextPair(raw, family, token)
	err = s.submit(ctx, who, own(who, policy.RefreshSession, func(tx *change.Tx) error {
		v, _, err := owner(tx, id, tx.Now)
		if err != nil {
			return err
		}
		if v == nil || !s.fresh(v, token, tx.Now) {
			return badSession()
		}
		if shown := s.hash("refresh", token.Reveal()); same(shown, v.Refresh) {
			v.OldAccess, v.OldAccessEnds = v.Access, min(v.AccessEnds, micros(tx.Now.Add(overlap)))
			v.OldRefresh = shown
			v.set(s, next, tx.Now)
			if err := record.Put(tx, sessionKey(id), v); err != nil {
				return err
			}
		}
		out = v.tokens(id, next)
		out.NeedMFA, err = needMFA(tx, v)
		return err
	}).quietly())
	if err != nil {
		return Tokens{}, err
	}
	return out, nil
}

// copied ends a session of which a refresh token was used twice: somebody else
// has it. It is the server's own act, which no policy can hinder.
func (s *Service) copied(ctx context.Context, nobody caller.Caller, v *session, id string) error {
	sys := caller.ForSystem(v.Account, "signin", nobody.RequestID, nobody.Time)
	sys.Source, sys.Agent = nobody.Source, nobody.Agent
	e := others(sys, policy.RevokeSession, v.User, func(tx *change.Tx) error { return drop(tx, held{id, *v}) }).quietly()
	if err := s.submit(ctx, sys, e); err != nil {
		return err
	}
	s.logger.Warn("a refresh token was used twice: the session is ended", "account", v.Account, "user", v.User, "source", nobody.Source)
	return s.refuse(ctx, nobody, policy.RefreshSession, v.Account, v.User,
		errs.Coded(errs.Unauthenticated, CodeBadSession, "the refresh token was used before, so the session is ended: sign in"))
}

// Logout ends the caller's session.
func (s *Service) Logout(ctx context.Context, who caller.Caller) error {
	return s.submit(ctx, who, own(who, policy.Logout, func(tx *change.Tx) error {
		if who.Session == "" {
			return errs.New(errs.Precondition, "an access key has no session to end")
		}
		return drop(tx, held{who.Session, session{Account: who.Account, User: who.Name}})
	}).quietly())
}

// Session is a session as it is shown.
type Session struct {
	ID      string    `json:"id"`
	User    string    `json:"user"`
	Created time.Time `json:"created"`
	Used    time.Time `json:"used"` // when it was last refreshed
	Expires time.Time `json:"expires"`
	MFA     time.Time `json:"mfa,omitzero"` // when a second factor was shown
	Method  string    `json:"method"`       // password or oidc
	Source  string    `json:"source,omitempty"`
	Agent   string    `json:"agent,omitempty"`
	Current bool      `json:"current,omitempty"` // the one that asks
}

// ListSessions lists the sessions of a user, by default the caller's own.
func (s *Service) ListSessions(ctx context.Context, who caller.Caller, user string) (out []Session, err error) {
	e := about(who, policy.ListSessions, user, nil)
	if err := name.Principal("User", e.target.Name); err != nil {
		e.target.Name = ""
		return nil, s.refuse(ctx, who, policy.ListSessions, "", "", err)
	}
	err = s.gate.View(ctx, who, policy.ListSessions, e.target.Name, func(a *gate.Access) error {
		if err := e.Allow(a); err != nil {
			return err
		}
		id, _, err := mustFind(a, who.Account, e.target.Name)
		if err != nil {
			return err
		}
		all, err := sessionsOf(a, who.Account, e.target.Name)
		out = nil
		for _, h := range all {
			if h.Of != id.Created || !time.Now().Before(h.ends()) {
				continue
			}
			out = append(out, Session{ID: h.id, User: h.User, Created: when(h.Created), Used: when(h.Used), Expires: h.ends(),
				MFA: when(h.MFA), Method: h.Method, Source: h.Source, Agent: h.Agent, Current: h.id == who.Session})
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// about is an edit of the caller's own things, or of another user's when one is
// named.
func about(who caller.Caller, op policy.Op, user string, do func(tx *change.Tx) error) *edit {
	if who.Kind != caller.System && (user == "" || user == who.Name) {
		return own(who, op, do)
	}
	return others(who, op, user, do)
}

// RevokeRequest names sessions to end: that with the id, or without one all of
// the user but the one that asks. The user is by default the caller.
type RevokeRequest struct{ User, ID string }

// RevokeSessions ends sessions, at once.
func (s *Service) RevokeSessions(ctx context.Context, who caller.Caller, req RevokeRequest) error {
	user := req.User
	if user == "" {
		user = who.Name
	}
	return s.submit(ctx, who, about(who, policy.RevokeSession, user, func(tx *change.Tx) error {
		if req.ID == "" {
			if _, _, err := mustFind(tx, who.Account, user); err != nil {
				return err
			}
			return dropSessions(tx, who.Account, user, who.Session)
		}
		missing := errs.New(errs.NotFound, "there is no such session")
		if _, ok := parseSessionID(req.ID); !ok {
			return missing
		}
		v, ok, err := record.Get[session](tx, sessionKey(req.ID))
		if err != nil {
			return err
		}
		if !ok || v.Account != who.Account || v.User != user {
			return missing
		}
		return drop(tx, held{req.ID, v})
	}).quietly())
}
