package token

import (
	"context"
	"time"

	"countersign/internal/core/record"
	"countersign/internal/kv"
)

// Kinds of entries in the due index.
const (
	dueToken = "x" // a token's time is over: its hash
	dueTree  = "u" // what hangs on something that is gone is to go: what, and its id
	dueAlone = "o" // the children of a token that was revoked alone become orphans: its hash
)

// Bounds of the job.
const (
	dueEvery = 5 * time.Second
	// atOnce is how many tokens one transaction removes: with five or six keys of
	// each they stay within what a transaction may write.
	atOnce = 18
	// entriesAtOnce is how many entries of a cubbyhole one removes.
	entriesAtOnce = 100
)

func dueKey(us int64, acct, kind, what string) kv.Key {
	return kv.K("sys", "due-token").Num(uint64(max(0, us))).Str(acct, kind, what)
}

func putDue(tx kv.Txn, us int64, acct, kind, what string) error {
	return tx.Put(dueKey(us, acct, kind, what), []byte{1})
}

// moveDue changes when a token ends, in its record and in the index.
func (t *stored) moveDue(tx kv.Txn, acct, hash string, end int64) error {
	if t.Expires != 0 {
		if err := tx.Delete(dueKey(t.Expires, acct, dueToken, hash)); err != nil {
			return err
		}
	}
	t.Expires = end
	return putDue(tx, end, acct, dueToken, hash)
}

// drop removes a token. What hangs on it, and what it kept, is removed later, by
// an entry at now.
func (t *stored) drop(tx kv.Txn, acct, hash string, now int64) error {
	keys := []kv.Key{tokenKey(acct, hash), accessorKey(acct, t.Accessor), t.key(acct, hash)}
	if t.Expires != 0 {
		keys = append(keys, dueKey(t.Expires, acct, dueToken, hash))
	}
	if t.Kind == kindWrapping {
		keys = append(keys, wrappedKey(acct, hash))
	}
	for _, k := range keys {
		if err := tx.Delete(k); err != nil {
			return err
		}
	}
	some, err := holds(tx, kv.Prefix(kv.K(acct, "token-under", onToken, hash)))
	if err != nil || !some && t.Entries == 0 {
		return err
	}
	return putDue(tx, now, acct, dueTree, onToken+hash)
}

// holds reports whether a range holds something.
func holds(r kv.Reader, rng kv.Range) (bool, error) {
	for _, err := range r.Scan(rng) {
		return err == nil, err
	}
	return false, nil
}

// dueEntry is one entry of the index.
type dueEntry struct {
	key              kv.Key
	at               int64
	acct, kind, what string
}

// Run removes tokens whose time is over, and what was left by those that were
// revoked, until ctx ends; now and then it looks for tokens of which nothing else
// tells that they hang on something that is gone. report is told of failures.
func (s *Service) Run(ctx context.Context, report func(error)) {
	tick, sweep := time.NewTicker(dueEvery), time.NewTicker(sweepEvery)
	defer tick.Stop()
	defer sweep.Stop()
	for {
		job := s.Due
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-s.woken:
		case <-sweep.C:
			job = s.Sweep
		case <-s.tidying:
			job = s.Sweep
		}
		if err := job(ctx); err != nil && ctx.Err() == nil {
			report(err)
		}
	}
}

// Due carries out every entry whose time has come, in bounded transactions. What
// fails does not keep the rest from it; the first of the errors is returned.
func (s *Service) Due(ctx context.Context) (first error) {
	from := kv.K("sys", "due-token")
	for {
		now := time.Now()
		batch, err := s.nextDue(ctx, from, micros(now))
		if err != nil || len(batch) == 0 {
			if first == nil {
				first = err
			}
			return first
		}
		err = s.carryOut(ctx, batch, micros(now))
		if err != nil && len(batch) > 1 { // one may be at fault
			err = nil
			for i := range batch {
				if one := s.carryOut(ctx, batch[i:i+1], micros(now)); err == nil {
					err = one
				}
			}
		}
		if err != nil {
			if ctx.Err() != nil {
				return err
			}
			if first == nil {
				first = err
			}
			from = append(batch[len(batch)-1].key, 0)
		}
	}
}

// nextDue reads the next entries that can be carried out together.
func (s *Service) nextDue(ctx context.Context, from kv.Key, now int64) (batch []dueEntry, err error) {
	err = s.gate.DB.View(ctx, func(r kv.Reader) error {
		batch = nil
		for p, err := range r.Scan(kv.Range{Start: from, End: kv.K("sys", "due-token").Num(uint64(now) + 1)}) {
			if err != nil {
				return err
			}
			strs, nums, err := kv.Key(p.Key).Parts("ssnsss")
			if err != nil {
				return err
			}
			d := dueEntry{append(kv.Key{}, p.Key...), int64(nums[0]), strs[2], strs[3], strs[4]}
			if d.kind != dueToken && len(batch) > 0 {
				return nil
			}
			if batch = append(batch, d); d.kind != dueToken || len(batch) == atOnce {
				return nil
			}
		}
		return nil
	})
	return batch, err
}

