package token

import (
	"context"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/audit"
	"countersign/internal/core/authn"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/name"
	"countersign/internal/sensitive"
)

// wrapped is an answer that waits for who unwraps it.
type wrapped struct {
	Body     []byte `cbor:"1,keyasint"`
	Accessor string `cbor:"2,keyasint,omitempty"` // of a token in the answer
}

// WrapRequest asks for an answer to be kept.
type WrapRequest struct {
	TTL      time.Duration
	Body     sensitive.Bytes // the answer
	Path     string          // that it is the answer of
	Accessor string          // of the token that is in the answer, if one is
}

// Wrapped is the token by which an answer is unwrapped.
type Wrapped struct {
	Token           sensitive.Bytes // empty when it is looked up
	Accessor        string
	TTL             time.Duration
	CreationTime    time.Time
	CreationPath    string
	WrappedAccessor string
}

// Unwrapped is an answer that was wrapped.
type Unwrapped struct {
	Body sensitive.Bytes
	Path string
}

// Wrap keeps an answer to the caller and returns the token by which it is
// unwrapped, once. It ends with the caller's principal, not with what the caller
// comes with.
func (s *Service) Wrap(ctx context.Context, who caller.Caller, req WrapRequest) (Wrapped, error) {
	err := s.checkWrap(req.TTL, req.Path)
	if err == nil && req.Body.Len() > MaxWrapped {
		err = &errs.Error{Kind: errs.Limit, Msg: "an answer that is wrapped has at most 1048576 bytes"}
	}
	if err != nil {
		return Wrapped{}, s.ended(ctx, who, policy.WrapResponse, err)
	}
	l := draw()
	var out Wrapped
	e := own(who, policy.WrapResponse)
	e.accessor = l.accessor
	e.do = func(tx *change.Tx) error {
		id, ok, err := authn.FindIdentity(tx, who.Account, who.Name)
		if err != nil {
			return err
		}
		if !ok {
			return badToken()
		}
		out, err = s.wrap(tx, l, &stored{Principal: who.Name, Of: id.Created, TTL: req.TTL.Microseconds(), Path: req.Path}, wrapped{req.Body.Reveal(), req.Accessor}, who.Account, tx.Now)
		return err
	}
	if err := s.submit(ctx, who, e); err != nil {
		return Wrapped{}, err
	}
	return out, nil
}

// checkWrap refuses what no wrapped answer can be like.
func (s *Service) checkWrap(ttl time.Duration, path string) error {
	switch {
	case ttl <= 0:
		return errs.InvalidField("ttl", "an answer is wrapped for a time")
	case ttl > s.maxTTL:
		return errs.InvalidField("ttl", "an answer is wrapped for %s at most", s.maxTTL)
	}
	return name.Text("creation_path", path, MaxPath)
}

// MayWrap refuses, before an operation, what Wrap would refuse after it, when what
// was asked for has been done and nobody gets the answer. A caller that is not
// proved yet may.
func (s *Service) MayWrap(ctx context.Context, who caller.Caller, ttl time.Duration, path string) error {
	if err := s.checkWrap(ttl, path); err != nil {
		return s.ended(ctx, who, policy.WrapResponse, err)
	}
	if who.Name == "" {
		return nil
	}
	return s.gate.Ahead(ctx, who, &policy.Request{Op: policy.WrapResponse, Resource: who.ARN(), Account: who.Account})
}

// wrap stores a wrapping token.
func (s *Service) wrap(tx kv.Txn, l luck, t *stored, w wrapped, acct string, now time.Time) (Wrapped, error) {
	t.Kind, t.Accessor, t.Created, t.Expires, t.Fixed = kindWrapping, l.accessor, micros(now), micros(now)+t.TTL, true
	t.On, t.OnID = onPrincipal, []byte(principalID(t.Principal, t.Of))
	f := Fresh{s: s, acct: acct, rec: *t}
	if err := f.spell(l.secret); err != nil {
		return Wrapped{}, err
	}
	if err := record.Put(tx, wrappedKey(acct, f.hash), w); err != nil {
		return Wrapped{}, err
	}
	return Wrapped{Token: sensitive.New(f.text), Accessor: t.Accessor, TTL: span(t.TTL), CreationTime: when(t.Created), CreationPath: t.Path,
		WrappedAccessor: w.Accessor}, f.store(tx)
}

// badWrapping is the answer to every token that unwraps nothing.
func badWrapping() error {
	return errs.Coded(errs.Invalid, CodeWrapping, "wrapping token is not valid or does not exist")
}

// opens is a wrapping token that somebody came with.
type opens struct {
	acct, hash string
	t          *stored
	w          *wrapped
}

// wrapping finds a wrapping token that is valid; the error is badWrapping when it
// is not.
func (s *Service) wrapping(r kv.Reader, token string, now time.Time) (*opens, error) {
	p, ok := parse(token)
	if !ok || p.kind != kindWrapping {
		return nil, badWrapping()
	}
	f, err := s.resolve(r, p.account, Ref{Token: token}, now)
	if err != nil {
		return nil, err
	}
	if f == nil || f.rec.Kind != kindWrapping {
		return nil, badWrapping()
	}
	w, err := record.Find[wrapped](r, wrappedKey(p.account, f.hash))
	if err == nil && w == nil {
		err = badWrapping()
	}
	return &opens{p.account, f.hash, f.rec, w}, err
}

