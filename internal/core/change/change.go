// Package change is the only way to write.
//
// Every write, through whichever front, is an Edit handed to Submit: it is
// authorized against the state that it is about to alter, held against the
// protection rules, and applied, all in one transaction, together with the
// record of the change and the audit record of it. Either all of it is
// durable when Submit returns, or nothing was written.
//
// Where a protection rule holds, nothing is applied: the edit is written down as
// a proposal and waits for votes. A vote is over a digest of what would take
// effect, on what, under which rule; when any of these moves, it no longer
// counts. The vote that completes what the rule asks for applies the edit in its
// own transaction. Nobody's permission replaces a vote: that is what a rule is.
//
// The audit record travels through an outbox: it is put beside the data in the
// same transaction, and a relay appends it to the log after the commit, and
// again after a crash, exactly once. A refused or failed write has its record
// appended to the log directly. Either way no answer precedes its record.
//
// An Edit must be pure: its functions may run twice (see package kv), and they
// run again, over writes that nobody sees, whenever it has to be known what a
// proposal would do. What an edit needs of the clock or of chance is fixed in its
// fields, or in the Tx, before the transaction begins.
package change

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/audit"
	"countersign/internal/core/due"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/protect"
	"countersign/internal/errs"
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

// Proposal is an Edit that can wait for review.
type Proposal interface {
	Edit
	// Encode writes the edit down, for the Decoder of its noun. What it returns
	// may hold values; it is kept encrypted, and only until the change ends.
	Encode() ([]byte, error)
}

// Decoder reads back what a Proposal wrote down. The edit then acts as author.
type Decoder func(author caller.Caller, op policy.Op, target Target, data []byte) (Edit, error)

// Subjecter is an Edit that knows more about its subject than operation and
// target tell: what tags it has, what kind of change this is. It is asked after
// Allow.
type Subjecter interface {
	Subject() protect.Subject
}

// Deleter is an Edit that may delete something beside what it is for, such as old
// versions. Then rules about deletions hold it too. It is asked after Allow.
type Deleter interface {
	Deletes() bool
}

// Rotating is an Edit that may be a step of a rotation under way. What a rotation
// makes was decided when the rotation was: no rule holds its steps. It is asked
// after Allow.
type Rotating interface {
	Rotates() bool
}

// Holder is a Proposal that keeps something of its own while it waits.
type Holder interface {
	Proposal
	Hold(tx *Tx) error // called instead of Apply, before Encode
	Drop(tx *Tx) error // called when the change ends without having been applied
}

// Keyless is a Holder whose clients have no way to say that a request repeats
// another: while a change of an author waits, the same request of theirs is that
// change.
type Keyless interface {
	Holder
	Keyless()
}

// Request is one write.
type Request struct {
	Edit   Edit
	Reason string // why, in the author's words; at most 2048 characters
	Options
}

// Options say how a write is to be proposed. The zero value is a write like any
// other.
type Options struct {
	Draft bool // keep it as a draft, which nobody is asked to review yet
	// NotBefore is when an approved change takes effect; zero: at once. A change
	// that no rule holds waits too.
	NotBefore time.Time
	// Key makes a repeated request of the same caller the same change, for a day.
	Key string
	// Same, when set, is what makes two requests with one Key the same, in place
	// of the edit: where one request of a front becomes one edit or another.
	Same []byte
}

// Result tells what became of a write.
type Result struct {
	ID     string `json:"change,omitempty"` // of the change; empty when nothing had to change
	Status Status `json:"status"`
}

// Status is the state of a change.
type Status string

// The states of a change. All but the first four are final.
const (
	Draft      Status = "draft"      // not yet put to review
	Pending    Status = "pending"    // waits for votes
	Conflicted Status = "conflicted" // pending, and at odds with what was applied since
	Approved   Status = "approved"   // has its votes and waits for its time
	Applied    Status = "applied"
	Rejected   Status = "rejected"
	Withdrawn  Status = "withdrawn"
	Expired    Status = "expired"
)

// Statuses lists every Status.
func Statuses() []Status {
	return []Status{Draft, Pending, Conflicted, Approved, Applied, Rejected, Withdrawn, Expired}
}

// Open reports whether a change in this state may still take effect.
func (s Status) Open() bool {
	return s == Draft || s == Pending || s == Conflicted || s == Approved
}

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
	Resource  string   `cbor:"15,keyasint,omitempty" json:"resource,omitempty"` // ARN that policy was asked about
	Kind      string   `cbor:"16,keyasint,omitempty" json:"kind,omitempty"`     // kind of change, for protection rules
	// Of changes that had to wait:
	Rule      string   `cbor:"17,keyasint,omitempty" json:"rule,omitempty"`       // that held when it was proposed
	NotBefore int64    `cbor:"18,keyasint,omitempty" json:"not_before,omitempty"` // microseconds
	Expires   int64    `cbor:"19,keyasint,omitempty" json:"expires,omitempty"`    // microseconds
	Ended     int64    `cbor:"20,keyasint,omitempty" json:"ended,omitempty"`      // microseconds
	EndedBy   string   `cbor:"21,keyasint,omitempty" json:"ended_by,omitempty"`   // ARN of who applied, rejected or withdrew it
	Conflicts []string `cbor:"22,keyasint,omitempty" json:"conflicts,omitempty"`  // keys at odds, when conflicted
	// BreakGlass is the id of the emergency in which it was applied unreviewed.
	BreakGlass string `cbor:"23,keyasint,omitempty" json:"break_glass,omitempty"`
	// Versions are those that it deleted, undeleted or destroyed.
	Versions []uint64 `cbor:"24,keyasint,omitempty" json:"versions,omitempty"`
}

