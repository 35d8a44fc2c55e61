package signin

import (
	"context"
	"crypto/subtle"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/authn"
	"countersign/internal/core/change"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/sensitive"
)

// How long things last.
const (
	AccessLasts  = 15 * time.Minute
	IdleLasts    = 12 * time.Hour
	SessionLasts = 30 * 24 * time.Hour
	// grace is in which a used refresh token gives the same pair again: its
	// answer may have been lost.
	grace = 10 * time.Second
	// overlap is how long the access token before the newest is taken: requests
	// with it are under way while it is replaced.
	overlap = time.Minute
	// MaxSessions of one user; the one that was used longest ago makes place.
	MaxSessions = 40 // what one transaction can end with the user's devices
)

// Tokens are what a client holds of a session.
type Tokens struct {
	Account, User  string
	Session        string // id
	Access         sensitive.Bytes
	AccessExpires  time.Time
	Refresh        sensitive.Bytes
	RefreshExpires time.Time       // unless it is used before
	Device         sensitive.Bytes // to be shown at the next login; empty when the one shown is known
	// NeedMFA says that the session may only be used to show a second factor.
	NeedMFA bool
}

// pair are the tokens that a session's next state is made of, and their hashes.
type pair struct{ access, refresh sensitive.Bytes }

// newPair draws the first pair of a session.
func newPair(id, family []byte) pair {
	return pair{sensitive.New(spell(accessPrefix, id, random(secretLen))), sensitive.New(spell(refreshPrefix, id, family, random(secretLen)))}
}

// nextPair derives the pair that follows a refresh token: the same each time.
func (s *Service) nextPair(id, family []byte, old sensitive.Bytes) pair {
	return pair{sensitive.New(spell(accessPrefix, id, s.hash("next-access", old.Reveal()))),
		sensitive.New(spell(refreshPrefix, id, family, s.hash("next-refresh", old.Reveal())))}
}

// ends is when a session is over unless it is refreshed.
func (v *session) ends() time.Time {
	idle, all := when(v.Used).Add(IdleLasts), v.last()
	if all.Before(idle) {
		return all
	}
	return idle
}

// last is when it is over, however often it is refreshed.
func (v *session) last() time.Time {
	if v.Method == methodOIDC {
		return when(v.Created).Add(OIDCLasts)
	}
	return when(v.Created).Add(SessionLasts)
}

// set puts a pair into the session.
func (v *session) set(s *Service, p pair, now time.Time) {
	v.Access, v.Refresh = s.hash("access", p.access.Reveal()), s.hash("refresh", p.refresh.Reveal())
	v.Used = micros(now)
	v.AccessEnds = min(micros(now.Add(AccessLasts)), micros(v.last()))
}

func (v *session) tokens(id string, p pair) Tokens {
	return Tokens{Account: v.Account, User: v.User, Session: id, Access: p.access, AccessExpires: when(v.AccessEnds),
		Refresh: p.refresh, RefreshExpires: v.ends()}
}

// open stores a new session, and ends others that are over or too many.
func (s *Service) open(tx kv.Txn, id string, v *session, now time.Time) error {
	if err := prune(tx, v.Account, v.User, v.Of, now, MaxSessions-1); err != nil {
		return err
	}
	if err := record.Put(tx, sessionKey(id), v); err != nil {
		return err
	}
	return tx.Put(sessionOfKey(v.Account, v.User, id), []byte{1})
}

// held is a session with its id.
type held struct {
	id string
	session
}

// sessionsOf lists a user's sessions, with those that are over.
func sessionsOf(r kv.Reader, acct, user string) (out []held, err error) {
	prefix := kv.K(acct, "session-of", user)
	var ids []string
	for p, err := range r.Scan(kv.Prefix(prefix)) {
		if err != nil {
			return nil, err
		}
		strs, _, err := kv.Key(p.Key[len(prefix):]).Parts("s")
		if err != nil {
			return nil, err
		}
		ids = append(ids, strs[0])
	}
	for _, id := range ids {
		v, ok, err := record.Get[session](r, sessionKey(id))
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, held{id, v})
		}
	}
	return out, nil
}

// prune ends sessions that are over, are of an earlier user, or are more than
// keep.
func prune(tx kv.Txn, acct, user string, of int64, now time.Time, keep int) error {
	all, err := sessionsOf(tx, acct, user)
	if err != nil {
		return err
	}
	var live []held
	for _, h := range all {
		if h.Of == of && now.Before(h.ends()) {
			live = append(live, h)
			continue
		}
		if err := drop(tx, h); err != nil {
			return err
		}
	}
	for len(live) > keep {
		oldest := 0
		for i := range live {
			if live[i].Used < live[oldest].Used {
				oldest = i
			}
		}
		if err := drop(tx, live[oldest]); err != nil {
			return err
		}
		live = append(live[:oldest], live[oldest+1:]...)
	}
	return nil
}

func drop(tx kv.Txn, h held) error {
	if err := tx.Delete(sessionKey(h.id)); err != nil {
		return err
	}
	return tx.Delete(sessionOfKey(h.Account, h.User, h.id))
}

// dropSessions ends all sessions of a user but one.
func dropSessions(tx kv.Txn, acct, user, but string) error {
	all, err := sessionsOf(tx, acct, user)
	if err != nil {
		return err
	}
	for _, h := range all {
		if h.id != but {
			if err := drop(tx, h); err != nil {
				return err
			}
		}
	}
	return nil
}

func badSession() error {
	return errs.Coded(errs.Unauthenticated, CodeBadSession, "the session is not known or over: sign in")
}

