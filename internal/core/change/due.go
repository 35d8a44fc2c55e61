package change

import (
	"context"
	"slices"
	"strings"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/audit"
	"countersign/internal/core/due"
	"countersign/internal/core/gate"
	"countersign/internal/core/notice"
	"countersign/internal/core/policy"
	"countersign/internal/core/protect"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
)

// Kinds of entries in the due index of changes.
const (
	dueExpire = "expire" // the change expires
	dueApply  = "apply"  // its time has come
	dueRemind = "remind" // it still waits for votes
	dueForget = "forget" // the key of a request: name, NUL, key
)

// Timing of the job over the due index.
const (
	dueEvery    = 5 * time.Second
	remindEvery = 24 * time.Hour
)

// dueIndex has the account, the kind and what it is about of each entry.
var dueIndex = due.Index{Prefix: kv.K("sys", "change-due"), Parts: 3}

func putDue(tx kv.Txn, at time.Time, account, kind, what string) error {
	return tx.Put(dueIndex.Key(at, account, kind, what), []byte{1})
}

// Run lets changes take effect when their time has come, expires those that
// nobody decided, and reminds of those that wait, until ctx ends. It resumes
// wherever it was stopped: an entry goes in the transaction that carries it out.
func (s *Service) Run(ctx context.Context) {
	due.Run(ctx, dueEvery, s.woken, s.Due, func(err error) {
		s.logger.Error("carrying out what is due of changes", "error", err)
	})
}

// dueEntry is one entry of the index.
type dueEntry struct {
	key                 kv.Key
	account, kind, what string
}

// Due carries out every entry whose time has come. One that fails does not keep
// the rest from it; the first of the errors is returned, and it is tried again.
func (s *Service) Due(ctx context.Context) error {
	return dueIndex.Each(ctx, s.gate.DB, func(e due.Entry) error {
		return s.carryOut(ctx, &dueEntry{e.Key, e.Parts[0], e.Parts[1], e.Parts[2]})
	})
}

// carryOut does what one entry says and removes it.
func (s *Service) carryOut(ctx context.Context, d *dueEntry) error {
	now := time.Now()
	who := caller.ForSystem(d.account, "review", audit.NewID(now), now)
	if d.kind == dueForget {
		_, err := s.gate.DB.Update(ctx, func(tx kv.Txn) error {
			name, key, _ := strings.Cut(d.what, "\x00")
			k := repeatKey(d.account, name, key)
			old, err := record.Find[repeated](tx, k)
			if err != nil {
				return err
			}
			if old != nil && old.Time <= now.Add(-repeatFor).UnixMicro() {
				if err := tx.Delete(k); err != nil {
					return err
				}
			}
			return tx.Delete(d.key)
		})
		return err
	}
	if quiet, err := s.unneeded(ctx, d); quiet || err != nil {
		return err
	}
	op := map[string]policy.Op{dueExpire: policy.WithdrawChange, dueApply: policy.ReviewChange, dueRemind: policy.CommentChange}[d.kind]
	return s.act(ctx, who, op, d.what, func(tx *Tx, e *entry) error {
		if err := tx.Delete(d.key); err != nil {
			return err
		}
		if e.prop == nil || !e.rec.Status.Open() {
			return nil
		}
		switch d.kind {
		case dueExpire:
			return s.expire(tx, e)
		case dueApply:
			return s.applyDue(tx, e)
		}
		return s.remind(tx, e)
	})
}

// unneeded removes an entry whose change was decided, without a record.
func (s *Service) unneeded(ctx context.Context, d *dueEntry) (done bool, err error) {
	_, err = s.gate.DB.Update(ctx, func(tx kv.Txn) error {
		e, err := find(tx, d.account, d.what)
		done = err == nil && (e == nil || e.prop == nil || !e.rec.Status.Open())
		if !done {
			return err
		}
		return tx.Delete(d.key)
	})
	return done, err
}

func (s *Service) expire(tx *Tx, e *entry) error {
	if e.rec.Status == Approved && e.rec.NotBefore > tx.Now.UnixMicro() {
		return putDue(tx, time.UnixMicro(e.rec.NotBefore).Add(time.Hour), e.target.Account, dueExpire, e.rec.ID)
	}
	ev, err := s.evaluate(tx, e, tx.Now)
	if err != nil {
		return err
	}
	return s.end(tx, e, ev, Expired, "")
}

// applyDue lets an approved change take effect, if it still has its votes.
func (s *Service) applyDue(tx *Tx, e *entry) error {
	if e.rec.Status != Approved {
		return nil
	}
	ev, err := s.evaluate(tx, e, tx.Now)
	if err != nil {
		return err
	}
	back := func(to Status) error { // votes are void, or it cannot be merged
		e.rec.Status, e.rec.Conflicts = to, ev.conflictKeys()
		if err := tx.notify(notice.Kind("change."+string(to)), e.target, e.rec, "its votes no longer count"); err != nil {
			return err
		}
		return putDue(tx, tx.Now.Add(remindEvery), e.target.Account, dueRemind, e.rec.ID)
	}
	if ev.conflict != nil {
		return back(Conflicted)
	}
	if ev.author == nil {
		return back(Pending)
	}
	if len(ev.rules) == 0 { // nobody else has agreed to it: the author must be allowed it now
		author := *ev.author
		author.Region, author.Front, author.Time, author.Secure = e.prop.Region, e.rec.Front, tx.Now, true
		err := s.reauthorize(tx, e, gate.NewAccess(tx, s.gate.Auth, author, &audit.Record{}))
		if err != nil && !errs.Is(err, errs.Denied) {
			return err
		}
		if err != nil || e.prop.Only {
			e.prop.Only = true
			return back(Pending)
		}
	}
	standing, err := s.stand(tx, e, ev)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(standing, func(st protect.Standing) bool { return !st.Met() }) {
		return back(Pending)
	}
	at, err := effective(ev.rules, e.rec, tx.Now)
	if err != nil {
		return err
	}
	if at.After(tx.Now) {
		return putDue(tx, at, e.target.Account, dueApply, e.rec.ID)
	}
	return s.apply(tx, e, ev, standing)
}

func (s *Service) remind(tx *Tx, e *entry) error {
	if e.rec.Status == Approved {
		return nil
	}
	if e.rec.Status != Draft {
		if err := tx.notify(notice.ChangeReminder, e.target, e.rec, ""); err != nil {
			return err
		}
	}
	return putDue(tx, tx.Now.Add(remindEvery), e.target.Account, dueRemind, e.rec.ID)
}

// effective is when an approved change may take effect: not before its time, and
// within the hours of every rule.
func effective(rules []protect.Rule, rec *Record, now time.Time) (time.Time, error) {
	at := now
	if t := time.UnixMicro(rec.NotBefore); rec.NotBefore != 0 && t.After(at) {
		at = t
	}
	for range len(rules) + 1 { // until all agree
		before := at
		for i := range rules {
			next, err := nextWithin(rules[i].Hours, at)
			if err != nil {
				return time.Time{}, err
			}
			at = next
		}
		if at.Equal(before) {
			return at, nil
		}
	}
	return at, nil
}
