package identitytoken

import (
	"context"
	"fmt"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/audit"
	"countersign/internal/core/change"
	"countersign/internal/core/due"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/kv"
)

// turnEvery is how often the due index is looked at.
const turnEvery = time.Minute

// Run makes pairs that lack, replaces those whose period is over and drops what is
// published no more, until ctx ends. It resumes wherever it was stopped.
func (s *Service) Run(ctx context.Context) {
	due.Run(ctx, turnEvery, s.woken, s.Turn, func(err error) {
		s.Logger.Error("replacing keys of identity tokens", "error", err)
	})
}

// Turn does all that is due. What cannot be done does not keep the rest from it;
// the first of the errors is returned.
func (s *Service) Turn(ctx context.Context) error {
	return dueIndex.Each(ctx, s.gate.DB, func(e due.Entry) error {
		account, n := e.Parts[0], e.Parts[1]
		if err := s.turn(ctx, account, n); err != nil {
			return fmt.Errorf("key %q of account %s: %w", n, account, err)
		}
		return nil
	})
}

// fill makes the pairs of a key that was just put or rotated. If it fails the job
// over the due index does it later.
func (s *Service) fill(ctx context.Context, account, n string) {
	if err := s.turn(context.WithoutCancel(ctx), account, n); err != nil {
		s.Logger.Error("making keys of identity tokens", "error", err)
		s.woken.Ring()
	}
}

// turning is the server's own write to a key: the pairs that were made for what
// it was at a revision. No change is kept of it, only the audit record.
type turning struct {
	target        change.Target
	revision      uint64
	signing, next *pair
	rotate        bool
}

// turn does what is due of one key.
func (s *Service) turn(ctx context.Context, account, n string) error {
	e, algorithm, err := s.plan(ctx, account, n)
	if err != nil || e == nil {
		return err
	}
	for _, p := range []**pair{&e.signing, &e.next} {
		if *p == nil {
			continue
		}
		if *p, err = newPair(algorithm); err != nil {
			return err
		}
	}
	if e.signing == nil && e.next == nil { // it takes nobody's part, as when sessions are swept
		_, err := s.gate.DB.Update(ctx, func(tx kv.Txn) error { return e.write(tx, time.Now()) })
		return err
	}
	now := time.Now()
	_, err = s.changes.Submit(ctx, caller.ForSystem(account, "identity-keys", audit.NewID(now), now), change.Request{Edit: e})
	return err
}

// plan finds out which pairs a key needs, which it marks by empty ones; nil when
// nothing is due.
func (s *Service) plan(ctx context.Context, account, n string) (e *turning, algorithm string, err error) {
	now := time.Now().UnixMicro()
	err = s.gate.DB.View(ctx, func(r kv.Reader) error {
		e = nil
		k, err := record.Find[key](r, keyKey(account, n))
		if err != nil || k == nil || k.Due > now {
			return err
		}
		e, algorithm = &turning{target: change.Target{Account: account, Noun: NounKey, Name: n}, revision: k.Revision}, k.Algorithm
		signing, next := k.lacks()
		e.rotate = !signing && !next && k.Rotates <= now
		if signing {
			e.signing = &pair{}
		}
		if next || e.rotate {
			e.next = &pair{}
		}
		return nil
	})
	return e, algorithm, err
}

func (e *turning) Target() change.Target { return e.target }
func (e *turning) Operation() policy.Op  { return policy.RotateIdentityKey }

func (e *turning) Allow(a *gate.Access) error { return allow(a, e.Operation(), e.target) }

func (e *turning) Apply(tx *change.Tx) error {
	tx.NothingToDo()
	return e.write(tx, tx.Now)
}

func (e *turning) write(tx kv.Txn, now time.Time) error {
	k, err := record.Find[key](tx, keyKey(e.target.Account, e.target.Name))
	if err != nil || k == nil || k.Revision != e.revision {
		return err // another was faster
	}
	k.forget(now)
	switch {
	case e.rotate:
		err = k.turn(e.next, now, k.Verification)
	case e.signing != nil:
		err = k.begin(e.signing, e.next, now)
	case e.next != nil:
		k.Next = e.next
	}
	if err != nil {
		return err
	}
	return k.put(tx, e.target.Account, e.target.Name, now)
}

// begin gives a key a pair that signs, and one that will if there is a new one.
func (k *key) begin(signing, next *pair, now time.Time) error {
	if next == nil {
		next = k.Next
	}
	k.Next = signing
	return k.turn(next, now, k.Verification)
}
