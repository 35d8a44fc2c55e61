package secret

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"slices"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/due"
	"countersign/internal/core/policy"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/name"
)

// Step is where a rotation under way is: the step that is to be done next.
type Step string

// The steps of a rotation; package rotator says what they are.
const (
	StepCreate Step = "create"
	StepSet    Step = "set"
	StepTest   Step = "test"
	StepFinish Step = "finish"
	StepUndo   Step = "undo"
)

// Run is a rotation under way: the journal of its steps. Times are microseconds
// since 1970.
type Run struct {
	Version   string `cbor:"1,keyasint"` // id of the version that it makes
	Number    uint64 `cbor:"2,keyasint"` // of that version
	Step      Step   `cbor:"3,keyasint"`
	Failed    int    `cbor:"4,keyasint,omitempty"` // how often the step has failed
	Began     int64  `cbor:"5,keyasint"`
	Until     int64  `cbor:"6,keyasint,omitempty"` // end of its window; 0: none
	Next      int64  `cbor:"7,keyasint"`           // when to go on
	By        string `cbor:"8,keyasint,omitempty"` // ARN of who asked for it; empty: the schedule
	Base      uint64 `cbor:"9,keyasint,omitempty"` // version that was current when it began; 0: none
	Note      string `cbor:"10,keyasint,omitempty"`
	Token     string `cbor:"11,keyasint"`           // proves that a call belongs to it
	Revoke    bool   `cbor:"12,keyasint,omitempty"` // end the previous credential at once
	Test      bool   `cbor:"13,keyasint,omitempty"` // only try the target with the current value
	Set       bool   `cbor:"14,keyasint,omitempty"` // the target may know of the new value
	Cancelled bool   `cbor:"15,keyasint,omitempty"` // somebody asked for its end
	// Why is the failure that it is undone for, and Error that of the step at hand.
	Why   *Failure `cbor:"16,keyasint,omitempty"`
	Error *Failure `cbor:"17,keyasint,omitempty"`
	Told  bool     `cbor:"18,keyasint,omitempty"` // a notice says that it does not get on
}

// Failure is why a step failed, in words that are safe to show.
type Failure struct {
	Step  string `cbor:"1,keyasint" json:"step"`
	Class string `cbor:"2,keyasint" json:"class"`
	Msg   string `cbor:"3,keyasint" json:"message"`
	Time  int64  `cbor:"4,keyasint" json:"-"`
}

// Retiring is a credential that is to end: what an earlier rotation replaced.
type Retiring struct {
	Number   uint64   `cbor:"1,keyasint"`           // of its version
	At       int64    `cbor:"2,keyasint,omitempty"` // when its grace ends; 0: when the next rotation is done
	Deadline int64    `cbor:"3,keyasint,omitempty"` // until when its readers are waited for; 0: for ever
	Readers  int64    `cbor:"4,keyasint,omitempty"` // whose reads are looked at, microseconds back; 0: nobody is waited for
	Since    int64    `cbor:"5,keyasint"`           // when it was replaced
	Next     int64    `cbor:"6,keyasint,omitempty"` // when to try, or look, again
	Failed   int      `cbor:"7,keyasint,omitempty"`
	Error    *Failure `cbor:"8,keyasint,omitempty"`
	Waits    int      `cbor:"9,keyasint,omitempty"` // how many readers it waits for
}

// due is when something is to be done about it; 0: not yet known.
func (r *Retiring) due() int64 { return max(r.At, r.Next) }

// RotationOutcome is how a rotation ended, or how the credential that one replaced
// did.
type RotationOutcome struct {
	Result   string   `cbor:"1,keyasint" json:"result"` // one of the Rotation constants
	Version  string   `cbor:"2,keyasint" json:"version_id"`
	Number   uint64   `cbor:"3,keyasint" json:"version"`
	Began    int64    `cbor:"4,keyasint" json:"-"`
	Ended    int64    `cbor:"5,keyasint" json:"-"`
	By       string   `cbor:"6,keyasint,omitempty" json:"by,omitempty"`
	Failure  *Failure `cbor:"7,keyasint,omitempty" json:"failure,omitempty"`
	Previous string   `cbor:"8,keyasint,omitempty" json:"previous,omitempty"` // what became of the previous credential
}

