package token

import (
	"context"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/authn"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/signin"
	"countersign/internal/kv"
)

// Ref names a token: one of the two.
type Ref struct {
	Token    string
	Accessor string
}

// found is a token that was asked about.
type found struct {
	hash string // empty for a batch token
	rec  *stored
	st   *standing
}

// resolve finds a token of an account, nil when there is none that is valid.
func (s *Service) resolve(r kv.Reader, acct string, ref Ref, now time.Time) (*found, error) {
	f := &found{}
	var err error
	switch {
	case ref.Accessor != "":
		f.hash, f.rec, err = named(r, acct, ref.Accessor)
	default:
		p, ok := parse(ref.Token)
		if !ok || p.account != acct {
			return nil, nil
		}
		if p.kind == KindBatch {
			return s.resolveBatch(r, p, now)
		}
		f.hash = s.hash(ref.Token)
		f.rec, err = find(r, acct, f.hash)
	}
	if err != nil || f.rec == nil {
		return nil, err
	}
	if f.st, err = s.standingOf(r, acct, f.rec, micros(now)); err != nil || f.st == nil || f.st.over(now) {
		return nil, err
	}
	id, ok, err := authn.FindIdentity(r, acct, f.rec.Principal)
	if err != nil || !ok || id.Disabled || id.Created != f.rec.Of {
		return nil, err
	}
	return f, nil
}

// over reports whether something that a token hangs on has ended.
func (st *standing) over(now time.Time) bool { return st.ends != 0 && micros(now) >= st.ends }

func (s *Service) resolveBatch(r kv.Reader, p parsed, now time.Time) (*found, error) {
	t := s.unseal(p)
	if t == nil {
		return nil, nil
	}
	k, err := s.load(r, p.account, t, link{}, now)
	if err != nil || k == nil || k.st.over(now) {
		return nil, err
	}
	return &found{rec: t, st: k.st}, nil
}

// Lookup tells what a token of the caller's account is.
func (s *Service) Lookup(ctx context.Context, who caller.Caller, ref Ref) (Info, error) {
	op := policy.LookupToken
	if ref.Accessor != "" {
		op = policy.LookupAccessor
	}
	var out Info
	now := time.Now()
	err := s.gate.View(ctx, who, op, "", func(a *gate.Access) error {
		if err := a.Allow(&policy.Request{Op: op, Resource: policy.TokenARN(who.Account), Account: who.Account}, nil); err != nil {
			return err
		}
		f, err := s.resolve(a, who.Account, ref, now)
		if err != nil {
			return err
		}
		if f == nil {
			return noToken()
		}
		a.Record.Resource = f.rec.Accessor
		out, err = show(a, who.Account, f.rec, now)
		return err
	})
	return out, err
}

// LookupSelf tells the caller what it comes with: a token, which it has to show
// again when that is a batch token, or an access key or a session in the words of
// a token.
func (s *Service) LookupSelf(ctx context.Context, who caller.Caller, token string) (Info, error) {
	var out Info
	now := time.Now()
	err := s.gate.View(ctx, who, policy.LookupOwnToken, who.Name, func(a *gate.Access) error {
		if err := a.AllowSelf(&policy.Request{Op: policy.LookupOwnToken, Resource: who.ARN(), Account: who.Account}); err != nil {
			return err
		}
		var t *stored
		var err error
		switch {
		case isBatch(who):
			t = s.ownBatch(who, token)
		case who.Token != nil:
			_, t, err = named(a, who.Account, who.Token.Accessor)
		default:
			t, err = asToken(a, who, now)
		}
		if err != nil {
			return err
		}
		if t == nil {
			return badToken()
		}
		out, err = show(a, who.Account, t, now)
		return err
	})
	return out, err
}

// ownBatch is the batch token that the caller comes with.
func (s *Service) ownBatch(who caller.Caller, token string) *stored {
	p, ok := parse(token)
	if !ok || p.kind != KindBatch || p.account != who.Account {
		return nil
	}
	if t := s.unseal(p); t != nil && t.Accessor == who.Token.Accessor {
		return t
	}
	return nil
}

// asToken is an access key or a session in the words of a token.
func asToken(r kv.Reader, who caller.Caller, now time.Time) (*stored, error) {
	id, ok, err := authn.FindIdentity(r, who.Account, who.Name)
	if err != nil || !ok {
		return nil, err
	}
	t := &stored{Principal: who.Name, Of: id.Created, Fixed: true, On: onPrincipal, Display: who.Name, Path: "auth/token/create"}
	switch {
	case who.KeyID != "":
		k, ok, err := authn.FindKey(r, who.Account, who.KeyID)
		if err != nil || !ok {
			return nil, err
		}
		t.Accessor, t.Created = who.KeyID, micros(k.Created)
		if !k.Expires.IsZero() {
			t.Expires = micros(k.Expires)
			t.TTL = t.Expires - t.Created
		}
		if len(k.Policies) > 0 {
			t.Narrowed, t.IsNarrowed = sorted(k.Policies), true
		}
	case who.Session != "":
		ends, _, err := signin.Standing(r, who.Session, who.Account, who.Name, now)
		if err != nil {
			return nil, err
		}
		t.Accessor, t.Expires = who.Session, micros(ends)
	}
	return t, nil
}

// CallerOf is the caller that a token proves, without the circumstances of a
// request; nil when there is no such token in the account. It asks nobody: it is
// for telling somebody who may ask what a token could do.
func (s *Service) CallerOf(r kv.Reader, acct string, ref Ref, now time.Time) (*caller.Caller, error) {
	f, err := s.resolve(r, acct, ref, now)
	if err != nil || f == nil || f.rec.Kind == kindWrapping {
		return nil, err
	}
	k, err := s.load(r, acct, f.rec, link{}, now)
	if err != nil || k == nil {
		return nil, err
	}
	return &k.who, nil
}

// ListAccessors lists accessors of the account's tokens in their order, those
// after the given one, and at most limit of them. more says that there are others.
func (s *Service) ListAccessors(ctx context.Context, who caller.Caller, after string, limit int) (accessors []string, more bool, err error) {
	err = s.gate.View(ctx, who, policy.ListAccessors, "", func(a *gate.Access) error {
		accessors, more = []string{}, false
		if err := a.Allow(&policy.Request{Op: policy.ListAccessors, Resource: policy.TokenARN(who.Account), Account: who.Account}, nil); err != nil {
			return err
		}
		prefix := kv.K(who.Account, "token-accessor")
		rng := kv.Prefix(prefix)
		if after != "" {
			rng.Start = kv.After(accessorKey(who.Account, after))
		}
		for p, err := range a.Scan(rng) {
			if err != nil {
				return err
			}
			if len(accessors) == limit {
				more = true
				return nil
			}
			strs, _, err := kv.Key(p.Key[len(prefix):]).Parts("s")
			if err != nil {
				return err
			}
			accessors = append(accessors, strs[0])
		}
		return nil
	})
	return accessors, more, err
}

// Finder is CallerOf to be run later, with the circumstances that fill adds.
func (s *Service) Finder(acct string, ref Ref, now time.Time, fill func(caller.Caller) caller.Caller) authn.Finder {
	return func(r kv.Reader) (*caller.Caller, error) {
		who, err := s.CallerOf(r, acct, ref, now)
		if err != nil || who == nil {
			return nil, err
		}
		filled := fill(*who)
		return &filled, nil
	}
}
