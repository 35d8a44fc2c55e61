package token

import (
	"context"
	"strconv"
	"strings"
	"time"

	"countersign/internal/core/authn"
	"countersign/internal/core/signin"
	"countersign/internal/kv"
)

const (
	sweepEvery = time.Hour
	lookAtOnce = 500 // things that tokens hang on, looked at in one snapshot
)

// Sweep finds what tokens hang on that is gone: deleted principals, revoked keys,
// sessions that are over. Nobody is let in by such tokens already. It looks at
// each such thing once, however many tokens hang on it, and leaves their removal
// to the job over the due index.
func (s *Service) Sweep(ctx context.Context) error {
	var accounts []string
	err := s.gate.DB.View(ctx, func(r kv.Reader) (err error) {
		accounts, err = authn.Accounts(r)
		return err
	})
	if err != nil {
		return err
	}
	for _, acct := range accounts {
		for from := kv.K(acct, "token-under"); from != nil; {
			if from, err = s.sweep(ctx, acct, from); err != nil {
				return err
			}
		}
	}
	return s.Due(ctx)
}

// sweep looks at the next things that tokens of an account hang on, and returns
// where to go on, nil at the end.
func (s *Service) sweep(ctx context.Context, acct string, from kv.Key) (next kv.Key, err error) {
	now := micros(time.Now())
	var gone []string
	err = s.gate.DB.View(ctx, func(r kv.Reader) error {
		next, gone = from, nil
		for range lookAtOnce {
			on, id, err := nextUnder(r, acct, next)
			if err != nil {
				return err
			}
			if on == "" {
				next = nil
				return nil
			}
			is, err := there(r, acct, on, id, now)
			if err != nil {
				return err
			}
			if !is {
				if gone = append(gone, on+id); len(gone) == kv.MaxOps {
					next = kv.After(kv.K(acct, "token-under", on, id))
					return nil
				}
			}
			next = kv.After(kv.K(acct, "token-under", on, id))
		}
		return nil
	})
	if err != nil || len(gone) == 0 {
		return next, err
	}
	_, err = s.gate.DB.Update(ctx, func(tx kv.Txn) error {
		for _, what := range gone {
			if err := putDue(tx, now, acct, dueTree, what); err != nil {
				return err
			}
		}
		return nil
	})
	return next, err
}

// nextUnder is the first thing from a key on that tokens hang on.
func nextUnder(r kv.Reader, acct string, from kv.Key) (on, id string, err error) {
	for p, err := range r.Scan(kv.Range{Start: from, End: kv.After(kv.K(acct, "token-under"))}) {
		if err != nil {
			return "", "", err
		}
		strs, _, err := kv.Key(p.Key).Parts("sssss")
		if err != nil {
			return "", "", err
		}
		return strs[2], strs[3], nil
	}
	return "", "", nil
}

// there reports whether something that tokens hang on is.
func there(r kv.Reader, acct, on, id string, now int64) (bool, error) {
	switch on {
	case onToken:
		t, err := find(r, acct, id)
		return t != nil, err
	case onKey:
		_, ok, err := authn.FindKey(r, acct, id)
		return ok, err
	case onSession:
		return signin.Lasts(r, id, when(now))
	}
	n, of, _ := strings.Cut(id, "/")
	made, err := strconv.ParseInt(of, 10, 64)
	if err != nil {
		return false, nil
	}
	p, ok, err := authn.FindIdentity(r, acct, n)
	return ok && p.Created == made, err
}
