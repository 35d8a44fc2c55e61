package keyring

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"countersign/internal/errs"
	"countersign/internal/kv"
)

// Bounds of one step of a re-wrap. Together they keep a step within the limits of
// a transaction and its time short, so that requests wait for it briefly.
const (
	stepRecords = 64        // records read and written in one transaction
	stepBytes   = 512 << 10 // of their keys and values; one larger record goes alone
	stepScan    = 4096      // records looked at to find them
	maxPasses   = 8
)

// Walk says how to reach an account's records.
type Walk struct {
	// DB is the sealed database over the ring's own: it encrypts what is put
	// with Ring.Seal. Required.
	DB kv.DB

	// Ciphertext returns what Ring.Seal made out of a value as DB stores it, for
	// a DB that adds something. Nil means that it is stored as it was made.
	// When this is wrong Rewrap fails and destroys nothing.
	Ciphertext func(stored []byte) ([]byte, error)

	// DataKeys finds the wrapped data keys in a record, when records hold any.
	// It gets a record's key and plaintext, calls visit with each wrapped data
	// key, puts what visit returns in its place, and returns the plaintext so
	// changed: with the same bytes when visit returned its arguments. It must
	// depend on its arguments alone, for it runs in transactions. It must not
	// change value. Nil means that no record holds a data key.
	DataKeys func(key, value []byte, visit func(wrapped []byte) ([]byte, error)) ([]byte, error)

	// Progress is called after each step when it is not nil.
	Progress func(Progress)
}

// Progress is how far a re-wrap has come.
type Progress struct {
	Account string
	Done    uint64 // records seen in this pass
	Total   uint64 // records that there were at the start; an estimate
	Cursor  []byte // database key from which it would resume; nil when the pass is over
}

// Proof is what a full look at an account's records showed after a re-wrap. A
// Proof is only returned when nothing was found under any other key than Primary.
type Proof struct {
	Account   string
	Primary   uint32   // id of the key that everything is under
	Records   uint64   // counted in the database, below encryption
	DataKeys  uint64   // wrapped data keys counted in them
	Destroyed []uint32 // ids of the keys that were destroyed for it
}

// Rewrap moves everything of an account from its old keys to its primary one, and
// then destroys the old ones.
//
// It reads and writes each record through w.DB in bounded transactions, keeps in
// the database how far it has come, and goes on there when it is called again
// after an interruption. Then it counts the account's ciphertexts by the key they
// are under, in a snapshot made after the last record under an old key can have
// been committed. If there are any it makes another pass. If one names a key that
// the account does not have it fails, and destroys nothing.
//
// Requests go on meanwhile. A read transaction that began before a record was
// moved, and still reads it after the old key is destroyed, gets ErrUnknownKey; so
// does one who is given an old commit's ciphertext, and must read afresh.
//
// Two calls for one account at once do the work twice and no harm. One at a time
// is for the caller to see to. A rotation during a re-wrap ends it with a Conflict.
func (r *Ring) Rewrap(ctx context.Context, name string, w Walk) (Proof, error) {
	if w.DB == nil {
		return Proof{}, errors.New("re-wrapping: no sealed database given")
	}
	k, err := r.get(name)
	if err != nil {
		return Proof{}, fmt.Errorf("re-wrapping: %w", err)
	}
	p := &rewrap{ring: r, name: name, walk: w, keys: k}
	proof, err := p.run(ctx)
	if err != nil {
		return Proof{}, fmt.Errorf("re-wrapping account %q: %w", name, err)
	}
	return proof, nil
}

// rewrap is one call of Rewrap.
type rewrap struct {
	ring *Ring
	name string
	walk Walk
	keys *ready // at the start; a change of them ends the call
	rec  rewrapRecord
}

func (p *rewrap) run(ctx context.Context) (Proof, error) {
	if err := p.resume(ctx); err != nil {
		return Proof{}, err
	}
	for range maxPasses {
		if err := p.pass(ctx); err != nil {
			return Proof{}, err
		}
		if err := p.settle(ctx); err != nil {
			return Proof{}, err
		}
		proof, stale, err := p.prove(ctx)
		if err != nil {
			return Proof{}, err
		}
		if stale == 0 {
			proof.Destroyed, err = p.destroy(ctx)
			return proof, err
		}
		p.rec.Cursor, p.rec.Done, p.rec.Total = nil, 0, proof.Records
	}
	return Proof{}, errs.New(errs.Conflict, "records are still being written under an old key after %d passes", maxPasses)
}

