// Package leader decides which of several nodes does the background work.
//
// The nodes share a store, and in it one record: who holds the lock, a fencing token,
// which grows with each holder, and a count of renewals. A node that wants the lock
// watches the record. When it has seen it unaltered for longer than the holder's time
// to live, by its own monotonic clock, the holder is gone, and the node takes over
// with the next token. The holder renews the record three times within that time, and
// stops believing that it leads when two thirds of it have passed without a renewal.
//
// So at no time do two believe that they lead. The record names no time of day, and
// no clocks of two machines are ever compared: they may be set, and differ, as they
// like. What has to hold is that they run about equally fast, to a third. A holder
// counts from before it asked the store, a watcher from after it was answered: however
// long an answer takes, the holder's time is over first.
//
// A node may be stopped for long and not know it (a virtual machine is moved, and its
// clock stands meanwhile): it goes on with what it was about. So belief is not enough. Every write of a leader's job calls Check in its
// transaction, which compares the token with the record: what an old holder decided
// is not written any more.
//
// What a node does outside of the store no token can stop. Jobs are such that they
// may be done twice.
package leader

import (
	"context"
	"crypto/rand"
	"log/slog"
	"sync"
	"time"

	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/kv/fsck"
)

// DefaultTTL is the time to live of a lock that nobody renews.
const DefaultTTL = 15 * time.Second

// CodeLost is the code of Check's error, of kind errs.Conflict.
const CodeLost = "leadership-lost"

// Config configures New.
type Config struct {
	DB   kv.DB
	Node string        // tells this node from others; default: a random text
	TTL  time.Duration // default DefaultTTL; nodes may differ in it
	// Alone says that the engine lets no second process open the store. Then a lock
	// that is there is of a predecessor, and taken over at once.
	Alone  bool
	Logger *slog.Logger // default slog.Default()
}

// Lock is one node's part in the decision. It is safe for concurrent use.
type Lock struct {
	Config

	mu    sync.Mutex
	fence uint64    // held; 0: none
	until time.Time // until when that is believed
}

// held is the record.
type held struct {
	Node  string `cbor:"1,keyasint"` // empty: it was given up
	Fence uint64 `cbor:"2,keyasint"`
	Beat  uint64 `cbor:"3,keyasint"` // counts the renewals
	// TTL is the holder's, for those who wait.
	TTL time.Duration `cbor:"4,keyasint"`
}

func key() kv.Key { return kv.K("sys", "leader") }

// New returns a Lock that is not held. Run takes it.
func New(c Config) *Lock {
	if c.Node == "" {
		c.Node = rand.Text()
	}
	if c.TTL == 0 {
		c.TTL = DefaultTTL
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return &Lock{Config: c}
}

// Fence is the token that this node holds; false: it does not lead, as far as it
// knows.
func (l *Lock) Fence() (uint64, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fence, l.fence != 0 && time.Now().Before(l.until)
}

// Check fails when the store knows a later holder than that of the token. A job calls
// it in each transaction that writes.
func (l *Lock) Check(tx kv.Txn, fence uint64) error {
	h, err := record.Find[held](tx, key())
	if err != nil {
		return err
	}
	if h == nil || h.Fence != fence || h.Node != l.Node {
		return errs.Coded(errs.Conflict, CodeLost, "another node does the background work by now")
	}
	return nil
}

// Run takes the lock whenever it is free and renews it, until ctx ends; then it gives
// it up.
func (l *Lock) Run(ctx context.Context) {
	tick := time.NewTicker(l.TTL / 3)
	defer tick.Stop()
	w := watch{}
	for {
		if err := l.beat(ctx, &w); err != nil && ctx.Err() == nil {
			l.Logger.Error("holding the lock of the background work", "error", err)
		}
		select {
		case <-ctx.Done():
			l.giveUp(context.WithoutCancel(ctx))
			return
		case <-tick.C:
		}
	}
}

// watch is what a node has seen of another's lock.
type watch struct {
	seen  held
	since time.Time // it was there as it is then, and may have been for long
}

// beat renews the lock, or takes it if it is free.
func (l *Lock) beat(ctx context.Context, w *watch) error {
	began := time.Now() // before the store is asked: what is believed must not outlast what is stored
	l.mu.Lock()
	mine := l.fence
	l.mu.Unlock()
	var fence uint64
	var seen held
	ctx, cancel := context.WithTimeout(ctx, l.TTL/3)
	defer cancel()
	_, err := l.DB.Update(ctx, func(tx kv.Txn) error {
		fence, seen = 0, held{}
		h, _, err := record.Get[held](tx, key())
		if err != nil {
			return err
		}
		switch {
		case mine != 0 && h.Node == l.Node && h.Fence == mine:
			h.Beat++
		case h.Node == "" || l.Alone || h == w.seen && began.Sub(w.since) > max(h.TTL, l.TTL):
			h = held{Node: l.Node, Fence: h.Fence + 1, TTL: l.TTL}
		default:
			seen = h
			return nil
		}
		fence = h.Fence
		return record.Put(tx, key(), h)
	})
	if err != nil {
		return err // what is believed runs out by itself
	}
	if fence == 0 && seen != w.seen {
		*w = watch{seen, time.Now()} // not "began": the holder may have renewed it since
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case fence != 0 && fence != l.fence:
		l.Logger.Info("this node does the background work", "fence", fence)
	case fence == 0 && l.fence != 0:
		l.Logger.Warn("another node does the background work now", "node", seen.Node, "fence", seen.Fence)
	}
	l.fence, l.until = fence, began.Add(l.TTL*2/3)
	return nil
}

// giveUp lets another node take over at once.
func (l *Lock) giveUp(ctx context.Context) {
	l.mu.Lock()
	mine := l.fence
	l.fence = 0
	l.mu.Unlock()
	if mine == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, l.TTL/3)
	defer cancel()
	_, err := l.DB.Update(ctx, func(tx kv.Txn) error {
		h, ok, err := record.Get[held](tx, key())
		if err != nil || !ok || h.Node != l.Node || h.Fence != mine {
			return err
		}
		h.Node = ""
		return record.Put(tx, key(), h)
	})
	if err != nil {
		l.Logger.Warn("giving up the lock of the background work; it runs out by itself", "error", err)
	}
}

// Rules describe the records of this package for a check of the store.
func Rules() []fsck.Rule {
	return []fsck.Rule{{Kind: "leader", Shape: "ss", Decode: record.Check[held]}}
}
