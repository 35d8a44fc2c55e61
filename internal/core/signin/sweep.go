package signin

import (
	"bytes"
	"context"
	"time"

	"countersign/internal/core/authn"
	"countersign/internal/core/record"
	"countersign/internal/kv"
)

// Sweeping takes away what is over and takes nobody's part: none of it would be
// let in again. It is not audited, as nothing that anybody could do changes.
const (
	sweepEvery  = time.Hour
	sweepAtOnce = 50 // records of one transaction, of up to two keys each
)

// Run sweeps now and then until ctx ends. report is told of failures.
func (s *Service) Run(ctx context.Context, report func(error)) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
				report(err)
			}
		}
	}
}

// Sweep drops sessions that are over, counters of attempts that are forgotten,
// and what deleted users left.
func (s *Service) Sweep(ctx context.Context) error {
	now := time.Now()
	jobs := []sweep{
		{kv.K("sys", "session"), func(tx kv.Txn, e kv.Pair) error { return sweepSession(tx, e, now) }},
		{kv.K("sys", "signin-attempts"), func(tx kv.Txn, e kv.Pair) error { return sweepAttempts(tx, e, now) }},
	}
	accounts, err := s.accounts(ctx)
	if err != nil {
		return err
	}
	for _, acct := range accounts {
		for _, kind := range []string{"login", "signin-device", "identity-of"} {
			jobs = append(jobs, sweep{kv.K(acct, kind), func(tx kv.Txn, e kv.Pair) error { return sweepLeft(tx, e, acct, kind) }})
		}
	}
	for _, j := range jobs {
		if err := s.sweep(ctx, j); err != nil {
			return err
		}
	}
	return nil
}

// sweep looks at each record below a prefix and drops what is to be dropped.
type sweep struct {
	prefix kv.Key
	look   func(tx kv.Txn, e kv.Pair) error
}

func (s *Service) sweep(ctx context.Context, j sweep) error {
	rng := kv.Prefix(j.prefix)
	for {
		var last kv.Key
		_, err := s.gate.DB.Update(ctx, func(tx kv.Txn) error {
			var batch []kv.Pair
			for e, err := range tx.Scan(rng) {
				if err != nil {
					return err
				}
				batch = append(batch, kv.Pair{Key: bytes.Clone(e.Key), Value: bytes.Clone(e.Value)})
				if len(batch) == sweepAtOnce {
					break
				}
			}
			last = nil
			for _, e := range batch {
				if err := j.look(tx, e); err != nil {
					return err
				}
			}
			if len(batch) == sweepAtOnce {
				last = batch[len(batch)-1].Key
			}
			return nil
		})
		if err != nil || last == nil {
			return err
		}
		rng.Start = append(bytes.Clone(last), 0)
	}
}

func (s *Service) accounts(ctx context.Context) (ids []string, err error) {
	err = s.gate.DB.View(ctx, func(r kv.Reader) (err error) {
		ids, err = authn.Accounts(r)
		return err
	})
	return ids, err
}

func sweepSession(tx kv.Txn, e kv.Pair, now time.Time) error {
	var v session
	if err := record.Decode(e.Value, &v); err != nil {
		return err
	}
	strs, _, err := kv.Key(e.Key).Parts("sss")
	if err != nil {
		return err
	}
	id, ok, err := authn.FindIdentity(tx, v.Account, v.User)
	if err != nil || ok && id.Created == v.Of && now.Before(v.ends()) {
		return err
	}
	return drop(tx, held{strs[2], v})
}

func sweepAttempts(tx kv.Txn, e kv.Pair, now time.Time) error {
	var a attempts
	if err := record.Decode(e.Value, &a); err != nil {
		return err
	}
	if now.Sub(when(a.Last)) <= forgetAfter {
		return nil
	}
	return tx.Delete(e.Key)
}

// sweepLeft drops what belongs to a user who is gone, or was an earlier one of
// the name.
func sweepLeft(tx kv.Txn, e kv.Pair, acct, kind string) error {
	var of int64
	var err error
	switch kind {
	case "login":
		var v profile
		err = record.Decode(e.Value, &v)
		of = v.Of
	case "signin-device":
		var v device
		err = record.Decode(e.Value, &v)
		of = v.Of
	default:
		var v linked
		err = record.Decode(e.Value, &v)
		of = v.Of
	}
	if err != nil {
		return err
	}
	prefix := kv.K(acct, kind)
	shape := map[bool]string{true: "ss", false: "s"}[kind == "signin-device"]
	strs, _, err := kv.Key(e.Key[len(prefix):]).Parts(shape)
	if err != nil {
		return err
	}
	id, ok, err := authn.FindIdentity(tx, acct, strs[0])
	if err != nil || ok && id.Created == of {
		return err
	}
	if kind == "identity-of" {
		_, err := dropLink(tx, acct, strs[0])
		return err
	}
	return tx.Delete(e.Key)
}