// owner finds the user of a session that is not over, nil when there is none or
// the user may not sign in.
func owner(r kv.Reader, id string, now time.Time) (*session, authn.Identity, error) {
	v, err := record.Find[session](r, sessionKey(id))
	if err != nil || v == nil || !now.Before(v.ends()) {
		return nil, authn.Identity{}, err
	}
	who, ok, err := authn.FindIdentity(r, v.Account, v.User)
	if err != nil || !ok || who.Disabled || who.Created != v.Of {
		return nil, authn.Identity{}, err
	}
	who.Caller.Proof, who.Caller.Session, who.Caller.MFA = caller.ProofSession, id, when(v.MFA)
	return v, who, nil
}

// Standing tells until when a session lasts if it is not refreshed, and whether it
// is a session of that user that may be used for more than a second factor. It
// asks nobody.
func Standing(r kv.Reader, id, acct, user string, now time.Time) (ends time.Time, ok bool, err error) {
	v, who, err := owner(r, id, now)
	if err != nil || v == nil || who.Caller.Account != acct || who.Caller.Name != user {
		return time.Time{}, false, err
	}
	limited, err := needMFA(r, v)
	return v.ends(), err == nil && !limited, err
}

// Lasts reports whether there is a session of that id that is not over. It asks
// nobody.
func Lasts(r kv.Reader, id string, now time.Time) (bool, error) {
	v, _, err := owner(r, id, now)
	return v != nil, err
}

// Authenticate proves a user by an access token. A session that has yet to show
// the second factor that its account asks for is Denied, with CodeNeedMFA.
func (s *Service) Authenticate(ctx context.Context, token sensitive.Bytes, now time.Time) (caller.Caller, error) {
	who, limited, err := s.AuthenticateLimited(ctx, token, now)
	if err == nil && limited {
		return caller.Caller{}, errs.Coded(errs.Denied, CodeNeedMFA, "the account asks for a second factor: set one up with \"countersign totp enrol\", or show a code with \"countersign totp confirm\"")
	}
	return who, err
}

// AuthenticateLimited is Authenticate for what a session may do before it has
// shown a second factor: set one up or show it, and sign out. limited tells of
// such a session.
func (s *Service) AuthenticateLimited(ctx context.Context, token sensitive.Bytes, now time.Time) (who caller.Caller, limited bool, err error) {
	parts, ok := split(token.Reveal(), accessPrefix, idLen, secretLen)
	if !ok {
		return caller.Caller{}, false, badSession()
	}
	id := sessionID(parts[0])
	var v *session
	err = s.gate.DB.View(ctx, func(r kv.Reader) error {
		found, user, err := owner(r, id, now)
		if v = found; err != nil || v == nil {
			return err
		}
		who = user.Caller
		limited, err = needMFA(r, v)
		return err
	})
	if err != nil {
		return caller.Caller{}, false, err
	}
	shown := s.hash("access", token.Reveal())
	switch {
	case v == nil:
		return caller.Caller{}, false, badSession()
	case same(shown, v.Access):
		if now.Before(when(v.AccessEnds)) {
			return who, limited, nil
		}
		return caller.Caller{}, false, errs.Coded(errs.Unauthenticated, CodeExpired, "the access token has expired: refresh the session")
	case same(shown, v.OldAccess) && now.Before(when(v.OldAccessEnds)):
		return who, limited, nil
	}
	return caller.Caller{}, false, badSession()
}

// needMFA reports whether a session has yet to show a second factor.
func needMFA(r kv.Reader, v *session) (bool, error) {
	if v.MFA != 0 {
		return false, nil
	}
	set, _, err := record.Get[settings](r, settingsKey(v.Account))
	return set.MFARequired, err
}

func same(a, b []byte) bool { return len(b) > 0 && subtle.ConstantTimeCompare(a, b) == 1 }

// As is the caller of a login: who proved it, in the circumstances of nobody's
// request.
func As(nobody, who caller.Caller, proof caller.Proof) caller.Caller {
	return signingIn(nobody, who, proof)
}

// signingIn is the caller of a login: the user who proved it, in the
// circumstances of nobody's request.
func signingIn(nobody, user caller.Caller, proof caller.Proof) caller.Caller {
	user.Proof = proof
	user.Front, user.Region, user.RequestID = nobody.Front, nobody.Region, nobody.RequestID
	user.Source, user.Agent, user.Secure, user.Time = nobody.Source, nobody.Agent, nobody.Secure, nobody.Time
	return user
}

// newSession is a session that begins.
func newSession(who caller.Caller, of int64, method string, mfa, now time.Time) *session {
	v := &session{Account: who.Account, User: who.Name, Of: of, Created: micros(now), Method: method, Agent: who.Agent}
	if who.Source.IsValid() {
		v.Source = who.Source.String()
	}
	if !mfa.IsZero() {
		v.MFA = micros(mfa)
	}
	return v
}

// start is the edit's part that opens a session: it is drawn before the
// transaction, which may run twice.
type start struct {
	rawID, family []byte
	first         pair
	device        sensitive.Bytes
	out           Tokens
}

func newStart() *start {
	st := &start{rawID: random(idLen), family: random(familyLen), device: sensitive.New(spell(devicePrefix, random(secretLen)))}
	st.first = newPair(st.rawID, st.family)
	return st
}

func (st *start) run(s *Service, tx *change.Tx, v *session, known sensitive.Bytes) error {
	v.Family = s.hash("family", st.family)
	v.set(s, st.first, tx.Now)
	id := sessionID(st.rawID)
	isNew, err := s.succeeded(tx, v.Account, v.User, v.Of, known, st.device, tx.Now)
	if err != nil {
		return err
	}
	if err := s.open(tx, id, v, tx.Now); err != nil {
		return err
	}
	st.out = v.tokens(id, st.first)
	if isNew {
		st.out.Device = st.device
	}
	st.out.NeedMFA, err = needMFA(tx, v)
	return err
}
