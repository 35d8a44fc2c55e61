package secret

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/change"
	"countersign/internal/core/gate"
	"countersign/internal/core/policy"
	"countersign/internal/core/protect"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/name"
	"countersign/internal/sensitive"
)

// Input is a value to be stored: text or bytes.
type Input struct {
	Data   sensitive.Bytes
	Binary bool
}

// Written is the answer to a write that may have made a version.
type Written struct {
	ARN, Name string
	VersionID string // empty when no version was written or named
	Number    uint64
	Labels    []string          // of that version, sorted
	Created   time.Time         // of that version, when this wrote it
	Deletes   time.Time         // when that version will read as deleted by itself; zero: never
	Tags      map[string]string // of the secret; of writes for a front that shows them
	Change    string            // id of the change; empty when nothing had to change
	// Status is Applied, or what keeps the write from having taken effect yet.
	Status   change.Status
	Replicas []Replica
}

// edit is what every edit of a secret has in common.
type edit struct {
	s   *Service
	op  policy.Op
	who caller.Caller
	id  name.SecretID
	f   *found // as the transaction sees it; set by open
	out Written

	mount KVSettings // that hold where the secret says nothing; of a front that has mounts

	decoded bool // it was written down before
}

func (e *edit) Operation() policy.Op { return e.op }

func (e *edit) Target() change.Target { return target(e.who, e.id) }

// open loads the secret and asks policy.
func (e *edit) open(a *gate.Access, extra ...policy.Pair) (err error) {
	e.out = Written{}
	e.f, err = e.s.ask(a, e.id, e.op, extra...)
	return err
}

// Allow asks policy about the one operation that most edits are.
func (e *edit) Allow(a *gate.Access) error { return e.open(a) }

// allowNew asks for the creation of what is not there, for an edit that would be
// op if it were. Who may do neither is told the same of both.
func (e *edit) allowNew(a *gate.Access, create, other []policy.Pair) error {
	err := e.f.allow(a, policy.CreateSecret, create...)
	if errs.Is(err, errs.Denied) {
		if told := e.f.allow(a, e.op, other...); errs.Is(told, errs.Denied) {
			return told
		}
	}
	return err
}

// ready says that the secret can be altered: it exists, is the primary, and is
// not marked for deletion.
func (e *edit) ready() error {
	if err := e.f.mustBeWritable(); err != nil {
		return err
	}
	e.out.ARN, e.out.Name = e.f.arn(), e.f.Name
	return e.f.head.live()
}

// save writes the head with a new time of change.
func (e *edit) save(tx *change.Tx) error {
	e.f.head.Changed = micros(tx.Now)
	return putHead(tx, e.f.Secret, e.f.head)
}

// begin makes the edit be about a new secret, whose name keeps to the convention.
// Every door through which a secret comes into being leads here, and every proposal
// of one is tried here first.
func (e *edit) begin(h *head) error {
	if err := e.s.names.Check(e.f.Name); err != nil {
		return &errs.Error{Kind: errs.Invalid, Code: CodeConvention, Field: "Name", Msg: err.Error()}
	}
	e.f.head, e.f.suffix, e.f.named = h, h.Suffix, ""
	e.out.ARN, e.out.Name = e.f.arn(), e.f.Name
	return nil
}

// saveNew is save for a secret that was begun.
func (e *edit) saveNew(tx *change.Tx) error {
	if err := tx.Put(createdKey(e.f.Secret, e.f.head.Created), []byte{1}); err != nil {
		return err
	}
	return e.save(tx)
}

// run submits an edit and returns what it wrote.
func (s *Service) run(ctx context.Context, who caller.Caller, reason string, e change.Edit, base *edit) (Written, error) {
	return s.runWith(ctx, who, reason, change.Options{}, e, base)
}

func (s *Service) runWith(ctx context.Context, who caller.Caller, reason string, o change.Options, e change.Edit, base *edit) (Written, error) {
	res, err := s.changes.Submit(ctx, who, change.Request{Edit: e, Reason: reason, Options: o})
	if err != nil {
		return Written{}, err
	}
	base.out.Change, base.out.Status = res.ID, res.Status
	if f := base.f; base.out.Name == "" { // nothing was written now
		if base.out.Name = f.Name; f.head != nil {
			base.out.ARN = f.arn()
		}
	}
	return base.out, nil
}

// Subject is what protection rules are held against: the secret with the tags
// that it has.
func (e *edit) Subject() protect.Subject {
	t := e.Target()
	s := protect.Subject{Noun: t.Noun, Name: t.Name, Kind: change.KindOf(e.op)}
	if e.f != nil && e.f.head != nil {
		s.Tags = tagMap(e.f.head.Tags)
	}
	return s
}

// printed is a value with its fingerprints, taken once before the transaction.
type printed struct {
	Input
	print []byte
	keys  map[string][]byte
	given []byte // fingerprint of the value that this one was merged from
}

func (s *Service) print(account string, in Input) (printed, error) {
	if in.Data.Len() == 0 {
		return printed{}, &errs.Error{Kind: errs.Invalid, Code: name.CodeTooShort, Field: "SecretString", Msg: "a value has at least one byte"}
	}
	if in.Data.Len() > MaxValue {
		return printed{}, &errs.Error{Kind: errs.Limit, Code: CodeValue, Msg: "the value is larger than 1 MiB"}
	}
	p := printed{Input: in, print: s.fingerprint(account, in.Data.Reveal())}
	if !in.Binary {
		p.keys = s.keyPrints(account, in.Data.Reveal())
	}
	return p, nil
}