// bearer is who comes with a wrapping token. Who proves nothing else is nobody of
// the token's account, and is let in by having one that is valid.
func (s *Service) bearer(ctx context.Context, who caller.Caller, token string, now time.Time) (caller.Caller, error) {
	p, ok := parse(token)
	if !ok || p.kind != kindWrapping || who.Name != "" && who.Account != p.account {
		return who, badWrapping()
	}
	if who.Name != "" {
		return who, nil
	}
	out := caller.ForSystem(p.account, "wrapping-token", who.RequestID, who.Time)
	out.Proof, out.Front, out.Region, out.Secure = caller.ProofVaultToken, who.Front, who.Region, who.Secure
	out.Source, out.Agent, out.Call = who.Source, who.Agent, who.Call
	return out, s.gate.DB.View(ctx, func(r kv.Reader) error {
		_, err := s.wrapping(r, token, now)
		return err
	})
}

// refuse records what nobody was let do, in the log of the account whose token it
// would be.
func (s *Service) refuse(ctx context.Context, who caller.Caller, op policy.Op, token string, err error) error {
	rec := gate.NewRecord(who, op, "")
	if p, ok := parse(token); ok && who.Name == "" {
		s.account(ctx, &rec, p.account)
	}
	return s.gate.Finish(ctx, &rec, err)
}

// account puts a record into the log of an account that exists.
func (s *Service) account(ctx context.Context, rec *audit.Record, acct string) {
	_ = s.gate.DB.View(ctx, func(r kv.Reader) error { // a store that cannot be read makes the record less precise
		ok, err := authn.AccountExists(r, acct)
		if err == nil && ok {
			rec.Account = acct
		}
		return err
	})
}

// open runs a write of who comes with a wrapping token. do is given the token in
// the transaction.
func (s *Service) open(ctx context.Context, who caller.Caller, op policy.Op, token string, do func(tx *change.Tx, o *opens) error) error {
	now := time.Now()
	proven, err := s.bearer(ctx, who, token, now)
	if err != nil {
		return s.refuse(ctx, who, op, token, err)
	}
	e := own(proven, op)
	e.accessor = ""
	var o *opens
	e.look = func(a *gate.Access) (err error) {
		if o, err = s.wrapping(a, token, now); err == nil {
			a.Record.Resource = o.t.Accessor
		}
		return err
	}
	e.do = func(tx *change.Tx) error { return do(tx, o) }
	return s.submit(ctx, proven, e)
}

// Unwrap returns the answer behind a wrapping token, and ends the token. who may
// have proved nothing but to have the token; of several that come at once one gets
// the answer.
func (s *Service) Unwrap(ctx context.Context, who caller.Caller, token string) (out Unwrapped, err error) {
	err = s.open(ctx, who, policy.Unwrap, token, func(tx *change.Tx, o *opens) error {
		out = Unwrapped{Body: sensitive.New(o.w.Body), Path: o.t.Path}
		return o.t.drop(tx, o.acct, o.hash, micros(tx.Now))
	})
	if err != nil {
		return Unwrapped{}, err
	}
	return out, nil
}

// Rewrap puts the answer behind a wrapping token behind another one, for as long
// again, and ends the first.
func (s *Service) Rewrap(ctx context.Context, who caller.Caller, token string) (out Wrapped, err error) {
	l := draw()
	err = s.open(ctx, who, policy.Rewrap, token, func(tx *change.Tx, o *opens) error {
		if err := o.t.drop(tx, o.acct, o.hash, micros(tx.Now)); err != nil {
			return err
		}
		t := *o.t
		out, err = s.wrap(tx, l, &t, *o.w, o.acct, tx.Now)
		return err
	})
	if err != nil {
		return Wrapped{}, err
	}
	return out, nil
}

// LookupWrapping tells what a wrapping token is, and leaves it as it is.
func (s *Service) LookupWrapping(ctx context.Context, who caller.Caller, token string) (out Wrapped, err error) {
	now := time.Now()
	proven, err := s.bearer(ctx, who, token, now)
	if err != nil {
		return Wrapped{}, s.refuse(ctx, who, policy.LookupWrapping, token, err)
	}
	err = s.gate.View(ctx, proven, policy.LookupWrapping, "", func(a *gate.Access) error {
		if err := a.AllowSelf(&policy.Request{Op: policy.LookupWrapping, Resource: proven.ARN(), Account: proven.Account}); err != nil {
			return err
		}
		o, err := s.wrapping(a, token, now)
		if err != nil {
			return err
		}
		a.Record.Resource = o.t.Accessor
		out = Wrapped{Accessor: o.t.Accessor, TTL: span(o.t.TTL), CreationTime: when(o.t.Created), CreationPath: o.t.Path, WrappedAccessor: o.w.Accessor}
		return nil
	})
	return out, err
}
