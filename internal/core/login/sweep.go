package login

import (
	"bytes"
	"context"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/mount"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/kv"
)

// Timing and bounds of the job that takes away what is over. Nothing that it
// takes would be let in again, so it is not audited.
const (
	dueEvery   = time.Minute
	sweepEvery = time.Hour
	atOnce     = 30 // secret ids of one transaction, of up to three keys each
)

func dueKey(at int64, p secretPlace) kv.Key {
	return kv.K("sys", "login-due").Num(uint64(max(0, at))).Str(p.acct, p.accessor, p.instance, string(p.hash))
}

// dropKey notes that the secret ids of a role are to be removed.
func dropKey(acct, accessor, instance string) kv.Key {
	return kv.K("sys", "login-drop", acct, accessor, instance)
}

// Run removes secret ids that have expired, those of roles that were deleted, and
// what is left of mounts that were disabled and of principals that are gone, until
// ctx ends. It resumes wherever it
// was stopped: what is noted goes in the transaction that carries it out.
func (s *Service) Run(ctx context.Context) {
	due, sweep := time.NewTicker(dueEvery), time.NewTicker(sweepEvery)
	defer due.Stop()
	defer sweep.Stop()
	for {
		if err := s.Due(ctx); err != nil && ctx.Err() == nil {
			s.logger.Error("removing secret ids that are over", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-due.C:
		case <-s.woken:
		case <-sweep.C:
			if err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
				s.logger.Error("removing what is left of login methods", "error", err)
			}
		}
	}
}

// Due removes the secret ids whose time is over, and those of deleted roles.
func (s *Service) Due(ctx context.Context) error {
	if err := s.expire(ctx, time.Now()); err != nil {
		return err
	}
	for {
		more, err := s.dropOne(ctx)
		if err != nil || !more {
			return err
		}
	}
}

// expire works the due index off.
func (s *Service) expire(ctx context.Context, now time.Time) error {
	end := kv.K("sys", "login-due").Num(uint64(micros(now)) + 1)
	for {
		n := 0
		_, err := s.gate.DB.Update(ctx, func(tx kv.Txn) error {
			n = 0
			keys, err := someKeys(tx, kv.Range{Start: kv.K("sys", "login-due"), End: end})
			if err != nil {
				return err
			}
			for _, k := range keys {
				strs, _, err := k.Parts("ssnssss")
				if err != nil {
					return err
				}
				p := secretPlace{strs[2], strs[3], strs[4], []byte(strs[5])}
				x, err := record.Find[secretID](tx, p.key())
				if err != nil {
					return err
				}
				if x != nil && x.over(micros(now)) {
					err = dropSecret(tx, p, x)
				}
				if err != nil {
					return err
				}
				if err := tx.Delete(k); err != nil {
					return err
				}
			}
			n = len(keys)
			return nil
		})
		if err != nil || n < atOnce {
			return err
		}
	}
}

// someKeys copies the first keys of a range.
func someKeys(r kv.Reader, rng kv.Range) (out []kv.Key, err error) {
	for p, err := range r.Scan(rng) {
		if err != nil {
			return nil, err
		}
		if out = append(out, bytes.Clone(p.Key)); len(out) == atOnce {
			break
		}
	}
	return out, nil
}

// dropOne removes some of the secret ids of a role that is gone.
func (s *Service) dropOne(ctx context.Context) (more bool, err error) {
	_, err = s.gate.DB.Update(ctx, func(tx kv.Txn) error {
		more = false
		notes, err := someKeys(tx, prefixOf("sys", "login-drop"))
		if err != nil || len(notes) == 0 {
			return err
		}
		strs, _, err := notes[0].Parts("sssss")
		if err != nil {
			return err
		}
		more = true
		left, err := dropSecrets(tx, kv.K(strs[2], "login-secret", strs[3], strs[4]), strs[2], strs[3])
		if err != nil || left {
			return err
		}
		return tx.Delete(notes[0])
	})
	return more, err
}

// dropSecrets removes some of the secret ids below a prefix.
func dropSecrets(tx kv.Txn, prefix kv.Key, acct, accessor string) (left bool, err error) {
	keys, err := someKeys(tx, kv.Prefix(prefix))
	if err != nil {
		return false, err
	}
	for _, k := range keys {
		x, err := record.Find[secretID](tx, k)
		if err != nil {
			return false, err
		}
		strs, _, err := k.Parts("sssss")
		if err != nil {
			return false, err
		}
		if x == nil {
			continue
		}
		if err := dropSecret(tx, secretPlace{acct, accessor, strs[3], x.Hash}, x); err != nil {
			return false, err
		}
	}
	return len(keys) == atOnce, nil
}

// below are the kinds of records below the accessor of a mount, but for secret
// ids, which have an index, and aliases, which have two.
var below = []string{"login-role", "login-role-id", "login-method", "login-crl"}

// Sweep removes what is left of mounts that were disabled, and the aliases of
// principals that are gone, some records in a transaction.
func (s *Service) Sweep(ctx context.Context) error {
	accounts, err := s.under(ctx, kv.K("sys", "account"))
	if err != nil {
		return err
	}
	for _, acct := range accounts {
		for _, kind := range append([]string{"login-secret", "login-alias"}, below...) {
			accessors, err := s.under(ctx, kv.K(acct, kind))
			if err != nil {
				return err
			}
			for _, accessor := range accessors {
				if err := s.sweepMount(ctx, acct, kind, accessor); err != nil {
					return err
				}
			}
		}
		for from := kv.K(acct, "login-alias"); from != nil; {
			if from, err = s.sweepAliases(ctx, acct, from); err != nil {
				return err
			}
		}
	}
	return nil
}

