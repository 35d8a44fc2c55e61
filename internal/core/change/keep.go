package change

import (
	"bytes"
	"crypto/sha256"
	"strings"
	"time"

	"countersign/internal/caller"
	"countersign/internal/core/policy"
	"countersign/internal/core/protect"
	"countersign/internal/core/record"
	"countersign/internal/errs"
	"countersign/internal/kv"
	"countersign/internal/proof"
)

// proposal is what is kept of a change that waits, beside its record: who made
// it, and what was said about it. It stays when the change ends.
type proposal struct {
	Author   string      `cbor:"1,keyasint"` // name
	Kind     caller.Kind `cbor:"2,keyasint"`
	Region   string      `cbor:"3,keyasint,omitempty"` // of the request
	Nonce    []byte      `cbor:"4,keyasint"`           // hides what the digest commits to
	Only     bool        `cbor:"5,keyasint,omitempty"` // the author may only propose
	Votes    []Vote      `cbor:"6,keyasint,omitempty"`
	Comments []Comment   `cbor:"7,keyasint,omitempty"`
	Sealed   *sealed     `cbor:"8,keyasint,omitempty"`  // what it took effect by
	Proposed int64       `cbor:"9,keyasint"`            // when it was put to review, microseconds
	Account  string      `cbor:"10,keyasint"`           // of the author: a resource policy may let in others
	Print    []byte      `cbor:"11,keyasint,omitempty"` // hash of what was asked for
}

// sealed is what a change took effect by: what the votes were over, and who was
// counted.
type sealed struct {
	Evidence  proof.Evidence   `cbor:"1,keyasint"`
	Version   uint64           `cbor:"2,keyasint,omitempty"`
	Applied   int64            `cbor:"3,keyasint"` // microseconds
	Approvals []proof.Approval `cbor:"4,keyasint,omitempty"`
}

// Comment is a remark on a change.
type Comment struct {
	By   string `cbor:"1,keyasint" json:"by"` // ARN
	Text string `cbor:"2,keyasint" json:"text"`
	Time int64  `cbor:"3,keyasint" json:"time"` // microseconds
}

// Vote is somebody's decision on a change.
type Vote struct {
	By        string `cbor:"1,keyasint" json:"by"` // ARN
	Name      string `cbor:"2,keyasint" json:"name"`
	Approve   bool   `cbor:"3,keyasint" json:"approve"`
	Digest    []byte `cbor:"4,keyasint" json:"digest"`
	Comment   string `cbor:"5,keyasint,omitempty" json:"comment,omitempty"`
	Time      int64  `cbor:"6,keyasint" json:"time"` // microseconds
	MFA       bool   `cbor:"7,keyasint,omitempty" json:"mfa,omitempty"`
	Signature string `cbor:"8,keyasint,omitempty" json:"signature,omitempty"` // SSHSIG, armored
	Key       string `cbor:"9,keyasint,omitempty" json:"key,omitempty"`       // public key that verified it
}

// Keys of the records. A change hangs on its target, in order of time; its id
// alone leads to the target.
func recordKey(t Target, id string) kv.Key {
	return kv.K(t.Account, "change", t.Noun, t.Region, t.Name, id)
}
func placeKey(account, id string) kv.Key    { return kv.K(account, "change-place", id) }
func openKey(account, id string) kv.Key     { return kv.K(account, "change-open", id) }
func proposalKey(account, id string) kv.Key { return kv.K(account, "proposal", id) }
func editKey(account, id string) kv.Key     { return kv.K(account, "proposal-edit", id) }
func openByKey(account, author, id string) kv.Key {
	return kv.K(account, "change-open-by", author, id)
}
func openOfKey(t Target, id string) kv.Key {
	return kv.K(t.Account, "change-open-of", t.Noun, t.Region, t.Name, id)
}
func repeatKey(account, who, key string) kv.Key {
	sum := sha256.Sum256([]byte(key))
	return kv.K(account, "change-repeat", who, string(sum[:]))
}

// place says what a change alters.
type place struct {
	Noun   string `cbor:"1,keyasint"`
	Region string `cbor:"2,keyasint,omitempty"`
	Name   string `cbor:"3,keyasint"`
}