// How a rotation ends.
const (
	RotationDone      = "rotated"
	RotationUndone    = "undone"    // it failed, and the target is as it was
	RotationStopped   = "stopped"   // it failed, and what it made stays under AWSPENDING
	RotationCancelled = "cancelled" // somebody ended it, and the target is as it was
	RotationTested    = "tested"
	RotationRetired   = "retired" // the previous credential ended
)

// keptOutcomes is how many are kept of a secret.
const keptOutcomes = 25

func outcomePrefix(n name.Secret, suffix string) kv.Key {
	return kv.K(n.Account, "rotation", n.Region, n.Name, suffix)
}

// rotationDue is the due index of rotations: account, region, name and suffix of
// the secret.
var rotationDue = due.Index{Prefix: kv.K("sys", "rotation-due"), Parts: 4}

// RotationRef leads from the due index to a secret.
type RotationRef struct {
	name.Secret
	Suffix string
}

func rotationRef(e due.Entry) RotationRef {
	return RotationRef{Secret: name.Secret{Account: e.Parts[0], Region: e.Parts[1], Name: e.Parts[2]}, Suffix: e.Parts[3]}
}

// NewRotationToken makes the token of a rotation, in the form of AWS's RotationToken.
func NewRotationToken() string { return rand.Text() + rand.Text() }

// work is when something is to be done about the rotation of a secret,
// microseconds; 0: never.
func (h *head) work(n name.Secret) int64 {
	if h.Primary != "" {
		return 0
	}
	if h.Run != nil {
		return max(1, h.Run.Next)
	}
	var first int64
	soonest := func(at int64) {
		if at > 0 && (first == 0 || at < first) {
			first = at
		}
	}
	for i := range h.Retiring {
		soonest(h.Retiring[i].due())
	}
	if h.Deleted == 0 && h.Rotation != nil && h.Rotation.Enabled {
		at, _ := h.nextRun(n)
		soonest(at)
	}
	return first
}

// nextRun is when the next rotation is due, not before a grace that was promised is
// over, and when its window closes; 0: never.
func (h *head) nextRun(n name.Secret) (at int64, closes time.Time) {
	r := h.Rotation
	if at, closes = r.Retry, when(r.Closes); at == 0 {
		t, c, ok := r.next(n)
		if !ok {
			return 0, c
		}
		at, closes = micros(t), c
	}
	return max(at, h.graceUntil()), closes
}

// graceUntil is the end of the last grace that a credential has.
func (h *head) graceUntil() (until int64) {
	for i := range h.Retiring {
		until = max(until, h.Retiring[i].At)
	}
	return until
}

// index keeps the entry of a secret in the due index. It is the work of putHead
// and dropHead alone.
func (h *head) index(tx kv.Txn, n name.Secret, gone bool) error {
	var at int64
	if !gone {
		if r := h.Rotation; r != nil {
			if current := h.Labels[name.Current].Number; current != r.Seen {
				r.Seen, r.Put, r.Retry = current, h.Changed, 0 // it counts as a rotation
			}
		}
		at = h.work(n)
	}
	if at == h.Due {
		return nil
	}
	key := func(at int64) kv.Key {
		return rotationDue.Key(time.UnixMicro(at), n.Account, n.Region, n.Name, h.Suffix)
	}
	if h.Due != 0 {
		if err := tx.Delete(key(h.Due)); err != nil {
			return err
		}
	}
	if h.Due = at; at == 0 {
		return nil
	}
	return tx.Put(key(at), []byte{1})
}