// lookAtOnce is how many aliases are looked at in one snapshot.
const lookAtOnce = 500

// sweepAliases looks at the next aliases of an account, removes those that lead to
// nobody, and returns where to go on, nil at the end.
func (s *Service) sweepAliases(ctx context.Context, acct string, from kv.Key) (next kv.Key, err error) {
	prefix := kv.K(acct, "login-alias")
	var gone []aliasPlace
	err = s.gate.DB.View(ctx, func(r kv.Reader) error {
		next, gone = nil, nil
		looked := 0
		for p, err := range r.Scan(kv.Range{Start: from, End: kv.After(prefix)}) {
			if err != nil {
				return err
			}
			if looked++; looked > lookAtOnce || len(gone) == atOnce {
				next = bytes.Clone(p.Key)
				return nil
			}
			strs, _, err := kv.Key(p.Key[len(prefix):]).Parts("ss")
			if err != nil {
				return err
			}
			if _, ok, err := Resolve(r, acct, strs[0], strs[1]); err != nil || ok {
				if err != nil {
					return err
				}
				continue
			}
			gone = append(gone, aliasPlace{strs[0], strs[1]})
		}
		return nil
	})
	if err != nil || len(gone) == 0 {
		return next, err
	}
	_, err = s.gate.DB.Update(ctx, func(tx kv.Txn) error {
		for _, at := range gone {
			if _, ok, err := Resolve(tx, acct, at.Accessor, at.Name); err != nil || ok {
				if err != nil {
					return err
				}
				continue // linked anew meanwhile
			}
			if err := Unlink(tx, acct, at.Accessor, at.Name); err != nil {
				return err
			}
		}
		return nil
	})
	return next, err
}

// under lists the parts that follow a prefix in keys, each once, without reading
// all that has it.
func (s *Service) under(ctx context.Context, prefix kv.Key) (out []string, err error) {
	err = s.gate.DB.View(ctx, func(r kv.Reader) error {
		out = nil
		rng := kv.Prefix(prefix)
		for {
			next := ""
			for p, err := range r.Scan(rng) {
				if err != nil {
					return err
				}
				if next, err = firstPart(p.Key[len(prefix):]); err != nil {
					return err
				}
				break
			}
			if next == "" {
				return nil
			}
			out = append(out, next)
			rng.Start = kv.After(append(bytes.Clone(prefix), kv.K(next)...))
		}
	})
	return out, err
}

// firstPart reads the first part of the rest of a key.
func firstPart(rest []byte) (string, error) {
	if i := bytes.Index(rest, []byte{0, 1}); i >= 0 {
		rest = rest[:i+2]
	}
	strs, _, err := kv.Key(rest).Parts("s")
	if err != nil {
		return "", err
	}
	return strs[0], nil
}

// sweepMount removes the records of a kind below a mount that is not there.
func (s *Service) sweepMount(ctx context.Context, acct, kind, accessor string) error {
	for {
		left := false
		_, err := s.gate.DB.Update(ctx, func(tx kv.Txn) error {
			left = false
			if m, err := mounted(tx, acct, accessor); err != nil || m != nil {
				return err
			}
			prefix := kv.K(acct, kind, accessor)
			if kind == "login-secret" {
				var err error
				left, err = dropSecrets(tx, prefix, acct, accessor)
				return err
			}
			keys, err := someKeys(tx, kv.Prefix(prefix))
			if err != nil {
				return err
			}
			left = len(keys) == atOnce
			for _, k := range keys {
				if err := dropBelow(tx, acct, kind, accessor, k); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil || !left {
			return err
		}
	}
}

func dropBelow(tx kv.Txn, acct, kind, accessor string, k kv.Key) error {
	if kind != "login-alias" {
		return tx.Delete(k)
	}
	strs, _, err := k.Parts("ssss")
	if err != nil {
		return err
	}
	return Unlink(tx, acct, accessor, strs[3])
}

// TidySecretIDs removes what is over now, as the job does anyway.
func (s *Service) TidySecretIDs(ctx context.Context, who caller.Caller, m *mount.Mount) error {
	op := policy.TidySecretIDs
	_, err := s.changes.Submit(ctx, who, change.Request{Edit: &tidy{op: op, account: who.Account, mount: short(m)}})
	if err == nil {
		s.woken.Ring()
	}
	return err
}

// tidy is the edit of an operation that the job carries out.
type tidy struct {
	op             policy.Op
	account, mount string
}

func (e *tidy) Target() change.Target {
	return change.Target{Account: e.account, Noun: nounLogin, Name: e.mount}
}
func (e *tidy) Operation() policy.Op { return e.op }
func (e *tidy) Allow(a *gate.Access) error {
	return a.Allow(&policy.Request{Op: e.op, Resource: policy.LoginMethodARN(e.account, e.mount), Account: e.account}, nil)
}
func (e *tidy) Apply(tx *change.Tx) error { tx.NothingToDo(); return nil }
