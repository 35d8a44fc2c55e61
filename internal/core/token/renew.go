package token

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
)

// Renew gives a token of the caller's account more time: the increment, or as much
// as it was made with, within its limits; a periodic one its period. Issued.Token
// is empty.
func (s *Service) Renew(ctx context.Context, who caller.Caller, ref Ref, increment time.Duration) (Issued, error) {
	op := policy.RenewToken
	if ref.Accessor != "" {
		op = policy.RenewAccessor
	}
	return s.renew(ctx, who, others(who, op), increment, func(r kv.Reader, now time.Time) (*found, error) {
		return s.resolve(r, who.Account, ref, now)
	})
}

// RenewSelf is Renew of the token that the caller comes with.
func (s *Service) RenewSelf(ctx context.Context, who caller.Caller, increment time.Duration) (Issued, error) {
	switch {
	case who.Token == nil:
		return Issued{}, s.ended(ctx, who, policy.RenewOwnToken, errs.New(errs.Invalid, "lease is not renewable"))
	case isBatch(who):
		return Issued{}, s.ended(ctx, who, policy.RenewOwnToken, errs.New(errs.Invalid, "batch tokens cannot be renewed"))
	}
	return s.renew(ctx, who, own(who, policy.RenewOwnToken), increment, func(r kv.Reader, now time.Time) (*found, error) {
		return s.resolve(r, who.Account, Ref{Accessor: who.Token.Accessor}, now)
	})
}

func (s *Service) renew(ctx context.Context, who caller.Caller, e *edit, increment time.Duration, resolve func(kv.Reader, time.Time) (*found, error)) (out Issued, err error) {
	if increment < 0 {
		return Issued{}, s.ended(ctx, who, e.op, errs.InvalidField("increment", "increment must be positive"))
	}
	now := time.Now()
	e.look = func(a *gate.Access) error {
		f, err := resolve(a, now)
		if err == nil && f != nil {
			a.Record.Resource = f.rec.Accessor
		}
		return err
	}
	e.do = func(tx *change.Tx) error {
		out = Issued{}
		f, err := resolve(tx, tx.Now)
		if err != nil {
			return err
		}
		if f == nil {
			return noToken()
		}
		if out.Warnings, err = s.prolong(tx, who.Account, f, increment, tx.Now); err != nil {
			return err
		}
		out.Info, err = show(tx, who.Account, f.rec, tx.Now)
		return err
	}
	if err := s.submit(ctx, who, e); err != nil {
		return Issued{}, err
	}
	return out, nil
}

// prolong moves the end of a token.
func (s *Service) prolong(tx kv.Txn, acct string, f *found, increment time.Duration, now time.Time) ([]string, error) {
	t := f.rec
	switch {
	case t.Kind == KindBatch:
		return nil, errs.New(errs.Invalid, "batch tokens cannot be renewed")
	case t.Fixed || t.Expires == 0:
		return nil, errs.New(errs.Invalid, "lease is not renewable")
	}
	l := limits{ttl: span(t.TTL), max: span(t.MaxTTL), explicit: span(t.Explicit), period: span(t.Period)}
	if t.Role != "" {
		role, err := findRole(tx, acct, t.Role)
		if err != nil {
			return nil, err
		}
		if role == nil {
			return nil, errs.New(errs.Invalid, "original token role %q could not be found, not renewing", t.Role)
		}
		l.period, l.explicit = role.Period, time.Duration(least(int64(l.explicit), int64(role.ExplicitMaxTTL)))
	}
	ttl, warnings, err := s.lasts(l, increment, when(t.Created), now)
	if err != nil {
		return nil, err
	}
	t.Renewed = micros(now)
	if err := t.moveDue(tx, acct, f.hash, micros(now.Add(ttl))); err != nil {
		return nil, err
	}
	return warnings, record.Put(tx, tokenKey(acct, f.hash), t)
}