// beginRun registers the version that a rotation makes. What run says of it is
// kept; the rest is filled in.
func (e *edit) beginRun(tx *change.Tx, run Run) error {
	h := e.f.head
	current := h.Labels[name.Current]
	pending, labelled := h.Labels[name.Pending]
	kind := e.s.kinds.Find(h.Rotation.Kind())
	goesOn := kind != nil && kind.Stores || h.Rotation.Stopped == pending.Number
	switch {
	case h.Run != nil:
		return errs.Coded(errs.Precondition, CodeRotating, "a rotation of the secret is under way")
	case h.graceUntil() > micros(tx.Now) && !run.Revoke:
		return errs.Coded(errs.Precondition, CodeInGrace, "the credential that the last rotation replaced is in its grace until %s; a rotation would end it, which has to be asked for",
			when(h.graceUntil()).Format(time.RFC3339))
	case labelled && pending.Number != current.Number && (!goesOn || run.By != "" && !e.resumes()):
		return errs.Coded(errs.Precondition, CodeRotating, "version %d has the label %s: a rotation that stopped, or somebody, left it there", pending.Number, name.Pending)
	}
	run.Step, run.Began, run.Next, run.Base = StepCreate, micros(tx.Now), micros(tx.Now), current.Number
	if run.Test {
		if current.Number == 0 || current.Empty {
			return nil // there is nothing to test with
		}
		run.Step = StepTest
	}
	h.Rotation.Retry, h.Rotation.Tried = 0, micros(tx.Now)
	h.Run = &run
	if labelled && pending.Number != current.Number { // what was called goes on with what was made
		if !pending.Empty {
			if err := e.judgeStored(tx, pending.Number, pending.Binary); err != nil {
				return err
			}
		}
		run.Version, run.Number, run.Set = pending.ID, pending.Number, true
		e.out.VersionID, e.out.Number, e.out.Labels = pending.ID, pending.Number, h.labelsOf(pending.Number)
		return nil
	}
	n := e.f.Secret
	v := version{ID: run.Version, Created: micros(tx.Now), State: Enabled, KMSKey: h.KMSKey, Empty: true, Change: tx.Change.ID, Author: e.who.ARN()}
	h.Last, h.Kept = h.Last+1, h.Kept+1
	run.Number = h.Last
	if err := record.Put(tx, versionIDKey(n, h.Suffix, run.Version), run.Number); err != nil {
		return err
	}
	h.attach(name.Pending, v.at(run.Number))
	if err := record.Put(tx, versionKey(n, h.Suffix, run.Number), v); err != nil {
		return err
	}
	e.out.VersionID, e.out.Number, e.out.Labels = run.Version, run.Number, h.labelsOf(run.Number)
	tx.Wrote(current.Number, 0, nil)
	if !run.Test {
		return nil
	}
	data, err := e.s.value(tx, e.f, current.Number)
	if err != nil {
		return err
	}
	return e.fill(tx, run.Number, Input{Data: data, Binary: current.Binary})
}

// resumes reports whether the edit may go on with a version that a rotation left.
// In the AWS protocol an administrator may not.
func (e *edit) resumes() bool { return e.who.Front != "aws/secretsmanager" }

// fill gives a registered version its value.
func (e *edit) fill(tx *change.Tx, number uint64, in Input) error {
	h := e.f.head
	p, err := e.s.print(e.f.Account, in)
	if err != nil {
		return err
	}
	v, err := getVersion(tx, e.f.Secret, h.Suffix, number)
	if err != nil {
		return err
	}
	v.Empty, v.Size, v.Binary, v.Print, v.Keys = false, p.Data.Len(), p.Binary, p.print, p.keys
	return e.storeVersion(tx, number, v, p, h.labelsOf(number))
}

// dropPending takes back the version that a rotation was making.
func (e *edit) dropPending(tx *change.Tx) error {
	h := e.f.head
	number := h.Run.Number
	if h.Labels[name.Pending].Number == number {
		delete(h.Labels, name.Pending)
	}
	if len(h.labelsOf(number)) > 0 { // somebody made something of it
		return nil
	}
	v, ok, err := record.Get[version](tx, versionKey(e.f.Secret, h.Suffix, number))
	if err != nil || !ok {
		return err
	}
	h.Kept--
	return dropVersion(tx, e.f.Secret, h.Suffix, number, v.ID)
}

// making reports whether a version is being made by a rotation.
func (h *head) making(number uint64) bool { return h.Run != nil && h.Run.Number == number }

// turns reports whether a principal may do a rotation's work on the version that it
// makes: as what the rotation calls, or with the rotation's token.
func (e *edit) turns(token string) bool {
	if e.f == nil || e.f.head == nil || e.f.head.Run == nil {
		return false
	}
	h := e.f.head
	kind := e.s.kinds.Find(h.Rotation.Kind())
	if kind == nil || !kind.Stores || e.who.Account != e.f.Account {
		return false
	}
	if token != "" {
		return subtle.ConstantTimeCompare([]byte(token), []byte(h.Run.Token)) == 1
	}
	user := ""
	if kind.User != nil {
		user = kind.User(e.f.Account, h.Rotation.Settings())
	}
	return user != "" && user == e.who.Name && e.who.Kind != caller.System
}