// putNew writes the record of a new change and the way to it.
func putNew(tx *Tx, t Target) error {
	if err := record.Put(tx, placeKey(t.Account, tx.Change.ID), place{t.Noun, t.Region, t.Name}); err != nil {
		return err
	}
	return record.Put(tx, recordKey(t, tx.Change.ID), tx.Change)
}

// How many changes to one thing, and of one author, may wait at once.
const (
	maxOpen   = 50
	maxOpenBy = 1000
)

// entry is a change with what is kept of it.
type entry struct {
	target Target
	rec    *Record
	prop   *proposal // nil when it never waited
}

// find reads a change by its full id; nil when there is none.
func find(r kv.Reader, account, id string) (*entry, error) {
	at, err := record.Find[place](r, placeKey(account, id))
	if at == nil || err != nil {
		return nil, err
	}
	e := &entry{target: Target{Account: account, Noun: at.Noun, Region: at.Region, Name: at.Name}}
	if e.rec, err = record.Find[Record](r, recordKey(e.target, id)); err != nil {
		return nil, err
	}
	if e.rec == nil {
		return nil, errs.New(errs.Internal, "a change has no record")
	}
	e.prop, err = record.Find[proposal](r, proposalKey(account, id))
	return e, err
}

// MinShort is the least number of characters of a shortened id: the ten that
// tell the millisecond, so that no later change shares them.
const MinShort = 10

// resolve finds the one change whose id begins with prefix.
func resolve(r kv.Reader, account, prefix string) (string, error) {
	prefix = strings.ToUpper(prefix)
	if len(prefix) == 26 {
		return prefix, nil
	}
	if len(prefix) < 4 || len(prefix) > 26 || strings.ContainsFunc(prefix, func(c rune) bool {
		return (c < '0' || c > '9') && (c < 'A' || c > 'Z')
	}) {
		return "", errs.InvalidField("id", "the id of a change is its first 4 to 26 letters and digits")
	}
	var found []string
	for id, err := range idsFrom(r, account, prefix) {
		if err != nil {
			return "", err
		}
		if !strings.HasPrefix(id, prefix) || len(found) == 2 {
			break
		}
		found = append(found, id)
	}
	switch len(found) {
	case 0:
		return prefix, nil // policy answers for what does not exist
	case 1:
		return found[0], nil
	}
	return "", &errs.Error{Kind: errs.Invalid, Code: CodeAmbiguous, Field: "id",
		Msg: "several changes begin with that id, among them " + found[0] + " and " + found[1] + ": give more of it"}
}

// idsFrom yields the ids of an account's changes from a text on, oldest first.
func idsFrom(r kv.Reader, account, from string) func(func(string, error) bool) {
	prefix := kv.K(account, "change-place")
	rng := kv.Prefix(prefix)
	rng.Start = append(bytes.Clone(prefix), from...)
	return func(yield func(string, error) bool) {
		for p, err := range r.Scan(rng) {
			id := ""
			if err == nil {
				var strs []string
				if strs, _, err = kv.Key(p.Key).Parts("sss"); err == nil {
					id = strs[2]
				}
			}
			if !yield(id, err) || err != nil {
				return
			}
		}
	}
}

// Short is how much of an id tells it from all others of the account.
func Short(r kv.Reader, account, id string) (string, error) {
	n := MinShort
	for _, reverse := range []bool{false, true} {
		prefix := kv.K(account, "change-place")
		rng := kv.Range{Start: append(bytes.Clone(placeKey(account, id)), 0), End: kv.After(prefix)}
		if reverse {
			rng = kv.Range{Start: prefix, End: placeKey(account, id), Reverse: true}
		}
		for p, err := range r.Scan(rng) {
			if err != nil {
				return "", err
			}
			strs, _, err := kv.Key(p.Key).Parts("sss")
			if err != nil {
				return "", err
			}
			n = max(n, common(id, strs[2])+1)
			break
		}
	}
	return id[:min(n, len(id))], nil
}