// carryOut does what entries say, or a part of what one says: those that are done
// go in the same transaction.
func (s *Service) carryOut(ctx context.Context, batch []dueEntry, now int64) error {
	_, err := s.gate.DB.Update(ctx, func(tx kv.Txn) error {
		for _, d := range batch {
			done, err := d.step(tx, now)
			if err != nil {
				return err
			}
			if done {
				if err := tx.Delete(d.key); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return err
}

func (d *dueEntry) step(tx kv.Txn, now int64) (done bool, err error) {
	switch d.kind {
	case dueToken:
		t, err := find(tx, d.acct, d.what)
		if err != nil || t == nil || t.Expires != d.at { // revoked or renewed since
			return err == nil, err
		}
		return true, t.drop(tx, d.acct, d.what, now)
	case dueTree:
		if d.what == "" {
			return true, nil
		}
		return fell(tx, d.acct, d.what[:1], d.what[1:], now)
	case dueAlone:
		return leave(tx, d.acct, d.what)
	}
	return true, nil // of a later release, which would find it again
}

// below lists some of the tokens that hang on something.
func below(r kv.Reader, acct, on, id string) (hashes []string, err error) {
	prefix := kv.K(acct, "token-under", on, id)
	for p, err := range r.Scan(kv.Prefix(prefix)) {
		if err != nil {
			return nil, err
		}
		strs, _, err := kv.Key(p.Key[len(prefix):]).Parts("s")
		if err != nil {
			return nil, err
		}
		if hashes = append(hashes, strs[0]); len(hashes) == atOnce {
			break
		}
	}
	return hashes, nil
}

// fell removes some of what hung on something that is gone, and reports whether
// nothing is left.
func fell(tx kv.Txn, acct, on, id string, now int64) (done bool, err error) {
	hashes, err := below(tx, acct, on, id)
	if err != nil {
		return false, err
	}
	for _, h := range hashes {
		t, err := find(tx, acct, h)
		if err != nil {
			return false, err
		}
		switch {
		case t == nil: // only the index has it
			err = tx.Delete(underKey(acct, on, id, h))
		case t.Alone && on != onPrincipal: // what hangs on it lives on
			err = t.adopt(tx, acct, h)
		default:
			err = t.drop(tx, acct, h, now)
		}
		if err != nil {
			return false, err
		}
	}
	if len(hashes) > 0 || on != onToken {
		return len(hashes) < atOnce && on != onToken, nil
	}
	return empty(tx, acct, id)
}

// empty removes some of a cubbyhole, and reports whether nothing is left.
func empty(tx kv.Txn, acct, hash string) (done bool, err error) {
	var keys []kv.Key
	for p, err := range tx.Scan(kv.Prefix(kv.K(acct, "cubbyhole", hash))) {
		if err != nil {
			return false, err
		}
		if len(keys) == entriesAtOnce {
			break
		}
		keys = append(keys, append(kv.Key{}, p.Key...))
	}
	for _, k := range keys {
		if err := tx.Delete(k); err != nil {
			return false, err
		}
	}
	return len(keys) < entriesAtOnce, nil
}

// leave makes some of the children of a token that was revoked alone orphans. When
// none is left it removes the token.
func leave(tx kv.Txn, acct, hash string) (done bool, err error) {
	parent, err := find(tx, acct, hash)
	if err != nil || parent == nil {
		return err == nil, err
	}
	hashes, err := below(tx, acct, onToken, hash)
	if err != nil {
		return false, err
	}
	for _, h := range hashes {
		t, err := find(tx, acct, h)
		if err != nil {
			return false, err
		}
		if t == nil {
			err = tx.Delete(underKey(acct, onToken, hash, h))
		} else {
			err = t.adopt(tx, acct, h)
		}
		if err != nil {
			return false, err
		}
	}
	if len(hashes) > 0 {
		return false, nil
	}
	if done, err := empty(tx, acct, hash); err != nil || !done {
		return false, err
	}
	if err := tx.Delete(parent.key(acct, hash)); err != nil {
		return false, err
	}
	return true, tx.Delete(tokenKey(acct, hash))
}

// adopt makes a token an orphan.
func (t *stored) adopt(tx kv.Txn, acct, hash string) error {
	if err := tx.Delete(t.key(acct, hash)); err != nil {
		return err
	}
	t.On, t.OnID = onPrincipal, []byte(principalID(t.Principal, t.Of))
	if err := tx.Put(t.key(acct, hash), []byte{1}); err != nil {
		return err
	}
	return record.Put(tx, tokenKey(acct, hash), t)
}
