package secret

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/audit"
	"countersign/internal/core/change"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/name"
)

// Timing of the background work.
const (
	purgeEvery = time.Minute
	flushEvery = 5 * time.Minute
)

// Run deletes what is due and stores when things were last read, until ctx
// ends. It resumes wherever it was stopped.
func (s *Service) Run(ctx context.Context) {
	purge, flush := time.NewTicker(purgeEvery), time.NewTicker(flushEvery)
	defer purge.Stop()
	defer flush.Stop()
	s.try(ctx, "deleting what is due", s.Purge)
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			s.try(last, "storing when secrets were read", s.flushUsed)
			cancel()
			return
		case <-s.purged:
			s.try(ctx, "deleting what is due", s.Purge)
		case <-purge.C:
			s.try(ctx, "deleting what is due", s.Purge)
		case <-flush.C:
			s.try(ctx, "storing when secrets were read", s.flushUsed)
		}
	}
}

func (s *Service) try(ctx context.Context, what string, f func(context.Context) error) {
	if err := f(ctx); err != nil && ctx.Err() == nil {
		s.logger.Error(what, "error", err)
	}
}

// dueEntry is one entry of the due index.
type dueEntry struct {
	at     int64
	n      name.Secret
	suffix string
}

// Purge deletes for good every secret whose time has come, and what is left of
// those that were deleted at once. What cannot be deleted does not keep the rest
// from it: Purge goes on, and returns the first of the errors.
func (s *Service) Purge(ctx context.Context) error {
	var first error
	from := kv.K("sys", "due", "purge")
	for {
		now := time.Now()
		next, err := s.nextDue(ctx, from, now)
		if err != nil || next == nil {
			return cmp.Or(first, err)
		}
		if err := s.purge(ctx, *next, now); err != nil {
			if ctx.Err() != nil || errs.Is(err, errs.Unavailable) {
				return err
			}
			if first == nil && !errors.Is(err, errRotates) {
				first = fmt.Errorf("purging secret %q: %w", next.n.Name, err)
			}
			from = append(purgeKey(next.n, next.suffix, next.at), 0)
		}
	}
}

// nextDue is the first entry from a place on that is due, or nil.
func (s *Service) nextDue(ctx context.Context, from kv.Key, now time.Time) (next *dueEntry, err error) {
	err = s.gate.DB.View(ctx, func(r kv.Reader) error {
		next = nil
		rng := kv.Range{Start: from, End: kv.K("sys", "due", "purge").Num(uint64(micros(now)) + 1)}
		for p, err := range r.Scan(rng) {
			if err != nil {
				return err
			}
			strs, nums, err := kv.Key(p.Key).Parts("sssnssss")
			if err != nil {
				return err
			}
			next = &dueEntry{at: int64(nums[0]), n: name.Secret{Account: strs[3], Region: strs[4], Name: strs[5]}, suffix: strs[6]}
			return nil
		}
		return nil
	})
	return next, err
}

// purgedAtOnce is how many versions one transaction deletes: four keys each.
const purgedAtOnce = (kv.MaxOps - 8) / 4

// errRotates says that a secret goes later, once its target is as it was.
var errRotates = errors.New("a rotation of the secret is under way")

// purge carries out one entry: the head first, as a change like any other, so
// that the secret is gone in one transaction, then its versions in several.
func (s *Service) purge(ctx context.Context, d dueEntry, now time.Time) error {
	var h *head
	err := s.gate.DB.View(ctx, func(r kv.Reader) (err error) {
		h, err = getHead(r, d.n)
		return err
	})
	if err != nil {
		return err
	}
	if h != nil && h.Suffix == d.suffix && h.Purge == d.at {
		if h.Run != nil {
			return errRotates
		}
		who := caller.ForSystem(d.n.Account, "purge", audit.NewID(now), now)
		who.Region = d.n.Region
		e := &purgeEdit{edit: edit{s: s, op: policy.DeleteSecret, who: who, id: name.SecretID{Name: d.n.Name}}, due: d}
		_, err := s.run(ctx, who, "the recovery window is over", e, &e.edit)
		return err // the versions have an entry of their own now
	}
	for more := true; more; {
		_, err := s.gate.DB.Update(ctx, func(tx kv.Txn) error {
			h, err := getHead(tx, d.n)
			if err != nil {
				return err
			}
			if h != nil && h.Suffix == d.suffix { // restored; if deleted anew, that has its own entry
				more = false
				return tx.Delete(purgeKey(d.n, d.suffix, d.at))
			}
			more, err = dropSome(tx, d)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// purgeEdit ends a scheduled deletion.
type purgeEdit struct {
	edit
	due dueEntry
}

func (e *purgeEdit) Apply(tx *change.Tx) error {
	h := e.f.head
	if h == nil || h.Suffix != e.due.suffix || h.Purge != e.due.at {
		return errs.New(errs.Conflict, "the secret was restored meanwhile")
	}
	if h.Run != nil {
		return errs.New(errs.Conflict, "a rotation of the secret began meanwhile")
	}
	tx.Wrote(h.Labels[name.Current].Number, 0, nil)
	return dropHead(tx, e.f.Secret, h, tx.Now)
}

// dropSome deletes some versions of a secret that is gone, and the entry once
// none is left.
func dropSome(tx kv.Txn, d dueEntry) (more bool, err error) {
	var numbers []uint64
	var ids []string
	for e, err := range record.Scan[version](tx, kv.Prefix(kv.K(d.n.Account, "version", d.n.Region, d.n.Name, d.suffix))) {
		if err != nil {
			return false, err
		}
		_, nums, err := e.Key.Parts("sssssn")
		if err != nil {
			return false, err
		}
		if more = len(numbers) == purgedAtOnce; more {
			break
		}
		numbers, ids = append(numbers, nums[0]), append(ids, e.Value.ID)
	}
	for i, number := range numbers {
		if err := dropVersion(tx, d.n, d.suffix, number, ids[i]); err != nil {
			return false, err
		}
	}
	if more {
		return true, nil
	}
	if err := dropOutcomes(tx, d.n, d.suffix); err != nil {
		return false, err
	}
	return false, tx.Delete(purgeKey(d.n, d.suffix, d.at))
}
