// Package change is the only way to write.
//
// Every write, through whichever front, is an Edit handed to Submit: it is
// authorized against the state that it is about to alter, held against the
// protection rules, and applied, all in one transaction, together with the
// record of the change and the audit record of it. Either all of it is
// durable when Submit returns, or nothing was written.
//
// The audit record travels through an outbox: it is put beside the data in the
// same transaction, and a relay appends it to the log after the commit, and
// again after a crash, exactly once. A refused or failed write has its record
// appended to the log directly. Either way no answer precedes its record.
//
// An Edit must be pure: its functions may run twice (see package kv). What it
// needs of the clock or of chance is fixed in its fields, or in the Tx, before
// the transaction begins.
package change

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/audit"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/kv"
	"countersign/internal/name"
)

// Target is the thing that a change alters.
type Target struct {
	Account string
	Noun    string // secret, user, group, key, policy, account
	Region  string // for secrets
	Name    string
}

// Edit is one kind of write to one target.
//
// Allow loads what policy needs to know of the target and asks a.Allow for
// each operation that the edit amounts to; it must tell nothing about the
// target before that. Apply then checks the state and writes. Allow has always
// run before it in the same transaction, so it may use what Allow loaded.
type Edit interface {
	Target() Target
	Operation() policy.Op
	Allow(a *gate.Access) error
	Apply(tx *Tx) error
}

// Request is one write.
type Request struct {
	Edit   Edit
	Reason string // why, in the author's words; at most 2048 characters
}

// Result tells what became of a write.
type Result struct {
	ID     string // of the change; empty when nothing had to change
	Status Status
}

// Status is the state of a change.
type Status string

// Applied is the status of a change that took effect.
const Applied Status = "applied"

// Record is what is kept of a change: who altered what, when, through which
// front, why, from which version to which. It holds no value.
type Record struct {
	ID        string   `cbor:"1,keyasint" json:"id"`
	Noun      string   `cbor:"2,keyasint" json:"noun"`
	Region    string   `cbor:"3,keyasint,omitempty" json:"region,omitempty"`
	Name      string   `cbor:"4,keyasint" json:"name"`
	Operation string   `cbor:"5,keyasint" json:"operation"`
	Author    string   `cbor:"6,keyasint" json:"author"` // ARN
	Front     string   `cbor:"7,keyasint" json:"front"`
	Reason    string   `cbor:"8,keyasint,omitempty" json:"reason,omitempty"`
	Base      uint64   `cbor:"9,keyasint,omitempty" json:"base_version,omitempty"` // current version before; 0 when none
	Version   uint64   `cbor:"10,keyasint,omitempty" json:"version,omitempty"`     // version written; 0 when none
	Keys      []string `cbor:"11,keyasint,omitempty" json:"keys,omitempty"`        // keys of a JSON object that differ
	Status    Status   `cbor:"12,keyasint" json:"status"`
	Time      int64    `cbor:"13,keyasint" json:"time"` // microseconds since 1970
	RequestID string   `cbor:"14,keyasint,omitempty" json:"request_id,omitempty"`
}

// Tx is the transaction in which an edit is applied.
type Tx struct {
	kv.Txn
	Now    time.Time // when Submit was called
	Who    caller.Caller
	Change *Record // Apply sets Base, Version and Keys

	audit *audit.Record
	noop  bool
}

// NothingToDo says that the state is already as the edit wants it: the write
// succeeds and is audited, and no change is recorded.
func (tx *Tx) NothingToDo() { tx.noop = true }

// Wrote notes the version that the edit wrote, and of a JSON object the keys
// that differ from base.
func (tx *Tx) Wrote(base, version uint64, keys []string) {
	tx.Change.Base, tx.Change.Version, tx.Change.Keys = base, version, keys
	tx.audit.Version, tx.audit.Keys = version, keys
}

// Service applies changes.
type Service struct {
	gate  *gate.Gate
	relay *Relay
	ids   ids
}

// Config configures New.
type Config struct {
	Gate  *gate.Gate
	Relay *Relay
}