// resume finds where an interrupted re-wrap to the same keyset was, or begins.
func (p *rewrap) resume(ctx context.Context) error {
	var raw []byte
	var total uint64
	err := p.ring.db.View(ctx, func(rd kv.Reader) error {
		raw, total = nil, 0
		b, err := rd.Get(ringKey(partRewrap, p.name))
		if err == nil {
			raw = bytes.Clone(b)
			return nil
		}
		if !errors.Is(err, kv.ErrNotFound) {
			return err
		}
		total, err = count(rd, p.area(nil))
		return err
	})
	if err != nil {
		return fmt.Errorf("reading progress: %w", err)
	}
	p.rec = rewrapRecord{Generation: p.keys.rec.Generation, Total: total}
	if raw == nil {
		return nil
	}
	was, err := decode[rewrapRecord](raw)
	if err != nil {
		return fmt.Errorf("reading progress: %w", err)
	}
	if was.Generation == p.rec.Generation {
		p.rec = was
	} else {
		p.rec.Total = was.Total
	}
	return nil
}

// area is the account's part of the database from a key on.
func (p *rewrap) area(from []byte) kv.Range {
	all := kv.Prefix(kv.K(p.name))
	if bytes.Compare(from, all.Start) > 0 {
		all.Start = from
	}
	return all
}

func count(rd kv.Reader, area kv.Range) (n uint64, err error) {
	for _, err := range rd.Scan(area) {
		if err != nil {
			return 0, err
		}
		n++
	}
	return n, nil
}

// pass goes once from the cursor to the end.
func (p *rewrap) pass(ctx context.Context) error {
	for {
		found, err := p.look(ctx)
		if err != nil {
			return fmt.Errorf("looking for records: %w", err)
		}
		next, done, err := p.move(ctx, found)
		if err != nil {
			return fmt.Errorf("moving records: %w", err)
		}
		if err := p.current(); err != nil {
			return err
		}
		p.rec.Cursor, p.rec.Done = next, p.rec.Done+done
		if err := p.save(ctx); err != nil {
			return err
		}
		if p.walk.Progress != nil {
			p.walk.Progress(Progress{Account: p.name, Done: p.rec.Done, Total: max(p.rec.Total, p.rec.Done),
				Cursor: bytes.Clone(next)})
		}
		if next == nil {
			return nil
		}
	}
}

// current is an error when the account's keys are no longer those of the start.
func (p *rewrap) current() error {
	if k, err := p.ring.get(p.name); err != nil || k != p.keys {
		return errs.New(errs.Conflict, "the keys of account %q were rotated during the re-wrap: run it again", p.name)
	}
	return nil
}

// step is the records that the next transaction is for.
type step struct {
	records []candidate
	seen    uint64 // records looked at
	next    []byte // where the step after begins, nil at the end
}

type candidate struct {
	key   []byte
	stale bool   // its ciphertext is under an old key
	index uint64 // among the records looked at in this step
}

// look reads ciphertexts from the cursor on and picks what may have to be moved.
func (p *rewrap) look(ctx context.Context) (step, error) {
	var s step
	err := p.ring.db.View(ctx, func(rd kv.Reader) error {
		s = step{}
		size := 0
		for pair, err := range rd.Scan(p.area(p.rec.Cursor)) {
			if err != nil {
				return err
			}
			size += len(pair.Key) + len(pair.Value)
			full := len(s.records) == stepRecords || s.seen == stepScan || size > stepBytes && len(s.records) > 0
			if full {
				s.next = bytes.Clone(pair.Key)
				return nil
			}
			id, err := p.underKey(pair)
			if err != nil {
				return err
			}
			stale := id != p.keys.keys.primary.id
			if stale || p.walk.DataKeys != nil {
				s.records = append(s.records, candidate{bytes.Clone(pair.Key), stale, s.seen})
			} else {
				size -= len(pair.Key) + len(pair.Value)
			}
			s.seen++
		}
		return nil
	})
	return s, err
}

// underKey tells which of the account's keys a ciphertext is under.
func (p *rewrap) underKey(pair kv.Pair) (uint32, error) {
	ct, err := pair.Value, error(nil)
	if p.walk.Ciphertext != nil {
		if ct, err = p.walk.Ciphertext(pair.Value); err != nil {
			return 0, fmt.Errorf("record %q: %w", pair.Key, err)
		}
	}
	id, ok := KeyID(ct)
	if !ok || !p.keys.keys.has(id) {
		return 0, fmt.Errorf("record %q: %w", pair.Key, ErrUnknownKey)
	}
	return id, nil
}