// busy refuses a write to the version that a rotation makes by anything else.
func (e *edit) busy(number uint64) error {
	h := e.f.head
	if !h.making(number) {
		return nil
	}
	if kind := e.s.kinds.Find(h.Rotation.Kind()); kind != nil && kind.Stores {
		return nil // it is made by requests
	}
	return errs.Coded(errs.Precondition, CodeBusy, "version %d is being made by a rotation", number)
}

// RotationState is a secret as the steps of its rotation see it.
type RotationState struct {
	RotationRef
	ARN      string
	Deleted  bool // marked for deletion
	Rotation Rotation
	Run      *Run
	Retiring []Retiring
	Number   uint64 // of the current version; 0: none
	Input    map[uint64]Input
	Labels   map[string]uint64
	Regions  []string  // in which it is read: its own, and those of its replicas
	Due      time.Time // of the next rotation by schedule; zero: never
	Closes   time.Time // of its window
}

// Value is that of a version, empty when it has none that may be read.
func (s *RotationState) Value(number uint64) Input { return s.Input[number] }

// RotationState reads what the server's own job needs of a secret; nil: it is not
// there. It holds the values that a step has to know; each step has its record.
func (s *Service) RotationState(ctx context.Context, ref RotationRef) (out *RotationState, err error) {
	now := time.Now()
	err = s.gate.DB.View(ctx, func(r kv.Reader) error {
		out, err = s.rotationState(r, ref, now)
		return err
	})
	return out, err
}

func (s *Service) rotationState(r kv.Reader, ref RotationRef, now time.Time) (*RotationState, error) {
	f, err := s.load(r, ref.Secret, "")
	if err != nil || f.head == nil || f.replica != nil || ref.Suffix != "" && f.head.Suffix != ref.Suffix || f.head.Rotation == nil {
		return nil, err
	}
	h := f.head
	ref.Suffix = h.Suffix
	out := &RotationState{RotationRef: ref, ARN: f.arn(), Deleted: h.Deleted != 0, Rotation: *h.Rotation, Run: h.Run, Retiring: h.Retiring,
		Number: h.Labels[name.Current].Number, Input: map[uint64]Input{}, Labels: map[string]uint64{}}
	for l, at := range h.Labels {
		out.Labels[l] = at.Number
	}
	out.Regions = []string{ref.Region}
	for i := range h.Replicas {
		out.Regions = append(out.Regions, h.Replicas[i].Region)
	}
	if at, closes := h.nextRun(ref.Secret); at != 0 && h.Rotation.Enabled {
		out.Due, out.Closes = when(at), closes
	}
	numbers := []uint64{out.Number, out.Labels[name.Previous]}
	if h.Run != nil {
		numbers = append(numbers, h.Run.Number)
	}
	for i := range h.Retiring {
		numbers = append(numbers, h.Retiring[i].Number)
	}
	for _, number := range numbers {
		if number == 0 {
			continue
		}
		v, ok, err := record.Get[version](r, versionKey(f.Secret, h.Suffix, number))
		if err != nil {
			return nil, err
		}
		if !ok || !v.readable(now) {
			continue
		}
		data, err := s.value(r, f, number)
		if err != nil {
			return nil, err
		}
		out.Input[number] = Input{Data: data, Binary: v.Binary}
	}
	return out, nil
}

// DueRotations carries out what is due of rotations, each entry once.
func (s *Service) DueRotations(ctx context.Context, do func(RotationRef) error) error {
	return rotationDue.Each(ctx, s.gate.DB, func(e due.Entry) error {
		return do(rotationRef(e))
	})
}

// OldestDue is the time of the first entry of the due index of rotations, zero for
// none.
func (s *Service) OldestDue(ctx context.Context) (at time.Time, err error) {
	err = s.gate.DB.View(ctx, func(r kv.Reader) error {
		at = time.Time{}
		for e, err := range rotationDue.Scan(r, kv.Prefix(rotationDue.Prefix)) {
			if err != nil {
				return err
			}
			at = when(micros(e.At))
			return nil
		}
		return nil
	})
	return at, err
}