// same reports whether a version holds exactly this value, or was merged from
// it: then this is the same call once more.
func (p printed) same(v version) bool {
	return !v.Empty && v.Binary == p.Binary && (bytes.Equal(v.Print, p.print) || v.Given != nil && bytes.Equal(v.Given, p.print))
}

// putVersion writes a new version and its labels into the head, which it does
// not save. The number is the next; id must not be taken.
func (e *edit) putVersion(tx *change.Tx, id string, p printed, labels []string) error {
	h, n := e.f.head, e.f.Secret
	base := h.Labels[name.Current].Number
	number := h.Last + 1
	v := version{ID: id, Created: micros(tx.Now), State: Enabled, KMSKey: h.KMSKey, Size: p.Data.Len(), Binary: p.Binary,
		Print: p.print, Keys: p.keys, Given: p.given, Change: tx.Change.ID, Author: e.who.ARN()}
	if slices.Contains(labels, name.Current) {
		v.Current = v.Created
		tx.Produced(p.Data.Reveal())
	}
	waits := strings.HasPrefix(labels[0], name.PendingPrefix)
	if !waits { // the time of one that waits begins when it takes effect
		v.Gone = e.expiry(tx.Now)
	}
	var differ []string
	if p.keys != nil {
		var err error
		if differ, err = e.differ(tx, base, p.keys); err != nil {
			return err
		}
	}
	h.Last, h.Kept = number, h.Kept+1
	if err := e.storeVersion(tx, number, v, p, labels); err != nil {
		return err
	}
	if err := record.Put(tx, versionIDKey(n, h.Suffix, id), number); err != nil {
		return err
	}
	tx.Wrote(base, number, differ)
	if waits { // what is only proposed takes nothing away
		return nil
	}
	return e.prune(tx)
}

// storeVersion writes the two records of a version and attaches its labels.
//
// Every value that is stored passes here, and is held against the secret's schema.
func (e *edit) storeVersion(tx *change.Tx, number uint64, v version, p printed, labels []string) error {
	h, n := e.f.head, e.f.Secret
	if err := e.judge(tx, p.Input); err != nil {
		return err
	}
	for _, l := range labels {
		h.attach(l, v.at(number))
	}
	has := h.labelsOf(number)
	if len(has) > name.MaxLabels {
		return errs.Coded(errs.Limit, CodeLabels, "a version has at most %d labels", name.MaxLabels)
	}
	if err := e.s.putValue(tx, n, h, number, p.Data); err != nil {
		return err
	}
	e.out.VersionID, e.out.Number, e.out.Labels = v.ID, number, has
	e.out.Created, e.out.Deletes = when(v.Created), when(v.Gone)
	return record.Put(tx, versionKey(n, h.Suffix, number), v)
}

// becameCurrent notes that an existing version was made current.
func (e *edit) becameCurrent(tx *change.Tx, base, number uint64, v version) error {
	keys, err := e.differ(tx, base, v.Keys)
	if err != nil {
		return err
	}
	tx.Wrote(base, number, keys)
	if v.Empty {
		return nil
	}
	data, err := e.s.value(tx, e.f, number)
	if err != nil {
		return err
	}
	tx.Produced(data.Reveal())
	if v.Current != 0 {
		return nil
	}
	v.Current = micros(tx.Now)
	return record.Put(tx, versionKey(e.f.Secret, e.f.head.Suffix, number), v)
}

// differ names the keys of a JSON object whose values are not those of the
// version it replaces.
func (e *edit) differ(r kv.Reader, base uint64, keys map[string][]byte) ([]string, error) {
	var old map[string][]byte
	if base != 0 {
		v, err := getVersion(r, e.f.Secret, e.f.head.Suffix, base)
		if err != nil {
			return nil, err
		}
		old = v.Keys
	}
	return differing(old, keys), nil
}

// dropVersion deletes every record of a version.
func dropVersion(tx kv.Txn, n name.Secret, suffix string, number uint64, id string) error {
	for _, k := range []kv.Key{versionKey(n, suffix, number), valueKey(n, suffix, number),
		versionIDKey(n, suffix, id), usedKey(n, suffix, number)} {
		if err := tx.Delete(k); err != nil {
			return err
		}
	}
	return nil
}

// dropHead deletes the records that make a name taken, and leaves the versions
// to the purge job.
func dropHead(tx kv.Txn, n name.Secret, h *head, now time.Time) error {
	keys := []kv.Key{headKey(n), createdKey(n, h.Created), usedKey(n, h.Suffix, 0), schemaKey(n, h.Suffix)}
	if h.Purge != 0 {
		keys = append(keys, purgeKey(n, h.Suffix, h.Purge))
	}
	for _, k := range keys {
		if err := tx.Delete(k); err != nil {
			return err
		}
	}
	if err := h.index(tx, n, true); err != nil {
		return err
	}
	return tx.Put(purgeKey(n, h.Suffix, micros(now)), []byte{1})
}