// New returns a Service. The relay's Run must be running for the records of
// writes to reach the log.
func New(c Config) *Service { return &Service{gate: c.Gate, relay: c.Relay} }

// Submit authorizes, decides and applies one write. On an error nothing was
// changed, but for an errs.Internal with gate.CodeUnknown: then nobody can say,
// and the write may be repeated. When it did happen after all, its own record
// follows, beside the one of the failure.
func (s *Service) Submit(ctx context.Context, who caller.Caller, req Request) (Result, error) {
	target, op := req.Edit.Target(), req.Edit.Operation()
	rec := gate.NewRecord(who, op, target.Name)
	if target.Region != "" {
		rec.Region = target.Region
	}
	res, err := s.submit(ctx, who, req, &rec)
	if err == nil {
		return res, nil
	}
	rec.Version, rec.Keys, rec.Change = 0, nil, ""
	if errors.Is(err, kv.ErrUnknown) {
		// The commit may be there after all, and its own record with it.
		rec.ID = audit.NewID(rec.Time)
	}
	return Result{}, s.gate.Finish(ctx, &rec, err)
}

func (s *Service) submit(ctx context.Context, who caller.Caller, req Request, rec *audit.Record) (Result, error) {
	if err := name.Text("Reason", req.Reason, name.MaxDescription); err != nil {
		return Result{}, err
	}
	if err := s.relay.ready(); err != nil {
		return Result{}, err
	}
	target, now := req.Edit.Target(), time.Now()
	id := s.ids.next(now)
	var res Result
	s.relay.expect(rec.ID)
	_, err := s.gate.DB.Update(ctx, func(txn kv.Txn) error {
		res = Result{Status: Applied}
		a := gate.NewAccess(txn, s.gate.Auth, who, rec)
		if err := req.Edit.Allow(a); err != nil {
			return err
		}
		if err := a.Complete(req.Edit.Operation()); err != nil {
			return err
		}
		tx := &Tx{Txn: txn, Now: now, Who: who, audit: rec, Change: &Record{
			ID: id, Noun: target.Noun, Region: target.Region, Name: target.Name,
			Operation: req.Edit.Operation().String(), Author: who.ARN(), Front: who.Front, Reason: req.Reason,
			Status: Applied, Time: now.UnixMicro(), RequestID: who.RequestID,
		}}
		rec.Version, rec.Keys, rec.Change = 0, nil, ""
		// No protection rule exists, so what policy allows is applied.
		if err := req.Edit.Apply(tx); err != nil {
			return err
		}
		if !tx.noop {
			res.ID, rec.Change = id, id
			if err := putRecord(tx, target); err != nil {
				return err
			}
		}
		rec.Outcome, rec.Duration = audit.OK, now.Sub(rec.Time)
		return putOutbox(tx, rec)
	})
	if err != nil {
		s.relay.forget(rec.ID)
		return Result{}, gate.Classify(err)
	}
	s.relay.offer(*rec)
	return res, nil
}

// ids makes the ids of changes. Each is larger than the ones before, also within
// a millisecond, so that changes one after the other are listed in their order.
type ids struct {
	mu   sync.Mutex
	last string
}

func (g *ids) next(now time.Time) string {
	id := audit.NewID(now)
	g.mu.Lock()
	defer g.mu.Unlock()
	if id <= g.last {
		id = following(g.last)
	}
	g.last = id
	return id
}

// following is the next id in the order of their text, which is base 32.
func following(id string) string {
	const digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	b := []byte(id)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i] != 'Z' {
			b[i] = digits[strings.IndexByte(digits, b[i])+1]
			break
		}
		b[i] = '0'
	}
	return string(b)
}

// recordKey is where a change is kept: by target, in order of time.
func recordKey(t Target, id string) kv.Key {
	return kv.K(t.Account, "change", t.Noun, t.Region, t.Name, id)
}

func putRecord(tx *Tx, t Target) error {
	return record.Put(tx, recordKey(t, tx.Change.ID), tx.Change)
}