func common(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// subjectOf is what protection rules are held against for an edit.
func subjectOf(e Edit) protect.Subject {
	if s, ok := e.(Subjecter); ok {
		return s.Subject()
	}
	t := e.Target()
	return protect.Subject{Noun: t.Noun, Name: t.Name, Kind: KindOf(e.Operation())}
}

// KindOf is the kind of change that an operation is, as far as it alone tells.
func KindOf(op policy.Op) protect.Kind {
	switch op {
	case policy.CreateSecret, policy.CreateUser, policy.CreateGroup, policy.CreateKey, policy.CreateAccount, policy.CreateProject, policy.CreateTransitKey:
		return protect.Create
	case policy.DeleteSecret, policy.DeleteUser, policy.DeleteGroup, policy.DeletePolicy, policy.RevokeKey, policy.DeleteProject,
		policy.DeleteCurrent, policy.DeleteVersion, policy.DestroyVersion, policy.DeleteMount, policy.DeleteAuditDevice, policy.DeleteTransitKey, policy.TrimTransitKey,
		policy.DeletePasswordPolicy, policy.DeleteTokenRole, policy.DeleteLoginRole, policy.DeleteIdentityKey, policy.DeleteIdentityRole:
		return protect.Delete
	case policy.Rollback:
		return protect.Rollback
	case policy.Rotate, policy.CancelRotation, policy.RotationFinish, policy.RotateTransitKey:
		return protect.Rotate
	case policy.PutRules:
		return protect.Rules
	}
	if op.Info().Access == policy.AccessPermissions || op == policy.AddToGroup || op == policy.RemoveFromGroup {
		return protect.Policy
	}
	return protect.Edit
}

// repeated is a request that was made with a key.
type repeated struct {
	ID     string `cbor:"1,keyasint"`
	Print  []byte `cbor:"2,keyasint"` // hash of what was asked for
	Status Status `cbor:"3,keyasint"`
	Time   int64  `cbor:"4,keyasint"`
}

// repeatFor is how long the key of a request is known.
const repeatFor = 24 * time.Hour

// known returns the result of the request that this one repeats.
func (w *submission) known(r kv.Reader) (Result, bool, error) {
	if w.Key == "" {
		return Result{}, false, nil
	}
	old, err := record.Find[repeated](r, repeatKey(w.target.Account, w.who.ARN(), w.Key))
	if err != nil || old == nil || old.Time < w.now.Add(-repeatFor).UnixMicro() {
		return Result{}, false, err
	}
	print, err := w.print()
	if err != nil {
		return Result{}, false, err
	}
	if !bytes.Equal(old.Print, print) {
		return Result{}, false, errs.Coded(errs.Conflict, CodeRepeat, "the idempotency key was used for another request within a day")
	}
	e, err := find(r, w.target.Account, old.ID)
	if err != nil || e == nil {
		return Result{}, false, err
	}
	return Result{ID: old.ID, Status: e.rec.Status}, true, nil
}

// remember keeps the key of a request with its change.
func (w *submission) remember(tx *Tx) error {
	if w.Key == "" {
		return nil
	}
	print, err := w.print()
	if err != nil {
		return err
	}
	now := w.now.UnixMicro()
	if err := putDue(tx, w.now.Add(repeatFor), w.target.Account, dueForget, w.who.ARN()+"\x00"+w.Key); err != nil {
		return err
	}
	return record.Put(tx, repeatKey(w.target.Account, w.who.ARN(), w.Key), repeated{ID: w.id, Print: print, Time: now})
}

// print is a hash of a request. It has no key, and so stands in an encrypted
// record only.
func (w *submission) print() ([]byte, error) {
	parts := [][]byte{w.Same}
	if w.Same == nil {
		for _, s := range []string{w.Edit.Operation().String(), w.target.Noun, w.target.Region, w.target.Name, w.Reason} {
			parts = append(parts, []byte(s))
		}
		if r, ok := w.Edit.(interface{ Repeats() []byte }); ok {
			parts = append(parts, r.Repeats())
		} else if p, ok := w.Edit.(Proposal); ok {
			b, err := p.Encode()
			if err != nil {
				return nil, err
			}
			parts = append(parts, b)
		}
	}
	b, err := record.Encode(parts)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(b)
	return sum[:], nil
}