// Target is what the change alters, in an account.
func (r *Record) Target(account string) Target {
	return Target{Account: account, Noun: r.Noun, Region: r.Region, Name: r.Name}
}

// Tx is the transaction in which an edit is applied.
type Tx struct {
	kv.Txn
	Now    time.Time // when Submit was called
	Who    caller.Caller
	Change *Record // Apply sets Base, Version and Keys

	audit   *audit.Record
	account string       // whose thing is altered
	access  *gate.Access // of the caller, for steps of a review
	noop    bool
	content []byte
	notices int // how many it has put
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

// Marked notes the versions that the edit deleted, undeleted or destroyed; it comes
// after Wrote. The audit record has one that is alone.
func (tx *Tx) Marked(versions []uint64) {
	tx.Change.Versions = versions
	if len(versions) == 1 {
		tx.audit.Version = versions[0]
	}
}

// Failed says that what the edit writes down is a failure: the write succeeds, and
// its audit record tells of the failure, with the slug of why.
func (tx *Tx) Failed(why string) { tx.audit.Outcome, tx.audit.Error = audit.Failed, why }

// Produced notes the value that the edit makes current, over which votes are.
func (tx *Tx) Produced(value []byte) { tx.content = value }

// Identities knows principals as they stand in a transaction.
type Identities interface {
	// Subject returns a principal with its groups and person, nil when it is gone
	// or disabled.
	Subject(r kv.Reader, account, name string) (*caller.Caller, error)
	// Members lists the names in a group, sorted.
	Members(r kv.Reader, account, group string) ([]string, error)
	// SSHKeys are the public keys registered for a user, as "type base64".
	SSHKeys(r kv.Reader, account, name string) ([]string, error)
}

// Service applies changes, and keeps those that wait.
type Service struct {
	gate     *gate.Gate
	relay    *Relay
	ids      ids
	people   Identities
	values   Values
	decoders map[string]Decoder
	logger   *slog.Logger
	woken    due.Bell // wakes the job over the due index
}

// Config configures New.
type Config struct {
	Gate   *gate.Gate
	Relay  *Relay
	Logger *slog.Logger // default slog.Default()
}

// New returns a Service. The relay's Run must be running for the records of
// writes to reach the log, and Connect must be called before anything can wait
// for review.
func New(c Config) *Service {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	s := &Service{gate: c.Gate, relay: c.Relay, logger: c.Logger, woken: due.NewBell()}
	s.decoders = map[string]Decoder{nounRules: decodeRules}
	return s
}

// Connect tells the service of those that are built upon it: who knows
// principals and values, and how the edits of each noun are read back. It is
// called once, before the first request.
func (s *Service) Connect(people Identities, values Values, decoders map[string]Decoder) {
	s.people, s.values = people, values
	maps.Copy(s.decoders, decoders)
}

// Submit authorizes, decides and applies or proposes one write. On an error
// nothing was changed, but for an errs.Internal with gate.CodeUnknown: then nobody
// can say, and the write may be repeated. When it did happen after all, its own
// record follows, beside the one of the failure.
//
// A write that a protection rule holds, or that its author may only propose,
// succeeds with a Result that is not Applied.
func (s *Service) Submit(ctx context.Context, who caller.Caller, req Request) (Result, error) {
	target, op := req.Edit.Target(), req.Edit.Operation()
	rec := gate.NewRecord(who, op, target.Name)
	if target.Region != "" {
		rec.Region = target.Region
	}
	w, err := s.submission(who, req)
	if err != nil {
		return Result{}, s.gate.Finish(ctx, &rec, err)
	}
	var res Result
	err = s.write(ctx, who, &rec, func(txn kv.Txn, a *gate.Access, now time.Time) (err error) {
		res, err = w.run(s, txn, a, now)
		return err
	})
	if err != nil {
		return Result{}, err
	}
	if res.Status == Approved {
		s.woken.Ring()
	}
	return res, nil
}

// submission is one Submit with what chance and the clock add, fixed before the
// transaction.
type submission struct {
	Request
	who    caller.Caller
	now    time.Time
	id     string
	nonce  []byte
	target Target
}

func (s *Service) submission(who caller.Caller, req Request) (*submission, error) {
	if err := name.Text("Reason", req.Reason, name.MaxDescription); err != nil {
		return nil, err
	}
	now := time.Now()
	if err := req.Options.check(now); err != nil {
		return nil, err
	}
	w := &submission{Request: req, who: who, now: now, id: s.ids.next(now), nonce: make([]byte, 32), target: req.Edit.Target()}
	_, _ = rand.Read(w.nonce)
	return w, nil
}

// maxAhead is how far in the future a change can be scheduled.
const maxAhead = 366 * 24 * time.Hour

func (o Options) check(now time.Time) error {
	if !o.NotBefore.IsZero() && o.NotBefore.After(now.Add(maxAhead)) {
		return errs.InvalidField("not_before", "a change is scheduled for a year ahead at most")
	}
	return name.Text("Idempotency-Key", o.Key, 255)
}

// run is the transaction function.
func (w *submission) run(s *Service, txn kv.Txn, a *gate.Access, now time.Time) (Result, error) {
	op := w.Edit.Operation()
	_, canWait := w.Edit.(Proposal)
	a.Proposable = canWait
	if err := w.Edit.Allow(a); err != nil {
		return Result{}, err
	}
	if err := a.Complete(op); err != nil {
		return Result{}, err
	}
	if res, known, err := w.known(txn); known || err != nil {
		return res, err
	}
	subject := subjectOf(w.Edit)
	tx := &Tx{Txn: txn, Now: w.now, Who: w.who, account: w.target.Account, audit: a.Record, Change: &Record{
		ID: w.id, Noun: w.target.Noun, Region: w.target.Region, Name: w.target.Name,
		Operation: op.String(), Author: w.who.ARN(), Front: w.who.Front, Reason: w.Reason,
		Status: Applied, Time: w.now.UnixMicro(), RequestID: w.who.RequestID,
		Resource: a.Resource(), Kind: string(subject.Kind),
	}}
	rules, glass, err := w.held(s, tx, a, subject)
	if err != nil {
		return Result{}, err
	}
	if glass == nil && (len(rules) > 0 || w.Draft || w.NotBefore.After(w.now)) {
		return w.propose(s, tx, a, rules)
	}
	if err := w.Edit.Apply(tx); err != nil {
		return Result{}, err
	}
	if glass != nil && !tx.noop {
		if err := tx.underGlass(glass, w.target, rules[0]); err != nil {
			return Result{}, err
		}
	}
	if err := w.finish(s, tx); err != nil {
		return Result{}, err
	}
	return Result{ID: a.Record.Change, Status: Applied}, nil
}

// held returns the rules that hold the write, and the emergency in which its
// author has broken the glass over them, nil for none. The server's own jobs
// carry out what was decided before, and recover what nobody else can: no rule
// holds them.
func (w *submission) held(s *Service, tx *Tx, a *gate.Access, subject protect.Subject) (rules []protect.Rule, glass *Emergency, err error) {
	if w.who.Kind == caller.System {
		return nil, nil, nil
	}
	if r, ok := w.Edit.(Rotating); ok && r.Rotates() && !a.OnlyProposes {
		return nil, nil, nil
	}
	rules, err = s.holding(tx, w.Edit, subject, a.OnlyProposes)
	if err != nil || len(rules) == 0 || a.OnlyProposes || w.Draft || !w.NotBefore.IsZero() {
		return rules, nil, err
	}
	glass, err = s.breaks(tx, rules)
	return rules, glass, err
}

// finish records what Apply did.
func (w *submission) finish(s *Service, tx *Tx) error {
	if tx.noop {
		return nil
	}
	tx.audit.Change = w.id
	if err := putNew(tx, w.target); err != nil {
		return err
	}
	if err := w.remember(tx); err != nil {
		return err
	}
	return s.settle(tx, w.target, w.id)
}

// write runs one transaction that leaves an audit record.
func (s *Service) write(ctx context.Context, who caller.Caller, rec *audit.Record, f func(txn kv.Txn, a *gate.Access, now time.Time) error) error {
	err := s.attempt(ctx, who, rec, f)
	if err == nil {
		return nil
	}
	rec.Version, rec.Keys, rec.Change = 0, nil, ""
	if errors.Is(err, kv.ErrUnknown) {
		// The commit may be there after all, and its own record with it.
		rec.ID = audit.NewID(rec.Time)
	}
	return s.gate.Finish(ctx, rec, err)
}

func (s *Service) attempt(ctx context.Context, who caller.Caller, rec *audit.Record, f func(txn kv.Txn, a *gate.Access, now time.Time) error) error {
	if err := s.relay.ready(); err != nil {
		return err
	}
	now := time.Now()
	s.relay.expect(rec.ID)
	_, err := s.gate.DB.Update(ctx, func(txn kv.Txn) error {
		rec.Version, rec.Keys, rec.Change, rec.Outcome, rec.Error = 0, nil, "", audit.OK, ""
		if err := f(txn, gate.NewAccess(txn, s.gate.Auth, who, rec), now); err != nil {
			return err
		}
		rec.Duration = now.Sub(rec.Time)
		return putOutbox(txn, rec)
	})
	if err != nil {
		s.relay.forget(rec.ID)
		return gate.Classify(err)
	}
	s.relay.offer(*rec)
	return nil
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