// ForgetDue removes the entries of a secret that is not rotated, or not there. Its
// own record removes them, so there are none but after a defect.
func (s *Service) ForgetDue(ctx context.Context, ref RotationRef) error {
	_, err := s.gate.DB.Update(ctx, func(tx kv.Txn) error {
		h, err := getHead(tx, ref.Secret)
		if err != nil {
			return err
		}
		var keys []kv.Key
		for e, err := range rotationDue.Scan(tx, kv.Prefix(rotationDue.Prefix)) {
			if err != nil {
				return err
			}
			if rotationRef(e) == ref && (h == nil || h.Suffix != ref.Suffix || h.Due != micros(e.At)) {
				keys = append(keys, e.Key)
			}
		}
		for _, k := range keys {
			if err := tx.Delete(k); err != nil {
				return err
			}
		}
		return nil
	})
	return err
}

// RotationBell wakes the job that rotates.
func (s *Service) RotationBell() due.Bell { return s.rotates }

// Rotating is one transaction of the server's own on a secret whose rotation is
// under way. What is altered in Run, Rotation and Retiring is kept.
type Rotating struct {
	Tx       *change.Tx
	Rotation *Rotation
	Run      *Run // nil: none is under way
	Retiring *[]Retiring
	Number   uint64 // of the current version; 0: none
	Deleted  bool

	e *rotatingEdit
}

type rotatingEdit struct {
	edit
	suffix string
	do     func(*Rotating) error
	loud   bool // a change is recorded
}

// ErrNoRotation says that the secret is not there any more, or is not rotated.
var ErrNoRotation = errs.New(errs.NotFound, "the secret is not rotated any more")

// Advance runs one transaction on a secret. do may run twice. Its record is that of
// op, with the version that is made.
func (s *Service) Advance(ctx context.Context, who caller.Caller, op policy.Op, ref RotationRef, reason string, do func(*Rotating) error) error {
	who.Region = ref.Region
	e := &rotatingEdit{edit: edit{s: s, op: op, who: who, id: name.SecretID{Name: ref.Name}}, suffix: ref.Suffix, do: do}
	_, err := s.run(ctx, who, reason, e, &e.edit)
	return err
}

func (e *rotatingEdit) Apply(tx *change.Tx) error {
	h := e.f.head
	if h == nil || h.Suffix != e.suffix || h.Rotation == nil || e.f.replica != nil {
		return ErrNoRotation
	}
	e.out.ARN, e.out.Name = e.f.arn(), e.f.Name
	e.loud = false
	number := uint64(0)
	if h.Run != nil {
		number = h.Run.Number
	}
	tx.Wrote(h.Labels[name.Current].Number, number, nil)
	r := &Rotating{Tx: tx, Rotation: h.Rotation, Run: h.Run, Retiring: &h.Retiring, Number: h.Labels[name.Current].Number, Deleted: h.Deleted != 0, e: e}
	if err := e.do(r); err != nil {
		return err
	}
	if !e.loud {
		tx.NothingToDo()
		return putHead(tx, e.f.Secret, h)
	}
	return e.save(tx)
}

// Due is when the schedule asks for a rotation, zero: never, and the end of its
// window.
func (r *Rotating) Due() (at, closes time.Time) {
	h := r.e.f.head
	if h.Deleted != 0 || !h.Rotation.Enabled {
		return at, closes
	}
	next, closes := h.nextRun(r.e.f.Secret)
	return when(next), closes
}

// CatchUp is when a rotation whose window has passed is made up for, and the end of the
// window that it then has: now, unless there are no rotations on this day.
func (r *Rotating) CatchUp() (at, closes time.Time, err error) {
	p, err := r.Rotation.Plan()
	if err != nil {
		return at, closes, err
	}
	at, closes = p.CatchUp(r.Rotation.anchor(p), r.Tx.Now, seedOf(r.e.f.Secret))
	return at, closes, nil
}

// Begin begins a rotation, as RotateRequest asks for one.
func (r *Rotating) Begin(run Run) error {
	if err := r.e.beginRun(r.Tx, run); err != nil {
		return err
	}
	r.Run, r.e.loud = r.e.f.head.Run, true
	return nil
}

// Store gives the version that is made its value.
func (r *Rotating) Store(in Input) error { return r.e.fill(r.Tx, r.Run.Number, in) }

// Stored reports whether the version that is made has a value.
func (r *Rotating) Stored() (bool, error) {
	v, ok, err := record.Get[version](r.Tx, versionKey(r.e.f.Secret, r.e.f.head.Suffix, r.Run.Number))
	return ok && v.readable(r.Tx.Now), err
}

