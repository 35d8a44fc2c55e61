package transit

import (
	"context"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/audit"
	"countersign/internal/core/change"
	"countersign/internal/core/due"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
)

// Kinds of entries in the due index of keys.
const (
	dueRotate = "rotate" // the key rotates by itself; what: its name
	dueDrop   = "drop"   // versions are left of a key, or below what it has; what: its ID
)

// dueEvery is how often the index is looked at.
const dueEvery = 30 * time.Second

// dueIndex has the account, the kind and what it is about of each entry.
var dueIndex = due.Index{Prefix: kv.K("sys", "transit-due"), Parts: 3}

func dueKey(at int64, account, kind, what string) kv.Key {
	return dueIndex.Key(time.UnixMicro(at), account, kind, what)
}

func rotateKey(account, n string, at int64) kv.Key { return dueKey(at, account, dueRotate, n) }

// leftover is the value of an entry dueDrop: versions that nothing leads to any
// more.
type leftover struct {
	From uint64 `cbor:"1,keyasint"`
	End  uint64 `cbor:"2,keyasint"` // behind the last
}

// drop deletes the versions from one to before another: as many as one transaction
// can, and an entry for the rest.
func drop(tx *change.Tx, account, id string, from, end uint64) error {
	stop := min(end, from+dropAtOnce)
	for n := from; n < stop; n++ {
		if err := tx.Delete(versionKey(account, id, n)); err != nil {
			return err
		}
	}
	if stop == end {
		return nil
	}
	return record.Put(tx, dueKey(micros(tx.Now), account, dueDrop, id), leftover{From: stop, End: end})
}

// Run rotates keys whose time has come and deletes what is left of destroyed
// versions, until ctx ends. It resumes wherever it was stopped: an entry goes in
// the transaction that carries it out.
func (s *Service) Run(ctx context.Context) {
	due.Run(ctx, dueEvery, s.woken, s.Due, func(err error) {
		s.logger.Error("carrying out what is due of transit keys", "error", err)
	})
}

// dueEntry is one entry of the index.
type dueEntry struct {
	key                 kv.Key
	at                  int64
	account, kind, what string
	left                leftover
}

// Due carries out every entry whose time has come. One that fails does not keep
// the rest from it; the first of the errors is returned, and it is tried again.
func (s *Service) Due(ctx context.Context) error {
	return dueIndex.Each(ctx, s.gate.DB, func(e due.Entry) error {
		d := &dueEntry{key: e.Key, at: e.At.UnixMicro(), account: e.Parts[0], kind: e.Parts[1], what: e.Parts[2]}
		if d.kind == dueRotate {
			return s.rotateDue(ctx, d)
		}
		if err := record.Decode(e.Value, &d.left); err != nil {
			return err
		}
		return s.dropDue(ctx, d)
	})
}

// rotateDue rotates a key as the server, which no rule holds: that it rotates was
// decided when its period was set.
func (s *Service) rotateDue(ctx context.Context, d *dueEntry) error {
	now := time.Now()
	who := caller.ForSystem(d.account, "transit", audit.NewID(now), now)
	who.Region = s.region
	e := &edit{op: policy.RotateTransitKey, account: d.account, name: d.what, due: d.at}
	_, err := s.submitNew(ctx, who, "its period is over", change.Options{}, e)
	if errs.Is(err, errs.NotFound) { // an entry of no key
		_, err = s.gate.DB.Update(ctx, func(tx kv.Txn) error { return tx.Delete(d.key) })
	}
	return err
}

// dropDue deletes versions in several transactions. Nothing leads to them any
// more, and what destroyed them has its record.
func (s *Service) dropDue(ctx context.Context, d *dueEntry) error {
	for left := d.left; ; {
		stop := min(left.End, left.From+dropAtOnce)
		_, err := s.gate.DB.Update(ctx, func(tx kv.Txn) error {
			for n := left.From; n < stop; n++ {
				if err := tx.Delete(versionKey(d.account, d.what, n)); err != nil {
					return err
				}
			}
			if stop == left.End {
				return tx.Delete(d.key)
			}
			return record.Put(tx, d.key, leftover{From: stop, End: left.End})
		})
		if err != nil || stop == left.End {
			return err
		}
		left.From = stop
	}
}
