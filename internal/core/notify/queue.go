package notify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"

	"countersign/internal/core/notice"
	"countersign/internal/core/record"
	"countersign/internal/kv"
)

// delivery is one notice on its way to one target.
type delivery struct {
	ID       string        `cbor:"1,keyasint"`
	Notice   notice.Notice `cbor:"2,keyasint"`
	Made     int64         `cbor:"3,keyasint"` // of the target, when this was queued
	Attempts int           `cbor:"4,keyasint,omitempty"`
	First    int64         `cbor:"5,keyasint"`           // when it was queued
	Why      string        `cbor:"6,keyasint,omitempty"` // the last attempt failed
	To       []string      `cbor:"7,keyasint,omitempty"` // of mail: to whom
}

// letter is a delivery that was given up.
type letter struct {
	Target   string   `cbor:"1,keyasint"`
	Type     Type     `cbor:"2,keyasint"`
	Delivery delivery `cbor:"3,keyasint"`
	Died     int64    `cbor:"4,keyasint"`
}

// queue is what is known of a target's queue, or, under an empty name, of an
// account's dead letters.
type queue struct {
	Waiting uint64 `cbor:"1,keyasint,omitempty"`
	Due     int64  `cbor:"2,keyasint,omitempty"` // of its entry in the index; 0: there is none
	// Of a target:
	Delivered int64  `cbor:"3,keyasint,omitempty"` // when one last was
	Failed    int64  `cbor:"4,keyasint,omitempty"` // when an attempt last failed
	Why       string `cbor:"5,keyasint,omitempty"` // it did
	Failures  uint64 `cbor:"6,keyasint,omitempty"` // attempts that failed since
}

// total counts over all accounts.
type total struct {
	Waiting uint64 `cbor:"1,keyasint,omitempty"`
	Dead    uint64 `cbor:"2,keyasint,omitempty"`
}

// place is a target, or, with an empty name, an account's dead letters.
type place struct{ account, name string }

func (p place) queueKey() kv.Key { return kv.K(p.account, "notify-queue", p.name) }
func (p place) prefix() kv.Key   { return kv.K(p.account, "notify-delivery", p.name) }
func (p place) deliveryKey(at int64, id string) kv.Key {
	return p.prefix().Num(uint64(at)).Str(id)
}
func (p place) dueKey(at int64) kv.Key {
	return kv.K("sys", "notify-due").Num(uint64(at)).Str(p.account, p.name)
}

func deadPrefix(account string) kv.Key { return kv.K(account, "notify-dead") }
func deadKey(account string, died int64, id string) kv.Key {
	return deadPrefix(account).Num(uint64(died)).Str(id)
}
func totalKey() kv.Key { return kv.K("sys", "notify-total") }

// deliveryID is the same for the same notice and target, however often the
// transaction that makes it runs.
func deliveryID(n *notice.Notice, p place, made int64) string {
	h := sha256.Sum256([]byte(p.name + "\x00" + strconv.FormatInt(made, 10)))
	return n.ID + "." + hex.EncodeToString(h[:4])
}

// moveDue lets the one entry of a queue in the index stand at the given time; 0:
// it has none. The caller writes the queue.
func (q *queue) moveDue(tx kv.Txn, p place, at int64) error {
	if q.Due == at {
		return nil
	}
	if q.Due != 0 {
		if err := tx.Delete(p.dueKey(q.Due)); err != nil {
			return err
		}
	}
	q.Due = at
	if at == 0 {
		return nil
	}
	return tx.Put(p.dueKey(at), []byte{1})
}

// first is the time of the first key under a prefix, or 0; num is its place in
// the shape.
func first(r kv.Reader, prefix kv.Key, shape string) (int64, error) {
	for p, err := range r.Scan(kv.Prefix(prefix)) {
		if err != nil {
			return 0, err
		}
		_, nums, err := kv.Key(p.Key).Parts(shape)
		if err != nil {
			return 0, err
		}
		return int64(nums[0]), nil
	}
	return 0, nil
}

