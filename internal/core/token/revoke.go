package token

import (
	"context"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
)

// Revoke ends a token of the caller's account and all that hang on it, from the
// next request on. NotFound, with CodeNoToken, says that there is none.
func (s *Service) Revoke(ctx context.Context, who caller.Caller, ref Ref) error {
	op := policy.RevokeToken
	if ref.Accessor != "" {
		op = policy.RevokeAccessor
	}
	return s.revoke(ctx, who, others(who, op), ref, false)
}

// RevokeAlone ends a token. Those that hang on it live on as orphans.
func (s *Service) RevokeAlone(ctx context.Context, who caller.Caller, ref Ref) error {
	return s.revoke(ctx, who, others(who, policy.RevokeOrphan), ref, true)
}

// RevokeSelf is Revoke of the token that the caller comes with.
func (s *Service) RevokeSelf(ctx context.Context, who caller.Caller) error {
	switch {
	case who.Token == nil:
		return s.ended(ctx, who, policy.RevokeOwnToken, errs.New(errs.Invalid, "this is no token: access keys and sessions are ended by other means"))
	case isBatch(who):
		return s.ended(ctx, who, policy.RevokeOwnToken, errs.New(errs.Invalid, "batch tokens cannot be revoked"))
	}
	return s.revoke(ctx, who, own(who, policy.RevokeOwnToken), Ref{Accessor: who.Token.Accessor}, false)
}

func (s *Service) revoke(ctx context.Context, who caller.Caller, e *edit, ref Ref, alone bool) error {
	var hash string
	var t *stored
	e.look = func(a *gate.Access) (err error) {
		if hash, t, err = s.any(a, who.Account, ref); err != nil || t == nil {
			return err
		}
		a.Record.Resource = t.Accessor
		return nil
	}
	e.do = func(tx *change.Tx) error {
		switch {
		case t == nil:
			return noToken()
		case t.Kind == KindBatch:
			return errs.New(errs.Invalid, "batch tokens cannot be revoked")
		case alone:
			if err := s.mayOrphan(tx, who.Account, t, micros(tx.Now)); err != nil {
				return err
			}
			return t.dropAlone(tx, who.Account, hash, micros(tx.Now))
		}
		return t.drop(tx, who.Account, hash, micros(tx.Now))
	}
	err := s.submit(ctx, who, e)
	if err == nil {
		s.woken.Ring()
	}
	return err
}

// mayOrphan refuses to part a token's children from a key that bounds them.
func (s *Service) mayOrphan(r kv.Reader, acct string, t *stored, now int64) error {
	st, err := s.standingOf(r, acct, t, now)
	if err != nil || st == nil {
		return err
	}
	bound, err := fences(r, acct, st.key)
	if err == nil && bound {
		err = fenced()
	}
	return err
}

// any finds a token whether it is valid or not: what is invalid only while its
// owner is disabled can be revoked too. It is nil when there is none.
func (s *Service) any(r kv.Reader, acct string, ref Ref) (hash string, t *stored, err error) {
	if ref.Accessor != "" {
		hash, t, err = named(r, acct, ref.Accessor)
	} else if p, ok := parse(ref.Token); ok && p.account == acct {
		if p.kind == KindBatch {
			return "", s.unseal(p), nil
		}
		hash = s.hash(ref.Token)
		t, err = find(r, acct, hash)
	}
	if t != nil && t.Alone {
		t = nil
	}
	return hash, t, err
}

// dropAlone ends a token whose children live on. While there are some its record
// stays, so that they are found to hang on something; the job makes them orphans.
func (t *stored) dropAlone(tx kv.Txn, acct, hash string, now int64) error {
	some, err := holds(tx, kv.Prefix(kv.K(acct, "token-under", onToken, hash)))
	if err != nil {
		return err
	}
	if !some {
		return t.drop(tx, acct, hash, now)
	}
	if t.Expires != 0 {
		if err := tx.Delete(dueKey(t.Expires, acct, dueToken, hash)); err != nil {
			return err
		}
	}
	if err := tx.Delete(accessorKey(acct, t.Accessor)); err != nil {
		return err
	}
	t.Alone = true
	if err := record.Put(tx, tokenKey(acct, hash), t); err != nil {
		return err
	}
	return putDue(tx, now, acct, dueAlone, hash)
}

// EndBatch ends all batch tokens of the caller's account that were made so far.
func (s *Service) EndBatch(ctx context.Context, who caller.Caller) error {
	e := others(who, policy.RevokeToken)
	e.do = func(tx *change.Tx) error { return record.Put(tx, epochKey(who.Account), micros(tx.Now)) }
	return s.submit(ctx, who, e)
}

// Tidy has the background work look at once for what it would find in its time.
func (s *Service) Tidy(ctx context.Context, who caller.Caller) error {
	e := others(who, policy.TidyTokens)
	e.do = func(*change.Tx) error { return nil }
	err := s.submit(ctx, who, e)
	if err == nil {
		s.tidying.Ring()
	}
	return err
}