// MakeCurrent moves AWSCURRENT to the version that is made, unless it is there, and
// takes AWSPENDING off.
func (r *Rotating) MakeCurrent() error {
	h := r.e.f.head
	base := h.Labels[name.Current].Number
	v, err := getVersion(r.Tx, r.e.f.Secret, h.Suffix, r.Run.Number)
	if err != nil {
		return err
	}
	if h.Labels[name.Pending].Number == r.Run.Number {
		delete(h.Labels, name.Pending)
	}
	r.e.loud = true
	if base == r.Run.Number {
		r.Tx.Wrote(r.Run.Base, base, nil)
		return nil
	}
	v.Gone = r.e.expiry(r.Tx.Now)
	if err := record.Put(r.Tx, versionKey(r.e.f.Secret, h.Suffix, r.Run.Number), v); err != nil {
		return err
	}
	h.attach(name.Current, v.at(r.Run.Number))
	return r.e.becameCurrent(r.Tx, base, r.Run.Number, v)
}

// Prune removes versions over the limit, after a new one became current.
func (r *Rotating) Prune() error { return r.e.prune(r.Tx) }

// DropPending takes back the version that is made.
func (r *Rotating) DropPending() error { return r.e.dropPending(r.Tx) }

// End ends the rotation under way, and keeps how.
func (r *Rotating) End(o RotationOutcome) error {
	r.e.f.head.Run, r.Run = nil, nil
	return r.Log(o)
}

// Log keeps an outcome, and removes the oldest beyond those that are kept.
func (r *Rotating) Log(o RotationOutcome) error {
	prefix := outcomePrefix(r.e.f.Secret, r.e.f.head.Suffix)
	at := uint64(o.Ended)
	var old []kv.Key
	rng := kv.Prefix(prefix)
	rng.Reverse = true
	kept := 0
	for p, err := range r.Tx.Scan(rng) {
		if err != nil {
			return err
		}
		_, nums, err := kv.Key(p.Key).Parts("sssssn")
		if err != nil {
			return err
		}
		if kept == 0 && nums[0] >= at { // each has a time of its own, whatever the clock says
			at = nums[0] + 1
		}
		if kept++; kept >= keptOutcomes {
			old = append(old, slices.Clone(kv.Key(p.Key)))
		}
	}
	for _, k := range old {
		if err := r.Tx.Delete(k); err != nil {
			return err
		}
	}
	return record.Put(r.Tx, prefix.Num(at), o)
}

// outcomes are those that are kept, the newest first.
func outcomes(r kv.Reader, n name.Secret, suffix string) (out []RotationOutcome, err error) {
	rng := kv.Prefix(outcomePrefix(n, suffix))
	rng.Reverse = true
	for e, err := range record.Scan[RotationOutcome](r, rng) {
		if err != nil {
			return nil, err
		}
		out = append(out, e.Value)
	}
	return out, nil
}

// dropOutcomes removes what is kept of the rotations of a secret that is gone.
func dropOutcomes(tx kv.Txn, n name.Secret, suffix string) error {
	var keys []kv.Key
	for p, err := range tx.Scan(kv.Prefix(outcomePrefix(n, suffix))) {
		if err != nil {
			return err
		}
		keys = append(keys, slices.Clone(kv.Key(p.Key)))
	}
	for _, k := range keys {
		if err := tx.Delete(k); err != nil {
			return err
		}
	}
	return nil
}

// Name is that of the secret.
func (r *Rotating) Name() name.Secret { return r.e.f.Secret }

// Loud makes a change be recorded of the transaction.
func (r *Rotating) Loud() { r.e.loud = true }

// referRotation checks what a secret says of its rotation.
func referRotation(r kv.Reader, n name.Secret, h *head, report func(string)) error {
	if h.Due != 0 {
		if _, err := r.Get(rotationDue.Key(time.UnixMicro(h.Due), n.Account, n.Region, n.Name, h.Suffix)); err != nil {
			report("its rotation is due, and is in no index")
		}
	}
	if h.Run != nil {
		if _, ok, err := record.Get[version](r, versionKey(n, h.Suffix, h.Run.Number)); err != nil {
			return err
		} else if !ok {
			report(fmt.Sprintf("a rotation makes version %d, which is missing", h.Run.Number))
		}
	}
	return nil
}