// move writes the step's records again where they need it. It stops early when
// they have grown beyond the size of a step, and says where.
func (p *rewrap) move(ctx context.Context, s step) (next []byte, done uint64, err error) {
	if len(s.records) == 0 {
		return s.next, s.seen, nil
	}
	_, err = p.walk.DB.Update(ctx, func(tx kv.Txn) error {
		next, done = s.next, s.seen
		size := 0
		for i, c := range s.records {
			value, err := tx.Get(c.key)
			if errors.Is(err, kv.ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			if size += len(c.key) + len(value) + prefixSize + overhead; size > stepBytes && i > 0 {
				next, done = c.key, c.index
				return nil
			}
			fresh, err := p.rewrite(c.key, value)
			if err != nil {
				return fmt.Errorf("record %q: %w", c.key, err)
			}
			if !c.stale && bytes.Equal(fresh, value) {
				continue
			}
			if err := tx.Put(c.key, fresh); err != nil {
				return err
			}
		}
		return nil
	})
	return next, done, err
}

// rewrite returns a record's plaintext with its data keys under the primary key.
func (p *rewrap) rewrite(key, value []byte) ([]byte, error) {
	if p.walk.DataKeys == nil {
		return value, nil
	}
	return p.walk.DataKeys(key, value, func(wrapped []byte) ([]byte, error) {
		return p.ring.RewrapDataKey(p.name, wrapped)
	})
}

func (p *rewrap) save(ctx context.Context) error {
	raw, err := encode(p.rec)
	if err != nil {
		return err
	}
	_, err = p.ring.db.Update(ctx, func(tx kv.Txn) error {
		return tx.Put(ringKey(partRewrap, p.name), raw)
	})
	if err != nil {
		return fmt.Errorf("saving progress: %w", err)
	}
	return nil
}

// settle returns when nothing that was encrypted before the rotation can still be
// committed (see Config.Settle). The record that it then writes comes after any
// transaction whose function was running, so that the next snapshot holds all.
func (p *rewrap) settle(ctx context.Context) error {
	settle := p.ring.cfg.Settle
	// Changed is cut to seconds. A clock that was set back does not prolong this.
	wait := min(settle-time.Since(time.Unix(p.keys.rec.Changed+1, 0)), settle)
	if wait > 0 && len(p.keys.keys.all) > 1 {
		t := time.NewTimer(wait)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return p.save(ctx)
}

// prove counts the account's ciphertexts, and the data keys in them, by the key
// that they are under.
func (p *rewrap) prove(ctx context.Context) (proof Proof, stale uint64, err error) {
	primary := p.keys.keys.primary.id
	err = p.ring.db.View(ctx, func(rd kv.Reader) error {
		proof, stale = Proof{Account: p.name, Primary: primary}, 0
		for pair, err := range rd.Scan(p.area(nil)) {
			if err != nil {
				return err
			}
			id, err := p.underKey(pair)
			if err != nil {
				return err
			}
			if proof.Records++; id != primary {
				stale++
			}
		}
		return nil
	})
	if err != nil || stale > 0 || p.walk.DataKeys == nil {
		return proof, stale, err
	}
	err = p.walk.DB.View(ctx, func(rd kv.Reader) error {
		proof.DataKeys, stale = 0, 0
		visit := func(wrapped []byte) ([]byte, error) {
			id, ok := KeyID(wrapped)
			if !ok || !p.keys.keys.has(id) {
				return nil, ErrUnknownKey
			}
			if proof.DataKeys++; id != primary {
				stale++
			}
			return wrapped, nil
		}
		for pair, err := range rd.Scan(p.area(nil)) {
			if err != nil {
				return err
			}
			if _, err := p.walk.DataKeys(pair.Key, pair.Value, visit); err != nil {
				return fmt.Errorf("record %q: %w", pair.Key, err)
			}
		}
		return nil
	})
	return proof, stale, err
}

// destroy takes the old keys out of the keyset, together with the progress.
func (p *rewrap) destroy(ctx context.Context) ([]uint32, error) {
	p.ring.change.Lock()
	defer p.ring.change.Unlock()
	if err := p.current(); err != nil {
		return nil, err
	}
	forget := func(tx kv.Txn) error { return tx.Delete(ringKey(partRewrap, p.name)) }
	old := p.keys.keys.old()
	if len(old) == 0 {
		_, err := p.ring.db.Update(ctx, forget)
		return nil, err
	}
	h, err := withoutOld(p.keys.keys)
	if err != nil {
		return nil, err
	}
	next := accountRecord{Generation: p.keys.rec.Generation + 1, Changed: p.keys.rec.Changed}
	if err := p.ring.replaceAccount(ctx, p.name, h, next, forget); err != nil {
		return nil, fmt.Errorf("destroying old keys: %w", err)
	}
	return old, nil
}
