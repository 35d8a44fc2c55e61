package secret

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"

	"countersign/internal/core/change"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/name"
	"countersign/internal/sensitive"
)

// held is a new value for a secret and the state that its author saw: what a
// three-way merge needs of the base, which may be pruned before the change is
// decided.
type held struct {
	Number uint64            `cbor:"1,keyasint,omitempty"` // of the version that waits; 0 when none does
	Base   uint64            `cbor:"2,keyasint,omitempty"` // current version that the author saw; 0 for none
	Prints map[string][]byte `cbor:"3,keyasint,omitempty"` // of base's values by key; nil when it is no JSON object
	Knows  bool              `cbor:"4,keyasint,omitempty"` // the author said which, or it was noted when the change was proposed
}

// forget takes back what an earlier run of the transaction noted; what was
// written down stays.
func (e *edit) forget(b *held) {
	if !e.decoded {
		*b = held{}
	}
}

// based looks up the base that a request names; nil: whatever is current.
func (e *edit) based(r *change.Tx, base *uint64) (held, error) {
	if base == nil {
		return held{}, nil
	}
	b := held{Base: *base, Knows: true}
	if *base == 0 {
		return b, nil
	}
	v, ok, err := record.Get[version](r, versionKey(e.f.Secret, e.f.head.Suffix, *base))
	if err == nil && ok && !v.Empty {
		b.Prints = v.Keys
	}
	return b, err
}

// onto returns the value to store: the one given, or merged onto the current
// version when that is not the one that its author saw.
func (e *edit) onto(tx *change.Tx, b *held, value printed) (printed, error) {
	current := e.f.head.Labels[name.Current].Number
	if !b.Knows || b.Base == current {
		return value, nil
	}
	conflict := func(field string) error {
		return &errs.Error{Kind: errs.Conflict, Code: CodeConflict, Field: field,
			Msg: "the secret was changed since the version that this change is based on"}
	}
	if b.Base == 0 || current == 0 || value.Binary {
		return printed{}, conflict("")
	}
	if at := e.f.head.Labels[name.Current]; !at.readable(tx.Now) { // nobody is to learn by a merge what was deleted
		return printed{}, conflict("")
	}
	is, err := e.s.value(tx, e.f, current)
	if err != nil {
		return printed{}, err
	}
	if bytes.Equal(is.Reveal(), value.Data.Reveal()) {
		return value, nil
	}
	merged, keys, ok := e.s.printer(e.f.Account).merge(b.Prints, is.Reveal(), value.Data.Reveal())
	if !ok {
		return printed{}, conflict(quoteKeys(keys))
	}
	p, err := e.s.print(e.f.Account, Input{Data: sensitive.New(merged)})
	p.given = value.print
	return p, err
}

// hold stores a value as a version that waits for the change under its label,
// and notes what is current. The head is not saved.
func (e *edit) hold(tx *change.Tx, base *uint64, id string, p printed) (held, error) {
	if err := e.ready(); err != nil {
		return held{}, err
	}
	h := e.f.head
	if _, taken, err := numberOf(tx, e.f.Secret, h, id); err != nil || taken {
		if err == nil {
			err = errs.Coded(errs.Exists, CodeToken, "a version with this id exists")
		}
		return held{}, err
	}
	if base == nil {
		current := h.Labels[name.Current].Number
		base = &current
	}
	b, err := e.based(tx, base)
	if err != nil {
		return held{}, err
	}
	was := *tx.Change
	if err := e.putVersion(tx, id, p, []string{name.PendingPrefix + tx.Change.ID}); err != nil {
		return held{}, err
	}
	b.Number = e.out.Number
	tx.Wrote(was.Base, 0, was.Keys) // no version is current by it
	return b, nil
}

// release makes the version that waits take the labels, or, when the current one
// is no longer that which the author saw, a new version merged from it.
func (e *edit) release(tx *change.Tx, b *held, labels []string) error {
	h, n := e.f.head, e.f.Secret
	v, err := getVersion(tx, n, h.Suffix, b.Number)
	if err != nil {
		return err
	}
	data, err := e.s.value(tx, e.f, b.Number)
	if err != nil {
		return err
	}
	value := printed{Input: Input{Data: data, Binary: v.Binary}, print: v.Print, keys: v.Keys}
	p, err := e.onto(tx, b, value)
	if err != nil {
		return err
	}
	delete(h.Labels, name.PendingPrefix+v.Change)
	if p.given != nil || h.Labels[name.Current].Number > b.Number {
		if err := dropVersion(tx, n, h.Suffix, b.Number, v.ID); err != nil {
			return err
		}
		h.Kept--
		return e.putVersion(tx, mergedID(v.ID, v.Change), p, labels)
	}
	if err := e.judge(tx, p.Input); err != nil { // the schema may be another than when it was proposed
		return err
	}
	base := h.Labels[name.Current].Number
	v.Change, v.Current, v.Gone = tx.Change.ID, micros(tx.Now), e.expiry(tx.Now)
	for _, l := range labels {
		h.attach(l, v.at(b.Number))
	}
	if err := record.Put(tx, versionKey(n, h.Suffix, b.Number), v); err != nil {
		return err
	}
	e.out.VersionID, e.out.Number, e.out.Labels = v.ID, b.Number, h.labelsOf(b.Number)
	e.out.Created, e.out.Deletes = when(v.Created), when(v.Gone)
	differ, err := e.differ(tx, base, v.Keys)
	if err != nil {
		return err
	}
	tx.Wrote(base, b.Number, differ)
	tx.Produced(data.Reveal())
	return e.prune(tx)
}

// mergedID is the version id of what a change became by a merge: it has to be
// fixed before the transaction, and another than the one whose value it is not.
func mergedID(id, changeID string) string {
	sum := sha256.Sum256([]byte(id + "\x00" + changeID))
	return hex.EncodeToString(sum[:16])
}

// dropHeld removes the version that waits. The head is read anew: the one at hand
// may have been altered by a trial.
func (e *edit) dropHeld(tx *change.Tx, b *held) error {
	h, err := getHead(tx, e.f.Secret)
	if err != nil || h == nil || b.Number == 0 {
		return err
	}
	v, ok, err := record.Get[version](tx, versionKey(e.f.Secret, h.Suffix, b.Number))
	label := name.PendingPrefix + tx.Change.ID
	if err != nil || !ok || h.Labels[label].Number != b.Number {
		return err
	}
	delete(h.Labels, label)
	if len(h.labelsOf(b.Number)) == 0 { // somebody may have moved another label here
		h.Kept--
		if err := dropVersion(tx, e.f.Secret, h.Suffix, b.Number, v.ID); err != nil {
			return err
		}
	}
	return putHead(tx, e.f.Secret, h)
}