func addTotal(tx kv.Txn, waiting, dead int) error {
	t, _, err := record.Get[total](tx, totalKey())
	if err != nil {
		return err
	}
	t.Waiting, t.Dead = plus(t.Waiting, waiting), plus(t.Dead, dead)
	return record.Put(tx, totalKey(), t)
}

func plus(n uint64, d int) uint64 {
	if d < 0 && n < uint64(-d) {
		return 0
	}
	return n + uint64(d)
}

// enqueue puts a delivery into a target's queue, or among the dead letters when
// that is full.
func enqueue(tx kv.Txn, p place, typ Type, d delivery, now time.Time) error {
	q, _, err := record.Get[queue](tx, p.queueKey())
	if err != nil {
		return err
	}
	at := now.UnixMicro()
	if q.Waiting >= MaxQueue {
		d.Why = "the target's queue is full"
		return bury(tx, p.account, letter{Target: p.name, Type: typ, Delivery: d, Died: at})
	}
	if err := record.Put(tx, p.deliveryKey(at, d.ID), d); err != nil {
		return err
	}
	q.Waiting++
	if q.Due == 0 || at < q.Due {
		if err := q.moveDue(tx, p, at); err != nil {
			return err
		}
	}
	if err := record.Put(tx, p.queueKey(), q); err != nil {
		return err
	}
	return addTotal(tx, 1, 0)
}

// bury keeps a dead letter, and lets go of the oldest when there are too many.
func bury(tx kv.Txn, account string, l letter) error {
	p := place{account, ""}
	q, _, err := record.Get[queue](tx, p.queueKey())
	if err != nil {
		return err
	}
	if err := record.Put(tx, deadKey(account, l.Died, l.Delivery.ID), l); err != nil {
		return err
	}
	q.Waiting++
	gone := 0
	if q.Waiting > MaxDead {
		var oldest kv.Key
		for e, err := range tx.Scan(kv.Prefix(deadPrefix(account))) {
			if err != nil {
				return err
			}
			oldest = append(kv.Key{}, e.Key...)
			break
		}
		if err := tx.Delete(oldest); err != nil {
			return err
		}
		q.Waiting, gone = q.Waiting-1, 1
	}
	if err := keepDead(tx, p, &q); err != nil {
		return err
	}
	return addTotal(tx, 0, 1-gone)
}

// keepDead writes what is known of an account's dead letters, and when the first
// of them is over.
func keepDead(tx kv.Txn, p place, q *queue) error {
	died, err := first(tx, deadPrefix(p.account), "ssns")
	if err != nil {
		return err
	}
	if died != 0 {
		died += KeepDead.Microseconds()
	}
	if err := q.moveDue(tx, p, died); err != nil {
		return err
	}
	return record.Put(tx, p.queueKey(), *q)
}

// leave takes deliveries out of a target's queue. The caller has deleted them,
// and perhaps put some of them to a later time, and says how many fewer there are.
func leave(tx kv.Txn, p place, q *queue, fewer int) error {
	q.Waiting = plus(q.Waiting, -fewer)
	at, err := first(tx, p.prefix(), "sssns")
	if err != nil {
		return err
	}
	if err := q.moveDue(tx, p, at); err != nil {
		return err
	}
	if err := record.Put(tx, p.queueKey(), *q); err != nil {
		return err
	}
	if fewer == 0 {
		return nil
	}
	return addTotal(tx, -fewer, 0)
}

// Totals is how many deliveries wait, and how many are dead, in all accounts. It is
// for metrics, and asks nobody.
func (s *Service) Totals(ctx context.Context) (waiting, dead uint64, err error) {
	err = s.db.View(ctx, func(r kv.Reader) error {
		t, _, err := record.Get[total](r, totalKey())
		waiting, dead = t.Waiting, t.Dead
		return err
	})
	return waiting, dead, err
}
